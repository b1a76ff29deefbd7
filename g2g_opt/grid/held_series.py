"""`HeldSeries`: figures that each hold for a period, such as hourly shares of a load."""

from __future__ import annotations

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
