"""One dispatch per record as blocks of a quadratic program: what plain dispatch, coordination and training share
(equation 9.2).

Columns of a block: p (generator), l (zone, load shed) and, with a network, theta (datacenter). Inside, power is in GW
(or less, if the system is small) and prices in 100 $/MWh: then all figures are near one.

The power flow is stated in one of two ways with the same optimum. By transfer factors, lines limit net injections, and
one equation balances all zones: few columns, dense rows, right for a dozen zones. By angles, a block has further
columns (the angle of every zone but the first, and the flow of every line without reactance), every zone has its own
balance, and a row has as many entries as a line has ends: right for hundreds of buses.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import block_array, block_diag, csc_matrix, csr_array, diags_array, hstack, vstack
from scipy.sparse.linalg import splu

from solvers.dispatch.lines import Lines
from solvers.dispatch.task_allocation import ShiftLimits
from solvers.outcome import SolverError
from solvers.quadratic.program import QuadraticProgram

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

POWER_MAX_MW = 1e3
MONEY_USD = 1e2
# Zones up to which transfer factors take less time than angles.
ZONES_BY_FACTORS = 15


@dataclass(frozen=True, eq=False)
class DispatchSystem:
    """Generators and lines: min p'Cp + c'p + s'l over one hour (equation 9.2).

    `generator_zone`, `power_min_mw`, `power_max_mw`, `cost_usd_per_mwh`, `quadratic_usd_per_mw2h` (generator,);
    `shed_usd_per_mwh` prices load that is not served; `fixed_usd` is paid in every hour, whatever is dispatched.
    """

    generator_zone: Ints
    power_min_mw: Floats
    power_max_mw: Floats
    cost_usd_per_mwh: Floats
    quadratic_usd_per_mw2h: Floats
    lines: Lines
    shed_usd_per_mwh: float
    fixed_usd: float = 0.0

    @property
    def n_zones(self) -> int:
        """Zones."""
        return self.lines.n_zones

    @property
    def by_angles(self) -> bool:
        """Is its power flow stated by angles rather than by transfer factors?"""
        return self.n_zones > ZONES_BY_FACTORS

    @property
    def power_unit_mw(self) -> float:
        """What power is counted in: the power of ten above all that there is, and no more than a GW.

        A certificate is relative to figures near one: of a feeder's few MW, counted in GW, it would say little.
        """
        all_mw = float(np.abs(self.power_max_mw).sum())
        return float(min(POWER_MAX_MW, 10.0 ** np.ceil(np.log10(max(all_mw, 1e-3)))))

    @property
    def transfer_factors(self) -> Floats:
        """Flow (line, zone) per MW injected."""
        return self.lines.transfer_factors

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
        return np.asarray(by_unit.sum(axis=-1) + self.shed_usd_per_mwh * shed_mw.sum(axis=-1) + self.fixed_usd)


@dataclass(frozen=True, eq=False)
class OutputBand:
    """What units may give in each record: `least_mw` and `most_mw` (record, generator), within what they can."""

    least_mw: Floats
    most_mw: Floats

    @classmethod
    def around(cls, system: DispatchSystem, scheduled_mw: Floats, share: float) -> OutputBand:
        """A schedule (record, generator) that units may be moved from by a share of their capacity (equation 9.13).

        Where there is no schedule (NaN), only what units can give limits them.
        """
        room = share * system.power_max_mw
        least = np.where(np.isnan(scheduled_mw), -np.inf, scheduled_mw - room)
        most = np.where(np.isnan(scheduled_mw), np.inf, scheduled_mw + room)
        return cls(np.maximum(least, system.power_min_mw), np.minimum(most, system.power_max_mw))

    def of(self, which: Ints | slice) -> OutputBand:
        """Of some records."""
        return OutputBand(self.least_mw[which], self.most_mw[which])


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
    """Blocks of all records, in `power_mw` and 100 $/MWh; `n_columns` of one block, theta from `theta_at` on.

    Rows of a block: lines first (by angles, those with a limit only), then (with a network) shed load of zones with
    datacenters, then the latency rows. Equations: the balance (by angles, of every zone), then (with a network whose
    sum is kept) the sum of theta, then (by angles) lines without reactance. `limited_lines` are those that have rows.
    `angle_flow` (line, column) is the flow of the angles' columns, without what phase shifters push; empty by transfer
    factors.
    """

    program: QuadraticProgram
    n_columns: int
    n_equal: int
    n_rows: int
    theta_at: int
    limited_lines: Ints
    angle_flow: csr_array
    power_mw: float

    @property
    def objective_usd(self) -> float:
        """$ of the program's objective."""
        return self.power_mw * MONEY_USD

    @property
    def by_angles(self) -> bool:
        """Is the power flow stated by angles?"""
        return bool(self.angle_flow.shape[1] > 0)

    def flow_of(self, lines: Lines, injected: Floats) -> Floats:
        """Flow (record, line) of injections (record, zone), both in `power_mw`."""
        return np.asarray(lines.flow_mw(injected * self.power_mw) / self.power_mw)

    def angles_of(self, lines: Lines, injected: Floats) -> Floats:
        """Columns of angles (record, column) at which zones inject `injected` (record, zone), in `power_mw`.

        There must be no line without reactance.
        """
        leaves = lines.incidence.T
        driven = injected - leaves @ lines.pushed_mw / self.power_mw
        return np.asarray(splu(csc_matrix((leaves @ self.angle_flow)[1:])).solve(driven[:, 1:].T).T)


def dispatch_blocks(
    system: DispatchSystem,
    load_mw: Floats,
    injected_mw: Floats,
    network: DatacenterNetwork | None = None,
    *,
    keep_sum: bool = True,
    by_angles: bool | None = None,
    band: OutputBand | None = None,
) -> DispatchBlocks:
    """Dispatch of `load_mw` less `injected_mw`, both (record, zone), with theta free within a network's limits.

    `keep_sum` adds the row sum of theta = total; `by_angles` states the power flow so, or not (None: as is best for the
    system); `band` limits units by record. Raises `SolverError` if shapes do not fit.
    """
    n_records, n_zones, n_units = len(load_mw), system.n_zones, system.n_generators
    for name, array in (("load_mw", load_mw), ("injected_mw", injected_mw)):
        if array.shape != (n_records, n_zones):
            raise SolverError(f"{name} has shape {array.shape}, the system asks for ({n_records}, {n_zones})")
        if not np.isfinite(array).all():
            raise SolverError(f"{name} has values that are no numbers")
    n_centers = network.n if network is not None else 0
    power_mw = system.power_unit_mw
    by_angles = system.by_angles if by_angles is None else by_angles
    angle_flow = _angle_flow(system.lines) if by_angles else csr_array((len(system.lines), 0))
    n_own, n_angles = n_units + n_zones + n_centers, angle_flow.shape[1]
    n = n_own + n_angles
    theta = np.arange(n_units + n_zones, n_own)
    zone_of = [system.generator_zone, np.arange(n_zones), *([network.zone] if network is not None else [])]
    sign = np.concatenate([np.ones(n_units + n_zones), -np.ones(n_centers)])
    at_zone = csr_array((sign, (np.concatenate(zone_of), np.arange(n_own))), shape=(n_zones, n_own))
    net_load = load_mw - injected_mw
    if by_angles:
        # The flow of a line leaves where it begins: what is injected less what leaves is the load.
        leaves = system.lines.incidence.T
        limited = np.isfinite(system.lines.flow_min_mw) | np.isfinite(system.lines.flow_max_mw)
        equal = [block_array([[at_zone, -(leaves @ angle_flow)]])]
        equal_to = [net_load + leaves @ system.lines.pushed_mw]
        rows = [block_array([[csr_array((int(limited.sum()), n_own)), angle_flow[np.flatnonzero(limited)]]])]
        flow = np.tile(system.lines.pushed_mw[limited], (n_records, 1))
    else:
        limited = np.ones(len(system.lines), dtype=np.bool_)
        equal, equal_to = [csr_array(at_zone.sum(axis=0)[None])], [net_load.sum(axis=1)[:, None]]
        rows = [csr_array(system.transfer_factors @ at_zone.toarray())]
        flow = system.lines.flow_mw(-net_load)
    low, high = [system.lines.flow_min_mw[limited] - flow], [system.lines.flow_max_mw[limited] - flow]
    # A zone whose load is negative has none that could be shed.
    served = np.maximum(load_mw, 0.0)
    shed_max = served.copy()
    if network is not None:
        limits = network.limits
        if keep_sum:
            equal.append(csr_array(np.isin(np.arange(n), theta).astype(np.float64)[None]))
            equal_to.append(np.full((n_records, 1), limits.total_mw))
        zones = np.unique(network.zone)
        shed = np.zeros((len(zones), n))
        shed[np.arange(len(zones)), n_units + zones] = 1.0
        for k, zone in enumerate(zones):
            shed[k, theta[network.zone == zone]] = -1.0
        latency = np.zeros((len(limits.rows), n))
        latency[:, theta] = limits.rows
        rows += [csr_array(shed), csr_array(latency)]
        low += [np.full((n_records, len(zones) + len(limits.rows)), -np.inf)]
        high += [served[:, zones], np.tile(limits.bound, (n_records, 1))]
        shed_max[:, zones] = np.inf
    bars = np.flatnonzero(system.lines.bars) if by_angles else np.zeros(0, dtype=np.int64)
    if len(bars):
        equal.append(_one_angle(system.lines, bars, n, n_own))
        equal_to.append(np.zeros((n_records, len(bars))))
    endless = np.full(n_angles, np.inf)
    band = band or OutputBand(*(np.tile(own, (n_records, 1)) for own in (system.power_min_mw, system.power_max_mw)))
    if not band.least_mw.shape == band.most_mw.shape == (n_records, n_units):
        raise SolverError(f"band has shape {band.least_mw.shape}, the system asks for ({n_records}, {n_units})")
    low_each = np.hstack([band.least_mw, np.tile(np.append(np.zeros(n_zones + n_centers), -endless), (n_records, 1))])
    free = np.full((n_records, n_centers + n_angles), np.inf)
    high_each = np.hstack([band.most_mw, shed_max, free])
    nothing = np.zeros(n_centers + n_angles)
    cost = np.concatenate([system.cost_usd_per_mwh, np.full(n_zones, system.shed_usd_per_mwh), nothing])
    curved = np.concatenate([2.0 * system.quadratic_usd_per_mw2h, np.zeros(n_zones), nothing])
    one_equal, one_rows = vstack(equal, format="csr"), vstack(rows, format="csr")
    return DispatchBlocks(
        QuadraticProgram(
            csc_matrix(diags_array(np.tile(curved * power_mw / MONEY_USD, n_records))),
            np.tile(cost / MONEY_USD, n_records),
            _repeat(one_equal, n_records),
            np.hstack(equal_to).ravel() / power_mw,
            _repeat(one_rows, n_records),
            np.hstack(low).ravel() / power_mw,
            np.hstack(high).ravel() / power_mw,
            low_each.ravel() / power_mw,
            high_each.ravel() / power_mw,
        ),
        n,
        one_equal.shape[0],
        one_rows.shape[0],
        n_units + n_zones,
        np.flatnonzero(limited),
        angle_flow,
        power_mw,
    )


def _angle_flow(lines: Lines) -> csr_array:
    """Flow (line, column) per angle of the zones but the first, and per flow of lines without reactance.

    Angles are counted by the flow they drive through a line of the middle size: then all figures are near one.
    """
    bars = np.flatnonzero(lines.bars)
    weight = lines.weight / _middle(lines)
    of_angles = (csr_array(diags_array(weight)) @ lines.incidence)[:, 1:]
    of_bars = csr_array((np.ones(len(bars)), (bars, np.arange(len(bars)))), shape=(len(lines), len(bars)))
    return csr_array(hstack([of_angles, of_bars], format="csr"))


def _one_angle(lines: Lines, bars: Ints, n: int, angles_at: int) -> csr_array:
    """Equations (bar, column): both ends of a line without reactance have one angle."""
    ends = lines.incidence[bars][:, 1:]
    after = csr_array((len(bars), n - angles_at - ends.shape[1]))
    return csr_array(hstack([csr_array((len(bars), angles_at)), ends, after], format="csr"))


def _middle(lines: Lines) -> float:
    weight = np.abs(lines.weight[~lines.bars])
    return float(np.median(weight)) if len(weight) else 1.0


def _repeat(block: csr_array, n_records: int) -> csc_matrix:
    return csc_matrix(block_diag([csc_matrix(block)] * n_records, format="csc"))
