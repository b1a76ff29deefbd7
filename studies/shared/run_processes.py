"""Processes beside a task's own that simulate a part of its runs, where its worker has processors to spare.

What a run comes to depends neither on the process nor on what else is simulated there.
"""

from __future__ import annotations

import logging
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from pathlib import Path

from g2g_opt.feeder import Feeder
from g2g_opt.limits import Limits
from g2g_opt.outcome import Engine, Outcome
from g2g_opt.plan import Plan
from g2g_opt.scenario import Scenario
from g2g_opt.simulation import simulate_runs

logger = logging.getLogger(__name__)

# What a run takes besides its steps, about: components are made, a circuit compiled, a verdict found.
_START_STEPS = 150
# Work (steps, with those) below which a call stays in one process: where no other has been started yet, and where one
# has. That start takes two seconds.
_START_FROM_STEPS, _SHARE_FROM_STEPS = 5000, 1500

Runs = Sequence[tuple[Plan, Scenario]]


class RunProcesses:
    """`n_processors` at the most, this process among them; the others start with the first call that is large enough.

    `begin` is called in each of them first.
    """

    def __init__(self, n_processors: int, begin: Callable[[], None]) -> None:
        self._n_others, self._begin = n_processors - 1, begin
        self._pool: ProcessPoolExecutor | None = None

    def simulate(
        self, runs: Runs, feeder: Feeder, limits: Limits, engine: Engine, trace_dir: Path, by_step: bool = False
    ) -> list[Outcome]:
        """As `simulate_runs`: a part of the runs here, the others beside."""
        alone = partial(
            simulate_runs, feeder=feeder, limits=limits, engine=engine, trace_dir=trace_dir, by_step=by_step
        )
        work = [_START_STEPS + int(scenario.duration_s / scenario.dt_s) for _, scenario in runs]
        enough = _START_FROM_STEPS if self._pool is None else _SHARE_FROM_STEPS
        if self._n_others < 1 or len(runs) < 2 or sum(work) < enough:
            return alone(runs)
        mine, *others = shares(work, self._n_others + 1)
        futures = [(part, self._submit(alone, [runs[k] for k in part])) for part in others if part]
        found = dict(zip(mine, alone([runs[k] for k in mine]), strict=True))
        for part, future in futures:
            try:
                done = future.result()
            except BrokenProcessPool as error:
                logger.warning("a process beside this one has ended (%s): its runs are simulated here", error)
                self._n_others = 0
                done = alone([runs[k] for k in part])
            found.update(zip(part, done, strict=True))
        return [found[k] for k in range(len(runs))]

    def start(self) -> None:
        """Start a process beside, for a call that will come: what is done until then hides how long that takes."""
        if self._n_others > 0 and self._pool is None:
            self._pool_of_others().submit(int)

    def _submit(self, simulate: Callable[[Runs], list[Outcome]], runs: Runs) -> Future[list[Outcome]]:
        try:
            return self._pool_of_others().submit(simulate, runs)
        except BrokenProcessPool as error:
            # It ended before it was needed; one that ends at work says so by its future.
            broken: Future[list[Outcome]] = Future()
            broken.set_exception(error)
            return broken

    def _pool_of_others(self) -> ProcessPoolExecutor:
        if self._pool is None:
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(self._n_others, context, initializer=self._begin)
        return self._pool

    def close(self) -> None:
        """End the other processes."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)


def shares(work: Sequence[float], n: int) -> list[list[int]]:
    """Places of pieces of `work` in `n` parts of about the same work, each in rising order."""
    parts: list[list[int]] = [[] for _ in range(n)]
    loads = [0.0] * n
    for place in sorted(range(len(work)), key=lambda k: -work[k]):
        least = loads.index(min(loads))
        parts[least].append(place)
        loads[least] += work[place]
    return [sorted(part) for part in parts]


_current: ContextVar[RunProcesses | None] = ContextVar("run processes", default=None)


def run_processes() -> RunProcesses | None:
    """The processes of the task that is being done; None where it has one processor."""
    return _current.get()


def simulate_beside(
    runs: Runs, feeder: Feeder, limits: Limits, engine: Engine, trace_dir: Path, by_step: bool = False
) -> list[Outcome]:
    """As `simulate_runs`, on all processors that the present task may use."""
    processes = _current.get() or RunProcesses(1, lambda: None)
    return processes.simulate(runs, feeder, limits, engine, trace_dir, by_step)


@contextmanager
def sharing(n_processors: int, begin: Callable[[], None]) -> Iterator[None]:
    """Do a task that may use so many processors; `begin` is called first in each further process."""
    processes = RunProcesses(n_processors, begin) if n_processors > 1 else None
    before = _current.set(processes)
    try:
        yield
    finally:
        _current.reset(before)
        if processes is not None:
            processes.close()
