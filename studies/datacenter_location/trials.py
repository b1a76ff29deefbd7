"""Placements under tap settings, simulated: runs, what they are ranked by, and the rows they are stored as."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np

from g2g_opt.outcome import Engine, Outcome
from g2g_opt.plan import Plan
from g2g_opt.scenario import Scenario
from g2g_opt.simulation import Bases, simulate
from studies.datacenter_location.placements import PlacementBuses, name_of
from studies.datacenter_location.question import LocationQuestion
from studies.shared.stored_runs import RunRow
from studies.shared.tap_range import Steps, TapRange, taps_in_words
from studies.shared.typed_rows import ShownAs, TypedRow

# Integral violation (pu s), violation time (s), throughput and voltage margin (negated), name: smaller is better.
RankKey = tuple[float, float, float, float, str]

# Digits to which figures are compared: what the batch engine's tolerance cannot tell apart is a tie.
_DIGITS_INTEGRAL, _DIGITS_THROUGHPUT, _DIGITS_MARGIN = 6, 3, 5


@dataclass(frozen=True, eq=False)
class Trial:
    """One placement under one tap setting (steps of the regulators from the study's taps) and its run."""

    placement: PlacementBuses
    steps: Steps
    plan: Plan
    run: Outcome

    @property
    def key(self) -> RankKey:
        """What it is ranked by; failures come last."""
        return rank_key(PlacementRow.of(self, ""))


@dataclass(frozen=True)
class PlacementRow(TypedRow):
    """A trial as a row of the table "placements"; figures of a failed run are None, with the reason beside.

    `coarse_study_integral_pu_s` is the coarse integral under the study's taps, `predicted_cost_pu` the predicted cost
    under the taps chosen: what was known of a placement before its full run.
    """

    placement: Annotated[str, ShownAs("buses")]
    buses: tuple[str, ...]
    stage: str
    steps: tuple[int, ...]
    taps: Annotated[str, ShownAs("taps", secondary=True)]
    engine: Annotated[str, ShownAs("engine", secondary=True)]
    engine_note: str
    failure: str
    kept: Annotated[bool, ShownAs("limits kept")]
    broken: Annotated[str, ShownAs("limits broken", secondary=True)]
    integral_violation_pu_s: Annotated[float | None, ShownAs("integral violation (pu s)", 4)]
    violation_time_s: Annotated[float | None, ShownAs("time outside (s)", 1)]
    throughput_tps: Annotated[float | None, ShownAs("tokens/s", 0)]
    throughput_share: Annotated[float | None, ShownAs("tokens, share of uncontrolled", 3, secondary=True)]
    margin_pu: Annotated[float | None, ShownAs("margin of the worst voltage (pu)", 5, secondary=True)]
    lowest_pu: Annotated[float | None, ShownAs("lowest (pu)", 4)]
    lowest_where: Annotated[str, ShownAs("lowest at", secondary=True)]
    highest_pu: Annotated[float | None, ShownAs("highest (pu)", 4)]
    highest_where: Annotated[str, ShownAs("highest at", secondary=True)]
    coarse_study_integral_pu_s: float | None = None
    predicted_cost_pu: float | None = None

    @staticmethod
    def of(trial: Trial, stage: str) -> PlacementRow:
        """The row of a trial."""
        run, summary = trial.run, trial.run.summary
        solved = run.failure is None
        low, high = (int(summary.lowest_pu.argmin()), int(summary.highest_pu.argmax())) if solved else (0, 0)
        row = PlacementRow(
            placement=name_of(trial.placement),
            buses=trial.placement,
            stage=stage,
            steps=trial.steps,
            taps=taps_in_words(trial.plan.taps),
            engine=run.engine,
            engine_note=run.engine_note,
            failure=str(run.failure or ""),
            kept=False,
            broken="",
            integral_violation_pu_s=None,
            violation_time_s=None,
            throughput_tps=summary.throughput_tps if solved else None,
            throughput_share=summary.throughput_share if solved else None,
            margin_pu=None,
            lowest_pu=summary.lowest if solved else None,
            lowest_where=summary.node_names[low] if solved else "",
            highest_pu=summary.highest if solved else None,
            highest_where=summary.node_names[high] if solved else "",
        )
        return row.judged(run)

    def judged(self, run: Outcome) -> PlacementRow:
        """The row with what depends on the limits that its run is judged by; `InputError` for a band without times."""
        row = replace(self, kept=run.kept, broken="; ".join(run.reasons))
        if run.failure is not None or run.verdict.worst_voltage is None:
            return row
        return replace(
            row,
            integral_violation_pu_s=run.voltage.integral_violation_pu_s,
            violation_time_s=run.voltage.violation_time_s,
            margin_pu=run.verdict.worst_voltage.margin_pu,
        )


@dataclass(frozen=True, eq=False)
class TrialRun(RunRow):
    """A trial's run: of which placement, in which stage."""

    placement: str
    stage: str


def rank_key(row: PlacementRow) -> RankKey:
    """Integral violation (equation 3.1), then violation time, then tokens served (more first), then the margin of the
    worst voltage to the band (more first), then the names of the buses (equation 7.1); failures come last.
    """
    figures = row.integral_violation_pu_s, row.violation_time_s, row.throughput_tps, row.margin_pu
    integral_pu_s, time_s, tps, margin_pu = figures
    if integral_pu_s is None or time_s is None or tps is None or margin_pu is None:
        return (np.inf, np.inf, np.inf, np.inf, row.placement)
    return (
        round(integral_pu_s, _DIGITS_INTEGRAL),
        time_s,
        -round(tps, _DIGITS_THROUGHPUT),
        -round(margin_pu, _DIGITS_MARGIN),
        row.placement,
    )


class Trials:
    """Simulates placements of one question; a run depends on its placement, taps, scenario and engine alone."""

    def __init__(self, question: LocationQuestion) -> None:
        self.feeder, self.limits, self.trace_dir = question.load_feeder(), question.limits, Path(question.trace_dir)
        self.taps = TapRange.of(self.feeder)
        self._policy, self._storage = question.policy, question.storage
        self._bases: Bases = {}
        self._tap_mode = question.tap_mode
        self._sites = [
            {bus: question.site(choice, bus) for bus in choice.candidate_buses(self.feeder)}
            for choice in question.choices()
        ]

    def plan(self, placement: PlacementBuses, steps: Steps) -> Plan:
        """The plan of a placement under taps, or under the circuit's own controls where these act."""
        sites = tuple(of_bus[bus] for of_bus, bus in zip(self._sites, placement, strict=True))
        taps = self.taps.taps(steps) if self._tap_mode == "fixed" else ()
        return Plan(sites, taps=taps, policy=self._policy, tap_mode=self._tap_mode, storage=self._storage)

    def simulate(
        self,
        wanted: Sequence[tuple[PlacementBuses, Steps]],
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
            with_base=True,
            bases=self._bases,
        )
        found = {i: Trial(*wanted[i], plan, run) for i, plan, (run,) in zip(order, plans, runs, strict=True)}
        return [found[i] for i in range(len(wanted))]
