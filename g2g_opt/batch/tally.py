"""What a batch keeps of every scenario, added up step by step: the figures of a `Summary`."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from g2g_opt.batch.fleets import Fleets
from g2g_opt.batch.kernel_tables import Solutions
from g2g_opt.batch.tally_kernel import (
    LoadingTally,
    OwnLoadTally,
    ServiceTally,
    StepTally,
    VoltageTally,
    tally_step,
)
from g2g_opt.compiled.lanes import aligned, aligned_counts
from g2g_opt.compiled.program import Part
from g2g_opt.compiled.records import pack
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
        solutions: Solutions,
        fleets: Fleets,
        edges: Edges,
        branches: Sequence[str],
        emergency_share: Floats,
        deadline_s: Floats,
        own_tolerance: float,
        load_names: Sequence[str],
    ) -> None:
        """`solutions` are those of the power flow, which every step writes anew; loads of the circuit itself may miss
        `own_tolerance` of their power (share) without being counted; `load_names` are theirs by branch.
        """
        self._nodes, self._node_names, self._edges = tuple(nodes), tuple(node_names), edges
        self._branches, self._emergency_share = tuple(branches), emergency_share
        n_slots, n_branches = len(solutions.solved), len(branches)
        shape, n_low, n_high = (len(rows), n_slots), len(edges.low_pu), len(edges.high_pu)
        self._voltages = VoltageTally(
            solutions.voltage_pu,
            rows,
            np.array(edges.low_pu),
            np.array(edges.high_pu),
            lowest=aligned(*shape),
            highest=aligned(*shape),
            lowest_step=aligned_counts(*shape),
            highest_step=aligned_counts(*shape),
            below=aligned(n_low, n_slots),
            above=aligned(n_high, n_slots),
            steps_below=aligned_counts(n_low, *shape),
            steps_above=aligned_counts(n_high, *shape),
            steps=np.zeros((n_low + 1, n_high + 1, n_slots), np.int32),
            least=aligned(n_slots),
            most=aligned(n_slots),
        )
        self._voltages.lowest[:], self._voltages.highest[:] = np.inf, -np.inf
        by_branch = (n_branches, n_slots)
        self._loadings = LoadingTally(
            solutions.loading_pu,
            solutions.loading_phase,
            highest=aligned(*by_branch),
            highest_step=aligned_counts(*by_branch),
            highest_phase=aligned_counts(*by_branch),
            edges=np.array(edges.loading_pu),
            over=aligned_counts(len(edges.loading_pu), *by_branch),
            steps=np.zeros((len(edges.loading_pu) + 1, n_slots), np.int32),
            worst=aligned(n_slots),
        )
        self._fleets = fleets
        n_rows, n_fleets = fleets.n_rows, len(fleets.sites)
        self._service = ServiceTally(
            fleets.batch,
            fleets.replicas,
            before=fleets.commanded.copy(),
            nominal=fleets.commanded.copy(),
            itl_s=fleets.itl_s,
            deadline_s=deadline_s,
            fleet=fleets.row_fleet,
            power_w=fleets.power_w,
            tokens=np.zeros(n_rows),
            samples=np.zeros(n_rows, dtype=np.int64),
            misses=np.zeros(n_rows, dtype=np.int64),
            switches=np.zeros(n_rows, dtype=np.int64),
            below=np.zeros(n_fleets, dtype=np.int64),
            curtailed=np.zeros(n_fleets, dtype=np.int64),
            power_sum=np.zeros(n_fleets),
            power_peak=np.full(n_fleets, -np.inf),
        )
        self._load_names = load_names
        self._own_loads = OwnLoadTally(
            solutions.own_share,
            solutions.own_load,
            solutions.own_voltage_pu,
            steps=np.zeros(n_slots, dtype=np.int64),
            worst_share=np.ones(n_slots),
            worst_load=np.zeros(n_slots, dtype=np.int64),
            worst_pu=np.zeros(n_slots),
            worst_step=np.zeros(n_slots, dtype=np.int64),
            second_pu=solutions.second_pu,
            farthest_pu=np.zeros(n_slots),
        )
        self._steps = np.zeros(1, dtype=np.int64)
        parts = self._voltages, self._loadings, self._service, self._own_loads
        self._packed = pack(StepTally(self._steps, own_tolerance, *parts))

    @property
    def n_steps(self) -> int:
        """Steps that were added."""
        return int(self._steps[0])

    def add(self, step: int) -> None:
        """One step, as solved and as the fleets drew it."""
        tally_step(self._packed.address, step)

    def part(self) -> Part:
        """`add` as a part of a compiled step."""
        return Part(lambda step, code: self.add(step), tally_step, self._packed)

    def _own_worst(self, slot: int, dt_s: Fraction) -> str:
        """The worst step of a load of the circuit's own, in words; none if all were served."""
        of = self._own_loads
        if not of.steps[slot]:
            return ""
        name, share, step = self._load_names[of.worst_load[slot]], float(of.worst_share[slot]), int(of.worst_step[slot])
        time_s = step * dt_s.numerator / dt_s.denominator
        return f"load {name} was served {100.0 * share:.1f} % at t={time_s:g} s, {float(of.worst_pu[slot]):.4f} pu"

    def summary(self, slot: int, period_s: Fraction, failure: Failure | None = None) -> Summary:
        """One scenario's record so far, with the reason if it ends here."""
        dt_s = float(period_s)
        if self.n_steps == 0 and failure is not None:
            return Summary.without_figures(failure, dt_s)
        v, loadings, of = self._voltages, self._loadings, self._service
        lowest = v.lowest[:, slot].copy()
        undefined = np.flatnonzero(~np.isfinite(lowest))
        if len(undefined):
            failure = failure or Failure(FailureKind.UNDEFINED_VOLTAGE, self._node_names[undefined[0]])
        sites = []
        for fleet in self._fleets.of_scenario[slot]:
            rows = slice(self._fleets.first_row[fleet], self._fleets.first_row[fleet + 1])
            sites.append(
                SiteSummary(
                    name=self._fleets.sites[fleet].name,
                    power_mean_mw=float(of.power_sum[fleet] / self.n_steps / 1e6),
                    power_peak_mw=float(of.power_peak[fleet] / 1e6),
                    energy_mwh=float(of.power_sum[fleet] / 1e6 * dt_s / 3600.0),
                    throughput_tps=float(of.tokens[rows].sum() / self.n_steps),
                    latency_samples=int(of.samples[rows].sum()),
                    latency_misses=int(of.misses[rows].sum()),
                    batch_switches=int(of.switches[rows].sum()),
                    curtailed_steps=int(of.curtailed[fleet]),
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
            lowest_step=v.lowest_step[:, slot].copy(),
            highest_pu=v.highest[:, slot].copy(),
            highest_step=v.highest_step[:, slot].copy(),
            steps_by_class=v.steps[:, :, slot].copy(),
            steps_below=v.steps_below[:, :, slot].copy(),
            steps_above=v.steps_above[:, :, slot].copy(),
            below_pu=v.below[:, slot].copy(),
            above_pu=v.above[:, slot].copy(),
            branches=self._branches,
            loading_pu=loadings.highest[:, slot].copy(),
            loading_step=loadings.highest_step[:, slot].copy(),
            loading_phase=loadings.highest_phase[:, slot].copy(),
            emergency_share=self._emergency_share,
            loading_steps_over=loadings.over[:, :, slot].copy(),
            loading_steps_by_class=loadings.steps[:, slot].copy(),
            own_loads_unserved_steps=int(self._own_loads.steps[slot]),
            own_loads_worst=self._own_worst(slot, period_s),
            second_solution_pu=float(self._own_loads.farthest_pu[slot]),
            sites=tuple(sites),
            failure=failure,
        )
