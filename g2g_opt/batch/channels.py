"""Channels of a batch: what the controllers of every scenario see and reach, looked up in tables made before the run.

Compiled controls are handed a `Sight` of it, all others `SeenParts` in the place of the fleets and grids themselves, as
the controllers of a single run are handed views. A scenario without links sees and reaches everything at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g2g_opt.batch.channel_kernel import (
    ChannelStep,
    Commands,
    Figures,
    SetPoints,
    arrive,
    hand_on,
    note_sizes,
    see,
    send,
)
from g2g_opt.batch.control import Sight
from g2g_opt.batch.fleet_kernel import command_sizes
from g2g_opt.batch.fleets import Fleets
from g2g_opt.batch.grids import Grids
from g2g_opt.batch.seen_parts import SeenParts, Storages
from g2g_opt.batch.shown import Shown
from g2g_opt.batch.sites_alone import sites_alone
from g2g_opt.batch.stale_voltages import StaleVoltages
from g2g_opt.channel.lanes import Commanded, Measured, RunTables, run_tables
from g2g_opt.channel.links import Links
from g2g_opt.communication import Channels
from g2g_opt.compiled.program import DONE, IN_PYTHON, Part, entry_of
from g2g_opt.compiled.records import Packed, pack
from g2g_opt.coordinator import Coordinator
from g2g_opt.tap_position import TapPosition

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Counts = NDArray[np.int32]
Bools = NDArray[np.bool_]


class BatchChannels:
    """The links of all scenarios of a batch: what is under way, and what sites do while nobody reaches them."""

    def __init__(self, runs: Sequence[Coordinator[Any, Any]], fleets: Fleets, grids: Grids) -> None:
        self.fleets, self.grids = fleets, grids
        self.links = [run.links if isinstance(run.links, Links) else None for run in runs]
        self.tables = [_tables(run, one) for run, one in zip(runs, self.links, strict=True)]
        self.voltage_lanes: list[Measured] = [table.voltage for table in self.tables]
        self.site_lanes: list[Measured] = [lane for table in self.tables for lane in table.sites]
        # Replicas, latency, batch size and servers by phase of every row, whole numbers as they lie in memory.
        rows, measured_w = np.zeros((6, fleets.n_rows)), np.zeros((3, len(fleets.sites)))
        shown_at = _by_step([lane.shown_at for lane in self.site_lanes])
        of_rows, of_power = (
            Shown(np.ascontiguousarray(shown_at[:, fleets.row_fleet]), rows),
            Shown(shown_at, measured_w),
        )
        measured = fleets.replicas, fleets.itl_s, fleets.batch, fleets.servers, fleets.power_w
        self._whole: Ints = of_rows.seen.view(np.int64)
        self.replicas: Ints = self._whole[0]
        self.itl_s: Floats = of_rows.seen[1]
        self.seen_batch: Ints = self._whole[2]
        self.servers: Ints = self._whole[3:].T
        self.power_w: Floats = of_power.seen.T
        voltage, stale = self._shown_voltages()
        commands = self._commands([lane for table in self.tables for lane in table.to_sites])
        self._step = np.full(1, -1)
        # Taps and storage under way, from the first time that anybody moves them.
        self._sent_grid: dict[int, tuple[list[dict[str, float] | None], list[Storages]]] = {}
        self._to_grids: _ToGrids | None = None
        self._shifting = False
        self._sent_shift = np.zeros((len(commands.sent), fleets.n_rows), dtype=np.int64)
        self.shift, self._shifted = np.zeros(fleets.n_rows, dtype=np.int64), np.zeros(fleets.n_rows, dtype=np.int64)
        self.taps: list[dict[str, float] | None] = [None] * len(runs)
        self.storage: list[Storages] = [{} for _ in runs]
        self.storage_done: Storages = {}
        self._now = ChannelStep(
            self._step,
            commands,
            sites_alone(self.links, fleets, grids),
            Figures(*measured, rows, rows.view(np.int64), measured_w),
            voltage.moves,
            of_rows.moves,
            of_power.moves,
            stale.moves if stale is not None else StaleVoltages.nothing(),
        )
        self._packed = pack(self._now)

    def _shown_voltages(self) -> tuple[Shown, StaleVoltages | None]:
        """Voltages that have arrived, and what is taken for them where they are too old.

        Slots that only fill lanes see nothing of theirs.
        """
        grids, n = self.grids, len(self.tables)
        measured = grids.flow.solutions.voltage_pu
        shown_at = _by_step([lane.shown_at for lane in self.voltage_lanes])
        fills = np.full((len(shown_at), measured.shape[1] - n), -1, dtype=np.int32)
        ticks = np.arange(len(shown_at), dtype=np.int32)[:, None]
        if (shown_at == ticks).all():
            fills[:] = ticks
        shown = Shown(np.concatenate([shown_at, fills], axis=1), measured)
        if shown.seen is not measured:
            shown.seen[:, n:] = 1.0
        signals = [(one.channels if one is not None else Channels()).voltage for one in self.links]
        stale = None
        if StaleVoltages.wanted(signals):
            stale = StaleVoltages(self.voltage_lanes, signals, shown.seen)
        self.all_voltages_pu = shown.seen if stale is None else stale.taken_pu
        self.voltage_pu, self.arrived_pu = self.all_voltages_pu[:, :n], shown.seen[:, :n]
        return shown, stale

    def _commands(self, to_sites: Sequence[Commanded]) -> Commands:
        """Set-points of batch sizes on their lanes."""
        fleets = self.fleets
        newest, self.site_at_once, acts = _stacked(to_sites)
        n_steps = len(newest)
        due = np.zeros(n_steps, dtype=np.bool_)
        for table in self.tables:
            for every in table.timing.control_ticks:
                due[::every] = True
        # Batch sizes and shifts that may still be asked for, by the tick at which they were sent.
        under_way = np.where(newest >= 0, np.arange(n_steps, dtype=np.int32)[:, None] - newest, 0)
        any_acts = np.asarray(acts.any(axis=1))
        # Nobody acts before a first step.
        any_acts[:1] = False
        self.batch: Ints = fleets.commanded.copy()
        rows, sizes = (np.zeros(fleets.n_rows, dtype=np.int64) for _ in range(2))
        n = np.zeros(1, dtype=np.int64)
        self._command = fleets.command(rows, sizes, n)
        self._packed_command = pack(self._command)
        return Commands(
            followed=np.zeros(1, dtype=np.int64),
            resumed=np.full(1, -1),
            newest=newest,
            arrived=np.full(len(to_sites), -1, dtype=np.int32),
            acts=acts,
            any_acts=any_acts,
            at_once=self.site_at_once,
            any_at_once=np.asarray(self.site_at_once.any(axis=1)),
            all_at_once=np.asarray(self.site_at_once.all(axis=1)),
            due=due,
            first_row=fleets.first_row,
            sent=np.zeros((int(under_way.max(initial=0)) + 1, fleets.n_rows), dtype=np.int64),
            batch=self.batch,
            commanded=fleets.commanded,
            n=n,
            rows=rows,
            sizes=sizes,
            command=entry_of(command_sizes),
            of_command=self._packed_command.address,
        )

    @property
    def step(self) -> int:
        """The present step."""
        return int(self._step[0])

    def parts(self) -> SeenParts:
        """What the controls of the batch are handed."""
        return SeenParts(self)

    def sight(self) -> Sight:
        """What compiled controllers see and command."""
        figures = self._whole[3:].reshape(-1), (1, self.fleets.n_rows), self.replicas, self.itl_s
        return Sight(self.all_voltages_pu, *figures, self._note_sizes)

    def _note_sizes(self, rows: Ints, sizes: Ints, n: Ints) -> tuple[Any, Packed, None]:
        return note_sizes, pack(SetPoints(n, rows, sizes, self.batch)), None

    # --- a step

    def parts_before(self) -> list[Part]:
        """Before sites advance: what has arrived for them and for the grids, and what sites do in silence."""
        return [Part(self._attend_arrivals, arrive, self._packed)]

    def parts_between(self) -> list[Part]:
        """After the grids were solved: what controllers see in this step."""
        return [Part(_nothing_left, see, self._packed)]

    def parts_after(self) -> list[Part]:
        """After all controls have acted: set-points go on their way, and what is seen in the next step."""
        return [Part(self._attend_sending, send, self._packed), Part(_nothing_left, hand_on, self._packed)]

    def _resume(self, part: Any, step: int) -> None:
        """The compiled part of a step after Python's."""
        resumed = self._now.commands.resumed
        resumed[0] = step
        code = part(self._packed.address, step)
        resumed[0] = -1
        self._check(code)

    def _check(self, code: int) -> None:
        if code != DONE:
            raise self.fleets.refusal(self._command)

    def _attend_arrivals(self, step: int, code: int) -> None:
        if code != IN_PYTHON:
            return self._check(code)
        if self._shifting:
            self._shift_what_arrived(step)
        self._resume(arrive, step)
        if self._to_grids is not None:
            self._arrive_at_grids(self._to_grids, step)

    def _attend_sending(self, step: int, code: int) -> None:
        if code != IN_PYTHON:
            return self._check(code)
        self._resume(send, step)
        commands = self._now.commands
        if self._shifting:
            self._shift_at_once(step)
            if commands.due[step] and not commands.all_at_once[step]:
                self._sent_shift[step % len(self._sent_shift)] = self.shift
        if self._to_grids is not None:
            self._send_to_grids(self._to_grids, step, bool(commands.due[step]))

    def _shift_what_arrived(self, step: int) -> None:
        """Replicas are shifted towards what has newly arrived."""
        fleets, commands = self.fleets, self._now.commands
        newest = commands.newest[step]
        rows = np.flatnonzero((newest > commands.arrived)[fleets.row_fleet])
        wanted = self._shifted.copy()
        wanted[rows] = self._sent_shift[newest[fleets.row_fleet[rows]] % len(self._sent_shift), rows]
        moving = rows[wanted[rows] != self._shifted[rows]]
        for fleet in dict.fromkeys(fleets.row_fleet[moving].tolist()):
            self.move_replicas(fleet, wanted, step - 1, late=True)

    def _shift_at_once(self, step: int) -> None:
        """Shifts of sites that they reach at once, also of those whose earlier ones were lost or left."""
        fleets = self.fleets
        moving = np.flatnonzero(self.site_at_once[step][fleets.row_fleet] & (self.shift != self._shifted))
        for fleet in dict.fromkeys(fleets.row_fleet[moving].tolist()):
            self.move_replicas(fleet, self.shift, step, late=True)

    def _arrive_at_grids(self, lanes: _ToGrids, step: int) -> None:
        newest = lanes.tick[step]
        for slot in np.flatnonzero(newest > lanes.arrived).tolist():
            # What was sent before anybody moved anything says nothing.
            if (sent := self._sent_grid.get(int(newest[slot]))) is not None:
                self._set_grid(slot, sent[0][slot], sent[1][slot])
        lanes.arrived = np.maximum(lanes.arrived, newest)
        lowest = int(lanes.arrived.min(initial=step))
        for old in [t for t in self._sent_grid if t < lowest]:
            del self._sent_grid[old]

    def _send_to_grids(self, lanes: _ToGrids, step: int, is_due: bool) -> None:
        now = lanes.at_once[step]
        lanes.arrived[now] = step
        for slot in np.flatnonzero(now).tolist():
            self._set_grid(slot, self.taps[slot], self.storage[slot])
        if is_due and not now.all():
            self._sent_grid[step] = list(self.taps), [dict(own) for own in self.storage]

    def _set_grid(self, slot: int, taps: dict[str, float] | None, storage: Storages) -> None:
        if taps is not None and taps != self.grids.taps[slot]:
            self.grids.move_taps({slot: TapPosition(regulators=taps)})
        for unit, power in storage.items():
            if self.storage_done.get(unit) != power:
                unit.set_power_kw(*power)
                self.storage_done[unit] = power

    # --- acting

    @property
    def grid_at_once(self) -> Bools:
        """Whether commands to the grid of every slot are there at once in this step; from now on they are followed."""
        if self._to_grids is None:
            tick, at_once, _ = _stacked([table.to_grid for table in self.tables])
            # What was sent before, which moved nothing, has arrived up to here.
            self._to_grids = _ToGrids(tick, at_once, tick[self.step].copy())
            self._now.commands.followed[0] = 1
        return np.asarray(self._to_grids.at_once[self.step])

    def begin_shifting(self) -> None:
        """Shifts have to be followed from now on; what was sent before commanded none."""
        self._shifting = True
        self._now.commands.followed[0] = 1

    def move_replicas(self, fleet: int, wanted: Ints, step: int, late: bool) -> None:
        """Shift a fleet's replicas towards what is wanted, as far as they fit after `step`: as `Links` does."""
        site = self.fleets.sites[fleet]
        for model, row in enumerate(range(self.fleets.first_row[fleet], self.fleets.first_row[fleet + 1])):
            missing = int(wanted[row] - self._shifted[row])
            if missing > 0:
                each = int(site.demand.gpus_per_replica[model])
                free = self.fleets.free_gpus(fleet, step)
                free = min(free, self.fleets.gpus_free_beside_schedule(fleet, step)) if late else free
                missing = min(missing, free // each)
            if missing != 0:
                self.fleets.shift_replicas(fleet, site.model_labels[model], missing, step)
                self._shifted[row] += missing


@dataclass
class _ToGrids:
    """Lanes to the grids, [step, slot], of which `arrived` (slot,) is the newest step whose set-points are there."""

    tick: Counts
    at_once: Bools
    arrived: Ints


def _nothing_left(step: int, code: int) -> None:
    """These kernels leave nothing to Python."""


def _tables(run: Coordinator[Any, Any], links: Links | None) -> RunTables:
    if links is not None:
        return links.tables_of(run.timing)
    return run_tables(Channels(), 0, "", tuple(site.name for site in run.datacenters), run.timing)


def _by_step(lanes: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Arrays [step] of many lanes as one, [step, lane]."""
    return np.ascontiguousarray(np.array(lanes).T)


def _stacked(lanes: Sequence[Commanded]) -> tuple[Counts, Bools, Bools]:
    """Tables of many lanes, [step, lane]: whose set-points hold, what is there at once, who acts alone."""
    return (
        _by_step([lane.tick for lane in lanes]),
        _by_step([lane.at_once for lane in lanes]),
        _by_step([lane.acts for lane in lanes]),
    )
