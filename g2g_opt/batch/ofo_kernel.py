"""A control step of OFO at many sites, compiled: what it reads of a batch, its update, and what it commands."""

from __future__ import annotations

from typing import Any, NamedTuple

from g2g_opt.compiled.kernel import inner, kernel
from g2g_opt.compiled.program import DONE, IN_PYTHON, call, entry_of
from g2g_opt.compiled.records import Bools1, Floats1, Ints1, Packed, reader
from g2g_opt.controller.ofo_update import OFOStep, ofo_step, update_voltage_duals


class SeenRows(NamedTuple):
    """Rows of the fleets of a batch that OFO acts on, and what it sees of them (`control.Sight`)."""

    row: Ints1
    servers: Ints1
    servers_of_row: int
    servers_of_phase: int
    replicas: Ints1
    itl_s: Floats1


class Calls(NamedTuple):
    """Kernels of the update by their addresses, and the records that they read."""

    duals: int
    of_duals: int
    step: int
    of_step: int
    command: int
    of_command: int

    @staticmethod
    def of(duals: Packed, step: Packed, command: Any, of_command: Packed) -> Calls:
        """Of records that are packed, and the kernel that commands."""
        commands = entry_of(command), of_command.address
        return Calls(entry_of(update_voltage_duals), duals.address, entry_of(ofo_step), step.address, *commands)


class OFOAct(NamedTuple):
    """OFO acts in every `period`-th step. Slopes are measured before the first of its acts and then before every
    `slopes_every`-th (0: never again); `slopes_at` is the step for which they are there.

    Rows of site k are those from `first[k]` up to `first[k + 1]`; `fleet[k]` and `slot[k]` are its places in the batch.
    """

    period: int
    slopes_every: int
    slopes_at: Ints1
    n_acts: Ints1
    seen: SeenRows
    first: Ints1
    fleet: Ints1
    slot: Ints1
    has_failed: Bools1
    exhausted_steps: Ints1
    now: OFOStep
    calls: Calls


_read = reader(OFOAct)


@inner
def _count_exhausted(a: OFOAct) -> None:
    """Count the step for sites whose controllers can do no more about voltages outside the band."""
    outside, at_best = a.now.duals.outside, a.now.at_best
    for k in range(len(a.fleet)):
        slot = a.slot[k]
        if outside[slot] == 0.0 or a.has_failed[slot]:
            continue
        exhausted = True
        for i in range(a.first[k], a.first[k + 1]):
            exhausted = exhausted and at_best[i]
        if exhausted:
            a.exhausted_steps[a.fleet[k]] += 1


@kernel
def act(address: int, step: int) -> int:
    """Read, update and command, where it is time and the slopes are there."""
    a = _read(address)
    if step % a.period != 0:
        return DONE
    is_due = a.n_acts[0] == 0 or (a.slopes_every > 0 and a.n_acts[0] % a.slopes_every == 0)
    if is_due and a.slopes_at[0] != step:
        return IN_PYTHON
    a.n_acts[0] += 1
    call(a.calls.duals, a.calls.of_duals, step)
    seen, now = a.seen, a.now
    for i in range(len(seen.row)):
        row = seen.row[i]
        for phase in range(3):
            place = row * seen.servers_of_row + phase * seen.servers_of_phase
            now.servers[i, phase] = seen.servers[place]
        now.replicas[i], now.itl_s[i] = seen.replicas[row], seen.itl_s[row]
    call(a.calls.step, a.calls.of_step, step)
    _count_exhausted(a)
    code: int = call(a.calls.command, a.calls.of_command, step)
    return code
