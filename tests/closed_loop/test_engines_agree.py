"""Commands do not hang on the engine: the very ones of OpenDSS in lockstep, where a looser solution gives others."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from engine_pair import assert_engines_agree, run_single

from g2g_opt.assembly import assemble
from g2g_opt.data_files import TRACE_DIR
from g2g_opt.grid.opendss import STUDY_TOLERANCE
from g2g_opt.limits import Limits
from g2g_opt.outcome import Engine
from g2g_opt.plan import AdaptiveTaps, Plan, Policy, StorageUnit
from g2g_opt.scenario import Scenario
from g2g_opt.scenario_draws import ScenarioRanges
from g2g_opt.simulation import simulate_runs
from g2g_opt.study_case import StudyCase
from g2g_opt.uncontrolled import replay_uncontrolled
from studies.shared.screening import ADMITTED, Screening, ScreeningRule, draw_candidates

# Ramps go both ways, and models begin at several sizes.
VARIED = ScenarioRanges(ramp_up_share=0.5, start_batch_sizes=(32, 64, 128))


def with_everything(name: str, place: int, duration_s: int) -> tuple[StudyCase, Plan, Scenario]:
    """OFO at every site of a case, with training, storage and taps that move, in one drawn scenario."""
    case = StudyCase.load(name)
    (scenario,) = draw_candidates(
        replace(case, training_gpu_share=(0.2, 1.0 / 3.0)),
        Scenario(duration_s=duration_s),
        VARIED,
        "test",
        place,
        1,
    )
    plan = replace(
        case.plan,
        policy=Policy("ofo", adaptive_taps=AdaptiveTaps(Fraction(5), 60.0)),
        storage=tuple(StorageUnit(site.bus, 100.0, 50.0, "qv") for site in case.plan.sites),
    )
    return case, plan, scenario


# Both parted by a command in this quarter of an hour at 1e-6 pu.
@pytest.mark.parametrize(("name", "place"), [("ieee13", 10_006), ("ieee123", 10_003)])
def test_commands_are_those_of_opendss_until_the_end(name: str, place: int) -> None:
    case, plan, scenario = with_everything(name, place, 900)
    ((single, run),) = assert_engines_agree([lambda: assemble(plan, scenario, case.feeder, Limits()).coordinator])
    assert run.trace is not None
    voltage_pu = np.abs(run.trace.voltage_pu - single.grid.record.voltage_pu)
    assert voltage_pu[:, single.grid.monitored_columns].max() < 1e-8
    assert sum((np.diff(site.batch_size, axis=0) != 0).sum() for site in run.trace.sites.values()) > 5


def test_opendss_solved_loosely_parts_from_itself() -> None:
    case, plan, scenario = with_everything("ieee13", 10_006, 900)

    def sizes(tolerance: float) -> np.ndarray:
        run = run_single(assemble(plan, scenario, case.feeder, Limits(), tolerance=tolerance).coordinator)
        return np.concatenate([np.asarray(run.site(site.name).batch_size) for site in run.coordinator.datacenters], 1)

    usual = sizes(STUDY_TOLERANCE)
    np.testing.assert_array_equal(usual, sizes(1e-12))
    assert (usual != sizes(1e-6)).any(), "the study's tolerance is tighter than it has to be"


def test_screening_leaves_out_nothing_that_its_verdicts_are_made_of() -> None:
    case = StudyCase.load("ieee13")
    scenarios = draw_candidates(case, Scenario(duration_s=120), VARIED, "test", 0, 6)
    rows = Screening(case, ScreeningRule(0.01, 0.1), Limits(), Path(TRACE_DIR)).screen("test", scenarios)
    assert ADMITTED in {row.verdict for row in rows}
    for policy, of_row in ((Policy(), "none_pu_s"), (Policy("ofo"), "ofo_pu_s")):
        whole = simulate_runs([(replace(case.plan, policy=policy), s) for s in scenarios], case.feeder, Limits())
        assert all(run.summary.uncontrolled_peak_mw > 0.0 for run in whole)
        for row, run in zip(rows, whole, strict=True):
            kept = getattr(row, of_row)
            assert kept is None or kept == run.voltage.integral_violation_pu_s


def test_a_fleet_that_is_left_alone_is_its_own_uncontrolled_fleet() -> None:
    """Nothing is replayed beside a run whose policy leaves fleets alone: its own figures are those of a replay."""
    case, plan, scenario = with_everything("ieee13", 10_006, 300)
    alone = replace(plan, policy=plan.policy.of_the_grid)
    engines: tuple[Engine, ...] = ("batch", "opendss")
    for engine in engines:
        runs = simulate_runs([(alone, scenario), (plan, scenario)], case.feeder, Limits(), engine=engine)
        for run in runs:
            for site, seen in zip(plan.sites, run.summary.sites, strict=True):
                replayed = replay_uncontrolled(site, scenario, TRACE_DIR)
                assert seen.uncontrolled_peak_mw == replayed.power_peak_mw
                assert seen.uncontrolled_tps == pytest.approx(replayed.throughput_tps, rel=1e-12)
        # Of the fleet under OFO, which serves less, they are those of the one that is left alone.
        assert runs[0].summary.throughput_share == 1.0 > runs[1].summary.throughput_share
