"""Mixed-integer linear programs by HiGHS. The only file that calls it."""

from __future__ import annotations

import time
from dataclasses import dataclass

import highspy
import numpy as np
from numpy.typing import NDArray

from solvers.outcome import SolveReport, SolverError, SolveStatus

Floats = NDArray[np.float64]

_STATUS = {
    highspy.HighsModelStatus.kOptimal: SolveStatus.OPTIMAL,
    highspy.HighsModelStatus.kTimeLimit: SolveStatus.TIME_LIMIT,
    highspy.HighsModelStatus.kInfeasible: SolveStatus.INFEASIBLE,
    highspy.HighsModelStatus.kUnbounded: SolveStatus.UNBOUNDED,
}


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


def solve_linear_program(
    problem: LinearProgram, *, time_limit_s: float = 60.0, mip_gap: float = 1e-6, seed: int = 0, threads: int = 1
) -> tuple[Floats | None, SolveReport]:
    """The best x found (None if there is none) and the report."""
    rows, columns = problem.matrix.shape
    lp = highspy.HighsLp()
    lp.num_col_, lp.num_row_ = columns, rows
    lp.col_cost_, lp.col_lower_, lp.col_upper_ = problem.cost, problem.low, problem.high
    lp.row_lower_, lp.row_upper_ = problem.row_low, problem.row_high
    filled = problem.matrix != 0.0
    lp.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
    lp.a_matrix_.start_ = np.concatenate([[0], np.cumsum(filled.sum(axis=1))]).astype(np.int32)
    lp.a_matrix_.index_ = np.nonzero(filled)[1].astype(np.int32)
    lp.a_matrix_.value_ = problem.matrix[filled]
    kinds = (highspy.HighsVarType.kContinuous, highspy.HighsVarType.kInteger)
    lp.integrality_ = [kinds[int(whole)] for whole in problem.integer]
    engine = highspy.Highs()  # type: ignore[no-untyped-call]
    options = {
        "output_flag": False,
        "time_limit": time_limit_s,
        "mip_rel_gap": mip_gap,
        "random_seed": seed,
        "threads": threads,
    }
    for name, value in options.items():
        engine.setOptionValue(name, value)
    began_s = time.perf_counter()
    if engine.passModel(lp) == highspy.HighsStatus.kError:
        raise SolverError("HiGHS refused the model")
    engine.run()
    seconds = time.perf_counter() - began_s
    status = _STATUS.get(engine.getModelStatus(), SolveStatus.FAILED)
    info = engine.getInfo()
    solution = engine.getSolution()
    has_point = info.primal_solution_status == highspy.SolutionStatus.kSolutionStatusFeasible
    if not has_point:
        return None, SolveReport(status, float("nan"), float("nan"), float("nan"), seconds)
    objective = float(info.objective_function_value)
    bound = float(info.mip_dual_bound) if problem.integer.any() else objective
    gap = abs(objective - bound) / max(abs(objective), 1e-9)
    return np.array(solution.col_value), SolveReport(status, objective, bound, gap, seconds)
