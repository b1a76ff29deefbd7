"""Malformed CSV: hourly years, profiles in kW, power traces of models and of training."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path

from front_door import g2g
from malformed_case import Case
from spoiling import LONG, spoil_place, spoil_text

from g2g_opt.datacenter.config import InferenceModelSpec
from g2g_opt.datacenter.workloads.inference import InferenceData, read_trace
from g2g_opt.datacenter.workloads.measurements import measured_spec
from g2g_opt.datacenter.workloads.training import TrainingTrace
from g2g_opt.grid.profile import SampledProfile, read_profile
from g2g_opt.hourly_profile import load_profile

AREA = "csv"

_CELLS = (
    "", " ", "x", "nan", "NaN", "inf", "-inf", "-1", "1e308", "1e400", "-1e400", "1e15", "1e18", "1e-320", "0x10",
    "1_0", "٣", "1,5", '"1', '"1"', '""',
    "9" * 5000, "9" * LONG, "a" * LONG, "None", "true", "1 2", "1;2", "=1+1", "\0", "1\0", "ä", "𝄞", "1e", "--1", "+1",
    ".", "1.5.2", "\t1", "#", "'1'",
    "1\n2", '"1\n2"', "\r", "0", "-0.0", "0.5", "128", "128.5", "1e30", "99999999999999999999", "-1e300",
    "2018-13-01T00:00", "2018-01-01", "2018-01-01T00:00Z", "2018-01-01T00:30", "0001-01-01T00:00", "9999-12-31T23:00",
    "2018-02-30T00:00", "T", "1/1/2018",
    "2018-01-01T25:00", "2018-W01-1T00:00", "20180101T00", "2018-01-01T00:00:00.5", "10000-01-01T00:00",
)  # fmt: skip


@lru_cache
def _spec() -> InferenceModelSpec:
    return measured_spec("llama-3.1-8b", gpu="H100")


@lru_cache
def _texts() -> dict[str, str]:
    begin = datetime(2018, 1, 1)
    hours = [f"{(begin + timedelta(hours=k)).isoformat(timespec='minutes')},0.5,0.25,0.1" for k in range(8760)]
    traces = [f"{b},{k},{500 + 10 * k}" for b in _spec().feasible_batch_sizes for k in range(4)]
    return {
        "year": "\n".join(("hour_beginning,load_share,generation_share,price_per_kwh", *hours, "")),
        "kW profile": "\n".join(("time_s,power_kw", *(f"{k},{10 * k}" for k in range(6)), "")),
        "trace": "\n".join(("batch_size,relative_time_s,power_total_W", *traces, "")),
        "training trace": "\n".join(("t_s,power_W", *(f"{k * 0.1},{600 + k}" for k in range(20)), "")),
    }


def _year(path: Path) -> object:
    return load_profile(str(path))


def _year_of_a_study(path: Path) -> object:
    return g2g("load-profile", "--bus", "671", "--profile", str(path), "--out", str(path.parent / "out"))


def _kw_profile(path: Path) -> object:
    return SampledProfile(*read_profile(path)).power_kw(2.5)


def _trace(path: Path) -> object:
    return read_trace(path, _spec(), 1.0)


def _trace_of_a_site(path: Path) -> object:
    return InferenceData.ensure(path.parents[1], [_spec()], dt_s=1.0)


def _training_trace(path: Path) -> object:
    return TrainingTrace.load(path)


_READERS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "year": ("year", _year),
    "year of a study": ("year", _year_of_a_study),
    "kW profile": ("kW profile", _kw_profile),
    "trace": ("trace", _trace),
    "trace of a site": ("trace", _trace_of_a_site),
    "training trace": ("training trace", _training_trace),
}


def make(rng: random.Random, folder: Path) -> Case:
    """A CSV that should be refused by the one that reads it."""
    reader = rng.choice(list(_READERS))
    kind, act = _READERS[reader]
    path = folder / _spec().model_label / "trace.csv" if kind == "trace" else folder / "table.csv"
    path.parent.mkdir(exist_ok=True)
    way = rng.choices([_cell, _header, _rows, _text], weights=[45, 12, 13, 26])[0]
    words, data, places = way(rng, _texts()[kind])
    path.write_bytes(data)
    if rng.random() < 0.05:
        words, places = f"the file is {spoil_place(rng, path)}", ()
    return Case(AREA, f"{reader}: {words}", lambda: act(path), (path.name,), places)


_Spoilt = tuple[str, bytes, tuple[str, ...]]
_A_PLACE = (r"\b(row|line|column|batch size|time)s?\b",)


def _cell(rng: random.Random, text: str) -> _Spoilt:
    lines = text.splitlines()
    row = rng.choice([1, 2, len(lines) - 1, rng.randrange(1, len(lines))])
    cells = lines[row].split(",")
    column = rng.randrange(len(cells))
    cells[column] = rng.choice(_CELLS)
    lines[row] = ",".join(cells)
    shown = cells[column] if len(cells[column]) < 30 else f"{cells[column][:10]}... ({len(cells[column])})"
    return f"row {row}, column {column} = {shown!r}", "\n".join([*lines, ""]).encode(), _A_PLACE


def _header(rng: random.Random, text: str) -> _Spoilt:
    first, _, rest = text.partition("\n")
    names = first.split(",")
    k = rng.randrange(len(names))
    words, header = rng.choice(
        [
            ("no header", ""),
            ("a column left out", ",".join(names[:k] + names[k + 1 :])),
            ("a column twice", ",".join([*names, names[k]])),
            ("columns in another order", ",".join(names[::-1])),
            ("upper case", first.upper()),
            ("semicolons", first.replace(",", ";")),
            ("tabs", first.replace(",", "\t")),
            ("an open quote", '"' + first),
            ("an empty name", ",".join([*names[:k], "", *names[k + 1 :]])),
            ("a name of 200,000 letters", ",".join([*names, "a" * LONG])),
            ("100,000 columns", first + "," * 100_000),
            ("blanks", ", ".join(names)),
            ("a comment", "# " + first),
            ("a NUL", first + "\0"),
            ("one number", "1"),
        ]
    )
    return f"header: {words}", f"{header}\n{rest}".encode(), ()


def _rows(rng: random.Random, text: str) -> _Spoilt:
    lines = text.splitlines()
    k = rng.randrange(1, len(lines))
    ways: list[tuple[str, list[str]]] = [
        ("no rows", lines[:1]),
        ("one row", lines[:2]),
        ("two rows", lines[:3]),
        ("a short row", [*lines[:k], lines[k].partition(",")[0], *lines[k + 1 :]]),
        ("a long row", [*lines[:k], lines[k] + ",1,2,3", *lines[k + 1 :]]),
        ("a row twice", [*lines[: k + 1], *lines[k:]]),
        ("a row left out", lines[:k] + lines[k + 1 :]),
        ("an empty row", [*lines[:k], "", *lines[k:]]),
        ("a row of commas", [*lines[:k], "," * 5, *lines[k:]]),
        ("a row of 100,000 commas", [*lines[:k], "," * 100_000, *lines[k:]]),
        ("rows in reverse", [lines[0], *lines[:0:-1]]),
        ("rows mixed", [lines[0], *rng.sample(lines[1:], len(lines) - 1)]),
        ("comments between", [line for one in lines for line in (one, "# words")]),
        ("only comments", [f"# {line}" for line in lines]),
        ("all rows alike", [lines[0], *([lines[1]] * 20)]),
        ("20 times as many rows", [lines[0], *(lines[1:] * 20)]),
    ]
    words, found = rng.choice(ways)
    return f"rows: {words}", "\n".join([*found, ""]).encode(), ()


def _text(rng: random.Random, text: str) -> _Spoilt:
    words, data = spoil_text(rng, text)
    return words, data, ()
