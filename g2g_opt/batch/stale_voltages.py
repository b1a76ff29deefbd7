"""Voltages of a batch that are too old: bounds and predictions in their place, by `stale_voltage_pu`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from g2g_opt.batch.shown import ShownMoves, moves_in, show, show_row
from g2g_opt.channel.lanes import Measured
from g2g_opt.communication import StaleSignal
from g2g_opt.compiled.kernel import inner
from g2g_opt.compiled.lanes import aligned
from g2g_opt.compiled.records import Bools1, Bools2, Counts2, Floats1, Floats2

Floats = NDArray[np.float64]

_HOLD, _BOUND, _PREDICT = 0, 1, 2
_CODES = {"bound": _BOUND, "predict": _PREDICT}


class StaleMoves(NamedTuple):
    """What kernels know of `StaleVoltages`: what is taken for the voltages that `arrived`, and by which rule (`codes`);
    no steps where nothing is taken. `is_new` marks voltages that arrive in a step; columns are slots.
    """

    arrived_pu: Floats2
    before_pu: Floats2
    taken_pu: Floats2
    codes: Counts2  # (step, slot)
    any_bound: Bools1
    any_predicted: Bools1
    predicts: int  # in any step?
    is_new: Bools2
    gap_s: Floats2
    age_s: Floats2
    bound_pu: Floats1
    below_pu: Floats1  # room
    gap_now_s: Floats1
    age_now_s: Floats1


class StaleVoltages:
    """What controllers of every scenario take for voltages that are too old.

    `lanes` and `signals` are those of voltages by slot, and `arrived_pu` (node, slot)
    the voltages that are there, with slots behind those of the scenarios that only fill lanes. Kernels write
    `taken_pu` in every step (`show_and_take`), and keep what is there before others arrive (`keep`).
    """

    def __init__(self, lanes: Sequence[Measured], signals: Sequence[StaleSignal], arrived_pu: Floats) -> None:
        n_slots = arrived_pu.shape[1]
        wide = (len(lanes[0].tick), n_slots)
        codes, is_new = np.zeros(wide, dtype=np.int32), np.zeros(wide, dtype=np.bool_)
        gap_s, age_s, bound_pu = np.zeros(wide), np.zeros(wide), np.zeros(n_slots)
        for slot, (lane, signal) in enumerate(zip(lanes, signals, strict=True)):
            code = _CODES.get(signal.rule, _HOLD)
            if code == _HOLD:
                continue
            bound_pu[slot] = signal.bound_pu
            rests = lane.stale
            if code == _PREDICT:
                before, at_s = lane.before, lane.at_s
                gap_s[:, slot] = np.where(before >= 0, at_s[lane.tick] - at_s[np.maximum(before, 0)], 0.0)
                age_s[:, slot], is_new[1:, slot] = lane.age_s, np.diff(lane.tick) != 0
                # Without a measurement before the last, nothing is predicted.
                rests = rests & (gap_s[:, slot] > 0.0)
            codes[:, slot] = np.where(rests, code, _HOLD)
        self.taken_pu = aligned(*arrived_pu.shape)
        self.taken_pu[:] = arrived_pu
        predicted = np.asarray((codes == _PREDICT).any(axis=1))
        room = np.zeros(n_slots), np.ones(n_slots), np.zeros(n_slots)
        self.moves = StaleMoves(
            arrived_pu,
            np.zeros(arrived_pu.shape if predicted.any() else (0, n_slots)),
            self.taken_pu,
            codes,
            np.asarray((codes == _BOUND).any(axis=1)),
            predicted,
            int(predicted.any()),
            is_new,
            gap_s,
            age_s,
            bound_pu,
            *room,
        )

    @staticmethod
    def wanted(signals: Sequence[StaleSignal]) -> bool:
        """Does any of them ask for more than the last voltages?"""
        return any(signal.rule in _CODES for signal in signals)

    @staticmethod
    def nothing() -> StaleMoves:
        """Nothing is taken for anything."""
        none, flat = np.zeros((0, 0)), np.zeros(0)
        marks = np.zeros(0, dtype=np.bool_)
        codes, is_new = np.zeros((0, 0), dtype=np.int32), np.zeros((0, 0), dtype=np.bool_)
        return StaleMoves(none, none, none, codes, marks, marks, 0, is_new, none, none, flat, flat, flat, flat)


@inner
def keep(m: StaleMoves, step: int) -> None:
    """Before voltages that arrive in a step take the place of those that are there."""
    if m.predicts == 0 or step >= len(m.is_new):
        return
    for i in range(len(m.arrived_pu)):
        for c in range(len(m.bound_pu)):
            m.before_pu[i, c] = m.arrived_pu[i, c] if m.is_new[step, c] else m.before_pu[i, c]


@inner
def show_and_take(shown: ShownMoves, m: StaleMoves, step: int) -> None:
    """`show` of voltages, and what is taken for them: `stale_voltage_pu` of every column, by its code; all columns
    alike, those of other rules by nothing. Row by row, while what was shown is at hand.
    """
    if step >= len(m.codes):
        show(shown, step)
        return
    n, predicts, bounds, moves = len(m.bound_pu), m.any_predicted[step], m.any_bound[step], moves_in(shown, step)
    for c in range(n):
        m.below_pu[c], m.gap_now_s[c], m.age_now_s[c] = 0.0, 1.0, 0.0
        if m.codes[step, c] == _BOUND:
            m.below_pu[c] = m.bound_pu[c]
        elif m.codes[step, c] == _PREDICT:
            m.gap_now_s[c], m.age_now_s[c] = m.gap_s[step, c], m.age_s[step, c]
    for i in range(len(m.arrived_pu)):
        if moves:
            show_row(shown, step, i)
        if predicts:
            for c in range(n):
                held = m.arrived_pu[i, c]
                change = (held - m.before_pu[i, c]) / m.gap_now_s[c] * m.age_now_s[c]
                change = min(max(change, -m.bound_pu[c]), m.bound_pu[c])
                m.taken_pu[i, c] = held - m.below_pu[c] + change
        elif bounds:
            for c in range(n):
                m.taken_pu[i, c] = m.arrived_pu[i, c] - m.below_pu[c]
        else:
            for c in range(n):
                m.taken_pu[i, c] = m.arrived_pu[i, c]
