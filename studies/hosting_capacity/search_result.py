"""What the search for one capacity comes to: its answer, and every run that was simulated for it."""

from __future__ import annotations

from dataclasses import dataclass, field

from g2g_opt.outcome import Outcome
from g2g_opt.plan import Plan
from g2g_opt.scenario import Scenario
from studies.hosting_capacity.capacity import Aim, Capacity
from studies.hosting_capacity.ladder import Rung


@dataclass(frozen=True, eq=False)
class StoredRun:
    """A simulated run with what it was for: to be stored, and judged again under other limits."""

    aim: Aim
    n_servers: int
    n_servers_by_site: tuple[int, ...]
    plan: Plan
    scenario: Scenario
    purpose: str  # "search", "certificate" or "opendss"
    run: Outcome


@dataclass(frozen=True, eq=False)
class SearchResult:
    """What a search comes to: its answer, the runs behind it, and the ladder of limits if one was asked for."""

    capacity: Capacity
    runs: list[StoredRun] = field(default_factory=list)
    rungs: tuple[Rung, ...] = ()
