"""Siting: a plan that holds when simulated, beside the same first program given to HiGHS with all rows at once.

    python benchmarks/siting.py --feeder ieee34 --mode pv --gap 0.002 --limit-s 120
    python benchmarks/siting.py --feeder ieee123 --mode joint --gap 0.02 --limit-s 600

Ours is the whole child: imports, days, linearisations, programs, and power flows of every step in every round.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from measuring import BenchmarkError, Measurement, machine, run_child


def describe(name: str, one: Measurement) -> str:
    figures = ", ".join(
        f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}" for key, value in one.result.items()
    )
    return f"{name}: {one.cpu_s:.1f} CPU s, {one.wall_s:.1f} s wall, {one.peak_mib:.0f} MiB; {figures}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--feeder", choices=("ieee34", "ieee123"), default="ieee34")
    parser.add_argument("--mode", choices=("pv", "dc", "joint"), default="pv")
    parser.add_argument("--gap", type=float, default=0.002)
    parser.add_argument("--limit-s", type=float, default=120.0, help="for the program with all rows; 0 leaves it out")
    options = parser.parse_args()
    print(machine())
    try:
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch) / "case"
            folder.mkdir()
            asked = [options.feeder, options.mode, str(options.gap)]
            for again in (False, True):  # the first one compiles kernels and bytecode
                one = run_child(sys.executable, "siting_side.py", asked, folder / "ours.json")
                if again:
                    print(describe("plan that holds", one), flush=True)
            if options.limit_s:
                whole = [*asked, "--all-at-once", str(options.limit_s)]
                one = run_child(sys.executable, "siting_side.py", whole, folder / "all.json")
                print(describe("all rows at once", one))
    except BenchmarkError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
