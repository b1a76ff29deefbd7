"""Sizes far above an answer that hold again: what holds has wide gaps where controls of the circuit act by themselves.

A bank that a small site brings to hunt rests beside a large one, and a voltage that a regulator lets rise there is low
here. A gap that a site makes by what it draws (a low voltage, a loading, no power flow) ends nowhere far above; one
that controls make may end at many times the size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from g2g_opt.failure import FailureKind
from g2g_opt.verdict import Criterion
from studies.hosting_capacity.capacity import JudgedSize
from studies.shared.side_by_side import Wanted

# Sizes looked at, each larger by a factor than the one before; the first is as much above those tried near an answer.
_GROWTH, _AT_A_TIME = 1.25, 4

JudgeSizes = Callable[[Sequence[int]], Wanted[Mapping[int, JudgedSize]]]


def refused_by_controls(size: JudgedSize) -> bool:
    """Whether nothing but the circuit's own controls refuses a size: they do not come to rest, or let a voltage rise.

    False where the circuit breaks these limits without any site: no size mends that.
    """
    verdict = size.outcome.verdict
    if size.kept or any(check.base_breaks for check in verdict.broken):
        return False
    if verdict.failure is not None:
        return verdict.failure.kind is FailureKind.RESTLESS_CONTROLS
    return all(check.criterion is Criterion.VOLTAGE_HIGH for check in verdict.broken)


def size_across(
    look: Callable[[int, int], Wanted[list[int]]],
    kept: Callable[[Sequence[int]], Wanted[dict[int, bool]]],
    judged: Mapping[int, JudgedSize],
    n: int,
    n_max: int,
) -> Wanted[int]:
    """A size (servers) that is `kept` far above an answer of `n`, 0 if none is met.

    `look` says where (see `look_across`), if controls alone refuse a size above the answer of those `judged`.
    """
    refused = {m: size for m, size in judged.items() if m > n and not size.kept}
    if not any(refused_by_controls(size) for size in refused.values()):
        return 0
    for size in (yield from look(max(refused), n_max)):
        if (yield from kept([size]))[size]:
            return size
    return 0


def look_across(judge: JudgeSizes, tried: int, n_max: int) -> Wanted[list[int]]:
    """The sizes that hold of the first few above `tried` (servers) of which any does, the largest first.

    It goes on, up to `n_max`, as long as controls alone refuse one of the last few; none where it ends without.
    """
    last = float(tried)
    while last < n_max:
        grown = [last * _GROWTH**k for k in range(1, _AT_A_TIME + 1)]
        last = grown[-1]
        sizes = sorted({round(n) for n in grown if tried < round(n) <= n_max})
        if not sizes:
            continue
        judged = yield from judge(sizes)
        kept = [n for n in sizes if judged[n].kept]
        if kept:
            return kept[::-1]
        if not any(refused_by_controls(judged[n]) for n in sizes):
            break
    return []
