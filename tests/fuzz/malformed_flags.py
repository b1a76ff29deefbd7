"""Malformed command lines: every command, its flags with absurd values, doubled, or without one."""

from __future__ import annotations

import argparse
import random
from functools import lru_cache
from pathlib import Path
from typing import Any

from front_door import g2g
from malformed_case import Case
from spoiling import LONG

from studies.catalogue import STUDIES
from studies.cli import parser_of

AREA = "flags"

_TEXTS = (
    "", " ", "x", "a" * 300, "a" * LONG, "ä€𝄞", "-", "--", "-1", "0", "1", "0.5", "1.5", "-0.0", "1e-300", "1e18",
    "1e300", "1e999", "nan",
    "inf", "-inf", "NaN", "0x10", "1_000", "٣", "9" * 5000, "-" + "9" * 5000, "1/0", "1/3", "0/1", "1e400", "1,2", ",",
    ",,", "1,", "1,x",
    "nan,1", "1;2", "671", "671+675", "671+671", "+", "++", "671/632", "/", "a=b", "=", "a=", "=b", "a=b:c", "a=b:c:1",
    "a=any:llama-3.1-70b:0",
    "a=any:llama-3.1-70b:800", "a=any:llama-3.1-70b:800@0", "a=any:llama-3.1-70b:" + "9" * 5000,
    "a=671:llama-3.1-70b:800@" + "9" * 5000,
    "671:0", "671:nan", "671:1e300", ":1", "671:", "none", "None", "choose", "True", "[]", "{}", "\x1b[31m", "a\nb",
    "[red]x[/red]", "[/]",
    "/", ".", "..", "/dev/null", "/dev/zero", "/nowhere/x", "nowhere.dss", "nowhere.csv", "nowhere.m", "a\0b",
    "a\0.dss", "a\0.csv",
    "~nobody/x.dss", "~", "ieee13", "IEEE13", "ieee14", "2018-01-01", "2018-13-01", "0000-01-01", "9999-12-31",
    "2018-1-1", "\udce9.dss", "\udce9",
    "3600", "31536000", "1e9", "1000000000000000000", "llama-3.1-8b", "H100", "H100\n", "%(default)s", "@/dev/zero",
    "pv-cost=1,2", "pv-cost=nan",
    "z1_sw=2", "z1_sw=99999999999999999999", "z1_sw=2,1e999", "z1_sw=2,...", "any", "dask", "tcp://nowhere:1",
    "127.0.0.1", "local", "keep", "redo",
)  # fmt: skip

# What cannot be begun, or only prints.
_OTHERS = (
    "models",
    "feeder",
    "run",
    "status",
    "report",
    "resume",
    "retry",
    "schema",
    "nonsense",
    "",
    "-h",
    "--version",
)
_FOLDERS = (
    "folder", "empty", "file.txt", "link", "loop", "nowhere", "a\0b", "x" * 300, "/dev/null", "/", "", ".", "pipe",
    "/proc/1", "ä\udce9",
)  # fmt: skip


def make(rng: random.Random, folder: Path) -> Case:
    """A command line that should be refused."""
    fill(folder)
    study = rng.random() < 0.75
    command = rng.choice(sorted(STUDIES)) if study else rng.choice(_OTHERS)
    words = [command]
    spoilt: list[str] = []
    if command in ("status", "report", "resume", "retry", "run", "feeder"):
        words.append(rng.choice(_FOLDERS if rng.random() < 0.7 else _TEXTS))
    elif command == "schema":
        words.append(rng.choice((*STUDIES, *_TEXTS)))
    options = _options(command)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        if not options:
            break
        option = rng.choice(options)
        flag = option.option_strings[-1]
        spoilt.append(flag)
        given = [flag] if rng.random() < 0.96 else [flag[: rng.randrange(3, len(flag) + 1)]]
        if option.nargs != 0:
            n = rng.choice((1, 1, 1, 1, 0, 2)) if option.nargs is None else rng.randrange(4)
            given += [text_for(rng, option) for _ in range(n)]
        if len(given) == 2 and rng.random() < 0.5:
            # argparse takes a value that begins with "-" only so.
            given = ["=".join(given)]
        words += given
    if study and "--save" not in words:
        words += ["--save", str(folder / "saved.toml")] if rng.random() < 0.8 else ["--out", _out(rng, folder)]
    shown = " ".join(word if len(word) < 40 else f"{word[:20]}... ({len(word)})" for word in words)
    return Case(AREA, repr(shown), lambda: g2g(*words), (), places(spoilt, words[1:]))


def text_for(rng: random.Random, option: argparse.Action) -> str:
    if option.choices is not None and rng.random() < 0.5:
        return str(rng.choice(list(option.choices)))
    return rng.choice(_TEXTS)


def _out(rng: random.Random, folder: Path) -> str:
    return rng.choice(
        [str(folder / ("x" * 300)), "x" * 300, "/dev/null", "/dev/null/x", "a\0b", "file.txt", "file.txt/x", "loop",
        "link", "pipe",
         "/proc/x", "\udce9", str(folder / "new")]
    )  # fmt: skip


def places(flags: list[str], values: list[str]) -> tuple[str, ...]:
    """Refusals of a line say which flag or field it is about, or repeat what was given."""
    import re

    found = [r"--?\w", r"\w+_\w+", "argument", "choose", "must", "found", "needs?", "no study"]
    for flag in flags:
        found.append("[ _-]".join(re.escape(part) for part in flag.strip("-").split("-")))
    return (*found, *(re.escape(value) for value in values if 0 < len(value) <= 300))


@lru_cache
def _options(command: str) -> list[argparse.Action]:
    parser = parser_of(command)
    chosen: Any = next(a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    of_command = chosen.choices.get(command)
    if of_command is None:
        return []
    # Consent is the user's to give, and help is no input.
    left_out = {"--help", "--trust-circuit", "--trust-study", "--save", "--out"}
    return [a for a in of_command._actions if a.option_strings and a.option_strings[-1] not in left_out]


def fill(folder: Path) -> None:
    import os

    (folder / "folder").mkdir()
    (folder / "folder" / "ledger.sqlite").mkdir()
    (folder / "empty").mkdir()
    (folder / "file.txt").write_text("words\n", encoding="utf-8")
    (folder / "link").symlink_to("nowhere")
    (folder / "loop").symlink_to("loop")
    os.mkfifo(folder / "pipe")
