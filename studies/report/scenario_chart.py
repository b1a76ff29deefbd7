"""What a planner does not decide, over time: replicas in use, own load and sun of a scenario, or of a set of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from g2g_opt.assembly import profile_series, replica_schedule, standing_units
from g2g_opt.feeder import Feeder
from g2g_opt.scenario import Scenario
from studies.shared.conclusion import Chart, Line

Floats = NDArray[np.float64]
# Steps over a run of one scenario, and of a set, which is drawn as bars.
_STEPS, _STEPS_OF_SET = 180, 60
# So many replicas that whole ones are a fine share.
_REPLICAS = 10_000


def scenario_chart(scenarios: Sequence[Scenario], feeder: Feeder) -> Chart:
    """Shares over the time of a run, as the simulator takes them; of several scenarios the lowest to the highest.

    Replicas are a share of a site's size, own loads of what the circuit's data have, standing generators (the sun)
    and loads of their own peak. A scenario in which the standing units are off counts with nothing of them.
    """
    run_s = float(max(scenario.duration_s for scenario in scenarios))
    time_s = np.linspace(0.0, run_s, (_STEPS if len(scenarios) == 1 else _STEPS_OF_SET) + 1)
    series = [_series(scenario, feeder, time_s) for scenario in scenarios]
    names = list(dict.fromkeys(name for found in series for name in found))
    minutes = (time_s / 60.0).tolist()
    lines = []
    for name in names:
        nothing = np.zeros(len(time_s))
        shares = np.array([found.get(name, nothing) for found in series])
        low, high = shares.min(axis=0), shares.max(axis=0)
        if len(scenarios) == 1:
            lines.append(Line(name, minutes, high.tolist()))
        else:
            lines.append(Line(name, minutes, high.tolist(), points=True, low=low.tolist()))
    title = "Scenario: what the study takes as given"
    if len(scenarios) > 1:
        title = f"Scenarios: what the study takes as given, lowest to highest of {len(scenarios)}"
    return Chart(title, "time from the beginning of a run (min)", "share of the full figure", tuple(lines))


def _series(scenario: Scenario, feeder: Feeder, time_s: Floats) -> Mapping[str, Floats]:
    own, units = profile_series(scenario, feeder)
    found: dict[str, Floats] = {
        **_replicas(scenario, time_s),
        "own load": own.of_all.at(time_s) if own is not None else np.ones(len(time_s)),
    }
    if units is not None:
        # Sites with PV follow it too, whether or not the feeder has generators of its own.
        found["sun"] = units.sun.at(time_s)
    generators, loads = standing_units(feeder, scenario, own, units)
    peaks_kw = {power.bus: power.peak_kw_per_phase for power in feeder.standing_generators}
    if units is None:
        found |= {f"sun at {bus}": unit.power_series_kw(time_s) / peaks_kw[bus] for bus, unit in generators}
    if scenario.profile is None:
        peaks_kw = {power.bus: power.peak_kw_per_phase for power in feeder.standing_loads}
        found |= {f"standing load at {bus}": unit.power_series_kw(time_s) / peaks_kw[bus] for bus, unit in loads}
    return found


def _replicas(scenario: Scenario, time_s: Floats) -> Mapping[str, Floats]:
    """Of all sites alike, or of each that the scenario names."""
    sites = {f"replicas in use at {shares.site}": shares.site for shares in scenario.site_shares}
    return {
        name: np.asarray(replica_schedule(_REPLICAS, scenario, site).count_at(time_s)) / _REPLICAS
        for name, site in (sites or {"replicas in use": ""}).items()
    }


def course_charts(title: str, days: Mapping[str, tuple[Sequence[float], Sequence[float]]]) -> tuple[Chart, ...]:
    """Own load and sun of whole days: (load shares, sun) by the day's name, evenly over 24 hours."""
    charts = []
    for place, (what, of) in enumerate((("Own load", "of the circuit's own load"), ("Sun", "of the generators' peak"))):
        lines = [Line(name, _hours(len(both[place])), list(both[place])) for name, both in days.items()]
        charts.append(Chart(f"{what} {title}", "hour of the day", f"share {of}", tuple(lines)))
    return tuple(charts)


def _hours(n: int) -> list[float]:
    return [24.0 * (k + 0.5) / n for k in range(n)]
