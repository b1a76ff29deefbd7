"""Malformed transmission networks: case files (.m) and what only bears such a name."""

from __future__ import annotations

import random
import re
import zipfile
from functools import lru_cache
from pathlib import Path

from front_door import g2g
from malformed_case import Case
from spoiling import LONG, spoil_place, spoil_text

from g2g_opt.data_files import data_path
from studies.catalogue import make_question

AREA = "networks"

_FIGURES = (
    "", "x", "NaN", "Inf", "-Inf", "nan", "1e308", "1e400", "-1e308", "-1", "0", "1e-320", "1e18",
    "99999999999999999999", "9" * 5000, "1.5", "1/0", "0x10",
    "'a'", '"a"', "[1 2]", "1;2", "1,2", "...", "%", "1 %", "i", "1+2i", "eval(1)", "{}", "\t", "4", "3", "2", "-4",
    "1e30", "1 2 3", "\0", "ä", "=",
)  # fmt: skip
_SMALL = """function mpc = small
mpc.version = '2';
mpc.baseMVA = 100;
mpc.bus = [
1 3 50 10 0 0 1 1 0 135 1 1.05 0.95;
2 1 60 20 0 0 1 1 0 135 1 1.05 0.95;
3 2 70 20 0 0 1 1 0 135 1 1.05 0.95;
];
mpc.gen = [
1 80 0 99 -99 1 100 1 250 10 0 0 0 0 0 0 0 0 0 0 0;
3 80 0 99 -99 1 100 1 250 10 0 0 0 0 0 0 0 0 0 0 0;
];
mpc.branch = [
1 2 0.01 0.1 0.02 250 250 250 0 0 1 -360 360;
2 3 0.01 0.1 0.02 250 250 250 0 0 1 -360 360;
1 3 0.01 0.1 0.02 250 250 250 0 0 1 -360 360;
];
mpc.gencost = [
2 0 0 3 0.01 20 0;
2 0 0 3 0.02 30 0;
];
"""


@lru_cache
def _texts() -> tuple[str, str]:
    return _SMALL, data_path("ieee24", "ieee24.m").read_text(encoding="utf-8")


def make(rng: random.Random, folder: Path) -> Case:
    """A network that should be refused, in the check of a study on it or on the command line."""
    path = folder / f"grid{rng.choice(['.m'] * 12 + ['.M', '.xlsx', '.xls', '.mat', '.json', '.zip', '', '.txt'])}"
    way = rng.choices([_figure, _table, _text, _workbook], weights=[45, 25, 22, 12])[0]
    words = way(rng, rng.choice(_texts()), path)
    if rng.random() < 0.06:
        words = f"the file is {spoil_place(rng, path)}"
    content = {"network": str(path), "datacenter_buses": [1, 2], "q": [5]}
    line = ("coordination", "--network", str(path), "--datacenters", "1,2", "--q", "5", "--out", str(folder / "out"))
    by_line = rng.random() < 0.5

    def act() -> object:
        return g2g(*line) if by_line else make_question("coordination", content).check()

    # Of a link the file may be named that it leads to.
    names = () if " is a link" in words else (path.stem,)
    return Case(AREA, f"{path.name}: {words}", act, names)


def _figure(rng: random.Random, text: str, path: Path) -> str:
    found = list(re.finditer(r"(?<![\w.'])-?\d[\w.+-]*", text))
    spoilt = rng.choice(found)
    figure = rng.choice(_FIGURES)
    path.write_text(text[: spoilt.start()] + figure + text[spoilt.end() :], encoding="utf-8")
    line = text.count("\n", 0, spoilt.start()) + 1
    return f"line {line}: {figure[:20]!r} instead of {spoilt[0]!r}"


def _table(rng: random.Random, text: str, path: Path) -> str:
    name = rng.choice(["bus", "gen", "branch", "gencost", "baseMVA", "version"])
    table = re.search(rf"mpc\.{name}\s*=\s*(\[.*?\]|[^;]*);", text, re.DOTALL)
    if table is None:
        raise ValueError(f"the case has no {name}")
    row = table[1].strip("[]\n").partition("\n")[0]
    words, value = rng.choice(
        [
            ("left out", None),
            ("empty", "[]"),
            ("one number", "1"),
            ("text", "'x'"),
            ("one row", f"[{row}]"),
            ("one cell a row", "[1;2;3]"),
            ("rows of unlike length", f"[{row}\n1 2 3;\n]"),
            ("never closed", "[\n" + row),
            ("a bracket too many", f"[[{row}]]]"),
            ("twice", f"{table[1]};\nmpc.{name} = [1 2 3]"),
            ("NaN alone", "[NaN]"),
            ("100,000 numbers in a row", "[" + "1 " * 100_000 + "]"),
            ("a row 500 times", "[" + f"{row}\n" * 500 + "]"),
            ("1e300 everywhere", "[" + (" ".join(["1e300"] * len(row.split())) + ";\n") * 3 + "]"),
            ("0 everywhere", "[" + (" ".join(["0"] * len(row.split())) + ";\n") * 3 + "]"),
            ("NaN everywhere", "[" + (" ".join(["NaN"] * len(row.split())) + ";\n") * 3 + "]"),
            ("a cell array", "{'a'; 'b'}"),
            ("a call", "ones(3, 13)"),
            ("negative", "-1"),
            ("200,000 digits", "9" * LONG),
            ("a comment", f"% {row}"),
        ]
    )
    spoilt = "" if value is None else f"mpc.{name} = {value};"
    path.write_text(text[: table.start()] + spoilt + text[table.end() :], encoding="utf-8")
    return f"{name} {words}"


def _text(rng: random.Random, text: str, path: Path) -> str:
    words, data = spoil_text(rng, text)
    path.write_bytes(data)
    return words


def _workbook(rng: random.Random, text: str, path: Path) -> str:
    words = rng.choice(
        ["no zip file", "an empty zip file", "a zip file of nonsense", "a zip file without workbook", "a cut zip file"]
    )
    if words == "no zip file":
        path.write_bytes(b"PK\x03\x04zz")
        return words
    with zipfile.ZipFile(path, "w") as archive:
        if words == "a zip file of nonsense":
            archive.writestr("[Content_Types].xml", "<<<")
            archive.writestr("xl/workbook.xml", "\0\0")
        elif words != "an empty zip file":
            archive.writestr("grid.m", text)
    if words == "a cut zip file":
        path.write_bytes(path.read_bytes()[:100])
    return words
