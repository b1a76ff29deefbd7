"""PV and datacenter siting: plans that hold when simulated (equations, section 8).

Stages, in turns: `plans` proposes plans, simulates their days and takes them through all hours of the year (in the
first turn also those of sweeps); `windows` runs the hours nearest to their limits on OpenDSS, with the sites in closed
loop. Then verdicts are passed: a plan that breaks a limit or fails is refused, and the next turn proposes another in
its place, with what refused it. At last `ties` looks for other placements at the best plan's cost.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from g2g_opt.errors import InputError
from g2g_opt.hourly_profile import load_profile
from g2g_opt.limits import Limits
from studies.pv_datacenter_siting.answer import conclusion_of
from studies.pv_datacenter_siting.case import check_budgets, days_of, make_case
from studies.pv_datacenter_siting.corrections import CorrectionRequest, corrections_of
from studies.pv_datacenter_siting.question import SitingQuestion
from studies.pv_datacenter_siting.rows import NearestRow
from studies.pv_datacenter_siting.verdicts import JudgedPlan, best_of, judged_plans
from studies.pv_datacenter_siting.work import find_ties, propose_plans, run_window, sweep_plans
from studies.shared.conclusion import Conclusion
from studies.shared.question_model import question_model
from studies.shared.stated_solver import check_solver_is_installed
from studies.shared.task import Progress, Tables, Task, TaskResult, counted
from studies.shared.typed_rows import gather_as

# Rounds that a plan usually takes, for progress.
_EXPECTED_ROUNDS = 3
# A window in closed loop, and looking at a placement for ties, next to a plan, roughly.
_WINDOW_WEIGHT, _TIE_WEIGHT = 0.5, 0.005
# Placements that a task looks at for ties.
_TIES_A_TASK = 100
# Limits that a plan keeps at every step, or that its fleets keep in a window.
_REJUDGES = frozenset(
    {
        "voltage_min_pu",
        "voltage_max_pu",
        "loading_max_pu",
        "loading_emergency_max_pu",
        "latency_miss_share_max",
        "throughput_share_min",
    }
)


@question_model
class SitingStudy(SitingQuestion):
    """A `SitingQuestion` that can be run."""

    study: ClassVar[str] = "siting"

    @property
    def stages(self) -> tuple[str, ...]:
        """Plans and their windows, turn after turn, and ties."""
        turns = range(1, self.refusals_max + 2)
        return (*(name for turn in turns for name in (_stage("plans", turn), _stage("windows", turn))), "ties")

    @property
    def rejudges(self) -> frozenset[str]:
        """Limits that hold at a step or over a window's service; none where costs hang on the limits."""
        return _REJUDGES if self.violations == "forbidden" else frozenset()

    def check(self) -> None:
        """Raise `InputError` for whatever can be wrong with the question, before a worker starts."""
        self.check_figures()
        self.check_used()
        check_solver_is_installed(self.solver)
        feeder = self.load_feeder()
        load_profile(self.profile).check_is_year()
        if load_profile(self.profile).price_per_kwh is not None and "price" in dict(self.sweeps):
            raise InputError(f"profile {self.profile} has prices by the hour, so one price cannot be swept")
        check_budgets(make_case(self, feeder, days_of(self)))

    # --- tasks

    def tasks(self, stage: str, results: Sequence[TaskResult]) -> list[Task]:
        """Plans and sweeps, or what is proposed in place of refused plans; their windows; ties of the best plan."""
        plans = [plan for plan in judged_plans(self, results) if not plan.row.sweep]
        kind, _, turn = stage.partition(" ")
        if kind == "plans" and not turn:
            first = CorrectionRequest(n_plans=self.n_plans)
            return [Task("plans", first.content(), "plan", float(self.n_plans))] + [
                Task("sweep", {"sweep": name, "values": list(values)}, f"sweep of {name}", float(len(values)))
                for name, values in self.sweeps
            ]
        if kind == "plans":
            return self._next_plans(int(turn), results, plans)
        if kind == "windows":
            return self._windows(int(turn or 1), results, plans)
        best = best_of(plans)
        if best is None or self.taps == "own control":
            return []  # under their own controls, other placements are compared by what their year costs
        content = {"plan": best.row.plan, "json": best.row.json}
        return [
            Task("ties", content | {"first": first, "n": n}, f"ties, placements from {first + 1} on", _TIE_WEIGHT * n)
            for first in range(0, self.n_ties, _TIES_A_TASK)
            for n in (min(_TIES_A_TASK, self.n_ties - first),)
        ]

    def _next_plans(self, turn: int, results: Sequence[TaskResult], plans: Sequence[JudgedPlan]) -> list[Task]:
        """Proposals in place of the plans that were refused in the turn before; none if none was."""
        before = [plan for plan in plans if plan.row.turn == turn - 1]
        n_wanted = self.n_plans - sum(plan.held for plan in plans)
        if all(plan.held for plan in before) or n_wanted <= 0:
            return []
        corrections = corrections_of(results, plans, self.limits)
        if corrections.none_left:
            return []
        asked = CorrectionRequest(
            turn, len(plans) + 1, n_wanted, before[-1].row.json, corrections.excluded, corrections.narrowed
        )
        return [Task("plans", asked.content(), f"plan in place of refused ones, turn {turn}", float(n_wanted))]

    def _windows(self, turn: int, results: Sequence[TaskResult], plans: Sequence[JudgedPlan]) -> list[Task]:
        """Windows of the plans of a turn that nothing refused so far."""
        asked = {plan.row.plan: plan.row.json for plan in plans if plan.row.turn == turn and not plan.refused_before}
        return [
            Task(
                "windows",
                row.to_row() | {"json": asked[row.plan]},
                f"{row.plan}, {row.when} on OpenDSS",
                _WINDOW_WEIGHT,
            )
            for row in gather_as(results, "nearest", NearestRow)
            if row.plan in asked
        ]

    def split(self, task: Task) -> list[Task]:
        """One task for every value of a sweep."""
        values = task.content.get("values", [])
        if len(values) < 2:
            return []
        name = task.content["sweep"]
        return [Task("sweep", {"sweep": name, "values": [value]}, f"{name} {value:g}", 1.0) for value in values]

    def run(self, task: Task, progress: Progress) -> Tables:
        """Do a task, in a worker process."""
        feeder, content = self.load_feeder(), task.content
        if task.kind == "plans":
            asked = CorrectionRequest.of_content(content)
            return propose_plans(self, feeder, asked, counted(progress, _EXPECTED_ROUNDS * asked.n_plans))
        if task.kind == "sweep":
            report = counted(progress, _EXPECTED_ROUNDS * len(content["values"]))
            return sweep_plans(self, feeder, content["sweep"], content["values"], report)
        plan, text = content["plan"], content["json"]
        if task.kind == "windows":
            return run_window(self, feeder, text, NearestRow.from_row(dict(content)), progress)
        return find_ties(self, feeder, plan, text, content["first"], content["n"], progress)

    def conclude(self, results: Sequence[TaskResult], made_under: Limits | None = None) -> Conclusion:
        """The answer, from stored results alone."""
        return conclusion_of(self, results, made_under)


def _stage(name: str, turn: int) -> str:
    """Stages of the first turn have no number."""
    return name if turn == 1 else f"{name} {turn}"
