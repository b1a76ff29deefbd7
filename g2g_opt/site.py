"""`Site`: a datacenter at a bus, and what it runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from g2g_opt.datacenter.config import InferenceModelSpec
from g2g_opt.errors import InputError, number_of
from g2g_opt.quantities import BatchSize, CountFromZero, KwPerGpu, PowerFactor, ReplicaCount, check_quantities

# Facility load that does not follow the GPUs: 1,500 kW for 7,200 GPUs at the 13-bus site of the OpenG2G paper
# (appendix C, table 4).
BASE_KW_PER_GPU = 1500.0 / 7200.0
GPUS_PER_SERVER = 8
POWER_FACTOR = 0.95  # lagging, where nothing else is said

AskedConnection = Literal["auto", "wye", "delta"]


@dataclass(frozen=True)
class Deployment:
    """Replicas of one model at a site, and the batch size they run at without coordination."""

    spec: InferenceModelSpec
    n_replicas: ReplicaCount
    batch_size: BatchSize

    def __post_init__(self) -> None:
        check_quantities(self)
        if self.batch_size not in self.spec.feasible_batch_sizes:
            raise InputError(
                f"batch size {self.batch_size} of {self.spec.model_label!r} is not feasible; "
                f"feasible: {list(self.spec.feasible_batch_sizes)}"
            )

    def capped(self, batch_cap: int) -> Deployment:
        """At the largest feasible batch size up to a cap and the one it has; the smallest if none is that small."""
        sizes = [size for size in self.spec.feasible_batch_sizes if size <= min(batch_cap, self.batch_size)]
        return replace(self, batch_size=max(sizes, default=min(self.spec.feasible_batch_sizes)))


@dataclass(frozen=True)
class Site:
    """A datacenter at `bus`: what it serves, its base load (kW per GPU it can hold), power factor (lagging) and
    connection: "auto" is delta where the bus has no path for zero-sequence current, else wye. At a bus of one phase a
    site lies between it and the neutral, at two phases, or the two legs of a 120/240 V service, between them.

    `spare_servers` hold no replica of its own: a policy may shift other sites' replicas there.
    """

    name: str
    bus: str
    deployments: tuple[Deployment, ...]
    base_kw_per_gpu: KwPerGpu = BASE_KW_PER_GPU
    power_factor: PowerFactor = POWER_FACTOR
    connection: AskedConnection = "auto"
    spare_servers: CountFromZero = 0

    def __post_init__(self) -> None:
        check_quantities(self)
        labels = [d.spec.model_label for d in self.deployments]
        if not labels or len(set(labels)) != len(labels):
            raise InputError(f"site {self.name!r} needs deployments of different models, got {labels}")

    @property
    def n_gpus(self) -> int:
        """GPUs of all replicas."""
        return sum(d.n_replicas * d.spec.gpus_per_replica for d in self.deployments)

    @property
    def n_replicas(self) -> int:
        """Replicas of all models."""
        return sum(d.n_replicas for d in self.deployments)

    def capped(self, batch_cap: int) -> Site:
        """This site with every model at its largest feasible batch size up to a cap and the one it has."""
        return replace(self, deployments=tuple(d.capped(batch_cap) for d in self.deployments))

    @property
    def n_servers(self) -> int:
        """Whole servers of `GPUS_PER_SERVER`, each running one model."""
        return sum(-(-d.n_replicas * d.spec.gpus_per_replica // GPUS_PER_SERVER) for d in self.deployments)


def sized_site(
    name: str,
    bus: str,
    models: Sequence[tuple[InferenceModelSpec, int]],
    n_servers: int,
    base_kw_per_gpu: float,
    power_factor: float = POWER_FACTOR,
    connection: AskedConnection = "auto",
) -> Site:
    """A site of `n_servers` shared evenly between `models` (spec, batch size); full servers, whole replicas.

    `power_factor` is a share, lagging. Servers that do not divide evenly go to the first models. Raises `InputError` if
    a model gets no replica; see `smallest_n_servers`.
    """
    deployments = []
    for i, (spec, batch_size) in enumerate(models):
        servers = n_servers // len(models) + (1 if i < n_servers % len(models) else 0)
        n_replicas = servers * GPUS_PER_SERVER // spec.gpus_per_replica
        if n_replicas == 0:
            raise InputError(
                f"{number_of(n_servers, 'server')} of {GPUS_PER_SERVER} GPUs leave no replica of {spec.model_label!r}; "
                f"{smallest_n_servers(models)} are the least"
            )
        deployments.append(Deployment(spec, n_replicas, batch_size))
    return Site(name, bus, tuple(deployments), base_kw_per_gpu, power_factor, connection)


def smallest_n_servers(models: Sequence[tuple[InferenceModelSpec, int]]) -> int:
    """The least servers with which `sized_site` gives every model a replica."""
    return len(models) * max(-(-spec.gpus_per_replica // GPUS_PER_SERVER) for spec, _ in models)
