"""Droop: batch sizes follow the worst voltage violation (equations 4.4, 4.5)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from g2g_opt.clock import SimulationClock
from g2g_opt.compiled.kernel import inner, kernel
from g2g_opt.controller.base import Controller
from g2g_opt.controller.batch_sizes import FeasibleTable, changed_command, specs_of, start_log2
from g2g_opt.datacenter.base import LLMBatchSizeControlledDatacenter, LLMDatacenterState
from g2g_opt.datacenter.command import DatacenterCommand
from g2g_opt.datacenter.config import InferenceModelSpec, ModelDeployment
from g2g_opt.errors import InputError, unknown_name
from g2g_opt.events import EventEmitter
from g2g_opt.grid.command import GridCommand
from g2g_opt.grid.opendss import OpenDSSGrid
from g2g_opt.quantities import BandVoltagePu, ErrorPu, Weight, check_quantities

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class RuleBasedConfig:
    """Tuning: `step_size` gain (log2 batch per pu and step), band and `deadband` (pu), latency guard on or off."""

    step_size: Weight = 10.0
    v_min: BandVoltagePu = 0.95
    v_max: BandVoltagePu = 1.05
    deadband: ErrorPu = 0.0001
    latency_guard: bool = True

    def __post_init__(self) -> None:
        check_quantities(self)
        if self.step_size <= 0 or self.deadband < 0 or not self.v_min < self.v_max:
            raise InputError(f"droop needs step_size > 0, deadband >= 0 and v_min < v_max, got {self}")


def droop_pressure(voltage_pu: Floats, config: RuleBasedConfig) -> Floats:
    """Worst undervoltage (pu) if beyond the deadband, else minus the worst overvoltage, else 0; shape (scenario,).

    `voltage_pu` has shape (scenario, bus-phase); NaN is passed over.
    """
    pressure = np.empty(len(voltage_pu))
    _fill_pressure(voltage_pu, config.v_min, config.v_max, config.deadband, pressure)
    return pressure


@kernel
def _fill_pressure(voltage_pu: Floats, v_min: float, v_max: float, deadband: float, pressure: Floats) -> None:
    for s in range(len(voltage_pu)):
        pressure[s] = pressure_of(voltage_pu[s], v_min, v_max, deadband)


@inner
def pressure_of(voltage_pu: Floats, v_min: float, v_max: float, deadband: float) -> float:
    """`droop_pressure` of one scenario's voltages (pu)."""
    under, over = 0.0, 0.0
    for k in range(len(voltage_pu)):
        v = voltage_pu[k]
        # A comparison with NaN does not hold.
        under = v_min - v if v_min - v > under else under
        over = v - v_max if v - v_max > over else over
    if under > deadband:
        return under
    return -over if over > deadband else 0.0


def droop_update(
    log2_batch: Floats,
    pressure: Floats,
    itl_s: Floats,
    deadline_s: Floats,
    log2_low: Floats,
    log2_high: Floats,
    config: RuleBasedConfig,
) -> Floats:
    """x <- clip(x - gain p), and no increase while latency is over its target; shape (scenario, model)."""
    moved = np.empty(log2_batch.shape)
    by_model = deadline_s, log2_low, log2_high
    _fill_moved(log2_batch, pressure, itl_s, *by_model, config.step_size, config.latency_guard, moved)
    return moved


@kernel
def _fill_moved(
    x: Floats,
    pressure: Floats,
    itl_s: Floats,
    deadline_s: Floats,
    low: Floats,
    high: Floats,
    step_size: float,
    latency_guard: bool,
    moved: Floats,
) -> None:
    for s in range(x.shape[0]):
        for m in range(x.shape[1]):
            is_late = latency_guard and itl_s[s, m] > deadline_s[m]
            moved[s, m] = moved_by(x[s, m], pressure[s], is_late, low[m], high[m], step_size)


@inner
def moved_by(x: float, pressure: float, is_late: bool, low: float, high: float, step_size: float) -> float:
    """`droop_update` of one model; one that `is_late` is not moved up."""
    if is_late and pressure < 0.0:
        return x
    return min(max(x - step_size * pressure, low), high)


def droop_exhausted(
    batch: Ints, pressure: Floats, itl_s: Floats, deadline_s: Floats, sizes: Ints, config: RuleBasedConfig
) -> Bools:
    """Where pressure (not 0) finds every model at its last size in its direction, or held by latency; (scenario,).

    `batch` are the sizes nearest to the iterates before the step, `itl_s` latencies (s), both (scenario, model);
    `sizes` (model, size) the feasible ones, rising.
    """
    up = pressure[:, None] < 0
    done = batch == np.where(up, sizes[:, -1], sizes[:, 0])
    if config.latency_guard:
        done |= up & (itl_s > deadline_s)
    return np.asarray((pressure != 0.0) & done.all(axis=1))


class RuleBasedBatchSizeController(
    Controller[LLMBatchSizeControlledDatacenter[LLMDatacenterState], OpenDSSGrid],
):
    """Droop at one site. It sees all monitored bus-phases of the grid, or only those of `zone_buses`; a command is
    sent only when a batch size changes.

    `initial_batch_sizes` seeds the continuous state per model label (smallest feasible size if left out).
    `exhausted_at_s` are the times (s) of the control steps at which a voltage was outside the band and every model was
    at its last size in that direction already. Raises `InputError` for unknown buses.
    """

    def __init__(
        self,
        inference_models: Iterable[InferenceModelSpec | ModelDeployment],
        *,
        datacenter: LLMBatchSizeControlledDatacenter[LLMDatacenterState],
        grid: OpenDSSGrid,
        config: RuleBasedConfig | None = None,
        dt_s: Fraction = Fraction(1),
        exclude_buses: Sequence[str] = (),
        zone_buses: Sequence[str] | None = None,
        initial_batch_sizes: Mapping[str, int] | None = None,
    ) -> None:
        specs = specs_of(inference_models)
        self.labels = [spec.model_label for spec in specs]
        self.datacenter, self.grid = datacenter, grid
        self.config = config or RuleBasedConfig()
        self._dt_s = dt_s
        for bus in (*exclude_buses, *(zone_buses or ())):
            if bus.lower() not in grid.feeder.buses:
                raise unknown_name("bus", bus, grid.feeder.buses, f"in feeder {grid.feeder.name}")
        self._exclude = {bus.lower() for bus in exclude_buses}
        self._zone = None if zone_buses is None else {bus.lower() for bus in zone_buses}
        self.table = FeasibleTable.of([spec.feasible_batch_sizes for spec in specs])
        self.log2_low = np.log2([min(spec.feasible_batch_sizes) for spec in specs])
        self.log2_high = np.log2([max(spec.feasible_batch_sizes) for spec in specs])
        self.deadline_s = np.array([spec.itl_deadline_s for spec in specs])
        self.start_log2 = start_log2(specs, initial_batch_sizes)
        self.reset()

    @property
    def dt_s(self) -> Fraction:
        return self._dt_s

    def sees(self, bus: str) -> bool:
        """Does it look at the (monitored) voltages of this bus?"""
        return bus not in self._exclude and (self._zone is None or bus in self._zone)

    def reset(self) -> None:
        self._log2_batch = self.start_log2.copy()
        self.exhausted_at_s: list[float] = []
        self._columns: NDArray[np.int64] | None = None

    def step(self, clock: SimulationClock, events: EventEmitter) -> list[DatacenterCommand | GridCommand]:
        if self._columns is None:
            self._columns = np.array(
                [i for i, (bus, _) in enumerate(self.grid.v_index) if self.sees(bus)], dtype=np.int64
            )
        pressure = droop_pressure(self.grid.voltages_vector()[None, self._columns], self.config)
        if pressure[0] == 0.0:
            return []
        _, itl_s = self.datacenter.observe(self.labels)
        before = self.table.nearest(self._log2_batch)
        if droop_exhausted(before, pressure, itl_s[None, :], self.deadline_s, self.table.sizes, self.config)[0]:
            self.exhausted_at_s.append(clock.time_s)
        self._log2_batch = droop_update(
            self._log2_batch, pressure, itl_s[None, :], self.deadline_s, self.log2_low, self.log2_high, self.config
        )
        batch = self.table.nearest(self._log2_batch)[0]
        commands = changed_command(self.datacenter, self.labels, batch)
        if commands:
            events.emit(
                "controller.droop.step",
                {"pressure_pu": float(pressure[0]), "batch_size_by_model": commands[0].batch_size_by_model},
            )
        return list(commands)
