"""A whole `g2g siting`, from import to the last picture, by this tree and by another checkout, in turn.

    git worktree add ../before d63c28f
    python benchmarks/siting_builds.py --other ../before -- --feeder ieee34 --mode pv

What stands behind `--` is asked of both; `--ours` and `--theirs` add what only one of them is asked, in one word each,
like "--switch-cost 0.5". Both have one worker unless `--workers` says otherwise. The first turn compiles kernels and is
not told. Packages that only the other one needs are found if PYTHONPATH names them.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from measuring import ROOT, THREAD_VARIABLES, machine, spread

_COMMAND = "from studies.cli import main; raise SystemExit(main())"


def measure(tree: Path, asked: Sequence[str], workers: int, folder: Path) -> tuple[float, float, str]:
    """CPU s of the command with all its workers, its wall time (s), and the last line but the files it names."""
    environment = os.environ | dict.fromkeys(THREAD_VARIABLES, "1")
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, (str(tree), os.environ.get("PYTHONPATH"))))
    out, words = folder / "out", folder / "words.txt"
    began = time.perf_counter()
    with words.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-c", _COMMAND, "siting", *asked, "--workers", str(workers), "--out", str(out)],
            env=environment,
            cwd=folder,
            stdout=file,
            stderr=subprocess.STDOUT,
        )
        _, status, usage = os.wait4(process.pid, 0)
    wall_s = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    text = words.read_text(encoding="utf-8", errors="replace")
    if process.returncode != 0:
        raise SystemExit(f"{tree} ended with status {process.returncode}:\n{text[-3000:]}")
    said = next((line for line in text.splitlines() if line.startswith(("Build", "No plan"))), "no answer")
    return usage.ru_utime + usage.ru_stime, wall_s, said


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--other", type=Path, required=True, help="checkout of the other build")
    parser.add_argument("--ours", default="", help="what only this tree is asked")
    parser.add_argument("--theirs", default="", help="what only the other one is asked")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--workers", type=int, default=1, help="of both")
    parser.add_argument("asked", nargs="*")
    options = parser.parse_args()
    print(machine())
    sides = {"this tree": (ROOT, options.ours), str(options.other): (options.other, options.theirs)}
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
    for turn in range(options.repeats + 1):
        for name, (tree, more) in sides.items():
            with tempfile.TemporaryDirectory() as scratch:
                cpu_s, wall_s, said = measure(tree, [*options.asked, *more.split()], options.workers, Path(scratch))
            if turn:
                found[name].append((cpu_s, wall_s))
                print(f"{name}: {cpu_s:.1f} CPU s, {wall_s:.1f} s wall; {said}", flush=True)
    for name, figures in found.items():
        cpu, wall = zip(*figures, strict=True)
        print(f"{name}: {spread(cpu, '.1f')} CPU s, {spread(wall, '.1f')} s wall")
    return 0


if __name__ == "__main__":
    sys.exit(main())
