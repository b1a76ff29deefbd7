"""A plan that runs on a cluster instead of a replayed one: same controllers, same judge, a feeder solved beside it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from g2g_opt.assembly import Assembly, assemble
from g2g_opt.communication import CONTROLLER
from g2g_opt.datacenter.cluster_link import ClusterConnection
from g2g_opt.datacenter.config import DatacenterConfig
from g2g_opt.datacenter.online import OnlineDatacenter
from g2g_opt.errors import InputError
from g2g_opt.feeder import Feeder
from g2g_opt.limits import Limits
from g2g_opt.live.record import LiveRecorder
from g2g_opt.outcome import Outcome
from g2g_opt.plan import Plan
from g2g_opt.scenario import Scenario
from g2g_opt.simulation import simulate_assembled
from g2g_opt.site import GPUS_PER_SERVER, Site


@dataclass(frozen=True, eq=False)
class OnlineRun:
    """A run on a cluster: its outcome, judged as any other, the components that it ran with, and trouble by site."""

    outcome: Outcome
    assembly: Assembly
    troubles: Mapping[str, Mapping[str, int]]


def run_online(
    plan: Plan,
    scenario: Scenario,
    feeder: Feeder,
    limits: Limits,
    connections: Mapping[str, ClusterConnection],
    *,
    speed: float = 1.0,
    recorder: LiveRecorder | None = None,
) -> OnlineRun:
    """Run a plan whose sites are clusters, by `connections` of their names, for the scenario's duration.

    Steps are paced to wall time, `speed` seconds of the run a second. What the feeder does besides the sites is as in
    the scenario. Exchanges with the clusters are written to the `recorder`, in seconds of the run. Raises `InputError`
    for a policy that clusters cannot follow (channels, shifts of replicas), or a site without a connection.
    """
    if plan.policy.channels is not None:
        raise InputError("a running cluster is heard of through a network of its own; give the policy no channels")
    if plan.policy.load_shift_gpus is not None:
        raise InputError("a running cluster takes batch sizes only; give the policy no load shift")
    if missing := [site.name for site in plan.sites if site.name not in connections]:
        raise InputError(f"no connection for sites {missing}")
    sites: list[OnlineDatacenter] = []
    began_s, wall_s = time.time(), time.monotonic()

    def make(site: Site, scenario: Scenario, trace_dir: Path) -> Any:
        told = _teller(recorder, site.name, lambda at_s: began_s + (at_s - wall_s) * speed)
        found = OnlineDatacenter(
            [d.spec for d in site.deployments],
            connections[site.name],
            name=site.name,
            dt_s=scenario.dt_s,
            start_batch_sizes={d.spec.model_label: d.batch_size for d in site.deployments},
            config=DatacenterConfig(GPUS_PER_SERVER, site.base_kw_per_gpu * site.n_gpus / 3.0, site.power_factor),
            speed=speed,
            told=told,
        )
        sites.append(found)
        return found

    assembly = assemble(plan, scenario, feeder, limits, make_datacenter=make, live_speed=speed)
    outcome = simulate_assembled(assembly, plan, scenario, feeder, limits)
    if recorder is not None:
        for event in (event for site in sites for event in site.endpoint_changes):
            recorder.event(began_s + event[0], event[1], event[2])
        recorder.flush()
    return OnlineRun(outcome, assembly, {site.name: dict(+site.troubles) for site in sites})


def _teller(
    recorder: LiveRecorder | None, site: str, run_s: Callable[[float], float]
) -> Callable[[str, int, float, float | None], None]:
    """What writes a site's exchanges to the record: figures come from it, commands go to it."""
    if recorder is None:
        return lambda topic, number, began_s, ended_s: None
    lanes = {"site": recorder.lane(site, CONTROLLER, "site"), "command": recorder.lane(CONTROLLER, site, "command")}

    def told(topic: str, number: int, began_s: float, ended_s: float | None) -> None:
        recorder.sent(lanes[topic], number, run_s(began_s))
        if ended_s is not None:
            recorder.arrived(lanes[topic], number, run_s(ended_s), run_s(began_s))

    return told
