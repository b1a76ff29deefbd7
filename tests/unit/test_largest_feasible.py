"""The largest feasible size: exact for every judge, in few questions."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from solvers.largest_feasible import LargestFeasible, find_largest_feasible, search_largest_feasible


def searched(accepted: set[int], n_max: int, **options: Any) -> tuple[LargestFeasible, list[int]]:
    asked: list[int] = []

    def judge(n: int) -> bool:
        assert 1 <= n <= n_max
        asked.append(n)
        return n in accepted

    return find_largest_feasible(judge, n_max, **options), asked


def searched_at_once(accepted: set[int], n_max: int, at_once: int, **options: Any) -> tuple[LargestFeasible, list[int]]:
    """The same search by a judge who answers several sizes in a round; how many it was asked in each."""
    search = search_largest_feasible(n_max, at_once=at_once, **options)
    rounds: list[int] = []
    try:
        asked = next(search)
        while True:
            assert asked == tuple(sorted(set(asked)))
            rounds.append(len(asked))
            asked = search.send({n: n in accepted for n in asked})
    except StopIteration as end:
        return end.value, rounds


@given(n_max=st.integers(1, 400), at_once=st.integers(1, 6), data=st.data())
def test_several_sizes_at_once_give_the_largest_that_was_accepted(
    n_max: int, at_once: int, data: st.DataObject
) -> None:
    accepted = data.draw(st.sets(st.integers(1, n_max)))
    found, rounds = searched_at_once(accepted, n_max, at_once, start=data.draw(st.none() | st.integers(1, n_max)))
    assert found.judged == {n: n in accepted for n in found.judged}
    assert found.n == max((n for n, yes in found.judged.items() if yes), default=0)
    assert found.n_rejected == min((n for n, yes in found.judged.items() if not yes and n > found.n), default=None)
    assert max(rounds) <= max(at_once, 3)


@given(n_max=st.integers(1, 400), at_once=st.integers(1, 4), growth=st.floats(1.02, 3.0), data=st.data())
def test_a_search_that_shrinks_from_its_guess_gives_the_largest_that_was_accepted(
    n_max: int, at_once: int, growth: float, data: st.DataObject
) -> None:
    accepted = data.draw(st.sets(st.integers(1, n_max)))
    start = data.draw(st.integers(1, n_max))
    found, _ = searched_at_once(accepted, n_max, at_once, start=start, growth=growth, shrink=True)
    assert found.n == max((n for n, yes in found.judged.items() if yes), default=0)
    assert found.n_rejected == min((n for n, yes in found.judged.items() if not yes and n > found.n), default=None)
    answer = data.draw(st.integers(0, n_max))
    monotone, _ = searched_at_once(set(range(answer + 1)), n_max, at_once, start=start, growth=growth, shrink=True)
    assert monotone.n == answer


@given(answer=st.integers(50, 5000), off=st.floats(0.9, 1.1), at_once=st.integers(1, 3))
def test_a_good_guess_saves_questions(answer: int, off: float, at_once: int) -> None:
    options: dict[str, Any] = {"resolution": 0.005}
    blind, _ = searched_at_once(set(range(answer + 1)), 100_000, at_once, start=1, **options)
    guess = round(off * answer)
    guided, _ = searched_at_once(
        set(range(answer + 1)), 100_000, at_once, start=guess, growth=1.15, shrink=True, **options
    )
    assert guided.n == pytest.approx(answer, rel=0.006, abs=1)
    assert len(guided.judged) < len(blind.judged)


@given(n_max=st.integers(1, 3000), share=st.floats(0, 1), at_once=st.integers(2, 6))
def test_a_monotone_judge_is_asked_in_fewer_rounds(n_max: int, share: float, at_once: int) -> None:
    answer = round(share * n_max)
    found, rounds = searched_at_once(set(range(answer + 1)), n_max, at_once, start=1)
    assert found.n == answer
    assert len(rounds) <= math.log2(n_max) / at_once + math.log(n_max, at_once + 1) + 6


@settings(max_examples=200)
@given(n_max=st.integers(1, 3000), share=st.floats(0, 1), start=st.none() | st.integers(-3, 4000))
def test_a_monotone_judge_gives_the_exact_answer_in_few_questions(n_max: int, share: float, start: int | None) -> None:
    answer = round(share * n_max)
    found, asked = searched(set(range(answer + 1)), n_max, start=start)
    assert found.n == answer
    assert found.monotone
    assert found.n_rejected == (None if answer == n_max else answer + 1)
    assert len(asked) == len(set(asked))
    assert len(asked) <= 2 * math.log2(n_max) + 8  # doubling, bisection, and the sizes tried above


@settings(max_examples=300)
@given(n_max=st.integers(1, 400), data=st.data())
def test_any_judge_gives_the_largest_size_that_was_accepted_and_reports_the_gaps(
    n_max: int, data: st.DataObject
) -> None:
    accepted = data.draw(st.sets(st.integers(1, n_max)))
    found, asked = searched(accepted, n_max, start=data.draw(st.none() | st.integers(1, n_max)))
    yes = [n for n in asked if n in accepted]
    no = [n for n in asked if n not in accepted]
    assert found.judged == {n: n in accepted for n in asked}
    assert found.n == max(yes, default=0)
    assert found.n_rejected == min((n for n in no if n > found.n), default=None)
    assert found.rejected_below == tuple(sorted(n for n in no if n < found.n))
    assert found.monotone == (not found.rejected_below)
    if found.n < n_max:
        assert found.n + 1 in asked


def test_a_gap_right_above_the_answer_is_jumped() -> None:
    # Accepted up to 100 and at 105: bisection judges 104, 102 and 101 and stops at 100; 5 % above it there is more.
    found, asked = searched({*range(1, 101), 105}, 1000, start=1)
    assert found.n == 105
    assert not found.monotone
    assert found.rejected_below == tuple(sorted(n for n in asked if 100 < n < 105))
    assert 101 in found.rejected_below


@given(n_min=st.integers(1, 30), answer=st.integers(0, 60), start=st.none() | st.integers(1, 60))
def test_sizes_below_the_smallest_are_never_judged(n_min: int, answer: int, start: int | None) -> None:
    found, asked = searched(set(range(answer + 1)), 60, start=start, n_min=n_min)
    assert min(asked) >= n_min
    assert found.n == (answer if answer >= n_min else 0)


def test_judges_that_always_or_never_accept() -> None:
    found, asked = searched(set(range(1, 1001)), 1000)
    assert (found.n, found.n_rejected, asked) == (1000, None, [1000])
    found, asked = searched(set(), 1000)
    assert (found.n, found.monotone) == (0, True)
    assert found.n_rejected == 1
    assert len(asked) <= 11


def test_a_resolution_saves_questions_and_keeps_its_promise() -> None:
    exact, asked = searched(set(range(7001)), 10000)
    coarse, fewer = searched(set(range(7001)), 10000, resolution=0.05)
    assert exact.n == 7000
    assert len(fewer) < len(asked)
    assert 7000 / 1.06 <= coarse.n <= 7000


def test_nothing_to_search_is_zero() -> None:
    found = find_largest_feasible(lambda n: n <= 0, 0)
    assert (found.n, found.monotone) == (0, True)


@given(n_max=st.integers(1, 3000), below=st.integers(1, 24), data=st.data())
def test_sizes_looked_at_below_an_answer_never_change_it(n_max: int, below: int, data: st.DataObject) -> None:
    edges = sorted(data.draw(st.lists(st.integers(0, n_max), max_size=6)))
    accepted = {n for n in range(1, n_max + 1) if sum(edge < n for edge in edges) % 2 == 0}
    start = data.draw(st.integers(1, n_max))
    alone, _ = searched_at_once(accepted, n_max, 2, start=start)
    found, rounds = searched_at_once(accepted, n_max, 2, start=start, below=below)
    assert (found.n, found.n_rejected) == (alone.n, alone.n_rejected)
    assert found.judged == {n: n in accepted for n in found.judged}
    assert max(rounds) <= max(3, below)
    # Everything that was tried up to there holds, and right above it something does not.
    assert all(yes for n, yes in found.judged.items() if n <= found.held_up_to)
    if found.rejected_below:
        assert not found.judged[found.held_up_to + 1]
    else:
        assert found.held_up_to == found.n


# Where 20 kW steps break the band on circuits whose capacitor bank acts by itself: (from, to, answer), in kW.
ACTING_BANKS = (((120, 180), (420, 720), 3269), ((120, 180), (420, 1040), (1280, 1360), 3781))


@pytest.mark.parametrize("bank", ACTING_BANKS)
def test_gaps_far_below_the_answer_are_found_down_to_the_lowest(bank: tuple[Any, ...]) -> None:
    *gaps, answer = bank
    accepted = {n for n in range(1, answer + 1) if not any(low <= n <= high for low, high in gaps)}
    found, _ = searched_at_once(accepted, 9000, 2, start=1664, growth=1.6, resolution=0.005, below=24)
    assert found.n == pytest.approx(answer, rel=0.006)
    assert found.held_up_to == 119
    for low, high in gaps[:2]:
        assert any(low <= n <= high for n in found.rejected_below)
    assert len(found.judged) < 80


def test_a_monotone_judge_is_asked_once_more_for_what_lies_below() -> None:
    accepted = set(range(1001))
    alone, before = searched_at_once(accepted, 9000, 2, start=900)
    found, after = searched_at_once(accepted, 9000, 2, start=900, below=12)
    assert found.monotone
    assert found.held_up_to == found.n == alone.n == 1000
    assert len(after) == len(before) + 1
    assert 8 <= after[-1] <= 12
    # What is known already is not asked for again.
    grown, _ = searched_at_once(accepted, 9000, 2, start=1, growth=1.2, below=8)
    assert len(grown.judged) == len(searched_at_once(accepted, 9000, 2, start=1, growth=1.2)[0].judged)
