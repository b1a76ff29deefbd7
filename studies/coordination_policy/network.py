"""The peak-hour study on a transmission network of the user's: its buses are the zones, and it can be checked in AC."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from g2g_opt.errors import InputError
from g2g_opt.site import Site
from g2g_opt.transmission.case_system import system_of_case
from g2g_opt.transmission.network_case import (
    LOAD_MVAR,
    LOAD_MW,
    SHUNT_MW,
    NetworkCase,
    load_network_case,
)
from g2g_opt.transmission.system import PeakRecords, ZonalSystem, load_peak_records
from studies.coordination_policy.question import CoordinationQuestion
from studies.coordination_policy.setting import dispatch_of

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Datacenters of a network whose buses are not named, at its largest loads.
_DATACENTERS = 5


@dataclass(frozen=True, eq=False)
class CaseNetwork:
    """A case with datacenters, the records of a DC dispatch on it, and what its loads draw beside (record, bus).

    Shunts draw at any voltage near 1 pu: for a DC dispatch they are load, an AC power flow knows them from the case.
    """

    case: NetworkCase
    system: ZonalSystem
    records: PeakRecords
    load_mw: Floats
    load_mvar: Floats

    def drawn(self, record: int, theta_mw: Floats, shed_mw: Floats) -> tuple[Floats, Floats]:
        """Active and reactive load (bus,) of a record with datacenters at `theta_mw`; what is shed takes both along."""
        load = self.load_mw[record]
        centers = np.bincount(self.system.datacenter_zone, theta_mw, len(load))
        active = load + centers
        # The power factor of a feeder's sites: they are the same machines.
        reactive = self.load_mvar[record] + centers * np.tan(np.arccos(Site.power_factor))
        # A bus that generates by itself may be shed by more than it draws on balance: none of it is left then.
        served = np.where(active > 0.0, np.maximum(1.0 - shed_mw / np.where(active > 0.0, active, 1.0), 0.0), 1.0)
        return served * active, served * reactive


def load_network(question: CoordinationQuestion) -> CaseNetwork:
    """The question's network with the loads of 546 days; `InputError` if it cannot be used.

    No case has a history: the demand at every bus follows the peak hours of one of New York's zones, in the order of
    the buses, as a share of that zone's highest. Reactive load goes with it. What is no demand stays as it is: shunts,
    DC lines, and loads that are negative, which are injections.
    """
    case = load_network_case(question.network)
    if reason := case.lacks_for_ac:
        raise InputError(f"network {case.name}: an AC check would mean nothing: {reason}")
    buses = np.array(question.datacenter_buses, dtype=np.float64)
    places = case.places(buses) if len(buses) else case.largest_loads[: min(_DATACENTERS, len(case.bus))]
    if len(places) < 2:
        raise InputError("work can be shifted between two datacenters at least; name two buses or more")
    system = system_of_case(case, places)
    dispatch_of(system, question.settings, question.rating_share)  # refuses lines that contradict each other
    peaks = load_peak_records("physical")
    share = peaks.load_mw / peaks.load_mw.max(axis=0)
    by_bus = share[:, np.arange(len(case.bus)) % share.shape[1]]
    follows = np.where(case.bus[:, LOAD_MW] < 0.0, 1.0, by_bus)
    load = by_bus * case.demand_mw + case.fixed_mw - case.bus[:, SHUNT_MW]
    records = PeakRecords(peaks.dates, load + case.bus[:, SHUNT_MW], np.zeros_like(load))
    return CaseNetwork(case, system, records, load, follows * case.bus[:, LOAD_MVAR] + case.dc_drawn_mvar)
