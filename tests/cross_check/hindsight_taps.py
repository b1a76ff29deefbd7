"""Taps of a feeder over hours in a row as hindsight would have them: least losses and tap steps, limits kept.

A regulator's way through the hours, the others' given, is a shortest path through its tap positions, found exactly;
regulators, and banks of them moved together, have their turn until none changes anything. That is no proof that no way
is better, but every way it finds is one that the feeder can go: its cost bounds that of hindsight from above.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from g2g_opt.batch.moving_elements import Setting
from g2g_opt.batch.network_losses import LossTerms
from g2g_opt.batch.operated_series import FeederOperation
from g2g_opt.batch.operating_points import Unit, ports_of
from g2g_opt.batch.power_flow import BatchPowerFlow
from g2g_opt.grid.attachments import tan_phi

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Complexes = NDArray[np.complex128]

_LANES = 4096
# Taps on either side of the way so far that a turn looks at.
_WINDOW = 2
# Cost ($) of a position that breaks a limit: more than any operation.
OUTSIDE = 1e9


@dataclass(frozen=True)
class Feeding:
    """What a feeder carries in hours in a row: kW of units (unit, hour), shares of its own loads, $/kWh of losses."""

    units: Sequence[Unit]
    kw: Floats
    load_share: Floats
    price: Floats


class Hours:
    """Losses and limits of hours at any taps; positions (hour, regulator) are tap steps from a ratio of 1."""

    def __init__(self, operation: FeederOperation, fed: Feeding, over: Callable[[Floats, Floats], Floats]) -> None:
        """`over` says how far (pu) voltages (row, lane) and loadings are outside."""
        self.operation, self.fed, self.over = operation, fed, over
        self.names = operation.regulators
        self.least = np.array([round((c.tap_min_pu - 1.0) / c.tap_step_pu) for c in operation.reading.regulators])
        self.most = np.array([round((c.tap_max_pu - 1.0) / c.tap_step_pu) for c in operation.reading.regulators])
        self.n_flows = 0
        self._known: dict[tuple[int, ...], float] = {}

    def cost(self, hours: Ints, positions: Ints) -> Floats:
        """Of each hour at its positions (hour, regulator): $ of losses, and what breaks limits."""
        keys = [(int(h), *p) for h, p in zip(hours, positions.tolist(), strict=True)]
        missing = [key for key in dict.fromkeys(keys) if key not in self._known]
        for k in range(0, len(missing), _LANES):
            part = missing[k : k + _LANES]
            at, taps = np.array([one[0] for one in part]), np.array([one[1:] for one in part]).reshape(len(part), -1)
            over, losses = self._flows(at, taps)
            total = self.fed.price[at] * losses + OUTSIDE * (over > 0.0)
            self._known.update(zip(part, total.tolist(), strict=True))
        return np.array([self._known[key] for key in keys])

    def _flows(self, at: Ints, taps: Ints) -> tuple[Floats, Floats]:
        of, fed, n = self.operation, self.fed, len(at)
        ratios = 1.0 + taps * of.step_pu
        settings = [Setting(tuple(sorted(zip(self.names, np.round(one, 9).tolist(), strict=True)))) for one in ratios]
        ports = [port for unit in fed.units for port in ports_of(of.feeder, of.index, unit)]
        flow = BatchPowerFlow(
            of.jacobian, [ports] * n, settings, tolerance_pu=1e-8, phasors=True, loadings=True, ratings=of.ratings
        )
        shares = flow.load_share.reshape(flow.n_chunks, -1, 16)
        every = np.arange(flow.n_slots)
        shares[every // 16, :, every % 16] = fed.load_share[at[np.minimum(every, n - 1)]][:, None]
        va = 1e3 * (1.0 + 1j * np.array([tan_phi(unit.power_factor) for unit in fed.units])) / 3.0
        flow.solve(np.repeat(va[:, None] * fed.kw[:, at], 3, axis=0))
        self.n_flows += n
        over = np.where(flow.solved, self.over(flow.voltage_pu[of.place], flow.loading_pu), 1.0)
        in_order = np.array([list(of.start_taps).index(name) for name in self.names])
        told = np.empty((len(of.start_taps), n))
        told[in_order] = ratios.T
        return over, np.where(flow.solved, losses_kw(of.losses.terms, flow.phasors, told), 0.0)


def losses_kw(terms: LossTerms, v: Complexes, taps_pu: Floats) -> Floats:
    """Losses (lane,) at node voltages (node, lane), V, and ratios (regulator, lane)."""
    inverse = np.concatenate([np.ones((1, v.shape[1])), 1.0 / taps_pu])
    group = np.repeat(np.arange(len(terms.factors)), np.diff(terms.start))
    one, other = terms.factors[group].T
    watts = (v[terms.row].conj() * terms.y[:, None] * v[terms.column]).real * inverse[one] * inverse[other]
    return np.asarray(watts.sum(axis=0) / 1e3)


def improved(hours: Hours, way: Ints, step_cost: float, moved: Sequence[int]) -> Ints:
    """The way (hour, regulator) with the regulators `moved` together by the best of a few steps in every hour."""
    n = len(way)
    offsets = np.arange(-_WINDOW, _WINDOW + 1)
    states = np.repeat(way[:, None, :], len(offsets), axis=1)  # (hour, state, regulator)
    states[:, :, list(moved)] += offsets[None, :, None]
    allowed = ((states >= hours.least) & (states <= hours.most)).all(axis=2)
    clipped = np.clip(states, hours.least, hours.most)
    at = np.repeat(np.arange(n), len(offsets))
    cost = hours.cost(at, clipped.reshape(n * len(offsets), -1)).reshape(n, -1)
    cost[~allowed] = np.inf
    least, came = cost[0], np.zeros((n, len(offsets)), dtype=np.int64)
    for h in range(1, n):
        steps = np.abs(clipped[h][:, None, :] - clipped[h - 1][None, :, :]).sum(axis=2)
        total = least[None, :] + step_cost * steps
        came[h] = total.argmin(axis=1)
        least = total.min(axis=1) + cost[h]
    found = np.empty_like(way)
    state = int(least.argmin())
    for h in range(n - 1, -1, -1):
        found[h] = clipped[h, state]
        state = int(came[h, state])
    return found


def cost_of_way(hours: Hours, way: Ints, step_cost: float) -> tuple[float, int]:
    """$ of losses (and of what is outside), and tap steps."""
    losses = float(hours.cost(np.arange(len(way)), way).sum())
    return losses, int(np.abs(np.diff(way, axis=0)).sum())


def hindsight(
    hours: Hours,
    way: Ints,
    step_cost: float,
    banks: Sequence[Sequence[int]],
    report: Callable[[str], None],
    *,
    sweeps_max: int = 12,
) -> Ints:
    """The best way found from one that is given, in turns of banks together and of regulators alone."""
    moves = [*([list(range(way.shape[1]))] if len(banks) > 1 else []), *map(list, banks)]
    moves += [[r] for r in range(way.shape[1]) if [r] not in moves]
    for _ in range(sweeps_max):
        before = way
        for moved in moves:
            way = improved(hours, way, step_cost, moved)
        losses, steps = cost_of_way(hours, way, step_cost)
        total = losses + step_cost * steps
        report(f"losses {losses:,.0f} $, {steps:,} tap steps: {total:,.0f} $; {hours.n_flows:,} flows")
        if (way == before).all():
            break
    return way


def best_of_settings(hours: Hours, settings: Ints, step_cost: float, at: Ints | None = None) -> tuple[float, Ints]:
    """The least cost ($) of any sequence of some settings (setting, regulator), and which one each hour has: exact.

    `at` are the hours (all of them if None). Where no setting keeps the limits, the cost is beyond that of any
    operation.
    """
    at = np.arange(len(hours.fed.load_share)) if at is None else at
    n, k = len(at), len(settings)
    cost = hours.cost(np.repeat(at, k), np.tile(settings, (n, 1))).reshape(n, k)
    move = step_cost * np.abs(settings[:, None, :] - settings[None, :, :]).sum(axis=2)
    least, came = cost[0], np.zeros((n, k), dtype=np.int64)
    for h in range(1, n):
        total = least[None, :] + move
        came[h] = total.argmin(axis=1)
        least = total.min(axis=1) + cost[h]
    which = np.empty(n, dtype=np.int64)
    which[-1] = least.argmin()
    for h in range(n - 1, 0, -1):
        which[h - 1] = came[h, which[h]]
    return float(least.min()), which
