"""The `g2g` command."""

from __future__ import annotations

import argparse
import errno
import hashlib
import io
import os
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from g2g_opt.consent import Consent, give_consent
from g2g_opt.errors import G2GError, InputError, did_you_mean
from studies.command_lines import COMMAND_EXAMPLE, COMMAND_HELP, EVERY, STUDY_HELP
from studies.package_version import version_in_words
from studies.running.memory_limit import check_memory_limit
from studies.running.worker_process import worker_ahead

if TYPE_CHECKING:
    from rich.console import Console

# What a command alone needs is imported where its options are added: `g2g --help` need not wait for it.

# BSD's status for an internal fault of a program, and what the system says when there is no room.
_EX_SOFTWARE = 70
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.ENOMEM, errno.EMFILE, errno.ENFILE)
# What lets a command that begins a study run nothing, or elsewhere.
_NO_WORKER = frozenset(("-h", "--help", "--save", "dask", "--engine=dask"))
# Where there is no terminal to measure (a log, a pipe), tables are this wide.
_PLAIN_WIDTH = 132
# Buses that `g2g feeder` names.
_BUSES_NAMED = 24
# Limits that `g2g feeder` holds the base case against.
_BASE_CASE_LIMITS = ("voltage_min_pu", "voltage_max_pu", "loading_max_pu", "rating_basis")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status.

    0 done; 1 some part failed or has no answer, the machine has no room or nobody reads the output; 2 bad input, or a
    file or folder that cannot be used; 70 a fault of this program; 130 interrupted. Whatever the status, standard error
    has one line that says why; with G2G_DEBUG=1 in the environment the traceback comes before it.
    """
    try:
        if arguments is None:
            return _run_beside_worker(sys.argv[1:])
        return _run(arguments)
    except KeyboardInterrupt:
        # Also while commands are still being read in, which takes seconds on a busy machine.
        print("interrupted", file=sys.stderr)
        return 130


def _run_beside_worker(arguments: Sequence[str]) -> int:
    """Run a command of this program's own line: what begins a study has its first worker import beside it."""
    command = arguments[0] if arguments else ""
    if command not in (*STUDY_HELP, "run") or not _NO_WORKER.isdisjoint(arguments):
        return _run(arguments)
    with worker_ahead("" if command == "run" else command):
        return _run(arguments)


def _run(arguments: Sequence[str]) -> int:
    parser = parser_of(arguments[0] if arguments else None)
    if any("\0" in argument for argument in arguments):
        parser.error("an argument holds a NUL character, which no name of a file can have")
    if "--out=" in arguments or ("--out", "") in pairwise(arguments):
        # A variable of a script that is not set: this would be the folder one stands in.
        parser.error("--out is given an empty text; give it a folder, or leave it out")
    options = parser.parse_args(arguments)
    from rich.console import Console

    console = Console() if sys.stdout.isatty() else Console(width=_PLAIN_WIDTH)
    give_consent(Consent(getattr(options, "trust_circuit", False), getattr(options, "trust_study", False)))
    for stream in (sys.stdout, sys.stderr):
        # Names in a file need not be letters that this terminal has, nor any.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        status = int(options.run(options, console))
        sys.stdout.flush()
    except Exception as error:  # noqa: BLE001 - the outermost place: every kind has its words in `told`
        status, words = told(error)
        if os.environ.get("G2G_DEBUG", "0") not in ("", "0"):
            traceback.print_exception(error)
        _say(words)
    return status


def told(error: Exception) -> tuple[int, str]:
    """Exit status and words for what ended a command, by its kind."""
    if isinstance(error, G2GError):
        return 2, str(error)
    if isinstance(error, ImportError | MemoryError) or (isinstance(error, OSError) and error.errno is None):
        # A library that is refused memory while it loads says something else every time.
        try:
            check_memory_limit()
        except InputError as limited:
            return 2, str(limited)
    if isinstance(error, BrokenPipeError):
        return 1, "the program that was to read the output has ended"
    if isinstance(error, OSError):
        named = [str(name) for name in (error.filename, error.filename2) if name is not None]
        what = (error.strerror or str(error) or type(error).__name__).lower()
        return (1 if error.errno in _NO_ROOM else 2), f"{' and '.join(named) or 'a file or the output'}: {what}"
    if isinstance(error, MemoryError):
        words = str(error) or "this computer has too little of it"
        return 1, f"out of memory: {words}. Ask for less (fewer buses, a shorter run), or use fewer --workers"
    if isinstance(error, RecursionError):
        return 2, "something in the question or its files is nested too deeply; G2G_DEBUG=1 shows where"
    frames = traceback.extract_tb(error.__traceback__)
    at = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    what = f"{type(error).__name__}: {error}{at}"
    return _EX_SOFTWARE, f"this is a fault of g2g_opt, please report: {what}; G2G_DEBUG=1 shows the traceback"


def _say(words: str) -> None:
    """Words on standard error, with control characters of a stranger's file as escapes."""
    from rich.console import Console
    from rich.text import Text

    line = "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in words)
    try:
        Console(stderr=True, soft_wrap=True).print(Text("error: ", style="bold red") + Text(line))
        sys.stdout.flush()
    except OSError:
        # Nobody hears us. What is still in the buffers would end in a traceback when Python ends.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError):
                os.dup2(nowhere, stream.fileno())


def parser_of(wanted: str | None) -> argparse.ArgumentParser:
    """The parser of every command; only the `wanted` one has its options, or all have them (`EVERY`)."""
    parser = _Parser(
        prog="g2g",
        description="Planning studies of AI datacenters on distribution feeders, judged by closed-loop simulation.",
        epilog="Begin with: g2g hosting-capacity --feeder ieee13",
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="show version and commit, and exit")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    if wanted is None or wanted.startswith("-"):
        # Nothing but the list of commands is asked for.
        for name, line in (STUDY_HELP | COMMAND_HELP).items():
            commands.add_parser(name, help=line)
    else:
        from studies.study_commands import add_study_commands

        add_study_commands(commands, wanted)
    live = commands.add_parser("live", help="nodes on real sockets, and clusters that run: hardware in the loop")
    if wanted in ("live", EVERY):
        from studies.live.commands import add_live_commands

        add_live_commands(live)
    models = commands.add_parser("models", help="list the measured inference workloads")
    if wanted in ("models", EVERY):
        _add_models(models)
    feeder = commands.add_parser(
        "feeder",
        help="describe a feeder: its base case without a site, what is judged, what it lacks for studies",
        description="Solve a feeder without a site and say where it stands, what studies judge, hold or leave out.",
        epilog="Example: g2g feeder path/to/Master.dss --picture feeder.png",
    )
    if wanted in ("feeder", EVERY):
        _add_feeder(feeder)
    completion = commands.add_parser(
        "completion",
        help="print what completes g2g's commands and options in a shell",
        epilog='Example: eval "$(g2g completion bash)", or save its output where your shell looks for completions.',
    )
    completion.add_argument("shell", choices=("bash", "zsh", "tcsh"), help="the shell")
    completion.set_defaults(run=_run_completion)
    for name, example in COMMAND_EXAMPLE.items():
        if name in commands.choices:
            commands.choices[name].epilog = example
    return parser


class _Once(argparse.Action):
    """Keeps a value, of which there is one: given again, by whichever of its names, it is refused and not the last of
    several in silence. Whatever is a list says so and adds to it.
    """

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option: str | None = None
    ) -> None:
        given: set[str] = parser.given  # type: ignore[attr-defined]
        if self.dest in given:
            takes = "give its values at once, separated by commas" if self.nargs == "+" else "it takes one value"
            raise argparse.ArgumentError(self, f"given more than once; {takes}")
        given.add(self.dest)
        setattr(namespace, self.dest, values)


class _Parser(argparse.ArgumentParser):
    """A wrong word is answered in a sentence; what else could have been said is what `--help` is for."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.given: set[str] = set()
        for name in (None, "store"):
            self.register("action", name, _Once)

    def parse_known_args(self, *args: Any, **kwargs: Any) -> Any:
        self.given = set()
        options, unknown = super().parse_known_args(*args, **kwargs)
        if unknown:
            # Said by the command that does not know them, and not by the one in front of it.
            names = [name for action in self._actions for name in action.option_strings]
            self.error(
                f"unrecognized arguments: {' '.join(unknown)}{did_you_mean(unknown[0].partition('=')[0], names)}"
            )
        return options, unknown

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        try:
            super()._check_value(action, value)
        except argparse.ArgumentError as error:
            hint = did_you_mean(value, map(str, action.choices or ()))
            raise argparse.ArgumentError(action, f"{error.message}{hint}") from error

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {message} ({self.prog} --help says what there is)\n")


class _Version(argparse.Action):
    """Says version and commit; asked for only then, because the commit may have to be looked up."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        print(version_in_words())
        parser.exit()


def _add_models(models: argparse.ArgumentParser) -> None:
    from g2g_opt.quantities import Count
    from studies.shared.feeder_questions import SizeQuestion
    from studies.shared.number_flags import number
    from studies.shared.question_flags import add_noun_flags

    models.add_argument("--model", help="only this model: its id, or the part after the slash")
    models.add_argument("--gpu", help="only this GPU, e.g. H100")
    add_noun_flags(models, SizeQuestion(), ("task", "precision", "gpus_per_replica"))
    models.add_argument("--tensor-parallel", type=number(Count), metavar="N", help="only this tensor-parallel degree")
    models.add_argument("--expert-parallel", type=number(Count), metavar="N", help="only this expert-parallel degree")
    models.set_defaults(run=_run_models)


def _add_feeder(feeder: argparse.ArgumentParser) -> None:
    from g2g_opt.limits import Limits
    from g2g_opt.scenario import Scenario
    from studies.shared.feeder_questions import HourQuestion
    from studies.shared.question_flags import add_noun_flags
    from studies.study_commands import add_circuit_consent

    feeder.add_argument("feeder", help="a bundled feeder's name, or the path of an OpenDSS master file")
    add_noun_flags(feeder, Limits(), _BASE_CASE_LIMITS)
    feeder.add_argument("--all-buses", action="store_true", help="name every bus that can take a site")
    feeder.add_argument(
        "--out", type=Path, metavar="DIR", default=Path("results"), help="folder of the picture (default results)"
    )
    picture = "draw map and voltages against distance (PNG; default: feeder_NAME.png in --out, of your own with a mark)"
    feeder.add_argument("--picture", type=Path, metavar="FILE", help=picture)
    feeder.add_argument("--no-picture", action="store_true", help="draw nothing")
    add_noun_flags(feeder, HourQuestion(), ("exclude_buses", "edits", "at"))
    add_noun_flags(feeder, Scenario(), ("own_load_share",))
    add_circuit_consent(feeder)
    feeder.set_defaults(run=_run_feeder)


def _run_completion(options: argparse.Namespace, console: Console) -> int:
    import shtab

    print(shtab.complete(parser_of(EVERY), shell=options.shell))
    return 0


def _run_models(options: argparse.Namespace, console: Console) -> int:
    from studies.models_table import models_table

    console.print(
        models_table(
            model=options.model,
            gpu=options.gpu,
            task=options.task,
            precision=options.precision,
            gpus_per_replica=options.gpus_per_replica,
            tensor_parallel=options.tensor_parallel,
            expert_parallel=options.expert_parallel,
        )
    )
    return 0


def _run_feeder(options: argparse.Namespace, console: Console) -> int:
    from g2g_opt.base_case import base_case_words, restless_words, solve_base_case
    from g2g_opt.feeder import Feeder
    from g2g_opt.feeder_description import describe_feeder, feeder_in_short, site_notes
    from g2g_opt.feeder_lint import format_findings, lint_feeder
    from g2g_opt.limits import Limits
    from studies.shared.limit_flags import typed_limits

    limits = typed_limits(Limits(), {name: getattr(options, name) for name in _BASE_CASE_LIMITS})
    feeder = Feeder.find(options.feeder, options.edits, options.at).excluding(tuple(options.exclude_buses))
    # Of a user's circuit the studied state has its controls at rest already.
    settled = feeder.initial_taps is not None
    base = solve_base_case(feeder, options.own_load_share, limits.rating_basis, settled=settled)
    # At full load the studied state says it.
    restless = [] if settled or options.own_load_share == 1.0 else restless_words(feeder, options.own_load_share)
    if restless and not base.failure:
        base = replace(base, restless="; ".join(words for words in (base.restless, *restless) if words))
    standing = base_case_words(feeder, base, limits)
    first = 1 if base.headline else 0
    for words in (*standing[:first], feeder_in_short(feeder), *standing[first:], *describe_feeder(feeder, limits)):
        console.print(words, markup=False)
    for words in site_notes(feeder, None if options.all_buses else _BUSES_NAMED):
        console.print(words, markup=False)
    console.print(format_findings(lint_feeder(feeder)), markup=False)
    if not options.no_picture:
        from studies.report.figures import write_feeder_picture

        path = options.picture or options.out / _picture_name(options.feeder, feeder.name)
        written = write_feeder_picture(feeder, base, options.own_load_share, limits, path)
        console.print(f"picture: {written}", markup=False, soft_wrap=True)
    return 1 if base.headline else 0


def _picture_name(asked: str, name: str) -> str:
    """A file's name for the picture of a feeder; circuits in several folders, all called Master.dss, have one each."""
    from g2g_opt.circuit.script_file.reading import is_own_circuit

    if not is_own_circuit(asked):
        return f"feeder_{name}.png"
    place = hashlib.sha256(os.fsencode(Path(asked).resolve())).hexdigest()[:8]
    return f"feeder_{name}_{place}.png"


if __name__ == "__main__":
    sys.exit(main())
