"""The most that units may inject: against a search over all powers, and what it promises of voltages."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import NonlinearConstraint, minimize, root

from solvers.curtailment import CurtailmentProblem, solve_curtailment
from solvers.outcome import SolverError, SolveStatus

# Two units on a line from a source at 1 pu: 0.4 kV, 0.05 + 0.02j ohm a section.
SECTION = (0.05 + 0.02j) / 0.16 / 1e3
LINE = CurtailmentProblem(
    open_circuit_pu=np.array([1.0 + 0j, 1.0 + 0j, 1.0 + 0j]),
    impedance_pu_per_kva=SECTION * np.array([[0.0, 0.0], [1.0, 1.0], [1.0, 2.0]]),
    bus_of_unit=np.array([1, 2]),
    demand_kva=np.array([2.0 + 1.0j, 3.0 + 1.0j]),
    available_kw=np.array([100.0, 100.0]),
    v_min_pu=0.95,
    v_max_pu=1.05,
)


def voltages_pu(problem: CurtailmentProblem, power_kw: np.ndarray) -> np.ndarray:
    """By Newton's method on real numbers: another way than the solver's."""
    n = len(problem.open_circuit_pu)

    def wrong(x: np.ndarray) -> np.ndarray:
        v = x[:n] + 1j * x[n:]
        current = np.conj((problem.demand_kva - power_kw) / v[problem.bus_of_unit])
        found = problem.open_circuit_pu - problem.impedance_pu_per_kva @ current - v
        return np.concatenate([found.real, found.imag])

    start = np.concatenate([problem.open_circuit_pu.real, problem.open_circuit_pu.imag])
    x = root(wrong, start, tol=1e-13).x
    return np.abs(x[:n] + 1j * x[n:])


def test_no_power_on_a_fine_net_is_worth_more() -> None:
    solution = solve_curtailment(LINE)
    assert solution.power_kw is not None
    assert solution.report.status is SolveStatus.OPTIMAL
    found = voltages_pu(LINE, solution.power_kw)
    np.testing.assert_allclose(found, solution.voltage_pu, atol=1e-9)
    assert found.max() == pytest.approx(1.05, abs=1e-7)
    tried = [np.array([a, b]) for a in np.linspace(0.0, 100.0, 41) for b in np.linspace(0.0, 100.0, 41)]
    best = max(p.sum() for p in tried if voltages_pu(LINE, p).max() <= 1.05)
    assert best <= solution.report.objective + 1e-6
    assert solution.report.objective <= best + 2.5


def test_a_general_solver_from_many_starts_finds_nothing_better() -> None:
    rng = np.random.default_rng(5)
    # Three branches of two sections with unlike impedances, five units.
    impedance = np.zeros((5, 5), dtype=complex)
    for group in ((0, 1), (2, 3), (4,)):
        for i in group:
            for j in group:
                impedance[i, j] = SECTION * (1.0 + min(i, j) - group[0]) * (0.7 + 0.1 * group[0])
    impedance += 0.3 * SECTION
    problem = CurtailmentProblem(
        np.full(5, 1.01 + 0j),
        impedance,
        np.arange(5),
        rng.uniform(0.0, 4.0, 5) + 0.5j,
        rng.uniform(20.0, 90.0, 5),
        0.95,
        1.05,
    )
    solution = solve_curtailment(problem)
    limit = NonlinearConstraint(lambda p: voltages_pu(problem, p), 0.95, 1.05)
    bounds = [(0.0, a) for a in problem.available_kw]
    for _ in range(5):
        start = rng.uniform(0.0, problem.available_kw) * 0.3
        other = minimize(lambda p: -p.sum(), start, bounds=bounds, constraints=[limit], method="SLSQP")
        assert -other.fun <= solution.report.objective + 1e-3
    assert solution.report.gap < 1e-6


def test_what_is_available_is_given_where_it_fits_and_nothing_where_nothing_does() -> None:
    enough = solve_curtailment(replace(LINE, available_kw=np.array([5.0, 5.0])))
    assert enough.n_programs == 0
    np.testing.assert_array_equal(enough.power_kw, [5.0, 5.0])
    for share in (1.06, 0.94):
        high = replace(LINE, open_circuit_pu=LINE.open_circuit_pu * share, demand_kva=np.zeros(2, complex))
        none = solve_curtailment(high)
        assert none.power_kw is None
        assert none.report.status is SolveStatus.INFEASIBLE


def test_a_problem_that_does_not_fit_together_is_refused() -> None:
    with pytest.raises(SolverError, match="available_kw has shape"):
        replace(LINE, available_kw=np.zeros(3))
    with pytest.raises(SolverError, match="not finite"):
        replace(LINE, available_kw=np.array([np.nan, 1.0]))
