"""Storage: energy balance and droop by hand, and a battery in the loop on the 13-bus feeder."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from steady_site import SteadySite

from g2g_opt.clock import SimulationClock
from g2g_opt.common import ThreePhase
from g2g_opt.controller.storage import LocalVoltageStorageDroopController, StorageDroopConfig, storage_droop
from g2g_opt.coordinator import Coordinator
from g2g_opt.errors import InputError
from g2g_opt.events import EventEmitter
from g2g_opt.grid.command import SetStoragePower
from g2g_opt.grid.opendss import OpenDSSGrid
from g2g_opt.grid.storage import BatteryStorage, EnergyStorage, StorageState
from g2g_opt.grid.storage_bank import StorageBank, storage_step

# --- energy balance


def one_step(
    asked_kw: float, stored: float, dt_h: float = 0.5, charge: float = 0.9, discharge: float = 0.8, idle: float = 0.0
) -> tuple[float, float]:
    """A store of 100 kWh with a reserve of 20 kWh."""
    arrays = [np.array([x]) for x in (asked_kw, stored, 20.0, 100.0, charge, discharge, idle)]
    power, after = storage_step(*arrays, dt_h)
    return float(power[0]), float(after[0])


@pytest.mark.parametrize(
    ("asked_kw", "stored_kwh", "power_kw", "after_kwh"),
    [
        (40.0, 60.0, 40.0, 35.0),  # 40 kW for half an hour draws 20 / 0.8 = 25 kWh
        (-40.0, 60.0, -40.0, 78.0),  # 20 kWh taken in, 18 kept
        (40.0, 30.0, 16.0, 20.0),  # 10 kWh above the reserve give 8 kWh: 16 kW
        (40.0, 20.0, 0.0, 20.0),  # at the reserve
        (-40.0, 91.0, -20.0, 100.0),  # 9 kWh of room take 10 kWh: 20 kW
        (-40.0, 100.0, 0.0, 100.0),  # full
        (0.0, 60.0, 0.0, 60.0),
    ],
)
def test_a_step_of_a_store_by_hand(asked_kw: float, stored_kwh: float, power_kw: float, after_kwh: float) -> None:
    assert one_step(asked_kw, stored_kwh) == pytest.approx((power_kw, after_kwh))


def test_idling_losses_come_from_the_grid_and_not_from_the_store() -> None:
    assert one_step(0.0, 60.0, idle=3.0) == pytest.approx((-3.0, 60.0))
    assert one_step(40.0, 60.0, idle=3.0) == pytest.approx((37.0, 35.0))


@given(
    asked=st.lists(st.floats(-200, 200), min_size=1, max_size=30),
    start=st.floats(20, 100),
    charge=st.floats(0.5, 1.0),
    discharge=st.floats(0.5, 1.0),
    dt_h=st.floats(0.01, 2.0),
)
def test_energy_is_never_made_and_the_store_keeps_its_limits(
    asked: list[float], start: float, charge: float, discharge: float, dt_h: float
) -> None:
    stored, given_kwh, taken_kwh = start, 0.0, 0.0
    for kw in asked:
        power, stored = one_step(kw, stored, dt_h, charge, discharge)
        assert abs(power) <= abs(kw) + 1e-9
        assert power * kw >= -1e-9
        assert 20.0 - 1e-9 <= stored <= 100.0 + 1e-9
        given_kwh += max(power, 0.0) * dt_h
        taken_kwh += max(-power, 0.0) * dt_h
    assert stored == pytest.approx(start + charge * taken_kwh - given_kwh / discharge, abs=1e-6)


def test_a_bank_steps_each_storage_by_its_own_figures() -> None:
    first = BatteryStorage("one", 50.0, 100.0, initial_soc=0.6, discharge_efficiency=0.8, idle_loss_percent=2.0)
    second = BatteryStorage("two", 10.0, 40.0, initial_soc=0.25, charge_efficiency=0.5)
    bank = StorageBank([first, second], dt_s=1800.0)
    first.set_power_kw(40.0, 10.0)
    second.set_power_kw(-10.0)
    kw, kvar = bank.dispatch(0.0)
    assert kw.tolist() == pytest.approx([39.0, -10.0])
    assert kvar.tolist() == [10.0, 0.0]
    assert first.state is None  # nothing is stored or told until the step was solved
    bank.settle(0.0)
    assert first.stored_kwh == pytest.approx(35.0)
    assert second.stored_kwh == pytest.approx(12.5)
    assert (first.soc, second.soc) == (pytest.approx(0.35), pytest.approx(0.3125))
    assert first.state is not None
    assert second.state is not None
    assert (first.state.dss_state, second.state.dss_state) == ("DISCHARGING", "CHARGING")


def test_an_idle_battery_with_losses_is_idling() -> None:
    battery = BatteryStorage("b", 50.0, 100.0, idle_loss_percent=2.0)
    bank = StorageBank([battery], dt_s=3600.0)
    kw, _ = bank.dispatch(0.0)
    bank.settle(0.0)
    assert kw.tolist() == [-1.0]
    assert battery.state is not None
    assert (battery.state.dss_state, battery.soc) == ("IDLING", 0.5)


def test_a_dispatch_beyond_its_ratings_is_refused() -> None:
    class Eager(BatteryStorage):
        def power_kw(self, t: float) -> float:
            return 51.0

    with pytest.raises(InputError, match=r"'e' asks for 51 kW .*beyond its ratings 50 kW"):
        StorageBank([Eager("e", 50.0, 100.0)], dt_s=1.0).dispatch(0.0)


@pytest.mark.parametrize(
    ("figures", "words"),
    [
        ({"rated_power_kw": 0.0}, "rated_power_kw must lie in .* kW"),
        ({"capacity_kwh": float("inf")}, "capacity_kwh must be a finite number in .* kWh"),
        ({"initial_soc": 1.2}, "initial_soc must lie"),
        ({"reserve_soc": 0.6}, "below reserve_soc"),
        ({"charge_efficiency": 0.0}, "charge_efficiency"),
        ({"discharge_efficiency": 1.1}, "discharge_efficiency"),
        ({"idle_loss_percent": -1.0}, "idle_loss_percent"),
        ({"idle_loss_percent": float("nan")}, "idle_loss_percent"),
        ({"apparent_power_kva": 9.0}, "apparent_power_kva is below"),
    ],
)
def test_batteries_that_cannot_be_are_refused(figures: dict[str, float], words: str) -> None:
    with pytest.raises(InputError, match=words):
        BatteryStorage(**({"name": "b", "rated_power_kw": 10.0, "capacity_kwh": 20.0} | figures))  # type: ignore[arg-type]


def test_set_points_beyond_the_ratings_are_refused_and_change_nothing() -> None:
    battery = BatteryStorage("b", 30.0, 100.0, apparent_power_kva=50.0)
    battery.set_power_kw(30.0, 40.0)  # exactly 50 kVA
    for kw, kvar, words in ((31.0, 0.0, "exceeds its rating 30 kW"), (30.0, 41.0, "50 kVA"), (0.0, -51.0, "50 kVA")):
        with pytest.raises(InputError, match=words):
            battery.set_power_kw(kw, kvar)
    assert (battery.power_kw(0.0), battery.reactive_power_kvar(0.0)) == (30.0, 40.0)
    with pytest.raises(InputError):
        battery.set_power_kw(float("nan"))


def test_a_battery_sized_for_a_datacenter() -> None:
    battery = BatteryStorage.sized_for_datacenter(name="b", datacenter_power_kw=5000.0)
    assert (battery.rated_power_kw, battery.capacity_kwh) == (1000.0, 2000.0)
    with pytest.raises(InputError, match="power_fraction"):
        BatteryStorage.sized_for_datacenter(name="b", datacenter_power_kw=5000.0, power_fraction=0.0)


# --- droop


@pytest.mark.parametrize(
    ("voltage_pu", "output"),
    [
        (1.0, 0.0),
        (0.9951, 0.0),  # inside the deadband of 0.005
        (1.0049, 0.0),
        (0.985, 200.0),  # 0.010 beyond the edge, of 0.045 to the limit of 900
        (1.014, -180.0),
        (0.950, 900.0),
        (0.900, 900.0),
        (1.100, -900.0),
    ],
)
def test_droop_by_hand(voltage_pu: float, output: float) -> None:
    config = StorageDroopConfig()
    got = storage_droop(np.array([voltage_pu]), np.array([900.0]), np.array([900.0 / 0.045]), config)
    assert got.tolist() == pytest.approx([output], abs=1e-9)


def test_droop_that_may_not_absorb_stays_at_zero_above_the_band() -> None:
    config = StorageDroopConfig(allow_negative_output=False)
    got = storage_droop(np.array([0.96, 1.04]), np.full(2, 100.0), np.full(2, 2000.0), config)
    assert got.tolist() == pytest.approx([70.0, 0.0])


@pytest.mark.parametrize(
    "figures",
    [
        {"mode": "vq"},
        {"voltage_statistic": "median"},
        {"deadband_pu": 0.05},
        {"v_ref": 0.0},
        {"max_abs_output": 0.0},
        {"droop_gain_per_pu": -1.0},
    ],
)
def test_droops_that_mean_nothing_are_refused(figures: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        StorageDroopConfig(**figures)


def run_with(
    battery: EnergyStorage, config: StorageDroopConfig | None, n_s: int, control_s: int = 1, **grid_options: Any
) -> tuple[OpenDSSGrid, list[SetStoragePower]]:
    site = SteadySite(name="dc", total_kw=1800.0)
    grid = OpenDSSGrid(feeder="ieee13", tolerance=1e-9, **grid_options)
    grid.attach_dc(site, bus="671")
    grid.attach_storage(battery, bus="675")
    controllers = []
    if config is not None:
        controllers.append(
            LocalVoltageStorageDroopController(
                grid=grid, storages={battery: "675"}, config=config, dt_s=Fraction(control_s)
            )
        )
    run = Coordinator(datacenters=[site], grid=grid, controllers=controllers, total_duration_s=n_s).run()
    return grid, [c for c in run.commands if isinstance(c, SetStoragePower)]


class Dispatch(BatteryStorage):
    """Discharges as told by `plan`, from second to second, and remembers what it was told."""

    plan: tuple[float, ...] = ()

    def reset(self) -> None:
        super().reset()
        self.seen: list[StorageState] = []

    def power_kw(self, t: float) -> float:
        return self.plan[round(t)]

    def update_state(self, state: StorageState) -> None:
        super().update_state(state)
        self.seen.append(state)


def dispatching(*plan: float, **figures: Any) -> Dispatch:
    battery = Dispatch("bat", 600.0, **({"capacity_kwh": 1000.0} | figures))
    battery.plan = plan
    battery.reset()
    return battery


def test_a_discharging_battery_raises_the_voltage_and_a_charging_one_lowers_it() -> None:
    grid, _ = run_with(dispatching(0.0, 600.0, 0.0, -600.0), None, 4)
    at_bus = np.array([list(state.voltages["675"]) for state in grid.history()])
    assert (at_bus[1] > at_bus[0] + 1e-3).all()
    assert (at_bus[3] < at_bus[0] - 1e-3).all()
    np.testing.assert_allclose(at_bus[2], at_bus[0], atol=1e-7)


def test_reactive_injection_raises_the_voltage() -> None:
    battery = BatteryStorage("bat", 600.0, 1000.0)
    low, _ = run_with(battery, None, 1)
    before = min(low.history()[-1].voltages["675"])
    grid, commands = run_with(battery, StorageDroopConfig(v_ref=1.04), 3)
    assert commands[0].reactive_power_kvar > 0
    assert commands[0].power_kw == 0.0
    assert min(grid.history()[-1].voltages["675"]) > before + 1e-3


def test_the_grid_serves_the_battery_what_the_bank_says() -> None:
    battery = dispatching(600.0, idle_loss_percent=1.0)
    grid, _ = run_with(battery, None, 1)
    kw, _ = grid._circuit.served_powers()  # type: ignore[union-attr]
    assert kw[3:].tolist() == pytest.approx([-594.0 / 3] * 3, rel=1e-6)


def test_state_of_charge_falls_by_power_times_time_over_efficiency() -> None:
    battery = dispatching(600.0, 300.0, -450.0, 0.0, initial_soc=0.5, discharge_efficiency=0.8, charge_efficiency=0.9)
    run_with(battery, None, 4)
    stored = [500.0]
    for kw in (600.0, 300.0):
        stored.append(stored[-1] - kw / 3600.0 / 0.8)
    stored.append(stored[-1] + 450.0 / 3600.0 * 0.9)
    stored.append(stored[-1])
    assert [state.stored_kwh for state in battery.seen] == pytest.approx(stored[1:], rel=1e-12)
    assert [state.soc for state in battery.seen] == pytest.approx([s / 1000.0 for s in stored[1:]], rel=1e-12)
    assert [state.time_s for state in battery.seen] == [0.0, 1.0, 2.0, 3.0]


def test_a_battery_stops_at_its_reserve_and_the_voltage_falls_back() -> None:
    # 0.25 kWh above the reserve: at 600 kW (1/6 kWh a second) one full second and half of the next.
    battery = dispatching(600.0, 600.0, 600.0, capacity_kwh=1.0, initial_soc=0.75, reserve_soc=0.5)
    grid, _ = run_with(battery, None, 3)
    assert [state.power_kw for state in battery.seen] == pytest.approx([600.0, 300.0, 0.0], abs=1e-6)
    assert battery.soc == pytest.approx(0.5)
    low = [min(state.voltages["675"]) for state in grid.history()]
    assert low[0] > low[1] > low[2]


def test_two_runs_of_one_battery_are_the_same() -> None:
    battery = BatteryStorage("bat", 600.0, 1.0, initial_soc=0.8)
    config = StorageDroopConfig(mode="pv", v_ref=1.04)
    first, _ = run_with(battery, config, 6)
    soc = battery.soc
    second, _ = run_with(battery, config, 6)
    np.testing.assert_array_equal(first.record.voltage_pu, second.record.voltage_pu)
    assert battery.soc == soc
    assert soc is not None
    assert soc < 0.8


@pytest.mark.parametrize("mode", ["qv", "pv"])
def test_the_controller_answers_the_lowest_phase_at_its_bus(mode: Any) -> None:
    battery = BatteryStorage("bat", 400.0, 1000.0, apparent_power_kva=500.0)
    config = StorageDroopConfig(mode=mode, v_ref=1.02, deadband_pu=0.01, full_output_voltage_error_pu=0.06)
    grid, commands = run_with(battery, config, 1)
    lowest = min(grid.history()[0].voltages["675"])
    limit = 500.0 if mode == "qv" else 400.0
    expected = float(np.clip((1.02 - lowest - 0.01) * limit / 0.05, 0.0, limit))
    assert 0.0 < expected < limit
    assert len(commands) == 1
    assert commands[0].storage is battery
    got = (commands[0].power_kw, commands[0].reactive_power_kvar)
    assert got == pytest.approx((0.0, expected) if mode == "qv" else (expected, 0.0))


def test_the_controller_keeps_to_its_cap_and_its_gain() -> None:
    battery = BatteryStorage("bat", 400.0, 1000.0)
    _, capped = run_with(battery, StorageDroopConfig(v_ref=1.2, max_abs_output=70.0), 1)
    assert capped[0].reactive_power_kvar == 70.0
    grid, geared = run_with(battery, StorageDroopConfig(v_ref=1.0, deadband_pu=0.0, droop_gain_per_pu=1000.0), 1)
    lowest = min(grid.history()[0].voltages["675"])
    assert geared[0].reactive_power_kvar == pytest.approx(1000.0 * (1.0 - lowest))


@pytest.mark.parametrize(("statistic", "expected"), [("minimum", 0), ("latest", 2), ("mean", None)])
def test_the_controller_reduces_the_voltages_since_its_last_step(statistic: Any, expected: int | None) -> None:
    """The battery's own discharge makes the voltage differ from second to second; the control period is 3 s."""
    battery = dispatching(0.0, 100.0, 600.0, 300.0, capacity_kwh=1000.0)
    site = SteadySite(name="dc", total_kw=1800.0)
    grid = OpenDSSGrid(feeder="ieee13", tolerance=1e-9)
    grid.attach_dc(site, bus="671")
    grid.attach_storage(battery, bus="675")
    config = StorageDroopConfig(v_ref=1.2, full_output_voltage_error_pu=0.5, voltage_statistic=statistic)
    controller = LocalVoltageStorageDroopController(grid=grid, storages={battery: "675"}, config=config)
    controller._dt_s = Fraction(3)
    grid.start()
    events: Any = EventEmitter(SimulationClock(Fraction(1)), _Nowhere(), "grid")
    clock = SimulationClock(Fraction(1))
    sample = {site: [ThreePhase(6e5, 6e5, 6e5)]}
    for _ in range(3):
        grid.step(clock, sample, events)
        clock.advance()
    lowest = [min(grid.record[i].voltages["675"]) for i in range(3)]
    assert lowest[0] < lowest[1] < lowest[2]
    wanted = np.mean(lowest) if expected is None else lowest[expected]
    (command,) = controller.step(clock, events)
    assert isinstance(command, SetStoragePower)
    assert command.reactive_power_kvar == pytest.approx(600.0 * (1.2 - wanted - 0.005) / 0.495)
    assert controller.step(clock, events) == []  # nothing new was solved
    grid.step(clock, sample, events)
    (later,) = controller.step(clock, events)
    assert isinstance(later, SetStoragePower)
    only = min(grid.record[3].voltages["675"])
    assert later.reactive_power_kvar == pytest.approx(600.0 * (1.2 - only - 0.005) / 0.495)


class _Nowhere:
    def emit(self, event: object) -> None:
        pass


def test_storage_commands_reach_only_storages_of_this_grid() -> None:
    grid = OpenDSSGrid(feeder="ieee13")
    battery, other = BatteryStorage("bat", 400.0, 100.0), BatteryStorage("other", 400.0, 100.0)
    grid.attach_storage(battery, bus="675")
    events = EventEmitter(SimulationClock(Fraction(1)), _Nowhere(), "grid")
    grid.apply_control(SetStoragePower(battery, 5.0, 6.0), events)
    assert (battery.power_kw(0.0), battery.reactive_power_kvar(0.0)) == (5.0, 6.0)
    with pytest.raises(InputError, match=r"storage 'other' not found .*\[bat\]"):
        grid.apply_control(SetStoragePower(other, 5.0), events)
    with pytest.raises(InputError, match="at least one storage"):
        LocalVoltageStorageDroopController(grid=grid, storages={})
    with pytest.raises(InputError, match="bus '6755'"):
        LocalVoltageStorageDroopController(grid=grid, storages={battery: "6755"})
