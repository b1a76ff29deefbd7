"""Records of live runs: what they were like, and their channels for a simulation."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from g2g_opt.errors import InputError, number_of
from studies.live.channel_file import channels_toml

# Lanes that `g2g live replay` shows one by one.
_LANES_SHOWN = 20


def add_replay(commands: Any) -> None:
    """Add `g2g live replay` to the commands."""
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


def show_lanes(path: Path, console: Console, one_by_one: bool = False) -> None:
    """Losses, delays and ages of a record: pooled by topic, or lane by lane."""
    import numpy as np

    from g2g_opt.live.record import load_live_run
    from g2g_opt.live.replay import lane_figures

    run = load_live_run(path)
    for cut in run.cut_short:
        console.print(Text(f"note: {cut} was cut short; what it holds is used", style="yellow"))
    if run.one_sided:
        n_left = len(run.one_sided)
        left = f"{number_of(n_left, 'lane')} {'is' if n_left == 1 else 'are'} left out"
        console.print(Text(f"note: {left}: no record of who received", style="yellow"))
    table = Table("messages", "sent", "lost", "mean delay", "95 % of delays up to", "mean age of information")
    for column in table.columns[1:]:
        column.justify = "right"
    rows = {name: lane_figures(lane) for name, lane in run.lanes.items()}
    topics = sorted({name[2] for name in rows})
    for topic in topics:
        found = [figures for name, figures in rows.items() if name[2] == topic and figures.n_sent]
        sent = np.array([figures.n_sent for figures in found])
        loss = float((sent * [figures.loss for figures in found]).sum() / sent.sum()) if sent.sum() else float("nan")
        others = [_mean([getattr(figures, part) for figures in found]) for part in _TIMES]
        table.add_row(Text(f"{topic}s of all {len(found)} nodes"), *_cells(int(sent.sum()), loss, *others))
    for name in list(rows)[: _LANES_SHOWN if one_by_one else 0]:
        figures = rows[name]
        values = (figures.n_sent, figures.loss, *(getattr(figures, part) for part in _TIMES))
        table.add_row(Text(f"{name[0]} to {name[1]}: {name[2]}"), *_cells(*values))
    console.print(table)
    if one_by_one and len(rows) > _LANES_SHOWN:
        console.print(f"{_LANES_SHOWN} of {len(rows)} lanes", markup=False)


_TIMES = ("delay_mean_s", "delay_p95_s", "age_s")


def _mean(values: list[float]) -> float:
    """The mean of those that are known; NaN if none is."""
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan


def _cells(sent: int, loss: float, *times_s: float) -> list[str]:
    return [str(sent), f"{100 * loss:.2f} %", *(f"{time_s:.3f} s" for time_s in times_s)]


def _run_replay(options: argparse.Namespace, console: Console) -> int:
    from g2g_opt.live.record import load_live_run
    from g2g_opt.live.replay import channels_of_run

    show_lanes(options.record, console, one_by_one=True)
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
