"""What every node of a circuit is: energised or not, phase or neutral, judged against ground, a neutral or a phase.

All of it follows from the circuit's own admittances and sources, its loads left out: which nodes a source reaches, how
stiff they are (Thevenin impedances), and what voltages stand there. Names and element kinds decide nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from g2g_opt.circuit.elements import load_branches, passive_elements, source_currents_a
from g2g_opt.circuit.opendss_circuit import Circuit
from g2g_opt.circuit.parts import Bus, LinearElement, LoadBranch
from g2g_opt.errors import InputError

Complexes = NDArray[np.complex128]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# A phase this many times softer than the stiffest one of its bus is held by stray coupling, not by a conductor: an open
# conductor downstream. Phases of a sound bus lie within a factor of three.
_SOFT = 20.0
# Zero- over positive-sequence impedance up to which a bus surely has a path for zero-sequence current: four-wire
# feeders stay below 6. Above it there is none if what is left is the charging of lines, or carries less than the own
# load; a stiff source with OpenDSS's zero-sequence impedance of 6 ohm beside it lies above 10 and is a path.
_SURE_ZERO_SEQUENCE = 10.0
_LEAST_OWN_VA = 1e3
# A path that carries less than so many times the own load at full voltage is a poor one; a stiff source's is not.
_POOR = 20.0
# Below this share of its base a node has no voltage to speak of: a neutral, or a conductor that is not served.
_NO_VOLTAGE_PU = 0.1
# Voltages to a neutral are those of a star if the highest is at most so many times the lowest (120 and 208 V are not).
_STAR = 1.3
# A phase next to a neutral stands at about its base against it; a phase next to a grounded phase at 1.73 times it.
_LEAST_TO_NEUTRAL, _MOST_TO_NEUTRAL = 0.5, 1.4
# Between phases around a neutral lie at least 1.73 times the voltage to it; next to a grounded phase it is once.
_LEAST_BETWEEN_PHASES = 1.3
# Halfway between 1.73 times the voltage to neutral, from phase to phase, and twice that, from leg to leg.
_LEGS = 1.87
# Share of a node's admittance that leaves its bus, from which on it leads anywhere; OpenDSS's shunts are millionths.
_LEADS_OUT = 1e-4
# Holds parts without any path to ground, like OpenDSS's own shunts, only smaller.
_HOLD_S = 1e-10
# Share of that impedance above which nothing else holds a node: OpenDSS's shunts are millionths of windings.
_LOOSE = 1e-2
# Right-hand sides solved for at once.
_COLUMNS = 16


def classify_buses(circuit: Circuit, loads: Sequence[LoadBranch] | None = None) -> dict[str, Bus]:
    """The buses of a solved circuit with their phases as they are: served ones, neutrals told apart, how judged.

    `loads` are the circuit's own, if they have been read already.
    """
    own = load_branches(circuit) if loads is None else loads
    elements = passive_elements(circuit)
    source_a = source_currents_a(circuit)
    n = len(circuit.node_bus)
    reached = reached_nodes(n, elements, source_a)
    grid = _Grid(n, elements, source_a, reached)
    served_v = circuit.node_voltages().copy() if circuit.converged else grid.open_v
    of_bus: dict[str, list[int]] = {}
    for place, bus in enumerate(circuit.node_bus):
        of_bus.setdefault(bus, []).append(place)
    is_star_point = _star_points(circuit.node_bus, elements, own)
    own_va = max(_LEAST_OWN_VA, 1e3 * sum(abs(complex(load.kw, load.kvar)) for load in own))
    impedances = grid.impedances([places for places in of_bus.values() if reached[places].any()])
    found = {}
    for name, bus in circuit.buses.items():
        places = np.array(of_bus.get(name, ()), dtype=np.int64)
        live = places[reached[places]]
        numbers = circuit.node_phase[live]
        block = impedances.get(tuple(places.tolist()))
        if block is not None:
            keep = reached[places]
            block = block[np.ix_(keep, keep)]
        stars = is_star_point[live]
        found[name] = _classify(bus, numbers, grid.open_v[live], served_v[live], block, own_va, stars)
    return found


def reached_nodes(
    n: int, elements: Sequence[LinearElement], source_a: Complexes, through: Sequence[tuple[int, int]] = ()
) -> NDArray[np.bool_]:
    """Which of `n` nodes have a path of admittances to a node where a source injects.

    Behind them also what loads between the pairs of nodes `through` lead to from there, where that is earthed by
    itself: such is the neutral of a load that no line takes along, with an earthing at its bus.
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    row, column, value = _entries(elements)
    graph = coo_matrix((np.ones(len(row)), (row, column)), shape=(n, n))
    n_islands, island = connected_components(graph, directed=False)
    found = np.isin(island, np.unique(island[np.abs(source_a) > 0.0]))
    to_ground, stiffest = np.zeros(n_islands, dtype=np.complex128), np.zeros(n_islands)
    np.add.at(to_ground, island[row], value)
    np.maximum.at(stiffest, island[row], np.abs(value))
    earthed = np.abs(to_ground) > _LEADS_OUT * stiffest
    ends = np.array([pair for pair in through if min(pair) >= 0], dtype=np.int64).reshape(-1, 2)
    while True:
        half = ends[found[ends[:, 0]] != found[ends[:, 1]]]
        behind = np.where(found[half[:, 0]], half[:, 1], half[:, 0])
        new = np.unique(island[behind[earthed[island[behind]]]])
        if not len(new):
            return np.asarray(found)
        found |= np.isin(island, new)


def ungrounded_nodes(n: int, elements: Sequence[LinearElement]) -> NDArray[np.bool_]:
    """Which of `n` nodes may stand at any voltage to ground: no admittance, and no winding, holds them.

    An ampere into all nodes lifts these alone to as much as `_HOLD_S` lets them; every other path is far stiffer.
    """
    everywhere = _Grid(n, elements, np.ones(n, dtype=np.complex128), np.ones(n, dtype=np.bool_))
    size = np.abs(everywhere.open_v)
    return np.asarray(size > _LOOSE / _HOLD_S)


def _entries(elements: Sequence[LinearElement]) -> tuple[Ints, Ints, Complexes]:
    """Rows, columns and values (S) of the system matrix; values of one place add up."""
    rows, columns, values = [np.empty(0, np.int64)], [np.empty(0, np.int64)], [np.empty(0, np.complex128)]
    for element in elements:
        places = element.nodes
        i, j = np.nonzero(element.yprim)
        real = (places[i] >= 0) & (places[j] >= 0)
        rows.append(places[i[real]])
        columns.append(places[j[real]])
        values.append(element.yprim[i[real], j[real]])
    return np.concatenate(rows), np.concatenate(columns), np.concatenate(values)


def _star_points(
    node_bus: Sequence[str], elements: Sequence[LinearElement], own: Sequence[LoadBranch]
) -> NDArray[np.bool_]:
    """Which nodes are star points that are left open: what flows into one comes out of its own bus's other nodes.

    A neutral conductor leads to another bus or to ground, or loads hang on it.
    """
    names = {name: k for k, name in enumerate(dict.fromkeys(node_bus))}
    bus = np.array([names[name] for name in node_bus], dtype=np.int64)
    row, column, value = _entries(elements)
    diagonal, left = (np.zeros(len(bus), dtype=np.complex128) for _ in range(2))
    np.add.at(diagonal, row[row == column], value[row == column])
    within = bus[row] == bus[column]
    np.add.at(left, row[within], value[within])
    is_open = np.abs(left) < _LEADS_OUT * np.abs(diagonal)
    is_open[[node for load in own for pair in load.branch_nodes() for node in pair if node >= 0]] = False
    return is_open


class _Grid:
    """The part of the system matrix that sources reach, factorised."""

    def __init__(self, n: int, elements: Sequence[LinearElement], source_a: Complexes, reached: Any) -> None:
        from scipy.sparse import coo_matrix, identity
        from scipy.sparse.linalg import splu

        self._n, self._kept = n, np.flatnonzero(reached)
        self._place = np.full(n, -1, dtype=np.int64)
        self._place[self._kept] = np.arange(len(self._kept))
        self.open_v = np.zeros(n, dtype=np.complex128)
        if not len(self._kept):
            return
        row, column, value = _entries(elements)
        inside = reached[row] & reached[column]
        matrix = coo_matrix(
            (value[inside], (self._place[row[inside]], self._place[column[inside]])), shape=(len(self._kept),) * 2
        )
        # The matrix is nearly symmetric: this order fills in a third of what the usual one does.
        try:
            self._factors = splu(
                (matrix + _HOLD_S * identity(len(self._kept))).tocsc(),
                permc_spec="MMD_AT_PLUS_A",
                diag_pivot_thresh=0.1,
                options={"SymmetricMode": True},
            )
        except RuntimeError as error:
            raise InputError(f"the circuit's system of equations has no solution: {error}") from error
        self.open_v[self._kept] = self._factors.solve(source_a[self._kept])

    def impedances(self, groups: Sequence[Sequence[int]]) -> dict[tuple[int, ...], Complexes]:
        """Thevenin impedances (ohm) between the nodes of every group; nodes out of reach have zeros."""
        found = {tuple(group): np.zeros((len(group), len(group)), dtype=np.complex128) for group in groups}
        wanted = [(group, k) for group in found for k in range(len(group)) if self._place[group[k]] >= 0]
        # Threads of linear algebra wait for each other longer than such small solutions take.
        with threadpool_limits(limits=1, user_api="blas"):
            for first in range(0, len(wanted), _COLUMNS):
                part = wanted[first : first + _COLUMNS]
                ampere = np.zeros((len(self._kept), len(part)), dtype=np.complex128, order="F")
                for column, (group, k) in enumerate(part):
                    ampere[self._place[group[k]], column] = 1.0
                volts = self._factors.solve(ampere)
                for column, (group, k) in enumerate(part):
                    places = self._place[list(group)]
                    found[group][:, k] = np.where(places >= 0, volts[places, column], 0.0)
        return found


def _classify(
    bus: Bus,
    numbers: Ints,
    open_v: Complexes,
    served_v: Complexes,
    block: Complexes | None,
    own_va: float,
    stars: NDArray[np.bool_],
) -> Bus:
    """One bus: node `numbers` that a source reaches, their voltages without and with loads (V), and impedances.

    `own_va` is the circuit's own load; `stars` are star points that lead nowhere.
    """
    named = set(bus.phases)
    if block is None or not len(numbers):
        return replace(bus, phases=(), unserved=bus.phases)
    if _is_earthed(bus, open_v, block):
        return replace(bus, phases=(), neutral=int(numbers.min()))
    stiff = ~_is_soft(block, open_v)
    neutral = _neutral(bus, numbers, open_v, stiff & ~stars)
    at_neutral = int(np.flatnonzero(numbers == neutral)[0]) if neutral else -1
    # A neutral numbered 1 to 3 leaves its phase the number 4; where nothing is numbered so, all others are phases.
    usual = {*named, 4} if 1 <= neutral <= 3 else named or {int(number) for number in numbers}
    kept = [k for k in range(len(numbers)) if stiff[k] and k != at_neutral and int(numbers[k]) in usual]
    kept.sort(key=lambda k: int(numbers[k]))
    three_wire, floats, zero_over_positive = False, False, 0.0
    if len(kept) > 1:
        three_wire, floats, zero_over_positive = _lacks_neutral(block, open_v, kept, at_neutral, own_va)
    if not three_wire:
        # Not by its own impedances, but by what stands there: a lateral behind an open conductor.
        reference = served_v[at_neutral] if at_neutral >= 0 else 0.0
        base_v = 1e3 * bus.kv_ln
        standing = [k for k in kept if base_v <= 0.0 or abs(served_v[k] - reference) >= _NO_VOLTAGE_PU * base_v]
        # Where nothing stands, stray coupling is told from a load that is beyond what a conductor carries.
        kept = standing or [k for k in kept if block[k, k].imag > -abs(block[k, k].real)]
    phases = tuple(int(numbers[k]) for k in kept)
    unserved = tuple(sorted(named - {neutral} - set(phases)))
    reference = served_v[at_neutral] if at_neutral >= 0 else 0.0
    beyond = tuple(
        sorted(
            int(numbers[k])
            for k in range(len(numbers))
            if numbers[k] > 3
            and numbers[k] not in phases
            and numbers[k] != neutral
            and abs(served_v[k] - reference) >= _NO_VOLTAGE_PU * max(1e3 * bus.kv_ln, np.abs(served_v).max())
        )
    )
    if not three_wire:
        # Further phases, such as those of a second circuit at the same bus, against the same neutral.
        phases, beyond = (*phases, *beyond), ()
    to_neutral = open_v[kept] - (open_v[at_neutral] if at_neutral >= 0 else 0.0)
    legs = len(kept) == len(phases) == 2 and _are_legs(to_neutral)
    legs = legs or (three_wire and len(kept) == 3 and _has_high_leg(bus, to_neutral))
    return replace(
        bus,
        phases=phases,
        neutral=neutral,
        three_wire=three_wire,
        unserved=unserved,
        legs=legs,
        beyond=beyond,
        zero_over_positive=zero_over_positive,
        floats=floats,
    )


def _is_earthed(bus: Bus, open_v: Complexes, block: Complexes) -> bool:
    """Does a bus hold nothing but conductors to earth: at no voltage without loads, and not for want of a path?"""
    own = np.diag(block)
    return bool((np.abs(open_v) < _NO_VOLTAGE_PU * 1e3 * bus.kv_ln).all() and (own.imag > -np.abs(own.real)).all())


def _is_soft(block: Complexes, open_v: Complexes) -> NDArray[np.bool_]:
    """Which nodes of a bus are far softer than its stiffest phase, towards ground and towards every other node."""
    own = np.diag(block)
    loop = np.abs(own[:, None] + own[None, :] - block - block.T)
    np.fill_diagonal(loop, np.inf)
    least = np.minimum(np.abs(own), loop.min(axis=1, initial=np.inf))
    # A neutral or a grounded phase is as stiff as its earthing, whatever stands behind the phases.
    under_voltage = np.abs(open_v) >= _NO_VOLTAGE_PU * np.abs(open_v).max()
    return np.asarray(least > _SOFT * least[under_voltage].min())


def _neutral(bus: Bus, numbers: Ints, open_v: Complexes, stiff: NDArray[np.bool_]) -> int:
    """The node number of a bus's neutral conductor; 0 where ground is the neutral, or there is none."""
    highest = np.abs(open_v).max()
    low = [k for k in range(len(numbers)) if stiff[k] and abs(open_v[k]) < _NO_VOLTAGE_PU * highest]
    # Most circuits number it 4.
    for k in sorted(low, key=lambda k: (numbers[k] < 4, int(numbers[k]))):
        others = [j for j in range(len(numbers)) if j not in low and stiff[j]]
        if _stands_around(bus, open_v[others] - open_v[k]):
            return int(numbers[k])
    return 0


def _stands_around(bus: Bus, to_neutral: Complexes) -> bool:
    """Are these voltages (V) against a node those of phases around their neutral?"""
    size = np.abs(to_neutral)
    if not len(size):
        return False
    if len(size) == 1:
        base_v = 1e3 * bus.kv_ln
        return base_v <= 0.0 or bool(_LEAST_TO_NEUTRAL <= size[0] / base_v <= _MOST_TO_NEUTRAL)
    between = np.abs(to_neutral[:, None] - to_neutral[None, :])[np.triu_indices(len(size), 1)]
    # Two legs fed from the same phase lie on top of each other, and are no grounded phase's partners either.
    apart = between[between > _NO_VOLTAGE_PU * size.max()]
    return not len(apart) or bool(apart.min() >= _LEAST_BETWEEN_PHASES * size.mean())


def _are_legs(to_neutral: Complexes) -> bool:
    """Are two voltages (V) to neutral those of a winding's two halves, and not of two phases (1.73 times apart)?"""
    return bool(abs(to_neutral[0] - to_neutral[1]) > _LEGS * np.abs(to_neutral).mean())


def _has_high_leg(bus: Bus, to_neutral: Complexes) -> bool:
    """Do three voltages (V) hold the legs of a winding, of which the bus has its base, and a high leg beside them?"""
    pairs = [to_neutral[[k, (k + 1) % 3]] for k in range(3)]
    return any(
        np.ptp(np.abs(pair)) < _NO_VOLTAGE_PU * np.abs(pair).mean()
        and _are_legs(pair)
        and abs(pair[0] - pair[1]) > _LEGS * 1e3 * bus.kv_ln > 0.0
        for pair in pairs
    )


def _lacks_neutral(
    block: Complexes, open_v: Complexes, phases: Sequence[int], neutral: int, own_va: float
) -> tuple[bool, bool, float]:
    """Whether the phases lack a path for zero-sequence current, or a star of voltages, against their neutral; whether
    it is the path; and of a poor one its impedance over that of the positive sequence (0 of any other).
    """
    z = block[np.ix_(phases, phases)]
    v = open_v[list(phases)]
    if neutral >= 0:
        z = z - block[list(phases), neutral][:, None] - block[neutral, list(phases)][None, :] + block[neutral, neutral]
        v = v - open_v[neutral]
    if np.abs(v).max() > _STAR * np.abs(v).min():
        return True, False, 0.0
    pairs = np.triu_indices(len(phases), 1)
    own = np.diag(z)
    positive = (own[:, None] + own[None, :] - z - z.T)[pairs].mean() / 2.0
    zero = z.sum() / len(phases)
    if abs(zero) <= _SURE_ZERO_SEQUENCE * abs(positive):
        return False, False, 0.0
    charging = zero.imag < -abs(zero.real)
    carried_va = (np.abs(v[:, None] - v[None, :])[pairs] ** 2).mean() / abs(zero)
    if charging or carried_va < own_va:
        return True, True, 0.0
    return False, False, float(f"{abs(zero) / abs(positive):.3g}") if carried_va < _POOR * own_va else 0.0
