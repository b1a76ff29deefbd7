"""Whole years in the order of the calendar, on OpenDSS: what a fleet that holds has to go through.

Cells are searched one by one, an hour of the day after the other; regulators under their own control remember more than
that. So whatever is reported of a year is run through all of its hours as they come. That years at lower draws hold as
well is told by the batch engine, and run on OpenDSS where they do not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from g2g_opt.clock import HOUR_S
from g2g_opt.feeder import Feeder
from g2g_opt.judge import Criterion
from g2g_opt.limits import Limits
from g2g_opt.outcome import Outcome, StepFigures
from g2g_opt.plan import Plan, Policy
from g2g_opt.scenario import Scenario
from g2g_opt.simulation import simulate_runs
from studies.load_profile.cells import Cell, hours_scenario
from studies.load_profile.question import LoadProfileQuestion

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Year:
    """A run through all hours: the verdict on it, and by how much every hour passes limits (`over`), to mend the plan.

    Voltages count in pu, loadings in a twentieth of their share, which is about what a pu of either asks for in power;
    limits told of the whole run only (trips, unbalance, ...) in a sixth of the share of power that is too much.
    """

    plan: Plan
    scenario: Scenario
    run: Outcome
    over: Floats

    @property
    def steps(self) -> StepFigures | None:
        """Figures of every hour; None of a run that failed."""
        return self.run.by_step

    @property
    def holds(self) -> bool:
        """True if every hour keeps the limits."""
        return self.run.kept


class ProfileCalendar:
    """All hours of a profile in order, and which cell each belongs to."""

    def __init__(self, study: LoadProfileQuestion, feeder: Feeder, cells: Sequence[Cell]) -> None:
        self.study, self.feeder, self.cells = study, feeder, tuple(cells)
        self.n_hours = sum(cell.n_days for cell in cells)
        self.cell_of_hour: Ints = np.empty(self.n_hours, dtype=np.int64)
        for k, cell in enumerate(cells):
            first, count, step = cell.rows
            self.cell_of_hour[first : first + count * step : step] = k

    def scenario(self, replica_share: Floats | None = None) -> Scenario:
        """The year; `replica_share` (cell,) of the replicas are active, all of them if left out."""
        study = self.study
        whole = hours_scenario("year", (0, self.n_hours, 1), study.hours)
        if replica_share is None:
            return whole
        of_hour = replica_share[self.cell_of_hour]
        at = np.flatnonzero(np.diff(of_hour)) + 1
        ramps = tuple((float(HOUR_S * k),) * 2 + (float(of_hour[k]),) for k in at)
        return replace(whole, replica_share_start=float(of_hour[0]), replica_ramps=ramps)

    def capped_plan(self, plan: Plan, batch_cap: Ints) -> Plan:
        """The plan with batch sizes up to `batch_cap` (cell,) in every hour of a cell."""
        of_hour = batch_cap[self.cell_of_hour]
        at = [0, *(np.flatnonzero(np.diff(of_hour)) + 1)]
        # A cap holds from the step after its time on.
        caps = tuple((float(HOUR_S * (int(k) - 1)), int(of_hour[k])) for k in at)
        return replace(plan, policy=Policy("schedule", batch_caps=caps))

    def run(self, plan: Plan, scenario: Scenario) -> Year:
        """The plan through the year."""
        asked, trace_dir, limits = [(plan, scenario)], Path(self.study.trace_dir), self.study.limits
        (run,) = simulate_runs(asked, self.feeder, limits, engine="opendss", trace_dir=trace_dir, by_step=True)
        return Year(plan, scenario, run, self._over(run))

    def hold(self, plan: Plan, scenarios: Sequence[Scenario]) -> list[bool]:
        """Does the plan keep the limits through each of several years? All of them in one batch."""
        asked, trace_dir = [(plan, scenario) for scenario in scenarios], Path(self.study.trace_dir)
        return [run.kept for run in simulate_runs(asked, self.feeder, self.study.limits, trace_dir=trace_dir)]

    def _over(self, run: Outcome) -> Floats:
        """By how much every hour of a run passes limits."""
        if run.by_step is None:
            return np.ones(self.n_hours)
        return np.maximum(hours_over(run.by_step, self.study.limits), _draws_over(run, run.by_step.power_mw))

    def by_cell(self, of_hour: Floats) -> Floats:
        """Means over the days of every cell."""
        sums = np.bincount(self.cell_of_hour, weights=of_hour, minlength=len(self.cells))
        return np.asarray(sums / np.bincount(self.cell_of_hour, minlength=len(self.cells)))

    def worst_by_cell(self, of_hour: Floats) -> Floats:
        """The largest value of every cell's days."""
        found = np.full(len(self.cells), -np.inf)
        np.maximum.at(found, self.cell_of_hour, of_hour)
        return found


def _draws_over(run: Outcome, power_mw: Floats) -> Floats:
    """How far every hour draws more than limits leave that have no figure of their own for it: a trip's, say.

    They are taken to grow with the draw: of the hour that is named, or of the heaviest one, so much may be drawn as
    uses the limit up, and no hour may draw more.
    """
    over = np.zeros(len(power_mw))
    for check in run.verdict.broken:
        if check.criterion in _BY_HOUR or not check.used > 1.0:
            continue
        named = power_mw.max() if check.time_s is None else power_mw[int(check.time_s // HOUR_S)]
        over = np.maximum(over, (1.0 - named / check.used / power_mw) / 6.0)
    return over


# Criteria that `hours_over` has hour by hour.
_BY_HOUR = frozenset(
    {
        Criterion.VOLTAGE_LOW,
        Criterion.VOLTAGE_HIGH,
        Criterion.LINE_LOADING,
        Criterion.TRANSFORMER_LOADING,
        Criterion.EMERGENCY_LOADING,
    }
)


def hours_over(steps: StepFigures, limits: Limits) -> Floats:
    """How far every hour passes its limits, which says how much less it may draw; 0 where it keeps them."""
    over = np.maximum(limits.voltage_min_pu - steps.lowest_pu, steps.highest_pu - limits.voltage_max_pu)
    for loading, limit in (
        (steps.loading_pu, limits.loading_max_pu),
        (steps.emergency_pu, limits.loading_emergency_max_pu),
    ):
        if limit is not None:
            over = np.maximum(over, (loading - limit) / 20.0)
    return np.asarray(np.maximum(over, 0.0))
