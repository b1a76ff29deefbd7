"""Every controller and every kind of attachment in a batch, against the same run on OpenDSS, step by step.

Scenarios of one test run side by side in one batch, with different settings.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from batch_parts import BAND, LABELS, SPECS, droop, loop, ofo, site
from engine_pair import assert_engines_agree
from two_sites import FIVE, LOW, TWO, Sites, adaptive, changes, each, schedule, two_sites

from g2g_opt.batch.grids import Grids
from g2g_opt.batch.simulator import BatchRun
from g2g_opt.controller.batch_size_schedule import BatchSizeChange, BatchSizeScheduleController
from g2g_opt.controller.load_shift import LoadShiftConfig, LoadShiftController
from g2g_opt.controller.noop import NoopController
from g2g_opt.coordinator import Coordinator
from g2g_opt.datacenter.config import ReplicaSchedule
from g2g_opt.datacenter.offline import OfflineDatacenter
from g2g_opt.grid.opendss import OpenDSSGrid
from g2g_opt.tap_position import TapPosition

Build = Callable[[], Coordinator[Any, Any]]


def moves(run: BatchRun) -> int:
    """How often a tap moved."""
    assert run.trace is not None
    return int(np.count_nonzero(np.diff(run.trace.taps_pu, axis=0)))


# --- batch sizes


def test_without_a_controller_and_with_one_that_does_nothing() -> None:
    pairs = assert_engines_agree(
        [lambda: loop(two_sites()), lambda: loop(two_sites(), lambda grid, sites: [NoopController(Fraction(5))])]
    )
    np.testing.assert_array_equal(pairs[0][1].trace.voltage_pu, pairs[1][1].trace.voltage_pu)


def test_ofo_with_other_tunings_and_slopes_measured_again_and_again() -> None:
    gentle = {"voltage_dual_step_size": 0.01, "primal_step_size": 0.03}
    tunings: list[dict[str, Any]] = [
        {},
        gentle | {"w_throughput": 0.01},
        gentle | {"sensitivity_update_interval": 4, "sensitivity_perturbation_kw": 20.0},
        gentle | {"w_switch": 1.0, "v_max": 1.03, "latency_dual_step_size": 3.0},
        {"v_min": 0.95, "v_max": 1.03, "dt_s": FIVE, "sensitivity_update_interval": 2},
    ]
    pairs = assert_engines_agree([lambda t=t: loop(two_sites(), each(ofo, **t)) for t in tunings])  # type: ignore[misc]
    assert all(changes(run) >= 4 for _, run in pairs)
    assert len({changes(run) for _, run in pairs}) > 1


def test_slopes_are_measured_when_and_as_by_the_single_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sites grow, so slopes measured at another step would be others."""
    batch: list[np.ndarray] = []
    single: list[np.ndarray] = []
    in_batch, on_opendss = Grids.slopes, OpenDSSGrid.estimate_sensitivity

    def note_batch(*arguments: Any) -> np.ndarray:
        batch.append(in_batch(*arguments))
        return batch[-1]

    def note_single(*arguments: Any, **options: Any) -> tuple[np.ndarray, np.ndarray]:
        slopes, v0 = on_opendss(*arguments, **options)
        single.append(slopes)
        return slopes, v0

    monkeypatch.setattr(Grids, "slopes", note_batch)
    monkeypatch.setattr(OpenDSSGrid, "estimate_sensitivity", note_single)

    def build() -> Coordinator[Any, Any]:
        grows = ReplicaSchedule(100).ramp_to(2500, t_start=0.0, t_end=30.0)
        sites = {"671": site("a", (grows, 100)), "675": site("b", (grows, 10))}
        return loop(
            sites,
            each(ofo, sensitivity_update_interval=7, v_min=0.9),
            duration_s=30,
            site_options={"power_factor": 0.9},
        )

    pairs = assert_engines_agree([build])
    columns = pairs[0][0].grid.monitored_columns
    assert (len(batch), len(single)) == (5, 10)
    got = np.array([slopes[columns][:, :, k] for slopes in batch for k in range(2)])
    np.testing.assert_allclose(got, single, rtol=0, atol=1e-10)
    assert np.abs(got[2:] - got[:-2]).max(axis=(1, 2)).min() > 1e-7


def test_droop_that_looks_at_a_zone_or_past_some_buses() -> None:
    tunings: list[dict[str, Any]] = [
        {},
        {"step_size": 3.0},
        {"zone_buses": ["675"], "step_size": 30.0},
        {"zone_buses": ["632"], "v_max": 1.07},
        {"exclude_buses": ["675", "671"], "deadband": 0.002},
        {"v_min": 0.95, "v_max": 1.03, "latency_guard": False, "dt_s": TWO},
    ]
    pairs = assert_engines_agree([lambda t=t: loop(two_sites(), each(droop, **t)) for t in tunings])  # type: ignore[misc]
    assert [changes(run) > 0 for _, run in pairs] == [True, True, True, False, True, True]


def test_two_kinds_of_controllers_side_by_side_and_at_different_places_of_the_list() -> None:
    def ofo_first(grid: OpenDSSGrid, sites: Sites) -> list[Any]:
        return [ofo(grid, sites["671"]), NoopController(), droop(grid, sites["675"], dt_s=TWO)]

    def droop_first(grid: OpenDSSGrid, sites: Sites) -> list[Any]:
        return [droop(grid, sites["675"]), ofo(grid, sites["671"], voltage_dual_step_size=0.02)]

    pairs = assert_engines_agree([lambda rig=rig: loop(two_sites(), rig) for rig in (ofo_first, droop_first)])  # type: ignore[misc]
    assert all(changes(run) > 0 for _, run in pairs)


def test_batch_size_schedules() -> None:
    def rig(*times: float) -> Callable[[OpenDSSGrid, Sites], list[Any]]:
        # Of two changes at one time the later entry counts.
        small = BatchSizeChange(256).at(times[0]) | BatchSizeChange(32).at(times[0]) | BatchSizeChange(8).at(times[1])
        schedules = {LABELS[0]: small, LABELS[1]: BatchSizeChange(512).at(times[0])}
        return lambda grid, sites: [
            BatchSizeScheduleController(datacenter=sites["675"], schedules=schedules),
            BatchSizeScheduleController(datacenter=sites["671"], schedules={LABELS[0]: small}, dt_s=FIVE),
        ]

    pairs = assert_engines_agree([lambda t=t: loop(two_sites(), rig(*t)) for t in ((0, 11), (7.5, 8), (37, 60))])  # type: ignore[misc]
    assert [changes(run) for _, run in pairs] == [5, 3, 2]


# --- taps


def test_tap_schedules_alone_and_before_and_after_other_controllers() -> None:
    rigs: list[Callable[[OpenDSSGrid, Sites], list[Any]]] = [
        lambda grid, sites: [schedule((5, {"creg1a": 1.05}), (5, {"creg1b": 1.0}), (20.5, {"creg1c": 1.0}))],
        lambda grid, sites: [schedule((12, LOW), (13, {"creg1a": 1.1})), *each(droop)(grid, sites)],
        lambda grid, sites: [*each(ofo, voltage_dual_step_size=0.02)(grid, sites), schedule((3, LOW), dt_s=FIVE)],
        lambda grid, sites: [schedule((0, LOW)), schedule((9, {"creg1a": 1.0625}), dt_s=TWO)],
    ]
    pairs = assert_engines_agree([lambda rig=rig: loop(two_sites(), rig) for rig in rigs])  # type: ignore[misc]
    assert [moves(run) for _, run in pairs] == [3, 4, 3, 4]


def test_of_two_controllers_of_one_regulator_the_later_in_the_list_has_the_last_word() -> None:
    def rig(schedule_first: bool) -> Callable[[OpenDSSGrid, Sites], list[Any]]:
        def controllers(grid: OpenDSSGrid, sites: Sites) -> list[Any]:
            listed = [schedule((5, LOW)), adaptive(grid, FIVE, cooldown_s=0.0, v_min=1.02, v_max=1.1)]
            return listed if schedule_first else listed[::-1]

        return controllers

    builds: list[Build] = [lambda first=first: loop(two_sites(), rig(first)) for first in (True, False)]  # type: ignore[misc]
    ends = [run.trace.taps_pu[6].tolist() for _, run in assert_engines_agree(builds)]
    assert ends[1] == [1.0] * 3
    assert sum(ends[0]) > 3.0


def test_taps_that_move_in_the_step_in_which_slopes_are_measured() -> None:
    def rig(grid: OpenDSSGrid, sites: Sites) -> list[Any]:
        gentle = {"voltage_dual_step_size": 0.003, "sensitivity_update_interval": 5}
        return [schedule((5, LOW)), *each(ofo, **gentle)(grid, sites)]

    assert_engines_agree([lambda: loop(two_sites(), rig)])


def test_adaptive_taps_that_rest_and_look_after_their_own_buses() -> None:
    served = {"creg1a": ["671"], "creg1b": ["675", "680"], "creg1c": []}
    rigs: list[Callable[[OpenDSSGrid, Sites], list[Any]]] = [
        lambda grid, sites: [adaptive(grid, TWO, cooldown_s=8.0, v_min=0.96, v_max=1.03), *each(droop)(grid, sites)],
        lambda grid, sites: [adaptive(grid, Fraction(1), cooldown_s=3.0, margin_pu=0.02)],
        lambda grid, sites: [adaptive(grid, FIVE, served, cooldown_s=0.0, v_min=1.01, v_max=1.06)],
        lambda grid, sites: [adaptive(grid, Fraction(1), cooldown_s=0.0, v_min=0.99, v_max=1.2)],
    ]
    pairs = assert_engines_agree([lambda rig=rig: loop(two_sites(), rig) for rig in rigs])  # type: ignore[misc]
    assert all(moves(run) >= 2 for _, run in pairs)
    assert len({moves(run) for _, run in pairs}) > 2


def test_adaptive_taps_of_several_banks() -> None:
    def build(v_max: float, served: dict[str, list[str]] | None) -> Coordinator[Any, Any]:
        sites = {"80": site("a", (300, 60)), "29": site("b", (200, 50))}
        taps = TapPosition(regulators={"creg4a": 1.0, "creg4b": 1.0, "creg4c": 1.0})
        return loop(
            sites,
            lambda grid, _: [adaptive(grid, TWO, served, v_min=2.0 - v_max, v_max=v_max, cooldown_s=5.0)],
            feeder="ieee123",
            duration_s=30,
            initial_tap_position=taps,
        )

    served = {"creg4a": ["80", "67"], "creg4b": ["80"], "creg2a": ["29"], "creg1a": []}
    pairs = assert_engines_agree([lambda: build(1.02, None), lambda: build(1.02, served), lambda: build(1.2, None)])
    assert [moves(run) > 0 for _, run in pairs] == [True, True, False]


# --- replicas


def shift(grid: OpenDSSGrid, sites: Sites, gpus: int = 16, enabled: bool = True) -> LoadShiftController:
    return LoadShiftController(
        config=LoadShiftConfig(enabled, gpus),
        dt_s=TWO,
        datacenters=list(sites.values()),
        grid=grid,
        models_by_dc=dict.fromkeys(sites.values(), LABELS),
        gpus_per_replica_by_model={spec.model_label: spec.gpus_per_replica for spec in SPECS},
        feasible_batch_sizes_by_model={spec.model_label: spec.feasible_batch_sizes for spec in SPECS},
        **BAND,
    )


def test_load_shift_moves_replicas_once_batch_sizes_are_at_their_limits() -> None:
    def sites(**options: Any) -> dict[str, OfflineDatacenter]:
        ramp = ReplicaSchedule(400).ramp_to(350, t_start=10.0, t_end=30.0)
        return {
            "671": site("a", (1000, 200), batch=(8, 8), **options),
            "632": site("b", (ramp, 100), batch=(512, 512), **options),
        }

    rigs: list[Callable[[OpenDSSGrid, Sites], list[Any]]] = [
        lambda grid, s: [shift(grid, s)],
        lambda grid, s: [*each(droop, step_size=200.0)(grid, s), shift(grid, s, 8)],
        lambda grid, s: [*each(ofo)(grid, s), shift(grid, s, 32)],
        lambda grid, s: [shift(grid, s, enabled=False)],
    ]
    pairs = assert_engines_agree([lambda rig=rig: loop(sites(), rig) for rig in rigs])  # type: ignore[misc]
    unshifted = pairs[3][1].trace.sites
    for _, run in pairs[:3]:
        gone = unshifted["a"].replicas - run.trace.sites["a"].replicas
        come = run.trace.sites["b"].replicas - unshifted["b"].replicas
        assert gone.max() > 0
        np.testing.assert_array_equal(gone, come)


def test_shifted_replicas_need_not_fit_beside_a_schedule_after_the_end_of_the_run() -> None:
    def build() -> Coordinator[Any, Any]:
        later = ReplicaSchedule(400).ramp_to(600, t_start=100.0, t_end=100.0)
        heavy, full = site("a", (1000, 200), batch=(8, 8)), site("b", (later, 100), batch=(512, 512), spare_gpus=0)
        return loop({"671": heavy, "632": full}, lambda grid, sites: [shift(grid, sites)])

    _, run = assert_engines_agree([build])[0]
    assert changes(run, "replicas") > 0
