"""`load_jacobian`: the network of a circuit for the batch engine, held to OpenDSS's own solution of it."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from g2g_opt.batch.jacobian import Jacobian
from g2g_opt.batch.moving_elements import Setting
from g2g_opt.batch.network import read_network
from g2g_opt.batch.power_flow import BatchPowerFlow
from g2g_opt.batch.unsupported import UnsupportedByBatch
from g2g_opt.circuit.elements import load_branches
from g2g_opt.circuit.loads_to_ground import loads_to_ground
from g2g_opt.circuit.opendss_circuit import Circuit
from g2g_opt.circuit.parts import Bus
from g2g_opt.engine_reason import EngineReason
from g2g_opt.errors import PowerFlowError, listed

# How tightly OpenDSS solves the circuit once, for its slopes to be taken there and our answer to be held to its.
_READ_TOLERANCE, _READ_ITERATIONS = 1e-9, 500
_AGREE_PU = 1e-6
_SHOWN = 4
# A difference is rounding's up to so many times its estimate, taken over the nodes with the largest admittances.
ROUNDING_TIMES, _NODES_ROUNDED = 3.0, 60


@lru_cache(maxsize=16)
def load_jacobian(commands: tuple[str, ...], buses: tuple[Bus, ...], few_moving: bool = False) -> Jacobian:
    """The network that these commands build, with `buses` as a feeder has them, checked against OpenDSS's own solution.

    `few_moving` where the circuit's own controls act (see `Jacobian`).

    Raises `UnsupportedByBatch` if it holds what is not modelled, or if the two solutions differ.
    """
    circuit = Circuit(commands, tolerance=_READ_TOLERANCE, max_iterations=_READ_ITERATIONS)
    by_name = {bus.name: bus for bus in buses}
    try:
        circuit.finish()
        if loose := loads_to_ground(circuit, load_branches(circuit), by_name):
            raise UnsupportedByBatch(
                f"{listed(loose, _SHOWN)} lie{'s' if len(loose) == 1 else ''} to ground where nothing else leads "
                "there, so that the neutral has several places, of which OpenDSS's iteration takes one"
            )
        network = read_network(circuit, by_name, steered=few_moving)
    except PowerFlowError as error:
        raise UnsupportedByBatch(f"OpenDSS does not solve the circuit tightly: {error}") from error
    jacobian = Jacobian(network, few_moving=few_moving)
    flow = BatchPowerFlow(jacobian, [[]], [Setting()], tolerance_pu=_READ_TOLERANCE)
    flow.solve()
    monitored = network.alive & network.judged.monitored & np.isfinite(network.base_v)
    expected = network.judged.magnitudes_pu(network.start_v)
    worst = np.abs(flow.voltage_pu[:, 0] - expected)[monitored].max(initial=0.0)
    if not flow.solved.all() or not worst < _AGREE_PU:
        rounding_pu, where = rounding(jacobian)
        if worst < ROUNDING_TIMES * rounding_pu or flow.ill_conditioned.any():
            raise UnsupportedByBatch(
                f"rounding moves the circuit's voltages by up to {rounding_pu:.1e} pu, as an admittance at {where} "
                "is so much larger than others (a line of no length, a switch of no impedance?)",
                EngineReason.ILL_CONDITIONED,
            )
        raise UnsupportedByBatch(
            f"the batch engine's solution of the circuit differs from OpenDSS's by {worst:.1e} pu; an element of it "
            "must behave in a way that is not modelled"
        )
    return jacobian


def rounding(jacobian: Jacobian) -> tuple[float, str]:
    """How far (pu) rounding of the nodal currents Y v may move a voltage of any solver's, and the node it comes from.

    What cancels at a node is rounded to a share of its largest parts; an ampere of that moves voltages by its reach.
    """
    row, column, y = jacobian.admittances(Setting())
    parts = np.zeros(jacobian.network.n_nodes)
    np.add.at(parts, row, np.abs(y * jacobian.start[column]))
    largest = np.argsort(parts)[-_NODES_ROUNDED:]
    reach = jacobian.reach_pu_per_a(largest, np.full(len(largest), jacobian.network.n_nodes)).max(axis=1)
    by_node = 0.5 * np.finfo(np.float64).eps * parts[largest] * reach
    bus, phase = jacobian.network.nodes[jacobian.elimination.order[largest[by_node.argmax()]]]
    return float(by_node.max()), f"{bus}.{phase}"
