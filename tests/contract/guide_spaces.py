"""Code blocks of the guide, and what its reader brings along."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from g2g_opt.clock import SimulationClock
from g2g_opt.common import ThreePhase
from g2g_opt.controller.noop import NoopController
from g2g_opt.datacenter.base import DatacenterBackend, DatacenterState
from g2g_opt.datacenter.command import DatacenterCommand
from g2g_opt.datacenter.config import DatacenterConfig, InferenceModelSpec, ReplicaSchedule
from g2g_opt.datacenter.offline import OfflineDatacenter, OfflineWorkload
from g2g_opt.datacenter.workloads.curves import LogisticModel, LogisticModelStore
from g2g_opt.datacenter.workloads.inference import InferenceData
from g2g_opt.events import EventEmitter
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
