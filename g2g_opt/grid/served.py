"""Is what was served what was asked? (formulations 5.2)"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from g2g_opt.grid.attachments import Attachment
from g2g_opt.grid.circuit import Circuit

Complexes = NDArray[np.complex128]
Floats = NDArray[np.float64]

SERVED_TOLERANCE = 1e-3  # share of the asked power that may be missing


class ServedCheck:
    """Finds injections outside their constant-power window at every solution, and measures what they were served.

    What a load branch draws follows from its voltage (5.1): S inside its window, an impedance outside. So the check
    needs no further answer of OpenDSS. `unserved_steps` counts the solutions in which something attached got more
    than 0.1 % less or more than it asked for; `worst` describes the worst one. With `quiet`, only a new worst
    shortfall is put into words.
    """

    def __init__(self, circuit: Circuit, attachments: Sequence[Attachment], quiet: bool = False) -> None:
        self._circuit = circuit
        self._attachments = list(attachments)
        phases = (1, 2, 3)
        first = [circuit.node_index[a.bus, p] for a in attachments for p in phases]
        second = [circuit.node_index[a.bus, p % 3 + 1] for a in attachments for p in phases]
        self._delta = np.array([a.connection == "delta" for a in attachments for _ in phases], dtype=bool)
        self._first, self._second = np.array(first, dtype=np.int64), np.array(second, dtype=np.int64)
        self._base_v = circuit.node_base_v[self._first] * np.where(self._delta, np.sqrt(3.0), 1.0)
        self._window_pu = [a.window_pu for a in attachments for _ in phases]
        self._per_low_v = 1.0 / (self._base_v * [low for low, _ in self._window_pu])
        self._per_high_v = 1.0 / (self._base_v * [high for _, high in self._window_pu])
        self._quiet = quiet
        self._any_delta = bool(self._delta.any())
        self.unserved_steps = 0
        self.worst = ""
        self._worst_missing = 0.0

    def check(self, time_s: float, phasors: Complexes) -> str | None:
        """None if everything attached was served what it asked for, else a sentence on the worst shortfall."""
        volts = phasors[self._first]
        if self._any_delta:
            volts = np.where(self._delta, volts - phasors[self._second], volts)
        magnitude_v = np.abs(volts)
        # The share served grows with voltage on either side of the window, so the extremes are the worst.
        lowest = int((magnitude_v * self._per_low_v).argmin())
        highest = int((magnitude_v * self._per_high_v).argmax())
        missing, worst = 0.0, lowest
        for place in (lowest, highest):
            share = served_share(magnitude_v[place] / self._base_v[place], *self._window_pu[place])
            if abs(share - 1.0) > missing and self._circuit.injection_kw[place] != 0.0:
                missing, worst = abs(share - 1.0), place
        if missing <= SERVED_TOLERANCE:
            return None
        self.unserved_steps += 1
        if missing > self._worst_missing or not self._quiet:
            self._worst_missing = max(missing, self._worst_missing)
            self.worst = self._describe(time_s, worst, magnitude_v[worst] / self._base_v[worst])
        return self.worst

    def _describe(self, time_s: float, place: int, voltage_pu: float) -> str:
        attachment, asked_kw = self._attachments[place // 3], self._circuit.injection_kw[place]
        low_pu, high_pu = self._window_pu[place]
        return (
            f"t={time_s:g} s: {attachment.name} phase {'ABC'[place % 3]} at bus {attachment.bus} asked for "
            f"{asked_kw:.1f} kW and was served {served_share(voltage_pu, low_pu, high_pu) * asked_kw:.1f} kW at "
            f"{voltage_pu:.4f} pu (constant power from {low_pu:g} to {high_pu:g} pu)"
        )


def served_share(voltage_pu: float, low_pu: float, high_pu: float) -> float:
    """Served over asked power of a model-1 load branch at a voltage (pu of the branch's base), by (5.1)."""
    if low_pu <= voltage_pu <= high_pu:
        return 1.0
    if voltage_pu > high_pu:
        return (voltage_pu / high_pu) ** 2
    if voltage_pu <= 0.5:
        return voltage_pu**2
    steep = (1.0 / low_pu - 0.5) / (low_pu - 0.5)
    return voltage_pu * (0.5 + steep * (voltage_pu - 0.5))
