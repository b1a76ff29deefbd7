"""A queue of random requests through `g2g queue`: how long it takes, and whether one that is killed ends the same.

    python benchmarks/connection_queue.py --requests 200 --kills 3 --out queue

The queue is run twice as a process of its own, side by side with `--together`: once in peace, and once killed with
SIGKILL, its workers with it, at random moments after which it is resumed. The tables of both have to be the same.
"""

from __future__ import annotations

import argparse
import csv
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from datetime import date, timedelta
from pathlib import Path

from g2g_opt.feeder import Feeder

_ROOT = Path(__file__).resolve().parent.parent
_TABLES = ("queue", "years", "events", "remedies")


def write_requests(path: Path, feeder: str, n: int, seed: int) -> None:
    """Requests of 0.01 to 3 MW (0.04 on average) over some years; a quarter constant, one in ten withdrawn later."""
    draw, day = random.Random(seed), date(2025, 1, 6)
    buses = Feeder.load(feeder).candidate_buses
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["name", "bus", "mw", "date", "load_shape", "withdrawn"])
        for k in range(n):
            day += timedelta(days=draw.randint(0, 14))
            mw = min(3.0, max(0.01, draw.lognormvariate(-3.7, 1.0)))
            gone = day + timedelta(days=draw.randint(30, 900)) if draw.random() < 0.1 else ""
            shape = "constant" if draw.random() < 0.25 else ""
            writer.writerow([f"r{k + 1}", draw.choice(buses), f"{mw:.3f}", day, shape, gone])


def start(arguments: list[str], log: Path) -> subprocess.Popen[bytes]:
    """`g2g` in a process group of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "studies.cli", *arguments],
        env={**os.environ, "PYTHONPATH": str(_ROOT)},
        stdout=log.open("ab"),
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def tables(folder: Path) -> dict[str, list[list[str]]]:
    """The tables of a finished queue."""
    return {name: list(csv.reader((folder / f"{name}.csv").open(encoding="utf-8")))
            for name in _TABLES if (folder / f"{name}.csv").is_file()}  # fmt: skip


def main() -> int:
    """Print times, what was granted, and whether the tables are the same; status 1 if not."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--feeder", default="ieee123")
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--kill-within-s", type=float, default=120.0, help="of the start or the last resume")
    parser.add_argument("--cures", type=int, default=2)
    parser.add_argument("--load-level", default="0.5", help="own load of the first year (default %(default)s)")
    parser.add_argument("--together", action="store_true", help="both runs at once")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    out: Path = options.out
    out.mkdir(parents=True)
    write_requests(out / "requests.csv", options.feeder, options.requests, options.seed)
    question = ["queue", str(out / "requests.csv"), "--feeder", options.feeder, "--growth", "0.01", "--workers", "2"]
    question += ["--load-level", options.load_level, "--cures", str(options.cures), "--out"]
    began_s, draw = time.monotonic(), random.Random(options.seed)
    peace = start([*question, str(out / "peace")], out / "peace.log")
    if not options.together:
        _, _, used = os.wait4(peace.pid, 0)
        print(f"in peace: {time.monotonic() - began_s:.0f} s wall, {used.ru_utime + used.ru_stime:.0f} s of processor")
    kills = 0
    arguments = [*question, str(out / "killed")]
    while True:
        run = start(arguments, out / "killed.log")
        arguments = ["resume", str(out / "killed"), "--workers", "2"]
        try:
            run.wait(draw.uniform(0.25, 1.0) * options.kill_within_s if kills < options.kills else None)
            break
        except subprocess.TimeoutExpired:
            os.killpg(run.pid, signal.SIGKILL)
            run.wait()
            kills += 1
            print(f"killed {time.monotonic() - began_s:.0f} s after the start", flush=True)
    if options.together:
        _, _, used = os.wait4(peace.pid, 0)
        print(f"in peace: {time.monotonic() - began_s:.0f} s wall at most, with the killed one beside it; "
              f"{used.ru_utime + used.ru_stime:.0f} s of processor")  # fmt: skip
    one, other = tables(out / "peace"), tables(out / "killed")
    rows = one["queue"]
    decided = Counter(row[rows[0].index("decision")] for row in rows[1:])
    freed = sum(bool(row[rows[0].index("freed_by")]) for row in rows[1:])
    print(f"{len(rows) - 1} requests: {dict(decided)}, {freed} freed by withdrawals; {kills} kills; "
          f"tables {', '.join(one)} {'the same' if one == other else 'DIFFER'}")  # fmt: skip
    return 0 if one == other else 1


if __name__ == "__main__":
    sys.exit(main())
