"""What OpenDSS's InvControl makes of a voltage, over scenarios: curves, limits, and shares of a way."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from g2g_opt.circuit.inverters import Curve, InverterSettings

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_AVERAGE, _HIGHEST, _LOWEST = -1, -2, -3
# A voltage this near to a point of a curve is taken as that point.
_AT_POINT = 1e-5
# OpenDSS's own has more digits than a double where the machine has them.
_THOUSANDTH = np.longdouble("0.001")
_TWENTIETH = 0.05
_REST_OF_TWENTIETH = float(Fraction(1, 20) - Fraction(_TWENTIETH))


def measured_v(v: Floats, own: InverterSettings) -> Floats:
    """What an inverter looks at (V, slot) of its conductors' voltages (conductor, 2, slot)."""
    sizes = np.hypot(v[:, 0], v[:, 1])
    if own.measure == _AVERAGE:
        return np.asarray(sizes.sum(axis=0) / own.n_phases)
    if own.measure == _HIGHEST:
        return np.asarray(sizes.max(axis=0))
    return np.asarray(sizes.min(axis=0) if own.measure == _LOWEST else sizes[own.measure - 1])


def as_seen(power: Floats, n_phases: int) -> Floats:
    """A power (kW or kvar, slot) as a control sees it: OpenDSS keeps it in W of a phase and turns it back, rounded.

    Where a rating binds, the last digit decides whether what a curve leaves is less than what is given.
    """
    of_phase = 1000.0 * power / n_phases
    return np.asarray(of_phase.astype(np.longdouble) * _THOUSANDTH * n_phases, dtype=np.float64)


def room_for_vars(own: InverterSettings, kw: Floats) -> tuple[Floats, Floats]:
    """Vars (kvar, slot) that a volt-var curve's shares are of, injected and absorbed, beside the watts `kw`."""
    if own.vars_of_rating:
        return np.full(len(kw), own.kvar_max), np.full(len(kw), own.kvar_max_absorbed)
    left = np.sqrt(np.maximum(own.kva**2 - kw**2, 0.0)) * (np.abs(kw) < own.kva)
    return np.where(left > 0.0, left, own.kvar_max), np.where(left > 0.0, left, own.kvar_max_absorbed)


def wanted_vars(own: InverterSettings, wanted: Floats, kw: Floats, room: tuple[Floats, Floats]) -> Floats:
    """What the curve asks for (share of the room, slot) as far as the inverter may give it."""
    most, least = np.minimum(own.kvar_max / room[0], 1.0), np.minimum(own.kvar_max_absorbed / room[1], 1.0)
    limit = np.where((wanted > 0.0) & (wanted >= most), most, 1.0)
    limit = np.where((wanted < 0.0) & (-wanted >= least), least, limit)
    if own.watts_first and own.vars_of_rating:
        beside = np.sqrt(np.maximum(own.kva**2 - kw**2, 0.0)) / np.where(wanted >= 0.0, *room)
        limit = np.where((beside < limit) & (beside < np.abs(wanted)), beside, limit)
    return np.asarray(np.minimum(np.abs(wanted), limit) * np.sign(wanted))


def wanted_watts(own: InverterSettings, wanted: Floats, kvar: Floats, base_kw: Floats) -> Floats:
    """What the volt-watt curve leaves (share of `base_kw`, slot) as far as the inverter may give it beside `kvar`."""
    limit, asked = np.ones(len(wanted)), np.abs(wanted) * base_kw
    if not own.watts_first:
        beside = np.sqrt(np.maximum(own.kva**2 - kvar**2, 0.0))
        limit = np.where(beside < asked, beside / base_kw, limit)
    limit = np.where(asked > own.watts_max_kw, own.watts_max_kw / base_kw, limit)
    return np.asarray(np.minimum(limit, np.abs(wanted)) * np.sign(wanted))


def within_rating(own: InverterSettings, kw: Floats, kvar: Floats) -> tuple[Floats, Floats]:
    """Watts and vars (slot) that fit beside each other; what comes first keeps its own."""
    kvar = np.clip(kvar, -own.kvar_max_absorbed, own.kvar_max)
    over = np.hypot(kw, kvar) > own.kva
    if own.watts_first:
        kw = np.where(over, np.minimum(kw, own.kva), kw)
        return kw, np.where(over, np.sqrt(np.maximum(own.kva**2 - kw**2, 0.0)) * np.sign(kvar), kvar)
    return np.where(over, np.sqrt(np.maximum(own.kva**2 - kvar**2, 0.0)) * np.sign(kw), kw), kvar


def adapted_share_of_vars(share: Floats, move: Floats, last: Floats) -> Floats:
    """The share of the way to a volt-var curve after a `move` of the voltage (pu) that follows the `last` one."""
    # OpenDSS's 0.2 has more digits than a share, so a share of 0.2 lies above it.
    steps = np.select(
        [
            (move > 0.8 * last) & (share >= 0.2),
            (move > 0.6 * last) & (share >= 0.2),
            (move < 0.2 * last) & (share < 0.9),
            (move < 0.4 * last) & (share < 0.9),
        ],
        [-2, -1, 2, 1],
        0,
    )
    return np.where(last >= 0.0, _moved_by(share, steps), share)


def adapted_share_of_watts(share: Floats, move: Floats, last: Floats) -> Floats:
    """As `adapted_share_of_vars`, for a volt-watt curve."""
    steps = np.select(
        [
            (move > 0.9 * last) & (share >= 0.2),
            (move > 0.8 * last) & (share >= 0.1),
            (move < 0.2 * last) & (share < 0.9),
        ],
        [-2, -1, 1],
        0,
    )
    return np.where(last >= 0.0, _moved_by(share, steps), share)


def _moved_by(share: Floats, steps: Ints) -> Floats:
    """Shares that go on by twentieths, rounded once: OpenDSS adds a twentieth that has more digits than ours."""
    step, rest = steps * _TWENTIETH, steps * _REST_OF_TWENTIETH
    total = share + step
    added = total - share
    lost = (share - (total - added)) + (step - added)
    return np.asarray(total + (lost + rest))


def on_curve(curve: Curve, x: Floats, last: Ints, slots: Ints) -> Floats:
    """Values of a curve at `x` (slot,), by OpenDSS's walk along its points from where it was `last`."""
    px, py, n = np.array(curve.x), np.array(curve.y), len(curve.x)
    found = np.zeros(len(x))
    for j, (slot, value) in enumerate(zip(slots.tolist(), x.tolist(), strict=True)):
        if n == 1:
            found[j] = py[0]
            continue
        point = int(last[slot])
        if px[point - 1] > value:
            point = 1
        if point == 1 and px[0] > value:
            last[slot] = 1
            found[j] = _line(px, py, 0, 1, value)
            continue
        for i in range(point, n):
            if abs(px[i] - value) < _AT_POINT:
                last[slot], found[j] = i + 1, py[i]
                break
            if px[i] > value:
                last[slot], found[j] = i, _line(px, py, i, i - 1, value)
                break
        else:
            last[slot], found[j] = n - 1, _line(px, py, n - 1, n - 2, value)
    return found


def _line(px: Floats, py: Floats, i: int, j: int, x: float) -> float:
    if px[i] == px[j]:
        return float(py[i])
    return float((x - px[j]) / (px[i] - px[j]) * (py[i] - py[j]) + py[j])
