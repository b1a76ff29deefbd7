"""Every command ends with a status and one line that says why: never a traceback unless it is asked for."""

from __future__ import annotations

import argparse
import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from g2g_opt.consent import Consent, give_consent
from g2g_opt.errors import InputError
from studies import cli


def ended(
    error: BaseException, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> tuple[int, str, str]:
    """Status, output and errors of a command that raises this."""

    def fail(options: argparse.Namespace, console: Console) -> int:
        raise error

    monkeypatch.setattr(cli, "_run_models", fail)
    status = cli.main(["models"])
    give_consent(Consent())
    heard = capsys.readouterr()
    return status, heard.out, heard.err


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (InputError("bus 'x' not found"), 2, "error: bus 'x' not found"),
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "a.csv"), 2, "a.csv: no such file or directory"),
        (FileExistsError(errno.EEXIST, "File exists", "out"), 2, "out: file exists"),
        (OSError(errno.ENAMETOOLONG, "File name too long", "x" * 300), 2, "x: file name too long"),
        (OSError(errno.ENOSPC, "No space left on device"), 1, "a file or the output: no space left on device"),
        (BrokenPipeError(errno.EPIPE, "Broken pipe"), 1, "the program that was to read the output has ended"),
        (MemoryError("Unable to allocate 7.9 PiB"), 1, "out of memory: Unable to allocate 7.9 PiB"),
        (MemoryError(), 1, "out of memory: this computer has too little"),
        (RecursionError("maximum recursion depth exceeded"), 2, "nested too deeply"),
        (KeyError("voltage"), 70, "this is a fault of g2g_opt, please report: KeyError: 'voltage' at test_command"),
        (TypeError("no len"), 70, "please report: TypeError: no len at test_command_boundary.py:"),
        (ZeroDivisionError("division by zero"), 70, "G2G_DEBUG=1 shows the traceback"),
    ],
)
def test_every_kind_of_end_has_its_status_and_words(
    error: Exception, status: int, words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("G2G_DEBUG", raising=False)
    found, out, err = ended(error, monkeypatch, capsys)
    assert (found, out) == (status, "")
    assert words in err
    assert "Traceback" not in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("error", [InputError("bus"), KeyError("voltage"), OSError("disk")])
def test_the_traceback_is_shown_on_request(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("G2G_DEBUG", "1")
    _, _, err = ended(error, monkeypatch, capsys)
    assert "Traceback" in err
    assert "in fail" in err
    assert err.rstrip().splitlines()[-1].startswith("error: ")


def test_ctrl_c_is_no_error(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    status, _, err = ended(KeyboardInterrupt(), monkeypatch, capsys)
    assert (status, err) == (130, "interrupted\n")


def test_what_a_file_holds_cannot_steer_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _, _, err = ended(InputError("bus \x1b[2J\x07\ud800 [red]a[/red] not found"), monkeypatch, capsys)
    assert err == "error: bus \\x1b[2J\\x07\\ud800 [red]a[/red] not found\n"


def test_no_argument_may_hold_a_nul(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["run", "study.toml", "--out", "a\0b"])
    assert ended.value.code == 2
    assert "NUL character" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--out", ""], ["--out="], ["--bus", "671", "--out", ""]])
def test_no_folder_may_be_an_empty_text(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """An --out of a variable that is not set was the folder one stands in, which a study then filled."""
    with pytest.raises(SystemExit) as ended:
        cli.main(["hosting-capacity", *words])
    assert ended.value.code == 2
    assert "--out is given an empty text" in capsys.readouterr().err


def g2g(*arguments: str, stdout: int = subprocess.PIPE, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    root = str(Path(cli.__file__).parent.parent)
    return subprocess.run(
        [sys.executable, "-m", "studies.cli", *arguments],
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": root, "G2G_DEBUG": "0"},
        timeout=120,
    )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
def test_an_output_that_takes_nothing_is_told() -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    try:
        found = g2g("schema", "siting", stdout=full)
    finally:
        os.close(full)
    assert (found.returncode, found.stderr) == (1, "error: a file or the output: no space left on device\n")


def test_a_reader_of_the_output_that_went_away_is_told() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        found = g2g("schema", "siting", stdout=writing)
    finally:
        os.close(writing)
    assert (found.returncode, found.stderr) == (1, "error: the program that was to read the output has ended\n")


QUESTION = 'study = "hosting-capacity"\nbuses = ["671"]\n'


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("run", "study.toml", "--out", "x" * 300), "File name too long"),
        (("run", "study.toml", "--out", "study.toml"), "study.toml"),
        (("run", "study.toml", "--out", "study.toml/below"), "study.toml"),
        (("run", "nowhere.toml"), "study file nowhere.toml not found"),
        (("run", "."), "study file . is a folder"),
        (("hosting-capacity", "--bus", "671", "--save", "nowhere/study.toml"), "nowhere/study.toml"),
        (("hosting-capacity", "--bus", "671", "--save", "."), "--save: . is a folder"),
        (("hosting-capacity", "--bus", "671", "--save", "pipe"), "--save: pipe is a pipe"),
        (("run", "pipe"), "study file pipe is a pipe"),
        (("run", "study.toml", "--out", "pipe"), "pipe"),
        (("hosting-capacity", "--bus", "671", "--trace-dir", "nowhere"), "nowhere is no folder that is there"),
        (("load-profile", "--bus", "671", "--profile", "study.toml"), "profile 'study.toml' not found"),
        (("load-profile", "--bus", "671", "--profile", "nowhere.csv"), "nowhere.csv not found"),
        (("coordination", "--network", "case.xlsx"), "give a MATPOWER-style case as a text file"),
        (("coordination", "--network", "nowhere.m"), "nowhere.m not found"),
        (("status", "nowhere"), "nowhere"),
        (("report", "study.toml"), "study.toml"),
    ],
)
def test_files_and_folders_that_cannot_be_used_are_named(
    arguments: tuple[str, ...],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("G2G_DEBUG", raising=False)
    Path("study.toml").write_text(QUESTION)
    Path("case.xlsx").write_bytes(b"PK\x03\x04zz")
    os.mkfifo("pipe")
    status = cli.main(list(arguments))
    err = capsys.readouterr().err
    assert status == 2, err
    assert words in err
    assert err.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["case.xlsx", "pipe", "study.toml"]


def test_a_command_is_interrupted_in_a_word_also_while_it_is_read_in(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(wanted: str | None) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("studies.cli.parser_of", interrupted)
    assert cli.main(["hosting-capacity"]) == 130
    assert capsys.readouterr().err == "interrupted\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["hosting-capacity", "--volatge-min", "0.9"], "did you mean --voltage-min-pu"),
        (["hosting-capacty"], "did you mean hosting-capacity?"),
        (["Check", "--bus", "671"], "did you mean check?"),
        (["siting", "--mode", "jiont"], "did you mean joint?"),
        (["live", "campaign", "--nods", "5"], "(g2g live campaign --help says what there is)"),
        (["feeder", "ieee13", "more"], "unrecognized arguments: more (g2g feeder --help"),
    ],
)
def test_the_command_that_does_not_know_a_flag_says_so_with_the_nearest(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    assert ended.value.code == 2
    assert words in capsys.readouterr().err
