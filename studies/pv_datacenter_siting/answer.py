"""What a siting study concludes from its stored rows: verdicts are passed on the records, under any limits."""

from __future__ import annotations

import math
from collections.abc import Sequence

from g2g_opt.errors import number_of
from g2g_opt.feeder_description import loading_notes, unassessed_notes
from g2g_opt.hourly_profile import load_profile
from g2g_opt.judge import Verdict
from g2g_opt.limits import Limits
from studies.pv_datacenter_siting.answer_charts import make_charts, make_envelopes, make_maps
from studies.pv_datacenter_siting.answer_tables import make_tables, window_rows
from studies.pv_datacenter_siting.day_charts import day_charts
from studies.pv_datacenter_siting.hand_over import hand_over_texts
from studies.pv_datacenter_siting.operation_rows import HeldOutRow, OperationRow, OtherPlanRow, SetPointRow
from studies.pv_datacenter_siting.operation_words import (
    error_of_days,
    foresight_words,
    held_out_words,
    money_words,
    others_words,
    unbalance_warning,
)
from studies.pv_datacenter_siting.question import SitingQuestion
from studies.pv_datacenter_siting.rows import BuiltSizeRow, TieRow, YearRow
from studies.pv_datacenter_siting.storage_rows import StorageRow, storage_words
from studies.pv_datacenter_siting.trips import TripRow, trip_warning
from studies.pv_datacenter_siting.verdicts import JudgedPlan, best_of, judged_plans, judged_ties
from studies.shared.conclusion import Conclusion, MissingAnswer
from studies.shared.task import TaskResult
from studies.shared.typed_rows import gather_as

# Share of a largest size within which a size counts as that: solvers stop at it up to their tolerance.
_AT_LARGEST = 1e-6
# Costs that differ by less than this share are equal, however small the gap is.
_EQUAL = 1e-6


def conclusion_of(
    question: SitingQuestion, results: Sequence[TaskResult], made_under: Limits | None = None
) -> Conclusion:
    """The answer from stored rows by the question's limits; if others, the plans were `made_under` these.

    Raises `InputError` for limits at which no figures were kept.
    """
    used = question.limits
    plans = judged_plans(question, results)
    own = [plan for plan in plans if not plan.row.sweep]
    best = best_of(own)
    sizes = gather_as(results, "sizes", BuiltSizeRow)
    year = next((y for y in gather_as(results, "year", YearRow) if best is not None and y.plan == best.row.plan), None)
    ties = _ties(results, best, used)
    best_row = None if best is None else best.row
    years = gather_as(results, "operation", OperationRow)
    operation = [one for one in years if best_row is not None and one.plan == best_row.plan]
    trips = [one for one in gather_as(results, "trips", TripRow) if best_row is not None and one.plan == best_row.plan]
    return Conclusion(
        title=f"Siting of {_what(question)} on {question.feeder}",
        answer=_answer(question, best, own, year, ties, sizes, results),
        feeder=question.feeder,
        tables=make_tables(question, results, plans, best, ties),
        maps=make_maps(best_row, sizes),
        envelopes=make_envelopes(results, best_row, used),
        charts=(
            *make_charts(results, best_row, [plan.row for plan in plans]),
            *day_charts(question, results, best_row),
        ),
        failures=_failures(results, plans, best),
        texts=hand_over_texts(question, best_row, gather_as(results, "operation", OperationRow)),
        warnings=_warnings(question, best, own, year, ties, made_under, operation, trips),
        not_assessed=(
            "protection against faults, fault levels and power quality"
            + ("; losses are simulated but not priced" if question.taps == "optimised" else ""),
            "that no cheaper plan exists for the nonlinear network: the bound is one for the program linearised at the "
            "plan, not for every plan's own linearisation",
            *loading_notes(question.load_feeder(), used),
            "other years than that of the profile",
            *load_profile(question.profile).calendar_notes(),
            *unassessed_notes(question.load_feeder()),
        ),
    )


def _what(question: SitingQuestion) -> str:
    return {"pv": "PV", "dc": "datacenters", "joint": "PV and datacenters"}[question.mode]


# --- the answer


def _answer(
    question: SitingQuestion,
    best: JudgedPlan | None,
    own: Sequence[JudgedPlan],
    year: YearRow | None,
    ties: Sequence[tuple[TieRow, Verdict]],
    sizes: Sequence[BuiltSizeRow],
    results: Sequence[TaskResult],
) -> str:
    if best is None:
        return _no_plan(question, own)
    row = best.row
    built = "; ".join(part for part in (row.pv and f"PV at {row.pv}", row.sites) if part) or "nothing"
    earns = f"costs {row.cost:,.0f}" if row.cost >= 0 else f"earns {-row.cost:,.0f}"
    gap = f" (gap {100 * row.gap:.2f} %)" if row.gap < 10.0 else " (no bound)"
    if question.taps == "own control":
        operation = [one for one in gather_as(results, "operation", OperationRow) if one.plan == row.plan]
        held = [one for one in gather_as(results, "set_points", SetPointRow) if one.plan == row.plan]
        words = f"Build {built}{money_words(question, row, operation, held)}"
        weeks = [one for one in gather_as(results, "held_out", HeldOutRow) if one.plan == row.plan]
        words += held_out_words(weeks, has_regulators=bool(held))
        words += storage_words(
            question, [one for one in gather_as(results, "storage", StorageRow) if one.plan == row.plan]
        )
    else:
        words = (
            f"Build {built}. With foresight of every slot's taps, a bound and no operation, the plan {earns} $ a year"
            f"{gap}."
        )
    words += (
        f" In the power flow of every step of its days all monitored voltages lie between {row.lowest_pu:.4f} and "
        f"{row.highest_pu:.4f} pu."
    )
    if question.violations == "priced":
        words += (
            f" Violations have a price here: it is outside the limits by {row.over_pu_h:.4g} pu h a year and pays "
            f"{row.cost_violation_paid:,.0f} $ for it; it holds in that every power flow has a solution and costs what "
            "was predicted."
        )
    elif year is not None:
        loadings = question.limits.loading_max_pu is not None or question.limits.loading_emergency_max_pu is not None
        judged = "no voltage and no loading" if loadings else "no voltage"
        words += (
            f" Over all {year.n_hours:,} hours of the year {judged} breaks its limit{_levels_words(question)}"
            f"{'' if loadings else '; loadings have none'}; other limits are judged in the hours run in closed loop "
            "alone."
        )
    if best.windows:
        fleets = f", with the fleets in closed loop (policy {question.policy})" if question.places_sites else ""
        n = len(best.windows)
        words += f" It holds on OpenDSS in the {'hour' if n == 1 else f'{n} hours'} nearest to the limits{fleets}."
    if n_refused := sum(not plan.held for plan in own):
        words += f" {n_refused} other {'plan was' if n_refused == 1 else 'plans were'} refused when simulated."
    others = [one for one in gather_as(results, "others", OtherPlanRow) if one.plan == row.plan]
    words += others_words(others) if question.taps == "own control" else ""
    words += _ahead(question, best, own, ties) + _at_largest(question, best, sizes)
    return words + (foresight_words(row) if question.taps == "own control" else "")


def _levels_words(question: SitingQuestion) -> str:
    if question.taps != "own control" or len(question.levels) == 1:
        return ""
    return " with sites at " + ", ".join(f"{100 * level:.3g} %" for level in question.levels) + " of their sizes"


def _no_plan(question: SitingQuestion, own: Sequence[JudgedPlan]) -> str:
    if not own:
        return f"No plan of {_what(question)} held when simulated: none was found."
    first = own[0].refusals[0]
    if question.taps == "own control" and not own[0].is_operated:
        stored = "" if question.storage is None else ", with the storage that is offered or without it"
        return (
            f"No plan of {_what(question)} keeps the limits, however the regulators stand{stored}: with foresight of "
            f"every slot's taps, the plan that breaks them least has, on its days: {first.words}."
        )
    others = f"; {len(own)} were proposed and refused, in {own[-1].row.turn} turns" if len(own) > 1 else ""
    return f"No plan of {_what(question)} held when simulated: {first.judged}: {first.words}{others}."


def _ahead(
    question: SitingQuestion,
    best: JudgedPlan,
    own: Sequence[JudgedPlan],
    ties: Sequence[tuple[TieRow, Verdict]],
) -> str:
    """By how much the best plan is ahead of others, or how many are as good as it."""
    equal = [tie for tie, verdict in ties if verdict.kept and tie.cost_more <= _tolerance(question, best)]
    words = ""
    if ties:
        held_by = "set-points" if question.taps == "own control" else "taps"
        n, all_of = len(ties), "all there are" if len(ties) < question.n_ties else "the first of them"
        words = f" Its sizes at other buses: {len(equal)} of {number_of(n, 'placement')} looked at ({all_of}) "
        words += (
            "cost the same and hold on its days with its taps"
            if equal
            else "hold on its days at its cost with its taps"
        )
        if equal:
            widest = max(equal, key=lambda tie: tie.margin_pu or -math.inf)
            where = "; ".join(part for part in (widest.pv, widest.sites) if part)
            words += (
                ", so that cost does not decide between them; losses, cost of connection or distance to the limits "
                f"would (furthest inside: {where}, {widest.margin_pu:.4f} pu)"
            )
        words += f". Those that do not may with other {held_by}." if len(equal) < n else "."
    others = [plan for plan in own if plan.held and plan is not best]
    alike = [plan.row for plan in others if question.taps == "own control" or plan.days == best.days]
    if alike:
        second = min(alike, key=lambda row: (row.cost, row.number))
        more = second.cost - best.row.cost
        where = "; ".join(part for part in (second.pv, second.sites) if part) or "nothing built"
        if more <= _tolerance(question, best):
            words += f" {second.plan} ({where}) costs the same within the gap."
        else:
            share = f" ({100 * more / abs(best.row.cost):.2g} %)" if best.row.cost else ""
            words += f" It is {more:,.0f} $ a year{share} ahead of the next best placement that held ({where})."
    elif others:
        row = others[0].row
        where = "; ".join(part for part in (row.pv, row.sites) if part) or "nothing built"
        words += f" The next placement that held ({where}) was made on more days, so that costs cannot be compared."
    elif not equal:
        words += (
            " No other placement was asked for (--plans)."
            if question.n_plans == 1
            else " No other placement that was proposed held."
        )
    return words


def _tolerance(question: SitingQuestion, best: JudgedPlan) -> float:
    """Costs ($ a year) that differ by less cannot be told apart: the gap, or what is equal anyway."""
    gap = best.row.gap if math.isfinite(best.row.gap) else question.mip_gap
    return max(gap, _EQUAL) * abs(best.row.cost)


def _ties(results: Sequence[TaskResult], best: JudgedPlan | None, limits: Limits) -> list[tuple[TieRow, Verdict]]:
    """Other placements of the best plan's sizes with their verdicts; none where another plan was looked at."""
    if best is None:
        return []
    verdicts = judged_ties(results, best.row.plan, limits)
    return [(tie, verdicts[tie.tie]) for tie in gather_as(results, "ties", TieRow) if tie.plan == best.row.plan]


def _at_largest(question: SitingQuestion, best: JudgedPlan, sizes: Sequence[BuiltSizeRow]) -> str:
    """A sentence on what is as large as the question allows: there it is the question that ends the size."""
    largest = [
        size
        for size in sizes
        if size.plan == best.row.plan
        and size.size_max_kw is not None
        and size.size_kw >= size.size_max_kw * (1.0 - _AT_LARGEST)
    ]
    parts = []
    if plants := [size.bus for size in largest if size.kind == "PV"]:
        n_built = sum(size.kind == "PV" for size in sizes if size.plan == best.row.plan)
        every = {1: "", 2: "both plants, "}.get(n_built, "all plants, ") if len(plants) == n_built else ""
        parts.append(f"{every}PV at {', '.join(plants)} ({question.pv_size_max_kw:,.0f} kW, pv_size_max_kw)")
    if names := [f"{size.name} ({size.size_max_kw:,.0f} kW)" for size in largest if size.kind == "datacenter"]:
        parts.append(f"{', '.join(names)} (site_scale_max {question.site_scale_max:g})")
    total = question.pv_total_max_kw
    if question.places_pv and total is not None and best.row.pv_kw >= total * (1.0 - _AT_LARGEST):
        parts.append(f"all PV together ({total:,.0f} kW, pv_total_max_kw)")
    return f" At the largest size that the question allows, where more may pay: {'; '.join(parts)}." if parts else ""


# --- what qualifies it


def _failures(
    results: Sequence[TaskResult], plans: Sequence[JudgedPlan], best: JudgedPlan | None
) -> tuple[MissingAnswer, ...]:
    """Failed tasks, sweeps without a plan that holds, and if no plan holds at all, why."""
    found = [MissingAnswer(result.task.label, result.failed) for result in results if result.failed]
    without = [plan for plan in plans if not plan.held and (plan.row.sweep or best is None)]
    return tuple(
        found + [MissingAnswer(plan.row.plan, "; ".join(one.words for one in plan.refusals)) for plan in without]
    )


def _warnings(
    question: SitingQuestion,
    best: JudgedPlan | None,
    own: Sequence[JudgedPlan],
    year: YearRow | None,
    ties: Sequence[tuple[TieRow, Verdict]],
    made_under: Limits | None,
    operation: Sequence[OperationRow],
    trips: Sequence[TripRow],
) -> tuple[str, ...]:
    words = []
    if made_under is not None:
        words.append(
            "judged again from the records of days, year and windows; proposals, sizes and costs are those of the "
            "study, which did not look for plans under these limits"
        )
    if any(plan.row.status == "time limit" for plan in own):
        words.append("the time limit ended the search: a better plan may exist within the gap (--time-limit-s)")
    if best is not None and best.row.gap > question.mip_gap:
        why = "; losses, tap steps and margins, which the program does not know, decide among plans"
        asked = f"{100 * question.mip_gap:g} % asked for{why if question.taps == 'own control' else ''}"
        words.append(f"the gap of {100 * best.row.gap:.2f} % to the program's bound is wider than the {asked}")
    if any(plan.row.status == "infeasible" for plan in own):
        words.append("limits cannot all be kept in the linear program: its plans break the least they can")
    n_turns = max((plan.row.turn for plan in own), default=1)
    if best is None and n_turns == question.refusals_max + 1 and n_turns > 1:
        words.append(f"after {number_of(n_turns, 'turn')} no other plan was proposed (refusals_max)")
    if best is not None and question.taps == "own control":
        words.append(error_of_days(best.row))
        words += filter(None, [unbalance_warning(question, operation), trip_warning(question, trips)])
    elif best is not None:
        words.append(
            "taps of every slot are decided with foresight, which no operation has: a bound on what a plan can earn, "
            "and no plan to sign (--taps 'own control' is one)"
        )
    if year is not None and question.taps != "own control":
        error = year.pv_mwh_by_days / year.pv_mwh - 1.0 if year.pv_mwh else 0.0
        if abs(error) > 0.0005:
            words.append(f"the representative days put PV's energy {100 * error:+z.1f} % off that of the whole year")
    if not question.year_check:
        words.append("not checked over the hours of the year (--no-year)")
    if not question.n_windows:
        words.append("no hour was run again on OpenDSS, and no fleet in closed loop (--windows)")
    if best is not None:
        lost = [row["when"] for row in window_rows(question, best) if row.get("fleets_kept") is False]
        if lost:
            words.append(
                f"without control a limit is not kept at {', '.join(lost)}: the plan holds with {question.policy}"
            )
    return tuple(words)
