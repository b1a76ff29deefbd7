"""Controllers of regulator taps (equations, section 4): the schedule and the adaptive rule, by hand and in a loop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from controller_rigs import EVENTS, ToldGrid, clock_at, sent_at, steady_site

from g2g_opt.controller.adaptive_tap import AdaptiveTapConfig, AdaptiveTapController, tap_move
from g2g_opt.controller.tap_schedule import TapScheduleController
from g2g_opt.coordinator import Coordinator
from g2g_opt.errors import InputError
from g2g_opt.grid.command import SetTaps
from g2g_opt.grid.opendss import OpenDSSGrid
from g2g_opt.tap_position import TapPosition

# --- schedules


def test_taps_are_sent_at_the_first_step_at_or_after_their_time() -> None:
    one, two, three = (TapPosition(regulators={"creg1a": r}) for r in (1.0, 1.01, 1.02))
    controller = TapScheduleController(schedule=three.at(3.0) | one.at(0.0) | two.at(1.2))
    sent = sent_at(controller, [5.0])
    assert {t: [c.tap_position for c in commands] for t, commands in sent.items()} == {
        0.0: [one],
        1.5: [two],
        3.0: [three],
    }
    controller.reset()
    assert list(sent_at(controller, [5.0])) == [0.0, 1.5, 3.0]


# --- adaptive taps

YES, NO = True, False


@pytest.mark.parametrize(
    ("lowest", "highest", "may_raise", "may_lower", "move"),
    [
        ([0.96, 0.97], [1.0, 1.0], [YES, YES], [YES, YES], [0, 0]),
        ([0.94, 0.93], [1.0, 1.0], [YES, YES], [YES, YES], [0, 1]),  # the worst one
        ([0.94, 0.93], [1.0, 1.0], [YES, NO], [YES, YES], [1, 0]),  # the worst that can
        ([0.94, 0.97], [1.0, 1.07], [YES, YES], [YES, YES], [0, -1]),
        ([0.94, 0.97], [1.0, 1.07], [YES, YES], [YES, NO], [1, 0]),
        ([0.94, 0.93], [1.0, 1.0], [NO, NO], [YES, YES], [0, 0]),
        ([0.93, 0.97], [1.06, 1.0], [YES, YES], [YES, YES], [1, 0]),  # both sides out: the worse one
        ([0.94, 0.97], [1.08, 1.0], [YES, YES], [YES, YES], [-1, 0]),
        ([0.94, 0.97], [1.06, 1.0], [YES, YES], [YES, YES], [0, 0]),  # equally out: no mend
    ],
)
def test_tap_moves_by_hand(lowest: Any, highest: Any, may_raise: Any, may_lower: Any, move: Any) -> None:
    arrays = [np.array([x]) for x in (lowest, highest, may_raise, may_lower)]
    assert tap_move(*arrays, AdaptiveTapConfig()).tolist() == [move]


def test_a_margin_makes_a_regulator_act_inside_the_band() -> None:
    arrays = [np.array([[x]]) for x in (0.955, 1.0, True, True)]
    assert tap_move(*arrays, AdaptiveTapConfig()).tolist() == [[0]]
    assert tap_move(*arrays, AdaptiveTapConfig(margin_pu=0.01)).tolist() == [[1]]


def tap_grid(*volts: float, **ratios: float) -> ToldGrid:
    """671.1 and 675.1 hang on creg1a, 671.2 on creg1b, 680.3 on creg1c."""
    grid = ToldGrid(*volts)
    grid.tap_position = TapPosition(regulators={"creg1a": 1.0, "creg1b": 1.0, "creg1c": 1.0} | ratios)
    return grid


def moved(commands: Sequence[Any]) -> dict[str, float]:
    assert all(isinstance(c, SetTaps) for c in commands)
    return {name: ratio for c in commands for name, ratio in c.tap_position.regulators.items()}


def test_the_worst_regulator_moves_one_step_and_then_rests() -> None:
    grid = tap_grid(0.94, 0.93, 1.0, 1.0)
    controller = AdaptiveTapController(grid=grid, config=AdaptiveTapConfig(cooldown_s=30.0))  # type: ignore[arg-type]
    assert controller.dt_s == 5
    assert moved(controller.step(clock_at(0), EVENTS)) == pytest.approx({"creg1b": 1.00625})
    assert moved(controller.step(clock_at(5), EVENTS)) == pytest.approx({"creg1a": 1.00625})
    assert controller.step(clock_at(10), EVENTS) == []
    assert controller.step(clock_at(29), EVENTS) == []
    assert moved(controller.step(clock_at(30), EVENTS)) == pytest.approx({"creg1b": 1.00625})
    controller.reset()
    assert moved(controller.step(clock_at(0), EVENTS)) == pytest.approx({"creg1b": 1.00625})


def test_a_regulator_at_its_end_stays_there() -> None:
    grid = tap_grid(1.0, 0.93, 1.0, 1.0, creg1b=1.1)
    assert AdaptiveTapController(grid=grid).step(clock_at(0), EVENTS) == []  # type: ignore[arg-type]
    grid = tap_grid(1.0, 0.93, 1.0, 1.0, creg1b=1.1 - 0.00625)
    assert moved(AdaptiveTapController(grid=grid).step(clock_at(0), EVENTS)) == pytest.approx({"creg1b": 1.1})  # type: ignore[arg-type]
    grid = tap_grid(1.0, 1.0, 1.0, 1.09, creg1c=0.9)
    assert AdaptiveTapController(grid=grid).step(clock_at(0), EVENTS) == []  # type: ignore[arg-type]


def test_a_regulator_looks_after_the_buses_it_is_given() -> None:
    grid = tap_grid(1.0, 1.0, 0.93, 1.0)
    for buses, expected in ((["671"], {}), (["675"], {"creg1a": 1.00625})):
        controller = AdaptiveTapController(grid=grid, served_buses={"CREG1A": buses})  # type: ignore[arg-type]
        assert moved(controller.step(clock_at(0), EVENTS)) == pytest.approx(expected)
    with pytest.raises(InputError, match="regulator 'creg7'"):
        AdaptiveTapController(grid=grid, served_buses={"creg7": ["671"]})  # type: ignore[arg-type]
    with pytest.raises(InputError, match="bus '677'"):
        AdaptiveTapController(grid=grid, served_buses={"creg1a": ["677"]})  # type: ignore[arg-type]


def test_adaptive_taps_bring_a_sagging_feeder_back_into_the_band() -> None:
    low = TapPosition(regulators={"creg1a": 1.0, "creg1b": 1.0, "creg1c": 1.0})
    grid = OpenDSSGrid(feeder="ieee13", initial_tap_position=low)
    site = steady_site("dc", {"a": 40})
    grid.attach_dc(site, bus="671")
    controller = AdaptiveTapController(grid=grid, config=AdaptiveTapConfig(cooldown_s=5.0))
    run = Coordinator(datacenters=[site], grid=grid, controllers=[controller], total_duration_s=300).run()
    columns = grid.record.columns(grid.feeder.exclude_buses)
    volts = grid.record.voltage_pu[:, columns]
    assert volts[0].min() < 0.95
    assert volts[-1].min() >= 0.95
    assert volts.max() <= 1.05
    assert 0 < len(run.commands) < 60  # and it came to rest
    assert np.ptp(volts[-50:], axis=0).max() < 1e-6
