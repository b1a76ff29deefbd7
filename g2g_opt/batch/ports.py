"""Ports: where sites, generators, loads and storage are attached in each scenario of a batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g2g_opt.batch import kernel_tables as tables
from g2g_opt.batch.jacobian import Jacobian
from g2g_opt.batch.load_law import (
    CURRENT_AT_0,
    CURRENT_SLOPE,
    EDGE_LOW,
    MAX_SQUARED,
    MIN_SQUARED,
    Y_ABOVE,
    Y_BELOW,
    Window,
    constant_power_law,
)
from g2g_opt.compiled.lanes import WIDTH, aligned

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

W = WIDTH
# A scenario has many ports if their square is more than this share of the entries of the network's factors. Their own
# equations save no network solve at a tolerance of 1e-9, as the remainders of the circuit's loads take as many, and
# cost more than the network from a few sites on.
_MANY = 0.3
_LOW_PU = 0.5  # below it a constant-power load is a plain impedance (OpenDSS's default)


@dataclass(frozen=True)
class Port:
    """Where power is drawn: between two nodes (-1 ground) of base `base_v` (V), constant inside `window_pu`."""

    begin: int
    end: int
    base_v: float
    window_pu: tuple[float, float]


@dataclass(frozen=True, eq=False)
class PortKinds:
    """The ports that there are, each once, and behind them no port: `begin` and `end` (kind,) are places in elimination
    order, `law` (kind, column) and `reach` (kind, group of nodes) as in `tables.Ports`, `thevenin` (kind, kind, 4) the
    voltage across one by a current drawn at another (V / A), bases (V) and windows (pu) those of the ports.
    """

    place: dict[Port, int]
    begin: Ints
    end: Ints
    law: Floats
    reach: Floats
    thevenin: Floats
    base_v: Floats
    low_pu: Floats
    high_pu: Floats

    @staticmethod
    def of(ports: Sequence[Sequence[Port]], jacobian: Jacobian) -> PortKinds:
        """Those of all scenarios; no port lies across a volt and draws nothing."""
        n = jacobian.network.n_nodes
        place = {port: k for k, port in enumerate(dict.fromkeys(p for row in _apart(ports).values() for p in row))}
        begin = np.append(jacobian.places(np.array([p.begin for p in place], dtype=np.int64)), n + 1)
        end = np.append(jacobian.places(np.array([p.end for p in place], dtype=np.int64)), n)
        return PortKinds(
            place,
            begin,
            end,
            np.array([_port_law(port) for port in place] + [[0.0, np.inf, 0.0, 0.0, 0.0, 0.0, 0.0]]),
            np.append(jacobian.reach_pu_per_a(begin[:-1], end[:-1]), np.zeros((1, 3)), axis=0),
            _thevenin(jacobian, begin, end),
            np.array([p.base_v for p in place] + [1.0]),
            np.array([p.window_pu[0] for p in place] + [0.0]),
            np.array([p.window_pu[1] for p in place] + [np.inf]),
        )


def _apart(ports: Sequence[Sequence[Port]]) -> dict[int, Sequence[Port]]:
    """The ports of scenarios that have others: told apart by identity, because ports are slow to compare."""
    return {id(row): row for row in ports}


@dataclass(frozen=True, eq=False)
class PortTable:
    """The ports of all scenarios for the kernel; `base_v` (V), `low_pu`, `high_pu` have shape (port, slot)."""

    table: tables.Ports
    n_ports: int
    base_v: Floats
    low_pu: Floats
    high_pu: Floats

    @staticmethod
    def of(
        ports: Sequence[Sequence[Port]], n_chunks: int, jacobian: Jacobian, kinds: PortKinds | None = None
    ) -> PortTable:
        """Ports of every scenario, of the `kinds` that are known; one that has fewer than others has no port there."""
        n = jacobian.network.n_nodes
        n_slots = n_chunks * W
        kinds = PortKinds.of(ports, jacobian) if kinds is None else kinds
        kinds_of = {key: [kinds.place[port] for port in row] for key, row in _apart(ports).items()}
        width = max((len(row) for row in ports), default=0)
        which = np.full((width, n_slots), -1, dtype=np.int64)
        for slot in range(n_slots):
            # Slots beyond the scenarios repeat the last one.
            row = ports[min(slot, len(ports) - 1)]
            which[: len(row), slot] = kinds_of[id(row)]

        def by_chunk(of_kind: NDArray[Any]) -> NDArray[Any]:
            """(port, slot, ...) of a figure per kind, as (chunk, port, ..., lane)."""
            each = of_kind[which].reshape(width, n_chunks, W, *of_kind.shape[1:])
            return np.ascontiguousarray(np.moveaxis(each.swapaxes(0, 1), 2, -1))

        at_node = np.zeros((n_chunks, n + 2), dtype=np.bool_)
        begin, end = by_chunk(kinds.begin), by_chunk(kinds.end)
        for ends in (begin, end):
            for c in range(n_chunks):
                at_node[c, ends[c].reshape(-1)] = True
        at_node[:, n:] = False
        e = jacobian.elimination
        n_own = (which >= 0).sum(axis=0).reshape(n_chunks, W)
        many = n_own**2 > _MANY * (len(e.lower_column) + len(e.upper_column) + n)
        table = tables.Ports(
            begin,
            end,
            _aligned_copy(by_chunk(kinds.law), n_chunks),
            _aligned_copy(by_chunk(kinds.reach), n_chunks),
            *_blocks(kinds.thevenin, which.reshape(width, n_chunks, W).transpose(1, 0, 2), many.all(axis=1)),
            _aligned_copy(many.astype(np.float64), n_chunks),
            many.sum(axis=1),
            at_node,
        )
        return PortTable(table, width, kinds.base_v[which], kinds.low_pu[which], kinds.high_pu[which])


def _port_law(port: Port) -> list[float]:
    low, high = port.window_pu
    law = constant_power_law(port.base_v, Window(_LOW_PU, low, high))
    return [law[k] for k in (MIN_SQUARED, MAX_SQUARED, EDGE_LOW, Y_BELOW, CURRENT_AT_0, CURRENT_SLOPE, Y_ABOVE)]


def _aligned_copy(values: Floats, n_chunks: int) -> Floats:
    """A row per chunk, beginning at a cache line."""
    copy = aligned(n_chunks, values.size // max(n_chunks, 1))
    copy[:] = values.reshape(copy.shape)
    return copy


def _blocks(
    thevenin: Floats, kinds: Ints, without: NDArray[np.bool_]
) -> tuple[NDArray[np.bool_], Ints, Ints, Floats, Floats]:
    """Which ports of chunks, of `kinds` (chunk, port, lane), are alike in all lanes; where their shared and their mixed
    blocks are, and those.

    Chunks `without` any (chunk,) are told only which ports are alike.
    """
    place: dict[bytes, int] = {}
    shared: list[Floats] = []
    mixed: list[Floats] = []
    of_shared, of_mixed = (np.zeros(len(kinds), dtype=np.int64) for _ in range(2))
    is_alike = np.ascontiguousarray((kinds == kinds[:, :, :1]).all(axis=2))
    for c, of_port in enumerate(kinds):
        if without[c]:
            continue
        first = of_port[:, 0]
        if first.tobytes() not in place:
            place[first.tobytes()] = len(shared)
            shared.append(thevenin[first[:, None], first].reshape(-1))
        of_shared[c] = place[first.tobytes()]
        if not is_alike[c].all():
            blocks = thevenin[of_port[:, None, :], of_port[None, :, :]]  # (port, port, lane, 4)
            of_mixed[c] = len(mixed)
            mixed.append(np.moveaxis(blocks, 2, 3).reshape(-1))
    size = 4 * kinds.shape[1] ** 2
    return (
        is_alike,
        of_shared,
        of_mixed,
        np.array(shared).reshape(len(shared), size),
        _aligned_copy(np.array(mixed).reshape(len(mixed), size * W), len(mixed)),
    )


def _thevenin(jacobian: Jacobian, begin: Ints, end: Ints) -> Floats:
    """Blocks (kind, kind, 4) of the voltage across one port by a current drawn at another, V / A."""
    n_kinds = len(begin)
    blocks = np.zeros((n_kinds, n_kinds, 4))
    for k in range(n_kinds - 1):
        x = jacobian.responses(begin[k : k + 1], end[k : k + 1])[:, :, 0, :]
        across = x[begin[:-1]] - x[end[:-1]]  # (kind, re or im of v, re or im of i)
        blocks[:-1, k] = across.reshape(n_kinds - 1, 4)
    return blocks
