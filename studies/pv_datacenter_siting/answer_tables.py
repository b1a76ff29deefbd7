"""Tables of a siting study."""

from __future__ import annotations

from collections.abc import Sequence

from g2g_opt.judge import Verdict
from g2g_opt.summary import Summary
from studies.pv_datacenter_siting.operation_rows import HeldOutRow, OperationRow, OtherPlanRow, SetPointRow
from studies.pv_datacenter_siting.question import SitingQuestion
from studies.pv_datacenter_siting.rows import BuiltSizeRow, PlanRow, RoundRow, TieRow, WindowRow
from studies.pv_datacenter_siting.storage_rows import StorageRow
from studies.pv_datacenter_siting.trips import TripRow
from studies.pv_datacenter_siting.verdicts import JudgedPlan
from studies.shared.conclusion import Column, ResultTable
from studies.shared.task import Row, TaskResult, gather
from studies.shared.typed_rows import columns_of, gather_as, table_of

_HOLDS, _WHY_NOT = Column("holds", "holds"), Column("reason", "why it does not hold", secondary=True)
_PLAN = columns_of(
    PlanRow,
    "plan pv sites cost predicted_cost bound gap status",
    _HOLDS,
    "lowest_pu highest_pu over_max_pu over_pu_h curtailed_mwh storage_kw storage_kwh",
    "cost_pv_investment cost_pv_energy cost_violation cost_switching cost_site_value",
    "cost_storage_investment cost_storage_energy cost_losses cost_by_days",
    "foresight_bound foresight_loss n_rounds solver_s",
    _WHY_NOT,
)
_WINDOWS = columns_of(
    WindowRow,
    "when margin_pu batch_lowest_pu opendss_lowest_pu batch_highest_pu opendss_highest_pu difference_pu",
    Column("fleets_lowest_pu", "lowest, fleets without control (pu)", 5, secondary=True),
    Column("fleets_highest_pu", "highest, fleets without control (pu)", 5, secondary=True),
    Column("fleets_kept", "kept, fleets without control"),
    Column("loop_lowest_pu", "lowest in closed loop (pu)", 5, secondary=True),
    Column("loop_highest_pu", "highest in closed loop (pu)", 5, secondary=True),
    Column("loop_throughput_share", "tokens served in closed loop", 3, secondary=True),
    Column("loop_kept", "kept in closed loop"),
    Column("loop_broken", "broken in closed loop", secondary=True),
    "reason",
)
_REFUSED = (
    Column("turn", "turn"),
    *columns_of(PlanRow, "plan pv sites cost"),
    Column("judged", "refused by"),
    Column("cause", "cause"),
    Column("words", "reason"),
)
_ON_DAYS = Column("holds", "holds on the days")
_TIES = columns_of(TieRow, "tie pv sites n_moved", _ON_DAYS, "cost_more margin_pu", _WHY_NOT)


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
    tables = [table_of("plans", "Plans", _PLAN, [_plan_row(plan) for plan in own])]
    if swept := [plan for plan in plans if plan.row.sweep]:
        columns = (Column("sweep", "changed"), Column("value", "value", 3), *_PLAN)
        title = "The study again with one figure changed; judged on the days alone, with foresight of taps"
        tables.append(table_of("sweeps", title, columns, [_plan_row(plan) for plan in swept]))
    if refused := [row for plan in own for row in _refused_rows(plan)]:
        tables.append(table_of("refused", "Plans that were refused, and why", _REFUSED, refused))
    sizes = [size for size in gather_as(results, "sizes", BuiltSizeRow) if size.plan in names]
    tables.append(table_of("sizes", "What is built", columns_of(BuiltSizeRow), sizes))
    if years := [one for one in gather_as(results, "operation", OperationRow) if one.plan in names]:
        title = "The year under the regulators' own controls"
        tables.append(table_of("operation", title, columns_of(OperationRow), years))
    if weeks := [one for one in gather_as(results, "held_out", HeldOutRow) if one.plan in names]:
        title = "Weeks that chose set-points and placement, and weeks held out"
        tables.append(table_of("held_out", title, columns_of(HeldOutRow), weeks))
    if storage := [one for one in gather_as(results, "storage", StorageRow) if one.plan in names]:
        title = "The best plan with storage and without it, over the year"
        tables.append(table_of("storage", title, columns_of(StorageRow), storage))
    if trips := [one for one in gather_as(results, "trips", TripRow) if one.plan in names]:
        title = "What trips do to voltages, before regulators move"
        tables.append(table_of("trips", title, columns_of(TripRow), trips))
    if others := [one for one in gather_as(results, "others", OtherPlanRow) if one.plan in names]:
        title = "Other plans through the year under the same set-points"
        tables.append(table_of("others", title, columns_of(OtherPlanRow), others))
    if held := [one for one in gather_as(results, "set_points", SetPointRow) if one.plan in names]:
        tables.append(table_of("set_points", "What regulators hold", columns_of(SetPointRow), held))
    if ties:
        rows = [_tie_row(tie, verdict) for tie, verdict in ties]
        tables.append(table_of("ties", "The best plan's sizes at other buses", _TIES, rows, folded=len(rows) > 20))
    rounds = [one for one in gather_as(results, "rounds", RoundRow) if one.plan in names]
    tables.append(table_of("rounds", "Predicted and simulated, round by round", columns_of(RoundRow), rounds))
    if windows := [row for plan in own for row in window_rows(question, plan)]:
        of_fleets = () if question.places_sites else ("loop_", "fleets_")
        columns = tuple(column for column in _WINDOWS if not column.name.startswith(of_fleets))
        tables.append(table_of("windows", "Hours nearest to the limits, on OpenDSS", columns, windows))
    return (*tables, *_long_tables(results))


def _plan_row(plan: JudgedPlan) -> Row:
    # The plan itself is long, and stands in no column.
    row = {name: value for name, value in plan.row.to_row().items() if name != "json"}
    return row | {"holds": plan.held, "reason": "; ".join(one.words for one in plan.refusals)}


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
            found.append(table_of(name, title, columns, rows, folded=True))
    return found
