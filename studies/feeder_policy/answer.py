"""What a study of policies on a feeder concludes from its stored rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from studies.feeder_policy.cases import METRICS, CaseRow, MeanRow, mean_rows
from studies.shared.conclusion import Chart, Column, Conclusion, Line, MissingAnswer, ResultTable
from studies.shared.task import Row, TaskResult, gather
from studies.shared.typed_rows import gather_as

_TITLES = {
    "integral_violation_pu_s": ("integral violation (pu s)", 3),
    "outside_min": ("outside (min)", 2),
    "throughput_share": ("tokens, share of uncontrolled", 3),
    "latency_miss_share": ("requests too slow (share)", 3),
    "batch_switches": ("batch switches", 1),
    "kept": ("scenarios that keep all limits (share)", 2),
}
_MEANS = (
    Column("case", "case"),
    Column("n_scenarios", "scenarios"),
    Column("margin_pu", "margin (pu)", 4, secondary=True),
    *(
        column
        for name, (title, digits) in _TITLES.items()
        for column in (
            Column(name, title, digits),
            Column(f"{name}_low", f"{title}, 2.5 %", digits, secondary=True),
            Column(f"{name}_high", f"{title}, 97.5 %", digits, secondary=True),
        )
    ),
)
_ROUNDS = (
    Column("case", "case"),
    Column("margin_pu", "margin (pu)", 4),
    Column("round", "round"),
    Column("predicted_violation_pu", "violation predicted (pu)", 5),
    Column("simulated_violation_pu", "violation simulated (pu)", 5),
    Column("predicted_loss", "loss predicted", 4, secondary=True),
    Column("score", "score (least is best)", 4),
)
_RUNS = (
    Column("scenario", "scenario"),
    Column("case", "case"),
    *(Column(name, title, digits) for name, (title, digits) in _TITLES.items()),
    Column("failure", "failure", secondary=True),
)


def draw_conclusion(
    feeder: str, cases: Sequence[str], seed: int, results: Sequence[TaskResult], unassessed: Sequence[str] = ()
) -> Conclusion:
    """Means over the test scenarios in which every case has an answer, and how the contextual policy differs.

    `unassessed` says what of the feeder's customers no limit looks at.
    """
    rows = gather_as(results, "runs", CaseRow)
    margins = {row["case"]: row["margin_pu"] for row in gather(results, "margins")}
    means = _by_case(mean_rows(rows, seed))
    for row in means:
        row["margin_pu"] = margins.get(row["case"])
    against = mean_rows(rows, seed, against="contextual") if "contextual" in {row.case for row in rows} else []
    failures = [MissingAnswer(result.task.label, result.failed) for result in results if result.failed]
    failures += [MissingAnswer(f"{row.case}, {row.scenario}", row.failure) for row in rows if row.failure]
    runs = [{**vars(row), **(dict.fromkeys(METRICS) if row.failure else {})} for row in rows]
    return Conclusion(
        title="Policies of batch sizes on a feeder",
        answer=_answer(means, against) + _at_largest(margins, gather(results, "rounds"))
        if means
        else "No test scenario has an answer in every case.",
        feeder=feeder,
        tables=(
            ResultTable("means", "Means over test scenarios", _MEANS, means),
            ResultTable("training", "Training and choice of margins", _ROUNDS, _rounds(results)),
            ResultTable("runs", "Every case and test scenario", _RUNS, runs, folded=True),
        ),
        charts=_charts(rows, cases),
        texts={f"policies/{row['case']}.json": row["json"] + "\n" for row in gather(results, "policies")},
        failures=tuple(failures),
        not_assessed=(
            "hours other than those drawn",
            "other sizes of site: a policy is trained for its own",
            *unassessed,
        ),
    )


def _by_case(means: Sequence[MeanRow]) -> list[Row]:
    found: dict[str, Row] = {}
    for mean in means:
        row = found.setdefault(mean.case, {"case": mean.case, "n_scenarios": mean.n_scenarios})
        row |= {mean.metric: mean.mean, f"{mean.metric}_low": mean.low, f"{mean.metric}_high": mean.high}
    return list(found.values())


def _rounds(results: Sequence[TaskResult]) -> list[Row]:
    names = [column.name for column in _ROUNDS]
    # NaN: droop and OFO predict nothing.
    return [
        {name: None if row[name] != row[name] else row[name] for name in names} for row in gather(results, "rounds")
    ]


def _answer(means: Sequence[Row], against: Sequence[MeanRow]) -> str:
    own = next((row for row in means if row["case"] == "contextual"), None)
    if own is None:
        return f"{len(means)} cases ran in {means[0]['n_scenarios']} test scenarios."
    words = [
        f"In {own['n_scenarios']} test scenarios the contextual policy, which reads no voltage, is outside the band by "
        f"{own['integral_violation_pu_s']:.2f} pu s on average, serves {own['throughput_share']:.3f} times the tokens "
        f"of the uncontrolled sites, and keeps all limits in {100 * own['kept']:.0f} % of them."
    ]
    for mean in against:
        if mean.case in {"droop", "ofo", "clairvoyant"} and mean.metric in {
            "integral_violation_pu_s",
            "throughput_share",
        }:
            title = "pu s outside" if mean.metric == "integral_violation_pu_s" else "of the tokens"
            words.append(f"{mean.case} against it: {mean.mean:+.3f} {title} ({mean.low:+.3f} to {mean.high:+.3f}).")
    return "\n".join(words)


def _at_largest(margins: Mapping[str, float], rounds: Sequence[Row]) -> str:
    """A sentence on margins that are the largest ones tried: there it is the list that ended the search."""
    ended = []
    for case, margin_pu in margins.items():
        tried = {row["margin_pu"] for row in rounds if row["case"] == case}
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
    x_title, y_title = (_TITLES[name][0] for name in ("integral_violation_pu_s", "throughput_share"))
    return (Chart("Every test scenario", x_title, y_title, lines),)
