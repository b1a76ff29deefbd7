"""Clients of a feeder in a live campaign: how they are made, and what came of them beside the simulator's answer."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.table import Table

from g2g_opt.allocation.allocators import Allocator, PIAllocator
from g2g_opt.allocation.client_grid import ClientGrid
from g2g_opt.allocation.clients import CLIENT_CASES, ClientCase, load_client_case
from g2g_opt.allocation.loop import AllocationRules, drawn_arrivals, run_allocation
from g2g_opt.limits import Limits
from g2g_opt.live.client_campaign import LiveClients
from g2g_opt.live.record import load_live_run
from g2g_opt.live.replay import channels_of_run
from g2g_opt.live.steady_clock import SteadyClock
from studies.shared.optimal_allocator import OptimalAllocator

CASES = tuple(CLIENT_CASES)
# How clients are capped: by a proportional-integral controller, or an AC optimum of what was reported.
RULES = ("pi", "opf")


def clients_of(name: str, rule: str, period_s: float, clock: SteadyClock) -> LiveClients:
    """The clients of a case under one of `RULES`, at the default limits."""
    case = load_client_case(name)
    return LiveClients(case, ClientGrid(case), _allocator(case, rule), period_s, clock)


def _allocator(case: ClientCase, rule: str) -> Allocator:
    limits = Limits()
    if rule == "pi":
        return PIAllocator(case.pv_max_kw, limit_pu=limits.voltage_max_pu)
    # On a grid of its own: it is asked on another thread than the one that solves the feeder.
    return OptimalAllocator(ClientGrid(case), limits.voltage_min_pu, limits.voltage_max_pu)


def show_clients(console: Console, clients: LiveClients, rule: str, record: Path, seed: int) -> None:
    """Violations and production lost of the live run, and of a simulated one whose messages fare alike."""
    recorded, limit_pu = load_live_run(record), Limits().voltage_max_pu
    live = clients.outcome(recorded)
    # The simulator reads a cycle of reports, and caps are there at the next: as often as the live allocator.
    rules = AllocationRules(report_s=1.0, wait_s=1.0, solve_s=0.0, unheard="last", loads_known=True)
    channels = channels_of_run(recorded, {name: name for name in live.case.names})
    grid = ClientGrid(live.case)
    simulated = run_allocation(
        live.case,
        grid,
        _allocator(live.case, rule),
        rules,
        drawn_arrivals(channels, seed, "live"),
        seed=seed,
        scenario="live",
    )
    table = Table("run", "bus-time above the limit", "highest", "production lost", "delivered", "mean age (rows)")
    for words, run in (("live", live), ("simulated, messages as recorded", simulated)):
        table.add_row(
            words,
            f"{100 * run.violation_share(limit_pu):.2f} %",
            f"{run.highest_pu:.4f} pu",
            f"{100 * run.lost_share:.2f} %",
            f"{100 * run.delivered_share:.2f} %",
            f"{run.mean_age_s:.3f}",
        )
    console.print(table)
