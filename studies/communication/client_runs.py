"""Runs of a case of clients over lossy links, under an allocator."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from g2g_opt.allocation.allocators import Allocator, PIAllocator, SeenClients
from g2g_opt.allocation.client_grid import ClientGrid
from g2g_opt.allocation.clients import load_client_case
from g2g_opt.allocation.loop import CAREFUL_RULES, PUBLISHED_RULES, drawn_arrivals, run_allocation
from g2g_opt.allocation.run import BEYOND_PU, AllocationRun
from g2g_opt.communication import Channels
from studies.communication.links import LinkState
from studies.communication.question import AllocatorName, CommunicationQuestion, RulesName
from studies.shared.optimal_allocator import OptimalAllocator
from studies.shared.typed_rows import TypedRow

# A round trip on one machine, as in the reference study.
LOCAL_S = 2e-5
RULES = {"published": PUBLISHED_RULES, "careful": CAREFUL_RULES}
NO_CONTROL, IDEAL = "no control", "ideal"


@dataclass(frozen=True)
class ClientRow(TypedRow):
    """A run: shares of bus-time at or above the limit (and more than `BEYOND_PU` above it), of the time with any such
    bus, the integral above it, and the share of production lost; then both as the reference study counts them.
    """

    allocator: str
    rules: str
    transport: str
    loss: float
    draw: int
    violation_share: float
    violation_beyond_share: float
    violation_time_share: float
    violation_integral_pu_s: float
    highest_pu: float
    lost_share: float
    published_violation_share: float
    published_lost_share: float
    mean_age_s: float
    delivered_share: float
    infeasible_cycles: int


class ClientStudy:
    """A case with its grid, for one task."""

    def __init__(self, question: CommunicationQuestion) -> None:
        self.question = question
        self.case = load_client_case(question.case).part(question.n_rows)
        self.grid = ClientGrid(self.case)
        limits = question.limits
        self._optimal = OptimalAllocator(self.grid, limits.voltage_min_pu, limits.voltage_max_pu)

    @property
    def excess_max_pu(self) -> float:
        """How far outside the band OpenDSS found the voltages of an optimum, at most."""
        return self._optimal.excess_max_pu

    def no_control(self) -> ClientRow:
        """Nobody caps anything."""
        run = run_allocation(
            self.case,
            self.grid,
            None,
            CAREFUL_RULES,
            drawn_arrivals(Channels(), self.question.seed, "no control"),
            seed=self.question.seed,
            scenario="no control",
        )
        return self._row(run, NO_CONTROL, "", LinkState(), 0)

    def ideal_lost_share(self) -> float:
        """Share of production that the optimum gives up where everything is known at every row."""
        given = 0.0
        for load_kva, available_kw in zip(self.case.load_kva, self.case.available_kw, strict=True):
            caps = self._optimal.allocate(SeenClients(available_kw, load_kva, np.ones(len(available_kw))))
            given += 0.0 if caps is None else float(caps.sum())
        return 1.0 - given / float(self.case.available_kw.sum())

    def runs(
        self, allocator: AllocatorName, rules: RulesName, link: LinkState, report: Callable[[str], None]
    ) -> list[ClientRow]:
        """Every draw over one link."""
        made: Allocator = self._optimal
        if allocator == "pi":
            made = PIAllocator(self.case.pv_max_kw, limit_pu=self.question.limits.voltage_max_pu)
        channels = link.channels(Channels(), self.question.two_way)
        rows = []
        for draw in range(self.question.draws):
            scenario = f"run {draw + 1}"
            run = run_allocation(
                self.case,
                self.grid,
                made,
                RULES[rules],
                drawn_arrivals(channels, self.question.seed, scenario),
                seed=self.question.seed,
                scenario=scenario,
            )
            rows.append(self._row(run, allocator, rules, link, draw))
            report(f"{allocator}, {rules} rules, {link.words}: run {draw + 1}")
        return rows

    def _row(self, run: AllocationRun, allocator: str, rules: str, link: LinkState, draw: int) -> ClientRow:
        limit_pu = self.question.limits.voltage_max_pu
        return ClientRow(
            allocator=allocator,
            rules=rules,
            transport=link.transport,
            loss=link.loss,
            draw=draw,
            violation_share=run.violation_share(limit_pu),
            violation_beyond_share=run.violation_share(limit_pu, BEYOND_PU),
            violation_time_share=run.violation_time_share(limit_pu),
            violation_integral_pu_s=run.violation_integral_pu_s(limit_pu),
            highest_pu=run.highest_pu,
            lost_share=run.lost_share,
            published_violation_share=run.violation_share_of_flows(limit_pu),
            published_lost_share=run.lost_share_of_samples,
            mean_age_s=run.mean_age_s,
            delivered_share=run.delivered_share,
            infeasible_cycles=run.n_infeasible,
        )
