"""Progress and answers on a screen: a bar with the time left on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections import deque
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from studies.running.runner import Event
from studies.shared.conclusion import Conclusion, ResultTable

# Seconds between lines of progress where there is no terminal and nothing happens.
_PLAIN_EVERY_S = 30.0
# Rows of a table that are shown; all are in its CSV.
_ROWS_SHOWN = 40
# Part of the time since work was first heard of whose pace counts, and the least time (s) that makes a pace.
_RECENT_SHARE, _PACE_S = 0.7, 1.0


class Meter:
    """Shows the events of a run; a context manager, called with each event."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[tasks]}"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"),
            console=console,
            disable=not console.is_terminal,
            transient=True,
        )
        self._of_stage: dict[str, TaskID] = {}
        self._began_s = self._told_s = time.monotonic()
        self._estimates: dict[str, TimeLeft] = {}

    def __enter__(self) -> Meter:
        self._bar.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.__exit__(kind, error, trace)

    def __call__(self, event: Event) -> None:
        now_s = time.monotonic()
        left = self._estimates.setdefault(event.stage, TimeLeft(now_s, event.work_done)).seconds(now_s, event)
        tasks = f"{event.n_done} of {event.n_tasks} tasks" + (f", {event.n_failed} failed" if event.n_failed else "")
        left_words = f"about {in_words(left)} left" if left is not None else ""
        if event.stage not in self._of_stage:
            self._of_stage[event.stage] = self._bar.add_task(event.stage, total=event.work, tasks="", left="")
        description = escape(f"{event.stage}: {event.words}" if event.words else event.stage)
        self._bar.update(
            self._of_stage[event.stage],
            completed=event.work_done,
            total=event.work,
            description=description,
            tasks=tasks,
            left=left_words,
        )
        due = now_s - self._told_s > _PLAIN_EVERY_S
        if not self._console.is_terminal and (event.is_news or due):
            self._told_s = now_s
            share = event.work_done / event.work if event.work else 1.0
            parts = [f"{now_s - self._began_s:7.1f} s", f"{event.stage} {100 * share:3.0f} %", tasks, left_words]
            self._console.print("  ".join(part for part in [*parts, event.words] if part), markup=False, soft_wrap=True)


class TimeLeft:
    """Time left at the recent pace; None until there is a pace.

    The pace is that of the latest part of the time since work was first heard of: before that programs are started and
    compiled, and what was slow or fast long ago (another load on the machine, other sizes) says little of what is left.
    """

    def __init__(self, began_s: float, work_done: float) -> None:
        self._began = (began_s, work_done)
        # When the work done last rose, and to what; the first is the last one before the part that counts.
        self._risen: deque[tuple[float, float]] = deque()
        self._first_s = began_s

    def seconds(self, now_s: float, event: Event) -> float | None:
        """Seconds left at the pace so far."""
        done = event.work_done
        before = self._risen[-1] if self._risen else self._began
        if done < before[1]:
            # A task that was lost is done again.
            self._began, self._risen = (now_s, done), deque()
            return None
        if done > before[1]:
            if not self._risen:
                self._first_s = now_s
            self._risen.append((now_s, done))
        counts_from_s = now_s - _RECENT_SHARE * (now_s - self._first_s)
        while len(self._risen) > 1 and self._risen[1][0] <= counts_from_s:
            self._risen.popleft()
        since_s, done_then = self._risen[0] if len(self._risen) > 1 else self._began
        if done <= done_then or now_s - since_s <= _PACE_S:
            return None
        return (event.work - done) * (now_s - since_s) / (done - done_then)


def in_words(seconds: float) -> str:
    """A duration for people."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def show_conclusion(console: Console, conclusion: Conclusion) -> None:
    """The answer, its tables that are not folded away, warnings, failures, and what was not assessed."""
    console.print(Text(conclusion.title, style="bold"))
    console.print(Text(conclusion.answer))
    for table in conclusion.tables:
        if not table.folded and table.rows:
            console.print(_rich(table))
            if len(table.rows) > _ROWS_SHOWN:
                console.print(Text(f"{_ROWS_SHOWN} of {len(table.rows)} rows; all are in {table.name}.csv"))
    for warning in conclusion.warnings:
        console.print(Text(f"note: {warning}", style="yellow"))
    for failure in conclusion.failures:
        console.print(Text(f"no answer for {failure.what}: {failure.reason}", style="red"))
    for note in conclusion.not_assessed:
        console.print(Text(f"taken as given or not assessed: {note}"))


def _rich(table: ResultTable) -> Table:
    shown = Table(title=escape(table.title))
    columns = [column for column in table.columns if not column.secondary]
    numeric = {
        column.name: all(isinstance(row.get(column.name), (int, float, type(None))) for row in table.rows)
        for column in columns
    }
    for column in columns:
        shown.add_column(escape(column.title), justify="right" if numeric[column.name] else "left")
    for row in table.rows[:_ROWS_SHOWN]:
        shown.add_row(*(escape(_cell(row.get(column.name), column.digits)) for column in columns))
    return shown


def _cell(value: Any, digits: int | None) -> str:
    if value is None:
        return ""
    if isinstance(value, float) and digits is not None:
        return f"{value:.{digits}f}"
    return str(value)
