"""The largest n that a yes/no judge accepts, without trusting that "yes" is monotone."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class LargestFeasible:
    """Result of a search over 0..n_max.

    `n` is the largest accepted size (0 if none was); `n_rejected` the smallest rejected size above it that was
    judged, None if `n_max` itself was accepted. `rejected_below` are judged sizes below `n` that were rejected: the
    judge is not monotone, and feasibility has a gap there. `judged` holds every answer, by size.
    """

    n: int
    n_rejected: int | None
    rejected_below: tuple[int, ...]
    judged: dict[int, bool] = field(default_factory=dict)

    @property
    def monotone(self) -> bool:
        """True if no size below the answer was rejected."""
        return not self.rejected_below

    @property
    def held_up_to(self) -> int:
        """The largest accepted size below which every judged one was accepted; 0 if there is none."""
        return held_up_to(self.judged, self.n)


def held_up_to(judged: Mapping[int, bool], answer: int) -> int:
    """The largest accepted size up to an `answer` below which every judged one was accepted; 0 if there is none."""
    refused = min((n for n, yes in judged.items() if not yes and n < answer), default=answer + 1)
    return max((n for n, yes in judged.items() if yes and n < refused and n <= answer), default=0)


Search = Generator[tuple[int, ...], Mapping[int, bool], LargestFeasible]
# Of the sizes spread below an answer, the share of it below which they lie evenly; above it they grow by a factor.
_EVENLY_BELOW = 0.1


def gaps_below(judged: Mapping[int, bool], answer: int) -> tuple[tuple[int, int], ...]:
    """Rejected sizes below an answer as (smallest, largest) of each run that no accepted one interrupts."""
    gaps: list[tuple[int, int]] = []
    accepted = True
    for n in sorted(n for n in judged if n < answer):
        if not judged[n]:
            gaps[-1:] = [(n, n)] if not gaps else [gaps[-1], (n, n)] if accepted else [(gaps[-1][0], n)]
        accepted = judged[n]
    return tuple(gaps)


def find_largest_feasible(
    judge: Callable[[int], bool],
    n_max: int,
    *,
    n_min: int = 1,
    start: int | None = None,
    resolution: float = 0.0,
    growth: float = 2.0,
    try_above: Sequence[float] = (1.05, 1.15),
) -> LargestFeasible:
    """Run `search_largest_feasible` with a judge that answers one size at a time."""
    search = search_largest_feasible(
        n_max, n_min=n_min, start=start, resolution=resolution, growth=growth, try_above=try_above
    )
    try:
        asked = next(search)
        while True:
            asked = search.send({n: bool(judge(n)) for n in asked})
    except StopIteration as end:
        found: LargestFeasible = end.value
        return found


def search_largest_feasible(
    n_max: int,
    *,
    n_min: int = 1,
    start: int | None = None,
    resolution: float = 0.0,
    growth: float = 2.0,
    try_above: Sequence[float] = (1.05, 1.15),
    at_once: int = 1,
    shrink: bool = False,
    below: int = 0,
) -> Search:
    """Search `n_min` to `n_max` (equation 6.1): grow from `start` by the factor `growth`, bisect, then look upwards
    from the answer.

    A generator: it yields sizes that it wants judged, is sent their answers, and returns the result. With `at_once`
    above one it asks for that many sizes in a round (a bracket is then cut into more than two), so that a judge who
    answers many together is asked less often. With `shrink` a `start` that is rejected is divided by `growth` until
    a size is accepted, as befits a good guess.

    Bisection stops when the bracket is closer than `resolution` (relative) or one. Then the point right above the
    answer and the multiples `try_above` of it are judged: if one is accepted, the search goes on from there, so the
    answer is the largest accepted size met, and the gap is reported. Last, sizes `below` it are looked at, if so many
    are wanted (`search_below`).
    """
    judged: dict[int, bool] = {}

    def ask(sizes: Iterable[int]) -> Generator[tuple[int, ...], Mapping[int, bool], None]:
        new = tuple(sorted({n for n in sizes if n not in judged}))
        if new:
            answers = yield new
            judged.update({n: answers[n] for n in new})

    def cut(low: int, high: int) -> Generator[tuple[int, ...], Mapping[int, bool], int]:
        """Largest accepted in a bracket whose low end is accepted (or below `n_min`) and whose high end is rejected."""
        while high - low > max(1, int(resolution * low)):
            points = sorted({low + (high - low) * k // (at_once + 1) for k in range(1, at_once + 1)} - {low, high})
            yield from ask(points)
            # Of several crossings the lowest one; accepted sizes above it are met again at the end.
            for n in points:
                if not judged[n]:
                    high = n
                    break
                low = n
        return low

    low, high = n_min - 1, None
    probe = min(max(n_min, start if start is not None else n_max), n_max)
    while high is None and low < n_max:
        probes = [probe]
        while len(probes) < at_once and probes[-1] < n_max:
            probes.append(min(max(probes[-1] + 1, int(growth * probes[-1])), n_max))
        yield from ask(probes)
        for n in probes:
            if not judged[n]:
                high = n
                break
            low = n
        probe = min(max(low + 1, int(growth * low)), n_max)
    while shrink and high is not None and low < n_min and high > n_min:
        probes = sorted({max(n_min, int(high / growth**k)) for k in range(1, at_once + 1)} - {high})
        yield from ask(probes)
        low = max((n for n in probes if judged[n]), default=low)
        high = min((n for n in (*probes, high) if n > low and not judged[n]), default=high)
    best = low if high is None else (yield from cut(low, high))
    if best < n_min:
        best = 0
    searching = high is not None
    while searching:
        searching = False
        above = sorted({best + max(1, int(resolution * best)), *(int(best * f) for f in try_above)})
        above = [n for n in above if max(best + 1, n_min) <= n <= n_max]
        if at_once > 1:
            yield from ask(above)
        # Several at once may have met accepted sizes beyond a rejected one; they are known, so the largest comes first.
        for n in sorted({*above, *(n for n, yes in judged.items() if yes and n > best)}, reverse=at_once > 1):
            yield from ask([n])
            if judged[n]:
                rejected = min((m for m, yes in judged.items() if m > n and not yes), default=None)
                if rejected is None:
                    yield from ask([n_max])
                    rejected = None if judged[n_max] else n_max
                best = n_max if rejected is None else (yield from cut(n, rejected))
                searching = rejected is not None
                break
    judged.update((yield from search_below(judged, best, below, n_min=n_min, resolution=resolution)))
    gap = tuple(sorted(n for n, yes in judged.items() if not yes and n < best))
    n_rejected = min((n for n, yes in judged.items() if not yes and n > best), default=None)
    return LargestFeasible(best, n_rejected, gap, judged)


def search_below(
    judged: Mapping[int, bool], answer: int, n_sizes: int, *, n_min: int = 1, resolution: float = 0.0
) -> Generator[tuple[int, ...], Mapping[int, bool], dict[int, bool]]:
    """Judge sizes below an answer, whether smaller ones hold too; returns all that is known then.

    A generator like `search_largest_feasible`. As many as `n_sizes` are spread from `n_min` to the answer, those next
    to one that was `judged` left out, and asked for in one round. Where some are rejected, the lowest bracket is cut
    to the `resolution`, and sizes are spread below what is left, until all of a spread are accepted: then up to
    `held_up_to` nothing that was tried is rejected.
    """
    known, top = dict(judged), answer
    while n_sizes > 0 and top > n_min:
        new = _spread_below(known, top, n_sizes, n_min)
        if new:
            answers = yield new
            known.update({n: answers[n] for n in new})
        held = held_up_to(known, top)
        if held == top:
            break
        high = min(n for n, yes in known.items() if not yes)
        while high - held > max(1, int(resolution * held)) and high > n_min:
            middle = max(n_min, (held + high) // 2)
            if middle in known:
                break
            answers = yield (middle,)
            known[middle] = answers[middle]
            held, high = (middle, high) if known[middle] else (held, middle)
        top = held
    return known


def _spread_below(known: Mapping[int, bool], top: int, n_sizes: int, n_min: int) -> tuple[int, ...]:
    """Sizes from `n_min` to `top`, but where one that is known lies nearer than half a step."""

    def place(n: float) -> float:
        """0 at no size at all, `n_sizes` at the top."""
        return n_sizes * math.log1p(n / (_EVENLY_BELOW * top)) / math.log1p(1.0 / _EVENLY_BELOW)

    taken = [place(n) for n in known]
    found = set()
    for k in range(n_sizes):
        n = max(n_min, round(_EVENLY_BELOW * top * math.expm1(k / n_sizes * math.log1p(1.0 / _EVENLY_BELOW))))
        if n < top and n not in known and all(abs(place(n) - other) > 0.5 for other in taken):
            found.add(n)
    return tuple(sorted(found))
