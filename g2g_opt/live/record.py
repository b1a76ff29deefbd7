"""The record of a live run: which message was sent and which arrived, and when.

A record is a file of msgpack values, one after the other, so that a run that is cut short leaves a record that can be
read up to there:

- a map: `{"format": "g2g-live-record", "version": 1, "host": ..., "role": ..., "began_s": s since 1970}`
- `["lane", index, source, destination, topic]` before the first row of a lane
- `["rows", bytes]`: rows of 29 bytes, little-endian: lane index (u32), 0 sent or 1 arrived (u8), sequence number (u64),
  time of the event and sending time in the message (f64 each, s since 1970)
- `["event", time_s, name, detail]`
- `["end", {name: count}]`: the tally; a record without it was cut short

Every process writes its own. `load_live_run` puts those of a run together: a message that was sent and is in nobody's
arrivals was lost.
"""

from __future__ import annotations

import os
import socket
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import msgpack
import numpy as np
from numpy.typing import NDArray

from g2g_opt.errors import InputError
from g2g_opt.live.tally import LiveTally
from g2g_opt.reading import files_below, read_bytes

FORMAT, VERSION, SUFFIX = "g2g-live-record", 1, ".g2glive"
ROW_TYPE = np.dtype([("lane", "<u4"), ("arrived", "u1"), ("sequence", "<u8"), ("time_s", "<f8"), ("sent_s", "<f8")])
# What is kept until the next flush, at most.
_HELD_ROWS_MAX = 300_000
_RECORD_BYTES_MAX = 2 * 2**30
_NAME_MAX = 200

Floats = NDArray[np.float64]
LaneName = tuple[str, str, str]


class LiveRecorder:
    """Writes a record; the owner calls `flush` about once a second and `close` at the end.

    A disk that takes no more ends the record, not the run: what is not kept is counted.
    """

    def __init__(self, path: Path, role: str, began_s: float, tally: LiveTally) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path, self._tally = path, tally
        self._file: IO[bytes] | None = path.open("wb", buffering=0)
        self._pack = msgpack.Packer().pack
        # Threads that talk to clusters add rows too, which a deque allows.
        self._rows: deque[tuple[int, int, int, float, float]] = deque()
        self._lanes: dict[LaneName, int] = {}
        head = {"format": FORMAT, "version": VERSION, "host": socket.gethostname(), "role": role, "began_s": began_s}
        self._write(self._pack(head))

    def lane(self, source: str, destination: str, topic: str) -> int:
        """The index of a lane, by which its rows are written."""
        name = (source, destination, topic)
        index = self._lanes.get(name)
        if index is None:
            index = self._lanes[name] = len(self._lanes)
            self._write(self._pack(["lane", index, *name]))
        return index

    def sent(self, lane: int, sequence: int, time_s: float) -> None:
        """A message was sent."""
        self._row(lane, 0, sequence, time_s, time_s)

    def arrived(self, lane: int, sequence: int, time_s: float, sent_s: float) -> None:
        """A message has arrived that says to be sent at `sent_s`."""
        self._row(lane, 1, sequence, time_s, sent_s)

    def _row(self, lane: int, arrived: int, sequence: int, time_s: float, sent_s: float) -> None:
        if self._file is None or len(self._rows) >= _HELD_ROWS_MAX:
            self._tally["record_full"] += 1
        else:
            self._rows.append((lane, arrived, sequence, time_s, sent_s))

    def event(self, time_s: float, name: str, detail: str = "") -> None:
        """Something that happened besides messages."""
        self._write(self._pack(["event", time_s, name, detail[:_NAME_MAX]]))

    def flush(self) -> None:
        """Write what is held."""
        rows = [self._rows.popleft() for _ in range(len(self._rows))]
        if rows:
            self._write(self._pack(["rows", np.array(rows, dtype=ROW_TYPE).tobytes()]))

    def _write(self, data: bytes) -> None:
        if self._file is None:
            self._tally["record_full"] += 1
            return
        try:
            self._file.write(data)
        except OSError:
            self._tally["record_full"] += 1
            self._file.close()
            self._file = None

    def close(self) -> None:
        """Write the tally and end the record."""
        self.flush()
        if self._file is not None:
            self._write(self._pack(["end", dict(self._tally)]))
        if self._file is not None:
            self._file.close()
            self._file = None


@dataclass(frozen=True, eq=False)
class LiveLane:
    """Messages of one lane in the order of their sending: `sent_s` and `arrived_s` (s since 1970, inf: lost).

    `knows_losses` is False where nobody recorded what was sent: then only what arrived is here.
    """

    sent_s: Floats
    arrived_s: Floats
    knows_losses: bool

    @property
    def loss(self) -> float:
        """Share of messages that were lost; NaN if there are none."""
        return float(np.mean(np.isinf(self.arrived_s))) if len(self.sent_s) else float("nan")


@dataclass(frozen=True, eq=False)
class LiveRun:
    """A recorded run: its lanes by (source, destination, topic), events (time s, host, name, detail), and counts.

    `one_sided` are lanes whose receiver gave no record, so that nobody knows what arrived; `cut_short` are records
    without an end.
    """

    lanes: Mapping[LaneName, LiveLane]
    one_sided: tuple[LaneName, ...]
    events: tuple[tuple[float, str, str, str], ...]
    tally: LiveTally
    cut_short: tuple[str, ...]


@dataclass
class _Part:
    """What one file holds."""

    host: str
    rows: dict[LaneName, list[NDArray[Any]]] = field(default_factory=dict)
    events: list[tuple[float, str, str, str]] = field(default_factory=list)
    tally: dict[str, int] | None = None


def load_live_run(path: Path) -> LiveRun:
    """The run in a record, or in all records of a folder; `InputError` if there is none or one is no record.

    Times of another machine are set right by half the difference between the shortest ways there and back, if lanes
    go both ways.
    """
    paths = [path] if path.is_file() else [p for p in files_below(path, "folder of records") if p.suffix == SUFFIX]
    if not paths:
        raise InputError(f"{path} holds no record (*{SUFFIX}) of a live run")
    parts = [_read_part(one) for one in paths]
    lanes: dict[LaneName, LiveLane] = {}
    pieces = {
        name: np.concatenate([rows for part in parts for rows in part.rows.get(name, [])])
        for name in sorted({name for part in parts for name in part.rows})
    }
    listeners = {name[1] for name, rows in pieces.items() if rows["arrived"].any()}
    for name, rows in pieces.items():
        if name[1] in listeners:
            lanes[name] = _merged(rows)
    hosts = {part.host for part in parts}
    events = sorted(event for part in parts for event in part.events)
    tally = LiveTally()
    for part in parts:
        tally.update(part.tally or {})
    cut = tuple(str(one) for one, part in zip(paths, parts, strict=True) if part.tally is None)
    one_sided = tuple(name for name in pieces if name not in lanes)
    return LiveRun(lanes if len(hosts) == 1 else _on_one_clock(lanes), one_sided, tuple(events), tally, cut)


def _read_part(path: Path) -> _Part:
    unpacker = msgpack.Unpacker(
        max_buffer_size=_RECORD_BYTES_MAX, max_str_len=_NAME_MAX * 8, max_array_len=8, max_map_len=100
    )
    unpacker.feed(read_bytes(path, "record", _RECORD_BYTES_MAX))
    part: _Part | None = None
    lanes: dict[int, LaneName] = {}
    try:
        for value in unpacker:
            if part is None:
                if not isinstance(value, dict) or value.get("format") != FORMAT or value.get("version") != VERSION:
                    raise InputError(f"{path} is no record of a live run (format {FORMAT}, version {VERSION})")
                part = _Part(str(value.get("host")))
                continue
            match value:
                case ["lane", int(index), str(source), str(destination), str(topic)]:
                    lanes[index] = (source, destination, topic)
                case ["rows", bytes(rows)] if len(rows) % ROW_TYPE.itemsize == 0:
                    found = np.frombuffer(rows, dtype=ROW_TYPE)
                    if not np.isfinite(found["time_s"]).all() or not np.isfinite(found["sent_s"]).all():
                        raise InputError(f"{path}: a row has a time that is no finite number")
                    for index in np.unique(found["lane"]).tolist():
                        if index not in lanes:
                            raise InputError(f"{path}: a row of lane {index}, which is not described before it")
                        part.rows.setdefault(lanes[index], []).append(found[found["lane"] == index])
                case ["event", float(time_s), str(name), str(detail)]:
                    part.events.append((time_s, part.host, name, detail))
                case ["end", dict(tally)]:
                    part.tally = {str(k): int(v) for k, v in tally.items() if isinstance(v, int)}
                case _:
                    raise InputError(f"{path}: a value that no record of version {VERSION} has")
    except (ValueError, msgpack.UnpackException) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} is no record of a live run: {error}") from error
    if part is None:
        raise InputError(f"{path} is no record of a live run: it is empty")
    return part


def _merged(rows: NDArray[Any]) -> LiveLane:
    """What was sent beside what arrived, by sequence number; of several arrivals of a message the first counts."""
    sent = rows[rows["arrived"] == 0]
    arrived = np.sort(rows[rows["arrived"] == 1], order=["sequence", "time_s"])
    _, first = np.unique(arrived["sequence"], return_index=True)
    arrived = arrived[first]
    if not len(sent):
        order = np.argsort(arrived["sent_s"], kind="stable")
        return LiveLane(arrived["sent_s"][order], arrived["time_s"][order], False)
    sent = sent[np.argsort(sent["time_s"], kind="stable")]
    place = np.minimum(np.searchsorted(arrived["sequence"], sent["sequence"]), max(len(arrived) - 1, 0))
    there = arrived["sequence"][place] == sent["sequence"] if len(arrived) else np.zeros(len(sent), dtype=bool)
    arrived_s = np.full(len(sent), np.inf)
    arrived_s[there] = arrived["time_s"][place[there]]
    return LiveLane(sent["time_s"].copy(), arrived_s, True)


def _on_one_clock(lanes: Mapping[LaneName, LiveLane]) -> dict[LaneName, LiveLane]:
    """Lanes whose shortest ways there and back are equal: arrivals are moved by half the difference."""
    shortest: dict[tuple[str, str], float] = {}
    for (source, destination, _), lane in lanes.items():
        if np.isfinite(lane.arrived_s).any():
            way_s = float(np.min(lane.arrived_s - lane.sent_s))
            shortest[source, destination] = min(way_s, shortest.get((source, destination), np.inf))
    moved = {}
    for (source, destination, topic), lane in lanes.items():
        there, back = shortest.get((source, destination)), shortest.get((destination, source))
        offset_s = (there - back) / 2.0 if there is not None and back is not None else 0.0
        moved[source, destination, topic] = LiveLane(lane.sent_s, lane.arrived_s - offset_s, lane.knows_losses)
    return moved


def record_path(folder: Path, role: str) -> Path:
    """Where a process writes its record: its role, and its number on this machine."""
    return folder / f"{role}-{socket.gethostname()}-{os.getpid()}{SUFFIX}"
