"""Numbers on the command line: every flag refuses what its field does."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from fractions import Fraction
from functools import cache
from typing import Any

import pytest

from g2g_opt.errors import InputError
from g2g_opt.limits import Limits
from studies.catalogue import STUDIES
from studies.cli import main, parser_of


@cache
def parser_once(command: str | None) -> argparse.ArgumentParser:
    """What `main` makes anew at every call, which takes longer than all that refuses one number."""
    return parser_of(command)


@pytest.fixture
def one_parser(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("studies.cli.parser_of", parser_once)


def commands_of(command: str | None) -> dict[str, argparse.ArgumentParser]:
    return next(a for a in parser_once(command)._actions if isinstance(a, argparse._SubParsersAction)).choices


def options_of(command: str) -> Sequence[argparse.Action]:
    return commands_of(command)[command]._actions


COMMANDS = sorted(commands_of(None))
# Flags that take numbers within a text; they are refused when the question is made.
TEXTS = {
    "--site": "a=671:llama-3.1-70b:{}",
    "--pv": "675:{}",
    "--pv-zone": "north={}",
    "--sweep": "pv-cost={}",
}

# What only Python reads among them: digits that are grouped, and those of another script.
NO_NUMBERS = (
    "nan",
    "inf",
    "-inf",
    "1e300",
    "-1e300",
    str(10**30),
    "9" * 5000,
    "1e999999999",
    "many",
    "",
    "0_5",
    "\u0665",
)


def numeric_flags() -> list[tuple[str, str]]:
    return [
        (command, action.option_strings[0])
        for command in COMMANDS
        for action in options_of(command)
        if action.option_strings and (getattr(action.type, "__name__", "Path") != "Path")
    ]


@pytest.mark.parametrize("command", COMMANDS)
def test_no_flag_takes_a_bare_number(command: str) -> None:
    assert [action.dest for action in options_of(command) if action.type in (int, float, Fraction)] == []


@pytest.mark.usefixtures("one_parser")
@pytest.mark.parametrize(("command", "flag"), numeric_flags())
def test_a_flag_refuses_a_number_that_cannot_be(
    command: str, flag: str, capsys: pytest.CaptureFixture[str], tmp_path: Any
) -> None:
    place = [] if command in (*STUDIES, "models") else [str(tmp_path / "x")]
    for bad in NO_NUMBERS:
        # None is no limit; so is an infinite one.
        if flag == "--pv-total-kw" and bad == "inf":
            continue
        with pytest.raises(SystemExit) as ended:
            main([command, *place, f"{flag}={bad}"])
        told = capsys.readouterr().err
        assert ended.value.code == 2
        assert f"argument {flag}" in told
        assert "Traceback" not in told
        assert len(told.split("error:")[1]) < 400


@pytest.mark.usefixtures("one_parser")
@pytest.mark.parametrize(
    ("command", "flag"),
    [(command, flag) for command in sorted(STUDIES) for flag in TEXTS if flag in {
        option for action in options_of(command) for option in action.option_strings}],
)  # fmt: skip
def test_a_number_within_a_text_is_refused(command: str, flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    feeder = [] if command == "coordination" else ["--feeder", "ieee13"]
    for bad in ("nan", "inf", "-5", "1e300", str(10**30), "9" * 5000, "1.2.3", "0_5", "\u0665"):
        try:
            status = main([command, *feeder, f"{flag}={TEXTS[flag].format(bad)}", "--save", "unused.toml"])
        except SystemExit as ended:
            status = int(ended.code or 0)
        assert status == 2, (flag, bad)
        assert "Traceback" not in capsys.readouterr().err


def test_a_share_a_little_above_all_is_not_taken_for_percent() -> None:
    with pytest.raises(InputError, match=r"got 1\.5; it is a share, 1 is all$"):
        Limits(throughput_share_min=1.5)


def test_a_share_in_percent_on_a_flag_is_told_how_it_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["hosting-capacity", "--throughput-min", "80"])
    assert "argument --throughput-min: must lie in [0, 1], got 80.0; it is a share: 80.0 % is written 0.8" in (
        capsys.readouterr().err.replace("80 %", "80.0 %")
    )
