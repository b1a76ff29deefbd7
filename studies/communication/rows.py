"""What a communication study on a feeder found, as rows: capacities over links, and runs of one size over them."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from studies.communication.links import LinkState
from studies.shared.typed_rows import TypedRow


@dataclass(frozen=True)
class LinkRow(TypedRow):
    """Where, over which link and in which draw."""

    bus: str
    transport: str
    loss: float
    delay_s: float
    stale: str
    fail_safe: str
    outage_s: float
    draw: int

    @property
    def link(self) -> LinkState:
        """Its link."""
        return LinkState(**{name: getattr(self, name) for name in LINK_FIELDS})


LINK_FIELDS = tuple(one.name for one in fields(LinkState))


def link_columns(bus: str, link: LinkState, draw: int) -> dict[str, Any]:
    """The columns of a `LinkRow`."""
    return {"bus": bus, **vars(link), "draw": draw}


@dataclass(frozen=True)
class SurvivingRow(LinkRow):
    """The largest site that keeps the limits over a link; `operation` "firm" has neither controller nor link.

    `fleet_mw` is what its fleet would draw at its peak if nobody controlled it, the other powers (MW) are simulated;
    all are 0 of 0 servers. `opendss_...` is the same run on OpenDSS. `limit` is what stops the next size, in words.
    Ages (s) are means over the run of what controllers know of voltages and sites of their commands.
    """

    operation: str
    n_servers: int
    n_gpus: int
    fleet_mw: float
    power_peak_mw: float
    power_mean_mw: float
    throughput_tps: float
    throughput_share: float | None
    opendss_peak_mw: float | None
    limit: str
    sizes_judged: int
    n_refused_below: int
    note: str
    voltage_age_s: float
    command_age_s: float
    # Peak (MW) of the largest size up to which all that were judged keep the limits.
    held_up_to_mw: float = 0.0


@dataclass(frozen=True)
class LinkRunRow(LinkRow):
    """A run of the size that a perfect link makes possible; figures are None where it has no answer."""

    n_servers: int
    kept: bool
    integral_violation_pu_s: float | None
    outside_s: float | None
    throughput_share: float | None
    throughput_tps: float | None
    latency_miss_share: float | None
    batch_switches: int | None
    voltage_age_s: float
    command_age_s: float
    failure: str
