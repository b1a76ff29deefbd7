"""Progress as plain lines where there is no terminal, with the time left; answers with their main columns."""

from __future__ import annotations

import io
import json
from itertools import pairwise
from pathlib import Path

import pytest
from rich.console import Console

from studies.running.runner import Event
from studies.shared.conclusion import Column, Conclusion, MissingAnswer, ResultTable
from studies.shared.task import counted
from studies.terminal import Meter, TimeLeft, in_words, show_conclusion

# Time (s) and share of the work at every event of a run, as the runner told them.
SEQUENCES = Path(__file__).parent / "progress_sequences"


def _console() -> Console:
    return Console(file=io.StringIO(), width=100)


def _said(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def _event(work_done: float, words: str = "", *, news: bool = False, failed: int = 0) -> Event:
    return Event("placements", 4, int(work_done), failed, 4.0, work_done, words, news)


def test_news_are_lines_and_quiet_events_are_not() -> None:
    console = _console()
    with Meter(console) as meter:
        meter(_event(0.5, "at 7"))
        meter(_event(1.0, "placements 1 to 9: done in 3.0 s", news=True, failed=1))
    (line,) = _said(console).splitlines()
    assert "placements  25 %  1 of 4 tasks, 1 failed" in line
    assert line.endswith("placements 1 to 9: done in 3.0 s")


def test_time_left_is_at_the_pace_since_the_start_not_of_what_was_done_before() -> None:
    left = TimeLeft(began_s=100.0, work_done=2.0)
    assert left.seconds(150.0, _event(2.0)) is None
    assert left.seconds(150.0, _event(3.0)) == pytest.approx(50.0)


def _estimates(events: list[tuple[float, float]]) -> list[tuple[float, float, float | None]]:
    """Share done, true time left and the estimate of it, at every event."""
    left = TimeLeft(0.0, 0.0)
    end_s = events[-1][0]
    return [(share, end_s - at_s, left.seconds(at_s, Event("stage", 1, 0, 0, 1.0, share))) for at_s, share in events]


def _outside_factor_two(events: list[tuple[float, float]]) -> list[tuple[float, float, float | None]]:
    """Estimates after a tenth of the work, and until seconds before the end, that are wrong by more than a factor."""
    return [
        found
        for found in _estimates(events)
        if found[0] >= 0.1 and found[1] > 5.0 and (found[2] is None or not 0.5 <= found[2] / found[1] <= 2.0)
    ]


@pytest.mark.parametrize("path", sorted(SEQUENCES.glob("*.json")), ids=lambda path: path.stem)
def test_the_time_left_of_a_recorded_run_is_right_within_a_factor_of_two_after_a_tenth(path: Path) -> None:
    events = [(float(at_s), float(share)) for at_s, share in json.loads(path.read_text(encoding="utf-8"))["events"]]
    assert len(events) > 30
    assert _outside_factor_two(events) == []


def test_time_before_the_first_work_is_no_pace() -> None:
    compiled_s, run_s, steps = 60.0, 40.0, 20
    events = [(compiled_s + run_s * k / steps, k / steps) for k in range(1, steps + 1)]
    assert _outside_factor_two(events) == []


def test_a_pace_that_changed_is_forgotten() -> None:
    """The second half of the work takes six times as long as the first: soon after, the estimate says so."""
    events = [(float(k), k / 200) for k in range(1, 101)] + [(100.0 + 6.0 * k, 0.5 + k / 200) for k in range(1, 101)]
    late = [found for found in _estimates(events) if found[0] >= 0.75 and found[1] > 5.0]
    assert [found for found in late if found[2] is None or not 0.5 <= found[2] / found[1] <= 2.0] == []


def test_work_that_is_lost_begins_a_new_pace() -> None:
    left = TimeLeft(0.0, 0.0)
    assert left.seconds(10.0, _event(2.0)) == pytest.approx(10.0)
    assert left.seconds(11.0, _event(1.0)) is None
    assert left.seconds(21.0, _event(2.0)) == pytest.approx(20.0)


@pytest.mark.parametrize(("seconds", "words"), [(42.4, "42 s"), (600.0, "10 min"), (7200.0, "2.0 h")])
def test_durations_in_words(seconds: float, words: str) -> None:
    assert in_words(seconds) == words


def test_a_conclusion_on_screen_has_its_answer_main_columns_failures_and_limits() -> None:
    console = _console()
    columns = (Column("bus", "bus"), Column("mw", "MW", 2), Column("taps", "taps", secondary=True))
    rows = [{"bus": f"b{k}", "mw": 1.2345, "taps": "secret"} for k in range(50)]
    show_conclusion(
        console,
        Conclusion(
            title="T",
            answer="bus [b0] hosts 1.23 MW",
            feeder="ieee13",
            tables=(
                ResultTable("main", "Main", columns, rows),
                ResultTable("more", "More", columns, rows, folded=True),
            ),
            failures=(MissingAnswer("bus b9", "no power flow"),),
            warnings=("a warning",),
            not_assessed=("seasons",),
        ),
    )
    said = _said(console)
    assert "bus [b0] hosts 1.23 MW" in said
    assert "│ b0  │ 1.23 │" in said
    assert "secret" not in said
    assert "40 of 50 rows; all are in main.csv" in said
    assert "More" not in said
    for words in ("note: a warning", "no answer for bus b9: no power flow", "taken as given or not assessed: seasons"):
        assert words in said


def test_steps_beyond_those_expected_move_progress_on_and_never_end_it() -> None:
    shares: list[float] = []
    report = counted(lambda share, words: shares.append(share), 21.0)
    for _ in range(200):
        report("one more")
    assert shares[19] == pytest.approx(20 / 21)
    # Each by more than rounding: a pace out of rounding has told of 1e13 hours left.
    assert all(after - before > 1e-9 for before, after in pairwise(shares))
    assert shares[-1] < 1.0


@pytest.mark.parametrize("width", [60, 80, 132])
def test_columns_that_do_not_fit_stand_below_with_their_row_named_again_and_no_word_is_cut(width: int) -> None:
    titles = (
        "operation",
        "largest MW that fits",
        "limit broken most",
        "where and when",
        "tokens share",
        "simulated MW",
    )
    columns = tuple(Column(f"c{k}", title, 2) for k, title in enumerate(titles * 2))
    row = {f"c{k}": "undervoltage time share" if k % 2 else float(-k) for k in range(1, len(columns))}
    table = ResultTable("main", "Main", columns, [{"c0": "firm", **row}, {"c0": "flexible", **row}])
    console = Console(file=io.StringIO(), width=width)
    show_conclusion(console, Conclusion("title", "answer", "", (table,)))
    said = _said(console)
    assert "…" not in said
    assert max(map(len, said.splitlines())) <= width
    words = said.replace("│", " ").replace("┃", " ").split()
    for title in titles:
        assert all(words.count(word) >= 2 for word in title.split())
    assert words.count("firm") == words.count("flexible") > 1


def test_a_small_negative_figure_is_no_minus_zero() -> None:
    table = ResultTable("main", "Main", (Column("saving", "saving (%)", 2),), [{"saving": -0.001}, {"saving": -0.02}])
    console = _console()
    show_conclusion(console, Conclusion("title", "answer", "", (table,)))
    assert "-0.00" not in _said(console)
    assert "-0.02" in _said(console)


def test_truth_is_said_in_words() -> None:
    console = _console()
    table = ResultTable("years", "", (Column("kept", "keeps every limit"),), [{"kept": True}, {"kept": False}])
    show_conclusion(console, Conclusion("title", "answer", "", (table,)))
    assert "True" not in _said(console)
    assert "yes" in _said(console)
    assert "no " in _said(console)
