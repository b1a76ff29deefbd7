"""Rows of a comparison of controllers, and what is picked out of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from g2g_opt.outcome import Outcome
from g2g_opt.scenario import Scenario
from studies.shared.typed_rows import TypedRow

Floats = NDArray[np.float64]

# The columns of the result files that the OpenG2G guide describes ("result CSVs"), by its names.
GUIDE_METRICS = (
    *("violation_time_s", "integral_violation_pu_s", "worst_vmin", "worst_vmax", "mean_throughput_tps"),
    *("integrated_throughput_tokens", "itl_deadline_fraction"),
)
# The four metrics of the OpenG2G paper's appendix E.
METRICS = ("integral_violation_pu_s", "mean_throughput_tps", "batch_switches", "itl_deadline_fraction")


@dataclass(frozen=True)
class ControllerRun(TypedRow):
    """One controller in one scenario; the figures of a run without an answer are None, with the reason in `failure`.

    `exhausted_s`: time at which a controller saw a voltage outside the band and had nothing better to set.
    """

    controller: str
    scenario: str
    engine: str
    violation_time_s: float | None
    integral_violation_pu_s: float | None
    worst_vmin: float | None
    worst_vmax: float | None
    mean_throughput_tps: float | None
    integrated_throughput_tokens: float | None
    itl_deadline_fraction: float | None
    batch_switches: float | None
    power_mean_mw: float | None
    exhausted_s: float | None
    engine_note: str
    failure: str

    @staticmethod
    def of(controller: str, scenario: Scenario, run: Outcome) -> ControllerRun:
        """The row of a run."""
        about = (controller, scenario.name, run.engine)
        if run.failure is not None:
            return ControllerRun(*about, *(None,) * 10, run.engine_note, str(run.failure))
        summary, voltage = run.summary, run.voltage
        return ControllerRun(
            *about,
            voltage.violation_time_s,
            voltage.integral_violation_pu_s,
            voltage.worst_vmin,
            voltage.worst_vmax,
            summary.throughput_tps,
            summary.throughput_tps * summary.duration_s,
            summary.latency_miss_share,
            float(summary.batch_switches),
            summary.power_mean_mw,
            sum(site.exhausted_control_steps for site in summary.sites) * float(scenario.control_dt_s),
            run.engine_note,
            "",
        )


@dataclass(frozen=True, eq=False)
class Trajectory(TypedRow):
    """A controller in the scenario that is shown: power (MW) at so many times (s), lowest and highest monitored voltage
    (pu) from each to the next.
    """

    controller: str
    scenario: str
    time_s: Floats
    lowest_pu: Floats
    highest_pu: Floats
    power_mw: Floats


@dataclass(frozen=True, eq=False)
class BatchTrajectory(TypedRow):
    """Batch size of a model at a site at so many times (s), and the highest latency over its target from each to the
    next.
    """

    controller: str
    site: str
    model: str
    time_s: Floats
    batch_size: Floats
    latency_share: Floats


def by_controller(runs: Sequence[ControllerRun]) -> dict[str, dict[str, ControllerRun]]:
    """Runs by controller and scenario, of the scenarios in which every controller has an answer."""
    failed = {run.scenario for run in runs if run.failure}
    found: dict[str, dict[str, ControllerRun]] = {}
    for run in runs:
        of_controller = found.setdefault(run.controller, {})
        if run.scenario not in failed:
            of_controller[run.scenario] = run
    return found


def values_of(runs: dict[str, ControllerRun], metric: str, scenarios: Sequence[str]) -> Floats:
    """A metric in scenarios, in their order."""
    return np.array([float(getattr(runs[scenario], metric)) for scenario in scenarios])


def pareto_front(points: Sequence[tuple[float, float]]) -> list[bool]:
    """True for (violation, throughput) points that no other is at least as good as in both and better in one."""
    return [
        not any(v <= violation and t >= throughput and (v, t) != (violation, throughput) for v, t in points)
        for violation, throughput in points
    ]
