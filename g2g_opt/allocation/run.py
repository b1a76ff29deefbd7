"""A run of clients under an allocator, and its figures: as integrals over time, and as the reference study counts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from g2g_opt.allocation.clients import ClientCase
from g2g_opt.channel.age import mean_age_s

Floats = NDArray[np.float64]

# Of a loop that rides the limit, what counts as above it even so (pu).
BEYOND_PU = 1e-4


@dataclass(frozen=True, eq=False)
class AllocationRun:
    """Stretches of time between changes (equation 10.8): `begin_s` (stretch,), what the units `given_kw` (stretch,
    unit) and the voltages (pu) of all buses (stretch, bus) in them; the reports of every client, when sent and when
    heard of (s). `n_infeasible` cycles had no caps that keep the band.
    """

    case: ClientCase
    begin_s: Floats
    given_kw: Floats
    voltage_pu: Floats
    report_s: tuple[Floats, ...]
    heard_s: tuple[Floats, ...]
    n_infeasible: int

    @property
    def lasts_s(self) -> Floats:
        """How long each stretch lasts (s)."""
        return np.diff(self.begin_s, append=self.case.duration_s)

    # --- integrals over time

    def violation_share(self, limit_pu: float, beyond_pu: float = 0.0) -> float:
        """Share of bus-time at or above `limit_pu`; more than `beyond_pu` above it, if that is given."""
        high = self.voltage_pu > limit_pu + beyond_pu if beyond_pu else self.voltage_pu >= limit_pu
        return float(self.lasts_s @ high.mean(axis=1)) / self.case.duration_s

    def violation_time_share(self, limit_pu: float) -> float:
        """Share of the time in which any bus is at or above `limit_pu`."""
        return float(self.lasts_s @ (self.voltage_pu >= limit_pu).any(axis=1)) / self.case.duration_s

    def violation_integral_pu_s(self, limit_pu: float) -> float:
        """Voltage above `limit_pu` over time, summed over buses (pu s)."""
        return float(self.lasts_s @ np.maximum(self.voltage_pu - limit_pu, 0.0).sum(axis=1))

    @property
    def lost_share(self) -> float:
        """Share of the energy available that was not produced."""
        return 1.0 - float(self.lasts_s @ self.given_kw.sum(axis=1)) / 3600.0 / self.case.available_kwh

    @property
    def highest_pu(self) -> float:
        """The highest voltage."""
        return float(self.voltage_pu.max())

    # --- as published

    def violation_share_of_flows(self, limit_pu: float) -> float:
        """Share of bus-rows at or above `limit_pu` over the power flows, however long each of them held."""
        return float((self.voltage_pu >= limit_pu).mean())

    @property
    def lost_share_of_samples(self) -> float:
        """1 - the sum over all units of what they gave at each report over the sum of their curves' rows, also of those
        that are not played. Units that report less than once a row seem to lose what they gave in between.
        """
        given = 0.0
        for unit, sent_s in enumerate(self.report_s):
            given += float(self.given_kw[np.searchsorted(self.begin_s, sent_s, side="right") - 1, unit].sum())
        return 1.0 - given / self.case.curve_sum_kw

    # --- communication

    @property
    def mean_age_s(self) -> float:
        """Mean age (s) of what was last heard of a client, over time and clients."""
        pairs = zip(self.report_s, self.heard_s, strict=True)
        return float(np.mean([mean_age_s(sent_s, heard_s, self.case.duration_s) for sent_s, heard_s in pairs]))

    @property
    def delivered_share(self) -> float:
        """Share of reports that were heard of during the run."""
        heard = np.concatenate(self.heard_s)
        return float((heard <= self.case.duration_s).mean())
