"""The question of a communication study: its links, what can be wrong with it, and what it concludes from rows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from g2g_opt.communication import Channels, FailSafe, StaleSignal
from g2g_opt.errors import InputError
from g2g_opt.limits import Limits
from studies.catalogue import make_question
from studies.communication.client_runs import ClientRow
from studies.communication.feeder_tasks import (
    CAPACITIES,
    RUNS,
    UNDER_ALL,
    bound_tasks,
    capacity_tasks,
    run_tasks,
    split_task,
)
from studies.communication.links import LinkState
from studies.communication.rows import LinkRunRow, SurvivingRow, link_columns
from studies.communication.study import CommunicationStudy
from studies.shared.conclusion import Conclusion
from studies.shared.task import Task, TaskResult
from studies.shared.typed_rows import to_rows


def asked(**given: Any) -> CommunicationStudy:
    found = make_question("communication", given)
    assert isinstance(found, CommunicationStudy)
    return found


# --- links


def test_channels_of_a_link_are_its_figures_and_what_all_links_share() -> None:
    question = asked(policy={"channels": "ideal:age=7,silence=20,safe_batch=16"}, two_way=True)
    link = LinkState("tcp", 0.3, 2.0, "bound", "safe", 300.0)
    channels = question.channels_of(link)
    spec = channels.default
    assert (spec.transport, spec.loss, spec.loss_back, spec.latency_s) == ("tcp", 0.3, 0.3, 2.0)
    # The usual hour rises most from 2500 to 3000 s, as far as 300 s go.
    assert spec.outages == ((2700.0, 3000.0),) or spec.outages[0][1] - spec.outages[0][0] == 300.0
    assert channels.voltage == StaleSignal("bound", 7.0)
    assert channels.fail_safe == FailSafe("safe", 20.0, 16)
    assert replace(question, two_way=False).channels_of(link).default.loss_back == 0.0
    assert asked(outage_start_s=5.0).channels_of(link).default.outages == ((5.0, 305.0),)
    perfect = question.channels_of(question.perfect)
    assert perfect.default.transparent
    assert isinstance(perfect, Channels)


def test_every_link_is_asked_for_once() -> None:
    question = asked(transports=["udp"], losses=[0.0, 0.3], delays_s=[0.0, 10.0], stale_rules=["hold", "silence"])
    assert [(link.loss, link.delay_s) for link in question.lossy_links()] == [(0.3, 0.0), (0.0, 10.0), (0.3, 10.0)]
    assert [link.fail_safe for link in question.outage_links()] == ["hold", "safe", "release", "droop"]
    links = question.links_of_runs()
    assert len(links) == len(set(links)) == 1 + 3 * 2 + 4


@pytest.mark.parametrize(
    ("given", "what"),
    [
        ({"losses": []}, "losses is empty"),
        ({"losses": [0.1, 0.1]}, "twice"),
        ({"losses": [30]}, "share"),
        ({"case": "cigre"}, "case"),
        ({"case": "cigre-lv", "feeder": "ieee34"}, "its own feeder"),
        ({"case": "cigre-lv", "n_rows": 500}, "1 to 199 rows"),
        ({"policy": {"kind": "none"}}, "needs a policy"),
        ({"policy": {"channels": "udp:loss=0.3"}}, "the study's own"),
        ({"outages_s": [], "outage_start_s": 5.0}, "outage_start_s needs"),
        ({"scenario": {"seed": 3}}, "scenario.seed changes nothing"),
        ({"feeder": "cigre_lv"}, "name a bus"),
        ({"buses": ["999"]}, "999"),
    ],
)
def test_a_question_that_cannot_be_asked_is_named(given: dict[str, Any], what: str) -> None:
    with pytest.raises(InputError, match=what):
        asked(**given).check()


# --- a feeder's rows


def surviving(link: LinkState | None, draw: int, n: int, **more: Any) -> SurvivingRow:
    figures: dict[str, Any] = {
        "n_gpus": 8 * n, "fleet_mw": n / 100.0, "power_peak_mw": n / 120.0, "power_mean_mw": n / 150.0,
        "throughput_tps": 10.0 * n, "throughput_share": 0.9, "opendss_peak_mw": n / 120.0, "limit": "undervoltage",
        "sizes_judged": 9, "n_refused_below": 0, "note": "", "voltage_age_s": 1.0, "command_age_s": 2.0,
    }  # fmt: skip
    about = link_columns("671", link or LinkState(), draw)
    return SurvivingRow(**about, operation="flexible" if link else "firm", n_servers=n, **figures | more)


def result(table: str, rows: list[Any]) -> TaskResult:
    return TaskResult(Task("any", {}, "any"), {table: to_rows(rows)})


def table_of(conclusion: Conclusion, name: str) -> list[Any]:
    return list(next(table for table in conclusion.tables if table.name == name).rows)


QUESTION = asked(transports=["udp"], losses=[0.3], delays_s=[0.0], n_draws=2, stale_rules=["hold"])
OUTAGES = {rule: LinkState(fail_safe=rule, outage_s=300.0) for rule in QUESTION.fail_safes}
LOSSY = LinkState("udp", 0.3)


def rows_of(sizes: dict[LinkState | None, tuple[int, int]]) -> list[SurvivingRow]:
    return [surviving(link, draw, n) for link, both in sizes.items() for draw, n in enumerate(both)]


def test_the_headline_says_how_many_mw_survive() -> None:
    sizes: dict[LinkState | None, tuple[int, int]] = {None: (300, 310), LinkState(): (500, 510), LOSSY: (480, 490)}
    sizes |= dict(zip(OUTAGES.values(), [(350, 350), (420, 440), (200, 200), (400, 400)], strict=True))
    conclusion = QUESTION.conclude([result(CAPACITIES, rows_of(sizes))])
    words = conclusion.answer
    assert "Bus 671 of ieee13 hosts a fleet of 3.05 MW firm and one of 5.05 MW" in words
    assert "2.00 MW are flexible" in words
    assert (
        "Of the 2.00 MW, 1.25 MW survive an outage of 300 s at its worst moment, if sites go down to a safe batch size"
        in words
    )
    # A controller that hosts less than nobody does is left off.
    assert "(hold 0.45, release 0.00, droop 0.95)" in words
    assert "leave 1.80 (udp, loss 30 %, delay 0 s)" in words
    by_rule = {row["fail_safe"]: row for row in table_of(conclusion, "surviving") if row["outage_s"]}
    assert (by_rule["release"]["left_off"], by_rule["safe"]["left_off"]) == (2, 0)
    assert by_rule["safe"]["lost_mw"] == pytest.approx(-0.75)
    assert by_rule["safe"]["mw_least"] == pytest.approx(4.2)
    titles = [chart.title for chart in conclusion.charts]
    assert titles == [
        "Capacity against loss, bus 671",
        "Capacity against communication quality, bus 671",
        "Capacity against the length of an outage, bus 671",
    ]


def test_a_fail_safe_that_hosts_more_than_a_perfect_link_does_is_told_as_that() -> None:
    sizes: dict[LinkState | None, tuple[int, int]] = {None: (300, 300), LinkState(): (400, 400), LOSSY: (399, 400)}
    sizes |= dict(zip(OUTAGES.values(), [(350, 350), (450, 450), (400, 400), (400, 400)], strict=True))
    words = QUESTION.conclude([result(CAPACITIES, rows_of(sizes))]).answer
    assert "In an outage of 300 s at its worst moment, 1.50 MW are flexible, more than on a perfect link, if" in words
    assert "no lossy or slow link takes any of them" in words


def test_the_first_sentence_says_what_the_limits_leave_that_links_are_not_judged_by() -> None:
    aimed = rows_of({None: (300, 310), LinkState(): (500, 510)})
    under_all = [
        surviving(link, draw, n, limit="loading of line.650632 at 0 s")
        for link, n in ((None, 200), (LinkState(), 240))
        for draw in (0, 1)
    ]
    conclusion = QUESTION.conclude([result(CAPACITIES, aimed), result(UNDER_ALL, under_all)])
    first = conclusion.answer.split(". What")[0]
    assert "2.00 MW are flexible if loadings, unbalance and voltage changes at a trip are not judged" in first
    assert "under all limits 2.00 MW firm and 2.40 MW with a controller, 0.40 MW flexible" in first
    assert "What stops larger sites then is loading of line.650632 at 0 s." in conclusion.answer
    bounds = table_of(conclusion, "bounds")
    assert [row["limits"] for row in bounds] == [
        "without loadings, unbalance and voltage changes at a trip", "all",
    ]  # fmt: skip
    assert [row["flexible_mw"] for row in bounds] == pytest.approx([2.0, 0.4])
    assert "without loadings" in next(table for table in conclusion.tables if table.name == "surviving").title
    assert len(table_of(conclusion, "capacities")) == 8
    # Before the searches under all limits are done, it says that they are missing.
    assert "under all limits no answer" in QUESTION.conclude([result(CAPACITIES, aimed)]).answer


def test_all_limits_can_judge_the_whole_study() -> None:
    assert QUESTION.left_out == ("loadings", "unbalance", "voltage changes at a trip")
    whole = asked(all_limits=True)
    assert whole.left_out == ()
    assert whole.aimed_limits == whole.limits == Limits()
    assert {task.kind for task in bound_tasks(whole, ["671"])} == {"bounds"}
    assert [task.kind for task in bound_tasks(QUESTION, ["671"])] == ["bounds", "bounds under all limits"]
    # A limit that nobody asks for is not left out.
    bare = asked(limits={"loading_max_pu": None, "overload_time_max_s": None})
    assert bare.left_out == ("unbalance", "voltage changes at a trip")
    # Neither is a time above a loading that is not judged.
    assert asked(limits={"overload_time_max_s": 60.0}).aimed_limits.overload_time_max_s is None
    conclusion = whole.conclude([result(CAPACITIES, rows_of({None: (300, 310), LinkState(): (500, 510)}))])
    assert "2.00 MW are flexible." in conclusion.answer
    assert [row["limits"] for row in table_of(conclusion, "bounds")] == ["all"]


def test_where_nothing_is_flexible_it_says_what_stops_larger_sites() -> None:
    conclusion = QUESTION.conclude([result(CAPACITIES, rows_of({None: (300, 300), LinkState(): (300, 301)}))])
    assert "nothing that a link could lose: what stops larger sites is undervoltage" in conclusion.answer
    lacking = QUESTION.conclude([result(CAPACITIES, rows_of({None: (300, 300)}))])
    assert lacking.answer == "No bus has an answer in every draw."


def test_runs_are_compared_with_the_perfect_link_draw_by_draw_and_failures_are_told() -> None:
    def run(link: LinkState, draw: int, violation: float, failure: str = "") -> LinkRunRow:
        good = None if failure else violation
        figures = (500, not violation, good, good, good, good, good, None if failure else 3, 1.0, 2.0, failure)
        names = list(LinkRunRow.__dataclass_fields__)[8:]
        return LinkRunRow(**link_columns("671", link, draw), **dict(zip(names, figures, strict=True)))

    rows = [run(LinkState(), 0, 0.0), run(LinkState(), 1, 1.0), run(LOSSY, 0, 2.0), run(LOSSY, 1, 4.0)]
    rows.append(run(OUTAGES["hold"], 0, 0.0, "it did not converge"))
    conclusion = QUESTION.conclude([result(RUNS, rows)])
    lossy = next(row for row in table_of(conclusion, "link_runs") if row["transport"] == "udp")
    assert lossy["integral_violation_pu_s"] == pytest.approx(3.0)
    assert lossy["integral_violation_pu_s_change"] == pytest.approx(2.5)
    assert lossy["integral_violation_pu_s_change_low"] >= 2.0
    assert [missing.reason for missing in conclusion.failures] == ["it did not converge"]


def test_later_stages_begin_at_the_size_of_the_perfect_link() -> None:
    results = [result(CAPACITIES, rows_of({None: (300, 310), LinkState(): (500, 0)}))]
    wishes = [wish for task in capacity_tasks(QUESTION, results) for wish in task.content["wishes"]]
    assert len(wishes) == 2 * (1 + 4)
    assert {wish["guess"] for wish in wishes if wish["draw"] == 0} == {500}
    # A draw that hosts nothing has no size to run.
    runs = [wish for task in run_tasks(QUESTION, results) for wish in task.content["wishes"]]
    assert {(wish["draw"], wish["guess"]) for wish in runs} == {(0, 500)}
    (first, *_) = capacity_tasks(QUESTION, results)
    halves = split_task(first)
    divided = [wish for half in halves for wish in half.content["wishes"]]
    assert sorted(map(str, divided)) == sorted(map(str, first.content["wishes"]))
    assert split_task(halves[0])[0].content["bus"] == "671"


# --- clients' rows


def client(rules: str, transport: str, loss: float, draw: int, lost: float, violation: float = 0.01) -> ClientRow:
    return ClientRow(
        "opf", rules, transport, loss, draw, violation, violation / 2, 0.1, 0.2, 1.06, lost, violation, lost + 0.1, 0.6,
        1.0 - loss, 0,
    )  # fmt: skip


def test_the_sign_of_what_tcp_does_is_said_to_be_that_of_the_rule() -> None:
    study = asked(case="cigre-lv", n_draws=2)
    rows = [client(rules, "tcp", 0.0, draw, 0.2 + 0.01 * draw) for rules in study.rules for draw in (0, 1)]
    rows += [client("published", "tcp", 0.6, draw, 0.16 + 0.01 * draw, 0.02) for draw in (0, 1)]
    rows += [client("careful", "tcp", 0.6, draw, 0.33) for draw in (0, 1)]
    conclusion = study.conclude([result("client_runs", rows)])
    assert "60 % loss moves production lost by -4.0 points over TCP (-4.0 to -4.0)" in conclusion.answer
    assert "+12.5 points over TCP" in conclusion.answer
    assert "that of the rule for clients that are not heard of" in conclusion.answer
    change = conclusion.tables[1].rows[0]
    assert (change["rules"], change["violation_points"]) == ("published", pytest.approx(1.0))
    assert {line.name for chart in conclusion.charts for line in chart.lines} >= {"ASGriDS, its published bars, tcp"}


def test_links_are_judged_by_what_a_controller_of_batch_sizes_aims_at() -> None:
    assert CommunicationStudy().limits == Limits()
    assert CommunicationStudy().aimed_limits == Limits(
        loading_max_pu=None,
        unbalance_negative_sequence_max=None,
        unbalance_nema_max=None,
        rapid_voltage_change_trip_max_pu=None,
    )
