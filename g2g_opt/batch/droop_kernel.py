"""A control step of droop at many sites, compiled (equations 4.4, 4.5): what it reads, its update, what it commands."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from g2g_opt.compiled.kernel import inner, kernel
from g2g_opt.compiled.lanes import WIDTH, at, higher, load, spread, store
from g2g_opt.compiled.program import DONE, call
from g2g_opt.compiled.records import Floats1, Floats2, Ints1, Ints2, reader
from g2g_opt.controller.rule_based import moved_by


class DroopAct(NamedTuple):
    """Droop acts in every `period`-th step, at sites with the same models that look at the same nodes.

    `rows` (site, model) are those of the fleets, `x` (site, model) iterates, `sizes` (model, size) and `midpoints` as
    in `FeasibleTable`. The first `n` of `changed` rows are commanded to `wanted` sizes by the kernel `command`.
    """

    period: int
    voltage_pu: Floats2  # (node, slot)
    node: Ints1
    v_min: float
    v_max: float
    deadband: float
    step_size: float
    guards: int
    slot: Ints1
    fleet: Ints1
    rows: Ints2
    x: Floats2
    itl_s: Floats1
    deadline_s: Floats1
    low: Floats1
    high: Floats1
    sizes: Ints2
    midpoints: Floats2
    exhausted_steps: Ints1
    under: Floats1  # (slot,), room
    over: Floats1
    n: Ints1
    changed: Ints1
    wanted: Ints1
    command: int
    of_command: int


_read = reader(DroopAct)


@inner
def _look(d: DroopAct) -> None:
    """How far (pu) the worst voltage of every slot lies under and over the band; one that is NaN is passed over."""
    n_slots, v_min, v_max = d.voltage_pu.shape[1], spread(d.v_min), spread(d.v_max)
    for first in range(0, n_slots, WIDTH):
        store(d.under, first, spread(0.0))
        store(d.over, first, spread(0.0))
    for i in range(len(d.node)):
        row = at(d.node, i) * n_slots
        for first in range(0, n_slots, WIDTH):
            v = load(d.voltage_pu, row + first)
            store(d.under, first, higher(v_min - v, load(d.under, first)))
            store(d.over, first, higher(v - v_max, load(d.over, first)))


@inner
def _nearest(d: DroopAct, model: int, x: float) -> int:
    """The feasible size nearest to 2**x; of two equally near sizes it is the smaller one (equation 4.6)."""
    place, size = 0, np.exp2(x)
    while place < d.midpoints.shape[1] and size > d.midpoints[model, place]:
        place += 1
    nearest: int = d.sizes[model, place]
    return nearest


@kernel
def act_on_droop(address: int, step: int) -> int:
    """Read, update and command, where it is time."""
    d = _read(address)
    if step % d.period != 0:
        return DONE
    _look(d)
    n, last = 0, d.sizes.shape[1] - 1
    for k in range(len(d.fleet)):
        under, over = d.under[d.slot[k]], d.over[d.slot[k]]
        pressure = under if under > d.deadband else (-over if over > d.deadband else 0.0)
        if pressure == 0.0:
            continue
        exhausted = True
        for m in range(d.rows.shape[1]):
            row, x = d.rows[k, m], d.x[k, m]
            is_late = d.guards != 0 and d.itl_s[row] > d.deadline_s[m]
            end = d.sizes[m, last] if pressure < 0.0 else d.sizes[m, 0]
            exhausted = exhausted and (_nearest(d, m, x) == end or (pressure < 0.0 and is_late))
            d.x[k, m] = moved_by(x, pressure, is_late, d.low[m], d.high[m], d.step_size)
            d.changed[n], d.wanted[n] = row, _nearest(d, m, d.x[k, m])
            n += 1
        if exhausted:
            d.exhausted_steps[d.fleet[k]] += 1
    d.n[0] = n
    code: int = call(d.command, d.of_command, step) if n > 0 else DONE
    return code
