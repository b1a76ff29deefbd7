"""The record of a run on OpenDSS, from its figures step by step: the same `Summary` as the batch engine leaves."""

from __future__ import annotations

import numpy as np

from g2g_opt.assembly import Assembly
from g2g_opt.channel.views import physical
from g2g_opt.controller.ofo import OFOBatchSizeController
from g2g_opt.controller.rule_based import RuleBasedBatchSizeController
from g2g_opt.datacenter.offline import OfflineDatacenter
from g2g_opt.datacenter.record import OfflineDatacenterRecord
from g2g_opt.edges import Edges
from g2g_opt.errors import PowerFlowError
from g2g_opt.failure import Failure
from g2g_opt.metrics.performance import throughput_tps
from g2g_opt.outcome import StepFigures
from g2g_opt.plan import Plan
from g2g_opt.site import Site
from g2g_opt.summary import SiteSummary, Summary


def summarise(run: Assembly, plan: Plan, dt_s: float, edges: Edges, failure: Failure | None = None) -> Summary:
    """A run that is over; with the `failure` that ended it, what it came to until then."""
    grid, record = run.grid, run.grid.solved_record
    try:
        record.flush()
    except PowerFlowError as earlier:
        # What was not served before the run ended is the earlier reason.
        failure = earlier.failure
    end = len(record.time_s)
    if failure is not None and failure.time_s is not None:
        end = int(np.searchsorted(record.time_s, failure.time_s))
    if failure is not None and end == 0:
        return Summary.without_figures(failure, dt_s)
    columns, loading, buses = grid.monitored_columns, record.loading, grid.feeder.buses
    nodes = [record.nodes[i] for i in columns]
    ends_s = np.inf if failure is None or failure.time_s is None else failure.time_s
    exhausted = {name: _exhausted_before(ends_s, run, datacenter) for name, datacenter in run.datacenters.items()}
    unserved = grid.own_loads.unserved_before(ends_s)
    return Summary.of_points(
        record.voltage_pu[:end, columns].T,
        nodes,
        [f"{bus}.{buses[bus].voltage_name(phase)}" for bus, phase in nodes],
        dt_s,
        edges=edges,
        loading_pu=record.loading_pu[:end].T if loading is not None else None,
        branches=loading.names if loading is not None else (),
        loading_phase=record.loading_phase if loading is not None else None,
        emergency_share=loading.emergency_share if loading is not None else None,
        own_loads_unserved_steps=unserved,
        own_loads_worst=grid.own_loads.worst if unserved else "",
        sites=tuple(
            _site(site, run.datacenters[site.name].record, end, dt_s, exhausted[site.name]) for site in plan.sites
        ),
        failure=failure,
    )


def _exhausted_before(ends_s: float, run: Assembly, datacenter: OfflineDatacenter) -> int:
    """Control steps before a time (s) at which the batch-size controllers of a site could do no more."""
    return sum(
        time_s < ends_s
        for controller in run.coordinator.controllers
        if isinstance(controller, OFOBatchSizeController | RuleBasedBatchSizeController)
        and physical(controller.datacenter) is datacenter
        for time_s in controller.exhausted_at_s
    )


def _site(
    site: Site, record: OfflineDatacenterRecord, n_steps: int, dt_s: float, exhausted_control_steps: int
) -> SiteSummary:
    power_mw = record.power_w[:n_steps].sum(axis=1) / 1e6
    batch, replicas, itl_s = record.batch_size[:n_steps], record.replicas[:n_steps], record.itl_s[:n_steps]
    deadlines = {d.spec.model_label: d.spec.itl_deadline_s for d in site.deployments}
    deadline_s = np.array([deadlines[label] for label in record.labels])
    sampled = (replicas > 0) & np.isfinite(itl_s)
    curtailed = ((replicas > 0) & (batch < batch[0])).any(axis=1)
    return SiteSummary(
        name=site.name,
        power_mean_mw=float(power_mw.mean()),
        power_peak_mw=float(power_mw.max()),
        energy_mwh=float(power_mw.sum() * dt_s / 3600.0),
        throughput_tps=float(throughput_tps(batch.astype(float), replicas.astype(float), itl_s).mean(axis=0).sum()),
        latency_samples=int(sampled.sum()),
        latency_misses=int((sampled & (itl_s > deadline_s)).sum()),
        batch_switches=int(np.count_nonzero(np.diff(batch, axis=0))),
        curtailed_steps=int(curtailed.sum()),
        exhausted_control_steps=exhausted_control_steps,
    )


def figures_by_step(run: Assembly) -> StepFigures:
    """Figures of every step of a run without a failure."""
    record = run.grid.record
    voltage_pu = record.voltage_pu[:, run.grid.monitored_columns]
    assert record.loading is not None  # `simulate` has them recorded
    loading = record.loading_pu.astype(np.float64)
    return StepFigures(
        voltage_pu.min(axis=1),
        voltage_pu.max(axis=1),
        loading.max(axis=1, initial=0.0),
        (loading * record.loading.emergency_share).max(axis=1, initial=0.0),
        np.sum([site.record.power_w.sum(axis=1) / 1e6 for site in run.datacenters.values()], axis=0),
    )
