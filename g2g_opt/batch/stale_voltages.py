"""Voltages of a batch that are too old: bounds and predictions in their place, by `stale_voltage_pu`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from g2g_opt.channel.lanes import Measured
from g2g_opt.communication import StaleSignal
from g2g_opt.compiled.kernel import kernel

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

_HOLD, _BOUND, _PREDICT = 0, 1, 2
_CODES = {"bound": _BOUND, "predict": _PREDICT}


class StaleVoltages:
    """What controllers of every scenario take for voltages that are too old; arrays are [step, slot].

    `lanes` and `signals` are those of voltages by slot, `at_s` the times (s) of steps.
    """

    def __init__(self, lanes: Sequence[Measured], signals: Sequence[StaleSignal], at_s: Floats) -> None:
        codes = np.array([_CODES.get(signal.rule, _HOLD) for signal in signals])
        self._bound_pu = np.array([signal.bound_pu for signal in signals])
        tick = np.array([lane.tick for lane in lanes]).T
        before = np.array([lane.before for lane in lanes]).T
        stale = np.array([lane.stale for lane in lanes]).T
        self._age_s = np.array([lane.age_s for lane in lanes]).T.copy()
        self._gap_s = np.where(before >= 0, at_s[tick] - at_s[np.maximum(before, 0)], 0.0)
        # Without a measurement before the last, nothing is predicted.
        codes = np.where(stale & ((codes == _BOUND) | (self._gap_s > 0.0)), codes, _HOLD)
        self._codes, self._any = codes, np.asarray(codes.any(axis=1))
        self._new = np.diff(tick, axis=0, prepend=tick[:1]) != 0
        self._predicts = bool((codes == _PREDICT).any())
        self._before_pu: Floats | None = None
        self._taken_pu: Floats | None = None

    @staticmethod
    def wanted(signals: Sequence[StaleSignal]) -> bool:
        """Does any of them ask for more than the last voltages?"""
        return any(signal.rule in _CODES for signal in signals)

    def keep(self, step: int, arrived_pu: Floats) -> None:
        """Before voltages (node, slot) that arrive in this step take the place of those that are there."""
        if not self._predicts or step == len(self._new):
            return
        if self._before_pu is None:
            self._before_pu = arrived_pu.copy()
        _copy_columns(arrived_pu, self._new[step], self._before_pu)

    def taken(self, step: int, arrived_pu: Floats) -> Floats:
        """What is taken for the voltages (node, slot) that arrived last."""
        if not self._any[step]:
            return arrived_pu
        if self._taken_pu is None:
            self._taken_pu = np.empty_like(arrived_pu)
        before_pu = arrived_pu if self._before_pu is None else self._before_pu
        rows = self._codes[step], self._gap_s[step], self._age_s[step]
        _take(arrived_pu, before_pu, *rows, self._bound_pu, self._taken_pu)
        return self._taken_pu


@kernel
def _copy_columns(source: Floats, which: Bools, target: Floats) -> None:
    """Copy some columns."""
    columns = np.flatnonzero(which)
    for i in range(len(source)):
        for c in columns:
            target[i, c] = source[i, c]


@kernel
def _take(
    held_pu: Floats, before_pu: Floats, codes: Ints, gap_s: Floats, age_s: Floats, bound_pu: Floats, taken_pu: Floats
) -> None:
    """`stale_voltage_pu` of every column, by its code: all columns alike, those of other rules by nothing."""
    n = held_pu.shape[1]
    below_pu, gap, age, predicts = np.zeros(n), np.ones(n), np.zeros(n), False
    for c in range(n):
        if codes[c] == _BOUND:
            below_pu[c] = bound_pu[c]
        elif codes[c] == _PREDICT:
            gap[c], age[c], predicts = gap_s[c], age_s[c], True
    for i in range(len(held_pu)):
        held, before, taken = held_pu[i], before_pu[i], taken_pu[i]
        if predicts:
            for c in range(n):
                change = min(max((held[c] - before[c]) / gap[c] * age[c], -bound_pu[c]), bound_pu[c])
                taken[c] = held[c] - below_pu[c] + change
        else:
            for c in range(n):
                taken[c] = held[c] - below_pu[c]
