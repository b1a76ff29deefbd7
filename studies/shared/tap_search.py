"""Taps for one placement: propose by the linear model, judge by simulation."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from g2g_opt.data_files import TRACE_DIR
from g2g_opt.feeder import Feeder
from g2g_opt.judge import Criterion
from g2g_opt.limits import Limits
from g2g_opt.outcome import Outcome
from g2g_opt.plan import Plan
from g2g_opt.scenario import Scenario
from solvers.taps.settings import TapProblem, solve_taps
from studies.shared.side_by_side import RunRequest, Wanted, together
from studies.shared.tap_range import TapRange, Taps, measured_loading_slopes, measured_tap_slopes
from studies.shared.voltage_forecast import VoltageForecast

FORESIGHT = "taps found with foresight: one setting per size, chosen knowing the hour"

# Simulated rounds per size before it counts as rejected: bounds the work, at the price of a heuristic.
MAX_ROUNDS = 4

# The same for loadings, as a share of their limit.
HOPELESS_LOADING_MARGIN = -0.02

# Taps for which even the linear model misses the band by more than this are not worth a run; its promises err by
# thousandths of a pu (equation 5.4).
HOPELESS_MARGIN_PU = -0.004

# Taps that by a forecast miss the band by more than this are not tried beside those that do not.
MISSED_BY_FAR_PU = -0.01


@dataclass(frozen=True, eq=False)
class TapTrial:
    """One simulated round: the plan with the taps tried, and what came of it in every scenario it was run in.

    `kept` is the verdict over the scenarios; those after the one that decided against it may be left out of `runs`.
    """

    plan: Plan
    runs: tuple[Outcome, ...]
    kept: bool

    @staticmethod
    def of(plan: Plan, runs: Sequence[Outcome], failures_allowed: int = 0) -> TapTrial:
        """The verdict over runs, of which so many may miss a limit."""
        return TapTrial(plan, tuple(runs), sum(not run.kept for run in runs) <= failures_allowed)

    def merit(self) -> tuple[bool, int, bool, float]:
        """By which trials of a size are compared, the best last: one that has no solution comes before others."""
        run = self.binding
        return self.kept, -self.n_failed, run.failure is None, -run.verdict.used

    @property
    def taps(self) -> Taps:
        """Taps of the plan."""
        return self.plan.taps

    @property
    def binding(self) -> Outcome:
        """The run that is closest to a limit, or furthest beyond it."""
        return min(self.runs, key=lambda run: (run.kept, -run.verdict.used))

    @property
    def n_failed(self) -> int:
        """Scenarios that did not keep the limits."""
        return sum(not run.kept for run in self.runs)


# Scenarios run first, before it is known whether the others are worth it.
SCREENED_FIRST = 12


class TapSearch:
    """Finds taps under which a plan keeps the limits, if it can.

    The voltage change per tap step is measured once on the circuit; each round solves the tap model on the extreme
    voltages of the last run and simulates its answer. The taps that last worked are tried first; where sizes near this
    one show that they will not do, those that do by the same model on the voltages that are forecast are beside them,
    or by far will not do, in their place.

    With several `scenarios` one tap setting has to do for all of them, and `failures_allowed` of them may miss limits.
    A plan under own control has no taps to find: it is simulated once, as it is.
    """

    def __init__(
        self,
        feeder: Feeder,
        scenarios: Sequence[Scenario],
        limits: Limits,
        optimise: bool,
        trace_dir: Path = TRACE_DIR,
        failures_allowed: int = 0,
    ) -> None:
        self._feeder, self._scenarios, self._limits = feeder, tuple(scenarios), limits
        self._failures_allowed = failures_allowed
        self._optimise = optimise and bool(feeder.regulators)
        self._trace_dir = trace_dir
        # What is measured once on the circuit: voltages ("pu") and loadings by tap step.
        self._slopes: dict[str, NDArray[np.float64]] = {}
        self._forecast = VoltageForecast()
        self._range = TapRange.of(feeder)
        self.last_good: Taps = self._range.taps(self._range.study)

    def over(self, scenarios: Sequence[Scenario]) -> TapSearch:
        """The same search over other scenarios of the same sites, with what either measures on the circuit shared."""
        other = copy.copy(self)
        other._scenarios = tuple(scenarios)
        return other

    def try_taps(self, plan: Plan, first: Taps | None = None) -> Wanted[list[TapTrial]]:
        """Simulate `plan` under one tap setting after another until one is kept; the last trial is the verdict.

        A generator that asks for simulations (see `side_by_side`); returns the trials. `first` replaces the taps that
        last worked as those tried first.
        """
        trials: list[TapTrial] = []
        if plan.tap_mode == "own control":
            return [(yield from self._try(plan))]
        waiting: list[Taps] = self._first_taps(plan) if first is None else [first]
        n_max = MAX_ROUNDS + len(waiting) - 1
        while waiting and len(trials) < n_max:
            now, waiting = waiting[: n_max - len(trials)], waiting[n_max - len(trials) :]
            done: list[TapTrial] = yield from together([self._try(replace(plan, taps=taps)) for taps in now])
            trials += done
            self._note(done)
            kept = [trial.taps for trial in done if trial.kept]
            if kept:
                self.last_good = kept[0]
                break
            for trial in done:
                solved = [run for run in trial.runs if run.failure is None]
                if self._optimise and any(map(_may_be_mended, solved)):
                    seen = {trial.taps for trial in trials} | set(waiting)
                    waiting += [
                        better for better in dict.fromkeys(self._propose(trial.plan, solved)) if better not in seen
                    ]
        # A size is judged by its best round: one that failed to converge comes after one that has figures.
        return sorted(trials, key=TapTrial.merit)

    def _first_taps(self, plan: Plan) -> list[Taps]:
        """Taps to try first: those that worked last, and others where by what was seen they will not do."""
        slopes = self._slopes.get("pu")
        if slopes is None:
            return [self.last_good]
        last = self._ratio(self.last_good)
        forecast = self._forecast.at(_size(plan), last, slopes / self._range.step_pu)
        if forecast is None:
            return [self.last_good]
        problem = self._problem(slopes, last, *forecast)
        margin = min((forecast[0] - problem.v_min_pu).min(), (problem.v_max_pu - forecast[1]).min())
        solution = solve_taps(problem, margin_over=HOPELESS_MARGIN_PU) if margin < 0.0 else None
        if solution is None:
            return [self.last_good]
        forecast_taps = self._range.moved(last, solution.steps)
        return [forecast_taps] if margin < MISSED_BY_FAR_PU else list(dict.fromkeys([self.last_good, forecast_taps]))

    def _note(self, trials: Sequence[TapTrial]) -> None:
        """What sizes had for voltages under taps that were tried."""
        for trial in trials:
            solved = [run for run in trial.runs if run.failure is None]
            if self._optimise and solved:
                self._forecast.note(_size(trial.plan), self._ratio(trial.taps), *self._extremes(solved))

    def _ratio(self, taps: Taps) -> NDArray[np.float64]:
        """Ratios (pu) in the order of the range."""
        by_name = dict(taps)
        return np.array([by_name[name] for name in self._range.names])

    def _extremes(self, runs: Sequence[Outcome]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Lowest and highest voltages (pu) of all runs."""
        lowest = np.min([run.summary.lowest_pu for run in runs], axis=0)
        return lowest, np.max([_highest_pu(run, self._limits) for run in runs], axis=0)

    def _problem(
        self,
        slope_pu_per_step: NDArray[np.float64],
        ratio: NDArray[np.float64],
        lowest_pu: NDArray[np.float64],
        highest_pu: NDArray[np.float64],
    ) -> TapProblem:
        """The tap model at ratios under which voltages are these."""
        down, up = self._range.steps_left(ratio)
        return TapProblem(
            lowest_pu=lowest_pu,
            highest_pu=highest_pu,
            slope_pu_per_step=slope_pu_per_step,
            steps_down=down,
            steps_up=up,
            v_min_pu=self._limits.voltage_min_pu,
            v_max_pu=self._limits.voltage_max_pu,
        )

    def _try(self, plan: Plan) -> Wanted[TapTrial]:
        """One plan in the scenarios; if too many of the first ones miss the limits, the others are left out."""
        runs: list[Outcome] = []
        for part in (self._scenarios[:SCREENED_FIRST], self._scenarios[SCREENED_FIRST:]):
            if part and sum(not run.kept for run in runs) <= self._failures_allowed:
                answers = yield tuple(RunRequest(plan, scenario=scenario) for scenario in part)
                runs += [run.judged(self._limits) for run in answers]
        return TapTrial.of(plan, runs, self._failures_allowed)

    def _propose(self, plan: Plan, runs: Sequence[Outcome]) -> Iterator[Taps]:
        """Taps with the most room on both sides, then those that are as high as the upper limit permits.

        First those that load the circuit least within the band, where a rating is passed.
        """
        slopes = self._measured("pu", measured_tap_slopes, plan)
        ratio = self._ratio(plan.taps)
        problem = self._problem(slopes, ratio, *self._extremes(runs))
        broken = {check.criterion for run in runs for check in run.verdict.broken}
        wanted: list[tuple[TapProblem, float]] = []
        if any(criterion.is_thermal for criterion in broken):
            wanted.append((self._of_loadings(problem, plan, runs), HOPELESS_LOADING_MARGIN))
        if not all(criterion.is_thermal for criterion in broken):
            wanted += [(replace(problem, high_weight=weight), HOPELESS_MARGIN_PU) for weight in (1.0, 0.0)]
        for one, hopeless in wanted:
            solution = solve_taps(one, margin_over=hopeless)
            if solution is not None:
                yield self._range.moved(ratio, solution.steps)

    def _of_loadings(self, problem: TapProblem, plan: Plan, runs: Sequence[Outcome]) -> TapProblem:
        """The same problem with the room of loadings below their limits, inside the band."""
        slopes = self._measured("loading", measured_loading_slopes, plan)
        normal, emergency = self._limits.loading_max_pu, self._limits.loading_emergency_max_pu
        used = [
            np.maximum(
                run.summary.loading_pu / normal if normal is not None else 0.0,
                run.summary.loading_pu * run.summary.emergency_share / emergency if emergency is not None else 0.0,
            )
            for run in runs
        ]
        most = np.max(used, axis=0)
        return replace(
            problem,
            low_weight=0.0,
            high_weight=0.0,
            used=most,
            used_slope_per_step=most[:, None] * slopes,
        )

    def _measured(self, what: str, measure: Callable[..., NDArray[np.float64]], plan: Plan) -> NDArray[np.float64]:
        if what not in self._slopes:
            self._slopes[what] = measure(plan, self._scenarios[0], self._feeder, self._limits, self._trace_dir)
        return self._slopes[what]


def _size(plan: Plan) -> float:
    """By which plans of the same sites are near to each other: replicas of all of them."""
    return float(sum(site.n_replicas for site in plan.sites))


def _may_be_mended(run: Outcome) -> bool:
    """Do taps bear on what it breaks? On all but latency: on voltages, the currents that follow from them, and tokens,
    which a controller gives up for voltages.
    """
    return any(c.criterion is not Criterion.LATENCY for c in run.verdict.broken)


def _highest_pu(run: Outcome, limits: Limits) -> NDArray[np.float64]:
    """Highest voltages (pu); at a bus where a trip ends above its limit, as much above the band as above that."""
    highest, quality = run.summary.highest_pu, run.summary.power_quality
    worst = quality.highest_after_trip() if quality is not None else None
    limit = limits.voltage_after_trip_max_pu
    if worst is None or limit is None or worst.voltage_pu <= limit:
        return highest
    raised, place = highest.copy(), run.summary.nodes.index((worst.bus, worst.phase))
    raised[place] = max(highest[place], limits.voltage_max_pu + worst.voltage_pu - limit)
    return raised
