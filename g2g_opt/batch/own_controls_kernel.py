"""A look of the circuit's own regulators and banks, compiled: in every step in which none of any scenario acts.

Where one acts, a queue is full, a fuse may have picked up, or a scenario is not well, the step is Python's.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from g2g_opt.batch.capacitor_kernel import ACTION_AT, sample_bank, switch_capacitors
from g2g_opt.batch.control_queue import let_pass
from g2g_opt.batch.regulator_kernel import N_QUEUED, QUEUE, REVERSE_AT, move_regulators, sample_regulator
from g2g_opt.compiled.kernel import inner, kernel
from g2g_opt.compiled.program import DONE, IN_PYTHON, LEFT
from g2g_opt.compiled.records import (
    Bools1,
    Complexes1,
    Floats1,
    Floats2,
    Floats3,
    Ints1,
    Ints2,
    reader,
)

# In the place of a step: all that is done is to let time pass.
ONLY_TIME = -1
# How controls come through a step, in place of nothing: time passes in it, or they settle in it without any.
IN_TIME, SETTLING = 1, 2
# A time (s) after every action that waits.
_AT_LAST = 1e300
# How a round of actions is made.
AT_ONCE, HAVE_LOOKED = 1, 2
# A fuse that sees this share of its pickup current is looked at by Python, which tells it to the last bit.
_NEAR_PICKUP = 1.0 - 1e-9


class Regulators(NamedTuple):
    """What `regulator_kernel` knows of regulators: `settings` (kind, control, figure), `state` (control, row, slot)."""

    settings: Floats3
    kind: Ints1
    layout: Ints2
    pairs: Ints2
    columns: Ints1
    y: Complexes1
    changers: Ints1
    state: Floats3


class Banks(NamedTuple):
    """What `capacitor_kernel` knows of switched banks."""

    settings: Floats2
    layout: Ints2
    columns: Ints1
    y: Complexes1
    state: Floats3


class WatchedCurrents(NamedTuple):
    """Conductors that fuses, reclosers and relays look at: places of sensed voltages, admittances (S), those of row r
    from `start[r]` on, and the current (A) at which each picks up.
    """

    start: Ints1  # (row + 1,)
    places: Ints1
    y: Complexes1
    pickup_a: Floats1


class Round(NamedTuple):
    """Of a round of actions (slot,): which scenarios have inverters that are due, up to which time (s) others act,
    and in which something was done, and a tap or a bank moved.
    """

    steering: Bools1
    until: Floats1
    acted: Bools1
    moved: Bools1


class Look(NamedTuple):
    """All that the circuit's own controls look at, `sensed_v` (place, 2, slot) in V, and their clock.

    `rest` is `IN_TIME` where controls have come to rest before the first step, `SETTLING` where they do in every step.
    `sampled` is the last step whose first look was made.
    """

    regulators: Regulators
    banks: Banks
    watched: WatchedCurrents
    sensed_v: Floats3
    solved: Bools1
    outside: Bools1
    has_failed: Bools1
    awake: Bools1
    rest: Ints1
    sampled: Ints1
    hour: Ints1
    second: Floats1
    dt_s: float
    round: Round


_read = reader(Look)


@inner
def _is_full(r: Regulators) -> bool:
    room = r.state.shape[1] - QUEUE
    for c in range(r.layout.shape[0]):
        for s in range(r.state.shape[2]):
            if r.state[c, N_QUEUED, s] >= room:
                return True
    return False


@inner
def _sample(k: Look) -> None:
    """Let every control of every scenario awake look at the voltages (equation 5.9)."""
    r, b, v, hour, second = k.regulators, k.banks, k.sensed_v, k.hour[0], k.second[0]
    for c in range(r.layout.shape[0]):
        for s in range(len(k.awake)):
            if k.awake[s]:
                tables = r.layout, r.pairs, r.columns, r.y, r.changers
                sample_regulator(r.settings[r.kind[s]], *tables, v, r.state, c, s, hour, second)
    for c in range(b.layout.shape[0]):
        for s in range(len(k.awake)):
            if k.awake[s]:
                sample_bank(b.settings[c], b.layout[c], b.columns, b.y, v, b.state, c, s, hour, second)


@inner
def _may_pick_up(f: WatchedCurrents, v: Any, awake: Any) -> bool:
    for row in range(len(f.pickup_a)):
        for s in range(len(awake)):
            re, im = 0.0, 0.0
            for j in range(f.start[row], f.start[row + 1]):
                y, v_re, v_im = f.y[j], v[f.places[j], 0, s], v[f.places[j], 1, s]
                re, im = re + y.real * v_re - y.imag * v_im, im + y.real * v_im + y.imag * v_re
            near = f.pickup_a[row] * _NEAR_PICKUP
            if awake[s] and re * re + im * im >= near * near:
                return True
    return False


@inner
def _is_due(k: Look, now_s: float) -> bool:
    """Is anything to be done by now?"""
    regs, banks = k.regulators.state, k.banks.state
    for s in range(len(k.awake)):
        if not k.awake[s]:
            continue
        for c in range(regs.shape[0]):
            if regs[c, REVERSE_AT, s] <= now_s:
                return True
            if regs[c, N_QUEUED, s] > 0.0:
                for place in range(QUEUE, regs.shape[1]):
                    if regs[c, place, s] <= now_s:
                        return True
        for c in range(banks.shape[0]):
            if banks[c, ACTION_AT, s] <= now_s:
                return True
    return False


@kernel
def look_at_controls(address: int, step: int) -> int:
    """A step of the controls in which none acts; or with `ONLY_TIME` the time of a step."""
    k = _read(address)
    if step == ONLY_TIME:
        let_pass(k.hour, k.second, k.dt_s)
        return DONE
    if k.rest[0] == 0:
        return IN_PYTHON
    for slot in range(len(k.solved)):
        if not k.solved[slot] or k.outside[slot]:
            return IN_PYTHON
    for s in range(len(k.awake)):
        k.awake[s] = not k.has_failed[s]
    if _is_full(k.regulators) or _may_pick_up(k.watched, k.sensed_v, k.awake):
        return IN_PYTHON
    _sample(k)
    k.sampled[0] = step
    if k.rest[0] == SETTLING:
        return IN_PYTHON if _is_due(k, _AT_LAST) else DONE
    if _is_due(k, k.hour[0] * 3600.0 + k.second[0]):
        return IN_PYTHON
    let_pass(k.hour, k.second, k.dt_s)
    return DONE


@inner
def _nearest(k: Look, s: int) -> float:
    """The time (s) of a scenario's nearest action; before everything where there is none."""
    regs, banks, found = k.regulators.state, k.banks.state, np.inf
    for c in range(regs.shape[0]):
        found = min(found, regs[c, REVERSE_AT, s])
        for place in range(QUEUE, regs.shape[1]):
            found = min(found, regs[c, place, s])
    for c in range(banks.shape[0]):
        found = min(found, banks[c, ACTION_AT, s])
    return found if found < np.inf else -np.inf


@kernel
def act_in_round(address: int, how: int) -> int:
    """A round of the controls that are awake: they look, unless they have (`HAVE_LOOKED`), and do what is due by now,
    or (`AT_ONCE`) what is nearest.

    Nothing is done, and something is left, where a queue is full.
    """
    k, at_once = _read(address), how & AT_ONCE != 0
    if how & HAVE_LOOKED == 0:
        if _is_full(k.regulators):
            return LEFT
        _sample(k)
    r, turn, hour, second = k.regulators, k.round, k.hour[0], k.second[0]
    now_s = hour * 3600.0 + second
    for s in range(len(k.awake)):
        # What inverters do is due at once, and so nearer than anything that waits.
        turn.until[s] = _nearest(k, s) if at_once and not turn.steering[s] else now_s
        turn.acted[s] = turn.moved[s] = False
    move_regulators(
        r.settings, r.kind, r.layout, r.state, k.awake, turn.until, at_once, hour, second, turn.acted, turn.moved
    )
    switch_capacitors(k.banks.state, k.awake, turn.until, hour, second, turn.acted, turn.moved)
    return DONE
