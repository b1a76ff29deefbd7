"""The limit that a site brings nearest, apart from what the circuit without it is near to anyway."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from g2g_opt.judge import Criterion, LimitCheck, judge
from g2g_opt.limits import Limits
from g2g_opt.outcome import Outcome

# A limit of which a site uses up less than this share is one that it hardly moves.
_HARDLY = 0.02
# These follow from how a fleet is run, not from its size.
_OF_OPERATION = (Criterion.LATENCY, Criterion.THROUGHPUT)


@dataclass(frozen=True)
class NearestLimit:
    """`check` is what the site brings nearest to its limit (None: it moves none), of which `used_before` was used up
    without it; `of_base` is the limit that the circuit is nearest to without it.
    """

    check: LimitCheck | None
    used_before: float
    of_base: LimitCheck | None


def nearest_limit(runs: Sequence[Outcome], limits: Limits, stopped: Criterion | None = None) -> NearestLimit:
    """The nearest limit that the site moves, over runs that keep all of them beside their bases.

    `stopped` is what a larger site breaks, where that is known: then it is the one. Else it is the limit that the site
    would reach first if all that it adds grew alike: the one with the largest added share of what was left.
    """
    own = replace(limits, base_rule="hold")
    of_base: list[LimitCheck] = []
    found: list[tuple[LimitCheck, float]] = []
    for run in runs:
        base = judge(run.base, own).checks if run.base is not None and run.base.failure is None else ()
        of_base += base
        before: dict[Criterion, float] = {}
        for check in base:
            before[check.criterion] = max(check.used, before.get(check.criterion, 0.0))
        found += [(check, before.get(check.criterion, 0.0)) for check in run.checks]
    wanted = [one for one in found if one[0].criterion is stopped]
    moved = [one for one in found if one[0].criterion not in _OF_OPERATION and one[0].used - one[1] > _HARDLY]
    nearest: tuple[LimitCheck | None, float] = (None, 0.0)
    if wanted:
        nearest = max(wanted, key=lambda one: one[0].used)
    elif moved:
        nearest = max(moved, key=lambda one: (one[0].used - one[1]) / max(1.0 - one[1], 1e-9))
    return NearestLimit(*nearest, max(of_base, key=lambda one: one.used, default=None))
