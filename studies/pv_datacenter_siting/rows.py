"""What a siting study stores: plans, rounds, sizes, taps, voltages, hours and ties, each a typed record."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Annotated

import numpy as np

from solvers.siting.problem import CostParts
from studies.pv_datacenter_siting.case import SitingCase
from studies.pv_datacenter_siting.days import STEPS_AN_HOUR, clock_of
from studies.pv_datacenter_siting.network import worst_place
from studies.pv_datacenter_siting.proposal import Proposal, ProposalRound
from studies.pv_datacenter_siting.stored_plan import dump_plan
from studies.shared.typed_rows import ShownAs, TypedRow


@dataclass(frozen=True)
class PlanRow(TypedRow):
    """A plan: what it builds, what it costs by parts ($ a year, simulated), the bound, and how its days went.

    `number` counts the question's own plans, `turn` says after how many refusals' rounds it was proposed; a plan of a
    `sweep` has its `value`. `cost_agrees`: simulated as predicted. `over_pu_h` is a year's, of all rows.

    Under regulators' own controls `cost` and its parts are those of the simulated year: tap steps, losses and
    violations as they are more than those of the feeder as it is, with `cost_tap_steps` and `cost_violation_paid` all
    there are. `cost_by_days` is what the days
    make of it, `foresight_bound` what no plan costs less than by the program with free taps, and `foresight_loss` how
    far this one is from it, with all of its tap steps and without losses, of which the bound knows nothing.
    """

    plan: Annotated[str, ShownAs("plan")]
    number: int
    turn: int
    sweep: str
    value: float | None
    pv: Annotated[str, ShownAs("PV")]
    sites: Annotated[str, ShownAs("datacenters")]
    pv_kw: float
    site_kw: float
    storage_kw: Annotated[float, ShownAs("storage (kW)", 0, secondary=True)]
    storage_kwh: Annotated[float, ShownAs("storage (kWh)", 0, secondary=True)]
    curtailed_mwh: Annotated[float, ShownAs("curtailed (MWh/year)", 1, secondary=True)]
    cost: Annotated[float, ShownAs("simulated cost ($/year)", 0)]
    predicted_cost: Annotated[float, ShownAs("predicted cost ($/year)", 0)]
    cost_pv_investment: Annotated[float, ShownAs("PV investment ($/year)", 0, secondary=True)]
    cost_pv_energy: Annotated[float, ShownAs("PV energy ($/year)", 0, secondary=True)]
    cost_violation: Annotated[float, ShownAs("violations ($/year)", 0, secondary=True)]
    cost_switching: Annotated[float, ShownAs("tap changes ($/year)", 0, secondary=True)]
    cost_site_value: Annotated[float, ShownAs("value of datacenters ($/year)", 0, secondary=True)]
    cost_storage_investment: Annotated[float, ShownAs("storage investment ($/year)", 0, secondary=True)]
    cost_storage_energy: Annotated[float, ShownAs("storage energy ($/year)", 0, secondary=True)]
    cost_losses: Annotated[float, ShownAs("losses ($/year)", 0, secondary=True)]
    cost_tap_steps: float
    cost_violation_paid: float
    cost_by_days: Annotated[float, ShownAs("by the days alone ($/year)", 0, secondary=True)]
    foresight_bound: Annotated[float | None, ShownAs("bound with foresight of taps ($/year)", 0, secondary=True)]
    foresight_loss: Annotated[float | None, ShownAs("behind that bound ($/year)", 0, secondary=True)]
    bound: Annotated[float, ShownAs("bound ($/year)", 0, secondary=True)]
    gap: Annotated[float, ShownAs("gap", 4)]
    status: Annotated[str, ShownAs("solver", secondary=True)]
    solver_s: Annotated[float, ShownAs("solver (s)", 1, secondary=True)]
    n_rounds: Annotated[int, ShownAs("rounds", secondary=True)]
    n_unsolved: int
    cost_agrees: bool
    over_max_pu: Annotated[float, ShownAs("farthest outside (pu)", 5, secondary=True)]
    over_pu_h: Annotated[float, ShownAs("outside (pu h/year)", 4, secondary=True)]
    lowest_pu: Annotated[float | None, ShownAs("lowest (pu)", 4)]
    highest_pu: Annotated[float | None, ShownAs("highest (pu)", 4)]
    json: str

    @property
    def cost_parts(self) -> dict[str, float]:
        """Terms of the objective by name."""
        return {name: getattr(self, f"cost_{name}") for name in (*CostParts.__dataclass_fields__, "losses")}


@dataclass(frozen=True)
class RoundRow(TypedRow):
    """One turn of propose, simulate, correct: what the program predicted and what was simulated."""

    plan: Annotated[str, ShownAs("plan")]
    n_days: Annotated[int, ShownAs("days")]
    round: Annotated[int, ShownAs("round")]
    predicted_cost: Annotated[float, ShownAs("predicted cost ($/year)", 0)]
    simulated_cost: Annotated[float, ShownAs("simulated cost ($/year)", 0)]
    gap: Annotated[float, ShownAs("gap", 4)]
    predicted_lowest_pu: Annotated[float, ShownAs("predicted lowest (pu)", 4)]
    simulated_lowest_pu: Annotated[float | None, ShownAs("simulated lowest (pu)", 4)]
    predicted_highest_pu: Annotated[float, ShownAs("predicted highest (pu)", 4)]
    simulated_highest_pu: Annotated[float | None, ShownAs("simulated highest (pu)", 4)]
    n_over: Annotated[int, ShownAs("broken limits")]
    over_max_pu: Annotated[float, ShownAs("farthest outside (pu)", 5, secondary=True)]
    where: Annotated[str, ShownAs("worst at", secondary=True)]
    when: Annotated[str, ShownAs("worst when", secondary=True)]
    n_unsolved: Annotated[int, ShownAs("steps without a solution", secondary=True)]
    rows_generated: Annotated[int, ShownAs("rows generated", secondary=True)]
    rows_all: Annotated[int, ShownAs("rows in all", secondary=True)]
    status: Annotated[str, ShownAs("solver", secondary=True)]
    solver_s: Annotated[float, ShownAs("solver (s)", 1, secondary=True)]
    bound: float


@dataclass(frozen=True)
class HistoryRow(TypedRow):
    """Cost of the best plan and bound ($ a year) after `seconds` of all rounds' solver."""

    plan: str
    round: int
    seconds: float
    cost: float
    bound: float


@dataclass(frozen=True)
class BuiltSizeRow(TypedRow):
    """Something that is built: "PV" or a "datacenter"; sizes that are not free have no largest one."""

    plan: Annotated[str, ShownAs("plan")]
    kind: Annotated[str, ShownAs("kind")]
    name: Annotated[str, ShownAs("name")]
    bus: Annotated[str, ShownAs("bus")]
    size_kw: Annotated[float, ShownAs("size (kW)", 0)]
    size_max_kw: Annotated[float | None, ShownAs("largest allowed (kW)", 0)]
    storage_kw: Annotated[float, ShownAs("storage (kW)", 0, secondary=True)]
    storage_kwh: Annotated[float, ShownAs("storage (kWh)", 0, secondary=True)]


@dataclass(frozen=True)
class YearRow(TypedRow):
    """A plan over the hours of the year: energy of PV, and what the representative days say it is."""

    plan: str
    n_hours: int
    pv_mwh: float
    pv_mwh_by_days: float


@dataclass(frozen=True)
class NearestRow(TypedRow):
    """An hour near to a limit: its first step, the step in it that is nearest, and the distance (pu)."""

    plan: str
    first: int
    nearest: int
    margin_pu: float
    when: str


@dataclass(frozen=True)
class WindowRow(TypedRow):
    """The nearest step of such an hour on both engines; figures are None where OpenDSS found no solution (`reason`)."""

    plan: str
    first: int
    nearest: int
    day: int
    when: Annotated[str, ShownAs("nearest to a limit")]
    margin_pu: Annotated[float, ShownAs("margin (pu)", 5)]
    batch_lowest_pu: Annotated[float, ShownAs("lowest, batch engine (pu)", 5)]
    batch_highest_pu: Annotated[float, ShownAs("highest, batch engine (pu)", 5)]
    opendss_lowest_pu: Annotated[float | None, ShownAs("lowest, OpenDSS (pu)", 5)]
    opendss_highest_pu: Annotated[float | None, ShownAs("highest, OpenDSS (pu)", 5)]
    difference_pu: Annotated[float | None, ShownAs("largest difference (pu)", 8, secondary=True)]
    reason: Annotated[str, ShownAs("failure", secondary=True)]


@dataclass(frozen=True)
class TieRow(TypedRow):
    """The sizes of a plan at other buses, with its taps: `n_moved` are elsewhere.

    `cost_more` ($ a year) is not 0 only where violations have a price. `margin_pu` is the least distance of a voltage
    to its limit, None where a step has no solution.
    """

    plan: str
    tie: Annotated[str, ShownAs("placement")]
    pv: Annotated[str, ShownAs("PV")]
    sites: Annotated[str, ShownAs("datacenters")]
    n_moved: Annotated[int, ShownAs("moved", secondary=True)]
    cost_more: Annotated[float, ShownAs("costs more ($/year)", 0)]
    margin_pu: Annotated[float | None, ShownAs("least margin of a voltage (pu)", 5)]


def plan_row(proposal: Proposal, plan: str, number: int, turn: int, sweep: str, value: float | None) -> PlanRow:
    """A proposal as a row."""
    case, best = proposal.case, proposal.best
    built, solution, network = proposal.plan, best.solution, case.network
    g = best.simulated.g[: network.n_voltages, best.simulated.solved]
    return PlanRow(
        plan=plan,
        number=number,
        turn=turn,
        sweep=sweep,
        value=value,
        pv=case.pv_words(built),
        sites=case.site_words(built),
        pv_kw=float(built.pv_kw.sum()),
        site_kw=float(built.site_kw.sum()),
        storage_kw=float(built.storage_kw.sum()),
        storage_kwh=float(built.storage_kwh.sum()),
        curtailed_mwh=float(built.curtailed_kw.sum(axis=0) @ case.calendar.hours) / 1e3,
        cost=best.cost.total,
        predicted_cost=solution.cost.total,
        **{f"cost_{name}": part for name, part in asdict(best.cost).items()},
        cost_losses=0.0,
        cost_tap_steps=best.cost.switching,
        cost_violation_paid=best.cost.violation,
        cost_by_days=best.cost.total,
        foresight_bound=None,
        foresight_loss=None,
        bound=solution.report.bound,
        gap=solution.report.gap,
        status=solution.report.status.value,
        solver_s=sum(one.seconds for one in proposal.rounds),
        n_rounds=len(proposal.rounds),
        n_unsolved=int((~best.simulated.solved).sum()),
        cost_agrees=best.cost_agrees,
        over_max_pu=best.over_max,
        over_pu_h=float((best.over @ case.calendar.hours).sum()),
        lowest_pu=float(g.min()) if g.size else None,
        highest_pu=float(g.max()) if g.size else None,
        json=dump_plan(case, built),
    )


def round_rows(proposal: Proposal, plan: str) -> list[RoundRow]:
    """What every round predicted and what was simulated, those on fewer days first."""
    rows = [] if proposal.before is None else round_rows(proposal.before, plan)
    return rows + [_round_row(proposal.case, one, k + 1, plan) for k, one in enumerate(proposal.rounds)]


def _round_row(case: SitingCase, one: ProposalRound, number: int, plan: str) -> RoundRow:
    n_voltages, solved = case.network.n_voltages, one.simulated.solved
    simulated, predicted = one.simulated.g[:n_voltages, solved], one.solution.predicted[:n_voltages]
    where, when = "", ""
    if one.over_max > 0.0:
        where, point = worst_place(case.network.names(), one.over)
        when = case.place_in_time(point)
    return RoundRow(
        plan=plan,
        n_days=len(case.days),
        round=number,
        status=one.solution.report.status.value,
        predicted_cost=one.solution.cost.total,
        simulated_cost=one.cost.total,
        bound=one.solution.report.bound,
        gap=one.solution.report.gap,
        predicted_lowest_pu=float(predicted.min()),
        simulated_lowest_pu=float(simulated.min()) if simulated.size else None,
        predicted_highest_pu=float(predicted.max()),
        simulated_highest_pu=float(simulated.max()) if simulated.size else None,
        over_max_pu=one.over_max,
        n_over=int((one.over > 0.0).sum()),
        where=where,
        when=when,
        n_unsolved=int((~solved).sum()),
        rows_generated=len(one.solution.generated),
        rows_all=one.solution.n_rows_all,
        solver_s=one.seconds,
    )


def history_rows(proposal: Proposal, plan: str) -> list[HistoryRow]:
    """Cost of the best plan and bound over the seconds of all rounds."""
    rows, before_s = [], 0.0
    for k, one in enumerate(proposal.rounds):
        rows += [
            HistoryRow(plan, k + 1, before_s + seconds, cost, bound) for seconds, cost, bound in one.solution.history
        ]
        before_s += one.seconds
    return rows


def size_rows(proposal: Proposal, plan: str) -> list[BuiltSizeRow]:
    """Everything that is built."""
    built, case = proposal.plan, proposal.case
    network, question = case.network, case.question
    free = question.site_scale_max > question.site_scale_min
    rows = [
        BuiltSizeRow(
            plan,
            "PV",
            "",
            network.pv_buses[j],
            float(built.pv_kw[j]),
            question.pv_size_max_kw,
            float(built.storage_kw[j]),
            float(built.storage_kwh[j]),
        )
        for j in np.flatnonzero(built.pv_kw)
    ]
    for k, choice in enumerate(question.choices()):
        bus, largest = network.site_buses[built.site_bus[k]], float(case.sites.size_max_kw[k])
        rows.append(
            BuiltSizeRow(
                plan, "datacenter", choice.name, bus, float(built.site_kw[k]), largest if free else None, 0.0, 0.0
            )
        )
    return rows


# --- tables that other programs read


@dataclass(frozen=True)
class TapRow(TypedRow):
    """Ratio (pu) of a regulator in a slot of a day."""

    plan: str
    day: str
    date: str
    slot_begins: str
    regulator: str
    tap_pu: float


@dataclass(frozen=True)
class DayRow(TypedRow):
    """A day, how many it stands for, and what happens on it."""

    plan: str
    day: str
    date: str
    n_days: float
    load_share_min: float
    load_share_max: float
    sun_h: float


@dataclass(frozen=True)
class NodeRow(TypedRow):
    """Lowest and highest predicted and simulated voltage (pu) of a monitored bus-phase over all steps."""

    plan: str
    node: str
    predicted_lowest_pu: float
    simulated_lowest_pu: float
    predicted_highest_pu: float
    simulated_highest_pu: float


def tap_rows(proposal: Proposal, plan: str) -> list[TapRow]:
    """Every regulator in every slot of every day."""
    case, steps = proposal.case, proposal.plan.tap_steps
    n_slots = 24 // case.question.slot_h
    return [
        TapRow(
            plan,
            day.name,
            day.date,
            clock_of(h * case.question.slot_h * STEPS_AN_HOUR),
            name,
            case.network.tap_ratio(name, int(steps[r, k * n_slots + h])),
        )
        for k, day in enumerate(case.days)
        for h in range(n_slots)
        for r, name in enumerate(case.network.regulators)
    ]


def day_rows(proposal: Proposal, plan: str) -> list[DayRow]:
    """The days and what they stand for."""
    return [
        DayRow(
            plan,
            day.name,
            day.date,
            day.n_days,
            float(day.load_share.min()),
            float(day.load_share.max()),
            float(day.sun.sum()) / STEPS_AN_HOUR,
        )
        for day in proposal.case.days
    ]


def node_rows(proposal: Proposal, plan: str) -> list[NodeRow]:
    """Extreme voltages of every monitored bus-phase."""
    best, n_voltages = proposal.best, proposal.case.network.n_voltages
    solved = best.simulated.solved
    predicted, simulated = best.solution.predicted[:n_voltages], best.simulated.g[:n_voltages]
    low, high = np.where(solved, simulated, np.inf).min(axis=1), np.where(solved, simulated, -np.inf).max(axis=1)
    return [
        NodeRow(plan, name, float(predicted[i].min()), float(low[i]), float(predicted[i].max()), float(high[i]))
        for i, name in enumerate(proposal.case.network.names()[:n_voltages])
    ]
