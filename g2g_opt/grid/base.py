"""What every grid backend is: a thing that takes the sites' power, solves, and shows voltages."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from g2g_opt.circuit.block_look import SolutionLook, look_at_none
from g2g_opt.clock import SimulationClock
from g2g_opt.common import ThreePhase
from g2g_opt.datacenter.base import DatacenterBackend
from g2g_opt.errors import InputError
from g2g_opt.events import EventEmitter
from g2g_opt.grid.command import GridCommand
from g2g_opt.tap_position import TapPosition

Floats = NDArray[np.float64]


class PhaseVoltages(NamedTuple):
    """Voltage magnitudes (pu of the bus's line-to-neutral base); NaN where the bus lacks the phase."""

    a: float
    b: float
    c: float


class BusVoltages(Mapping[str, PhaseVoltages]):
    """Voltages by bus name. Built from a plain mapping, or by a grid from arrays without copying."""

    __slots__ = ("_column", "_voltage_pu")

    def __init__(self, data: Mapping[str, PhaseVoltages]) -> None:
        self._voltage_pu = np.array([tuple(v) for v in data.values()], dtype=float).reshape(-1)
        self._column = {bus: (3 * i, 3 * i + 1, 3 * i + 2) for i, bus in enumerate(data)}

    @classmethod
    def from_arrays(cls, voltage_pu: Floats, column: Mapping[str, tuple[int, int, int]]) -> BusVoltages:
        """`column[bus]` gives the places of phases A, B, C in `voltage_pu`; -1 where there is none."""
        voltages = cls.__new__(cls)
        voltages._voltage_pu = voltage_pu
        voltages._column = dict(column) if not isinstance(column, dict) else column
        return voltages

    def __getitem__(self, bus: str) -> PhaseVoltages:
        v = self._voltage_pu
        a, b, c = (float(v[i]) if i >= 0 else float("nan") for i in self._column[bus])
        return PhaseVoltages(a, b, c)

    def __iter__(self) -> Iterator[str]:
        return iter(self._column)

    def __len__(self) -> int:
        return len(self._column)

    def buses(self) -> list[str]:
        """Bus names."""
        return list(self._column)


@dataclass(frozen=True)
class GridState:
    """What the grid shows after a step: time (s), voltages (pu) and tap ratios (None if it has no regulators)."""

    time_s: float
    voltages: BusVoltages
    tap_positions: TapPosition | None = None


GridStateT = TypeVar("GridStateT", bound=GridState, covariant=True)
PowerSamples = Mapping[DatacenterBackend[Any], Sequence[ThreePhase]]


class GridBackend(ABC, Generic[GridStateT]):
    """Base class of grids. A subclass gives `dt_s`, `reset`, `step`, `apply_control`, and, for controllers that
    need them, `v_index`, `voltages_vector` and `estimate_sensitivity`.
    """

    def __init__(self) -> None:
        self._states: list[GridStateT] = []

    @property
    @abstractmethod
    def dt_s(self) -> Fraction:
        """Period of this component (s)."""

    @abstractmethod
    def step(self, clock: SimulationClock, power_samples_w: PowerSamples, events: EventEmitter) -> GridStateT:
        """Solve with the samples (W per phase) each datacenter made since the last grid step."""

    @abstractmethod
    def apply_control(self, command: GridCommand, events: EventEmitter) -> None:
        """Take a command; it acts from the next step on."""

    @abstractmethod
    def reset(self) -> None:
        """Clear all simulation state and keep the configuration."""

    def start(self) -> None:
        """Acquire resources before a run."""

    def stop(self) -> None:
        """Release what `start` acquired."""

    @property
    def v_index(self) -> Sequence[tuple[str, int]]:
        """The monitored (bus, phase 1 to 3) pairs, in the order of `voltages_vector`."""
        raise InputError(f"{type(self).__name__} has no voltage index; use a controller that reads grid.state")

    def voltages_vector(self) -> Floats:
        """Voltage magnitudes (pu) of the latest solution, shape (len(v_index),)."""
        raise InputError(f"{type(self).__name__} has no voltage vector; use a controller that reads grid.state")

    def estimate_sensitivity(
        self, perturbation_kw: float = 100.0, dc: DatacenterBackend[Any] | None = None
    ) -> tuple[Floats, Floats]:
        """Slopes dv/dp (pu/kW), shape (len(v_index), 3), of a site's three phases, and the voltages (pu) there."""
        raise InputError(f"{type(self).__name__} estimates no sensitivity; use a controller that needs none")

    @property
    def state(self) -> GridStateT | None:
        """The latest state; None before the first step."""
        return self._states[-1] if self._states else None

    def history(self, n: int | None = None) -> Sequence[GridStateT]:
        """All states so far, or the last `n`."""
        return self._states[:] if n is None else self._states[max(0, len(self._states) - n) :]

    def recorded_states(self) -> Sequence[GridStateT]:
        """All states so far as the run's log keeps them; an array-backed sequence where the backend has one."""
        return self._states

    @property
    def reads_datacenters(self) -> bool:
        """True if `advance` takes the sites' latest power itself and needs no samples handed in."""
        return False

    def advance(self, clock: SimulationClock, power_samples_w: PowerSamples, events: EventEmitter) -> None:
        """Step and record. Array-backed grids override this to make no state object per step."""
        self._states.append(self.step(clock, power_samples_w, events))

    @property
    def advances_in_blocks(self) -> bool:
        """True if `advance_block` can stand for many calls of `advance` while no command comes in."""
        return False

    def advance_block(
        self,
        time_s: Sequence[float],
        power_w: Mapping[DatacenterBackend[Any], Floats],
        look: SolutionLook = look_at_none,
    ) -> int:
        """Solve at every time (s) with the sites' powers (W per phase), each of shape (len(time_s), 3).

        `look` is told the place of every solution, while its voltages are the latest, and ends the block with it by
        True. Returns how many times there were.
        """
        raise InputError(f"{type(self).__name__} advances step by step only")

    def do_step(self, clock: SimulationClock, power_samples_w: PowerSamples, events: EventEmitter) -> GridStateT:
        """Step, record and return the state."""
        self.advance(clock, power_samples_w, events)
        state = self.state
        assert state is not None
        return state

    def do_reset(self) -> None:
        """`reset` plus a cleared history."""
        self._states = []
        self.reset()
