"""The most power that a circuit's sources can bring to a bus, whatever its controls do: the maximum power transfer."""

from __future__ import annotations

import math
from dataclasses import dataclass

from g2g_opt.circuit.opendss_circuit import Circuit
from g2g_opt.errors import PowerFlowError
from g2g_opt.feeder import Feeder

# What regulators at the end of their range make of a nominal voltage, about.
_VOLTAGE_MAX_PU = 1.1


@dataclass(frozen=True)
class LargestTransfer:
    """At `bus`: `power_max_mw` behind an impedance of `impedance_ohm` to the sources, at `kv` line to line."""

    bus: str
    power_max_mw: float
    impedance_ohm: float
    kv: float


class TransferLimits:
    """A feeder's circuit, compiled once, and what its sources can bring to its buses.

    A load of power factor cos(phi) behind an impedance R + jX has no solution beyond
    P = V^2 cos(phi) / (2 (|Z| + R cos(phi) + X sin(phi))): the point of a two-bus circuit where the voltage collapses.
    V is 1.1 of the bus's base and Z the positive-sequence short-circuit impedance that OpenDSS finds, with everything
    that stands in the circuit. Other loads, ratings and the voltage band all leave less.
    """

    def __init__(self, feeder: Feeder) -> None:
        self._feeder = feeder
        self._circuit = Circuit(feeder.commands)
        self._circuit.finish()

    def at(self, bus: str, power_factor: float) -> LargestTransfer | None:
        """For a lagging `power_factor`; None where the circuit has no solution, or the bus no base or no source."""
        try:
            self._circuit.solve(held=True)
        except PowerFlowError:
            return None
        found = self._feeder.bus(bus)
        self._circuit.ask("Circuit_SetActiveBus", found.name.encode())
        self._circuit.ask("Bus_ZscRefresh")
        r_ohm, x_ohm = self._circuit.ask_array("Bus_Get_Zsc1", "double")[:2]
        kv, z_ohm = math.sqrt(3.0) * found.kv_ln, math.hypot(r_ohm, x_ohm)
        drop_ohm = 2.0 * (z_ohm + r_ohm * power_factor + x_ohm * math.sqrt(1.0 - power_factor**2))
        if not (kv > 0.0 and math.isfinite(drop_ohm) and drop_ohm > 0.0):
            return None
        return LargestTransfer(found.name, (_VOLTAGE_MAX_PU * kv) ** 2 * power_factor / drop_ohm, z_ohm, kv)
