"""Storage, generators, loads and sites of all kinds in closed loop: the batch engine step by step beside the other."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from batch_parts import FLAT, MEASURED, SILENT, SPECS, droop, loop, ofo, site
from engine_pair import SingleRun, assert_engines_agree
from two_sites import FIVE, LOW, TENTH, TWO, Sites, adaptive, changes, each, schedule, two_sites

from g2g_opt.batch.simulator import BatchRun
from g2g_opt.controller.storage import LocalVoltageStorageDroopController, StorageDroopConfig
from g2g_opt.coordinator import Coordinator
from g2g_opt.datacenter.config import ReplicaSchedule, TrainingRun
from g2g_opt.datacenter.workloads.inference import InferenceData
from g2g_opt.datacenter.workloads.training import TrainingTrace
from g2g_opt.grid.generator import ConstantGenerator, Generator, SyntheticPV
from g2g_opt.grid.load import SampledLoad, SyntheticLoad
from g2g_opt.grid.opendss import OpenDSSGrid
from g2g_opt.grid.storage import BatteryStorage

# --- storage, and what else hangs on a grid


@pytest.mark.parametrize("mode", ["qv", "pv"])
def test_storage_droop_in_every_statistic_and_its_energy(mode: str) -> None:
    def build(statistic: str, dt_s: Fraction, **config: Any) -> Coordinator[Any, Any]:
        small = BatteryStorage("small", 400.0, 1.0, charge_efficiency=0.9, discharge_efficiency=0.8)
        large = BatteryStorage("large", 300.0, 600.0, 0.3, 0.1, idle_loss_percent=2.0, apparent_power_kva=800.0)
        limits = StorageDroopConfig(mode=mode, voltage_statistic=statistic, **config)  # type: ignore[arg-type]

        def attach(grid: OpenDSSGrid) -> None:
            grid.attach_storage(small, bus="675")
            grid.attach_storage(large, bus="633", connection_type="delta")

        def rig(grid: OpenDSSGrid, sites: Sites) -> list[Any]:
            places = {large: "633", small: "675"}
            return [LocalVoltageStorageDroopController(grid=grid, storages=places, config=limits, dt_s=dt_s)]

        return loop(two_sites(), rig, attach=attach)

    pairs = assert_engines_agree(
        [
            lambda: build("minimum", FIVE),
            lambda: build("mean", FIVE, deadband_pu=0.0, max_abs_output=150.0),
            lambda: build("latest", TWO, droop_gain_per_pu=2000.0, v_ref=1.02),
            lambda: build("minimum", Fraction(1), allow_negative_output=False, v_ref=1.01),
        ]
    )
    for single, run in pairs:
        output = run.trace.storage_kvar if mode == "qv" else run.trace.storage_kw
        assert np.ptp(output, axis=0).max() > 10.0
        states = {a.storage.name: a.storage.state for a in single.grid.setup.attached.storages}
        assert states["small"].soc != 0.5 or mode == "qv"
    if mode == "pv":
        assert min(s.soc for single, _ in pairs for s in single.storage["small"]) == pytest.approx(0.0, abs=1e-9)


def test_generators_and_loads_of_all_kinds() -> None:
    class Square(Generator):
        """A user's own profile with array arithmetic of its own."""

        def power_kw(self, t: float) -> float:
            return float(self.power_series_kw(np.array([t]))[0])

        def power_series_kw(self, time_s: np.ndarray) -> np.ndarray:
            return np.where(time_s % 20 < 10, 120.0, 30.0)

    def some(grid: OpenDSSGrid) -> None:
        grid.attach_generator(SyntheticPV(300.0, site_idx=1), bus="675")
        grid.attach_load(SyntheticLoad(200.0, site_idx=2), bus="680", power_factor=0.9)
        grid.attach_generator(Square(), bus="633", power_factor=0.95)

    def others(grid: OpenDSSGrid) -> None:
        grid.attach_load(SampledLoad([3.0, 20.0, 21.0], [10.0, 200.0, 0.0]), bus="632", power_factor=1.0)
        grid.attach_generator(ConstantGenerator(250.0), bus="671", power_factor=0.99)

    assert_engines_agree(
        [lambda a=attach: loop(two_sites(), each(droop), attach=a) for attach in (some, others, lambda grid: None)]  # type: ignore[misc]
    )


def test_delta_sites_and_windows_of_constant_power() -> None:
    options: list[dict[str, Any]] = [
        {"connection_type": "delta"},
        {"connection_type": "delta", "power_factor": 1.0, "constant_power_window_pu": (0.97, 1.01)},
        {"power_factor": 0.8, "constant_power_window_pu": (0.99, 1.03)},
    ]
    pairs = assert_engines_agree(
        [lambda o=o: loop(two_sites(), each(ofo), site_options=o, unserved="record") for o in options]  # type: ignore[misc]
    )
    assert [single.grid.served.unserved_steps > 0 for single, _ in pairs] == [False, True, True]


# --- sites


def test_a_controller_that_acts_every_ten_steps() -> None:
    data = InferenceData.ensure(None, SPECS, dt_s=0.1)

    def build(**config: Any) -> Coordinator[Any, Any]:
        sites = two_sites(data=data, dt_s=TENTH)
        return loop(sites, each(ofo, **config), duration_s=8, dt_s=TENTH)

    pairs = assert_engines_agree([build, lambda: build(dt_s=Fraction(1, 2), voltage_dual_step_size=0.01)])
    for _, run in pairs:
        stayed = np.diff(run.trace.sites["a"].batch_size, axis=0).any(axis=1)
        assert changes(run) > 0
        assert not stayed[np.arange(len(stayed)) % 5 != 0].any()


def test_training_runs_few_replicas_and_models_with_and_without_latency() -> None:
    ripple = TrainingTrace(np.arange(0.0, 12.0), 250.0 + 100.0 * np.sin(np.arange(12.0)))
    run = TrainingRun(n_gpus=1200, trace=ripple)
    training = run.at(t_start=5.0, t_end=17.0) | run.at(t_start=15.0, t_end=30.0)
    few = ReplicaSchedule(12).ramp_to(60, t_start=5.0, t_end=35.0)

    def build(a: dict[str, Any], b: dict[str, Any]) -> Coordinator[Any, Any]:
        return loop({"671": site("a", **a), "675": site("b", **b)}, each(droop, step_size=20.0))

    measured, flat, silent = {"data": MEASURED}, {"data": FLAT, "noise": 0.0}, {"data": SILENT}
    pairs = assert_engines_agree(
        [
            lambda: build(measured | {"training": training}, {"replicas": (few, 0), "noise": 0.0}),
            lambda: build(flat | {"replicas": (900, 200)}, silent | {"training": training}),
            lambda: build({"replicas": (few, ReplicaSchedule(3).ramp_to(0, t_start=9.0, t_end=9.0))}, silent),
        ]
    )
    assert all(changes(batch) > 0 for _, batch in pairs)
    itl_s = pairs[0][1].trace.sites["b"].itl_s
    assert len(np.unique(itl_s[:, 1])) > 30
    assert np.isnan(itl_s[:, 0]).all()
    assert np.isnan(pairs[1][1].trace.sites["b"].itl_s).all()


def test_loadings_follow_moved_taps() -> None:
    rigs = (
        lambda grid, sites: [schedule((4, LOW)), *each(droop)(grid, sites)],
        lambda grid, sites: [adaptive(grid, TWO, cooldown_s=2.0, v_min=1.0)],
    )
    pairs = assert_engines_agree([lambda rig=rig: loop(two_sites(), rig, record_loading=True) for rig in rigs])  # type: ignore[misc]
    for single, run in pairs:
        assert_loadings(single, run)


def assert_loadings(single: SingleRun, run: BatchRun) -> None:
    """Highest loading of every branch, which the record keeps in single precision, and when it was reached."""
    record, summary = single.grid.record, run.summary
    assert record.loading is not None
    assert summary is not None
    assert list(summary.branches) == list(record.loading.names)
    np.testing.assert_allclose(summary.loading_pu, record.loading_pu.max(axis=0), rtol=1e-6, atol=1e-6)
    at_worst = record.loading_pu[summary.loading_step, np.arange(len(summary.branches))]
    np.testing.assert_allclose(at_worst, record.loading_pu.max(axis=0), rtol=1e-6, atol=1e-6)
