"""What a day-ahead study says: what flexibility saves in a day, and what datacenters are charged."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from g2g_opt.transmission.system import load_zonal_system
from studies.coordination_policy.answer_parts import AnswerParts, percent_of, table
from studies.coordination_policy.question import CoordinationQuestion
from studies.shared.conclusion import Chart, Column, Line, MissingAnswer
from studies.shared.task import Row, TaskResult, gather

_SUMMARY = (
    Column("penetration", "datacenters (share of peak)"),
    Column("case", "flexibility"),
    Column("n_days", "days"),
    Column("cost", "cost ($/day)", 0),
    Column("saving", "saving ($/day)", 0),
    Column("saving_low", "2.5 %", 0),
    Column("saving_high", "97.5 %", 0),
    Column("charge", "datacenters' charge ($/day)", 0),
    Column("charge_change", "change (%)", 1),
    Column("seconds_median", "median time (s)", 1),
    Column("seconds_max", "longest (s)", 1, secondary=True),
    Column("gap_max", "largest gap", 5, secondary=True),
)
_DAYS = (
    Column("date", "day"),
    Column("penetration", "datacenters (share of peak)", secondary=True),
    Column("alpha", "alpha", 2),
    Column("cost", "cost ($)", 0),
    Column("startup_cost", "start-ups ($)", 0),
    Column("charge", "datacenters' charge ($)", 0),
    Column("shed_mwh", "load shed (MWh)", 1),
    Column("gap", "gap", 5),
    Column("seconds", "time (s)", 1),
    Column("status", "solver", secondary=True),
    Column("reason", "failure", secondary=True),
)


def day_ahead_parts(question: CoordinationQuestion, results: Sequence[TaskResult]) -> AnswerParts:
    """Means over days that were solved in every case; a day that was not is a failure and in no mean."""
    rows = gather(results, "days")
    failed = [row for row in rows if row["cost"] is None]
    lost = {(row["penetration"], row["date"]) for row in failed}
    good = [row for row in rows if (row["penetration"], row["date"]) not in lost]
    summary = [
        _summary(good, penetration, alpha)
        for penetration in question.penetrations
        for alpha in (None, *question.alphas)
        if any(row["penetration"] == penetration for row in good)
    ]
    over = sum(row["gap"] > question.mip_gap * (1.0 + 1e-6) for row in good)
    return AnswerParts(
        "\n".join(_answer(row) for row in summary if row["case"] != "none") or "No day was solved.",
        (
            table("savings", "Mean over days", _SUMMARY, summary),
            table("days", "Every day", _DAYS, rows, folded=True),
        ),
        tuple(_charts(question, gather(results, "loads"))),
        tuple(MissingAnswer(f"{row['date']}, alpha {row['alpha']}", row["reason"]) for row in failed),
        (f"{over} programs ended at the time limit above the gap asked for",) if over else (),
    )


def _summary(rows: Sequence[Row], penetration: float, alpha: float | None) -> Row:
    own = {r["date"]: r for r in rows if r["penetration"] == penetration and r["alpha"] == alpha}
    base = {r["date"]: r for r in rows if r["penetration"] == penetration and r["alpha"] is None}
    saved = np.array([base[day]["cost"] - own[day]["cost"] for day in own])
    charge = float(np.mean([row["charge"] for row in own.values()]))
    before = float(np.mean([row["charge"] for row in base.values()]))
    # A single day says nothing of others.
    error = 1.96 * float(saved.std(ddof=1)) / np.sqrt(len(saved)) if len(saved) > 1 else None
    seconds = [row["seconds"] for row in own.values()]
    return {
        "penetration": penetration,
        "case": "none" if alpha is None else f"alpha {alpha:g}",
        "n_days": len(own),
        "cost": float(np.mean([row["cost"] for row in own.values()])),
        "saving": float(saved.mean()),
        "saving_low": None if error is None else float(saved.mean() - error),
        "saving_high": None if error is None else float(saved.mean() + error),
        "charge": charge,
        "charge_change": 100.0 * (charge / before - 1.0),
        "seconds_median": float(np.median(seconds)),
        "seconds_max": float(np.max(seconds)),
        "gap_max": float(np.max([row["gap"] for row in own.values()])),
    }


def _answer(row: Row) -> str:
    return (
        f"With {percent_of(row['penetration'])} % datacenters and {row['case']}, flexibility from 16 to 20 h saves "
        f"{row['saving']:,.0f} $ a day of {row['cost'] + row['saving']:,.0f} $ (mean of {row['n_days']} days), and "
        f"changes what datacenters are charged in these hours by {row['charge_change']:+.1f} %."
    )


def _charts(question: CoordinationQuestion, loads: Sequence[Row]) -> list[Chart]:
    charts = []
    names = load_zonal_system().datacenters
    for alpha in question.alphas:
        own = [row for row in loads if row["alpha"] == alpha]
        if not own:
            continue
        by_hour = [np.mean([row["theta_mw"] for row in own if row["hour"] == hour], axis=0) for hour in range(24)]
        lines = tuple(
            Line(name, list(range(24)), [float(mw[k]) for mw in by_hour], points=True) for k, name in enumerate(names)
        )
        charts.append(Chart(f"Mean load of the datacenters, alpha {alpha:g}", "hour of the day", "MW", lines))
    return charts
