"""Volt-var control of PV systems (OpenDSS's InvControl) in all scenarios of a batch, as OpenDSS's own acts in time.

In every round of a solution each inverter looks at its voltage. Where that has moved by more than the tolerance, its
vars are not what the curve asks for, or the round is the first, it goes a share of the way to the curve: a given share,
or one that grows where voltages calm down and shrinks where they do not. Vars that do not fit beside the watts cost
watts, unless watts come first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from g2g_opt.batch.network import Network
from g2g_opt.batch.unsupported import UnsupportedByBatch
from g2g_opt.circuit.inverters import Curve, InverterSettings
from g2g_opt.circuit.units import OwnUnit, UnitShare

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

_AVERAGE, _HIGHEST, _LOWEST = -1, -2, -3
_ADAPTS = -1.0
# Where OpenDSS's adapting share begins, and vars "before" the first action (kvar).
_FIRST_SHARE, _VARS_BEFORE = 0.5, -1.0
# A voltage this near to a point of a curve is taken as that point.
_AT_POINT = 1e-5


class Inverters:
    """The inverters `settings` of `n_slots` scenarios; `place` gives a node's row among the sensed voltages.

    Raises `UnsupportedByBatch` for an inverter or a control that is not modelled.
    """

    def __init__(
        self, settings: Sequence[InverterSettings], network: Network, n_slots: int, place: Callable[[int], int]
    ) -> None:
        units = {f"{unit.kind}.{unit.name}": unit for unit in network.units}
        columns = {share: k for k, share in enumerate(network.unit_shares)}
        seen: set[str] = set()
        self._settings, self._first_share = tuple(settings), len(network.load_shapes)
        self._nodes: list[Ints] = []
        self._columns: list[tuple[int, int]] = []
        watts, available, base_kvar = [], [], []
        for own in settings:
            name = f"InvControl {own.control}"
            if own.unlike:
                raise UnsupportedByBatch(f"{name} {own.unlike}, which is not modelled")
            if own.element in seen:
                raise UnsupportedByBatch(f"{name} steers {own.element}, as another InvControl does")
            seen.add(own.element)
            unit = units.get(own.element)
            active, reactive = UnitShare(own.element, "active"), UnitShare(own.element, "reactive")
            if unit is None or active not in columns or reactive not in columns:
                raise UnsupportedByBatch(f"{name} steers {own.element}, which gives nothing or is not modelled")
            self._nodes.append(np.array([place(int(node)) for node in unit.nodes[: own.n_phases]], dtype=np.int64))
            self._columns.append((columns[active], columns[reactive]))
            watts.append(_kva(unit).real)
            available.append(own.available_kw)
            base_kvar.append(own.kva)
        n = len(settings)
        self._base_kw, self._base_kvar, self._available_kw = np.array(watts), np.array(base_kvar), np.array(available)
        self._prior, self._present = np.zeros((n, n_slots)), np.zeros((n, n_slots))
        self._old_kvar = np.full((n, n_slots), _VARS_BEFORE)
        self._output, self._wanted = np.zeros((n, n_slots)), np.zeros((n, n_slots))
        self._share, self._last_move = np.full((n, n_slots), _FIRST_SHARE), np.full((n, n_slots), -1.0)
        self._kw = np.repeat(self._base_kw[:, None], n_slots, axis=1)
        self._kvar = np.array([[_kva(units[own.element]).imag] * n_slots for own in settings]).reshape(n, n_slots)
        self.pending = np.zeros((n, n_slots), dtype=np.bool_)
        # OpenDSS goes on from the point of a curve that it took last.
        self._last_point: dict[str, Ints] = {
            own.volt_var.name: np.ones(n_slots, np.int64) for own in settings if own.volt_var
        }

    def sample(self, v: Floats, awake: Bools, is_first: bool) -> None:
        """Every inverter of every `awake` scenario looks at its voltage `v` (sensed node, 2, slot), V."""
        for k, own in enumerate(self._settings):
            seen = _measured(v[self._nodes[k], :, : len(awake)], own)
            if is_first:
                self._prior[k, awake] = self._present[k, awake]
            self._present[k, awake] = (seen / own.base_v)[awake]
            moved = np.abs(self._present[k] - self._prior[k]) > own.voltage_tolerance_pu
            off = np.abs(np.abs(self._output[k]) - np.abs(self._wanted[k])) > own.var_tolerance_pu
            self.pending[k] |= awake & (moved | off | is_first)

    def act(self, due: Bools, shares: Floats) -> Bools:
        """Let the inverters that are pending act in scenarios `due`; their `shares` (chunk, place, lane) follow.

        Returns the scenarios in which one acted.
        """
        acted = np.zeros(len(due), dtype=np.bool_)
        for k, own in enumerate(self._settings):
            slots = np.flatnonzero(self.pending[k] & due)
            if not len(slots):
                continue
            self.pending[k, slots] = False
            acted[slots] = True
            self._steer(k, own, slots)
            chunk, lane = slots // shares.shape[2], slots % shares.shape[2]
            active, reactive = self._columns[k]
            shares[chunk, self._first_share + active, lane] = self._kw[k, slots] / self._base_kw[k]
            shares[chunk, self._first_share + reactive, lane] = self._kvar[k, slots] / self._base_kvar[k]
        return acted

    def _steer(self, k: int, own: InverterSettings, slots: Ints) -> None:
        kw, present = self._kw[k, slots], self._present[k, slots]
        if own.vars_of_rating:
            room = np.full(len(slots), own.kvar_max)
            room_below = np.full(len(slots), own.kvar_max_absorbed)
        else:
            left = np.sqrt(np.maximum(own.kva**2 - kw**2, 0.0)) * (np.abs(kw) < own.kva)
            room = np.where(left > 0.0, left, own.kvar_max)
            room_below = np.where(left > 0.0, left, own.kvar_max_absorbed)
        assert own.volt_var is not None
        wanted = _on_curve(own.volt_var, present, self._last_point[own.volt_var.name], slots)
        most, least = np.minimum(own.kvar_max / room, 1.0), np.minimum(own.kvar_max_absorbed / room_below, 1.0)
        limit = np.where((wanted > 0.0) & (wanted >= most), most, 1.0)
        limit = np.where((wanted < 0.0) & (-wanted >= least), least, limit)
        if own.watts_first and own.vars_of_rating:
            beside = np.sqrt(np.maximum(own.kva**2 - kw**2, 0.0)) / np.where(wanted >= 0.0, room, room_below)
            limit = np.where((beside < limit) & (beside < np.abs(wanted)), beside, limit)
        wanted = np.minimum(np.abs(wanted), limit) * np.sign(wanted)
        self._wanted[k, slots] = wanted
        step = wanted * np.where(wanted >= 0.0, room, room_below) - self._old_kvar[k, slots]
        asked = self._old_kvar[k, slots] + step * self._share_of_way(k, own, slots)
        kvar = np.clip(asked, -own.kvar_max_absorbed, own.kvar_max)
        kw = np.full(len(slots), self._available_kw[k])
        over = np.hypot(kw, kvar) > own.kva
        if own.watts_first:
            kvar = np.where(over, np.sqrt(np.maximum(own.kva**2 - kw**2, 0.0)) * np.sign(kvar), kvar)
        else:
            kw = np.where(over, np.sqrt(np.maximum(own.kva**2 - kvar**2, 0.0)) * np.sign(kw), kw)
        self._kw[k, slots], self._kvar[k, slots] = kw, kvar
        self._output[k, slots] = kvar / np.where(asked >= 0.0, room, room_below)
        self._prior[k, slots], self._old_kvar[k, slots] = present, kvar

    def _share_of_way(self, k: int, own: InverterSettings, slots: Ints) -> Floats:
        """Which share of the way to the curve is gone now."""
        if own.delta_q != _ADAPTS:
            return np.full(len(slots), own.delta_q)
        share, last = self._share[k, slots], self._last_move[k, slots]
        move = np.abs(self._present[k, slots] - self._prior[k, slots])
        by = np.select(
            [
                (move > 0.8 * last) & (share > 0.2),
                (move > 0.6 * last) & (share > 0.2),
                (move < 0.2 * last) & (share < 0.9),
                (move < 0.4 * last) & (share < 0.9),
            ],
            [-0.1, -0.05, 0.1, 0.05],
            0.0,
        )
        now: Floats = np.where(last >= 0.0, share + by, share)
        self._share[k, slots], self._last_move[k, slots] = now, move
        return now


def _measured(v: Floats, own: InverterSettings) -> Floats:
    """What an inverter looks at (V, slot) of its conductors' voltages (conductor, 2, slot)."""
    sizes = np.hypot(v[:, 0], v[:, 1])
    if own.measure == _AVERAGE:
        return np.asarray(sizes.sum(axis=0) / own.n_phases)
    if own.measure == _HIGHEST:
        return np.asarray(sizes.max(axis=0))
    return np.asarray(sizes.min(axis=0) if own.measure == _LOWEST else sizes[own.measure - 1])


def _kva(unit: OwnUnit) -> complex:
    """What a unit feeds in as compiled (kW + j kvar)."""
    return unit.power_va * len(unit.branch_nodes()) / 1e3


def _on_curve(curve: Curve, x: Floats, last: Ints, slots: Ints) -> Floats:
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
