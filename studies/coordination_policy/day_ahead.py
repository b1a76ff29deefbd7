"""The day-ahead study: units committed with and without the flexibility of datacenters (equation 9.2)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from g2g_opt.errors import InputError
from g2g_opt.transmission.system import SHED_USD_PER_MWH, CommitmentCosts, load_commitment_costs
from solvers.outcome import SolverError
from solvers.unit_commitment.problem import (
    FlexibleDatacenters,
    UnitCommitmentProblem,
    UnitCommitmentSolution,
    Units,
    UnitsBefore,
    hourly_cost_of,
)
from solvers.unit_commitment.solve import relaxed_commitment_usd, solve_unit_commitment
from studies.coordination_policy.hours import Hours, load_hours
from studies.coordination_policy.market_notes import note_rows, notes_in_words
from studies.coordination_policy.question import CoordinationQuestion
from studies.coordination_policy.rows import CommittedDayRow, LoadRow
from studies.coordination_policy.setting import CoordinationSetting, make_setting
from studies.shared.stated_solver import solver_of
from studies.shared.task import Row
from studies.shared.typed_rows import to_rows

Floats = NDArray[np.float64]

# Tasks may move between these hours (beginning) of a day, as published: 4 to 8 in the evening.
WINDOW_H = (16, 17, 18, 19, 20)
# What a dispatch gives less of, a solver leaves.
_RUNS_MW = 1.0


def days_of(question: CoordinationQuestion, hours: Hours) -> list[str]:
    """Days of the study, evenly spread; `InputError` if there are fewer."""
    days = list(dict.fromkeys(hours.days()))
    if question.n_days > len(days):
        raise InputError(f"{question.n_days} days are asked for, {len(days)} lie between the first and last date")
    places = np.linspace(0, len(days) - 1, question.n_days).round().astype(int)
    return [days[k] for k in places]


def study_day(
    question: CoordinationQuestion, penetration: float, date: str, report: Callable[[str], None]
) -> dict[str, list[Row]]:
    """Rows of a day: without flexibility, then for every alpha. A program without a plan is a row with a reason."""
    setting = make_setting(question.settings, penetration, 0.0)
    hours = load_hours(question, setting)
    first = int(np.searchsorted(hours.series.hour_begins, np.datetime64(date)))
    statement = "solvers.unit_commitment.pyomo_solve", "solve_unit_commitment_statement"
    solve = solver_of(question.solver, solve_unit_commitment, *statement)
    rows: list[CommittedDayRow] = []
    loads: list[LoadRow] = []
    notes = note_rows(hours.series, date, date) if question.market_files else []
    if said := notes_in_words(notes):
        report = _with_words(report, said)
    for alpha in (None, *question.alphas):
        row = CommittedDayRow(date, penetration, alpha)
        try:
            problem = day_problem(setting, hours, first, alpha)
            found = solve(
                problem,
                mip_gap=question.mip_gap,
                time_limit_s=question.time_limit_s,
                seed=question.seed,
            )
            relaxed = relaxed_commitment_usd(problem, mip_gap=question.mip_gap)
        except SolverError as error:
            rows.append(replace(row, reason=str(error)))
            report(f"{_words(alpha)}: {error}")
            continue
        rows.append(replace(_with_figures(row, found), relaxed_cost=relaxed))
        costs = hourly_cost_of(problem, found.plan).tolist()
        loads += [
            LoadRow(penetration, date, alpha, hour, found.plan.theta_mw[hour], cost) for hour, cost in enumerate(costs)
        ]
        report(f"{_words(alpha)}: gap {100 * found.report.gap:.2f} % in {found.report.seconds:.1f} s")
    return {"days": to_rows(rows), "loads": to_rows(loads), "market_notes": to_rows(notes)}


def _with_words(report: Callable[[str], None], words: str) -> Callable[[str], None]:
    """Reports as before, the first of them with more words."""
    waiting = [f". {words}"]
    return lambda own: report(own + (waiting.pop() if waiting else ""))


def day_problem(setting: CoordinationSetting, hours: Hours, first: int, alpha: float | None) -> UnitCommitmentProblem:
    """The commitment of the 24 hours from `first` on.

    With the data's own costs (settings "physical"): no-load costs, shortest times on and off, and what ran in the hour
    before (`units_before`). As published ("published"): none of them, nothing is known of the hour before, so that the
    first hour is free. There are no start-up ramps in either, and minimum outputs are the data's (0).
    """
    system, day = setting.system, slice(first, first + 24)
    n = len(system.power_max_mw)
    no_time = np.zeros(n, dtype=np.int64)
    own = load_commitment_costs() if setting.settings == "physical" else CommitmentCosts(np.zeros(n), no_time, no_time)
    units = Units(
        system.generator_zone,
        system.power_min_mw,
        system.power_max_mw,
        system.cost_usd_per_mwh,
        system.quadratic_usd_per_mw2h,
        system.startup_usd,
        system.ramp_up_mw_per_h,
        system.ramp_down_mw_per_h,
        np.full(n, np.inf),
        np.full(n, np.inf),
        own.min_up_h,
        own.min_down_h,
        own.no_load_usd_per_h,
    )
    centers = FlexibleDatacenters(
        system.datacenter_zone,
        system.latency,
        np.tile(setting.demand_mw, (24, 1)),
        np.tile(setting.base_mw, (24, 1)),
        np.full(24, setting.base_latency),
        np.array(WINDOW_H, dtype=np.int64),
        alpha,
    )
    return UnitCommitmentProblem(
        hours.load_mw[day],
        hours.injected_mw[day],
        units,
        setting.dispatch.transfer_factors,
        system.limit_mw,
        SHED_USD_PER_MWH,
        centers,
        units_before(setting, hours, first) if setting.settings == "physical" else None,
    )


def units_before(setting: CoordinationSetting, hours: Hours, first: int) -> UnitsBefore:
    """What ran in the hour before `first`, or in the first hour there is: units that a dispatch of it uses.

    Days are committed one by one, so that nothing else says what the day before has left running; it counts as long
    enough for shortest times. Raises `SolverError` if that hour has no dispatch.
    """
    hour = slice(max(first - 1, 0), max(first - 1, 0) + 1)
    found = setting.dispatched(hours.load_mw[hour], hours.injected_mw[hour], setting.base_mw)
    if not found.solved[0]:
        raise SolverError("unit commitment: the hour before the day has no dispatch")
    output = np.where(found.power_mw[0] > _RUNS_MW, found.power_mw[0], 0.0)
    return UnitsBefore(output > 0.0, output)


def _with_figures(row: CommittedDayRow, found: UnitCommitmentSolution) -> CommittedDayRow:
    return replace(
        row,
        cost=found.cost.total,
        startup_cost=found.cost.startup,
        no_load_cost=found.cost.no_load,
        charge=float(found.charge_usd.sum()),
        shed_mwh=float(found.plan.shed_mw.sum()),
        bound=found.report.bound,
        gap=found.report.gap,
        seconds=found.report.seconds,
        status=found.report.status.value,
    )


def _words(alpha: float | None) -> str:
    return "without flexibility" if alpha is None else f"alpha {alpha:g}"
