"""What a batch run cannot do is said, and by whom: runs without an answer are data, others go to OpenDSS by name."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from batch_parts import LABELS, SPECS, droop, loop, ofo, site
from engine_pair import SingleRun, compare, differences, run_single

from g2g_opt.batch import rescue
from g2g_opt.batch.simulator import BatchRun, batch_key, run_batch
from g2g_opt.batch.unsupported import UnsupportedByBatch
from g2g_opt.controller.batch_size_schedule import BatchSizeChange, BatchSizeScheduleController
from g2g_opt.controller.noop import NoopController
from g2g_opt.controller.ofo import OFOBatchSizeController
from g2g_opt.coordinator import Coordinator
from g2g_opt.datacenter.config import ReplicaSchedule
from g2g_opt.datacenter.offline import OfflineDatacenter
from g2g_opt.engine_reason import EngineReason
from g2g_opt.errors import InputError
from g2g_opt.failure import FailureKind
from g2g_opt.feeder import Feeder
from g2g_opt.grid.generator import Generator
from g2g_opt.grid.opendss import OpenDSSGrid
from g2g_opt.grid.storage import BatteryStorage
from g2g_opt.limits import Limits
from g2g_opt.plan import Plan, Policy
from g2g_opt.scenario import Scenario
from g2g_opt.simulation import simulate
from g2g_opt.site import BASE_KW_PER_GPU, sized_site

TENTH = Fraction(1, 10)
Build = Callable[[], Coordinator[Any, Any]]


# --- runs without an answer


def grown(n_replicas: int, at_s: float = 12.0, until_s: float = 12.0, **options: Any) -> Coordinator[Any, Any]:
    """A site that grows to `n_replicas` of the small model."""
    schedule = ReplicaSchedule(400).ramp_to(n_replicas, t_start=at_s, t_end=until_s)
    return loop({"671": site("a", (schedule, 100))}, **options)


def steered(n_replicas: int, at_s: float = 12.0, until_s: float = 12.0) -> Coordinator[Any, Any]:
    """The same with a droop controller."""
    schedule = ReplicaSchedule(800).ramp_to(n_replicas, t_start=at_s, t_end=until_s)
    return loop({"671": site("a", (schedule, 100))}, lambda grid, sites: [droop(grid, sites["671"])])


def both(builds: list[Build]) -> list[tuple[SingleRun, BatchRun]]:
    runs = run_batch([build() for build in builds], trace=range(len(builds)))
    return [(run_single(build()), run) for build, run in zip(builds, runs, strict=True)]


def test_failed_runs_have_the_single_runs_reasons_and_leave_their_neighbours_alone() -> None:
    builds: list[Build] = [
        lambda: steered(1500),
        lambda: steered(60_000),
        lambda: grown(16_000, at_s=5.0, until_s=25.0),
        lambda: steered(1500, at_s=20.0, until_s=25.0),
        lambda: grown(30_000, at_s=0.0, until_s=0.0),
    ]
    pairs = both(builds)
    reasons = [run.failure for _, run in pairs]
    assert reasons[0] is reasons[3] is None
    # Where OpenDSS does not come to rest the batch engine may: at a voltage at which the site is not served.
    assert pairs[1][0].failure.kind is FailureKind.NOT_CONVERGED
    assert (reasons[1].kind, reasons[1].time_s) == (FailureKind.NOT_SERVED, 12.0)
    assert reasons[2].kind is FailureKind.NOT_SERVED
    assert "asked for" in str(reasons[2])
    assert "was served" in str(reasons[2])
    assert str(reasons[4]).startswith("t=0 s: ")
    for single, run in pairs:
        if single.failure is None or single.failure.kind is not FailureKind.NOT_CONVERGED:
            assert run.failure == single.failure
        assert run.summary.n_steps < 40 or run.failure is None
    # What was solved before a failure is there to look at, and as the single run had it.
    assert [len(run.trace.time_s) for _, run in pairs][:2] == [40, 12]
    for single, run in (pairs[0], pairs[3]):
        assert compare(single, run).partings == ()
    alone = run_batch([builds[0]()], trace=[0])[0]
    assert differences(alone.summary, pairs[0][1].summary) == []


def test_recorded_shortfalls_let_a_run_go_on() -> None:
    builds: list[Build] = [
        lambda: grown(12_000, at_s=5.0, until_s=25.0, unserved="record"),
        lambda: grown(12_000, at_s=5.0, until_s=25.0),
        lambda: grown(2_000, unserved="record"),
    ]
    (went_on, kept), (stopped, reason), (fine, _) = both(builds)
    assert went_on.failure is kept.failure is None
    assert went_on.grid.served.unserved_steps > 0
    assert stopped.failure == reason.failure == went_on.grid.served.first
    assert fine.grid.served.unserved_steps == 0
    assert compare(went_on, kept).partings == ()


def test_the_circuits_own_loads_outside_their_window_are_counted_as_by_the_single_run() -> None:
    single, run = both([lambda: grown(9_000, until_s=30.0)])[0]
    assert run.summary is not None
    assert run.summary.own_loads_unserved_steps == single.grid.own_loads.unserved_steps > 0
    assert run.summary.own_loads_worst == single.grid.own_loads.worst


def test_in_simulate_a_failed_scenario_is_an_outcome_with_the_reason_of_the_single_run() -> None:
    feeder, plans = Feeder.load("ieee13"), [plan(500, "none"), plan(2000, "none")]
    calm = Scenario("calm", 30, replica_share_start=0.2, replica_ramps=(), seed=1)
    busy = replace(calm, name="busy", replica_share_start=1.0)
    growing = replace(calm, name="growing", replica_ramps=((3.0, 28.0, 1.0),))
    batch = simulate(plans, [calm, busy, growing], feeder, Limits())
    opendss = simulate(plans, [calm, busy, growing], feeder, Limits(), engine="opendss")
    failures = [[s.failure for s in row] for row in batch]
    assert failures[1] == [s.failure for s in opendss[1]]
    assert failures[0] == [None] * 3
    assert failures[1][0] is None
    assert "was served" in str(failures[1][1])
    assert "was served" in str(failures[1][2])
    assert [s.engine for s in batch[1]] == ["batch"] * 3
    for failed, alone in zip(batch[1][1:], opendss[1][1:], strict=True):
        assert failed.checks == ()
        assert failed.reasons == (str(failed.failure),)
        # What it came to until then is kept, by both engines alike.
        assert failed.summary.n_steps == alone.summary.n_steps == int(failed.failure.time_s)
        np.testing.assert_allclose(failed.summary.lowest_pu, alone.summary.lowest_pu, atol=1e-5)
        assert [s.power_mean_mw for s in failed.summary.sites] == pytest.approx(
            [s.power_mean_mw for s in alone.summary.sites], rel=1e-6
        )
    assert batch[1][2].summary.n_steps > 0


# --- what the engine does not model


def plan(n_servers: int, kind: str = "ofo", **options: Any) -> Plan:
    return Plan(
        (sized_site("site", "671", [(SPECS[1], 128)], n_servers, BASE_KW_PER_GPU),),
        policy=Policy(kind),  # type: ignore[arg-type]
        **options,
    )


SHORT = Scenario("short", 10, replica_ramps=(), seed=1)


def own(cls: type) -> type:
    """A subclass that does the same; the batch engine cannot know that it does."""
    return type(f"My{cls.__name__}", (cls,), {})


def assert_ran_on_opendss(caplog: pytest.LogCaptureFixture, feeder: Feeder, one: Plan, words: str) -> None:
    with caplog.at_level(logging.WARNING, "g2g_opt.simulation"):
        ((found,),) = simulate([one], [SHORT], feeder, Limits())
    ((expected,),) = simulate([one], [SHORT], feeder, Limits(), engine="opendss")
    assert found.engine == "opendss"
    assert words in found.engine_note
    assert found.engine_reason is EngineReason.NOT_MODELLED
    assert any(words in record.getMessage() and record.levelno == logging.WARNING for record in caplog.records)
    assert differences(found.summary, expected.summary) == []
    assert (expected.engine_note, expected.engine_reason) == ("", None)


@pytest.mark.parametrize("cls", [OFOBatchSizeController, OfflineDatacenter, OpenDSSGrid])
def test_parts_of_ones_own_run_on_opendss(
    cls: type, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    maker = "policy_assembly" if cls is OFOBatchSizeController else "assembly"
    monkeypatch.setattr(f"g2g_opt.{maker}.{cls.__name__}", own(cls))
    assert_ran_on_opendss(caplog, Feeder.load("ieee13"), plan(300), f"My{cls.__name__} is not known")


@pytest.fixture(name="relayed", scope="module")
def _relayed(tmp_path_factory: pytest.TempPathFactory) -> Feeder:
    """A feeder with a control that is not modelled, which matters only where the circuit's own controls act."""
    master = Feeder.load("ieee13").write_dss(tmp_path_factory.mktemp("relayed"))
    with master.open("a", encoding="utf-8") as file:
        file.write("New Relay.r MonitoredObj=Line.671692 type=voltage\nCalcVoltageBases\n")
    return Feeder.from_dss(master)


def test_controls_that_are_not_modelled_act_on_opendss(relayed: Feeder, caplog: pytest.LogCaptureFixture) -> None:
    assert_ran_on_opendss(caplog, relayed, plan(100, "none", tap_mode="own control"), "relay.r")


@pytest.mark.parametrize(
    "element",
    [
        "New Generator.roof bus1=675 phases=3 kv=4.16 kw=200 pf=1 model=1",
        "New PVSystem.roof bus1=675 phases=3 kv=4.16 kva=300 pmpp=250 irradiance=0.8",
        "New Storage.cellar bus1=675 phases=3 kv=4.16 kwrated=100 kwhrated=500 state=discharging",
    ],
)
def test_circuits_with_units_of_their_own_run_on_both_engines_alike(element: str, tmp_path: Path) -> None:
    feeder = with_element(element, tmp_path)
    ((found,),) = simulate([plan(100, "none")], [SHORT], feeder, Limits())
    ((expected,),) = simulate([plan(100, "none")], [SHORT], feeder, Limits(), engine="opendss")
    assert (found.engine, found.engine_reason) == ("batch", None)
    np.testing.assert_allclose(found.summary.lowest_pu, expected.summary.lowest_pu, atol=1e-6)
    np.testing.assert_allclose(found.summary.loading_pu, expected.summary.loading_pu, atol=1e-5)


def test_circuits_with_other_elements_run_on_opendss(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    element = "New Generator.roof bus1=675 phases=3 kv=4.16 kw=200 pf=1 dispmode=loadlevel dispvalue=0.5"
    assert_ran_on_opendss(caplog, with_element(element, tmp_path), plan(100, "none"), "generator roof")


def with_element(element: str, folder: Path) -> Feeder:
    """The 13-bus feeder with one more element."""
    master = Feeder.load("ieee13").write_dss(folder)
    with master.open("a", encoding="utf-8") as file:
        file.write(f"{element}\nCalcVoltageBases\n")
    return Feeder.from_dss(master)


def test_other_runs_of_the_same_call_stay_on_the_batch_engine(relayed: Feeder) -> None:
    plans = [plan(100, "none", tap_mode=mode) for mode in ("fixed", "own control", "fixed")]
    engines = [row[0].engine for row in simulate(plans, [SHORT], relayed, Limits())]
    assert engines == ["batch", "opendss", "batch"]


class AskedStepByStep(Generator):
    def power_kw(self, t: float) -> float:
        return 10.0 + t


def asked_step_by_step(grid: OpenDSSGrid) -> None:
    grid.attach_generator(AskedStepByStep(), bus="675")


def with_storage(battery: BatteryStorage) -> Coordinator[Any, Any]:
    return loop({"671": site("a")}, attach=lambda grid: grid.attach_storage(battery, bus="671"))


def own_site() -> OfflineDatacenter:
    a = site("a")
    mine: Any = own(OfflineDatacenter)
    return mine(a.config, a.workload, name="a", dt_s=Fraction(1), total_gpu_capacity=a.total_gpu_capacity)


def ramped(grid: OpenDSSGrid, sites: Any) -> list[Any]:
    schedules = {LABELS[0]: BatchSizeChange(64, ramp_up_rate=2.0).at(3)}
    return [BatchSizeScheduleController(datacenter=sites["671"], schedules=schedules)]


def live() -> Coordinator[Any, Any]:
    run = loop({"671": site("a")})
    return Coordinator(datacenters=run.datacenters, grid=run.grid, total_duration_s=5, live=True)


BATTERY = BatteryStorage("battery", 10.0, 10.0)


@pytest.mark.parametrize(
    ("builds", "words"),
    [
        ([lambda: loop({"671": own_site()})], "datacenter MyOfflineDatacenter"),
        ([lambda: loop({"671": site("a")}, lambda grid, sites: [own(NoopController)()])], "controller MyNoop"),
        ([lambda: loop({"671": site("a", dt_s=TENTH)})], "different periods"),
        ([lambda: loop({"671": site("a")}, lambda grid, sites: [NoopController(TENTH)])], "between grid steps"),
        (
            [lambda: loop({"671": site("a")}, attach=lambda g: g.attach_generator(AskedStepByStep(), bus="675"))],
            "Asked",
        ),
        ([lambda: with_storage(BATTERY), lambda: with_storage(BATTERY)], "several grids"),
        ([lambda: loop({"671": site("a")}, ramped)], "ramps"),
        ([live], "wall time"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_run_batch_refuses_what_it_does_not_model_by_name(builds: list[Build], words: str) -> None:
    with pytest.raises(UnsupportedByBatch, match=words):
        run_batch([build() for build in builds])


# --- what does not fit together


@pytest.mark.parametrize(
    "options",
    [
        {"feeder": "ieee34"},
        {"duration_s": 41},
        {"dt_s": TENTH},
        {"tolerance": 1e-9},
        {"max_iterations": 200},
        {"source_pu": 1.02},
        {"exclude_buses": ("650",)},
        {"record_loading": True},
    ],
)
def test_runs_of_different_keys_do_not_share_a_batch(options: dict[str, Any]) -> None:
    bus = "848" if "feeder" in options else "671"
    runs = [loop({"671": site("a")}), loop({bus: site("a", dt_s=options.get("dt_s", Fraction(1)))}, **options)]
    assert batch_key(runs[0]) != batch_key(runs[1])
    with pytest.raises(InputError, match="2 kinds"):
        run_batch(runs)


def test_no_runs_and_a_model_that_a_site_does_not_serve() -> None:
    with pytest.raises(InputError, match="0 kinds"):
        run_batch([])
    run = loop(
        {"671": site("a")},
        lambda grid, sites: [
            BatchSizeScheduleController(datacenter=sites["671"], schedules={"stranger": BatchSizeChange(8).at(0)})
        ],
    )
    with pytest.raises(InputError, match="model 'stranger' not found at site 'a'"):
        run_batch([run])
    with pytest.raises(InputError, match="model 'stranger' not found at site 'a'"):
        run.run()


def test_a_batch_size_that_was_not_measured_is_refused_as_by_the_single_run() -> None:
    def rig(grid: OpenDSSGrid, sites: Any) -> list[Any]:
        change = BatchSizeChange(13).at(4)
        return [BatchSizeScheduleController(datacenter=sites["671"], schedules={LABELS[0]: change})]

    words = []
    for engine in (lambda run: run_batch([run]), lambda run: run.run()):
        with pytest.raises(InputError, match=r"13 of .* has no power template") as caught:
            engine(loop({"671": site("a")}, rig))
        words.append(str(caught.value))
    assert words[0] == words[1]


def test_slopes_that_cannot_be_measured_fail_their_scenario_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Perturbations that rounding keeps from the tolerance of slopes fail an OFO run, but no other run of its batch.

    Rounding below 1e-6 pu counts as solved, as OpenDSS takes it; here none does.
    """
    monkeypatch.setattr(rescue, "_ROUNDED_PU", 0.0)

    def build(*perturbations_kw: float, n_replicas: int = 600) -> Coordinator[Any, Any]:
        def rig(grid: OpenDSSGrid, sites: Any) -> list[Any]:
            again = {"sensitivity_update_interval": 1}
            return [ofo(grid, sites["671"], sensitivity_perturbation_kw=kw, **again) for kw in perturbations_kw]

        sites = {"671": site("a", (n_replicas, 100))}
        return loop(sites, rig, duration_s=10, tolerance=1e-6, max_iterations=60, unserved="record")

    makes: list[Build] = [
        build,
        lambda: build(1e6),
        lambda: build(100.0),
        lambda: build(n_replicas=12_000),
        lambda: build(100.0, n_replicas=12_000),
    ]
    runs = run_batch([make() for make in makes])
    assert [run.failure is None for run in runs] == [True, False, True, True, False]
    assert "did not converge when slopes were measured" in str(runs[1].failure)
    for make, run in zip(makes, runs, strict=True):
        (alone,) = run_batch([make()])
        assert alone.failure == run.failure
        assert alone.summary is None or differences(alone.summary, run.summary) == []
