"""Controllers of batch sizes compared in the same scenarios: in lockstep, and some of them on OpenDSS.

Stages: `candidates` screens scenarios where no library is given; `runs` are all controllers in all scenarios;
`opendss` runs the controllers (not those of sweeps) again one by one, and records the trajectories of one scenario.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from g2g_opt.assembly import Assembly, assemble
from g2g_opt.errors import number_of
from g2g_opt.limits import Limits
from g2g_opt.plan import Plan
from g2g_opt.scenario import Scenario
from g2g_opt.scenario_library import parse_scenario, scenario_json
from g2g_opt.simulation import simulate_assembled, simulate_runs
from g2g_opt.study_case import StudyCase
from studies.controllers.answer import conclusion_of
from studies.controllers.choices import ControllerChoice
from studies.controllers.question import ControllersQuestion
from studies.controllers.rows import BatchTrajectory, ControllerRun, Trajectory
from studies.shared.conclusion import Conclusion
from studies.shared.question_model import question_model
from studies.shared.screening import ADMITTED, CandidateRow, Screening, draw_candidates
from studies.shared.task import Progress, Tables, Task, TaskResult
from studies.shared.typed_rows import gather_as, to_rows

# Runs of a task: one batch.
_LANES = 192
# Points of a trajectory.
_POINTS = 720
# Work of a run on OpenDSS next to one in a batch.
_OPENDSS_WEIGHT = 40.0


@question_model
class ControllersStudy(ControllersQuestion):
    """A `ControllersQuestion` that can be run."""

    study: ClassVar[str] = "controllers"
    stages: ClassVar[tuple[str, ...]] = ("candidates", "runs", "opendss")
    # Controllers act on the band.
    rejudges: ClassVar[frozenset[str]] = frozenset()

    def input_files(self) -> dict[str, Path]:
        """What every study of a case reads, the library and trained policies."""
        named = [("library", self.library), *(("policy", choice.policy_file) for choice in self.choices())]
        own = {f"{kind}/{Path(path).name}": Path(path) for kind, path in named if path is not None}
        return {**super().input_files(), **own}

    def check(self) -> None:
        """Raise `InputError` for whatever can be wrong with the question, before a worker starts."""
        self.check_fields()
        case = StudyCase.load(self.case)
        given = self.given_scenarios()
        (first,) = given[:1] if given else draw_candidates(case, self.scenario, self.ranges, "test", 0, 1)
        for choice in self.choices():
            # Refuses settings, files and feeders that do not fit.
            self._assembled(case, choice, first).grid.reset()

    def _plan(self, case: StudyCase, choice: ControllerChoice) -> Plan:
        return replace(case.plan, policy=replace(choice.policy(), channels=self.channels))

    def _assembled(self, case: StudyCase, choice: ControllerChoice, scenario: Scenario) -> Assembly:
        plan = self._plan(case, choice)
        return assemble(plan, scenario, case.feeder, self.limits, trace_dir=Path(self.trace_dir))

    # --- tasks

    def tasks(self, stage: str, results: Sequence[TaskResult]) -> list[Task]:
        """Tasks of a stage, given the results of all stages before it."""
        if stage == "candidates":
            if self.library is not None:
                return []
            parts = range(0, self.n_candidates, _LANES)
            return [_candidate_task(first, min(_LANES, self.n_candidates - first)) for first in parts]
        scenarios = self.scenarios(results)
        if stage == "runs":
            chunk = max(1, _LANES // len(self.choices()))
            return [_run_task(scenarios[k : k + chunk], k) for k in range(0, len(scenarios), chunk)]
        return [
            Task(
                "opendss",
                {"controller": k, "scenario": scenario_json(scenario), "shown": place == 0},
                f"{choice.name} in {scenario.name} on OpenDSS",
                weight=_OPENDSS_WEIGHT,
            )
            for place, scenario in enumerate(self._compared(scenarios, results))
            for k, choice in enumerate(self.controllers)
        ]

    def scenarios(self, results: Sequence[TaskResult]) -> list[Scenario]:
        """Scenarios to test with: of the library, or those admitted of what was drawn."""
        given = self.given_scenarios()
        if given is not None:
            return given
        rows = [row for row in gather_as(results, "candidates", CandidateRow) if row.verdict == ADMITTED]
        return [row.entry().scenario for row in rows[: self.n_scenarios]]

    def _compared(self, scenarios: Sequence[Scenario], results: Sequence[TaskResult]) -> list[Scenario]:
        """The scenario that is shown, and the first of the others."""
        if not self.n_compared or not scenarios:
            return []
        first = self.controllers[0].name if self.controllers else ""
        hardness = {
            run.scenario: run.integral_violation_pu_s or 0.0
            for run in gather_as(results, "runs", ControllerRun)
            if run.controller == first
        }
        ranked = sorted(scenarios, key=lambda scenario: hardness.get(scenario.name, 0.0))
        named = [scenario for scenario in scenarios if scenario.name == self.shown]
        shown = named[0] if named else ranked[len(ranked) // 2]
        return [shown, *(scenario for scenario in scenarios if scenario is not shown)][: self.n_compared]

    def split(self, task: Task) -> list[Task]:
        """Two halves of a task that failed; none of a single run or candidate."""
        if task.kind == "candidates" and task.content["n"] > 1:
            first, n = task.content["first"], task.content["n"]
            return [_candidate_task(first, n // 2), _candidate_task(first + n // 2, n - n // 2)]
        if task.kind == "runs" and len(task.content["scenarios"]) > 1:
            every = [parse_scenario(text, "a task") for text in task.content["scenarios"]]
            half = len(every) // 2
            return [
                _run_task(every[:half], task.content["first"]),
                _run_task(every[half:], task.content["first"] + half),
            ]
        return []

    def run(self, task: Task, progress: Progress) -> Tables:
        """Do a task, in a worker process."""
        case = StudyCase.load(self.case)
        if task.kind == "candidates":
            first, n = task.content["first"], task.content["n"]
            drawn = draw_candidates(case, self.scenario, self.ranges, "test", first, n)
            screening = Screening(case, self.rule, self.limits, Path(self.trace_dir))
            return {"candidates": to_rows(screening.screen("test", drawn, lambda share: progress(share, "candidates")))}
        if task.kind == "runs":
            scenarios = [parse_scenario(text, "a task") for text in task.content["scenarios"]]
            return {"runs": to_rows(self._runs(case, scenarios, progress))}
        progress(0.0, "on OpenDSS")
        scenario = parse_scenario(task.content["scenario"], "a task")
        return self._on_opendss(case, self.controllers[task.content["controller"]], scenario, task.content["shown"])

    def _runs(self, case: StudyCase, scenarios: Sequence[Scenario], progress: Progress) -> list[ControllerRun]:
        pairs = [(choice, scenario) for choice in self.choices() for scenario in scenarios]
        plans = {choice.name: self._plan(case, choice) for choice in self.choices()}
        outcomes = simulate_runs(
            [(plans[choice.name], scenario) for choice, scenario in pairs],
            case.feeder,
            self.limits,
            trace_dir=Path(self.trace_dir),
            progress=lambda done, of: progress(done / of, f"{number_of(len(pairs), 'run')}"),
        )
        return [
            ControllerRun.of(choice.name, scenario, run)
            for (choice, scenario), run in zip(pairs, outcomes, strict=True)
        ]

    def _on_opendss(self, case: StudyCase, choice: ControllerChoice, scenario: Scenario, shown: bool) -> Tables:
        run, plan = self._assembled(case, choice, scenario), self._plan(case, choice)
        outcome = simulate_assembled(run, plan, scenario, case.feeder, self.limits, trace_dir=Path(self.trace_dir))
        tables: dict[str, list[dict[str, Any]]] = {
            "opendss": to_rows([ControllerRun.of(choice.name, scenario, outcome)])
        }
        if shown and outcome.failure is None:
            tables |= _trajectories(choice.name, scenario.name, run)
        return tables

    def conclude(self, results: Sequence[TaskResult], made_under: Limits | None = None) -> Conclusion:
        """The answer, from stored results alone; controllers act on the band, which is never another."""
        return conclusion_of(StudyCase.load(self.case), self, self.scenarios(results), results)


def _candidate_task(first: int, n: int) -> Task:
    return Task("candidates", {"first": first, "n": n}, f"candidates {first + 1} to {first + n}", weight=2.0 * n)


def _run_task(scenarios: Sequence[Scenario], first: int) -> Task:
    content = {"scenarios": [scenario_json(scenario) for scenario in scenarios], "first": first}
    label = f"scenarios {first + 1} to {first + len(scenarios)} under every controller"
    return Task("runs", content, label, weight=3.0 * len(scenarios))


def _trajectories(controller: str, scenario: str, run: Assembly) -> dict[str, list[dict[str, Any]]]:
    """What a run recorded, at so many steps that a picture shows all of it; of voltages and latencies the extremes in
    between.
    """
    record = run.grid.record
    voltage_pu = record.voltage_pu[:, run.grid.monitored_columns]
    step = max(1, len(record.time_s) // _POINTS)
    begins = np.arange(0, len(record.time_s), step)
    time_s = np.asarray(record.time_s, dtype=np.float64)[::step]
    sites = run.datacenters.values()
    power_w = np.sum([site.record.power_w.sum(axis=1) for site in sites], axis=0)
    whole = Trajectory(
        controller,
        scenario,
        time_s,
        np.minimum.reduceat(voltage_pu.min(axis=1), begins),
        np.maximum.reduceat(voltage_pu.max(axis=1), begins),
        power_w[::step] / 1e6,
    )
    batches = []
    for site in sites:
        for column, model in enumerate(site.record.labels):
            deadline_s = next(s.itl_deadline_s for s in site.workload.inference_data.models if s.model_label == model)
            size = site.record.batch_size[::step, column].astype(np.float64)
            latency = np.fmax.reduceat(site.record.itl_s[:, column], begins) / deadline_s
            batches.append(BatchTrajectory(controller, site.name, model, time_s, size, latency))
    return {"trajectories": to_rows([whole]), "batches": to_rows(batches)}
