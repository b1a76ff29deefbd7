"""The documented API: every code block of the peer's guide runs with the import name changed, and does what it says.

`guide_blocks/` holds one script of our own per block, with the classes, arguments and attributes the block uses. If
the guide itself is at hand (environment variable `G2G_GUIDE`, or beside the checkout), its own blocks are run too.
Blocks share one namespace, in order; `spaces[name]` is that namespace just after the block.
"""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import io
import os
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from g2g_opt.clock import SimulationClock
from g2g_opt.common import ThreePhase
from g2g_opt.controller.base import Controller
from g2g_opt.controller.noop import NoopController
from g2g_opt.controller.tap_schedule import TapScheduleController
from g2g_opt.coordinator import Coordinator
from g2g_opt.datacenter.base import DatacenterBackend, DatacenterState
from g2g_opt.datacenter.command import DatacenterCommand, SetBatchSize, ShiftReplicas
from g2g_opt.datacenter.config import DatacenterConfig, InferenceModelSpec, ReplicaSchedule
from g2g_opt.datacenter.offline import OfflineDatacenter, OfflineWorkload
from g2g_opt.datacenter.workloads.curves import LogisticModel, LogisticModelStore
from g2g_opt.datacenter.workloads.inference import InferenceData
from g2g_opt.errors import InputError
from g2g_opt.events import EventEmitter
from g2g_opt.grid.base import GridBackend
from g2g_opt.grid.command import GridCommand, SetTaps
from g2g_opt.grid.opendss import OpenDSSGrid

ROOT = Path(__file__).resolve().parents[2]
OURS = Path(__file__).parent / "guide_blocks"
Space = dict[str, Any]

# --- which blocks there are, and what is changed in the guide's own text before it is run


@dataclass(frozen=True)
class Block:
    """A block of the guide: the lines from the `nth` one that starts with `first`, up to a line that starts with
    `until`. `replaced` fills in what the guide leaves out (`...`) and shortens its runs; `added` goes in front.
    """

    name: str
    first: str
    until: str
    nth: int = 1
    replaced: tuple[tuple[str, str], ...] = ()
    added: str = ""
    inline: str = ""  # the block is an expression within a sentence; `added` is what it is assigned to


SHORTER = ("total_duration_s=3600", "total_duration_s=60")
BLOCKS = (
    Block(
        "01_coordinator",
        "from openg2g.coordinator",
        "The sections below",
        replaced=(SHORTER, ("controller2, ...]", "controller2]")),
    ),
    Block("02_datacenter", "from fractions import", "ReplicaSchedule specifies"),
    Block(
        "03_replica_schedule",
        "ReplicaSchedule specifies",
        "GPU capacity",
        inline="ReplicaSchedule(initial=720).ramp_to(360, t_start=1500, t_end=2000)",
        added="schedule = ",
    ),
    Block("04_grid", "from fractions import", "All attach_", nth=2),
    Block(
        "05_tap_schedule",
        "tap_schedule = (",
        "For single-bank",
        replaced=(("t=25 * 60", "t=20"), ("t=55 * 60", "t=40")),  # within the shortened run
    ),
    Block(
        "06_tap_phases",
        "For single-bank",
        "Grid Data Files",
        inline="TapPosition(a=..., b=..., c=...)",
        replaced=(("a=..., b=..., c=...", "a=1.05, b=1.025, c=1.0375"),),
        added="by_phase = ",
    ),
    Block("07_controllers", "from openg2g.controller.tap_schedule", "Actions from all", replaced=(SHORTER,)),
    Block("08_results", "log = coord.run()", "Result CSVs", nth=2),
    Block("09_custom_datacenter", "from __future__", "Datacenter state. For richer"),
    Block(
        "10_custom_state",
        "@dataclass(frozen=True)",
        "The state type",
        added="from dataclasses import dataclass, field\n",  # the guide's block names both and imports neither
    ),
    Block("11_custom_command", "from dataclasses import dataclass", "The coordinator routes"),
    Block("12_custom_controller", "from __future__", "Backend-specific", nth=2),
    Block(
        "13_load_shift",
        "from openg2g.controller.load_shift",
        "Every DatacenterCommand",
        replaced=(
            ("TapScheduleController(...)", "TapScheduleController(schedule=tap_schedule)"),
            ("(..., datacenter=dc_a", "(specs_a, models=curves, datacenter=dc_a"),
            ("(..., datacenter=dc_b", "(specs_b, models=curves, datacenter=dc_b"),
            ('"Model-A": [8, 16, 32], ...', '"Model-A": [8, 16, 32], "Model-B": [8, 16, 32], "Model-C": [8, 16, 32]'),
        ),
    ),
)


def our_blocks() -> dict[str, str]:
    return {block.name: (OURS / f"{block.name}.py.txt").read_text(encoding="utf-8") for block in BLOCKS}


def guide_file() -> Path | None:
    named = os.environ.get("G2G_GUIDE")
    found = [Path(named)] if named else sorted((ROOT.parent / "shared" / "seeds").glob("000_*.txt"))
    return found[0] if found and found[0].is_file() else None


def guide_blocks() -> dict[str, str]:
    """The guide's own blocks, ready to run; skips the test if the guide is not at hand."""
    path = guide_file()
    if path is None:
        pytest.skip("the guide's text is not here; set G2G_GUIDE to its file")
    lines = path.read_text(encoding="utf-8").splitlines()
    blocks = {}
    for block in BLOCKS:
        start = [i for i, line in enumerate(lines) if line.startswith(block.first)][block.nth - 1]
        end = next(i for i, line in enumerate(lines) if i > start and line.startswith(block.until))
        code = "\n".join(lines[start:end]) + "\n"
        if block.inline:
            assert block.inline in code
            code = block.inline
        for old, new in block.replaced:
            assert code.count(old) == 1, f"{block.name}: {old!r}"
            code = code.replace(old, new)
        blocks[block.name] = (block.added + code).replace("openg2g", "g2g_opt")
    return blocks


# --- what the guide's reader brings along


class FlatSite(DatacenterBackend[Any]):
    """A site of constant power, base for the guide's unfinished classes."""

    def __init__(self, name: str | None = None, power_kw: float = 900.0) -> None:
        super().__init__(name=name)
        self.phase_w = power_kw * 1e3 / 3

    @property
    def dt_s(self) -> Fraction:
        return Fraction(1)

    def reset(self) -> None: ...

    def step(self, clock: SimulationClock, events: EventEmitter) -> Any:
        return DatacenterState(clock.time_s, ThreePhase(self.phase_w, self.phase_w, self.phase_w))

    def apply_control(self, command: DatacenterCommand, events: EventEmitter) -> None:
        raise TypeError(type(command).__name__)


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


def ieee13_with(*sites: DatacenterBackend[Any], dt_s: Fraction = Fraction(1)) -> OpenDSSGrid:
    grid = OpenDSSGrid(feeder="ieee13", dt_s=dt_s)
    for site, bus in zip(sites, ("671", "632"), strict=False):
        grid.attach_dc(site, bus=bus)
    return grid


def before_coordinator() -> Space:
    site = FlatSite("first")
    return {"dc": site, "grid": ieee13_with(site), "controller1": NoopController(), "controller2": NoopController()}


def before_load_shift() -> Space:
    """Two sites that share Model-B; the first, far down the feeder, is too large for its bus."""

    def spec(label: str, gpus: int) -> InferenceModelSpec:
        return InferenceModelSpec(
            model_label=label,
            model_id=label,
            gpu_model="H100",
            task="made up",
            gpus_per_replica=gpus,
            itl_deadline_s=0.1,
            batch_sizes=(8, 16, 32),
        )

    def site(name: str, replicas: dict[str, int], base_kw: float) -> OfflineDatacenter:
        specs = [specs_by_label[label] for label in replicas]
        flat_w = {label: {8: 300.0, 16: 400.0, 32: 500.0} for label in replicas}
        itl_s = {label: {8: 0.02, 16: 0.03, 32: 0.04} for label in replicas}
        return OfflineDatacenter(
            DatacenterConfig(base_kw_per_phase=base_kw),
            OfflineWorkload(
                InferenceData.constant(specs, flat_w, itl_s),
                {label: ReplicaSchedule(initial=n) for label, n in replicas.items()},
            ),
            name=name,
            dt_s=Fraction(1),
            total_gpu_capacity=1600,
        )

    specs_by_label = {label: spec(label, gpus) for label, gpus in (("Model-A", 1), ("Model-B", 4), ("Model-C", 8))}
    curve = LogisticModel(b0=0.0, L=1.0, k=1.0, x0=4.0)
    by_label = dict.fromkeys(specs_by_label, curve)
    dc_a = site("a", {"Model-A": 400, "Model-B": 200}, 1600.0)
    dc_b = site("b", {"Model-B": 40, "Model-C": 20}, 100.0)
    return {
        "dc_a": dc_a,
        "dc_b": dc_b,
        "grid": ieee13_with(dc_a, dc_b),
        "specs_a": [specs_by_label["Model-A"], specs_by_label["Model-B"]],
        "specs_b": [specs_by_label["Model-B"], specs_by_label["Model-C"]],
        "curves": LogisticModelStore(power=by_label, latency=by_label, throughput=by_label),
    }


BROUGHT: dict[str, Callable[[], Space]] = {"01_coordinator": before_coordinator, "13_load_shift": before_load_shift}


def run_blocks(blocks: dict[str, str]) -> dict[str, Space]:
    space: Space = {"__name__": "guide"}
    spaces = {}
    for name, code in blocks.items():
        space |= BROUGHT.get(name, dict)()
        exec(compile(code, name, "exec", dont_inherit=True), space)
        spaces[name] = dict(space)
    return spaces


@pytest.fixture(
    scope="module",
    params=[pytest.param(source, marks=pytest.mark.xdist_group(f"guide-{source}")) for source in ("ours", "guide")],
)
def spaces(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Space]:
    blocks = our_blocks() if request.param == "ours" else guide_blocks()
    folder = tmp_path_factory.mktemp(request.param)
    with contextlib.chdir(folder), contextlib.redirect_stdout(io.StringIO()):
        results = run_blocks(blocks)
    results["files"] = {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}
    return results


# --- the scripts themselves


def test_there_is_one_script_per_block() -> None:
    assert sorted(path.name for path in OURS.iterdir()) == [f"{block.name}.py.txt" for block in BLOCKS]


def test_our_scripts_import_all_that_the_guide_imports() -> None:
    def imports(blocks: dict[str, str]) -> set[tuple[str, str]]:
        found = set()
        for code in blocks.values():
            for node in ast.walk(ast.parse(code)):
                if isinstance(node, ast.ImportFrom) and str(node.module).startswith("g2g_opt"):
                    found |= {(str(node.module), alias.name) for alias in node.names}
        return found

    assert imports(guide_blocks()) == imports(our_blocks())


# --- what each block promises


def test_coordinator(spaces: dict[str, Space]) -> None:
    log, coord = spaces["01_coordinator"]["log"], spaces["01_coordinator"]["coord"]
    n = int(coord.total_duration_s)
    assert list(log.time_s) == list(range(n))
    assert len(log.dc_states) == len(log.grid_states) == n
    assert log.commands == []


def test_datacenter(spaces: dict[str, Space]) -> None:
    space = spaces["02_datacenter"]
    dc, workload = space["dc"], space["workload"]
    assert dc.name == "dc"
    assert dc.dt_s == Fraction(1, 10)
    assert dc.model_labels == tuple(sorted(spec.model_label for spec in space["models"]))
    options: dict[str, Any] = {"name": "dc", "dt_s": dc.dt_s, "total_gpu_capacity": dc.total_gpu_capacity}
    not_run_yet = OfflineDatacenter(space["dc_config"], workload, **options)
    assert not_run_yet.current_gpu_usage() == dc.total_gpu_capacity  # the blocks fill their sites at the start
    assert not_run_yet.available_gpu_capacity() == 0
    assert [path for path in spaces["files"] if path.endswith(".csv")], "TrainingTrace.ensure saves what it generates"
    label, schedule = next(iter(workload.replica_schedules.items()))
    one_more = dataclasses.replace(
        workload, replica_schedules=workload.replica_schedules | {label: ReplicaSchedule(initial=schedule.initial + 1)}
    )
    with pytest.raises(InputError, match="total_gpu_capacity"):
        OfflineDatacenter(space["dc_config"], one_more, **options)


def test_replica_schedule(spaces: dict[str, Space]) -> None:
    schedule = spaces["03_replica_schedule"]["schedule"]
    ((target, t_start, t_end),) = schedule.ramps
    assert schedule.count_at(t_start) == schedule.initial
    assert schedule.count_at((t_start + t_end) / 2) == (schedule.initial + target) / 2
    assert schedule.count_at(t_end) == schedule.count_at(9e9) == target


def test_grid(spaces: dict[str, Space]) -> None:
    space = spaces["04_grid"]
    grid, dc = space["grid"], space["dc"]
    assert grid.feeder.name == "ieee13"
    assert grid.dc_bus(dc) == "671"
    assert grid.attached_datacenters == [dc]
    # It ran in block 8 and was not reset since: attaching now comes too late.
    with pytest.raises(InputError, match="after start"):
        grid.attach_load(space["SyntheticLoad"](peak_kw=1.0), bus="680")


def test_tap_schedule(spaces: dict[str, Space]) -> None:
    entries = spaces["05_tap_schedule"]["tap_schedule"].entries
    assert [time_s for time_s, _ in entries] == [20.0, 40.0]
    assert [sorted(position.regulators) for _, position in entries] == [["creg1a", "creg1b"], ["creg1a"]]


def test_tap_position_by_phase(spaces: dict[str, Space]) -> None:
    by_phase = spaces["06_tap_phases"]["by_phase"]
    grid = OpenDSSGrid(dss_case_dir="data/grid/ieee13", dss_master_file="IEEE13Bus.dss", initial_tap_position=by_phase)
    grid.start()
    assert grid.tap_position.regulators == pytest.approx({"creg1a": 1.05, "creg1b": 1.025, "creg1c": 1.0375})
    with pytest.raises(InputError, match="regulators="):
        OpenDSSGrid(dss_case_dir="data/grid/ieee123", dss_master_file="IEEE123Bus.dss", initial_tap_position=by_phase)


def test_specs_serve_as_deployments_do(spaces: dict[str, Space]) -> None:
    space = spaces["07_controllers"]
    assert space["model_specs"] == tuple(space["models"])
    labels = {spec.model_label for spec in space["models"]}
    assert set(space["logistic_models"].power_fits) == labels


def test_run_has_every_step(spaces: dict[str, Space]) -> None:
    space = spaces["08_results"]
    log, n = space["log"], 600
    np.testing.assert_allclose(space["time_s"], np.arange(n) / 10, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(space["dc_time_s"], space["time_s"])
    assert [state.time_s for state in log.grid_states] == space["time_s"].tolist()
    for name, kw in (("a", "kW_A"), ("b", "kW_B"), ("c", "kW_C")):
        assert space[kw].shape == (n,)
        assert space[kw].min() > space["dc_config"].base_kw_per_phase
        assert space[kw].tolist() == [getattr(state.power_w, name) / 1e3 for state in log.dc_states]


def test_voltage_statistics_are_those_of_the_states(spaces: dict[str, Space]) -> None:
    space = spaces["08_results"]
    stats = space["vstats"]
    rows = np.array([[v for p in state.voltages.values() for v in p] for state in space["log"].grid_states])
    outside = np.nan_to_num(np.maximum(np.maximum(0.95 - rows, rows - 1.05), 0.0))
    assert stats.violation_time_s == pytest.approx(0.1 * np.count_nonzero(outside.any(axis=1)))
    assert stats.integral_violation_pu_s == pytest.approx(0.1 * outside.sum())
    assert (stats.worst_vmin, stats.worst_vmax) == (np.nanmin(rows), np.nanmax(rows))


def test_performance_statistics_are_those_of_the_states(spaces: dict[str, Space]) -> None:
    space = spaces["08_results"]
    stats, states = space["pstats"], space["log"].dc_states
    tokens_per_s = [
        sum(
            state.batch_size_by_model[label] * n / state.observed_itl_s_by_model[label]
            for label, n in state.active_replicas_by_model.items()
        )
        for state in states
    ]
    deadline_s = {spec.model_label: spec.itl_deadline_s for spec in space["models"]}
    late = [itl_s > deadline_s[label] for state in states for label, itl_s in state.observed_itl_s_by_model.items()]
    assert stats.mean_throughput_tps == pytest.approx(np.mean(tokens_per_s))
    assert stats.integrated_throughput_tokens == pytest.approx(np.mean(tokens_per_s) * 59.9)
    assert stats.itl_deadline_fraction == pytest.approx(np.mean(late))
    assert stats.mean_throughput_tps > 1e5


def test_taps_move_at_the_grid_step_after_their_time(spaces: dict[str, Space]) -> None:
    space = spaces["08_results"]
    log = space["log"]
    sent = [(t, c) for t, c in zip(log.command_time_s, log.commands, strict=True) if isinstance(c, SetTaps)]
    assert [time_s for time_s, _ in sent] == [20.0, 40.0]
    for time_s, command in sent:
        step = round(10 * time_s)
        before, after = log.grid_states[step].tap_positions, log.grid_states[step + 1].tap_positions
        moved = command.tap_position.regulators
        assert before.regulators | moved == pytest.approx(after.regulators)
        assert before != after
        assert log.grid_states[step + 1].voltages["671"] != log.grid_states[step].voltages["671"]
    assert [event.t_s for event in log.events if event.topic == "grid.taps.updated"] == [20.0, 40.0]


def test_batch_sizes_move_at_the_datacenter_step_after_their_command(spaces: dict[str, Space]) -> None:
    space = spaces["08_results"]
    log = space["log"]
    sent = [(t, c) for t, c in zip(log.command_time_s, log.commands, strict=True) if isinstance(c, SetBatchSize)]
    assert sent, "OFO leaves the smallest batch sizes"
    for time_s, command in sent:
        assert command.target is space["dc"]
        step = round(10 * time_s)
        assert log.dc_states[step + 1].batch_size_by_model.items() >= command.batch_size_by_model.items()
        assert log.dc_states[step + 1].batch_size_by_model != log.dc_states[step].batch_size_by_model
    feasible = {spec.model_label: spec.feasible_batch_sizes for spec in space["models"]}
    assert all(size in feasible[label] for _, c in sent for label, size in c.batch_size_by_model.items())


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
