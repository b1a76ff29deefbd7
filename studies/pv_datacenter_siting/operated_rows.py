"""Rows of a plan whose regulators act by their own controls: its money over the year, and what they hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace

from g2g_opt.batch.chains import SetPoint
from studies.pv_datacenter_siting.case import SitingCase
from studies.pv_datacenter_siting.operated_chains import operation_of
from studies.pv_datacenter_siting.operated_cost import OperatedCost
from studies.pv_datacenter_siting.operated_plan import OperatedProposal
from studies.pv_datacenter_siting.operation_rows import OtherPlanRow, SetPointRow
from studies.pv_datacenter_siting.other_plans import Comparison
from studies.pv_datacenter_siting.rows import PlanRow


def with_year(row: PlanRow, found: OperatedProposal, cost: OperatedCost) -> PlanRow:
    """The row of a plan with the money of its year in place of that of its days."""
    loss = None
    if found.bound is not None:
        # As the bound counts: tap steps and violations from none on, and no losses.
        alike = replace(cost.parts, switching=cost.rows[0].tap_cost, violation=cost.violation_paid).total
        loss = alike - found.bound
    return replace(
        row,
        cost=cost.total,
        **{f"cost_{name}": part for name, part in asdict(cost.parts).items()},
        cost_losses=cost.losses,
        cost_tap_steps=cost.rows[0].tap_cost,
        cost_violation_paid=cost.violation_paid,
        over_pu_h=cost.rows[0].over_pu_h,
        foresight_bound=found.bound,
        foresight_loss=loss,
    )


def other_plan_rows(case: SitingCase, compared: Comparison | None, plan: str) -> list[OtherPlanRow]:
    """The plans that were taken through the year, the one that was taken first."""
    if compared is None:
        return []
    taken = compared.plans[0].worth
    return [
        OtherPlanRow(
            plan=plan,
            pv=case.pv_words(one.plan),
            sites=case.site_words(one.plan),
            taken=k == 0,
            cost_more=one.worth.cost - taken.cost,
            cost_more_held_out=one.worth.cost_held_out - taken.cost_held_out,
            over_pu_h=one.worth.over_pu_h,
            margin_pu=one.worth.margin_pu,
            n_simulated=compared.n_simulated,
        )
        for k, one in enumerate(compared.plans)
    ]


def set_point_rows(case: SitingCase, set_points: Mapping[str, SetPoint], plan: str) -> list[SetPointRow]:
    """What every regulator holds, beside its own settings."""
    own = operation_of(case.network.feeder, case.question.limits.rating_basis).set_points()
    rows = []
    for name, one in set_points.items():
        by_circuit = {f"own_{figure}": value for figure, value in asdict(own[name]).items()}
        rows.append(SetPointRow(plan=plan, regulator=name, **asdict(one), **by_circuit))
    return rows
