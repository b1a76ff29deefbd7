"""How an allocator divides what there is: a rule from what nodes reported to a cap for each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from g2g_opt.quantities import PowerKw, check_quantities


@dataclass(frozen=True)
class NodeReport:
    """What a node said last: effective and available power (kW), voltage (pu, NaN: not measured), and its age (s)."""

    effective_kw: float
    available_kw: float
    voltage_pu: float
    age_s: float


class AllocationRule(Protocol):
    """A rule of allocation. It is called once a period, on a thread of its own, and never twice at a time.

    A rule that has no answer raises a `G2GError`: it is counted, and nodes keep the caps they have.
    """

    def allocate(self, reports: Mapping[str, NodeReport], time_s: float) -> Mapping[str, float]:
        """Caps (kW, inf: none) by name, of nodes that reported; one that is left out keeps its cap."""


@dataclass(frozen=True)
class ProportionalRule:
    """All nodes together stay below `limit_kw`: each gets the same share of what it has available."""

    limit_kw: PowerKw

    def __post_init__(self) -> None:
        check_quantities(self)

    def allocate(self, reports: Mapping[str, NodeReport], time_s: float) -> Mapping[str, float]:
        """Caps (kW) by name, of nodes that reported."""
        available_kw = sum(report.available_kw for report in reports.values())
        share = min(1.0, self.limit_kw / available_kw) if available_kw > 0.0 else 1.0
        return {name: share * report.available_kw for name, report in reports.items()}
