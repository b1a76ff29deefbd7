"""Tables of a siting study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from g2g_opt.judge import Verdict
from g2g_opt.summary import Summary
from studies.pv_datacenter_siting.question import SitingQuestion
from studies.pv_datacenter_siting.rows import BuiltSizeRow, RoundRow, TieRow
from studies.pv_datacenter_siting.verdicts import JudgedPlan
from studies.shared.conclusion import Column, ResultTable
from studies.shared.task import Row, TaskResult, gather
from studies.shared.typed_rows import gather_as

_PLAN = (
    Column("plan", "plan"),
    Column("pv", "PV"),
    Column("sites", "datacenters"),
    Column("cost", "simulated cost ($/year)", 0),
    Column("predicted_cost", "predicted cost ($/year)", 0),
    Column("bound", "bound ($/year)", 0, secondary=True),
    Column("gap", "gap", 4),
    Column("status", "solver", secondary=True),
    Column("holds", "holds"),
    Column("lowest_pu", "lowest (pu)", 4),
    Column("highest_pu", "highest (pu)", 4),
    Column("over_max_pu", "farthest outside (pu)", 5, secondary=True),
    Column("over_pu_h", "outside (pu h/year)", 4, secondary=True),
    Column("curtailed_mwh", "curtailed (MWh/year)", 1, secondary=True),
    Column("storage_kw", "storage (kW)", 0, secondary=True),
    Column("storage_kwh", "storage (kWh)", 0, secondary=True),
    Column("cost_pv_investment", "PV investment ($/year)", 0, secondary=True),
    Column("cost_pv_energy", "PV energy ($/year)", 0, secondary=True),
    Column("cost_violation", "violations ($/year)", 0, secondary=True),
    Column("cost_switching", "tap changes ($/year)", 0, secondary=True),
    Column("cost_site_value", "value of datacenters ($/year)", 0, secondary=True),
    Column("cost_storage_investment", "storage investment ($/year)", 0, secondary=True),
    Column("cost_storage_energy", "storage energy ($/year)", 0, secondary=True),
    Column("n_rounds", "rounds", secondary=True),
    Column("solver_s", "solver (s)", 1, secondary=True),
    Column("reason", "why it does not hold", secondary=True),
)
_SIZES = (
    Column("plan", "plan"),
    Column("kind", "kind"),
    Column("name", "name"),
    Column("bus", "bus"),
    Column("size_kw", "size (kW)", 0),
    Column("size_max_kw", "largest allowed (kW)", 0),
    Column("storage_kw", "storage (kW)", 0, secondary=True),
    Column("storage_kwh", "storage (kWh)", 0, secondary=True),
)
_ROUNDS = (
    Column("plan", "plan"),
    Column("n_days", "days"),
    Column("round", "round"),
    Column("predicted_cost", "predicted cost ($/year)", 0),
    Column("simulated_cost", "simulated cost ($/year)", 0),
    Column("gap", "gap", 4),
    Column("predicted_lowest_pu", "predicted lowest (pu)", 4),
    Column("simulated_lowest_pu", "simulated lowest (pu)", 4),
    Column("predicted_highest_pu", "predicted highest (pu)", 4),
    Column("simulated_highest_pu", "simulated highest (pu)", 4),
    Column("n_over", "broken limits"),
    Column("over_max_pu", "farthest outside (pu)", 5, secondary=True),
    Column("where", "worst at", secondary=True),
    Column("when", "worst when", secondary=True),
    Column("n_unsolved", "steps without a solution", secondary=True),
    Column("rows_generated", "rows generated", secondary=True),
    Column("rows_all", "rows in all", secondary=True),
    Column("status", "solver", secondary=True),
    Column("solver_s", "solver (s)", 1, secondary=True),
)
_WINDOWS = (
    Column("when", "nearest to a limit"),
    Column("margin_pu", "margin (pu)", 5),
    Column("batch_lowest_pu", "lowest, batch engine (pu)", 5),
    Column("opendss_lowest_pu", "lowest, OpenDSS (pu)", 5),
    Column("batch_highest_pu", "highest, batch engine (pu)", 5),
    Column("opendss_highest_pu", "highest, OpenDSS (pu)", 5),
    Column("difference_pu", "largest difference (pu)", 8, secondary=True),
    Column("fleets_lowest_pu", "lowest, fleets without control (pu)", 5, secondary=True),
    Column("fleets_highest_pu", "highest, fleets without control (pu)", 5, secondary=True),
    Column("fleets_kept", "kept, fleets without control"),
    Column("loop_lowest_pu", "lowest in closed loop (pu)", 5, secondary=True),
    Column("loop_highest_pu", "highest in closed loop (pu)", 5, secondary=True),
    Column("loop_throughput_share", "tokens served in closed loop", 3, secondary=True),
    Column("loop_kept", "kept in closed loop"),
    Column("loop_broken", "broken in closed loop", secondary=True),
    Column("reason", "failure", secondary=True),
)
_REFUSED = (
    Column("turn", "turn"),
    Column("plan", "plan"),
    Column("pv", "PV"),
    Column("sites", "datacenters"),
    Column("cost", "simulated cost ($/year)", 0),
    Column("judged", "refused by"),
    Column("cause", "cause"),
    Column("words", "reason"),
)
_TIES = (
    Column("tie", "placement"),
    Column("pv", "PV"),
    Column("sites", "datacenters"),
    Column("n_moved", "moved", secondary=True),
    Column("holds", "holds on the days"),
    Column("cost_more", "costs more ($/year)", 0),
    Column("margin_pu", "least margin of a voltage (pu)", 5),
    Column("reason", "why it does not hold", secondary=True),
)


def make_tables(
    question: SitingQuestion,
    results: Sequence[TaskResult],
    plans: Sequence[JudgedPlan],
    best: JudgedPlan | None,
    ties: Sequence[tuple[TieRow, Verdict]],
) -> tuple[ResultTable, ...]:
    """All tables; `plans` are those of the question and of sweeps, `ties` belong to the best one."""
    own = [plan for plan in plans if not plan.row.sweep]
    names = {plan.row.plan for plan in own}
    tables = [ResultTable("plans", "Plans", _PLAN, [_shown(_plan_row(plan), _PLAN) for plan in own])]
    if swept := [plan for plan in plans if plan.row.sweep]:
        columns: tuple[Column, ...] = (Column("sweep", "changed"), Column("value", "value", 3), *_PLAN)
        title = "The study again with one figure changed; judged on the days alone"
        tables.append(ResultTable("sweeps", title, columns, [_shown(_plan_row(plan), columns) for plan in swept]))
    if refused := [row for plan in own for row in _refused_rows(plan)]:
        tables.append(ResultTable("refused", "Plans that were refused, and why", _REFUSED, refused))
    sizes = [size.to_row() for size in gather_as(results, "sizes", BuiltSizeRow) if size.plan in names]
    tables.append(ResultTable("sizes", "What is built", _SIZES, sizes))
    if ties:
        rows = [_shown(_tie_row(tie, verdict), _TIES) for tie, verdict in ties]
        tables.append(ResultTable("ties", "The best plan's sizes at other buses", _TIES, rows, folded=len(rows) > 20))
    rounds = [one.to_row() for one in gather_as(results, "rounds", RoundRow) if one.plan in names]
    tables.append(ResultTable("rounds", "Predicted and simulated, round by round", _ROUNDS, rounds))
    if windows := [row for plan in own for row in window_rows(question, plan)]:
        columns = (
            _WINDOWS
            if question.places_sites
            else tuple(column for column in _WINDOWS if not column.name.startswith(("loop_", "fleets_")))
        )
        shown = [_shown(row, columns) for row in windows]
        tables.append(ResultTable("windows", "Hours nearest to the limits, on OpenDSS", columns, shown))
    return (*tables, *_long_tables(results))


def _shown(row: Mapping[str, Any], columns: Sequence[Column]) -> Row:
    return {column.name: row.get(column.name) for column in columns}


def _plan_row(plan: JudgedPlan) -> Row:
    return plan.row.to_row() | {"holds": plan.held, "reason": "; ".join(one.words for one in plan.refusals)}


def _refused_rows(plan: JudgedPlan) -> list[Row]:
    row = plan.row
    what: Row = {"turn": row.turn, "plan": row.plan, "pv": row.pv, "sites": row.sites, "cost": row.cost}
    return [what | {"judged": one.judged, "cause": one.cause.value, "words": one.words} for one in plan.refusals]


def _tie_row(tie: TieRow, verdict: Verdict) -> Row:
    return tie.to_row() | {"holds": verdict.kept, "reason": "; ".join(verdict.reasons())}


def window_rows(question: SitingQuestion, plan: JudgedPlan) -> list[Row]:
    """A plan's windows: the step on both engines, the fleets without control, and in closed loop."""
    rows = []
    for window in plan.windows:
        row = window.row.to_row()
        if "none" in window.runs:
            row |= _run_row("fleets", *window.runs["none"])
        if question.policy in window.runs:
            row |= _run_row("loop", *window.runs[question.policy])
        row["reason"] = "; ".join(one.words for one in plan.refusals if one.judged == window.row.when)
        rows.append(row)
    return rows


def _run_row(name: str, record: Summary, verdict: Verdict) -> Row:
    failed = record.failure is not None
    return {
        f"{name}_lowest_pu": None if failed else record.lowest,
        f"{name}_highest_pu": None if failed else record.highest,
        f"{name}_throughput_share": None if failed else record.throughput_share,
        f"{name}_kept": verdict.kept,
        f"{name}_broken": "; ".join(verdict.reasons()),
    }


def _long_tables(results: Sequence[TaskResult]) -> list[ResultTable]:
    """Tables that other programs read: as they are stored, folded away on the page."""
    titles = {
        "taps": "Taps by day and slot",
        "days": "The days and how many they stand for",
        "voltages": "Extreme voltages, predicted and simulated",
        "year_hours": "Hours of the year that break a limit",
        "history": "Cost and bound over the solver's time",
    }
    found = []
    for name, title in titles.items():
        rows = gather(results, name)
        if rows:
            columns = tuple(Column(key, key, 4 if isinstance(value, float) else None) for key, value in rows[0].items())
            found.append(ResultTable(name, title, columns, rows, folded=True))
    return found
