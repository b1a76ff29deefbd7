"""Progress and answers on a screen: a bar with the time left on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from g2g_opt.errors import number_of
from studies.report.plain_values import in_short
from studies.running.runner import Event
from studies.shared.conclusion import Column, Conclusion, ResultTable

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
        tasks = f"{event.n_done} of {number_of(event.n_tasks, 'task')}" + (
            f", {event.n_failed} failed" if event.n_failed else ""
        )
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
            for part in _parts(table, console.width):
                console.print(part)
            if len(table.rows) > _ROWS_SHOWN:
                console.print(Text(f"{_ROWS_SHOWN} of {len(table.rows)} rows; all are in {table.name}.csv"))
    for warning in conclusion.warnings:
        console.print(Text(f"note: {warning}", style="yellow"))
    for failure in conclusion.failures:
        console.print(Text(f"no answer for {failure.what}: {failure.reason}", style="red"))
    for note in conclusion.not_assessed:
        console.print(Text(f"taken as given or not assessed: {note}"))


def _parts(table: ResultTable, width: int) -> list[Table]:
    """A table, in several below each other where its columns do not stand side by side with whole words: each begins
    with the columns again that say what a row is of.
    """
    columns = [_Shown.of(column, table.rows[:_ROWS_SHOWN]) for column in table.columns if not column.secondary]
    keys = _keys(columns, width)
    parts: list[list[_Shown]] = []
    for column in columns:
        if parts and (len(parts[-1]) <= len(keys) or _least_width([*parts[-1], column]) <= width):
            parts[-1].append(column)
        else:
            parts.append([*keys, column] if parts else [column])
    return [_rich(part, width, escape(table.title) if k == 0 else None) for k, part in enumerate(parts)]


def _keys(columns: Sequence[_Shown], width: int) -> Sequence[_Shown]:
    """The first columns, as many as tell all rows apart, but no more than leave half of the width to others."""
    for n in range(1, len(columns)):
        of_rows = list(zip(*(column.cells for column in columns[:n]), strict=True))
        if len(set(of_rows)) == len(of_rows) or 2 * _least_width(columns[: n + 1]) > width:
            return columns[:n]
    return columns[:1]


@dataclass(frozen=True)
class _Shown:
    """A column as it is shown: the width of its longest word, and of its longest cell or its title."""

    title: str
    cells: list[str]
    is_numeric: bool
    least: int
    most: int

    @staticmethod
    def of(column: Column, rows: Sequence[Mapping[str, Any]]) -> _Shown:
        values = [row.get(column.name) for row in rows]
        cells = [_cell(value, column.digits) for value in values]
        words = [cell_len(word) for text in (column.title, *cells) for word in text.split()]
        lines = [cell_len(line) for text in (column.title, *cells) for line in text.splitlines()]
        numeric = all(isinstance(value, (int, float, type(None))) and not isinstance(value, bool) for value in values)
        return _Shown(column.title, cells, numeric, max(words, default=1), max(lines, default=1))


def _least_width(columns: Sequence[_Shown]) -> int:
    """Width of a table with whole words: a column has a blank at both sides, and there are lines between them."""
    return sum(column.least + 3 for column in columns) + 1


def _rich(columns: Sequence[_Shown], width: int, title: str | None) -> Table:
    shown = Table(title=title)
    # What room there is goes to the columns that would be broken most.
    widths = [column.least for column in columns]
    for _ in range(max(0, width - _least_width(columns))):
        lacks = [
            column.most / have if column.most > have else 0.0 for column, have in zip(columns, widths, strict=True)
        ]
        if not any(lacks):
            break
        widths[lacks.index(max(lacks))] += 1
    for column, have in zip(columns, widths, strict=True):
        shown.add_column(escape(column.title), justify="right" if column.is_numeric else "left", min_width=have,
                         max_width=have)  # fmt: skip
    for cells in zip(*(column.cells for column in columns), strict=True):
        shown.add_row(*map(escape, cells))
    return shown


def _cell(value: Any, digits: int | None) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float) and digits is not None:
        return f"{value:z.{digits}f}"
    return in_short(value)
