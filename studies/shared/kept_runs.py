"""Runs of a task that is not over: kept as they come, so that what kills its worker costs none of them.

A search asks again for what it asked for before it was killed, in the same order, and is answered from what was kept.
A task that decides one thing after the other keeps its decisions as well, and lets go of the runs that led to them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Protocol, Self

from g2g_opt.engine_reason import EngineReason
from g2g_opt.feeder import Feeder
from g2g_opt.judge import judge
from g2g_opt.limits import Limits
from g2g_opt.outcome import Engine, Outcome
from g2g_opt.plan import Plan
from g2g_opt.scenario import Scenario
from studies.shared.stored_runs import SummaryRow
from studies.shared.task import Row
from studies.shared.typed_rows import TypedRow


class RowKeeper(Protocol):
    """Where rows are kept for one task: what an earlier worker left, and room for more."""

    def rows(self) -> Sequence[Row]:
        """Everything that was kept and can be read."""

    def keep(self, rows: Sequence[Row]) -> None:
        """Keep rows, whole or not at all."""

    def forget(self) -> None:
        """Keep nothing of what was kept so far."""


@dataclass(frozen=True, eq=False)
class KeptRun(SummaryRow):
    """A run by the digest of what was asked for, without its plan and scenario: those who ask have them."""

    asked: str
    scenario_name: str
    engine: str
    engine_note: str
    engine_reason: EngineReason | None
    seconds: float

    @classmethod
    def of(cls, asked: str, outcome: Outcome) -> Self:
        """The row of an outcome."""
        return cls.of_summary(
            outcome.summary,
            asked=asked,
            scenario_name=outcome.scenario,
            engine=outcome.engine,
            engine_note=outcome.engine_note,
            engine_reason=outcome.engine_reason,
            seconds=outcome.seconds,
        )

    def outcome(self, limits: Limits) -> Outcome:
        """The run judged by itself by `limits`."""
        summary = self.read_summary()
        verdict = judge(summary, limits)
        return Outcome(
            self.scenario_name, self.engine, summary, verdict, self.seconds, self.engine_note, self.engine_reason
        )


@dataclass(frozen=True)
class KeptDecision(TypedRow):
    """A decision by its number in the order of a task's decisions, with what it came to as words of the task's own."""

    number: int
    words: str


class KeptRuns:
    """The runs of a task by what they follow from besides its question: feeder, plan, scenario and engine asked for.

    `decided` are the words of decisions that were kept by an earlier worker, in their order.
    """

    def __init__(self, keeper: RowKeeper, decisions: RowKeeper) -> None:
        self._keeper, self._decisions = keeper, decisions
        self._rows = {str(row["asked"]): KeptRun.from_row(row) for row in keeper.rows()}
        known = sorted((KeptDecision.from_row(row) for row in decisions.rows()), key=lambda one: one.number)
        # One that is lost takes those after it along: they stand on it.
        self.decided = [one.words for k, one in enumerate(known) if one.number == k]
        self._n_decided = 0

    def decide(self, words: str) -> None:
        """Keep the next decision of the task."""
        if self._n_decided >= len(self.decided):
            self._decisions.keep([KeptDecision(self._n_decided, words).to_row()])
        self._n_decided += 1

    def forget(self) -> None:
        """Keep none of the runs so far, which nobody asks for any more: what they led to is decided."""
        if self._n_decided > len(self.decided):
            self._rows.clear()
            self._keeper.forget()

    def find(self, feeder: Feeder, plan: Plan, scenario: Scenario, engine: Engine, limits: Limits) -> Outcome | None:
        """The run as it was kept, judged by itself by `limits`; None if there is none."""
        row = self._rows.get(_asked(feeder, plan, scenario, engine))
        return None if row is None else row.outcome(limits)

    def keep(
        self, feeder: Feeder, runs: Sequence[tuple[Plan, Scenario]], engine: Engine, outcomes: Sequence[Outcome]
    ) -> None:
        """Keep runs that are over."""
        rows = [
            KeptRun.of(_asked(feeder, plan, scenario, engine), outcome)
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
def keeping(keeper: RowKeeper, decisions: RowKeeper) -> Iterator[None]:
    """Do a task whose runs and decisions are kept."""
    before = _current.set(KeptRuns(keeper, decisions))
    try:
        yield
    finally:
        _current.reset(before)
