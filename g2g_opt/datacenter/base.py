"""What every datacenter backend is: a thing that steps, draws three-phase power and takes commands."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from g2g_opt.clock import SimulationClock
from g2g_opt.common import ThreePhase
from g2g_opt.errors import InputError, unknown_name
from g2g_opt.events import EventEmitter


@dataclass(frozen=True)
class DatacenterCommand:
    """Base class; a subclass carries `target`, the datacenter it is for."""

    if TYPE_CHECKING:

        @property
        def target(self) -> DatacenterBackend[Any]: ...


@dataclass(frozen=True)
class DatacenterState:
    """What a datacenter shows after a step: time (s) and power per phase (W, consumption positive)."""

    time_s: float
    power_w: ThreePhase


@dataclass(frozen=True)
class LLMDatacenterState(DatacenterState):
    """Besides power, per model label: batch size, active replicas and observed inter-token latency (s).

    A latency is NaN where a model has no replica.
    """

    batch_size_by_model: dict[str, int] = field(default_factory=dict)
    active_replicas_by_model: dict[str, int] = field(default_factory=dict)
    observed_itl_s_by_model: dict[str, float] = field(default_factory=dict)


DCStateT = TypeVar("DCStateT", bound=DatacenterState, covariant=True)


class DatacenterBackend(ABC, Generic[DCStateT]):
    """Base class of datacenters. A subclass gives `dt_s`, `reset`, `step` and `apply_control`.

    `name` identifies the site in logs and in the grid; it must be unique within a run. The class name is used
    when none is given.
    """

    def __init__(self, *, name: str | None = None) -> None:
        self.name = name if name is not None else type(self).__name__
        self._states: list[DCStateT] = []

    @property
    @abstractmethod
    def dt_s(self) -> Fraction:
        """Period of this component (s)."""

    @abstractmethod
    def step(self, clock: SimulationClock, events: EventEmitter) -> DCStateT:
        """Advance one period and return the new state."""

    @abstractmethod
    def apply_control(self, command: DatacenterCommand, events: EventEmitter) -> None:
        """Take a command; it acts from the next step on."""

    @abstractmethod
    def reset(self) -> None:
        """Clear all simulation state and keep the configuration."""

    def start(self) -> None:
        """Acquire resources before a run."""

    def stop(self) -> None:
        """Release what `start` acquired."""

    @property
    def state(self) -> DCStateT | None:
        """The latest state; None before the first step."""
        return self._states[-1] if self._states else None

    def history(self, n: int | None = None) -> Sequence[DCStateT]:
        """All states so far, or the last `n`."""
        return self._states[:] if n is None else self._states[max(0, len(self._states) - n) :]

    def recorded_states(self) -> Sequence[DCStateT]:
        """All states so far as the run's log keeps them; an array-backed sequence where the backend has one."""
        return self._states

    @property
    def latest_power_w(self) -> Sequence[float]:
        """Power per phase (W) of the latest step; `RuntimeError` before the first."""
        if not self._states:
            raise RuntimeError(f"datacenter {self.name!r} has not stepped yet")
        return self._states[-1].power_w

    def advance(self, clock: SimulationClock, events: EventEmitter) -> None:
        """Step and record. Array-backed datacenters override this to make no state object per step."""
        self._states.append(self.step(clock, events))

    @property
    def advances_in_blocks(self) -> bool:
        """True if `advance_block` can stand for many calls of `advance` while no command comes in."""
        return False

    def advance_block(self, time_s: float, n_steps: int) -> NDArray[np.float64]:
        """Advance `n_steps` from `time_s` on and return the power per phase (W), shape (n_steps, 3)."""
        raise InputError(f"datacenter {self.name!r} advances step by step only")

    @property
    def steps_ahead(self) -> int:
        """How many steps a block takes at the best: beyond, more has to be worked out, which a command may undo."""
        return 1

    def take_back(self, n_steps: int) -> None:
        """The last so many steps of the latest block have not been."""
        if n_steps:
            raise InputError(f"datacenter {self.name!r} advances step by step only")

    def do_step(self, clock: SimulationClock, events: EventEmitter) -> DCStateT:
        """Step, record and return the state."""
        self.advance(clock, events)
        state = self.state
        assert state is not None
        return state

    def do_reset(self) -> None:
        """`reset` plus a cleared history."""
        self._states = []
        self.reset()


LLMStateT = TypeVar("LLMStateT", bound=LLMDatacenterState, covariant=True)


class LLMBatchSizeControlledDatacenter(DatacenterBackend[LLMStateT]):
    """A datacenter that serves language models and accepts `SetBatchSize`."""

    @property
    @abstractmethod
    def phase_share_by_model(self) -> Mapping[str, NDArray[np.float64]]:
        """Share of each model's servers on phases A, B, C, shape (3,), summing to one."""

    def observe(self, labels: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Active replicas and observed ITL (s, NaN without replicas) of the latest step, per label given.

        Raises `InputError` if the state lacks a label.
        """
        state = self.state
        if state is None:
            raise RuntimeError(f"datacenter {self.name!r} has not stepped yet")
        for label in labels:
            if label not in state.active_replicas_by_model or label not in state.observed_itl_s_by_model:
                raise unknown_name("model", label, state.active_replicas_by_model, f"in the state of {self.name!r}")
        replicas = [state.active_replicas_by_model[label] for label in labels]
        return np.array(replicas, dtype=np.int64), np.array([state.observed_itl_s_by_model[x] for x in labels])

    def observe_block(
        self, labels: Sequence[str], n_steps: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]:
        """Of the latest steps, all in one block: active replicas and observed ITL (s), shape (step, label), and
        servers on phases A, B, C, shape (step, label, 3).
        """
        raise InputError(f"datacenter {self.name!r} advances step by step only")

    @property
    def commanded_batch_size_by_model(self) -> Mapping[str, int]:
        """Batch sizes that the next step will use: the latest state's unless commands came in since."""
        return self.state.batch_size_by_model if self.state is not None else {}
