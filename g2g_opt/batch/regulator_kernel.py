"""RegControls of many scenarios as OpenDSS's own act in time: what each sees, arms, and moves (compiled).

A control samples the voltage of a winding's phase or of a remote node, less what line-drop compensation makes of the
current, and compares it with its band. Out of band it pushes an action `delay` ahead into a queue; back in band it
takes that action out again. An action moves the tap one step and, while more is pending, pushes the next one
`tapdelay` ahead. What is pending is worked out anew at every sample. As in OpenDSS, only the first action of a sequence
is known to its control: one of the later ones stays in the queue when the voltage comes back, and then finds nothing
pending, or moves a tap earlier than the delay of a new sequence would.

`state` has shape (control, row, slot), `settings` (kind, control, column), with the `kind` (slot,) of every scenario,
and `layout` (control, column); `v` (place, 2, slot) are the voltages (V) of the sensed nodes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from g2g_opt.batch.control_queue import action_time_s
from g2g_opt.compiled.kernel import inner

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

# Columns of `settings`.
(VREG, BAND, PT, PT_SEEN, CT, R, X, Z, DELAY, TAP_DELAY, V_LIMIT) = range(11)
(REV_VREG, REV_BAND, REV_R, REV_X, REV_Z, REV_POWER, REV_DELAY) = range(11, 18)
(BASE_V, TAP_MIN, TAP_MAX, TAP_STEP) = range(18, 22)
N_SETTINGS = 22
# Columns of `layout`: flags, the phase looked at, and where pairs of nodes and rows of admittances begin.
(PHASE, MAX_CHANGE, INVERSE_TIME, IS_REMOTE, COMPENSATES, REVERSIBLE, COGENERATES, TO_NEUTRAL, OPPOSITE) = range(9)
(PAIR, N_PAIRS, LOCAL_PAIR, COLUMN, N_COLUMNS, ROW_COLUMN, N_ROWS, ADMITTANCE, CHANGER, N_CHANGERS) = range(9, 19)
N_LAYOUT = 19
# Rows of `state`; those from QUEUE on hold the times (s) of actions, infinite where a place is free.
(TAP, PENDING, ARMED, HANDLE, IN_REVERSE, REVERSE_PENDING, IN_COGENERATION, REVERSE_AT, N_QUEUED, QUEUE) = range(10)

_HIGHEST = -2
_EPSILON = 1e-12  # OpenDSS's own, for a tap at neutral
_NONE = -1.0


@inner
def _push(state: Floats, c: int, s: int, time_s: float) -> int:
    """Put an action into the queue of a control; its place there."""
    k = QUEUE
    while state[c, k, s] < np.inf:
        k += 1
    state[c, k, s] = time_s
    state[c, N_QUEUED, s] += 1.0
    return k


@inner
def _current(
    layout: Ints, columns: Ints, y: Any, changers: Ints, v: Floats, state: Floats, c: int, s: int, row: int
) -> complex:
    """Current (A) into a conductor of the controlled winding at the present taps."""
    n_columns, n_changers, size = layout[c, N_COLUMNS], layout[c, N_CHANGERS], layout[c, N_ROWS] * layout[c, N_COLUMNS]
    first, changer = layout[c, ADMITTANCE], layout[c, CHANGER]
    inverse = 1.0 / state[changers[changer], TAP, s]
    total_re, total_im = 0.0, 0.0
    for j in range(n_columns):
        at = first + row * n_columns + j
        if n_changers == 1:
            one, two = y[at + size], y[at + 2 * size]
            g = y[at].real + inverse * (one.real + inverse * two.real)
            b = y[at].imag + inverse * (one.imag + inverse * two.imag)
        else:
            g, b, m = y[at].real, y[at].imag, 1
            for k in range(n_changers):
                weight = 1.0 / state[changers[changer + k], TAP, s]
                g, b, m = g + weight * y[at + m * size].real, b + weight * y[at + m * size].imag, m + 1
            for k in range(n_changers):
                for other in range(k, n_changers):
                    weight = 1.0 / (state[changers[changer + k], TAP, s] * state[changers[changer + other], TAP, s])
                    g, b, m = g + weight * y[at + m * size].real, b + weight * y[at + m * size].imag, m + 1
        place = columns[layout[c, COLUMN] + j]
        re, im = v[place, 0, s], v[place, 1, s]
        total_re += g * re - b * im
        total_im += g * im + b * re
    return complex(total_re, total_im)


@inner
def _forward_power_w(
    layout: Ints, columns: Ints, y: Any, changers: Ints, v: Floats, state: Floats, c: int, s: int
) -> float:
    """Power (W) out of the controlled winding."""
    power = 0.0
    for row in range(layout[c, N_ROWS]):
        place = columns[layout[c, COLUMN] + layout[c, ROW_COLUMN] + row]
        current = _current(layout, columns, y, changers, v, state, c, s, row)
        power += v[place, 0, s] * current.real + v[place, 1, s] * current.imag
    return -power


@inner
def _voltage(pairs: Ints, v: Floats, pair: int, s: int) -> complex:
    a, b = pairs[pair, 0], pairs[pair, 1]
    return complex(v[a, 0, s] - v[b, 0, s], v[a, 1, s] - v[b, 1, s])


@inner
def _watch_direction(
    settings: Floats, layout: Ints, state: Floats, c: int, s: int, forward_w: float, hour: int, second: float
) -> bool:
    """Arm or reset a change of direction; whether the control looks to neutral instead of to a voltage."""
    threshold = settings[c, REV_POWER]
    in_cogeneration = state[c, IN_COGENERATION, s] > 0.0
    forward = state[c, IN_REVERSE, s] == 0.0 and not in_cogeneration
    turned = forward_w < -threshold if forward else forward_w > threshold
    back = forward_w >= -threshold if forward else forward_w <= threshold
    if state[c, REVERSE_PENDING, s] == 0.0 and turned:
        state[c, REVERSE_PENDING, s] = 1.0
        state[c, REVERSE_AT, s] = action_time_s(hour, second, settings[c, REV_DELAY])
    if state[c, REVERSE_PENDING, s] > 0.0 and back:
        state[c, REVERSE_PENDING, s] = 0.0
        state[c, REVERSE_AT, s] = np.inf
    if forward or layout[c, TO_NEUTRAL] == 0:
        return False
    if state[c, ARMED, s] == 0.0:
        tap, step = state[c, TAP, s], settings[c, TAP_STEP]
        state[c, PENDING, s] = 0.0
        if abs(tap - 1.0) > _EPSILON:
            state[c, PENDING, s] = np.rint((1.0 - tap) / step) * step
            if state[c, PENDING, s] != 0.0:
                _push(state, c, s, action_time_s(hour, second, settings[c, TAP_DELAY]))
                state[c, ARMED, s] = 1.0
    return True


@inner
def sample_regulator(
    settings: Floats,
    layout: Ints,
    pairs: Ints,
    columns: Ints,
    y: Any,
    changers: Ints,
    v: Floats,
    state: Floats,
    c: int,
    s: int,
    hour: int,
    second: float,
) -> None:
    """Let one control of a scenario look at the voltages (equation 5.9)."""
    p, lay = settings[c], layout[c]
    if lay[MAX_CHANGE] == 0:
        state[c, PENDING, s] = 0.0
        return
    if (lay[REVERSIBLE] or lay[COGENERATES]) and not lay[IS_REMOTE]:
        forward_w = _forward_power_w(layout, columns, y, changers, v, state, c, s)
        if _watch_direction(settings, layout, state, c, s, forward_w, hour, second):
            return
    in_reverse, in_cogeneration = state[c, IN_REVERSE, s] > 0.0, state[c, IN_COGENERATION, s] > 0.0
    phase = lay[PHASE] - 1
    seen = _voltage(pairs, v, lay[PAIR] + max(phase, 0), s)
    if lay[PHASE] < 0:
        phase = 0
        for k in range(1, lay[N_PAIRS]):
            other = _voltage(pairs, v, lay[PAIR] + k, s)
            sign = 1.0 if lay[PHASE] == _HIGHEST else -1.0
            if sign * abs(other) > sign * abs(seen):
                seen, phase = other, k
    seen = seen / p[PT_SEEN]
    local = 0.0
    if p[V_LIMIT] > 0.0:
        local = abs(_voltage(pairs, v, lay[LOCAL_PAIR], s) / p[PT]) if lay[IS_REMOTE] else abs(seen)
    actual = abs(seen)
    if lay[COMPENSATES]:
        current = _current(layout, columns, y, changers, v, state, c, s, phase) / p[CT]
        backward = in_reverse or in_cogeneration
        if p[Z] == 0.0:
            r, x = (p[REV_R], p[REV_X]) if backward else (p[R], p[X])
            actual = abs(seen + complex(r, x) * current)
        else:
            actual = abs(actual - abs(current) * (p[REV_Z] if backward else p[Z]))
    target, band = p[VREG], p[BAND]
    if in_reverse:
        actual = actual / state[c, TAP, s]
    if in_reverse or in_cogeneration:
        target, band = p[REV_VREG], p[REV_BAND]
    too_high = p[V_LIMIT] > 0.0 and local > p[V_LIMIT]
    if abs(target - actual) > band / 2.0 or too_high:
        boost = p[V_LIMIT] - local if too_high else target - actual
        step = p[TAP_STEP]
        pending = np.rint(boost * p[PT] / p[BASE_V] / step) * step
        if lay[OPPOSITE] or in_reverse:
            pending = -pending
        state[c, PENDING, s] = pending
        if pending != 0.0 and state[c, ARMED, s] == 0.0:
            tap = state[c, TAP, s]
            if (pending > 0.0 and tap < p[TAP_MAX]) or (pending < 0.0 and tap > p[TAP_MIN]):
                delay = p[DELAY]
                if lay[INVERSE_TIME]:
                    delay = delay / min(10.0, 2.0 * abs(p[VREG] - actual) / p[BAND])
                state[c, HANDLE, s] = _push(state, c, s, action_time_s(hour, second, delay))
                state[c, ARMED, s] = 1.0
    else:
        state[c, PENDING, s] = 0.0
        if state[c, ARMED, s] > 0.0:
            handle = int(state[c, HANDLE, s])
            if handle >= 0:
                state[c, handle, s] = np.inf
                state[c, N_QUEUED, s] -= 1.0
            state[c, ARMED, s] = 0.0
            state[c, HANDLE, s] = _NONE


@inner
def _change_tap(
    settings: Floats, layout: Ints, state: Floats, c: int, s: int, at_once: bool, hour: int, second: float
) -> bool:
    """One action of a control; whether its tap moved. `at_once` goes most of the way, as without time."""
    pending, step = state[c, PENDING, s], settings[c, TAP_STEP]
    if pending == 0.0:
        state[c, ARMED, s] = 0.0
        return False
    steps = 1
    if at_once:
        steps = min(max(int(0.7 * abs(pending) / step), 1), layout[c, MAX_CHANGE])
    change = steps * step if pending > 0.0 else -steps * step
    before = state[c, TAP, s]
    state[c, TAP, s] = min(max(before + change, settings[c, TAP_MIN]), settings[c, TAP_MAX])
    pending = 0.0 if at_once else pending - change
    if abs(pending) < 0.9 * step:
        pending = 0.0
    state[c, PENDING, s] = pending
    if pending != 0.0:
        _push(state, c, s, action_time_s(hour, second, settings[c, TAP_DELAY]))
    else:
        state[c, ARMED, s] = 0.0
    return bool(state[c, TAP, s] != before)


@inner
def move_regulators(
    settings: Floats,
    kind: Ints,
    layout: Ints,
    state: Floats,
    awake: Bools,
    until: Floats,
    at_once: bool,
    hour: int,
    second: float,
    acted: Bools,
    moved: Bools,
) -> None:
    """Do all actions up to the time `until` (slot,) and note the slots where some were done and where a tap moved."""
    for c in range(len(layout)):
        for s in range(len(awake)):
            if not awake[s]:
                continue
            if state[c, REVERSE_AT, s] <= until[s]:
                acted[s] = True
                state[c, REVERSE_AT, s] = np.inf
                if state[c, REVERSE_PENDING, s] > 0.0:
                    mode = IN_COGENERATION if layout[c, COGENERATES] else IN_REVERSE
                    state[c, mode, s] = 1.0 - state[c, mode, s]
                    state[c, REVERSE_PENDING, s] = 0.0
            while state[c, N_QUEUED, s] > 0.0:
                earliest = QUEUE
                for k in range(QUEUE + 1, state.shape[1]):
                    if state[c, k, s] < state[c, earliest, s]:
                        earliest = k
                if not state[c, earliest, s] <= until[s]:
                    break
                state[c, earliest, s] = np.inf
                state[c, N_QUEUED, s] -= 1.0
                if state[c, HANDLE, s] == earliest:
                    state[c, HANDLE, s] = _NONE
                acted[s] = True
                if _change_tap(settings[kind[s]], layout, state, c, s, at_once, hour, second):
                    moved[s] = True
