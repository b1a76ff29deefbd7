"""Whole taps of a plan, day by day: with what is built fixed, days of the siting program have nothing in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from solvers.outcome import SolveStatus
from solvers.siting.matrices import ROW_TOLERANCE, ProgramRow, SitingMatrices
from solvers.siting.problem import LinearRows, SitingCalendar, SitingPlan, SitingProblem, Zone, cost_of, excess, predict
from solvers.siting.row_generation import SolveWatch, solve_with_rows

# What a violation costs ($ per pu and hour) where it is forbidden but cannot be helped.
FORBIDDEN_PENALTY = 1e5
# Share of the gap asked for that a day may take up, and the same where violations are forbidden and all of a day's cost
# is what cannot be helped.
_DAY_SHARE, _DAY_GAP_FORBIDDEN = 0.2, 1e-5


def choose_whole_taps(
    problem: SitingProblem, plan: SitingPlan, generated: Sequence[ProgramRow], watch: SolveWatch, may_fail: bool
) -> tuple[SitingPlan, SolveStatus, bool]:
    """The plan with the best whole taps of every day, the worst status of the days, and whether they hold (equation
    8.4).

    If it `may_fail`, days after one that breaks forbidden limits are not solved.
    """
    taps, status, holds = plan.tap_steps.copy(), SolveStatus.OPTIMAL, True
    curtailed, discharge = plan.curtailed_kw.copy(), plan.discharge_kw.copy()
    built = np.flatnonzero(plan.pv_kw > 0.0)
    g = predict(problem, plan)
    cost = cost_of(problem, plan, excess(g, problem.rows.low, problem.rows.high)).total
    share = _DAY_SHARE * watch.mip_gap if problem.penalty is not None else _DAY_GAP_FORBIDDEN
    gap_absolute = share * (abs(cost) + 1.0)
    for day in np.unique(problem.calendar.slot_day):
        points, slots = _of_day(problem, int(day))
        place = {int(p): k for k, p in enumerate(points)}
        known = [(i, place[p], side) for i, p, side in generated if p in place]
        own = SitingMatrices(_one_day(problem, int(day), plan), known)
        of_day = solve_with_rows(own, True, 0.0, watch, gap_absolute=gap_absolute)
        if of_day.plan is None:
            status = of_day.status
            continue
        taps[:, slots] = of_day.plan.tap_steps
        curtailed[np.ix_(built, points)] = of_day.plan.curtailed_kw
        if own.problem.storage is not None:
            discharge[np.ix_(built, points)] = of_day.plan.discharge_kw
        if of_day.status is not SolveStatus.OPTIMAL:
            status = of_day.status
        own_rows = own.problem.rows
        over = excess(predict(own.problem, of_day.plan), own_rows.low, own_rows.high)
        holds = holds and bool(over.max(initial=0.0) <= 2.0 * ROW_TOLERANCE)
        if problem.penalty is None and may_fail and not holds:
            break
    return replace(plan, tap_steps=taps, curtailed_kw=curtailed, discharge_kw=discharge), status, holds


def _of_day(problem: SitingProblem, day: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    slots = np.flatnonzero(problem.calendar.slot_day == day)
    return np.flatnonzero(np.isin(problem.calendar.slot, slots)), slots


def _one_day(problem: SitingProblem, day: int, plan: SitingPlan) -> SitingProblem:
    """The problem of one day, with everything built as in a plan; what cannot be helped is paid for."""
    points, slots = _of_day(problem, day)
    calendar, rows, pv, sites = problem.calendar, problem.rows, problem.pv, problem.sites
    # Buses with PV only; the others have no say.
    built = np.flatnonzero(plan.pv_kw > 0.0)
    storage, constant = problem.storage, rows.constant[:, points]
    if storage is not None and storage.schedule is not None:
        # Built, it does what its schedule says: there is nothing to decide.
        constant = constant + np.einsum("ijp,jp->ip", rows.pv[:, :, points], plan.discharge_kw[:, points])
        storage = None
    return SitingProblem(
        SitingCalendar(
            calendar.hours[points],
            calendar.slot[points] - slots[0],
            calendar.price_per_kwh[points],
            np.zeros(len(slots), dtype=np.int64),
            calendar.slot_days[slots],
        ),
        replace(
            pv,
            sun=pv.sun[points],
            size_min_kw=plan.pv_kw[built],
            size_max_kw=plan.pv_kw[built],
            zones=(Zone(tuple(range(len(built))), len(built), np.inf),) if len(built) else (),
            must_build=True,
        ),
        replace(
            sites,
            demand=sites.demand[:, points],
            size_min_kw=plan.site_kw,
            size_max_kw=plan.site_kw,
            candidates=tuple((int(b),) for b in plan.site_bus),
        ),
        problem.taps,
        LinearRows(
            constant,
            rows.pv[:, built][:, :, points],
            rows.site[:, :, points],
            rows.tap[:, :, points],
            rows.low[:, points],
            rows.high[:, points],
        ),
        FORBIDDEN_PENALTY if problem.penalty is None else problem.penalty,
        None
        if storage is None
        else replace(
            storage,
            power_max_kw=plan.storage_kw[built],
            energy_max_kwh=plan.storage_kwh[built],
            cost_per_kw=0.0,
            cost_per_kwh=0.0,
        ),
    )
