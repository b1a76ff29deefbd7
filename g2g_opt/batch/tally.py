"""What a batch keeps of every scenario, added up step by step: the figures of a `Summary`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from g2g_opt.batch.fleets import Fleets
from g2g_opt.batch.tally_kernel import (
    tally_curtailment,
    tally_loading,
    tally_own_loads,
    tally_service,
    tally_times,
    tally_voltages,
)
from g2g_opt.edges import Edges
from g2g_opt.failure import Failure, FailureKind
from g2g_opt.summary import SiteSummary, Summary

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Tally:
    """Adds up a batch step by step, and gives every scenario's `Summary` at the end."""

    def __init__(
        self,
        nodes: Sequence[tuple[str, int]],
        node_names: Sequence[str],
        rows: Ints,
        n_slots: int,
        fleets: Fleets,
        edges: Edges,
        branches: Sequence[str],
        emergency_share: Floats,
        deadline_s: Floats,
    ) -> None:
        self._nodes, self._node_names, self._rows, self._edges = tuple(nodes), tuple(node_names), rows, edges
        self._low, self._high = np.array(edges.low_pu), np.array(edges.high_pu)
        self._loading_edges = np.array(edges.loading_pu)
        shape = (len(rows), n_slots)
        self._lowest, self._highest = np.full(shape, np.inf), np.full(shape, -np.inf)
        self._lowest_step, self._highest_step = np.zeros(shape, np.int32), np.zeros(shape, np.int32)
        self._below, self._above = np.zeros((len(self._low), n_slots)), np.zeros((len(self._high), n_slots))
        self._steps_below = np.zeros((len(self._low), *shape), np.int32)
        self._steps_above = np.zeros((len(self._high), *shape), np.int32)
        self._classes = np.zeros((len(self._low) + 1, len(self._high) + 1, n_slots), np.int32)
        self._system = np.empty(n_slots), np.empty(n_slots)
        self._branches, self._emergency_share = tuple(branches), emergency_share
        self._loading = np.zeros((len(branches), n_slots))
        self._loading_step, self._loading_phase = (np.zeros((len(branches), n_slots), np.int32) for _ in range(2))
        self._over = np.zeros((len(self._loading_edges), len(branches), n_slots), np.int32)
        self._loading_classes = np.zeros((len(self._loading_edges) + 1, n_slots), np.int32)
        self._fleets, self._deadline_s = fleets, deadline_s
        n_rows, n_fleets = fleets.n_rows, len(fleets.sites)
        self._before = fleets.commanded.copy()
        self._nominal = fleets.commanded.copy()
        self._is_below, self._curtailed = np.zeros(n_fleets, dtype=np.int64), np.zeros(n_fleets, dtype=np.int64)
        self._tokens = np.zeros(n_rows)
        self._samples, self._misses, self._switches = (np.zeros(n_rows, dtype=np.int64) for _ in range(3))
        self._power_sum, self._power_peak = np.zeros(n_fleets), np.full(n_fleets, -np.inf)
        self._own_steps = np.zeros(n_slots, dtype=np.int64)
        self._own_missing, self._own_worse = np.zeros(n_slots), np.zeros(n_slots, dtype=np.bool_)
        self._own_worst = [""] * n_slots
        self._second_pu = np.zeros(n_slots)
        self.n_steps = 0

    def add(self, step: int, voltage_pu: Floats, loading_pu: Floats, loading_phase: Floats) -> None:
        """One step's voltages (node, slot), loadings and their phases (branch, slot), and what the fleets did in it."""
        tally_voltages(
            step,
            voltage_pu,
            self._rows,
            self._lowest,
            self._lowest_step,
            self._highest,
            self._highest_step,
            self._low,
            self._high,
            self._below,
            self._above,
            self._steps_below,
            self._steps_above,
            *self._system,
        )
        tally_times(*self._system, self._low, self._high, self._classes)
        if self._branches:
            tally_loading(
                step,
                loading_pu,
                loading_phase,
                self._loading,
                self._loading_step,
                self._loading_phase,
                self._loading_edges,
                self._over,
                self._loading_classes,
            )
        fleets = self._fleets
        tally_service(
            fleets.batch,
            self._before,
            fleets.replicas,
            fleets.itl_s,
            self._deadline_s,
            self._tokens,
            self._samples,
            self._misses,
            self._switches,
        )
        tally_curtailment(
            fleets.batch, self._nominal, fleets.replicas, fleets.row_fleet, self._is_below, self._curtailed
        )
        power_w = fleets.power_w.sum(axis=1)
        self._power_sum += power_w
        np.maximum(self._power_peak, power_w, out=self._power_peak)
        self.n_steps += 1

    def count_own_loads(self, own_share: Floats, tolerance: float) -> list[int]:
        """Count the scenarios in which constant-power loads of the circuit itself got another share of their power than
        one by more than `tolerance`; returns those in which it is the worst so far.
        """
        if not tally_own_loads(own_share, tolerance, self._own_steps, self._own_missing, self._own_worse):
            return []
        worse: list[int] = np.flatnonzero(self._own_worse).tolist()
        return worse

    def note_second_solutions(self, distance_pu: Floats) -> None:
        """How far another solution of this step may lie (pu, slot)."""
        np.maximum(self._second_pu, distance_pu, out=self._second_pu)

    def note_own_loads(self, slot: int, words: str) -> None:
        """The worst such step so far, in words."""
        self._own_worst[slot] = words

    def summary(self, slot: int, dt_s: float, failure: Failure | None = None) -> Summary:
        """One scenario's record so far, with the reason if it ends here."""
        if self.n_steps == 0 and failure is not None:
            return Summary.without_figures(failure, dt_s)
        lowest = self._lowest[:, slot].copy()
        undefined = np.flatnonzero(~np.isfinite(lowest))
        if len(undefined):
            failure = failure or Failure(FailureKind.UNDEFINED_VOLTAGE, self._node_names[undefined[0]])
        sites = []
        for fleet in self._fleets.of_scenario[slot]:
            rows = slice(self._fleets.first_row[fleet], self._fleets.first_row[fleet + 1])
            sites.append(
                SiteSummary(
                    name=self._fleets.sites[fleet].name,
                    power_mean_mw=float(self._power_sum[fleet] / self.n_steps / 1e6),
                    power_peak_mw=float(self._power_peak[fleet] / 1e6),
                    energy_mwh=float(self._power_sum[fleet] / 1e6 * dt_s / 3600.0),
                    throughput_tps=float(self._tokens[rows].sum() / self.n_steps),
                    latency_samples=int(self._samples[rows].sum()),
                    latency_misses=int(self._misses[rows].sum()),
                    batch_switches=int(self._switches[rows].sum()),
                    curtailed_steps=int(self._curtailed[fleet]),
                    exhausted_control_steps=int(self._fleets.exhausted_steps[fleet]),
                )
            )
        return Summary(
            dt_s=dt_s,
            n_steps=self.n_steps,
            edges=self._edges,
            nodes=self._nodes,
            node_names=self._node_names,
            lowest_pu=lowest,
            lowest_step=self._lowest_step[:, slot].copy(),
            highest_pu=self._highest[:, slot].copy(),
            highest_step=self._highest_step[:, slot].copy(),
            steps_by_class=self._classes[:, :, slot].copy(),
            steps_below=self._steps_below[:, :, slot].copy(),
            steps_above=self._steps_above[:, :, slot].copy(),
            below_pu=self._below[:, slot].copy(),
            above_pu=self._above[:, slot].copy(),
            branches=self._branches,
            loading_pu=self._loading[:, slot].copy(),
            loading_step=self._loading_step[:, slot].copy(),
            loading_phase=self._loading_phase[:, slot].copy(),
            emergency_share=self._emergency_share,
            loading_steps_over=self._over[:, :, slot].copy(),
            loading_steps_by_class=self._loading_classes[:, slot].copy(),
            own_loads_unserved_steps=int(self._own_steps[slot]),
            own_loads_worst=self._own_worst[slot],
            second_solution_pu=float(self._second_pu[slot]),
            sites=tuple(sites),
            failure=failure,
        )
