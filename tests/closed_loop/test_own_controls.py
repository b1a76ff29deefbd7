"""The circuit's own controls on the batch engine against OpenDSS in time mode, step by step.

Random circuits whose RegControls and CapControls are set in every way that is modelled, random plans on the bundled
feeders, and what happens before the first step. `benchmarks/own_controls.py` counts many more.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from batch_parts import loop, site
from controlled_circuits import random_feeder, random_loop
from engine_pair import assert_engines_agree, assert_same_until_a_tie, compare, differences, run_single
from random_runs import build, random_tasks

from g2g_opt.assembly import assemble
from g2g_opt.batch.simulator import batch_key, run_batch
from g2g_opt.batch.unsupported import UnsupportedByBatch
from g2g_opt.coordinator import Coordinator
from g2g_opt.datacenter.config import ReplicaSchedule
from g2g_opt.datacenter.workloads.measurements import measured_spec
from g2g_opt.feeder import Feeder
from g2g_opt.grid.opendss import OpenDSSGrid
from g2g_opt.limits import Limits
from g2g_opt.plan import Plan
from g2g_opt.scenario import Scenario
from g2g_opt.simulation import Engine, simulate_runs
from g2g_opt.site import BASE_KW_PER_GPU, sized_site

CIRCUITS = Path(__file__).resolve().parent.parent / "circuits"
N_BUNDLED = int(os.environ.get("G2G_RANDOM_RUNS", "4"))
# Random circuits whose controls come to rest with the first draw, and then move something.
SEEDS = (0, 1, 2, 3, 4, 6, 8, 9, 11, 12, 13, 14, 15, 17, 19, 21, 25, 27, 28, 29)
# A trip of 3 MW at 850 changes voltages by more than 3 %: that is another limit's matter.
LIMITS = Limits(
    rapid_voltage_change_max_pu=None,
    rapid_voltage_change_trip_max_pu=None,
    unbalance_negative_sequence_max=None,
    unbalance_nema_max=None,
)


@pytest.mark.parametrize("seed", SEEDS)
def test_random_controls_do_what_opendss_makes_them_do(seed: int, tmp_path: Path) -> None:
    feeder = random_feeder(tmp_path, seed)
    (run,) = run_batch([random_loop(feeder, seed)], trace=[0])
    single = run_single(random_loop(feeder, seed))
    assert (single.failure, run.failure) == (None, None)
    compare(single, run)
    assert run.trace is not None
    assert np.ptp(run.trace.taps_pu, axis=0).max() > 0.0


@pytest.mark.parametrize("name", ["ieee13", "ieee34", "ieee123"])
def test_random_plans_under_own_control(name: str) -> None:
    feeder = Feeder.load(name)
    tasks = [(replace(plan, tap_mode="own control"), one) for plan, one in random_tasks(feeder, N_BUNDLED, seed=11)]
    kinds: dict[object, list[int]] = {}
    for i, task in enumerate(tasks):
        kinds.setdefault(batch_key(build(feeder, *task)), []).append(i)
    moves = 0
    for members in kinds.values():
        runs = run_batch([build(feeder, *tasks[i]) for i in members], trace=range(len(members)))
        for i, run in zip(members, runs, strict=True):
            assert_same_until_a_tie(run_single(build(feeder, *tasks[i])), run)
            assert run.trace is not None
            moves += int((np.abs(np.diff(run.trace.taps_pu, axis=0)) > 1e-6).sum())
    assert moves > 0


@pytest.mark.parametrize("name", ["a1_tapwinding", "a4_heavy_tapwdg1", "a5_equiv_wdg2"])
def test_a_changer_on_the_other_winding(name: str) -> None:
    feeder, ramp = Feeder.from_dss(CIRCUITS / f"{name}.dss"), ReplicaSchedule(50, ((2500, 5.0, 30.0),))
    ((_, run),) = assert_engines_agree([lambda: own_loop(feeder, replicas=(ramp, 60), duration_s=90)])
    assert run.trace is not None
    assert np.ptp(run.trace.taps_pu) > 0.0


def own_loop(feeder: Any, *, replicas: Any = (300, 60), duration_s: float = 40) -> Coordinator[Any, Any]:
    """A site on a circuit whose own controls act."""
    bus = "far" if isinstance(feeder, Feeder) else "671"
    return loop({bus: site("a", replicas)}, feeder=feeder, duration_s=duration_s, dss_controls=True)


# --- alone, in a batch, in any place


def test_a_scenario_is_the_same_alone_and_in_a_batch() -> None:
    """To the last bit, though its neighbours move their taps at other steps."""
    feeder = Feeder.load("ieee123")
    tasks = [(replace(plan, tap_mode="own control"), one) for plan, one in random_tasks(feeder, 24, seed=3)]
    kinds: dict[object, list[int]] = {}
    for i, task in enumerate(tasks):
        kinds.setdefault(batch_key(build(feeder, *task)), []).append(i)
    members = max(kinds.values(), key=len)
    together = run_batch([build(feeder, *tasks[i]) for i in members], trace=range(len(members)))
    moves = 0
    for k in (0, len(members) - 1):
        (alone,) = run_batch([build(feeder, *tasks[members[k]])], trace=[0])
        assert alone.trace is not None
        assert together[k].trace is not None
        assert differences(alone.trace, together[k].trace) == []
    for run in together:
        assert run.trace is not None
        moves += int((np.abs(np.diff(run.trace.taps_pu, axis=0)) > 1e-6).sum())
    assert moves > 0


# --- before the first step


@pytest.mark.parametrize("engine", ["batch", "opendss"])
def test_controls_have_come_to_rest_with_the_first_draw(engine: Engine) -> None:
    """850 of the 34-bus feeder carries 3 MW where its regulators stand as the load asks, not as the study left them."""
    spec = measured_spec("llama-3.1-70b", gpu="H100", task="lm-arena-chat")
    plan = Plan((sized_site("dc", "850", [(spec, 128)], 495, BASE_KW_PER_GPU),), tap_mode="own control")
    scenario = Scenario("day", 40, replica_share_start=1.0)
    (found,) = simulate_runs([(plan, scenario)], Feeder.load("ieee34"), LIMITS, engine=engine)
    assert (found.engine, found.failure) == (engine, None)
    assert found.summary.sites[0].power_peak_mw == pytest.approx(3.0, abs=0.02)
    assert [check.criterion for check in found.checks if not check.kept] == []


def test_no_control_moves_in_the_first_delay_of_a_steady_run() -> None:
    """What is settled is at rest: delays are 15 s, and the draw hardly changes."""
    ((single, run),) = assert_engines_agree([lambda: own_loop("ieee13", duration_s=14)])
    assert run.trace is not None
    assert np.ptp(run.trace.taps_pu, axis=0).max() == 0.0
    start = single.grid.setup.taps
    assert start is not None
    assert [start.regulators[name] for name in run.trace.regulators] != run.trace.taps_pu[0].tolist()


def test_measuring_slopes_lets_no_time_pass() -> None:
    run = own_loop("ieee13", duration_s=10)
    assert isinstance(run.grid, OpenDSSGrid)
    run.run()
    before, time_s = run.grid.tap_position, run.grid._running().command("Get sec")
    run.grid.estimate_sensitivity()
    run.grid.estimate_tap_sensitivity()
    assert run.grid.tap_position == before
    assert run.grid._running().command("Get sec") == time_s


# --- what is not modelled


def edited(feeder: Feeder, *commands: str) -> Feeder:
    return replace(feeder, commands=(*feeder.commands, *commands))


REMOTE = "Edit RegControl.creg1a bus=671.2 ptphase=2"
STEPPED = (
    "New Capacitor.two bus1=675 kv=4.16 kvar=[100 100] numsteps=2",
    "New CapControl.two element=Line.692675 capacitor=two",
)
SECOND = "New RegControl.again transformer=reg1a winding=2 vreg=120 band=2 ptratio=20"
LOAD = ("New Capacitor.one bus1=675 kv=4.16 kvar=300", "New CapControl.one element=Load.692 capacitor=one type=kvar")


@pytest.mark.parametrize(
    ("commands", "words"),
    [
        ((REMOTE,), "RegControl creg1a looks at phase 2 of a remote bus"),
        (STEPPED, "CapControl two switches a bank of 2 steps"),
        ((SECOND,), "RegControl again moves the same changer as creg1a"),
        (LOAD, "CapControl one looks at load.692"),
        (("New Relay.r MonitoredObj=Line.671692 type=voltage",), "relay.r"),
        (("Open Line.671692 1", "New SwtControl.s SwitchedObj=Line.671692 SwitchedTerm=1"), "swtcontrol.s"),
    ],
)
def test_what_is_not_modelled_is_named(commands: tuple[str, ...], words: str) -> None:
    feeder = edited(Feeder.load("ieee13"), *commands)
    run = loop({"671": site("a")}, feeder=feeder, dss_controls=True, duration_s=3)  # type: ignore[arg-type]
    with pytest.raises(UnsupportedByBatch, match=words):
        run_batch([run])


@pytest.mark.parametrize("stated", ["", "normal=closed", "state=closed", "action=open lock=yes", "state=open"])
def test_a_switch_that_stays_where_it_is_leaves_a_run_on_the_batch_engine(stated: str) -> None:
    switch = f"New SwtControl.s SwitchedObj=Line.671692 SwitchedTerm=1 {stated}"
    feeder = edited(Feeder.load("ieee13"), switch)
    asked: dict[str, Any] = {"feeder": feeder, "dss_controls": True, "duration_s": 120}
    (run,) = run_batch([loop({"671": site("a")}, **asked)], trace=[0])
    single = run_single(loop({"671": site("a")}, **asked))
    assert (single.failure, run.failure) == (None, None)
    compare(single, run)


def test_a_run_in_blocks_is_the_run_step_by_step_while_the_circuits_controls_act() -> None:
    """Without a controller of ours the sites' powers of many steps are handed over at once; controls act in between."""
    feeder = Feeder.load("ieee34")
    spec = measured_spec("llama-3.1-70b", gpu="H100", task="lm-arena-chat")
    plan = Plan((sized_site("dc", "850", [(spec, 128)], 300, BASE_KW_PER_GPU),), tap_mode="own control")
    scenario = Scenario(duration_s=200, replica_share_start=0.0, replica_ramps=((20.0, 60.0, 1.0), (100.0, 140.0, 0.2)))
    runs = [assemble(plan, scenario, feeder, Limits(), record_loading=True) for _ in range(2)]
    runs[0].coordinator.run()
    for _ in runs[1].coordinator.run_iter():
        pass
    blocks, steps = (run.grid.record for run in runs)
    assert len(blocks.tap_moves) > 3
    assert blocks.tap_moves == steps.tap_moves
    np.testing.assert_array_equal(blocks.voltage_pu, steps.voltage_pu)
    np.testing.assert_array_equal(blocks.loading_pu, steps.loading_pu)
