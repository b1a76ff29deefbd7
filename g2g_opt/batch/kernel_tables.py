"""The tables that the compiled batch power flow reads and writes, as records (`compiled.records`).

All node places are in elimination order.
"""

from __future__ import annotations

from typing import NamedTuple

from g2g_opt.compiled.lanes import WIDTH, aligned
from g2g_opt.compiled.records import Bools1, Bools2, Complexes2, Floats1, Floats2, Floats3, Ints1, Ints3, reader

W = WIDTH

# Rows of a port's law (see `load_law`), for one watt: squares of the window's edges, then the impedance pieces.
PORT_MIN, PORT_MAX, PORT_LOW, PORT_BELOW, PORT_AT_0, PORT_SLOPE, PORT_ABOVE = range(7)
PORT_COLUMNS = 7


class Pattern(NamedTuple):
    """Pattern of the factors and who injects where, in elimination order; node n is ground.

    Columns and loads are given by where their lanes begin in a chunk's arrays: 2 W times their number. `at_start`,
    `at_load` and `at_sign` list the load branches at each node, with the sign of what they bring.
    """

    lower_start: Ints1
    lower_column: Ints1
    upper_start: Ints1
    upper_column: Ints1
    at_start: Ints1
    at_load: Ints1
    at_sign: Floats1
    source: Floats1  # (node, 2), flat, A
    output: Ints1  # node's place in OpenDSS's order
    inverse_base: Floats1  # 1 / V of a node's base; 0 without one
    reference: Ints1  # place (times 2 W) of the node against which a node's voltage is told
    first_moving: int  # rows from here on have factors that differ from lane to lane in moving columns (`Elimination`)
    split: Ints1
    moving_start: Ints1


class Loads(NamedTuple):
    """The circuit's own load branches: ends (times 2 W), laws, Jacobian blocks, reach of one ampere."""

    begin: Ints1
    end: Ints1
    law: Floats1  # (branch, column), flat
    has_current: Bools1  # is there a constant-current part?
    block: Floats1  # (branch, 4), flat, S
    reach: Floats1  # (branch, group of nodes), flat, pu / A
    is_special: Bools1  # neither three coefficients nor a series: evaluated lane by lane
    series_at: Ints1  # where a branch's series begins in `series`; -1 without one
    series: Floats1  # flat (see `load_law`)
    is_watched: Bools1  # constant power: is it served?
    varies: Bools1  # does it follow a load share?
    share_place: Ints1  # where that share's lanes begin: W times the place of its shape
    drawn: Floats1  # (branch, 2), flat, A: what it draws at the circuit's own voltages at a share of one
    inverse_base: Floats1  # 1 / V
    jump_branch: Ints1  # laws that jump at an edge of their window: branch, edge (pu), reach of the jump (pu)
    jump_edge_pu: Floats1
    jump_reach_pu: Floats1  # (jump, group of nodes), flat


class Ports(NamedTuple):
    """Where sites, generators, loads and storage are attached, per chunk, port and lane; all ends in elimination order.

    `law` (chunk, port x column x lane) belongs to one watt. Thevenin blocks are in V / A: chunk c has
    `shared_blocks[shared_of_chunk[c]]` (port x port x 4) between two ports that are those of all its lanes, else
    `mixed_blocks[mixed_of_chunk[c]]` (port x port x 4 x lane); a chunk whose lanes all have `many` ports has none.
    """

    begin: Ints3
    end: Ints3
    law: Floats2
    reach: Floats2  # (chunk, port x group of nodes x lane), pu / A
    is_alike: Bools2  # (chunk, port): is it the same one in all lanes?
    shared_of_chunk: Ints1
    mixed_of_chunk: Ints1
    shared_blocks: Floats2
    mixed_blocks: Floats2
    many: Floats2  # (chunk, lane): 1 where a lane has so many ports that their equations are not solved by themselves
    n_many: Ints1  # (chunk,)
    at_node: Bools2  # (chunk, node): does any port inject here?


class FactorTables(NamedTuple):
    """Factors of all settings (setting, entry, 4), and of the moving entries of every chunk (chunk, entry x 4 x lane).

    A chunk whose lanes differ takes what does not move from the first setting.
    """

    lower: Floats2
    upper: Floats2
    diagonal: Floats2
    mixed_lower: Floats2
    mixed_upper: Floats2
    mixed_diagonal: Floats2


class Ratings(NamedTuple):
    """Rated branches: rows (phase conductors) of each, entries of each row, as `loadings.Loadings` lays them out."""

    branch_start: Ints1
    row_start: Ints1
    node: Ints1  # times 2 W
    inverse_rating: Floats1  # 1 / A
    phase: Floats1  # of every row: 1 to 3, 0 for another conductor
    first_moving: Ints1  # of every branch: its first moving entry, -1 if none of its entries moves
    shared: Floats2  # (setting, entry x 2) S
    mixed: Floats2  # (chunk, moving entry x 2 x lane)


class HeldUnits(NamedTuple):
    """Units that hold a voltage: their branches (ends times 2 W), where the lanes of their vars' shares begin, and how
    their voltages (share of what is held) move with the vars (share of rating) of each; room for one chunk.
    """

    branch_start: Ints1  # of each unit
    begin: Ints1
    end: Ints1
    per_volt: Floats1  # of each unit: 1 / (number of branches times the voltage that is held), 1 / V
    share_place: Ints1  # W times the place of the share
    least: Floats1
    most: Floats1
    slope: Floats1  # (unit, unit), flat
    missing: Floats1  # (unit, lane)
    began: Floats1  # (unit, lane)
    free: Ints1
    system: Floats1  # (unit, unit + 1)


class LaneState(NamedTuple):
    """What a chunk carries from flow to flow, flat within the chunk: (branch, 2, lane) and (port, 2, lane)."""

    remainder: Floats2  # A
    share: Floats2  # (shape, lane): the shares of loads that these remainders belong to; NaN where a lane begins anew
    port_v: Floats2
    port_a: Floats2
    stubborn: Floats2  # (chunk, lane): flows for which a lane goes to Newton's method at once


class Workspace(NamedTuple):
    """Arrays of one chunk, flat, that hold nothing between flows; see `workspace`."""

    x: Floats1  # (node + 2, 2, lane) V: behind the nodes are ground and one volt
    rhs: Floats1
    fresh: Floats1  # (branch, 2, lane) A
    other: Floats1  # the same: remainders of one turn are kept while those of the next are worked out
    change: Floats1  # (port, 2, lane)
    trial_v: Floats1
    current: Floats1
    done: Floats1  # 1 in lanes that have converged
    rounds: Floats1
    began_v: Floats1  # (port, 2, lane): the state that a flow began from
    began_a: Floats1
    trusted: Floats1  # (chunk, lane): 1 where the state is a solution already
    wanted: Floats1  # 1 in lanes that are asked for
    kept: Floats1  # what the others have (see `kept_lanes_kernel`)


def workspace(n_nodes: int, n_loads: int, n_ports: int, n_chunks: int, n_kept: int) -> Workspace:
    """Room for one chunk at a time, `n_kept` rows of its lanes that are not asked for."""
    x = aligned((n_nodes + 2) * 2 * W)
    # A volt across ports that a lane does not have.
    x[2 * W * (n_nodes + 1) : 2 * W * (n_nodes + 1) + W] = 1.0
    rhs, kept = aligned(len(x)), aligned(n_kept * W)
    fresh, other = (aligned(n_loads * 2 * W) for _ in range(2))
    change, trial_v, current, *began = (aligned(n_ports * 2 * W) for _ in range(5))
    done, rounds, wanted, trusted = aligned(W), aligned(W), aligned(W), aligned(n_chunks * W)
    of_ports = change, trial_v, current
    return Workspace(x, rhs, fresh, other, *of_ports, done, rounds, began[0], began[1], trusted, wanted, kept)


class Solutions(NamedTuple):
    """What comes out, [.., scenario slot]: magnitudes (pu), solved or not, network solves it took, phasors if wanted,
    loadings if there are `Ratings`, how the circuit's own constant-power loads were served, and voltages that its
    controls look at.
    """

    voltage_pu: Floats2
    solved: Bools1
    iterations: Floats1
    phasors: Complexes2
    loading_pu: Floats2  # (branch, slot)
    loading_phase: Floats2  # (branch, slot): of the heaviest conductor
    outside: Bools1  # (slot,): is a port that draws power outside its window?
    own_share: Floats1  # (slot,): served over asked power of the watched load that is farthest from 1
    own_load: Floats1  # (slot,): the number of that load
    own_voltage_pu: Floats1  # (slot,): its voltage
    second_pu: Floats1  # (slot,): how far away another solution may lie; 0 where this one is the only one
    sensed_place: Ints1  # times 2 W: the nodes that the circuit's own controls look at
    sensed_v: Floats3  # (sensed node, 2, slot): their voltages (V)
    unbalance: Floats2  # (definition x three-phase bus, slot): negative over positive sequence, then NEMA's (shares)


class Flow(NamedTuple):
    """All of a batch power flow. `bus_nodes` are the three places (times 2 W) of every bus whose unbalance is told."""

    pattern: Pattern
    loads: Loads
    ports: Ports
    ratings: Ratings
    bus_nodes: Ints1
    held: HeldUnits
    factors: FactorTables
    factor_of_chunk: Ints1
    power: Floats2  # (chunk, port x 2 x lane) W and var
    load_share: Floats2  # (chunk, lane)
    asked: Bools1  # (slot,): the others keep what they have
    state: LaneState
    work: Workspace
    out: Solutions


class FlowCall(NamedTuple):
    """Power flows to `tolerance_pu` in at most `max_iterations`, both of one place.

    One that `begins` a step trusts no state, and leaves lanes that are stubborn to Python. Ports outside their windows
    are told of the slots that are `watched`. `rare` are the addresses of kernels that few circuits and few calls need
    (`CORRECT_HELD`, ...), 0 until somebody does: they are not compiled before.
    """

    flow: Flow
    rare: Ints1
    watched: Bools1
    tolerance_pu: Floats1
    max_iterations: Ints1
    begins: int


read_call = reader(FlowCall)

# Kernels that few flows need, by their places among the addresses of a call.
CORRECT_HELD, KEEP_LANES, PUT_LANES_BACK, N_RARE = range(4)
