"""What a day-ahead study says: what flexibility saves in a day, and what datacenters are charged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from g2g_opt.transmission.system import load_zonal_system
from studies.coordination_policy.answer_parts import AnswerParts, percent_of
from studies.coordination_policy.day_ahead import WINDOW_H
from studies.coordination_policy.question import CoordinationQuestion
from studies.coordination_policy.rows import (
    CommittedDayRow,
    DayShiftLinkRow,
    DayShiftRow,
    Floats,
    LoadRow,
    MeanDayRow,
    OfSetting,
)
from studies.coordination_policy.shifts import moved_work
from studies.shared.conclusion import Chart, Line, MissingAnswer, ResultTable
from studies.shared.task import TaskResult
from studies.shared.typed_rows import columns_of, gather_as, table_of

_DAYS = columns_of(
    CommittedDayRow,
    "date penetration alpha cost startup_cost no_load_cost charge shed_mwh gap relaxed_cost seconds status reason",
)
_LEFT_OUT = {
    "physical": (
        "Units cost what the data say: no-load and start-up costs, shortest times on and off. Days are committed one "
        "by one: before a day runs what a dispatch of the hour before uses, long enough for its shortest time"
    ),
    "published": (
        "As published: the first hour is free, and no-load costs and shortest times on and off are left out, so that "
        "hardly any unit is started"
    ),
}
_NOT_ASSESSED = (
    "{}. Not assessed: reserves, outages (N-1), errors of forecasts and what a re-dispatch may then move, start-up "
    "ramps; minimum outputs are the data's, 0"
)


def day_ahead_parts(question: CoordinationQuestion, results: Sequence[TaskResult]) -> AnswerParts:
    """Means over days that were solved in every case; a day that was not is a failure and in no mean."""
    rows = gather_as(results, "days", CommittedDayRow)
    failed = [row for row in rows if row.cost is None]
    lost = {(row.penetration, row.date) for row in failed}
    good = [row for row in rows if (row.penetration, row.date) not in lost]
    summary = [
        _summary(good, penetration, alpha)
        for penetration in question.penetrations
        for alpha in (None, *question.alphas)
        if any(row.penetration == penetration for row in good)
    ]
    loads = gather_as(results, "loads", LoadRow)
    over = sum((row.gap or 0.0) > question.mip_gap * (1.0 + 1e-6) for row in good)
    return AnswerParts(
        "\n".join(_answer(row) for row in summary if row.case != "none") or "No day was solved.",
        (
            table_of("savings", "Mean over days", columns_of(MeanDayRow), summary),
            table_of("days", "Every day", _DAYS, rows, folded=True),
            *_moved(question, [row for row in loads if (row.penetration, row.date) not in lost]),
        ),
        tuple(_charts(question, loads)),
        tuple(MissingAnswer(f"{row.date}, alpha {row.alpha}", row.reason) for row in failed),
        (
            *((f"{over} programs ended at the time limit above the gap asked for",) if over else ()),
            _NOT_ASSESSED.format(_LEFT_OUT[question.settings]),
        ),
    )


def _summary(rows: Sequence[CommittedDayRow], penetration: float, alpha: float | None) -> MeanDayRow:
    own = {row.date: row for row in rows if row.penetration == penetration and row.alpha == alpha}
    base = {row.date: row for row in rows if row.penetration == penetration and row.alpha is None}

    def of(days: Mapping[str, CommittedDayRow], name: str) -> Floats:
        return np.array([getattr(row, name) for row in days.values()], dtype=np.float64)

    saved = np.array([base[day].cost for day in own]) - of(own, "cost")
    # What is not closed of either gap is open in the difference.
    least, most = of(base, "bound") - of(own, "cost"), of(base, "cost") - of(own, "bound")
    charge, before = float(of(own, "charge").mean()), float(of(base, "charge").mean())
    # A single day says nothing of others.
    error = 1.96 * float(saved.std(ddof=1)) / np.sqrt(len(saved)) if len(saved) > 1 else None
    relaxed = [(base[day].relaxed_cost, row.relaxed_cost) for day, row in own.items()]
    both = [before - after for before, after in relaxed if before is not None and after is not None]
    return MeanDayRow(
        penetration=penetration,
        case="none" if alpha is None else f"alpha {alpha:g}",
        n_days=len(own),
        cost_usd=float(of(own, "cost").mean()),
        saving_usd=float(saved.mean()),
        saving_low_usd=None if error is None else float(saved.mean() - error),
        saving_high_usd=None if error is None else float(saved.mean() + error),
        charge_usd=charge,
        charge_change_pct=100.0 * (charge / before - 1.0),
        time_median_s=float(np.median(of(own, "seconds"))),
        time_max_s=float(of(own, "seconds").max()),
        gap_max=float(of(own, "gap").max()),
        relaxed_saving_usd=float(np.mean(both)) if both else None,
        saving_least_usd=None if alpha is None else float(least.mean()),
        saving_most_usd=None if alpha is None else float(most.mean()),
    )


def _answer(row: MeanDayRow) -> str:
    days = "one day" if row.n_days == 1 else f"mean of {row.n_days} days"
    text = (
        f"With {percent_of(row.penetration)} % datacenters and {row.case}, flexibility from 16 to 20 h saves "
        f"{row.saving_usd:z,.0f} $ a day of {row.cost_usd + row.saving_usd:,.0f} $ ({days}), and "
        f"changes what datacenters are charged in these hours by {row.charge_change_pct:+z.1f} %."
    )
    if (
        row.saving_least_usd is not None
        and row.saving_most_usd is not None
        and row.saving_least_usd < 0.0 < row.saving_most_usd
    ):
        text += (
            f" Whether it saves anything is within the solver's gap: between {row.saving_least_usd:,.0f} and "
            f"{row.saving_most_usd:,.0f} $ a day; ask for a smaller one (--gap)."
        )
    return text


def _moved(question: CoordinationQuestion, loads: Sequence[LoadRow]) -> list[ResultTable]:
    """Work moved in the flexible hours, by datacenter and by link; loads without flexibility are alike in all hours."""
    system = load_zonal_system()
    shifts: list[DayShiftRow] = []
    links: list[DayShiftLinkRow] = []
    for penetration in question.penetrations:
        own = [row for row in loads if row.penetration == penetration and row.hour in WINDOW_H]
        base = next((row.theta_mw for row in own if row.alpha is None), None)
        for alpha in question.alphas:
            theta = [row.theta_mw for row in own if row.alpha == alpha]
            if base is None or not theta:
                continue
            about = OfSetting(penetration, alpha)
            by_center, by_link = moved_work(system, base, np.stack(theta))
            shifts += [DayShiftRow(**vars(about), **vars(one)) for one in by_center]
            links += [DayShiftLinkRow(**vars(about), **vars(one)) for one in by_link]
    told = (
        ("shifts", "Work moved from 16 to 20 h, by datacenter", DayShiftRow, shifts),
        ("links", "Work moved from 16 to 20 h, by link", DayShiftLinkRow, links),
    )
    return [table_of(name, title, columns_of(kind), rows, folded=True) for name, title, kind, rows in told if rows]


def _charts(question: CoordinationQuestion, loads: Sequence[LoadRow]) -> list[Chart]:
    charts = []
    names = load_zonal_system().datacenters
    by_case = []
    for alpha in (None, *question.alphas):
        own = [row for row in loads if row.alpha == alpha and row.cost is not None]
        if own:
            words = "without flexibility" if alpha is None else f"alpha {alpha:g}"
            mean = [float(np.mean([row.cost for row in own if row.hour == hour])) for hour in range(24)]
            by_case.append(Line(words, list(range(24)), mean, points=True))
    if by_case:
        charts.append(Chart("Mean cost by hour", "hour of the day", "$", tuple(by_case)))
    for alpha in question.alphas:
        own = [row for row in loads if row.alpha == alpha]
        if not own:
            continue
        by_hour = [np.mean([row.theta_mw for row in own if row.hour == hour], axis=0) for hour in range(24)]
        lines = tuple(
            Line(name, list(range(24)), [float(mw[k]) for mw in by_hour], points=True) for k, name in enumerate(names)
        )
        charts.append(Chart(f"Mean load of the datacenters, alpha {alpha:g}", "hour of the day", "MW", lines))
    return charts
