"""The documented API: every code block of the peer's guide runs with the import name changed, and does what it says.

`guide_blocks/` holds one script of our own per block, with the classes, arguments and attributes the block uses. If
the guide itself is at hand (environment variable `G2G_GUIDE`, or beside the checkout), its own blocks are run too.
Blocks share one namespace, in order; `spaces[name]` is that namespace just after the block.
"""

from __future__ import annotations

import ast
import dataclasses
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from guide_spaces import (
    BLOCKS,
    OURS,
    Space,
    guide_blocks,
    our_blocks,
)

from g2g_opt.datacenter.command import SetBatchSize
from g2g_opt.datacenter.config import ReplicaSchedule
from g2g_opt.datacenter.offline import OfflineDatacenter
from g2g_opt.errors import InputError
from g2g_opt.grid.command import SetTaps
from g2g_opt.grid.opendss import OpenDSSGrid

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
