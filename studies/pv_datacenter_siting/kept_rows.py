"""What is kept of a siting plan: its rows, added to tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from studies.pv_datacenter_siting.case import SitingCase
from studies.pv_datacenter_siting.operated_cost import OperatedCost
from studies.pv_datacenter_siting.operated_plan import OperatedProposal
from studies.pv_datacenter_siting.operated_rows import with_year
from studies.pv_datacenter_siting.proposal import Proposal
from studies.pv_datacenter_siting.records import PlanRecord
from studies.pv_datacenter_siting.rows import (
    YearRow,
    day_rows,
    history_rows,
    node_rows,
    plan_row,
    round_rows,
    size_rows,
    tap_rows,
)
from studies.pv_datacenter_siting.windows import nearest_windows
from studies.pv_datacenter_siting.year import PlanYear, broken_hours
from studies.shared.task import Row
from studies.shared.typed_rows import TypedRow, to_rows


def keep_plan(
    tables: dict[str, list[Row]],
    proposal: Proposal,
    plan: str,
    number: int,
    turn: int,
    sweep: str = "",
    value: float | None = None,
    operated: tuple[OperatedProposal, OperatedCost] | None = None,
) -> None:
    """Add the rows of a plan."""
    row = plan_row(proposal, plan, number, turn, sweep, value)
    kept: dict[str, Sequence[TypedRow]] = {
        "plans": [row if operated is None else with_year(row, *operated)],
        "rounds": round_rows(proposal, plan),
        "history": history_rows(proposal, plan),
        "sizes": size_rows(proposal, plan),
    }
    case = proposal.case
    if not sweep:
        # A plan that its days refuse has none.
        n_windows = case.question.n_windows if proposal.holds else 0
        nearest = nearest_windows(case, proposal.best.simulated, plan, n_windows)
        kept |= {
            "taps": tap_rows(proposal, plan),
            "days": day_rows(proposal, plan),
            "voltages": node_rows(proposal, plan),
            "nearest": nearest,
        }
    network = case.network.with_loadings()
    kept["records"] = [PlanRecord.over_days(plan, network, network.simulate(proposal.plan))]
    add_rows(tables, kept)


def keep_year(tables: dict[str, list[Row]], case: SitingCase, year: PlanYear, plan: str) -> None:
    """Add the rows of a plan's year."""
    record = PlanRecord.over_year(plan, case.network.with_loadings(), year.simulated)
    energy = YearRow(plan, int(year.over.size), year.pv_mwh, year.pv_mwh_by_days)
    add_rows(tables, {"year": [energy], "year_hours": broken_hours(case, year, plan), "records": [record]})


def add_rows(tables: dict[str, list[Row]], rows: Mapping[str, Sequence[TypedRow]]) -> None:
    """Add rows to their tables."""
    for table, of_table in rows.items():
        tables.setdefault(table, []).extend(to_rows(of_table))
