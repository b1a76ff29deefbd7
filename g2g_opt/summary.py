"""`Summary`: the one record of a run, whichever engine made it: what a verdict needs, and nothing per step.

Extremes with their times, times and depths outside several bands, loadings, service, and why it failed if it did. A
long run takes the memory of a short one. Limits may be any of the `edges` afterwards, without simulating again; where
the extremes say all (nothing is outside, or no time outside is allowed) they may be any at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from g2g_opt.circuit.parts import phase_letter
from g2g_opt.edges import Edges, count_loadings, count_voltages, edge_of, place_of
from g2g_opt.failure import Failure, FailureKind
from g2g_opt.metrics.power_quality import PowerQuality
from g2g_opt.metrics.thermal import WorstLoading, places_of_kind
from g2g_opt.metrics.voltage import VoltageStats, WorstVoltage, no_voltage

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Counts = NDArray[np.int32]


@dataclass(frozen=True)
class SiteSummary:
    """One site over a run: simulated power (MW, three phases) and energy, service, and what its fleet is.

    Latency samples are (step, model) pairs with active replicas, misses those above their targets. `curtailed_steps`:
    steps in which any of its models with active replicas ran below the batch size it began at. `uncontrolled_...` are
    of the same fleet left at its batch sizes, replayed without a controller. `exhausted_control_steps`: those at which
    droop or OFO saw a voltage outside its band, with every model at the batch size that is best for it already.
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
    bus: str = ""
    n_gpus: int = 0
    n_replicas: int = 0
    uncontrolled_peak_mw: float = 0.0
    uncontrolled_tps: float = 0.0
    exhausted_control_steps: int = 0


@dataclass(frozen=True, eq=False)
class Summary:
    """One scenario over a run of `n_steps` steps of `dt_s` (s); of a `failure` all figures are those up to it.

    `nodes` are the monitored (bus, phase) pairs, `node_names` what their voltages are called ("671.A", or "671.AB" from
    phase to phase); `lowest_pu`, `highest_pu` their extremes and `lowest_step`, `highest_step` when they first
    occurred; `branches`, `loading_pu`, `loading_step` likewise for loadings (empty if not recorded), with the phase of
    the heaviest conductor and the branch's normal over its emergency rating. `steps_by_class[i, j]` counts steps by how
    many low edges lie at or below the lowest voltage of all nodes, and how many high edges below the highest;
    `steps_below`, `steps_above` [edge, node] count those of a node outside an edge, `below_pu`, `above_pu` sum how far
    nodes lie outside. `second_solution_pu`: how far another solution may lie from the one that was taken, which
    continues that of the step before, because loads jump at their windows' edges (told by the batch engine only).
    `sites` are in the run's order; a run in closed loop that did not fail has a `power_quality`.
    """

    dt_s: float
    n_steps: int
    edges: Edges
    nodes: tuple[tuple[str, int], ...]
    node_names: tuple[str, ...]
    lowest_pu: Floats
    lowest_step: Counts
    highest_pu: Floats
    highest_step: Counts
    steps_by_class: Counts
    steps_below: Counts
    steps_above: Counts
    below_pu: Floats
    above_pu: Floats
    branches: tuple[str, ...]
    loading_pu: Floats
    loading_step: Counts
    loading_phase: Counts
    emergency_share: Floats
    loading_steps_over: Counts
    loading_steps_by_class: Counts
    own_loads_unserved_steps: int = 0
    own_loads_worst: str = ""
    second_solution_pu: float = 0.0
    sites: tuple[SiteSummary, ...] = field(default_factory=tuple)
    failure: Failure | None = None
    power_quality: PowerQuality | None = None

    # --- making one

    @staticmethod
    def of_points(
        voltage_pu: Floats,
        nodes: Sequence[tuple[str, int]],
        node_names: Sequence[str],
        dt_s: float,
        *,
        edges: Edges | None = None,
        loading_pu: NDArray[np.floating] | None = None,
        branches: Sequence[str] = (),
        loading_phase: Ints | None = None,
        emergency_share: Floats | None = None,
        solved: NDArray[np.bool_] | None = None,
        failure: Failure | None = None,
        own_loads_unserved_steps: int = 0,
        own_loads_worst: str = "",
        sites: tuple[SiteSummary, ...] = (),
    ) -> Summary:
        """The record of power flows whose voltages (node, point) and loadings (branch, point) are at hand.

        A point stands for a step of `dt_s` (s). `loading_phase` and `emergency_share` are of shape (branch,); without
        them no conductor is named, and no branch has an emergency rating. Points that are not `solved` count as no
        steps, and the first of them makes the run a failed one, if no other `failure` is given; a voltage that is no
        number does so too. Raises `InputError` if no voltage is monitored.
        """
        if len(nodes) == 0:
            raise no_voltage()
        used, points = edges or Edges(), np.arange(voltage_pu.shape[1])
        if solved is not None and not solved.all():
            failure = failure or Failure(FailureKind.NOT_CONVERGED, time_s=float(points[~solved][0]) * dt_s)
            points = points[solved]
            voltage_pu = voltage_pu[:, solved]
            loading_pu = loading_pu[:, solved] if loading_pu is not None else None
        undefined = np.flatnonzero(np.isnan(voltage_pu).any(axis=1))
        if len(undefined) and failure is None:
            failure = Failure(FailureKind.UNDEFINED_VOLTAGE, node_names[undefined[0]])
        if voltage_pu.shape[1] == 0 or len(undefined):
            failure = failure or Failure(FailureKind.NO_ANSWER, "there are no points")
            return Summary.without_figures(failure, dt_s)
        loading = np.zeros((0, len(points))) if loading_pu is None else loading_pu
        by_class, below, above = count_voltages(voltage_pu, used)
        over, loading_by_class = count_loadings(loading, used)
        return Summary(
            dt_s=dt_s,
            n_steps=len(points),
            edges=used,
            nodes=tuple(nodes),
            node_names=tuple(node_names),
            lowest_pu=voltage_pu.min(axis=1),
            lowest_step=points[voltage_pu.argmin(axis=1)].astype(np.int32),
            highest_pu=voltage_pu.max(axis=1),
            highest_step=points[voltage_pu.argmax(axis=1)].astype(np.int32),
            steps_by_class=by_class,
            steps_below=np.array([(voltage_pu < edge).sum(axis=1) for edge in used.low_pu], np.int32),
            steps_above=np.array([(voltage_pu > edge).sum(axis=1) for edge in used.high_pu], np.int32),
            below_pu=below,
            above_pu=above,
            branches=tuple(branches),
            loading_pu=loading.max(axis=1, initial=0.0).astype(np.float64),
            loading_step=(points[loading.argmax(axis=1)] if len(loading) else np.zeros(0)).astype(np.int32),
            loading_phase=np.zeros(len(loading), np.int32) if loading_phase is None else loading_phase.astype(np.int32),
            emergency_share=np.zeros(len(loading)) if emergency_share is None else emergency_share,
            loading_steps_over=over,
            loading_steps_by_class=loading_by_class,
            own_loads_unserved_steps=own_loads_unserved_steps,
            own_loads_worst=own_loads_worst,
            sites=sites,
            failure=failure,
        )

    @staticmethod
    def without_figures(failure: Failure, dt_s: float) -> Summary:
        """The record of a run that failed before its first step."""
        edges, none, nothing = Edges(), np.zeros(0), np.zeros(0, np.int32)
        n_low, n_high, n_loading = len(edges.low_pu), len(edges.high_pu), len(edges.loading_pu)
        return Summary(
            dt_s=dt_s,
            n_steps=0,
            edges=edges,
            nodes=(),
            node_names=(),
            lowest_pu=none,
            lowest_step=nothing,
            highest_pu=none,
            highest_step=nothing,
            steps_by_class=np.zeros((n_low + 1, n_high + 1), np.int32),
            steps_below=np.zeros((n_low, 0), np.int32),
            steps_above=np.zeros((n_high, 0), np.int32),
            below_pu=np.zeros(n_low),
            above_pu=np.zeros(n_high),
            branches=(),
            loading_pu=none,
            loading_step=nothing,
            loading_phase=nothing,
            emergency_share=none,
            loading_steps_over=np.zeros((n_loading, 0), np.int32),
            loading_steps_by_class=np.zeros(n_loading + 1, np.int32),
            failure=failure,
        )

    # --- time, power, service

    @property
    def duration_s(self) -> float:
        """Time (s) that was simulated."""
        return self.n_steps * self.dt_s

    @property
    def own_loads_unserved_time_s(self) -> float:
        """Time (s) in which a constant-power load of the circuit itself was outside its window."""
        return self.own_loads_unserved_steps * self.dt_s

    @property
    def power_mean_mw(self) -> float:
        """Mean power of all sites together (MW)."""
        return sum(site.power_mean_mw for site in self.sites)

    @property
    def power_peak_mw(self) -> float:
        """The sites' own peaks (MW), added up."""
        return sum(site.power_peak_mw for site in self.sites)

    @property
    def uncontrolled_peak_mw(self) -> float:
        """The peaks (MW) of the same fleets left at their batch sizes, added up."""
        return sum(site.uncontrolled_peak_mw for site in self.sites)

    @property
    def energy_mwh(self) -> float:
        """Energy of all sites (MWh)."""
        return sum(site.energy_mwh for site in self.sites)

    @property
    def throughput_tps(self) -> float:
        """Tokens served per second, of all sites, averaged over time."""
        return sum(site.throughput_tps for site in self.sites)

    @property
    def throughput_share(self) -> float:
        """Tokens served against those of the same fleets left at their batch sizes; 1 where those serve none."""
        uncontrolled = sum(site.uncontrolled_tps for site in self.sites)
        return self.throughput_tps / uncontrolled if uncontrolled > 0 else 1.0

    @property
    def latency_miss_share(self) -> float:
        """Share of (step, model, site) samples with latency above its target."""
        return sum(s.latency_misses for s in self.sites) / max(sum(s.latency_samples for s in self.sites), 1)

    @property
    def batch_switches(self) -> int:
        """Changes of batch sizes, of all sites and models."""
        return sum(site.batch_switches for site in self.sites)

    @property
    def curtailed_time_s(self) -> float:
        """Time (s) below the batch sizes it began at, of the site curtailed longest."""
        return max((site.curtailed_steps for site in self.sites), default=0) * self.dt_s

    # --- voltages

    @property
    def lowest(self) -> float:
        """Lowest monitored voltage (pu); NaN if there is none."""
        return float(self.lowest_pu.min()) if len(self.lowest_pu) else np.nan

    @property
    def highest(self) -> float:
        """Highest monitored voltage (pu); NaN if there is none."""
        return float(self.highest_pu.max()) if len(self.highest_pu) else np.nan

    def knows_times(self, v_min: float, v_max: float) -> bool:
        """True if time and integral outside `v_min` to `v_max` (pu) are known: both edges, or nothing is outside."""
        at_edges = place_of(self.edges.low_pu, v_min) is not None and place_of(self.edges.high_pu, v_max) is not None
        return at_edges or (self.lowest >= v_min and self.highest <= v_max)

    def voltage_stats(self, v_min: float, v_max: float) -> VoltageStats:
        """Voltage metrics (equation 3.1) for a band from `v_min` to `v_max` (pu).

        Raises `InputError` unless the voltages keep the band, or both ends are edges.
        """
        if self.lowest >= v_min and self.highest <= v_max:
            return VoltageStats(self.lowest, self.highest, 0.0, 0.0)
        low, high = edge_of(self.edges.low_pu, v_min, "voltage"), edge_of(self.edges.high_pu, v_max, "voltage")
        # Inside: the lowest is at or above the low edge, and the highest at or below the high one.
        inside = int(self.steps_by_class[low + 1 :, : high + 1].sum())
        return VoltageStats(
            worst_vmin=self.lowest,
            worst_vmax=self.highest,
            violation_time_s=(self.n_steps - inside) * self.dt_s,
            integral_violation_pu_s=float(self.below_pu[low] + self.above_pu[high]) * self.dt_s,
        )

    def node_times_s(self, v_min: float, v_max: float) -> tuple[Floats, Floats]:
        """Times (s) of every node below `v_min` and above `v_max` (pu), each (node,).

        Raises `InputError` for an end that is neither kept nor an edge.
        """
        below = (
            self.steps_below[edge_of(self.edges.low_pu, v_min, "voltage")]
            if self.lowest < v_min
            else 0.0 * self.lowest_pu
        )
        above = (
            self.steps_above[edge_of(self.edges.high_pu, v_max, "voltage")]
            if self.highest > v_max
            else 0.0 * self.highest_pu
        )
        return below * self.dt_s, above * self.dt_s

    def branch_times_s(self, limit_pu: float) -> Floats:
        """Times (s) of every branch above a share of its rating (branch,): an edge, or one that none passes."""
        if not len(self.loading_pu) or self.loading_pu.max() <= limit_pu:
            return np.zeros(len(self.loading_pu))
        return np.asarray(self.loading_steps_over[edge_of(self.edges.loading_pu, limit_pu, "loading")] * self.dt_s)

    def worst_voltage(self, v_min: float, v_max: float) -> WorstVoltage:
        """The monitored voltage with the smallest margin to a band from `v_min` to `v_max` (pu), over the whole run."""
        low, high = self.lowest_pu - v_min, v_max - self.highest_pu
        i, j = int(low.argmin()), int(high.argmin())
        under = low[i] <= high[j]
        place = i if under else j
        bus, phase = self.node_names[place].rsplit(".", 1)
        step = int((self.lowest_step if under else self.highest_step)[place])
        voltage = float((self.lowest_pu if under else self.highest_pu)[place])
        return WorstVoltage(bus, phase, step * self.dt_s, voltage, float(min(low[i], high[j])))

    # --- loadings

    def worst_loading(self, kind: str = "", emergency: bool = False) -> WorstLoading | None:
        """The worst loaded branch of a kind (see `is_of_kind`); None if there is none.

        With `emergency`, the one closest to its emergency rating.
        """
        places = places_of_kind(self.branches, kind)
        if not len(places):
            return None
        counted = self.loading_pu * self.emergency_share if emergency else self.loading_pu
        b = int(places[counted[places].argmax()])
        over = self.loading_steps_over[edge_of(self.edges.loading_pu, 1.0, "loading"), b]
        return WorstLoading(
            self.branches[b],
            float(self.loading_pu[b]),
            int(self.loading_step[b]) * self.dt_s,
            float(over) * self.dt_s,
            phase_letter(int(self.loading_phase[b])),
            float(self.loading_pu[b] * self.emergency_share[b]),
        )

    def overload_time_s(self, limit_pu: float) -> float:
        """Time (s) in which any branch carries more than a share of its rating: an edge, or one that none passes."""
        if not len(self.loading_pu) or self.loading_pu.max() <= limit_pu:
            return 0.0
        edge = edge_of(self.edges.loading_pu, limit_pu, "loading")
        return float(self.loading_steps_by_class[edge + 1 :].sum()) * self.dt_s
