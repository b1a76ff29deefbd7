"""A network case as the system that is dispatched: its buses are the zones."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.csgraph import shortest_path

from g2g_opt.transmission.network_case import ANGLE, GEN_BUS, RATIO, REACTANCE, NetworkCase, angle_limits_deg
from g2g_opt.transmission.system import SHED_USD_PER_MWH, ZonalSystem

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Load that is not served must cost more than any generator's next MWh, or cheap load is shed instead of dear power.
_SHED_ABOVE = 10.0


def system_of_case(case: NetworkCase, datacenter_buses: Ints) -> ZonalSystem:
    """The case as a system with datacenters at places `datacenter_buses`.

    Latency is counted in branches between the bus of a user and that of a datacenter. Taps weigh a branch's reactance;
    what is not rated has no limit but those of its angle. There is no wind and no sun.
    """
    n = len(case.bus)
    start, end = case.ends
    hops = shortest_path(case.links, directed=False, unweighted=True)
    tap = np.where(case.branch[:, RATIO] > 0.0, case.branch[:, RATIO], 1.0)
    reactance = case.branch[:, REACTANCE] * tap
    shift = np.deg2rad(case.branch[:, ANGLE])
    flow_min, flow_max = _flow_of_angles(case, reactance, shift)
    pieces = [(k, piece) for k, cost in enumerate(case.costs) for piece in cost.pieces]
    unit = np.array([k for k, _ in pieces], dtype=np.int64)
    least, most, linear, square = (
        np.array([getattr(piece, name) for _, piece in pieces])
        for name in ("power_min_mw", "power_max_mw", "usd_per_mwh", "usd_per_mw2h")
    )
    dearest = float((linear + 2.0 * square * np.maximum(most, 0.0)).max())
    return ZonalSystem(
        zones=case.bus_names,
        peak_load_mw=case.demand_mw,
        from_zone=start,
        to_zone=end,
        reactance_pu=reactance,
        limit_mw=case.rating_mva,
        generator_zone=case.places(case.gen[:, GEN_BUS])[unit],
        generator_kind=("",) * len(unit),
        power_min_mw=least,
        power_max_mw=most,
        cost_usd_per_mwh=linear,
        quadratic_usd_per_mw2h=square,
        startup_usd=np.array([cost.startup_usd for cost in case.costs])[unit],
        ramp_up_mw_per_h=np.full(len(unit), np.inf),
        ramp_down_mw_per_h=np.full(len(unit), np.inf),
        datacenters=tuple(case.bus_names[k] for k in datacenter_buses),
        datacenter_zone=datacenter_buses,
        latency=hops[datacenter_buses],
        wind_share={"physical": np.zeros(n)},
        solar_share={"physical": np.zeros(n)},
        base_mva=case.base_mva,
        angle_rad=shift,
        flow_min_mw=flow_min,
        flow_max_mw=flow_max,
        generator_unit=unit,
        fixed_usd_per_h=sum(cost.fixed_usd_per_h for cost in case.costs),
        shed_usd_per_mwh=max(SHED_USD_PER_MWH, _SHED_ABOVE * dearest),
    )


def _flow_of_angles(case: NetworkCase, reactance: Floats, shift: Floats) -> tuple[Floats, Floats]:
    """Least and most flow (branch,) in MW within a branch's angle limits; a negative reactance turns them round."""
    low, high = (np.deg2rad(limit) for limit in angle_limits_deg(case.branch))
    bar = reactance == 0.0
    per_rad = case.base_mva / np.where(bar, 1.0, reactance)
    ends = np.stack([per_rad * (low - shift), per_rad * (high - shift)])
    return np.where(bar, -np.inf, ends.min(axis=0)), np.where(bar, np.inf, ends.max(axis=0))
