"""Days of a chain that have been run, by where they began, and where others may end that begin elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

from g2g_opt.batch.own_controls import Standing


class KnownDay(NamedTuple):
    """Where a day ends, and the block and lane that ran it."""

    end: Standing
    block: int
    lane: int


def guessed_end(begin: Standing, known: Mapping[Standing, KnownDay]) -> Standing:
    """Where a day may end that was run from elsewhere: regulators that moved then end there, others stay.

    Each of them as in the run that began nearest for it, then for all.
    """
    runs = []
    for one in known:
        away = [abs(a - b) for a, b in zip(one.taps, begin.taps, strict=True)]
        runs.append((away, sum(away), one))
    taps = []
    for k, own in enumerate(begin.taps):
        _, _, one = min(runs, key=lambda run: (run[0][k], run[1]))
        end = known[one].end.taps[k]
        taps.append(own if one.taps[k] == end else end)
    _, _, nearest = min(runs, key=lambda run: run[1])
    return replace(known[nearest].end, taps=tuple(taps))
