"""How far above an answer sizes are looked at, by what refuses those that were."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from g2g_opt.failure import Failure, FailureKind
from g2g_opt.verdict import Criterion, LimitCheck, Verdict
from studies.hosting_capacity.across_gaps import look_across, refused_by_controls, size_across
from studies.shared.side_by_side import Wanted

KEPT = Verdict(())
RESTLESS = Verdict((), failure=Failure(FailureKind.RESTLESS_CONTROLS))
NO_SOLUTION = Verdict((), failure=Failure(FailureKind.NOT_CONVERGED))


def broken(criterion: Criterion, base_breaks: bool = False) -> Verdict:
    return Verdict((LimitCheck(criterion, criterion.value, 1.0, 0.01, 100.0, False, base_breaks=base_breaks),))


HIGH, LOW = broken(Criterion.VOLTAGE_HIGH), broken(Criterion.VOLTAGE_LOW)


def size_of(verdict: Verdict) -> Any:
    return SimpleNamespace(kept=verdict.kept, outcome=SimpleNamespace(verdict=verdict))


class Circuit:
    """Sizes by the range in which they lie, [(up to, verdict), ...]; the sizes asked for are kept in `asked`."""

    def __init__(self, *ranges: tuple[int, Verdict]) -> None:
        self.ranges, self.asked = ranges, list[int]()

    def size(self, n: int) -> Any:
        return size_of(next(verdict for top, verdict in self.ranges if n <= top))

    def judge(self, sizes: Sequence[int]) -> Wanted[Mapping[int, Any]]:
        self.asked += sizes
        yield from ()
        return {n: self.size(n) for n in sizes}

    def kept(self, sizes: Sequence[int]) -> Wanted[dict[int, bool]]:
        judged = yield from self.judge(sizes)
        return {n: size.kept for n, size in judged.items()}


def ended(search: Wanted[Any]) -> Any:
    try:
        next(search)
    except StopIteration as end:
        return end.value
    raise AssertionError("nothing is simulated here")


@pytest.mark.parametrize(
    ("verdict", "by_controls"),
    [
        (KEPT, False),
        (RESTLESS, True),
        (HIGH, True),
        (LOW, False),
        (NO_SOLUTION, False),
        (broken(Criterion.VOLTAGE_HIGH, base_breaks=True), False),
        (Verdict((*HIGH.checks, *LOW.checks)), False),
    ],
)
def test_what_controls_alone_refuse(verdict: Verdict, by_controls: bool) -> None:
    assert refused_by_controls(size_of(verdict)) is by_controls


def test_it_goes_on_as_long_as_controls_refuse_sizes() -> None:
    circuit = Circuit((300, RESTLESS), (500, HIGH), (2000, KEPT), (10**6, LOW))
    found = ended(look_across(circuit.judge, 20, 10**5))
    assert found == sorted(found, reverse=True)
    assert all(500 < n <= 2000 for n in found)
    assert 500 < min(found) <= 1.25 * 500


@pytest.mark.parametrize("above", [LOW, NO_SOLUTION])
def test_it_ends_where_a_site_draws_too_much(above: Verdict) -> None:
    circuit = Circuit((100, HIGH), (10**6, above))
    assert ended(look_across(circuit.judge, 20, 10**5)) == []
    assert max(circuit.asked) < 100 * 1.25**5


def test_it_ends_at_the_largest_size_of_a_search() -> None:
    circuit = Circuit((10**6, HIGH))
    assert ended(look_across(circuit.judge, 1, 40)) == []
    assert 40 / 1.25 < max(circuit.asked) <= 40
    assert len(circuit.asked) == len(set(circuit.asked))


def test_nothing_is_looked_at_where_a_site_draws_too_much_above_the_answer() -> None:
    circuit = Circuit((50, KEPT), (100, LOW), (10**6, KEPT))
    judged = {n: circuit.size(n) for n in (40, 60, 80)}

    def look(tried: int, n_max: int) -> Wanted[list[int]]:
        return (yield from look_across(circuit.judge, tried, n_max))

    assert ended(size_across(look, circuit.kept, judged, 40, 1000)) == 0
    assert not circuit.asked
    circuit = Circuit((50, KEPT), (100, RESTLESS), (10**6, KEPT))
    judged = {n: circuit.size(n) for n in (40, 60, 80)}
    assert ended(size_across(look, circuit.kept, judged, 40, 1000)) > 100
