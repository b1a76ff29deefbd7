"""What every controller of a batch is: one kind of controller at many sites and in many scenarios at once."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from g2g_opt.batch.fleets import Fleets
from g2g_opt.batch.grids import Grids
from g2g_opt.compiled.program import Part
from g2g_opt.grid.storage import EnergyStorage

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Parts:
    """What controllers read and command: the fleets and grids of a batch."""

    fleets: Fleets
    grids: Grids

    def new_voltage_pu(self, slot: int) -> Floats | None:
        """Voltages (node,) of a scenario that controllers have not seen before this step; None if there are none."""
        found: Floats = self.grids.voltage_pu[:, slot]
        return found

    def set_storage_power(self, slot: int, storage: EnergyStorage, kw: float, kvar: float) -> None:
        """Set-point of a storage of a scenario (kW, kvar, injection positive)."""
        storage.set_power_kw(kw, kvar)


class BatchControl(ABC):
    """Controllers with one rule and one period; `place` says when they act among the controllers of a scenario."""

    dt_s: Fraction
    place: int

    @abstractmethod
    def step(self, step: int, parts: Parts) -> None:
        """Read states after grid step `step` and command; called every `dt_s`."""

    def part(self, parts: Parts, grid_dt_s: Fraction) -> Part:
        """`step`, every `dt_s`, as a part of a compiled step of the grids."""
        period = int(Fraction(self.dt_s) / grid_dt_s)

        def attend(step: int, code: int) -> None:
            if step % period == 0:
                self.step(step, parts)

        return Part(attend)

    def observe(self, step: int, parts: Parts) -> None:  # noqa: B027 - optional hook
        """Hear of every grid step, before controllers act."""
