"""Processes beside a task's own that simulate a part of its runs, where its worker has processors to spare.

What a run comes to depends neither on the process nor on what else is simulated there.
"""

from __future__ import annotations

import logging
import multiprocessing
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TypeVar

from g2g_opt.compiled.lanes import WIDTH
from g2g_opt.feeder import Feeder
from g2g_opt.limits import Limits
from g2g_opt.outcome import Engine, Outcome
from g2g_opt.plan import Plan
from g2g_opt.scenario import Scenario
from g2g_opt.simulation import simulate_runs

logger = logging.getLogger(__name__)

# How long another process takes until it can simulate (s), and how much sooner a call has to be done for what passing
# runs on costs.
_START_S, _SHARE_S = 2.0, 0.05
# What a run takes (s) besides its steps, and a step: on the batch engine that of all lanes of a flow together. What
# calls have taken corrects it.
_RUN_S = 0.005
_STEP_S: dict[Engine, float] = {"batch": 5e-5, "opendss": 3e-4}

Runs = Sequence[tuple[Plan, Scenario]]
Piece = TypeVar("Piece")
Result = TypeVar("Result")


class RunProcesses:
    """`n_processors` at the most, this process among them.

    The others start with the first call that is done sooner so, or once they would have saved what a start takes.
    `begin` is called in each of them first.
    """

    def __init__(self, n_processors: int, begin: Callable[[], None]) -> None:
        self.n_processors = n_processors
        self._n_others, self._begin = n_processors - 1, begin
        self._pool: ProcessPoolExecutor | None = None
        self._first: Future[int] | None = None
        # Seconds that others would have saved so far, and by engine how long calls took to how long was expected.
        self._missed_s = 0.0
        self._pace = dict.fromkeys(_STEP_S, 1.0)

    def simulate(self, runs: Runs, feeder: Feeder, limits: Limits, engine: Engine, trace_dir: Path) -> list[Outcome]:
        """As `simulate_runs`: a part of the runs here, the others beside."""
        alone = partial(simulate_runs, feeder=feeder, limits=limits, engine=engine, trace_dir=trace_dir)
        if self._n_others < 1 or len(runs) < 2:
            return alone(runs)
        work = [_RUN_S + _STEP_S[engine] * int(scenario.duration_s / scenario.dt_s) for _, scenario in runs]
        mine, *others = shares(work, self._n_others + 1)
        saved_s = self._pace[engine] * (expected_s(work, engine) - expected_s([work[k] for k in mine], engine))
        if saved_s < (_SHARE_S if self._is_ready() else _START_S):
            began_s = time.perf_counter()
            done = alone(runs)
            # A first call loads kernels and circuits, which says little of the next one.
            measured = (time.perf_counter() - began_s) / expected_s(work, engine)
            self._pace[engine] = min(2.0 * self._pace[engine], measured)
            self._miss(saved_s)
            return done
        self.start()
        parts = [mine, *(part for part in others if part)]
        done_parts = self.spread(alone, alone, [[runs[k] for k in part] for part in parts])
        found = dict(zip(chain(*parts), chain(*done_parts), strict=True))
        return [found[k] for k in range(len(runs))]

    def spread(
        self, here: Callable[[Piece], Result], beside: Callable[[Piece], Result], pieces: Sequence[Piece]
    ) -> list[Result]:
        """What is made of each piece: of the first by `here`, of the others by `beside` in the other processes."""
        futures = [self._submit(beside, piece) for piece in pieces[1:]]
        found = [here(pieces[0])]
        for piece, future in zip(pieces[1:], futures, strict=True):
            try:
                found.append(future.result())
            except BrokenProcessPool as error:
                logger.warning("a process beside this one has ended (%s): its part is simulated here", error)
                self._n_others = 0
                found.append(here(piece))
        return found

    @property
    def n_ready(self) -> int:
        """Processes that can begin at once, this one among them."""
        return self._n_others + 1 if self._is_ready() else 1

    def _is_ready(self) -> bool:
        return self._first is not None and self._first.done()

    def _miss(self, saved_s: float) -> None:
        """A call was made here that others would have shortened by so much: they start once it was worth a start."""
        self._missed_s += saved_s
        if self._missed_s >= _START_S:
            self.start()

    def start(self) -> None:
        """Start a process beside, for a call that will come: what is done until then hides how long that takes."""
        if self._n_others > 0 and self._first is None:
            self._first = self._submit(int)

    def _submit(self, do: Callable[..., Result], *given: object) -> Future[Result]:
        try:
            return self._pool_of_others().submit(do, *given)
        except BrokenProcessPool as error:
            # It ended before it was needed; one that ends at work says so by its future.
            broken: Future[Result] = Future()
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


def expected_s(work: Sequence[float], engine: Engine) -> float:
    """How long a process takes for runs, each of which takes `work` (s) alone: the lanes of a batch share its steps."""
    if engine == "opendss":
        return sum(work)
    return _RUN_S * len(work) + (max(work, default=0.0) - _RUN_S) * -(-len(work) // WIDTH)


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


def processors_of_task() -> int:
    """Processors that the task which is being done may use, for what shares its work among threads."""
    processes = _current.get()
    return 1 if processes is None else processes.n_processors


def run_processes() -> RunProcesses | None:
    """The processes of the task that is being done; None where it has one processor."""
    return _current.get()


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
