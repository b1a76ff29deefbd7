"""Every study that runs controllers runs them through the channels asked for; the others say why they cannot."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from g2g_opt.communication import Channels, read_channels
from g2g_opt.errors import InputError
from g2g_opt.feeder import Feeder
from g2g_opt.limits import Limits
from g2g_opt.plan import Policy, PVUnit
from g2g_opt.scenario import Scenario
from solvers.siting.problem import empty_plan
from studies.catalogue import STUDIES, make_question, parse_question, question_json, question_toml, question_type
from studies.cli import main
from studies.coordination_policy.study import CoordinationStudy
from studies.feeder_policy.cases import run_case
from studies.feeder_policy.question import FeederPolicyQuestion
from studies.feeder_policy.setting import FeederPolicyCase
from studies.hosting_capacity.study import HostingCapacityStudy
from studies.load_profile.study import LoadProfileStudy
from studies.portfolio.study import PortfolioStudy
from studies.pv_datacenter_siting.case import days_of, make_case
from studies.pv_datacenter_siting.stored_plan import dump_plan
from studies.pv_datacenter_siting.study import SitingStudy
from studies.pv_datacenter_siting.windows import nearest_windows
from studies.pv_datacenter_siting.work import run_window
from studies.running.ledger import Ledger
from studies.running.study_folder import StudyFolder
from studies.scenario_library.study import LibraryStudy
from studies.shared.asked_channels import with_channels_note
from studies.shared.conclusion import Conclusion
from studies.shared.question_model import not_here
from studies.shared.screening import ScreeningRule
from studies.shared.site_choices import ServedModel, SiteChoice

CLEAR, DEAD = read_channels("ideal"), read_channels("ideal:outage=0-100000")
# Two minutes, in which ramps and training still happen (they stretch with the run).
SHORT = Scenario(duration_s=120, dt_s=Fraction(1), seed=5)


def quietly(share: float, words: str) -> None:
    """Progress that nobody looks at."""


# --- siting


def siting_runs(channels: Channels | None) -> list[dict[str, Any]]:
    """Runs of the tightest hour of a plan that is too large, without control and under OFO."""
    site = SiteChoice("campus", (ServedModel("llama-3.1-70b", 7200),), candidates=("671",))
    study = SitingStudy(feeder="ieee13", mode="dc", sites=(site,), n_windows=1, channels=channels)
    feeder = study.load_feeder()
    case = make_case(study, feeder, days_of(study)[:1])
    plan = empty_plan(
        case.pv.n,
        len(case.pv.sun),
        np.array([case.network.site_buses.index("671")]),
        case.sites.size_max_kw,
        np.zeros((case.taps.n, len(case.calendar.slot_day)), dtype=np.int64),
    )
    (window,) = nearest_windows(case, case.network.simulate(plan), "plan 1", 1)
    return run_window(study, feeder, dump_plan(case, plan), window, quietly)["runs"]


def test_siting_runs_its_windows_through_channels() -> None:
    at_once, clear, dead = (siting_runs(channels) for channels in (None, CLEAR, DEAD))
    summaries = [[(row["lowest_pu"].tolist(), row["sites"]) for row in rows] for rows in (at_once, clear, dead)]
    assert summaries[0] == summaries[1]
    assert summaries[0][0] == summaries[2][0]  # without control nobody listens
    assert summaries[0][1] != summaries[0][0]
    assert summaries[2][1][0] == summaries[2][0][0]
    assert '"outages":[[0' in dead[1]["plan"].replace(" ", "")


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"mode": "pv"}, "no datacenter is placed"),
        ({"mode": "dc", "policy": "none"}, "no controller acts at the sites"),
        ({"mode": "dc", "n_windows": 0}, "no hour is run in closed loop"),
    ],
)
def test_siting_in_which_nobody_hears_is_refused(changed: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        SitingStudy(feeder="ieee13", channels=CLEAR, **changed).check_figures()
    SitingStudy(feeder="ieee13", **changed).check_figures()


# --- scenarios


def test_scenarios_are_admitted_by_what_ofo_mends_through_channels() -> None:
    def screened(channels: Channels | None) -> list[dict[str, Any]]:
        study = LibraryStudy(n_train=0, n_test=4, rule=ScreeningRule(0.01, 0.1), scenario=SHORT, channels=channels)
        study.check()
        (task,) = study.tasks("candidates", ())
        return study.run(task, quietly)["candidates"]

    at_once, clear, dead = (screened(channels) for channels in (None, CLEAR, DEAD))
    assert at_once == clear
    assert "admitted" in {row["verdict"] for row in at_once}
    for before, after in zip(at_once, dead, strict=True):
        assert after["none_under_pu_s"] == before["none_under_pu_s"]
        if before["ofo_pu_s"] is not None:
            # Nothing that OFO says arrives.
            assert after["ofo_pu_s"] == after["none_under_pu_s"] + after["none_over_pu_s"]
            assert after["verdict"] == "OFO recovers too little"


# --- feeder policies


FEEDER_POLICY = FeederPolicyQuestion(
    sites=(SiteChoice("campus", (ServedModel("llama-3.1-70b", 7200),), candidates=("671",)),),
    pv=(PVUnit("675", 900.0),),
    scenario=Scenario(
        profile="hudson_valley_2018", duration_s=300, dt_s=Fraction(5), control_dt_s=Fraction(5), own_load_share=1.5
    ),
    seed=7,
    n_training=2,
    n_test=2,
    grid_lag_s=20.0,
    site_lag_s=5.0,
    record_dt_s=20.0,
    margins_pu=(0.002,),
    rounds=2,
    clairvoyant_rounds=1,
    limits=Limits(loading_max_pu=None),
)


def test_policies_of_a_feeder_are_trained_and_run_through_channels() -> None:
    settings = [FeederPolicyCase(replace(FEEDER_POLICY, channels=channels)) for channels in (None, CLEAR, DEAD)]
    (uncontrolled,) = {run_case(setting, "no control").rows for setting in settings}
    (_,) = {run_case(setting, "clairvoyant").rows for setting in settings}
    for case in ("contextual", "ofo", "droop"):
        at_once, clear, dead = (run_case(setting, case) for setting in settings[:3])
        assert clear == at_once
        assert [row.throughput_share for row in at_once.rows] != [row.throughput_share for row in dead.rows]
        # Nothing that is said arrives: they do what sites do that nobody controls.
        for row, alone in zip(dead.rows, uncontrolled, strict=True):
            assert row.batch_switches == 0
            assert row.throughput_share == alone.throughput_share
            assert row.integral_violation_pu_s == pytest.approx(alone.integral_violation_pu_s, rel=1e-9)


def test_a_feeder_policy_learns_from_what_arrives() -> None:
    late = FeederPolicyCase(replace(FEEDER_POLICY, channels=read_channels("ideal:latency=60")))
    at_once = FeederPolicyCase(FEEDER_POLICY)
    (scenario, *_), _ = FEEDER_POLICY.scenarios()
    seen, had = (one.recorded(scenario, one.heard(Policy()))[0] for one in (late, at_once))
    place = [feature.name for feature in late.features()].index("site_demand_kw")
    n = min(len(seen.time_s), len(had.time_s))
    assert n > 8
    # The site's demand is seen a minute late; what the circuit does is recorded as it is.
    demand = dict(zip(had.time_s.tolist(), had.context[:, place].tolist(), strict=True))
    compared = [
        (demand[t - 60.0], found)
        for t, found in zip(seen.time_s.tolist(), seen.context[:, place].tolist(), strict=True)
        if t - 60.0 in demand
    ]
    assert len(compared) > 5
    assert len({had for had, _ in compared}) > 1
    for had_before, found in compared:
        assert found == had_before
    in_both = np.isin(had.time_s, seen.time_s)
    assert np.array_equal(seen.voltage_pu[np.isin(seen.time_s, had.time_s)], had.voltage_pu[in_both])


def test_feeder_policies_that_hear_nothing_are_refused() -> None:
    with pytest.raises(InputError, match="no case is run that hears"):
        replace(FEEDER_POLICY, cases=("no control", "clairvoyant"), channels=CLEAR).check_fields()


# --- portfolios


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "feeders"
    Feeder.load("ieee13").write_dss(root / "one")
    return root


def test_a_portfolio_hands_its_channels_on(folder: Path, tmp_path: Path) -> None:
    question = HostingCapacityStudy(
        operations=("flexible",),
        ladder=False,
        buses=("671",),
        power_max_mw=8.0,
        scenario=Scenario(duration_s=60, replica_ramps=((10.0, 30.0, 1.0),), replica_share_start=0.2),
        limits=Limits(rapid_voltage_change_max_pu=None),
    )
    file = tmp_path / "study.toml"
    file.write_text(question_toml(question), encoding="utf-8")

    def answered(channels: Channels | None) -> dict[str, Any]:
        study = PortfolioStudy(folder=str(folder), question=str(file), channels=channels)
        study.check()
        asked = study.asked_of(study.feeders()["one"])
        assert isinstance(asked, HostingCapacityStudy)
        assert asked.policy == replace(question.policy, channels=channels)
        (task,) = study.tasks("feeders", ())
        (row,) = study.run(task, quietly)["buses"]
        (whole,) = study.run(task, quietly)["feeders"]
        assert any("pass channels" in words for words in whole["warnings"]) == (channels is not None)
        return row

    at_once, clear, dead = (answered(channels) for channels in (None, CLEAR, DEAD))
    assert at_once == clear
    assert dead["value"] != at_once["value"]
    # Without a study file it is hosting capacity.
    usual = PortfolioStudy(folder=str(folder), channels=DEAD)
    assert usual.asked_of(usual.feeders()["one"]).policy.channels == DEAD  # type: ignore[attr-defined]


def test_a_portfolio_of_questions_without_channels_is_refused(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "study.toml"
    asked = PortfolioStudy(folder=str(folder), question=str(file), channels=CLEAR)
    file.write_text('study = "load-profile"\n', encoding="utf-8")
    with pytest.raises(InputError, match="fixed for every hour of the year beforehand"):
        asked.check()
    # What its own study refuses is the reason of the feeder's task.
    file.write_text('study = "siting"\n', encoding="utf-8")
    (task,) = asked.tasks("feeders", ())
    with pytest.raises(InputError, match="no datacenter is placed"):
        asked.run(task, quietly)


# --- all of them


def test_runs_in_which_nothing_acts_refuse_channels() -> None:
    policy: dict[str, Any] = {"policy": {"kind": "none", "channels": "udp:loss=0.1"}}
    for study in ("location", "ai-choices"):
        with pytest.raises(InputError, match="change nothing here: nothing acts"):
            make_question(study, policy).check()
    with pytest.raises(InputError, match="change nothing here: no controller"):
        make_question("controllers", {"controllers": [{"kind": "none"}], "channels": "udp:loss=0.1"}).check()
    storage = {"storage": [{"bus": "", "power_kw": 50.0, "energy_kwh": 100.0}]}
    make_question("location", policy | storage).check()


def test_the_report_says_what_messages_passed(tmp_path: Path) -> None:
    """Also what is stored, from which the study goes on."""
    flags = ["--train", "0", "--test", "1", "--duration-s", "60", "--channel", "udp:loss=0.5,fail_safe=release"]
    out = tmp_path / "library"
    # In a minute nothing passes the screening, which the status says.
    assert main(["scenarios", *flags, "--workers", "1", "--out", str(out)]) == 1
    words = "messages between sensors, controllers and sites pass channels (udp, loss 50 %; sites after 30 s of silence"
    assert any(told.startswith(words) for told in json.loads((out / "answer.json").read_text("utf-8"))["warnings"])
    assert words in (out / "report.html").read_text("utf-8")
    with closing(Ledger(StudyFolder(out).ledger)) as ledger:
        stored: Any = parse_question(ledger.question)
    assert stored.channels == read_channels("udp:loss=0.5,fail_safe=release")


def test_every_study_takes_channels_or_says_why_not() -> None:
    for study in STUDIES:
        kind = question_type(study)
        refused = not_here(kind).get("channels")
        if refused is not None:
            assert refused.reason
            continue
        table: dict[str, Any] = {"default": {"transport": "udp", "loss": 0.25}, "fail_safe": {"rule": "release"}}
        for given in ("udp:loss=0.25,fail_safe=release", table):
            own = "channels" in kind.__dataclass_fields__
            question: Any = make_question(study, {"channels": given} if own else {"policy": {"channels": given}})
            found = question.channels if own else question.policy.channels
            wanted = read_channels("udp:loss=0.25,fail_safe=release")
            assert (found.default, found.fail_safe) == (wanted.default, wanted.fail_safe)
            assert parse_question(question_json(question)) == question
            noted = with_channels_note(Conclusion("t", "a", "", ()), question).warnings
            assert (study == "communication") != any("udp, loss 25 %" in words for words in noted)
        with pytest.raises(InputError, match="did you mean loss"):
            make_question(study, {"channels": "udp:los=0.1"} if own else {"policy": {"channels": "udp:los=0.1"}})


@pytest.mark.parametrize("kind", [LoadProfileStudy, CoordinationStudy])
def test_studies_without_channels_say_why(kind: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reason = not_here(kind)["channels"].reason
    with pytest.raises(InputError) as refused:
        kind(channels=CLEAR)
    assert reason in str(refused.value)
    with pytest.raises(InputError) as refused:
        make_question(kind.study, {"channels": "udp:loss=0.1"})
    assert reason in str(refused.value)
    file = tmp_path / "study.toml"
    file.write_text(f'study = "{kind.study}"\nchannels = "udp"\n', encoding="utf-8")
    assert main(["run", str(file)]) == 2
    assert reason in " ".join(capsys.readouterr().err.split())
    with pytest.raises(SystemExit) as ended:
        main([kind.study, "--channel", "udp:loss=0.1"])
    assert ended.value.code == 2
    assert reason in " ".join(capsys.readouterr().err.split())
    with pytest.raises(SystemExit):
        main([kind.study, "--help"])
    # Lines are broken where the terminal ends.
    assert "".join(reason.split()) in "".join(capsys.readouterr().out.split())


def test_words_on_channels_name_what_is_not_usual() -> None:
    assert CLEAR.words == "ideal"
    text = "tcp:loss=0.3,loss_back=0.1,latency=0.5,outage=10-20,stale=bound,fail_safe=safe,silence=20"
    assert read_channels(text).words == (
        "tcp, loss 30 %, loss of acknowledgements 10 %, latency 0.5 s (constant), an outage from 10 to 20 s; voltages "
        "older than 30 s: bound; sites after 20 s of silence: safe"
    )
