"""Voltages of a batch that are too old: column by column what a single run takes for them."""

from __future__ import annotations

import numpy as np
import pytest

from g2g_opt.batch.shown import Shown, ShownMoves, pass_on
from g2g_opt.batch.stale_voltages import StaleMoves, StaleVoltages, keep, show_and_take
from g2g_opt.channel.lanes import Measured, stale_voltage_pu
from g2g_opt.communication import StaleSignal
from g2g_opt.compiled.kernel import kernel
from g2g_opt.compiled.records import pack, reader

N_STEPS, N_NODES = 60, 3
_shown, _stale = reader(ShownMoves), reader(StaleMoves)


@kernel
def after_measuring(shown: np.ndarray, stale: np.ndarray, step: int) -> None:
    show_and_take(_shown(shown), _stale(stale), step)


@kernel
def at_the_end(shown: np.ndarray, stale: np.ndarray, step: int) -> None:
    keep(_stale(stale), step + 1)
    pass_on(_shown(shown), step)


def lane(arrives_after: list[int], age_max_s: float) -> Measured:
    """A measurement in every step of 2 s, of which that of step k is there after so many steps (0: never)."""
    tick = np.zeros(N_STEPS, dtype=np.int32)
    shown_at = np.full(N_STEPS, -1, dtype=np.int32)
    for k, wait in enumerate(arrives_after):
        if wait and k + wait < N_STEPS:
            tick[k + wait :] = np.maximum(tick[k + wait :], k)
    fresh = np.flatnonzero(np.diff(tick, prepend=-1))
    shown_at[tick[fresh]] = fresh
    before = np.array([max((t for t in tick[: k + 1] if t < tick[k]), default=-1) for k in range(N_STEPS)])
    found = Measured(tick, shown_at, 2.0 * np.arange(N_STEPS), age_max_s)
    np.testing.assert_array_equal(found.before, before)
    np.testing.assert_array_equal(found.stale, 2.0 * (np.arange(N_STEPS) - tick) > age_max_s)
    return found


def test_columns_are_shown_and_taken_as_a_single_run_does() -> None:
    draws = np.random.default_rng(5)
    signals = [StaleSignal(rule, 3.0, 0.01) for rule in ("hold", "bound", "predict", "silence", "predict")]  # type: ignore[arg-type]
    lanes = [lane(draws.integers(0, 9, N_STEPS).tolist(), signal.age_max_s) for signal in signals]
    measured = draws.uniform(0.9, 1.1, (N_STEPS, N_NODES, len(lanes)))
    # Rows of a wider array, as those of voltages are.
    now = np.zeros((N_NODES, len(lanes) + 3))[:, : len(lanes)]
    shown = Shown(np.array([one.shown_at for one in lanes]).T, now)
    arrived, n_stale = shown.seen, 0
    stale = StaleVoltages(lanes, signals, arrived)
    packed, taken = (pack(shown.moves), pack(stale.moves)), stale.taken_pu
    for step in range(N_STEPS):
        now[:] = measured[step]
        after_measuring(packed[0].words, packed[1].words, step)
        for c, (one, signal) in enumerate(zip(lanes, signals, strict=True)):
            held = measured[one.tick[step], :, c]
            np.testing.assert_array_equal(arrived[:, c], held)
            expected = held
            if one.stale[step]:
                n_stale += 1
                before = one.before[step]
                gap_s = 2.0 * (one.tick[step] - before) if before >= 0 else 0.0
                expected = stale_voltage_pu(held, measured[max(before, 0), :, c], gap_s, float(one.age_s[step]), signal)
            np.testing.assert_array_equal(taken[:, c], expected)
        at_the_end(packed[0].words, packed[1].words, step)
    assert n_stale > 50


def test_what_is_seen_at_once_is_not_copied() -> None:
    now = np.zeros((3, 2))
    assert Shown(np.arange(4, dtype=np.int32)[:, None] * np.ones((1, 2), dtype=np.int32), now).seen is now


@pytest.mark.parametrize("rule", ["hold", "silence"])
def test_nothing_is_wanted_of_rules_that_take_the_last_voltages(rule: str) -> None:
    assert not StaleVoltages.wanted([StaleSignal(rule)])  # type: ignore[arg-type]
