"""The fleet of a site left at its batch sizes: what a coordinated run is compared with."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from g2g_opt.assembly import assemble_datacenter, begun
from g2g_opt.metrics.performance import compute_performance_stats
from g2g_opt.scenario import Scenario
from g2g_opt.site import Site


@dataclass(frozen=True)
class UncontrolledFleet:
    """A site's fleet left at its batch sizes, without a grid: peak (MW) and tokens served (tokens/s)."""

    power_peak_mw: float
    throughput_tps: float


def replay_uncontrolled(site: Site, scenario: Scenario, trace_dir: Path) -> UncontrolledFleet:
    """The same fleet without commands: keyed draws make it the very run that a controller starts from."""
    # Where the site stands and what else the feeder carries make no difference to its fleet.
    return _replay(replace(begun(site, scenario), bus=""), replace(scenario, own_load_share=1.0), trace_dir)


@lru_cache(maxsize=4096)
def _replay(site: Site, scenario: Scenario, trace_dir: Path) -> UncontrolledFleet:
    datacenter = assemble_datacenter(site, scenario, trace_dir)
    datacenter.advance_block(0.0, int(scenario.duration_s / scenario.dt_s))
    power_peak_mw = float(datacenter.record.power_w.sum(axis=1).max() / 1e6)
    deadlines = {d.spec.model_label: d.spec.itl_deadline_s for d in site.deployments}
    service = compute_performance_stats(datacenter.record, itl_deadline_s_by_model=deadlines)
    return UncontrolledFleet(power_peak_mw, service.mean_throughput_tps)
