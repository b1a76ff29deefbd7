"""What every controller of a batch is: one kind of controller at many sites and in many scenarios at once."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g2g_opt.batch.fleet_kernel import SizeCommand, command_sizes
from g2g_opt.batch.fleets import Fleets
from g2g_opt.batch.grids import Grids
from g2g_opt.compiled.program import Part
from g2g_opt.compiled.records import Packed, pack
from g2g_opt.grid.storage import EnergyStorage

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Sight:
    """What compiled controllers see and command: arrays that stand in one place, written anew in every step.

    `voltage_pu` is (node, slot), with slots that only fill lanes, `servers` a flat array in which `server_strides` lie
    between rows and between phases, `replicas` and `itl_s` are by row. `command(rows, sizes, n)` makes the kernel that
    commands the first `n` of the batch sizes that stand in `sizes` then, its record, and what it may refuse (None:
    nothing).
    """

    voltage_pu: Floats
    servers: Ints
    server_strides: tuple[int, int]
    replicas: Ints
    itl_s: Floats
    command: Callable[[Ints, Ints, Ints], tuple[Any, Packed, SizeCommand | None]]

    @staticmethod
    def of(fleets: Fleets, grids: Grids) -> Sight:
        """Fleets and grids as they are."""

        def command(rows: Ints, sizes: Ints, n: Ints) -> tuple[Any, Packed, SizeCommand]:
            given = fleets.command(rows, sizes, n)
            return command_sizes, pack(given), given

        figures = fleets.servers.reshape(-1), (3, 1), fleets.replicas, fleets.itl_s
        return Sight(grids.flow.solutions.voltage_pu, *figures, command)


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
