"""Voltage unbalance and rapid voltage change as functions of arrays, against figures worked out by hand."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from g2g_opt.metrics.rapid_voltage_change import changes_are_seen, largest_changes, levels_pu
from g2g_opt.metrics.unbalance import (
    negative_sequence_unbalance,
    negative_sequence_unbalance_of_magnitudes,
    nema_unbalance,
    nema_unbalance_of_magnitudes,
)

A = np.exp(2j * np.pi / 3)
POSITIVE, NEGATIVE = np.array([1, A**2, A]), np.array([1, A, A**2])


@pytest.mark.parametrize("share", [0.0, 0.02, 0.3])
@pytest.mark.parametrize("angle", [0.0, 1.0, 2.5])
def test_negative_over_positive_sequence_is_what_the_voltages_are_made_of(share: float, angle: float) -> None:
    voltage = 7200 * (POSITIVE + share * np.exp(1j * angle) * NEGATIVE)
    assert negative_sequence_unbalance(voltage) == pytest.approx(share, abs=1e-12)
    # The zero sequence is none of it, and neither is the order in which a bus numbers its phases.
    assert negative_sequence_unbalance(voltage + 900 - 400j) == pytest.approx(share, abs=1e-12)
    assert negative_sequence_unbalance(voltage[[0, 2, 1]]) == pytest.approx(share, abs=1e-12)


def test_line_to_line_voltages_alone_are_enough() -> None:
    rng = np.random.default_rng(4)
    phase_v = POSITIVE + 0.1 * (rng.normal(size=(50, 3)) + 1j * rng.normal(size=(50, 3)))
    between_v = phase_v - np.roll(phase_v, -1, axis=-1)
    expected = negative_sequence_unbalance(phase_v)
    np.testing.assert_allclose(negative_sequence_unbalance(between_v), expected, rtol=1e-9)
    np.testing.assert_allclose(negative_sequence_unbalance_of_magnitudes(np.abs(between_v)), expected, rtol=1e-7)
    np.testing.assert_allclose(nema_unbalance_of_magnitudes(np.abs(between_v)), nema_unbalance(phase_v), rtol=1e-12)


def test_balanced_magnitudes_have_no_unbalance() -> None:
    assert negative_sequence_unbalance_of_magnitudes(np.full(3, 12470.0)) == pytest.approx(0.0, abs=1e-7)


def test_nema_is_the_largest_deviation_from_the_mean() -> None:
    # 462, 463 and 455 V: mean 460 V, 5 V off.
    assert nema_unbalance_of_magnitudes(np.array([462.0, 463.0, 455.0])) == pytest.approx(5 / 460)


def test_an_isosceles_triangle_by_hand() -> None:
    # Phase a 10 % low: positive (0.9 + 2) / 3, negative (0.9 - 1) / 3. Lines: sqrt(0.9^2 + 1 + 0.9) twice, sqrt(3).
    voltage = POSITIVE * np.array([0.9, 1.0, 1.0])
    lines = np.array([np.sqrt(2.71), np.sqrt(3.0), np.sqrt(2.71)])
    assert negative_sequence_unbalance(voltage) == pytest.approx(0.1 / 2.9)
    assert nema_unbalance(voltage) == pytest.approx((lines.max() - lines.mean()) / lines.mean())


def test_no_voltage_has_no_unbalance() -> None:
    assert np.isnan(negative_sequence_unbalance(np.zeros(3, dtype=complex)))
    assert np.isnan(nema_unbalance(np.zeros(3, dtype=complex)))


NONE = np.zeros(0, dtype=np.int64)


def test_a_jump_is_a_change_in_full_and_a_slow_ramp_only_what_six_seconds_hold() -> None:
    t = np.arange(60)
    voltage = np.stack([np.where(t < 30, 1.0, 0.96), 1.0 - 0.001 * t, np.where(t < 30, 0.97, 1.0)], axis=1)
    change, step = largest_changes(voltage, Fraction(1), NONE)
    np.testing.assert_allclose(change, [0.04, 0.006, 0.03])
    assert step[0] == step[2] == 30


def test_what_the_taps_did_is_no_change_of_the_load() -> None:
    voltage = np.where(np.arange(60) < 30, 1.0, 0.96)[:, None]
    assert largest_changes(voltage, Fraction(1), np.array([30]))[0] == 0.0
    # A move elsewhere hides nothing.
    assert largest_changes(voltage, Fraction(1), np.array([10, 50]))[0] == pytest.approx(0.04)
    assert largest_changes(voltage, Fraction(1), np.array([27, 33]))[0] == 0.0


def test_levels_are_means_of_a_second() -> None:
    ripple = 0.05 * np.tile([1.0, -1.0], 100)
    voltage = (np.where(np.arange(200) < 100, 1.0, 0.98) + ripple)[:, None]
    np.testing.assert_allclose(levels_pu(voltage, Fraction(1, 10))[[0, -1], 0], [1.0, 0.98])
    assert largest_changes(voltage, Fraction(1, 10), NONE)[0] == pytest.approx(0.02)


def test_steps_longer_than_the_window_tell_no_rapid_change() -> None:
    assert not changes_are_seen(Fraction(60))
    assert largest_changes(np.array([[1.0], [0.9]]), Fraction(60), NONE)[0] == 0.0
    assert largest_changes(np.array([[1.0], [0.9]]), Fraction(6), NONE)[0] == pytest.approx(0.1)
