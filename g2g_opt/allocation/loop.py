"""Clients, channels and an allocator in closed loop, event by event (equation 10.1).

Every client reports what it draws, what its unit could give and its voltage; an allocator reads what arrived, works for
a while and sends every unit a cap, which holds until the next one arrives. When messages arrive does not depend on what
they say, so all arrivals are worked out first; then the run goes from one change of a client's power to the next, with
a power flow at each.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from g2g_opt.allocation.allocators import Allocator, SeenClients
from g2g_opt.allocation.client_grid import ClientGrid
from g2g_opt.allocation.clients import ClientCase
from g2g_opt.allocation.run import AllocationRun
from g2g_opt.channel.transport import arrivals_s, newest_at
from g2g_opt.communication import CONTROLLER, Channels
from g2g_opt.quantities import DurationS, TimeS, check_quantities
from g2g_opt.randomness import keyed_generator

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Arrival times (s) of messages from a source to a destination on a topic, by their sending times (s).
Arrivals = Callable[[str, str, str, Floats], Floats]
# What a unit is taken to be able to give that was not heard of since the allocator last read: its size, or what it
# could give when it was last heard of.
UnheardRule = Literal["size", "last"]


@dataclass(frozen=True)
class AllocationRules:
    """How clients and allocator act. Clients report every `report_s`, each at a phase of its own. The allocator reads,
    sends caps `solve_s` later, and waits `wait_s` before it reads again.

    `unheard` says what is taken for units that were not heard of. The allocator knows the loads as they are
    (`loads_known`), or as last reported. `zero_frees`: a unit takes a cap of 0 for no cap.
    """

    report_s: DurationS = 1.0
    wait_s: DurationS = 3.0
    solve_s: TimeS = 0.12
    unheard: UnheardRule = "last"
    loads_known: bool = False
    zero_frees: bool = False

    def __post_init__(self) -> None:
        check_quantities(self)


# The reference study's, with its times as calibrated on its logs, and those that a careful one would have.
PUBLISHED_RULES = AllocationRules(1.13, 3.0, 1.2, "size", loads_known=True, zero_frees=True)
CAREFUL_RULES = AllocationRules()


def drawn_arrivals(channels: Channels, seed: int, scenario: str) -> Arrivals:
    """Arrivals over channels, drawn from streams keyed by seed, scenario and lane."""

    def arrivals(source: str, destination: str, topic: str, sent_s: Floats) -> Floats:
        spec = channels.spec(source, destination, topic)
        return arrivals_s(spec, sent_s, seed, scenario, "channel", source, destination, topic)

    return arrivals


def run_allocation(
    case: ClientCase,
    grid: ClientGrid,
    allocator: Allocator | None,
    rules: AllocationRules,
    arrivals: Arrivals,
    *,
    seed: int,
    scenario: str,
) -> AllocationRun:
    """Run a case; without an allocator nobody caps anything. Phases are keyed by seed and scenario alone, so that runs
    over different channels and under different rules are paired.

    Raises `PowerFlowError` if a power flow does not converge.
    """
    return _Loop(case, grid, allocator, rules, arrivals, seed, scenario).run()


class _Loop:
    """One run: what is sent when and arrives when, the caps so far, and the states between changes."""

    def __init__(
        self,
        case: ClientCase,
        grid: ClientGrid,
        allocator: Allocator | None,
        rules: AllocationRules,
        arrivals: Arrivals,
        seed: int,
        scenario: str,
    ) -> None:
        self.case, self.grid, self.allocator, self.rules = case, grid, allocator, rules
        n, end_s = len(case.names), case.duration_s
        phases = keyed_generator(seed, scenario, "clients").random(n + 1)
        self.report_s = [np.arange(phases[k] * rules.report_s, end_s, rules.report_s) for k in range(n)]
        self.heard_s = [
            arrivals(name, CONTROLLER, "site", sent_s) for name, sent_s in zip(case.names, self.report_s, strict=True)
        ]
        period_s = rules.wait_s + rules.solve_s
        self.read_s = np.arange(phases[n] * period_s, end_s, period_s) if allocator is not None else np.zeros(0)
        sent_s = self.read_s + rules.solve_s
        self.cap_s = [arrivals(CONTROLLER, name, "command", sent_s) for name in case.names]
        self.caps_kw = np.full((len(sent_s), n), np.inf)
        # State of every stretch of time between changes.
        self.begin_s: list[float] = []
        self.given_kw: list[Floats] = []
        self.voltage_pu: list[Floats] = []
        self.n_infeasible = 0

    def run(self) -> AllocationRun:
        case = self.case
        rows_s = np.arange(len(case.available_kw)) * (case.duration_s / len(case.available_kw))
        changes_s = np.unique(np.concatenate([rows_s, *self.cap_s]))
        changes_s = changes_s[changes_s < case.duration_s]
        newest = [
            newest_at(cap_s, changes_s, np.searchsorted(self.read_s + self.rules.solve_s, changes_s, side="right"))
            for cap_s in self.cap_s
        ]
        # At the same moment clients change before the allocator reads.
        reads = [(float(t), 1, k) for k, t in enumerate(self.read_s)]
        events = sorted([(float(t), 0, k) for k, t in enumerate(changes_s)] + reads)
        if self.allocator is not None:
            self.allocator.reset()
        for time_s, kind, k in events:
            if kind == 0:
                self._change(time_s, np.array([held[k] for held in newest]))
            else:
                self._allocate(time_s, k)
        return AllocationRun(
            case=case,
            begin_s=np.array(self.begin_s),
            given_kw=np.array(self.given_kw),
            voltage_pu=np.array(self.voltage_pu),
            report_s=tuple(self.report_s),
            heard_s=tuple(self.heard_s),
            n_infeasible=self.n_infeasible,
        )

    def _change(self, time_s: float, held: Ints) -> None:
        """A new row of the curves, or a cap that arrived: `held` (unit,) are the caps in force, -1 for none yet."""
        case, row = self.case, self.case.row_at(time_s)
        cap = np.full(len(held), np.inf)
        known = np.flatnonzero(held >= 0)
        cap[known] = self.caps_kw[held[known], known]
        if self.rules.zero_frees:
            cap[cap <= 0.0] = np.inf
        given = np.minimum(cap, case.available_kw[row])
        self.begin_s.append(time_s)
        self.given_kw.append(given)
        self.voltage_pu.append(self.grid.voltage_pu(case.load_kva[row] - given))

    def _allocate(self, time_s: float, k: int) -> None:
        """Read what has arrived and decide the caps of one cycle."""
        case, rules = self.case, self.rules
        since_s = self.read_s[k - 1] if k else -np.inf
        available, load = case.pv_max_kw.copy(), case.load_kva[case.row_at(time_s)].copy()
        voltage = np.ones(len(case.names))
        for unit, (sent_s, heard_s) in enumerate(zip(self.report_s, self.heard_s, strict=True)):
            there = np.flatnonzero(heard_s[: np.searchsorted(sent_s, time_s, side="right")] <= time_s)
            if not len(there):
                continue
            newest = int(there[-1])
            row = case.row_at(sent_s[newest])
            state = int(np.searchsorted(self.begin_s, sent_s[newest], side="right")) - 1
            voltage[unit] = self.voltage_pu[state][self.grid.client_bus[unit]]
            if not rules.loads_known:
                load[unit] = case.load_kva[row, unit]
            if rules.unheard == "last" or heard_s[there].max() > since_s:
                available[unit] = case.available_kw[row, unit]
        assert self.allocator is not None  # there is a cycle
        caps = self.allocator.allocate(SeenClients(available, load, voltage))
        if caps is None:
            self.n_infeasible += 1
            caps = np.zeros(len(case.names))
        self.caps_kw[k] = caps
