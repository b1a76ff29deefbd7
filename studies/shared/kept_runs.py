"""Runs of a task that is not over: kept as they come, so that what kills its worker costs none of them.

A search asks again for what it asked for before it was killed, in the same order, and is answered from what was kept.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Protocol

from g2g_opt.feeder import Feeder
from g2g_opt.limits import Limits
from g2g_opt.outcome import Engine, Outcome
from g2g_opt.plan import Plan
from g2g_opt.scenario import Scenario
from studies.shared.stored_runs import RunRow
from studies.shared.task import Row


class RunKeeper(Protocol):
    """Where rows of runs are kept for one task: what an earlier worker left, and room for more."""

    def rows(self) -> Sequence[Row]:
        """Everything that was kept and can be read."""

    def keep(self, rows: Sequence[Row]) -> None:
        """Keep rows, whole or not at all."""


@dataclass(frozen=True, eq=False)
class KeptRun(RunRow):
    """A run, and the digest of what was asked for."""

    asked: str


class KeptRuns:
    """The runs of a task by what they follow from besides its question: feeder, plan, scenario and engine asked for."""

    def __init__(self, keeper: RunKeeper) -> None:
        self._keeper = keeper
        self._rows = {str(row["asked"]): KeptRun.from_row(row) for row in keeper.rows()}

    def find(self, feeder: Feeder, plan: Plan, scenario: Scenario, engine: Engine, limits: Limits) -> Outcome | None:
        """The run as it was kept, judged by itself by `limits`; None if there is none."""
        row = self._rows.get(_asked(feeder, plan, scenario, engine))
        return None if row is None else row.outcome(limits)

    def keep(
        self, feeder: Feeder, runs: Sequence[tuple[Plan, Scenario]], engine: Engine, outcomes: Sequence[Outcome]
    ) -> None:
        """Keep runs that are over."""
        rows = [
            KeptRun.of(plan, scenario, outcome, asked=_asked(feeder, plan, scenario, engine))
            for (plan, scenario), outcome in zip(runs, outcomes, strict=True)
        ]
        self._keeper.keep([row.to_row() for row in rows])


def _asked(feeder: Feeder, plan: Plan, scenario: Scenario, engine: Engine) -> str:
    # A task may try changes of its circuit.
    circuit = hashlib.sha256("\n".join(feeder.commands).encode()).hexdigest()
    return hashlib.sha256(repr((circuit, plan, scenario, engine)).encode()).hexdigest()


_current: ContextVar[KeptRuns | None] = ContextVar("kept runs", default=None)


def kept_runs() -> KeptRuns | None:
    """The kept runs of the task that is being done; None outside of one."""
    return _current.get()


@contextmanager
def keeping(keeper: RunKeeper) -> Iterator[None]:
    """Do a task whose runs are kept."""
    before = _current.set(KeptRuns(keeper))
    try:
        yield
    finally:
        _current.reset(before)
