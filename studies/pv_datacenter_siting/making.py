"""The plans of a siting question: the best one, held against the year, further ones, and those of a sweep."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from g2g_opt.feeder import Feeder
from g2g_opt.hourly_profile import load_profile
from solvers.outcome import SolverError
from solvers.siting.problem import Placement, SitingPlan
from studies.pv_datacenter_siting.days import STEPS_A_DAY, Day, with_day
from studies.pv_datacenter_siting.question import SitingQuestion
from studies.pv_datacenter_siting.rounds import Found, Report, find_plan
from studies.pv_datacenter_siting.rows import (
    day_rows,
    history_rows,
    nearest_rows,
    plan_row,
    round_rows,
    size_rows,
    tap_rows,
    voltage_rows,
)
from studies.pv_datacenter_siting.setting import days_of, make_setting
from studies.pv_datacenter_siting.year import check_year
from studies.shared.task import Row, Tables


def make_plans(question: SitingQuestion, feeder: Feeder, report: Report) -> Tables:
    """Tables of the best plan and of further ones on other placements."""
    tables: dict[str, list[Row]] = {}
    found = _over_the_year(question, feeder, report)
    _keep(tables, found, "plan 1", "", None, 1)
    excluded: list[Placement] = [found.plan.placement()]
    for rank in range(2, question.n_plans + 1):
        try:
            known = found.best.solution.generated
            found = find_plan(found.setting, report, start=found.plan, known=known, excluded=excluded)
        except SolverError:
            break  # no other placement is left
        excluded.append(found.plan.placement())
        _keep(tables, found, f"plan {rank}", "", None, rank)
    return tables


def sweep_plans(
    question: SitingQuestion, feeder: Feeder, sweep: str, values: Sequence[float], report: Report
) -> Tables:
    """Tables of a plan for every value, each begun at the one before with its rows."""
    tables: dict[str, list[Row]] = {}
    days = days_of(question)
    before: Found | None = None
    for value in values:
        setting = make_setting(question.with_value(sweep, value), feeder, days)

        def say(words: str, value: float = value) -> None:
            report(f"{sweep} {value:g}, {words}")

        if before is None:
            before = find_plan(setting, say)
        else:
            before = find_plan(setting, say, start=before.plan, known=before.best.solution.generated)
        _keep(tables, before, f"{sweep} {value:g}", sweep, value, 1)
    return tables


def _keep(tables: dict[str, list[Row]], found: Found, name: str, sweep: str, value: float | None, rank: int) -> None:
    """Add the rows of a plan."""
    rows: dict[str, list[Row]] = {
        "plans": [{"sweep": sweep, "value": value, "rank": rank, **plan_row(found)}],
        "rounds": round_rows(found),
        "history": history_rows(found),
        "sizes": size_rows(found),
    }
    if not sweep:
        rows |= {
            "taps": tap_rows(found),
            "days": day_rows(found),
            "voltages": voltage_rows(found),
            "nearest": nearest_rows(found),
        }
    for table, made in rows.items():
        tables.setdefault(table, []).extend({"plan": name, **row} for row in made)


def _over_the_year(question: SitingQuestion, feeder: Feeder, report: Report) -> Found:
    """The plan; days of the year on which it breaks a limit join its days, as many as may."""
    profile = load_profile(question.profile)
    found = find_plan(make_setting(question, feeder, days_of(question)), report)
    for _ in range(question.days_added_max if question.year_check else 0):
        if not found.holds:
            break
        year = check_year(found.setting, found.plan)
        days = found.setting.days
        if not year.n_hours_broken or year.worst_day in {day.index for day in days}:
            break
        report(f"{year.n_hours_broken} hours of the year break a limit; {year.dates[year.worst_day]} joins the days")
        more = with_day(days, profile, year.worst_day)
        setting = make_setting(question, feeder, more)
        start = _with_another_day(found.plan, days, more[-1])
        extended = find_plan(setting, report, start=start, known=found.best.solution.generated)
        if not extended.holds:
            break  # the plan before is the better answer: it keeps its days
        found = replace(extended, before=found)
    return found


def _with_another_day(plan: SitingPlan, days: Sequence[Day], added: Day) -> SitingPlan:
    """The plan with the taps of the likest day for one more day."""
    away = [np.abs(d.load_share - added.load_share).sum() + np.abs(d.sun - added.sun).sum() for d in days]
    n_slots = plan.tap_steps.shape[1] // len(days)
    k = int(np.argmin(away))
    taps = np.concatenate([plan.tap_steps, plan.tap_steps[:, k * n_slots : (k + 1) * n_slots]], axis=1)
    nothing = np.zeros((len(plan.pv_kw), STEPS_A_DAY))
    return replace(
        plan,
        tap_steps=taps,
        curtailed_kw=np.concatenate([plan.curtailed_kw, nothing], axis=1),
        discharge_kw=np.concatenate([plan.discharge_kw, nothing], axis=1),
    )
