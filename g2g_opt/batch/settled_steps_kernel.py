"""Steps in a row in which a circuit's own controls settle, compiled: solve, let them act and solve again, step by step.

A step in which a power flow is not solved by the fixed point, or in which a control's queue is full, is Python's, which
goes on from where it stands.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from g2g_opt.batch import capacitor_kernel as cap
from g2g_opt.batch import regulator_kernel as reg
from g2g_opt.batch.kernel_tables import W
from g2g_opt.batch.moving_lanes_kernel import MovingLanes, nothing_moved, write_chunk
from g2g_opt.batch.network_losses import LossTerms, losses_w
from g2g_opt.batch.own_controls_kernel import AT_ONCE
from g2g_opt.compiled.kernel import inner, kernel
from g2g_opt.compiled.program import DONE, IN_PYTHON, call
from g2g_opt.compiled.records import Bools1, Bools2, Floats1, Floats2, Floats3, Floats4, Ints1, Ints2, reader

# Ratios are told to so many parts of one, as in `own_controls`.
_PARTS = 1e12


class Kernels(NamedTuple):
    """Addresses of kernels and of what they read: a step's power flow, one of some lanes, a round of the controls."""

    solve: int
    of_step: int
    of_lanes: int
    act: int
    look: int
    rounds: int


class Moves(NamedTuple):
    """How taps and banks under controls make monomials (element, monomial) of moving elements (`MovingElements`).

    `inverse` (regulator,) and `on` (bank,) are those of the circuit, for all that no control moves.
    """

    inverse: Floats1
    on: Floats1
    places: Ints1  # (control,) among regulators
    bank_places: Ints1  # (control,) among banks
    single: Ints2
    double: Ints2
    n_elements: int
    n_monomials: int


class Told(NamedTuple):
    """What is kept of every step; `unbalanced` are the nodes whose voltages (place, 2, step, lane) are."""

    taps_pu: Floats3  # (step, regulator, lane)
    rows: Floats3  # (row, step, lane): voltages of `places`, then loadings
    places: Ints1
    losses_w: Floats2  # (step, lane)
    solved: Bools2
    restless: Bools2
    unbalanced: Ints1
    v: Floats4


class StepsInTurn(NamedTuple):
    """Lanes whose controls settle in every step: shares of loads and powers of ports (step, as in a flow) that they
    take in turn, and what is told of them.
    """

    kernels: Kernels
    lanes: MovingLanes
    moves: Moves
    losses: LossTerms
    shares: Floats2
    powers: Floats2
    load_share: Floats1
    power: Floats1
    asked: Bools1
    is_solved: Bools1
    voltage_pu: Floats2
    loading_pu: Floats2
    node_v: Floats3
    awake: Bools1
    acted: Bools1
    moved: Bools1
    regulators: Floats3
    banks: Floats3
    inverse: Floats2  # (1 + regulator, lane)
    told: Told


_read = reader(StepsInTurn)


@inner
def _move(t: StepsInTurn, s: int) -> None:
    """Monomials of a lane whose taps or banks have moved."""
    m, lane, found = t.moves, s % W, t.lanes.work.monomials
    for k in range(len(m.places)):
        m.inverse[m.places[k]] = 1.0 / (np.rint(t.regulators[k, reg.TAP, s] * _PARTS) / _PARTS)
    for k in range(len(m.bank_places)):
        on = t.banks[k, cap.CLOSED, s] > 0.0 and t.banks[k, cap.IN_SERVICE, s] > 0.0
        m.on[m.bank_places[k]] = 1.0 if on else 0.0
    n = m.n_monomials
    for e in range(m.n_elements):
        found[e * n * W + lane] = m.on[e] if e < len(m.on) else 1.0
    for k in range(m.single.shape[1]):
        found[(m.single[0, k] * n + m.single[1, k]) * W + lane] = m.inverse[m.single[2, k]]
    for k in range(m.double.shape[1]):
        both = m.inverse[m.double[2, k]] * m.inverse[m.double[3, k]]
        found[(m.double[0, k] * n + m.double[1, k]) * W + lane] = both
    t.lanes.work.moved[lane] = 1.0


@inner
def _settle(t: StepsInTurn, step: int) -> bool:
    """Rounds of the controls until none acts; whether all lanes are solved and nothing is left to Python."""
    k, n = t.kernels, len(t.awake)
    for s in range(n):
        t.awake[s] = True
    for _ in range(k.rounds - 1):
        if call(k.act, k.look, AT_ONCE) != DONE:
            return False
        any_acted, any_moved = False, False
        for first in range(0, n, W):
            nothing_moved(t.lanes)
            any_here = False
            for s in range(first, first + W):
                t.awake[s] = t.acted[s]
                t.asked[s] = t.moved[s]
                any_acted = any_acted or t.acted[s]
                if t.moved[s]:
                    any_here = True
                    _move(t, s)
            if any_here:
                any_moved = True
                write_chunk(t.lanes, first // W)
        if not any_acted:
            break
        if any_moved:
            call(k.solve, k.of_lanes, 0)
        for s in range(n):
            if not t.is_solved[s]:
                return False
    else:
        for s in range(n):
            t.told.restless[step, s] = t.awake[s]
    return True


@inner
def _tell(t: StepsInTurn, step: int) -> None:
    told, n = t.told, len(t.awake)
    n_regulators, n_voltages = told.taps_pu.shape[1], len(told.places)
    for c in range(n_regulators):
        for s in range(n):
            told.taps_pu[step, c, s] = t.regulators[c, reg.TAP, s]
            t.inverse[1 + t.moves.places[c], s] = 1.0 / t.regulators[c, reg.TAP, s]
    for row in range(told.rows.shape[0]):
        for s in range(n):
            if row < n_voltages:
                told.rows[row, step, s] = t.voltage_pu[told.places[row], s]
            else:
                told.rows[row, step, s] = t.loading_pu[row - n_voltages, s]
    for k in range(len(told.unbalanced)):
        for part in range(2):
            for s in range(n):
                told.v[k, part, step, s] = t.node_v[told.unbalanced[k], part, s]
    losses_w(t.losses, t.node_v, t.inverse, told.losses_w[step])
    for s in range(n):
        told.solved[step, s] = t.is_solved[s]


@kernel
def tell_step(address: int, step: int) -> None:
    """Keep what a step that Python has made came to."""
    _tell(_read(address), step)


@kernel
def begin_step(address: int, step: int) -> None:
    """Shares and powers of a step."""
    _begin(_read(address), step)


@inner
def _begin(t: Any, step: int) -> None:
    for k in range(len(t.load_share)):
        t.load_share[k] = t.shares[step, k]
    for k in range(len(t.power)):
        t.power[k] = t.powers[step, k]


@kernel
def run_steps(address: int, first: int) -> int:
    """Make steps from `first` on; the number of the first that is left to Python, or of all."""
    t = _read(address)
    k, n = t.kernels, len(t.awake)
    for step in range(first, t.shares.shape[0]):
        _begin(t, step)
        for s in range(n):
            t.told.restless[step, s] = False
        if call(k.solve, k.of_step, 0) == IN_PYTHON:
            return step
        for s in range(n):
            if not t.is_solved[s]:
                return step
        is_made = _settle(t, step)
        for s in range(n):
            t.asked[s] = True
        if not is_made:
            return step
        _tell(t, step)
    return int(t.shares.shape[0])
