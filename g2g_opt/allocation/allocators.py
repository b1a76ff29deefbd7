"""What an allocator is, and the one that needs no model: a proportional-integral controller of the highest voltage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class SeenClients:
    """What an allocator goes by: `available_kw` (unit,), what each unit is taken to be able to give, `load_kva`
    (client,) and `voltage_pu` (client,) as they were last heard of.
    """

    available_kw: Floats
    load_kva: NDArray[np.complex128]
    voltage_pu: Floats


class Allocator(Protocol):
    """Turns what was heard into caps."""

    def reset(self) -> None:
        """As before a run."""

    def allocate(self, seen: SeenClients) -> Floats | None:
        """Caps (kW) of all units; None if there are none that keep the band."""


class PIAllocator:
    """One cap for all units, as a share of their sizes (`pv_max_kw`), from the highest voltage heard of.

    e = highest voltage - limit (V); l <- max(l + 900 e, 0); the share is 1 - 0.05 e - 4e-5 l, within 0 and 1 (equation
    10.1).
    """

    _INTEGRAL, _PROPORTIONAL_PER_V, _INTEGRAL_SHARE = 900.0, 0.05, 4e-5

    def __init__(self, pv_max_kw: Floats, limit_pu: float = 1.05, nominal_v: float = 400.0) -> None:
        self._pv_max_kw, self._limit_pu, self._nominal_v = pv_max_kw, limit_pu, nominal_v
        self.reset()

    def reset(self) -> None:
        """As before a run."""
        self._integral = 0.0

    def allocate(self, seen: SeenClients) -> Floats:
        """Caps (kW)."""
        error_v = (float(seen.voltage_pu.max()) - self._limit_pu) * self._nominal_v
        self._integral = max(self._integral + self._INTEGRAL * error_v, 0.0)
        share = 1.0 - self._PROPORTIONAL_PER_V * error_v - self._INTEGRAL_SHARE * self._integral
        caps: Floats = float(np.clip(share, 0.0, 1.0)) * self._pv_max_kw
        return caps
