"""PV and datacenter siting: plans that hold when simulated (formulations 8).

Stages: `plans` finds the plan and further distinct ones, and again for every value of a sweep; `checks` takes the best
plan through all hours of the year; `windows` runs the hours nearest to the limits on OpenDSS, with the sites in closed
loop.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np

from g2g_opt.errors import InputError, PowerFlowError
from g2g_opt.hourly_profile import load_profile
from g2g_opt.limits import Limits
from g2g_opt.plan import Policy
from studies.pv_datacenter_siting.answer import draw_conclusion
from studies.pv_datacenter_siting.making import make_plans, sweep_plans
from studies.pv_datacenter_siting.question import SitingQuestion
from studies.pv_datacenter_siting.rows import best_plan
from studies.pv_datacenter_siting.setting import check_budgets, days_of, make_setting
from studies.pv_datacenter_siting.stored_plan import read_plan
from studies.pv_datacenter_siting.windows import Window, WindowRun, opendss_voltages, run_fleets
from studies.pv_datacenter_siting.year import broken_hours, check_year
from studies.running.inputs import feeder_files
from studies.shared.conclusion import Conclusion
from studies.shared.question_model import question_model
from studies.shared.task import Progress, Row, Tables, Task, TaskResult, counted, gather

# Rounds that a plan usually takes, for progress.
_EXPECTED_ROUNDS = 3
# Seconds of a window in closed loop next to a plan, roughly.
_WINDOW_WEIGHT = 0.5


@question_model
class SitingStudy(SitingQuestion):
    """A `SitingQuestion` that can be run."""

    study: ClassVar[str] = "siting"
    stages: ClassVar[tuple[str, ...]] = ("plans", "checks", "windows")
    # Of the days no more is stored than their extreme voltages.
    rejudges: ClassVar[frozenset[str]] = frozenset({"voltage_min_pu", "voltage_max_pu"})

    def input_files(self) -> dict[str, Path]:
        """Circuit, bundled data, the user's traces and hourly profile."""
        return feeder_files(self.feeder, self.trace_dir, self.profile)

    def check(self) -> None:
        """Raise `InputError` for whatever can be wrong with the question, before a worker starts."""
        self.check_figures()
        feeder = self.load_feeder()
        load_profile(self.profile).check_is_year()
        if load_profile(self.profile).price_per_kwh is not None and "price" in dict(self.sweeps):
            raise InputError(f"profile {self.profile} has prices by the hour, so one price cannot be swept")
        check_budgets(make_setting(self, feeder, days_of(self)))

    # --- tasks

    def tasks(self, stage: str, results: Sequence[TaskResult]) -> list[Task]:
        """The plans and sweeps; then the year of the best plan that holds; then its windows."""
        if stage == "plans":
            base = Task("plans", {"sweep": "", "values": []}, "plan", float(self.n_plans))
            return [base] + [
                Task("plans", {"sweep": name, "values": list(values)}, f"sweep of {name}", float(len(values)))
                for name, values in self.sweeps
            ]
        best = best_plan(results)
        if best is None:
            return []
        content = {"name": best["plan"], "plan": best["json"]}
        if stage == "checks":
            return [Task("checks", content, "year", 1.0)] if self.year_check else []
        return [
            Task(
                "windows",
                content | {"first": row["first"], "nearest": row["nearest"], "margin_pu": row["margin_pu"]},
                f"{row['when']} on OpenDSS",
                _WINDOW_WEIGHT,
            )
            for row in gather(results, "nearest")
            if row["plan"] == best["plan"]
        ]

    def split(self, task: Task) -> list[Task]:
        """One task for every value of a sweep."""
        values = task.content.get("values", [])
        if len(values) < 2:
            return []
        name = task.content["sweep"]
        return [Task("plans", {"sweep": name, "values": [value]}, f"{name} {value:g}", 1.0) for value in values]

    def run(self, task: Task, progress: Progress) -> Tables:
        """Do a task, in a worker process."""
        feeder = self.load_feeder()
        if task.kind == "plans":
            report = counted(progress, _EXPECTED_ROUNDS * max(len(task.content["values"]), self.n_plans))
            if task.content["sweep"]:
                return sweep_plans(self, feeder, task.content["sweep"], task.content["values"], report)
            return make_plans(self, feeder, report)
        setting, plan = read_plan(self, feeder, task.content["plan"])
        name = task.content["name"]
        if task.kind == "checks":
            year = check_year(setting, plan)
            row: Row = {
                "plan": name,
                "n_hours": int(year.over.size),
                "n_hours_broken": year.n_hours_broken,
                "n_hours_unsolved": int(year.unsolved.sum()),
                "over_max_pu": float(year.over.max()),
                "lowest_pu": float(np.where(year.unsolved, np.inf, year.lowest_pu).min()),
                "highest_pu": float(np.where(year.unsolved, -np.inf, year.highest_pu).max()),
                "pv_mwh": year.pv_mwh,
                "pv_mwh_by_days": year.pv_mwh_by_days,
            }
            return {"year": [row], "year_hours": broken_hours(setting, year, setting.network.names())}
        window = Window(task.content["first"], task.content["nearest"], task.content["margin_pu"])
        progress(0.1, task.label)
        row = {"plan": name, "when": setting.place_in_time(window.nearest), "margin_pu": window.margin_pu}
        batch = setting.network.simulate(plan).g[: setting.network.n_voltages, window.nearest]
        try:
            opendss = opendss_voltages(setting, plan, window.nearest)
            row |= {
                "batch_lowest_pu": float(batch.min()),
                "batch_highest_pu": float(batch.max()),
                "opendss_lowest_pu": float(opendss.min()),
                "opendss_highest_pu": float(opendss.max()),
                "difference_pu": float(np.abs(opendss - batch).max()),
                "reason": "",
            }
        except PowerFlowError as error:
            figures = ("batch_lowest_pu", "batch_highest_pu", "opendss_lowest_pu", "opendss_highest_pu")
            row |= dict.fromkeys((*figures, "difference_pu")) | {"reason": str(error)}
        if not self.places_sites:
            return {"windows": [row]}
        runs = []
        for k, policy in enumerate((Policy(), Policy(self.policy, margin_pu=self.policy_margin_pu))):
            progress(0.1 + 0.45 * k, f"{task.label}, policy {policy.kind}")
            planned, scenario, run = run_fleets(setting, plan, window, policy)
            stored = WindowRun.of(planned, scenario, run, when=row["when"], policy=policy.kind)
            runs.append(stored.to_row())
        return {"windows": [row], "runs": runs if self.policy != "none" else runs[:1]}

    def conclude(self, results: Sequence[TaskResult], made_under: Limits | None = None) -> Conclusion:
        """The answer, from stored results alone."""
        return draw_conclusion(self, results, made_under)
