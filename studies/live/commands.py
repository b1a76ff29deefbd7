"""The commands below `g2g live`: allocator, nodes, campaigns, their records, and clusters that run."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from g2g_opt.errors import InputError
from g2g_opt.live.client_campaign import LiveClients
from g2g_opt.live.settings import Address, LivePeriodS, LiveSettings, load_key, write_key
from g2g_opt.live.steady_clock import SteadyClock
from g2g_opt.quantities import Count, DurationS, PowerKw, Seed
from studies.live.clients import CASES, RULES, clients_of, show_clients
from studies.live.records import add_replay, show_lanes
from studies.live.site_commands import add_datacenter
from studies.shared.number_flags import number

Commands = Any  # argparse has no public name for what add_subparsers returns

_DESCRIPTION = (
    "Nodes and an allocator on real sockets, and clusters that run: the same messages as in simulated channels, "
    "recorded so that a simulation can have its messages fare as the real ones did."
)
_EPILOG = (
    "Begin with: g2g live campaign --nodes 100 --channel udp:loss=0.2, which needs no other machine; then docs/live.md."
)
# Seconds between two lines of progress.
_TOLD_EVERY_S = 10.0
_CAMPAIGN_S = 10.0


def add_live_commands(parser: argparse.ArgumentParser) -> None:
    """Add every command of `g2g live` to its parser."""
    parser.description, parser.epilog = _DESCRIPTION, _EPILOG
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_key(commands)
    _add_allocator(commands)
    _add_node(commands)
    _add_campaign(commands)
    add_replay(commands)
    add_datacenter(commands)


def _add_key(commands: Commands) -> None:
    parser = commands.add_parser("key", help="make a key for allocator and nodes to share")
    parser.description = "Write 32 random bytes to a file that only you can read; copy it to every machine of the run."
    parser.epilog = "Example: g2g live key run.key"
    parser.add_argument("file", type=Path)
    parser.set_defaults(run=_run_key)


def _add_allocator(commands: Commands) -> None:
    parser = commands.add_parser("allocator", help="serve nodes: join, reports, allocations")
    parser.description = (
        "Listen for nodes and send each its cap once a period: together they stay below --limit-kw, each with the same "
        "share of what it has available. Ends after --duration-s, or when interrupted; says then what was counted."
    )
    parser.epilog = (
        "Example: g2g live key run.key; g2g live allocator --listen 0.0.0.0:5555 --key-file run.key --limit-kw 2000"
    )
    listen = "HOST:PORT to listen on (port 0: any that is free); beyond this machine only with --key-file"
    _add_case(
        parser, "nodes are the clients of this feeder (g2g live node --case), capped so that its voltages keep the band"
    )
    _add_rule(parser)
    parser.add_argument("--listen", type=_address, default=Address("127.0.0.1", 5555), metavar="HOST:PORT", help=listen)
    _add_limit(parser)
    _add_shared(parser)
    parser.set_defaults(run=_run_allocator)


def _add_node(commands: Commands) -> None:
    parser = commands.add_parser("node", help="one node or many, each with a socket of its own")
    parser.description = (
        "Join an allocator, report once a period what is available, and keep to the cap that comes back. Nodes that "
        "lose their allocator keep their cap and ask to join until they are let in again."
    )
    parser.epilog = "Example: g2g live node --allocator 192.0.2.7:5555 --key-file run.key --nodes 100 --name east"
    parser.add_argument("--allocator", type=_address, required=True, metavar="HOST:PORT", help="where the allocator is")
    parser.add_argument("--nodes", type=number(Count), default=1, metavar="N", help="how many (default 1)")
    parser.add_argument("--name", default="n", help="name of the node; several are NAME0, NAME1, ... (default n)")
    _add_case(parser, "instead of --nodes: all clients of this feeder, which is solved beside them with what they give")
    _add_measure(parser)
    _add_shared(parser)
    parser.set_defaults(run=_run_node)


def _add_campaign(commands: Commands) -> None:
    parser = commands.add_parser("campaign", help="allocator and nodes on this machine, with losses if asked for")
    parser.description = (
        "Run an allocator and --nodes nodes on loopback, signed with a key of their own, through a relay that loses "
        "and delays datagrams if --channel is given (a TCP stream it can only delay); then say what was lost, what it "
        "cost, and how old the news were."
    )
    parser.epilog = "Example: g2g live campaign --nodes 1000 --duration-s 30 --transport tcp"
    parser.add_argument("--nodes", type=number(Count), default=100, metavar="N", help="how many nodes (default 100)")
    parser.add_argument(
        "--channel", metavar="CHANNEL", help="what the relay does, as in studies: udp:loss=0.2,latency=0.05"
    )
    parser.add_argument("--seed", type=number(Seed), default=0, help="of the relay's draws (default 0)")
    _add_limit(parser)
    _add_measure(parser)
    _add_case(
        parser, "instead of --nodes: clients of a feeder that is solved beside them, a row of their curves a period"
    )
    _add_rule(parser)
    _add_shared(parser, with_key=False, seconds="10, of a case all of it")
    parser.set_defaults(run=_run_campaign)


def _address(text: str) -> Address:
    try:
        return Address.parse(text)
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _add_case(parser: argparse.ArgumentParser, help_: str) -> None:
    parser.add_argument("--case", choices=CASES, help=help_)


def _add_rule(parser: argparse.ArgumentParser) -> None:
    help_ = f"how clients of a --case are capped: PI, or the AC optimum of what they reported (default {RULES[0]})"
    parser.add_argument("--rule", choices=RULES, help=help_)


def _add_limit(parser: argparse.ArgumentParser) -> None:
    help_ = "what all nodes together may give (kW, default 1000)"
    parser.add_argument("--limit-kw", type=number(PowerKw), default=1000.0, metavar="KW", help=help_)


def _add_measure(parser: argparse.ArgumentParser) -> None:
    help_ = "what each node has available (kW, default 30)"
    parser.add_argument("--available-kw", type=number(PowerKw), default=30.0, metavar="KW", help=help_)
    help_ = "CSV of two columns instead: seconds since the start, available kW"
    parser.add_argument("--curve", type=Path, metavar="FILE", help=help_)


def _add_shared(parser: argparse.ArgumentParser, *, with_key: bool = True, seconds: str = "until interrupted") -> None:
    plain = LiveSettings()
    help_ = f"udp or tcp (default {plain.transport})"
    parser.add_argument("--transport", choices=("udp", "tcp"), default=plain.transport, help=help_)
    help_ = f"seconds between two reports, and between two allocations (default {plain.period_s:g})"
    parser.add_argument("--period-s", type=number(LivePeriodS), default=plain.period_s, metavar="S", help=help_)
    help_ = f"silence after which the other side is taken for lost (s, default {plain.silence_s:g})"
    parser.add_argument("--silence-s", type=number(DurationS), default=plain.silence_s, metavar="S", help=help_)
    help_ = f"nodes that an allocator takes at most (default {plain.nodes_max})"
    parser.add_argument("--nodes-max", type=number(Count), default=plain.nodes_max, metavar="N", help=help_)
    if with_key:
        help_ = "file of the shared key that signs messages (g2g live key makes one)"
        parser.add_argument("--key-file", type=Path, metavar="FILE", help=help_)
    help_ = f"how long to run (default: {seconds})"
    parser.add_argument("--duration-s", type=number(DurationS), metavar="S", help=help_)
    help_ = "folder for the record of the run (default: a new one below results/live); one for all processes of a run"
    now = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    parser.add_argument("--record", type=Path, default=Path("results/live") / now, metavar="DIR", help=help_)


# --- running


def _settings(options: argparse.Namespace) -> LiveSettings:
    return LiveSettings(
        transport=options.transport,
        period_s=options.period_s,
        silence_s=options.silence_s,
        nodes_max=options.nodes_max,
    )


def _clients(options: argparse.Namespace, clock: SteadyClock) -> LiveClients | None:
    """The clients of `--case`, if it was given."""
    rule = vars(options).get("rule")
    if options.case is None:
        if rule is not None:
            raise InputError(f"--rule {rule} caps the clients of a --case: give that as well")
        return None
    if vars(options).get("curve") is not None:
        raise InputError("clients of a --case have curves of their own: leave out --curve")
    return clients_of(options.case, rule or RULES[0], options.period_s, clock)


def _measure(options: argparse.Namespace, now_s: float, console: Console) -> Any:
    """What a node has available, by its curve or always the same."""
    if options.curve is None:
        available_kw = options.available_kw
        return lambda time_s: (available_kw, float("nan"))
    from g2g_opt.grid.generator import CSVProfileGenerator

    curve = CSVProfileGenerator(options.curve)
    span_s = curve.time_s[-1] - curve.time_s[0]
    console.print(
        f"{options.curve}: up to {curve.sample_kw.max():,.6g} kW of each node, over {span_s:,.6g} s", markup=False
    )
    return lambda time_s: (max(curve.power_kw(time_s - now_s), 0.0), float("nan"))


async def _until_stopped(seconds: float | None, tell: Callable[[], None]) -> None:
    """Wait for the end of a run, or for somebody to ask for it."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number_ in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number_, stop.set)
    end_s = loop.time() + seconds if seconds is not None else float("inf")
    while not stop.is_set() and loop.time() < end_s:
        try:
            await asyncio.wait_for(stop.wait(), min(_TOLD_EVERY_S, end_s - loop.time()))
        except TimeoutError:
            tell()


def _run_key(options: argparse.Namespace, console: Console) -> int:
    write_key(options.file)
    console.print(f"written: {options.file}", markup=False)
    return 0


def _run_allocator(options: argparse.Namespace, console: Console) -> int:
    from g2g_opt.live.allocation import AllocationRule, ProportionalRule
    from g2g_opt.live.allocator import AllocatorNode
    from g2g_opt.live.record import LiveRecorder, record_path
    from g2g_opt.live.tally import LiveTally

    settings, tally, clock = _settings(options), LiveTally(), SteadyClock()
    rule: AllocationRule = _clients(options, clock) or ProportionalRule(options.limit_kw)
    key = load_key(options.key_file) if options.key_file is not None else None

    async def serve() -> None:
        recorder = LiveRecorder(record_path(options.record, "allocator"), "allocator", clock.now_s(), tally)
        allocator = AllocatorNode(rule, settings, key, recorder=recorder, tally=tally, clock=clock)
        try:
            found = await allocator.start(options.listen)
            console.print(f"listening on {found} ({settings.transport}); record: {recorder.path}", markup=False)
            await _until_stopped(options.duration_s, lambda: _tell_allocator(allocator, console))
        finally:
            await allocator.stop()
            recorder.close()

    asyncio.run(serve())
    show_tally(console, tally)
    return 0


def _tell_allocator(allocator: Any, console: Console) -> None:
    nodes = allocator.nodes
    given_kw = sum(report.effective_kw for report in nodes.values())
    refused = allocator.tally.n_refused
    console.print(f"{len(nodes)} nodes give {given_kw:.1f} kW; {refused} messages refused so far", markup=False)


def _run_node(options: argparse.Namespace, console: Console) -> int:
    from g2g_opt.live.campaign import allow_sockets, run_nodes
    from g2g_opt.live.node import LiveNode
    from g2g_opt.live.record import LiveRecorder, record_path
    from g2g_opt.live.tally import LiveTally
    from g2g_opt.live.ticker import Ticker
    from g2g_opt.live.wire import check_node_name

    settings, clock, tally = _settings(options), SteadyClock(), LiveTally()
    clients = _clients(options, clock)
    if clients is not None:
        measures = clients.measures
    else:
        names = [f"{options.name}{k}" for k in range(options.nodes)] if options.nodes > 1 else [options.name]
        measures = dict.fromkeys(names, _measure(options, clock.now_s(), console))
    key = load_key(options.key_file) if options.key_file is not None else None
    if options.allocator.port == 0:
        raise InputError(f"--allocator {options.allocator}: an allocator has a port other than 0")
    for name in measures:
        check_node_name(name)
    allow_sockets(len(measures))

    async def live() -> None:
        recorder = LiveRecorder(record_path(options.record, f"nodes-{options.name}"), "nodes", clock.now_s(), tally)
        ticker = Ticker(settings.period_s)
        nodes = [
            LiveNode(
                name, measure, options.allocator, settings, key,
                phase=k / len(measures), ticker=ticker, recorder=recorder, tally=tally, clock=clock,
            )
            for k, (name, measure) in enumerate(measures.items())
        ]  # fmt: skip
        done = asyncio.Event()
        running = asyncio.create_task(run_nodes(nodes, done))
        grid = asyncio.create_task(clients.run_grid(nodes)) if clients is not None else None

        def tell() -> None:
            recorder.flush()
            joined = sum(node.joined for node in nodes)
            given_kw = sum(node.effective_kw for node in nodes)
            console.print(f"{joined} of {len(nodes)} nodes have joined; they give {given_kw:.1f} kW", markup=False)

        try:
            await _until_stopped(options.duration_s, tell)
            if grid is not None:
                await _ended(grid)
            done.set()
            await running
        finally:
            recorder.close()

    asyncio.run(live())
    show_tally(console, tally)
    if not tally["allocations"]:
        console.print(f"no allocation came from {options.allocator}", markup=False)
        return 1
    return 0


async def _ended(task: asyncio.Task[None]) -> None:
    """Cancel a task; raises what it ended with before."""
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


def _run_campaign(options: argparse.Namespace, console: Console) -> int:
    from g2g_opt.communication import Channels, read_channels
    from g2g_opt.live.allocation import AllocationRule, ProportionalRule
    from g2g_opt.live.campaign import run_campaign

    asked = read_channels(options.channel) if options.channel is not None else None
    if asked is not None and asked != Channels(asked.default):
        raise InputError(
            f"--channel {options.channel}: a relay loses and delays; stale and fail-safe rules are for studies"
        )
    channel = asked.default if asked is not None else None
    clock, settings = SteadyClock(), _settings(options)
    clients = _clients(options, clock)
    if clients is not None:
        rule: AllocationRule = clients
        measures, seconds = clients.measures, clients.case.duration_s * settings.period_s
    else:
        measure = _measure(options, clock.now_s(), console)
        rule, seconds = ProportionalRule(options.limit_kw), _CAMPAIGN_S
        measures = {f"n{k}": measure for k in range(options.nodes)}
    outcome = asyncio.run(
        run_campaign(
            measures,
            options.duration_s or seconds,
            rule,
            settings,
            channel=channel,
            seed=options.seed,
            record_in=options.record,
            tell=lambda words: console.print(words, markup=False),
            clock=clock,
            beside=clients.run_grid if clients is not None else None,
        )
    )
    show_tally(console, outcome.tally)
    show_lanes(options.record, console)
    if clients is not None:
        show_clients(console, clients, options.rule or RULES[0], options.record, options.seed)
    share = outcome.cpu_s / outcome.seconds
    console.print(
        f"{100 * share:.1f} % of a core over {outcome.seconds:.0f} s with all nodes there; memory up to "
        f"{outcome.memory_mib:.0f} MiB; record in {options.record}",
        markup=False,
    )
    return 0


def show_tally(console: Console, tally: Any) -> None:
    """Everything that was counted, in words."""
    if not tally.told():
        console.print("nothing happened: no message came")
        return
    table = Table("counted", "", title="what happened")
    table.columns[1].justify = "right"
    for words, count in tally.told():
        table.add_row(Text(words), str(count))
    console.print(table)
