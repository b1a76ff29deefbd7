"""Taps per placement: the linear model proposes, coarse runs compare, the full run judges (equations 5.4, 7.3)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from g2g_opt.scenario import Scenario
from solvers.taps.moves import TapMoveProblem, choose_settings, search_tap_steps, tap_costs
from solvers.taps.settings import TapProblem, solve_taps
from studies.datacenter_location.placements import PlacementBuses
from studies.datacenter_location.trials import Trial, Trials
from studies.shared.tap_range import Steps, measured_tap_slopes

Floats = NDArray[np.float64]
TapProgress = Callable[[float], None]

# Costs (pu) are compared by ratio, not by difference: the hopeless placements shall not claim every setting.
_COST_FLOOR_PU = 1e-4


class TapModel:
    """Voltage changes per tap step, measured at one placement of the question, and what follows from them.

    The slopes differ little from placement to placement (by 2e-4 pu of 6e-3 pu per step on the 123-bus feeder);
    whatever they propose is simulated.
    """

    def __init__(self, trials: Trials, reference: PlacementBuses, scenario: Scenario) -> None:
        self._trials = trials
        plan = trials.plan(reference, trials.taps.study)
        self.slope_pu_per_step: Floats = measured_tap_slopes(
            plan, scenario, trials.feeder, trials.limits, trials.trace_dir
        )

    def _problem(self, seen: Sequence[Trial]) -> TapMoveProblem:
        """The linear model around what was simulated, one case per trial."""
        limits = self._trials.limits
        down, up = self._trials.taps.steps_left(self._trials.taps.start_pu)
        moved = np.array([trial.steps for trial in seen], dtype=np.int64)
        return TapMoveProblem(
            lowest_pu=np.array([trial.run.summary.lowest_pu for trial in seen]),
            highest_pu=np.array([trial.run.summary.highest_pu for trial in seen]),
            slope_pu_per_step=self.slope_pu_per_step,
            steps_down=down + moved,
            steps_up=up - moved,
            v_min_pu=limits.voltage_min_pu,
            v_max_pu=limits.voltage_max_pu,
        )

    def propose(self, seen: Sequence[Trial]) -> list[Steps]:
        """For each trial, the steps (from the study's taps) that the local search finds."""
        found = search_tap_steps(self._problem(seen))
        return [tuple(int(n) for n in np.add(trial.steps, moved)) for trial, moved in zip(seen, found, strict=True)]

    def costs(self, seen: Sequence[Trial], settings: Sequence[Steps]) -> Floats:
        """Predicted cost (pu, `solvers.taps.moves` (1)) of every trial's placement under settings, (trial, setting)."""
        there = np.array(settings, dtype=np.int64)[None] - np.array([trial.steps for trial in seen])[:, None]
        return tap_costs(self._problem(seen), there)

    def roomiest(self, trial: Trial) -> Steps | None:
        """Steps (from the study's taps) that leave the worst voltage the most room, by the exact model of `taps`."""
        limits = self._trials.limits
        down, up = self._trials.taps.steps_left(self._trials.taps.start_pu)
        moved = np.array(trial.steps, dtype=np.int64)
        solution = solve_taps(
            TapProblem(
                lowest_pu=trial.run.summary.lowest_pu,
                highest_pu=trial.run.summary.highest_pu,
                slope_pu_per_step=self.slope_pu_per_step,
                steps_down=down + moved,
                steps_up=up - moved,
                v_min_pu=limits.voltage_min_pu,
                v_max_pu=limits.voltage_max_pu,
            )
        )
        return None if solution is None else tuple(int(n) for n in moved + solution.steps)


def usable(trials: Sequence[Trial]) -> list[Trial]:
    """Those that have voltages to go on from."""
    return [trial for trial in trials if trial.run.failure is None]


def choose_library(
    trials: Trials, model: TapModel, sample: Sequence[PlacementBuses], coarse: Scenario, n_max: int, tell: TapProgress
) -> list[Steps]:
    """Tap settings, the study's among them, of which one suits nearly every placement; found on a sample.

    Two rounds: proposals from the study's taps, and from where these proposals led. Few settings, because placements
    that share one run faster in a batch.
    """
    study = trials.taps.study
    first = usable(trials.simulate([(p, study) for p in sample], coarse, progress=lambda share: tell(0.5 * share)))
    if not first:
        return [study]
    proposals = model.propose(first)
    wanted = [(trial.placement, steps) for trial, steps in zip(first, proposals, strict=True)]
    second = usable(trials.simulate(wanted, coarse, progress=lambda share: tell(0.5 + 0.5 * share)))
    settings = list(dict.fromkeys([study, *proposals, *(model.propose(second) if second else [])]))
    seen = second or first
    costs = np.log(model.costs(seen, settings) + _COST_FLOOR_PU)
    return [settings[k] for k in choose_settings(costs, n_max)]


def pick_settings(model: TapModel, seen: Sequence[Trial], library: Sequence[Steps]) -> list[tuple[Steps, float]]:
    """For each trial the library setting with the least predicted cost, and that cost (pu); ties to the first."""
    costs = model.costs(seen, library)
    chosen = costs.argmin(axis=1)
    return [(library[k], float(costs[i, k])) for i, k in enumerate(chosen.tolist())]


def refine_settings(
    trials: Trials,
    model: TapModel,
    started: Sequence[tuple[PlacementBuses, Steps]],
    coarse: Scenario,
    rounds: int,
    tell: TapProgress,
) -> list[tuple[Steps, int]]:
    """Better taps for each placement by coarse runs: steps, and how many settings were tried.

    In a round both models propose around the best setting so far, and the coarse runs' ranking decides. A placement
    that gains nothing in a round is done. What it gets does not depend on the others.
    """
    began = trials.simulate(started, coarse, progress=lambda share: tell(share / (rounds + 1)))
    best = dict(enumerate(began))
    tried: dict[int, set[Steps]] = {i: {trial.steps} for i, trial in best.items()}
    going = [i for i, trial in best.items() if trial.run.failure is None]
    for number in range(rounds):
        if not going:
            break
        wanted: list[tuple[int, Steps]] = []
        for i, searched in zip(going, model.propose([best[i] for i in going]), strict=True):
            for steps in (searched, model.roomiest(best[i])):
                if steps is not None and steps not in tried[i]:
                    tried[i].add(steps)
                    wanted.append((i, steps))
        runs = trials.simulate(
            [(best[i].placement, steps) for i, steps in wanted],
            coarse,
            progress=lambda share, done=number + 1: tell((done + share) / (rounds + 1)),  # type: ignore[misc]
        )
        gained = set()
        for (i, _), trial in zip(wanted, runs, strict=True):
            if trial.key < best[i].key:
                best[i] = trial
                gained.add(i)
        going = sorted(gained)
    return [(best[i].steps, len(tried[i])) for i in range(len(started))]
