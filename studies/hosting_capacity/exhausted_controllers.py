"""Where a controller could do no more about a voltage: in the answers, and in the sizes refused next above them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from g2g_opt.scenario import Scenario
from studies.hosting_capacity.rows import CapacityRow, CapacityRun

# Places that are named; of more, how many there are.
_NAMED = 6


def exhausted_warning(rows: Sequence[CapacityRow], runs: Sequence[CapacityRun]) -> str:
    """A sentence that names sizes and control steps; empty if every controller had room left whenever it was needed.

    Where a size was simulated several times (taps, scenarios), it is the run in which the least was the matter.
    """
    found = [words for row in rows for words in _of_answer(row, runs)]
    if not found:
        return ""
    more = f"; and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    return (
        "the controller could do no more while a voltage was outside the band it aims at, every model being at the "
        f"batch size that is best for it: {'; '.join(found[:_NAMED])}{more}"
    )


def _of_answer(row: CapacityRow, runs: Sequence[CapacityRun]) -> Iterator[str]:
    if row.operation != "flexible" or row.first_n_servers is not None:
        return
    for n_servers, refused in ((row.n_servers, ""), (row.n_servers_rejected_above, ", refused,")):
        of_size = [
            run
            for run in runs
            if (run.bus, run.operation, run.n_servers) == (row.bus, "flexible", n_servers)
            and run.first_n_servers is None
            and run.purpose == "search"
            and run.failure_kind is None
        ]
        if not of_size:
            continue
        steps, run = min(((_exhausted_steps(run), run) for run in of_size), key=lambda one: one[0])
        if steps:
            n_gpus = sum(site.n_gpus for site in run.read_sites())
            yield f"{row.bus} with {n_gpus} GPUs{refused} in {steps} of {_control_steps(run)} control steps"


def _exhausted_steps(run: CapacityRun) -> int:
    """Control steps of the site for which there were most."""
    return max((site.exhausted_control_steps for site in run.read_sites()), default=0)


def _control_steps(run: CapacityRun) -> int:
    scenario: Scenario = run.read_scenario()
    return -(-scenario.duration_s // scenario.control_dt_s)
