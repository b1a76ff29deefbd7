"""The largest n that a yes/no judge accepts, without trusting that "yes" is monotone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
    """Search `n_min` to `n_max`: grow from `start` by the factor `growth`, bisect, then look upwards from the answer.

    Bisection stops when the bracket is closer than `resolution` (relative) or one. Then the point right above the
    answer and the multiples `try_above` of it are judged: if one is accepted, the search goes on from there, so the
    answer is the largest accepted size met, and the gap is reported.
    """
    judged: dict[int, bool] = {}

    def ask(n: int) -> bool:
        if n not in judged:
            judged[n] = bool(judge(n))
        return judged[n]

    def bisect(low: int, high: int) -> int:
        """Largest accepted in a bracket whose low end is accepted (or below `n_min`) and whose high end is rejected."""
        while high - low > max(1, int(resolution * low)):
            middle = (low + high) // 2
            low, high = (middle, high) if ask(middle) else (low, middle)
        return low

    low, high = n_min - 1, None
    probe = min(max(n_min, start if start is not None else n_max), n_max)
    while high is None:
        if ask(probe):
            low = probe
            if probe == n_max:
                break
            probe = min(max(probe + 1, int(growth * probe)), n_max)
        else:
            high = probe
    best = low if high is None else bisect(low, high)
    if best < n_min:
        best = 0
    searching = high is not None
    while searching:
        searching = False
        above = sorted({best + max(1, int(resolution * best)), *(int(best * f) for f in try_above)})
        for n in (n for n in above if max(best + 1, n_min) <= n <= n_max):
            if ask(n):
                rejected = min((m for m, yes in judged.items() if m > n and not yes), default=None)
                if rejected is None and not ask(n_max):
                    rejected = n_max
                best = n_max if rejected is None else bisect(n, rejected)
                searching = rejected is not None
                break
    gap = tuple(sorted(n for n, yes in judged.items() if not yes and n < best))
    n_rejected = min((n for n, yes in judged.items() if not yes and n > best), default=None)
    return LargestFeasible(best, n_rejected, gap, judged)
