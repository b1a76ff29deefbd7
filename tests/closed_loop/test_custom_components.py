"""Components that are not ours in the loop: a small grid, subclasses, other periods (equations, section 1)."""

from __future__ import annotations

import dataclasses
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from loop_components import (
    DATA,
    ONE,
    SPECS,
    Sender,
    SetPointSite,
    SetSource,
    TwoLineGrid,
    arrays,
    assert_same,
    at,
    closed_loop,
    offline_site,
)

from g2g_opt.clock import SimulationClock
from g2g_opt.common import ThreePhase
from g2g_opt.coordinator import Coordinator
from g2g_opt.datacenter.command import SetBatchSize
from g2g_opt.datacenter.config import (
    DatacenterConfig,
    ReplicaSchedule,
)
from g2g_opt.datacenter.offline import OfflineDatacenter, OfflineDatacenterState, OfflineWorkload
from g2g_opt.events import EventEmitter
from g2g_opt.grid.base import GridState
from g2g_opt.grid.command import SetTaps
from g2g_opt.grid.generator import ConstantGenerator
from g2g_opt.grid.opendss import OpenDSSGrid
from g2g_opt.metrics.performance import compute_performance_stats
from g2g_opt.metrics.voltage import compute_allbus_voltage_stats
from g2g_opt.tap_position import TapPosition


def test_a_grid_written_in_two_lines_runs_with_an_offline_datacenter() -> None:
    site = offline_site(dt_s=ONE)
    sender = Sender(at(4.0, SetBatchSize({"small": 8}, target=site), SetSource(1.02)))
    log = Coordinator(datacenters=[site], grid=TwoLineGrid(), controllers=[sender], total_duration_s=10).run()
    record = site.record
    source_pu = np.where(record.time_s > 4.0, 1.02, 1.0)
    far = np.array([tuple(state.voltages["far"]) for state in log.grid_states])
    np.testing.assert_allclose(far, source_pu[:, None] - 2e-4 * record.power_w / 1e3, rtol=1e-12)
    assert record.batch_size[:, record.labels.index("small")].tolist() == [64] * 5 + [8] * 5
    stats = compute_allbus_voltage_stats(log.grid_states, v_min=0.9, v_max=1.05)
    near = np.array([tuple(state.voltages["near"]) for state in log.grid_states])
    outside = np.maximum(0.9 - np.hstack([near, far]), 0.0)
    assert stats.integral_violation_pu_s == pytest.approx(outside.sum())
    assert stats.violation_time_s == np.count_nonzero(outside.any(axis=1))


class Halved(OfflineDatacenter):
    """Half the power from 5 s on: a subclass that changes what `step` returns."""

    def step(self, clock: SimulationClock, events: EventEmitter) -> OfflineDatacenterState:
        state = super().step(clock, events)
        if clock.time_s < 5.0:
            return state
        return dataclasses.replace(state, power_w=ThreePhase(*(w / 2 for w in state.power_w)))


class Untouched(OfflineDatacenter):
    def step(self, clock: SimulationClock, events: EventEmitter) -> OfflineDatacenterState:
        return super().step(clock, events)


@pytest.mark.parametrize("kind", ["noop", "droop", "ofo"])
def test_a_subclass_that_steps_like_its_base_gives_the_same_run(kind: str) -> None:
    plain, derived = closed_loop(kind), closed_loop(kind, offline_site(Untouched))
    expected, got = plain.run(), derived.run()
    assert_same(arrays(derived), arrays(plain))
    assert list(got.dc_states) == list(expected.dc_states)
    assert service(got) == {
        name: pytest.approx(value) if isinstance(value, (float, dict)) else value
        for name, value in service(expected).items()
    }


def service(log: Any) -> dict[str, Any]:
    deadline_s = {spec.model_label: spec.itl_deadline_s for spec in SPECS}
    return dataclasses.asdict(compute_performance_stats(log.dc_states, itl_deadline_s_by_model=deadline_s))


def test_a_subclass_that_overrides_step_is_what_the_grid_sees() -> None:
    plain, halved = closed_loop("noop"), closed_loop("noop", offline_site(Halved))
    expected, got = plain.run(), halved.run()
    power = [np.array([tuple(state.power_w) for state in log.dc_states]) for log in (expected, got)]
    np.testing.assert_array_equal(power[1][:50], power[0][:50])
    np.testing.assert_allclose(power[1][50:], power[0][50:] / 2, rtol=1e-12)
    voltage = [np.array([tuple(state.voltages["671"]) for state in log.grid_states]) for log in (expected, got)]
    np.testing.assert_array_equal(voltage[1][:50], voltage[0][:50])
    assert (voltage[1][50:] > voltage[0][50:] + 0.005).all()
    assert halved.datacenters[0].state == got.dc_states[-1]


class LoggedGrid(OpenDSSGrid):
    """A grid that overrides `step`: it is handed the samples and its own state is kept."""

    def step(self, clock: SimulationClock, power_samples_w: Any, events: EventEmitter) -> GridState:
        state = super().step(clock, power_samples_w, events)
        events.emit("grid.lowest", {"voltage_pu": float(np.nanmin(list(state.voltages["671"])))})
        return state


def test_a_subclass_of_the_opendss_grid_gives_the_same_voltages() -> None:
    logs = []
    for cls in (OpenDSSGrid, LoggedGrid):
        site = offline_site(dt_s=ONE)
        grid = cls(feeder="ieee13")
        grid.attach_dc(site, bus="671")
        sender = Sender(at(4.0, SetTaps(TapPosition(regulators={"creg1b": 1.0}))))
        logs.append(Coordinator(datacenters=[site], grid=grid, controllers=[sender], total_duration_s=10).run())
    expected, got = ([state.voltages["671"] for state in log.grid_states] for log in logs)
    assert got == expected
    assert [state.tap_positions for state in logs[1].grid_states] == [s.tap_positions for s in logs[0].grid_states]
    lowest = [event.data["voltage_pu"] for event in logs[1].events if event.topic == "grid.lowest"]
    assert lowest == [min(voltages) for voltages in got]


def test_a_generator_that_only_overrides_power_kw_is_heard() -> None:
    """Whatever it derives from: the grid may not read a block of the base class's figures instead."""

    class Late(ConstantGenerator):
        def power_kw(self, t: float) -> float:
            return super().power_kw(t) if t >= 3.0 else 0.0

    site = SetPointSite(kw=1500.0)
    grid = OpenDSSGrid(feeder="ieee13")
    grid.attach_dc(site, bus="671")
    grid.attach_generator(Late(peak_kw=400.0), bus="675")
    log = Coordinator(datacenters=[site], grid=grid, total_duration_s=6).run()
    voltage_pu = [state.voltages["675"].a for state in log.grid_states]
    assert max(voltage_pu[:3]) < min(voltage_pu[3:]) - 0.005


def test_throughput_of_sites_with_different_periods_is_the_sum_of_their_own() -> None:
    one, two = (
        OfflineDatacenter(
            DatacenterConfig(),
            OfflineWorkload(DATA, {"small": ReplicaSchedule(initial=80)}),
            name=name,
            dt_s=dt_s,
            total_gpu_capacity=80,
        )
        for name, dt_s in (("one", ONE), ("two", Fraction(2)))
    )
    log = Coordinator(datacenters=[one, two], grid=TwoLineGrid(), total_duration_s=20).run()
    deadline_s = {spec.model_label: spec.itl_deadline_s for spec in SPECS}
    each = 80 * 8 / 0.02
    stats = compute_performance_stats(log.dc_states, itl_deadline_s_by_model=deadline_s)
    assert stats.mean_throughput_tps == pytest.approx(2 * each)
