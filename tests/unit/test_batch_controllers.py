"""Controllers of batch sizes (equations, section 4): by hand, by brute force, and against a scalar reading of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from controller_rigs import EVENTS, ToldGrid, ToldSite, clock_at, sent_at, steady_site
from hypothesis import given, settings
from hypothesis import strategies as st

from g2g_opt.compiled.lanes import WIDTH
from g2g_opt.compiled.records import pack
from g2g_opt.controller.batch_size_schedule import BatchSizeChange, BatchSizeScheduleController
from g2g_opt.controller.batch_sizes import FeasibleTable
from g2g_opt.controller.ofo import (
    LogisticModelStore,
    OFOBatchSizeController,
    OFOConfig,
    ofo_rows,
)
from g2g_opt.controller.ofo_update import CurvesAt, DualsStep, OFOState, OFOStep, ofo_step, update_voltage_duals
from g2g_opt.controller.rule_based import (
    RuleBasedBatchSizeController,
    RuleBasedConfig,
    droop_pressure,
    droop_update,
)
from g2g_opt.coordinator import Coordinator
from g2g_opt.datacenter.command import SetBatchSize
from g2g_opt.datacenter.config import InferenceModelSpec
from g2g_opt.datacenter.workloads.curves import LogisticModel
from g2g_opt.errors import InputError
from g2g_opt.grid.opendss import OpenDSSGrid

NAN = math.nan


def spec(label: str, feasible: Sequence[int] = (8, 16, 32, 64), deadline_s: float = 0.1) -> InferenceModelSpec:
    return InferenceModelSpec(
        model_label=label,
        model_id="x/" + label,
        gpu_model="H100",
        task="t",
        itl_deadline_s=deadline_s,
        batch_sizes=tuple(feasible),
    )


# --- the nearest feasible batch size


@settings(max_examples=300)
@given(
    feasible=st.lists(st.sets(st.integers(1, 1024), min_size=1, max_size=6), min_size=1, max_size=4),
    x=st.floats(-2, 12),
)
def test_nearest_is_the_nearest_by_brute_force(feasible: list[set[int]], x: float) -> None:
    got = FeasibleTable.of([list(sizes) for sizes in feasible]).nearest(np.full((1, len(feasible)), x))[0]
    for sizes, size in zip(feasible, got.tolist(), strict=True):
        assert size in sizes
        smallest = min(abs(s - 2.0**x) for s in sizes)
        assert abs(size - 2.0**x) <= smallest + 1e-9 * 2.0**x


def test_of_two_equally_near_sizes_the_smaller_one_is_taken_and_distance_is_in_batch_size() -> None:
    table = FeasibleTable.of([[8, 24, 40], [8, 24]])
    assert table.nearest(np.log2([[16.0, 16.0], [32.0, 40.0], [16.1, 15.9]])).tolist() == [[8, 8], [24, 24], [24, 8]]
    # 13 lies nearer to 16 on the logarithmic scale (and by size to 8 when the neighbours are 8 and 20).
    assert FeasibleTable.of([[8, 20]]).nearest(np.log2([[13.0]])).tolist() == [[8]]
    assert math.log2(20 / 13) < math.log2(13 / 8)


# --- droop

DROOP = RuleBasedConfig(step_size=10.0, deadband=0.001)


@pytest.mark.parametrize(
    ("volts", "pressure"),
    [
        ([1.0, 1.0], 0.0),
        ([0.9491, 1.0], 0.0),  # within the deadband
        ([0.94, 0.93], 0.02),
        ([1.06, 1.08], -0.03),
        ([0.94, 1.09], 0.01),  # undervoltage first, however small
        ([0.9495, 1.09], -0.04),  # unless it is within the deadband
        ([NAN, 0.94], 0.01),
        ([NAN, NAN], 0.0),
    ],
)
def test_pressure_by_hand(volts: list[float], pressure: float) -> None:
    assert droop_pressure(np.array([volts]), DROOP).tolist() == pytest.approx([pressure])


def test_droop_moves_against_the_pressure_within_its_limits() -> None:
    x, itl, deadline = np.array([[4.0, 5.0, 6.0]]), np.array([[0.05, 0.2, NAN]]), np.full(3, 0.1)
    low, high = np.full(3, 3.0), np.full(3, 6.1)

    def moved(pressure: float, **config: Any) -> list[float]:
        settings_ = RuleBasedConfig(step_size=10.0, **config)
        return list(droop_update(x, np.array([pressure]), itl, deadline, low, high, settings_)[0])

    assert moved(0.02) == pytest.approx([3.8, 4.8, 5.8])
    assert moved(0.15) == pytest.approx([3.0, 3.5, 4.5])
    # Up: not for the one whose latency is over its target; a model without replicas has none.
    assert moved(-0.03) == pytest.approx([4.3, 5.0, 6.1])
    assert moved(-0.03, latency_guard=False) == pytest.approx([4.3, 5.3, 6.1])


def droop(grid: ToldGrid, site: ToldSite, **options: Any) -> RuleBasedBatchSizeController:
    models = [spec(label) for label in sorted(site.state.batch_size_by_model)]  # type: ignore[union-attr]
    return RuleBasedBatchSizeController(
        models,
        datacenter=site,
        grid=grid,
        config=options.pop("config", DROOP),
        initial_batch_sizes=options.pop("start", None),  # type: ignore[arg-type]
        **options,
    )


def test_droop_sends_the_nearest_sizes_once_they_change_and_nothing_otherwise() -> None:
    grid, site = ToldGrid(0.93, 1.0, 1.0, 1.0), ToldSite({"a": 32, "b": 64}, {"a": 0.05, "b": 0.05})
    controller = droop(grid, site, start={"a": 32, "b": 64})
    # Each step takes 0.2 doublings: 32 -> 27.9, 24.3, 21.1 (nearest 16 below 24); 64 -> 55.7, 48.5, 42.2.
    assert controller.step(clock_at(0), EVENTS) == []
    assert controller.step(clock_at(1), EVENTS) == []
    (command,) = controller.step(clock_at(2), EVENTS)
    assert isinstance(command, SetBatchSize)
    assert command.batch_size_by_model == {"a": 16, "b": 32}
    assert command.target is site
    site.show({"a": 16, "b": 32}, {"a": 0.05, "b": 0.05})
    assert controller.step(clock_at(3), EVENTS) == []
    controller.reset()
    assert controller.step(clock_at(4), EVENTS) != []  # back at 32 and 64, which the site does not run


def test_droop_does_nothing_inside_the_band_and_waits_for_latency_above_it() -> None:
    grid, site = ToldGrid(1.0, 1.0, 1.0, 1.0), ToldSite({"a": 8}, {"a": 0.2})
    controller = droop(grid, site)
    assert controller.step(clock_at(0), EVENTS) == []
    grid.volts = np.array([1.25, 1.0, 1.0, 1.0])
    for t in range(3):
        assert controller.step(clock_at(t), EVENTS) == []
    site.show({"a": 8}, {"a": 0.05})
    (command,) = controller.step(clock_at(4), EVENTS)
    assert isinstance(command, SetBatchSize)
    assert command.batch_size_by_model == {"a": 32}  # 2 doublings at once


def test_droop_looks_at_its_zone_less_the_excluded_buses() -> None:
    site = ToldSite({"a": 64}, {"a": 0.05})

    def acts(*volts: float, **where: Any) -> bool:
        config = RuleBasedConfig(step_size=1000.0)
        return droop(ToldGrid(*volts), site, start={"a": 64}, config=config, **where).step(clock_at(0), EVENTS) != []

    assert acts(1.0, 1.0, 0.9, 1.0)
    assert acts(1.0, 1.0, 0.9, 1.0, zone_buses=["675"])
    assert not acts(1.0, 1.0, 0.9, 1.0, zone_buses=["671"])
    assert not acts(1.0, 1.0, 0.9, 1.0, exclude_buses=["675"])
    assert not acts(0.9, 1.0, 0.9, 1.0, zone_buses=["675", "671"], exclude_buses=["671", "675"])
    with pytest.raises(InputError, match="bus '677'"):
        acts(1.0, 1.0, 1.0, 1.0, zone_buses=["677"])
    with pytest.raises(InputError, match="v_min < v_max"):
        RuleBasedConfig(v_min=1.05, v_max=0.95)


# --- OFO


def curve_slope(curve: LogisticModel, x: float) -> float:
    """Derivative of (2.1) by a central difference of the curve itself."""
    h = 1e-5
    value = [curve.b0 + curve.L / (1 + math.exp(-curve.k * (z - curve.x0))) for z in (x - h, x + h)]
    return (value[1] - value[0]) / (2 * h)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), n_models=st.integers(1, 4), n_volts=st.integers(1, 5))
def test_the_ofo_update_is_the_text_read_scalar_by_scalar(seed: int, n_models: int, n_volts: int) -> None:
    rng = np.random.default_rng(seed)
    labels = [f"m{i}" for i in range(n_models)]
    sizes = [sorted(rng.choice([4, 8, 16, 32, 64, 128], rng.integers(1, 5), replace=False).tolist()) for _ in labels]
    specs = tuple(spec(label, feasible, rng.uniform(0.02, 0.2)) for label, feasible in zip(labels, sizes, strict=True))

    def curves(low: float, high: float) -> dict[str, LogisticModel]:
        return {
            label: LogisticModel(
                b0=rng.uniform(low, high), L=rng.uniform(low, high), k=rng.uniform(0.2, 2.0), x0=rng.uniform(2.0, 7.0)
            )
            for label in labels
        }

    power, latency, throughput = curves(100, 900), curves(0.01, 0.1), curves(100, 3000)
    models = ofo_rows(specs, LogisticModelStore(power=power, latency=latency, throughput=throughput))
    config = OFOConfig(
        primal_step_size=rng.uniform(0.01, 0.2),
        w_throughput=rng.uniform(0, 0.5),
        w_switch=rng.uniform(0, 1),
        voltage_gradient_scale=1e4,
        voltage_dual_step_size=rng.uniform(0.1, 20),
        latency_dual_step_size=rng.uniform(0.1, 2),
    )
    union = sorted({b for feasible in sizes for b in feasible})
    x_low, x_high = math.log2(union[0]), math.log2(union[-1])
    state = OFOState(
        rng.uniform(0, 1, n_models),
        rng.uniform(x_low, x_high, n_models),
        rng.uniform(x_low, x_high, n_models),
        CurvesAt.nowhere(n_models),
    )
    dual_low, dual_high = np.zeros((n_volts, WIDTH)), np.zeros((n_volts, WIDTH))
    dual_low[:, :1], dual_high[:, :1] = rng.uniform(0, 0.1, (n_volts, 1)), rng.uniform(0, 0.1, (n_volts, 1))
    lam_lo, lam_hi, mu = dual_low[:, 0].copy(), dual_high[:, 0].copy(), state.dual_latency.copy()
    x, x_prev = state.x.copy(), state.x_previous.copy()
    v = rng.uniform(0.9, 1.1, n_volts)
    itl = rng.uniform(0.01, 0.3, n_models)
    if rng.random() < 0.3:
        itl[0] = NAN
    H = rng.normal(0, 1e-5, (n_volts, 3))
    e = rng.dirichlet(np.ones(3), n_models)
    n = rng.integers(0, 500, n_models)

    seen = np.ones((n_volts, WIDTH))
    seen[:, 0] = v
    band = config.v_min, config.v_max
    duals = DualsStep.of(seen, np.arange(n_volts), config.voltage_dual_step_size, *band)
    duals = duals._replace(low=dual_low, high=dual_high, pulls=np.ones(n_volts, dtype=np.bool_))
    packed_duals = pack(duals)
    update_voltage_duals(packed_duals.address, 0)
    assert (duals.outside[:1] != 0.0).all() == ((v < config.v_min) | (v > config.v_max)).any()
    assert not duals.outside[1:].any()
    marks = np.zeros(n_models, dtype=np.int64), np.zeros(n_models, dtype=np.bool_)
    figures = e, n.astype(float), itl
    column, slopes, pull = np.zeros(1, dtype=np.int64), H[:, :, None].copy(), np.empty((3, 1))
    step = OFOStep(duals, column, slopes, pull, state, models, config.tuning, *figures, *marks)
    packed = pack(step)
    ofo_step(packed.address, 0)

    for j in range(n_volts):  # (4.1)
        lam_lo[j] = max(lam_lo[j] + config.voltage_dual_step_size * (config.v_min - v[j]), 0.0)
        lam_hi[j] = max(lam_hi[j] + config.voltage_dual_step_size * (v[j] - config.v_max), 0.0)
    np.testing.assert_allclose(dual_low[:, 0], lam_lo, rtol=1e-12, atol=1e-14)  # v_min - v cancels
    np.testing.assert_allclose(dual_high[:, 0], lam_hi, rtol=1e-12, atol=1e-14)
    for i, label in enumerate(labels):
        if not math.isnan(itl[i]):
            mu[i] = max(mu[i] + config.latency_dual_step_size * (itl[i] - specs[i].itl_deadline_s), 0.0)
        assert state.dual_latency[i] == pytest.approx(mu[i], rel=1e-12)
        t_max = float(throughput[label].eval(union[-1]))
        grid_term = sum((lam_hi[j] - lam_lo[j]) * H[j, p] * e[i, p] for j in range(n_volts) for p in range(3))
        gradient = (  # (4.2)
            -config.w_throughput * n[i] * curve_slope(throughput[label], x[i]) / t_max
            + config.voltage_gradient_scale * grid_term * n[i] * curve_slope(power[label], x[i]) / 1000.0
            + mu[i] * curve_slope(latency[label], x[i])
            + config.w_switch * (x[i] - x_prev[i])
        )
        expected = min(max(x[i] - config.primal_step_size * gradient, x_low), x_high)  # (4.3)
        assert state.x[i] == pytest.approx(expected, rel=1e-6, abs=1e-7)
        assert state.x_previous[i] == x[i]


def ofo(grid: ToldGrid, site: ToldSite, start: dict[str, int], **config: Any) -> OFOBatchSizeController:
    curve = LogisticModel(b0=200.0, L=800.0, k=1.0, x0=4.5)
    slow = LogisticModel(b0=0.02, L=0.05, k=1.0, x0=4.5)
    fast = LogisticModel(b0=100.0, L=900.0, k=1.0, x0=4.5)
    store = LogisticModelStore(power={"a": curve}, latency={"a": slow}, throughput={"a": fast})
    return OFOBatchSizeController([spec("a")], site, grid, store, OFOConfig(**config), initial_batch_sizes=start)  # type: ignore[arg-type]


def test_ofo_lowers_the_batch_under_low_voltage_and_raises_it_in_the_band() -> None:
    grid, site = ToldGrid(0.93, 1.0, 1.0, 1.0), ToldSite({"a": 32}, {"a": 0.05})
    grid.slopes = np.full((4, 3), -1e-5)
    controller, sent = ofo(grid, site, {"a": 32}), []
    for t in range(20):
        for command in controller.step(clock_at(t), EVENTS):
            assert isinstance(command, SetBatchSize)
            sent.append(command.batch_size_by_model["a"])
            site.show(command.batch_size_by_model, {"a": 0.05})
    assert sent[0] < 32
    assert sent == sorted(sent, reverse=True)
    grid.volts = np.ones(4)
    free = ofo(grid, ToldSite({"a": 8}, {"a": 0.05}), {"a": 8}, w_throughput=1.0, primal_step_size=0.5)
    (command,) = free.step(clock_at(0), EVENTS)
    assert isinstance(command, SetBatchSize)
    assert command.batch_size_by_model["a"] > 8


def test_ofo_keeps_the_curves_of_an_iterate_only_while_it_stays_there() -> None:
    batches = []
    for forgets in (False, True):
        grid, site = ToldGrid(0.93, 1.0, 1.0, 1.0), ToldSite({"a": 32}, {"a": 0.05})
        grid.slopes = np.full((4, 3), -1e-5)
        options = {"w_throughput": 1.0, "voltage_dual_step_size": 20.0, "primal_step_size": 0.5}
        controller, iterates = ofo(grid, site, {"a": 32}, **options), []
        for t in range(60):
            # Down to the smallest size, where it stays, and up again.
            grid.volts = np.array([0.93 if t < 30 else 1.06, 1.0, 1.0, 1.0])
            controller.step(clock_at(t), EVENTS)
            assert controller._now is not None
            iterates.append(float(controller._now.state.x[0]))
            if forgets:
                controller._now.state.curves.x[:] = NAN
        batches.append(iterates)
    assert batches[0] == batches[1]
    assert batches[0][25] == batches[0][26] < batches[0][59]


@pytest.mark.parametrize(("interval", "measured"), [(0, 1), (1, 7), (3, 3)])
def test_ofo_measures_slopes_at_the_first_step_and_every_so_many(interval: int, measured: int) -> None:
    grid, site = ToldGrid(1.0, 1.0, 1.0, 1.0), ToldSite({"a": 8}, {"a": 0.05})
    controller = ofo(grid, site, {"a": 8}, sensitivity_update_interval=interval, sensitivity_perturbation_kw=12.0)
    for t in range(7):
        controller.step(clock_at(t), EVENTS)
    assert grid.measured == [12.0] * measured
    controller.reset()
    controller.step(clock_at(0), EVENTS)
    assert len(grid.measured) == measured + 1


def test_slopes_measured_on_the_grid_are_those_of_two_solves() -> None:
    grid = OpenDSSGrid(feeder="ieee13", tolerance=1e-10, max_iterations=300)
    site = steady_site("dc", {"a": 80})
    grid.attach_dc(site, bus="671", power_factor=0.9)
    Coordinator(datacenters=[site], grid=grid, total_duration_s=1).run()
    before = grid.voltages_vector().copy()
    slopes, base = grid.estimate_sensitivity(50.0)
    np.testing.assert_allclose(base, before, atol=1e-9)
    np.testing.assert_allclose(grid.voltages_vector(), before, atol=1e-9)  # left as it was
    circuit = grid._circuit
    assert circuit is not None
    for phase in range(3):
        circuit.injection_kw[phase] += 50.0
        circuit.injection_kvar[phase] += 50.0 * math.tan(math.acos(0.9))
        circuit.solve()
        moved = grid._monitored_pu(circuit.node_voltages())
        np.testing.assert_allclose(slopes[:, phase], (moved - before) / 50.0, atol=1e-10)
        circuit.injection_kw[phase] -= 50.0
        circuit.injection_kvar[phase] -= 50.0 * math.tan(math.acos(0.9))
    own = [i for i, (bus, _) in enumerate(grid.v_index) if bus == "671"]
    assert (np.diag(slopes[own]) < 0).all()


# --- schedules


def test_batch_sizes_are_sent_at_their_times_the_latest_if_several_are_due() -> None:
    site = ToldSite({"a": 8, "b": 8}, {"a": 0.1, "b": 0.1})
    schedules = {
        "a": BatchSizeChange(16).at(1.0) | BatchSizeChange(32).at(1.1) | BatchSizeChange(64, ramp_up_rate=2.0).at(2.0),
        "b": BatchSizeChange(8).at(2.0),
    }
    sent = sent_at(BatchSizeScheduleController(datacenter=site, schedules=schedules, dt_s=Fraction(1, 2)), [4.0])
    assert {t: c[0].batch_size_by_model for t, c in sent.items()} == {
        1.0: {"a": 16},
        1.5: {"a": 32},
        2.0: {"a": 64, "b": 8},
    }
    assert sent[2.0][0].ramp_up_rate_by_model == {"a": 2.0}
    assert sent[2.0][0].target is site
    with pytest.raises(InputError):
        BatchSizeChange(0)
