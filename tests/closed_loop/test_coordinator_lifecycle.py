"""The loop as a whole: ways to run it and to run it again, its checks, its life cycle (equations, section 1)."""

from __future__ import annotations

import time
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from loop_components import (
    ONE,
    TENTH,
    Diary,
    Sender,
    SetPointSite,
    SetPower,
    SetSource,
    TwoLineGrid,
    arrays,
    assert_same,
    at,
    closed_loop,
    loop,
    offline_site,
    steps,
)

from g2g_opt.clock import SimulationClock
from g2g_opt.controller.base import Controller
from g2g_opt.coordinator import Coordinator
from g2g_opt.datacenter.base import LLMBatchSizeControlledDatacenter
from g2g_opt.datacenter.command import DatacenterCommand
from g2g_opt.errors import InputError, PowerFlowError
from g2g_opt.events import EventEmitter
from g2g_opt.grid.command import GridCommand
from g2g_opt.grid.opendss import OpenDSSGrid

# --- three ways to run are one run, and a second run is the first again


def what(command: Any) -> tuple[str, Any]:
    return type(command).__name__, command.batch_size_by_model


@pytest.mark.parametrize("kind", ["noop", "droop", "ofo"])
def test_run_and_run_iter_and_stepping_by_hand_are_one_run(kind: str) -> None:
    coordinator = closed_loop(kind)
    log = coordinator.run()
    expected = arrays(coordinator)
    assert expected["voltage_pu"].shape[0] == 400
    assert (len(np.unique(expected["batch_size"], axis=0)) > 1) == (kind != "noop")

    coordinator = closed_loop(kind)
    ticks = list(coordinator.run_iter())
    assert_same(arrays(coordinator), expected)
    assert [tick.t_s for tick in ticks] == log.time_s
    assert [what(c) for tick in ticks for c in tick.commands] == [what(c) for c in log.commands]
    assert [tick.t_s for tick in ticks for _ in tick.commands] == log.command_time_s
    assert [event for tick in ticks for event in tick.sim_events] == log.events
    assert [tick.dc_states["dc"] for tick in ticks] == list(log.dc_states)

    coordinator = closed_loop(kind)
    coordinator.reset()
    coordinator.start()
    for _ in range(400):
        coordinator.step()
    coordinator.stop()
    assert_same(arrays(coordinator), expected)


@pytest.mark.parametrize("kind", ["droop", "ofo"])
def test_a_second_run_is_the_first_again(kind: str) -> None:
    coordinator = closed_loop(kind)
    first = coordinator.run()
    expected = arrays(coordinator)
    second = coordinator.run()
    assert_same(arrays(coordinator), expected)
    assert [what(c) for c in second.commands] == [what(c) for c in first.commands]
    assert second.events == first.events
    # The first log is still what it was: a new run starts new records.
    np.testing.assert_array_equal(first.grid_states.voltage_pu, expected["voltage_pu"])  # type: ignore[attr-defined]


def test_a_run_left_early_does_not_colour_the_next() -> None:
    coordinator = closed_loop("droop")
    coordinator.run()
    expected = arrays(coordinator)
    for tick in coordinator.run_iter():
        if tick.t_s >= 15.0:
            break
    coordinator.run()
    assert_same(arrays(coordinator), expected)


def test_a_longer_run_begins_as_the_shorter_one() -> None:
    short, long = closed_loop("ofo", duration_s=15), closed_loop("ofo", duration_s=40)
    short.run()
    long.run()
    assert_same({name: values[:150] for name, values in arrays(long).items()}, arrays(short))


def test_no_duration_is_a_run_of_no_steps() -> None:
    coordinator, _ = loop(0)
    log = coordinator.run()
    assert (len(log.time_s), len(log.dc_states), len(log.grid_states)) == (0, 0, 0)


def test_progress_is_told() -> None:
    told: list[tuple[int, int]] = []
    coordinator, _ = loop(1000)
    coordinator.run(progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (1000, 1000)
    assert 50 <= len(told) <= 200
    assert told == sorted(told)


# --- checks when a run is put together


@pytest.mark.parametrize("duration_s", [1.05, 0.33, Fraction(1, 3)])
def test_a_duration_off_the_tick_is_refused(duration_s: float | Fraction) -> None:
    with pytest.raises(InputError, match="multiple of the base tick"):
        loop(duration_s, dc_dt_s=TENTH)


def test_a_negative_duration_is_refused() -> None:
    with pytest.raises(InputError, match="total_duration_s"):
        loop(-1)


@pytest.mark.parametrize("duration_s", [0.3, 1.1, Fraction(7, 10), 3])
def test_a_duration_a_person_would_write_is_taken(duration_s: float | Fraction) -> None:
    coordinator, _ = loop(duration_s, dc_dt_s=TENTH)
    assert len(coordinator.run().time_s) == round(10 * duration_s)


def test_names_must_differ() -> None:
    with pytest.raises(InputError, match=r"more than once: \['x'\]"):
        Coordinator(datacenters=[SetPointSite("x"), SetPointSite("y"), SetPointSite("x")], grid=TwoLineGrid())


def test_a_run_without_a_datacenter_is_that_of_the_feeder_alone() -> None:
    log = Coordinator(datacenters=[], grid=OpenDSSGrid(feeder="ieee13"), total_duration_s=2).run()
    assert len(log.grid_states) == 2
    assert log.dc_states_by_site == {}


def test_every_datacenter_must_be_attached() -> None:
    attached, forgotten = SetPointSite("attached"), SetPointSite("forgotten")
    grid = OpenDSSGrid(feeder="ieee13")
    grid.attach_dc(attached, bus="671")
    with pytest.raises(InputError, match=r"attach_dc.*\['forgotten'\]"):
        Coordinator(datacenters=[attached, forgotten], grid=grid, total_duration_s=1)


class ForLLMSitesOnOpenDSS(Controller[LLMBatchSizeControlledDatacenter[Any], OpenDSSGrid]):
    @property
    def dt_s(self) -> Fraction:
        return ONE

    def reset(self) -> None: ...

    def step(self, clock: SimulationClock, events: EventEmitter) -> list[DatacenterCommand | GridCommand]:
        return []


class Derived(ForLLMSitesOnOpenDSS):
    pass


@pytest.mark.parametrize("controller", [ForLLMSitesOnOpenDSS, Derived])
def test_a_controller_refuses_a_site_it_is_not_written_for(controller: type[Controller[Any, Any]]) -> None:
    site = SetPointSite("plain")
    grid = OpenDSSGrid(feeder="ieee13")
    grid.attach_dc(site, bus="671")
    wanted = (
        rf"{controller.__name__} is a Controller\[LLMBatchSizeControlledDatacenter, OpenDSSGrid\].*'plain'.*SetPoint"
    )
    with pytest.raises(InputError, match=wanted):
        Coordinator(datacenters=[site], grid=grid, controllers=[controller()], total_duration_s=1)  # type: ignore[call-arg]


def test_a_controller_refuses_a_grid_it_is_not_written_for() -> None:
    with pytest.raises(InputError, match=r"ForLLMSitesOnOpenDSS.*OpenDSSGrid.*TwoLineGrid"):
        Coordinator(
            datacenters=[offline_site()], grid=TwoLineGrid(), controllers=[ForLLMSitesOnOpenDSS()], total_duration_s=1
        )


def test_a_period_must_be_positive() -> None:
    with pytest.raises(InputError, match="dt_s must be positive"):
        loop(1, dc_dt_s=Fraction(0))


def test_stepping_before_start_is_refused() -> None:
    coordinator, _ = loop(1)
    with pytest.raises(InputError, match="start"):
        coordinator.step()


def test_a_command_to_a_site_of_another_run_is_refused() -> None:
    """Else it would be logged as sent, and lost."""
    coordinator, _ = loop(3, decide=lambda site: at(1.0, SetPower(5.0, SetPointSite("elsewhere"))))
    with pytest.raises(InputError, match="elsewhere"):
        coordinator.run()


def test_what_is_no_command_is_refused() -> None:
    coordinator, diary = loop(3, decide=lambda site: at(1.0, "louder"))
    with pytest.raises(InputError, match="str is no command"):
        coordinator.run()
    assert diary[-1][0] == "dc stop"


# --- life cycle

LIFO = ["control stop", "grid stop", "dc stop"]


def starts_and_stops(diary: Diary) -> list[str]:
    return [entry for entry, _ in diary if entry.endswith((" start", " stop"))]


def test_components_start_in_order_and_stop_in_reverse() -> None:
    coordinator, diary = loop(2)
    coordinator.run()
    assert starts_and_stops(diary) == ["dc start", "grid start", "control start", *LIFO]


def test_leaving_run_iter_early_stops_everything() -> None:
    coordinator, diary = loop(5)
    ticks = coordinator.run_iter()
    next(ticks)
    assert "stop" not in str(diary)
    ticks.close()  # type: ignore[attr-defined]
    assert starts_and_stops(diary)[-3:] == LIFO


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("how", ["run", "run_iter"])
def test_a_failing_step_stops_everything(place: int, how: str) -> None:
    coordinator, diary = loop(5)
    parts: list[Any] = [*coordinator.datacenters, coordinator.grid, *coordinator.controllers]
    parts[place].fails_in = "step"
    with pytest.raises(OSError, match="fails in step"):
        coordinator.run() if how == "run" else list(coordinator.run_iter())
    assert starts_and_stops(diary)[-3:] == LIFO
    parts[place].fails_in = ""
    assert len(coordinator.run().time_s) == 5


@pytest.mark.parametrize(("place", "stopped"), [(0, LIFO[2:]), (1, LIFO[1:]), (2, LIFO)])
def test_a_failing_start_stops_what_was_started(place: int, stopped: list[str]) -> None:
    coordinator, diary = loop(5)
    parts: list[Any] = [*coordinator.datacenters, coordinator.grid, *coordinator.controllers]
    parts[place].fails_in = "start"
    with pytest.raises(OSError, match="fails in start"):
        coordinator.run()
    assert [entry for entry, _ in diary if entry.endswith(" stop")] == stopped
    assert steps(diary) == []


def test_a_failing_stop_does_not_keep_the_others_running() -> None:
    coordinator, diary = loop(1)
    coordinator.controllers[0].fails_in = "stop"  # type: ignore[attr-defined]
    with pytest.raises(OSError, match="control fails in stop"):
        coordinator.run()
    assert starts_and_stops(diary)[-3:] == LIFO


def test_an_unsolvable_power_flow_ends_the_run_with_its_time() -> None:
    diary: Diary = []
    site = SetPointSite(diary=diary, kw=500.0)
    grid = OpenDSSGrid(feeder="ieee13")
    grid.attach_dc(site, bus="671")
    sender = Sender(at(2.0, SetPower(60_000.0, site)), diary=diary)
    with pytest.raises(PowerFlowError, match="t=3 s"):
        Coordinator(datacenters=[site], grid=grid, controllers=[sender], total_duration_s=9).run()
    assert starts_and_stops(diary)[-2:] == ["control stop", "dc stop"]


def test_reset_returns_to_the_configuration() -> None:
    coordinator, _ = loop(3, decide=lambda site: at(0.0, SetPower(900.0, site), SetSource(1.1)))
    coordinator.run()
    coordinator.reset()
    site, grid = coordinator.datacenters[0], coordinator.grid
    assert (site.state, grid.state, coordinator.clock.time_s) == (None, None, 0.0)
    assert (site.power_kw, grid.source_pu) == (100.0, 1.0)  # type: ignore[attr-defined]
    assert list(site.history()) == list(grid.history()) == []


def test_live_mode_waits_for_the_wall_clock() -> None:
    site = SetPointSite(dt_s=TENTH)
    coordinator = Coordinator(datacenters=[site], grid=TwoLineGrid(TENTH), total_duration_s=0.3, live=True)
    for _ in range(2):  # a second run is paced anew
        began = time.monotonic()
        log = coordinator.run()
        assert time.monotonic() - began >= 0.29
        assert len(log.time_s) == 3
