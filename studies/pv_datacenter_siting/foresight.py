"""What a siting plan could come to with foresight of every slot's taps: a bound, and where the search begins.

Taps may be broken numbers in it, which no tap changer can hold: the bound is one all the more, and the program is a
quick one. It is linearised at the feeder before anything is built, and then at what it built itself. Where limits
cannot all be kept in either of two such rounds, no operation keeps them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from solvers.outcome import SolveStatus
from solvers.siting.problem import Placement, SitingPlan
from solvers.siting.search import relax_taps
from studies.pv_datacenter_siting.case import SitingCase
from studies.pv_datacenter_siting.network import no_plan
from studies.pv_datacenter_siting.proposal import (
    COST_AGREES,
    Proposal,
    ProposalReport,
    ProposalRound,
    judged_round,
    propose,
    round_words,
    simulated_days,
)
from studies.shared.stated_solver import pyomo_solver

# How often the program is made: at nothing built, and at its own plans until its bound stays.
_ROUNDS_MAX = 3


@dataclass(frozen=True, eq=False)
class Foresight:
    """The plan to begin at, and what no plan costs less than ($ a year; None if that is not known).

    `refused` is the plan that breaks limits least, if none keeps them however taps move.
    """

    plan: SitingPlan
    bound: float | None
    refused: Proposal | None = None


def foresee(case: SitingCase, excluded: Sequence[Placement], report: ProposalReport) -> Foresight:
    """Of a case whose taps are decided; a stated solver solves the program with whole taps.

    Raises `InputError` if not even the feeder with nothing built can be solved.
    """
    question, network = case.question, case.network
    report("with foresight of all taps, for a bound")
    if pyomo_solver(question.solver) is not None:
        return _of_proposal(propose(case, report, excluded=excluded))
    plan = no_plan(network, len(case.calendar.slot_day), case.sites)
    known: tuple[tuple[int, int, int], ...] = ()
    bound, left_s = math.nan, question.time_limit_s
    refused: list[ProposalRound] = []
    for number in range(1, _ROUNDS_MAX + 1):
        simulated = simulated_days(case, plan)
        problem = case.problem(network.linearize(plan, simulated, np.full_like(simulated.g, question.margin_pu)))
        solution = relax_taps(
            problem,
            mip_gap=question.mip_gap,
            time_limit_s=max(left_s, 0.2),
            threads=question.threads,
            seed=question.seed,
            known=known,
            excluded=excluded,
        )
        left_s -= solution.report.seconds
        plan, known, before, bound = solution.plan, solution.generated, bound, solution.report.bound
        if solution.report.status is SolveStatus.INFEASIBLE:
            tried = judged_round(case, problem, solution)
            report(f"foresight, round {number}: {round_words(case, tried)}")
            refused.append(tried)
            if len(refused) == 2 or left_s <= 0.0:
                return Foresight(plan, None, Proposal(case, tuple(refused), tried, holds=False))
            continue
        report(f"foresight, round {number}: no plan costs less than {bound:,.0f} $ a year on its days")
        if abs(bound - before) <= COST_AGREES * abs(bound) or left_s <= 0.0:
            break
    return Foresight(plan, bound if math.isfinite(bound) else None)


def _of_proposal(found: Proposal) -> Foresight:
    solved = found.best.solution.report
    refused = found if solved.status is SolveStatus.INFEASIBLE else None
    return Foresight(found.plan, solved.bound if math.isfinite(solved.bound) else None, refused)
