"""Voltage metrics (3.1): examples by hand, and the list path against the array path."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from g2g_opt.errors import InputError
from g2g_opt.grid.base import BusVoltages, GridState, PhaseVoltages
from g2g_opt.grid.judged_voltages import JudgedVoltages
from g2g_opt.grid.record import GridRecord
from g2g_opt.metrics.voltage import (
    compute_allbus_voltage_stats,
    find_worst_voltage,
    violation_integral_pu_s,
    violation_pu,
    violation_time_s,
)

VOLTS = np.array([[0.94, 1.00], [0.96, 1.07]])
NAN = math.nan


def test_the_integral_of_two_steps_of_a_minute() -> None:
    # 0.01 under in the first minute, 0.02 over in the second.
    assert violation_integral_pu_s(VOLTS, dt_s=60.0, v_min_pu=0.95, v_max_pu=1.05) == pytest.approx(1.8)
    assert violation_time_s(VOLTS, dt_s=60.0, v_min_pu=0.95, v_max_pu=1.05) == 120.0
    np.testing.assert_allclose(violation_pu(VOLTS, 0.95, 1.05), [[0.01, 0.0], [0.0, 0.02]])


def test_a_step_counts_once_however_many_nodes_are_out() -> None:
    volts = np.array([[0.90, 1.10, 1.0], [1.0, 1.0, 1.0], [1.0, 1.0, 0.949]])
    assert violation_time_s(volts, 2.0, 0.95, 1.05) == 4.0
    assert violation_integral_pu_s(volts, 2.0, 0.95, 1.05) == pytest.approx(2.0 * (0.05 + 0.05 + 0.001))


def test_the_edges_of_the_band_and_missing_phases_are_inside() -> None:
    volts = np.array([[0.95, 1.05, NAN]])
    assert violation_time_s(volts, 1.0, 0.95, 1.05) == 0.0
    assert violation_integral_pu_s(volts, 1.0, 0.95, 1.05) == 0.0


@given(arrays(float, (4, 5), elements=st.floats(0.5, 1.5)), st.floats(0.1, 100.0))
def test_the_integral_is_the_double_sum(volts: np.ndarray, dt_s: float) -> None:
    total = 0.0
    for row in volts:
        for v in row:
            total += (max(0.95 - v, 0.0) + max(v - 1.05, 0.0)) * dt_s
    assert violation_integral_pu_s(volts, dt_s, 0.95, 1.05) == pytest.approx(total, abs=1e-9)


NODES = [("650", 1), ("650", 2), ("650", 3), ("Far", 1), ("Far", 3), ("n", 4)]


def record_of(rows: list[list[float]], dt_s: float = 60.0) -> GridRecord:
    """Voltages (pu) as phasors of 100 V base at turned angles."""
    nodes = [(bus.lower(), phase) for bus, phase in NODES]
    judged = JudgedVoltages.to_ground(nodes, np.full(len(NODES), 100.0))
    record = GridRecord(nodes, judged, 0, lambda *_: None)
    for step, row in enumerate(rows):
        record.append(step * dt_s, 100.0 * np.array(row) * np.exp(1j * np.arange(len(row))), np.empty(0), np.empty(0))
    return record


def states_of(rows: list[list[float]], dt_s: float = 60.0) -> list[GridState]:
    return [
        GridState(
            step * dt_s,
            BusVoltages({"650": PhaseVoltages(*row[:3]), "far": PhaseVoltages(row[3], NAN, row[4])}),
        )
        for step, row in enumerate(rows)
    ]


ROWS = [[0.94, 1.00, 1.00, 0.97, 0.99, 0.0], [0.96, 1.07, 1.00, 0.93, 0.99, 0.0], [1.0, 1.0, 1.0, 1.0, 1.0, 0.0]]


@pytest.mark.parametrize("exclude", [(), ("650",), ("FAR",), ("nowhere",)])
def test_lists_of_states_and_records_give_the_same_figures(exclude: tuple[str, ...]) -> None:
    by_list = compute_allbus_voltage_stats(states_of(ROWS), exclude_buses=exclude)
    by_array = compute_allbus_voltage_stats(record_of(ROWS), exclude_buses=exclude)
    for name in ("worst_vmin", "worst_vmax", "violation_time_s", "integral_violation_pu_s"):
        assert getattr(by_list, name) == pytest.approx(getattr(by_array, name), rel=1e-12), name


def test_statistics_of_a_run_by_hand() -> None:
    stats = compute_allbus_voltage_stats(record_of(ROWS))  # the neutral, node 4 at 0 V, is no voltage to judge
    assert stats.worst_vmin == pytest.approx(0.93)
    assert stats.worst_vmax == pytest.approx(1.07)
    assert stats.violation_time_s == 120.0
    assert stats.integral_violation_pu_s == pytest.approx(60.0 * (0.01 + 0.02 + 0.02))
    tight = compute_allbus_voltage_stats(record_of(ROWS), v_min=0.90, v_max=1.06, exclude_buses=["far"])
    assert tight.violation_time_s == 60.0
    assert tight.integral_violation_pu_s == pytest.approx(0.6)


def test_a_long_record_is_the_same_as_its_states() -> None:
    # Longer than the record's chunk of phasors, so that flushed and waiting rows both count.
    rng = np.random.default_rng(0)
    rows = rng.uniform(0.9, 1.1, (600, 6)).tolist()
    by_array, by_list = compute_allbus_voltage_stats(record_of(rows)), compute_allbus_voltage_stats(record_of(rows)[:])
    assert by_array.integral_violation_pu_s == pytest.approx(by_list.integral_violation_pu_s, rel=1e-12)
    assert by_array.violation_time_s == by_list.violation_time_s


def test_the_worst_voltage_is_named() -> None:
    worst = find_worst_voltage(record_of(ROWS), v_min=0.95, v_max=1.05)
    assert (worst.bus, worst.phase, worst.time_s) in {("far", "A", 60.0), ("650", "B", 60.0)}
    assert worst.margin_pu == pytest.approx(-0.02)
    inside = find_worst_voltage(record_of(ROWS), v_min=0.5, v_max=1.2, exclude_buses=["far"])
    assert (inside.bus, inside.phase, inside.time_s) == ("650", "B", 60.0)
    assert inside.margin_pu == pytest.approx(0.13)
    assert inside.voltage_pu == pytest.approx(1.07)


def test_no_states_and_no_voltages_are_refused() -> None:
    for nothing in ([], record_of([])):
        with pytest.raises(InputError, match="did the run have any steps"):
            compute_allbus_voltage_stats(nothing)
    for states in (states_of(ROWS), record_of(ROWS)):
        with pytest.raises(InputError, match="exclude"):
            compute_allbus_voltage_stats(states, exclude_buses=["650", "far"])


def test_a_single_step_counts_its_own_second() -> None:
    assert compute_allbus_voltage_stats(record_of([ROWS[0]])).violation_time_s == float(Fraction(1))
