"""Where what is connected to a bus is rated for another voltage than the bus's base: a base that is not the bus's.

OpenDSS chooses a base for a bus out of a list by the bus's voltage to ground: the legs of a 120/240 V service need
0.208 kV in that list (1.73 times 120 V), and take 0.24 where that is nearest, so that they stand at 0.87 pu for ever.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from g2g_opt.circuit.element_properties import ElementProperties
from g2g_opt.circuit.elements import in_service, load_branches
from g2g_opt.circuit.opendss_circuit import Circuit

Complexes = NDArray[np.complex128]

# Further off than any pair of ratings that is meant for one voltage (7.2 and 7.62 kV, 115 and 120 V).
_OFF_MIN = 0.1
# Nothing that is served stands so far from its own rating: it tells nothing of a base.
_OWN_PU = (0.85, 1.15)


def rated_otherwise(circuit: Circuit, judged_pu: Mapping[tuple[str, int], float]) -> dict[str, str]:
    """By bus: a winding or load there whose share of its own rated voltage is another than that of the bus's base.

    `circuit` is solved; `judged_pu` are voltages (pu) by bus and node number. A bus is there where all that is rated at
    it says so, and at least something is.
    """
    found: dict[str, str] = {}
    agreed: set[str] = set()
    at = np.append(circuit.node_voltages(), 0.0)  # -1 is ground
    for element, nodes, own_pu in (*_windings(circuit, at), *_loads(circuit, at)):
        bus = circuit.node_bus[nodes[0]]
        shares = [judged_pu[bus, number] for n in nodes if (bus, number := int(circuit.node_phase[n])) in judged_pu]
        if not shares or not _OWN_PU[0] <= own_pu <= _OWN_PU[1]:
            continue
        if max(abs(share / own_pu - 1.0) for share in shares) <= _OFF_MIN:
            agreed.add(bus)
        else:
            found.setdefault(bus, f"{element} is at {own_pu:.3f} of its own rated voltage there")
    return {bus: words for bus, words in found.items() if bus not in agreed}


def _windings(circuit: Circuit, at: Complexes) -> Iterator[tuple[str, list[int], float]]:
    """Windings of transformers (name, nodes of its phases, voltage over its rated one), at node voltages (V)."""
    for name in in_service(circuit, "transformer"):
        own = ElementProperties(circuit, name)
        kvs, connections = [float(kv) for kv in own.row("kvs")], own.row("conns")
        circuit.activate(name)
        n_phases = int(circuit.ask("CktElement_Get_NumPhases"))
        ends = circuit.terminal_nodes().reshape(len(kvs), -1)
        for kv, connection, nodes in zip(kvs, connections, ends, strict=True):
            is_delta = connection.startswith(("d", "l"))
            yield from _share(name, at, nodes, n_phases, is_delta, kv)


def _loads(circuit: Circuit, at: Complexes) -> Iterator[tuple[str, list[int], float]]:
    """As `_windings`, of the circuit's own loads."""
    for load in load_branches(circuit):
        yield from _share(f"load.{load.name}", at, load.nodes, load.n_phases, load.is_delta, load.kv)


def _share(
    name: str, at: Complexes, nodes: NDArray[np.int64], n_phases: int, is_delta: bool, kv: float
) -> Iterator[tuple[str, list[int], float]]:
    if n_phases > len(nodes) or kv <= 0.0:
        return
    between = is_delta or n_phases == 1
    first = nodes[:n_phases]
    second = np.roll(nodes[: max(n_phases, 2)], -1)[:n_phases] if between else np.full(n_phases, nodes[-1])
    across = np.abs(at[first] - at[second]) / (1e3 * kv / (1.0 if between else np.sqrt(3.0)))
    live = [int(node) for node in (*first, *(second if between else ())) if node >= 0]
    if live:
        yield name, live, float(np.max(across))
