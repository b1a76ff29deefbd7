"""Studies in whose folder names are taken, nothing can be written, or writers were killed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from stored_study import STUDY, as_folder, g2g_said

from studies.running.runner import begin_study
from studies.running.study_folder import StudyFolder

pytestmark = pytest.mark.xdist_group("stored studies")  # one worker, so that the study is run once


@pytest.fixture(autouse=True)
def _long_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is said is not broken into lines, in which words could not be found again."""
    monkeypatch.setenv("COLUMNS", "5000")


@pytest.mark.parametrize("name", ["report.html", "answer.json", "sums.csv", "map.geojson"])
def test_a_directory_where_a_result_goes_is_named(stored: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    as_folder(name)(stored)
    status, said = g2g_said(capsys, "report", stored)
    if name == "map.geojson":  # this study draws no map
        assert status == 0
        return
    assert status == 2
    assert f"{name} cannot be written: Is a directory" in said
    assert not list(stored.glob(".*.tmp"))


@pytest.mark.parametrize("name", ["lock", "running", "study.toml"])
def test_other_names_that_are_taken_are_named(stored: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    (stored / "ledger.sqlite").unlink()
    (stored / name).unlink() if (stored / name).is_file() else shutil.rmtree(stored / name)
    (stored / name).touch() if name == "running" else (stored / name).mkdir()
    question = stored.parent / "q.toml"
    question.write_text('study = "small_study:SmallStudy"\nn = 2\n')
    status, said = g2g_said(capsys, "run", question, "--out", str(stored))
    assert status == 2
    assert f"{name} cannot be written" in said


@pytest.mark.parametrize(
    ("out", "why"),
    [
        ("/dev/null", "it is no folder"),
        ("/dev/null/x", "Not a directory"),
        ("x" * 300, "File name too long"),
        ("/proc/nothing", "No such file"),
    ],
)
def test_a_report_is_not_written_where_nothing_can_be(
    stored: Path, out: str, why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status, said = g2g_said(capsys, "report", stored, "--out", out)
    assert status == 2
    assert f"cannot be written: {why}" in said
    question = stored.parent / "q.toml"
    question.write_text('study = "small_study:SmallStudy"\nn = 2\n')
    status, said = g2g_said(capsys, "run", question, "--out", out)
    assert status == 2
    assert "cannot be" in said


def test_a_report_for_which_there_is_no_room_leaves_none_that_is_half(
    stored: Path, small_disk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (small_disk / "more").write_bytes(b"0" * 150_000)
    status, said = g2g_said(capsys, "report", stored, "--out", str(small_disk / "out"))
    assert status == 2
    assert "no room left for" in said
    assert [path.name for path in (small_disk / "out").iterdir() if path.suffix in (".tmp", ".html")] == []


def test_what_killed_writers_left_is_removed(stored: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    left = [
        stored / f".report.html.{gone.pid}.tmp",
        stored / "ledger.new",
        stored / "ledger.new-journal",
        stored / "running" / "0123.json",
        stored / "tasks" / f"0123456789abcdef.{gone.pid}.tmp" / "sums.parquet",
    ]
    at_work = stored / f".report.html.{os.getppid()}.tmp"
    for path in (*left, at_work):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"half")
    assert g2g_said(capsys, "resume", stored)[0] == 0
    assert not [path for path in left if path.exists()]
    assert at_work.exists()


def _as_a_user(*arguments: str) -> tuple[int, str]:
    """`g2g` without the right of root to write what is read-only."""
    command = ["setpriv", "--bounding-set=-dac_override"] if os.geteuid() == 0 else []
    command += [sys.executable, "-m", "studies.cli", *arguments]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    return done.returncode, " ".join(f"{done.stdout} {done.stderr}".split())


def _killed_with_a_log(root: Path) -> None:
    """The folder of a run that was killed: its last changes lie in the write-ahead log."""
    code = (
        "import os, sys; sys.path[:] = {path!r}; from pathlib import Path; from studies.running.ledger import Ledger; "
        "ledger = Ledger(Path({ledger!r}), writable=True); "
        "[ledger.redo(entry.id, 'in the log', entry.code_version) for entry in ledger.entries()[:1]]; os._exit(9)"
    )
    subprocess.run(
        [sys.executable, "-c", code.format(path=sys.path, ledger=str(StudyFolder(root).ledger))], check=False
    )
    assert (root / "ledger.sqlite-wal").stat().st_size


@pytest.mark.parametrize(("how", "was_killed"), [("mode", True), ("mount", False)])
def test_a_study_that_is_read_only_is_looked_at_and_reported_on(
    stored: Path, tmp_path: Path, how: str, was_killed: bool
) -> None:
    if os.geteuid() == 0 and shutil.which("setpriv") is None:
        pytest.skip("nothing is read-only to root")
    if was_killed:
        _killed_with_a_log(stored)
    out = tmp_path / "out"
    if how == "mount":
        mounted = subprocess.run(["mount", "--bind", str(stored), str(stored)], capture_output=True, check=False)
        if mounted.returncode != 0:
            pytest.skip("mounting is not allowed here")
        subprocess.run(["mount", "-o", "remount,ro,bind", str(stored)], check=True)
    else:
        _set_modes(stored, 0o444, 0o555)
    try:
        status, said = _as_a_user("status", str(stored), "--trust-study")
        assert status == 0, said
        assert f"{2 if was_killed else 3} tasks done" in said
        status, said = _as_a_user("report", str(stored), "--trust-study", "--out", str(out / "r"))
        assert status == 0, said
        assert (out / "r" / "report.html").is_file()
        status, said = _as_a_user("report", str(stored), "--trust-study")
        assert status == 2
        assert "report.html cannot be written" in said
        status, said = _as_a_user("resume", str(stored), "--trust-study")
        assert status == 2
        assert "lock cannot be written" in said
    finally:
        if how == "mount":
            subprocess.run(["umount", str(stored)], check=True)
        _set_modes(stored, 0o644, 0o755)


def _set_modes(root: Path, of_files: int, of_folders: int) -> None:
    for path in (root, *root.rglob("*")):
        path.chmod(of_folders if path.is_dir() else of_files)


def test_nothing_is_concluded_from_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    question = tmp_path / "q.toml"
    question.write_text(f'study = "small_study:SmallStudy"\nn = 2\nlog = "{tmp_path}"\n')  # no log: every task raises
    status, said = g2g_said(capsys, "run", question, "--out", str(tmp_path / "s"), "--workers", "2")
    assert status == 1, said
    assert "there is no answer" in said
    assert "no total yet" not in said
    status, said = g2g_said(capsys, "report", tmp_path / "s")
    assert status == 2
    assert "(3 failed: raised: IsADirectoryError" in said
    assert not (tmp_path / "s" / "answer.json").exists()
    begin_study(tmp_path / "begun", STUDY)
    status, said = g2g_said(capsys, "report", tmp_path / "begun")
    assert status == 2
    assert "no task of the study" in said
    assert "`g2g resume` tries again" in said
    with StudyFolder(tmp_path / "begun").locked():
        status, said = g2g_said(capsys, "report", tmp_path / "begun")
    assert status == 2
    assert "there is no answer; a g2g is at work on it (`g2g status`)" in said
