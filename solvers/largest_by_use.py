"""The largest n whose share of a limit stays within 1, by interpolation of how much of it other sizes use up."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Mapping

from solvers.largest_feasible import LargestFeasible, search_below

SearchByUse = Generator[tuple[int, ...], Mapping[int, float], LargestFeasible]

# Where in its own width the pair of sizes lies that is to take the crossing between them.
_BELOW = 0.4


def search_largest_by_use(
    n_max: int,
    *,
    n_min: int = 1,
    start: int,
    resolution: float,
    growth: float = 1.5,
    below: int = 0,
    spread: float | None = None,
    at_once: int | Callable[[], int] = 2,
    known: Mapping[int, float] | None = None,
) -> SearchByUse:
    """Search `n_min` to `n_max` for the largest size whose use is at most 1 (equation 6.1), from `start` on.

    A generator: it yields some `at_once` sizes at a time (or as many as that says every time), is sent the share of the
    limit that each uses up (at most 1: accepted; infinite: no answer), and returns the result. Where two uses say where
    1 is crossed, the next two sizes are `resolution` (relative) apart around that point; elsewhere sizes go up or down
    by the factor `growth`. The first two lie `spread` (relative) apart, as befits how good a guess `start` is; None: by
    the factor `growth`. With uses that are `known` already it goes on from those instead. A bracket that two such
    rounds have not halved is cut in three, so that a use that jumps costs no more than a bisection.

    Use need not be monotone: of several crossings the result is the lowest that was met, with a rejected size within
    `resolution` above it, unless all up to `n_max` were accepted. Last, sizes `below` it are looked at, if so many are
    wanted (`search_below`).
    """
    known = dict(known or {})
    apart = growth - 1.0 if spread is None else spread
    asked = () if known else _pair(start, n_min - 1, None, n_min, n_max, max(1, int(apart * start)))
    widths = [math.inf, math.inf]
    while True:
        if asked:
            n_asked = at_once() if callable(at_once) else at_once
            if n_asked > 2:
                asked = _widened(asked, known, (n_min, n_max), growth, n_asked)
            answers = yield asked
            known.update({n: answers[n] for n in asked})
        low, high = bracket_of(known, n_min)
        if (low >= n_max) if high is None else (high - low <= max(1, int(resolution * low))):
            answer = low if low >= n_min else 0
            known.update((yield from _uses_below(known, answer, below, n_min, resolution)))
            return _result(known, answer)
        width = math.inf if high is None else float(high - low)
        point = _crossing(known, low, high, n_min, growth)
        stuck = math.isfinite(width) and width > 0.5 * widths[-2]
        widths.append(width)
        if point is None or stuck:
            asked = _thirds(low, high, n_min, n_max, growth)
        else:
            first = max(n_min, int(point - _BELOW * resolution * point))
            asked = _pair(first, low, high, n_min, n_max, max(1, int(resolution * first)))


def _uses_below(
    known: Mapping[int, float], answer: int, n_sizes: int, n_min: int, resolution: float
) -> Generator[tuple[int, ...], Mapping[int, float], dict[int, float]]:
    """Uses of sizes below an answer."""
    found: dict[int, float] = {}
    judged = {n: use <= 1.0 for n, use in known.items()}
    looking = search_below(judged, answer, n_sizes, n_min=n_min, resolution=resolution)
    try:
        asked = next(looking)
        while True:
            answers = yield asked
            found.update({n: answers[n] for n in asked})
            asked = looking.send({n: answers[n] <= 1.0 for n in asked})
    except StopIteration:
        return found


def bracket_of(known: Mapping[int, float], n_min: int) -> tuple[int, int | None]:
    """The largest accepted size (`n_min` - 1: none) below the smallest rejected one, and that (None: none), of uses."""
    high = min((n for n, use in known.items() if not use <= 1.0), default=None)
    return max((n for n in known if high is None or n < high), default=n_min - 1), high


def _crossing(known: Mapping[int, float], low: int, high: int | None, n_min: int, growth: float) -> float | None:
    """Where a line through the two sizes nearest to 1 crosses it; None if they do not say."""
    if high is None:
        points = sorted(known)[-2:]
    elif low < n_min:
        points = sorted(known)[:2]
    else:
        points = [low, high]
    if len(points) < 2:
        return None
    (a, b), (use_a, use_b) = points, (known[points[0]], known[points[1]])
    if not (math.isfinite(use_a) and math.isfinite(use_b) and use_b > use_a):
        return None
    found = a + (1.0 - use_a) * (b - a) / (use_b - use_a)
    # Far from what is known a line says little.
    if high is None:
        return min(found, growth**3 * b)
    return max(found, a / growth**3) if low < n_min else found


def _pair(first: int, low: int, high: int | None, n_min: int, n_max: int, step: int) -> tuple[int, ...]:
    """A size and the one a step above, kept within what is open."""
    lowest, largest = max(low + 1, n_min), n_max if high is None else high - 1
    a = min(max(first, lowest), largest)
    return tuple(sorted({a, min(a + step, largest)}))


def _widened(
    asked: tuple[int, ...], known: Mapping[int, float], bounds: tuple[int, int], growth: float, at_once: int
) -> tuple[int, ...]:
    """A pair of sizes with others on both sides, each twice as far away as the one before, within `bounds`.

    Above, no further than by the factor of growth while nothing is rejected: what lies far beyond a limit costs most.
    """
    step, found = max(1, asked[-1] - asked[0]), set(asked)
    low, high = bracket_of(known, bounds[0])
    lowest = max(low + 1, bounds[0])
    largest = min(bounds[1], int(growth * asked[-1])) if high is None else high - 1
    away = step
    while len(found) < at_once and (asked[0] - away >= lowest or asked[-1] + away <= largest):
        found |= {n for n in (asked[0] - away, asked[-1] + away) if lowest <= n <= largest}
        away = 2 * away + step
    return tuple(sorted(found))


def _thirds(low: int, high: int | None, n_min: int, n_max: int, growth: float) -> tuple[int, ...]:
    """Two sizes by the factor of growth, or that cut the bracket in three."""
    if high is None:
        return _pair(int(growth * low), low, None, n_min, n_max, max(1, int((growth - 1.0) * growth * low)))
    if low < n_min:
        a = max(n_min, int(high / growth**2))
        return _pair(a, low, high, n_min, n_max, max(1, int(high / growth) - a))
    third = max(1, (high - low) // 3)
    return _pair(low + third, low, high, n_min, n_max, third)


def _result(known: Mapping[int, float], n: int) -> LargestFeasible:
    judged = {size: use <= 1.0 for size, use in known.items()}
    above = min((size for size, yes in judged.items() if size > n and not yes), default=None)
    gap = tuple(sorted(size for size, yes in judged.items() if not yes and size < n))
    return LargestFeasible(n, above, gap, judged)
