"""What arrives when in every scenario of a batch, as arrays that compiled channels read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g2g_opt.batch.channel_kernel import Commands
from g2g_opt.batch.fleet_kernel import SizeCommand, command_sizes
from g2g_opt.batch.fleets import Fleets
from g2g_opt.batch.grids import Grids
from g2g_opt.batch.shown import Shown
from g2g_opt.batch.stale_voltages import StaleVoltages
from g2g_opt.channel.lanes import Commanded, Measured, RunTables, run_tables
from g2g_opt.channel.links import Links
from g2g_opt.communication import Channels
from g2g_opt.compiled.program import entry_of
from g2g_opt.compiled.records import Packed
from g2g_opt.coordinator import Coordinator

Counts = NDArray[np.int32]
Bools = NDArray[np.bool_]


def tables_of(run: Coordinator[Any, Any], links: Links | None) -> RunTables:
    """The lanes of a run; everything is there at once without links."""
    if links is not None:
        return links.tables_of(run.timing)
    return run_tables(Channels(), 0, "", tuple(site.name for site in run.datacenters), run.timing)


def by_step(lanes: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Arrays [step] of many lanes as one, [step, lane]."""
    return np.ascontiguousarray(np.array(lanes).T)


def stacked(lanes: Sequence[Commanded]) -> tuple[Counts, Bools, Bools]:
    """Tables of many lanes, [step, lane]: whose set-points hold, what is there at once, who acts alone."""
    return (
        by_step([lane.tick for lane in lanes]),
        by_step([lane.at_once for lane in lanes]),
        by_step([lane.acts for lane in lanes]),
    )


def no_command(fleets: Fleets) -> SizeCommand:
    """Room for a command to all rows of the fleets."""
    rows, sizes = (np.zeros(fleets.n_rows, dtype=np.int64) for _ in range(2))
    return fleets.command(rows, sizes, np.zeros(1, dtype=np.int64))


def commands_of(tables: Sequence[RunTables], fleets: Fleets, command: SizeCommand, packed: Packed) -> Commands:
    """Set-points of batch sizes on their lanes, which change sizes by a command."""
    newest, at_once, acts = stacked([lane for table in tables for lane in table.to_sites])
    n_steps = len(newest)
    due = np.zeros(n_steps, dtype=np.bool_)
    for table in tables:
        for every in table.timing.control_ticks:
            due[::every] = True
    # Set-points that may still be asked for, by the tick at which they were sent.
    under_way = np.where(newest >= 0, np.arange(n_steps, dtype=np.int32)[:, None] - newest, 0)
    any_acts = np.asarray(acts.any(axis=1))
    # Nobody acts before a first step.
    any_acts[:1] = False
    return Commands(
        followed=np.zeros(1, dtype=np.int64),
        resumed=np.full(1, -1),
        newest=newest,
        arrived=np.full(newest.shape[1], -1, dtype=np.int32),
        acts=acts,
        any_acts=any_acts,
        at_once=at_once,
        any_at_once=np.asarray(at_once.any(axis=1)),
        all_at_once=np.asarray(at_once.all(axis=1)),
        due=due,
        first_row=fleets.first_row,
        sent=np.zeros((int(under_way.max(initial=0)) + 1, fleets.n_rows), dtype=np.int64),
        batch=fleets.commanded.copy(),
        commanded=fleets.commanded,
        n=command.n,
        rows=command.rows,
        sizes=command.sizes,
        command=entry_of(command_sizes),
        of_command=packed.address,
    )


def shown_voltages(
    lanes: Sequence[Measured], links: Sequence[Links | None], grids: Grids
) -> tuple[Shown, StaleVoltages | None]:
    """Voltages (node, slot) that have arrived, and what is taken for them where they are too old.

    Slots that only fill lanes see nothing of theirs.
    """
    measured, n = grids.flow.solutions.voltage_pu, len(lanes)
    shown_at = by_step([lane.shown_at for lane in lanes])
    fills = np.full((len(shown_at), measured.shape[1] - n), -1, dtype=np.int32)
    ticks = np.arange(len(shown_at), dtype=np.int32)[:, None]
    if (shown_at == ticks).all():
        fills[:] = ticks
    shown = Shown(np.concatenate([shown_at, fills], axis=1), measured)
    if shown.seen is not measured:
        shown.seen[:, n:] = 1.0
    signals = [(one.channels if one is not None else Channels()).voltage for one in links]
    return shown, StaleVoltages(lanes, signals, shown.seen) if StaleVoltages.wanted(signals) else None
