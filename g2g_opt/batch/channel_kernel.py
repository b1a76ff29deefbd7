"""What channels of a batch do in every step, compiled: what sites are told, what controllers see, what is sent.

Four parts of a step, all with the record `ChannelStep`: `arrive` before sites advance, `see` once the grids are solved,
`send` and `hand_on` when all controllers have acted. Where taps, storages or shifts are `followed`, `arrive` and `send`
leave the step to Python.
"""

from __future__ import annotations

from typing import NamedTuple

from g2g_opt.batch.shown import ShownMoves, pass_on, show
from g2g_opt.batch.stale_voltages import StaleMoves, keep, show_and_take
from g2g_opt.channel.fail_safe import AloneTable, act_alone
from g2g_opt.compiled.kernel import inner, kernel
from g2g_opt.compiled.program import DONE, IN_PYTHON, call
from g2g_opt.compiled.records import Bools1, Bools2, Counts1, Counts2, Floats1, Floats2, Ints1, Ints2, reader


class Commands(NamedTuple):
    """Set-points of batch sizes: those of the controllers (`batch`), those under way, and what comes of them.

    `newest` (step, fleet) is the step whose set-points have come to a fleet, `arrived` that up to now; `sent` (step
    modulo its length, row) what was sent. `at_once` and `acts` (step, fleet) say whom set-points reach in the step that
    they are sent in, and who acts alone. `n` rows change to `sizes`, and `command` is the kernel that changes them.
    """

    followed: Ints1
    resumed: Ints1  # step that Python has handed back
    newest: Counts2
    arrived: Counts1
    acts: Bools2
    any_acts: Bools1
    at_once: Bools2
    any_at_once: Bools1
    all_at_once: Bools1
    due: Bools1
    first_row: Ints1
    sent: Ints2
    batch: Ints1
    commanded: Ints1
    n: Ints1
    rows: Ints1
    sizes: Ints1
    command: int
    of_command: int


class Alone(NamedTuple):
    """What sites that act alone look at: the nodes of their buses, those of fleet f from `first_node[f]` on."""

    table: AloneTable
    first_node: Ints1
    node: Ints1
    slot: Ints1
    voltage_pu: Floats2
    itl_s: Floats1
    local_pu: Floats1  # room


class Figures(NamedTuple):
    """What is measured of fleets, and the tables that it is gathered in, figure by figure."""

    replicas: Ints1
    itl_s: Floats1
    batch: Ints1
    servers: Ints2
    power_w: Floats2
    rows: Floats2
    whole: Ints2
    measured_w: Floats2


class ChannelStep(NamedTuple):
    """All that channels read and write; `step` is the present one."""

    step: Ints1
    commands: Commands
    alone: Alone
    figures: Figures
    voltage: ShownMoves
    of_rows: ShownMoves
    of_power: ShownMoves
    stale: StaleMoves


_read = reader(ChannelStep)


@kernel
def arrive(address: int, step: int) -> int:
    """Before sites advance: batch sizes that have come to fleets, and what those do that nobody reaches."""
    s = _read(address)
    c = s.commands
    s.step[0] = step
    if c.followed[0] != 0 and c.resumed[0] != step:
        return IN_PYTHON
    n = 0
    for f in range(len(c.arrived)):
        first, end, newest = c.first_row[f], c.first_row[f + 1], c.newest[step, f]
        if newest > c.arrived[f]:
            c.arrived[f] = newest
            place = newest % c.sent.shape[0]
            for r in range(first, end):
                if c.sent[place, r] != c.commanded[r]:
                    c.rows[n], c.sizes[n] = r, c.sent[place, r]
                    n += 1
        elif c.any_acts[step] and c.acts[step, f]:
            _act_alone(s.alone, c, f, n)
            for r in range(first, end):
                c.rows[n] = r
                n += 1
    code: int = _change(c, n, step)
    return code


@inner
def _act_alone(a: Alone, c: Commands, f: int, n: int) -> None:
    begin, end, slot = a.first_node[f], a.first_node[f + 1], a.slot[f]
    for k in range(len(a.local_pu)):
        # A voltage that is none is passed over.
        a.local_pu[k] = a.voltage_pu[a.node[begin + k], slot] if begin + k < end else float("nan")
    act_alone(a.table, f, c.commanded, a.itl_s, c.first_row[f], a.local_pu, c.sizes, n)


@inner
def _change(c: Commands, n: int, step: int) -> int:
    """Command the first `n` changes that were written down."""
    c.n[0] = n
    code: int = call(c.command, c.of_command, step) if n > 0 else DONE
    return code


@kernel
def see(address: int, step: int) -> int:
    """After the grids were solved: what controllers see in this step."""
    s = _read(address)
    f = s.figures
    show_and_take(s.voltage, s.stale, step)
    for r in range(len(f.replicas)):
        f.whole[0, r], f.rows[1, r], f.whole[2, r] = f.replicas[r], f.itl_s[r], f.batch[r]
        for phase in range(3):
            f.whole[3 + phase, r] = f.servers[r, phase]
    for k in range(f.power_w.shape[0]):
        for phase in range(3):
            f.measured_w[phase, k] = f.power_w[k, phase]
    show(s.of_rows, step)
    show(s.of_power, step)
    return DONE


@kernel
def send(address: int, step: int) -> int:
    """After all controls have acted: set-points are there at once, also where earlier ones were lost, or go on their
    way.
    """
    s = _read(address)
    c = s.commands
    if c.followed[0] != 0 and c.resumed[0] != step:
        return IN_PYTHON
    n = 0
    if c.any_at_once[step]:
        for f in range(len(c.arrived)):
            if not c.at_once[step, f]:
                continue
            c.arrived[f] = step
            for r in range(c.first_row[f], c.first_row[f + 1]):
                if c.batch[r] != c.commanded[r]:
                    c.rows[n], c.sizes[n] = r, c.batch[r]
                    n += 1
    if c.due[step] and not c.all_at_once[step]:
        place = step % c.sent.shape[0]
        for r in range(len(c.batch)):
            c.sent[place, r] = c.batch[r]
    code: int = _change(c, n, step)
    return code


@kernel
def hand_on(address: int, step: int) -> int:
    """At the end of a step: what is seen in the next, before it is measured anew."""
    s = _read(address)
    keep(s.stale, step + 1)
    pass_on(s.voltage, step)
    pass_on(s.of_rows, step)
    pass_on(s.of_power, step)
    return DONE


class SentSizes(NamedTuple):
    """Batch sizes `sizes` of the first `n` of some `rows`, and the set-points of all rows that they are put into."""

    n: Ints1
    rows: Ints1
    sizes: Ints1
    batch: Ints1


_read_sent = reader(SentSizes)


@kernel
def note_sizes(address: int, step: int) -> int:
    """Take what a controller commands; it acts when it has arrived."""
    p = _read_sent(address)
    for i in range(p.n[0]):
        p.batch[p.rows[i]] = p.sizes[i]
    return DONE
