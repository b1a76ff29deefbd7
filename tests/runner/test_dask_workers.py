"""The same tasks on Dask: the same results, also when a worker is killed, and hangs and crashes cost one task."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from killing import kill, workers_of
from small_study import SmallStudy

from g2g_opt.errors import InputError
from studies.running.dask_workers import DaskWorkers
from studies.running.local_workers import LocalWorkers
from studies.running.runner import Finished, begin_study, read_results, run_study
from studies.shared.task import gather

pytestmark = pytest.mark.xdist_group("dask")  # one worker, so that one cluster is started

distributed = pytest.importorskip("distributed")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        yield cluster


def _rows(root: Path) -> list[tuple[int, float]]:
    return [(row["number"], row["sum"]) for row in gather(read_results(root)[1], "sums")]


def _run(root: Path, study: SmallStudy, cluster: Any, time_out_s: float | None = None) -> Finished:
    begin_study(root, study)
    return run_study(root, lambda: DaskWorkers(cluster.scheduler_address, time_out_s=time_out_s))


@pytest.mark.filterwarnings("ignore")  # Dask leaves sockets and loops to the garbage collector.
def test_dask_gives_the_results_of_local_workers_though_a_worker_is_killed(tmp_path: Path, cluster: Any) -> None:
    log = tmp_path / "log"
    study = SmallStudy(n=10, group=2, seconds=0.4, log=str(log))

    with distributed.Client(cluster) as client:
        workers = list(client.run(os.getpid).values())
    assert os.getpid() not in workers

    def kill_one_at_work() -> None:
        while not log.is_file() or len(log.read_text().splitlines()) < 3:
            time.sleep(0.05)
        # Tasks take 0.8 s: by now either worker is at one.
        time.sleep(0.3)
        os.kill(workers[0], signal.SIGKILL)

    killer = threading.Thread(target=kill_one_at_work)
    killer.start()
    finished = _run(tmp_path / "dask", study, cluster)
    killer.join()
    assert {entry.engine for entry in finished.entries} == {"dask"}
    assert not finished.failed
    assert len(log.read_text().splitlines()) > 6, "the task of the killed worker was begun again"
    begin_study(tmp_path / "local", SmallStudy(n=10, group=2))
    run_study(tmp_path / "local", lambda: LocalWorkers(2))
    assert _rows(tmp_path / "dask") == _rows(tmp_path / "local")


@pytest.mark.filterwarnings("ignore")
def test_processes_of_a_cluster_here_are_replaced_also_when_killed_at_their_start(tmp_path: Path) -> None:
    killed: list[int] = []
    over = threading.Event()

    def kill_some() -> None:
        for delay_s in (0.0, 0.1, 0.3, 1.5):
            while not (new := workers_of(os.getpid(), "dask-worker") - set(killed)):
                if over.wait(0.005):
                    return
            time.sleep(delay_s)
            killed.append(min(new))
            kill(killed[-1])

    killer = threading.Thread(target=kill_some)
    killer.start()
    study = SmallStudy(n=12, seconds=0.3)
    finished = run_study(tmp_path / "dask", lambda: DaskWorkers(n_workers=2), question=study)
    over.set()
    killer.join()
    assert len(killed) >= 3
    assert [entry.state for entry in finished.entries] == ["done"] * 13
    run_study(tmp_path / "local", lambda: LocalWorkers(2), question=SmallStudy(n=12))
    assert _rows(tmp_path / "dask") == _rows(tmp_path / "local")
    assert not workers_of(os.getpid(), "dask-worker")


@pytest.mark.filterwarnings("ignore")
def test_on_dask_what_raises_or_hangs_costs_one_task(tmp_path: Path, cluster: Any) -> None:
    study = SmallStudy(n=4, bad=((1, "raises"), (2, "hangs")))
    failed = _run(tmp_path / "s", study, cluster, time_out_s=6.0).failed
    assert [entry.reason for entry in failed] == [
        "raised: ValueError: this number cannot be summed",
        "timed out: not done within 6 s",
    ]
    assert [number for number, _ in _rows(tmp_path / "s")] == [0, 3]


def test_a_scheduler_that_does_not_answer_is_named() -> None:
    with pytest.raises(InputError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:9"):
        DaskWorkers("tcp://127.0.0.1:9")
