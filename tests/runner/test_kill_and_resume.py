"""Killed with -9 at random moments, again and again, a study ends with the results of one that was left in peace."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from small_study import SmallStudy

from studies.catalogue import question_toml
from studies.ledger import Ledger
from studies.local_workers import LocalWorkers
from studies.runner import begin_study, read_results, run_study
from studies.study_folder import StudyFolder
from studies.task import gather

KILLS = 22
_HERE = Path(__file__).parent


def _g2g(*arguments: str) -> subprocess.Popen[bytes]:
    """`g2g` in a process group of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "studies.cli", arguments[0], "--trust-study", *arguments[1:]],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(_HERE), str(_HERE.parent.parent)])},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
        # Whoever runs the tests in the background of a shell has Ctrl-C ignored, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def _workers_of(process: int) -> list[int]:
    found = subprocess.run(["pgrep", "-P", str(process)], capture_output=True, text=True, check=False)
    return [int(word) for word in found.stdout.split()]


def _ends(runner: subprocess.Popen[bytes], within_s: float) -> bool:
    """True if the runner ended by itself before its time."""
    try:
        runner.wait(within_s)
    except subprocess.TimeoutExpired:
        return False
    return True


def _ends_before_its_moment(runner: subprocess.Popen[bytes], draw: random.Random, log: Path) -> bool:
    """Wait for a random moment: while it starts up, or a little after some more tasks have begun."""
    if draw.random() < 0.2:
        return _ends(runner, draw.uniform(0.1, 1.5))
    wanted = _begun(log) + draw.randint(1, 5)
    while _begun(log) < wanted:
        if _ends(runner, 0.02):
            return True
    return _ends(runner, draw.uniform(0.0, 0.3))


def _begun(log: Path) -> int:
    return log.read_bytes().count(b"\n") if log.is_file() else 0


def _rows(root: Path) -> list[tuple[int, float, tuple[float, ...]]]:
    rows = gather(read_results(root)[1], "sums")
    return [(row["number"], row["sum"], tuple(row["draws"])) for row in rows]


def test_a_study_killed_at_random_moments_ends_like_one_left_in_peace(tmp_path: Path) -> None:
    log = tmp_path / "log"
    study = SmallStudy(n=160, group=2, seconds=0.1, log=str(log))
    (tmp_path / "study.toml").write_text(question_toml(study))
    draw = random.Random(2026)
    kills: Counter[str] = Counter()
    arguments = ["run", str(tmp_path / "study.toml"), "--out", str(tmp_path / "killed"), "--workers", "2"]
    recorded: dict[str, int] = {}
    while sum(kills.values()) < KILLS:
        runner = _g2g(*arguments)
        if not _ends_before_its_moment(runner, draw, log):
            what = draw.choice(["runner", "runner", "runner", "everything", "worker"])
            workers = _workers_of(runner.pid)
            if what == "worker" and workers:
                os.kill(draw.choice(workers), signal.SIGKILL)
                _ends(runner, 0.5)
            os.killpg(runner.pid, signal.SIGKILL) if what == "everything" else runner.kill()
            kills[what] += 1
        runner.communicate()
        ledger = StudyFolder(tmp_path / "killed").ledger
        if ledger.is_file():
            arguments = ["resume", str(tmp_path / "killed"), "--workers", "2"]
            opened = Ledger(ledger)
            # What was recorded stays recorded, and is not begun again.
            now = {entry.id: entry.attempts for entry in opened.entries() if entry.state == "done"}
            opened.close()
            assert recorded.items() <= now.items()
            recorded = now
    last = _g2g("resume", str(tmp_path / "killed"))
    _, errors = last.communicate(timeout=120)
    assert last.returncode == 0, errors.decode()

    begin_study(tmp_path / "peace", SmallStudy(n=160, group=2))
    run_study(tmp_path / "peace", lambda: LocalWorkers(2))
    assert _rows(tmp_path / "killed") == _rows(tmp_path / "peace")
    answers = [json.loads((tmp_path / "killed" / "answer.json").read_text())["answer"]]
    question, results, _ = read_results(tmp_path / "peace")
    assert answers == [question.conclude(results).answer]
    assert len(kills) == 3, kills

    ledger_of_killed = Ledger(StudyFolder(tmp_path / "killed").ledger)
    for entry in ledger_of_killed.entries():
        outcomes = Counter(attempt["outcome"] for attempt in ledger_of_killed.attempts(entry.id))
        assert entry.state in ("done", "split")
        assert outcomes["done"] == (entry.state == "done")
    ledger_of_killed.close()
    assert not list((tmp_path / "killed" / "tasks").glob("*.tmp"))


def test_a_worker_does_not_outlive_its_runner(tmp_path: Path) -> None:
    study = SmallStudy(n=2, bad=((0, "hangs"), (1, "hangs")), log=str(tmp_path / "log"))
    (tmp_path / "study.toml").write_text(question_toml(study))
    runner = _g2g("run", str(tmp_path / "study.toml"), "--out", str(tmp_path / "s"), "--workers", "2")
    until = time.monotonic() + 30
    while not (tmp_path / "log").is_file() or len((tmp_path / "log").read_text().splitlines()) < 2:
        assert time.monotonic() < until
        time.sleep(0.1)
    workers = _workers_of(runner.pid)
    runner.kill()
    runner.communicate()
    until = time.monotonic() + 10
    while any(Path(f"/proc/{worker}").exists() and "Z" not in _state(worker) for worker in workers):
        assert time.monotonic() < until
        time.sleep(0.1)


def _state(process: int) -> str:
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return "Z"


def test_ctrl_c_stops_cleanly_and_says_how_to_go_on(tmp_path: Path) -> None:
    study = SmallStudy(n=20, seconds=0.5, log=str(tmp_path / "log"))
    (tmp_path / "study.toml").write_text(question_toml(study))
    runner = _g2g("run", str(tmp_path / "study.toml"), "--out", str(tmp_path / "s"), "--workers", "2")
    until = time.monotonic() + 30
    # A third task begins when one of two is done.
    while _begun(tmp_path / "log") < 3:
        assert time.monotonic() < until
        time.sleep(0.05)
    os.killpg(runner.pid, signal.SIGINT)
    runner.communicate(timeout=15)
    assert runner.returncode == 130
    ledger = Ledger(StudyFolder(tmp_path / "s").ledger)
    states = Counter(entry.state for entry in ledger.entries())
    ledger.close()
    assert states["done"] >= 1
    assert states["running"] == states["failed"] == 0
