"""What a batch keeps of every scenario: extremes, times and depths outside several bands, loadings, service.

Nothing is kept per step, so a long run takes the memory of a short one. Limits may be any of the edges afterwards,
without simulating again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from g2g_opt.batch.fleets import Fleets
from g2g_opt.batch.summary_kernel import (
    tally_curtailment,
    tally_loading,
    tally_own_loads,
    tally_service,
    tally_times,
    tally_voltages,
)
from g2g_opt.errors import InputError
from g2g_opt.metrics.thermal import WorstLoading, is_of_kind, phase_letter
from g2g_opt.metrics.voltage import VoltageStats, WorstVoltage

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Counts = NDArray[np.int32]

LOW_EDGES_PU = (0.90, 0.92, 0.93, 0.94, 0.95, 0.96, 0.97)
HIGH_EDGES_PU = (1.03, 1.04, 1.05, 1.06, 1.08, 1.10)
LOADING_EDGES_PU = (0.8, 1.0, 1.2, 1.5, 2.0)


@dataclass(frozen=True)
class Edges:
    """Voltages (pu) and loadings (share of the normal rating) at which times are kept; rising."""

    low_pu: tuple[float, ...] = LOW_EDGES_PU
    high_pu: tuple[float, ...] = HIGH_EDGES_PU
    loading_pu: tuple[float, ...] = LOADING_EDGES_PU

    def including(self, low_pu: float, high_pu: float, loading_pu: float | None) -> Edges:
        """These edges and some more."""
        extra = () if loading_pu is None else (loading_pu,)
        return Edges(
            tuple(sorted({*self.low_pu, low_pu})),
            tuple(sorted({*self.high_pu, high_pu})),
            tuple(sorted({*self.loading_pu, *extra})),
        )


@dataclass(frozen=True, eq=False)
class FleetSummary:
    """One site over a run: power (MW, three phases) and service, models in alphabetical order.

    `curtailed_steps`: steps in which any of its models with active replicas ran below the batch size it began at.
    """

    name: str
    power_mean_mw: float
    power_peak_mw: float
    energy_mwh: float
    throughput_tps: float
    latency_samples: int
    latency_misses: int
    batch_switches: int
    curtailed_steps: int = 0


@dataclass(frozen=True, eq=False)
class Summary:
    """One scenario over a run of `n_steps` steps of `dt_s` (s).

    `nodes` are the monitored (bus, phase) pairs; `lowest_pu`, `highest_pu` their extremes and `lowest_step`,
    `highest_step` when they first occurred; `branches`, `loading_pu`, `loading_step` likewise for loadings (empty if
    not recorded), with the phase of the heaviest conductor and the branch's normal over its emergency rating. `sites`
    are in the run's order.
    """

    dt_s: float
    n_steps: int
    edges: Edges
    nodes: tuple[tuple[str, int], ...]
    lowest_pu: Floats
    lowest_step: Counts
    highest_pu: Floats
    highest_step: Counts
    steps_by_class: Counts
    below_pu: Floats
    above_pu: Floats
    branches: tuple[str, ...]
    loading_pu: Floats
    loading_step: Counts
    loading_phase: Counts
    emergency_share: Floats
    loading_steps_over: Counts
    loading_steps_by_class: Counts
    own_loads_unserved_steps: int
    own_loads_worst: str
    sites: tuple[FleetSummary, ...]

    def voltage_stats(self, v_min: float, v_max: float) -> VoltageStats:
        """Voltage metrics (3.1) for a band whose ends are both edges; `InputError` otherwise."""
        low, high = _edge(self.edges.low_pu, v_min, "voltage"), _edge(self.edges.high_pu, v_max, "voltage")
        # Inside: the lowest is at or above the low edge, and the highest at or below the high one.
        inside = int(self.steps_by_class[low + 1 :, : high + 1].sum())
        return VoltageStats(
            worst_vmin=float(self.lowest_pu.min()),
            worst_vmax=float(self.highest_pu.max()),
            violation_time_s=(self.n_steps - inside) * self.dt_s,
            integral_violation_pu_s=float(self.below_pu[low] + self.above_pu[high]) * self.dt_s,
        )

    def worst_voltage(self, v_min: float, v_max: float) -> WorstVoltage:
        """The monitored voltage with the smallest margin to a band, over the whole run."""
        low, high = self.lowest_pu - v_min, v_max - self.highest_pu
        i, j = int(low.argmin()), int(high.argmin())
        under = low[i] <= high[j]
        place = i if under else j
        bus, phase = self.nodes[place]
        step = int((self.lowest_step if under else self.highest_step)[place])
        voltage = float((self.lowest_pu if under else self.highest_pu)[place])
        return WorstVoltage(bus, "ABC"[phase - 1], step * self.dt_s, voltage, float(min(low[i], high[j])))

    def worst_loading(self, kind: str = "", emergency: bool = False) -> WorstLoading | None:
        """The worst loaded branch of a kind (see `is_of_kind`); None if there is none.

        With `emergency`, the one closest to its emergency rating.
        """
        places = [b for b, name in enumerate(self.branches) if is_of_kind(name, kind)]
        if not places:
            return None
        counted = self.loading_pu * self.emergency_share if emergency else self.loading_pu
        b = max(places, key=lambda place: counted[place])
        over = self.loading_steps_over[_edge(self.edges.loading_pu, 1.0, "loading"), b]
        return WorstLoading(
            self.branches[b],
            float(self.loading_pu[b]),
            int(self.loading_step[b]) * self.dt_s,
            float(over) * self.dt_s,
            phase_letter(int(self.loading_phase[b])),
            float(self.loading_pu[b] * self.emergency_share[b]),
        )

    def overload_time_s(self, limit_pu: float) -> float:
        """Time (s) in which any branch carries more than an edge's share of its rating."""
        edge = _edge(self.edges.loading_pu, limit_pu, "loading")
        return float(self.loading_steps_by_class[edge + 1 :].sum()) * self.dt_s


def _edge(edges: Sequence[float], wanted: float, what: str) -> int:
    for k, edge in enumerate(edges):
        if abs(edge - wanted) < 1e-12:
            return k
    kept = [float(edge) for edge in edges]
    raise InputError(f"no {what} figures were kept at {wanted:g} pu; kept: {kept} (simulate with it as an edge)")


class Tally:
    """Adds up a batch step by step, and gives every scenario's `Summary` at the end."""

    def __init__(
        self,
        nodes: Sequence[tuple[str, int]],
        rows: Ints,
        n_slots: int,
        fleets: Fleets,
        edges: Edges,
        branches: Sequence[str],
        emergency_share: Floats,
        deadline_s: Floats,
    ) -> None:
        self._nodes, self._rows, self._edges = tuple(nodes), rows, edges
        self._low, self._high = np.array(edges.low_pu), np.array(edges.high_pu)
        self._loading_edges = np.array(edges.loading_pu)
        shape = (len(rows), n_slots)
        self._lowest, self._highest = np.full(shape, np.inf), np.full(shape, -np.inf)
        self._lowest_step, self._highest_step = np.zeros(shape, np.int32), np.zeros(shape, np.int32)
        self._below, self._above = np.zeros((len(self._low), n_slots)), np.zeros((len(self._high), n_slots))
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

    def note_own_loads(self, slot: int, words: str) -> None:
        """The worst such step so far, in words."""
        self._own_worst[slot] = words

    def summary(self, slot: int, dt_s: float) -> Summary:
        """One scenario's summary so far."""
        sites = []
        for fleet in self._fleets.of_scenario[slot]:
            rows = slice(self._fleets.first_row[fleet], self._fleets.first_row[fleet + 1])
            sites.append(
                FleetSummary(
                    name=self._fleets.sites[fleet].name,
                    power_mean_mw=float(self._power_sum[fleet] / self.n_steps / 1e6),
                    power_peak_mw=float(self._power_peak[fleet] / 1e6),
                    energy_mwh=float(self._power_sum[fleet] / 1e6 * dt_s / 3600.0),
                    throughput_tps=float(self._tokens[rows].sum() / self.n_steps),
                    latency_samples=int(self._samples[rows].sum()),
                    latency_misses=int(self._misses[rows].sum()),
                    batch_switches=int(self._switches[rows].sum()),
                    curtailed_steps=int(self._curtailed[fleet]),
                )
            )
        return Summary(
            dt_s=dt_s,
            n_steps=self.n_steps,
            edges=self._edges,
            nodes=self._nodes,
            lowest_pu=self._lowest[:, slot].copy(),
            lowest_step=self._lowest_step[:, slot].copy(),
            highest_pu=self._highest[:, slot].copy(),
            highest_step=self._highest_step[:, slot].copy(),
            steps_by_class=self._classes[:, :, slot].copy(),
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
            sites=tuple(sites),
        )
