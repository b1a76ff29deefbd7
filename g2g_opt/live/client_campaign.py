"""Clients of a low-voltage feeder as nodes on real sockets: what `g2g_opt.allocation` simulates, with real messages.

Nodes report what their units could give by the case's curves, a row a period, and their voltage, which a power flow
beside them makes of what all of them give. The allocator goes by what arrived. Figures are those of a simulated run.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from g2g_opt.allocation.allocators import Allocator, SeenClients
from g2g_opt.allocation.client_grid import ClientGrid
from g2g_opt.allocation.clients import ROW_S, ClientCase
from g2g_opt.allocation.run import AllocationRun
from g2g_opt.errors import G2GError
from g2g_opt.live.allocation import NodeReport
from g2g_opt.live.allocator import ALLOCATOR
from g2g_opt.live.node import LiveNode, Measure
from g2g_opt.live.record import LiveRun
from g2g_opt.live.steady_clock import SteadyClock

Floats = NDArray[np.float64]
# Power flows in a period.
_FLOWS_PER_PERIOD = 4


class LiveClients:
    """What the clients of a case measure and give in a live run of `period_s`, and by what rule an allocator caps them.

    It is an `AllocationRule`: of units that were not heard of it takes what it last heard (at first their size), and
    loads as they are. Rows of the curves pass one a period from when `run_grid` begins, or, for an allocator whose
    clients are elsewhere, from when it first hears of one.
    """

    def __init__(
        self, case: ClientCase, grid: ClientGrid, allocator: Allocator, period_s: float, clock: SteadyClock
    ) -> None:
        self.case, self._grid, self._allocator, self._period_s = case, grid, allocator, period_s
        self._clock = clock
        self._began_s = math.inf
        self._seen = SeenClients(case.pv_max_kw.copy(), case.load_kva[0], np.ones(len(case.names)))
        self._voltage_pu = np.ones(len(case.names))
        self._flows: list[tuple[float, Floats, Floats]] = []
        self.n_infeasible = 0
        allocator.reset()

    def _row(self, time_s: float) -> int:
        return self.case.row_at(max(time_s - self._began_s, 0.0) / self._period_s * ROW_S)

    @property
    def measures(self) -> Mapping[str, Measure]:
        """What each client has available and measures."""
        return {name: self._measure_of(k) for k, name in enumerate(self.case.names)}

    def _measure_of(self, k: int) -> Measure:
        return lambda time_s: (float(self.case.available_kw[self._row(time_s), k]), float(self._voltage_pu[k]))

    def allocate(self, reports: Mapping[str, NodeReport], time_s: float) -> Mapping[str, float]:
        """Caps (kW) of the clients that were heard of; `G2GError` if there are none that keep the band."""
        # An allocator by itself begins with the first report.
        self._began_s = min(self._began_s, time_s)
        available_kw, voltage_pu = self._seen.available_kw.copy(), self._seen.voltage_pu.copy()
        for k, name in enumerate(self.case.names):
            if name in reports:
                available_kw[k], voltage_pu[k] = reports[name].available_kw, reports[name].voltage_pu
        self._seen = SeenClients(available_kw, self.case.load_kva[self._row(time_s)], voltage_pu)
        caps = self._allocator.allocate(self._seen)
        if caps is None:
            self.n_infeasible += 1
            raise G2GError("no caps keep the band")
        return {name: float(cap) for name, cap in zip(self.case.names, caps, strict=True) if name in reports}

    async def run_grid(self, nodes: Sequence[LiveNode]) -> None:
        """Solve the feeder with what the nodes give, several times a period, until cancelled.

        `nodes` are in the order of the case.
        """
        self._began_s = self._clock.now_s()
        while True:
            time_s = self._clock.now_s()
            row = self._row(time_s)
            given_kw = np.minimum([node.cap_kw for node in nodes], self.case.available_kw[row])
            voltage_pu = self._grid.voltage_pu(self.case.load_kva[row] - given_kw)
            self._voltage_pu = voltage_pu[self._grid.client_bus]
            self._flows.append((time_s, given_kw, voltage_pu))
            await asyncio.sleep(self._period_s / _FLOWS_PER_PERIOD)

    def outcome(self, recorded: LiveRun) -> AllocationRun:
        """The run so far as a simulated one is kept; times are in rows. `recorded` says when reports were heard of."""
        begin_s = np.array([time_s for time_s, _, _ in self._flows])
        scale = ROW_S / self._period_s
        lanes = [recorded.lanes[name, ALLOCATOR, "report"] for name in self.case.names]
        n_rows = min(self._row(float(begin_s[-1])) + 1, len(self.case.available_kw))
        after = [lane.sent_s >= self._began_s for lane in lanes]
        return AllocationRun(
            case=self.case.part(n_rows),
            begin_s=(begin_s - begin_s[0]) * scale,
            given_kw=np.array([given for _, given, _ in self._flows]),
            voltage_pu=np.array([voltage for _, _, voltage in self._flows]),
            report_s=tuple((lane.sent_s[at] - self._began_s) * scale for lane, at in zip(lanes, after, strict=True)),
            heard_s=tuple((lane.arrived_s[at] - self._began_s) * scale for lane, at in zip(lanes, after, strict=True)),
            n_infeasible=self.n_infeasible,
        )
