"""A datacenter's run as arrays [step, ...] that also reads like a list of states."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import overload

import numpy as np
from numpy.typing import NDArray

from g2g_opt.common import ThreePhase
from g2g_opt.datacenter.base import LLMDatacenterState

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class OfflineDatacenterState(LLMDatacenterState):
    """State of a replayed datacenter; besides an LLM datacenter's, power per model (W, all phases)."""

    power_by_model_w: dict[str, float] = field(default_factory=dict)


class OfflineDatacenterRecord(Sequence[OfflineDatacenterState]):
    """Growing arrays of a run; rows beyond `n_steps` are a look-ahead that a command may still overwrite.

    Arrays: `time_s` (step,), `power_w` (step, 3), and per model label, in the order of `labels`,
    `power_by_model_w`, `batch_size`, `replicas`, `itl_s` (step, model).
    """

    def __init__(self, labels: tuple[str, ...]) -> None:
        self.labels = labels
        self.n_steps = 0
        self._time_s = np.empty(0)
        self._power_w = np.empty((0, 3))
        self._power_by_model_w = np.empty((0, len(labels)))
        self._batch_size = np.empty((0, len(labels)), dtype=np.int32)
        self._replicas = np.empty((0, len(labels)), dtype=np.int64)
        self._itl_s = np.empty((0, len(labels)))

    def reserve(self, n_steps: int) -> None:
        """Make room for `n_steps` rows in all."""
        if n_steps <= len(self._time_s):
            return
        rows = max(n_steps, 2 * len(self._time_s), 64)
        for name in ("_time_s", "_power_w", "_power_by_model_w", "_batch_size", "_replicas", "_itl_s"):
            old = getattr(self, name)
            new = np.empty((rows, *old.shape[1:]), dtype=old.dtype)
            new[: len(old)] = old
            setattr(self, name, new)

    def write(
        self,
        first: int,
        time_s: Floats,
        power_w: Floats,
        power_by_model_w: Floats,
        batch_size: NDArray[np.int32],
        replicas: NDArray[np.int64],
        itl_s: Floats,
    ) -> None:
        """Fill rows from `first` on; `n_steps` is moved by the datacenter as it steps through them."""
        end = first + len(time_s)
        self.reserve(end)
        self._time_s[first:end] = time_s
        self._power_w[first:end] = power_w
        self._power_by_model_w[first:end] = power_by_model_w
        self._batch_size[first:end] = batch_size
        self._replicas[first:end] = replicas
        self._itl_s[first:end] = itl_s

    @property
    def time_s(self) -> Floats:
        """Times (s), shape (step,)."""
        return self._time_s[: self.n_steps]

    @property
    def power_w(self) -> Floats:
        """Power per phase (W), shape (step, 3)."""
        return self._power_w[: self.n_steps]

    @property
    def power_by_model_w(self) -> Floats:
        """Power per model (W, all phases, without base load and training), shape (step, model)."""
        return self._power_by_model_w[: self.n_steps]

    @property
    def batch_size(self) -> NDArray[np.int32]:
        """Batch sizes, shape (step, model)."""
        return self._batch_size[: self.n_steps]

    @property
    def replicas(self) -> NDArray[np.int64]:
        """Active replicas, shape (step, model)."""
        return self._replicas[: self.n_steps]

    @property
    def itl_s(self) -> Floats:
        """Observed inter-token latencies (s), shape (step, model); NaN without replicas."""
        return self._itl_s[: self.n_steps]

    def row_power_w(self, step: int) -> Floats:
        """Power per phase (W) at one step; a view."""
        row: Floats = self._power_w[step]
        return row

    def row_service(self, step: int | slice, columns: NDArray[np.int64]) -> tuple[NDArray[np.int64], Floats]:
        """Replicas and latencies (s) of some models, (model,) at one step or (step, model)."""
        return self._replicas[step].take(columns, axis=-1), self._itl_s[step].take(columns, axis=-1)

    def __len__(self) -> int:
        return self.n_steps

    @overload
    def __getitem__(self, index: int) -> OfflineDatacenterState: ...
    @overload
    def __getitem__(self, index: slice) -> list[OfflineDatacenterState]: ...
    def __getitem__(self, index: int | slice) -> OfflineDatacenterState | list[OfflineDatacenterState]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(self.n_steps))]
        i = index + self.n_steps if index < 0 else index
        if not 0 <= i < self.n_steps:
            raise IndexError(f"step {index} of a record of {self.n_steps} steps")
        a, b, c = self._power_w[i].tolist()
        return OfflineDatacenterState(
            time_s=float(self._time_s[i]),
            power_w=ThreePhase(a, b, c),
            batch_size_by_model=dict(zip(self.labels, self._batch_size[i].tolist(), strict=True)),
            active_replicas_by_model=dict(zip(self.labels, self._replicas[i].tolist(), strict=True)),
            observed_itl_s_by_model=dict(zip(self.labels, self._itl_s[i].tolist(), strict=True)),
            power_by_model_w=dict(zip(self.labels, self._power_by_model_w[i].tolist(), strict=True)),
        )
