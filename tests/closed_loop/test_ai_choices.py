"""AI choices on a feeder: sizes and ranges beside the published ones, simulated fleets, and what a bus hosts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from types import SimpleNamespace
from typing import cast

import pytest

from g2g_opt.datacenter.workloads.feasible_power import feasible_power_range_kw
from g2g_opt.errors import InputError
from g2g_opt.limits import Limits
from g2g_opt.outcome import Outcome
from g2g_opt.plan import Plan, Policy
from g2g_opt.scenario import Scenario, TrainingOverlay
from g2g_opt.simulation import simulate
from solvers.largest_feasible import LargestFeasible
from studies.ai_choices.answer import conclusion_of
from studies.ai_choices.choices import PUBLISHED_CHOICES, AIChoice
from studies.ai_choices.question import PUBLISHED_HOUR
from studies.ai_choices.rows import ChoiceRow, HostedRow
from studies.ai_choices.study import AIChoicesStudy, logistic_power_w
from studies.shared.task import TaskResult

# One worker, so that the study is run once.
pytestmark = pytest.mark.xdist_group("ai choices")

BRIEF = Scenario(
    "brief",
    60,
    Fraction(2),
    Fraction(2),
    replica_share_start=1.0,
    replica_ramps=((40.0, 50.0, 0.5),),
    standing_power=False,
    training=(TrainingOverlay(10.0, 30.0, n_gpus=2400, shape="plateaus"),),
)


def named(name: str, comparison: str) -> int:
    return next(k for k, c in enumerate(PUBLISHED_CHOICES) if (c.name, c.comparison) == (name, comparison))


# OpenG2G paper: 4,800 replicas of Qwen 3 8B on H100 (section 5), 906 and 991 of table 8.
@pytest.mark.parametrize(
    ("name", "comparison", "published"),
    [
        ("Qwen3-8B bfloat16 1xH100", "GPU, Qwen3-8B", 4800),
        ("Qwen3-235B-A22B-Thinking-2507 bfloat16 8xH100", "precision, Thinking on 8 H100", 906),
        ("Qwen3-235B-A22B-Thinking-2507 bfloat16 4xB200", "precision, Thinking on 4 B200", 991),
    ],
)
def test_fleets_of_equal_peak_have_the_published_sizes(name: str, comparison: str, published: int) -> None:
    study = AIChoicesStudy()
    n_replicas = study.n_replicas(named(name, comparison))
    assert n_replicas == pytest.approx(published, rel=0.03)
    # Its 8-bit sibling runs as many.
    twins = [k for k, c in enumerate(PUBLISHED_CHOICES) if c.comparison == comparison and c.sized_as_first]
    assert [study.n_replicas(k) for k in twins] == [n_replicas] * len(twins)


# OpenG2G paper, table 8 (990 by the form, 991 published): fleets and ranges follow from the logistic form.
@pytest.mark.parametrize(
    ("name", "comparison", "replicas", "range_mw"),
    [
        ("Qwen3-235B-A22B-Thinking-2507 bfloat16 8xH100", "precision, Thinking on 8 H100", 906, 0.55),
        ("Qwen3-235B-A22B-Thinking-2507-FP8 fp8 8xH100", "precision, Thinking on 8 H100", 906, 0.24),
        ("Qwen3-235B-A22B-Thinking-2507 bfloat16 4xB200", "precision, Thinking on 4 B200", 991, 0.60),
        ("Qwen3-235B-A22B-Thinking-2507-FP8 fp8 4xB200", "precision, Thinking on 4 B200", 991, 0.27),
    ],
)
def test_fleets_sized_as_published_have_the_published_ranges(
    name: str, comparison: str, replicas: int, range_mw: float
) -> None:
    place = named(name, comparison)
    n_replicas = AIChoicesStudy(sizing="logistic").n_replicas(place)
    assert n_replicas == pytest.approx(replicas, rel=0.002)
    spec = PUBLISHED_CHOICES[place].spec()
    smallest_w, largest_w = logistic_power_w(spec, [spec.feasible_batch_sizes[0], spec.feasible_batch_sizes[-1]])
    assert n_replicas * (largest_w - smallest_w) / 1e6 == pytest.approx(range_mw, rel=0.025)


def test_eight_bits_narrow_the_power_range_as_published() -> None:
    study = AIChoicesStudy()
    for comparison in (
        "precision, Thinking on 8 H100",
        "precision, Instruct on 8 H100",
        "precision, Thinking on 4 B200",
    ):
        wide, narrow = (
            feasible_power_range_kw(choice.spec(), study.n_replicas(k))
            for k, choice in enumerate(PUBLISHED_CHOICES)
            if choice.comparison == comparison
        )
        # Table 8: 0.55 over 0.24 MW, 0.60 over 0.27 MW.
        assert 1.8 < wide / narrow < 3.0


def test_the_published_comparisons_are_all_there() -> None:
    assert len({choice.comparison for choice in PUBLISHED_CHOICES}) == 10
    for choice in PUBLISHED_CHOICES:
        assert choice.spec().gpus_per_replica == choice.gpus_per_replica
    assert PUBLISHED_HOUR.training[0].n_gpus == 2400


@pytest.fixture(scope="module")
def answered() -> tuple[AIChoicesStudy, list[TaskResult]]:
    choices = tuple(
        AIChoice("mine", model, gpu, "lm-arena-chat", "bfloat16", 1, 0.05)
        for model, gpu in (("Qwen/Qwen3-8B", "B200"), ("Qwen/Qwen3-32B", "H100"))
    )
    study = AIChoicesStudy(
        choices=choices, scenario=BRIEF, limit_mw=3.0, limits=Limits(rapid_voltage_change_max_pu=None)
    )
    study.check()
    return study, [TaskResult(task, study.run(task, lambda share, words: None)) for task in study.tasks("choices", [])]


def test_a_fleet_is_what_a_run_by_hand_says(answered: tuple[AIChoicesStudy, list[TaskResult]]) -> None:
    study, results = answered
    rows = [ChoiceRow.from_row(row) for result in results for row in result.rows("choices")]
    assert rows[0].range_mw > rows[1].range_mw
    site = study.site(study.compared()[0], rows[0].n_replicas)
    assert site.base_kw_per_gpu * site.n_gpus == pytest.approx(1500.0)
    for policy, expected in ((Policy(), rows[0].none_pu_s), (Policy("ofo"), rows[0].controlled_pu_s)):
        ((run,),) = simulate([Plan((site,), policy=policy)], [BRIEF], study.load_feeder(), study.limits)
        assert run.voltage.integral_violation_pu_s == expected


def test_a_hosted_fleet_keeps_every_limit_and_the_next_one_does_not(
    answered: tuple[AIChoicesStudy, list[TaskResult]],
) -> None:
    study, results = answered
    conclusion = study.conclude(results)
    hosted = [HostedRow.from_row(row) for result in results for row in result.rows("hosted")]
    assert [row.operation for row in hosted] == ["firm", "flexible"] * 2
    for row in hosted:
        assert 0.0 < row.peak_mw <= 3.0
        assert row.stopped_by
        choice = next(c for c in study.compared() if c.name == row.choice)
        policy = Policy("ofo") if row.operation == "flexible" else Policy()
        plan = study._plan(study._hosted_site(choice, row.n_replicas), policy, hosted=True)
        ((run,),) = simulate([plan], [study.hosting_scenario()], study.load_feeder(), study.limits)
        assert run.kept
        assert run.summary.throughput_tps == pytest.approx(row.tokens_per_s)
    wins = [row for table in conclusion.tables if table.name == "hosted" for row in table.rows if row["wins"]]
    assert len(wins) == 2
    assert "most tokens at the bus" in conclusion.answer
    assert "of violation without control" in conclusion.answer


def test_sizes_that_are_refused_below_an_answer_have_their_reason() -> None:
    """What is refused above is refused for another reason."""
    summary = SimpleNamespace(throughput_tps=1.0, power_mean_mw=1.0, power_peak_mw=1.0)
    runs = {
        n: SimpleNamespace(kept=not why, reasons=[why], summary=summary)
        for n, why in {1: "latency misses 0.06", 4: "", 8: "voltage 0.94 pu", 9: "voltage 0.94 pu"}.items()
    }
    study, found = AIChoicesStudy(), LargestFeasible(4, 8, (1,), {n: run.kept for n, run in runs.items()})
    row = study._hosted_row(PUBLISHED_CHOICES[0], "firm", found, cast("Mapping[int, Outcome]", runs))
    assert (row.gap, row.stopped_by) == ("1 (latency misses 0.06)", "voltage 0.94 pu")
    answer = conclusion_of(study, [], [row], [])
    assert any("at some numbers of replicas below its answer: 1 (latency misses 0.06)" in w for w in answer.warnings)


def test_choices_that_cannot_be_are_refused() -> None:
    with pytest.raises(InputError, match="cannot be read"):
        AIChoice.parse("mine=qwen3-8b@B200:lm-arena-chat")
    with pytest.raises(InputError, match="no latency target"):
        AIChoice.parse("mine=qwen3-8b@B200:lm-arena-chat:bfloat16:1:fast")
    with pytest.raises(InputError, match="comparison 'nothing' not found; known comparisons"):
        AIChoicesStudy(comparisons=("nothing",)).check()
    with pytest.raises(InputError, match="did you mean model-size-on-B200"):
        AIChoicesStudy(comparisons=("model-size-on-B20",)).check()
    small = AIChoicesStudy(choices=(PUBLISHED_CHOICES[0],), peak_mw=0.5, scenario=BRIEF)
    with pytest.raises(InputError, match="training on 2400 GPUs"):
        small.check()
    with pytest.raises(InputError, match="no measured batch size"):
        replace(AIChoicesStudy(), choices=(AIChoice.parse("a=qwen3-8b@B200:lm-arena-chat:bfloat16:1:1"),)).check()
