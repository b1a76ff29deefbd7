"""Commands to the grid; they take effect at its next step."""

from __future__ import annotations

from dataclasses import dataclass

from g2g_opt.grid.storage import EnergyStorage
from g2g_opt.tap_position import TapPosition


@dataclass(frozen=True)
class GridCommand:
    """Base class of commands that go to the grid."""


@dataclass(frozen=True)
class SetTaps(GridCommand):
    """Move the named regulators to the given ratios; regulators left out stay."""

    tap_position: TapPosition


@dataclass(frozen=True)
class SetStoragePower(GridCommand):
    """Set-point of a storage: discharge (kW, positive) and reactive injection (kvar, positive)."""

    storage: EnergyStorage
    power_kw: float
    reactive_power_kvar: float = 0.0
