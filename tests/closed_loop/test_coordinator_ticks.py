"""The loop, tick by tick: the order of a tick, rates, and what the log keeps (equations, section 1)."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from loop_components import (
    FIVE,
    ONE,
    TENTH,
    Diary,
    Sender,
    SetPointSite,
    SetPower,
    SetSource,
    TwoLineGrid,
    at,
    loop,
    power_kw,
    steps,
)

from g2g_opt.coordinator import Coordinator
from g2g_opt.grid.base import PhaseVoltages
from g2g_opt.grid.opendss import OpenDSSGrid

# --- the order of a tick, and when a command acts


def test_on_a_tick_datacenters_step_then_the_grid_then_the_controllers() -> None:
    diary: Diary = []
    sites = [SetPointSite("b", diary=diary), SetPointSite("a", diary=diary)]
    controllers = [Sender(label=label, diary=diary) for label in ("second", "first")]
    Coordinator(datacenters=sites, grid=TwoLineGrid(ONE, diary), controllers=controllers, total_duration_s=2).run()
    order = ["b step", "a step", "grid step", "second step", "first step"]
    assert steps(diary) == [(what, time_s) for time_s in (0.0, 1.0) for what in order]


def test_the_grid_solves_with_the_power_of_the_same_tick() -> None:
    coordinator, _ = loop(3, decide=lambda site: lambda time_s: [SetPower(300.0 * (time_s + 1), site)])
    log = coordinator.run()
    assert power_kw(log) == pytest.approx([100.0, 300.0, 600.0])
    assert [state.voltages["near"].a for state in log.grid_states] == pytest.approx([1 - 1 / 300, 0.99, 0.98])


def test_a_command_to_the_grid_acts_at_its_next_step() -> None:
    coordinator, _ = loop(4, decide=lambda site: at(1.0, SetSource(1.05)))
    log = coordinator.run()
    assert np.diff([state.voltages["far"].c for state in log.grid_states]) == pytest.approx([0.0, 0.05, 0.0])


def test_a_slow_target_takes_a_command_at_its_own_next_step() -> None:
    coordinator, _ = loop(12, dc_dt_s=FIVE, decide=lambda site: at(6.0, SetPower(900.0, site)))
    log = coordinator.run()
    assert [state.time_s for state in log.dc_states] == [0.0, 5.0, 10.0]
    assert power_kw(log) == pytest.approx([100.0, 100.0, 900.0])


def test_a_command_is_handed_over_before_the_next_controller_decides() -> None:
    site = SetPointSite()
    heard: list[float] = []

    def listen(time_s: float) -> list[Any]:
        heard.append(site.power_kw)
        return []

    Coordinator(
        datacenters=[site],
        grid=TwoLineGrid(),
        controllers=[Sender(lambda time_s: [SetPower(200.0 + time_s, site)]), Sender(listen)],
        total_duration_s=3,
    ).run()
    assert heard == [200.0, 201.0, 202.0]


def test_of_two_commands_in_one_tick_the_later_holds() -> None:
    coordinator, _ = loop(2, decide=lambda site: at(0.0, SetPower(5.0, site), SetPower(7.0, site)))
    assert power_kw(coordinator.run()) == pytest.approx([100.0, 7.0])


# --- rates


@pytest.mark.parametrize(
    ("periods", "tick_s"),
    [
        ((TENTH, ONE, FIVE), TENTH),
        ((Fraction(3, 10), Fraction(1, 5), ONE), TENTH),
        ((Fraction(2), Fraction(6), Fraction(4)), Fraction(2)),
        ((Fraction(1, 3), Fraction(1, 2), ONE), Fraction(1, 6)),
    ],
)
def test_the_base_tick_is_the_greatest_common_divisor(periods: tuple[Fraction, ...], tick_s: Fraction) -> None:
    coordinator, diary = loop(12, dc_dt_s=periods[0], grid_dt_s=periods[1], control_dt_s=periods[2])
    assert coordinator.clock.tick_s == tick_s
    log = coordinator.run()
    assert len(log.time_s) == 12 / tick_s
    for label, period in zip(("dc", "grid", "control"), periods, strict=True):
        times = [time_s for what, time_s in steps(diary) if what == f"{label} step"]
        assert times == pytest.approx([float(k * period) for k in range(-(-12 // period))])


def test_a_slow_grid_gets_every_sample_since_its_last_step() -> None:
    coordinator, _ = loop(11, dc_dt_s=TENTH, grid_dt_s=ONE, control_dt_s=FIVE)
    log = coordinator.run()
    assert coordinator.grid.sample_counts == [{"dc": 1}] + [{"dc": 10}] * 10  # type: ignore[attr-defined]
    assert (len(log.dc_states), len(log.grid_states)) == (110, 11)


def test_a_slow_grid_takes_the_latest_sample() -> None:
    coordinator, _ = loop(
        2, dc_dt_s=TENTH, grid_dt_s=ONE, control_dt_s=TENTH, decide=lambda site: at(0.9, SetPower(600.0, site))
    )
    log = coordinator.run()
    assert [state.voltages["near"].b for state in log.grid_states] == pytest.approx([1 - 1 / 300, 0.98])


def test_a_fast_grid_keeps_the_last_power() -> None:
    coordinator, _ = loop(6, dc_dt_s=Fraction(3), decide=lambda site: at(0.0, SetPower(300.0, site)))
    log = coordinator.run()
    assert coordinator.grid.sample_counts == [{"dc": int(k % 3 == 0)} for k in range(6)]  # type: ignore[attr-defined]
    first, second = 1 - 1 / 300, 0.99
    assert [state.voltages["near"].b for state in log.grid_states] == pytest.approx([first] * 3 + [second] * 3)


def test_opendss_at_another_rate_than_its_site() -> None:
    def voltage_pu(dc_dt_s: Fraction, grid_dt_s: Fraction) -> dict[float, PhaseVoltages]:
        site = SetPointSite(dt_s=dc_dt_s, kw=1500.0)
        grid = OpenDSSGrid(feeder="ieee13", dt_s=grid_dt_s)
        grid.attach_dc(site, bus="671")
        sender = Sender(at(5.0, SetPower(2500.0, site)), FIVE)
        log = Coordinator(datacenters=[site], grid=grid, controllers=[sender], total_duration_s=12).run()
        return {state.time_s: state.voltages["671"] for state in log.grid_states}

    even, fast_site, fast_grid = voltage_pu(ONE, ONE), voltage_pu(TENTH, ONE), voltage_pu(ONE, TENTH)
    assert len(even) == len(fast_site) == 12
    assert len(fast_grid) == 120
    for time_s in (0.0, 4.0, 6.0, 11.0):
        assert fast_site[time_s] == pytest.approx(even[time_s], abs=2e-6, nan_ok=True)
        assert fast_grid[time_s] == pytest.approx(even[time_s], abs=2e-6, nan_ok=True)
    # The slow site heeds the command of 5 s at 6 s, and the fast grid shows its old power until then.
    assert fast_grid[5.9] == pytest.approx(fast_grid[4.9], abs=2e-6, nan_ok=True)
    assert fast_grid[6.0].a < fast_grid[5.9].a - 0.001


def test_a_tick_shows_only_what_was_due() -> None:
    coordinator, _ = loop(10, dc_dt_s=ONE, grid_dt_s=Fraction(2), control_dt_s=FIVE)
    ticks = list(coordinator.run_iter())
    assert [tick.t_s for tick in ticks] == list(range(10))
    assert [set(tick.dc_states) for tick in ticks] == [{"dc"}] * 10
    assert [tick.grid_state is not None for tick in ticks] == [k % 2 == 0 for k in range(10)]
    assert all(tick.grid_state.time_s == tick.t_s for tick in ticks if tick.grid_state is not None)


# --- the log


def test_commands_are_logged_with_their_times() -> None:
    coordinator, _ = loop(
        8, control_dt_s=Fraction(2), decide=lambda site: lambda time_s: [SetPower(time_s, site), SetSource(1.0)]
    )
    log = coordinator.run()
    assert log.command_time_s == [0.0, 0.0, 2.0, 2.0, 4.0, 4.0, 6.0, 6.0]
    assert [type(command) for command in log.commands] == [SetPower, SetSource] * 4
    assert [command.power_kw for command in log.commands if isinstance(command, SetPower)] == [0.0, 2.0, 4.0, 6.0]


def test_events_carry_source_time_and_data() -> None:
    coordinator, _ = loop(2, dc_dt_s=TENTH, decide=lambda site: at(1.0, SetPower(5.0, site)))
    log = coordinator.run()
    told = [event for event in log.events if event.topic == "site.told"]
    assert [(e.tick, e.t_s, e.source, e.data) for e in told] == [(10, 1.0, "datacenter", {"power_kw": 5.0})]
    assert [e.t_s for e in log.events if e.topic == "site.stepped"] == pytest.approx(np.arange(20) / 10)
    assert [e.data["power_kw"] for e in log.events if e.topic == "site.stepped"] == [100.0] * 11 + [5.0] * 9


def test_an_external_driver_may_send_commands_between_steps() -> None:
    coordinator, _ = loop(0)
    site = coordinator.datacenters[0]
    coordinator.reset()
    coordinator.start()
    coordinator.step()
    coordinator.dispatch_commands([SetPower(321.0, site)])
    tick = coordinator.step()
    coordinator.stop()
    assert tick.dc_states["dc"].power_w.total == pytest.approx(321e3)
    assert [event.topic for event in tick.sim_events] == ["site.told", "site.stepped"]


def test_states_of_several_sites_come_in_order_of_time() -> None:
    sites = [SetPointSite("fast", ONE), SetPointSite("slow", Fraction(2))]
    log = Coordinator(datacenters=sites, grid=TwoLineGrid(), total_duration_s=4).run()
    assert {name: len(states) for name, states in log.dc_states_by_site.items()} == {"fast": 4, "slow": 2}
    assert [state.time_s for state in log.dc_states] == [0.0, 0.0, 1.0, 2.0, 2.0, 3.0]
    assert log.dc_states[-1] is log.dc_states_by_site["fast"][-1]
    assert len(log.dc_states[1:3]) == 2
