"""How values of flags are written, and what is said where they cannot be read or would change nothing."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from asked_nouns import KEPT_ALWAYS
from asked_questions import parse

from g2g_opt.errors import InputError
from g2g_opt.limits import Limits
from g2g_opt.scenario import Scenario
from studies.catalogue import STUDIES, question_json, question_type, read_question
from studies.cli import main
from studies.pv_datacenter_siting.offered import Storage
from studies.running.ledger import Ledger
from studies.running.study_folder import StudyFolder
from studies.shared.question_flags import flags_of
from studies.shared.site_choices import ServedModel

# --- flags that would change nothing


@pytest.mark.parametrize(
    ("study", "line", "words"),
    [
        ("hosting-capacity", "--operation firm --outage-s 60", "outage_s changes nothing where only firm"),
        ("hosting-capacity", "--operation firm --objective mw", "objective changes nothing where only firm"),
        ("hosting-capacity", "--operation firm --throughput-curve 1 0.9", "throughput_shares changes nothing"),
        ("hosting-capacity", "--operation firm --channel udp:loss=0.2", "policy changes nothing where only firm"),
        ("hosting-capacity", "--operation firm --margin-pu 0.01", "policy changes nothing where only firm"),
        ("coordination", "--days 3", r"n_days changes nothing in a peak-hour study \(--kind\)"),
        ("coordination", "--first 2019-02-01", "first_date changes nothing in a peak-hour"),
        ("coordination", "--kind closed-loop --time-limit-s 3", "time_limit_s changes nothing in a closed-loop"),
        ("coordination", "--kind day-ahead --draws 3", "n_draws changes nothing in a day-ahead"),
        ("coordination", "--kind day-ahead --q 60", "q changes nothing in a day-ahead"),
        ("siting", "--days five --typical-days 3", "n_typical_days changes nothing"),
        ("siting", "--violations forbidden --violation-cost-per-pu-h 3", "violation_cost_per_pu_h changes nothing"),
        ("siting", "--policy droop", "policy changes nothing where no datacenter is placed"),
        ("siting", "--mode joint --site-value-per-kw 5", "site_value_per_kw changes nothing where sizes"),
        ("siting", "--mode dc --pv-count 1", "pv_count changes nothing where no PV is placed"),
        ("ai-choices", "--no-capacity --limit-mw 5", "limit_mw changes nothing where no largest fleets"),
    ],
)
def test_what_the_question_itself_leaves_without_effect_is_refused(study: str, line: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        parse(study, *line.split()).check()


def test_regulators_that_a_policy_moves_are_moved_under_firm_sites_too() -> None:
    parse("hosting-capacity", "--operation", "firm", "--taps", "study", "--tap-at", "10,creg1a,1.05").check()


@pytest.mark.parametrize(
    ("study", "content", "reason"),
    [
        ("load-profile", {"limits": Limits()}, "violation_time_share_max changes nothing here: a load profile keeps"),
        ("load-profile", {"limits": replace(KEPT_ALWAYS, overload_time_max_s=9.0)}, "overload_time_max_s changes"),
        ("siting", {"limits": replace(KEPT_ALWAYS, violation_integral_max_pu_s=1.0)}, "keeps its limits at every step"),
        ("feeder-policy", {"scenario": Scenario(seed=4)}, "scenario.seed changes nothing here: the study draws it"),
    ],
)
def test_what_a_study_does_not_use_is_refused(study: str, content: dict[str, Any], reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        question_type(study)(**content).check()


def test_a_noun_that_is_not_there_is_not_changed() -> None:
    with pytest.raises(InputError, match="--service-kv changes nothing without --service-kva"):
        parse("hosting-capacity", "--service-kv", "0.4")
    with pytest.raises(InputError, match="--storage-efficiency changes nothing without --storage"):
        parse("siting", "--storage-efficiency", "0.9")
    with pytest.raises(SystemExit):
        parse("load-profile", "--violation-share", "0.1")


@pytest.mark.parametrize(
    ("study", "flags", "words"),
    [
        ("load-profile", "--violation-share 0.1", "--violation-share changes nothing in a load-profile study: a load"),
        ("load-profile", "--overload-time-max-s 5 --loading-max 1", "--overload-time-max-s changes nothing"),
        ("siting", "--violation-integral-pu-s 5", "--violation-integral-pu-s changes nothing in a siting study"),
        ("coordination", "--voltage-min-pu 0.9", "a coordination study has no limits to change\n"),
        (
            "hosting-capacity",
            "--voltage-min-pu 1.2",
            "limits need --voltage-min-pu below --voltage-max-pu, got 1.2 and 1.05",
        ),
    ],
)
def test_a_report_refuses_a_limit_that_its_study_does_not_use(
    study: str, flags: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Ledger.create(StudyFolder(tmp_path).ledger, question_json(question_type(study)()), f"g2g {study}", {})
    assert main(["report", str(tmp_path), *shlex.split(flags)]) == 2
    assert words in capsys.readouterr().err


# --- how values are written


@pytest.mark.parametrize(
    ("study", "line", "field", "value"),
    [
        ("coordination", "--penetration 0.1,0.2", "penetrations", (0.1, 0.2)),
        ("coordination", "--penetration 0.1 0.2", "penetrations", (0.1, 0.2)),
        ("coordination", "--eps choose", "eps", None),
        ("coordination", "--shed-rule sheds-no-more", "shed_rule", "sheds no more"),
        ("hosting-capacity", "--taps 'own control'", "taps", "own control"),
        ("hosting-capacity", "--taps own-control", "taps", "own control"),
        ("hosting-capacity", "--throughput-curve 1.0 0.9", "throughput_shares", (1.0, 0.9)),
        ("hosting-capacity", "--operation firm --operation flexible", "operations", ("firm", "flexible")),
        ("siting", "--pv-total-kw inf", "pv_total_max_kw", None),
        ("siting", "--violation-cost-per-pu-h 7", "violations", "priced"),
        ("siting", "--violation-cost-per-pu-h 7 --violations forbidden", "violations", "forbidden"),
        ("siting", "--storage 100,400", "storage", Storage(100.0, 400.0)),
        ("feeder-policy", "--pv none", "pv", ()),
        ("check", "--remedy none", "remedies", ()),
        ("queue", "--remedy other-bus --remedy set-points", "remedies", ("other bus", "set-points")),
        ("feeder-policy", "--duration 1800", "scenario", Scenario(profile="hudson_valley_2018", duration_s=1800)),
        ("location", "--replica-ramp none", "scenario", Scenario(replica_ramps=())),
        ("location", "--replica-ramp 0,5,1 --load-level 2", "scenario",
         Scenario(replica_ramps=((0.0, 5.0, 1.0),), own_load_share=2.0)),
    ],
)  # fmt: skip
def test_values_as_users_write_them(study: str, line: str, field: str, value: Any) -> None:
    assert getattr(parse(study, *shlex.split(line)), field) == value


def test_a_part_of_a_site_that_cannot_be_is_told_with_the_site() -> None:
    """Not by its place among the arguments of a class."""
    with pytest.raises(InputError, match=r"^site 'dc': n_gpus: must lie in \[1, 10000000\] GPUs, got 0$"):
        parse("location", "--feeder", "ieee13", "--site", "dc=any:llama-3.1-70b:0")
    with pytest.raises(InputError, match=r"^ServedModel: n_gpus: must lie in"):
        ServedModel("llama-3.1-70b", 0)


def test_the_word_for_no_item_stands_alone() -> None:
    with pytest.raises(InputError, match="--remedy none stands alone, got none, capacitor"):
        parse("check", "--remedy", "none", "--remedy", "capacitor")


def test_an_empty_text_is_no_word_for_no_bus() -> None:
    """As a variable of a script that is not set leaves it."""
    for words in (("--bus", ""), ("--bus", "671", "--bus", "")):
        question = parse("hosting-capacity", "--feeder", "ieee13", *words)
        with pytest.raises(InputError, match="bus '' not found in feeder ieee13"):
            question.check()


def test_one_word_asks_for_all_sweeps_that_are_not_named() -> None:
    found = dict(parse("siting", "--sweep", "pv-cost=1,2", "--sensitivity").sweeps)
    assert found["pv-cost"] == (1.0, 2.0)
    assert len(found) == 5


@pytest.mark.parametrize(
    ("study", "line", "words"),
    [
        ("location", "--replica-ramp 0,5", "argument --replica-ramp: takes 3 parts separated by ','"),
        ("siting", "--site-scale 1", "argument --site-scale: takes 2 parts separated by ','"),
        ("hosting-capacity", "--voltage-min-pu 95", "argument --voltage-min-pu: must lie in (0.5, 1.5) pu, got 95"),
        (
            "hosting-capacity",
            "--connection star",
            "argument --connection: invalid choice: 'star' (choose from auto",
        ),
        ("hosting-capacity", "--loading 1", "ambiguous option: --loading could match --loading-max"),
    ],
)
def test_what_cannot_be_read_is_told_by_its_flag(
    study: str, line: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        parse(study, *shlex.split(line))
    assert words in capsys.readouterr().err


def test_a_saved_question_is_the_one_that_was_asked(tmp_path: Path) -> None:
    path = tmp_path / "study.toml"
    words = ("--feeder", "ieee13", "--bus", "671", "--power-factor", "0.9", "--service-kva", "2500", "--seed", "4")
    assert main(["load-profile", *words, "--save", str(path)]) == 0
    assert read_question(path) == parse("load-profile", *words)


@pytest.mark.parametrize("study", sorted(STUDIES))
def test_a_flag_that_turns_something_off_says_so(study: str) -> None:
    kind = question_type(study)
    for one in flags_of(kind, kind()):
        if one.hint is bool and not one.flag.const:
            assert one.flag.name.startswith("--no-") == bool(one.default), one.flag.name
