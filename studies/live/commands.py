"""The commands below `g2g live`: allocator, nodes, campaigns, their records, and clusters that run."""

from __future__ import annotations

import argparse
import asyncio
import signal
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from g2g_opt.errors import InputError
from g2g_opt.live.settings import Address, LivePeriodS, LiveSettings, load_key, write_key
from g2g_opt.quantities import Count, DurationS, PowerKw, Seed
from studies.live.channel_file import channels_toml
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
# Lanes that `g2g live replay` shows one by one.
_LANES_SHOWN = 20


def add_live_commands(parser: argparse.ArgumentParser) -> None:
    """Add every command of `g2g live` to its parser."""
    parser.description, parser.epilog = _DESCRIPTION, _EPILOG
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_key(commands)
    _add_allocator(commands)
    _add_node(commands)
    _add_campaign(commands)
    _add_replay(commands)
    add_datacenter(commands)


def _add_key(commands: Commands) -> None:
    parser = commands.add_parser("key", help="make a key for allocator and nodes to share")
    parser.description = "Write 32 random bytes to a file that only you can read; copy it to every machine of the run."
    parser.add_argument("file", type=Path)
    parser.set_defaults(run=_run_key)


def _add_allocator(commands: Commands) -> None:
    parser = commands.add_parser("allocator", help="serve nodes: join, reports, allocations")
    parser.description = (
        "Listen for nodes and send each its cap once a period: together they stay below --limit-kw, each with the same "
        "share of what it has available. Ends after --seconds, or when interrupted; says then what was counted."
    )
    parser.epilog = (
        "Example: g2g live key run.key; g2g live allocator --listen 0.0.0.0:5555 --key-file run.key --limit-kw 2000"
    )
    listen = "HOST:PORT to listen on (port 0: any that is free); beyond this machine only with --key-file"
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
    parser.epilog = "Example: g2g live campaign --nodes 1000 --seconds 30 --transport tcp"
    parser.add_argument("--nodes", type=number(Count), default=100, metavar="N", help="how many nodes (default 100)")
    parser.add_argument(
        "--channel", metavar="CHANNEL", help="what the relay does, as in studies: udp:loss=0.2,latency=0.05"
    )
    parser.add_argument("--seed", type=number(Seed), default=0, help="of the relay's draws (default 0)")
    _add_limit(parser)
    _add_measure(parser)
    case = "clients of a feeder that is solved beside them, capped by PI, a row of their curves a period"
    parser.add_argument("--case", choices=("cigre-lv", "five-clients"), help=f"instead of --nodes: {case}")
    _add_shared(parser, with_key=False, seconds="10, of a case all of it")
    parser.set_defaults(run=_run_campaign)


def _add_replay(commands: Commands) -> None:
    parser = commands.add_parser("replay", help="what a recorded run was like, and its channels for a simulation")
    parser.description = (
        "Read the record of a live run (a file, or a folder with those of all its processes) and tell losses, delays "
        "and ages; with --as, write the channels by which a simulated site's messages fare as a recorded node's did."
    )
    parser.epilog = "Example: g2g live replay results/live --as site=n0 --as grid=n1 --out channels.toml"
    parser.add_argument("record", type=Path, help="the record, or a folder of records")
    names = "a site (or `grid`) of the simulation and the node whose messages it is to have; repeat for several"
    parser.add_argument("--as", dest="node_of", action="append", default=[], metavar="SITE=NODE", help=names)
    out = "TOML table for the [policy.channels] of a question (g2g run)"
    parser.add_argument("--out", type=Path, metavar="FILE", help=out)
    parser.set_defaults(run=_run_replay)


def _address(text: str) -> Address:
    try:
        return Address.parse(text)
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


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
    parser.add_argument("--period", type=number(LivePeriodS), default=plain.period_s, metavar="S", help=help_)
    help_ = f"silence after which the other side is taken for lost (s, default {plain.silence_s:g})"
    parser.add_argument("--silence", type=number(DurationS), default=plain.silence_s, metavar="S", help=help_)
    help_ = f"nodes that an allocator takes at most (default {plain.nodes_max})"
    parser.add_argument("--nodes-max", type=number(Count), default=plain.nodes_max, metavar="N", help=help_)
    if with_key:
        help_ = "file of the shared key that signs messages (g2g live key makes one)"
        parser.add_argument("--key-file", type=Path, metavar="FILE", help=help_)
    help_ = f"how long to run (default: {seconds})"
    parser.add_argument("--seconds", type=number(DurationS), metavar="S", help=help_)
    help_ = "folder for the record of the run (default: a new one below results/live); one for all processes of a run"
    now = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    parser.add_argument("--record", type=Path, default=Path("results/live") / now, metavar="DIR", help=help_)


# --- running


def _settings(options: argparse.Namespace) -> LiveSettings:
    return LiveSettings(
        transport=options.transport,
        period_s=options.period,
        silence_s=options.silence,
        nodes_max=options.nodes_max,
    )


def _measure(options: argparse.Namespace, now_s: float) -> Any:
    """What a node has available, by its curve or always the same."""
    if options.curve is None:
        available_kw = options.available_kw
        return lambda time_s: (available_kw, float("nan"))
    from g2g_opt.grid.generator import CSVProfileGenerator

    curve = CSVProfileGenerator(options.curve)
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
    from g2g_opt.live.allocation import ProportionalRule
    from g2g_opt.live.allocator import AllocatorNode
    from g2g_opt.live.record import LiveRecorder, record_path
    from g2g_opt.live.steady_clock import SteadyClock
    from g2g_opt.live.tally import LiveTally

    settings, rule = _settings(options), ProportionalRule(options.limit_kw)
    key = load_key(options.key_file) if options.key_file is not None else None
    tally, clock = LiveTally(), SteadyClock()

    async def serve() -> None:
        recorder = LiveRecorder(record_path(options.record, "allocator"), "allocator", clock.now_s(), tally)
        allocator = AllocatorNode(rule, settings, key, recorder=recorder, tally=tally, clock=clock)
        try:
            found = await allocator.start(options.listen)
            console.print(f"listening on {found} ({settings.transport}); record: {recorder.path}", markup=False)
            await _until_stopped(options.seconds, lambda: _tell_allocator(allocator, console))
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
    from g2g_opt.live.steady_clock import SteadyClock
    from g2g_opt.live.tally import LiveTally
    from g2g_opt.live.ticker import Ticker

    settings, clock, tally = _settings(options), SteadyClock(), LiveTally()
    measure = _measure(options, clock.now_s())
    key = load_key(options.key_file) if options.key_file is not None else None
    names = [f"{options.name}{k}" for k in range(options.nodes)] if options.nodes > 1 else [options.name]
    allow_sockets(len(names))

    async def live() -> None:
        recorder = LiveRecorder(record_path(options.record, f"nodes-{options.name}"), "nodes", clock.now_s(), tally)
        ticker = Ticker(settings.period_s)
        nodes = [
            LiveNode(
                name, measure, options.allocator, settings, key,
                phase=k / len(names), ticker=ticker, recorder=recorder, tally=tally, clock=clock,
            )
            for k, name in enumerate(names)
        ]  # fmt: skip
        done = asyncio.Event()
        running = asyncio.create_task(run_nodes(nodes, done))

        def tell() -> None:
            recorder.flush()
            joined = sum(node.joined for node in nodes)
            given_kw = sum(node.effective_kw for node in nodes)
            console.print(f"{joined} of {len(nodes)} nodes have joined; they give {given_kw:.1f} kW", markup=False)

        try:
            await _until_stopped(options.seconds, tell)
            done.set()
            await running
        finally:
            recorder.close()

    asyncio.run(live())
    show_tally(console, tally)
    return 0


def _run_campaign(options: argparse.Namespace, console: Console) -> int:
    from g2g_opt.communication import read_channels
    from g2g_opt.live.allocation import AllocationRule, ProportionalRule
    from g2g_opt.live.campaign import run_campaign
    from g2g_opt.live.steady_clock import SteadyClock
    from studies.live.clients import clients_of, show_clients

    channel = read_channels(options.channel).default if options.channel is not None else None
    clock, settings = SteadyClock(), _settings(options)
    clients = clients_of(options.case, settings.period_s, clock) if options.case is not None else None
    if clients is not None:
        rule: AllocationRule = clients
        measures, seconds = clients.measures, clients.case.duration_s * settings.period_s
    else:
        measure = _measure(options, clock.now_s())
        rule, seconds = ProportionalRule(options.limit_kw), _CAMPAIGN_S
        measures = {f"n{k}": measure for k in range(options.nodes)}
    outcome = asyncio.run(
        run_campaign(
            measures,
            options.seconds or seconds,
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
    _show_lanes(options.record, console)
    if clients is not None:
        show_clients(console, clients, options.record, options.seed)
    share = outcome.cpu_s / outcome.seconds
    console.print(
        f"{100 * share:.1f} % of a core over {outcome.seconds:.0f} s with all nodes there; memory up to "
        f"{outcome.memory_mib:.0f} MiB; record in {options.record}",
        markup=False,
    )
    return 0


def show_tally(console: Console, tally: Any) -> None:
    """Everything that was counted, in words."""
    table = Table("counted", "", title="what happened")
    table.columns[1].justify = "right"
    for words, count in tally.told():
        table.add_row(Text(words), str(count))
    console.print(table)


def _show_lanes(path: Path, console: Console, one_by_one: bool = False) -> None:
    """Losses, delays and ages of a record: pooled by topic, or lane by lane."""
    import numpy as np

    from g2g_opt.live.record import load_live_run
    from g2g_opt.live.replay import lane_figures

    run = load_live_run(path)
    for cut in run.cut_short:
        console.print(Text(f"note: {cut} was cut short; what it holds is used", style="yellow"))
    if run.one_sided:
        console.print(Text(f"note: {len(run.one_sided)} lanes are left out: no record of who received", style="yellow"))
    table = Table("messages", "sent", "lost", "mean delay", "95 % of delays up to", "mean age of information")
    for column in table.columns[1:]:
        column.justify = "right"
    rows = {name: lane_figures(lane) for name, lane in run.lanes.items()}
    topics = sorted({name[2] for name in rows})
    for topic in topics:
        found = [figures for name, figures in rows.items() if name[2] == topic and figures.n_sent]
        sent = np.array([figures.n_sent for figures in found])
        loss = float((sent * [figures.loss for figures in found]).sum() / sent.sum()) if sent.sum() else float("nan")
        others = [np.nanmean([getattr(figures, part) for figures in found] or [np.nan]) for part in _TIMES]
        table.add_row(Text(f"{topic}s of all {len(found)} nodes"), *_cells(int(sent.sum()), loss, *others))
    for name in list(rows)[: _LANES_SHOWN if one_by_one else 0]:
        figures = rows[name]
        values = (figures.n_sent, figures.loss, *(getattr(figures, part) for part in _TIMES))
        table.add_row(Text(f"{name[0]} to {name[1]}: {name[2]}"), *_cells(*values))
    console.print(table)
    if one_by_one and len(rows) > _LANES_SHOWN:
        console.print(f"{_LANES_SHOWN} of {len(rows)} lanes", markup=False)


_TIMES = ("delay_mean_s", "delay_p95_s", "age_s")


def _cells(sent: int, loss: float, *times_s: float) -> list[str]:
    return [str(sent), f"{100 * loss:.2f} %", *(f"{time_s:.3f} s" for time_s in times_s)]


def _run_replay(options: argparse.Namespace, console: Console) -> int:
    from g2g_opt.live.record import load_live_run
    from g2g_opt.live.replay import channels_of_run

    _show_lanes(options.record, console, one_by_one=True)
    if not options.node_of:
        if options.out is not None:
            raise InputError("--out needs at least one --as SITE=NODE")
        return 0
    node_of = {}
    for pair in options.node_of:
        site, sign, node = pair.partition("=")
        if not (sign and site and node):
            raise InputError(f"--as {pair}: give SITE=NODE")
        node_of[site] = node
    channels = channels_of_run(load_live_run(options.record), node_of)
    if options.out is None:
        raise InputError("--as needs --out FILE, where the channels are to be written")
    options.out.write_text(channels_toml(channels), encoding="utf-8")
    console.print(f"written: {options.out}; it is the [policy.channels] of a question (docs/live.md)", markup=False)
    return 0
