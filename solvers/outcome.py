"""What every solver hands back besides its solution: the same four facts."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class SolverError(Exception):
    """A problem that cannot be posed or a solver that failed for a reason other than the problem itself."""


class NoPlanError(SolverError):
    """Counts, budgets and what is excluded leave nothing to choose from."""


class SolveStatus(Enum):
    """How a solve ended."""

    OPTIMAL = "optimal"
    GAP_LEFT = "gap wider than asked"
    TIME_LIMIT = "time limit"
    INFEASIBLE = "infeasible"
    UNBOUNDED = "unbounded"
    FAILED = "failed"


@dataclass(frozen=True)
class SolveReport:
    """Status, objective and bound in the problem's units, relative gap, wall seconds; NaN where there is none."""

    status: SolveStatus
    objective: float
    bound: float
    gap: float
    seconds: float
