"""Load shift between sites (equations, section 4): by hand, and in a loop."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

from controller_rigs import EVENTS, TWO_SIZES, clock_at, steady_site

from g2g_opt.clock import SimulationClock
from g2g_opt.controller.load_shift import LoadShiftConfig, LoadShiftController
from g2g_opt.coordinator import Coordinator
from g2g_opt.datacenter.command import ShiftReplicas
from g2g_opt.datacenter.offline import OfflineDatacenter
from g2g_opt.grid.base import BusVoltages, GridState, PhaseVoltages
from g2g_opt.grid.opendss import OpenDSSGrid
from g2g_opt.tap_position import TapPosition


def stepped(site: OfflineDatacenter) -> OfflineDatacenter:
    site.do_step(SimulationClock(Fraction(1)), EVENTS)
    return site


def shift(
    volts: Mapping[OfflineDatacenter, tuple[float, float, float]], n_gpus: int = 8, **options: Any
) -> list[tuple[str, str, int]]:
    """(site, model, replicas) of every command, with the sites in the order of `volts`."""
    bus = {site: f"bus{i}" for i, site in enumerate(volts)}
    state = GridState(0.0, BusVoltages({bus[site]: PhaseVoltages(*v) for site, v in volts.items()}))
    grid: Any = SimpleNamespace(dc_bus=bus.__getitem__, state=state)
    controller = LoadShiftController(
        config=LoadShiftConfig(**({"enabled": True, "gpus_per_shift": n_gpus} | options)),
        datacenters=list(volts),
        grid=grid,
        models_by_dc={site: site.model_labels for site in volts},
        gpus_per_replica_by_model={"a": 8, "b": 8, "small": 4},
        feasible_batch_sizes_by_model={"a": TWO_SIZES, "b": TWO_SIZES, "small": TWO_SIZES},
    )
    commands = controller.step(clock_at(0), EVENTS)
    assert all(isinstance(c, ShiftReplicas) for c in commands)
    return [(c.target.name, c.model_label, c.replica_delta) for c in commands]  # type: ignore[union-attr]


LOW, FINE, HIGH = (0.94, 1.0, 1.0), (1.0, 0.99, 1.0), (1.0, 1.06, 1.0)
BETTER = (1.01, 1.02, 1.03)


def site(name: str, batch: int = 8, gpus: int = 1000, **replicas: int) -> OfflineDatacenter:
    return stepped(steady_site(name, replicas or {"a": 10}, batch, gpus))


def test_under_voltage_sends_replicas_to_the_site_with_the_highest_minimum() -> None:
    assert shift({site("one"): LOW, site("two"): FINE, site("three"): BETTER}) == [("one", "a", -1), ("three", "a", 1)]


def test_over_voltage_pulls_replicas_from_the_site_with_the_lowest_maximum() -> None:
    got = shift({site("one", batch=16): HIGH, site("two"): BETTER, site("three"): FINE})
    assert got == [("three", "a", -1), ("one", "a", 1)]


def test_batch_sizes_come_first() -> None:
    assert shift({site("one", batch=16): LOW, site("two"): FINE}) == []  # it can still go down
    assert shift({site("one", batch=8): HIGH, site("two"): FINE}) == []  # it can still go up
    assert shift({site("one"): FINE, site("two"): FINE}) == []
    assert shift({site("one"): LOW, site("two"): FINE}, enabled=False) == []


def test_as_many_replicas_move_as_the_gpus_of_a_shift_hold() -> None:
    assert shift({site("one"): LOW, site("two"): FINE}, n_gpus=24) == [("one", "a", -3), ("two", "a", 3)]
    assert shift({site("one", small=10): LOW, site("two", small=5): FINE}, n_gpus=8) == [
        ("one", "small", -2),
        ("two", "small", 2),
    ]


def test_only_a_site_that_runs_the_model_and_has_room_receives() -> None:
    assert shift({site("one"): LOW, site("two", b=10): BETTER}) == []
    assert shift({site("one"): LOW, site("full", gpus=80): BETTER, site("two"): FINE}) == [
        ("one", "a", -1),
        ("two", "a", 1),
    ]
    assert shift({site("one"): LOW, site("full", gpus=80): BETTER}) == []
    assert shift({site("one", batch=16, gpus=80): HIGH, site("two"): FINE}) == []


def test_a_site_without_replicas_to_give_gives_none() -> None:
    assert shift({site("one", a=2): LOW, site("two"): FINE}, n_gpus=24) == []


def test_two_sites_in_one_step_never_fill_a_third_beyond_its_room() -> None:
    third = site("third", gpus=88)  # room for one replica more
    got = shift({site("one", gpus=80): LOW, site("two", gpus=80): LOW, third: BETTER})
    assert got == [("one", "a", -1), ("third", "a", 1)]


def test_shifted_load_raises_the_voltage_in_the_loop() -> None:
    grid = OpenDSSGrid(
        feeder="ieee13",
        initial_tap_position=TapPosition(regulators=dict.fromkeys(("creg1a", "creg1b", "creg1c"), 1.03)),
    )
    weak, strong = steady_site("weak", {"a": 400}, gpus=4000), steady_site("strong", {"a": 10}, gpus=4000)
    grid.attach_dc(weak, bus="671")
    grid.attach_dc(strong, bus="632")
    controller = LoadShiftController(
        config=LoadShiftConfig(enabled=True, gpus_per_shift=80),
        datacenters=[weak, strong],
        grid=grid,
        models_by_dc={weak: ["a"], strong: ["a"]},
        gpus_per_replica_by_model={"a": 8},
        feasible_batch_sizes_by_model={"a": TWO_SIZES},
    )
    Coordinator(datacenters=[weak, strong], grid=grid, controllers=[controller], total_duration_s=20).run()
    lowest = [min(state.voltages["671"]) for state in grid.history()]
    assert lowest[0] < 0.95
    total = weak.record.replicas[:, 0] + strong.record.replicas[:, 0]
    assert (total == 410).all()  # none lost, none made
    for k in range(19):
        moved_now = weak.record.replicas[k + 1, 0] < weak.record.replicas[k, 0]
        if moved_now:
            assert weak.record.replicas[k + 1, 0] == weak.record.replicas[k, 0] - 10
            assert lowest[k + 1] > lowest[k]
    assert weak.record.replicas[-1, 0] < 400
