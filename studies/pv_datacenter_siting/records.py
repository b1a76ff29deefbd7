"""Records of a siting plan's power flows, as both engines leave them of runs: what verdicts are made of."""

from __future__ import annotations

from dataclasses import dataclass

from g2g_opt.clock import HOUR_S
from g2g_opt.edges import Edges
from g2g_opt.limits import Limits
from g2g_opt.summary import Summary
from studies.pv_datacenter_siting.days import STEPS_AN_HOUR
from studies.pv_datacenter_siting.network import Floats, Simulated, SitingNetwork
from studies.shared.stored_runs import RunRow, SummaryRow

# Length (s) of a step of the days; of the year it is an hour.
STEP_S = HOUR_S / STEPS_AN_HOUR
# What a record is over: all steps of the days, all hours of the year, one step on OpenDSS.
DAYS, YEAR, STEP = "days", "year", "step"


@dataclass(frozen=True, eq=False)
class PlanRecord(SummaryRow):
    """The record of a plan over its days, the year, or the nearest step of the hour that begins at step `first`."""

    plan: str
    over: str
    first: int

    @staticmethod
    def over_days(plan: str, network: SitingNetwork, simulated: Simulated) -> PlanRecord:
        """Of all steps of the days, one after the other; `network` is the one with loadings."""
        return PlanRecord.of_summary(_record(network, simulated, STEP_S), plan=plan, over=DAYS, first=0)

    @staticmethod
    def over_year(plan: str, network: SitingNetwork, simulated: Simulated) -> PlanRecord:
        """Of all hours of the year; `network` is the one with loadings."""
        return PlanRecord.of_summary(_record(network, simulated, HOUR_S), plan=plan, over=YEAR, first=0)

    @staticmethod
    def at_step(plan: str, network: SitingNetwork, voltage_pu: Floats, first: int) -> PlanRecord:
        """Of the voltages (row,) at one step of an hour; loadings are judged in the hour's run."""
        voltages = voltage_pu[:, None]
        record = Summary.of_points(voltages, network.nodes, network.node_names(), STEP_S, edges=_edges(network.limits))
        return PlanRecord.of_summary(record, plan=plan, over=STEP, first=first)


@dataclass(frozen=True, eq=False)
class WindowRun(RunRow):
    """An hour of the plan `of_plan` with its fleets in closed loop, under a kind of policy."""

    of_plan: str
    first: int
    policy: str


def _record(network: SitingNetwork, simulated: Simulated, step_s: float) -> Summary:
    n = network.n_voltages
    return Summary.of_points(
        simulated.g[:n],
        network.nodes,
        network.node_names(),
        step_s,
        edges=_edges(network.limits),
        loading_pu=simulated.g[n:],
        branches=network.branches,
        emergency_share=network.emergency_share,
        solved=simulated.solved,
    )


def _edges(limits: Limits) -> Edges:
    """Where voltages and loadings are counted: at the limits among others."""
    return Edges().including(limits.voltage_min_pu, limits.voltage_max_pu, limits.loading_max_pu)
