"""The bracket of a search, and what is looked at beside it: in the rounds in which it closes, not after them."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from typing import Any

import pytest

from solvers.largest_by_use import search_largest_by_use
from studies.hosting_capacity.bracket import Bracket
from studies.shared.side_by_side import judged_by, together

ROUNDS_OF_A_SIZE = 2


def _judge(limit: float) -> Any:
    """A judge whose sizes take two rounds each."""

    def judge(sizes: Sequence[int]) -> Generator[tuple[int, ...], Any, Mapping[int, float]]:
        for _ in range(ROUNDS_OF_A_SIZE):
            yield tuple(sizes)
        return {n: n / limit for n in sizes}

    return judge


def _rounds(wanted: Generator[tuple[int, ...], Any, Any]) -> tuple[list[tuple[int, ...]], Any]:
    """What is asked for in every round, and the result."""
    rounds = []
    try:
        sizes = next(wanted)
        while True:
            rounds.append(sizes)
            sizes = wanted.send([None] * len(sizes))
    except StopIteration as end:
        return rounds, end.value


@pytest.mark.parametrize(("limit", "start"), [(400.5, 100), (37.2, 300), (912.0, 900)])
def test_sizes_on_both_sides_are_asked_for_while_the_bracket_closes(limit: float, start: int) -> None:
    bracket, judge = Bracket(0.05), _judge(limit)
    search = search_largest_by_use(2000, start=start, resolution=0.005, growth=1.6)

    def around() -> Generator[tuple[int, ...], Any, tuple[int, int]]:
        yield from bracket.until_narrow()
        seen = bracket.low, bracket.high
        yield from judge((bracket.low // 2, 2 * bracket.high))
        return seen

    closing = bracket.closed_by(judged_by(search, lambda sizes: bracket.noting(judge, sizes)))
    rounds, (found, (low, high)) = _rounds(together([closing, around()]))
    assert found.n <= limit < found.n_rejected <= 1.01 * found.n + 1
    # What was narrow when the sizes beside it were chosen holds the answer.
    assert low <= found.n < high <= max(1.05 * low, low + 2)
    beside = [k for k, sizes in enumerate(rounds) if low // 2 in sizes]
    assert len(beside) == ROUNDS_OF_A_SIZE
    alone = len(_rounds(judged_by(search_largest_by_use(2000, start=start, resolution=0.005, growth=1.6), judge))[0])
    assert len(rounds) <= alone + ROUNDS_OF_A_SIZE
    assert beside[0] < len(rounds) - 1


def test_a_bracket_that_never_narrows_is_waited_for_until_its_search_is_over() -> None:
    bracket, judge = Bracket(0.05), _judge(5000.0)
    search = search_largest_by_use(2000, start=100, resolution=0.005, growth=1.6)

    def around() -> Generator[tuple[int, ...], Any, tuple[int, int]]:
        yield from bracket.until_narrow()
        return bracket.low, bracket.high

    closing = bracket.closed_by(judged_by(search, lambda sizes: bracket.noting(judge, sizes)))
    _, (found, seen) = _rounds(together([closing, around()]))
    assert found.n == 2000
    assert seen == (2000, 2000)


def test_the_bracket_lies_below_the_smallest_size_that_does_not_hold() -> None:
    bracket = Bracket(0.5)
    for uses in ({100: 0.4}, {300: 1.2, 500: 0.9}, {200: 0.7}):
        for _ in bracket.noting(lambda sizes, found=uses: _told(found), tuple(uses)):
            pass
    assert (bracket.low, bracket.high) == (200, 300)
    assert bracket.is_narrow


def _told(uses: Mapping[int, float]) -> Generator[tuple[int, ...], Any, Mapping[int, float]]:
    yield tuple(uses)
    return uses
