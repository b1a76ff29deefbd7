"""The conclusion of a portfolio: a row for each feeder, and buses ranked over all of them."""

from __future__ import annotations

from collections.abc import Sequence

from g2g_opt.errors import number_of
from studies.portfolio.question import PortfolioQuestion
from studies.portfolio.rows import PortfolioBusRow, PortfolioRow
from studies.shared.conclusion import Chart, Column, Conclusion, Line, MissingAnswer, ResultTable, first_words
from studies.shared.task import Row, TaskResult
from studies.shared.typed_rows import gather_as

_FEEDERS = (
    Column("feeder", "feeder"),
    Column("state", "state"),
    Column("best_bus", "best bus"),
    Column("best", "most there", 2),
    Column("least", "least of its buses", 2),
    Column("total_buses", "buses"),
    Column("answer", "answer"),
    Column("n_failed", "tasks failed", secondary=True),
    Column("reasons", "what has no answer", secondary=True),
    Column("warnings", "warnings", secondary=True),
)
_BUSES = (
    Column("rank", "rank"),
    Column("feeder", "feeder"),
    Column("bus", "bus"),
    Column("figure", "figure"),
    Column("value", "value", 3),
    Column("unit", "unit"),
)
# The state of a feeder none of whose buses has a figure, where others' have.
_NO_FIGURE = "no figure"
# Feeders with a name in the chart of all of them.
_BEST_MAX = 40


def conclusion_of(study: PortfolioQuestion, results: Sequence[TaskResult]) -> Conclusion:
    """The answer from stored results alone."""
    feeders, buses = gather_as(results, "feeders", PortfolioRow), gather_as(results, "buses", PortfolioBusRow)
    figures = list(dict.fromkeys((row.figure, row.unit) for row in buses))
    ranked = {figure: sorted((row for row in buses if (row.figure, row.unit) == figure), key=_value, reverse=True)
              for figure in figures}  # fmt: skip
    broken = [result for result in results if result.failed]
    main = ranked[figures[0]] if figures else []
    by_feeder = [_feeder_row(row, [bus for bus in main if bus.feeder == row.feeder], bool(main)) for row in feeders]
    by_feeder.sort(key=lambda row: -(row["best"] if row["best"] is not None else -1.0))
    by_feeder += [{"feeder": result.task.label, "state": "failed", "answer": result.failed} for result in broken]
    tables = [
        ResultTable("feeders", "Every feeder", _FEEDERS, [_FULL | row for row in by_feeder]),
        *(
            ResultTable(f"buses_{figure.replace(' ', '_')}", f"Buses of all feeders by {figure}, {unit}", _BUSES,
                        [vars(row) | {"rank": k} for k, row in enumerate(ranked[figure, unit], 1)], folded=k > 0)
            for k, (figure, unit) in enumerate(figures)
        ),
    ]  # fmt: skip
    return Conclusion(
        title=f"Portfolio of {number_of(len(results), 'feeder')} in {study.folder}",
        answer=_answer(feeders, broken, main, [row for row in by_feeder if row["state"] == _NO_FIGURE]),
        feeder="",
        tables=tuple(tables),
        charts=tuple(_charts(by_feeder, ranked)),
        failures=tuple(MissingAnswer(result.task.label, result.failed) for result in broken),
        warnings=tuple(
            f"{row.feeder}: {row.n_failed} of {number_of(row.n_tasks, 'task')} failed"
            for row in feeders
            if row.n_failed
        ),
        not_assessed=(
            "what feeders have in common: every one is studied by itself, behind its own source",
            "what each feeder's own study leaves out: run its question on it for its report",
            f"buses beyond {study.buses_max} of each feeder, where the question names none (--buses-max)",
        ),
    )


_FULL: Row = dict.fromkeys((column.name for column in _FEEDERS), None)


def _value(row: PortfolioBusRow) -> float:
    return row.value


def _feeder_row(row: PortfolioRow, buses: Sequence[PortfolioBusRow], has_figures: bool) -> Row:
    best = buses[0] if buses else None
    state = "answered" if not row.n_failed else "answered in part"
    return {
        "feeder": row.feeder,
        "state": _NO_FIGURE if has_figures and best is None else state,
        "best_bus": best.bus if best is not None else None,
        "best": best.value if best is not None else None,
        "least": buses[-1].value if buses else None,
        "total_buses": len(buses),
        "answer": row.answer,
        "n_failed": row.n_failed,
        "reasons": "; ".join(row.reasons),
        "warnings": "; ".join(row.warnings),
    }


def _answer(
    feeders: Sequence[PortfolioRow],
    broken: Sequence[TaskResult],
    main: Sequence[PortfolioBusRow],
    without: Sequence[Row],
) -> str:
    words = f"{len(feeders) - len(without)} of {len(feeders) + len(broken)} feeders have an answer"
    if without:
        words += f"; {len(without)} without a figure of any bus, first {without[0]['feeder']}: "
        words += str(without[0]["answer"]).rstrip(".")
    if broken:
        others = "others" if not without else "rest"
        words += f"; the {others} have a reason, the first of them {broken[0].task.label}: {broken[0].failed}"
    if len(main) == 1:
        one = main[0]
        words += f". Bus {one.bus} of {one.feeder} is the only one with a {one.figure}, {one.value:.2f} {one.unit}"
    elif main:
        first, last = main[0], main[-1]
        words += (
            f". Of {number_of(len(main), 'bus')} bus {first.bus} of {first.feeder} has the most {first.figure}, "
            f"{first.value:.2f} {first.unit}, and bus {last.bus} of {last.feeder} the least, "
            f"{last.value:.2f} {last.unit}"
        )
    return words + "."


def _charts(feeders: Sequence[Row], ranked: dict[tuple[str, str], list[PortfolioBusRow]]) -> list[Chart]:
    with_best = [row for row in feeders if row.get("best") is not None]
    known = with_best[:_BEST_MAX]
    found = []
    if known and ranked:
        figure, unit = next(iter(ranked))
        line = Line(
            "least to most of its buses",
            [row["feeder"] for row in known],
            [row["best"] for row in known],
            points=True,
            low=[row["least"] for row in known],
            text=[str(row["best_bus"]) for row in known],
        )
        part = first_words(len(with_best), _BEST_MAX, "feeders")
        found.append(Chart(f"Feeders by {figure}{part}", "feeder", unit, (line,)))
    lines = [
        Line(figure, list(range(1, len(rows) + 1)), [row.value for row in rows], points=True,
             text=[f"{row.feeder}, bus {row.bus}" for row in rows])
        for (figure, _), rows in ranked.items()
    ]  # fmt: skip
    if lines:
        units = " or ".join(dict.fromkeys(unit for _, unit in ranked))
        found.append(Chart("Buses of all feeders, ranked", "rank", units, tuple(lines)))
    return found
