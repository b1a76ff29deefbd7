"""Two OpenDSS grids in one process do not touch each other: every run is bit for bit the run alone."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from g2g_opt.circuit import engine_library, opendss_circuit
from g2g_opt.clock import SimulationClock
from g2g_opt.common import ThreePhase
from g2g_opt.controller.tap_schedule import TapScheduleController
from g2g_opt.coordinator import Coordinator
from g2g_opt.datacenter.base import DatacenterBackend, DatacenterState
from g2g_opt.datacenter.command import DatacenterCommand
from g2g_opt.events import EventEmitter
from g2g_opt.feeder import Feeder
from g2g_opt.grid.generator import SyntheticPV
from g2g_opt.grid.opendss import OpenDSSGrid
from g2g_opt.tap_position import TapPosition

pytestmark = pytest.mark.xdist_group("two grids")  # one worker, so that both grids are run once

N_STEPS = 120


class Wave(DatacenterBackend[DatacenterState]):
    """Unbalanced power that swings."""

    def __init__(self, name: str, mean_kw: float) -> None:
        super().__init__(name=name)
        self.mean_w = mean_kw * 1e3

    @property
    def dt_s(self) -> Fraction:
        return Fraction(1)

    def reset(self) -> None: ...

    def step(self, clock: SimulationClock, events: EventEmitter) -> DatacenterState:
        phases = self.mean_w / 3 * (1 + 0.3 * np.sin(clock.time_s / 7 + np.arange(3)))
        return DatacenterState(clock.time_s, ThreePhase(*phases.tolist()))

    def apply_control(self, command: DatacenterCommand, events: EventEmitter) -> None: ...


def run_on(feeder: str, bus: str, mean_kw: float, regulator: str) -> Coordinator[Any, Any]:
    site = Wave("site", mean_kw)
    grid = OpenDSSGrid(feeder=feeder, record_loading=True)
    grid.attach_dc(site, bus=bus)
    grid.attach_generator(SyntheticPV(peak_kw=20.0), bus=bus)
    schedule = TapPosition(regulators={regulator: 1.05}).at(t=40.0) | TapPosition(regulators={regulator: 1.0}).at(
        t=80.0
    )
    return Coordinator(
        datacenters=[site],
        grid=grid,
        controllers=[TapScheduleController(schedule=schedule)],
        total_duration_s=N_STEPS,
    )


MAKERS: dict[str, Callable[[], Coordinator[Any, Any]]] = {
    "ieee13": lambda: run_on("ieee13", "671", 2500.0, "creg1a"),
    "ieee13, less": lambda: run_on("ieee13", "675", 600.0, "creg1b"),
    "ieee34": lambda: run_on("ieee34", "834", 400.0, "creg1a"),
    "ieee123": lambda: run_on("ieee123", "60", 900.0, "creg1a"),
}
PAIRS = [("ieee13", "ieee123"), ("ieee34", "ieee13"), ("ieee13", "ieee13, less"), ("ieee13", "ieee13")]


def arrays(coordinator: Coordinator[Any, Any]) -> tuple[np.ndarray, np.ndarray]:
    record = coordinator.grid.record  # type: ignore[attr-defined]
    return record.voltage_pu.copy(), record.loading_pu.copy()


@pytest.fixture(scope="module")
def alone() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Each run with no other grid of its own age; the order of the runs must not matter either."""
    results = {}
    for name, make in MAKERS.items():
        coordinator = make()
        coordinator.run()
        results[name] = arrays(coordinator)
    return results


def assert_identical(got: tuple[np.ndarray, np.ndarray], expected: tuple[np.ndarray, np.ndarray]) -> None:
    assert got[0].shape[0] == N_STEPS
    np.testing.assert_array_equal(got[0], expected[0])
    np.testing.assert_array_equal(got[1], expected[1])


def test_runs_alone_differ_and_move(alone: dict[str, tuple[np.ndarray, np.ndarray]]) -> None:
    for voltage_pu, _ in alone.values():
        assert np.ptp(voltage_pu, axis=0).max() > 0.01
    assert not np.array_equal(alone["ieee13"][0], alone["ieee13, less"][0])


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_stepped_alternately(alone: dict[str, tuple[np.ndarray, np.ndarray]], first: str, second: str) -> None:
    pair = [MAKERS[first](), MAKERS[second]()]
    for coordinator in pair:
        coordinator.reset()
        coordinator.start()
    for _ in range(N_STEPS):
        for coordinator in pair:
            coordinator.step()
    for coordinator, name in zip(pair, (first, second), strict=True):
        assert_identical(arrays(coordinator), alone[name])
        coordinator.stop()


def test_a_grid_started_and_dropped_midway_disturbs_nothing(alone: dict[str, tuple[np.ndarray, np.ndarray]]) -> None:
    coordinator = MAKERS["ieee13"]()
    for step, _ in enumerate(coordinator.run_iter()):
        if step % 30 == 10:
            other = MAKERS["ieee34"]()
            other.reset()
            other.start()
            other.step()
            other.stop()
            del other
    assert_identical(arrays(coordinator), alone["ieee13"])


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_in_two_threads(alone: dict[str, tuple[np.ndarray, np.ndarray]], first: str, second: str) -> None:
    together = threading.Barrier(2)
    results: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    failures: list[BaseException] = []

    def work(place: int, name: str) -> None:
        try:
            together.wait(timeout=30)
            for _ in range(2):  # compile and run twice, so that a compilation meets the other's run
                coordinator = MAKERS[name]()
                coordinator.run()
                results[place] = arrays(coordinator)
        except BaseException as error:
            failures.append(error)
            raise

    threads = [threading.Thread(target=work, args=job, daemon=True) for job in enumerate((first, second))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert not failures
    assert_identical(results[0], alone[first])
    assert_identical(results[1], alone[second])


def test_a_run_again_is_the_same_run(alone: dict[str, tuple[np.ndarray, np.ndarray]]) -> None:
    coordinator = MAKERS["ieee123"]()
    for _ in range(2):
        coordinator.run()
        assert_identical(arrays(coordinator), alone["ieee123"])


def test_sensitivities_of_one_grid_leave_the_other_alone(alone: dict[str, tuple[np.ndarray, np.ndarray]]) -> None:
    measured, watched = MAKERS["ieee123"](), MAKERS["ieee13"]()
    for coordinator in (measured, watched):
        coordinator.reset()
        coordinator.start()
    for _ in range(N_STEPS):
        measured.step()
        measured.grid.estimate_sensitivity(50.0)
        watched.step()
    assert_identical(arrays(watched), alone["ieee13"])


def test_a_grid_leaves_the_working_directory_alone(tmp_path: Path) -> None:
    """In a process of its own: the engine changes the directory, if at all, when its first context is made."""
    script = (
        "import os, sys\n"
        "from g2g_opt.grid.opendss import OpenDSSGrid\n"
        "os.chdir(sys.argv[1])\n"
        "grid = OpenDSSGrid(feeder='ieee13')\n"
        "grid.start()\n"
        "assert os.getcwd() == sys.argv[1], os.getcwd()\n"
    )
    root = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    done = subprocess.run(
        [sys.executable, "-c", script, os.path.realpath(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=root,
        env={**os.environ, "PYTHONPATH": path},
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_a_circuit_collected_in_another_thread_waits_for_its_own_to_be_freed() -> None:
    holder = [opendss_circuit.Circuit(Feeder.load("ieee13").commands)]
    waiting = engine_library._discarded[threading.get_ident()]
    collector = threading.Thread(target=holder.clear)
    collector.start()
    collector.join()
    assert len(waiting) == 1
    opendss_circuit.Circuit(Feeder.load("ieee13").commands)
    assert not waiting
