"""Commands to a datacenter; each names its target and takes effect at the target's next step."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, field
from typing import Any

# Commands and what takes them know each other: the base class stands there.
from g2g_opt.datacenter.base import DatacenterBackend
from g2g_opt.datacenter.base import DatacenterCommand as DatacenterCommand


@dataclass(frozen=True)
class SetBatchSize(DatacenterCommand):
    """New batch sizes per model label; models left out keep theirs.

    `ramp_up_rate_by_model` (batch per s) is for backends that can grow a batch gradually.
    """

    batch_size_by_model: dict[str, int]
    ramp_up_rate_by_model: dict[str, float] = field(default_factory=dict)
    _: KW_ONLY
    target: DatacenterBackend[Any]


@dataclass(frozen=True)
class ShiftReplicas(DatacenterCommand):
    """Add (positive) or remove (negative) replicas of a model, on top of its schedule."""

    model_label: str
    replica_delta: int
    _: KW_ONLY
    target: DatacenterBackend[Any]
