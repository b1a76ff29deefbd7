"""Controllers compared on a study case: screened scenarios, both engines, the same questions by hand."""

from __future__ import annotations

import csv
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from matplotlib import pyplot as plt
from study_run import results_of

from g2g_opt.assembly import assemble
from g2g_opt.errors import InputError
from g2g_opt.feeder_policy import FeederPolicy, PolicyOutput
from g2g_opt.grid.judged_voltages import JudgedVoltages
from g2g_opt.grid.record import GridRecord
from g2g_opt.limits import Limits
from g2g_opt.plan import AdaptiveTaps, Policy, StorageUnit
from g2g_opt.scenario import Scenario
from g2g_opt.scenario_draws import ScenarioRanges, draw_scenario
from g2g_opt.scenario_library import ScenarioLibrary
from g2g_opt.simulation import simulate
from g2g_opt.simulation_log import SimulationLog
from g2g_opt.study_case import StudyCase
from studies.controllers.choices import ControllerChoice, ParameterSweep
from studies.controllers.published import published_per_site
from studies.controllers.rows import GUIDE_METRICS, ControllerRun, Trajectory, pareto_front
from studies.controllers.study import ControllersStudy
from studies.scenario_library.study import LibraryStudy
from studies.shared.conclusion import Conclusion
from studies.shared.paired import bootstrap_draws, mean_and_interval, saved_and_interval
from studies.shared.screening import ScreeningRule
from studies.shared.task import Question, TaskResult
from studies.shared.typed_rows import gather_as
from studies.simulation_log.figures import draw_run

pytestmark = pytest.mark.xdist_group("controllers study")  # one worker, so that the study is run once

# Two minutes, in which ramps and training still happen (they stretch with the run).
BASE = Scenario(duration_s=120, dt_s=Fraction(1), seed=5)
LENIENT = ScreeningRule(0.01, 0.1)


def answered(question: Question) -> tuple[Conclusion, tuple[TaskResult, ...]]:
    """A study run here, stage by stage."""
    question.check()
    results = results_of(question)
    return question.conclude(results), results


def table(conclusion: Conclusion, name: str) -> list[dict[str, object]]:
    return [dict(row) for one in conclusion.tables if one.name == name for row in one.rows]


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    study = LibraryStudy(case="ieee13", n_train=4, n_test=10, kept_test=4, rule=LENIENT, scenario=BASE)
    conclusion, _ = answered(study)
    file = tmp_path_factory.mktemp("library") / "library.csv"
    file.write_text(conclusion.texts["library.csv"], encoding="utf-8")
    return file


def test_a_library_is_screened_split_and_beside_the_published_one(library: Path) -> None:
    found = ScenarioLibrary.load(library)
    train, test = found.of_split("train"), found.of_split("test")
    assert train
    assert 1 <= len(test) <= 4
    assert not {entry.scenario.seed for entry in train} & {entry.scenario.seed for entry in test}
    case = StudyCase.load("ieee13")
    entry = test[0]
    for kind, expected in (("none", entry.none_pu_s), ("ofo", entry.ofo_pu_s)):
        plan = replace(case.plan, policy=Policy(kind))  # type: ignore[arg-type]
        ((run,),) = simulate([plan], [entry.scenario], case.feeder, Limits())
        assert run.voltage.integral_violation_pu_s == expected
    assert entry.ofo_pu_s <= 0.9 * entry.none_pu_s


def test_a_rule_that_nothing_passes_ends_in_words_and_no_file() -> None:
    study = LibraryStudy(case="ieee13", n_train=0, n_test=3, rule=ScreeningRule(1e6, 0.7), scenario=BASE)
    conclusion, _ = answered(study)
    assert conclusion.answer.startswith("None of 3 candidates passes")
    assert conclusion.texts == {}
    # What is missing ends the command with status 1, so that nothing goes on without a library.
    (missing,) = conclusion.failures
    assert missing.what == "the library"
    assert missing.reason.startswith(
        "no candidate passes; screen more of them, or by another rule (--violation-min-pu-s"
    )


def test_a_comparison_without_a_scenario_says_what_is_missing() -> None:
    study = ControllersStudy(n_candidates=2, rule=ScreeningRule(1e6, 0.7), scenario=BASE)
    conclusion, _ = answered(study)
    assert conclusion.answer == "Nothing can be compared: no scenario to test with passed the screening."
    assert [one.what for one in conclusion.failures] == ["the comparison"]
    assert "--violation-min-pu-s" in conclusion.failures[0].reason


def test_controllers_are_compared_in_the_same_scenarios(library: Path) -> None:
    study = ControllersStudy(
        library=str(library),
        n_scenarios=3,
        sweeps=(ParameterSweep.parse("ofo:w_throughput=0.0001,0.01"),),
        controllers=tuple(ControllerChoice.parse(kind) for kind in ("none", "droop", "ofo")),
    )
    conclusion, results = answered(study)
    runs = [ControllerRun.from_row(row) for result in results for row in result.rows("runs")]
    scenarios = [entry.scenario for entry in ScenarioLibrary.load(library).of_split("test")[:3]]
    assert len(runs) == 5 * len(scenarios)
    means = {row["controller"]: row for row in table(conclusion, "means")}
    assert list(means) == ["none", "droop", "ofo", "ofo:w_throughput=0.0001", "ofo:w_throughput=0.01"]
    for name, row in means.items():
        own = [run.integral_violation_pu_s or 0.0 for run in runs if run.controller == name]
        assert row["integral_violation_pu_s"] == pytest.approx(np.mean(own))
        assert row["integral_violation_pu_s_low"] <= row["integral_violation_pu_s"]  # type: ignore[operator]
        none = [run.integral_violation_pu_s or 0.0 for run in runs if run.controller == "none"]
        assert row["recovery"] == pytest.approx(1.0 - np.mean(own) / np.mean(none))
        # No share of sums is outside the shares of the single scenarios.
        shares = 1.0 - np.array(own) / np.array(none)
        ends = shares.min() - 1e-9, row["recovery_low"], row["recovery"], row["recovery_high"], shares.max() + 1e-9
        assert list(ends) == sorted(ends)  # type: ignore[type-var]
    # 0.0001 is the case's own weight: the same controller by another name.
    same = {run.scenario: run.integral_violation_pu_s for run in runs if run.controller == "ofo"}
    for run in runs:
        if run.controller == "ofo:w_throughput=0.0001":
            assert run.integral_violation_pu_s == same[run.scenario]
    assert means["ofo"]["integral_violation_pu_s"] < means["none"]["integral_violation_pu_s"]  # type: ignore[operator]
    # What is recorded one by one on OpenDSS is the same run.
    for row in table(conclusion, "engines"):
        assert row["opendss_pu_s"] == pytest.approx(row["batch_pu_s"], abs=2e-3)
        assert row["opendss_switches"] == row["batch_switches"]
    rows = list(csv.DictReader(conclusion.texts["guide_metrics.csv"].splitlines()))
    assert tuple(rows[0]) == ("mode", "scenario", *GUIDE_METRICS)
    assert len(rows) == len(runs)
    assert any(chart.title.startswith("Batch size of") for chart in conclusion.charts)
    assert conclusion.warnings == ()
    (words,) = replace(study, shown="lost").conclude(results).warnings
    assert words.startswith("scenario 'lost' (--show) is none of those that have answers; trajectories are those of")
    # Voltages are drawn beside the band of the question.
    other = replace(study, limits=Limits(voltage_min_pu=0.94, voltage_max_pu=1.04)).conclude(results)
    assert [chart.limits for chart in other.charts if chart.title.startswith("Voltages in")] == [(0.94, 1.04)]


def test_published_tokens_of_several_sites_are_said_to_be_a_mean_over_sites() -> None:
    assert published_per_site(StudyCase.load("ieee13")) == ()
    (words,) = published_per_site(StudyCase.load("ieee123"))
    assert "1/4 of what the sites serve together" in words


def test_thinned_trajectories_hold_the_extremes_in_between(library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = ControllersStudy(library=str(library), n_scenarios=1, controllers=(ControllerChoice("none"),))
    of_every_step = answered(study)[1]
    monkeypatch.setattr("studies.controllers.study._POINTS", 10)
    thinned = answered(study)[1]

    def trajectory(results: tuple[TaskResult, ...]) -> Trajectory:
        (row,) = gather_as(results, "trajectories", Trajectory)
        return row

    whole, drawn = trajectory(of_every_step), trajectory(thinned)
    assert (len(whole.time_s), len(drawn.time_s)) == (120, 10)
    assert np.array_equal(drawn.lowest_pu, whole.lowest_pu.reshape(10, 12).min(axis=1))
    assert np.array_equal(drawn.highest_pu, whole.highest_pu.reshape(10, 12).max(axis=1))


# All that a site, a scenario and a policy may have acts in one run.
EVERYTHING = (
    Policy("ofo", load_shift_gpus=8, adaptive_taps=AdaptiveTaps(Fraction(5), 30.0)),
    Policy("droop", tap_schedule=((40.0, "creg2a", 1.0), (80.0, "creg2a", 1.0625))),
)


@pytest.mark.parametrize("policy", EVERYTHING, ids=["ofo", "droop"])
def test_engines_agree_with_training_storage_shifts_and_taps_in_play(policy: Policy) -> None:
    case = StudyCase.load("ieee34")
    trained = replace(case, training_gpu_share=(0.2, 0.3))
    scenario = draw_scenario(trained, BASE, ScenarioRanges(), "all of it", 11)
    assert scenario.training
    plan = replace(case.plan, policy=policy, storage=(StorageUnit("848", 300.0, 600.0, "qv"),))
    both = [simulate([plan], [scenario], case.feeder, Limits(), engine=engine)[0][0] for engine in ("batch", "opendss")]  # type: ignore[arg-type]
    batch, opendss = both
    assert batch.engine == "batch"
    assert [site.batch_switches for site in batch.summary.sites] == [s.batch_switches for s in opendss.summary.sites]
    assert batch.summary.throughput_tps == pytest.approx(opendss.summary.throughput_tps, rel=1e-9)
    assert np.abs(batch.summary.lowest_pu - opendss.summary.lowest_pu).max() < 1e-5
    assert np.abs(batch.summary.highest_pu - opendss.summary.highest_pu).max() < 1e-5


def test_a_picture_of_any_run_has_a_panel_for_what_it_has() -> None:
    case = StudyCase.load("ieee13")
    scenario = replace(draw_scenario(case, BASE, ScenarioRanges(), "drawn", 3))
    run = assemble(replace(case.plan, policy=Policy("ofo")), scenario, case.feeder, Limits())
    log = run.coordinator.run()
    figure = draw_run(log, exclude_buses=case.feeder.exclude_buses)
    axes = {axis.get_ylabel(): axis for axis in figure.axes}
    assert list(axes)[:5] == ["voltages (pu)", "power (MW)", "batch size", "latency (ms per token)", "tap ratio (pu)"]
    drawn = {line.get_label(): line.get_ydata() for line in axes["batch size"].lines}
    record = run.datacenters["campus"].record
    assert set(drawn) == set(record.labels)
    assert np.array_equal(drawn[record.labels[0]], record.batch_size[:, 0])
    plt.close(figure)


def test_a_dip_of_one_step_is_in_the_picture_of_a_long_run() -> None:
    record = GridRecord([("671", 1)], JudgedVoltages.to_ground([("671", 1)], np.array([100.0])), 0, lambda *_: None)
    volts = np.full((4000, 1), 100.0, dtype=np.complex128)
    volts[1003] = 90.0
    record.append_block([float(k) for k in range(4000)], volts, np.zeros((4000, 0)), np.zeros((4000, 0)))
    for states in (record, list(record)):
        figure = draw_run(SimulationLog(grid_states=states))
        (envelope,) = figure.axes[0].collections
        lowest, highest = envelope.get_datalim(figure.axes[0].transData).intervaly
        assert lowest == pytest.approx(0.9)
        assert highest == pytest.approx(1.0)
        plt.close(figure)


def test_a_log_without_a_state_is_refused() -> None:
    with pytest.raises(InputError, match="no state of a grid"):
        draw_run(SimulationLog())


# --- bad input


def trained_policy(tmp_path: Path, **changes: object) -> Path:
    output = PolicyOutput("campus", "Llama-3.1-8B-Instruct", (8, 16), (0.0, 1.0))
    text = FeederPolicy((), (output,), (0.5,), ((),), feeder="ieee34").to_json()
    file = tmp_path / "policy.json"
    file.write_text(text.replace("0.5", str(changes.get("offset", 0.5))), encoding="utf-8")
    return file


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("dropp", "controller 'dropp' not found.*droop"),
        ("schedule", "controller 'schedule' not found"),
        ("ofo:w_throughput", "cannot be read"),
        ("ofo:w_throughput=nan", "no finite number"),
        ("ofo:load-shift=7", "whole servers"),
    ],
)
def test_controllers_that_there_are_not(text: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        ControllerChoice.parse(text).policy()


def test_what_does_not_fit_is_refused_before_a_run(library: Path, tmp_path: Path) -> None:
    study = ControllersStudy(library=str(library), controllers=(ControllerChoice("none"),))

    def refused(words: str, **changes: object) -> None:
        with pytest.raises(InputError, match=words):
            replace(study, **changes).check()  # type: ignore[arg-type]

    refused("is of the case ieee13, not ieee34", case="ieee34")
    refused("setting 'gain' not found", controllers=(ControllerChoice.parse("ofo:gain=1"),))
    refused("is none of those of the library", shown="nothing")
    refused("name a controller", controllers=())
    refused("not found", library=str(tmp_path / "none.csv"))
    refused("ieee34", controllers=(ControllerChoice.parse(f"contextual:file={trained_policy(tmp_path)}"),))
    nan = trained_policy(tmp_path, offset="NaN")
    refused("offset", controllers=(ControllerChoice.parse(f"contextual:file={nan}"),))
    only_train = tuple(replace(entry, split="train") for entry in ScenarioLibrary.load(library).scenarios)
    file = tmp_path / "train.csv"
    file.write_text(ScenarioLibrary("ieee13", only_train).to_csv(), encoding="utf-8")
    refused("has no scenario to test with", library=str(file))


def test_a_share_that_is_saved_has_an_interval_where_there_is_something_to_save() -> None:
    draws = bootstrap_draws(50, 1)
    whole = np.linspace(1.0, 9.0, 50)
    assert saved_and_interval(0.2 * whole, whole, draws) == pytest.approx((0.8, 0.8, 0.8))
    share, low, high = saved_and_interval(np.full(50, 1.0), whole, draws) or (0.0,) * 3
    assert share == pytest.approx(0.8)
    assert low < share < high
    assert saved_and_interval(whole, np.zeros(50), draws) is None


def test_the_front_holds_what_nothing_beats() -> None:
    points = [(1.0, 5.0), (2.0, 6.0), (2.0, 5.5), (0.5, 5.0), (2.0, 6.0)]
    assert pareto_front(points) == [False, True, False, True, True]
    values = np.arange(40.0)
    mean, low, high = mean_and_interval(values, bootstrap_draws(len(values), 1))
    assert low < mean == 19.5 < high
    assert high - low == pytest.approx(2 * 1.96 * values.std() / np.sqrt(40), rel=0.1)
