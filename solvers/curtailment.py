"""The most that units may inject while an AC power flow keeps its voltages: a sequence of linear programs.

Sets       units g at their buses, buses b
Data       E_b, Z_bg              open-circuit voltage (pu) and transfer impedance (pu per kVA) of the network seen from
                                  the units' buses: what a balanced network is, exactly, whatever is drawn there
           d_g                    demand beside each unit (kVA, consumption positive), a_g available power (kW)
           v_min, v_max           band (pu)
Variables  0 <= p_g <= a_g        power (kW) at unity power factor
max  sum_g p_g
(1) V_b = E_b - sum_g Z_bg conj((d_g - p_g) / V_bus(g))        the power flow
(2) v_min <= |V_b| <= v_max

Each program writes (2) along the tangents of |V| at the last p and solves for the next one. Along a feeder, each kW
more raises a voltage by less than the one before, so a tangent promises no less than the voltage that comes: what a
program allows, the power flow keeps, and no step gives up power. The end is a point that no neighbour betters, whose
voltages are those of (1).
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from solvers.highs import LinearProgram, solve_linear_program
from solvers.outcome import SolveReport, SolverError, SolveStatus

Floats = NDArray[np.float64]
Complexes = NDArray[np.complex128]

# Programs after which a sequence counts as failed; it takes two to five.
_PROGRAMS_MAX = 30
# Powers (kW) and voltages (pu) nearer than this are the same.
_STEP_KW, _VOLTAGE_PU = 1e-5, 1e-8
_FLOW_ITERATIONS, _FLOW_PU = 200, 1e-12


@dataclass(frozen=True, eq=False)
class CurtailmentProblem:
    """Data of the model above: `open_circuit_pu` (bus,), `impedance_pu_per_kva` (bus, unit), `bus_of_unit` (unit,)
    places in the buses, `demand_kva` and `available_kw` (unit,). Raises `SolverError` for shapes that do not fit.
    """

    open_circuit_pu: Complexes
    impedance_pu_per_kva: Complexes
    bus_of_unit: NDArray[np.int64]
    demand_kva: Complexes
    available_kw: Floats
    v_min_pu: float
    v_max_pu: float

    def __post_init__(self) -> None:
        n_buses, n_units = self.impedance_pu_per_kva.shape
        for name, length in (
            ("open_circuit_pu", n_buses),
            ("bus_of_unit", n_units),
            ("demand_kva", n_units),
            ("available_kw", n_units),
        ):
            found = getattr(self, name)
            if found.shape != (length,):
                raise SolverError(f"{name} has shape {found.shape}, the impedances ask for ({length},)")
            if not np.isfinite(found).all():
                raise SolverError(f"{name} holds a number that is not finite")


@dataclass(frozen=True, eq=False)
class CurtailmentSolution:
    """Power (kW) of every unit and the voltages (pu) that it gives; None and NaN where there is no power to give.

    The objective of `report` is the power of all units (kW); its bound is that of the last program, along tangents.
    """

    power_kw: Floats | None
    voltage_pu: Floats
    n_programs: int
    report: SolveReport


def solve_curtailment(problem: CurtailmentProblem) -> CurtailmentSolution:
    """The most power the units may give (equation 10.2); status "infeasible" if no power at all keeps the band."""
    began_s = time.perf_counter()
    p, n_programs, bound_kw = problem.available_kw.astype(float), 0, float(problem.available_kw.sum())
    voltage_pu = np.abs(_flow(problem, p))
    status = SolveStatus.OPTIMAL
    if not _keeps(problem, voltage_pu):
        # From nothing on: what one program allows is where the next one's tangents begin.
        p, before = np.zeros_like(p), np.full_like(p, np.inf)
        while np.abs(p - before).max() > _STEP_KW or not _keeps(problem, voltage_pu):
            if n_programs == _PROGRAMS_MAX:
                status = SolveStatus.FAILED
                break
            before, n_programs = p, n_programs + 1
            found, report = solve_linear_program(_tangent_program(problem, p))
            if found is None:
                status = report.status
                break
            p, bound_kw = found, -report.objective
            voltage_pu = np.abs(_flow(problem, p))
    seconds, nan = time.perf_counter() - began_s, float("nan")
    if status is not SolveStatus.OPTIMAL:
        return CurtailmentSolution(None, voltage_pu, n_programs, SolveReport(status, nan, nan, nan, seconds))
    objective = float(p.sum())
    gap = abs(bound_kw - objective) / max(objective, 1e-9)
    return CurtailmentSolution(p, voltage_pu, n_programs, SolveReport(status, objective, bound_kw, gap, seconds))


def _keeps(problem: CurtailmentProblem, voltage_pu: Floats) -> bool:
    return bool(
        voltage_pu.max() <= problem.v_max_pu + _VOLTAGE_PU and voltage_pu.min() >= problem.v_min_pu - _VOLTAGE_PU
    )


def _flow(problem: CurtailmentProblem, power_kw: Floats) -> Complexes:
    """Voltages (pu) of (1), by fixed-point iteration; `SolverError` if it does not come to rest."""
    drawn, at = problem.demand_kva - power_kw, problem.bus_of_unit
    voltage = problem.open_circuit_pu
    for _ in range(_FLOW_ITERATIONS):
        after = problem.open_circuit_pu - problem.impedance_pu_per_kva @ np.conj(drawn / voltage[at])
        step, voltage = np.abs(after - voltage).max(), after
        if step < _FLOW_PU:
            return voltage
    raise SolverError("the power flow of a curtailment problem does not converge; is its demand what the grid carries?")


def _slopes_pu_per_kw(problem: CurtailmentProblem, power_kw: Floats, voltage: Complexes) -> Floats:
    """d|V_b| / dp_g, shape (bus, unit): the derivative of (1)."""
    at, z = problem.bus_of_unit, problem.impedance_pu_per_kva
    n = len(at)
    at_units = voltage[at]
    # dV = B dp + A conj(dV at the units), with the demand's own change as voltages move in A.
    b = z / np.conj(at_units)
    a = z * np.conj((problem.demand_kva - power_kw) / at_units**2)
    real_a, imag_a = a[at].real, a[at].imag
    system = np.block([[np.eye(n) - real_a, -imag_a], [-imag_a, np.eye(n) + real_a]])
    moved = np.linalg.solve(system, np.vstack([b[at].real, b[at].imag]))
    change = b + a @ np.conj(moved[:n] + 1j * moved[n:])
    slopes: Floats = (np.conj(voltage)[:, None] * change).real / np.abs(voltage)[:, None]
    return slopes


def _tangent_program(problem: CurtailmentProblem, power_kw: Floats) -> LinearProgram:
    voltage = _flow(problem, power_kw)
    slopes = _slopes_pu_per_kw(problem, power_kw, voltage)
    here = slopes @ power_kw - np.abs(voltage)
    n = len(power_kw)
    return LinearProgram(
        cost=-np.ones(n),
        matrix=slopes,
        row_low=problem.v_min_pu + here,
        row_high=problem.v_max_pu + here,
        low=np.zeros(n),
        high=problem.available_kw.astype(float),
        integer=np.zeros(n, dtype=np.bool_),
    )
