"""The day-ahead study: units committed with and without the flexibility of datacenters (equation 9.2)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from g2g_opt.errors import InputError
from g2g_opt.transmission.system import SHED_USD_PER_MWH
from solvers.outcome import SolverError
from solvers.unit_commitment.problem import FlexibleDatacenters, UnitCommitmentProblem, UnitCommitmentSolution, Units
from solvers.unit_commitment.solve import solve_unit_commitment
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
            found = solve(
                day_problem(setting, hours, first, alpha),
                mip_gap=question.mip_gap,
                time_limit_s=question.time_limit_s,
                seed=question.seed,
            )
        except SolverError as error:
            rows.append(replace(row, reason=str(error)))
            report(f"{_words(alpha)}: {error}")
            continue
        rows.append(_with_figures(row, found))
        loads += [LoadRow(penetration, date, alpha, hour, found.plan.theta_mw[hour]) for hour in range(24)]
        report(f"{_words(alpha)}: gap {100 * found.report.gap:.2f} % in {found.report.seconds:.1f} s")
    return {"days": to_rows(rows), "loads": to_rows(loads), "market_notes": to_rows(notes)}


def _with_words(report: Callable[[str], None], words: str) -> Callable[[str], None]:
    """Reports as before, the first of them with more words."""
    waiting = [f". {words}"]
    return lambda own: report(own + (waiting.pop() if waiting else ""))


def day_problem(setting: CoordinationSetting, hours: Hours, first: int, alpha: float | None) -> UnitCommitmentProblem:
    """The commitment of the 24 hours from `first` on; nothing is known of the hour before.

    As published: no minimum times and no start-up ramps, minimum outputs of the data (0).
    """
    system, day = setting.system, slice(first, first + 24)
    n = len(system.power_max_mw)
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
        np.zeros(n, dtype=np.int64),
        np.zeros(n, dtype=np.int64),
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
    )


def _with_figures(row: CommittedDayRow, found: UnitCommitmentSolution) -> CommittedDayRow:
    return replace(
        row,
        cost=found.cost.total,
        startup_cost=found.cost.startup,
        charge=float(found.charge_usd.sum()),
        shed_mwh=float(found.plan.shed_mw.sum()),
        bound=found.report.bound,
        gap=found.report.gap,
        seconds=found.report.seconds,
        status=found.report.status.value,
    )


def _words(alpha: float | None) -> str:
    return "without flexibility" if alpha is None else f"alpha {alpha:g}"
