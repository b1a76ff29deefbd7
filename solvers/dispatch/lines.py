"""Lines of a DC power flow: what they let through, by bus angles or by transfer factors.

A line's flow times its reactance is the angle between its ends, less what a phase shifter in it adds (equation 9.2):

    reactance_l flow_l = angle_from - angle_to - shift_l

A reactance may be negative (a series capacitor), or 0 (a bus bar): then its ends have one angle, and the balance of
its zones says what it carries. Angles are in the unit of reactance times MW: rad, if reactance is in rad/MW.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from solvers.outcome import SolverError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# By how much flows may miss what is injected (MW per MW); where angles are not determined they miss it by far more.
_BALANCE = 1e-6


@dataclass(frozen=True, eq=False)
class Lines:
    """Lines between `n_zones` zones, all of them connected (equation 9.7).

    `from_zone`, `to_zone`, `reactance`, `shift` and the flows they may carry, `flow_min_mw` and `flow_max_mw`, infinite
    where there is no limit: all (line,). Raises `SolverError` for shapes that differ and limits that contradict.
    """

    n_zones: int
    from_zone: Ints
    to_zone: Ints
    reactance: Floats
    shift: Floats
    flow_min_mw: Floats
    flow_max_mw: Floats

    def __post_init__(self) -> None:
        for name in ("to_zone", "reactance", "shift", "flow_min_mw", "flow_max_mw"):
            if getattr(self, name).shape != self.from_zone.shape:
                raise SolverError(f"{name} has shape {getattr(self, name).shape}, there are {len(self)} lines")
        if not (self.flow_min_mw <= self.flow_max_mw).all():
            raise SolverError("a line's least flow is above its most")

    def __len__(self) -> int:
        return len(self.from_zone)

    @property
    def bars(self) -> NDArray[np.bool_]:
        """Which lines (line,) have no reactance."""
        return np.asarray(self.reactance == 0.0)

    @property
    def incidence(self) -> csr_array:
        """1 where a line (line, zone) begins, -1 where it ends."""
        n = np.arange(len(self))
        values = np.concatenate([np.ones(len(self)), -np.ones(len(self))])
        at = (np.concatenate([n, n]), np.concatenate([self.from_zone, self.to_zone]))
        return csr_array((values, at), shape=(len(self), self.n_zones))

    @property
    def weight(self) -> Floats:
        """Flow per angle (line,); 0 of bars, whose flow no angle gives."""
        return np.where(self.bars, 0.0, 1.0 / np.where(self.bars, 1.0, self.reactance))

    @property
    def pushed_mw(self) -> Floats:
        """Flow (line,) that phase shifters drive between ends of one angle."""
        return np.asarray(-self.weight * self.shift)

    @cached_property
    def transfer_factors(self) -> Floats:
        """Flow (line, zone) per MW injected, for injections that sum to zero, and none from phase shifters (equation
        9.10).

        Raises `SolverError` if angles are not determined: bars in a loop, or reactances that cancel out.
        """
        incidence = self.incidence.toarray()
        if not self.bars.any():
            weighted = self.weight[:, None] * incidence
            found = weighted @ np.linalg.pinv(incidence.T @ weighted)
        else:
            # Flows and angles together, the first zone's angle and balance left out: bars have flows of their own.
            n, size = len(self), float(np.median(np.abs(self.reactance[~self.bars]))) if (~self.bars).any() else 1.0
            free = incidence[:, 1:]
            system = np.block([[np.diag(self.reactance / size), -free], [free.T, np.zeros((self.n_zones - 1,) * 2)]])
            right = np.zeros((len(system), self.n_zones))
            right[n:, 1:] = np.eye(self.n_zones - 1)
            try:
                found = np.linalg.solve(system, right)[:n]
            except np.linalg.LinAlgError:
                found = np.zeros((n, self.n_zones))  # which balances nothing
        # Of an injection at one zone, less the mean of all (or its withdrawal at the first), nothing may be left over.
        left = incidence.T @ found - np.eye(self.n_zones)
        if not (np.abs(left - left.mean(axis=1, keepdims=True)) <= _BALANCE).all():
            raise SolverError(
                "the flows of some lines are not determined: lines without reactance form a loop, or reactances of "
                "either sign cancel out"
            )
        return np.asarray(found)

    @cached_property
    def loop_flow_mw(self) -> Floats:
        """Flow (line,) that phase shifters drive when nothing is injected."""
        pushed = self.pushed_mw
        return np.asarray(pushed - self.transfer_factors @ (self.incidence.T @ pushed))

    def flow_mw(self, injected_mw: Floats) -> Floats:
        """Flow (..., line) for injections (..., zone) that sum to zero."""
        return np.asarray(injected_mw @ self.transfer_factors.T + self.loop_flow_mw)
