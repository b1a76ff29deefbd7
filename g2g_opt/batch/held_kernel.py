"""Vars of generators that hold a voltage, corrected within a power flow: compiled, sixteen scenarios at a time.

After every network solve the vars of the units that are not at a limit move by what is missing at their voltages over
what a var does there, all of them together. What that changes is in the loads' remainders like all else, so that a flow
is accepted only where no correction could move a voltage by the tolerance.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from g2g_opt.batch.kernel_tables import W, read_call
from g2g_opt.compiled.kernel import inner, kernel
from g2g_opt.compiled.lanes import fma, load, root, spread, spread_at, store
from g2g_opt.compiled.program import DONE
from g2g_opt.compiled.records import part


@kernel
def correct_held(address: int, chunk: int) -> int:
    """Correct the shares of rated vars of a chunk in the lanes that are neither done nor trusted, of a `FlowCall`."""
    flow = read_call(address).flow
    held, work, share = flow.held, flow.work, flow.load_share[chunk]
    x, done, trusted = work.x, work.done, part(work.trusted, W * chunk)
    n, one = len(held.per_volt), spread(1.0)
    for k in range(n):
        total = spread(0.0)
        for b in range(held.branch_start[k], held.branch_start[k + 1]):
            here, back = held.begin[b], held.end[b]
            re, im = load(x, here) - load(x, back), load(x, here + W) - load(x, back + W)
            total = total + root(fma(re, re, im * im))
        store(held.missing, W * k, one - total * spread_at(held.per_volt, k))
    for lane in range(W):
        if done[lane] < 0.5 and trusted[lane] < 0.5:
            _correct_lane(share, lane, held, n)
    return DONE


@inner
def _correct_lane(share: Any, lane: Any, held: Any, n: Any) -> None:
    free, system, width = held.free, held.system, n + 1
    n_free = 0
    for k in range(n):
        missing, now = held.missing[W * k + lane], share[held.share_place[k] + lane]
        if not np.isfinite(missing):
            return
        at_limit = now >= held.most[k] if missing > 0.0 else now <= held.least[k]
        if not at_limit:
            free[n_free] = k
            n_free += 1
    for i in range(n_free):
        for j in range(n_free):
            system[i * width + j] = held.slope[free[i] * n + free[j]]
        system[i * width + n] = held.missing[W * free[i] + lane]
    for i in range(n_free):
        for below in range(i + 1, n_free):
            factor = system[below * width + i] / system[i * width + i]
            for j in range(i + 1, n_free):
                system[below * width + j] -= factor * system[i * width + j]
            system[below * width + n] -= factor * system[i * width + n]
    for back in range(n_free):
        i = n_free - 1 - back
        move = system[i * width + n]
        for j in range(i + 1, n_free):
            move -= system[i * width + j] * system[j * width + n]
        move /= system[i * width + i]
        system[i * width + n] = move
        k = free[i]
        place = held.share_place[k] + lane
        share[place] = min(max(share[place] + move, held.least[k]), held.most[k])


@inner
def keep_held(share: Any, held: Any) -> None:
    """Keep the shares that a flow begins with."""
    for k in range(len(held.per_volt)):
        store(held.began, W * k, load(share, held.share_place[k]))


@inner
def restore_held(share: Any, done: Any, held: Any) -> None:
    """Put the shares of lanes that are not done back to what they began with."""
    for k in range(len(held.per_volt)):
        for lane in range(W):
            if done[lane] < 0.5:
                share[held.share_place[k] + lane] = held.began[W * k + lane]
