"""Lanes of a chunk that a power flow is not asked for keep what they have, to the last bit: what is kept, and put back.

Both go through the same arrays in the same order: what the next flow starts from, then everything that comes out.
"""

from __future__ import annotations

from typing import Any

from g2g_opt.batch.kernel_tables import W, read_call
from g2g_opt.compiled.kernel import inner, kernel
from g2g_opt.compiled.lanes import load, spread, store, where_less
from g2g_opt.compiled.program import DONE

# Rows of lanes that come out by scenario alone: iterations, served share, number and voltage of a load, distance of a
# second solution, and whether solved and outside.
_OF_SCENARIO = 7


def n_kept(n_nodes: int, n_loads: int, n_ports: int, n_branches: int, n_sensed: int, n_unbalance: int) -> int:
    """Rows of lanes that are kept of a chunk, phasors among them."""
    return 3 * n_nodes + 2 * n_loads + 4 * n_ports + 2 * n_branches + 2 * n_sensed + n_unbalance + _OF_SCENARIO


@inner
def _keep_rows(flat: Any, first: int, apart: int, n: int, kept: Any, place: int) -> int:
    for row in range(n):
        store(kept, place + W * row, load(flat, first + apart * row))
    return place + W * n


@inner
def _put_rows_back(flat: Any, first: int, apart: int, n: int, kept: Any, place: int, asked: Any) -> int:
    half = spread(0.5)
    for row in range(n):
        own = first + apart * row
        store(flat, own, where_less(half, load(asked, 0), load(flat, own), load(kept, place + W * row)))
    return place + W * n


@kernel
def keep_lanes(address: int, c: int) -> int:
    """Keep all lanes of a chunk of a `FlowCall`."""
    flow = read_call(address).flow
    state, out, kept = flow.state, flow.out, flow.work.kept
    n_slots, first, place = len(out.solved), c * W, 0
    for flat in (state.remainder[c], state.port_v[c], state.port_a[c]):
        place = _keep_rows(flat, 0, W, len(flat) // W, kept, place)
    for flat in (out.voltage_pu, out.loading_pu, out.loading_phase, out.unbalance):
        place = _keep_rows(flat, first, n_slots, len(flat), kept, place)
    place = _keep_rows(out.sensed_v, first, n_slots, 2 * len(out.sensed_v), kept, place)
    for flat in (out.iterations, out.own_share, out.own_load, out.own_voltage_pu, out.second_pu):
        place = _keep_rows(flat, first, n_slots, 1, kept, place)
    for lane in range(W):
        slot = first + lane
        kept[place + lane] = 1.0 if out.solved[slot] else 0.0
        kept[place + W + lane] = 1.0 if out.outside[slot] else 0.0
    place += 2 * W
    for i in range(len(out.phasors)):
        for lane in range(W):
            v = out.phasors[i, first + lane]
            kept[place + 2 * W * i + lane], kept[place + 2 * W * i + W + lane] = v.real, v.imag
    return DONE


@kernel
def put_lanes_back(address: int, c: int) -> int:
    """Give the lanes of a chunk of a `FlowCall` that are not wanted what they had."""
    flow = read_call(address).flow
    state, out, kept, asked = flow.state, flow.out, flow.work.kept, flow.work.wanted
    n_slots, first, place = len(out.solved), c * W, 0
    for flat in (state.remainder[c], state.port_v[c], state.port_a[c]):
        place = _put_rows_back(flat, 0, W, len(flat) // W, kept, place, asked)
    for flat in (out.voltage_pu, out.loading_pu, out.loading_phase, out.unbalance):
        place = _put_rows_back(flat, first, n_slots, len(flat), kept, place, asked)
    place = _put_rows_back(out.sensed_v, first, n_slots, 2 * len(out.sensed_v), kept, place, asked)
    for flat in (out.iterations, out.own_share, out.own_load, out.own_voltage_pu, out.second_pu):
        place = _put_rows_back(flat, first, n_slots, 1, kept, place, asked)
    for lane in range(W):
        if asked[lane] < 0.5:
            slot = first + lane
            out.solved[slot], out.outside[slot] = kept[place + lane] > 0.5, kept[place + W + lane] > 0.5
    place += 2 * W
    for i in range(len(out.phasors)):
        for lane in range(W):
            if asked[lane] < 0.5:
                own = place + 2 * W * i + lane
                out.phasors[i, first + lane] = complex(kept[own], kept[own + W])
    return DONE
