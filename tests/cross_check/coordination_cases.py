"""Small random cases of coordination: a ring of zones, datacenters, users, a few records."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from solvers.dispatch.blocks import DatacenterNetwork, DispatchSystem
from solvers.dispatch.lines import Lines
from solvers.dispatch.task_allocation import allocate_tasks, shift_limits
from solvers.policy_training.cvxpy_statement import TaskNetwork

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Case:
    system: DispatchSystem
    tasks: TaskNetwork
    load_mw: Floats
    injected_mw: Floats
    features: Floats
    eps: float

    def network(self, more: float = 0.0) -> DatacenterNetwork:
        """As the program takes it, with alpha larger by `more`."""
        t = self.tasks
        limits = shift_limits(t.latency, t.demand_mw, t.latency_max / (1.0 + t.alpha), t.alpha + more)
        return DatacenterNetwork(t.zone, t.base_mw, limits)


def small_case(seed: int, *, curved: bool) -> Case:
    """A ring of 3 or 4 zones with users in each, 2 or 3 datacenters, 1 to 3 records; every fifth is short of power."""
    rng = np.random.default_rng(seed)
    n_zones, n, q = int(rng.integers(3, 5)), int(rng.integers(2, 4)), int(rng.integers(1, 4))
    zones = np.arange(n_zones)
    weight = rng.uniform(1.0, 5.0, n_zones)
    unit_zone = np.concatenate([np.arange(n_zones), rng.integers(0, n_zones, 2)])
    cost = rng.uniform(10.0, 60.0, len(unit_zone)).round(2)
    power_max = rng.uniform(60.0, 200.0, len(unit_zone)).round(1) * (0.35 if seed % 5 == 0 else 1.0)
    limit = rng.uniform(15.0, 60.0, n_zones).round(1)
    system = DispatchSystem(
        unit_zone,
        np.zeros(len(unit_zone)),
        power_max,
        cost,
        (1e-3 if curved else 0.0) * cost,
        Lines(n_zones, zones, np.roll(zones, -1), 1.0 / weight, np.zeros(n_zones), -limit, limit),
        500.0,
    )
    latency = rng.uniform(0.0, 5.0, (n, n_zones)).round(0 if seed % 2 else 2)
    demand = rng.uniform(10.0, 50.0, n_zones).round(1)
    alpha = float(rng.choice([0.0, 0.05, 0.1, 0.2, 0.4]))
    tasks = TaskNetwork(rng.permutation(n_zones)[:n], latency, demand, allocate_tasks(latency, demand), alpha)
    load, injected = rng.uniform(30.0, 110.0, (q, n_zones)).round(1), rng.uniform(0.0, 40.0, (q, n_zones)).round(1)
    return Case(system, tasks, load, injected, rng.uniform(-1.0, 1.0, (q, 2)).round(2), float(rng.choice([5, 20, 60])))
