"""Storage follows the voltage at its own bus: Q-V or P-V droop (equations, section 4)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from g2g_opt.clock import SimulationClock
from g2g_opt.controller.base import Controller
from g2g_opt.datacenter.base import DatacenterBackend
from g2g_opt.datacenter.command import DatacenterCommand
from g2g_opt.errors import InputError
from g2g_opt.events import EventEmitter
from g2g_opt.grid.command import GridCommand, SetStoragePower
from g2g_opt.grid.opendss import OpenDSSGrid
from g2g_opt.grid.storage import EnergyStorage
from g2g_opt.quantities import BandVoltagePu, ErrorPu, PowerKwAboveZero, StepSize, check_quantities

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class StorageDroopConfig:
    """`mode` "qv" moves kvar, "pv" kW. The output grows linearly from the edge of the deadband around `v_ref` (pu) to
    its limit at `full_output_voltage_error_pu`, unless `droop_gain_per_pu` (kvar or kW per pu) is given.
    `max_abs_output` caps it below the rating; `allow_negative_output=False` forbids charging or absorbing.
    `voltage_statistic` reduces the voltages since the last control step.
    """

    mode: Literal["qv", "pv"] = "qv"
    v_ref: BandVoltagePu = 1.0
    deadband_pu: ErrorPu = 0.005
    full_output_voltage_error_pu: ErrorPu = 0.05
    droop_gain_per_pu: StepSize | None = None
    max_abs_output: PowerKwAboveZero | None = None
    allow_negative_output: bool = True
    voltage_statistic: Literal["minimum", "mean", "latest"] = "minimum"

    def __post_init__(self) -> None:
        check_quantities(self)
        if self.mode not in ("qv", "pv") or self.voltage_statistic not in ("minimum", "mean", "latest"):
            raise InputError(f"mode is 'qv' or 'pv', voltage_statistic 'minimum', 'mean' or 'latest'; got {self}")
        if not self.deadband_pu < self.full_output_voltage_error_pu:
            raise InputError(f"storage droop needs deadband_pu < full_output_voltage_error_pu, got {self}")


def storage_droop(voltage_pu: Floats, limit: Floats, gain_per_pu: Floats, config: StorageDroopConfig) -> Floats:
    """Output (kvar or kW, injection positive) per storage from its local voltage (pu) (equation 4.8); arrays of one
    shape.
    """
    error = config.v_ref - voltage_pu
    beyond = np.sign(error) * np.maximum(np.abs(error) - config.deadband_pu, 0.0)
    lowest = -limit if config.allow_negative_output else np.zeros_like(limit)
    output: Floats = np.clip(gain_per_pu * beyond, lowest, limit)
    return output


def reduce_voltage(lowest_pu: Floats, config: StorageDroopConfig) -> float:
    """One figure for the lowest phase voltages (pu, one a step) since the last control step."""
    match config.voltage_statistic:
        case "minimum":
            return float(lowest_pu.min())
        case "mean":
            return float(lowest_pu.mean())
        case _:
            return float(lowest_pu[-1])


class LocalVoltageStorageDroopController(Controller[DatacenterBackend[Any], OpenDSSGrid]):
    """Droop of each storage in `storages` (storage -> its bus) on the lowest phase voltage there.

    Raises `InputError` if a bus does not exist or `storages` is empty.
    """

    def __init__(
        self,
        *,
        grid: OpenDSSGrid,
        storages: Mapping[EnergyStorage, str],
        config: StorageDroopConfig | None = None,
        dt_s: Fraction = Fraction(1),
    ) -> None:
        if not storages:
            raise InputError("storage droop needs at least one storage: storages={battery: 'bus'}")
        self.grid, self._dt_s = grid, dt_s
        self.config = config or StorageDroopConfig()
        self.storages = list(storages)
        self.buses = [grid.feeder.bus(bus).name for bus in storages.values()]
        qv = self.config.mode == "qv"
        rating = np.array([s.rated_apparent_power_kva if qv else s.rated_power_kw for s in self.storages])
        cap = self.config.max_abs_output
        self.limit = rating if cap is None else np.minimum(rating, cap)
        span_pu = self.config.full_output_voltage_error_pu - self.config.deadband_pu
        gain = self.config.droop_gain_per_pu
        self.gain = self.limit / span_pu if gain is None else np.full(len(self.storages), gain)
        self.reset()

    @property
    def dt_s(self) -> Fraction:
        return self._dt_s

    def reset(self) -> None:
        self._seen = 0

    def step(self, clock: SimulationClock, events: EventEmitter) -> list[DatacenterCommand | GridCommand]:
        record = self.grid.record
        if record.n_steps == self._seen:
            return []
        window = record.voltage_pu[self._seen :]
        self._seen = record.n_steps
        local = np.array([self._local_voltage(window, bus) for bus in self.buses])
        output = storage_droop(local, self.limit, self.gain, self.config)
        commands: list[DatacenterCommand | GridCommand] = []
        for storage, value, voltage_pu in zip(self.storages, output.tolist(), local.tolist(), strict=True):
            kw, kvar = (0.0, value) if self.config.mode == "qv" else (value, 0.0)
            commands.append(SetStoragePower(storage, kw, kvar))
            events.emit(
                "controller.storage_droop.step",
                {"storage_name": storage.name, "local_voltage_pu": voltage_pu, "power_kw": kw, "kvar": kvar},
            )
        return commands

    def _local_voltage(self, window: Floats, bus: str) -> float:
        columns = [i for i, (name, phase) in enumerate(self.grid.record.nodes) if name == bus and 1 <= phase <= 3]
        return reduce_voltage(window[:, columns].min(axis=1), self.config)
