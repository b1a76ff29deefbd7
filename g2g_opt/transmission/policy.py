"""A contextual policy as data: what it reads, how old that is, and by how much it moves which datacenter (equation
9.5).

Another program needs one call: `ContextualPolicy.load("policy.json").shift_mw({"load.West@1h": 1730.0, ...})`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from g2g_opt.errors import InputError, shown
from g2g_opt.quantities import Figure, LagH, ShiftMw, ShiftMwPerUnit, check_number, check_quantities
from g2g_opt.reading import JSON_BYTES_MAX, finite_number, list_value, parse_json, read_text, text_value

Floats = NDArray[np.float64]

_FORMAT = "g2g_opt contextual policy 1"


class Published(NamedTuple):
    """A published figure, e.g. `load.West`, `lag_h` hours before the hour in which a policy acts."""

    name: str
    lag_h: int

    @property
    def key(self) -> str:
        """How the figure is asked for: name and age."""
        return f"{self.name}@{self.lag_h}h"


@dataclass(frozen=True)
class CoordinationFeature:
    """A sum of published figures times weights, in `unit`.

    With `above` it is what the sum is more than that, 0 below: so a policy can bend. Raises `InputError` if it reads
    nothing, or a weight or the bend is no number.
    """

    name: str
    unit: str
    terms: tuple[tuple[Published, Figure], ...]
    above: Figure | None = None

    def __post_init__(self) -> None:
        check_quantities(self)
        if not self.terms:
            raise InputError(f"the feature {self.name!r} reads no figure")
        for figure, _ in self.terms:
            check_number(figure.lag_h, LagH, f"the feature {self.name!r}: lag_h of {figure.name}")

    @staticmethod
    def of(name: str, unit: str, lag_h: int) -> CoordinationFeature:
        """One figure as it is."""
        figure = Published(name, lag_h)
        return CoordinationFeature(figure.key, unit, ((figure, 1.0),))

    def values(self, published: Mapping[str, Floats]) -> Floats:
        """The feature (hour,) of figures by key, each (hour,)."""
        total = np.asarray(sum(weight * np.asarray(published[figure.key]) for figure, weight in self.terms))
        if self.above is None:
            return total
        # Minus infinity is no number either, though it is below every bend.
        return np.where(np.isfinite(total), np.maximum(total - self.above, 0.0), np.nan)


@dataclass(frozen=True, eq=False)
class ContextualPolicy:
    """phi(x) = B (1, x): MW by which every datacenter moves; `matrix` (datacenter, 1 + feature), columns sum to 0.

    `trained` says with what: text and figures for people. Raises `InputError` if shapes do not fit or a column makes or
    loses work.
    """

    datacenters: tuple[str, ...]
    features: tuple[CoordinationFeature, ...]
    matrix: Floats
    trained: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if twice := sorted({name for name in self.datacenters if self.datacenters.count(name) > 1}):
            raise InputError(f"the policy names datacenters more than once: {twice}")
        asked = (len(self.datacenters), 1 + len(self.features))
        if self.matrix.shape != asked:
            raise InputError(f"the policy's matrix has shape {self.matrix.shape}, its names ask for {asked}")
        columns = ["intercept", *(feature.name for feature in self.features)]
        for center, row in zip(self.datacenters, self.matrix.tolist(), strict=True):
            for name, entry in zip(columns, row, strict=True):
                quantity = ShiftMw if name == "intercept" else ShiftMwPerUnit
                check_number(entry, quantity, f"the policy's matrix: {name} of datacenter {center!r}")
        lost = np.abs(self.matrix.sum(axis=0)) > 1e-6 * (1.0 + np.abs(self.matrix).sum(axis=0))
        if lost.any():
            raise InputError(
                "the policy makes or loses work: over datacenters, intercept_mw and columns of mw_per_unit must sum "
                f"to 0, and these do not: {[columns[k] for k in np.flatnonzero(lost)]}"
            )

    @property
    def figures(self) -> tuple[Published, ...]:
        """Published figures it needs, each once."""
        return tuple(dict.fromkeys(figure for feature in self.features for figure, _ in feature.terms))

    def shift_mw(self, published: Mapping[str, float]) -> Floats:
        """MW by which every datacenter moves (datacenter,); `InputError` names figures that are missing."""
        one_hour = {key: np.array([float(value)]) for key, value in published.items()}
        return np.asarray(self.shifts_mw(one_hour)[0])

    def shifts_mw(self, published: Mapping[str, Floats]) -> Floats:
        """The same for many hours (hour,) of every figure at once: (hour, datacenter)."""
        if missing := [figure.key for figure in self.figures if figure.key not in published]:
            raise InputError(f"the policy needs figures that are not published: {missing}")
        columns = [feature.values(published) for feature in self.features]
        bad = [f.name for f, column in zip(self.features, columns, strict=True) if not np.isfinite(column).all()]
        if bad:
            raise InputError(f"figures the policy needs are no numbers: {bad}")
        n = len(columns[0]) if columns else 1
        return np.asarray(np.column_stack([np.ones(n), *columns]) @ self.matrix.T)

    def to_json(self) -> str:
        """The policy as text that `from_json` reads, also in other programs: no code is stored."""
        return json.dumps(
            {
                "format": _FORMAT,
                "datacenters": list(self.datacenters),
                "features": [_feature_data(feature) for feature in self.features],
                "intercept_mw": self.matrix[:, 0].tolist(),
                "mw_per_unit": self.matrix[:, 1:].tolist(),
                "trained": dict(self.trained),
            },
            indent=1,
        )

    @staticmethod
    def from_json(text: str, where: str = "the policy") -> ContextualPolicy:
        """The policy in a text; `InputError` that begins with `where` says what is wrong with it, by key."""
        data = parse_json(text, where)
        if not isinstance(data, dict) or data.get("format") != _FORMAT:
            raise InputError(f"{where} is no policy of this program; its format should be {_FORMAT!r}")
        entries = list_value(_entry(data, "features", where), f"{where}, features")
        features = tuple(_feature(one, f"{where}, features[{k}]") for k, one in enumerate(entries))
        names = list_value(_entry(data, "datacenters", where), f"{where}, datacenters")
        centers = tuple(text_value(name, f"{where}, datacenters[{k}]") for k, name in enumerate(names))
        slopes = _numbers(_entry(data, "mw_per_unit", where), (len(centers), len(features)), f"{where}, mw_per_unit")
        intercept = _numbers(_entry(data, "intercept_mw", where), (len(centers),), f"{where}, intercept_mw")
        trained = data.get("trained", {})
        if not isinstance(trained, dict):
            raise InputError(f"{where}, trained: {shown(trained)} is no table of names and values")
        try:
            return ContextualPolicy(centers, features, np.column_stack([intercept, slopes]), trained)
        except InputError as error:
            raise InputError(f"{where}: {error}") from error

    def save(self, path: Path) -> None:
        """Write the policy file."""
        path.write_text(self.to_json() + "\n", encoding="utf-8")

    @staticmethod
    def load(path: Path | str) -> ContextualPolicy:
        """Read a policy file; `InputError` if it is missing or no policy."""
        return ContextualPolicy.from_json(read_text(Path(path), "policy", JSON_BYTES_MAX), f"policy {path}")


def _feature_data(feature: CoordinationFeature) -> dict[str, Any]:
    data: dict[str, Any] = {
        "name": feature.name,
        "unit": feature.unit,
        "terms": [{"figure": figure.name, "lag_h": figure.lag_h, "times": times} for figure, times in feature.terms],
    }
    return data if feature.above is None else data | {"above": feature.above}


def _entry(data: object, key: str, where: str) -> Any:
    if not isinstance(data, dict):
        raise InputError(f"{where}: {shown(data)} is no table of names and values")
    if key not in data:
        raise InputError(f"{where} lacks {key!r}")
    return data[key]


def _numbers(data: object, shape: tuple[int, ...], where: str) -> Floats:
    """Nested lists of this shape as an array."""
    items = list_value(data, where)
    if len(items) != shape[0]:
        raise InputError(f"{where} needs {shape[0]} entries by the policy's names, got {len(items)}")
    if len(shape) == 1:
        return np.array([finite_number(item, f"{where}[{k}]") for k, item in enumerate(items)], dtype=np.float64)
    rows = [_numbers(item, shape[1:], f"{where}[{k}]") for k, item in enumerate(items)]
    return np.array(rows, dtype=np.float64).reshape(shape)


def _feature(data: object, where: str) -> CoordinationFeature:
    terms = []
    for k, term in enumerate(list_value(_entry(data, "terms", where), f"{where}.terms")):
        at = f"{where}.terms[{k}]"
        lag_h = _entry(term, "lag_h", at)
        if not isinstance(lag_h, int) or isinstance(lag_h, bool):
            raise InputError(f"{at}: lag_h counts whole hours, got {shown(lag_h)}")
        figure = Published(text_value(_entry(term, "figure", at), f"{at}.figure"), lag_h)
        terms.append((figure, finite_number(_entry(term, "times", at), f"{at}.times")))
    name = text_value(_entry(data, "name", where), f"{where}.name")
    unit = text_value(_entry(data, "unit", where), f"{where}.unit")
    above = data.get("above") if isinstance(data, dict) else None
    return CoordinationFeature(
        name, unit, tuple(terms), None if above is None else finite_number(above, f"{where}.above")
    )
