"""Where four sites go on the 123-bus feeder: all 15,225 placements, the full hour, taps per placement.

    python benchmarks/location_123.py --out FOLDER [--workers 2]           # the whole product, about 40 core-minutes
    python benchmarks/location_123.py --out FOLDER --duration-s 60 --candidates 2       # a small one, to try it

Writes `location.csv`, `finalists.csv` and `followed.csv`, and the rows of every task as a pickle, from which the same
command goes on after an interruption. The peer screens zone by zone at a coarse
step and ends at 1/21/76/97; the first of those it rejects that is better is 1/21/60/97 (zone order sw, nw, se, ne).
Both are followed through all stages.
"""

from __future__ import annotations

import argparse
import gc
import multiprocessing
import os
import pickle
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import as_in_d63c28f
from measuring import THREAD_VARIABLES, machine

from g2g_opt.csv_files import write_csv
from g2g_opt.errors import G2GError
from studies.datacenter_location.study import LocationStudy
from studies.shared.conclusion import Conclusion
from studies.shared.task import Task, TaskResult

PEER_WINNER, PEER_REJECTED = ("1", "21", "76", "97"), ("1", "21", "60", "97")


def run_task(study: LocationStudy, task: Task, path: Path) -> tuple[TaskResult, float]:
    """A task's result and its CPU seconds, kept at `path`; read from there if an earlier run of this got that far."""
    if path.exists():
        kept: tuple[TaskResult, float] = pickle.loads(path.read_bytes())
        return kept
    began_s = time.process_time()
    try:
        result = TaskResult(task, study.run(task, lambda share, words: None))
    except G2GError as error:
        result = TaskResult(task, failed=f"{type(error).__name__}: {error}")
    answer = result, time.process_time() - began_s
    scratch = path.with_suffix(".part")
    scratch.write_bytes(pickle.dumps(answer))
    scratch.replace(path)
    return answer


def run_study(study: LocationStudy, workers: int, folder: Path) -> list[TaskResult]:
    """All stages, tasks shared between processes; a line for each task that ends."""
    results: list[TaskResult] = []
    began_s, cpu_s = time.monotonic(), 0.0
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        for stage in study.stages:
            stage_began_s, stage_cpu_s = time.monotonic(), cpu_s
            tasks = study.tasks(stage, results)
            gc.collect()
            waiting = {
                pool.submit(run_task, study, task, folder / f"{stage}_{k}.pickle"): k for k, task in enumerate(tasks)
            }
            found: dict[int, TaskResult] = {}
            for future in as_completed(waiting):
                result, seconds = future.result()
                cpu_s += seconds
                found[waiting[future]] = result
                print(
                    f"{time.monotonic() - began_s:7.1f} s  {stage} {len(found)}/{len(tasks)}: {result.task.label}, "
                    f"{seconds:.1f} CPU s {result.failed}",
                    flush=True,
                )
            results += [found[k] for k in range(len(tasks))]
            print(
                f"stage {stage}: {len(tasks)} tasks, {time.monotonic() - stage_began_s:.1f} s wall, "
                f"{cpu_s - stage_cpu_s:.1f} s CPU",
                flush=True,
            )
    print(f"all stages: {time.monotonic() - began_s:.1f} s wall, {cpu_s:.1f} s CPU, load {os.getloadavg()[0]:.2f}")
    return results


def write_tables(conclusion: Conclusion, folder: Path) -> None:
    for table in conclusion.tables:
        with (folder / f"{table.name}.csv").open("w", newline="", encoding="utf-8") as file:
            columns = [column.name for column in table.columns]
            write_csv(file, columns, ([row.get(name) for name in columns] for row in table.rows))


def show(conclusion: Conclusion) -> None:
    print(conclusion.answer)
    for table in conclusion.tables:
        print(f"\n{table.title}")
        for row in table.rows[:20]:
            print(_line(row))
    for words in (*conclusion.warnings, *(f"{f.what}: {f.reason}" for f in conclusion.failures[:10])):
        print(words)


def _line(row: Any) -> str:
    extra = f"  batch rank {row['batch_rank']}, {row['batch_integral_pu_s']:.4f}" if "batch_rank" in row else ""
    return (
        f"{row['rank']:6d}  {row['placement']:16}  {row['integral_violation_pu_s']:10.5f} pu s  "
        f"{row['violation_time_s']:7.1f} s  {row['throughput_share']:.4f}  margin {row['margin_pu']:+.5f}  "
        f"{row['lowest_pu']:.5f} at {row['lowest_where']:6} {row['highest_pu']:.5f} at {row['highest_where']:6} "
        f"{row['taps']}{extra}"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of the results")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--duration-s", type=int, default=3600)
    parser.add_argument("--candidates", type=int, help="only so many buses per site, for a trial")
    parser.add_argument("--as-in-d63c28f", action="store_true", help="the question that commit d63c28f asks by default")
    parser.add_argument("--refined", type=int, default=LocationStudy().refined)
    parser.add_argument("--finalists", type=int, default=LocationStudy().finalists)
    options = parser.parse_args()
    os.environ |= dict.fromkeys(THREAD_VARIABLES, "1")
    options.out.mkdir(parents=True, exist_ok=True)
    question = as_in_d63c28f.QUESTION if options.as_in_d63c28f else {}
    study = LocationStudy(refined=options.refined, finalists=options.finalists, **question)
    study = replace(study, scenario=replace(study.scenario, duration_s=options.duration_s))
    if options.candidates is None:
        study = replace(study, followed=(PEER_WINNER, PEER_REJECTED))
    else:
        feeder = study.load_feeder()
        buses = [site.candidate_buses(feeder)[: options.candidates] for site in study.choices()]
        sites = [replace(s, zone="", candidates=b) for s, b in zip(study.choices(), buses, strict=True)]
        study = replace(study, sites=tuple(sites), finalist_dt_s=Fraction(1, 2))
    study.check()
    # An OpenDSS context that is collected in another thread than its own ends the process: none is left for the pool's.
    gc.collect()
    print(machine(), f"{len(study.placements())} placements", flush=True)
    conclusion = study.conclude(run_study(study, options.workers, options.out))
    write_tables(conclusion, options.out)
    show(conclusion)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
