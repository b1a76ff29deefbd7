"""What a study of policies on a feeder concludes from its stored rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from g2g_opt.errors import number_of
from g2g_opt.feeder_description import loading_notes, unassessed_notes
from studies.feeder_policy.cases import (
    METRICS,
    CaseRow,
    MarginRow,
    MeanRow,
    PolicyRow,
    TrainingRound,
    mean_rows,
)
from studies.feeder_policy.question import FeederPolicyQuestion
from studies.report.scenario_chart import scenario_chart
from studies.shared.conclusion import Chart, Column, Conclusion, Line, MissingAnswer
from studies.shared.paired import with_interval
from studies.shared.task import Row, TaskResult
from studies.shared.typed_rows import columns_of, gather_as, table_of

_FIGURES = columns_of(CaseRow, *METRICS)
_MEANS = (
    *columns_of(CaseRow, "case"),
    Column("n_scenarios", "scenarios"),
    Column("margin_pu", "margin (pu)", 4, secondary=True),
    *(column for figure in _FIGURES for column in with_interval(figure)),
)
_RUNS = columns_of(CaseRow, "scenario case", *METRICS, "broken reasons failure")


def conclusion_of(question: FeederPolicyQuestion, results: Sequence[TaskResult]) -> Conclusion:
    """Means over the test scenarios in which every case has an answer, and how the contextual policy differs."""
    feeder, rows = question.load_feeder(), gather_as(results, "runs", CaseRow)
    rounds = gather_as(results, "rounds", TrainingRound)
    margins = {row.case: row.margin_pu for row in gather_as(results, "margins", MarginRow)}
    means = _by_case(mean_rows(rows, question.seed))
    for row in means:
        row["margin_pu"] = margins.get(row["case"])
    own = "contextual" in {row.case for row in rows}
    against = mean_rows(rows, question.seed, against="contextual") if own else []
    failures = [MissingAnswer(result.task.label, result.failed) for result in results if result.failed]
    failures += [MissingAnswer(f"{row.case}, {row.scenario}", row.failure) for row in rows if row.failure]
    return Conclusion(
        title="Policies of batch sizes on a feeder",
        answer=_answer(means, against, rows) + _at_largest(margins, rounds)
        if means
        else "No test scenario has an answer in every case.",
        feeder=question.feeder,
        tables=(
            table_of("means", "Means over test scenarios", _MEANS, means),
            table_of("training", "Training and choice of margins", columns_of(TrainingRound), rounds),
            table_of("runs", "Every case and test scenario", _RUNS, rows, folded=True),
        ),
        charts=(*_charts(rows, question.cases), scenario_chart(question.scenarios()[1], feeder)),
        texts={f"policies/{row.case}.json": row.json + "\n" for row in gather_as(results, "policies", PolicyRow)},
        failures=tuple(failures),
        not_assessed=(
            "hours other than those drawn",
            "other sizes of site: a policy is trained for its own",
            *loading_notes(feeder, question.limits),
            *unassessed_notes(feeder),
        ),
    )


def _by_case(means: Sequence[MeanRow]) -> list[Row]:
    found: dict[str, Row] = {}
    for mean in means:
        row = found.setdefault(mean.case, {"case": mean.case, "n_scenarios": mean.n_scenarios})
        row |= {mean.metric: mean.mean, f"{mean.metric}_low": mean.low, f"{mean.metric}_high": mean.high}
    return list(found.values())


def _answer(means: Sequence[Row], against: Sequence[MeanRow], rows: Sequence[CaseRow]) -> str:
    own = next((row for row in means if row["case"] == "contextual"), None)
    if own is None:
        return f"{number_of(len(means), 'case')} ran in {number_of(int(means[0]['n_scenarios']), 'test scenario')}."
    words = [
        f"In {own['n_scenarios']} test scenarios the contextual policy, which reads no voltage, is outside the band by "
        f"{own['integral_violation_pu_s']:.2f} pu s on average, serves {own['throughput_share']:.3f} times the tokens "
        f"of the uncontrolled sites, and keeps all limits in {100 * own['kept']:.0f} % of them{_broken(rows)}."
    ]
    for mean in against:
        if mean.case in {"droop", "ofo", "clairvoyant"} and mean.metric in {
            "integral_violation_pu_s",
            "throughput_share",
        }:
            title = "pu s outside" if mean.metric == "integral_violation_pu_s" else "of the tokens"
            words.append(f"{mean.case} against it: {mean.mean:+z.3f} {title} ({mean.low:+z.3f} to {mean.high:+z.3f}).")
    return "\n".join(words)


def _broken(rows: Sequence[CaseRow]) -> str:
    """Limits that the contextual policy breaks, and in how many of the scenarios in which every case has an answer."""
    failed = {row.scenario for row in rows if row.failure}
    own = [row for row in rows if row.case == "contextual" and row.scenario not in failed]
    counts = Counter(name for row in own for name in dict.fromkeys(row.broken.split("; ")) if name)
    return f" (broken: {', '.join(f'{name} in {n}' for name, n in counts.most_common())})" if counts else ""


def _at_largest(margins: Mapping[str, float], rounds: Sequence[TrainingRound]) -> str:
    """A sentence on margins that are the largest ones tried: there it is the list that ended the search."""
    ended = []
    for case, margin_pu in margins.items():
        tried = {row.margin_pu for row in rounds if row.case == case}
        if len(tried) > 1 and margin_pu == max(tried):
            ended.append(f"{case} ({margin_pu:g} pu)")
    if not ended:
        return ""
    return f"\nThe largest margin tried was the best in training of {', '.join(ended)}: a larger one may do better."


def _charts(rows: Sequence[CaseRow], cases: Sequence[str]) -> tuple[Chart, ...]:
    lines = tuple(
        Line(case, [row.integral_violation_pu_s for row in own], [row.throughput_share for row in own], points=True)
        for case in cases
        if (own := [row for row in rows if row.case == case and not row.failure])
    )
    if not lines:
        return ()
    x_title, y_title = (column.title for column in (_FIGURES[0], _FIGURES[2]))
    return (Chart("Every test scenario", x_title, y_title, lines),)
