"""Energy balance of storages: what a set-point becomes when the store is full or at its reserve."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from g2g_opt.errors import InputError
from g2g_opt.grid.storage import EnergyStorage, StorageState

Floats = NDArray[np.float64]


def storage_step(
    asked_kw: Floats,
    stored_kwh: Floats,
    reserve_kwh: Floats,
    capacity_kwh: Floats,
    charge_efficiency: Floats,
    discharge_efficiency: Floats,
    idle_loss_kw: Floats,
    dt_h: float,
) -> tuple[Floats, Floats]:
    """Injection (kW, discharge positive, idling losses taken off) and energy stored after a step, per storage.

    Discharging draws P / efficiency from the store, down to the reserve; charging adds P * efficiency, up to the
    capacity; a step that would pass either is cut to what fits. Idling losses come from the grid.
    """
    discharge_max_kw = np.maximum(stored_kwh - reserve_kwh, 0.0) * discharge_efficiency / dt_h
    charge_max_kw = np.maximum(capacity_kwh - stored_kwh, 0.0) / (charge_efficiency * dt_h)
    power_kw = np.clip(asked_kw, -charge_max_kw, discharge_max_kw)
    drawn_kwh = np.where(power_kw > 0, power_kw / discharge_efficiency, power_kw * charge_efficiency) * dt_h
    return power_kw - idle_loss_kw, stored_kwh - drawn_kwh


class StorageBank:
    """The storages of a grid over a run."""

    def __init__(self, storages: Sequence[EnergyStorage], dt_s: float) -> None:
        self._storages = list(storages)
        self._dt_h = dt_s / 3600.0
        self._capacity_kwh = np.array([s.capacity_kwh for s in storages])
        self._reserve_kwh = np.array([s.reserve_soc for s in storages]) * self._capacity_kwh
        self._charge = np.array([s.charge_efficiency for s in storages])
        self._discharge = np.array([s.discharge_efficiency for s in storages])
        self._idle_kw = np.array([s.idle_loss_percent / 100.0 * s.rated_power_kw for s in storages])
        self._stored_kwh = np.array([s.initial_soc for s in storages]) * self._capacity_kwh
        self._after_kwh = self._stored_kwh.copy()
        self.power_kw = np.zeros(len(self._storages))
        self.power_kvar = np.zeros(len(self._storages))

    def dispatch(self, time_s: float) -> tuple[Floats, Floats]:
        """Injections (kW, kvar) of this step. `InputError` if a storage asks for more than its ratings."""
        asked_kw = np.array([s.power_kw(time_s) for s in self._storages])
        self.power_kvar = np.array([s.reactive_power_kvar(time_s) for s in self._storages])
        for s, kw, kvar in zip(self._storages, asked_kw, self.power_kvar, strict=True):
            fits = abs(kw) <= s.rated_power_kw + 1e-9 and np.hypot(kw, kvar) <= s.rated_apparent_power_kva + 1e-9
            if not fits:
                raise InputError(
                    f"storage {s.name!r} asks for {kw:g} kW and {kvar:g} kvar at t={time_s:g} s, beyond its ratings "
                    f"{s.rated_power_kw:g} kW and {s.rated_apparent_power_kva:g} kVA"
                )
        self.power_kw, self._after_kwh = storage_step(
            asked_kw,
            self._stored_kwh,
            self._reserve_kwh,
            self._capacity_kwh,
            self._charge,
            self._discharge,
            self._idle_kw,
            self._dt_h,
        )
        return self.power_kw, self.power_kvar

    def settle(self, time_s: float) -> None:
        """The step was solved: store its energy and tell the storages."""
        self._stored_kwh = self._after_kwh
        for i, storage in enumerate(self._storages):
            moved_kw = self.power_kw[i] + self._idle_kw[i]
            soc = float(self._stored_kwh[i] / self._capacity_kwh[i])
            storage.update_state(
                StorageState(
                    time_s,
                    float(self._stored_kwh[i]),
                    soc,
                    float(self.power_kw[i]),
                    float(self.power_kvar[i]),
                    "DISCHARGING" if moved_kw > 0 else "CHARGING" if moved_kw < 0 else "IDLING",
                )
            )
