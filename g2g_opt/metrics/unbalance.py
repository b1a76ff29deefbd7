"""Voltage unbalance of three-phase buses: negative over positive sequence, and NEMA's definition from line to line.

Shares (0.02 is 2 %), pure functions of arrays whose last axis is the phase. Neither looks at the zero sequence, so
that complex voltages may be taken to neutral, to ground or from phase to phase (1 to 2, 2 to 3, 3 to 1) alike. A bus of
fewer than three phases has no unbalance: it is not defined there.

Standards, with what stands behind each word:

* EN 50160:2010, supply voltage unbalance (clauses 4.2.4 for low and 5.2.4 for medium voltage; clause numbers from
  memory): of the ten-minute means of a week, 95 % lie at or under 2 % negative over positive sequence. Value, averaging
  and share as Schneider Electric's technical note 7EN72-0197-01 on EN 50160:2010 states them. From memory: up to 3 % in
  places with partly single- or two-phase customers.
* IEC 61000-2-12 (medium voltage compatibility level) has the same 2 %, and IEC/TR 61000-3-13:2008 shares a planning
  level out between installations: what an installation adds is judged, not what the network has (from memory).
* ANSI C84.1, annex (from memory; the value, its field surveys and the no-load condition as restated in Burbank Water
  and Power's rules, appendix C, and in makers' notes): 3 % by NEMA's definition, at the meter, without load.
* NEMA MG-1 has the definition: largest deviation of the three line voltages from their mean, over that mean. Its own
  limit for motors without derating is 1 %.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Complexes = NDArray[np.complex128]

# What a site may add to the unbalance of a bus that is above a limit without it. Ours: a tenth of a percentage point,
# less than a meter of class A tells apart (0.15 points by IEC 61000-4-30, from memory).
UNBALANCE_ADDED_MAX = 0.001

_A = np.exp(2j * np.pi / 3.0)


def negative_sequence_unbalance(voltage_v: Complexes) -> Floats:
    """Negative over positive sequence (share) of complex voltages (V or pu) of shape (..., 3) (equation 3.6); NaN
    without voltage.

    The larger of the two rotations is the positive one: which way a bus numbers its phases is no unbalance.
    """
    a, b, c = (voltage_v[..., k] for k in range(3))
    one, other = np.abs(a + _A * b + _A**2 * c), np.abs(a + _A**2 * b + _A * c)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.minimum(one, other) / np.maximum(one, other))


def negative_sequence_unbalance_of_magnitudes(line_to_line_v: Floats) -> Floats:
    """As `negative_sequence_unbalance`, from magnitudes between phases (V or pu), shape (..., 3) (equation 3.7).

    Three lengths fix the triangle of voltages, so that no angle is needed:
    sqrt((1 - sqrt(3 - 6 b)) / (1 + sqrt(3 - 6 b))) with b = sum of fourth powers over the square of the sum of squares
    (IEC 61000-4-30, formula from memory; the tests hold it against the phasors).
    """
    square = np.asarray(line_to_line_v, dtype=np.float64) ** 2
    with np.errstate(invalid="ignore"):
        beta = (square**2).sum(axis=-1) / square.sum(axis=-1) ** 2
        # Balanced voltages are at b = 1/3, where rounding may go a little below.
        root = np.minimum(np.sqrt(np.maximum(3.0 - 6.0 * beta, 0.0)), 1.0)
        return np.asarray(np.sqrt((1.0 - root) / (1.0 + root)))


def nema_unbalance(voltage_v: Complexes) -> Floats:
    """Largest deviation of the line-to-line magnitudes from their mean, over the mean (share), of complex voltages to
    neutral or ground (V or pu) of shape (..., 3) (equation 3.8); NaN without voltage.
    """
    return nema_unbalance_of_magnitudes(np.abs(voltage_v - np.roll(voltage_v, -1, axis=-1)))


def nema_unbalance_of_magnitudes(line_to_line_v: Floats) -> Floats:
    """As `nema_unbalance`, from magnitudes between phases (V or pu), shape (..., 3) (equation 3.8)."""
    mean = np.mean(line_to_line_v, axis=-1)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.abs(line_to_line_v - mean[..., None]).max(axis=-1) / mean)
