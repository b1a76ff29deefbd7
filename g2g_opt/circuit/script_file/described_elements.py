"""What the commands of a circuit state of its elements, in their order."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache

from g2g_opt.circuit.script_file.tokens import Parameter, ScriptError, parameters

# What makes the matrices of all lines, which is what a copy takes. A file's own Solve does, too (see `line_copies`).
MAKES_MATRICES = "calcvoltagebases"
Described = tuple[int, str, list[Parameter]]
_CHOOSES = ("select", "set")
_CLEARS = ("clear", "clearall")
# Begins what is yielded for the name of what is edited at once.
BATCH = "batchedit"
RATINGS = ("normamps", "emergamps")
_READ_PATTERN = re.compile(r"\^?([\w\-.]|(?<=\.)\*)*\$?")
# Make a line of conductors, whose ratings it takes.
WIRED = ("geometry", "spacing", "wires", "cncables", "tscables", "conductors")


def stated_ratings(commands: Sequence[str]) -> Mapping[str, frozenset[str]]:
    """Which of `RATINGS` the commands state of a line ("line.a"): behind its line code at the line, or at the code.

    Lines of wires or cables are not among them.
    """
    found: dict[str, set[str]] = {}
    wired: set[str] = set()
    for name, given in described(commands):
        kind, _, pattern = name.partition(".")
        if kind == f"{BATCH} line":
            names = [one for one in found if one.startswith("line.") and _reaches(pattern, one[len("line.") :])]
        else:
            names = [name] if kind in ("line", "linecode") else []
        for one in names:
            _take(one, given, found, wired)
    return {name: frozenset(own) for name, own in found.items() if name.startswith("line.") and name not in wired}


def _take(name: str, given: Sequence[Parameter], found: dict[str, set[str]], wired: set[str]) -> None:
    """Note what is stated of a line or a line code."""
    own = found.setdefault(name, set())
    for parameter in given:
        word, value = parameter.word, parameter.value.lower()
        if word in ("like", "linecode"):
            other = f"{name.partition('.')[0] if word == 'like' else word}.{value}"
            own.clear()
            own.update(found.get(other, ()))
            (wired.add if other in wired else wired.discard)(name)
        elif word in WIRED:
            wired.add(name)
        elif word in RATINGS:
            own.add(word)


def reaches(pattern: str, names: Iterable[str]) -> list[str] | None:
    """Which of some names a batch edit of a pattern reaches; None of one that is not read (see `_reaches`)."""
    if _READ_PATTERN.fullmatch(pattern) is None:
        return None
    return [name for name in names if _reaches(pattern, name)]


def _reaches(pattern: str, name: str) -> bool:
    """Does a batch edit of a pattern reach an element of a name? OpenDSS looks for it anywhere in the name.

    Of its regular expressions letters, "." and ".*" between "^" and "$" are read, in one way along the name: a
    stranger's file may hold one that takes forever. Others reach nothing here.
    """
    if _READ_PATTERN.fullmatch(pattern) is None:
        return False
    parts, at = pattern.removeprefix("^").removesuffix("$").split(".*"), 0
    for k, part in enumerate(parts):
        last = len(name) - len(part)
        places = range(at, last + 1)
        if k == 0 and pattern.startswith("^"):
            places = range(0, min(1, last + 1))
        if k == len(parts) - 1 and pattern.endswith("$"):
            places = range(max(last, 0), last + 1) if last >= at and last in places else range(0)
        found = next((i for i in places if all(a in (".", b) for a, b in zip(part, name[i:], strict=False))), None)
        if found is None:
            return False
        at = found + len(part)
    return True


def first_behind_clear(commands: Sequence[str]) -> int:
    """Place of the first command behind the last one that takes away whatever those before it have made."""
    cleared = [k for k, command in enumerate(commands) if is_clear(command)]
    return cleared[-1] + 1 if cleared else 0


def is_clear(command: str) -> bool:
    """Whether a command takes away whatever those before it have made."""
    return command.strip().lower() in _CLEARS


def hold_any(commands: Sequence[str], words: Sequence[str]) -> bool:
    """Whether any of some words (in lower case) stands anywhere in the commands: far sooner told than what they say."""
    return any(word in command for command in map(str.lower, commands) for word in words)


def described(commands: Sequence[str]) -> Iterator[tuple[str, list[Parameter]]]:
    """As `described_at`, without the places."""
    return ((name, given) for _, name, given in described_at(commands))


def described_at(commands: Sequence[str]) -> Iterator[Described]:
    """Elements (kind.name) that commands make or change, with the places of these and the named properties of each;
    and what makes matrices.

    Commands are those of a `CircuitScript`, whose verbs and properties are in full. Others are passed over, and so is
    what stands ahead of the last `Clear`.
    """
    return iter(_described(tuple(commands)))


@lru_cache(maxsize=2)
def _described(commands: tuple[str, ...]) -> tuple[Described, ...]:
    """All of `described_at`: of one circuit's commands it is asked for by whoever has something to say of them."""
    return tuple(_read(commands))


def _read(commands: Sequence[str]) -> Iterator[Described]:
    name, begin = "", first_behind_clear(commands)
    for k, command in enumerate(commands[begin:], start=begin):
        try:
            verb, *given = parameters(command)
        except (ScriptError, ValueError):
            continue
        word = verb.value.lower() if verb.name is None else ""
        if verb.name is not None:
            name, _, prop = verb.name.lower().rpartition(".")
            given = [Parameter(prop, verb.value), *given]
        elif word in ("new", "edit") and given:
            name, given = given[0].value.lower(), given[1:]
        elif word in _CHOOSES:
            name = given[0].value.lower() if word == "select" and given and "." in given[0].value else ""
        elif word == BATCH and given:
            name = ""
            yield k, f"{BATCH} {given[0].value.lower()}", [parameter for parameter in given[1:] if parameter.name]
        if word == MAKES_MATRICES:
            yield k, word, []
        elif name and word in ("", "new", "edit", "~"):
            yield k, name, [parameter for parameter in given if parameter.name]
