"""Where N sites go: every placement simulated in closed loop under taps of its own (formulations 7).

Stages: `settings` finds a few tap settings that suit most placements; `placements` simulates every placement for the
full scenario under the one that the linear model picks for it; `refine` searches taps for the best of them one by
one; `finalists` runs the best again on OpenDSS at a finer step. No placement is left out; that the taps found are the
best ones is not proven.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import ClassVar, Literal, TypeVar

from pydantic import Field

from g2g_opt.assembly import assemble
from g2g_opt.errors import InputError
from g2g_opt.feeder import Feeder
from g2g_opt.limits import Limits
from g2g_opt.plan import Policy
from g2g_opt.quantities import Count, CountFromZero, PeriodS
from g2g_opt.scenario import Scenario
from studies.datacenter_location.answer import draw_conclusion
from studies.datacenter_location.placements import Placement, list_placements, name_of, spread_sample
from studies.datacenter_location.ranking import best_rows
from studies.datacenter_location.tap_model import (
    TapModel,
    choose_library,
    pick_settings,
    refine_settings,
    usable,
)
from studies.datacenter_location.trials import Steps, Trial, Trials, trial_row
from studies.running.inputs import feeder_files
from studies.shared.conclusion import Conclusion
from studies.shared.question_model import question_model
from studies.shared.site_choices import SiteChoice, chosen_sites
from studies.shared.stored_runs import run_row
from studies.shared.task import Progress, Row, Tables, Task, TaskResult, gather

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
class LocationStudy:
    """The question, complete enough to rerun: where do `sites` go on `feeder`?

    The best placement has the least integral voltage violation (3.1) over the scenario. Ties are broken by violation
    time, then tokens served (more is better), then the margin of the worst voltage to the band (more is better), then
    the names of the buses. No `sites` means those of the feeder's own studies (`sites` of its study.json); a site
    without zone and candidates may stand at any candidate bus of the feeder; no two sites share a bus. `gpu` is what
    the models were measured on. `taps`: "optimised" per placement, or "study" (the feeder's own constants).

    `refined` of the best placements get a tap search of their own; the best `finalists` are run again on OpenDSS at
    `finalist_dt_s` (s), and their order is the answer. Placements in `followed` (buses in the order of the sites) go
    through all stages whatever their rank. `coarse_dt_s` is the step (s) of the runs that compare tap settings; no
    figure of a coarse run is an answer.
    """

    study: ClassVar[str] = "location"
    stages: ClassVar[tuple[str, ...]] = ("settings", "placements", "refine", "finalists")

    feeder: str = "ieee123"
    exclude_buses: tuple[str, ...] = ()
    edits: str | None = None
    sites: tuple[SiteChoice, ...] = ()
    gpu: str = "H100"
    policy: Policy = Policy("ofo")
    taps: Literal["optimised", "study"] = "optimised"
    scenario: Scenario = Field(default_factory=Scenario)
    limits: Limits = Field(default_factory=Limits)
    refined: CountFromZero = 300
    finalists: Count = 10
    finalist_dt_s: PeriodS = Fraction(1, 10)
    coarse_dt_s: PeriodS = Fraction(10)
    followed: tuple[tuple[str, ...], ...] = ()
    trace_dir: str = "data/specs"

    @property
    def seed(self) -> int:
        """The study seed; every draw is keyed by it."""
        return self.scenario.seed

    # --- the question, resolved

    @property
    def profile(self) -> str | None:
        """Hourly figures of the scenario, if it has any."""
        return self.scenario.profile

    def load_feeder(self) -> Feeder:
        """The feeder named by the question."""
        return Feeder.find(self.feeder, self.edits).excluding(self.exclude_buses)

    def choices(self) -> tuple[SiteChoice, ...]:
        """The sites asked for, or those of the feeder's studies; `InputError` if there are none or names repeat."""
        return chosen_sites(self.feeder, self.sites)

    def placements(self) -> list[Placement]:
        """Every placement, neighbours alike (see `list_placements`)."""
        return _placements(self)

    def input_files(self) -> dict[str, Path]:
        """Circuit, bundled data, the user's traces and hourly profile."""
        return feeder_files(self.feeder, self.trace_dir, self.profile)

    def check(self) -> None:
        """Raise `InputError` for whatever can be wrong with the question, before a worker starts."""
        for name in ("finalist_dt_s", "coarse_dt_s"):
            dt_s = getattr(self, name)
            if (self.scenario.duration_s / dt_s).denominator != 1:
                raise InputError(f"{name} must divide the {self.scenario.duration_s} s of the scenario, got {dt_s}")
        for scenario_of in (self._coarse, self._fine):
            scenario_of()  # refuses a step of which a run has too many
        known = set(self.placements())
        for buses in self.followed:
            if buses not in known:
                raise InputError(
                    f"followed placement {name_of(buses)} is none of the {len(known)} placements asked for"
                )
        trials = _trials(self)
        plan = trials.plan(self.placements()[0], trials.taps.study)
        grid = assemble(plan, self.scenario, trials.feeder, self.limits, trace_dir=trials.trace_dir).grid
        grid.start()
        # Lets go of the circuit here: an OpenDSS context that is collected in another thread ends the process.
        grid.reset()

    def _coarse(self) -> Scenario:
        """The scenario in coarse steps, for comparing taps."""
        step = max(self.coarse_dt_s, self.scenario.dt_s)
        # Controllers act at whole steps, as near to their own period as that allows.
        return replace(self.scenario, dt_s=step, control_dt_s=step * -(-self.scenario.control_dt_s // step))

    def _fine(self) -> Scenario:
        """The scenario in the steps of the finalists; controllers act as often as before."""
        return replace(self.scenario, dt_s=self.finalist_dt_s)

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
        best = best_rows(gather(results, "placements"), finalists=False)
        if stage == "refine":
            wanted = self._foremost(best, self.refined) if optimised and self.refined else []
            return [
                _refine_task([(list(row["buses"]), _steps(row)) for row in part], first)
                for first, part in _chunks(wanted, _REFINE_CHUNK)
            ]
        return [
            Task(
                stage,
                {"placement": list(row["buses"]), "steps": _steps(row)},
                f"{row['placement']} on OpenDSS at {float(self.finalist_dt_s):g} s",
                weight=_FINALIST_WEIGHT,
            )
            for row in self._foremost(best, self.finalists)
        ]

    def _foremost(self, best: Sequence[Row], n: int) -> list[Row]:
        """The first `n` rows that have figures, and those of the followed placements."""
        followed = {name_of(buses) for buses in self.followed}
        return [row for k, row in enumerate(best) if not row["failure"] and (k < n or row["placement"] in followed)]

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
        (trial,) = _trials(self).simulate([(placement, steps)], self._fine(), "opendss")
        run = trial.run
        voltages = {
            "placement": name_of(placement),
            "nodes": [f"{bus}.{'ABC'[phase - 1]}" for bus, phase in run.nodes],
            "lowest_pu": run.lowest_pu,
            "highest_pu": run.highest_pu,
        }
        return {"placements": [trial_row(trial, "finalists")], "voltages": [voltages]}

    def _find_settings(self, progress: Progress) -> Tables:
        sample = spread_sample(self.placements(), _SAMPLE)
        library = choose_library(
            _trials(self),
            _tap_model(self),
            sample,
            self._coarse(),
            _LIBRARY_MAX,
            lambda share: progress(share, f"coarse runs of {len(sample)} placements"),
        )
        taps = _trials(self).taps
        return {
            "settings": [
                {"steps": list(steps), "taps": " ".join(f"{name}={ratio:g}" for name, ratio in taps.taps(steps))}
                for steps in library
            ]
        }

    def _simulate_placements(self, task: Task, progress: Progress) -> Tables:
        """Coarse under the study's taps, the best predicted setting for each, then the full run under that."""
        trials = _trials(self)
        placements = [tuple(buses) for buses in task.content["placements"]]
        library: list[Steps] = [tuple(steps) for steps in task.content["library"]]
        chosen: dict[Placement, tuple[Steps, float | None]] = dict.fromkeys(placements, (trials.taps.study, None))
        coarse: dict[Placement, Trial] = {}
        if len(library) > 1:
            seen = usable(
                trials.simulate(
                    [(p, trials.taps.study) for p in placements],
                    self._coarse(),
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
        return self._rows(full, "placements", [_before(coarse.get(p), chosen[p][1]) for p in placements])

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
            self._coarse(),
            _REFINE_ROUNDS,
            lambda share: progress(0.6 * share, "coarse rounds"),
        )
        moved = [(p, steps) for (p, before), (steps, _) in zip(started, found, strict=True) if steps != before]
        full = trials.simulate(moved, self.scenario, progress=lambda share: progress(0.6 + 0.4 * share, "full runs"))
        return self._rows(full, "refine", [_before(None, None) for _ in full])

    def _rows(self, found: Sequence[Trial], stage: str, more: Sequence[Row]) -> Tables:
        return {
            "placements": [trial_row(trial, stage, **row) for trial, row in zip(found, more, strict=True)],
            "runs": [
                {"placement": name_of(trial.placement), "stage": stage} | run_row(trial.plan, self.scenario, trial.run)
                for trial in found
            ],
        }

    def conclude(self, results: Sequence[TaskResult], limits: Limits | None = None) -> Conclusion:
        """The answer, from stored results alone; under other `limits` if given (nothing is simulated)."""
        return draw_conclusion(
            feeder=self.load_feeder(),
            sites=[choice.name for choice in self.choices()],
            n_placements=len(self.placements()),
            limits=limits or self.limits,
            judged_again=limits is not None and limits != self.limits,
            scenario=self.scenario,
            finalist_dt_s=float(self.finalist_dt_s),
            followed=tuple(name_of(buses) for buses in self.followed),
            results=results,
        )


def _before(coarse: Trial | None, predicted: float | None) -> Row:
    """What was known of a placement before its full run: the coarse integral under the study's taps (pu s), and the
    predicted cost under the taps chosen (pu).
    """
    figures = coarse.run.outcome.figures if coarse is not None else None
    return {
        "coarse_study_integral_pu_s": None if figures is None else figures.voltage.integral_violation_pu_s,
        "predicted_cost_pu": predicted,
    }


def _steps(row: Row) -> list[int]:
    """Tap steps of a stored row, as plain numbers: they become part of a task."""
    return [int(n) for n in row["steps"]]


def _placement_task(placements: Sequence[Placement], library: Sequence[Sequence[int]], label: str) -> Task:
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
def _placements(study: LocationStudy) -> list[Placement]:
    feeder, choices = study.load_feeder(), study.choices()
    return list_placements([c.candidate_buses(feeder) for c in choices], [c.n_gpus for c in choices])


@lru_cache(maxsize=2)
def _trials(study: LocationStudy) -> Trials:
    return Trials(study.load_feeder(), study.choices(), study.gpu, study.policy, study.limits, study.trace_dir)


@lru_cache(maxsize=2)
def _tap_model(study: LocationStudy) -> TapModel:
    (reference,) = spread_sample(study.placements(), 1)
    return TapModel(_trials(study), reference, study.scenario)
