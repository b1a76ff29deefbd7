"""What a day-ahead study says: what flexibility saves in a day, and what datacenters are charged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from g2g_opt.transmission.system import load_zonal_system
from studies.coordination_policy.answer_parts import AnswerParts, percent_of
from studies.coordination_policy.question import CoordinationQuestion
from studies.coordination_policy.rows import CommittedDayRow, Floats, LoadRow, MeanDayRow
from studies.shared.conclusion import Chart, Line, MissingAnswer
from studies.shared.task import TaskResult
from studies.shared.typed_rows import columns_of, gather_as, table_of

_DAYS = columns_of(
    CommittedDayRow, "date penetration alpha cost startup_cost charge shed_mwh gap seconds status reason"
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
    over = sum((row.gap or 0.0) > question.mip_gap * (1.0 + 1e-6) for row in good)
    return AnswerParts(
        "\n".join(_answer(row) for row in summary if row.case != "none") or "No day was solved.",
        (
            table_of("savings", "Mean over days", columns_of(MeanDayRow), summary),
            table_of("days", "Every day", _DAYS, rows, folded=True),
        ),
        tuple(_charts(question, gather_as(results, "loads", LoadRow))),
        tuple(MissingAnswer(f"{row.date}, alpha {row.alpha}", row.reason) for row in failed),
        (f"{over} programs ended at the time limit above the gap asked for",) if over else (),
    )


def _summary(rows: Sequence[CommittedDayRow], penetration: float, alpha: float | None) -> MeanDayRow:
    own = {row.date: row for row in rows if row.penetration == penetration and row.alpha == alpha}
    base = {row.date: row for row in rows if row.penetration == penetration and row.alpha is None}

    def of(days: Mapping[str, CommittedDayRow], name: str) -> Floats:
        return np.array([getattr(row, name) for row in days.values()], dtype=np.float64)

    saved = np.array([base[day].cost for day in own]) - of(own, "cost")
    charge, before = float(of(own, "charge").mean()), float(of(base, "charge").mean())
    # A single day says nothing of others.
    error = 1.96 * float(saved.std(ddof=1)) / np.sqrt(len(saved)) if len(saved) > 1 else None
    return MeanDayRow(
        penetration=penetration,
        case="none" if alpha is None else f"alpha {alpha:g}",
        n_days=len(own),
        cost=float(of(own, "cost").mean()),
        saving=float(saved.mean()),
        saving_low=None if error is None else float(saved.mean() - error),
        saving_high=None if error is None else float(saved.mean() + error),
        charge=charge,
        charge_change=100.0 * (charge / before - 1.0),
        seconds_median=float(np.median(of(own, "seconds"))),
        seconds_max=float(of(own, "seconds").max()),
        gap_max=float(of(own, "gap").max()),
    )


def _answer(row: MeanDayRow) -> str:
    return (
        f"With {percent_of(row.penetration)} % datacenters and {row.case}, flexibility from 16 to 20 h saves "
        f"{row.saving:,.0f} $ a day of {row.cost + row.saving:,.0f} $ (mean of {row.n_days} days), and "
        f"changes what datacenters are charged in these hours by {row.charge_change:+.1f} %."
    )


def _charts(question: CoordinationQuestion, loads: Sequence[LoadRow]) -> list[Chart]:
    charts = []
    names = load_zonal_system().datacenters
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
