"""Figures that each hold for a period, such as hourly shares of a load."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from g2g_opt.errors import InputError
from g2g_opt.quantities import DurationS, Figure, check_array, check_number

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class HeldSeries:
    """`values[k]` holds from `k * period_s` (s) on; the first holds before, the last after.

    Raises `InputError` for no values, values that are not finite, or a period that is not positive.
    """

    values: tuple[float, ...]
    period_s: float

    def __post_init__(self) -> None:
        if not self.values:
            raise InputError("a series needs values")
        check_array(self.values, Figure, "HeldSeries.values")
        check_number(self.period_s, DurationS, "HeldSeries.period_s")

    @cached_property
    def _array(self) -> Floats:
        return np.array(self.values)

    def capped(self, most: float) -> HeldSeries:
        """The same series with no value above `most`."""
        return HeldSeries(tuple(min(value, most) for value in self.values), self.period_s)

    def at(self, time_s: Floats) -> Floats:
        """Values at times (s)."""
        # A time a rounding error below the next period belongs to it.
        place = np.floor(np.asarray(time_s) / self.period_s + 1e-9).astype(np.int64)
        found: Floats = self._array[np.clip(place, 0, len(self.values) - 1)]
        return found

    def at_time(self, time_s: float) -> float:
        """Value at one time (s), as `at` gives it."""
        place = math.floor(time_s / self.period_s + 1e-9)
        return self.values[min(max(place, 0), len(self.values) - 1)]


@dataclass(frozen=True)
class LoadShares:
    """Shares of their power that a circuit's own loads draw: all the same, or by the load shape that each follows.

    `of_all` is that of all loads together. `by_shape` has a series for every shape that loads follow, and one under ""
    for those that follow none; it is empty where all draw the same share.
    """

    of_all: HeldSeries
    by_shape: tuple[tuple[str, HeldSeries], ...] = ()

    @staticmethod
    def every(share: HeldSeries | LoadShares | None) -> LoadShares | None:
        """The same share for every load; what tells loads apart already is kept."""
        return LoadShares(share) if isinstance(share, HeldSeries) else share

    @property
    def least(self) -> float:
        """The least share that any load may ask for."""
        return min(min(one.values) for one in (self.of_all, *(series for _, series in self.by_shape)))

    def of(self, shapes: Sequence[str], time_s: Floats) -> Floats:
        """Shares (time, shape) at times (s)."""
        if not self.by_shape:
            return np.repeat(self.of_all.at(time_s)[:, None], len(shapes), axis=1)
        series = dict(self.by_shape)
        return np.stack([series[shape].at(time_s) for shape in shapes], axis=1)


@dataclass(frozen=True)
class UnitShares:
    """What a circuit's own PV systems and generators do: all PV systems get the share `sun` of the irradiance that
    their definition states, but for the elements ("pvsystem.a") in `by_element`, which have a share of their own: of
    their irradiance, or of a generator's power.
    """

    sun: HeldSeries
    by_element: tuple[tuple[str, HeldSeries], ...] = ()

    @staticmethod
    def every(share: HeldSeries | UnitShares | None) -> UnitShares | None:
        """The same sun for every PV system; what tells units apart already is kept."""
        return UnitShares(share) if isinstance(share, HeldSeries) else share
