"""A command's first worker, begun before the command imports what it needs itself."""

from __future__ import annotations

import sys
from contextlib import suppress

import pytest

from studies import cli
from studies.running import worker_process
from studies.running.local_workers import LocalWorkers, _Process
from studies.running.worker_process import WorkerProcess, start_worker, worker_ahead


def test_the_first_start_takes_the_worker_that_is_ahead_and_the_next_begins_another() -> None:
    with worker_ahead("check"):
        (ahead,) = worker_process._ahead
        first, second = start_worker(), start_worker()
        try:
            assert first is ahead
            assert second.process.pid != ahead.process.pid
            assert first.connection.recv() == "ready"
        finally:
            first.end()
            second.end()


def test_a_worker_that_nobody_took_is_ended() -> None:
    with suppress(ZeroDivisionError), worker_ahead(""):
        (ahead,) = worker_process._ahead
        raise ZeroDivisionError
    assert ahead.process.poll() is not None
    assert not worker_process._ahead


def test_a_machine_without_room_says_so_where_a_worker_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(words: str, *descriptors: int) -> None:
        raise OSError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(worker_process, "start_python", refuse)
    with worker_ahead(""), pytest.raises(OSError, match="temporarily unavailable"):
        start_worker()


@pytest.mark.parametrize(
    ("words", "n_ahead"),
    [
        ("check --feeder ieee13 --bus 671 --mw 1", 1),
        ("run study.toml", 1),
        ("check --help", 0),
        ("check --feeder ieee13 --bus 671 --mw 1 --save f", 0),
        ("siting --feeder ieee13 --engine dask", 0),
        ("siting --feeder ieee13 --engine=dask", 0),
        ("feeder ieee13", 0),
        ("resume results", 0),
        ("", 0),
    ],
)
def test_only_what_begins_a_study_here_has_one(words: str, n_ahead: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["g2g", *words.split()])
    monkeypatch.setattr(cli, "_run", lambda arguments: len(worker_process._ahead))
    assert cli.main() == n_ahead
    assert not worker_process._ahead
    # Given in Python there is none: a test or a notebook would begin one a call.
    assert cli.main(words.split()) == 0


def test_the_rest_of_the_first_workers_follows_with_the_first_job(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    workers = LocalWorkers(4)
    begun: list[_Process] = []

    def start() -> bool:
        begun.append(_Process(WorkerProcess(None, None), 0.0))  # type: ignore[arg-type]
        workers._processes.append(begun[-1])
        return True

    monkeypatch.setattr(workers, "_start", start)
    workers.start()
    assert len(begun) == 1
    workers._start_ahead()
    assert len(begun) == 2
