"""Voltage metrics (equations 3.1, 3.2): pure functions of arrays, and of a run's grid states."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from g2g_opt.circuit.parts import phase_letter
from g2g_opt.errors import InputError
from g2g_opt.grid.base import GridState
from g2g_opt.grid.record import GridRecord

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class VoltageStats:
    """Lowest and highest monitored voltage (pu), time with any violation (s), integral violation (pu s)."""

    worst_vmin: float
    worst_vmax: float
    violation_time_s: float
    integral_violation_pu_s: float


@dataclass(frozen=True)
class WorstVoltage:
    """The bus-phase and time (s) furthest outside (margin < 0) or nearest to the band; margin in pu.

    `phase` is "A", or "AB" for a voltage from phase to phase.
    """

    bus: str
    phase: str
    time_s: float
    voltage_pu: float
    margin_pu: float


def no_voltage() -> InputError:
    """The error where no bus-phase is left whose voltage could be looked at."""
    return InputError("there is no voltage to look at: no source serves a bus, or exclude_buses leaves none")


def violation_pu(voltage_pu: Floats, v_min_pu: float, v_max_pu: float) -> Floats:
    """How far each voltage lies outside the band (pu, 0 inside); NaN counts as inside."""
    return np.nan_to_num(np.maximum(np.maximum(v_min_pu - voltage_pu, voltage_pu - v_max_pu), 0.0), nan=0.0)


def _violation_sums(voltage_pu: Floats, v_min_pu: float, v_max_pu: float) -> tuple[int, float]:
    """Steps with any violation, and the sum of all violations (pu), of voltages of shape (step, bus-phase)."""
    outside_pu = violation_pu(voltage_pu, v_min_pu, v_max_pu)
    return int(np.any(outside_pu > 0.0, axis=1).sum()), float(outside_pu.sum())


def violation_integral_pu_s(voltage_pu: Floats, dt_s: float, v_min_pu: float, v_max_pu: float) -> float:
    """Integral violation (equation 3.1) in pu s of voltages of shape (step, bus-phase)."""
    return _violation_sums(voltage_pu, v_min_pu, v_max_pu)[1] * dt_s


def violation_time_s(voltage_pu: Floats, dt_s: float, v_min_pu: float, v_max_pu: float) -> float:
    """Time (s) in which any bus-phase is outside the band, for voltages of shape (step, bus-phase)."""
    return _violation_sums(voltage_pu, v_min_pu, v_max_pu)[0] * dt_s


def compute_allbus_voltage_stats(
    grid_states: Sequence[GridState],
    *,
    v_min: float = 0.95,
    v_max: float = 1.05,
    exclude_buses: Sequence[str] = (),
    dt_s: float | None = None,
) -> VoltageStats:
    """Voltage metrics of a run over all bus-phases but those of `exclude_buses` (any case).

    Steps must be evenly spaced; they last `dt_s` (s), or if that is left out as long as the first two are apart (1 s
    for a single one). Raises `InputError` if there are no states.
    """
    lowest, highest, violating_steps, outside_pu = np.inf, -np.inf, 0, 0.0
    for _, voltage_pu in _monitored(grid_states, exclude_buses):
        lowest = min(lowest, float(np.nanmin(voltage_pu)))
        highest = max(highest, float(np.nanmax(voltage_pu)))
        steps, sum_pu = _violation_sums(voltage_pu, v_min, v_max)
        violating_steps += steps
        outside_pu += sum_pu
    if dt_s is None:
        dt_s = float(grid_states[1].time_s - grid_states[0].time_s) if len(grid_states) > 1 else 1.0
    return VoltageStats(lowest, highest, violating_steps * dt_s, outside_pu * dt_s)


def find_worst_voltage(
    record: GridRecord, *, v_min: float, v_max: float, exclude_buses: Sequence[str] = ()
) -> WorstVoltage:
    """The monitored voltage with the smallest margin to the band, over a whole run."""
    columns = record.columns(exclude_buses)
    worst: WorstVoltage | None = None
    for time_s, voltage_pu in _monitored(record, exclude_buses):
        margin_pu = np.minimum(voltage_pu - v_min, v_max - voltage_pu)
        step, column = np.unravel_index(int(np.argmin(margin_pu)), margin_pu.shape)
        if worst is None or margin_pu[step, column] < worst.margin_pu:
            bus, phase = record.nodes[columns[column]]
            figures = (time_s[step], voltage_pu[step, column], margin_pu[step, column])
            worst = WorstVoltage(bus, phase_letter(phase), *(float(x) for x in figures))
    assert worst is not None  # _monitored refuses a record without voltages
    return worst


# Steps looked at in one go, so that a long run needs no second copy of its voltages.
_CHUNK_STEPS = 2048


def _monitored(grid_states: Sequence[GridState], exclude_buses: Sequence[str]) -> Iterator[tuple[Floats, Floats]]:
    """Times (step,) and voltages (step, bus-phase) of the monitored bus-phases, stretch by stretch."""
    if len(grid_states) == 0:
        raise InputError("voltage metrics need at least one grid state; did the run have any steps?")
    excluded = {bus.lower() for bus in exclude_buses}
    for begin in range(0, len(grid_states), _CHUNK_STEPS):
        rows = slice(begin, begin + _CHUNK_STEPS)
        if isinstance(grid_states, GridRecord):
            time_s = grid_states.time_s[rows]
            voltage_pu = grid_states.voltage_pu[rows, grid_states.columns(exclude_buses)]
        else:
            states = grid_states[rows]
            time_s = np.array([state.time_s for state in states])
            voltage_pu = np.array(
                [
                    [v for bus, phases in state.voltages.items() if bus.lower() not in excluded for v in phases]
                    for state in states
                ],
                dtype=float,
            )
        if voltage_pu.shape[1] == 0:
            raise no_voltage()
        yield time_s, voltage_pu
