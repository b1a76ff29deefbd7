"""What runs of clients over lossy links say: the reference study's two figures, and which rule makes them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product

from g2g_opt.data_files import data_path, read_table
from studies.communication.client_runs import ClientRow
from studies.communication.question import CommunicationQuestion
from studies.shared.conclusion import Chart, Column, Conclusion, Line, MissingAnswer, ResultTable
from studies.shared.paired import bootstrap_draws, interval_row, with_interval
from studies.shared.task import Row, TaskResult, gather
from studies.shared.typed_rows import gather_as

# Figures of a run whose means are told, in percent, by their names in a row.
_SHARES = {
    "violation_share": "bus-time at or above the limit (%)",
    "violation_beyond_share": "bus-time more than 0.0001 pu above (%)",
    "lost_share": "production lost (%)",
    "published_violation_share": "violations as published (%)",
    "published_lost_share": "production lost as published (%)",
}
_PLAIN = {"violation_integral_pu_s": ("above the limit (pu s)", 3), "mean_age_s": ("age of reports (s)", 2)}
_KEY = (
    Column("allocator", "allocator"),
    Column("rules", "rules"),
    Column("transport", "transport"),
    Column("loss_pct", "loss (%)", 0),
)
_MEANS = (
    *_KEY,
    *(
        column
        for name, title in _SHARES.items()
        for column in with_interval(Column(f"{name}_pct", title, 2, secondary=name == "violation_beyond_share"))
    ),
    *(Column(name, title, digits, secondary=True) for name, (title, digits) in _PLAIN.items()),
)
_CHANGES = (
    *_KEY,
    *with_interval(Column("violation_points", "violations against loss 0 (points)", 2), of=""),
    *with_interval(Column("lost_points", "production lost against loss 0 (points)", 2), of=""),
)
_RUNS = (
    Column("allocator", "allocator"),
    Column("rules", "rules"),
    Column("transport", "transport"),
    Column("loss", "loss", 2),
    Column("draw", "run"),
    Column("violation_share", "bus-time at or above the limit", 5),
    Column("violation_beyond_share", "more than 0.0001 pu above", 5),
    Column("violation_time_share", "time with any bus there", 4),
    Column("violation_integral_pu_s", "above the limit (pu s)", 4),
    Column("highest_pu", "highest (pu)", 5),
    Column("lost_share", "production lost", 4),
    Column("published_violation_share", "violations as published", 5),
    Column("published_lost_share", "production lost as published", 4),
    Column("mean_age_s", "age of reports (s)", 3),
    Column("delivered_share", "reports delivered", 4),
    Column("infeasible_cycles", "cycles without caps"),
)
_PUBLISHED = "ASGriDS, its published bars"


def clients_conclusion(question: CommunicationQuestion, results: Sequence[TaskResult]) -> Conclusion:
    """The answer of a case of clients."""
    rows = gather_as(results, "client_runs", ClientRow)
    alone = gather_as(results, "client_bounds", ClientRow)
    ideal = [float(row["lost_share"]) for row in gather(results, "client_ideal")]
    excess_pu = max((float(row["excess_max_pu"]) for row in gather(results, "client_checks")), default=0.0)
    groups = list(_groups(rows))
    means = [_mean_row(question, key, own) for key, own in groups]
    changes = [row for key, own in groups if (row := _change_row(question, key, own, rows)) is not None]
    return Conclusion(
        title=f"Clients and their photovoltaic units over lossy links: {question.case}",
        answer=" ".join([*_bounds_in_words(question, alone, ideal), *_words(means, changes)]),
        feeder="",
        tables=(
            ResultTable("means", "Means over paired runs", _MEANS, means),
            ResultTable("changes", "What loss changes, run by run", _CHANGES, changes),
            ResultTable("runs", "Every run", _RUNS, [vars(row) for row in (*alone, *rows)], folded=True),
        ),
        charts=tuple(_charts(question, means)),
        failures=tuple(MissingAnswer(result.task.label, result.failed) for result in results if result.failed),
        warnings=() if excess_pu < _EXCESS_PU else (f"OpenDSS found optima {excess_pu:.2g} pu outside their band",),
        not_assessed=(
            "loadings: the case states no ratings of lines",
            "unbalance: clients draw alike on all three phases",
            "the time a client takes to follow a cap",
        ),
    )


# Beyond what a solver's own tolerance leaves of a limit (pu).
_EXCESS_PU = 1e-6
_Key = tuple[str, str, str, float]


def _groups(rows: Sequence[ClientRow]) -> Iterator[tuple[_Key, list[ClientRow]]]:
    found: dict[_Key, list[ClientRow]] = {}
    for row in rows:
        found.setdefault((row.allocator, row.rules, row.transport, row.loss), []).append(row)
    yield from found.items()


def _about(key: _Key) -> Row:
    return {"allocator": key[0], "rules": key[1], "transport": key[2], "loss_pct": 100.0 * key[3]}


def _mean_row(question: CommunicationQuestion, key: _Key, own: Sequence[ClientRow]) -> Row:
    draws = bootstrap_draws(len(own), question.seed)
    found = _about(key)
    for name in _SHARES:
        found |= interval_row(f"{name}_pct", [100.0 * getattr(row, name) for row in own], draws)
    return found | {name: sum(getattr(row, name) for row in own) / len(own) for name in _PLAIN}


def _change_row(
    question: CommunicationQuestion, key: _Key, own: Sequence[ClientRow], rows: Sequence[ClientRow]
) -> Row | None:
    """What a loss changes against none of it in the same runs; None for no loss, or where that was not run."""
    before = {row.draw: row for row in rows if (row.allocator, row.rules, row.transport, row.loss) == (*key[:3], 0.0)}
    pairs = [(row, before[row.draw]) for row in own if row.draw in before]
    if key[3] == 0.0 or not pairs:
        return None
    draws = bootstrap_draws(len(pairs), question.seed)
    found = _about(key)
    for name, column in (("violation_share", "violation_points"), ("lost_share", "lost_points")):
        found |= interval_row(column, [100.0 * (getattr(a, name) - getattr(b, name)) for a, b in pairs], draws)
    return found


# --- words


def _bounds_in_words(
    question: CommunicationQuestion, alone: Sequence[ClientRow], ideal: Sequence[float]
) -> Iterator[str]:
    limit_pu = question.limits.voltage_max_pu
    for row in alone:
        yield (
            f"Without control {100 * row.violation_share:.1f} % of bus-time, in {100 * row.violation_time_share:.1f} % "
            f"of the time, is at or above {limit_pu:g} pu, up to {row.highest_pu:.4f} pu."
        )
    for share in ideal:
        yield f"Knowing everything at every second, the AC optimum gives up {100 * share:.1f} % of the production."


def _words(means: Sequence[Row], changes: Sequence[Row]) -> Iterator[str]:
    signs: dict[str, float] = {}
    for allocator, rules in dict.fromkeys((row["allocator"], row["rules"]) for row in means):
        own = [row for row in means if (row["allocator"], row["rules"]) == (allocator, rules)]
        clean = next((row for row in own if row["loss_pct"] == 0.0), None)
        if clean is not None:
            yield (
                f"{allocator.upper()} by {rules} rules, nothing lost: {clean['violation_share_pct']:.2f} % of bus-time "
                f"at or above the limit and {clean['lost_share_pct']:.1f} % of production lost (as published it counts "
                f"{clean['published_violation_share_pct']:.2f} and {clean['published_lost_share_pct']:.1f} %)."
            )
        worst = [row for row in changes if (row["allocator"], row["rules"]) == (allocator, rules)]
        top = max((row["loss_pct"] for row in worst), default=0.0)
        moved = [row for row in worst if row["loss_pct"] == top]
        if moved:
            each = " and ".join(
                f"{row['lost_points']:+z.1f} points over {row['transport'].upper()} ({row['lost_points_low']:+z.1f} to "
                f"{row['lost_points_high']:+z.1f})"
                for row in moved
            )
            yield f"{top:g} % loss moves production lost by {each}."
        signs.update((rules, row["lost_points"]) for row in moved if (allocator, row["transport"]) == ("opf", "tcp"))
    if len(signs) == 2 and min(signs.values()) < 0.0 < max(signs.values()):
        yield (
            "The sign of what TCP does to production is that of the rule for clients that are not heard of, not of the "
            "transport."
        )


# --- pictures


def _charts(question: CommunicationQuestion, means: Sequence[Row]) -> Iterator[Chart]:
    published = read_table(data_path("clients", "published.csv")) if question.case == "cigre-lv" else []
    for allocator, (what, title) in product(
        question.allocators, (("violation_share", "Voltage violations"), ("lost_share", "Production lost"))
    ):
        own = [row for row in means if row["allocator"] == allocator]
        lines = list(_lines(own, f"{what}_pct", question))
        if not lines:
            continue
        yield Chart(
            f"{title} over loss, {allocator.upper()}", "loss (%)", f"{title.lower()} (%, of time)", tuple(lines)
        )
        lines = list(_lines(own, f"published_{what}_pct", question))
        name = "voltage_violation_share" if what == "violation_share" else "production_lost_share"
        for transport in question.transports if allocator == "opf" else ():
            bars = [row for row in published if row["transport"] == transport]
            x, y = ([100.0 * float(row[column]) for row in bars] for column in ("loss", name))
            lines += [Line(f"{_PUBLISHED}, {transport}", x, y, points=True)] if bars else []
        yield Chart(
            f"{title} as published over loss, {allocator.upper()}", "loss (%)", f"{title.lower()} (%)", tuple(lines)
        )


def _lines(rows: Sequence[Row], column: str, question: CommunicationQuestion) -> Iterator[Line]:
    for rules, transport in product(question.rules, question.transports):
        own = sorted(
            (row for row in rows if (row["rules"], row["transport"]) == (rules, transport)),
            key=lambda row: float(row["loss_pct"]),
        )
        if own:
            yield Line(f"{transport}, {rules} rules", [row["loss_pct"] for row in own], [row[column] for row in own])
