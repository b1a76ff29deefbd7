"""Dispatch of many records at once, with prices, and ideal coordination: the same with the datacenters' loads free."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solvers.dispatch.blocks import (
    MONEY_USD,
    DatacenterNetwork,
    DispatchBlocks,
    DispatchSystem,
    OutputBand,
    dispatch_blocks,
)
from solvers.outcome import SolveStatus
from solvers.quadratic.program import (
    OptimalityCertificate,
    QuadraticSolution,
    certify,
    solve_quadratic_program,
)

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Records of one program: more take more iterations for all, fewer more overhead.
_AT_ONCE = 512
# Records that are coordinated first where rows of latency are not all stated: they break most of those that others do.
_FIRST = 32


@dataclass(frozen=True, eq=False)
class DispatchSolution:
    """Dispatch by record: power (record, generator), shed load and price (record, zone), flow (record, line), cost.

    Prices ($/MWh) are what one more MWh of load in a zone costs: the dual of the balance less those of the line limits
    times transfer factors. `theta_mw` (record, datacenter) is there if loads were free. `solved` (record,) says where
    an optimum was certified; figures of other records are NaN. `certificates` are in $ of the records they hold
    for, without what is paid whatever is dispatched. `network` has the rows of latency that free loads asked for.
    """

    power_mw: Floats
    shed_mw: Floats
    flow_mw: Floats
    price_usd_per_mwh: Floats
    cost_usd: Floats
    theta_mw: Floats
    solved: NDArray[np.bool_]
    certificates: tuple[OptimalityCertificate, ...]
    seconds: float
    network: DatacenterNetwork | None = None


def solve_dispatch(
    system: DispatchSystem, load_mw: Floats, injected_mw: Floats, band: OutputBand | None = None
) -> DispatchSolution:
    """Dispatch (equation 9.2) of `load_mw`, datacenters included, with `injected_mw` of renewables: both (record,
    zone); `band` limits units by record.

    A record without a solution (more injected than lines can carry away) is marked, not raised. Raises `SolverError` if
    shapes do not fit.
    """
    return _solve(system, load_mw, injected_mw, None, band)


def solve_ideal_coordination(
    system: DispatchSystem,
    load_mw: Floats,
    injected_mw: Floats,
    network: DatacenterNetwork,
    band: OutputBand | None = None,
) -> DispatchSolution:
    """The cheapest dispatch over all loads the datacenters accept (equations 9.2 to 9.4); `load_mw` is
    without datacenters, `band` limits units by record.
    """
    n_records = len(load_mw)
    if network.limits.transport is not None and n_records > 2 * _FIRST:
        few = np.linspace(0, n_records - 1, _FIRST).round().astype(np.int64)
        network = _solve(system, load_mw[few], injected_mw[few], network, _of(band, few)).network or network
    return _solve(system, load_mw, injected_mw, network, band)


def _of(band: OutputBand | None, which: Ints | slice) -> OutputBand | None:
    return None if band is None else band.of(which)


def _solve(
    system: DispatchSystem,
    load_mw: Floats,
    injected_mw: Floats,
    network: DatacenterNetwork | None,
    band: OutputBand | None,
) -> DispatchSolution:
    """All records in one program; if it has no certified optimum, each half on its own, down to a record."""
    n_records, n_units, n_zones = len(load_mw), system.n_generators, system.n_zones
    n_centers = network.n if network is not None else 0
    if not n_records:
        nothing = np.empty((0, n_units + n_zones + n_centers))
        return _as_solution(system, load_mw, injected_mw, network, band, nothing, np.empty((0, n_zones)), (), 0.0)
    if n_records > _AT_ONCE:
        ends = [slice(first, first + _AT_ONCE) for first in range(0, n_records, _AT_ONCE)]
        parts = []
        for k in ends:
            parts.append(_solve(system, load_mw[k], injected_mw[k], network, _of(band, k)))
            network = parts[-1].network
        return _join(parts, 0.0)
    blocks = dispatch_blocks(system, load_mw, injected_mw, network, band=band)
    found = solve_quadratic_program(blocks.program)
    if found.status is not SolveStatus.OPTIMAL:
        if n_records == 1:
            nothing = np.full((1, n_units + n_zones + n_centers), np.nan)
            return _as_solution(
                system, load_mw, injected_mw, network, band, nothing, np.full((1, n_zones), np.nan), (), 0.0
            )
        before, after = slice(0, n_records // 2), slice(n_records // 2, n_records)
        first = _solve(system, load_mw[before], injected_mw[before], network, _of(band, before))
        rest = _solve(system, load_mw[after], injected_mw[after], first.network, _of(band, after))
        return _join([first, rest], found.seconds)
    if network is not None:
        theta = found.x.reshape(n_records, -1)[:, blocks.theta_at : blocks.theta_at + n_centers] * blocks.power_mw
        if (limits := network.limits.broken_by(theta)) is not None:
            new = slice(len(network.limits.rows), None)
            missed = (theta @ limits.rows[new].T - limits.bound[new]).max(axis=1)
            broken = np.flatnonzero(missed > network.limits.broken_mw)
            # Records that break none of the new rows have their optimum already.
            kept = np.setdiff1d(np.arange(n_records), broken)
            part = _part(system, load_mw, injected_mw, network, band, blocks, found, kept)
            if part is None:
                kept, broken = kept[:0], np.arange(n_records)
            network = replace(network, limits=limits)
            again = _solve(system, load_mw[broken], injected_mw[broken], network, _of(band, broken))
            if part is None:
                return replace(again, seconds=again.seconds + found.seconds)
            joined = _join([part, again], found.seconds)
            return _in_order(joined, np.argsort(np.append(kept, broken)))
    return _found(system, load_mw, injected_mw, network, band, blocks, found, found.seconds)


def _part(
    system: DispatchSystem,
    load_mw: Floats,
    injected_mw: Floats,
    network: DatacenterNetwork,
    band: OutputBand | None,
    blocks: DispatchBlocks,
    found: QuadraticSolution,
    which: Ints,
) -> DispatchSolution | None:
    """Some records of a solution of all as a solution of their own, certified again; None if there is none."""
    if not len(which):
        return None
    load, injected, band = load_mw[which], injected_mw[which], _of(band, which)
    own = dispatch_blocks(system, load, injected, network, band=band)
    x, equal, rows, bounds = (
        values.reshape(len(load_mw), -1)[which].ravel()
        for values in (found.x, found.equal_dual, found.row_dual, found.bound_dual)
    )
    certificate = certify(own.program, x, equal, rows, bounds)
    if not certificate.holds:
        return None
    part = replace(found, x=x, equal_dual=equal, row_dual=rows, bound_dual=bounds, certificate=certificate)
    return _found(system, load, injected, network, band, own, part, 0.0)


def _found(
    system: DispatchSystem,
    load_mw: Floats,
    injected_mw: Floats,
    network: DatacenterNetwork | None,
    band: OutputBand | None,
    blocks: DispatchBlocks,
    found: QuadraticSolution,
    seconds: float,
) -> DispatchSolution:
    """The optimum of blocks in MW and $."""
    n_records, n_zones = load_mw.shape
    x = found.x.reshape(n_records, blocks.n_columns) * blocks.power_mw
    duals = found.equal_dual.reshape(n_records, blocks.n_equal) * MONEY_USD
    own_columns = blocks.theta_at + (network.n if network is not None else 0)
    if blocks.angle_flow.shape[1]:
        price = -duals[:, :n_zones]
        flow = x[:, own_columns:] @ blocks.angle_flow.T + system.lines.pushed_mw
    else:
        lines = found.row_dual.reshape(n_records, blocks.n_rows)[:, : len(system.lines)] * MONEY_USD
        price, flow = -duals[:, :1] - lines @ system.transfer_factors, None
    own = found.certificate
    in_usd = OptimalityCertificate(
        blocks.objective_usd * own.primal_objective,
        blocks.objective_usd * own.dual_objective,
        own.gap,
        own.primal_residual,
        own.dual_residual,
    )
    return _as_solution(
        system, load_mw, injected_mw, network, band, x[:, :own_columns], price, (in_usd,), seconds, flow
    )


def _as_solution(
    system: DispatchSystem,
    load_mw: Floats,
    injected_mw: Floats,
    network: DatacenterNetwork | None,
    band: OutputBand | None,
    x: Floats,
    price: Floats,
    certificates: tuple[OptimalityCertificate, ...],
    seconds: float,
    flow_mw: Floats | None = None,
) -> DispatchSolution:
    """The solution of columns (record, own); flows are those of the injections where none are given."""
    n_units, n_zones = system.n_generators, system.n_zones
    power, shed, theta = x[:, :n_units], x[:, n_units : n_units + n_zones], x[:, n_units + n_zones :]
    # Interior points end a hair off their bounds.
    ends = (system.power_min_mw, system.power_max_mw) if band is None else (band.least_mw, band.most_mw)
    power = np.clip(power, *ends)
    shed, theta = np.maximum(shed, 0.0), np.maximum(theta, 0.0)
    if flow_mw is None:
        net = injected_mw - load_mw + shed + power @ system.at_zone
        if network is not None:
            net = net - theta @ network.at_zone(n_zones)
        solved = np.isfinite(x).all(axis=1)
        flow_mw = np.full((len(x), len(system.lines)), np.nan)
        if solved.any():
            flow_mw[solved] = system.lines.flow_mw(net[solved])
    return DispatchSolution(
        power,
        shed,
        flow_mw,
        price,
        system.cost_usd(power, shed),
        theta,
        np.asarray(np.isfinite(x).all(axis=1)),
        certificates,
        seconds,
        network,
    )


def _in_order(solution: DispatchSolution, order: Ints) -> DispatchSolution:
    """Its records in another order."""
    by_record = ("power_mw", "shed_mw", "flow_mw", "price_usd_per_mwh", "cost_usd", "theta_mw", "solved")
    ordered: dict[str, Any] = {name: getattr(solution, name)[order] for name in by_record}
    return replace(solution, **ordered)


def _join(parts: list[DispatchSolution], spent_s: float) -> DispatchSolution:
    def all_of(name: str) -> Floats:
        return np.concatenate([getattr(part, name) for part in parts])

    return DispatchSolution(
        all_of("power_mw"),
        all_of("shed_mw"),
        all_of("flow_mw"),
        all_of("price_usd_per_mwh"),
        all_of("cost_usd"),
        all_of("theta_mw"),
        all_of("solved").astype(np.bool_),
        tuple(certificate for part in parts for certificate in part.certificates),
        spent_s + sum(part.seconds for part in parts),
        parts[-1].network,
    )
