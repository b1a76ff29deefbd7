"""`FeederPolicy`: an affine policy of batch sizes from published context, as plain data (equations 9.5, 9.6)."""

from __future__ import annotations

import json
from dataclasses import MISSING, asdict, dataclass, fields
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, get_args

from g2g_opt.errors import InputError, shown, unknown_name
from g2g_opt.quantities import BatchSize, DurationS, Figure, FigureScale, Level, LevelGain, check_quantities
from g2g_opt.reading import finite_number, list_value, parse_json, read_json, text_value

Rounding = Literal["nearest", "down"]

# What is published, and its unit; those of `SITE_FEATURES` are published per site.
FEEDER_FEATURES = {
    "own_load_share": "share of the loads in the circuit's data",
    "pv_kw": "kW",
    "other_load_kw": "kW",
    "time_of_day_sin": "1",
    "time_of_day_cos": "1",
}
SITE_FEATURES = {"site_power_kw": "kW", "site_demand_kw": "kW"}


@dataclass(frozen=True)
class PolicyFeature:
    """One published figure: its name and unit, whose it is (`site`, empty for the feeder's), and how it is scaled.

    `lag_s` is the age (s) at which it is published. The policy uses (value - `center`) / `scale`.
    """

    name: str
    unit: str
    site: str = ""
    lag_s: DurationS = 1.0
    center: Figure = 0.0
    scale: FigureScale = 1.0

    def __post_init__(self) -> None:
        check_quantities(self)
        known = {**FEEDER_FEATURES, **SITE_FEATURES}
        if self.name not in known:
            raise unknown_name("feature", self.name, known, "among what is published")
        if self.unit != known[self.name]:
            raise InputError(f"feature {self.name!r} is published in {known[self.name]!r}, not {self.unit!r}")
        if (self.name in SITE_FEATURES) != bool(self.site):
            raise InputError(f"feature {self.name!r}: site={self.site!r}; only {list(SITE_FEATURES)} are of a site")


@dataclass(frozen=True)
class PolicyOutput:
    """What one row of the policy decides: the level of `model` at `site`, by which it takes one of `batch_sizes`.

    `levels` are those of the sizes: power of a replica, 0 at the first size and 1 at the last. Both rise.
    """

    site: str
    model: str
    batch_sizes: tuple[BatchSize, ...]
    levels: tuple[Level, ...]

    def __post_init__(self) -> None:
        check_quantities(self)
        where = f"output {self.model!r} at {self.site!r}"
        if len(self.batch_sizes) < 2 or len(self.levels) != len(self.batch_sizes):
            raise InputError(f"{where} needs two batch sizes or more and a level for each")
        rising = all(a < b for pair in (self.batch_sizes, self.levels) for a, b in pairwise(pair))
        if not rising or self.levels[0] != 0.0 or self.levels[-1] != 1.0:
            raise InputError(f"{where} needs rising batch sizes, and levels that rise from 0 to 1, got {self.levels}")


@dataclass(frozen=True)
class FeederPolicy:
    """An affine policy as plain data: `offset` (level, by output) and `gain` (level per scaled feature).

    `rounding` "down" takes the largest size up to the level x instead of the nearest; `about` says how it came to be,
    `feeder` the feeder that it was made for, on which alone it then runs (empty: any).
    Raises `InputError` for shapes that do not fit, figures that are not finite, and outputs or features named
    twice.
    """

    features: tuple[PolicyFeature, ...]
    outputs: tuple[PolicyOutput, ...]
    offset: tuple[LevelGain, ...]
    gain: tuple[tuple[LevelGain, ...], ...]
    rounding: Rounding = "nearest"
    about: str = ""
    feeder: str = ""

    def __post_init__(self) -> None:
        check_quantities(self)
        n, f = len(self.outputs), len(self.features)
        if n == 0 or len(self.offset) != n or [len(row) for row in self.gain] != [f] * n:
            raise InputError(
                f"a policy of {n} outputs (at least 1) and {f} features needs {n} offsets and {n} rows of {f} "
                f"coefficients (gain), got {len(self.offset)} and {[len(row) for row in self.gain]}"
            )
        if self.rounding not in get_args(Rounding):
            raise InputError(f"rounding {self.rounding!r} is unknown; known: {list(get_args(Rounding))}")
        keys = [(feature.name, feature.site) for feature in self.features]
        if len(set(keys)) < f or len(set(self.outputs)) < n:
            raise InputError("a policy's features must differ from each other, and so must its outputs")

    def to_json(self) -> str:
        """All of it as text."""
        return json.dumps(asdict(self), indent=1)

    @staticmethod
    def load(path: str | Path) -> FeederPolicy:
        """The policy in a file of what `to_json` made; `InputError` as of `from_json`."""
        return FeederPolicy._of_plain(read_json(Path(path), "feeder policy"))

    @staticmethod
    def from_json(text: str) -> FeederPolicy:
        """The policy of a text that `to_json` made; `InputError` names what is missing or unknown in it."""
        return FeederPolicy._of_plain(parse_json(text, "a feeder policy"))

    @staticmethod
    def _of_plain(found: object) -> FeederPolicy:
        parts = _fields_of(FeederPolicy, found, "a feeder policy")
        parts["features"] = tuple(_feature(x, at) for x, at in _items(parts["features"], "features"))
        parts["outputs"] = tuple(_output(x, at) for x, at in _items(parts["outputs"], "outputs"))
        parts["offset"] = _numbers(parts["offset"], "offset")
        parts["gain"] = tuple(_numbers(row, at) for row, at in _items(parts["gain"], "gain"))
        for name in ("rounding", "about", "feeder"):
            if name in parts:
                text_value(parts[name], f"a feeder policy, {name}")
        return FeederPolicy(**parts)


def _items(value: object, key: str) -> list[tuple[Any, str]]:
    """Items of a list in the JSON of a policy, each with its key."""
    return [(item, f"{key}[{k}]") for k, item in enumerate(list_value(value, f"a feeder policy, {key}"))]


def _numbers(value: object, key: str) -> tuple[float, ...]:
    return tuple(finite_number(item, f"a feeder policy, {at}") for item, at in _items(value, key))


def _feature(found: object, key: str) -> PolicyFeature:
    where = f"a feeder policy, {key}"
    parts: dict[str, Any] = {
        name: (text_value if name in ("name", "unit", "site") else finite_number)(value, f"{where}.{name}")
        for name, value in _fields_of(PolicyFeature, found, where).items()
    }
    return PolicyFeature(**parts)


def _output(found: object, key: str) -> PolicyOutput:
    where = f"a feeder policy, {key}"
    parts = _fields_of(PolicyOutput, found, where)
    sizes = _items(parts["batch_sizes"], f"{key}.batch_sizes")
    for size, at in sizes:
        if not isinstance(size, int) or isinstance(size, bool) or size < 1:
            raise InputError(f"a feeder policy, {at}: {shown(size)} is no batch size")
    return PolicyOutput(
        text_value(parts["site"], f"{where}.site"),
        text_value(parts["model"], f"{where}.model"),
        tuple(size for size, _ in sizes),
        _numbers(parts["levels"], f"{key}.levels"),
    )


def _fields_of(kind: type[FeederPolicy | PolicyFeature | PolicyOutput], found: object, where: str) -> dict[str, Any]:
    """The entries of a JSON object that is to become a `kind`, checked by name."""
    if not isinstance(found, dict):
        raise InputError(f"{where}: a {kind.__name__} is a JSON object, got {shown(found)}")
    known = [field.name for field in fields(kind)]
    needed = {field.name for field in fields(kind) if field.default is MISSING}
    if missing := sorted(needed - set(found)):
        raise InputError(f"{where}: a {kind.__name__} in JSON lacks {missing}")
    for name in found:
        if name not in known:
            raise unknown_name("entry", name, known, f"of a {kind.__name__}")
    return dict(found)
