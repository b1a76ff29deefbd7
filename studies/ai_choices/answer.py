"""What a study of AI choices concludes from its stored rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from g2g_opt.feeder_description import unassessed_notes
from studies.ai_choices.rows import ChoiceRow, HostedRow
from studies.shared.conclusion import Chart, Column, Conclusion, Line, MissingAnswer, ResultTable
from studies.shared.task import Row, TaskResult

if TYPE_CHECKING:
    from studies.ai_choices.question import AIChoicesQuestion

_CHOICES = (
    Column("comparison", "comparison"),
    Column("choice", "choice"),
    Column("n_replicas", "replicas"),
    Column("n_gpus", "GPUs", secondary=True),
    Column("batch_low", "smallest batch", secondary=True),
    Column("batch_high", "largest batch"),
    Column("range_mw", "power range (MW)", 3),
    Column("range_by_logistic_mw", "range by a logistic fit, as published (MW)", 3),
    Column("none_pu_s", "no coordination (pu s)", 2),
    Column("controlled_pu_s", "coordinated (pu s)", 2),
    Column("recovery", "recovered (share)", 3),
    Column("none_tps", "tokens/s, no coordination", 0, secondary=True),
    Column("controlled_tps", "tokens/s, coordinated", 0),
    Column("none_misses", "latency misses, no coordination (share)", 4, secondary=True),
    Column("controlled_misses", "latency misses, coordinated (share)", 4),
    Column("switches", "switches", 0, secondary=True),
    Column("exhausted_s", "nothing left to set (s)", 0, secondary=True),
    Column("failure", "failure", secondary=True),
)
_SIZED_BY = {
    "measured": "what was measured; the published ones by a logistic fit at the largest batch size",
    "curve": "the curve that controllers use; the published ones by a logistic fit at the largest batch size",
    "logistic": "a logistic fit at the largest batch size, as the published ones, whose power is not what was measured",
}
_HOSTED = (
    Column("comparison", "comparison"),
    Column("choice", "choice"),
    Column("operation", "operation"),
    Column("tokens_per_s", "tokens/s", 0),
    Column("peak_mw", "peak (MW)", 2),
    Column("mean_mw", "mean (MW)", 2, secondary=True),
    Column("n_replicas", "replicas"),
    Column("n_gpus", "GPUs", secondary=True),
    Column("wins", "most tokens of its comparison"),
    Column("stopped_by", "what stops the next size"),
    Column("gap", "refused sizes below (replicas)", secondary=True),
)


def conclusion_of(
    question: AIChoicesQuestion, rows: Sequence[ChoiceRow], hosted: Sequence[HostedRow], results: Sequence[TaskResult]
) -> Conclusion:
    """Ranges, violations and hosted fleets, comparison by comparison."""
    feeder = question.load_feeder()
    failures = [MissingAnswer(result.task.label, result.failed) for result in results if result.failed]
    failures += [MissingAnswer(row.choice, row.failure) for row in rows if row.failure]
    return Conclusion(
        title=f"AI choices at bus {question.bus} of {feeder.name}",
        answer=_answer(question, rows, hosted),
        feeder=feeder.name,
        tables=(
            ResultTable("choices", "Fleets of equal peak", _CHOICES, [_choice(row) for row in rows]),
            *((ResultTable("hosted", "Largest fleets at the bus", _HOSTED, _hosted(hosted)),) if hosted else ()),
        ),
        charts=_charts(rows, hosted),
        failures=tuple(failures),
        warnings=tuple(
            f"{row.choice} ({row.operation}) is refused at some numbers of replicas below its answer: {row.gap}"
            for row in hosted
            if row.gap
        ),
        not_assessed=(
            f"fleets are sized by {_SIZED_BY[question.sizing]}",
            f"steps of {float(question.scenario.dt_s):g} s (published: 0.1 s), and one draw of servers and latency",
            "other scenarios than this hour; hosted fleets on OpenDSS: g2g hosting-capacity runs its answers there",
            *unassessed_notes(feeder),
        ),
    )


def _choice(row: ChoiceRow) -> Row:
    recovery = None
    if row.none_pu_s and row.controlled_pu_s is not None:
        recovery = 1.0 - row.controlled_pu_s / row.none_pu_s
    return {**vars(row), "recovery": recovery}


def _winners(hosted: Sequence[HostedRow]) -> dict[tuple[str, str], HostedRow]:
    """The hosted fleet with the most tokens, by comparison and operation."""
    best: dict[tuple[str, str], HostedRow] = {}
    for row in hosted:
        key = row.comparison, row.operation
        if key not in best or row.tokens_per_s > best[key].tokens_per_s:
            best[key] = row
    return best


def _hosted(hosted: Sequence[HostedRow]) -> list[Row]:
    winners = _winners(hosted)
    return [
        {**vars(row), "wins": "yes" if winners[row.comparison, row.operation] is row else ""}
        for row in sorted(hosted, key=lambda row: (row.comparison, row.operation, -row.tokens_per_s))
    ]


def _answer(question: AIChoicesQuestion, rows: Sequence[ChoiceRow], hosted: Sequence[HostedRow]) -> str:
    words = []
    winners = _winners(hosted)
    for comparison in dict.fromkeys(row.comparison for row in rows):
        own = sorted((row for row in rows if row.comparison == comparison), key=lambda row: -row.range_mw)
        widest = own[0]
        sentence = f"{comparison}: {widest.choice} has the widest power range, {widest.range_mw:.2f} MW"
        if widest.none_pu_s is not None and widest.controlled_pu_s is not None:
            sentence += (
                f" ({widest.none_pu_s:.1f} pu s of violation without control, {widest.controlled_pu_s:.1f} under "
                f"{question.policy.kind})"
            )
        if widest.none_misses:
            sentence += f", and misses its latency target in {widest.none_misses:.0%} of steps without coordination"
        if (best := winners.get((comparison, "flexible"))) is not None:
            sentence += (
                f"; most tokens at the bus: {best.choice}, {best.tokens_per_s / 1e6:.2f} million/s with a peak of "
                f"{best.peak_mw:.2f} MW"
            )
        words.append(sentence + ".")
    return "\n".join(words) or "No choice was compared."


def _charts(rows: Sequence[ChoiceRow], hosted: Sequence[HostedRow]) -> tuple[Chart, ...]:
    charts = []
    for comparison in dict.fromkeys(row.comparison for row in rows):
        own = [row for row in rows if row.comparison == comparison]
        curves = tuple(
            Line(
                row.choice,
                list(row.power_mw),
                [x / 1e6 for x in row.tokens_per_s],
                text=[str(b) for b in row.batch_sizes],
            )
            for row in own
        )
        title = f"Tokens against power of the GPUs: {comparison}"
        charts.append(Chart(title, "MW at the batch sizes that meet the target", "10^6 tokens/s", tuple(curves)))
    known = [row for row in rows if row.none_pu_s is not None and row.controlled_pu_s is not None]
    if known:
        names, ranges = [row.choice for row in known], [row.range_mw for row in known]
        both = {
            "no coordination": [row.none_pu_s for row in known],
            "coordinated": [row.controlled_pu_s for row in known],
        }
        lines = tuple(Line(name, ranges, left, points=True, text=names) for name, left in both.items())
        title = "What a wider power range is worth"
        charts.append(Chart(title, "feasible power range (MW)", "integral violation (pu s)", lines))
    operations = dict.fromkeys(row.operation for row in hosted)
    if operations:
        lines = tuple(
            Line(
                operation,
                [row.peak_mw for row in hosted if row.operation == operation],
                [row.tokens_per_s / 1e6 for row in hosted if row.operation == operation],
                points=True,
                text=[row.choice for row in hosted if row.operation == operation],
            )
            for operation in operations
        )
        charts.append(Chart("Largest fleets at the bus", "peak (MW)", "10^6 tokens/s", lines))
    return tuple(charts)
