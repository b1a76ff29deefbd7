"""The question of a feeder-policy study: its command line, what can be wrong with it, and what it concludes."""

from __future__ import annotations

import argparse
from dataclasses import asdict

import pytest

from g2g_opt.errors import InputError
from g2g_opt.limits import Limits
from g2g_opt.plan import PVUnit
from studies.catalogue import make_question, parse_question, question_json
from studies.feeder_policy.cases import CASES, CaseRow, TrainingRound
from studies.feeder_policy.study import FeederPolicyStudy
from studies.shared.question_flags import add_question_flags, given_fields
from studies.shared.rejudging import conclude_under
from studies.shared.site_choices import ServedModel, SiteChoice
from studies.shared.task import Task, TaskResult


def parsed(*words: str) -> FeederPolicyStudy:
    parser = argparse.ArgumentParser()
    add_question_flags(parser, FeederPolicyStudy)
    question = make_question("feeder-policy", given_fields(FeederPolicyStudy, parser.parse_args(list(words))))
    assert isinstance(question, FeederPolicyStudy)
    return question


def test_the_line_without_options_is_the_default_question_and_can_be_asked() -> None:
    study = parsed()
    assert study == FeederPolicyStudy()
    study.check()
    assert [task.content["case"] for task in study.tasks("cases", [])] == list(CASES)
    assert parse_question(question_json(study)) == study


def test_options_reach_the_question() -> None:
    study = parsed(
        "--site", "a=680:llama-3.1-8b:80@64", "--pv", "633:500", "--case", "ofo", "--training", "3", "--seed", "5"
    )
    assert study.sites == (SiteChoice("a", (ServedModel("llama-3.1-8b", 80, 64),), candidates=("680",)),)
    assert study.pv == (PVUnit("633", 500.0),)
    assert (study.cases, study.n_training, study.seed) == (("ofo",), 3, 5)
    assert study.plan().sites[0].bus == "680"
    assert study.base.seed == 5
    assert parsed("--pv", "none").pv == ()


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (["--site", "a=671+680:llama-3.1-8b:80"], "one bus"),
        (["--site", "a=any:llama-3.1-8b:80"], "one bus"),
        (["--site", "a=671:llama-3.1-8b:80", "--site", "a=680:llama-3.1-8b:80"], "different names"),
        (["--site", "a=999:llama-3.1-8b:80"], "999"),
        (["--pv", "675"], "BUS:KW"),
        (["--pv", "999:5"], "999"),
        (["--site", "a=611:llama-3.1-8b:80"], "phases"),
        (["--duration", "30"], "before the first record"),
        (["--pv", "675:inf"], r"size_kw must be a finite number in .* kW"),
        (["--feeder", "ieee34"], "name sites"),
        (["--training", "400"], "days"),
    ],
)
def test_a_question_that_cannot_be_asked_is_named(words: list[str], what: str) -> None:
    with pytest.raises(InputError, match=what):
        parsed(*words).check()


@pytest.mark.parametrize(
    "words",
    [
        ["--margins-pu", "small"],
        ["--margins-pu", "0.2"],
        ["--margins-pu=-0.01"],
        ["--margins-pu", "nan"],
        ["--margins-pu", ","],
        ["--training", "0"],
    ],
)
def test_a_number_that_cannot_be_is_refused_by_its_flag(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parsed(*words)
    assert ended.value.code == 2
    assert f"argument {words[0].split('=')[0]}: " in capsys.readouterr().err


def row(case: str, scenario: str, tokens: float, failure: str = "", broken: str = "") -> dict[str, object]:
    figures = (None,) * 6 if failure else (2.0 - tokens, 1.0, tokens, 0.0, 3.0, float(not broken))
    return asdict(CaseRow(case, scenario, *figures, failure, broken, broken and f"{broken} 0.2 (limit 0.1)"))


def results() -> list[TaskResult]:
    tokens = {"ofo": (1.2, 1.4, 9.0), "contextual": (1.1, 1.3, 0.0)}
    found = []
    for case, values in tokens.items():
        failed = [case == "contextual" and k == 2 for k in range(3)]
        runs = [row(case, f"test {k}", v, "diverged" if failed[k] else "") for k, v in enumerate(values)]
        rounds = [asdict(TrainingRound(case, 0.001, 0, None, 1e-4, None, 0.2))]
        tables = {"runs": runs, "rounds": rounds, "margins": [{"case": case, "margin_pu": 0.001}]}
        found.append(TaskResult(Task("case", {"case": case}, case), tables))
    return found


def test_means_leave_out_scenarios_that_a_case_lost() -> None:
    conclusion = FeederPolicyStudy().conclude(results())
    means = {entry["case"]: entry for entry in conclusion.tables[0].rows}
    assert means["ofo"]["throughput_share"] == pytest.approx(1.3)
    assert means["ofo"]["n_scenarios"] == 2
    assert [failure.what for failure in conclusion.failures] == ["contextual, test 2"]
    assert "ofo against it: +0.100 of the tokens" in conclusion.answer
    assert conclusion.tables[1].rows[0]["predicted_loss"] is None
    assert next(r for r in conclusion.tables[2].rows if r["failure"])["throughput_share"] is None


def test_limits_that_are_broken_stand_in_the_answer_and_beside_every_run() -> None:
    """Of the contextual policy, in the scenarios whose means are told."""
    found = results()
    broken = ["loading; undervoltage time share", "loading", "latency misses"]
    found[1].tables["runs"] = [row("contextual", f"test {k}", 1.0, "", what) for k, what in enumerate(broken)]
    found[0].tables["runs"][2] = row("ofo", "test 2", 1.0, "diverged")
    conclusion = FeederPolicyStudy().conclude(found)
    assert "keeps all limits in 0 % of them (broken: loading in 2, undervoltage time share in 1)" in conclusion.answer
    told = next(r for r in conclusion.tables[2].rows if r["case"] == "contextual")
    assert told["reasons"] == "loading; undervoltage time share 0.2 (limit 0.1)"
    assert "(broken" not in FeederPolicyStudy().conclude(results()).answer


def test_a_lost_case_is_a_failure_and_other_limits_are_refused() -> None:
    lost = [*results()[:1], TaskResult(Task("case", {"case": "contextual"}, "contextual"), failed="hung")]
    assert [failure.reason for failure in FeederPolicyStudy().conclude(lost).failures] == ["hung"]
    with pytest.raises(InputError, match="ask the question anew"):
        conclude_under(FeederPolicyStudy(), results(), Limits(voltage_min_pu=0.9))
