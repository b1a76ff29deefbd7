"""The ladder of limits of a place: the size at which each criterion begins to bind, the others left aside.

Every size that is simulated is held against all criteria, and each criterion's bracket is closed by sizes of its own: a
rung is a size that was simulated and keeps its criterion, next to a larger one that was simulated and does not.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from g2g_opt.judge import Criterion, LimitCheck, Verdict
from studies.hosting_capacity.capacity import Aim, JudgedSize

# Brackets wider than this (high over low) are cut in the middle as well.
_WIDE = 1.3
# Both sides of the band, and time outside it, are one rung.
_VOLTAGE = (Criterion.VOLTAGE_LOW, Criterion.VOLTAGE_HIGH, Criterion.VOLTAGE_INTEGRAL)
VOLTAGE = "voltage"
POWER_FLOW = str(Criterion.POWER_FLOW)


def criteria_of(rung: str) -> tuple[Criterion, ...]:
    """The criteria that a rung stands for."""
    return _VOLTAGE if rung == VOLTAGE else (Criterion(rung),)


# Every criterion there is, and last the size above which the circuit has no solution, or serves not what was asked.
RUNGS = (VOLTAGE, *(str(c) for c in Criterion if c not in (*_VOLTAGE, Criterion.POWER_FLOW)), POWER_FLOW)


@dataclass(frozen=True)
class Rung:
    """One criterion alone: the largest size `below` its first refusal, and what it `stopped_by` in the size above.

    `below` is None if not even the smallest size keeps it; `stopped_by` None if no simulated size breaks it: `ends_at`
    is then the largest size that was simulated with an answer, `power_flow_ends` says that a larger one had none, and
    `is_judged` tells a criterion that holds from one
    that nothing in the circuit is held against.
    """

    aim: Aim
    criterion: str
    below: JudgedSize | None
    stopped_by: LimitCheck | None
    n_rejected: int | None
    ends_at: JudgedSize | None
    power_flow_ends: bool
    is_judged: bool


def broken_by(verdict: Verdict, rung: str) -> LimitCheck | None:
    """The check of a rung that a run breaks, the worst of several; None if it keeps the rung.

    A run without an answer breaks the rung of the power flow and no other: what it would have broken is not known.
    """
    if verdict.failure is not None:
        return verdict.binding if rung == POWER_FLOW else None
    broken = [check for check in verdict.broken if check.criterion in criteria_of(rung)]
    return max(broken, key=lambda check: check.used, default=None)


def _has_answer(size: JudgedSize) -> bool:
    return size.outcome.failure is None


def _bracket(judged: Sequence[JudgedSize], rung: str) -> tuple[JudgedSize | None, JudgedSize | None]:
    """The largest size below the first that breaks a rung, and that first one; `judged` by rising size."""
    below = None
    for size in judged:
        if broken_by(size.outcome.verdict, rung) is not None:
            return below, size
        if _has_answer(size):
            below = size
    return below, None


def _used(size: JudgedSize | None, rung: str) -> float:
    """The share of the rung's limit that a size uses up; NaN where it is not known."""
    if size is None or not _has_answer(size):
        return math.nan
    criteria = criteria_of(rung) if rung != POWER_FLOW else ()
    return max((c.used for c in size.outcome.checks if c.criterion in criteria), default=math.nan)


def sizes_wanted(
    judged: Mapping[int, JudgedSize], n_min: int, n_max: int, resolution: float, growth: float, at_once: int = 1
) -> tuple[int, ...]:
    """Sizes that close brackets of rungs, or look for their ends; none when every rung is known to `resolution`.

    Of a bracket two sizes close around where the straight line of the shares used crosses the limit, if they are known
    on both sides; its middle where they are not, or where it is still wide: a share of time is no straight line. Where
    that is less than `at_once` sizes, so many lie in place of the middle that there are about as many in all.
    """
    wanted = _wanted_in_parts(judged, n_min, n_max, resolution, growth, 2)
    if not 0 < len(wanted) < at_once:
        return wanted
    return _wanted_in_parts(judged, n_min, n_max, resolution, growth, 2 + (at_once - 1) // len(wanted))


def _wanted_in_parts(
    judged: Mapping[int, JudgedSize], n_min: int, n_max: int, resolution: float, growth: float, parts: int
) -> tuple[int, ...]:
    """As `sizes_wanted`; where the middle of a bracket is wanted, it is cut in so many parts."""
    sizes = [judged[n] for n in sorted(judged)]
    largest = max(judged, default=n_min - 1)
    power_flow_ends = any(not _has_answer(size) for size in sizes)
    wanted: set[int] = set()
    for rung in RUNGS:
        below, above = _bracket(sizes, rung)
        if above is None:
            if not power_flow_ends and largest < n_max:
                wanted.add(min(n_max, max(largest + 1, int(growth * largest))))
            continue
        low = below.n_servers if below is not None else n_min - 1
        # Sizes without an answer between the two leave the bracket as it is.
        high = above.n_servers
        if high - low <= max(1, int(resolution * low)):
            continue
        used_low, used_high = _used(below, rung), _used(above, rung)
        crosses = math.isfinite(used_low) and math.isfinite(used_high) and used_low > 0.0
        if not crosses or high > _WIDE * low:
            wanted |= {low + (high - low) * part // parts for part in range(1, parts)}
        if crosses:
            crossing = low + (1.0 - used_low) / (used_high - used_low) * (high - low)
            beside = max(0.5, 0.4 * resolution * low)
            wanted |= {min(high - 1, max(low + 1, int(crossing + side))) for side in (-beside, beside)}
    return tuple(sorted(n for n in wanted if n not in judged and n_min <= n <= n_max))


def sizes_beside_rungs(judged: Mapping[int, JudgedSize]) -> set[int]:
    """The sizes next to every rung on both sides, of all that were judged."""
    sizes = [judged[n] for n in sorted(judged)]
    beside = {size for rung in RUNGS for size in _bracket(sizes, rung) if size is not None}
    return {size.n_servers for size in beside}


def rungs_of(aim: Aim, judged: Sequence[JudgedSize]) -> list[Rung]:
    """Every criterion's rung from all sizes judged, those that were held against something or bind first."""
    sizes = sorted(judged, key=lambda size: size.n_servers)
    answered = [size for size in sizes if _has_answer(size)]
    found = []
    for rung in RUNGS:
        below, above = _bracket(sizes, rung)
        checked = {check.criterion for size in answered for check in size.outcome.checks}
        found.append(
            Rung(
                aim=aim,
                criterion=rung,
                below=below,
                stopped_by=broken_by(above.outcome.verdict, rung) if above is not None else None,
                n_rejected=above.n_servers if above is not None else None,
                ends_at=answered[-1] if answered else None,
                power_flow_ends=len(answered) < len(sizes),
                is_judged=rung == POWER_FLOW or bool(checked & {*criteria_of(rung)}),
            )
        )
    return found
