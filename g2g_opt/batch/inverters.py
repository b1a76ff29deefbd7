"""Volt-var and volt-watt control of PV systems (InvControl) in all scenarios of a batch, as OpenDSS's own acts in time.

In every round of a solution each inverter looks at its voltage. Where that has moved by more than the tolerance, its
vars or watts are not what the curve asks for, or the round is the first, it goes a share of the way to the curve: a
given share, or one that grows where voltages calm down and shrinks where they do not. Vars that do not fit beside the
watts cost watts, unless watts come first. Between two steps a volt-watt curve forgets its limit: every step begins with
all watts that the sun gives.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from g2g_opt.batch.inverter_rules import (
    adapted_share_of_vars,
    adapted_share_of_watts,
    as_seen,
    measured_v,
    on_curve,
    room_for_vars,
    wanted_vars,
    wanted_watts,
    within_rating,
)
from g2g_opt.batch.network import Network
from g2g_opt.batch.unsupported import UnsupportedByBatch
from g2g_opt.circuit.inverters import InverterSettings
from g2g_opt.circuit.units import OwnUnit, UnitShare

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

_ADAPTS = -1.0
# Where OpenDSS's adapting shares begin, and vars "before" the first action (kvar).
_FIRST_SHARE, _VARS_BEFORE = 0.5, -1.0


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
        watts, base_kvar = [], []
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
            base_kvar.append(own.kva)
        n = len(settings)

        def every(values: Sequence[float] | Floats | float) -> Floats:
            """One value of every inverter, in every scenario."""
            return np.repeat(np.broadcast_to(np.asarray(values, dtype=np.float64), n)[:, None], n_slots, axis=1)

        self._base_kw, self._base_kvar = np.array(watts), np.array(base_kvar)
        self._prior, self._present, self._last_move = every(0.0), every(0.0), every(-1.0)
        self._kw, self._kvar = every(self._base_kw), every([_kva(units[own.element]).imag for own in settings])
        self._panel_kw = every([own.panel_kw for own in settings])
        # Vars: as told, before the latest action, as given and as the curve asks for (shares of the room).
        self._told_kvar, self._old_kvar = every([own.kvar_told for own in settings]), every(_VARS_BEFORE)
        self._output, self._wanted, self._share = every(0.0), every(0.0), every(_FIRST_SHARE)
        self._keeps_factor = every([float(own.kvar_per_kw is not None) for own in settings]) > 0.0
        # Watts: as told, before the latest action and as the curve leaves (shares of its base).
        self._told_kw, self._old_watts, self._left, self._share_kw = (
            every(0.0),
            every(0.0),
            every(0.0),
            every(_FIRST_SHARE),
        )
        self._is_told_kw, self._is_curtailed = every(0.0) > 0.0, every(0.0) > 0.0
        self._is_first = True
        self.pending = np.zeros((n, n_slots), dtype=np.bool_)
        # OpenDSS goes on from the point of a curve that it took last.
        curves = [curve for own in settings for curve in (own.volt_var, own.volt_watt) if curve]
        self._last_point: dict[str, Ints] = {curve.name: np.ones(n_slots, np.int64) for curve in curves}

    @property
    def elements(self) -> tuple[str, ...]:
        """What is steered, in order."""
        return tuple(own.element for own in self._settings)

    @property
    def steer_watts(self) -> bool:
        """True if a volt-watt curve is among the controls."""
        return any(own.volt_watt is not None for own in self._settings)

    def fed_in(self, slot: int) -> dict[str, tuple[float, float]]:
        """What each inverter of a scenario is set to feed in (kW, kvar), by element."""
        pairs = zip(self._settings, self._kw[:, slot].tolist(), self._kvar[:, slot].tolist(), strict=True)
        return {own.element: (kw, kvar) for own, kw, kvar in pairs}

    def kva(self) -> Floats:
        """Watts of all inverters, then their vars (2 x inverter, scenario), as they are set."""
        return np.concatenate([self._kw, self._kvar])

    # --- between two steps

    def begin(self, panel_kw: Floats | None, shares: Floats) -> None:
        """A step begins: what the inverters give before they look follows in `shares` (chunk, place, lane).

        `panel_kw` (inverter, scenario) is what the sun of this step gives, NaN where it is that of the studied state;
        None where it is that everywhere.
        """
        if panel_kw is None and not self.steer_watts:
            return
        if panel_kw is not None:
            self._panel_kw = np.where(np.isnan(panel_kw), self._panel_kw, panel_kw)
        slots = np.arange(self._kw.shape[1])
        for k, own in enumerate(self._settings):
            self._give(k, own, slots)
            self._write(k, slots, shares)

    def end(self) -> None:
        """Time passes: volt-watt curves forget their limits, as OpenDSS lets them do at the end of a step in time."""
        self._is_told_kw[:] = self._is_curtailed[:] = False
        self._share_kw[:] = _FIRST_SHARE

    # --- within a step

    def sample(self, v: Floats, awake: Bools, is_first: bool) -> None:
        """Every inverter of every `awake` scenario looks at its voltage `v` (sensed node, 2, slot), V."""
        self._is_first = is_first
        for k, own in enumerate(self._settings):
            seen = measured_v(v[self._nodes[k], :, : len(awake)], own)
            if is_first:
                self._prior[k, awake] = self._present[k, awake]
            self._present[k, awake] = (seen / own.base_v)[awake]
            off = np.abs(self._present[k] - self._prior[k]) > own.voltage_tolerance_pu
            if own.volt_var is not None:
                off |= np.abs(np.abs(self._output[k]) - np.abs(self._wanted[k])) > own.var_tolerance_pu
            if own.volt_watt is not None:
                off |= np.abs(self._left[k] - self._old_watts[k]) > own.watt_tolerance_pu
            looks = awake if own.volt_var is not None else awake & (self._panel_kw[k] > 0.0)
            self.pending[k] |= looks & (off | is_first)

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
            self._write(k, slots, shares)
        return acted

    def _steer(self, k: int, own: InverterSettings, slots: Ints) -> None:
        kw, kvar = (as_seen(power[k, slots], own.n_phases) for power in (self._kw, self._kvar))
        present = self._present[k, slots]
        room, asked = room_for_vars(own, kw), np.zeros(len(slots))
        if own.volt_watt is not None:
            self._tell_watts(k, own, slots, kw, kvar)
        if own.volt_var is not None:
            wanted = on_curve(own.volt_var, present, self._last_point[own.volt_var.name], slots)
            self._wanted[k, slots] = wanted = wanted_vars(own, wanted, kw, room)
            step = wanted * np.where(wanted >= 0.0, *room) - self._old_kvar[k, slots]
            asked = self._old_kvar[k, slots] + step * self._share_of_vars(k, own, slots)
            self._told_kvar[k, slots], self._keeps_factor[k, slots] = asked, False
        self._give(k, own, slots)
        if own.volt_var is not None:
            self._output[k, slots] = self._kvar[k, slots] / np.where(asked >= 0.0, *room)
            self._old_kvar[k, slots] = self._kvar[k, slots]
        self._prior[k, slots] = present

    def _tell_watts(self, k: int, own: InverterSettings, slots: Ints, kw: Floats, kvar: Floats) -> None:
        """The limit of the watts of a volt-watt curve: slowly down where it curtails, else at once."""
        assert own.volt_watt is not None
        panel = self._panel_kw[k, slots]
        base = (
            np.where(panel > 0.0, panel, 1.0) if own.watts_base_kw is None else np.full(len(slots), own.watts_base_kw)
        )
        desired = np.abs(kw / base)
        left = on_curve(own.volt_watt, self._present[k, slots], self._last_point[own.volt_watt.name], slots)
        self._left[k, slots] = left = wanted_watts(own, left, kvar, base)
        slowly = ((left < 1.0) & (left <= desired)) | self._is_curtailed[k, slots]
        self._is_curtailed[k, slots] = slowly
        old = desired if self._is_first else self._old_watts[k, slots]
        told = left.copy()
        share = self._share_of_watts(k, own, slots[slowly])
        told[slowly] = old[slowly] + (left[slowly] - old[slowly]) * share
        self._told_kw[k, slots], self._old_watts[k, slots] = told * base, told * base / base
        self._is_told_kw[k, slots] = True

    def _give(self, k: int, own: InverterSettings, slots: Ints) -> None:
        """Watts and vars as told, within the sun and the rating."""
        panel = self._panel_kw[k, slots]
        most = np.where(self._is_told_kw[k, slots], self._told_kw[k, slots], own.watts_max_kw)
        kw, kvar = np.minimum(panel, most), self._told_kvar[k, slots]
        if own.kvar_per_kw is not None:
            kvar = np.where(self._keeps_factor[k, slots], kw * own.kvar_per_kw, kvar)
        self._kw[k, slots], self._kvar[k, slots] = within_rating(own, kw, kvar)

    def _write(self, k: int, slots: Ints, shares: Floats) -> None:
        chunk, lane = slots // shares.shape[2], slots % shares.shape[2]
        active, reactive = self._columns[k]
        shares[chunk, self._first_share + active, lane] = self._kw[k, slots] / self._base_kw[k]
        shares[chunk, self._first_share + reactive, lane] = self._kvar[k, slots] / self._base_kvar[k]

    # --- which share of the way to a curve is gone now

    def _share_of_vars(self, k: int, own: InverterSettings, slots: Ints) -> Floats:
        if own.delta_q != _ADAPTS:
            return np.full(len(slots), own.delta_q)
        move = np.abs(self._present[k, slots] - self._prior[k, slots])
        now = adapted_share_of_vars(self._share[k, slots], move, self._last_move[k, slots])
        self._share[k, slots], self._last_move[k, slots] = now, move
        return now

    def _share_of_watts(self, k: int, own: InverterSettings, slots: Ints) -> Floats:
        if own.delta_p != _ADAPTS:
            return np.full(len(slots), own.delta_p)
        move = np.abs(self._present[k, slots] - self._prior[k, slots])
        now = adapted_share_of_watts(self._share_kw[k, slots], move, self._last_move[k, slots])
        # One memory of the latest move serves both curves.
        self._share_kw[k, slots], self._last_move[k, slots] = now, move
        return now


def _kva(unit: OwnUnit) -> complex:
    """What a unit feeds in as compiled (kW + j kvar)."""
    return unit.power_va * len(unit.branch_nodes()) / 1e3
