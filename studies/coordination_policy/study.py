"""Coordination of a grid operator with a network of datacenters (equations, section 9).

Three kinds: `peak-hour` trains policies on some records and judges them on the others; `closed-loop` lets them run the
hours of another period, seeing only what was measured before they act; `day-ahead` commits units with and without the
datacenters' flexibility. Stages: `bounds` (no and ideal coordination of a closed loop), then `runs`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import product
from pathlib import Path
from typing import ClassVar

from g2g_opt.data_files import data_path
from g2g_opt.limits import Limits
from g2g_opt.transmission.market_folder import MarketFolder
from g2g_opt.transmission.network_case import case_path
from solvers.outcome import SolverError
from studies.coordination_policy.answer import conclusion_of
from studies.coordination_policy.answer_parts import percent_of
from studies.coordination_policy.baselines import check_baseline
from studies.coordination_policy.closed_loop import latency_excess_mw, run_loop, train_loop_policy
from studies.coordination_policy.day_ahead import days_of, study_day
from studies.coordination_policy.draws import study_draw
from studies.coordination_policy.hours import Hours, draw_hours, load_hours
from studies.coordination_policy.market_notes import note_rows, notes_in_words
from studies.coordination_policy.network import load_network
from studies.coordination_policy.peak_hour import make_case
from studies.coordination_policy.question import CoordinationQuestion
from studies.coordination_policy.rows import BoundRow, LoopRow, LostRow, OfDraw, OfSetting, TrainedPolicyRow
from studies.coordination_policy.setting import CoordinationSetting, make_setting
from studies.shared.conclusion import Conclusion
from studies.shared.input_files import files_under
from studies.shared.question_model import question_model
from studies.shared.stated_solver import check_cvxpy_is_installed, check_solver_is_installed
from studies.shared.task import Progress, Tables, Task, TaskResult, counted
from studies.shared.typed_rows import to_rows


@question_model
class CoordinationStudy(CoordinationQuestion):
    """A `CoordinationQuestion` that can be run."""

    stages: ClassVar[tuple[str, ...]] = ("bounds", "runs")
    rejudges: ClassVar[frozenset[str]] = frozenset()

    def input_files(self) -> dict[str, Path]:
        """The bundled transmission system, the user's market files and network."""
        files = files_under("nyiso", data_path("nyiso"))
        if self.market_files:
            folder = MarketFolder(self.market_files)
            files |= {f"market/{path.relative_to(folder.path).as_posix()}": path for path in folder.files}
        if self.network:
            files["network"] = case_path(self.network)
        return files

    def check(self) -> None:
        """Raise `InputError` for whatever can be wrong with the question, before a worker starts."""
        self.check_figures()
        check_solver_is_installed(self.solver)
        if self.statement == "cvxpy":
            check_cvxpy_is_installed()
        for text in self.baselines:
            check_baseline(text, self.seed)
        if self.network:
            load_network(self)
        if self.kind != "peak-hour":
            hours = load_hours(self, make_setting(self.settings, self.penetrations[0], self.alphas[0]))
            for q in self.q if self.kind == "closed-loop" else ():
                draw_hours(self, hours, q, 0)
            if self.kind == "day-ahead":
                days_of(self, hours)

    # --- tasks

    def tasks(self, stage: str, results: Sequence[TaskResult]) -> list[Task]:
        """Bounds of every setting (closed loop); then every draw, or every day."""
        settings = [{"penetration": p, "alpha": a} for p, a in product(self.penetrations, self.alphas)]
        if stage == "bounds":
            if self.kind != "closed-loop":
                return []
            return [Task("bounds", one, f"no and ideal coordination, {_words(one)}", 2.0) for one in settings]
        if self.kind == "day-ahead":
            days = days_of(self, load_hours(self, make_setting(self.settings, self.penetrations[0], 0.0)))
            return [Task("day", {"penetration": p, "date": day}, day, 1.0) for p in self.penetrations for day in days]
        return [
            Task(
                "draw",
                one | {"q": q, "draw": draw},
                f"{_words(one)}, {q} records, draw {draw + 1}",
                float(q) * len(self.eps_of()),
            )
            for one in settings
            for q in self.q
            for draw in range(self.n_draws)
        ]

    def split(self, task: Task) -> list[Task]:
        """A draw or a day is the smallest unit."""
        return []

    def run(self, task: Task, progress: Progress) -> Tables:
        """Do a task, in a worker process."""
        content = task.content
        if task.kind == "day":
            return study_day(self, content["penetration"], content["date"], counted(progress, 1 + len(self.alphas)))
        if self.kind == "peak-hour":
            checks = 0 if not self.network else 1 if self.n_1 is None else 2
            ways = checks * (2 + len(self.eps_of()))
            report = counted(progress, (2 + self.ties_of()) * len(self.eps_of()) + ways)
            progress(0.0, "dispatch of all records, without coordination and with the ideal one")
            case = make_case(self, content["penetration"], content["alpha"])
            return study_draw(self, case, content["q"], content["draw"], report)
        setting = make_setting(self.settings, content["penetration"], content["alpha"])
        hours = load_hours(self, setting)
        about = OfSetting(content["penetration"], content["alpha"])
        if task.kind == "bounds":
            return self._bounds(about, setting, hours, progress)
        of_draw = OfDraw(**vars(about), q=content["q"], draw=content["draw"])
        rows: list[LoopRow] = []
        policies: list[TrainedPolicyRow] = []
        lost: list[LostRow] = []
        eps_of = self.eps_of()
        for k, eps in enumerate(eps_of):
            progress(k / len(eps_of), f"training, eps {eps:g}")
            try:
                policy, training = train_loop_policy(self, setting, hours, of_draw.q, of_draw.draw, eps)
            except SolverError as error:
                # The other bounds may have their policies.
                lost.append(LostRow(**vars(of_draw), eps=eps, reason=str(error)))
                continue
            done = run_loop(self, setting, hours, policy, partial(_tell, progress, k, len(eps_of)))
            rows.append(
                LoopRow(
                    **vars(of_draw),
                    eps=eps,
                    cost=done.cost_usd,
                    theta_mw=done.theta_mw.mean(axis=0),
                    flow_mw=done.flow_mw.mean(axis=0),
                    shed_hours=int((done.shed_mw > 1.0).sum()),
                    outside_hours=done.asked_outside,
                    rejected_hours=int((~done.accepted).sum()),
                    waiting_hours=done.waits,
                    latency_excess_mw=latency_excess_mw(setting, done),
                    training_s=training["training_s"],
                    residual=training["residual"],
                )
            )
            policies.append(TrainedPolicyRow(**vars(of_draw), eps=eps, json=policy.to_json()))
        return {"loops": to_rows(rows), "policies": to_rows(policies), "lost": to_rows(lost)}

    def _bounds(self, about: OfSetting, setting: CoordinationSetting, hours: Hours, progress: Progress) -> Tables:
        """A closed loop without coordination, and its hours ideally coordinated."""
        base = run_loop(self, setting, hours, None, lambda share: progress(0.8 * share, "without coordination"))
        run = slice(hours.first, hours.last)
        progress(0.8, "ideal coordination")
        ideal = setting.ideal(hours.load_mw[run], hours.injected_mw[run])
        row = BoundRow(
            **vars(about),
            hours=len(base.cost_usd),
            first_date=self.first_date,
            base_cost=base.cost_usd,
            ideal_cost=ideal.cost_usd,
            base_shed_hours=int((base.shed_mw > 1.0).sum()),
            unsolved_hours=int((~ideal.solved).sum()),
            base_flow_mw=base.flow_mw.mean(axis=0),
            base_theta_mw=setting.base_mw,
            ideal_theta_mw=ideal.theta_mw.mean(axis=0),
            dates=tuple(hours.days()[::24]),
        )
        if not self.market_files:
            return {"bounds": to_rows([row])}
        notes = note_rows(hours.series, str(hours.series.days[0]), self.last_date)
        progress(0.9, notes_in_words(notes) or "market files: nothing to note")
        return {"bounds": to_rows([row]), "market_notes": to_rows(notes)}

    def conclude(self, results: Sequence[TaskResult], made_under: Limits | None = None) -> Conclusion:
        """The answer, from stored results alone; there are no limits that could be others."""
        return conclusion_of(self, results)


def _tell(progress: Progress, k: int, n: int, share: float) -> None:
    progress((k + share) / n, "closed loop")


def _words(setting: dict[str, float]) -> str:
    return f"{percent_of(setting['penetration'])} % datacenters, alpha {setting['alpha']:g}"
