"""Rapid voltage change: steady before against steady after with taps held, in pu of the nominal voltage.

What standards say, and from where we have it:

* Definition (EN 50160:2010, clause 3; IEC/TR 61000-3-7:2008, clause 10 "Rapid voltage changes", whose contents list
  is public): one quick variation of the rms voltage between two levels that are sustained. Base: the declared voltage,
  which between planner and network is the agreed or nominal one (so in the German glossary of MOE's grid-connection
  service); here that is a node's voltage base.
* Limits. 3 % is the usual one for what happens several times a day: the default of IEC 61000-4-30 instruments that
  watch for such changes, and, from memory, IEC/TR 61000-3-7 table 6 (3 % for up to 10 an hour at medium voltage, 4 %
  up to 2 an hour, 5 to 6 % up to 4 a day), IEEE 1453, ENA EREC P28 issue 2 and IEEE 1547-2018 clause 7.2.2 (3 % at
  medium voltage). EN 50160:2010 gives 4 % at medium and 5 % at low voltage for everyday changes, 6 and 10 % for rare
  ones (values as secondary sources restate them; clauses 5.2.3 and 4.2.3 from memory).
* How quick. IEC 61000-4-30 takes means of a second before and after (100 or 120 half cycles). From memory, the
  Norwegian regulation 1557 of 2004 calls a change rapid that goes faster than 0.5 % a second, so that 3 % take 6 s at
  the most: `WINDOW_S`. Regulators wait longer than that (usually 15 to 60 s) before they move a tap.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

WINDOW_S = 6
MEAN_S = 1


def change_pu(before_pu: Floats, after_pu: Floats) -> Floats:
    """Size of a change from one steady level to another (pu of nominal), elementwise."""
    return np.asarray(np.abs(after_pu - before_pu))


def steps_per_mean(dt_s: Fraction) -> int:
    """Steps whose mean is one level: those of a second, and at least one."""
    return max(1, round(MEAN_S / dt_s))


def means_per_window(dt_s: Fraction) -> int:
    """How many levels apart two levels are that are compared; at least one."""
    return max(1, round(WINDOW_S / (steps_per_mean(dt_s) * dt_s)))


def changes_are_seen(dt_s: Fraction) -> bool:
    """Whether steps of this length (s) can tell a rapid change from a slow one."""
    return dt_s <= WINDOW_S


def levels_pu(voltage_pu: Floats, dt_s: Fraction) -> Floats:
    """Means over a second, shape (level, node), of voltages (pu) of shape (step, node); a rest is left out."""
    per_mean = steps_per_mean(dt_s)
    n = len(voltage_pu) // per_mean
    return np.asarray(voltage_pu[: n * per_mean].reshape(n, per_mean, *voltage_pu.shape[1:]).mean(axis=1))


def largest_changes(voltage_pu: Floats, dt_s: Fraction, broken_at: Ints) -> tuple[Floats, Ints]:
    """Largest change within a window by node (pu of nominal), and the step at which its later level begins (equation
    3.9).

    `voltage_pu` (step, node); `broken_at` are the steps from which on something else holds than before that is no
    rapid change of the load (a tap has moved, the next hour of a profile begins): no level before one of them is
    compared with a level after it. Zeros where the run is shorter than a window, or its steps are longer than one.
    """
    n_nodes = voltage_pu.shape[1]
    largest, step = np.zeros(n_nodes), np.zeros(n_nodes, dtype=np.int64)
    if not changes_are_seen(dt_s):
        return largest, step
    per_mean, apart = steps_per_mean(dt_s), means_per_window(dt_s)
    level = levels_pu(voltage_pu, dt_s)
    first = per_mean * np.arange(max(len(level) - apart, 0))
    last = first + per_mean * (apart + 1) - 1
    # A step that begins something new breaks every window that has a step before it.
    whole = np.searchsorted(np.sort(broken_at), first, side="right") == np.searchsorted(
        np.sort(broken_at), last, side="right"
    )
    if not whole.any():
        return largest, step
    change = np.where(whole[:, None], change_pu(level[: len(first)], level[apart:]), 0.0)
    # Every window that a jump lies in shows the same change, but for rounding: the first of them is told.
    place = (change >= change.max(axis=0) * (1.0 - 1e-6)).argmax(axis=0)
    return change[place, np.arange(n_nodes)], per_mean * (place + apart)
