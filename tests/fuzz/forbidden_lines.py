"""Lines that start programs, load libraries or write files, in disguise: for the reader of circuit files alone.

Nothing of this reaches the engine: a case ends with what the reader makes of it. It may refuse the file, or leave the
line out; what it passes on must be none of it.
"""

from __future__ import annotations

import random
from pathlib import Path

from malformed_case import Case

from g2g_opt.circuit.script_file import allow_list
from g2g_opt.circuit.script_file.script import read_script

AREA = "guard"

_HEAD = "Clear\nNew Circuit.c bus1=head basekv=12.47\nNew Line.one bus1=head bus2=mid\nNew Generator.g bus1=mid kw=1\n"
_TAIL = "Set VoltageBases=[12.47]\nCalcVoltageBases\n"
_PASSED = (
    allow_list.PLAIN
    | allow_list.DESCRIBES
    | allow_list.MORE
    | allow_list.CHOOSES
    | allow_list.OPTIONS
    | allow_list.COORDINATES
    | {"redirect", "compile"}
)
# Of the commands, those that no file may give; of properties and options, those that name a library or a report.
FORBIDDEN_COMMANDS = sorted(
    set(allow_list.words().commands)
    - _PASSED
    - allow_list.FOLDERS
    - allow_list.LEFT_OUT
    - allow_list.STUDIED_WHOLE
    - allow_list.ESTIMATES
    - {"//"}
)
_PROPERTIES = sorted(allow_list.PROPERTIES_REFUSED)
_OPTIONS = ("datapath", "editor", "recorder", "demandinterval", "diverbose", "log", "querylog")
_BETWEEN = (
    "\r",
    "\n",
    "\r\n",
    "\x0b",
    "\x0c",
    "\x85",
    "\u2028",
    "\x1a",
    "\0",
    ";",
    "|",
    "\n\ufeff",
    "\n\t",
    "\n  ",
    "\n,",
    "\n!\n",
    "*/",
)


class PassedOnError(AssertionError):
    """The reader passed on what it should have refused or left out."""


def make(rng: random.Random, folder: Path) -> Case:
    """A circuit with one such line somewhere, which the reader is to refuse or to leave out."""
    word, line = _line(rng)
    way = rng.choice(["plain", "between", "include", "comment", "continued", "encoded", "block"])
    text = _HEAD + line + "\n" + _TAIL
    if way == "between":
        text = _HEAD.rstrip("\n") + rng.choice(_BETWEEN) + line + rng.choice(_BETWEEN) + "x\n" + _TAIL
    elif way == "include":
        name = rng.choice(["more.dss", "more", "more.txt", "sub/more.csv"])
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(line + "\n", encoding="utf-8")
        text = _HEAD + rng.choice(["Redirect ", "compile ", "REDI ", "Redirect file="]) + name + "\n" + _TAIL
    elif way == "comment":
        text = (
            _HEAD
            + rng.choice(["! x\r", "// x\r", "/* x */\n", "/* x\n*/\n", "/*\n/* */\n", "~ ! x\n"])
            + line
            + "\n"
            + _TAIL
        )
    elif way == "continued":
        text = (
            _HEAD
            + rng.choice(["~ ", "More ", "M ", "m,", "Edit Generator.g ", "g.", '"" ', "= "])
            + line
            + "\n"
            + _TAIL
        )
    elif way == "block":
        text = _HEAD + "/* open\n" + line + "\n"
    encoding = rng.choice(["utf-16", "utf-8-sig", "latin-1", "utf-16-le"]) if way == "encoded" else "utf-8"
    path = folder / "master.dss"
    path.write_bytes(text.encode(encoding, "replace"))
    return Case(AREA, f"{way}: {line[:60]!r}", lambda: _read(path, word), (), ())


def _line(rng: random.Random) -> tuple[str, str]:
    kind = rng.choice(["command", "command", "property", "option"])
    if kind == "command":
        word = rng.choice(FORBIDDEN_COMMANDS)
        spelled = word[: rng.randrange(max(1, len(word) - 2), len(word) + 1)]
    else:
        word = rng.choice(_PROPERTIES if kind == "property" else _OPTIONS)
        spelled = word[: rng.randrange(min(5, len(word)), len(word) + 1)]
    spelled = rng.choice([spelled, spelled.upper(), spelled.title()])
    if kind == "command":
        mark = rng.choice(
            ["{}", '"{}"', "'{}'", "({})", "[{}]", "{{{}}}", " {}", "\t{}", ",{}", "{},", "{}=", "command={}"]
        )
        return word, f"{mark.format(spelled)} {rng.choice(['x', 'a=b', '', '(x) [y]', '! z'])}"
    value = rng.choice(["x", '"x"', "(x)", "", "yes", "[a b]"])
    if kind == "option":
        return word, f"{rng.choice(['Set', 'Solve', 'set x', 'so'])} {spelled}{rng.choice(['=', ' = '])}{value}"
    place = rng.choice(
        ["Edit Generator.g ", "New Generator.h bus1=mid ", "~ ", "BatchEdit Generator..* ", "Generator.g.", ""]
    )
    return word, f"{place}{spelled}={value}"


def _read(path: Path, word: str) -> object:
    """What the reader makes of it; `PassedOnError` if it lets the word through as a command, option or property."""
    script = read_script(path)
    for command in script.commands:
        if any((ord(sign) < 32 and sign != "\t") or sign in "\x7f\x85\u2028\u2029" for sign in command):
            raise PassedOnError(f"a sign that may end a line: {command!r}")
        verb = command.split(maxsplit=1)[0].lower()
        if verb not in _PASSED:
            raise PassedOnError(f"the command {command!r}")
        if verb not in allow_list.DESCRIBES | allow_list.MORE | {"set"}:
            continue
        named = {part.partition("=")[0].lower() for part in command.split() if "=" in part}
        if any(name and (word.startswith(name) or name.startswith(word)) for name in named if len(name) > 4):
            raise PassedOnError(f"{word} in {command!r}")
    return script
