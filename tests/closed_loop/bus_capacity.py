"""Both capacities of one bus, for tests that look at nothing else of a study."""

from __future__ import annotations

from studies.hosting_capacity.capacity import Aim, Capacity
from studies.hosting_capacity.question import OPERATIONS, HostingCapacityQuestion
from studies.hosting_capacity.work import search_aims


def find_bus_capacity(study: HostingCapacityQuestion, bus: str) -> tuple[Capacity, Capacity]:
    """Firm and flexible capacity of one bus."""
    aims = [Aim((bus,), operation, study.limits.throughput_share_min) for operation in OPERATIONS]
    firm, flexible = search_aims(study, dict.fromkeys(aims))
    return firm.capacity, flexible.capacity
