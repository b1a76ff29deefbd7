"""What an AC power flow of a transmission network came to, and which limits it breaks (the study's remark on (24))."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Complexes = NDArray[np.complex128]

# By how much a limit may be missed: a solver's rounding, and what nobody's meter shows.
VOLTAGE_TOLERANCE_PU, LOADING_TOLERANCE, POWER_TOLERANCE_MW, ANGLE_TOLERANCE_DEG = 1e-4, 1e-3, 0.1, 0.01
# By how much more it must be missed to be told apart: pu, share of the rating, MW, degrees.
_FURTHER = (1e-3, 1e-2, 1.0, 0.1)


@dataclass(frozen=True, eq=False)
class AcPowerFlow:
    """One AC power flow: voltages (bus,) in pu, `loading` (branch,) as a share of the rating (NaN where there is none).

    `outside_pu` is the most by which a voltage misses its band; `excess_mw` what all generators together would have to
    give beyond their limits (or below, negative); `loss_mw` of all branches; `angle_outside_deg` the most by which the
    angle between the ends of a branch misses its limits (minus infinity without any). `phasor_pu` (bus,) and `power_mw`
    (generator,), losses included, are where a power flow that differs little may begin. Without convergence there are
    no figures but NaN.
    """

    converged: bool
    voltage_pu: Floats
    loading: Floats
    outside_pu: float
    excess_mw: float
    loss_mw: float
    phasor_pu: Complexes
    power_mw: Floats
    angle_outside_deg: float = -np.inf

    @property
    def broken(self) -> tuple[str, ...]:
        """What it breaks: "no solution", "voltage", "loading", "losses", "angle"; nothing if all limits hold."""
        if not self.converged:
            return ("no solution",)
        names = ("voltage", "loading", "losses", "angle")
        tolerances = (VOLTAGE_TOLERANCE_PU, LOADING_TOLERANCE, POWER_TOLERANCE_MW, ANGLE_TOLERANCE_DEG)
        # As a question that a NaN does not pass.
        kept = (miss <= tolerance for miss, tolerance in zip(self.misses, tolerances, strict=True))
        return tuple(name for name, is_kept in zip(names, kept, strict=True) if not is_kept)

    @property
    def loading_max(self) -> float | None:
        """The highest loading of a branch that has a rating; None if none has, or without convergence."""
        rated = self.loading[~np.isnan(self.loading)]
        return float(rated.max()) if len(rated) else None

    @property
    def misses(self) -> tuple[float, float, float, float]:
        """By how much voltages (pu), loadings (share of the rating), generators (MW) and angles (degrees) miss them."""
        loading = 0.0 if self.loading_max is None else self.loading_max
        angle = max(self.angle_outside_deg, 0.0)
        return max(self.outside_pu, 0.0), max(loading - 1.0, 0.0), abs(self.excess_mw), angle

    def breaks_more_than(self, other: AcPowerFlow) -> bool:
        """Does it break a kind of limit that `other` keeps, or one clearly further? No, if `other` has no solution."""
        if not other.converged:
            return False
        if not self.converged:
            return True
        further = (
            miss > before + margin for miss, before, margin in zip(self.misses, other.misses, _FURTHER, strict=True)
        )
        return bool(set(self.broken) - set(other.broken)) or any(further)

    @classmethod
    def without_solution(cls, n_buses: int, n_branches: int, n_generators: int) -> AcPowerFlow:
        """A power flow that did not converge."""
        bus, branch, generator = (np.full(n, np.nan) for n in (n_buses, n_branches, n_generators))
        return cls(False, bus, branch, np.nan, np.nan, np.nan, bus.astype(np.complex128), generator)
