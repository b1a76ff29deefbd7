"""One run on both engines: what the single-run simulator did step by step, and where the batch engine parts from it.

Batch sizes are rounded, so two runs whose voltages differ by a billionth may part at a step at which the continuous
iterate behind a batch size lies on the midpoint between two sizes. `compare` looks at everything up to that step, and
tells how far from the midpoint the iterate was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from g2g_opt.batch.simulator import BatchRun, Trace, run_batch
from g2g_opt.controller.ofo import OFOBatchSizeController
from g2g_opt.controller.rule_based import RuleBasedBatchSizeController
from g2g_opt.coordinator import Coordinator
from g2g_opt.datacenter.record import OfflineDatacenterRecord
from g2g_opt.errors import PowerFlowError
from g2g_opt.grid.opendss import OpenDSSGrid
from g2g_opt.grid.storage import EnergyStorage, StorageState
from g2g_opt.metrics.power_quality import PowerQuality
from g2g_opt.summary import Summary

# What equal runs may differ by: monitored voltages, and powers and latencies (relative, rounding alone).
VOLTAGE_ATOL_PU = 1e-6
RTOL = 1e-12
# A tie: how far from the midpoint between two batch sizes (relative, in batch size) the iterate may lie.
TIE = 1e-5

Controls = OFOBatchSizeController | RuleBasedBatchSizeController


@dataclass(frozen=True, eq=False)
class Iterates:
    """Continuous log2 batch sizes of one controller: `x` [decision, model] after its action at grid step `step`."""

    labels: list[str]
    step: list[int] = field(default_factory=list)
    x: list[np.ndarray] = field(default_factory=list)

    def behind(self, step: int, label: str) -> float:
        """log2 batch size that decided what ran at `step`."""
        decision = max(k for k, at in enumerate(self.step) if at < step)
        return float(self.x[decision][self.labels.index(label)])


@dataclass(frozen=True, eq=False)
class SingleRun:
    """A run of the coordinator: its live parts, why it failed, and what no record holds."""

    coordinator: Coordinator[Any, Any]
    failure: str | None
    iterates: dict[str, Iterates]
    storage: dict[str, list[StorageState]]

    @property
    def grid(self) -> OpenDSSGrid:
        assert isinstance(self.coordinator.grid, OpenDSSGrid)
        return self.coordinator.grid

    def site(self, name: str) -> OfflineDatacenterRecord:
        return next(dc.record for dc in self.coordinator.datacenters if dc.name == name)

    def taps_pu(self, regulators: Sequence[str]) -> np.ndarray:
        """Ratios [step, regulator] of every step."""
        held = [self.grid.record.taps_at(step) for step in range(len(self.grid.record))]
        return np.array([[taps.regulators[name] for name in regulators] for taps in held if taps is not None])


def run_single(coordinator: Coordinator[Any, Any]) -> SingleRun:
    """Run to the end, or to the step at which it fails."""
    iterates = {c.datacenter.name: watch(c) for c in coordinator.controllers if isinstance(c, Controls)}
    storage = {s.name: watch_storage(s) for s in storages_of(coordinator)}
    failure = None
    try:
        coordinator.run()
    except PowerFlowError as error:
        failure = error.failure
    return SingleRun(coordinator, failure, iterates, storage)


def watch(controller: Any) -> Iterates:
    """Note the iterate of a controller after every action of it."""
    iterates = Iterates(controller.labels)
    act = controller.step

    def watched(clock: Any, events: Any) -> Any:
        commands = act(clock, events)
        ofo = isinstance(controller, OFOBatchSizeController)
        iterates.step.append(clock.step)
        iterates.x.append((controller._now.state.x if ofo else controller._log2_batch[0]).copy())
        return commands

    controller.step = watched
    return iterates


def storages_of(coordinator: Coordinator[Any, Any]) -> list[EnergyStorage]:
    return [a.storage for a in coordinator.grid.setup.attached.storages]


def watch_storage(storage: Any) -> list[StorageState]:
    """Note every state that a storage hears of."""
    states: list[StorageState] = []
    hear = storage.update_state

    def watched(state: StorageState) -> None:
        states.append(state)
        hear(state)

    storage.update_state = watched
    return states


# --- comparing


@dataclass(frozen=True)
class Parting:
    """The first step at which a batch size differs: the two sizes, and how far from their midpoint (relative, in
    batch size) the single run's iterate was.
    """

    step: int
    site: str
    label: str
    single: int
    batch: int
    distance: float


@dataclass(frozen=True)
class Agreement:
    """How many steps were alike, the largest differences in them (pu; relative), and why it ended before the end."""

    n_steps: int
    voltage_pu: float
    power: float
    partings: tuple[Parting, ...] = ()


def first_difference(single: SingleRun, trace: Trace) -> int:
    """First step at which a batch size differs; the number of steps if none does."""
    differs = [
        np.any(np.asarray(single.site(name).batch_size)[: len(trace.time_s)] != site.batch_size, axis=1)
        for name, site in trace.sites.items()
    ]
    steps = np.flatnonzero(np.any(differs, axis=0))
    return int(steps[0]) if len(steps) else len(trace.time_s)


def compare(single: SingleRun, run: BatchRun) -> Agreement:
    """Assert that both runs are the same up to the first step whose batch sizes differ, and name what differs there.

    Runs that failed are compared over the steps that the batch engine solved.
    """
    trace = run.trace
    assert trace is not None
    record, n = single.grid.record if single.failure is None else single.grid.solved_record, len(trace.time_s)
    end = first_difference(single, trace)
    if single.failure is None:
        assert n == len(record)
    np.testing.assert_array_equal(trace.time_s, record.time_s[:n])
    assert list(trace.nodes) == record.nodes
    columns = single.grid.monitored_columns
    voltage_pu = np.abs(trace.voltage_pu[:end, columns] - record.voltage_pu[:end, columns])
    assert voltage_pu.max(initial=0.0) < VOLTAGE_ATOL_PU
    if trace.regulators and end:
        np.testing.assert_allclose(trace.taps_pu[:end], single.taps_pu(trace.regulators)[:end], rtol=0, atol=1e-9)
    power = [compare_site(single.site(name), site, end) for name, site in trace.sites.items()]
    compare_storage(single, trace, end)
    partings = tuple(partings_at(single, trace, end)) if end < n else ()
    assert bool(partings) == (end < n)
    return Agreement(end, float(voltage_pu.max(initial=0.0)), max(power), partings)


def compare_site(record: OfflineDatacenterRecord, trace: Any, end: int) -> float:
    """Assert equal replicas, batch sizes, powers and latencies; the largest relative difference of a power."""
    assert tuple(record.labels) == trace.labels
    np.testing.assert_array_equal(trace.batch_size[:end], record.batch_size[:end])
    np.testing.assert_array_equal(trace.replicas[:end], record.replicas[:end])
    np.testing.assert_allclose(trace.power_w[:end], record.power_w[:end], rtol=RTOL, atol=1e-6)
    np.testing.assert_allclose(trace.itl_s[:end], record.itl_s[:end], rtol=RTOL)
    scale = np.maximum(np.abs(record.power_w[:end]), 1.0)
    return float((np.abs(trace.power_w[:end] - record.power_w[:end]) / scale).max(initial=0.0))


def compare_storage(single: SingleRun, trace: Trace, end: int) -> None:
    for k, states in enumerate(single.storage.values()):
        expected = np.array([(s.power_kw, s.reactive_power_kvar) for s in states])
        got = np.column_stack([trace.storage_kw[:, k], trace.storage_kvar[:, k]])
        # A droop turns a billionth of a volt into a millionth of its rating, and a full store adds that up.
        np.testing.assert_allclose(got[:end], expected[:end], rtol=1e-6, atol=1e-3)


def compare_states(got: Sequence[StorageState], expected: Sequence[StorageState]) -> None:
    """Assert the same energy at every step, and the same direction of power unless nothing but rounding is left."""
    assert [s.time_s for s in got] == [s.time_s for s in expected]
    np.testing.assert_allclose([s.stored_kwh for s in got], [s.stored_kwh for s in expected], rtol=1e-6, atol=1e-5)
    np.testing.assert_allclose([s.soc for s in got], [s.soc for s in expected], rtol=1e-6, atol=1e-6)
    held = [k for k, s in enumerate(expected) if s.stored_kwh > 1e-6]
    assert [got[k].dss_state for k in held] == [expected[k].dss_state for k in held]


def partings_at(single: SingleRun, trace: Trace, step: int) -> Iterator[Parting]:
    """Every model whose batch sizes differ at `step`; each must be one that a controller rounds."""
    for name, site in trace.sites.items():
        record = single.site(name)
        for model in np.flatnonzero(record.batch_size[step] != site.batch_size[step]):
            label = site.labels[model]
            assert name in single.iterates, f"{label} at {name} differs at step {step}, and nothing there is rounded"
            sizes = int(record.batch_size[step, model]), int(site.batch_size[step, model])
            midpoint = sum(sizes) / 2
            wanted = 2.0 ** single.iterates[name].behind(step, label)
            yield Parting(step, name, label, *sizes, abs(wanted - midpoint) / midpoint)


def assert_same_until_a_tie(single: SingleRun, run: BatchRun, tie: float = TIE) -> Agreement:
    """`compare`, and what ends it, if anything, is a tie."""
    agreement = compare(single, run)
    for parting in agreement.partings:
        assert parting.distance < tie, parting
    return agreement


def differences(a: Summary | Trace, b: Summary | Trace) -> list[str]:
    """Names of the figures in which two summaries or traces are not the same to the last bit."""
    return [f.name for f in fields(a) if not _same(getattr(a, f.name), getattr(b, f.name))]


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray):
        return np.array_equal(a, b, equal_nan=True)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_same(a[key], b[key]) for key in a)
    if isinstance(a, tuple):
        return len(a) == len(b) and all(map(_same, a, b))
    if hasattr(a, "__dataclass_fields__") and not a.__dataclass_params__.eq:
        return not differences(a, b)
    return bool(a == b)


def assert_engines_agree(builds: Sequence[Callable[[], Coordinator[Any, Any]]]) -> list[tuple[SingleRun, BatchRun]]:
    """Every run on OpenDSS and all of them in one batch, the same to the end; the pairs, to see what happened."""
    singles = [run_single(build()) for build in builds]
    batch = [build() for build in builds]
    heard = [[watch_storage(s) for s in storages_of(coordinator)] for coordinator in batch]
    runs = run_batch(batch, trace=range(len(batch)))
    for single, run, states in zip(singles, runs, heard, strict=True):
        assert (single.failure, run.failure) == (None, None)
        agreement = compare(single, run)
        assert agreement.partings == ()
        for expected, got in zip(single.storage.values(), states, strict=True):
            compare_states(got, expected)
    return list(zip(singles, runs, strict=True))


def assert_same_power_quality(one: PowerQuality, other: PowerQuality) -> None:
    """Both engines keep the same figures of unbalance, changes and trips, to the tolerance of their solutions."""
    assert (one.nodes, one.buses, one.edges, one.dt_s) == (other.nodes, other.buses, other.edges, other.dt_s)
    assert one.n_steps == other.n_steps
    assert one.demand_changes == other.demand_changes
    for name in ("unbalance", "unbalance_without", "change_pu"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), rtol=0, atol=1e-6, err_msg=name)
    # A bus that stands at an edge to a billionth may be counted on either side of it.
    assert np.abs(one.unbalance_steps_over - other.unbalance_steps_over).max(initial=0) <= 1
    for trip, same in zip(one.trips, other.trips, strict=True):
        assert trip.site == same.site
        np.testing.assert_allclose(trip.before_pu, same.before_pu, rtol=0, atol=1e-6)
        np.testing.assert_allclose(trip.after_pu, same.after_pu, rtol=0, atol=1e-6)
