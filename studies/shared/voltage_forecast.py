"""What voltages a size will have, from those that sizes near it had: which taps are worth trying first."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# Two sizes say how voltages fall from one to the next if they lie as far apart as this share of the way to the size
# that is asked for, and of themselves: closer, what taps did not do straight would count for more.
_APART, _APART_LEAST = 0.5, 0.02


@dataclass(frozen=True, eq=False)
class _Seen:
    size: float
    ratio_pu: Floats
    lowest_pu: Floats
    highest_pu: Floats


class VoltageForecast:
    """Extreme voltages of runs that are over, by size and taps, and those of a run to come.

    Voltages fall nearly straight with a size, and move nearly straight with taps: the two sizes nearest to one say
    enough to choose taps by. What is chosen is simulated, whatever was forecast.
    """

    def __init__(self) -> None:
        # The latest first: of one size the taps tried last are the best.
        self._seen: list[_Seen] = []

    def note(self, size: float, ratio_pu: Floats, lowest_pu: Floats, highest_pu: Floats) -> None:
        """Extremes (voltage,) that a size had at ratios (regulator,) of its regulators, all in pu."""
        self._seen.insert(0, _Seen(size, ratio_pu, lowest_pu, highest_pu))

    def at(self, size: float, ratio_pu: Floats, slope_pu_per_pu: Floats) -> tuple[Floats, Floats] | None:
        """Lowest and highest voltages (pu) of a size at some ratios; None where nothing was seen.

        `slope_pu_per_pu` (voltage, regulator) is by how much a voltage moves with a ratio.
        """
        by_distance = sorted(self._seen, key=lambda seen: abs(seen.size - size))
        if not by_distance:
            return None
        near = by_distance[0]
        apart = max(_APART * abs(size - near.size), _APART_LEAST * near.size)
        far = next((seen for seen in by_distance if abs(seen.size - near.size) > apart), None)
        extremes = [self._moved(seen, ratio_pu, slope_pu_per_pu) for seen in (near, far or near)]
        share = 0.0 if far is None else (size - near.size) / (far.size - near.size)
        lowest, highest = ((1.0 - share) * a + share * b for a, b in zip(*extremes, strict=True))
        return lowest, highest

    @staticmethod
    def _moved(seen: _Seen, ratio_pu: Floats, slope_pu_per_pu: Floats) -> tuple[Floats, Floats]:
        by = slope_pu_per_pu @ (ratio_pu - seen.ratio_pu)
        return seen.lowest_pu + by, seen.highest_pu + by
