"""`SiteDemand`: what a site runs over time before anybody sets a batch size: replicas, servers, base load, draws."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from g2g_opt.datacenter.config import DatacenterConfig, InferenceModelSpec, ReplicaSchedule, TrainingSchedule
from g2g_opt.datacenter.draws import LATENCY, LATENCY_MEAN, SERVER_NOISE, StepDraws
from g2g_opt.datacenter.fleet import active_replicas, claims, servers_needed
from g2g_opt.datacenter.layout import ServerPool
from g2g_opt.datacenter.workloads.latency import (
    EXACT_SAMPLING_MAX_REPLICAS,
    LatencyMixture,
    mean_itl_s,
    sample_mean_itl_s,
)
from g2g_opt.errors import InputError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Stretch:
    """Steps of a site, all but what batch sizes decide.

    `time_s` (step,); `replicas` (step, model) that run; `servers` (step, model, 3) by phase; `standing_w` (step, 3),
    base load and training.
    """

    time_s: Floats
    replicas: Ints
    servers: Ints
    standing_w: Floats


class SiteDemand:
    """Schedules, server pool and keyed draws of one site; models in alphabetical order of their labels."""

    def __init__(
        self,
        name: str,
        config: DatacenterConfig,
        specs: Mapping[str, InferenceModelSpec],
        schedules: Mapping[str, ReplicaSchedule],
        training: TrainingSchedule,
        pool: ServerPool,
        draws: StepDraws,
        noise_fraction: float,
        dt_s: Fraction,
    ) -> None:
        self.name, self.config, self.pool, self.draws = name, config, pool, draws
        self.noise_fraction = noise_fraction
        self.labels = tuple(specs)
        self.gpus_per_replica = np.array([spec.gpus_per_replica for spec in specs.values()], dtype=np.int64)
        self._schedules = [schedules.get(label) for label in self.labels]
        self._training, self._dt_s = training, dt_s

    @property
    def ramp_ends_s(self) -> list[float]:
        """When the ramps of the schedules end (s)."""
        return [t_end for s in self._schedules if s is not None for _, _, t_end in s.ramps]

    @property
    def changes(self) -> list[tuple[float, float, str]]:
        """What is planned to change: begin and end (s), and what it is."""
        ramps = {(begin, end) for s in self._schedules if s is not None for _, begin, end in s.ramps}
        found = [(float(begin), float(end), "a ramp of replicas") for begin, end in sorted(ramps)]
        for _, begin, end in self._training:
            found += [(float(begin), float(begin), "training starts"), (float(end), float(end), "training stops")]
        return found

    def scheduled_replicas(self, time_s: Floats) -> Ints:
        """Whole replicas per (step, model) by the schedules alone; times rise."""
        counts = np.zeros((len(time_s), len(self.labels)), dtype=np.int64)
        for column, schedule in enumerate(self._schedules):
            if schedule is None:
                continue
            level = schedule.level_over(time_s[0], time_s[-1]) if len(time_s) else None
            counts[:, column] = level if level is not None else np.rint(schedule.count_at(time_s)).astype(np.int64)
        return counts

    def gpus_free_from(self, time_s: float, shift: Ints) -> int:
        """GPUs of servers that no model needs from `time_s` (s) on, each at the most replicas still to come and with
        `shift` (model,) on top.
        """
        most = np.array([0 if s is None else s.max_count_from(time_s) for s in self._schedules], dtype=np.int64)
        servers = servers_needed(np.maximum(most + shift, 0)[None, :], self.gpus_per_replica, self.pool.gpus_per_server)
        free = sum(self.pool.n_servers_by_phase) - int(servers.sum())
        return max(0, free) * self.pool.gpus_per_server

    def check_capacity(self, total_gpu_capacity: int) -> None:
        """`InputError` if the schedules need more GPUs or whole servers than there are, at any step."""
        dt_s, n_servers = float(self._dt_s), sum(self.pool.n_servers_by_phase)
        time_s = np.arange(0.0, max(self.ramp_ends_s, default=0.0) + 2 * dt_s, dt_s)
        replicas, gpus_per_server = self.scheduled_replicas(time_s), self.pool.gpus_per_server
        gpus = replicas @ self.gpus_per_replica
        servers = servers_needed(replicas, self.gpus_per_replica, gpus_per_server).sum(axis=1)
        worst = int(gpus.argmax())
        if gpus[worst] > total_gpu_capacity:
            raise InputError(
                f"the replica schedules of site {self.name!r} need {gpus[worst]} GPUs at t={time_s[worst]:g} s but "
                f"total_gpu_capacity is {total_gpu_capacity}; lower a schedule or raise the capacity"
            )
        worst = int(servers.argmax())
        if servers[worst] > n_servers:
            raise InputError(
                f"the replica schedules of site {self.name!r} need {servers[worst]} whole servers at "
                f"t={time_s[worst]:g} s (a server runs one model) but total_gpu_capacity={total_gpu_capacity} makes "
                f"{n_servers} servers of {gpus_per_server}; raise the capacity by "
                f"{(servers[worst] - n_servers) * gpus_per_server} GPUs or lower a schedule"
            )

    def standing_w(self, time_s: Floats) -> Floats:
        """Base load and training per phase (W), shape (step,)."""
        standing_w = np.full(len(time_s), self.config.base_kw_per_phase * 1e3)
        if len(self._training):
            standing_w += np.asarray(self._training.power_w(time_s)) / 3.0
        return standing_w

    def stretch(self, start_s: float, n_steps: int, shift: Ints) -> Stretch:
        """The steps from `start_s` on, with `shift` (model,) replicas on top of the schedules.

        Raises `InputError` if shifted replicas no longer fit beside the schedule.
        """
        index = round(start_s / float(self._dt_s)) + np.arange(n_steps)
        times = index * self._dt_s.numerator / self._dt_s.denominator
        gpus_per_server = self.pool.gpus_per_server
        wanted = np.maximum(self.scheduled_replicas(times) + shift, 0)
        servers = servers_needed(wanted, self.gpus_per_replica, gpus_per_server)
        over = int(servers.sum(axis=1).argmax())
        if servers[over].sum() > sum(self.pool.n_servers_by_phase):
            raise InputError(
                f"replicas shifted to site {self.name!r} no longer fit beside its schedule at t={times[over]:g} s: "
                f"{servers[over].sum()} servers needed, {sum(self.pool.n_servers_by_phase)} there; "
                "leave room for the scheduled ramps or raise total_gpu_capacity"
            )
        standing_w = np.repeat(self.standing_w(times)[:, None], 3, axis=1)
        replicas = active_replicas(servers, self.gpus_per_replica, gpus_per_server)
        return Stretch(times, replicas, claims(servers, self.pool), standing_w)

    def noise(self, first: int, n_steps: int) -> Floats | None:
        """Standard normals (step, model, 3) of the servers' noise from step `first` on; None without noise."""
        return self.draws.normals(self.labels, SERVER_NOISE, first, n_steps, 3) if self.noise_fraction else None

    def latency_normals(self, model: int, first: int, n_steps: int) -> Floats:
        """Standard normals (step,) of a model's mean latency from step `first` on."""
        return self.draws.normals((self.labels[model],), LATENCY_MEAN, first, n_steps, 1)[:, 0, 0]

    def latency_pairs(self, model: int, first: int, n_steps: int) -> tuple[Floats, Floats]:
        """Uniforms and standard normals (step, replica) of a model's few replicas from step `first` on."""
        return self.draws.pairs(self.labels[model], LATENCY, first, n_steps, EXACT_SAMPLING_MAX_REPLICAS)

    @property
    def schedule_key(self) -> tuple[Hashable, ...]:
        """Equal for sites whose stretches are equal, whatever they draw."""
        return (
            self.config,
            tuple(self.gpus_per_replica.tolist()),
            tuple(self._schedules),
            self._training,
            self.pool.n_servers_by_phase,
            self._dt_s,
        )

    def observed_itl_s(self, model: int, mixture: LatencyMixture, first: int, replicas: Ints) -> Floats:
        """Mean latency over a model's replicas (s), shape (step,), for steps from `first` on; NaN without replicas."""
        itl = np.full(len(replicas), np.nan)
        active = replicas > 0
        if mixture.variance_s2 == 0.0:
            itl[active] = mixture.mean_s
            return itl
        n = len(replicas)
        normals = self.latency_normals(model, first, n)
        itl[active] = mean_itl_s(mixture.mean_s, mixture.variance_s2, np.maximum(replicas, 1), normals)[active]
        for few in np.unique(replicas[active & (replicas <= EXACT_SAMPLING_MAX_REPLICAS)]):
            rows = replicas == few
            uniforms, each = self.latency_pairs(model, first, n)
            itl[rows] = sample_mean_itl_s(mixture, int(few), uniforms[rows, :few], each[rows, :few])
        return itl
