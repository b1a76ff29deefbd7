"""Charts, pictures and words of a report: what they show, and that no text of a file is markup."""

from __future__ import annotations

import os
import stat
from collections import Counter
from dataclasses import replace
from datetime import date
from html.parser import HTMLParser
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
from report_examples import (
    HOSTILE,
    PROVENANCE,
    TASKS,
    ieee123_conclusion,
    user_conclusion,
    user_feeder,
)

from g2g_opt.errors import InputError
from g2g_opt.feeder import Feeder
from studies.cli import main
from studies.report.atomic_file import write_text
from studies.report.figures import draw_chart, draw_pictures
from studies.report.page import report_html
from studies.report.page_sections import envelope_section
from studies.report.plot_data import chart_data, constant_range, envelope_summary
from studies.report.provenance import FailedTask, TaskStates
from studies.report.provenance_section import in_words, task_warnings
from studies.shared.conclusion import (
    Chart,
    Column,
    Conclusion,
    Envelope,
    FeederMap,
    Line,
    MissingAnswer,
    ResultTable,
    first_words,
    most_and_least,
    most_and_least_words,
)

# ---------------------------------------------------------------- charts


def test_no_two_of_many_lines_look_alike(tmp_path: Path) -> None:
    lines = tuple(Line(f"bus {k}", [0.0, 1.0], [k, k + 1.0]) for k in range(36))
    drawn = chart_data(Chart("Many", "x", "y", lines))["lines"]
    assert len({(line["colour"], line["sign"]) for line in drawn}) == 36
    first_six = drawn[:6]
    assert len({line["colour"] for line in first_six}) == len({line["sign"] for line in first_six}) == 6
    figure = draw_chart(Chart("Many", "x", "y", lines))
    shown = {(line.get_color(), line.get_marker(), str(line._dash_pattern)) for line in figure.axes[0].lines}  # type: ignore[attr-defined]
    plt.close(figure)
    assert len(shown) == 36


def test_lines_of_one_hue_share_a_colour_and_differ_in_their_sign() -> None:
    lines = [Line("A", [0], [1.0], hue=0), Line("B", [0], [1.0], hue=1), Line("A with", [0], [1.0], low=[0.9], hue=0)]
    a, b, a_with = chart_data(Chart("", "x", "y", tuple(lines)))["lines"]
    assert a["colour"] == a_with["colour"] != b["colour"]
    assert len({line["sign"] for line in (a, b, a_with)}) == 3


def test_bars_at_one_place_stand_side_by_side() -> None:
    lines = (
        Line("A", [0.0, 100.0], [1.0, 1.0], low=[0.9, 0.9], hue=0),
        Line("B", [0.0, 100.0], [1.0, 1.0], low=[0.9, 0.9], hue=1),
        Line("points", [0.0, 100.0], [1.0, 1.0], points=True, hue=0),
    )
    a, b, points = chart_data(Chart("", "x", "y", lines))["lines"]
    assert b["x"][0] - a["x"][0] == pytest.approx(0.5)
    assert (a["x"][0] + b["x"][0], a["x"][1] + b["x"][1]) == (pytest.approx(0.0), pytest.approx(200.0))
    assert points["x"] == [0.0, 100.0], "a point stays where it is"


@pytest.mark.parametrize(
    ("values", "ends"),
    [
        ([3.0, 3.0], [2.7, 3.3]),
        ([3.0, 3.0 + 1e-9], [2.7, 3.3]),
        ([-2.0], [-2.2, -1.8]),
        ([0.0, 1e-13], [-1.0, 1.0]),
        ([3.0, 3.01], None),
        ([0.95, 1.05], None),
        ([], None),
    ],
)
def test_a_constant_has_an_axis_on_which_it_is_one(values: list[float], ends: list[float] | None) -> None:
    found = constant_range(values)
    assert found == (None if ends is None else pytest.approx(ends))
    if ends is not None:
        figure = draw_chart(Chart("", "x", "y", (Line("a", list(range(len(values))), values),)))
        assert figure.axes[0].get_ylim() == pytest.approx(ends)
        plt.close(figure)


def test_the_least_is_among_the_drawn() -> None:
    assert most_and_least([3, 1, 2], 8, float) == [3, 2, 1]
    assert most_and_least(range(100), 4, float) == [99, 98, 97, 0]
    assert most_and_least_words(8, 8, "buses") == ""
    assert most_and_least_words(100, 4, "buses") == " (4 of 100 buses: the 3 with the most, and the one with the least)"
    assert first_words(5, 4, "buses") == " (the first 4 of 5 buses)"
    assert first_words(4, 4, "buses") == ""


def test_the_page_says_of_what_its_voltages_are_a_part() -> None:
    envelope = Envelope("e", ("671.A",), [0.94], [1.0], 0.95, 1.05)
    (whole,), (part,) = envelope_section([envelope]), envelope_section([envelope], "8 of 20 <sizes>")
    assert 'class="note"' not in whole.html
    assert part.html.startswith('<p class="note">8 of 20 &lt;sizes&gt;</p>')


def test_states_of_tasks_qualify_the_answer() -> None:
    assert task_warnings(TaskStates({"done": 3, "split": 1, "dropped": 2}, code_versions=("1", "1"))) == []
    unfinished, failed, mixed = task_warnings(
        TaskStates({"done": 3, "waiting": 2, "running": 1, "failed": 2}, TASKS.failed, ("1", "2"))
    )
    assert unfinished == "The study is not finished: of 8 tasks, 2 waiting, 1 running. The answer covers the others."
    assert failed == "2 of 8 tasks failed and the answer does not cover them: see Failures."
    assert mixed == "Results of several code versions are mixed: 1, 2."


@pytest.mark.parametrize(
    ("seconds", "words"), [(2.04, "2.0 s"), (59.9, "59.9 s"), (600, "10 min"), (6527, "1 h 49 min"), (3e5, "3.5 days")]
)
def test_durations_in_words(seconds: float, words: str) -> None:
    assert in_words(seconds) == words


# ---------------------------------------------------------------- figures


def test_words_on_an_axis_stay_words_and_the_diagonal_spans_all_figures() -> None:
    line = Line("l", ["671", 632], [1.0, None])
    assert chart_data(Chart("c", "x", "y", (line,), diagonal=True))["lines"][0]["x"] == ["671", "632"]
    assert chart_data(Chart("c", "x", "y", (Line("l", [0.5, 2], [1.0, None]),), True))["diagonal"] == [0.5, 2]


def test_an_envelope_in_words() -> None:
    envelope = Envelope("e", ("671.A", "671.B"), [0.94, 0.96], [1.0, 1.04], 0.95, 1.05)
    assert envelope_summary(envelope) == (
        "Lowest 0.9400 pu at 671.A, highest 1.0400 pu at 671.B; limits 0.95 to 1.05 pu. "
        "1 of 2 bus-phases leaves the limits at some time: 671.A."
    )
    assert "None of 2" in envelope_summary(replace(envelope, voltage_min_pu=0.9))
    assert envelope_summary(replace(envelope, lowest_pu=[np.nan] * 2)) == "No voltages were simulated."


def test_pictures_are_drawn_for_every_map_envelope_and_chart(tmp_path: Path) -> None:
    conclusion = ieee123_conclusion()
    again = replace(conclusion.maps[0], title="Firm: capacity$ $")
    conclusion = replace(
        conclusion,
        maps=(conclusion.maps[0], again, FeederMap(HOSTILE, "", {}, marked={"300_open": "no place"})),
        envelopes=conclusion.envelopes[:1],
    )
    paths = draw_pictures(conclusion, Feeder.load("ieee123"), tmp_path)
    assert [path.name for path in paths][:2] == ["map_firm_capacity.png", "map_firm_capacity_2.png"]
    assert len(set(paths)) == len(paths) == 6
    assert set(tmp_path.iterdir()) == set(paths)
    assert all(path.read_bytes().startswith(b"\x89PNG") and path.stat().st_size > 10_000 for path in paths)
    (drawn,) = draw_pictures(user_conclusion(), user_feeder(tmp_path), tmp_path / "user")
    assert drawn.stat().st_size > 10_000


def test_a_picture_laid_out_ahead_is_that_of_its_own_layout(tmp_path: Path) -> None:
    line = Line("a name of some length", ["671", "632"], [1.0, 2.0])
    chart = Chart("a title", "a label", "another one", (line,))
    (drawn,) = draw_pictures(Conclusion("title", "answer", "", (), charts=(chart,)), None, tmp_path)
    figure = draw_chart(chart)
    # As savefig lays it out by itself.
    figure.savefig(tmp_path / "own.png", dpi=150)
    np.testing.assert_array_equal(plt.imread(drawn), plt.imread(tmp_path / "own.png"))
    plt.close(figure)


class _Elements(HTMLParser):
    """Names of all elements of a page, and of attributes that would run something."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.names: Counter[str] = Counter()
        self.handlers: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names[tag] += 1
        self.handlers += [name for name, _ in attrs if name.startswith("on")]


def _page(word: str) -> _Elements:
    """The page of a conclusion in which every text that may come from a file is `word`."""
    feeder = replace(Feeder.load("ieee13"), name=word)
    bus = next(iter(feeder.buses))
    buses = {**feeder.buses, word: replace(feeder.buses[bus], name=word)}
    feeder = replace(feeder, buses=buses)
    line = Line(word, (word, word), (1.0, 2.0), text=(word, word))
    conclusion = Conclusion(
        title=word,
        feeder=word,
        answer=word,
        tables=(ResultTable(word[:1] or "t", word, (Column("bus", word), Column("x", word)), [{"bus": word, "x": 1}]),),
        maps=(FeederMap(word, word, {word: 1.0, bus: 2.0}, text_by_bus={word: word}, marked={word: word}),),
        envelopes=(Envelope(word, (f"{word}.1",), (0.9,), (1.1,), 0.95, 1.05),),
        charts=(Chart(word, word, word, (line,)),),
        failures=(MissingAnswer(word, word),),
        not_assessed=(word,),
        warnings=(word,),
    )
    provenance = replace(
        PROVENANCE, question_toml=word, command=word, input_hashes={word: word}, hosts=(word,), engines=(word,)
    )
    tasks = replace(TASKS, failed=(FailedTask(word, word, 1),), code_versions=(word,))
    return _Elements(report_html(conclusion, provenance, feeder, tasks))


@pytest.mark.parametrize(
    "word",
    [
        "<b>x</b><img src=x onerror=alert(1)>",
        "</script><script>alert(1)</script>",
        "<!--<script>",
        "\"onmouseover='alert(1)' x=\"",
        "]]></style></title><svg onload=alert(1)>",
    ],
)
def test_no_text_of_a_file_is_markup_anywhere_on_the_page(word: str) -> None:
    found = _page(word)
    assert found.handlers == []
    assert found.names == _page("x").names


def test_what_is_no_file_keeps_its_place(tmp_path: Path) -> None:
    """A file that is moved into the place of a device takes it away from everybody."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(InputError, match="is a device, a pipe or a socket"):
        write_text(pipe, "text")
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert main(["feeder", "ieee13", "--picture", str(pipe)]) == 2
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert [path.name for path in tmp_path.iterdir()] == ["pipe"]


def test_an_axis_holds_numbers_words_and_moments_alone() -> None:
    """A row in the place of one of its figures would be drawn as nothing, or end the report."""
    Line("good", [1, 2.0, np.float64(3.0), "671", date(2018, 1, 1), None], [1.0, None, 2, 3, 4, 5])
    Line("array", np.arange(2), np.arange(2.0), low=(0.0, 1.0))
    for axes in (([("671", 1.0)], [1.0]), ([1.0], [Line("row", [], [])]), ([1.0], [1.0], False, (), [{}])):
        with pytest.raises(TypeError, match=r"line 'wrong': a .* has no place on an axis"):
            Line("wrong", *axes)
