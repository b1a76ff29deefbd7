"""What a scenario library holds, beside the published one of its case."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from g2g_opt.errors import number_of
from g2g_opt.scenario_library import WORDS_OF_SPLIT, ScenarioLibrary, Split
from g2g_opt.study_case import StudyCase
from studies.report.scenario_chart import scenario_chart
from studies.shared.conclusion import Chart, Column, Conclusion, Line, MissingAnswer, ResultTable
from studies.shared.screening import ADMITTED, HOW_TO_ADMIT_MORE, CandidateRow, ScreeningRule, library_of
from studies.shared.task import Row, TaskResult

LIBRARY_FILE = "library.csv"
_MIX = ("under", "over", "both")
_SPLITS = (
    Column("split", "scenarios to"),
    Column("source", "library"),
    Column("n_candidates", "candidates"),
    Column("n", "admitted"),
    Column("none_pu_s", "no coordination (pu s)", 2),
    Column("ofo_pu_s", "OFO (pu s)", 2),
    Column("recovery", "recovered (share of the means)", 3),
    *(Column(name, f"{name} (share)", 3) for name in _MIX),
)
_SCENARIOS = (
    Column("name", "scenario"),
    Column("seed", "seed", secondary=True),
    Column("mix", "violations"),
    Column("none_pu_s", "no coordination (pu s)", 3),
    Column("ofo_pu_s", "OFO (pu s)", 3),
    Column("recovery", "recovered (share)", 3),
    Column("generation_scale", "PV scale", 2),
    Column("load_scale", "load scale", 2),
    Column("training_gpu_share", "training (share of GPUs)", 3),
    Column("n_ramps", "ramps"),
)
_CANDIDATES = (
    Column("name", "candidate"),
    Column("verdict", "verdict"),
    Column("none_under_pu_s", "below the band (pu s)", 3),
    Column("none_over_pu_s", "above the band (pu s)", 3),
    Column("ofo_pu_s", "OFO (pu s)", 3),
    Column("failure", "failure", secondary=True),
)
# Scenarios that are drawn one by one: of those to test with, from the least violation to the most.
_DRAWN = 4


def kept_rows(rows: Sequence[CandidateRow], kept: Sequence[tuple[Split, int, int]]) -> list[CandidateRow]:
    """The admitted candidates, the first of every split as far as they are kept (0: all)."""
    found: list[CandidateRow] = []
    for split, _, most in kept:
        admitted = [row for row in rows if row.split == split and row.verdict == ADMITTED]
        found += admitted[:most] if most else admitted
    return found


def conclusion_of(
    case: StudyCase,
    kept: Sequence[tuple[Split, int, int]],
    rule: ScreeningRule,
    rows: Sequence[CandidateRow],
    results: Sequence[TaskResult],
) -> Conclusion:
    """The library of what is admitted; without any, an answer that says so, and no file."""
    chosen = kept_rows(rows, kept)
    library = library_of(case.name, chosen)
    asked = [split for split, _, _ in kept]
    failures = [MissingAnswer(result.task.label, result.failed) for result in results if result.failed]
    failures += [MissingAnswer(row.name, row.failure) for row in rows if row.failure]
    if rows and not library.scenarios:
        failures.append(MissingAnswer("the library", f"no candidate passes; {HOW_TO_ADMIT_MORE}"))
    return Conclusion(
        title=f"Scenario library of the study case {case.name}",
        answer=_answer(library, rows, rule, asked),
        feeder=case.feeder.name,
        tables=(
            ResultTable(
                "splits", "What is in it, beside the published one", _SPLITS, _splits(case, library, rows, kept)
            ),
            ResultTable("scenarios", "Its scenarios", _SCENARIOS, _scenarios(chosen), folded=True),
            ResultTable("candidates", "Every candidate", _CANDIDATES, [vars(row) for row in rows], folded=True),
        ),
        charts=_charts(case, library, asked),
        texts={LIBRARY_FILE: library.to_csv()} if library.scenarios else {},
        failures=tuple(failures),
        warnings=_warnings(library, asked),
        not_assessed=(
            "whether the ranges that are drawn from happen so in the field: they are those of a published study",
            "limits other than the voltage band",
            f"source of the case: {case.about}",
        ),
    )


def _answer(library: ScenarioLibrary, rows: Sequence[CandidateRow], rule: ScreeningRule, asked: Sequence[Split]) -> str:
    if not library.scenarios:
        return (
            f"None of {number_of(len(rows), 'candidate')} passes: an integral violation above "
            f"{rule.none_min_pu_s:g} pu s without coordination, of which OFO recovers {100 * rule.recovery_min:g} % at "
            "the least. There is no library."
        )
    counts = ", ".join(f"{len(library.of_split(split))} {WORDS_OF_SPLIT[split]}" for split in asked)
    return (
        f"Of {number_of(len(rows), 'candidate')} {sum(row.verdict == ADMITTED for row in rows)} are admitted, and "
        f"{len(library.scenarios)} are in the library: {counts}. Its digest is {library.digest[:16]}."
    )


def _warnings(library: ScenarioLibrary, asked: Sequence[Split]) -> tuple[str, ...]:
    return tuple(
        f"no scenario {WORDS_OF_SPLIT[split]}: screen more candidates, or by another rule"
        for split in asked
        if not any(entry.split == split for entry in library.scenarios)
    )


def _splits(
    case: StudyCase, library: ScenarioLibrary, rows: Sequence[CandidateRow], kept: Sequence[tuple[Split, int, int]]
) -> list[Row]:
    found: list[Row] = []
    for split, _, _ in kept:
        entries = library.of_split(split)
        if entries:
            none_pu_s = float(np.mean([entry.none_pu_s for entry in entries]))
            ofo_pu_s = float(np.mean([entry.ofo_pu_s for entry in entries]))
            found.append(
                {
                    "split": split,
                    "source": "this one",
                    "n_candidates": sum(row.split == split for row in rows),
                    "n": len(entries),
                    "none_pu_s": none_pu_s,
                    "ofo_pu_s": ofo_pu_s,
                    "recovery": 1.0 - ofo_pu_s / none_pu_s,
                    **{mix: sum(entry.mix == mix for entry in entries) / len(entries) for mix in _MIX},
                }
            )
        if split in case.published:
            found.append({"split": split, "source": "published", "n_candidates": None, **vars(case.published[split])})
    return found


def _scenarios(rows: Sequence[CandidateRow]) -> list[Row]:
    found = []
    for row in rows:
        entry = row.entry()
        recovery = 1.0 - entry.ofo_pu_s / entry.none_pu_s
        found.append({**vars(row), "mix": entry.mix, "none_pu_s": entry.none_pu_s, "recovery": recovery})
    return found


def _charts(case: StudyCase, library: ScenarioLibrary, asked: Sequence[Split]) -> tuple[Chart, ...]:
    if not library.scenarios:
        return ()
    by_split = {split: library.of_split(split) for split in asked}
    clouds = tuple(
        Line(
            WORDS_OF_SPLIT[split],
            [entry.none_pu_s for entry in entries],
            [entry.ofo_pu_s for entry in entries],
            points=True,
            text=[entry.scenario.name for entry in entries],
        )
        for split, entries in by_split.items()
        if entries
    )
    ranked = tuple(
        Line(
            WORDS_OF_SPLIT[split],
            [(k + 0.5) / len(entries) for k in range(len(entries))],
            sorted(entry.none_pu_s for entry in entries),
        )
        for split, entries in by_split.items()
        if entries
    )
    drawn = sorted(by_split.get("test") or library.scenarios, key=lambda entry: entry.none_pu_s)
    places = sorted({round(k * (len(drawn) - 1) / max(_DRAWN - 1, 1)) for k in range(_DRAWN)})
    singles = [scenario_chart((drawn[k].scenario,), case.feeder) for k in places]
    return (
        Chart("What OFO leaves of every scenario's violation", "no coordination (pu s)", "OFO (pu s)", clouds, True),
        Chart("How hard scenarios are", "share of the scenarios", "no coordination (pu s)", ranked),
        scenario_chart([entry.scenario for entry in drawn], case.feeder),
        *(
            Chart(f"Scenario {drawn[k].scenario.name}: what is given", chart.x_title, chart.y_title, chart.lines)
            for k, chart in zip(places, singles, strict=True)
        ),
    )
