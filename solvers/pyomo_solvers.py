"""Programs stated in Pyomo, by whichever solver is installed. The only file that asks Pyomo for one.

Solvers are those of Pyomo's newer interface (`pyomo.contrib.solver`), which reports incumbent, bound and status alike
for all of them and takes time limit, gap and threads by the same names.
"""

from __future__ import annotations

import time

import pyomo.environ as pyo
from pyomo.common.errors import ApplicationError
from pyomo.contrib.solver.common.factory import SolverFactory
from pyomo.contrib.solver.common.results import SolutionStatus, TerminationCondition

from solvers.outcome import SolveReport, SolverError, SolveStatus

# Short names for Pyomo's own; any other name of its interface is taken as it is.
_SHORT = {"highs": "highs", "scip": "scip_direct", "gurobi": "gurobi_direct", "knitro": "knitro_direct"}
_INSTALL = {"scip": "pip install pyscipopt", "gurobi": "pip install gurobipy", "knitro": "pip install knitro"}
# Not for programs with whole numbers, or a language of its own in between.
_OTHERS = frozenset({"ipopt", "gams"})

_STATUS = {
    TerminationCondition.convergenceCriteriaSatisfied: SolveStatus.OPTIMAL,
    TerminationCondition.maxTimeLimit: SolveStatus.TIME_LIMIT,
    TerminationCondition.provenInfeasible: SolveStatus.INFEASIBLE,
    # The programs here are bounded.
    TerminationCondition.infeasibleOrUnbounded: SolveStatus.INFEASIBLE,
    TerminationCondition.unbounded: SolveStatus.UNBOUNDED,
}
# Under what name each solver takes a seed, and the largest one.
_SEED = {"highs": "random_seed", "scip": "randomization/randomseedshift", "gurobi": "Seed"}
_SEED_END = 2**31 - 1


def installed_solvers() -> tuple[str, ...]:
    """Solvers of mixed-integer programs that can be asked here, by the names that `solve_model` takes."""
    own = set(_SHORT.values())
    names = [*_SHORT, *sorted(set(SolverFactory) - own - _OTHERS)]
    return tuple(name for name in names if _is_available(name))


def check_solver(name: str) -> None:
    """Raise `SolverError` with what is installed, and how to install more, if this solver cannot be asked."""
    if name in _OTHERS or _SHORT.get(name, name) not in SolverFactory:
        known = ", ".join(sorted({*_SHORT, *set(SolverFactory) - set(_SHORT.values()) - _OTHERS}))
        raise SolverError(f"Pyomo has no interface for the solver {name!r}; it has {known}")
    if not _is_available(name):
        how = _INSTALL.get(name, _INSTALL.get(name.partition("_")[0], "install it as Pyomo's documentation says"))
        raise SolverError(
            f"the solver {name!r} is not installed here ({how}); installed are {', '.join(installed_solvers())}"
        )


def _is_available(name: str) -> bool:
    return bool(SolverFactory(_SHORT.get(name, name)).available())


def solve_model(
    model: pyo.ConcreteModel,
    solver: str,
    *,
    time_limit_s: float = 60.0,
    mip_gap: float = 1e-6,
    threads: int = 1,
    seed: int = 0,
) -> SolveReport:
    """Minimise a model; its variables hold the best point found, if the report has an objective.

    Raises `SolverError` if the solver is not installed or ended in an error.
    """
    check_solver(solver)
    family = solver.partition("_")[0]
    began_s = time.perf_counter()
    asked = SolverFactory(_SHORT.get(solver, solver))
    config = {
        "time_limit": max(time_limit_s, 1e-3),
        "rel_gap": mip_gap,
        "load_solutions": False,
        "raise_exception_on_nonoptimal_result": False,
    }
    # SCIP solves with one thread, and its interface refuses to be told.
    if family != "scip":
        config["threads"] = threads
    options = {_SEED[family]: seed % _SEED_END} if family in _SEED else {}
    try:
        found = asked.solve(model, solver_options=options, **config)
    except (ApplicationError, RuntimeError, ValueError) as error:
        raise SolverError(f"{solver} did not solve the model: {error}") from error
    status = _STATUS.get(found.termination_condition, SolveStatus.FAILED)
    seconds = time.perf_counter() - began_s
    if found.solution_status not in (SolutionStatus.feasible, SolutionStatus.optimal):
        return SolveReport(status, float("nan"), float("nan"), float("nan"), seconds)
    found.solution_loader.load_vars()
    objective, bound = float(found.incumbent_objective), found.objective_bound
    bound = objective if bound is None else float(bound)
    return SolveReport(status, objective, bound, abs(objective - bound) / max(abs(objective), 1e-9), seconds)
