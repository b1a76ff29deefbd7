"""Voltage metrics (formulations 3, 3.1): pure functions of arrays, and of a run's grid states."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

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
    """The bus-phase and time (s) furthest outside (margin < 0) or nearest to the band; margin in pu."""

    bus: str
    phase: str
    time_s: float
    voltage_pu: float
    margin_pu: float


def violation_pu(voltage_pu: Floats, v_min_pu: float, v_max_pu: float) -> Floats:
    """How far each voltage lies outside the band (pu, 0 inside); NaN counts as inside."""
    return np.nan_to_num(np.maximum(np.maximum(v_min_pu - voltage_pu, voltage_pu - v_max_pu), 0.0), nan=0.0)


def violation_integral_pu_s(voltage_pu: Floats, dt_s: float, v_min_pu: float, v_max_pu: float) -> float:
    """Integral violation (3.1) in pu s of voltages of shape (step, bus-phase)."""
    return float(violation_pu(voltage_pu, v_min_pu, v_max_pu).sum() * dt_s)


def violation_time_s(voltage_pu: Floats, dt_s: float, v_min_pu: float, v_max_pu: float) -> float:
    """Time (s) in which any bus-phase is outside the band, for voltages of shape (step, bus-phase)."""
    return float(np.any(violation_pu(voltage_pu, v_min_pu, v_max_pu) > 0.0, axis=1).sum() * dt_s)


def compute_allbus_voltage_stats(
    grid_states: Sequence[GridState],
    *,
    v_min: float = 0.95,
    v_max: float = 1.05,
    exclude_buses: Sequence[str] = (),
) -> VoltageStats:
    """Voltage metrics of a run over all bus-phases but those of `exclude_buses` (any case).

    Steps must be evenly spaced. Raises `InputError` if there are no states.
    """
    time_s, voltage_pu = _monitored(grid_states, exclude_buses)
    dt_s = float(time_s[1] - time_s[0]) if len(time_s) > 1 else 1.0
    return VoltageStats(
        worst_vmin=float(np.nanmin(voltage_pu)),
        worst_vmax=float(np.nanmax(voltage_pu)),
        violation_time_s=violation_time_s(voltage_pu, dt_s, v_min, v_max),
        integral_violation_pu_s=violation_integral_pu_s(voltage_pu, dt_s, v_min, v_max),
    )


def find_worst_voltage(
    record: GridRecord, *, v_min: float, v_max: float, exclude_buses: Sequence[str] = ()
) -> WorstVoltage:
    """The monitored voltage with the smallest margin to the band, over a whole run."""
    columns = record.columns(exclude_buses)
    _, voltage_pu = _monitored(record, exclude_buses)
    margin_pu = np.minimum(voltage_pu - v_min, v_max - voltage_pu)
    step, column = np.unravel_index(int(np.argmin(margin_pu)), margin_pu.shape)
    bus, phase = record.nodes[columns[column]]
    return WorstVoltage(
        bus,
        "ABC"[phase - 1],
        float(record.time_s[step]),
        float(voltage_pu[step, column]),
        float(margin_pu[step, column]),
    )


def _monitored(grid_states: Sequence[GridState], exclude_buses: Sequence[str]) -> tuple[Floats, Floats]:
    """Times (step,) and voltages (step, bus-phase) of the monitored bus-phases."""
    if len(grid_states) == 0:
        raise InputError("voltage metrics need at least one grid state; did the run have any steps?")
    if isinstance(grid_states, GridRecord):
        time_s, voltage_pu = grid_states.time_s, grid_states.voltage_pu[:, grid_states.columns(exclude_buses)]
    else:
        excluded = {bus.lower() for bus in exclude_buses}
        time_s = np.array([state.time_s for state in grid_states])
        voltage_pu = np.array(
            [
                [v for bus, phases in state.voltages.items() if bus.lower() not in excluded for v in phases]
                for state in grid_states
            ],
            dtype=float,
        )
    if voltage_pu.shape[1] == 0:
        raise InputError("exclude_buses leaves no voltage to look at; name fewer buses")
    return time_s, voltage_pu
