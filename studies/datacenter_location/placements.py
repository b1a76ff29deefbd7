"""Placements: one bus per site, no bus twice, in an order that suits the batch engine."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from g2g_opt.errors import InputError

PlacementBuses = tuple[str, ...]

# Beyond this a full enumeration is no plan any more: days on a few cores.
PLACEMENTS_MAX = 1_000_000


def list_placements(candidates: Sequence[Sequence[str]], sizes: Sequence[float]) -> list[PlacementBuses]:
    """Every placement, once: a bus for each site from its candidates, none twice.

    The buses of the largest sites change least from one to the next, so that neighbours are alike: they share tap
    settings more often, which makes batches faster and changes no result. Raises `InputError` if there is none, or
    more than `PLACEMENTS_MAX`.
    """
    if math.prod(len(buses) for buses in candidates) > PLACEMENTS_MAX:
        raise InputError(
            f"{math.prod(len(buses) for buses in candidates)} placements are more than the {PLACEMENTS_MAX} this study "
            "enumerates; give sites zones or fewer candidates"
        )
    slowest_first = sorted(range(len(candidates)), key=lambda k: (-sizes[k], k))
    back = [slowest_first.index(k) for k in range(len(candidates))]
    found = [
        tuple(buses[place] for place in back)
        for buses in itertools.product(*(candidates[k] for k in slowest_first))
        if len(set(buses)) == len(buses)
    ]
    if not found:
        raise InputError(
            f"{len(candidates)} sites cannot stand at different buses: candidates are {[list(b) for b in candidates]}"
        )
    return found


def name_of(placement: PlacementBuses) -> str:
    """A placement in words, e.g. "1/21/60/97": buses in the order of the sites."""
    return "/".join(placement)


def spread_sample(placements: Sequence[PlacementBuses], n: int) -> list[PlacementBuses]:
    """At most `n` placements, evenly spaced."""
    if len(placements) <= n:
        return list(placements)
    return [placements[(2 * k + 1) * len(placements) // (2 * n)] for k in range(n)]
