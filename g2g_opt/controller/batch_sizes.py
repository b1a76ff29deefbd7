"""Feasible batch sizes of several models as padded arrays: what batch-size controllers share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from g2g_opt.datacenter.base import LLMBatchSizeControlledDatacenter, LLMDatacenterState
from g2g_opt.datacenter.command import SetBatchSize
from g2g_opt.datacenter.config import InferenceModelSpec, ModelDeployment
from g2g_opt.errors import InputError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def specs_of(models: Iterable[InferenceModelSpec | ModelDeployment]) -> tuple[InferenceModelSpec, ...]:
    """The model specs of specs or deployments; `InputError` if there are none or a label comes twice."""
    specs = tuple(model.spec for model in models)
    labels = [spec.model_label for spec in specs]
    if not specs or len(set(labels)) != len(labels):
        raise InputError(f"a batch-size controller needs models with different labels, got {labels}")
    return specs


@dataclass(frozen=True, eq=False)
class FeasibleTable:
    """Sorted feasible batch sizes of each model, shape (model, size), and the midpoints between neighbours.

    Rows are padded on the right: sizes with the last one, midpoints with infinity.
    """

    sizes: Ints
    midpoints: Floats

    @staticmethod
    def of(feasible: Sequence[Sequence[int]]) -> FeasibleTable:
        """From each model's feasible batch sizes, in any order."""
        rows = [sorted(set(sizes)) for sizes in feasible]
        width = max(len(row) for row in rows)
        sizes = np.array([row + [row[-1]] * (width - len(row)) for row in rows], dtype=np.int64)
        midpoints = np.full((len(rows), width - 1), np.inf)
        for i, row in enumerate(rows):
            midpoints[i, : len(row) - 1] = [(low + high) / 2.0 for low, high in pairwise(row)]
        return FeasibleTable(sizes, midpoints)

    def nearest(self, log2_batch: Floats) -> Ints:
        """Feasible batch size nearest to 2**x, shape (scenario, model), by distance in batch size (equation 4.6).

        Of two equally near sizes it is the smaller one (equations, section 4).
        """
        place = (np.exp2(log2_batch)[:, :, None] > self.midpoints).sum(axis=2)
        nearest: Ints = self.sizes[self._rows, place]
        return nearest

    @cached_property
    def _rows(self) -> Ints:
        return np.arange(len(self.sizes))


def start_log2(specs: Sequence[InferenceModelSpec], initial_batch_sizes: Mapping[str, int] | None) -> Floats:
    """log2 of each model's start batch size, shape (1, model): as given, else its smallest feasible one."""
    given = initial_batch_sizes or {}
    return np.log2([[float(given.get(s.model_label, s.feasible_batch_sizes[0])) for s in specs]])


def changed_command(
    datacenter: LLMBatchSizeControlledDatacenter[LLMDatacenterState], labels: Sequence[str], batch: Ints
) -> list[SetBatchSize]:
    """A command for the batch sizes (model,) if they differ from what the site will use anyway, else none."""
    wanted = dict(zip(labels, batch.tolist(), strict=True))
    held = datacenter.commanded_batch_size_by_model
    return (
        []
        if all(held.get(label) == size for label, size in wanted.items())
        else [SetBatchSize(wanted, target=datacenter)]
    )
