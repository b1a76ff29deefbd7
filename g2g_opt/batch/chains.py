"""`Chains`: what a feeder under its own controls is run for over days in a row (see `operated_series`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from g2g_opt.batch.operating_points import Unit
from g2g_opt.batch.own_controls import Standing
from g2g_opt.batch.unit_series import UnitPoints

Floats = NDArray[np.float64]

SetPoints = Mapping[str, "SetPoint"]
# What is kept of monitored voltages (row, lane) and loadings (branch, lane), as rows (kept, lane).
Reduction = Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]]


@dataclass(frozen=True)
class SetPoint:
    """What a regulator holds, in OpenDSS's units: voltage and band (V of the control), R and X of line-drop
    compensation (V).
    """

    vreg_v: float
    band_v: float
    r_v: float
    x_v: float


@dataclass(frozen=True, eq=False)
class Chains:
    """Chains of days with `kw` (unit, chain, step) drawn by units and `load_share` (step,) of the feeder's own loads.

    `load_share` may be such an array for each load shape; `set_points` are those of each chain. With `begins`
    (chain, day) days do not follow each other: each begins where it says. `guesses` (chain, day) of where days that do
    follow each other may begin save time and change nothing. `reduce` makes of voltages and loadings (row, lane) those
    that are kept; a chain whose first row of them comes to more than `over_max` in all is given up. The circuit's own
    PV systems and generators follow `own_units` (step,), or do what they do as compiled.
    """

    units: Sequence[Unit]
    kw: Floats
    load_share: Floats | Mapping[str, Floats]
    set_points: Sequence[SetPoints]
    steps_a_day: int = 24
    begins: Sequence[Sequence[Standing]] | None = None
    guesses: Sequence[Sequence[Standing]] | None = None
    reduce: Reduction | None = None
    tells_unbalance: bool = False
    own_units: UnitPoints | None = None
    over_max: float | None = None

    @property
    def n(self) -> int:
        """How many."""
        return len(self.set_points)

    @property
    def n_days(self) -> int:
        """Days of each."""
        return int(self.kw.shape[2]) // self.steps_a_day

    def parts(self, n: int) -> list[Chains]:
        """The chains in their order, in so many parts of about the same number."""
        ends = [self.n * k // n for k in range(n + 1)]
        return [self._part(slice(*of_part)) for of_part in pairwise(ends)]

    def _part(self, some: slice) -> Chains:
        return replace(
            self,
            kw=self.kw[:, some],
            set_points=self.set_points[some],
            begins=None if self.begins is None else self.begins[some],
            guesses=None if self.guesses is None else self.guesses[some],
        )
