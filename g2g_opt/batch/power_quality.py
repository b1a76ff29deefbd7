"""`PowerQualityTally`: unbalance, rapid changes and trips of a batch, added up step by step.

A trip is solved once, when the run is over: the powers of everything attached are kept from the step at which a site
drew the most, and come back with and without that site, at the taps that held there.
"""

from __future__ import annotations

from bisect import bisect_right

import numpy as np
from numpy.typing import NDArray

from g2g_opt.batch.fleets import Fleets
from g2g_opt.batch.grids import Grids
from g2g_opt.batch.power_quality_kernel import (
    ChangeTally,
    HeaviestTally,
    Powers,
    QualityTally,
    UnbalanceTally,
    tally_quality,
)
from g2g_opt.compiled.lanes import WIDTH, aligned, aligned_counts
from g2g_opt.compiled.program import Part
from g2g_opt.compiled.records import pack
from g2g_opt.metrics.power_quality import DEFINITIONS, PowerQuality, SiteTrip, demand_changes, held_breaks
from g2g_opt.metrics.rapid_voltage_change import changes_are_seen, means_per_window, steps_per_mean

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class PowerQualityTally:
    """`add(step)` after every solution, `finish()` when the run is over, then `quality(slot)` of every scenario."""

    def __init__(self, grids: Grids, fleets: Fleets, n_steps: int, edges: tuple[float, ...]) -> None:
        self._grids, self._fleets, self._edges = grids, fleets, edges
        self._rows = grids.monitored[0]
        solutions = grids.flow.solutions
        n, n_buses, n_kinds = len(solutions.solved), len(grids.three_phase_buses), len(DEFINITIONS)
        n_powers, n_shapes = grids.flow.power.shape[1] // WIDTH, grids.network.n_shares
        self._without = np.full((n_kinds, n_buses, n), np.nan)
        self._unbalance = UnbalanceTally(
            solutions.unbalance,
            highest=aligned(n_kinds, n_buses, n),
            highest_step=aligned_counts(n_kinds, n_buses, n),
            edges=np.array(edges, dtype=np.float64),
            steps_over=aligned_counts(n_kinds, len(edges), n_buses, n),
            system=np.zeros((n_kinds, n)),
            kept_step=np.zeros((n_kinds, n), np.int64),
            kept_power=np.zeros((n_kinds, n, n_powers)),
            kept_share=np.ones((n_kinds, n, n_shapes)),
            now=aligned(n),
        )
        n_fleets = len(fleets.sites)
        self._heaviest = HeaviestTally(
            fleets.power_w,
            grids.fleet_slot,
            heaviest_w=np.full(n_fleets, -1.0),
            kept_step=np.zeros(n_fleets, np.int64),
            kept_power=np.zeros((n_fleets, n_powers)),
            kept_share=np.ones((n_fleets, n_shapes)),
        )
        self._before_pu, self._after_pu = (np.full((n_fleets, len(self._rows)), np.nan) for _ in range(2))
        n_apart = means_per_window(grids.dt_s)
        self._changes = ChangeTally(
            solutions.voltage_pu,
            self._rows,
            levels=aligned(n_apart + 1 if changes_are_seen(grids.dt_s) else 0, len(self._rows), n),
            largest=aligned(len(self._rows), n),
            largest_step=aligned_counts(len(self._rows), n),
            broken=np.full(n, -1, dtype=np.int64),
            taps_moved_at=grids.taps_moved_at,
            n_per_level=steps_per_mean(grids.dt_s),
            n_apart=n_apart,
            beyond=aligned(n),
        )
        powers = Powers(grids.flow.power, grids.flow.load_share)
        self._steps, self._is_held = np.zeros(1, dtype=np.int64), np.zeros(n_steps, dtype=np.bool_)
        parts = powers, self._unbalance, self._changes, self._heaviest
        self._packed = pack(QualityTally(self._steps, len(grids.setups), self._is_held, *parts))
        self._held: dict[int, list[int]] = {}
        for slot, setup in enumerate(grids.setups):
            for step in held_breaks(setup, n_steps).tolist():
                self._held.setdefault(step, []).append(slot)
        self._is_held[[step for step in self._held if step < n_steps]] = True

    @property
    def n_steps(self) -> int:
        """Steps that were added."""
        return int(self._steps[0])

    def add(self, step: int) -> None:
        """One step, as solved."""
        if step in self._held:
            self._changes.broken[self._held[step]] = step
            self._is_held[step] = False
        tally_quality(self._packed.address, step)

    def part(self) -> Part:
        """`add` as a part of a compiled step."""
        return Part(lambda step, code: self.add(step), tally_quality, self._packed)

    def finish(self) -> None:
        """Solve every site's trip, and the run's states of highest unbalance without any site."""
        grids, fleets = self._grids, self._fleets
        self._end = grids.flow.copy_state()
        for turn in range(max((len(of_slot) for of_slot in fleets.of_scenario), default=0)):
            some = [of_slot[turn] for of_slot in fleets.of_scenario if len(of_slot) > turn]
            states = {int(grids.fleet_slot[f]): f for f in some}
            for gone, kept in (([], self._before_pu), (some, self._after_pu)):
                for slot, f in states.items():
                    powers = self._without_fleets(self._heaviest.kept_power[f], [f] if gone else [])
                    self._recall(slot, powers, self._heaviest.kept_share[f])
                self._solve({slot: int(self._heaviest.kept_step[f]) for slot, f in states.items()})
                for slot, f in states.items():
                    if grids.flow.solved[slot]:
                        kept[f] = grids.flow.voltage_pu[self._rows, slot]
        if grids.three_phase_buses:
            for kind in range(len(DEFINITIONS)):
                for slot, of_slot in enumerate(fleets.of_scenario):
                    powers = self._without_fleets(self._unbalance.kept_power[kind, slot], list(of_slot))
                    self._recall(slot, powers, self._unbalance.kept_share[kind, slot])
                self._solve({slot: int(self._unbalance.kept_step[kind, slot]) for slot in range(len(grids.setups))})
                solved = grids.flow.solved
                self._without[kind, :, : len(solved)][:, solved] = grids.flow.unbalance[kind][:, solved]

    def _without_fleets(self, powers: Floats, gone: list[int]) -> Floats:
        """Powers of all ports (W and var of each in turn) without some fleets."""
        left = powers.copy()
        for f in gone:
            first = 2 * int(self._grids.fleet_port[f])
            left[first : first + 6] = 0.0
        return left

    def _recall(self, slot: int, powers: Floats, load_share: Floats) -> None:
        if self._grids.failure[slot] is None:
            c, lane = divmod(slot, WIDTH)
            flow = self._grids.flow
            flow.power.reshape(flow.n_chunks, -1, WIDTH)[c, :, lane] = powers
            flow.load_share[c, lane::WIDTH] = load_share

    def _solve(self, steps: dict[int, int]) -> None:
        """Solve with every slot at the taps that held at its step.

        All begin where the run ended: how often others were solved since leaves no trace.
        """
        grids = self._grids
        grids.flow.restore_state(self._end)
        settings = {}
        for slot, step in steps.items():
            moves = grids.tap_history[slot]
            settings[slot] = moves[bisect_right(moves, step, key=lambda move: move[0]) - 1][1]
        moved = {slot: s for slot, s in settings.items() if s != grids.flow.settings[slot]}
        if moved:
            grids.flow.set_settings(moved)
        grids.flow.solve()

    def quality(self, slot: int) -> PowerQuality:
        """One scenario's figures."""
        grids, of_slot = self._grids, self._fleets.of_scenario[slot]
        trips = tuple(
            SiteTrip(
                self._fleets.sites[f].name, int(self._heaviest.kept_step[f]), self._before_pu[f], self._after_pu[f]
            )
            for f in of_slot
        )
        return PowerQuality(
            dt_s=float(grids.dt_s),
            n_steps=self.n_steps,
            nodes=tuple(grids.network.nodes[i] for i in self._rows),
            buses=grids.three_phase_buses,
            edges=self._edges,
            unbalance=self._unbalance.highest[:, :, slot].copy(),
            unbalance_step=self._unbalance.highest_step[:, :, slot].copy(),
            unbalance_steps_over=self._unbalance.steps_over[:, :, :, slot].copy(),
            unbalance_without=self._without[:, :, slot].copy(),
            change_pu=self._changes.largest[:, slot].copy(),
            change_step=self._changes.largest_step[:, slot].copy(),
            demand_changes=demand_changes([self._fleets.sites[f] for f in of_slot]),
            trips=trips,
        )
