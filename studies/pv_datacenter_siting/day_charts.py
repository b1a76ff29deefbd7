"""The days of a siting study as charts: own load and sun over their hours."""

from __future__ import annotations

from collections.abc import Sequence

from studies.pv_datacenter_siting.days import by_day, day_of
from studies.pv_datacenter_siting.question import SitingQuestion
from studies.pv_datacenter_siting.rows import DayRow, PlanRow
from studies.report.scenario_chart import course_charts
from studies.shared.conclusion import Chart
from studies.shared.task import TaskResult
from studies.shared.typed_rows import gather_as


def day_charts(question: SitingQuestion, results: Sequence[TaskResult], best: PlanRow | None) -> tuple[Chart, ...]:
    """Own load and sun of the days that the plan was made for."""
    profile = question.hourly()
    place = {date: k for k, date in enumerate(by_day(profile)[2])}
    found = {}
    for row in gather_as(results, "days", DayRow):
        if best is not None and row.plan == best.plan and row.date in place:
            day = day_of(profile, place[row.date], row.day, row.n_days)
            name = f"{row.day} (stands for {row.n_days:.0f} days)"
            found[name] = (day.load_share.tolist(), day.sun.tolist())
    return course_charts("of the days that are studied", found) if found else ()
