"""Where N sites go: every placement simulated in closed loop (equations, section 7).

Stages: `placements` simulates every placement for the full scenario; `finalists` runs the best again on OpenDSS at a
finer step. Where taps are optimised, `settings` first finds a few settings that suit most placements, of which the
linear model picks one for each, and `refine` searches taps for the best of them one by one. No placement is left out;
that the taps found are the best ones is not proven.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import ClassVar, TypeVar

from g2g_opt.assembly import assemble
from g2g_opt.errors import InputError, number_of
from g2g_opt.limits import Limits
from g2g_opt.scenario import Scenario
from studies.datacenter_location.answer import conclusion_of
from studies.datacenter_location.placements import PlacementBuses, name_of, spread_sample
from studies.datacenter_location.question import LocationQuestion
from studies.datacenter_location.ranking import best_rows
from studies.datacenter_location.tap_model import (
    TapModel,
    choose_library,
    pick_settings,
    refine_settings,
    usable,
)
from studies.datacenter_location.trials import PlacementRow, Trial, TrialRun, Trials
from studies.shared.asked_channels import check_heard
from studies.shared.conclusion import Conclusion
from studies.shared.question_model import question_model
from studies.shared.rejudging import ALL_LIMITS
from studies.shared.stored_bases import BASES, base_rows
from studies.shared.tap_range import Steps, taps_in_words
from studies.shared.task import Progress, Row, Tables, Task, TaskResult, gather
from studies.shared.typed_rows import gather_as, to_rows

_Item = TypeVar("_Item")

# Placements per task: a minute or two, lost as a whole if its worker dies.
_CHUNK = 480
_REFINE_CHUNK = 48
# Placements on which tap settings are looked for, and how many settings are kept.
_SAMPLE = 192
_LIBRARY_MAX = 24
_REFINE_ROUNDS = 4
# Work of a finalist, and of a refined placement, next to a placement's (measured on the 123-bus hour).
_FINALIST_WEIGHT, _REFINE_WEIGHT = 90.0, 3.0


@question_model
class LocationStudy(LocationQuestion):
    """A `LocationQuestion` that can be run."""

    study: ClassVar[str] = "location"
    stages: ClassVar[tuple[str, ...]] = ("settings", "placements", "refine", "finalists")
    rejudges: ClassVar[frozenset[str]] = ALL_LIMITS

    def check(self) -> None:
        """Raise `InputError` for whatever can be wrong with the question, before a worker starts."""
        hears = self.policy.acts or bool(self.storage)
        check_heard(self, "" if hears else "nothing acts in the run that could be told anything (--policy none)")
        for name in ("finalist_dt_s", "coarse_dt_s"):
            dt_s = getattr(self, name)
            if (self.scenario.duration_s / dt_s).denominator != 1:
                raise InputError(f"{name} must divide the {self.scenario.duration_s} s of the scenario, got {dt_s}")
        for scenario_of in (self.coarse, self.fine):
            scenario_of()  # refuses a step of which a run has too many
        known, n_sites = set(self.placements()), len(self.choices())
        for buses in self.followed:
            if len(buses) != n_sites:
                words = f"followed placement {name_of(buses)} (--follow) names {len(buses)} buses for {n_sites} sites"
                raise InputError(words)
            if buses not in known:
                raise InputError(
                    f"followed placement {name_of(buses)} is none of the {number_of(len(known), 'placement')} asked for"
                )
        trials = _trials(self)
        plan = trials.plan(self.placements()[0], trials.taps.study)
        grid = assemble(plan, self.scenario, trials.feeder, self.limits, trace_dir=trials.trace_dir).grid
        grid.start()
        # Lets go of the circuit here: an OpenDSS context that is collected in another thread ends the process.
        grid.reset()

    # --- tasks

    def tasks(self, stage: str, results: Sequence[TaskResult]) -> list[Task]:
        """Tasks of a stage, given the results of all stages before it; may be none."""
        optimised = self.taps == "optimised" and bool(self.load_feeder().regulators)
        if stage == "settings":
            return [Task(stage, {}, "tap settings that suit a sample of placements")] if optimised else []
        if stage == "placements":
            library = [_steps(row) for row in gather(results, "settings")]
            return [
                _placement_task(part, library, f"placements {first + 1} to {first + len(part)}")
                for first, part in _chunks(self.placements(), _CHUNK)
            ]
        best = best_rows(gather_as(results, "placements", PlacementRow), finalists=False)
        if stage == "refine":
            wanted = self._foremost(best, self.refined) if optimised and self.refined else []
            return [
                _refine_task([(row.buses, row.steps) for row in part], first)
                for first, part in _chunks(wanted, _REFINE_CHUNK)
            ]
        return [
            Task(
                stage,
                {"placement": list(row.buses), "steps": list(row.steps)},
                f"{row.placement} on OpenDSS at {float(self.finalist_dt_s):g} s",
                weight=_FINALIST_WEIGHT,
            )
            for row in self._foremost(best, self.finalists)
        ]

    def _foremost(self, best: Sequence[PlacementRow], n: int) -> list[PlacementRow]:
        """The first `n` rows that have figures, and those of the followed placements."""
        followed = {name_of(buses) for buses in self.followed}
        return [row for k, row in enumerate(best) if not row.failure and (k < n or row.placement in followed)]

    def split(self, task: Task) -> list[Task]:
        """Two halves of a task that failed; none if it is a single placement."""
        content = task.content
        if task.kind == "placements" and len(content["placements"]) > 1:
            every = [tuple(buses) for buses in content["placements"]]
            return [
                _placement_task(part, content["library"], f"{task.label}, part {first // len(part) + 1}")
                for first, part in _chunks(every, -(-len(every) // 2))
            ]
        if task.kind == "refine" and len(content["placements"]) > 1:
            pairs = list(zip(content["placements"], content["steps"], strict=True))
            return [_refine_task(part, first) for first, part in _chunks(pairs, -(-len(pairs) // 2))]
        return []

    def run(self, task: Task, progress: Progress) -> Tables:
        """Do a task, in a worker process."""
        if task.kind == "settings":
            return self._find_settings(progress)
        if task.kind == "placements":
            return self._simulate_placements(task, progress)
        if task.kind == "refine":
            return self._refine(task, progress)
        progress(0.0, "on OpenDSS")
        placement, steps = tuple(task.content["placement"]), tuple(task.content["steps"])
        (trial,) = _trials(self).simulate([(placement, steps)], self.fine(), "opendss")
        return self._rows([trial], "finalists", self.fine())

    def _find_settings(self, progress: Progress) -> Tables:
        sample = spread_sample(self.placements(), _SAMPLE)
        library = choose_library(
            _trials(self),
            _tap_model(self),
            sample,
            self.coarse(),
            _LIBRARY_MAX,
            lambda share: progress(share, f"coarse runs of {number_of(len(sample), 'placement')}"),
        )
        taps = _trials(self).taps
        return {"settings": [{"steps": list(steps), "taps": taps_in_words(taps.taps(steps))} for steps in library]}

    def _simulate_placements(self, task: Task, progress: Progress) -> Tables:
        """Coarse under the study's taps, the best predicted setting for each, then the full run under that."""
        trials = _trials(self)
        placements = [tuple(buses) for buses in task.content["placements"]]
        library: list[Steps] = [tuple(steps) for steps in task.content["library"]]
        chosen: dict[PlacementBuses, tuple[Steps, float | None]] = dict.fromkeys(placements, (trials.taps.study, None))
        coarse: dict[PlacementBuses, Trial] = {}
        if len(library) > 1:
            seen = usable(
                trials.simulate(
                    [(p, trials.taps.study) for p in placements],
                    self.coarse(),
                    progress=lambda share: progress(0.2 * share, "coarse runs under the study's taps"),
                )
            )
            if seen:
                picked = pick_settings(_tap_model(self), seen, library)
                chosen |= {trial.placement: choice for trial, choice in zip(seen, picked, strict=True)}
                coarse = {trial.placement: trial for trial in seen}
        full = trials.simulate(
            [(p, chosen[p][0]) for p in placements],
            self.scenario,
            progress=lambda share: progress(0.2 + 0.8 * share, "full runs"),
        )
        known = [(coarse.get(p), chosen[p][1]) for p in placements]
        return self._rows(full, "placements", self.scenario, known)

    def _refine(self, task: Task, progress: Progress) -> Tables:
        """Coarse rounds, then the full run where they found other taps."""
        trials = _trials(self)
        started = [
            (tuple(buses), tuple(steps))
            for buses, steps in zip(task.content["placements"], task.content["steps"], strict=True)
        ]
        found = refine_settings(
            trials,
            _tap_model(self),
            started,
            self.coarse(),
            _REFINE_ROUNDS,
            lambda share: progress(0.6 * share, "coarse rounds"),
        )
        moved = [(p, steps) for (p, before), (steps, _) in zip(started, found, strict=True) if steps != before]
        full = trials.simulate(moved, self.scenario, progress=lambda share: progress(0.6 + 0.4 * share, "full runs"))
        return self._rows(full, "refine", self.scenario)

    def _rows(
        self,
        found: Sequence[Trial],
        stage: str,
        scenario: Scenario,
        known: Sequence[tuple[Trial | None, float | None]] = (),
    ) -> Tables:
        """Trials in a scenario and their runs; `known` are a coarse trial and a predicted cost of each."""
        rows = [PlacementRow.of(trial, stage) for trial in found]
        for k, (coarse, predicted) in enumerate(known):
            integral = _integral(coarse)
            rows[k] = replace(rows[k], coarse_study_integral_pu_s=integral, predicted_cost_pu=predicted)
        runs = [
            TrialRun.of(trial.plan, scenario, trial.run, placement=name_of(trial.placement), stage=stage)
            for trial in found
        ]
        bases = base_rows((trial.plan, scenario, trial.run) for trial in found)
        return {"placements": to_rows(rows), "runs": to_rows(runs), BASES: bases}

    def conclude(self, results: Sequence[TaskResult], made_under: Limits | None = None) -> Conclusion:
        """The answer, from stored results alone; those that were `made_under` other limits are judged again."""
        return conclusion_of(self, results, made_under)


def _integral(coarse: Trial | None) -> float | None:
    """The integral violation (pu s) of a coarse trial; None without one that has figures."""
    return None if coarse is None or coarse.run.failure is not None else coarse.run.voltage.integral_violation_pu_s


def _steps(row: Row) -> list[int]:
    """Tap steps of a stored row, as plain numbers: they become part of a task."""
    return [int(n) for n in row["steps"]]


def _placement_task(placements: Sequence[PlacementBuses], library: Sequence[Sequence[int]], label: str) -> Task:
    content = {"placements": [list(p) for p in placements], "library": [list(steps) for steps in library]}
    return Task("placements", content, label, weight=float(len(placements)))


def _refine_task(pairs: Sequence[tuple[Sequence[str], Sequence[int]]], first: int) -> Task:
    content = {"placements": [list(buses) for buses, _ in pairs], "steps": [list(steps) for _, steps in pairs]}
    label = f"taps of placements ranked {first + 1} to {first + len(pairs)}"
    return Task("refine", content, label, weight=_REFINE_WEIGHT * len(pairs))


def _chunks(items: Sequence[_Item], size: int) -> list[tuple[int, Sequence[_Item]]]:
    return [(first, items[first : first + size]) for first in range(0, len(items), size)]


# A worker does many tasks of one question: what they share is made once.


@lru_cache(maxsize=2)
def _trials(study: LocationQuestion) -> Trials:
    return Trials(study)


@lru_cache(maxsize=2)
def _tap_model(study: LocationQuestion) -> TapModel:
    (reference,) = spread_sample(study.placements(), 1)
    return TapModel(_trials(study), reference, study.scenario)
