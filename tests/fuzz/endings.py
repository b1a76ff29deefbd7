"""How the product takes a malformed input: accepted, refused, or a fault of ours (traceback, hang, empty refusal)."""

from __future__ import annotations

import contextlib
import faulthandler
import io
import os
import re
import resource
import signal
import sys
import tempfile
import traceback
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Literal

from malformed_case import Case, Maker, draws_of

from g2g_opt.consent import Consent, give_consent
from g2g_opt.errors import G2GError

Kind = Literal["accepted", "refused", "unnamed", "traceback", "hang"]
FAULTS: tuple[Kind, ...] = ("unnamed", "traceback", "hang")

# What computes longer is a hang. On a busy machine a process waits for its turn as well, so what waits has more time.
# A process that does not even hear the alarm is ended, with all its stacks printed.
HANG_S = 10.0
WAIT_S = 30.0
_DEAF_S = 60.0
# What a case may take besides what the process has already: a file without end must not fill the machine.
_MEMORY = 3 * 2**30
# Exit statuses of the command line: bad input, and a fault of the program itself.
_BAD_INPUT, _FAULT = 2, 70


class HangError(BaseException):
    """Took longer than allowed. No `Exception`: nothing that catches errors may catch it."""


@dataclass(frozen=True)
class End:
    """How a case ended, in words; `where` is the place of a traceback or hang in our own code."""

    kind: Kind
    words: str = ""
    where: str = ""


def run_case(area: str, make: Maker, seed: int, number: int) -> tuple[Case, End]:
    """Make a case in a folder of its own, hand it to the product, and say how that ended."""
    with tempfile.TemporaryDirectory(prefix=f"{area}_") as name, _inside(Path(name)):
        case = make(draws_of(area, seed, number), Path(name))
        return case, end_of(case)


def end_of(case: Case) -> End:
    """What becomes of a case whose files are there."""
    heard = io.StringIO()
    try:
        with _watched(), _quiet(heard):
            status = case.act()
    except HangError:
        return End("hang", f"computes more than {HANG_S:g} s or waits", _own_place(sys.exc_info()[2]))
    except SystemExit as exit_:
        return _of_status(case, exit_.code, heard.getvalue())
    except G2GError as error:
        return _of_refusal(case, str(error))
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        return End("traceback", f"{type(error).__name__}: {str(error)[:200]}", _own_place(error.__traceback__))
    return _of_status(case, status, heard.getvalue())


def _of_status(case: Case, status: object, heard: str) -> End:
    if "Traceback (most recent call last)" in heard:
        return End("traceback", heard[-300:])
    if not isinstance(status, int):
        return End("accepted", type(status).__name__)
    if status == _FAULT:
        return End("traceback", f"exit status {_FAULT}: {heard[-300:]}")
    if status == _BAD_INPUT:
        return _of_refusal(case, heard)
    return End("accepted", f"status {status:d}" if abs(status) < 256 else "a number")


def _of_refusal(case: Case, message: str) -> End:
    # Messages are wrapped for the screen: blanks do not count.
    told = _without_blanks(message)
    if missing := [name for name in case.names if _without_blanks(name) not in told]:
        return End("unnamed", f"does not name {missing}: {message.strip()[:300]}")
    if case.places and not any(re.search(place, message, re.IGNORECASE) for place in case.places):
        return End("unnamed", f"names none of the places {case.places}: {message.strip()[:300]}")
    if not told:
        return End("unnamed", "no words at all")
    return End("refused", message.strip()[:300])


def _without_blanks(text: str) -> str:
    return "".join(text.split())


def _own_place(trace: object) -> str:
    root = Path(__file__).resolve().parents[2]
    frames = traceback.extract_tb(trace)  # type: ignore[arg-type]
    own = [f for f in frames if Path(f.filename).is_relative_to(root) and "tests" not in Path(f.filename).parts]
    chosen = own[-1] if own else frames[-1]
    name = Path(chosen.filename)
    place = f"{name.relative_to(root) if name.is_relative_to(root) else name.name}:{chosen.lineno}:{chosen.name}"
    return place if not frames or chosen is frames[-1] else f"{place} (in {frames[-1].name})"


@contextlib.contextmanager
def _watched() -> Iterator[None]:
    def ring(number: int, frame: FrameType | None) -> None:
        raise HangError

    n_pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    before = {number: signal.signal(number, ring) for number in (signal.SIGALRM, signal.SIGPROF)}
    resource.setrlimit(resource.RLIMIT_AS, (n_pages * resource.getpagesize() + _MEMORY, hard))
    signal.setitimer(signal.ITIMER_REAL, WAIT_S)
    signal.setitimer(signal.ITIMER_PROF, HANG_S)
    faulthandler.dump_traceback_later(_DEAF_S, exit=True, file=sys.__stderr__)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.setitimer(signal.ITIMER_PROF, 0.0)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
        faulthandler.cancel_dump_traceback_later()
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _quiet(heard: io.StringIO) -> Iterator[None]:
    """What is printed goes to `heard`, on lines that do not end; what is allowed is as in a new process."""
    with (
        contextlib.redirect_stdout(heard),
        contextlib.redirect_stderr(heard),
        warnings.catch_warnings(),
        _environment("COLUMNS", "4000"),
    ):
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            give_consent(Consent())


@contextlib.contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


@contextlib.contextmanager
def _inside(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)
