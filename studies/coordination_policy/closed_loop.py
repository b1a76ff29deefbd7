"""The closed-loop study: a policy trained on the hours of one period runs another, hour by hour (equation 9.6)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from g2g_opt.coordinator import Coordinator
from g2g_opt.errors import InputError
from g2g_opt.transmission.policy import ContextualPolicy
from g2g_opt.transmission.policy_controller import ContextualPolicyController, published_names
from g2g_opt.transmission.zonal_datacenter import HOUR_S, ZonalDatacenter, ZonalDatacenterState
from g2g_opt.transmission.zonal_grid import Dispatch, ZonalGrid, ZonalGridState
from solvers.dispatch.solve import solve_dispatch
from solvers.outcome import SolverError
from studies.coordination_policy.hours import LAG_MAX_H, Hours, draw_hours, make_features, published
from studies.coordination_policy.peak_hour import respond
from studies.coordination_policy.question import CoordinationQuestion
from studies.coordination_policy.setting import ACCEPT_MW, CoordinationSetting
from studies.coordination_policy.training import train_contextual

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class LoopRun:
    """One run: cost (hour,) in $, loads (hour, datacenter), shed load (hour,), flows (hour, line), events by topic."""

    cost_usd: Floats
    theta_mw: Floats
    shed_mw: Floats
    flow_mw: Floats
    accepted: NDArray[np.bool_]
    asked_outside: int
    waits: int


def train_loop_policy(
    question: CoordinationQuestion, setting: CoordinationSetting, hours: Hours, q: int, draw: int, eps: float
) -> tuple[ContextualPolicy, dict[str, float]]:
    """A policy of q hours before those that are run, and how its training went; `SolverError` if not certified."""
    train = draw_hours(question, hours, q, draw)
    features, values = make_features(question, setting, hours, train)
    load, injected = hours.load_mw[train], hours.injected_mw[train]
    found = train_contextual(question, setting, load, injected, values, eps, question.latency_margin)
    if not found.certified:
        raise SolverError(f"the training of draw {draw} was not certified: {found.certificate}")
    about: dict[str, float | str] = {
        "settings": question.settings,
        "alpha": setting.alpha,
        "penetration": setting.penetration,
        "eps": eps,
        "records": q,
        "draw": draw,
        "until": str(hours.series.hour_begins[hours.first]),
    }
    policy = ContextualPolicy(setting.system.datacenters, features, found.conserving_matrix, about)
    own = found.certificate
    residual = max(own.gap, own.primal_residual, own.dual_residual)
    return policy, {"training_s": found.seconds, "training_cost": found.cost_usd, "residual": residual}


def run_loop(
    question: CoordinationQuestion,
    setting: CoordinationSetting,
    hours: Hours,
    policy: ContextualPolicy | None,
    report: Callable[[float], None] = lambda share: None,
) -> LoopRun:
    """Every hour of the run in the Coordinator: datacenters, dispatch, policy. Without a policy nothing is shifted."""
    first, last, system = hours.first, hours.last, setting.system

    def dispatch(load_mw: Floats, renewable_mw: Floats) -> Dispatch:
        found = solve_dispatch(setting.dispatch, load_mw[None], renewable_mw[None])
        return Dispatch(
            bool(found.solved[0]),
            float(found.cost_usd[0]),
            found.shed_mw[0],
            found.price_usd_per_mwh[0],
            found.flow_mw[0],
        )

    grid = ZonalGrid(hours.load_mw[first:last], hours.injected_mw[first:last], dispatch, shed_rule=question.shed_rule)
    sites = [
        ZonalDatacenter(name, int(zone), float(mw))
        for name, zone, mw in zip(system.datacenters, system.datacenter_zone, setting.base_mw, strict=True)
    ]
    for site in sites:
        grid.attach_dc(site)
    controllers: list[ContextualPolicyController] = []
    if policy is not None:
        # What datacenters accept is asked by their place.
        if policy.datacenters != system.datacenters:
            raise InputError(f"the policy is for datacenters {policy.datacenters}, the grid has {system.datacenters}")
        controllers.append(
            ContextualPolicyController(
                policy,
                sites,
                grid,
                published_names(system.zones, system.line_names),
                lambda asked: respond(setting, question.response, asked[None])[0],
                before=published(setting, hours, np.arange(first - LAG_MAX_H, first)),
            )
        )
    coordinator: Coordinator[ZonalDatacenterState, ZonalGridState] = Coordinator(
        datacenters=sites, grid=grid, controllers=controllers, total_duration_s=(last - first) * HOUR_S
    )
    log = coordinator.run(progress=lambda done, of: report(done / of))
    # The last command is for the hour after the run.
    topics = [event.topic for event in log.events if event.data.get("hour", 0) < last - first]
    states = log.grid_states
    return LoopRun(
        np.array([state.dispatch.cost_usd_per_h for state in states]),
        np.array([[state.load_mw for state in log.dc_states_by_site[site.name]] for site in sites]).T,
        np.array([state.dispatch.shed_mw.sum() for state in states]),
        np.array([state.dispatch.flow_mw for state in states]),
        np.array([state.shift_accepted for state in states]),
        topics.count("policy.held_back"),
        topics.count("policy.waits"),
    )


def latency_excess_mw(setting: CoordinationSetting, run: LoopRun) -> float:
    """The farthest that loads of a run were outside what the datacenters accept; at most `ACCEPT_MW` if all is well."""
    return max(0.0, float(setting.network.limits.excess(run.theta_mw).max()) - ACCEPT_MW)
