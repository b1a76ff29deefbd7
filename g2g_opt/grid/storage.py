"""Storage at a bus. Positive power discharges into the grid, negative charges from it."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, field

from g2g_opt.errors import InputError
from g2g_opt.quantities import (
    EnergyKwh,
    IdleLossPercent,
    PowerKva,
    PowerKwAboveZero,
    Share,
    ShareAboveZero,
    StorageHours,
    check_number,
    check_quantities,
)

_ROUNDING = 1e-9  # kW or kVA by which a set-point may miss a rating through rounding


@dataclass(frozen=True)
class StorageState:
    """What the grid observed: stored energy (kWh), state of charge (0 to 1), injection (kW, kvar), OpenDSS state."""

    time_s: float
    stored_kwh: float
    soc: float
    power_kw: float
    reactive_power_kvar: float
    dss_state: str


class EnergyStorage(ABC):
    """A storage with ratings and a dispatch over time; the grid calls `power_kw` and then `update_state`."""

    name: str
    rated_power_kw: float
    capacity_kwh: float
    initial_soc: float
    reserve_soc: float
    charge_efficiency: float
    discharge_efficiency: float
    idle_loss_percent: float

    @property
    def rated_apparent_power_kva(self) -> float:
        """Apparent power rating (kVA); the real power rating unless a subclass says otherwise."""
        return self.rated_power_kw

    @abstractmethod
    def power_kw(self, t: float) -> float:
        """Dispatch (kW, discharge positive) at time `t` (s)."""

    def reactive_power_kvar(self, t: float) -> float:
        """Reactive injection (kvar) at time `t` (s)."""
        return 0.0

    def set_power_kw(self, power_kw: float, reactive_power_kvar: float = 0.0) -> None:
        """Take a set-point from a controller."""
        raise InputError(f"storage {getattr(self, 'name', self)!r} follows its own dispatch and takes no set-point")

    def update_state(self, state: StorageState) -> None:  # noqa: B027 - optional hook
        """Hear what the grid observed after a step."""

    def reset(self) -> None:  # noqa: B027 - optional hook
        """Back to the state before a run."""


@dataclass(eq=False)
class BatteryStorage(EnergyStorage):
    """A battery that holds the last set-point. Powers in kW, energy in kWh, efficiencies and SOC from 0 to 1.

    `idle_loss_percent` is the loss while idling in % of `rated_power_kw`; `apparent_power_kva` defaults to it.
    """

    name: str
    rated_power_kw: PowerKwAboveZero
    capacity_kwh: EnergyKwh
    initial_soc: Share = 0.5
    reserve_soc: Share = 0.0
    charge_efficiency: ShareAboveZero = 1.0
    discharge_efficiency: ShareAboveZero = 1.0
    idle_loss_percent: IdleLossPercent = 0.0
    apparent_power_kva: PowerKva | None = None
    _power_kw: float = field(default=0.0, init=False, repr=False)
    _reactive_power_kvar: float = field(default=0.0, init=False, repr=False)
    _state: StorageState | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        check_quantities(self)
        if self.reserve_soc > self.initial_soc:
            raise InputError(f"storage {self.name!r}: initial_soc {self.initial_soc} is below reserve_soc")
        if self.rated_apparent_power_kva < self.rated_power_kw:
            raise InputError(f"storage {self.name!r}: apparent_power_kva is below rated_power_kw")

    @classmethod
    def sized_for_datacenter(
        cls,
        *,
        name: str,
        datacenter_power_kw: float,
        power_fraction: float = 0.2,
        duration_h: float = 2.0,
        initial_soc: float = 0.5,
        reserve_soc: float = 0.0,
        charge_efficiency: float = 1.0,
        discharge_efficiency: float = 1.0,
        idle_loss_percent: float = 0.0,
        apparent_power_kva: float | None = None,
    ) -> BatteryStorage:
        """A battery rated at a share of a site's power for so many hours (20 % and 2 h unless given)."""
        check_number(datacenter_power_kw, PowerKwAboveZero, f"storage {name!r}: datacenter_power_kw")
        check_number(duration_h, StorageHours, f"storage {name!r}: duration_h")
        check_number(power_fraction, ShareAboveZero, f"storage {name!r}: power_fraction")
        rated_power_kw = datacenter_power_kw * power_fraction
        return cls(
            name,
            rated_power_kw,
            rated_power_kw * duration_h,
            initial_soc,
            reserve_soc,
            charge_efficiency,
            discharge_efficiency,
            idle_loss_percent,
            apparent_power_kva,
        )

    @property
    def rated_apparent_power_kva(self) -> float:
        return self.rated_power_kw if self.apparent_power_kva is None else self.apparent_power_kva

    @property
    def state(self) -> StorageState | None:
        """Latest observation; None before the first."""
        return self._state

    @property
    def soc(self) -> float | None:
        """Latest state of charge (0 to 1); None before the first observation."""
        return None if self._state is None else self._state.soc

    @property
    def stored_kwh(self) -> float | None:
        """Latest stored energy (kWh); None before the first observation."""
        return None if self._state is None else self._state.stored_kwh

    def set_power_kw(self, power_kw: float, reactive_power_kvar: float = 0.0) -> None:
        if not abs(power_kw) <= self.rated_power_kw + _ROUNDING:
            raise InputError(f"storage {self.name!r}: {power_kw:g} kW exceeds its rating {self.rated_power_kw:g} kW")
        if not math.hypot(power_kw, reactive_power_kvar) <= self.rated_apparent_power_kva + _ROUNDING:
            raise InputError(
                f"storage {self.name!r}: {power_kw:g} kW and {reactive_power_kvar:g} kvar exceed "
                f"its rating {self.rated_apparent_power_kva:g} kVA"
            )
        self._power_kw, self._reactive_power_kvar = float(power_kw), float(reactive_power_kvar)

    def power_kw(self, t: float) -> float:
        return self._power_kw

    def reactive_power_kvar(self, t: float) -> float:
        return self._reactive_power_kvar

    def update_state(self, state: StorageState) -> None:
        self._state = state

    def reset(self) -> None:
        self._power_kw = self._reactive_power_kvar = 0.0
        self._state = None
