"""What a batch keeps of a run, against the same figures worked out from every step of it: with numpy from the batch's
own trace, and with `metrics` from the single run's record.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from fractions import Fraction
from functools import cache
from itertools import chain, product
from typing import Any

import numpy as np
import pytest
from batch_parts import FLAT, LABELS, SILENT, SPECS, droop, loop, ofo, site
from engine_pair import SingleRun, assert_same_power_quality, compare, differences, run_single
from random_runs import TOLERANCE, random_tasks

from g2g_opt.batch.simulator import Trace, run_batch
from g2g_opt.coordinator import Coordinator
from g2g_opt.datacenter.config import ReplicaSchedule
from g2g_opt.edges import Edges
from g2g_opt.errors import InputError
from g2g_opt.failure import Failure, FailureKind
from g2g_opt.feeder import Feeder
from g2g_opt.judge import judge
from g2g_opt.limits import Limits
from g2g_opt.metrics.performance import compute_performance_stats
from g2g_opt.metrics.thermal import find_worst_loading, overload_time_s
from g2g_opt.metrics.voltage import compute_allbus_voltage_stats, find_worst_voltage
from g2g_opt.simulation import simulate
from g2g_opt.summary import Summary

HALF = Fraction(1, 2)
EDGES = Edges((0.92, 0.95, 0.975, 0.978, 0.991), (1.02, 1.037, 1.0465, 1.1), (0.3, 0.6, 1.0, 1.4))
BANDS = list(product(EDGES.low_pu, EDGES.high_pu))
# Latency targets of every scenario: one that is missed now and then, and the models' own.
OWN_TARGETS = {spec.model_label: spec.itl_deadline_s for spec in SPECS}
TIGHT_TARGETS = {LABELS[0]: 0.0085, LABELS[1]: 0.033}


@dataclass(frozen=True, eq=False)
class Seen:
    """A scenario's summary beside every step of it."""

    summary: Summary
    trace: Trace
    single: SingleRun
    deadlines_s: dict[str, float]

    @property
    def voltage_pu(self) -> np.ndarray:
        """Monitored voltages [step, bus-phase] of the batch's own trace."""
        return self.trace.voltage_pu[:, self.single.grid.monitored_columns]

    @property
    def exclude_buses(self) -> tuple[str, ...]:
        return self.single.grid.setup.exclude_buses


def builds() -> Iterator[Coordinator[Any, Any]]:
    """Half-second steps, so that steps and seconds are different numbers; voltages on both sides of 1 pu."""
    ramp = ReplicaSchedule(300).ramp_to(1500, t_start=3.0, t_end=12.0)
    places: list[dict[str, Any]] = [
        {"671": site("a", (ramp, 200), dt_s=HALF), "675": site("b", (15, 100), dt_s=HALF)},
        {"680": site("a", (2000, 500), dt_s=HALF, seed=4), "633": site("b", (500, 10), data=FLAT, dt_s=HALF)},
        {"675": site("a", (600, ramp), dt_s=HALF, seed=5), "671": site("b", (400, 50), data=SILENT, dt_s=HALF)},
    ]
    for sites, control in zip(places, (ofo, droop, None), strict=True):

        def rig(grid: Any, dcs: Any, control: Any = control) -> list[Any]:
            return [] if control is None else [control(grid, dc) for dc in dcs.values()]

        yield loop(sites, rig, duration_s=20, dt_s=HALF, record_loading=True)


@cache
def seen() -> tuple[Seen, ...]:
    targets = [TIGHT_TARGETS, OWN_TARGETS, TIGHT_TARGETS]
    runs = run_batch(list(builds()), edges=EDGES, deadlines_s=targets, trace=range(3))
    found = []
    for run, coordinator, target in zip(runs, builds(), targets, strict=True):
        single = run_single(coordinator)
        assert compare(single, run).partings == ()
        assert run.summary is not None
        assert run.trace is not None
        found.append(Seen(run.summary, run.trace, single, target))
    return tuple(found)


pytestmark = pytest.mark.xdist_group("batch summary")
each_scenario = pytest.mark.parametrize("k", range(3))


@each_scenario
def test_extremes_and_when_they_first_occurred(k: int) -> None:
    summary, volts = seen()[k].summary, seen()[k].voltage_pu
    assert (summary.n_steps, summary.dt_s) == (40, 0.5)
    assert [seen()[k].trace.nodes.index(node) for node in summary.nodes] == list(
        seen()[k].single.grid.monitored_columns
    )
    np.testing.assert_array_equal(summary.lowest_pu, volts.min(axis=0))
    np.testing.assert_array_equal(summary.lowest_step, volts.argmin(axis=0))
    np.testing.assert_array_equal(summary.highest_pu, volts.max(axis=0))
    np.testing.assert_array_equal(summary.highest_step, volts.argmax(axis=0))


@each_scenario
def test_times_and_depths_outside_every_band(k: int) -> None:
    one, times = seen()[k], set()
    for low, high in BANDS:
        got = one.summary.voltage_stats(low, high)
        outside = np.maximum(np.maximum(low - one.voltage_pu, one.voltage_pu - high), 0.0)
        assert got.violation_time_s == 0.5 * np.count_nonzero(outside.any(axis=1))
        assert got.integral_violation_pu_s == pytest.approx(0.5 * outside.sum(), rel=1e-12, abs=1e-15)
        record = one.single.grid.record
        expected = compute_allbus_voltage_stats(record, v_min=low, v_max=high, exclude_buses=one.exclude_buses)
        assert got.violation_time_s == expected.violation_time_s
        assert got.integral_violation_pu_s == pytest.approx(expected.integral_violation_pu_s, abs=1e-5)
        assert (got.worst_vmin, got.worst_vmax) == pytest.approx((expected.worst_vmin, expected.worst_vmax), abs=1e-8)
        times.add(got.violation_time_s)
    assert len(times) > 3


@each_scenario
def test_every_step_is_in_one_class_of_the_lowest_and_the_highest_voltage(k: int) -> None:
    summary, volts = seen()[k].summary, seen()[k].voltage_pu
    expected = np.zeros_like(summary.steps_by_class)
    for lowest, highest in zip(volts.min(axis=1), volts.max(axis=1), strict=True):
        expected[sum(edge <= lowest for edge in EDGES.low_pu), sum(edge < highest for edge in EDGES.high_pu)] += 1
    np.testing.assert_array_equal(summary.steps_by_class, expected)


@each_scenario
def test_the_worst_voltage_of_every_band(k: int) -> None:
    one, found = seen()[k], set()
    for low, high in [*BANDS, (0.97, 1.033)]:
        got = one.summary.worst_voltage(low, high)
        expected = find_worst_voltage(one.single.grid.record, v_min=low, v_max=high, exclude_buses=one.exclude_buses)
        assert (got.bus, got.phase, got.time_s) == (expected.bus, expected.phase, expected.time_s)
        assert (got.voltage_pu, got.margin_pu) == pytest.approx((expected.voltage_pu, expected.margin_pu), abs=1e-8)
        found.add(got.voltage_pu > 1.0)
    assert found == {True, False}


@each_scenario
def test_loadings_and_times_over_every_edge(k: int) -> None:
    """The record keeps loadings in single precision."""
    one = seen()[k]
    record = one.single.grid.record
    assert one.summary.branches == tuple(record.loading.names)
    np.testing.assert_allclose(one.summary.loading_pu, record.loading_pu.max(axis=0), rtol=1e-6, atol=1e-9)
    for place, edge in enumerate(EDGES.loading_pu):
        over = np.count_nonzero(record.loading_pu > edge, axis=0)
        np.testing.assert_array_equal(one.summary.loading_steps_over[place], over)
        assert one.summary.overload_time_s(edge) == overload_time_s(record, 0.5, edge)
    for kind in ("", "line", "transformer"):
        got, expected = one.summary.worst_loading(kind), find_worst_loading(record, 0.5, kind)
        assert got is not None
        assert expected is not None
        assert (got.branch, got.time_s) == (expected.branch, expected.time_s)
        assert got.overload_time_s == expected.overload_time_s
        assert got.loading_pu == pytest.approx(expected.loading_pu, rel=1e-6)
        assert got.phase == expected.phase != ""


@each_scenario
def test_power_and_service_of_every_site(k: int) -> None:
    one = seen()[k]
    for got in one.summary.sites:
        trace, record = one.trace.sites[got.name], one.single.site(got.name)
        power_mw = trace.power_w.sum(axis=1) / 1e6
        assert got.power_mean_mw == pytest.approx(power_mw.mean(), rel=1e-12)
        assert got.power_peak_mw == pytest.approx(power_mw.max(), rel=1e-12)
        assert got.energy_mwh == pytest.approx(power_mw.sum() * 0.5 / 3600.0, rel=1e-12)
        served = (trace.replicas > 0) & np.isfinite(trace.itl_s)
        late = served & (trace.itl_s > [one.deadlines_s[label] for label in trace.labels])
        assert (got.latency_samples, got.latency_misses) == (served.sum(), late.sum())
        tokens = np.where(served, trace.batch_size * trace.replicas / np.where(served, trace.itl_s, 1.0), 0.0)
        assert got.throughput_tps == pytest.approx(tokens.sum(axis=1).mean(), rel=1e-12)
        assert got.batch_switches == np.count_nonzero(np.diff(trace.batch_size, axis=0))
        expected = compute_performance_stats(record, itl_deadline_s_by_model=one.deadlines_s)
        assert got.throughput_tps == pytest.approx(expected.mean_throughput_tps, rel=1e-12)
        assert got.latency_misses / max(got.latency_samples, 1) == expected.itl_deadline_fraction
        assert got.batch_switches == expected.batch_switches


def test_there_is_something_to_add_up() -> None:
    """Misses and none, switches and none, latencies and none: what the other tests would pass over in silence."""
    sites = [fleet for one in seen() for fleet in one.summary.sites]
    assert {fleet.latency_misses > 0 for fleet in sites} == {True, False}
    assert {fleet.latency_samples > 0 for fleet in sites} == {True, False}
    assert {fleet.batch_switches > 0 for fleet in sites} == {True, False}
    assert any(one.summary.overload_time_s(1.0) > 0 for one in seen())


def test_without_targets_those_of_the_models_count() -> None:
    (run,) = run_batch([list(builds())[1]], edges=EDGES)
    assert run.summary is not None
    assert differences(run.summary, seen()[1].summary) == []


@each_scenario
def test_what_lies_on_an_edge_is_inside(k: int) -> None:
    one = seen()[k]
    lowest, highest, heaviest = one.voltage_pu.min(), one.voltage_pu.max(), one.summary.loading_pu.max()
    edges = Edges((float(lowest),), (float(highest),), (float(heaviest),))
    (run,) = run_batch([list(builds())[k]], edges=edges)
    assert run.summary is not None
    stats = run.summary.voltage_stats(lowest, highest)
    assert (stats.violation_time_s, stats.integral_violation_pu_s) == (0.0, 0.0)
    assert (stats.worst_vmin, stats.worst_vmax) == (lowest, highest)
    assert run.summary.overload_time_s(heaviest) == 0.0


def test_figures_that_were_not_kept_are_refused_with_what_was_unless_the_extremes_say_all() -> None:
    summary = next(one.summary for one in seen() if one.summary.overload_time_s(1.0) > 0)
    lowest, highest, heaviest = summary.lowest, summary.highest, float(summary.loading_pu.max())
    with pytest.raises(InputError, match=r"no voltage figures were kept at .* pu; kept: \[0\.92, 0\.95, 0\.975"):
        summary.voltage_stats(lowest + 1e-4, 1.1)
    with pytest.raises(InputError, match=r"kept: \[1\.02, 1\.037, 1\.0465, 1\.1\]"):
        summary.voltage_stats(0.92, highest - 1e-4)
    with pytest.raises(InputError, match=r"no loading figures were kept at .* pu; kept: \[0\.3, 0\.6, 1\.0, 1\.4\]"):
        summary.overload_time_s(heaviest - 1e-4)
    stats = summary.voltage_stats(lowest - 1e-4, highest + 1e-4)
    assert (stats.violation_time_s, stats.integral_violation_pu_s) == (0.0, 0.0)
    assert summary.overload_time_s(heaviest + 1e-4) == 0.0


def test_limits_without_allowed_time_are_judged_at_any_band_and_rating() -> None:
    summary = next(one.summary for one in seen() if one.summary.overload_time_s(1.0) > 0)
    lowest, heaviest = summary.lowest, float(summary.loading_pu.max())
    for step, kept in ((-1e-4, True), (1e-4, False)):
        limits = Limits(voltage_min_pu=lowest + step, voltage_max_pu=1.4, violation_time_share_max=0.0)
        (check,) = [c for c in judge(summary, limits).checks if c.criterion.is_voltage]
        assert (check.kept, check.used <= 1.0, check.value) == (kept, kept, lowest)
        limits = Limits(loading_max_pu=heaviest - step, violation_time_share_max=1.0, voltage_max_pu=1.1)
        limits = replace(limits, voltage_min_pu=0.92)
        assert all(c.kept for c in judge(summary, limits).checks if c.criterion.is_thermal) == kept
    with pytest.raises(InputError, match="no voltage figures were kept"):
        judge(summary, Limits(voltage_min_pu=lowest + 1e-4, voltage_max_pu=1.4))


def test_edges_take_in_limits_in_order_and_once() -> None:
    edges = Edges((0.9, 0.95), (1.05,), (1.0,))
    assert edges.including(0.93, 1.05, 1.2) == Edges((0.9, 0.93, 0.95), (1.05,), (1.0, 1.2))
    assert edges.including(0.95, 1.03, None) == Edges((0.9, 0.95), (1.03, 1.05), (1.0,))


def test_loadings_that_were_not_recorded_are_not_there() -> None:
    (run,) = run_batch([loop({"671": site("a")}, duration_s=5)])
    assert run.summary is not None
    assert run.summary.branches == ()
    assert run.summary.worst_loading() is None
    assert run.summary.overload_time_s(1.0) == 0.0


@pytest.mark.parametrize("name", ["ieee34", "ieee123"])
def test_figures_and_verdicts_of_simulate_are_those_of_opendss(name: str) -> None:
    feeder = Feeder.load(name)
    limits = Limits(voltage_min_pu=0.955, loading_max_pu=0.75, violation_integral_max_pu_s=1.0)
    tasks = list(random_tasks(feeder, 6, seed=8))
    plans, scenarios = [plan for plan, _ in tasks], [scenario for _, scenario in tasks[:2]]
    batch = simulate(plans, scenarios, feeder, limits, tolerance=TOLERANCE)
    opendss = simulate(plans, scenarios, feeder, limits, engine="opendss", tolerance=TOLERANCE)
    pairs = zip(chain.from_iterable(batch), chain.from_iterable(opendss), strict=True)
    for got, expected in pairs:
        assert (got.engine, expected.engine) == ("batch", "opendss")
        assert [(c.criterion, c.name, c.kept, c.where, c.phase, c.time_s) for c in got.checks] == [
            (c.criterion, c.name, c.kept, c.where, c.phase, c.time_s) for c in expected.checks
        ]
        assert_same_record(got.summary, expected.summary)


def assert_same_record(got: Summary, expected: Summary) -> None:
    """Both engines leave the same record: counts, names and words alike, figures to the tolerance of the solutions."""
    for name in (f.name for f in fields(Summary)):
        a, b = getattr(got, name), getattr(expected, name)
        if name == "sites":
            for one, other in zip(a, b, strict=True):
                assert_alike(list(vars(one).values()), list(vars(other).values()), name)
        elif name == "power_quality":
            assert (a is None) == (b is None)
            if a is not None:
                assert_same_power_quality(a, b)
        # Steps and phases of voltages and currents that are equal but for rounding may be others.
        elif not name.endswith(("_step", "_phase")) and not name.startswith("steps"):
            assert_alike(a, b, name)


def assert_alike(a: Any, b: Any, name: str) -> None:
    if isinstance(a, np.ndarray) and a.dtype == np.float64:
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-4 if "pu" in name and "loading" not in name else 1e-7)
    elif isinstance(a, list):
        assert [x for x in a if isinstance(x, str)] == [x for x in b if isinstance(x, str)]
        np.testing.assert_allclose(
            [x for x in a if not isinstance(x, str)], [x for x in b if not isinstance(x, str)], rtol=1e-6, atol=1e-7
        )
    elif isinstance(a, np.ndarray):
        np.testing.assert_array_equal(a, b, err_msg=name)
    else:
        assert a == b, name


@each_scenario
def test_the_record_of_points_is_that_of_the_steps(k: int) -> None:
    """What the batch adds up step by step, worked out from all steps at once."""
    one, summary = seen()[k], seen()[k].summary
    names = [f"{bus}.{'ABC'[phase - 1]}" for bus, phase in summary.nodes]
    got = Summary.of_points(one.voltage_pu.T, summary.nodes, names, 0.5, edges=EDGES)
    for name in ("nodes", "node_names", "n_steps", "dt_s"):
        assert getattr(got, name) == getattr(summary, name)
    for name in ("lowest_pu", "lowest_step", "highest_pu", "highest_step", "steps_by_class"):
        np.testing.assert_array_equal(getattr(got, name), getattr(summary, name), err_msg=name)
    np.testing.assert_allclose(got.below_pu, summary.below_pu, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(got.above_pu, summary.above_pu, rtol=1e-12, atol=1e-15)


def test_points_without_a_solution_fail_the_record_and_leave_the_figures_of_the_others() -> None:
    voltage_pu = np.array([[0.94, np.nan, 0.97], [1.0, np.nan, 1.01]])
    solved = np.array([True, False, True])
    found = Summary.of_points(voltage_pu, [("a", 1), ("b", 1)], ["a.A", "b.A"], 900.0, solved=solved)
    assert found.failure == Failure(FailureKind.NOT_CONVERGED, time_s=900.0)
    assert (found.n_steps, found.lowest, found.highest) == (2, 0.94, 1.01)
    np.testing.assert_array_equal(found.highest_step, [2, 2])
    assert judge(found, Limits()).reasons() == ("t=900 s: the power flow did not converge",)
    undefined = Summary.of_points(voltage_pu, [("a", 1), ("b", 1)], ["a.A", "b.A"], 900.0)
    assert str(undefined.failure) == "the voltage of a.A is undefined"
    with pytest.raises(InputError, match="no voltage to look at"):
        Summary.of_points(np.zeros((0, 3)), [], [], 900.0)
