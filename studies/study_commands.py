"""The commands of `g2g` that begin studies, go on with them, look at them and report on them."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from g2g_opt.errors import InputError, number_of
from g2g_opt.limits import Limits
from g2g_opt.quantities import WorkerCount, WorkTimeS
from g2g_opt.reading import file_status
from studies.catalogue import (
    STUDIES,
    json_schema,
    make_question,
    question_toml,
    question_type,
    read_question,
)
from studies.command_lines import COMMAND_HELP, EVERY, STUDY_HELP
from studies.report_ahead import importing_report
from studies.running.memory_limit import check_memory_limit, lack_of_memory
from studies.shared.conclusion import Conclusion
from studies.shared.limit_flags import add_limit_flags, given_limits, with_given
from studies.shared.number_flags import number
from studies.shared.question_flags import add_question_flags, given_fields
from studies.shared.task import Question
from studies.shared.words_as_typed import as_typed

if TYPE_CHECKING:
    from studies.running.ledger import Entry

# What runs, stores and shows studies is imported where it is used: other commands need not wait for it.

Commands = Any  # argparse has no public name for what add_subparsers returns


def add_study_commands(commands: Commands, wanted: str | None) -> None:
    """Add every command of this file to the parser; options of a study only if it is `wanted`, which saves imports."""
    for study in STUDIES:
        parser = commands.add_parser(study, help=STUDY_HELP[study])
        if wanted in (study, EVERY):
            _add_question(parser, study)
            _add_run_options(parser, default_out=Path("results") / study.replace("-", "_"))
            add_circuit_consent(parser)
            what = "write the question as a TOML file for `g2g run`, and run nothing"
            parser.add_argument("--save", type=Path, metavar="FILE", help=what)
            parser.set_defaults(run=_run_flags)
    parser = commands.add_parser(
        "run",
        help=COMMAND_HELP["run"],
        description="Run the study in a TOML file; `g2g schema` says what such a file may hold.",
        epilog="Example: g2g run study.toml --out results/mine. `g2g hosting-capacity --save FILE` writes one.",
    )
    parser.add_argument("file", type=Path, help="the study")
    _add_run_options(parser, default_out=None)
    add_circuit_consent(parser)
    add_study_consent(parser)
    parser.set_defaults(run=_run_file)
    parser = commands.add_parser(
        "resume", help=COMMAND_HELP["resume"], description="Do what is left of a study, then report."
    )
    _add_folder(parser)
    _add_engine_options(parser)
    parser.set_defaults(run=_run_resume)
    parser = commands.add_parser(
        "retry",
        help=COMMAND_HELP["retry"],
        description="Try the failed tasks of a study once more, then report.",
    )
    _add_folder(parser)
    parser.add_argument("--failed", action="store_true", help="all tasks that failed (the only choice there is)")
    _add_engine_options(parser)
    parser.set_defaults(run=_run_retry)
    parser = commands.add_parser(
        "status",
        help=COMMAND_HELP["status"],
        description="Tasks by stage and state, running tasks, and every failure with its reason.",
    )
    _add_folder(parser)
    parser.add_argument("--json", action="store_true", help="as JSON, for programs")
    parser.set_defaults(run=_run_status)
    _add_report(commands)
    parser = commands.add_parser("schema", help=COMMAND_HELP["schema"])
    names = f"{', '.join(sorted(STUDIES))}, or a study that another package registers"
    parser.add_argument("study", help=names)
    add_study_consent(parser)
    parser.set_defaults(run=_run_schema)


def _add_question(parser: argparse.ArgumentParser, study: str) -> None:
    """Words on a study, and the options of its question."""
    kind = question_type(study)
    told = importlib.import_module(f"{kind.__module__.rpartition('.')[0]}.question")
    parser.description, parser.epilog = told.DESCRIPTION, told.EPILOG
    add_question_flags(parser, kind, getattr(told, "POSITIONAL", ""))
    parser.set_defaults(
        study=study, question_of=lambda options: make_question(study, given_fields(kind, options), "the options")
    )


def _add_folder(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, help="folder of the study (its --out)")
    add_circuit_consent(parser)
    add_study_consent(parser)


def add_circuit_consent(parser: argparse.ArgumentParser) -> None:
    """Add the flag by which a user lets a circuit file do whatever OpenDSS can."""
    what = "let the circuit's files run every OpenDSS command, also those that write files or start programs"
    parser.add_argument("--trust-circuit", action="store_true", help=what)


def add_study_consent(parser: argparse.ArgumentParser) -> None:
    """Add the flag by which a user lets a study be imported from a module that is not registered."""
    what = "let the study be any class that it names (module:Class), whose code is then run"
    parser.add_argument("--trust-study", action="store_true", help=what)


def _add_run_options(parser: argparse.ArgumentParser, default_out: Path | None) -> None:
    shown = f"default {default_out}" if default_out is not None else "default: results/ and the file's name"
    parser.add_argument(
        "--out",
        type=Path,
        default=default_out,
        metavar="DIR",
        help=f"folder of the study ({shown}); the same question in the same folder goes on where it stopped",
    )
    _add_engine_options(parser)


def _add_engine_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("how it is run").add_argument
    add("--workers", type=number(WorkerCount), help="processes (default: one per core)")
    add(
        "--time-out-s",
        type=number(WorkTimeS),
        metavar="S",
        help="stop a task that takes longer than this (default: never)",
    )
    add("--engine", choices=("local", "dask"), default="local", help="processes here, or Dask (default local)")
    add("--scheduler", metavar="ADDRESS", help="Dask scheduler, e.g. tcp://node:8786 (default: a cluster here)")
    add(
        "--older",
        choices=("refuse", "keep", "redo"),
        default="refuse",
        help="results of an older version of the code: refuse to go on, keep them, or redo them (default refuse)",
    )


def _add_report(commands: Commands) -> None:
    parser = commands.add_parser(
        "report",
        help=COMMAND_HELP["report"],
        description=(
            "Write report, tables and figures from what is stored. With other limits every stored run is judged again; "
            "nothing is simulated. Voltages and loadings can be judged where figures were kept (an error says where)."
        ),
        epilog="Example: g2g report results/hosting_capacity --voltage-min-pu 0.94",
    )
    _add_folder(parser)
    add_limit_flags(parser)
    where = "where to (default: the study's folder; for other limits a new one in it)"
    parser.add_argument("--out", type=Path, metavar="DIR", help=where)
    parser.set_defaults(run=_run_report)


# --- running


def _run_flags(options: argparse.Namespace, console: Console) -> int:
    from studies.running.runner import QuestionError

    try:
        return _ask(options.question_of(options), options, console)
    except InputError as error:
        fault = error.fault if isinstance(error, QuestionError) else error
        raise as_typed(fault, question_type(options.study)) from error


def _ask(question: Question, options: argparse.Namespace, console: Console) -> int:
    if options.save is not None:
        question.check()
        if os.path.lexists(options.save):
            # Opening a pipe would wait for a reader for ever.
            file_status(options.save, "--save:")
        try:
            options.save.write_text(question_toml(question), encoding="utf-8")
        except OSError as error:
            raise InputError(f"{options.save} cannot be written: {error.strerror}") from error
        console.print(f"written: {options.save}; run it with: g2g run {options.save}", markup=False)
        return 0
    return _go_on(options.out, options, console, question=question)


def _run_file(options: argparse.Namespace, console: Console) -> int:
    question = read_question(options.file)
    from studies.running.runner import QuestionError

    root = options.out or Path("results") / options.file.stem
    try:
        return _go_on(root, options, console, question=question)
    except QuestionError as error:
        raise InputError(f"{options.file}: {error}") from error


def _run_resume(options: argparse.Namespace, console: Console) -> int:
    return _go_on(options.folder, options, console, retry_failed=True)


def _run_retry(options: argparse.Namespace, console: Console) -> int:
    from studies.running.ledger import Ledger
    from studies.running.study_folder import StudyFolder

    with closing(Ledger(StudyFolder(options.folder).ledger)) as ledger:
        n = sum(entry.state == "failed" for entry in ledger.entries())
    console.print(f"{number_of(n, 'failed task')} tried again" if n else "no task has failed", markup=False)
    return _go_on(options.folder, options, console, retry_failed=True)


@contextmanager
def _stoppable() -> Iterator[None]:
    """Being asked to end (SIGTERM) stops a run as cleanly as Ctrl-C."""

    def stop(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _go_on(
    root: Path,
    options: argparse.Namespace,
    console: Console,
    *,
    question: Question | None = None,
    retry_failed: bool = False,
) -> int:
    from studies.running.asked_workers import asked_workers
    from studies.running.local_workers import WorkersError
    from studies.running.runner import run_study, wait_hint
    from studies.running.study_folder import DiskFullError
    from studies.terminal import Meter, in_words, show_conclusion

    began_s = time.monotonic()
    check_memory_limit()
    try:
        is_new = question is not None and not os.path.lexists(root)
        with _stoppable(), Meter(console) as meter, asked_workers(options, is_new) as workers:
            finished = run_study(
                root,
                workers,
                question=question,
                older=options.older,
                retry_failed=retry_failed,
                tell=importing_report(meter),
            )
        answer = _write_all(root) if any(entry.state == "done" for entry in finished.entries) else None
    except KeyboardInterrupt:
        console.print(f"stopped; {wait_hint(root)}", markup=False, soft_wrap=True)
        return 130
    except (DiskFullError, WorkersError) as error:
        return _stopped_by(str(error), wait_hint(root), console)
    except (MemoryError, ImportError, SystemError) as error:
        if (reason := lack_of_memory(error)) is None:
            raise
        return _stopped_by(reason, wait_hint(root), console)
    if answer is not None:
        show_conclusion(console, answer[0])
    for entry in finished.failed:
        console.print(Text(f"task failed: {entry.task.label}: {entry.reason}", style="red"))
    if answer is None:
        console.print(Text("no task has a result: there is no answer", style="red"))
        return 1
    conclusion, paths = answer
    console.print(f"{in_words(time.monotonic() - began_s)}; results:", markup=False)
    for path in paths:
        console.print(f"  {path}", markup=False, soft_wrap=True)
    return 1 if finished.failed or conclusion.failures else 0


def _stopped_by(reason: str, hint: str, console: Console) -> int:
    Console(stderr=True).print(Text("error: ", style="bold red") + Text(reason), soft_wrap=True)
    console.print(hint, markup=False, soft_wrap=True)
    return 1


def _write_all(root: Path, limits: Limits | None = None, out: Path | None = None) -> tuple[Conclusion, list[Path]]:
    # Drawing takes a second to import, which commands that draw nothing need not wait for.
    from studies.study_report import write_all

    return write_all(root, limits, out)


def _run_report(options: argparse.Namespace, console: Console) -> int:
    from studies.running.ledger import Ledger
    from studies.running.runner import question_of
    from studies.running.study_folder import StudyFolder
    from studies.shared.rejudging import limits_of
    from studies.terminal import show_conclusion

    given = given_limits(options)
    limits = None
    if given:
        with closing(Ledger(StudyFolder(options.folder).ledger)) as ledger:
            question = question_of(ledger)
        limits = with_given(question, limits_of(question), given)
    conclusion, paths = _write_all(options.folder, limits, options.out)
    show_conclusion(console, conclusion)
    console.print("results:", markup=False)
    for path in paths:
        console.print(f"  {path}", markup=False, soft_wrap=True)
    return 0


def _run_status(options: argparse.Namespace, console: Console) -> int:
    from studies.running.ledger import Ledger
    from studies.running.runner import damaged_results, go_on_words
    from studies.running.study_folder import StudyFolder
    from studies.terminal import in_words

    folder = StudyFolder(options.folder)
    with closing(Ledger(folder.ledger)) as ledger:
        entries, counts = ledger.entries(), ledger.counts()
        failures = [(entry, ledger.attempts(entry.id)) for entry in entries if entry.state in ("failed", "split")]
    damage = {entry.id: what for entry, what in damaged_results(folder, entries)}
    status = 1 if damage or any(entry.state == "failed" for entry in entries) else 0
    if options.json:
        sys.stdout.write(json.dumps([_plain(entry, damage.get(entry.id, "")) for entry in entries], indent=1) + "\n")
        return status
    table = Table("stage", "waiting", "running", "done", "failed", "divided", title=Text(ledger.command))
    for stage, states in counts.items():
        table.add_row(Text(stage), *(str(states.get(s, 0)) for s in ("waiting", "running", "done", "failed", "split")))
    console.print(table)
    done = [entry for entry in entries if entry.state == "done"]
    versions = sorted({entry.code_version for entry in done})
    spent_s = sum(entry.seconds or 0.0 for entry in done)
    words = f"{number_of(len(done), 'task')} done in {in_words(spent_s)} of work, by code {', '.join(versions)}"
    console.print(words if done else "no task is done yet", markup=False)
    held = folder.is_held()
    if not held and any(entry.state == "running" for entry in entries):
        words = f"nobody is at work in {folder.root}: what is told as running was stopped; {go_on_words(folder.root)}"
        console.print(words, markup=False, soft_wrap=True)
    for entry in entries:
        if entry.state == "running" and held:
            share, words = folder.read_progress(entry.id)
            console.print(f"running: {entry.task.label}: {100 * share:.0f} % {words}", markup=False)
        if entry.id in damage:
            words = f"damaged: {entry.task.label} ({entry.id}): {damage[entry.id]}; `g2g resume` does it again"
            console.print(Text(words, style="red"), soft_wrap=True)
    if n_unknown := sum(entry.tables is None for entry in done):
        console.print(
            f"of {number_of(n_unknown, 'task')} an older version kept no digests: whether they are whole is not known"
        )
    for entry, attempts in failures:
        what = "divided" if entry.state == "split" else "failed"
        console.print(Text(f"{what} (attempts: {len(attempts)}): {entry.task.label}: {entry.reason}", style="red"))
    return status


def _plain(entry: Entry, damage: str) -> dict[str, Any]:
    return {
        "id": entry.id,
        "stage": entry.stage,
        "label": entry.task.label,
        "state": entry.state,
        "attempts": entry.attempts,
        "reason": entry.reason,
        "seconds": entry.seconds,
        "engine": entry.engine,
        "host": entry.host,
        "seed": entry.seed,
        "code_version": entry.code_version,
        "damage": damage,
    }


def _run_schema(options: argparse.Namespace, console: Console) -> int:
    sys.stdout.write(json.dumps(json_schema(options.study), indent=1) + os.linesep)
    return 0
