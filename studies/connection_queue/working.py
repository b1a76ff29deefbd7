"""Arrivals and withdrawals of a queue, one after the other."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date

from g2g_opt.feeder import Feeder
from studies.connection_queue.granting import GrantedGrid, Judgement, Searched
from studies.connection_queue.question import ConnectionQueueQuestion
from studies.connection_queue.requests_file import QueuedRequest
from studies.connection_queue.rows import QueueEventRow, QueueRow, QueueYearRow, queue_row
from studies.shared.task import Progress, Tables
from studies.shared.typed_rows import to_rows

# Requests that are judged beside one grid at once, at most.
_AHEAD_MAX = 32


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
        self._found: dict[tuple[str, int], Judgement | Searched] = {}
        self._ahead = 1

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

    def _judged(self, request: QueuedRequest, year: int, coming: Sequence[tuple[QueuedRequest, int]]) -> Judgement:
        """A judgement; refusals of some that are `coming`, this one first, are found beside it and kept."""
        if (request.name, year) not in self._found:
            some = coming[: self._ahead]
            for (one, of_year), found in zip(some, self._grid.looked_at(some), strict=True):
                self._found[one.name, of_year] = found
            self._ahead = min(2 * self._ahead, _AHEAD_MAX)
        known = self._found[request.name, year]
        return known if isinstance(known, Judgement) else self._grid.judged(request, year, known)

    def _changed(self) -> None:
        """The grid is another one: nothing is known beside it any more."""
        self._found.clear()
        self._ahead = 1

    def _decide(
        self, day: date, request: QueuedRequest, coming: Sequence[tuple[QueuedRequest, int]], freed_by: str = ""
    ) -> bool:
        """Judge a request and enter what it comes to; True if it was granted something."""
        judgement = self._judged(request, day.year, coming)
        before = tuple(grant.request.name for grant in self._grid.grants)
        mw_of = request.mw / self._study.size_of(request)
        row = queue_row(judgement, day.isoformat(), before, mw_of, self._study.levels, freed_by)
        granted = judgement.grant.decision != "refused"
        if granted:
            self._grid.grants.append(judgement.grant)
            self._grants[request.name] = row
            self._changed()
        if granted or not freed_by:
            self._rows[request.name] = row
            words = "refused" if not granted else f"granted {row.decision}"
            self._enter(day, request, f"{words} after the withdrawal of {freed_by}" if freed_by else words)
        return granted

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
