"""A served model on one kind of hardware: which measurements apply, and how it may be operated."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from g2g_opt.errors import InputError, shown
from g2g_opt.quantities import BatchSize, Count, LatencyS, check_quantities


@dataclass(frozen=True, kw_only=True)
class InferenceModelSpec:
    """One served model on one kind of hardware: which measurements apply, and how it may be operated.

    `gpus_per_replica` are all GPUs of one replica; `tensor_parallel` and `expert_parallel` say how the model is
    split over them (both 1: not stated, the measured split is used). `itl_deadline_s` is the target for the
    inter-token latency (ITL, s). `batch_sizes` (maximum requests at once per replica, rising) are those to load;
    `feasible_batch_sizes` those a controller may choose, all of `batch_sizes` if None or empty;
    `fit_exclude_batch_sizes` are left out when curves are fitted. Raises `InputError` if these disagree.
    """

    model_label: str
    model_id: str
    gpu_model: str
    task: str
    precision: str = "bfloat16"
    gpus_per_replica: Count = 1
    tensor_parallel: Count = 1
    expert_parallel: Count = 1
    itl_deadline_s: LatencyS
    batch_sizes: tuple[BatchSize, ...]
    # None is taken too; the type says what a finished spec holds, so that readers need no check.
    feasible_batch_sizes: tuple[BatchSize, ...] = ()
    fit_exclude_batch_sizes: tuple[BatchSize, ...] = ()

    def __post_init__(self) -> None:
        where = f"model {self.model_label!r}"
        for name in ("model_label", "model_id", "gpu_model", "task", "precision"):
            text: Any = getattr(self, name)
            if not isinstance(text, str) or not text.strip():
                raise InputError(f"{where}: {name} must be a text that is not empty, got {text!r}")
        for name in ("batch_sizes", "feasible_batch_sizes", "fit_exclude_batch_sizes"):
            object.__setattr__(self, name, _rising_sizes(f"{where}: {name}", getattr(self, name) or ()))
        check_quantities(self)
        if not self.batch_sizes:
            raise InputError(f"{where}: batch_sizes is empty; give at least one, e.g. (8, 16, 32)")
        if not self.feasible_batch_sizes:
            object.__setattr__(self, "feasible_batch_sizes", self.batch_sizes)
        for name in ("feasible_batch_sizes", "fit_exclude_batch_sizes"):
            strangers = sorted(set(getattr(self, name)) - set(self.batch_sizes))
            if strangers:
                raise InputError(
                    f"{where}: {name} holds {strangers}, which batch_sizes {self.batch_sizes} does not; "
                    f"add them there or drop them"
                )

    @property
    def spec(self) -> InferenceModelSpec:
        """Itself, so that code can read `.spec` of specs and deployments alike."""
        return self

    def cache_hash(self) -> str:
        """16 hexadecimal digits that name the measured configuration: model, task and hardware.

        Label, deadline and batch sizes do not enter: they choose among measurements and change none.
        """
        measured = (
            self.model_id,
            self.gpu_model,
            self.task,
            self.precision,
            self.gpus_per_replica,
            self.tensor_parallel,
            self.expert_parallel,
        )
        return hashlib.sha256(repr(measured).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class ModelDeployment:
    """A model and the batch size it starts with; the start need not be one a controller may return to."""

    spec: InferenceModelSpec
    initial_batch_size: int

    def __post_init__(self) -> None:
        if self.initial_batch_size not in self.spec.batch_sizes:
            raise InputError(
                f"model {self.spec.model_label!r}: initial_batch_size {self.initial_batch_size!r} is not one of its "
                f"batch_sizes {self.spec.batch_sizes}"
            )

    @property
    def model_label(self) -> str:
        """Label of the model."""
        return self.spec.model_label

    @property
    def model_id(self) -> str:
        """Full name of the model."""
        return self.spec.model_id

    @property
    def gpu_model(self) -> str:
        """GPU it runs on."""
        return self.spec.gpu_model

    @property
    def task(self) -> str:
        """Prompt set it was measured with."""
        return self.spec.task

    @property
    def gpus_per_replica(self) -> int:
        """GPUs of one replica."""
        return self.spec.gpus_per_replica

    @property
    def itl_deadline_s(self) -> float:
        """Latency target, s."""
        return self.spec.itl_deadline_s

    @property
    def batch_sizes(self) -> tuple[int, ...]:
        """Batch sizes loaded."""
        return self.spec.batch_sizes

    @property
    def feasible_batch_sizes(self) -> tuple[int, ...]:
        """Batch sizes a controller may choose."""
        return self.spec.feasible_batch_sizes


def require_whole(what: str, value: Any, *, minimum: int) -> None:
    """Raise `InputError` for a value that is no whole number of at least `minimum`; `what` says what it is."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < minimum:
        raise InputError(f"{what} must be a whole number of at least {minimum}, got {shown(value)}")


def _rising_sizes(what: str, sizes: Any) -> tuple[int, ...]:
    """Batch sizes as a tuple of positive whole numbers that rise; `InputError` otherwise."""
    listed = tuple(sizes)
    for size in listed:
        require_whole(f"{what}: each batch size", size, minimum=1)
    if any(a >= b for a, b in pairwise(listed)):
        rising = tuple(sorted(set(listed)))
        raise InputError(f"{what} must rise without repeats, got {shown(listed)}; write {shown(rising)}")
    return tuple(int(size) for size in listed)
