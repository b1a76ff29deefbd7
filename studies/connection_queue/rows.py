"""What became of a queue, as rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import ConfigDict, TypeAdapter

from studies.connection_check.rows import RemedyRow
from studies.connection_queue.granting import Decision, Judgement
from studies.connection_queue.requests_file import LoadShape
from studies.shared.typed_rows import TypedRow


@dataclass(frozen=True)
class QueueRow(TypedRow):
    """A request at the end of the queue: what it was granted, when, and what binds.

    `mw_by_level` are the MW granted at every level of own load, the highest level first: caps, of which the site drew
    at the most `peak_mw_by_level` on OpenDSS. Of a refusal the limit is the one broken, and `largest_mw` what would
    have fitted firm at the highest level. `limit_level` is the level of own load (one of the question's) at which that
    limit is nearest or broken, `own_load_share` what that level was in its year. `freed_by` is the withdrawal that let
    it in. `before` are the names of those that were there when it was decided.
    """

    request: str
    bus: str
    mw: float
    load_shape: LoadShape
    arrived: str
    decision: Decision
    decided: str
    n_servers_by_level: tuple[int, ...]
    mw_by_level: tuple[float, ...]
    limit: str
    limit_element: str
    limit_is_thermal: bool
    limit_where: str
    limit_used: float | None
    limit_level: float
    own_load_share: float
    engine: str
    scenario: str
    largest_mw: float
    peak_mw_by_level: tuple[float, ...]
    freed_by: str
    withdrawn: str
    before: tuple[str, ...]


@dataclass(frozen=True)
class QueueEventRow(TypedRow):
    """Something that happened to the queue, in order, with the MW that are granted afterwards."""

    number: int
    day: str
    request: str
    event: str
    granted_mw: float


@dataclass(frozen=True)
class QueueYearRow(TypedRow):
    """The grid with what is granted at the end of a year, at its own load: whether it holds, and what is nearest."""

    year: int
    own_load_share: float
    n_granted: int
    granted_mw: float
    kept: bool
    limit: str
    limit_where: str
    limit_used: float | None
    limit_level: float


@dataclass(frozen=True)
class QueueRemedyRow(RemedyRow):
    """A remedy that was simulated for a refused request, in the grid as it found it."""

    request: str = ""


def queue_row(
    judgement: Judgement,
    decided: str,
    before: tuple[str, ...],
    mw_of: float,
    levels: Sequence[float],
    freed_by: str = "",
) -> QueueRow:
    """The row of a judgement; `mw_of` is the draw of a server (MW), `levels` those of own load."""
    grant, case = judgement.grant, judgement.deciding
    run = case.trial.binding
    request, check = grant.request, run.verdict.binding
    return QueueRow(
        request=request.name,
        bus=request.bus,
        mw=request.mw,
        load_shape=request.load_shape,
        arrived=request.arrived.isoformat(),
        decision=grant.decision,
        decided=decided,
        n_servers_by_level=grant.n_servers,
        mw_by_level=tuple(n * mw_of for n in grant.n_servers),
        limit=check.name if check is not None else "",
        limit_element=check.where if check is not None else "",
        limit_is_thermal=check is not None and check.criterion.is_thermal,
        limit_where=check.place() if check is not None else "",
        limit_used=check.used if check is not None and check.failure is None else None,
        limit_level=levels[case.level],
        own_load_share=case.own_load_share,
        engine=run.engine,
        scenario=run.scenario,
        largest_mw=judgement.largest * mw_of,
        peak_mw_by_level=judgement.peaks_mw,
        freed_by=freed_by,
        withdrawn="",
        before=before,
    )


# In a tuple, because a type that has a configuration of its own takes none from an adapter; JSON has no NaN.
_ROWS = TypeAdapter(tuple[QueueRow, ...], config=ConfigDict(ser_json_inf_nan="strings"))


def words_of_row(row: QueueRow | None) -> str:
    """A row in words to be kept, exactly; none where a refusal was not entered."""
    return _ROWS.dump_json((row,) if row is not None else ()).decode()


def row_of_words(words: str) -> QueueRow | None:
    """The row of `words_of_row`."""
    rows = _ROWS.validate_json(words)
    return rows[0] if rows else None
