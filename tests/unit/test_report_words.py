"""Words of a report: a glossary of those that it uses, and the limits that a second judgement moved."""

from __future__ import annotations

import re
from dataclasses import fields, replace
from html import unescape
from io import StringIO

import pytest
from report_examples import PROVENANCE, TASKS, ieee123_conclusion, user_conclusion
from rich.console import Console

from g2g_opt.errors import number_of
from g2g_opt.feeder import Feeder
from g2g_opt.limits import Limits
from g2g_opt.scenario import Scenario
from studies.hosting_capacity.answer import FIRM_IS_NOT_N_1, not_assessed
from studies.hosting_capacity.study import HostingCapacityStudy
from studies.report.glossary import TERMS, terms_on
from studies.report.limit_words import LIMIT_WORDS, moved_limits
from studies.report.page import report_html
from studies.report.provenance import TaskStates
from studies.shared.conclusion import Chart, Column, Conclusion, Line, ResultTable
from studies.study_report import headed
from studies.terminal import show_conclusion


def explained(html: str) -> list[str]:
    found = re.search(r'<section id="words">(.*?)</section>', html, re.DOTALL)
    return [unescape(word) for word in re.findall(r"<dt>(.*?)</dt>", found[1])] if found else []


def page_of(conclusion: Conclusion) -> str:
    return report_html(conclusion, PROVENANCE, Feeder.load("ieee123"), TASKS)


def test_the_page_explains_the_words_that_it_uses_and_no_others() -> None:
    html = page_of(ieee123_conclusion())
    words = explained(html)
    for used in ("pu", "MW", "firm", "flexible", "tokens", "scenario", "loading"):
        assert used in words
    assert set(words).isdisjoint({"alpha", "eps", "penetration", "droop", "GWh", "$"})
    assert words == [term.word for term in TERMS if term.word in words], "in the order of the glossary"
    shown = re.sub(r"<script.*?</script>|<section id=\"words\">.*?</section>", " ", html, flags=re.DOTALL)
    shown = unescape(re.sub("<[^>]*>", " ", shown))
    charts = " ".join(f"{c.x_title} {c.y_title}" for c in ieee123_conclusion().charts)
    for term in TERMS:
        if term.word in words:
            assert term.stands_in(f"{shown} {charts} bus and phase"), term.word


def test_words_that_only_a_chart_shows_are_explained() -> None:
    chart = Chart("Savings", "eps, bound on |beta|_1", "mean dispatch cost ($)", (Line("alpha 0.25", [1], [2.0]),))
    words = explained(page_of(replace(ieee123_conclusion(), charts=(chart,))))
    assert {"eps", "alpha", "$"} <= set(words)


def test_a_question_file_on_the_page_is_no_use_of_a_word() -> None:
    provenance = replace(PROVENANCE, question_toml="alpha = 0.25\neps = 10.0\npenetration = 0.2\n")
    html = report_html(user_conclusion(), provenance, Feeder.load("ieee13"), TaskStates({"done": 1}))
    assert set(explained(html)).isdisjoint({"alpha", "eps", "penetration"})


def test_a_term_is_found_as_a_word_and_not_inside_others() -> None:
    def found(text: str) -> set[str]:
        return {term.word for term in terms_on([text])}

    assert found("confirmed, bandwidth, input, Siteimprove") == set()
    assert found("Firm: 2.0 MW at its peak") == {"firm", "MW", "peak MW"}
    assert found("3.1 pu s") == {"pu", "pu s"}
    assert found("GPUs refused below (gap)") == set()
    assert found("earns 7,414 $ a year (gap 0.12 %)") == {"$", "gap"}


def test_every_term_is_explained_once_and_finds_itself() -> None:
    words = [term.word.casefold() for term in TERMS]
    assert len(set(words)) == len(words)
    assert all(term.meaning and not term.meaning.endswith(".") for term in TERMS)
    assert [term.word for term in TERMS if term.word != "gap" and not term.stands_in(term.word)] == []


def test_firm_is_told_apart_from_n_1() -> None:
    (firm,) = (term for term in TERMS if term.word == "firm")
    assert "without flexible operation" in firm.meaning
    assert "does not mean N-1" in firm.meaning


# ---------------------------------------------------------------- limits that were moved


def test_every_limit_has_words() -> None:
    assert set(LIMIT_WORDS) == {field.name for field in fields(Limits)}


@pytest.mark.parametrize(
    ("used", "words"),
    [
        (Limits(), ""),
        (Limits(voltage_min_pu=0.94), "lowest voltage 0.94 pu instead of 0.95"),
        (Limits(loading_max_pu=None), "loading without limit instead of 1"),
        (Limits(base_rule="no-worse"), "rule where the circuit breaks a limit without a site no-worse instead of hold"),
        (
            Limits(voltage_max_pu=1.1, throughput_share_min=0.8),
            "highest voltage 1.1 pu instead of 1.05; tokens served 0.8 of the uncontrolled fleet's instead of 0.5",
        ),
    ],
)
def test_moved_limits_are_named_with_both_figures(used: Limits, words: str) -> None:
    assert moved_limits(Limits(), used) == words


def test_a_second_judgement_says_at_its_head_what_was_moved() -> None:
    conclusion = user_conclusion()
    again = headed(conclusion, Limits(), Limits(voltage_min_pu=0.94))
    assert again.title == f"{conclusion.title}; judged again with lowest voltage 0.94 pu instead of 0.95"
    assert f"<h1>{again.title}</h1>" in page_of(again)
    assert headed(conclusion, Limits(), None) == conclusion
    assert headed(conclusion, Limits(), Limits()).title.endswith("judged again with the limits of the question")


def test_every_report_of_hosting_capacity_says_what_firm_means_there() -> None:
    for study in (HostingCapacityStudy(), HostingCapacityStudy(scenarios=59)):
        for limits in (Limits(), Limits(loading_max_pu=1.0)):
            assert FIRM_IS_NOT_N_1 in not_assessed(study, limits)
    assert "firm means without flexible operation" in FIRM_IS_NOT_N_1


@pytest.mark.parametrize(
    ("duration_s", "words"),
    [
        (3600, ("one hour in one scenario", "between 0.5 and 1 of them")),
        (60, ("60 s in one scenario", "between 0.7 and 0.7 of them")),
        (650, ("650 s in one scenario", "between 0.7 and 0.85 of them")),
    ],
)
def test_the_length_of_the_run_and_the_replicas_active_in_it_are_those_of_the_scenario(
    duration_s: int, words: tuple[str, str]
) -> None:
    study = HostingCapacityStudy(scenario=Scenario(duration_s=duration_s))
    told = " ".join(not_assessed(study, Limits()))
    assert all(one in told for one in words), told
    assert "not mean N-1" in FIRM_IS_NOT_N_1


def test_a_truth_is_yes_or_no_wherever_people_read() -> None:
    columns = (Column("kept", "kept"), Column("several", "several"), Column("by", "by"))
    rows = [{"kept": True, "several": [True, False, None], "by": {"firm": True}}]
    conclusion = Conclusion("t", "a", "", (ResultTable("t", "T", columns, rows),))
    written = StringIO()
    show_conclusion(Console(width=100, file=written), conclusion)
    for shown in (written.getvalue(), report_html(conclusion, PROVENANCE, None, TASKS)):
        assert "yes, no, –" in shown
        assert "firm=yes" in shown
        assert "True" not in shown


def test_parts_of_a_wide_table_begin_with_what_tells_its_rows_apart() -> None:
    words = [f"w{'o' * 20}rd{k}" for k in range(4)]
    columns = (Column("bus", "bus"), Column("operation", "operation"), *(Column(word, word) for word in words))
    rows = [
        {"bus": "671", "operation": operation, **dict.fromkeys(words, cell)}
        for operation, cell in (("firm", 1), ("flexible", 2))
    ]
    written = StringIO()
    show_conclusion(Console(width=80, file=written), Conclusion("t", "a", "", (ResultTable("t", "T", columns, rows),)))
    lines = written.getvalue().splitlines()
    assert [sum(word in line for line in lines) for word in words] == [1, 1, 1, 1]
    firm = [line for line in lines if "firm" in line]
    assert len(firm) == len([line for line in lines if "flexible" in line]) == 2
    assert all("671" in line for line in firm)


def test_one_of_a_thing_is_said_so() -> None:
    assert [number_of(n, "bus") for n in (0, 1, 2)] == ["0 buses", "1 bus", "2 buses"]
    nouns = ("entry", "fuse", "switch", "relay", "branch")
    assert [number_of(2, noun) for noun in nouns] == ["2 entries", "2 fuses", "2 switches", "2 relays", "2 branches"]
