"""A study of one's own: at which power factor does the same site still keep the limits? A task for each of them.

    python examples/own_study.py                                # two processes here
    PYTHONPATH=examples g2g run examples/own_study.toml --trust-study --engine dask --scheduler tcp://node:8786

What a study has to say is in `studies.shared.task.Question`: its tasks, how one is done, and what is concluded from
stored rows. Stopping, resuming, time-outs, clusters, ledger and report come with it.
"""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, ClassVar

from g2g_opt import BASE_KW_PER_GPU, Limits, Plan, Scenario, evaluate, measured_spec, sized_site
from studies.shared.conclusion import Chart, Column, Conclusion, Line, ResultTable
from studies.shared.feeder_questions import FeederQuestion
from studies.shared.question_model import NounFlags, question_model
from studies.shared.task import Progress, Tables, Task, TaskResult, gather


@question_model
class PowerFactorStudy(FeederQuestion):
    """One site of `servers` at `bus`, at each of `power_factors`."""

    study: ClassVar[str] = "own_study:PowerFactorStudy"
    stages: ClassVar[tuple[str, ...]] = ("runs",)
    rejudges: ClassVar[frozenset[str]] = frozenset()

    bus: str = "671"
    servers: int = 400
    power_factors: tuple[float, ...] = (0.85, 0.9, 0.95, 1.0)
    scenario: Annotated[Scenario, NounFlags("scenario")] = Scenario(duration_s=300)

    @property
    def seed(self) -> int:
        """Every draw is keyed by it."""
        return self.scenario.seed

    def check(self) -> None:
        """What can be wrong is said before a worker starts."""
        self.load_feeder().bus(self.bus)

    def tasks(self, stage: str, results: Sequence[TaskResult]) -> list[Task]:
        """One for each power factor."""
        return [Task("run", {"power_factor": pf}, f"power factor {pf:g}") for pf in self.power_factors]

    def split(self, task: Task) -> list[Task]:
        """A run is the smallest piece."""
        return []

    def run(self, task: Task, progress: Progress) -> Tables:
        """A plan, simulated and judged; the row that is stored."""
        model = measured_spec("llama-3.1-70b", gpu=self.gpu)
        site = sized_site("campus", self.bus, [(model, 128)], self.servers, BASE_KW_PER_GPU)
        plan = Plan((replace(site, power_factor=task.content["power_factor"]),))
        (outcome,) = evaluate(plan, self.load_feeder(), [self.scenario], self.limits).outcomes
        row = {"power_factor": task.content["power_factor"], "kept": outcome.kept, "why": "; ".join(outcome.reasons)}
        return {"runs": [row | {"lowest_pu": None if outcome.failure else outcome.summary.lowest}]}

    def conclude(self, results: Sequence[TaskResult], made_under: Limits | None = None) -> Conclusion:
        """From stored rows alone."""
        rows = gather(results, "runs")
        kept = [row["power_factor"] for row in rows if row["kept"]]
        answer = f"{len(kept)} of {len(rows)} power factors keep the limits: {', '.join(f'{pf:g}' for pf in kept)}"
        columns = (
            Column("power_factor", "power factor", 2),
            Column("lowest_pu", "lowest voltage (pu)", 4),
            Column("kept", "kept"),
            Column("why", "why not"),
        )
        lowest = Line("lowest voltage", [r["power_factor"] for r in rows], [r["lowest_pu"] for r in rows])
        limit_pu = self.limits.voltage_min_pu
        chart = Chart("Lowest voltage", "power factor", "voltage (pu)", (lowest,), limits=(limit_pu,))
        table = ResultTable("runs", "Runs", columns, rows)
        return Conclusion("Power factor of a site", answer, self.feeder, (table,), charts=(chart,))


if __name__ == "__main__":
    from g2g_opt import Consent, give_consent
    from studies.running.local_workers import LocalWorkers
    from studies.running.runner import run_study
    from studies.study_report import write_all

    # Workers import the study by its name, which nobody has registered: that it may be is said here.
    places = [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, places))
    give_consent(Consent(studies=True))
    from own_study import PowerFactorStudy as Study

    folder = Path("results/own_study")
    run_study(folder, lambda: LocalWorkers(2, None), question=Study())
    conclusion, files = write_all(folder)
    print(conclusion.answer)
    print("report:", folder / "report.html")
