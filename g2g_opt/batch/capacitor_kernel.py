"""CapControls of many scenarios as OpenDSS's own act in time: what each sees, arms, and switches (compiled).

`state` has shape (control, row, slot), `settings` (control, column) and `layout` (control, column); `v` (place, 2,
slot) are the voltages (V) of the sensed nodes. Banks have one step. As in OpenDSS a bank whose terminal is closed may
be without its step (a bank that the study left switched off), and then counts as closed with a step to spare.
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
(ON, OFF, PT, CT, DELAY, DELAY_OFF, DEAD_TIME, V_MAX, V_MIN, BANK_KVAR, MIN_KVAR) = range(11)
N_SETTINGS = 11
# Columns of `layout`: kind, flags and phases, and where conductors and rows of admittances begin.
(KIND, OVERRIDES, IS_DELTA, PT_PHASE, CT_PHASE, BANK_PHASES, SEEN_PHASES) = range(7)
(COLUMN, N_COLUMNS, OFFSET, N_CONDUCTORS, ADMITTANCE) = range(7, 12)
N_LAYOUT = 12
CURRENT, VOLTAGE, KVAR, TIME, POWER_FACTOR = range(5)
# Rows of `state`; the last holds the time (s) of the control's action, infinite where there is none.
(CLOSED, IN_SERVICE, PENDING, ARMED, LAST_OPEN, ACTION_AT) = range(6)
N_STATE = 6

_AVERAGE, _HIGHEST, _LOWEST = -1, -2, -3
_STAY, _OPEN, _CLOSE = 0.0, 1.0, 2.0
_EPSILON = 1e-12


@inner
def _node(columns: Ints, v: Floats, layout: Ints, k: int, s: int) -> complex:
    place = columns[layout[COLUMN] + k]
    return complex(v[place, 0, s], v[place, 1, s])


@inner
def _current(layout: Ints, columns: Ints, y: Any, v: Floats, row: int, s: int) -> complex:
    """Current (A) into a conductor of the element."""
    total, n = 0.0 + 0.0j, layout[N_COLUMNS]
    for j in range(n):
        total += y[layout[ADMITTANCE] + row * n + j] * _node(columns, v, layout, j, s)
    return total


@inner
def _seen_voltage(settings: Floats, layout: Ints, columns: Ints, v: Floats, s: int) -> float:
    phase, first = layout[PT_PHASE], layout[OFFSET]
    if phase > 0:
        seen = _node(columns, v, layout, first + phase - 1, s)
        if layout[IS_DELTA]:
            after = phase + 1 if phase + 1 <= layout[BANK_PHASES] else 1
            seen -= _node(columns, v, layout, first + after - 1, s)
        return float(abs(seen) / settings[PT])
    total = 1e50 if phase == _LOWEST else 0.0
    for k in range(layout[SEEN_PHASES]):
        one = abs(_node(columns, v, layout, first + k, s))
        if phase == _AVERAGE:
            total += one
        elif phase == _HIGHEST:
            total = max(total, one)
        else:
            total = min(total, one)
    if phase == _AVERAGE:
        total /= layout[SEEN_PHASES]
    return float(total / settings[PT])


@inner
def _seen_current(settings: Floats, layout: Ints, columns: Ints, y: Any, v: Floats, s: int) -> float:
    phase = layout[CT_PHASE]
    if phase > 0:
        # OpenDSS counts this phase from the element's first terminal, whichever is looked at.
        return float(abs(_current(layout, columns, y, v, phase - 1, s)) / settings[CT])
    total = 1e50 if phase == _LOWEST else 0.0
    for k in range(layout[BANK_PHASES]):
        one = abs(_current(layout, columns, y, v, layout[OFFSET] + k, s))
        if phase == _AVERAGE:
            total += one
        elif phase == _HIGHEST:
            total = max(total, one)
        else:
            total = min(total, one)
    if phase == _AVERAGE:
        total /= layout[BANK_PHASES]
    return float(total / settings[CT])


@inner
def _power_va(layout: Ints, columns: Ints, y: Any, v: Floats, s: int) -> complex:
    """Power (VA) into the element's terminal."""
    total = 0.0 + 0.0j
    for k in range(layout[N_CONDUCTORS]):
        row = layout[OFFSET] + k
        total += _node(columns, v, layout, row, s) * _current(layout, columns, y, v, row, s).conjugate()
    return total


@inner
def _time_of_day_h(hour: int, second: float) -> float:
    of_day = hour - ((hour - 1) // 24) * 24 if hour > 24 else hour
    time_h = of_day + second / 3600.0
    return time_h - 24.0 if time_h - 24.0 > _EPSILON else time_h


@inner
def _wanted(
    settings: Floats, layout: Ints, columns: Ints, y: Any, v: Floats, s: int, hour: int, second: float, closed: bool
) -> tuple[bool, bool]:
    """(whether it shall be switched on or stepped up, whether it shall be switched off)."""
    kind, on, off = layout[KIND], settings[ON], settings[OFF]
    if kind == VOLTAGE:
        seen = _seen_voltage(settings, layout, columns, v, s)
        return seen < on, seen > off
    if kind == CURRENT:
        seen = _seen_current(settings, layout, columns, y, v, s)
        return seen > on, seen < off
    if kind == TIME:
        now = _time_of_day_h(hour, second)
        if off > on:
            return on <= now < off, now >= off or now < on
        return on <= now < 24.0, off <= now < on
    power = _power_va(layout, columns, y, v, s)
    kvar = power.imag * 0.001
    if kind == KVAR:
        return kvar > on, kvar < off
    size = abs(power)
    factor = abs(power.real) / size if size != 0.0 else 1.0
    if power.imag < 0.0:
        factor = 2.0 - factor
    enough = 0.5 if closed else settings[MIN_KVAR] * 0.01
    return factor < on and kvar > settings[BANK_KVAR] * enough, factor > off


@inner
def sample_bank(
    p: Floats,
    lay: Ints,
    columns: Ints,
    y: Any,
    v: Floats,
    state: Floats,
    c: int,
    s: int,
    hour: int,
    second: float,
) -> None:
    """Let one control of a scenario look at the circuit."""
    now = second + hour * 3600.0
    closed = state[c, CLOSED, s] > 0.0
    switch = False
    if lay[OVERRIDES] and lay[KIND] != VOLTAGE:
        seen = _seen_voltage(p, lay, columns, v, s)
        if closed and seen > p[V_MAX]:
            state[c, PENDING, s], switch = _OPEN, True
        elif not closed and seen < p[V_MIN]:
            state[c, PENDING, s], switch = _CLOSE, True
    if not switch:
        up, down = _wanted(p, lay, columns, y, v, s, hour, second, closed)
        spare = closed and state[c, IN_SERVICE, s] == 0.0
        if closed and lay[KIND] == VOLTAGE:
            state[c, PENDING, s] = _STAY
        if closed and down:
            state[c, PENDING, s], switch = _OPEN, True
        elif not closed or spare:
            if up:
                state[c, PENDING, s], switch = _CLOSE, True
            elif not closed:
                state[c, PENDING, s] = _STAY
        else:
            state[c, PENDING, s] = _STAY
    if switch and state[c, ARMED, s] == 0.0:
        delay = p[DELAY_OFF]
        if state[c, PENDING, s] == _CLOSE:
            delay = p[DELAY]
            rested = now - state[c, LAST_OPEN, s]
            if rested < p[DEAD_TIME]:
                delay = max(delay, p[DEAD_TIME] + delay - rested)
        state[c, ACTION_AT, s] = action_time_s(hour, second, delay)
        state[c, ARMED, s] = 1.0
    if state[c, ARMED, s] > 0.0 and state[c, PENDING, s] == _STAY:
        state[c, ACTION_AT, s] = np.inf
        state[c, ARMED, s] = 0.0


@inner
def switch_capacitors(
    state: Floats, awake: Bools, until: Floats, hour: int, second: float, acted: Bools, moved: Bools
) -> None:
    """Do all actions up to the time `until` (slot,) and note the slots where some were done and a bank changed."""
    for c in range(state.shape[0]):
        for s in range(len(awake)):
            if not awake[s] or not state[c, ACTION_AT, s] <= until[s]:
                continue
            state[c, ACTION_AT, s] = np.inf
            state[c, ARMED, s] = 0.0
            acted[s] = True
            before = state[c, CLOSED, s] > 0.0 and state[c, IN_SERVICE, s] > 0.0
            if state[c, PENDING, s] == _OPEN and state[c, CLOSED, s] > 0.0:
                state[c, CLOSED, s] = state[c, IN_SERVICE, s] = 0.0
                state[c, LAST_OPEN, s] = second + 3600.0 * hour
            elif state[c, PENDING, s] == _CLOSE:
                state[c, CLOSED, s] = state[c, IN_SERVICE, s] = 1.0
            after = state[c, CLOSED, s] > 0.0 and state[c, IN_SERVICE, s] > 0.0
            moved[s] |= before != after
