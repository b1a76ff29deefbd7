"""The loop: order and rates of a tick, life cycle, its checks, and components that are not ours (formulations 1)."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from g2g_opt.clock import SimulationClock
from g2g_opt.common import ThreePhase
from g2g_opt.controller.base import Controller
from g2g_opt.controller.noop import NoopController
from g2g_opt.controller.ofo import LogisticModelStore, OFOBatchSizeController, OFOConfig
from g2g_opt.controller.rule_based import RuleBasedBatchSizeController
from g2g_opt.coordinator import Coordinator
from g2g_opt.datacenter.base import DatacenterBackend, DatacenterState, LLMBatchSizeControlledDatacenter
from g2g_opt.datacenter.command import DatacenterCommand, SetBatchSize
from g2g_opt.datacenter.config import (
    DatacenterConfig,
    InferenceModelSpec,
    PowerAugmentationConfig,
    ReplicaSchedule,
)
from g2g_opt.datacenter.offline import OfflineDatacenter, OfflineDatacenterState, OfflineWorkload
from g2g_opt.datacenter.workloads.curves import LogisticModel
from g2g_opt.datacenter.workloads.inference import InferenceData
from g2g_opt.errors import InputError, PowerFlowError
from g2g_opt.events import EventEmitter
from g2g_opt.grid.base import BusVoltages, GridBackend, GridState, PhaseVoltages
from g2g_opt.grid.command import GridCommand, SetTaps
from g2g_opt.grid.config import TapPosition
from g2g_opt.grid.generator import ConstantGenerator
from g2g_opt.grid.opendss import OpenDSSGrid
from g2g_opt.metrics.performance import compute_performance_stats
from g2g_opt.metrics.voltage import compute_allbus_voltage_stats

Diary = list[tuple[str, float]]
TENTH, ONE, FIVE = Fraction(1, 10), Fraction(1), Fraction(5)

# --- components written here: a site that follows a set-point, a two-line grid, and controllers that only send


@dataclass(frozen=True)
class SetPower(DatacenterCommand):
    power_kw: float
    target: DatacenterBackend[Any]


@dataclass(frozen=True)
class SetSource(GridCommand):
    source_pu: float


class Part:
    """What the components here share: a period, a diary of what happened, and failures on request."""

    def __init__(self, label: str, dt_s: Fraction, diary: Diary | None) -> None:
        self.label, self._dt_s = label, dt_s
        self.diary: Diary = [] if diary is None else diary
        self.fails_in = ""

    @property
    def dt_s(self) -> Fraction:
        return self._dt_s

    def note(self, what: str, time_s: float = -1.0) -> None:
        self.diary.append((f"{self.label} {what}", time_s))
        if what == self.fails_in:
            raise OSError(f"{self.label} fails in {what}")

    def start(self) -> None:
        self.note("start")

    def stop(self) -> None:
        self.note("stop")


class SetPointSite(Part, DatacenterBackend[DatacenterState]):
    """Draws what it was last told, equally on the phases."""

    def __init__(self, name: str = "dc", dt_s: Fraction = ONE, diary: Diary | None = None, kw: float = 100.0) -> None:
        Part.__init__(self, name, dt_s, diary)
        DatacenterBackend.__init__(self, name=name)
        self._start_kw = kw
        self.reset()

    def reset(self) -> None:
        self.power_kw = self._start_kw

    def step(self, clock: SimulationClock, events: EventEmitter) -> DatacenterState:
        self.note("step", clock.time_s)
        events.emit("site.stepped", {"power_kw": self.power_kw})
        return DatacenterState(clock.time_s, ThreePhase(*[self.power_kw * 1e3 / 3] * 3))

    def apply_control(self, command: DatacenterCommand, events: EventEmitter) -> None:
        assert isinstance(command, SetPower)
        self.note("command")
        self.power_kw = command.power_kw
        events.emit("site.told", {"power_kw": command.power_kw})


class TwoLineGrid(Part, GridBackend[GridState]):
    """v = source - 1e-4 pu per kW, the same at both buses but for one that hangs twice as far away."""

    def __init__(self, dt_s: Fraction = ONE, diary: Diary | None = None) -> None:
        super().__init__("grid", dt_s, diary)
        GridBackend.__init__(self)
        self.reset()

    def reset(self) -> None:
        self.source_pu = 1.0
        self.latest_w: dict[DatacenterBackend[Any], ThreePhase] = {}
        self.sample_counts: list[dict[str, int]] = []

    def step(
        self,
        clock: SimulationClock,
        power_samples_w: Mapping[DatacenterBackend[Any], Sequence[ThreePhase]],
        events: EventEmitter,
    ) -> GridState:
        self.note("step", clock.time_s)
        self.sample_counts.append({dc.name: len(samples) for dc, samples in power_samples_w.items()})
        self.latest_w |= {dc: samples[-1] for dc, samples in power_samples_w.items() if samples}
        kw = np.sum([list(w) for w in self.latest_w.values()], axis=0) / 1e3
        near, far = self.source_pu - 1e-4 * kw, self.source_pu - 2e-4 * kw
        return GridState(clock.time_s, BusVoltages({"near": PhaseVoltages(*near), "far": PhaseVoltages(*far)}))

    def apply_control(self, command: GridCommand, events: EventEmitter) -> None:
        assert isinstance(command, SetSource)
        self.note("command")
        self.source_pu = command.source_pu


class Sender(Part, Controller[DatacenterBackend[Any], GridBackend[Any]]):
    """Sends what `decide(time_s)` returns."""

    def __init__(
        self,
        decide: Callable[[float], list[Any]] = lambda time_s: [],
        dt_s: Fraction = ONE,
        diary: Diary | None = None,
        label: str = "control",
    ) -> None:
        super().__init__(label, dt_s, diary)
        self.decide = decide

    def reset(self) -> None: ...

    def step(self, clock: SimulationClock, events: EventEmitter) -> list[DatacenterCommand | GridCommand]:
        self.note("step", clock.time_s)
        return self.decide(clock.time_s)


def at(time_s: float, *commands: Any) -> Callable[[float], list[Any]]:
    return lambda now_s: list(commands) if now_s == time_s else []


def loop(
    total_duration_s: float | Fraction,
    *,
    dc_dt_s: Fraction = ONE,
    grid_dt_s: Fraction = ONE,
    control_dt_s: Fraction = ONE,
    decide: Callable[[SetPointSite], Callable[[float], list[Any]]] = lambda site: lambda time_s: [],
) -> tuple[Coordinator[DatacenterState, GridState], Diary]:
    diary: Diary = []
    site = SetPointSite(dt_s=dc_dt_s, diary=diary)
    coordinator = Coordinator(
        datacenters=[site],
        grid=TwoLineGrid(grid_dt_s, diary),
        controllers=[Sender(decide(site), control_dt_s, diary)],
        total_duration_s=total_duration_s,
    )
    return coordinator, diary


def steps(diary: Diary) -> Diary:
    return [(what, time_s) for what, time_s in diary if what.endswith(" step")]


def power_kw(log: Any) -> list[float]:
    return [state.power_w.total / 1e3 for state in log.dc_states]


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


# --- three ways to run are one run, and a second run is the first again

SPECS = tuple(
    InferenceModelSpec(
        model_label=label,
        model_id=label,
        gpu_model="H100",
        task="made up",
        gpus_per_replica=gpus,
        itl_deadline_s=0.06,
        batch_sizes=(8, 16, 32, 64, 128),
    )
    for label, gpus in (("small", 1), ("large", 8))
)
DATA = InferenceData.constant(
    SPECS,
    {spec.model_label: {b: 250.0 + 80.0 * k for k, b in enumerate(spec.batch_sizes)} for spec in SPECS},
    {spec.model_label: {b: 0.02 + 0.008 * k for k, b in enumerate(spec.batch_sizes)} for spec in SPECS},
)


def offline_site(cls: type[OfflineDatacenter] = OfflineDatacenter, dt_s: Fraction = TENTH) -> OfflineDatacenter:
    return cls(
        DatacenterConfig(base_kw_per_phase=1000.0),
        OfflineWorkload(
            DATA,
            {
                "small": ReplicaSchedule(initial=800).ramp_to(1600, t_start=10.0, t_end=20.0),
                "large": ReplicaSchedule(initial=200),
            },
            {"small": 64, "large": 64},
        ),
        name="dc",
        dt_s=dt_s,
        total_gpu_capacity=3600,
        seed=11,
        power_augmentation=PowerAugmentationConfig((0.9, 1.1), 0.05),
    )


def closed_loop(kind: str, site: OfflineDatacenter | None = None, duration_s: int = 40) -> Coordinator[Any, Any]:
    dc = site or offline_site()
    grid = OpenDSSGrid(feeder="ieee13", dt_s=TENTH)
    grid.attach_dc(dc, bus="671")
    controllers: list[Controller[Any, Any]] = [NoopController()]
    if kind == "droop":
        controllers = [
            RuleBasedBatchSizeController(
                SPECS, datacenter=dc, grid=grid, initial_batch_sizes=dc.workload.initial_batch_sizes
            )
        ]
    if kind == "ofo":
        heights = (400.0, 0.05, 2000.0)  # of power (W), latency (s) and throughput (tokens/s)
        curves = [LogisticModel(b0=0.0, L=height, k=1.0, x0=5.0) for height in heights]
        fits = LogisticModelStore(*(dict.fromkeys(("small", "large"), curve) for curve in curves))
        config = OFOConfig(sensitivity_update_interval=7, w_throughput=1e-3)
        controllers = [OFOBatchSizeController(SPECS, dc, grid, fits, config)]
    return Coordinator(datacenters=[dc], grid=grid, controllers=controllers, total_duration_s=duration_s)


def arrays(coordinator: Coordinator[Any, Any]) -> dict[str, np.ndarray]:
    site, grid = coordinator.datacenters[0], coordinator.grid
    assert isinstance(site, OfflineDatacenter)
    assert isinstance(grid, OpenDSSGrid)
    names = ("time_s", "power_w", "power_by_model_w", "batch_size", "replicas", "itl_s")
    found = {name: np.array(getattr(site.record, name)) for name in names}
    return found | {"grid_time_s": np.array(grid.record.time_s), "voltage_pu": np.array(grid.record.voltage_pu)}


def assert_same(got: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert got.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_array_equal(got[name], values, name)


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


def test_a_run_needs_a_datacenter() -> None:
    with pytest.raises(InputError, match="at least one datacenter"):
        Coordinator(datacenters=[], grid=TwoLineGrid(), total_duration_s=1)


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


# --- components that are not ours


def test_a_grid_written_in_two_lines_runs_with_an_offline_datacenter() -> None:
    site = offline_site(dt_s=ONE)
    sender = Sender(at(4.0, SetBatchSize({"small": 8}, target=site), SetSource(1.02)))
    log = Coordinator(datacenters=[site], grid=TwoLineGrid(), controllers=[sender], total_duration_s=10).run()
    record = site.record
    source_pu = np.where(record.time_s > 4.0, 1.02, 1.0)
    far = np.array([tuple(state.voltages["far"]) for state in log.grid_states])
    np.testing.assert_allclose(far, source_pu[:, None] - 2e-4 * record.power_w / 1e3, rtol=1e-12)
    assert record.batch_size[:, record.labels.index("small")].tolist() == [64] * 5 + [8] * 5
    stats = compute_allbus_voltage_stats(log.grid_states, v_min=0.9, v_max=1.05)
    near = np.array([tuple(state.voltages["near"]) for state in log.grid_states])
    outside = np.maximum(0.9 - np.hstack([near, far]), 0.0)
    assert stats.integral_violation_pu_s == pytest.approx(outside.sum())
    assert stats.violation_time_s == np.count_nonzero(outside.any(axis=1))


class Halved(OfflineDatacenter):
    """Half the power from 5 s on: a subclass that changes what `step` returns."""

    def step(self, clock: SimulationClock, events: EventEmitter) -> OfflineDatacenterState:
        state = super().step(clock, events)
        if clock.time_s < 5.0:
            return state
        return dataclasses.replace(state, power_w=ThreePhase(*(w / 2 for w in state.power_w)))


class Untouched(OfflineDatacenter):
    def step(self, clock: SimulationClock, events: EventEmitter) -> OfflineDatacenterState:
        return super().step(clock, events)


@pytest.mark.parametrize("kind", ["noop", "droop", "ofo"])
def test_a_subclass_that_steps_like_its_base_gives_the_same_run(kind: str) -> None:
    plain, derived = closed_loop(kind), closed_loop(kind, offline_site(Untouched))
    expected, got = plain.run(), derived.run()
    assert_same(arrays(derived), arrays(plain))
    assert list(got.dc_states) == list(expected.dc_states)
    assert service(got) == {
        name: pytest.approx(value) if isinstance(value, (float, dict)) else value
        for name, value in service(expected).items()
    }


def service(log: Any) -> dict[str, Any]:
    deadline_s = {spec.model_label: spec.itl_deadline_s for spec in SPECS}
    return dataclasses.asdict(compute_performance_stats(log.dc_states, itl_deadline_s_by_model=deadline_s))


def test_a_subclass_that_overrides_step_is_what_the_grid_sees() -> None:
    plain, halved = closed_loop("noop"), closed_loop("noop", offline_site(Halved))
    expected, got = plain.run(), halved.run()
    power = [np.array([tuple(state.power_w) for state in log.dc_states]) for log in (expected, got)]
    np.testing.assert_array_equal(power[1][:50], power[0][:50])
    np.testing.assert_allclose(power[1][50:], power[0][50:] / 2, rtol=1e-12)
    voltage = [np.array([tuple(state.voltages["671"]) for state in log.grid_states]) for log in (expected, got)]
    np.testing.assert_array_equal(voltage[1][:50], voltage[0][:50])
    assert (voltage[1][50:] > voltage[0][50:] + 0.005).all()
    assert halved.datacenters[0].state == got.dc_states[-1]


class LoggedGrid(OpenDSSGrid):
    """A grid that overrides `step`: it is handed the samples and its own state is kept."""

    def step(self, clock: SimulationClock, power_samples_w: Any, events: EventEmitter) -> GridState:
        state = super().step(clock, power_samples_w, events)
        events.emit("grid.lowest", {"voltage_pu": float(np.nanmin(list(state.voltages["671"])))})
        return state


def test_a_subclass_of_the_opendss_grid_gives_the_same_voltages() -> None:
    logs = []
    for cls in (OpenDSSGrid, LoggedGrid):
        site = offline_site(dt_s=ONE)
        grid = cls(feeder="ieee13")
        grid.attach_dc(site, bus="671")
        sender = Sender(at(4.0, SetTaps(TapPosition(regulators={"creg1b": 1.0}))))
        logs.append(Coordinator(datacenters=[site], grid=grid, controllers=[sender], total_duration_s=10).run())
    expected, got = ([state.voltages["671"] for state in log.grid_states] for log in logs)
    assert got == expected
    assert [state.tap_positions for state in logs[1].grid_states] == [s.tap_positions for s in logs[0].grid_states]
    lowest = [event.data["voltage_pu"] for event in logs[1].events if event.topic == "grid.lowest"]
    assert lowest == [min(voltages) for voltages in got]


def test_a_generator_that_only_overrides_power_kw_is_heard() -> None:
    """Whatever it derives from: the grid may not read a block of the base class's figures instead."""

    class Late(ConstantGenerator):
        def power_kw(self, t: float) -> float:
            return super().power_kw(t) if t >= 3.0 else 0.0

    site = SetPointSite(kw=1500.0)
    grid = OpenDSSGrid(feeder="ieee13")
    grid.attach_dc(site, bus="671")
    grid.attach_generator(Late(peak_kw=400.0), bus="675")
    log = Coordinator(datacenters=[site], grid=grid, total_duration_s=6).run()
    voltage_pu = [state.voltages["675"].a for state in log.grid_states]
    assert max(voltage_pu[:3]) < min(voltage_pu[3:]) - 0.005


def test_throughput_of_sites_with_different_periods_is_the_sum_of_their_own() -> None:
    one, two = (
        OfflineDatacenter(
            DatacenterConfig(),
            OfflineWorkload(DATA, {"small": ReplicaSchedule(initial=80)}),
            name=name,
            dt_s=dt_s,
            total_gpu_capacity=80,
        )
        for name, dt_s in (("one", ONE), ("two", Fraction(2)))
    )
    log = Coordinator(datacenters=[one, two], grid=TwoLineGrid(), total_duration_s=20).run()
    deadline_s = {spec.model_label: spec.itl_deadline_s for spec in SPECS}
    each = 80 * 8 / 0.02
    stats = compute_performance_stats(log.dc_states, itl_deadline_s_by_model=deadline_s)
    assert stats.mean_throughput_tps == pytest.approx(2 * each)
