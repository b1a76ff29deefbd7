"""The grid of clients: OpenDSS, with every client a balanced load whose net power is set."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from g2g_opt.allocation.clients import ClientCase
from g2g_opt.circuit.opendss_circuit import Circuit

Floats = NDArray[np.float64]
Complexes = NDArray[np.complex128]

# Below what moves a verdict: a loop that rides a limit is at it to the last digit.
_TOLERANCE, _ITERATIONS = 1e-11, 300
# A client's load is constant power wherever the feeder may come to.
_WINDOW_PU = (0.5, 1.5)
_PHASES = (1, 2, 3)
# Draws (kW) with which impedances are measured.
_MEASURED_AT_KW = 30.0


@dataclass(frozen=True, eq=False)
class GridEquivalent:
    """What a balanced network is, seen from its clients: voltages (pu) without them (bus,), and impedances (pu per kVA)
    from client to bus (bus, client); `client_bus` (client,) are the clients' places in the buses.
    """

    open_circuit_pu: Complexes
    impedance_pu_per_kva: Complexes
    client_bus: NDArray[np.int64]


class ClientGrid:
    """A case's feeder, whose own loads are off; `buses` are all of it, in the order of voltages."""

    def __init__(self, case: ClientCase) -> None:
        circuit = Circuit(case.feeder.commands, tolerance=_TOLERANCE, max_iterations=_ITERATIONS)
        for name, bus in zip(case.names, case.buses, strict=True):
            for phase in _PHASES:
                kv_ln = case.feeder.bus(bus).kv_ln
                circuit.add_injection(f"{name}_{phase}", bus, (phase,), kv_ln, _WINDOW_PU)
        circuit.finish()
        circuit.set_load_share(0.0)
        # Balanced: the first phase says all.
        self._nodes = np.flatnonzero(circuit.node_phase == 1)
        self._base_v = circuit.node_base_v[self._nodes]
        self._circuit, self._n_clients = circuit, len(case.names)
        self.buses = tuple(circuit.node_bus[node] for node in self._nodes)
        place = {bus: k for k, bus in enumerate(self.buses)}
        self.client_bus = np.array([place[bus] for bus in case.buses], dtype=np.int64)
        self.n_solved = 0

    def voltage_pu(self, drawn_kva: Complexes) -> Floats:
        """Voltages (pu) of all buses where clients draw so much (kVA, three phases, consumption positive).

        Raises `PowerFlowError` if OpenDSS does not converge.
        """
        return np.abs(self._phasors_pu(drawn_kva))

    def _phasors_pu(self, drawn_kva: Complexes) -> Complexes:
        circuit = self._circuit
        circuit.injection_kw[:] = np.repeat(drawn_kva.real / len(_PHASES), len(_PHASES))
        circuit.injection_kvar[:] = np.repeat(drawn_kva.imag / len(_PHASES), len(_PHASES))
        circuit.solve()
        self.n_solved += 1
        found: Complexes = circuit.node_voltages()[self._nodes] / self._base_v
        return found

    def equivalent(self) -> GridEquivalent:
        """Measured: the change in all voltages by the current of one client after the other."""
        nothing = np.zeros(self._n_clients, dtype=np.complex128)
        open_circuit = self._phasors_pu(nothing)
        impedance = np.empty((len(self.buses), self._n_clients), dtype=np.complex128)
        for k in range(self._n_clients):
            drawn = nothing.copy()
            drawn[k] = _MEASURED_AT_KW
            found = self._phasors_pu(drawn)
            impedance[:, k] = (open_circuit - found) / np.conj(_MEASURED_AT_KW / found[self.client_bus[k]])
        return GridEquivalent(open_circuit, impedance, self.client_bus)
