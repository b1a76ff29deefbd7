"""The chart of scenarios shows what the simulator takes: replicas, own load and sun over the time of a run."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from g2g_opt.feeder import Feeder
from g2g_opt.hourly_profile import load_profile
from g2g_opt.scenario import Scenario
from studies.hosting_capacity.scenario_draws import draw_scenarios
from studies.report.scenario_chart import course_charts, scenario_chart
from studies.shared.conclusion import Line


def lines_of(*scenarios: Scenario, feeder: str = "ieee13") -> dict[str, Line]:
    return {line.name: line for line in scenario_chart(scenarios, Feeder.load(feeder)).lines}


def at(line: Line, minute: float) -> float:
    return float(np.interp(minute, line.x, line.y))


def test_an_hour_ramps_its_replicas_under_a_constant_own_load() -> None:
    lines = lines_of(Scenario(own_load_share=0.8))
    assert set(lines) == {"replicas in use", "own load", "sun at 675", "standing load at 680"}
    replicas = lines["replicas in use"]
    assert [at(replicas, minute) for minute in (0, 20, 55)] == pytest.approx([0.7, 1.0, 0.5])
    assert at(replicas, (400 + 900) / 2 / 60) == pytest.approx(0.85, abs=1e-3)
    assert set(lines["own load"].y) == {0.8}
    for name in ("sun at 675", "standing load at 680"):
        assert 0.0 <= min(lines[name].y) < max(lines[name].y) <= 1.0


def test_a_profile_gives_its_hours_to_loads_and_sun() -> None:
    profile = load_profile("hudson_valley_2018")
    noon = 12
    lines = lines_of(
        Scenario(duration_s=7200, own_load_share=0.5, profile=profile.name, profile_rows=(noon, 2, 1), replica_ramps=())
    )
    assert set(lines) == {"replicas in use", "own load", "sun"}
    for name, shares, times in (("own load", profile.load_share, 0.5), ("sun", profile.generation_share, 1.0)):
        assert [at(lines[name], minute) for minute in (30, 90)] == pytest.approx(
            [times * shares[noon], times * shares[noon + 1]]
        )


def test_units_that_are_off_are_not_drawn_and_count_as_nothing_in_a_set() -> None:
    on = Scenario()
    off = replace(on, name="off", standing_power=False)
    assert set(lines_of(off)) == {"replicas in use", "own load"}
    sun = lines_of(on, off)["sun at 675"]
    assert max(v or 0.0 for v in sun.low) == 0.0
    assert max(v or 0.0 for v in sun.y) > 0.5


def test_a_set_spans_its_lowest_to_its_highest() -> None:
    drawn = draw_scenarios(Scenario(), "search", 20)
    chart = scenario_chart(drawn, Feeder.load("ieee13"))
    assert "lowest to highest of 20" in chart.title
    own = next(line for line in chart.lines if line.name == "own load")
    shares = [scenario.own_load_share for scenario in drawn]
    assert (set(own.low), set(own.y)) == ({min(shares)}, {max(shares)})


def test_days_are_drawn_over_their_hours() -> None:
    load, sun = course_charts("of the days", {"winter": ([0.5] * 96, [0.0] * 96), "summer": ([1.0] * 96, [1.0] * 96)})
    assert (load.title, sun.title) == ("Own load of the days", "Sun of the days")
    assert [line.name for line in sun.lines] == ["winter", "summer"]
    assert (load.lines[0].x[0], load.lines[0].x[-1]) == (0.125, 23.875)
