"""Code blocks of the guide that make datacenters, commands and controllers of one's own do what they promise."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from guide_spaces import (
    FlatSite,
    Space,
    ieee13_with,
)

from g2g_opt.clock import SimulationClock
from g2g_opt.common import ThreePhase
from g2g_opt.controller.base import Controller
from g2g_opt.controller.tap_schedule import TapScheduleController
from g2g_opt.coordinator import Coordinator
from g2g_opt.datacenter.base import DatacenterBackend
from g2g_opt.datacenter.command import DatacenterCommand, SetBatchSize, ShiftReplicas
from g2g_opt.errors import InputError
from g2g_opt.events import EventEmitter
from g2g_opt.grid.base import GridBackend
from g2g_opt.grid.command import GridCommand


class Sender(Controller[DatacenterBackend[Any], GridBackend[Any]]):
    """Sends given commands at given times (s)."""

    def __init__(self, commands: dict[float, list[DatacenterCommand | GridCommand]]) -> None:
        self.commands = commands

    @property
    def dt_s(self) -> Fraction:
        return Fraction(1)

    def reset(self) -> None: ...

    def step(self, clock: SimulationClock, events: EventEmitter) -> list[DatacenterCommand | GridCommand]:
        return list(self.commands.get(clock.time_s, []))


def test_custom_datacenter(spaces: dict[str, Space]) -> None:
    SyntheticDatacenter = spaces["09_custom_datacenter"]["SyntheticDatacenter"]
    site = SyntheticDatacenter()
    assert site.name == "SyntheticDatacenter"  # super().__init__() was given none
    sender = Sender({3.0: [SetBatchSize(batch_size_by_model={"m": 16}, target=site)]})
    log = Coordinator(datacenters=[site], grid=ieee13_with(site), controllers=[sender], total_duration_s=20).run()
    assert len(log.dc_states) == 200
    assert [state.time_s for state in log.dc_states] == pytest.approx(np.arange(200) / 10)
    assert all(state.power_w.a == state.power_w.b == state.power_w.c for state in log.dc_states)
    assert len({state.power_w.a for state in log.dc_states}) > 100
    assert site._batch == {"m": 16}
    assert site.state is log.dc_states[-1]
    assert list(site.history(2)) == list(log.dc_states[-2:])
    # The grid saw its power: more power, lower voltage at its bus.
    power_w = np.array([log.dc_states[10 * t].power_w.total for t in range(20)])
    voltage_pu = np.array([state.voltages["671"].a for state in log.grid_states])
    assert np.corrcoef(power_w, voltage_pu)[0, 1] < -0.99


def test_custom_datacenter_refuses_other_commands(spaces: dict[str, Space]) -> None:
    site = spaces["09_custom_datacenter"]["SyntheticDatacenter"](dt_s=Fraction(1))
    sender = Sender({2.0: [ShiftReplicas("m", 1, target=site)]})
    coordinator = Coordinator(datacenters=[site], grid=ieee13_with(site), controllers=[sender], total_duration_s=5)
    with pytest.raises(TypeError, match="ShiftReplicas"):
        coordinator.run()


def test_two_nameless_datacenters_are_told_apart(spaces: dict[str, Space]) -> None:
    SyntheticDatacenter = spaces["09_custom_datacenter"]["SyntheticDatacenter"]
    one, two = SyntheticDatacenter(), SyntheticDatacenter()
    with pytest.raises(InputError, match="SyntheticDatacenter"):
        Coordinator(datacenters=[one, two], grid=ieee13_with(one), total_duration_s=1)
    two.name = "two"
    log = Coordinator(datacenters=[one, two], grid=ieee13_with(one, two), total_duration_s=1).run()
    assert list(log.dc_states_by_site) == ["SyntheticDatacenter", "two"]
    assert len(log.dc_states) == 20


def test_custom_state(spaces: dict[str, Space]) -> None:
    space = spaces["10_custom_state"]
    MyState = space["MyState"]

    class Finished(space["MyDatacenter"], FlatSite):
        def __init__(self) -> None:
            super().__init__()
            self.phase_w = 1e5

        def step(self, clock: SimulationClock, events: EventEmitter) -> Any:
            watts = ThreePhase(self.phase_w, self.phase_w, self.phase_w)
            return MyState(time_s=clock.time_s, power_w=watts, per_gpu_power_w={0: 70.0 + clock.time_s})

    site = Finished()
    log = Coordinator(datacenters=[site], grid=ieee13_with(site), total_duration_s=3).run()
    assert all(type(state) is MyState for state in log.dc_states)
    assert [state.per_gpu_power_w for state in log.dc_states] == [{0: 70.0}, {0: 71.0}, {0: 72.0}]
    assert MyState(time_s=0.0, power_w=ThreePhase(1.0, 2.0, 3.0)).per_gpu_power_w == {}


def runnable(space: Space) -> Any:
    """The guide's `MyDatacenter` with what it leaves out."""

    class Runnable(space["MyDatacenter"], FlatSite):
        def __init__(self, name: str = "mine") -> None:
            FlatSite.__init__(self, name, 1500.0)
            self.reset()

        def reset(self) -> None:
            self._batch: dict[str, int] = {}
            self._power_cap = float("inf")
            self.seen: list[tuple[dict[str, int], float]] = []

        def step(self, clock: SimulationClock, events: EventEmitter) -> Any:
            self.seen.append((dict(self._batch), self._power_cap))
            return super().step(clock, events)

    return Runnable


def test_custom_command_reaches_its_handler(spaces: dict[str, Space]) -> None:
    space = spaces["11_custom_command"]
    site = runnable(space)()
    events = EventEmitter(SimulationClock(Fraction(1)), _Nowhere(), "datacenter")
    site.apply_control(space["SetPowerCap"](cap_kw=800.0), events)
    site.apply_control(SetBatchSize({"m": 32}, target=site), events)
    assert (site._batch, site._power_cap) == ({"m": 32}, 800.0)
    with pytest.raises(TypeError):
        site.apply_control(ShiftReplicas("m", 1, target=site), events)


def test_custom_command_with_a_target_reaches_that_site(spaces: dict[str, Space]) -> None:
    space = spaces["11_custom_command"]

    @dataclass(frozen=True, kw_only=True)
    class SetPowerCapAt(space["SetPowerCap"]):
        target: Any

    one, two = runnable(space)("one"), runnable(space)("two")
    sender = Sender({1.0: [SetPowerCapAt(cap_kw=800.0, target=two)]})
    Coordinator(datacenters=[one, two], grid=ieee13_with(one, two), controllers=[sender], total_duration_s=4).run()
    assert [cap for _, cap in one.seen] == [float("inf")] * 4
    assert [cap for _, cap in two.seen] == [float("inf"), float("inf"), 800.0, 800.0]


def test_custom_command_as_in_the_guide_reaches_the_only_site(spaces: dict[str, Space]) -> None:
    """The guide's SetPowerCap has no target. With one datacenter there is no doubt whom it is for."""
    space = spaces["11_custom_command"]
    site = runnable(space)()
    sender = Sender({1.0: [space["SetPowerCap"](cap_kw=800.0)]})
    Coordinator(datacenters=[site], grid=ieee13_with(site), controllers=[sender], total_duration_s=4).run()
    assert [cap for _, cap in site.seen] == [float("inf"), float("inf"), 800.0, 800.0]


def test_custom_command_without_a_target_is_refused_where_two_sites_could_be_meant(spaces: dict[str, Space]) -> None:
    space = spaces["11_custom_command"]
    one, two = runnable(space)("one"), runnable(space)("two")
    sender = Sender({1.0: [space["SetPowerCap"](cap_kw=800.0)]})
    coordinator = Coordinator(
        datacenters=[one, two], grid=ieee13_with(one, two), controllers=[sender], total_duration_s=4
    )
    with pytest.raises(InputError, match="target"):
        coordinator.run()


@pytest.mark.parametrize(("threshold_pu", "batch"), [(0.5, 128), (1.5, 64)])
def test_custom_controller(spaces: dict[str, Space], threshold_pu: float, batch: int) -> None:
    space = spaces["12_custom_controller"]
    site = runnable(space)()
    grid = ieee13_with(site)
    controller = space["MyController"](datacenter=site, grid=grid, v_threshold=threshold_pu)
    log = Coordinator(datacenters=[site], grid=grid, controllers=[controller], total_duration_s=5).run()
    assert [batches for batches, _ in site.seen] == [{}] + [{"MyModel": batch}] * 4
    assert log.command_time_s == [0.0, 1.0, 2.0, 3.0, 4.0]
    warned = [event for event in log.events if event.topic == "controller.low_voltage"]
    assert len(warned) == (5 if batch == 64 else 0)
    assert all(event.source == "controller" and event.data["time_s"] == event.t_s for event in warned)


def test_custom_controller_is_kept_to_its_types(spaces: dict[str, Space]) -> None:
    space = spaces["12_custom_controller"]
    site = space["SyntheticDatacenter"]()
    grid = ieee13_with(site)
    controller = space["MyController"](datacenter=site, grid=grid)
    assert controller.compatibility_signature() == "Controller[MyDatacenter, OpenDSSGrid]"
    with pytest.raises(InputError, match="SyntheticDatacenter"):
        Coordinator(datacenters=[site], grid=grid, controllers=[controller], total_duration_s=1)


def test_load_shift(spaces: dict[str, Space]) -> None:
    space = spaces["13_load_shift"]
    dc_a, dc_b, grid = space["dc_a"], space["dc_b"], space["grid"]
    taps, *_ = space["controllers"]
    assert isinstance(taps, TapScheduleController)
    log = Coordinator(datacenters=[dc_a, dc_b], grid=grid, controllers=space["controllers"], total_duration_s=15).run()
    shifts = [(t, c) for t, c in zip(log.command_time_s, log.commands, strict=True) if isinstance(c, ShiftReplicas)]
    assert shifts, "site a's bus is below 0.95 pu and its batch sizes are at their lower limit"
    assert min(log.grid_states[0].voltages["671"]) < 0.95
    for (t_out, out), (t_in, into) in zip(shifts[::2], shifts[1::2], strict=True):
        assert t_out == t_in
        assert (out.model_label, out.replica_delta, out.target) == ("Model-B", -2, dc_a)
        assert (into.model_label, into.replica_delta, into.target) == ("Model-B", 2, dc_b)
    for time_s in {t for t, _ in shifts if t < 14}:
        for site, delta in (("a", -2), ("b", 2)):
            states = log.dc_states_by_site[site]
            before, after = (states[round(time_s) + k].active_replicas_by_model["Model-B"] for k in (0, 1))
            assert after - before == delta


class _Nowhere:
    def emit(self, event: Any) -> None: ...
