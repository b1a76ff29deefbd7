"""Arrivals and withdrawals of a queue, one after the other."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date

from g2g_opt.feeder import Feeder
from studies.connection_queue.granting import Grant, GrantedGrid, Judgement, Searched
from studies.connection_queue.question import ConnectionQueueQuestion
from studies.connection_queue.requests_file import QueuedRequest
from studies.connection_queue.rows import (
    QueueEventRow,
    QueueRow,
    QueueYearRow,
    queue_row,
    row_of_words,
    words_of_row,
)
from studies.shared.kept_runs import kept_runs
from studies.shared.task import Progress, Tables
from studies.shared.typed_rows import to_rows

# Requests that are judged beside one grid at once, at most: of those that come, where a grant makes the others' work
# worth nothing, and of those that were refused before, most of which still are.
_AHEAD_MAX, _AGAIN_MAX = 8, 64


class QueueRun:
    """Goes through the queue from its first day to its last."""

    def __init__(self, study: ConnectionQueueQuestion, feeder: Feeder, progress: Progress) -> None:
        self._study, self._progress = study, progress
        self._requests = study.read()
        self._first_year = self._requests[0].arrived.year
        self._grid = GrantedGrid(study, feeder, self._first_year)
        self._rows: dict[str, QueueRow] = {}
        # Every grant that there ever was, also of what was withdrawn later: those before a refusal.
        self._grants: dict[str, QueueRow] = {}
        self._events: list[QueueEventRow] = []
        self._years: list[QueueYearRow] = []
        # What was found beside the grid as it is, by request and year, and how many are looked at together.
        self._found: dict[tuple[str, int], Judgement | Searched | None] = {}
        self._ahead = 1
        self._kept = kept_runs()
        self._decided = [row_of_words(words) for words in (self._kept.decided if self._kept is not None else ())]

    def tables(self) -> Tables:
        """Tables "queue" (a row per request), "grants", "queue_events" and "queue_years"."""
        days, year = list(self._days()), self._first_year
        for k, (day, withdrawn, request) in enumerate(days):
            while year < day.year:
                self._close(year)
                year += 1
            self._progress(k / len(days), f"{request.name}: {'withdrawn' if withdrawn else f'{request.mw:g} MW'}")
            if withdrawn:
                self._withdraw(day, request)
                continue
            # Those up to the next withdrawal find the same grid, as long as nothing is granted.
            coming = itertools.takewhile(lambda it: not it[1], days[k:])
            self._decide(day, request, [(one, at.year) for at, _, one in coming])
        self._close(year)
        return {
            "queue": to_rows([self._rows[request.name] for request in self._requests]),
            "grants": to_rows(list(self._grants.values())),
            "queue_events": to_rows(self._events),
            "queue_years": to_rows(self._years),
        }

    def _days(self) -> Iterator[tuple[date, bool, QueuedRequest]]:
        """What happens, by day; on one day withdrawals of others come before arrivals."""
        found = [(one.arrived, False, one) for one in self._requests]
        found += [(one.withdrawn, True, one) for one in self._requests if one.withdrawn is not None]
        place = {one.name: k for k, one in enumerate(self._requests)}
        yield from sorted(found, key=lambda it: (it[0], not it[1] or it[2].arrived == it[0], it[1], place[it[2].name]))

    def _judged(
        self, request: QueuedRequest, year: int, coming: Sequence[tuple[QueuedRequest, int]], again: bool
    ) -> Judgement | None:
        """A judgement; refusals of some that are `coming`, this one first, are found beside it and kept.

        `again`: all of them were refused before, and a further refusal is None.
        """
        if (request.name, year) not in self._found:
            some = coming[: _AGAIN_MAX if again else self._ahead]
            looked = self._grid.looked_at_again(some) if again else self._grid.looked_at(some)
            self._found.update({(one.name, at): found for (one, at), found in zip(some, looked, strict=True)})
            self._ahead = min(2 * self._ahead, _AHEAD_MAX)
        known = self._found[request.name, year]
        return self._grid.judged(request, year, known) if isinstance(known, Searched) else known

    def _changed(self) -> None:
        """The grid is another one: nothing is known beside it any more."""
        self._found.clear()
        self._ahead = 1
        if self._kept is not None:
            self._kept.forget()

    def _decide(
        self, day: date, request: QueuedRequest, coming: Sequence[tuple[QueuedRequest, int]], freed_by: str = ""
    ) -> None:
        """Judge a request and enter what it comes to, as it was decided by an earlier worker if it was."""
        row = self._decided.pop(0) if self._decided else self._row(day, request, coming, freed_by)
        if self._kept is not None:
            self._kept.decide(words_of_row(row))
        granted = row is not None and row.decision != "refused"
        if row is not None and row.decision != "refused":
            self._grid.grants.append(Grant(request, row.decision, row.n_servers_by_level))
            self._grants[request.name] = row
            self._changed()
        if row is not None and (granted or not freed_by):
            self._rows[request.name] = row
            words = "refused" if not granted else f"granted {row.decision}"
            self._enter(day, request, f"{words} after the withdrawal of {freed_by}" if freed_by else words)

    def _row(
        self, day: date, request: QueuedRequest, coming: Sequence[tuple[QueuedRequest, int]], freed_by: str
    ) -> QueueRow | None:
        """The row of a judgement made now; None if a request that was refused before still is."""
        judgement = self._judged(request, day.year, coming, bool(freed_by))
        if judgement is None:
            return None
        before = tuple(grant.request.name for grant in self._grid.grants)
        mw_of = request.mw / self._study.size_of(request)
        return queue_row(judgement, day.isoformat(), before, mw_of, self._study.levels, freed_by)

    def _withdraw(self, day: date, request: QueuedRequest) -> None:
        """Take a request out, and judge again what was refused, in the order of arrival."""
        was = self._rows[request.name]
        self._rows[request.name] = replace(was, withdrawn=day.isoformat())
        self._grid.grants = [grant for grant in self._grid.grants if grant.request.name != request.name]
        self._enter(day, request, "withdrawn")
        if was.decision == "refused":
            return
        self._changed()
        waiting = [
            (other, day.year)
            for other in self._requests
            if (row := self._rows.get(other.name)) is not None and row.decision == "refused" and not row.withdrawn
        ]
        for k, (other, _) in enumerate(waiting):
            self._decide(day, other, waiting[k:], freed_by=request.name)

    def _enter(self, day: date, request: QueuedRequest, event: str) -> None:
        number = len(self._events) + 1
        self._events.append(QueueEventRow(number, day.isoformat(), request.name, event, self._granted_mw()))

    def _granted_mw(self) -> float:
        """MW that are granted at the highest level of own load."""
        return sum(self._grants[grant.request.name].mw_by_level[0] for grant in self._grid.grants)

    def _close(self, year: int) -> None:
        """How the grid stands with what was granted, at the load of a year."""
        if not self._grid.grants:
            return
        case = self._grid.holds(year)
        check = case.trial.binding.verdict.binding
        self._years.append(
            QueueYearRow(
                year=year,
                own_load_share=self._study.own_load_factor(year, self._first_year),
                n_granted=len(self._grid.grants),
                granted_mw=self._granted_mw(),
                kept=case.trial.kept,
                limit=check.name if check is not None else "",
                limit_where=check.place() if check is not None else "",
                limit_used=check.used if check is not None and check.failure is None else None,
                limit_level=self._study.levels[case.level],
            )
        )
