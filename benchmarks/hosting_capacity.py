"""Hosting capacity: CPU per simulated second of a whole study, beside OpenG2G's for a run of the same feeder.

    python benchmarks/hosting_capacity.py --feeder ieee13 [--feeder ieee34 --feeder ieee123] [--bus 671] --repeats 2

Ours is the whole child: imports, search, taps, judging, rows, and the confirmation on OpenDSS, for firm and flexible.
OpenG2G's is the run of its recorded case of that feeder alone (its sites, OFO, 1-s steps), without set-up, metrics and
without its own search: what every candidate of a sweep costs it at least.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from measuring import BenchmarkError, machine, run_child, spread, write_case

CASES = {"ieee13": "ieee13_ofo", "ieee34": "ieee34_ofo", "ieee123": "ieee123_noop"}
_PEER_DURATION_S = 900


def measure(feeder: str, buses: list[str], peer_python: str, repeats: int) -> None:
    """Both sides in turn, ratios pair by pair."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "case"
        write_case(folder, _PEER_DURATION_S, dt_s="1", name=CASES[feeder])
        ours, theirs, ratios = [], [], []
        named = [word for bus in buses for word in ("--bus", bus)]
        for pair in range(repeats + 1):
            one = run_child(sys.executable, "hosting_side.py", [feeder, *named], folder / "ours.json")
            peer = run_child(peer_python, "openg2g_side.py", [str(folder)], folder / "peer.json")
            if pair == 0:
                continue  # compiles kernels and bytecode
            ours.append(1e6 * one.cpu_s / one.result["simulated_s"])
            theirs.append(1e6 * peer.result["cpu_s"]["run"] / _PEER_DURATION_S)
            ratios.append(theirs[-1] / ours[-1])
            hours = one.result["simulated_s"] / 3600
            sizes = f"{one.result['n_sizes']} sizes, {hours:.0f} simulated hours, {one.cpu_s:.0f} CPU s"
            print(
                f"{feeder}: {sizes}; peer: {peer.result['cpu_s']['run']:.1f} CPU s for {_PEER_DURATION_S} s", flush=True
            )
        print(f"{feeder}: {spread(ours, '.0f')} us per simulated second here, {spread(theirs, '.0f')} OpenG2G")
        print(f"{feeder}: OpenG2G / here {spread(ratios, '.0f')}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--feeder", action="append", choices=sorted(CASES))
    parser.add_argument("--bus", action="append", default=[], help="only these buses (of one feeder)")
    parser.add_argument("--peer-python", default=sys.executable, help="interpreter that has openg2g[opendss]")
    parser.add_argument("--repeats", type=int, default=2)
    options = parser.parse_args()
    print(machine())
    try:
        for feeder in options.feeder or ["ieee13"]:
            measure(feeder, options.bus, options.peer_python, options.repeats)
    except BenchmarkError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
