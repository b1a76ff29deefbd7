"""The largest size within a limit, found by how much of it others use up, against trying all of them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest

from solvers.largest_by_use import search_largest_by_use
from solvers.largest_feasible import LargestFeasible


def searched(use: Callable[[int], float], n_max: int, **options: float) -> tuple[LargestFeasible, int, list[int]]:
    """The result, rounds, and every size that was asked for."""
    search = search_largest_by_use(n_max, **{"n_min": 1, "start": 40, "resolution": 0.01, **options})  # type: ignore[arg-type]
    asked, sizes, rounds = next(search), [], 0
    while True:
        assert 1 <= len(asked) <= max(2, int(options.get("at_once", 2)) + 1)
        assert len(set(asked) | set(sizes)) == len(asked) + len(sizes), "no size is asked for twice"
        assert all(options.get("n_min", 1) <= n <= n_max for n in asked)
        rounds += 1
        sizes += asked
        try:
            asked = search.send({n: use(n) for n in asked})
        except StopIteration as end:
            return end.value, rounds, sizes


SHAPES: dict[str, Callable[[int, float], float]] = {
    "a line": lambda n, at: 0.4 + 0.6 * n / at,
    "a voltage's curve": lambda n, at: 0.3 + 0.7 * (n / at) ** 1.4,
    "two limits": lambda n, at: max(0.9 + 0.02 * n / at, 1.0 + 3.0 * (n - at) / at),
    "one that does not move": lambda n, at: 0.97 if n <= at else 1.2,
    "a jump": lambda n, at: 0.0 if n <= at else 100.0,
    "no answer above": lambda n, at: 0.2 + 0.5 * n / at if n <= at else math.inf,
    "flat at the limit": lambda n, at: min(1.0, 0.5 + n / at) if n <= at else n / at,
}


@pytest.mark.parametrize("at_once", [2, 5, 8])
@pytest.mark.parametrize("shape", SHAPES)
def test_it_is_the_largest_to_the_resolution_wherever_the_limit_lies(shape: str, at_once: int) -> None:
    draw = np.random.default_rng(7)
    for _ in range(60):
        at, start = float(np.exp(draw.uniform(0.0, 8.0))), int(np.exp(draw.uniform(0.0, 8.0)))
        n_max = int(np.exp(draw.uniform(3.0, 9.0)))
        found, rounds, _ = searched(lambda n, at=at: SHAPES[shape](n, at), n_max, start=start, at_once=at_once)
        truth = max((n for n in range(1, n_max + 1) if SHAPES[shape](n, at) <= 1.0), default=0)
        assert found.n <= truth <= found.n + max(1, int(0.01 * found.n)) - (found.n < truth)
        assert (found.n_rejected is None) == (truth == n_max == found.n)
        assert rounds <= 22


def test_more_at_once_and_a_good_guess_save_rounds() -> None:
    for at in (30.0, 137.0, 911.0):
        curve = lambda n, at=at: 0.3 + 0.7 * (n / at) ** 1.4  # noqa: E731
        rounds = {k: searched(curve, 5000, at_once=k)[1] for k in (2, 8)}
        assert rounds[8] <= rounds[2]
        found, near, sizes = searched(curve, 5000, start=int(at), spread=0.01)
        assert (near, len(sizes)) == (1, 2)
        assert found.n == int(at)


@pytest.mark.parametrize("shape", SHAPES)
def test_from_uses_that_are_known_it_goes_on_and_asks_for_none_of_them_again(shape: str) -> None:
    draw = np.random.default_rng(8)
    for _ in range(60):
        at, n_max = float(np.exp(draw.uniform(0.0, 8.0))), int(np.exp(draw.uniform(3.0, 9.0)))
        use = lambda n, at=at: SHAPES[shape](n, at)  # noqa: E731
        known = {int(n): use(int(n)) for n in draw.integers(1, n_max + 1, 4)}
        search = search_largest_by_use(n_max, start=40, resolution=0.01, known=known, at_once=lambda: 3)
        sizes: list[int] = []
        try:
            asked = next(search)
            while True:
                sizes += asked
                asked = search.send({n: use(n) for n in asked})
        except StopIteration as end:
            found: LargestFeasible = end.value
        assert not set(sizes) & set(known)
        truth = max((n for n in range(1, n_max + 1) if use(n) <= 1.0), default=0)
        assert found.n <= truth <= found.n + max(1, int(0.01 * found.n)) - (found.n < truth)


def test_how_many_at_once_is_asked_every_round() -> None:
    widths = itertools.chain([2, 2, 7], itertools.repeat(2))
    search = search_largest_by_use(5000, start=40, resolution=0.01, at_once=lambda: next(widths))
    asked, rounds = next(search), []
    while True:
        rounds.append(len(asked))
        try:
            asked = search.send({n: 0.0 if n <= 777 else 9.0 for n in asked})
        except StopIteration:
            break
    assert rounds[:2] == [2, 2]
    assert rounds[2] > 2
    assert max(rounds[3:]) <= 2


def test_a_line_is_found_in_two_rounds_and_a_curve_in_few() -> None:
    for at in (30.0, 55.0, 130.0):
        assert searched(lambda n, at=at: 0.4 + 0.6 * n / at, 5000)[1] <= 3
        assert searched(lambda n, at=at: 0.3 + 0.7 * (n / at) ** 1.4, 5000)[1] <= 5


def test_of_several_crossings_the_lowest_that_was_met_is_told() -> None:
    def use(n: int) -> float:
        return 0.8 if n <= 50 or 60 < n <= 200 else 1.3

    found, _, sizes = searched(use, 1000, start=55)
    assert found.n == 50
    assert use(found.n) <= 1.0 < use(found.n_rejected or 0)
    assert found.judged == {n: use(n) <= 1.0 for n in sizes}


def test_not_even_the_smallest_and_all_of_them() -> None:
    assert searched(lambda n: 2.0 + n, 500, n_min=4)[0].n == 0
    found, rounds, _ = searched(lambda n: 0.1, 500, start=400)
    assert (found.n, found.n_rejected) == (500, None)
    assert rounds <= 2


def test_sizes_below_an_answer_are_looked_at_and_a_gap_is_told() -> None:
    """Sizes from 30 to 60 break a limit that those around them keep: the answer says so, and up to where all hold."""
    uses = {n: 2.0 if 30 <= n <= 60 else n / 200.0 for n in range(1, 401)}

    def gapped(below: int) -> LargestFeasible:
        search = search_largest_by_use(400, start=190, resolution=0.01, below=below)
        asked = next(search)
        while True:
            try:
                asked = search.send({n: uses[n] for n in asked})
            except StopIteration as end:
                return end.value

    assert gapped(0).monotone
    found = gapped(8)
    assert 198 <= found.n <= 200
    assert found.rejected_below
    assert all(30 <= n <= 60 for n in found.rejected_below)
    assert found.held_up_to == 29
