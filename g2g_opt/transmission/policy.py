"""A contextual policy as data: what it reads, how old that is, and by how much it moves which datacenter (9.5).

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

from g2g_opt.errors import InputError
from g2g_opt.quantities import Figure, LagH, ShiftMw, ShiftMwPerUnit, check_number, check_quantities

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
class PolicyFeature:
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
    def of(name: str, unit: str, lag_h: int) -> PolicyFeature:
        """One figure as it is."""
        figure = Published(name, lag_h)
        return PolicyFeature(figure.key, unit, ((figure, 1.0),))

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
    features: tuple[PolicyFeature, ...]
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
            raise InputError(f"the policy makes or loses work: columns {[columns[k] for k in np.flatnonzero(lost)]}")

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
    def from_json(text: str) -> ContextualPolicy:
        """The policy in a text; `InputError` says what is wrong with it."""
        try:
            data = json.loads(text)
        except ValueError as error:
            raise InputError(f"the policy is no JSON: {error}") from error
        if not isinstance(data, dict) or data.get("format") != _FORMAT:
            raise InputError(f"the text is no policy of this program; its format should be {_FORMAT!r}")
        try:
            features = tuple(_feature(one) for one in data["features"])
            centers = tuple(str(name) for name in data["datacenters"])
            slopes = np.array(data["mw_per_unit"], dtype=np.float64)
            if slopes.shape != (len(centers), len(features)):
                raise ValueError(f"mw_per_unit has shape {slopes.shape}, not {(len(centers), len(features))}")
            matrix = np.column_stack([np.array(data["intercept_mw"], dtype=np.float64), slopes])
            trained = data.get("trained", {})
            if not isinstance(trained, dict):
                raise TypeError("trained is no table of names and values")
        except InputError:
            raise
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"the policy cannot be read: {error!r}") from error
        return ContextualPolicy(centers, features, matrix, trained)

    def save(self, path: Path) -> None:
        """Write the policy file."""
        path.write_text(self.to_json() + "\n", encoding="utf-8")

    @staticmethod
    def load(path: Path | str) -> ContextualPolicy:
        """Read a policy file; `InputError` if it is missing or no policy."""
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"policy file {path} cannot be read: {error}") from error
        return ContextualPolicy.from_json(text)


def _feature_data(feature: PolicyFeature) -> dict[str, Any]:
    data: dict[str, Any] = {
        "name": feature.name,
        "unit": feature.unit,
        "terms": [{"figure": figure.name, "lag_h": figure.lag_h, "times": times} for figure, times in feature.terms],
    }
    return data if feature.above is None else data | {"above": feature.above}


def _feature(data: Mapping[str, Any]) -> PolicyFeature:
    if parts := [t["lag_h"] for t in data["terms"] if not isinstance(t["lag_h"], int)]:
        raise ValueError(f"lag_h counts whole hours, got {parts}")
    terms = tuple((Published(str(t["figure"]), t["lag_h"]), float(t["times"])) for t in data["terms"])
    above = data.get("above")
    return PolicyFeature(str(data["name"]), str(data["unit"]), terms, None if above is None else float(above))
