"""Killed with -9 at random moments, again and again, a study ends with the results of one that was left in peace.

`tests/nightly/kills.py` does the same two hundred times.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from killing import ends_within, g2g, kill, lives, rows_of, workers_of, write_question
from small_study import SmallStudy

from studies.running.ledger import Ledger
from studies.running.local_workers import LocalWorkers, WorkersError
from studies.running.runner import Event, Finished, begin_study, read_results, run_study
from studies.running.study_folder import StudyFolder

KILLED_RUNNERS = 4
KILLED_AT_START_S = (0.0, 0.05, 0.2, 0.0, 0.1, 0.3)
KILLED_AT_WORK = 4


def _ends_before_its_moment(runner: subprocess.Popen[str], draw: random.Random, log: Path) -> bool:
    """Wait for a random moment: while it starts up, or a little after some more tasks have begun."""
    if draw.random() < 0.2:
        return ends_within(runner, draw.uniform(0.1, 1.5))
    wanted = _begun(log) + draw.randint(1, 5)
    while _begun(log) < wanted:
        if ends_within(runner, 0.02):
            return True
    return ends_within(runner, draw.uniform(0.0, 0.3))


def _begun(log: Path) -> int:
    return log.read_bytes().count(b"\n") if log.is_file() else 0


def test_a_study_whose_runner_is_killed_ends_like_one_left_in_peace(tmp_path: Path) -> None:
    log = tmp_path / "log"
    study = SmallStudy(n=48, group=2, seconds=0.05, log=str(log))
    question = write_question(tmp_path / "study.toml", study)
    draw = random.Random(2026)
    kills: Counter[str] = Counter()
    arguments = ["run", str(question), "--out", str(tmp_path / "killed"), "--workers", "2"]
    recorded: dict[str, int] = {}
    while sum(kills.values()) < KILLED_RUNNERS:
        runner = g2g(*arguments)
        if not _ends_before_its_moment(runner, draw, log):
            what = ("runner", "everything")[sum(kills.values()) % 2]
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
    last = g2g(*arguments)
    _, errors = last.communicate(timeout=120)
    assert last.returncode == 0, errors

    run_study(tmp_path / "peace", lambda: LocalWorkers(2), question=replace(study, seconds=0.0, log=""))
    assert rows_of(tmp_path / "killed") == rows_of(tmp_path / "peace")
    answers = [json.loads((tmp_path / "killed" / "answer.json").read_text())["answer"]]
    question_of_peace, results, _ = read_results(tmp_path / "peace")
    assert answers == [question_of_peace.conclude(results).answer]

    ledger_of_killed = Ledger(StudyFolder(tmp_path / "killed").ledger)
    for entry in ledger_of_killed.entries():
        outcomes = Counter(attempt["outcome"] for attempt in ledger_of_killed.attempts(entry.id))
        assert entry.state in ("done", "split")
        assert outcomes["done"] == (entry.state == "done")
    ledger_of_killed.close()
    assert not list((tmp_path / "killed" / "tasks").glob("*.tmp"))


@pytest.fixture
def killer() -> Iterator[Callable[[Callable[[], None]], threading.Thread]]:
    """Does something beside the test, and fails it if that fails."""
    threads: list[threading.Thread] = []
    failures: list[BaseException] = []

    def beside(work: Callable[[], None]) -> threading.Thread:
        def run() -> None:
            try:
                work()
            except BaseException as error:  # noqa: BLE001 (raised again at the end of the test)
                failures.append(error)

        threads.append(threading.Thread(target=run))
        threads[-1].start()
        return threads[-1]

    yield beside
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def _next_worker(known: set[int]) -> int:
    until_s = time.monotonic() + 30.0
    while not (new := workers_of(os.getpid()) - known):
        assert time.monotonic() < until_s, "a worker that was killed has no successor"
        time.sleep(0.005)
    known |= new
    return min(new)


def _attempts(root: Path) -> dict[str, list[str]]:
    ledger = Ledger(StudyFolder(root).ledger)
    found = {e.task.label: [a["outcome"] for a in ledger.attempts(e.id)] for e in ledger.entries()}
    ledger.close()
    return found


def test_workers_killed_at_their_start_cost_no_task_an_attempt(
    tmp_path: Path, killer: Callable[[Callable[[], None]], threading.Thread]
) -> None:
    study = SmallStudy(n=8, group=1, seconds=0.3)
    known: set[int] = set()

    def kill_at_start() -> None:
        for delay_s in KILLED_AT_START_S:
            worker = _next_worker(known)
            time.sleep(delay_s)
            assert kill(worker)

    def run(root: Path) -> Finished:
        return run_study(root, lambda: LocalWorkers(1), question=study)

    killer(kill_at_start)
    finished = run(tmp_path / "killed")
    assert not finished.failed
    run(tmp_path / "peace")
    assert rows_of(tmp_path / "killed") == rows_of(tmp_path / "peace")
    attempts = _attempts(tmp_path / "killed")
    # A kill in the first 0.05 s comes before any worker can be ready: no task was at stake.
    charged = sum(outcomes.count("failed") for outcomes in attempts.values())
    assert charged <= sum(delay_s > 0.05 for delay_s in KILLED_AT_START_S)


def test_workers_killed_at_work_cost_their_own_tasks_an_attempt_and_no_other(
    tmp_path: Path, killer: Callable[[Callable[[], None]], threading.Thread]
) -> None:
    log = tmp_path / "log"
    study = SmallStudy(n=48, group=2, seconds=0.1, log=str(log))
    draw = random.Random(7)

    def kill_at_work() -> None:
        for _ in range(KILLED_AT_WORK):
            wanted = _begun(log) + 4
            while _begun(log) < wanted:
                time.sleep(0.01)
            time.sleep(draw.uniform(0.0, 0.2))
            assert kill(draw.choice(sorted(workers_of(os.getpid()))))

    killer(kill_at_work)
    finished = run_study(tmp_path / "killed", lambda: LocalWorkers(2), question=study)
    assert not finished.failed
    outcomes = Counter(outcome for found in _attempts(tmp_path / "killed").values() for outcome in found)
    assert outcomes["failed"] + outcomes["split"] <= KILLED_AT_WORK
    assert outcomes["done"] == sum(entry.state == "done" for entry in finished.entries)
    run_study(tmp_path / "peace", lambda: LocalWorkers(2), question=replace(study, seconds=0.0, log=""))
    assert rows_of(tmp_path / "killed") == rows_of(tmp_path / "peace")


def test_workers_killed_between_stages_are_replaced(tmp_path: Path) -> None:
    killed = []

    def kill_all(event: Event) -> None:
        if event.stage == "sums" and event.n_done == event.n_tasks and not killed:
            killed.extend(worker for worker in workers_of(os.getpid()) if kill(worker))

    study = SmallStudy(n=2)
    finished = run_study(tmp_path / "s", lambda: LocalWorkers(2), question=study, tell=kill_all)
    assert len(killed) == 2
    assert [(entry.state, entry.attempts) for entry in finished.entries] == [("done", 1)] * 3


def test_workers_that_cannot_start_end_the_run_with_their_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killer: Callable[[Callable[[], None]], threading.Thread]
) -> None:
    begin_study(tmp_path / "s", SmallStudy(n=3))
    with monkeypatch.context() as limited:
        (tmp_path / "threadpoolctl.py").write_text("raise MemoryError('as if there were no memory')")
        limited.syspath_prepend(str(tmp_path))
        with pytest.raises(WorkersError, match=r"MemoryError: as if there were no memory \(\d+ times in a row\)"):
            run_study(tmp_path / "s", lambda: LocalWorkers(2))
    stop = threading.Event()

    def kill_all() -> None:
        while not stop.wait(0.005):
            for worker in workers_of(os.getpid()):
                kill(worker)

    killer(kill_all)
    try:
        with pytest.raises(WorkersError, match=r"ended by SIGKILL \(\d+ times in a row\)"):
            run_study(tmp_path / "s", lambda: LocalWorkers(2))
    finally:
        stop.set()
    finished = run_study(tmp_path / "s", lambda: LocalWorkers(2))
    assert [entry.state for entry in finished.entries] == ["done"] * 4


def test_a_worker_does_not_outlive_its_runner(tmp_path: Path) -> None:
    study = SmallStudy(n=2, bad=((0, "hangs"), (1, "hangs")), log=str(tmp_path / "log"))
    question = write_question(tmp_path / "study.toml", study)
    runner = g2g("run", str(question), "--out", str(tmp_path / "s"), "--workers", "2")
    until = time.monotonic() + 30
    while _begun(tmp_path / "log") < 2:
        assert time.monotonic() < until
        time.sleep(0.1)
    workers = workers_of(runner.pid)
    assert len(workers) == 2
    runner.kill()
    runner.communicate()
    until = time.monotonic() + 10
    while any(lives(worker) for worker in workers):
        assert time.monotonic() < until
        time.sleep(0.1)


def test_what_a_task_started_is_stopped_with_it(tmp_path: Path) -> None:
    study = SmallStudy(n=1, bad=((0, "starts a process"),), log=str(tmp_path / "log"))
    (failed,) = run_study(tmp_path / "s", lambda: LocalWorkers(1, 3.0), question=study).failed
    assert failed.reason == "timed out: not done within 3 s"
    started = int((tmp_path / "log").read_text().splitlines()[1])
    until = time.monotonic() + 10
    while lives(started):
        assert time.monotonic() < until
        time.sleep(0.05)


def test_ctrl_c_stops_cleanly_and_says_how_to_go_on(tmp_path: Path) -> None:
    study = SmallStudy(n=20, seconds=0.5, log=str(tmp_path / "log"))
    question = write_question(tmp_path / "study.toml", study)
    runner = g2g("run", str(question), "--out", str(tmp_path / "s"), "--workers", "2")
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
