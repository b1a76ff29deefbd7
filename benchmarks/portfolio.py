"""Sixty feeders on a Dask LocalCluster: one worker, two, and two of which one is killed at work.

    python benchmarks/portfolio.py --feeders 60 --out portfolio

Feeders are bundled ones and variants of them with other loads; two in twenty are broken. Every feeder has to have an
answer or a reason, and the answers have to be the same in all runs. Wall times tell of scaling only on a free machine:
processor seconds are printed beside them.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import threading
import time
from pathlib import Path
from typing import Any

import distributed

from g2g_opt.feeder import Feeder
from g2g_opt.scenario import Scenario
from studies.catalogue import question_toml
from studies.hosting_capacity.study import HostingCapacityStudy
from studies.portfolio.study import PortfolioStudy
from studies.running.dask_workers import DaskWorkers
from studies.running.runner import Finished, read_results, run_study

_BUNDLED = ("ieee13", "ieee34", "ieee123")
# Half a minute at full draw: enough work to be killed in.
_QUESTION = HostingCapacityStudy(
    operations=("firm",), ladder=False, scenario=Scenario(duration_s=30, replica_share_start=1.0, replica_ramps=())
)


# Workers, and whether one of them is killed.
_RUNS = {"two-one-killed": (2, True), "two": (2, False), "one": (1, False)}


def write_feeders(root: Path, n: int, seed: int) -> None:
    """Bundled feeders and variants of them; of every twenty one without a line code and one that is no circuit."""
    draw = random.Random(seed)
    known = {name: Feeder.load(name) for name in _BUNDLED}
    for k in range(n):
        name, folder = _BUNDLED[k % len(_BUNDLED)], root / f"f{k:03d}_{_BUNDLED[k % len(_BUNDLED)]}"
        feeder = known[name]
        if k % 20 == 18:
            folder.mkdir(parents=True)
            (folder / "Master.dss").write_text(
                "New Circuit.x basekv=4.16\nNew Line.a bus1=sourcebus bus2=b linecode=no\n"
            )
        elif k % 20 == 19:
            folder.mkdir(parents=True)
            (folder / "Master.dss").write_text("! no circuit yet\n")
        else:
            loads = [] if k < len(_BUNDLED) else draw.sample(list(feeder.own_loads), 5)
            edits = [f"Load.{load.name}.kW={load.kw * draw.uniform(0.3, 1.6):.3f}" for load in loads]
            feeder.extended(tuple(edits)).write_dss(folder)


def run(root: Path, study: PortfolioStudy, n_workers: int, kill: bool) -> tuple[Finished, float, float]:
    """A run on a cluster of its own: what came of it, wall time, and processor time of the workers (s)."""
    with distributed.LocalCluster(n_workers=n_workers, threads_per_worker=1, dashboard_address=None) as cluster:
        with distributed.Client(cluster) as client:
            client.wait_for_workers(n_workers)
            pids = list(client.run(os.getpid).values())
        over = threading.Event()

        def kill_one() -> None:
            while not over.wait(0.2):
                done = sum(1 for _ in (root / "tasks").glob("*")) if (root / "tasks").is_dir() else 0
                if done >= len(study.feeders()) // 4:
                    os.kill(pids[0], signal.SIGKILL)
                    print(f"  worker {pids[0]} killed after {done} feeders")
                    return

        killer = threading.Thread(target=kill_one)
        if kill:
            killer.start()
        began_s, used_s = time.monotonic(), _used_s(cluster)
        finished = run_study(root, lambda: DaskWorkers(cluster.scheduler_address), question=study)
        wall_s, used_s = time.monotonic() - began_s, _used_s(cluster) - used_s
        over.set()
        if kill:
            killer.join()
    return finished, wall_s, used_s


def _used_s(cluster: Any) -> float:
    """Processor seconds of the workers that live."""
    with distributed.Client(cluster) as client:
        return float(sum(client.run(time.process_time).values()))


def main() -> int:
    """Print a line for every run; status 1 if a feeder has neither answer nor reason, or answers differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--feeders", type=int, default=60)
    parser.add_argument("--buses-max", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--runs", nargs="+", choices=list(_RUNS), default=list(_RUNS))
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    out: Path = options.out
    shutil.rmtree(out, ignore_errors=True)
    write_feeders(out / "feeders", options.feeders, options.seed)
    (out / "question.toml").write_text(question_toml(_QUESTION), encoding="utf-8")
    study = PortfolioStudy(str(out / "feeders"), str(out / "question.toml"), options.buses_max)
    found, fine = [], True
    for name in options.runs:
        n_workers, kill = _RUNS[name]
        load, own_s = os.getloadavg()[0], time.process_time()
        finished, wall_s, used_s = run(out / name, study, n_workers, kill)
        own_s, loads = time.process_time() - own_s, (load, os.getloadavg()[0])
        answered = [entry for entry in finished.entries if entry.state == "done"]
        reasons = [entry for entry in finished.entries if entry.state == "failed" and entry.reason]
        fine &= len(answered) + len(reasons) == options.feeders
        results = read_results(out / name)[1]
        found.append([(row["feeder"], row["bus"], row["value"]) for one in results for row in one.rows("buses")])
        print(
            f"{name}: {wall_s:.0f} s wall, {used_s:.0f} s of processor by the workers alive, {own_s:.1f} s by "
            f"scheduler and runner; load of the machine {loads[0]:.1f} to {loads[1]:.1f}; {len(answered)} answered, "
            f"{len(reasons)} with a reason; answers {'the same' if found[-1] == found[0] else 'DIFFER'}",
            flush=True,
        )
    print("first reason:", reasons[0].reason if reasons else "none")
    return 0 if fine and all(rows == found[0] for rows in found) else 1


if __name__ == "__main__":
    raise SystemExit(main())
