"""Mixed-integer linear programs by HiGHS. The only file that calls it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import highspy
import numpy as np
from numpy.typing import NDArray

from solvers.outcome import SolveReport, SolverError, SolveStatus

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

Floats = NDArray[np.float64]

_STATUS = {
    highspy.HighsModelStatus.kOptimal: SolveStatus.OPTIMAL,
    highspy.HighsModelStatus.kTimeLimit: SolveStatus.TIME_LIMIT,
    highspy.HighsModelStatus.kInfeasible: SolveStatus.INFEASIBLE,
    highspy.HighsModelStatus.kUnbounded: SolveStatus.UNBOUNDED,
}
# Up to which size HiGHS takes a coefficient for zero, unless told otherwise and at least; how far off it lets a row be.
_DROPPED, _DROPPED_AT_LEAST, _ROW_TOLERANCE = 1e-9, 1e-12, 1e-7
# What a row may be off for want of a coefficient that HiGHS drops in any case.
_LOST_MAX = 1e-6


@dataclass(frozen=True, eq=False)
class LinearProgram:
    """min cost' x, row_low <= matrix x <= row_high, low <= x <= high, x_j whole where `integer[j]`."""

    cost: Floats
    matrix: Floats
    row_low: Floats
    row_high: Floats
    low: Floats
    high: Floats
    integer: NDArray[np.bool_]

    def __post_init__(self) -> None:
        rows, columns = self.matrix.shape
        for name, length in (
            ("cost", columns),
            ("low", columns),
            ("high", columns),
            ("integer", columns),
            ("row_low", rows),
            ("row_high", rows),
        ):
            if getattr(self, name).shape != (length,):
                raise SolverError(f"{name} has shape {getattr(self, name).shape}, the matrix asks for ({length},)")


@dataclass(frozen=True, eq=False)
class SparseProgram:
    """A `LinearProgram` whose matrix is sparse (rows compressed)."""

    cost: Floats
    matrix: csr_matrix
    row_low: Floats
    row_high: Floats
    low: Floats
    high: Floats
    integer: NDArray[np.bool_]

    def linear(self, whole: Floats | None = None) -> SparseProgram:
        """The same with no wholeness, or with whole numbers fixed at those of `whole` (which may lack last columns)."""
        low, high, nothing = self.low.copy(), self.high.copy(), np.zeros_like(self.integer)
        if whole is not None:
            fixed = np.flatnonzero(self.integer)
            low[fixed] = high[fixed] = np.rint(whole[fixed])
        return replace(self, low=low, high=high, integer=nothing)


def solve_linear_program(
    problem: LinearProgram, *, time_limit_s: float = 60.0, mip_gap: float = 1e-6, seed: int = 0, threads: int = 1
) -> tuple[Floats | None, SolveReport]:
    """The best x found (None if there is none) and the report."""
    from scipy.sparse import csr_matrix

    sparse = SparseProgram(
        problem.cost,
        csr_matrix(problem.matrix),
        problem.row_low,
        problem.row_high,
        problem.low,
        problem.high,
        problem.integer,
    )
    return solve_sparse_program(sparse, time_limit_s=time_limit_s, mip_gap=mip_gap, seed=seed, threads=threads)


def solve_sparse_program(
    problem: SparseProgram,
    *,
    time_limit_s: float = 60.0,
    mip_gap: float = 1e-6,
    mip_gap_absolute: float | None = None,
    seed: int = 0,
    threads: int = 1,
    progress: Callable[[float, float, float], None] | None = None,
    start: Floats | None = None,
) -> tuple[Floats | None, SolveReport]:
    """The best x found (None if there is none) and the report.

    `progress(gap, objective, bound)` hears of a mixed-integer solve now and then,
    once it has a solution; `start` is a solution known before.
    """
    if not len(problem.cost):
        return _of_nothing(problem)
    engine = _engine(time_limit_s, mip_gap, seed, threads)
    if mip_gap_absolute is not None:
        engine.setOptionValue("mip_abs_gap", mip_gap_absolute)
    began_s = time.perf_counter()
    _pass(engine, problem)
    if start is not None:
        known = highspy.HighsSolution()
        known.col_value = start.tolist()
        engine.setSolution(known)
    if progress is not None and problem.integer.any():
        # It tells nothing while its output is off; without a console and a file the output goes nowhere else.
        engine.setOptionValue("log_to_console", False)
        engine.setOptionValue("output_flag", True)
        engine.cbMipLogging += lambda event: _tell(event.data_out, progress)
    engine.run()
    return _answer(engine, bool(problem.integer.any()), time.perf_counter() - began_s)


def _of_nothing(problem: SparseProgram) -> tuple[Floats | None, SolveReport]:
    """A program without variables, which HiGHS calls empty, whatever its rows."""
    if (problem.row_low > _ROW_TOLERANCE).any() or (problem.row_high < -_ROW_TOLERANCE).any():
        return None, SolveReport(SolveStatus.INFEASIBLE, float("nan"), float("nan"), float("nan"), 0.0)
    return np.zeros(0), SolveReport(SolveStatus.OPTIMAL, 0.0, 0.0, 0.0, 0.0)


class RepeatedLinearProgram:
    """The linear part of a program, solved again and again within other bounds, each time from the last basis."""

    def __init__(self, problem: SparseProgram, *, threads: int = 1, seed: int = 0) -> None:
        self._engine = _engine(np.inf, 0.0, seed, threads)
        _pass(self._engine, problem.linear())
        self._columns = np.arange(len(problem.cost), dtype=np.int32)

    def bound(self, columns: NDArray[np.int64], low: Floats, high: Floats) -> None:
        """Let these columns lie between `low` and `high` from now on."""
        self._engine.changeColsBounds(len(columns), columns.astype(np.int32), low, high)

    def bound_rows(self, rows: NDArray[np.int64], low: Floats, high: Floats) -> None:
        """Let these rows lie between `low` and `high` from now on."""
        self._engine.changeRowsBounds(  # type: ignore[attr-defined]  # its stubs lack it
            len(rows), rows.astype(np.int32), low, high
        )

    def weigh(self, cost: Floats) -> None:
        """Minimise cost' x of this cost from now on."""
        self._engine.changeColsCost(len(cost), self._columns, cost)

    def solve(self, *, cutoff: float = np.inf, time_limit_s: float = np.inf) -> RepeatedSolution | None:
        """The optimum; None if there is none below `cutoff`. `TimeoutError` when time runs out."""
        self._engine.setOptionValue("objective_bound", cutoff)
        self._engine.setOptionValue("time_limit", self._engine.getRunTime() + time_limit_s)
        self._engine.run()
        status = self._engine.getModelStatus()
        none = (highspy.HighsModelStatus.kInfeasible, highspy.HighsModelStatus.kObjectiveBound)
        if status not in (*none, highspy.HighsModelStatus.kOptimal, highspy.HighsModelStatus.kTimeLimit):
            # A basis can be a bad place to start from.
            self._engine.clearSolver()
            self._engine.run()
            status = self._engine.getModelStatus()
        if status in none:
            return None
        if status == highspy.HighsModelStatus.kTimeLimit:
            raise TimeoutError
        if status != highspy.HighsModelStatus.kOptimal:
            raise SolverError(f"a linear program ended with: {self._engine.modelStatusToString(status)}")
        found = self._engine.getSolution()
        objective = float(self._engine.getInfo().objective_function_value)
        return RepeatedSolution(objective, np.array(found.col_value), np.array(found.row_dual))


@dataclass(frozen=True, eq=False)
class RepeatedSolution:
    """Optimum of a linear program: value, x, and for every row what one unit more of its active side costs."""

    objective: float
    x: Floats
    row_dual: Floats


def solve_file(path: Path, *, time_limit_s: float = 60.0, mip_gap: float = 1e-6) -> SolveReport:
    """The report on a model in a file (.lp or .mps), e.g. one that Pyomo wrote."""
    engine = _engine(time_limit_s, mip_gap, 0, 1)
    engine.setOptionValue("small_matrix_value", _DROPPED_AT_LEAST)
    if engine.readModel(str(path)) == highspy.HighsStatus.kError:
        raise SolverError(f"HiGHS cannot read {path}")
    is_mixed = bool(engine.getLp().integrality_)
    began_s = time.perf_counter()
    engine.run()
    return _answer(engine, is_mixed, time.perf_counter() - began_s)[1]


def _pass(engine: highspy.Highs, problem: SparseProgram) -> None:
    _keep_small_coefficients(engine, problem)
    rows, columns = problem.matrix.shape
    lp = highspy.HighsLp()
    lp.num_col_, lp.num_row_ = columns, rows
    lp.col_cost_, lp.col_lower_, lp.col_upper_ = problem.cost, problem.low, problem.high
    lp.row_lower_, lp.row_upper_ = problem.row_low, problem.row_high
    lp.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
    lp.a_matrix_.start_ = problem.matrix.indptr.astype(np.int32)
    lp.a_matrix_.index_ = problem.matrix.indices.astype(np.int32)
    lp.a_matrix_.value_ = problem.matrix.data
    if problem.integer.any():
        kinds = (highspy.HighsVarType.kContinuous, highspy.HighsVarType.kInteger)
        lp.integrality_ = [kinds[int(whole)] for whole in problem.integer]
    if engine.passModel(lp) == highspy.HighsStatus.kError:
        raise SolverError("HiGHS refused the model")


def _keep_small_coefficients(engine: highspy.Highs, problem: SparseProgram) -> None:
    """Have HiGHS keep coefficients that it takes for zero otherwise, if a variable can move its row by one of them.

    It drops up to 1e-9, whatever the variable's bounds, and can be told to drop up to 1e-12 alone
    (`findings/highs_and_scip_drop_a_slope_in_watts.sh`). `SolverError` where that is too much as well.
    """
    small = (problem.matrix.data != 0.0) & (np.abs(problem.matrix.data) <= _DROPPED)
    coefficient, column = np.abs(problem.matrix.data[small]), problem.matrix.indices[small]
    move = coefficient * np.maximum(np.abs(problem.low), np.abs(problem.high))[column]
    if not (move > _ROW_TOLERANCE).any():
        return
    if engine.setOptionValue("small_matrix_value", _DROPPED_AT_LEAST) != highspy.HighsStatus.kOk:
        raise SolverError(f"HiGHS does not take small_matrix_value = {_DROPPED_AT_LEAST}")
    lost = move[(coefficient <= _DROPPED_AT_LEAST) & np.isfinite(move)]
    if (worst := float(lost.max(initial=0.0))) > _LOST_MAX:
        raise SolverError(
            f"HiGHS takes coefficients up to {_DROPPED_AT_LEAST:g} for zero; a variable moves a row by {worst:.3g} "
            "with such a one within its bounds: state it in a larger unit"
        )


def _tell(seen: highspy.cb.HighsCallbackOutput, progress: Callable[[float, float, float], None]) -> None:
    if np.isfinite(seen.mip_primal_bound):
        progress(seen.mip_gap, seen.mip_primal_bound, seen.mip_dual_bound)


def _engine(time_limit_s: float, mip_gap: float, seed: int, threads: int) -> highspy.Highs:
    # HiGHS takes NaN for both, and then knows no end.
    if np.isnan(time_limit_s) or np.isnan(mip_gap):
        raise SolverError(f"a time limit and a gap must be numbers, got {time_limit_s} s and {mip_gap}")
    engine = highspy.Highs()  # type: ignore[no-untyped-call]
    options = {
        "output_flag": False,
        # It refuses a time that is over already, and would go on without any limit.
        "time_limit": max(time_limit_s, 0.0),
        "mip_rel_gap": mip_gap,
        # Its seeds have 31 bits; ours may have more.
        "random_seed": seed % 2**31,
        "threads": threads,
    }
    for name, value in options.items():
        if engine.setOptionValue(name, value) != highspy.HighsStatus.kOk:
            raise SolverError(f"HiGHS does not take {name} = {value}")
    return engine


def _answer(engine: highspy.Highs, is_mixed: bool, seconds: float) -> tuple[Floats | None, SolveReport]:
    status = _STATUS.get(engine.getModelStatus(), SolveStatus.FAILED)
    info = engine.getInfo()
    has_point = info.primal_solution_status == highspy.SolutionStatus.kSolutionStatusFeasible
    if not has_point:
        return None, SolveReport(status, float("nan"), float("nan"), float("nan"), seconds)
    objective = float(info.objective_function_value)
    bound = float(info.mip_dual_bound) if is_mixed else objective
    gap = abs(objective - bound) / max(abs(objective), 1e-9)
    return np.array(engine.getSolution().col_value), SolveReport(status, objective, bound, gap, seconds)
