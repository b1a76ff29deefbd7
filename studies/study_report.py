"""From what a study recorded to what people and programs read: report page, tables, map, figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from g2g_opt.circuit.script_file.reading import COMPILED
from g2g_opt.errors import InputError
from g2g_opt.feeder import Feeder
from g2g_opt.kept_files import reading_copies
from g2g_opt.limits import Limits
from g2g_opt.scenario import Scenario
from g2g_opt.studied_year import through_own_year
from studies.catalogue import question_toml
from studies.report.distance_chart import distance_chart
from studies.report.figures import draw_pictures
from studies.report.files import write_answer, write_geojson, write_tables, write_texts
from studies.report.limit_words import moved_limits
from studies.report.page import write_report
from studies.report.provenance import FailedTask, Provenance, TaskStates
from studies.report.workbook import write_workbook
from studies.running.inputs import changed_inputs, package_versions
from studies.running.kept_inputs import KeptInputs
from studies.running.ledger import Entry, Ledger
from studies.running.runner import inputs_kept_in, read_results
from studies.running.study_folder import StudyFolder, writing
from studies.shared.asked_channels import with_channels_note
from studies.shared.base_case_note import studied_base_case, studied_limits, studied_load_level, with_base_case_note
from studies.shared.conclusion import Conclusion
from studies.shared.rejudging import conclude_under, limits_of, under_limits
from studies.shared.task import Question
from studies.shared.trace_note import with_trace_note


def write_all(root: Path, limits: Limits | None = None, out: Path | None = None) -> tuple[Conclusion, list[Path]]:
    """Conclude a study from what is stored in `root`, under other `limits` if given, and write everything.

    What the study read of the user's files is read from the copies in its folder, so that nothing else need be there.
    Files go to `out`; without it to `root`, or for other limits to a folder of their own in it. Returns the conclusion
    and the files, the report page first.
    """
    kept = inputs_kept_in(root)
    with reading_copies(None if kept is None else kept.place):
        return _write_all(root, kept, limits, out)


def _write_all(
    root: Path, kept: KeptInputs | None, limits: Limits | None, out: Path | None
) -> tuple[Conclusion, list[Path]]:
    asked, results, entries = read_results(root)
    check_rests_on_results(root, entries)
    question = asked if limits is None else under_limits(asked, limits)
    same = limits is None or question == asked
    conclusion = asked.conclude(results) if same else conclude_under(asked, results, limits_of(question))
    if limits is not None:
        conclusion = headed(conclusion, limits_of(asked), limits_of(question))
    folder = out or (root if limits is None else root / "rejudged" / _name(limits))
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    conclusion = with_trace_note(with_channels_note(conclusion, asked), {} if kept is None else kept.files)
    feeder = load_feeder(question) if conclusion.feeder else None
    if feeder is not None:
        conclusion = _with_base_case(conclusion, question, feeder)
    with closing(Ledger(StudyFolder(root).ledger)) as ledger:
        provenance = _provenance(asked, ledger, entries, feeder)
        changed = _changed(ledger.inputs, asked, kept)
    states = _states(entries)
    if changed:
        words = f"files changed since the study began, and its results are of the old ones: {', '.join(changed)}"
        conclusion = replace(conclusion, warnings=(words, *conclusion.warnings))
    paths = [write_report(conclusion, provenance, feeder, states, folder / "report.html")]
    paths += write_tables(conclusion, folder)
    paths.append(write_workbook(conclusion, provenance.finished, folder / "tables.xlsx"))
    paths.append(write_answer(conclusion, folder / "answer.json"))
    paths += write_texts(conclusion, folder)
    if conclusion.maps and feeder is not None:
        paths.append(write_geojson(conclusion, feeder, folder / "map.geojson"))
    paths += draw_pictures(conclusion, feeder, folder)
    return conclusion, paths


def headed(conclusion: Conclusion, asked: Limits | None, used: Limits | None) -> Conclusion:
    """A conclusion whose title says by which limits it was judged again, if others than those `asked` were `used`."""
    if asked is None or used is None:
        return conclusion
    moved = moved_limits(asked, used) or "the limits of the question"
    return replace(conclusion, title=f"{conclusion.title}; judged again with {moved}")


def check_rests_on_results(root: Path, entries: Sequence[Entry]) -> None:
    """Raise `InputError` if no task has a result: what would be concluded from nothing is no answer."""
    if any(entry.state == "done" for entry in entries):
        return
    failed = [entry for entry in entries if entry.state == "failed"]
    why = f" ({len(failed)} failed: {failed[0].reason})" if failed else ""
    way = "a g2g is at work on it (`g2g status`)" if StudyFolder(root).is_held() else "`g2g resume` tries again"
    raise InputError(f"no task of the study in {root} has a result{why}: there is no answer; {way}")


def load_feeder(question: Question) -> Feeder:
    """The feeder of a question, with the buses that it leaves out of the limits."""
    feeder = Feeder.find(question.feeder, getattr(question, "edits", None), getattr(question, "at", None))
    feeder = feeder.excluding(getattr(question, "exclude_buses", ()))
    scenario = getattr(question, "scenario", None)
    return through_own_year(feeder, scenario) if isinstance(scenario, Scenario) else feeder


def _with_base_case(conclusion: Conclusion, question: Question, feeder: Feeder) -> Conclusion:
    """A conclusion that also says and draws what the circuit is like without a site."""
    base, drawn = studied_base_case(question, feeder), conclusion.envelopes[0] if conclusion.envelopes else None
    chart = distance_chart(base, studied_load_level(question), drawn, studied_limits(question))
    charts = (chart, *conclusion.charts) if chart is not None else conclusion.charts
    return replace(with_base_case_note(conclusion, question, feeder, base), charts=charts)


def _changed(recorded: Mapping[str, str], asked: Question, kept: KeptInputs | None) -> list[str]:
    """Names of inputs that are not what was recorded: where copies were kept, of those that are still there."""
    if kept is None or f"feeder/{COMPILED}" in recorded:
        return changed_inputs(recorded, asked)
    return kept.changed(recorded)


def _name(limits: Limits) -> str:
    """A folder's name from the limits that are not the usual ones."""
    usual = Limits()
    changed = {name: value for name, value in vars(limits).items() if value != getattr(usual, name)}
    said = [f"{name}={value:g}" if isinstance(value, float) else f"{name}={value}" for name, value in changed.items()]
    return "_".join(said).lower() or "usual_limits"


def _provenance(question: Question, ledger: Ledger, entries: Sequence[Entry], feeder: Feeder | None) -> Provenance:
    attempts = [attempt for entry in entries for attempt in ledger.attempts(entry.id) if attempt["ended"] is not None]
    spans = sorted((attempt["began"], attempt["ended"]) for attempt in attempts)
    finished = max((end for _, end in spans), default=ledger.created)
    done = [entry for entry in entries if entry.state == "done"]
    return Provenance(
        code_version=", ".join(sorted({entry.code_version for entry in done})),
        versions=package_versions(),
        question_toml=question_toml(question),
        command=ledger.command,
        seed=question.seed,
        input_hashes=ledger.inputs,
        hosts=tuple(sorted({entry.host for entry in done if entry.host})),
        started=datetime.fromtimestamp(ledger.created, UTC),
        finished=datetime.fromtimestamp(finished, UTC),
        seconds=_covered_s(spans),
        engines=tuple(sorted({f"tasks by {entry.engine} workers" for entry in done})),
        circuit=() if feeder is None else feeder.state,
    )


def _covered_s(spans: Sequence[tuple[float, float]]) -> float:
    """Time covered by intervals that may overlap, sorted by their beginnings."""
    covered, reached = 0.0, float("-inf")
    for began, ended in spans:
        covered += max(0.0, ended - max(began, reached))
        reached = max(reached, ended)
    return covered


def _states(entries: Sequence[Entry]) -> TaskStates:
    return TaskStates(
        counts=dict(Counter(entry.state for entry in entries)),
        failed=tuple(FailedTask(e.task.label, e.reason, e.attempts) for e in entries if e.state == "failed"),
        code_versions=tuple(sorted({entry.code_version for entry in entries if entry.state == "done"})),
    )
