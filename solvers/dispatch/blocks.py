"""One dispatch per record as blocks of a quadratic program: what plain dispatch, coordination and training share (9.2).

Columns of a block: p (generator), l (zone, load shed) and, with a network, theta (datacenter). Inside, power is in GW
and money in 100 $: then all figures are near one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import block_diag, csc_matrix, diags_array

from solvers.dispatch.task_allocation import ShiftLimits
from solvers.outcome import SolverError
from solvers.quadratic.program import QuadraticProgram

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

POWER_MW = 1e3
MONEY_USD = 1e2
# $ of the program's objective: cost per MWh is counted in MONEY_USD, power in POWER_MW.
OBJECTIVE_USD = POWER_MW * MONEY_USD


@dataclass(frozen=True, eq=False)
class DispatchSystem:
    """Generators and lines: min p'Cp + c'p + s'l over one hour (9.2).

    `generator_zone`, `power_min_mw`, `power_max_mw`, `cost_usd_per_mwh`, `quadratic_usd_per_mw2h` (generator,);
    `transfer_factors` (line, zone) and `limit_mw` (line,); `shed_usd_per_mwh` prices load that is not served.
    """

    generator_zone: Ints
    power_min_mw: Floats
    power_max_mw: Floats
    cost_usd_per_mwh: Floats
    quadratic_usd_per_mw2h: Floats
    transfer_factors: Floats
    limit_mw: Floats
    shed_usd_per_mwh: float

    @property
    def n_zones(self) -> int:
        """Zones."""
        return int(self.transfer_factors.shape[1])

    @property
    def at_zone(self) -> Floats:
        """1 where a generator (generator, zone) is."""
        return np.asarray(np.eye(self.n_zones)[self.generator_zone])

    @property
    def n_generators(self) -> int:
        """Generators."""
        return len(self.power_max_mw)

    def cost_usd(self, power_mw: Floats, shed_mw: Floats) -> Floats:
        """Cost (...,) of power (..., generator) and shed load (..., zone)."""
        by_unit = self.cost_usd_per_mwh * power_mw + self.quadratic_usd_per_mw2h * power_mw**2
        return np.asarray(by_unit.sum(axis=-1) + self.shed_usd_per_mwh * shed_mw.sum(axis=-1))


@dataclass(frozen=True, eq=False)
class DatacenterNetwork:
    """Datacenters: `zone` (datacenter,), loads `base_mw` without coordination, and the loads they accept."""

    zone: Ints
    base_mw: Floats
    limits: ShiftLimits

    @property
    def n(self) -> int:
        """Datacenters."""
        return len(self.zone)

    def at_zone(self, n_zones: int) -> Floats:
        """1 where a datacenter (datacenter, zone) is."""
        return np.asarray(np.eye(n_zones)[self.zone])


@dataclass(frozen=True, eq=False)
class DispatchBlocks:
    """Blocks of all records, in GW and 100 $; `n_columns` of one block, theta from `theta_at` on.

    Rows of a block: lines first, then (with a network) shed load of zones with datacenters, then the latency rows.
    """

    program: QuadraticProgram
    n_columns: int
    n_equal: int
    n_rows: int
    theta_at: int


def dispatch_blocks(
    system: DispatchSystem,
    load_mw: Floats,
    injected_mw: Floats,
    network: DatacenterNetwork | None = None,
    *,
    keep_sum: bool = True,
) -> DispatchBlocks:
    """Dispatch of `load_mw` less `injected_mw`, both (record, zone), with theta free within a network's limits.

    `keep_sum` adds the row sum of theta = total. Raises `SolverError` if shapes do not fit.
    """
    n_records, n_zones, n_units = len(load_mw), system.n_zones, system.n_generators
    for name, array in (("load_mw", load_mw), ("injected_mw", injected_mw)):
        if array.shape != (n_records, n_zones):
            raise SolverError(f"{name} has shape {array.shape}, the system asks for ({n_records}, {n_zones})")
        if not np.isfinite(array).all():
            raise SolverError(f"{name} has values that are no numbers")
    n_centers = network.n if network is not None else 0
    n = n_units + n_zones + n_centers
    theta = np.arange(n_units + n_zones, n)
    at_zone = np.zeros((n_zones, n))
    at_zone[:, :n_units] = system.at_zone.T
    at_zone[:, n_units : n_units + n_zones] = np.eye(n_zones)
    if network is not None:
        at_zone[:, theta] = -network.at_zone(n_zones).T
    equal, equal_to = [at_zone.sum(axis=0)[None]], [(load_mw - injected_mw).sum(axis=1)[:, None]]
    rows = [system.transfer_factors @ at_zone]
    flow = (injected_mw - load_mw) @ system.transfer_factors.T
    low, high = [-system.limit_mw - flow], [system.limit_mw - flow]
    # A zone whose load is negative has none that could be shed.
    served = np.maximum(load_mw, 0.0)
    shed_max = served.copy()
    if network is not None:
        limits = network.limits
        if keep_sum:
            equal.append(np.isin(np.arange(n), theta).astype(np.float64)[None])
            equal_to.append(np.full((n_records, 1), limits.total_mw))
        zones = np.unique(network.zone)
        shed = np.zeros((len(zones), n))
        shed[np.arange(len(zones)), n_units + zones] = 1.0
        for k, zone in enumerate(zones):
            shed[k, theta[network.zone == zone]] = -1.0
        latency = np.zeros((len(limits.rows), n))
        latency[:, theta] = limits.rows
        rows += [shed, latency]
        low += [np.full((n_records, len(zones) + len(limits.rows)), -np.inf)]
        high += [served[:, zones], np.tile(limits.bound, (n_records, 1))]
        shed_max[:, zones] = np.inf
    low_each = np.concatenate([system.power_min_mw, np.zeros(n_zones + n_centers)])
    high_each = np.hstack(
        [np.tile(system.power_max_mw, (n_records, 1)), shed_max, np.full((n_records, n_centers), np.inf)]
    )
    cost = np.concatenate([system.cost_usd_per_mwh, np.full(n_zones, system.shed_usd_per_mwh), np.zeros(n_centers)])
    curved = np.concatenate([2.0 * system.quadratic_usd_per_mw2h, np.zeros(n_zones + n_centers)])
    one_equal, one_rows = np.vstack(equal), np.vstack(rows)
    return DispatchBlocks(
        QuadraticProgram(
            csc_matrix(diags_array(np.tile(curved * POWER_MW / MONEY_USD, n_records))),
            np.tile(cost / MONEY_USD, n_records),
            _repeat(one_equal, n_records),
            np.hstack(equal_to).ravel() / POWER_MW,
            _repeat(one_rows, n_records),
            np.hstack(low).ravel() / POWER_MW,
            np.hstack(high).ravel() / POWER_MW,
            np.tile(low_each, n_records) / POWER_MW,
            high_each.ravel() / POWER_MW,
        ),
        n,
        len(one_equal),
        len(one_rows),
        n_units + n_zones,
    )


def _repeat(block: Floats, n_records: int) -> csc_matrix:
    return csc_matrix(block_diag([csc_matrix(block)] * n_records, format="csc"))
