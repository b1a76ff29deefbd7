"""What a day-ahead study says of days whose figures are given, by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from studies.coordination_policy.answer_day_ahead import day_ahead_parts
from studies.coordination_policy.question import CoordinationQuestion
from studies.coordination_policy.rows import CommittedDayRow
from studies.shared.task import Task, TaskResult
from studies.shared.typed_rows import to_rows

QUESTION = CoordinationQuestion(kind="day-ahead", alphas=(0.4,), n_days=1)


def committed(date: str, alpha: float | None, cost: float, bound: float) -> CommittedDayRow:
    row = CommittedDayRow(date, 0.2, alpha, cost=cost, bound=bound, gap=(cost - bound) / cost, charge=1000.0)
    return replace(row, startup_cost=0.0, shed_mwh=0.0, seconds=1.0, no_load_cost=0.0, status="optimal")


def said(*days: CommittedDayRow) -> tuple[str, dict[str, float]]:
    """The answer, and its row with flexibility."""
    parts = day_ahead_parts(QUESTION, (TaskResult(Task("day", {}, "", 1.0), {"days": to_rows(days), "loads": []}),))
    return parts.answer, dict(parts.tables[0].rows[1])


def test_a_saving_that_the_gap_leaves_open_is_said_to_be_open() -> None:
    """7,000 $ with a bound of 6,996 and 6,998 with 6,990: 2 $ are saved, and anything from -2 to 10 may be."""
    answer, row = said(committed("2019-01-02", None, 7000.0, 6996.0), committed("2019-01-02", 0.4, 6998.0, 6990.0))
    assert (row["saving_usd"], row["saving_least_usd"], row["saving_most_usd"]) == pytest.approx((2.0, -2.0, 10.0))
    assert "saves 2 $ a day of 7,000 $ (one day)" in answer
    assert "within the solver's gap: between -2 and 10 $ a day" in answer


def test_a_saving_beyond_the_gap_is_told_as_it_is() -> None:
    days = [(f"2019-01-0{k}", 7000.0 + k) for k in (1, 2)]
    rows = [committed(date, None, cost, cost - 4.0) for date, cost in days]
    rows += [committed(date, 0.4, cost - 50.0, cost - 56.0) for date, cost in days]
    answer, row = said(*rows)
    assert (row["saving_usd"], row["saving_least_usd"], row["saving_most_usd"]) == pytest.approx((50.0, 46.0, 56.0))
    assert "(mean of 2 days)" in answer
    assert "gap" not in answer
