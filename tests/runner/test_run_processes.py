"""Runs of a task that are shared between processes are those of one process, also when a process ends."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Sequence
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest

from g2g_opt.data_files import TRACE_DIR
from g2g_opt.feeder import Feeder
from g2g_opt.limits import Limits
from g2g_opt.outcome import Engine, Outcome
from g2g_opt.plan import Plan
from g2g_opt.scenario import Scenario
from g2g_opt.simulation import simulate_runs
from studies.connection_queue.study import ConnectionQueueStudy
from studies.running.local_workers import LocalWorkers
from studies.running.told_once import ToldOnce
from studies.running.worker import belong_to
from studies.shared import run_processes
from studies.shared.run_processes import _RUN_S, _STEP_S, RunProcesses, expected_s, shares, sharing

FEEDER = Feeder.load("ieee13")
STUDY = ConnectionQueueStudy(feeder="ieee13")


def runs() -> list[tuple[Plan, Scenario]]:
    plans = [Plan((STUDY.site("site", "671", STUDY.load_models(), n),), tap_mode="own control") for n in (5, 20, 40)]
    return [(plan, Scenario(duration_s=20, seed=seed, replica_ramps=())) for plan in plans for seed in (0, 1)]


def figures(outcomes: list[Outcome]) -> list[tuple[float, ...]]:
    return [
        (one.summary.lowest, one.summary.highest, float(np.max(one.summary.loading_pu)), one.kept) for one in outcomes
    ]


def test_what_is_shared_comes_back_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_processes, "_START_S", 0.0)
    with sharing(2, partial(belong_to, os.getpid())):
        beside = run_processes.run_processes()
        assert beside is not None
        engines: tuple[Engine, ...] = ("batch", "opendss")
        for engine in engines:
            alone = simulate_runs(runs(), FEEDER, Limits(), engine=engine)
            assert figures(beside.simulate(runs(), FEEDER, Limits(), engine, TRACE_DIR)) == figures(alone)
    assert run_processes.run_processes() is None


def _end() -> None:
    os._exit(3)


def test_a_process_that_ends_costs_time_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(run_processes, "_START_S", 0.0)
    processes = RunProcesses(2, _end)
    with caplog.at_level(logging.WARNING):
        found = processes.simulate(runs(), FEEDER, Limits(), "batch", TRACE_DIR)
    assert "has ended" in caplog.text
    assert figures(found) == figures(simulate_runs(runs(), FEEDER, Limits()))
    processes.close()


def test_a_process_started_ahead_takes_its_part_or_ends_without_harm(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    # A start of its own would not be worth it for these runs.
    monkeypatch.setattr(run_processes, "_SHARE_S", 0.0)
    alone = figures(simulate_runs(runs(), FEEDER, Limits()))
    ahead = RunProcesses(2, partial(belong_to, os.getpid()))
    ahead.start()
    first = ahead._first
    assert first is not None
    first.result()
    took: list[int] = []
    submit = ahead._submit
    monkeypatch.setattr(ahead, "_submit", lambda do, part: (took.append(len(part)), submit(do, part))[1])
    assert figures(ahead.simulate(runs(), FEEDER, Limits(), "batch", TRACE_DIR)) == alone
    assert sum(took) == len(runs()) // 2
    ahead.close()
    ended = RunProcesses(2, _end)
    ended.start()
    pool = ended._pool
    assert pool is not None
    with pytest.raises(BrokenProcessPool):
        pool.submit(int).result()
    with caplog.at_level(logging.WARNING):
        assert figures(ended.simulate(runs(), FEEDER, Limits(), "batch", TRACE_DIR)) == alone
    assert "has ended" in caplog.text
    ended.close()


def test_others_start_once_they_would_have_saved_what_a_start_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = [(runs()[0][0], Scenario(duration_s=3600))] * 20
    work = [_RUN_S + 3600 * _STEP_S["batch"]] * 20
    saved_s = expected_s(work, "batch") - expected_s(work[:10], "batch")
    # Beside would go a second flow of lanes, and half of what twenty runs take besides their steps.
    assert saved_s == pytest.approx(3600 * _STEP_S["batch"] + 10 * _RUN_S)
    # Sixteen lanes in two halves take as long as all of them; runs on OpenDSS half as long.
    assert expected_s(work[:16], "batch") - expected_s(work[:8], "batch") == pytest.approx(8 * _RUN_S)
    assert expected_s(work[:10], "opendss") == pytest.approx(sum(work) / 2)
    clock_s, pace, started = [0.0], [1.0], list[int]()

    def simulate(runs: Sequence[object], **asked: object) -> list[Outcome]:
        clock_s[0] += pace[0] * expected_s(work, "batch")
        return []

    monkeypatch.setattr(run_processes, "simulate_runs", simulate)
    monkeypatch.setattr(run_processes, "time", SimpleNamespace(perf_counter=lambda: clock_s[0]))
    for pace[0], calls in ((1.0, math.ceil(2.0 / saved_s)), (0.5, math.ceil(1 + (2.0 - saved_s) / (0.5 * saved_s)))):
        processes = RunProcesses(2, _end)
        started.clear()
        monkeypatch.setattr(processes, "start", lambda: started.append(1))
        for _ in range(calls - 1):
            processes.simulate(asked, FEEDER, Limits(), "batch", TRACE_DIR)
        assert not started
        processes.simulate(asked, FEEDER, Limits(), "batch", TRACE_DIR)
        assert started


def test_work_is_dealt_out_evenly_and_every_piece_once() -> None:
    work = [3600.0] * 4 + [10.0] * 10
    parts = shares(work, 2)
    assert sorted(k for part in parts for k in part) == list(range(14))
    assert [sum(work[k] for k in part) for part in parts] == [7250.0, 7250.0]
    assert shares([1.0], 3) == [[0], [], []]


def test_processors_that_no_other_job_needs_are_a_jobs_own() -> None:
    workers = LocalWorkers(4)
    assert [workers.processors_of(n) for n in (1, 2, 3, 9)] == [4, 2, 1, 1]


def test_a_reason_for_another_engine_is_told_once_by_a_process() -> None:
    told = ToldOnce()

    def record(count: int, why: str) -> logging.LogRecord:
        words = "%d of %d runs on OpenDSS, not the batch engine: %s"
        return logging.LogRecord("g2g_opt.simulation", logging.WARNING, "", 1, words, (count, 14, why), None)

    passed = [told.filter(record(*one)) for one in ((1, "swtcontrol.s"), (14, "swtcontrol.s"), (2, "generator roof"))]
    assert passed == [True, False, True]
