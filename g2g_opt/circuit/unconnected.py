"""Nodes of a circuit that nothing connects, as its system matrix tells them."""

from __future__ import annotations

import numpy as np

from g2g_opt.circuit.elements import elements, in_service
from g2g_opt.circuit.engine_library import ffi, lib
from g2g_opt.circuit.opendss_circuit import Circuit
from g2g_opt.errors import InputError, listed

_NAMED = 8


def raise_on_unconnected(circuit: Circuit) -> None:
    """`InputError` on nodes that nothing connects, with the elements that have them (see `unconnected_nodes`)."""
    loose = unconnected_nodes(circuit)
    if not loose:
        return
    places = {circuit.node_index[bus, int(number)] for bus, _, number in (node.rpartition(".") for node in loose)}
    have = [f"{kind}.{name}" for kind, name in elements(circuit) if places & set(circuit.terminal_nodes().tolist())]
    words = f"nothing connects the nodes {listed(loose, _NAMED)}, so OpenDSS has no solution for the circuit"
    if any(one.startswith("capcontrol.") for one in have):
        words += "; a control of a bank with more phases than the element it looks at has nodes of its own there"
    controls = any(one.startswith(("invcontrol.", "expcontrol.")) for one in have)
    if controls and not in_service(circuit, "pvsystem", "storage"):
        words += "; a control of inverters stands nowhere in a circuit without a PVSystem or Storage in service"
    elif any(one.startswith("invcontrol.") for one in have):
        words += (
            "; a control of inverters stands at the first of its DERList with as many phases as the last: name one of "
            "three phases first, or give those of fewer phases a control of their own"
        )
    raise InputError(f"{words}: {listed(have, _NAMED)}")


def unconnected_nodes(circuit: Circuit) -> list[str]:
    """Nodes (bus.number) without any admittance: with one of them OpenDSS has no solution for the others, either.

    It says that it converged, and gives whatever its memory held.
    """
    n, n_entries = ffi.new("uint32_t*"), ffi.new("uint32_t*")
    starts, rows, entries = ffi.new("int32_t**"), ffi.new("int32_t**"), ffi.new("double**")
    circuit.ask("YMatrix_GetCompressedYMatrix", False, n, n_entries, starts, rows, entries)
    if not n[0] or not n_entries[0]:
        return []
    try:
        start = np.frombuffer(ffi.buffer(starts[0], 4 * (n[0] + 1)), dtype=np.int32)
        row = np.frombuffer(ffi.buffer(rows[0], 4 * n_entries[0]), dtype=np.int32)
        entry = np.frombuffer(ffi.buffer(entries[0], 16 * n_entries[0]), dtype=np.complex128)
        column = np.repeat(np.arange(n[0]), np.diff(start))
        own = np.zeros(n[0], dtype=np.complex128)
        own[column[row == column]] = entry[row == column]
    finally:
        lib.DSS_Dispose_PInteger(starts)
        lib.DSS_Dispose_PInteger(rows)
        lib.DSS_Dispose_PDouble(entries)
    return [f"{circuit.node_bus[i]}.{circuit.node_phase[i]}" for i in np.flatnonzero(own == 0)]
