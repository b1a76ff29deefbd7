"""The ladder of limits: every criterion's rung is closed by sizes that were judged, and nothing is said beyond them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from g2g_opt.failure import Failure, FailureKind
from g2g_opt.judge import Criterion, LimitCheck, Verdict
from g2g_opt.outcome import Outcome
from g2g_opt.summary import Summary
from studies.hosting_capacity.answer_ladder import front_points, ladder_in_words
from studies.hosting_capacity.capacity import Aim, JudgedSize
from studies.hosting_capacity.ladder import POWER_FLOW, RUNGS, VOLTAGE, Rung, rungs_of, sizes_wanted
from studies.hosting_capacity.rows import JudgedSizeRow, RungEnd, RungRow, rung_row

FIRM = Aim(("671",), "firm", 0.5)
RESOLUTION = 0.02
Share = Callable[[int], float]


def judged(n: int, used: dict[Criterion, float], failed: bool = False) -> JudgedSize:
    failure = Failure(FailureKind.NOT_CONVERGED) if failed else None
    checks = () if failed else tuple(LimitCheck(c, str(c), x, 1.0, x, x <= 1.0) for c, x in used.items())
    summary = replace(Summary.without_figures(Failure(FailureKind.NOT_CONVERGED), 1.0), failure=failure)
    outcome = Outcome("hour", "batch", summary, Verdict(checks, failure))
    return JudgedSize(n, outcome.kept, (), 1, outcome, (n,))


def climb(
    shares: dict[Criterion, Share], ends_at: int, n_max: int = 5000, first: int = 100, at_once: int = 1
) -> dict[int, JudgedSize]:
    """Judge what is wanted until nothing is."""
    known: dict[int, JudgedSize] = {}
    wanted: tuple[int, ...] = (first,)
    while wanted:
        known |= {n: judged(n, {c: share(n) for c, share in shares.items()}, n > ends_at) for n in wanted}
        wanted = sizes_wanted(known, 1, n_max, RESOLUTION, 1.6, at_once)
        assert not set(wanted) & set(known)
    return known


def rung(rungs: list[Rung], criterion: str) -> Rung:
    return next(one for one in rungs if one.criterion == criterion)


@settings(max_examples=60, deadline=None)
@given(
    line=st.integers(2, 3000),
    unbalance=st.integers(2, 3000),
    outside=st.integers(2, 3000),
    ends_at=st.integers(3, 4000),
    at_once=st.sampled_from([1, 2, 8, 16]),
)
def test_every_rung_is_known_to_its_resolution(
    line: int, unbalance: int, outside: int, ends_at: int, at_once: int
) -> None:
    shares: dict[Criterion, Share] = {
        Criterion.LINE_LOADING: lambda n: n / line,
        Criterion.UNBALANCE: lambda n: 0.4 + 0.6 * (n / unbalance) ** 2,
        # A share of time: nothing, then all of it.
        Criterion.VOLTAGE_LOW: lambda n: 0.0 if n <= outside else 30.0,
    }
    known = climb(shares, ends_at, at_once=at_once)
    rungs = rungs_of(FIRM, list(known.values()))
    for criterion, at in (("line loading", line), (str(Criterion.UNBALANCE), unbalance), (VOLTAGE, outside)):
        found = rung(rungs, criterion)
        # What lies within the resolution of the power flow's end cannot be told from it.
        if at >= ends_at / 1.03 - 1:
            continue
        assert found.stopped_by is not None
        below = found.below.n_servers if found.below is not None else 0
        assert below <= at < found.n_rejected
        # OpenDSS is asked 3 % above a rung, or one server.
        assert found.n_rejected - below <= max(1, 0.03 * below)
    power_flow = rung(rungs, POWER_FLOW)
    assert power_flow.below is not None
    assert power_flow.below.n_servers <= ends_at < power_flow.n_rejected
    assert power_flow.n_rejected - power_flow.below.n_servers <= max(1, 0.03 * ends_at)
    assert len(known) <= (60 if at_once < 8 else 110)


def test_smooth_limits_take_few_sizes() -> None:
    known = climb(
        {Criterion.LINE_LOADING: lambda n: n / 471, Criterion.RAPID_VOLTAGE_CHANGE: lambda n: (n / 239) ** 1.1}, 1378
    )
    assert len(known) <= 22


def test_a_criterion_that_nothing_is_held_against_is_not_judged_and_one_that_holds_says_where_it_was_left() -> None:
    known = climb({Criterion.LINE_LOADING: lambda n: 0.1}, 700)
    rows = [rung_row(replace(one, below=None, ends_at=None)) for one in rungs_of(FIRM, list(known.values()))]
    ends = {row.criterion: row.end for row in rows}
    assert ends["line loading"] is RungEnd.NO_POWER_FLOW
    assert ends[POWER_FLOW] is RungEnd.BINDS
    assert ends["transformer loading"] is RungEnd.NOT_JUDGED
    assert [row.criterion for row in rows] == list(RUNGS)
    capped = rungs_of(FIRM, list(climb({Criterion.LINE_LOADING: lambda n: 0.1}, 9999).values()))
    assert not rung(capped, "line loading").power_flow_ends
    assert rung(capped, POWER_FLOW).stopped_by is None


def row(criterion: str, end: RungEnd, mw: float | None) -> RungRow:
    return RungRow("671", "firm", criterion, mw, mw, 10, 80, 1.0, end, 11, "", None, None, "")


def test_the_ladder_in_words_names_what_binds_first_and_what_was_not_reached() -> None:
    words = ladder_in_words(
        [
            row("voltage", RungEnd.BINDS, 4.46),
            row("rapid voltage change", RungEnd.BINDS, 1.38),
            row("latency", RungEnd.NO_POWER_FLOW, 6.99),
            row("emergency loading", RungEnd.NOT_JUDGED, 6.99),
        ]
    )
    assert words == (
        "rapid voltage change from 1.38 MW; voltage from 4.46 MW; no size that has a power flow breaks it, up to "
        "6.99 MW: latency; not judged: emergency loading"
    )


@pytest.mark.parametrize("order", [1, -1])
def test_the_front_of_mw_against_tokens_has_no_point_that_another_beats(order: int) -> None:
    def size(operation: str, n: int, mw: float, tps: float, kept: bool = True) -> JudgedSizeRow:
        figures = (None, mw, mw, mw, 1.0, tps)
        return JudgedSizeRow("671", operation, 0.5, None, n, 8 * n, kept, 1, "", 1, 0, "hour", None, "", *figures)  # type: ignore[arg-type]

    sizes = [
        size("firm", 1, 2.0, 50.0),
        size("flexible", 2, 3.0, 90.0),
        size("flexible", 3, 4.0, 70.0),
        size("flexible", 4, 3.5, 60.0),  # beaten in both
        size("flexible", 5, 9.0, 99.0, kept=False),
    ]
    assert [one.n_servers for one in front_points(sizes[::order])["671"]] == [2, 3]
