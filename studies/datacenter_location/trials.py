"""Placements under tap settings, simulated: runs, what they are ranked by, and the rows they are stored as."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g2g_opt.feeder import Feeder
from g2g_opt.outcome import Outcome
from g2g_opt.plan import Plan
from g2g_opt.scenario import Scenario
from g2g_opt.simulate import Engine, Simulation, simulate
from studies.datacenter_location.placements import Placement, name_of
from studies.datacenter_location.question import LocationQuestion

Ints = NDArray[np.int64]
Steps = tuple[int, ...]
# Integral violation (pu s), violation time (s), throughput and voltage margin (negated), name: smaller is better.
RankKey = tuple[float, float, float, float, str]

# Digits to which figures are compared: what the batch engine's tolerance cannot tell apart is a tie.
_DIGITS_INTEGRAL, _DIGITS_THROUGHPUT, _DIGITS_MARGIN = 6, 3, 5


@dataclass(frozen=True, eq=False)
class Trial:
    """One placement under one tap setting (steps of the regulators from the study's taps) and its run."""

    placement: Placement
    steps: Steps
    plan: Plan
    run: Simulation

    @property
    def key(self) -> RankKey:
        """What it is ranked by; failures come last."""
        return rank_key(trial_row(self, ""))


def rank_key(row: Mapping[str, Any]) -> RankKey:
    """Integral violation (3.1), then violation time, then tokens served (more first), then the margin of the worst
    voltage to the band (more first), then the names of the buses; of a row of the table "placements".
    """
    if row["failure"]:
        return (np.inf, np.inf, np.inf, np.inf, row["placement"])
    return (
        round(row["integral_violation_pu_s"], _DIGITS_INTEGRAL),
        row["violation_time_s"],
        -round(row["throughput_tps"], _DIGITS_THROUGHPUT),
        -round(row["margin_pu"], _DIGITS_MARGIN),
        row["placement"],
    )


@dataclass(frozen=True, eq=False)
class TapRange:
    """The regulators of a feeder: ratios (pu) of the study's taps, step sizes, and steps left in either direction.

    The last step ends at the end of the range (pu), which it may reach before it is whole.
    """

    names: tuple[str, ...]
    start_pu: NDArray[np.float64]
    step_pu: NDArray[np.float64]
    down: Ints
    up: Ints
    lowest_pu: NDArray[np.float64]
    highest_pu: NDArray[np.float64]

    @staticmethod
    def of(feeder: Feeder) -> TapRange:
        """Ranges around the study's taps, or the circuit's own where a study has none."""
        regulators = list(feeder.regulators.values())
        known = {**feeder.compiled_taps, **(feeder.initial_taps.regulators if feeder.initial_taps is not None else {})}
        start = np.array([known[r.name] for r in regulators], dtype=np.float64)
        step = np.array([r.tap_step_pu for r in regulators], dtype=np.float64)
        low = np.array([r.tap_min_pu for r in regulators], dtype=np.float64)
        high = np.array([r.tap_max_pu for r in regulators], dtype=np.float64)
        down = np.ceil((start - low) / step - 1e-6).astype(np.int64)
        up = np.ceil((high - start) / step - 1e-6).astype(np.int64)
        return TapRange(tuple(r.name for r in regulators), start, step, down, up, low, high)

    def taps(self, steps: Sequence[int]) -> tuple[tuple[str, float], ...]:
        """Ratios by regulator name, as a plan takes them."""
        moved = np.round(self.start_pu + np.asarray(steps, dtype=np.int64) * self.step_pu, 9)
        moved = np.clip(moved, self.lowest_pu, self.highest_pu)
        return tuple(zip(self.names, moved.tolist(), strict=True))

    @property
    def study(self) -> Steps:
        """No steps: the study's taps."""
        return (0,) * len(self.names)


class Trials:
    """Simulates placements of one question; a run depends on its placement, taps, scenario and engine alone."""

    def __init__(self, question: LocationQuestion) -> None:
        self.feeder, self.limits, self.trace_dir = question.load_feeder(), question.limits, Path(question.trace_dir)
        self.taps = TapRange.of(self.feeder)
        self._policy = question.policy
        self._sites = [
            {bus: question.site(choice, bus) for bus in choice.candidate_buses(self.feeder)}
            for choice in question.choices()
        ]

    def plan(self, placement: Placement, steps: Steps) -> Plan:
        """The plan of a placement under taps."""
        sites = tuple(of_bus[bus] for of_bus, bus in zip(self._sites, placement, strict=True))
        return Plan(sites, taps=self.taps.taps(steps), policy=self._policy)

    def simulate(
        self,
        wanted: Sequence[tuple[Placement, Steps]],
        scenario: Scenario,
        engine: Engine = "batch",
        progress: Callable[[float], None] = lambda share: None,
    ) -> list[Trial]:
        """A trial for each (placement, steps), in their order.

        They are run sorted by taps: sixteen neighbours with the same taps share their factors, which is faster and
        changes no result.
        """
        order = sorted(range(len(wanted)), key=lambda i: wanted[i][1])
        plans = [self.plan(*wanted[i]) for i in order]
        runs = simulate(
            plans,
            [scenario],
            self.feeder,
            self.limits,
            engine=engine,
            trace_dir=self.trace_dir,
            progress=lambda done, everything: progress(done / everything),
        )
        found = {i: Trial(*wanted[i], plan, run) for i, plan, (run,) in zip(order, plans, runs, strict=True)}
        return [found[i] for i in range(len(wanted))]


def trial_row(trial: Trial, stage: str, **more: Any) -> dict[str, Any]:
    """A trial as a row of the table "placements"; figures of a failed run are None, with the reason beside."""
    outcome = trial.run.outcome
    row: dict[str, Any] = {
        "placement": name_of(trial.placement),
        "buses": list(trial.placement),
        "stage": stage,
        "steps": list(trial.steps),
        "taps": " ".join(f"{name}={ratio:g}" for name, ratio in trial.plan.taps),
        "engine": outcome.engine,
        "engine_note": outcome.engine_note,
        "failure": outcome.failure or "",
    }
    return row | figures_row(trial.run) | more


def figures_row(run: Simulation) -> dict[str, Any]:
    """What a run is ranked by, and its lowest and highest voltage with their places."""
    names = ("integral_violation_pu_s", "violation_time_s", "throughput_tps", "throughput_share", "margin_pu")
    row: dict[str, Any] = dict.fromkeys((*names, "lowest_pu", "highest_pu"))
    row |= dict.fromkeys(("lowest_where", "highest_where"), "")
    row |= judged_row(run.outcome)
    if run.outcome.figures is None:
        return row
    low, high = int(run.lowest_pu.argmin()), int(run.highest_pu.argmax())
    row |= {
        "lowest_pu": float(run.lowest_pu[low]),
        "lowest_where": _words(run.nodes[low]),
        "highest_pu": float(run.highest_pu[high]),
        "highest_where": _words(run.nodes[high]),
    }
    return row


def judged_row(outcome: Outcome) -> dict[str, Any]:
    """The part of a row that depends on the limits."""
    judged: dict[str, Any] = {"kept": outcome.kept, "broken": "; ".join(outcome.reasons)}
    figures = outcome.figures
    if figures is not None:
        judged |= {
            "integral_violation_pu_s": figures.voltage.integral_violation_pu_s,
            "violation_time_s": figures.voltage.violation_time_s,
            "throughput_tps": figures.throughput_tps,
            "throughput_share": figures.throughput_share,
            "margin_pu": figures.worst_voltage.margin_pu,
        }
    return judged


def _words(node: tuple[str, int]) -> str:
    return f"{node[0]}.{'ABC'[node[1] - 1]}"
