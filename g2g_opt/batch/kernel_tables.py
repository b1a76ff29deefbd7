"""The tables that the compiled batch power flow reads and writes; all node places are in elimination order."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from g2g_opt.batch.lanes import WIDTH, aligned

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

W = WIDTH

# Rows of a port's law (see `load_law`), for one watt: squares of the window's edges, then the impedance pieces.
PORT_MIN, PORT_MAX, PORT_LOW, PORT_BELOW, PORT_AT_0, PORT_SLOPE, PORT_ABOVE = range(7)
PORT_COLUMNS = 7


class Pattern(NamedTuple):
    """Pattern of the factors and who injects where, in elimination order; node n is ground.

    Columns and loads are given by where their lanes begin in a chunk's arrays: 2 W times their number. `at_start`,
    `at_load` and `at_sign` list the load branches at each node, with the sign of what they bring.
    """

    lower_start: Ints
    lower_column: Ints
    upper_start: Ints
    upper_column: Ints
    at_start: Ints
    at_load: Ints
    at_sign: Floats
    source: Floats  # (node, 2), flat, A
    output: Ints  # node's place in OpenDSS's order
    inverse_base: Floats  # 1 / V of a node's base; 0 without one
    reference: Ints  # place (times 2 W) of the node against which a node's voltage is told
    first_moving: int  # rows from here on have factors that differ from lane to lane in moving columns (`Elimination`)
    split: Ints
    moving_start: Ints


class Loads(NamedTuple):
    """The circuit's own load branches: ends (times 2 W), laws, Jacobian blocks, reach of one ampere."""

    begin: Ints
    end: Ints
    law: Floats  # (branch, column), flat
    has_current: NDArray[np.bool_]  # is there a constant-current part?
    block: Floats  # (branch, 4), flat, S
    reach: Floats  # (branch, group of nodes), flat, pu / A
    is_special: NDArray[np.bool_]  # neither three coefficients nor a series: evaluated lane by lane
    series_at: Ints  # where a branch's series begins in `series`; -1 without one
    series: Floats  # flat (see `load_law`)
    is_watched: NDArray[np.bool_]  # constant power: is it served?
    varies: NDArray[np.bool_]  # does it follow the load share?
    inverse_base: Floats  # 1 / V
    jump_branch: Ints  # laws that jump at an edge of their window: branch, edge (pu), and how far its jump reaches (pu)
    jump_edge_pu: Floats
    jump_reach_pu: Floats  # (jump, group of nodes), flat


class Ports(NamedTuple):
    """Where sites, generators, loads and storage are attached, per chunk, port and lane; all ends in elimination order.

    `law` (chunk, port x column x lane) belongs to one watt. Thevenin blocks are in V / A: chunk c has
    `shared_blocks[k]` (port x port x 4) where its lanes have the same ports, k = `block_of_chunk[c]`, else
    `mixed_blocks[-k - 1]` (port x port x 4 x lane).
    """

    begin: Ints
    end: Ints
    law: Floats
    reach: Floats  # (chunk, port x group of nodes x lane), pu / A
    block_of_chunk: Ints
    shared_blocks: Floats
    mixed_blocks: Floats
    at_node: NDArray[np.bool_]  # (chunk, node): does any port inject here?


class FactorTables(NamedTuple):
    """Factors of all settings (setting, entry, 4), and of the moving entries of every chunk (chunk, entry x 4 x lane).

    A chunk whose lanes differ takes what does not move from the first setting.
    """

    lower: Floats
    upper: Floats
    diagonal: Floats
    mixed_lower: Floats
    mixed_upper: Floats
    mixed_diagonal: Floats


class Ratings(NamedTuple):
    """Rated branches: rows (phase conductors) of each, entries of each row, as `loadings.Loadings` lays them out."""

    branch_start: Ints
    row_start: Ints
    node: Ints  # times 2 W
    inverse_rating: Floats  # 1 / A
    phase: Floats  # of every row: 1 to 3, 0 for another conductor
    first_moving: Ints  # of every branch: its first moving entry, -1 if none of its entries moves
    shared: Floats  # (setting, entry x 2) S
    mixed: Floats  # (chunk, moving entry x 2 x lane)


class LaneState(NamedTuple):
    """What a chunk carries from flow to flow, flat within the chunk: (branch, 2, lane) and (port, 2, lane)."""

    remainder: Floats  # A
    port_v: Floats
    port_a: Floats
    stubborn: Floats  # (chunk, lane): flows for which a lane goes to Newton's method at once


class Workspace(NamedTuple):
    """Arrays of one chunk, flat, that hold nothing between flows; see `workspace`."""

    x: Floats  # (node + 2, 2, lane) V: behind the nodes are ground and one volt
    rhs: Floats
    fresh: Floats  # (branch, 2, lane) A
    open_v: Floats  # (port, 2, lane)
    trial_v: Floats
    current: Floats
    done: Floats  # 1 in lanes that have converged
    rounds: Floats
    began: Floats  # (branch, 2, lane), (port, 2, lane): the state that a flow began from
    began_v: Floats
    began_a: Floats
    trusted: Floats  # (chunk, lane): 1 where the state is a solution already


def workspace(n_nodes: int, n_loads: int, n_ports: int, n_chunks: int) -> Workspace:
    """Room for one chunk at a time."""
    x = aligned((n_nodes + 2) * 2 * W)
    # A volt across ports that a lane does not have.
    x[2 * W * (n_nodes + 1) : 2 * W * (n_nodes + 1) + W] = 1.0
    v, trial_v, current, began_v, began_a = (aligned(n_ports * 2 * W) for _ in range(5))
    fresh, began = (aligned(n_loads * 2 * W) for _ in range(2))
    return Workspace(
        x,
        aligned(len(x)),
        fresh,
        v,
        trial_v,
        current,
        aligned(W),
        aligned(W),
        began,
        began_v,
        began_a,
        aligned(n_chunks * W),
    )


class Solutions(NamedTuple):
    """What comes out, [.., scenario slot]: magnitudes (pu), solved or not, network solves it took, phasors if wanted,
    loadings if there are `Ratings`, how the circuit's own constant-power loads were served, and voltages that its
    controls look at.
    """

    voltage_pu: Floats
    solved: NDArray[np.bool_]
    iterations: Floats
    phasors: NDArray[np.complex128]
    loading_pu: Floats  # (branch, slot)
    loading_phase: Floats  # (branch, slot): of the heaviest conductor
    outside: NDArray[np.bool_]  # (slot,): is a port that draws power outside its window?
    own_share: Floats  # (slot,): served over asked power of the watched load that is farthest from 1
    own_load: Ints  # (slot,): that load
    own_voltage_pu: Floats  # (slot,): its voltage
    second_pu: Floats  # (slot,): how far away another solution may lie; 0 where this one is the only one
    sensed_place: Ints  # times 2 W: the nodes that the circuit's own controls look at
    sensed_v: Floats  # (sensed node, 2, slot): their voltages (V)
    unbalance: Floats  # (definition x three-phase bus, slot): negative over positive sequence, then NEMA's (shares)
