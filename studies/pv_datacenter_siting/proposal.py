"""Propose, simulate, correct: a plan from the linear program is simulated at every step of every day with the nonlinear
power flow, and the program is linearised again at the plan, until what was promised is what is simulated.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from g2g_opt.errors import InputError
from solvers.outcome import SolveStatus
from solvers.siting.problem import (
    CostParts,
    Floats,
    Placement,
    SitingPlan,
    SitingProblem,
    SitingSolution,
    cost_of,
    excess,
)
from solvers.siting.search import relative_gap, solve_siting
from studies.pv_datacenter_siting.case import SitingCase
from studies.pv_datacenter_siting.days import STEPS_A_DAY
from studies.pv_datacenter_siting.network import Simulated, no_plan, worst_place
from studies.shared.stated_solver import solver_of

# Predicted and simulated cost agree within this share.
COST_AGREES = 0.01
# What is added to the margin of a row that a simulated plan breaks, beyond what it is outside (pu).
TIGHTEN_PU = 5e-5

ProposalReport = Callable[[str], None]


@dataclass(frozen=True)
class Narrowing:
    """Limits of a row that are narrowed by `by_pu` at `n_steps` steps of a day, from its step `first` on.

    `day` is the day's place in the profile, `row` a name of the network's.
    """

    row: str
    day: int
    first: int
    n_steps: int
    by_pu: float


@dataclass(frozen=True, eq=False)
class ProposalRound:
    """One turn: the program's solution and what the power flow says of it."""

    solution: SitingSolution
    simulated: Simulated
    over: Floats
    cost: CostParts
    seconds: float

    @property
    def over_max(self) -> float:
        """Farthest outside (pu); 0 if nothing is."""
        return float(self.over.max(initial=0.0))

    @property
    def cost_agrees(self) -> bool:
        """Is the simulated cost the predicted one, within `COST_AGREES`?"""
        promised = self.solution.cost.total
        return abs(self.cost.total - promised) <= COST_AGREES * max(abs(promised), 1.0)


@dataclass(frozen=True, eq=False)
class Proposal:
    """The plan that came out, with all rounds; `holds` says that its days, simulated, keep what was asked for.

    `before` is what was found on fewer days, if days of the year have joined since.
    """

    case: SitingCase
    rounds: tuple[ProposalRound, ...]
    best: ProposalRound
    holds: bool
    before: Proposal | None = None

    @property
    def plan(self) -> SitingPlan:
        """Its plan."""
        return self.best.solution.plan


def margin_of(case: SitingCase, narrowed: Sequence[Narrowing]) -> Floats:
    """By how much (row, point) limits are narrowed; days and rows that the case does not have are left out."""
    names = {name: i for i, name in enumerate(case.network.names())}
    margin = np.zeros((len(names), len(case.network.sun)))
    for one in narrowed:
        for k, day in enumerate(case.days):
            if one.row in names and one.day == day.index:
                first = k * STEPS_A_DAY + one.first
                margin[names[one.row], first : first + one.n_steps] += one.by_pu
    return margin


def propose(
    case: SitingCase,
    report: ProposalReport,
    *,
    start: SitingPlan | None = None,
    known: Sequence[tuple[int, int, int]] = (),
    excluded: Sequence[Placement] = (),
    narrowed: Sequence[Narrowing] = (),
) -> Proposal:
    """Rounds until a plan holds, or there is no time or round left; `start` is where the first linearisation is made.

    `excluded` placements are left out, and limits are `narrowed` besides the question's margin.

    Raises `InputError` if not even the feeder with `start` can be solved.
    """
    question, network = case.question, case.network
    solve = solver_of(question.solver, solve_siting, "solvers.siting.pyomo_solve", "solve_siting_statement")
    n_slots = len(case.calendar.slot_day)
    plan = start if start is not None else no_plan(network, n_slots, case.sites)
    simulated = simulated_days(case, plan)
    margin = question.margin_pu + margin_of(case, narrowed)
    rounds: list[ProposalRound] = []
    left_s = question.time_limit_s
    for number in range(1, question.rounds_max + 1):
        problem = case.problem(network.linearize(plan, simulated, margin))
        solution: SitingSolution = solve(
            problem,
            mip_gap=question.mip_gap,
            time_limit_s=max(left_s, 0.2),
            threads=question.threads,
            seed=question.seed,
            known=known,
            excluded=excluded,
        )
        left_s -= solution.report.seconds
        plan, known = solution.plan, solution.generated
        rounds.append(judged_round(case, problem, solution))
        simulated, over = rounds[-1].simulated, rounds[-1].over
        report(f"round {number}: {round_words(case, rounds[-1])}")
        stuck = [one.solution.report.status for one in rounds[-2:]].count(SolveStatus.INFEASIBLE) == 2
        if _holds(case, rounds[-1]) or left_s <= 0.0 or stuck:
            break
        if number > 1:
            # The same linearisation errs the same way: keep away from what it broke.
            margin = margin + np.where(over > 0.0, over + TIGHTEN_PU, 0.0)
    held = [one for one in rounds if _holds(case, one)]
    best = held[-1] if held else min(rounds, key=lambda one: (not one.simulated.solved.all(), one.over.sum()))
    return Proposal(case, tuple(rounds), best, bool(held))


def simulated_days(case: SitingCase, plan: SitingPlan) -> Simulated:
    """The days with a plan. Raises `InputError` where no step of them has a power flow."""
    simulated = case.network.simulate(plan)
    if not simulated.solved.any():
        raise InputError(f"feeder {case.question.feeder}: no step of the days has a power flow solution")
    return simulated


def judged_round(case: SitingCase, problem: SitingProblem, solution: SitingSolution) -> ProposalRound:
    """A solution of a program of the case, simulated."""
    simulated = case.network.simulate(solution.plan)
    over = np.where(simulated.solved, excess(simulated.g, *case.network.limit_rows()), 0.0)
    return ProposalRound(solution, simulated, over, cost_of(problem, solution.plan, over), solution.report.seconds)


def round_words(case: SitingCase, one: ProposalRound) -> str:
    """What the program promised and what the power flow says of it, in words."""
    report = one.solution.report
    if report.status is SolveStatus.INFEASIBLE:
        promised = "the program cannot keep all limits, and breaks the least it can"
    else:
        promised = f"gap {100.0 * report.gap:.2f} %"
    if n_unsolved := int((~one.simulated.solved).sum()):
        promised += f"; {n_unsolved} steps have no power flow solution"
    if one.over_max == 0.0:
        return f"{promised}; simulated within all limits"
    name, point = worst_place(case.network.names(), one.over)
    place = f"{name} at {case.place_in_time(point)}"
    if name in case.network.branches:
        return f"{promised}; simulated {place} {100.0 * one.over_max:.3g} % of its rating beyond the limit"
    return f"{promised}; simulated {place} {one.over_max:.3g} pu outside"


def with_plan(proposal: Proposal, case: SitingCase, plan: SitingPlan) -> Proposal:
    """The proposal with another plan than the program's, simulated as one more round, and the gap it leaves."""
    network, before = case.network, proposal.best
    simulated = network.simulate(plan)
    problem = case.problem(network.rows_at(simulated))
    over = np.where(simulated.solved, excess(simulated.g, *network.limit_rows()), 0.0)
    cost = cost_of(problem, plan, over)
    report = before.solution.report
    gap = report.gap if math.isnan(report.bound) else relative_gap(cost.total, report.bound)
    is_behind = report.status is SolveStatus.OPTIMAL and gap > case.question.mip_gap
    status = SolveStatus.GAP_LEFT if is_behind else report.status
    report = replace(report, objective=cost.total, gap=gap, status=status)
    solution = replace(before.solution, plan=plan, cost=cost, predicted=simulated.g, report=report)
    found = ProposalRound(solution, simulated, over, cost, 0.0)
    return replace(proposal, case=case, rounds=(*proposal.rounds, found), best=found, holds=_holds(case, found))


def _holds(case: SitingCase, one: ProposalRound) -> bool:
    """Was every step solved, no limit broken (or paid for as promised), and the cost what was promised?"""
    if not one.simulated.solved.all() or one.solution.report.status is SolveStatus.FAILED:
        return False
    if case.question.violations == "forbidden" and one.over_max > 0.0:
        return False
    return one.cost_agrees
