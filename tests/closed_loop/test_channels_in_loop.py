"""Controllers that see and command through channels, on both engines."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from batch_parts import BAND, LABELS, SPECS, droop, loop, ofo, site
from engine_pair import assert_engines_agree, differences, run_single
from openg2g_case import build_case, case_names
from random_runs import build, random_tasks

from g2g_opt.batch.simulator import run_batch
from g2g_opt.channel.links import Links
from g2g_opt.communication import Channels, ChannelSpec, FailSafe, Lane, StaleSignal, read_channels
from g2g_opt.controller.adaptive_tap import AdaptiveTapConfig, AdaptiveTapController
from g2g_opt.controller.load_shift import LoadShiftConfig, LoadShiftController
from g2g_opt.controller.storage import LocalVoltageStorageDroopController, StorageDroopConfig
from g2g_opt.controller.tap_schedule import TapScheduleController
from g2g_opt.coordinator import Coordinator
from g2g_opt.errors import InputError
from g2g_opt.feeder import Feeder
from g2g_opt.grid.storage import BatteryStorage
from g2g_opt.plan import Plan
from g2g_opt.scenario import Scenario
from g2g_opt.tap_position import TapPosition, TapSchedule


def through(run: Coordinator[Any, Any], channels: Channels) -> Coordinator[Any, Any]:
    """The run with its controllers behind links, whatever they were built on."""
    links = Links(channels, run.grid, run.datacenters, seed=5, scenario="links", band=(1.0, 1.04))
    seen = {id(run.grid): links.grid} | {id(dc): links.sites[dc.name] for dc in run.datacenters}

    def view(value: Any) -> Any:
        if isinstance(value, list):
            return [view(item) for item in value]
        if isinstance(value, dict):
            return {view(key): view(item) for key, item in value.items()}
        return seen.get(id(value), value)

    for controller in run.controllers:
        for name, value in list(vars(controller).items()):
            setattr(controller, name, view(value))
    run.links = links
    return run


def same_single(one: Coordinator[Any, Any], other: Coordinator[Any, Any]) -> None:
    """Both runs step by step, to the last bit."""
    a, b = run_single(one), run_single(other)
    assert a.failure == b.failure
    np.testing.assert_array_equal(a.grid.solved_record.voltage_pu, b.grid.solved_record.voltage_pu)
    for dc in one.datacenters:
        for name in ("power_w", "batch_size", "replicas", "itl_s"):
            np.testing.assert_array_equal(getattr(a.site(dc.name), name), getattr(b.site(dc.name), name), name)


# Enough of a recorded hour for its ramps and its controllers.
RECORDED_S = 1000


def recorded(name: str) -> Coordinator[Any, Any]:
    case = build_case(name).coordinator
    return Coordinator(
        datacenters=case.datacenters, grid=case.grid, controllers=case.controllers, total_duration_s=RECORDED_S
    )


@pytest.mark.parametrize("name", case_names())
def test_a_recorded_case_through_transparent_channels_is_the_case_without(name: str) -> None:
    same_single(recorded(name), through(recorded(name), Channels()))
    plain, linked = (run_batch([run], trace=[0])[0] for run in (recorded(name), through(recorded(name), Channels())))
    assert differences(plain.summary, linked.summary) == []
    assert differences(plain.trace, linked.trace) == []


def with_channels(task: tuple[Plan, Scenario], channels: Channels) -> tuple[Plan, Scenario]:
    plan, scenario = task
    return replace(plan, policy=replace(plan.policy, channels=channels)), scenario


@pytest.mark.parametrize("feeder", ["ieee13"])
def test_ten_random_runs_through_transparent_channels_are_the_runs_without(feeder: str) -> None:
    found = Feeder.load(feeder)
    tasks = list(random_tasks(found, 10, seed=19))
    for task in tasks:
        same_single(build(found, *task), build(found, *with_channels(task, Channels())))
        plain, linked = (run_batch([build(found, *t)], trace=[0])[0] for t in (task, with_channels(task, Channels())))
        assert differences(plain.summary, linked.summary) == []
        assert differences(plain.trace, linked.trace) == []


# --- channels that lose and delay: both engines, all controllers, all in one batch

LOSSY = Channels(ChannelSpec("udp", 1.3, "exponential", loss=0.3))
AT_ONCE_OR_NEVER = Channels(ChannelSpec("udp", loss=0.5))
STREAM = Channels(ChannelSpec("tcp", 0.4, loss=0.3, loss_back=0.2))
APART = Channels(
    lanes=(Lane(ChannelSpec("ideal", 3.0), source="grid"), Lane(ChannelSpec("udp", loss=0.4), "controller"))
)
ALL = (LOSSY, AT_ONCE_OR_NEVER, STREAM, APART, Channels())
TWO = Fraction(2)
Rig = Callable[[Any, Any], list[Any]]


def two_sites() -> dict[str, Any]:
    return {"671": site("a", (1000, 200)), "675": site("b", (400, 100), batch=(64, 256))}


def each(make: Callable[..., Any], **config: Any) -> Rig:
    return lambda grid, sites: [make(grid, dc, **config) for dc in sites.values()]


def agree(rig: Rig, channels: tuple[Channels, ...] = ALL, **options: Any) -> list[Any]:
    """Batch runs of a rig through every one of the channels, side by side, which OpenDSS has confirmed."""
    parts = options.pop("sites", two_sites)
    builds = [lambda c=c: through(loop(parts(), rig, **options), c) for c in channels]  # type: ignore[misc]
    return [run for _, run in assert_engines_agree(builds)]


def batch_sizes(run: Any, name: str = "a") -> np.ndarray:
    return np.asarray(run.trace.sites[name].batch_size)


def test_droop_and_ofo_through_all_kinds_of_channels() -> None:
    rigs = each(droop, step_size=30.0), each(ofo, voltage_dual_step_size=0.1), each(droop, dt_s=Fraction(5))
    for rig, kinds in zip(rigs, (4, 4, 2), strict=True):
        runs = agree(rig)
        assert len({batch_sizes(run).tobytes() for run in runs}) >= kinds
        assert all(len(np.unique(batch_sizes(run)[:, 0])) > 1 for run in runs)


def test_taps_through_all_kinds_of_channels() -> None:
    low = dict.fromkeys(("creg1a", "creg1b", "creg1c"), 1.0)
    schedule = TapSchedule(((3.0, TapPosition(regulators=low)), (9.0, TapPosition(regulators={"creg1a": 1.05}))))

    def rig(grid: Any, sites: Any) -> list[Any]:
        config = AdaptiveTapConfig(v_min=0.97, v_max=1.02, cooldown_s=4.0)
        return [TapScheduleController(schedule=schedule), AdaptiveTapController(grid=grid, config=config, dt_s=TWO)]

    runs = agree(rig)
    # Whatever was lost was repeated: every run gets the scheduled ratio, and not all of them at the same time.
    column = runs[0].trace.regulators.index("creg1b")
    first = [int(np.flatnonzero(run.trace.taps_pu[:, column] == 1.0)[0]) for run in runs]
    assert first[-1] == 4
    assert max(first[:-1]) > 4


@pytest.mark.parametrize("statistic", ["minimum", "mean", "latest"])
def test_storage_through_all_kinds_of_channels(statistic: str) -> None:
    def build(channels: Channels) -> Coordinator[Any, Any]:
        battery = BatteryStorage("battery", 400.0, 600.0, apparent_power_kva=800.0)
        config = StorageDroopConfig(mode="qv", voltage_statistic=statistic)  # type: ignore[arg-type]

        def rig(grid: Any, sites: Any) -> list[Any]:
            places = {battery: "675"}
            return [LocalVoltageStorageDroopController(grid=grid, storages=places, config=config, dt_s=TWO)]

        attach = lambda grid: grid.attach_storage(battery, bus="675")  # noqa: E731
        return through(loop(two_sites(), rig, attach=attach), channels)

    runs = [run for _, run in assert_engines_agree([lambda c=c: build(c) for c in ALL])]  # type: ignore[misc]
    assert len({run.trace.storage_kvar.tobytes() for run in runs}) >= 4


def test_replicas_move_as_far_as_they_fit_when_the_command_arrives() -> None:
    def sites() -> dict[str, Any]:
        return {
            "671": site("a", (1000, 200), batch=(8, 8)),
            "632": site("b", (400, 100), batch=(512, 512), spare_gpus=64),
        }

    def rig(grid: Any, seen: Any) -> list[Any]:
        shift = LoadShiftController(
            config=LoadShiftConfig(True, 16),
            dt_s=TWO,
            datacenters=list(seen.values()),
            grid=grid,
            models_by_dc=dict.fromkeys(seen.values(), LABELS),
            gpus_per_replica_by_model={spec.model_label: spec.gpus_per_replica for spec in SPECS},
            feasible_batch_sizes_by_model={spec.model_label: spec.feasible_batch_sizes for spec in SPECS},
            **BAND,
        )
        return [shift]

    runs = agree(rig, sites=sites)
    assert all(np.ptp(run.trace.sites["b"].replicas, axis=0).max() > 0 for run in runs)
    assert len({run.trace.sites["b"].replicas.tobytes() for run in runs}) > 1


# --- stale data and silence

OUTAGE = ChannelSpec("udp", outages=((2.0, 30.0),))


def test_what_a_site_does_in_silence() -> None:
    rules = ("hold", "safe", "release", "droop")
    cut_off = tuple(
        Channels(OUTAGE, fail_safe=FailSafe(rule, silence_s=4.0, safe_batch_size=16))  # type: ignore[arg-type]
        for rule in rules
    )
    held, safe, released, drooped = (batch_sizes(run)[:, 0] for run in agree(each(droop, step_size=30.0), cut_off))
    # The command of second 1 holds from second 2 on; silence is noticed once it is older than 4 s.
    assert held[2] == 64
    assert (held[2:31] == 64).all()
    for other in (safe, released, drooped):
        np.testing.assert_array_equal(other[:6], held[:6])
    assert safe[6:30].tolist() == [32] + [16] * 23
    assert released[6:30].tolist() == [128] * 24
    assert np.all(np.diff(drooped[5:30]) <= 0)
    assert drooped[29] < 64


def test_a_controller_without_news_holds_bounds_predicts_or_is_silent() -> None:
    rules = ("hold", "bound", "predict", "silence")
    # Only measurements are cut off: commands get through.
    runs = agree(
        each(droop, step_size=6.0),
        tuple(
            Channels(
                lanes=(Lane(OUTAGE, topic="voltage"),),
                voltage=StaleSignal(rule, 3.0, 0.03),  # type: ignore[arg-type]
                fail_safe=FailSafe("safe", silence_s=5.0, safe_batch_size=8),
            )
            for rule in rules
        ),
    )
    held, bounded, predicted, silent = (batch_sizes(run)[:, 0] for run in runs)
    assert all((other[:5] == held[:5]).all() for other in (bounded, predicted, silent))
    assert np.all(bounded[:30] <= held[:30])
    assert bounded.sum() < held.sum()
    assert not np.array_equal(predicted, held)
    # Silence of the controller is silence for the site.
    assert silent[29] == 8
    assert held[29] > 8


def test_a_lanes_run_is_the_same_alone_and_in_any_batch() -> None:
    builds = [lambda c=c: through(loop(two_sites(), each(droop, step_size=30.0)), c) for c in ALL]  # type: ignore[misc]
    together = run_batch([build() for build in builds], trace=range(len(builds)))
    for k in (0, 2, 3):
        alone = run_batch([builds[k]()], trace=[0])[0]
        assert differences(alone.trace, together[k].trace) == []
        with_others = run_batch([builds[k](), loop(two_sites(), each(droop, step_size=9.0)), builds[1]()], trace=[0])[0]
        assert differences(alone.trace, with_others.trace) == []


def test_random_plans_through_channels_are_the_same_on_both_engines() -> None:
    found = Feeder.load("ieee13")
    channels = read_channels("udp:loss=0.3,latency=0.7,latency_kind=exponential,fail_safe=droop,silence=8,outage=5-25")
    tasks = [with_channels(task, channels) for task in random_tasks(found, 4, seed=23)]
    for task in tasks:
        assert_engines_agree([lambda t=task: build(found, *t)])  # type: ignore[misc]


def test_what_channels_cannot_do_is_said_before_a_run() -> None:
    patient = Channels(fail_safe=FailSafe("safe", silence_s=2.0))
    with pytest.raises(InputError, match="silence_s"):
        through(loop(two_sites(), each(droop, dt_s=Fraction(5))), patient).run()
    stranger = Channels(lanes=(Lane(ChannelSpec(), source="nobody"),))
    with pytest.raises(InputError, match="nobody"):
        through(loop(two_sites(), each(droop)), stranger).run()
    run = through(loop(two_sites(), each(droop), duration_s=2), Channels())
    run.reset()
    run.start()
    for _ in range(2):
        run.step()
    with pytest.raises(InputError, match="total_duration_s"):
        run.step()
