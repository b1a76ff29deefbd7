"""The circuit's own storage in all scenarios of a batch: its energy, as OpenDSS counts it from step to step.

A storage that charges or discharges does so until it is full or down to its reserve, and idles from then on. After
every solution in time its energy moves by what its terminals took or gave in it, less losses:

    charging      E += (P - P_idle) eta_charge dt
    discharging   E -= (P + P_idle) / eta_discharge dt
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from g2g_opt.batch.network import Network
from g2g_opt.batch.unsupported import UnsupportedByBatch
from g2g_opt.circuit.own_storage import StorageSettings
from g2g_opt.circuit.units import OwnUnit, UnitLaw, UnitShare

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

# A power (kW, kvar) that is none.
_NOTHING = 1e-6


class OwnStorage:
    """The storages `settings` of `n_slots` scenarios, with steps of `dt_s`; `place` gives a node's sensed row.

    Raises `UnsupportedByBatch` for one that is not modelled.
    """

    def __init__(
        self,
        settings: Sequence[StorageSettings],
        network: Network,
        n_slots: int,
        dt_s: float,
        place: Callable[[int], int],
    ) -> None:
        units = {unit.name: unit for unit in network.units if unit.kind == "storage"}
        columns = {share: len(network.load_shapes) + k for k, share in enumerate(network.unit_shares)}
        self._settings, self._hours = tuple(settings), dt_s / 3600.0
        self._units: list[OwnUnit] = []
        self._ends: list[Ints] = []
        # Places of a storage's shares, and what they are once it idles.
        self._idle: list[list[tuple[int, float]]] = []
        for own in settings:
            unit = units[own.name]
            unlike = own.unlike or ("" if unit.law in (UnitLaw.POWER, UnitLaw.IMPEDANCE) else unit.unlike)
            if unlike:
                raise UnsupportedByBatch(f"storage {own.name} {unlike}, and its energy changes in time")
            self._units.append(unit)
            self._ends.append(np.array([[place(node) for node in pair] for pair in unit.branch_nodes()]))
            now = unit.power_va * len(unit.branch_nodes()) / 1e3
            self._idle.append(
                [
                    *_share(own, columns, "active", now.real, own.idle_kva.real),
                    *_share(own, columns, "reactive", now.imag, own.idle_kva.imag),
                ]
            )
        self._stored_kwh = np.tile(np.array([own.stored_kwh for own in settings])[:, None], n_slots)
        self._is_idle = np.zeros((len(settings), n_slots), dtype=np.bool_)

    def __bool__(self) -> bool:
        return bool(self._settings)

    def end(self, v: Floats, slots: Ints, shares: Floats) -> Bools:
        """A step ends in scenarios `slots`, solved with voltages `v` (sensed node, 2, slot), V; `shares` follow.

        Returns the scenarios (slot,) in which a storage idles from now on.
        """
        begun = np.zeros(self._is_idle.shape[1], dtype=np.bool_)
        for k, own in enumerate(self._settings):
            live = slots[~self._is_idle[k, slots]]
            if not len(live):
                continue
            kw, stored = np.abs(self._kw(k, v, live)), self._stored_kwh[k, live]
            if own.charges:
                stored = stored + (kw - own.idle_losses_kw) * own.charge_efficiency * self._hours
                ends = stored >= own.rated_kwh
            else:
                stored = stored - (kw + own.idle_losses_kw) / own.discharge_efficiency * self._hours
                ends = stored <= own.reserve_kwh
            self._stored_kwh[k, live] = np.clip(stored, own.reserve_kwh if not own.charges else 0.0, own.rated_kwh)
            done = live[ends]
            self._is_idle[k, done] = True
            for column, share in self._idle[k]:
                shares[done // shares.shape[2], column, done % shares.shape[2]] = share
            begun[done] = True
        return begun

    def _kw(self, k: int, v: Floats, slots: Ints) -> Floats:
        """What a storage feeds in (kW, slot) at its voltages."""
        unit, across = self._units[k], v[self._ends[k][:, 0]] - v[self._ends[k][:, 1]]
        m = np.hypot(across[:, 0, slots], across[:, 1, slots]) / unit.base_v
        low, high = unit.window_pu
        outside = unit.outside_share * m**2
        share = outside
        if unit.law is UnitLaw.POWER:
            share = np.where(m <= low, outside / (low or 1.0) ** 2, np.where(m > high, outside / high**2, 1.0))
        return np.asarray(unit.power_va.real / 1e3 * share.sum(axis=0))


def _share(
    own: StorageSettings, columns: dict[UnitShare, int], part: str, now: float, idle: float
) -> list[tuple[int, float]]:
    """Place and value of the share of a power (kW or kvar) that is left once a storage idles."""
    if abs(now) < _NOTHING:
        if abs(idle) >= _NOTHING:
            raise UnsupportedByBatch(f"storage {own.name} has {part} power when it idles alone")
        return []
    return [(columns[UnitShare(f"storage.{own.name}", "active" if part == "active" else "reactive")], idle / now)]
