"""What a coordination study hands to the solvers: the dispatch problem, the network of datacenters, training draws."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from g2g_opt.errors import InputError
from g2g_opt.randomness import keyed_generator
from g2g_opt.transmission.system import Settings, ZonalSystem, load_zonal_system
from solvers.dispatch.blocks import DatacenterNetwork, DispatchSystem, OutputBand
from solvers.dispatch.lines import Lines
from solvers.dispatch.solve import DispatchSolution, solve_dispatch, solve_ideal_coordination
from solvers.dispatch.task_allocation import ShiftLimits, allocate_tasks, shift_limits
from solvers.outcome import SolverError
from solvers.policy_training.training import varying

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# How far outside its limits a shift is still accepted, in MW (per hop of latency).
ACCEPT_MW = 1e-3


@dataclass(frozen=True, eq=False)
class CoordinationSetting:
    """A system, its datacenters under one penetration (work as a share of the peak load) and alpha, and their limits.

    `allocation_mw` (datacenter, zone of the user) is the latency-optimal one.
    """

    system: ZonalSystem
    settings: Settings
    dispatch: DispatchSystem
    network: DatacenterNetwork
    demand_mw: Floats
    allocation_mw: Floats
    penetration: float
    alpha: float

    @property
    def base_latency(self) -> float:
        """L(W0), in MW times borders."""
        return float((self.system.latency * self.allocation_mw).sum())

    @property
    def base_mw(self) -> Floats:
        """Loads (datacenter,) without coordination."""
        return self.network.base_mw

    def trained_network(self, latency_margin: float) -> DatacenterNetwork:
        """The network with a share of its latency loss held back, for training."""
        alpha, known = self.alpha * (1.0 - latency_margin), self.network.limits
        limits = shift_limits(self.system.latency, self.demand_mw, self.base_latency, alpha, known)
        return replace(self.network, limits=limits)

    def knowing(self, limits: ShiftLimits | None) -> CoordinationSetting:
        """The same with the rows of latency that some training asked for stated from the start."""
        if limits is None or limits.transport is None:
            return self
        known = shift_limits(self.system.latency, self.demand_mw, self.base_latency, self.alpha, limits)
        return replace(self, network=replace(self.network, limits=known))

    def dispatched(
        self, load_mw: Floats, injected_mw: Floats, theta_mw: Floats, band: OutputBand | None = None
    ) -> DispatchSolution:
        """Dispatch of hours (hour, zone) with datacenters' loads (datacenter,) or (hour, datacenter)."""
        return solve_dispatch(self.dispatch, self.system.with_datacenters(load_mw, theta_mw), injected_mw, band)

    def ideal(self, load_mw: Floats, injected_mw: Floats, band: OutputBand | None = None) -> DispatchSolution:
        """The cheapest dispatch of hours over all loads that the datacenters accept."""
        return solve_ideal_coordination(self.dispatch, load_mw, injected_mw, self.network, band)


def published_figures(load_mw: Floats, injected_mw: Floats, found: DispatchSolution) -> Floats:
    """What hours with this dispatch publish (hour, name), in the order of `published_names`."""
    return np.hstack([load_mw, found.price_usd_per_mwh, injected_mw, found.flow_mw])


def scale_of(features: Floats) -> Floats:
    """Standard deviation (feature,) of features (record, feature); 1 where one is constant."""
    return np.where(varying(features), features.std(axis=0), 1.0)


def make_setting(settings: Settings, penetration: float, alpha: float) -> CoordinationSetting:
    """The bundled system with datacenters of a penetration."""
    return setting_of(load_zonal_system(), settings, penetration, alpha)


def dispatch_of(system: ZonalSystem, settings: Settings, rating_share: float = 1.0) -> DispatchSystem:
    """A system as it is dispatched, its lines loaded to a share of their ratings at most.

    Raises `InputError` if its lines contradict each other, or do not determine what flows.
    """
    rating = rating_share * system.limit_mw
    least, most = np.maximum(-rating, system.flow_min_mw), np.minimum(rating, system.flow_max_mw)
    if (against := np.flatnonzero(least > most)).size:
        raise InputError(
            f"line {system.line_names[against[0]]}: the angle that is asked of it would load it beyond "
            f"{rating[against[0]]:g} MW, {100 * rating_share:g} % of its rating; correct its limits, or raise the share"
        )
    ends = system.from_zone, system.to_zone
    reactance = system.reactance_rad_per_mw(settings)
    found = DispatchSystem(
        system.generator_zone,
        system.power_min_mw,
        system.power_max_mw,
        system.cost_usd_per_mwh,
        system.quadratic_usd_per_mw2h,
        Lines(len(system.zones), *ends, reactance, system.angle_rad, least, most),
        system.shed_usd_per_mwh,
        system.fixed_usd_per_h,
    )
    if not found.by_angles:
        try:
            found.lines.transfer_factors  # noqa: B018 - computed once, and kept
        except SolverError as error:
            raise InputError(f"{error}; leave out one line of the loop, or correct a reactance") from error
    return found


def setting_of(
    system: ZonalSystem, settings: Settings, penetration: float, alpha: float, rating_share: float = 1.0
) -> CoordinationSetting:
    """A system with datacenters of a penetration; dispatch may load lines to a share of their limits."""
    demand = system.datacenter_demand_mw(penetration)
    allocation = allocate_tasks(system.latency, demand)
    base = allocation.sum(axis=1)
    latency = float((system.latency * allocation).sum())
    return CoordinationSetting(
        system,
        settings,
        dispatch_of(system, settings, rating_share),
        DatacenterNetwork(system.datacenter_zone, base, shift_limits(system.latency, demand, latency, alpha)),
        demand,
        allocation,
        penetration,
        alpha,
    )


def draw_records(seed: int, draw: int, n_records: int, q: int) -> Ints:
    """Training records of a draw, sorted; the first one is the split that recorded results were made with."""
    generator = np.random.default_rng(seed) if draw == 0 else keyed_generator(seed, "records", draw)
    return np.sort(generator.choice(n_records, q, replace=False))
