"""The 123-bus, four-site OFO hour at 0.1 s steps (36,000 power flows): this package against OpenG2G, same inputs.

    python benchmarks/closed_loop_vs_openg2g.py --repeats 3 [--peer-python PATH]
    python benchmarks/closed_loop_vs_openg2g.py --bare              # lower bound: the power flows alone
    python benchmarks/closed_loop_vs_openg2g.py --tolerance         # what a tighter OpenDSS tolerance costs us

Each side runs as a process of its own, in alternation. CPU seconds are user + system of the whole child (interpreter
start, imports, run, metrics) and peak memory is its largest resident set, both from `os.wait4`. This file imports
nothing but the standard library: a child starts with its parent's peak memory on its account.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from measuring import OURS, PEER, BenchmarkError, machine, run_child, write_case

OPENDSS_TOLERANCE = 1e-4  # OpenDSS's default, which the peer runs at
SWEEP_TOLERANCES = (1e-4, 1e-6, 1e-8)
SWEEP_REFERENCE = 1e-10
METRICS_AGREE_WITHIN = 0.005
METRICS = {
    "violation_time_s": "violation time (s)",
    "integral_violation_pu_s": "integral violation (pu s)",
    "mean_throughput_tps": "mean throughput (tokens/s)",
}


# --- the same thing on both sides?


def compare(ours: dict[str, Any], peer: dict[str, Any]) -> list[str]:
    """Print both sides' results; returns what differs by more than is allowed."""
    wrong = []
    print(f"\n{'':28}{OURS:>16}{PEER:>16}{'difference':>14}")
    for key, name in METRICS.items():
        a, b = ours[key], peer[key]
        relative = abs(a - b) / max(abs(a), abs(b)) if a != b else 0.0
        print(f"{name:28}{a:16.5g}{b:16.5g}{100 * relative:13.3f}%")
        if relative > METRICS_AGREE_WITHIN:
            wrong.append(f"{name}: {a:g} here, {b:g} at the peer ({100 * relative:.2f} % apart)")
    for key in ("worst_vmin_pu", "worst_vmax_pu"):
        print(f"{key:28}{ours[key]:16.6f}{peer[key]:16.6f}{abs(ours[key] - peer[key]):11.1e} pu")
    for key in ("n_power_flows", "n_batch_changes"):
        print(f"{key:28}{ours[key]:16d}{peer[key]:16d}{abs(ours[key] - peer[key]):14d}")
    print("final batch sizes")
    for site, batches in ours["final_batch"].items():
        for label, batch in batches.items():
            other = peer["final_batch"][site][label]
            print(f"  {site:8}{label:18}{batch:16d}{other:16d}{'' if batch == other else '       differs':>14}")
            if batch != other:
                wrong.append(f"final batch size of {label} at {site}: {batch} here, {other} at the peer")
    if ours["n_power_flows"] != peer["n_power_flows"]:
        wrong.append("the number of power flows")
    pairs = list(zip(ours["batch_by_minute"], peer["batch_by_minute"], strict=True))
    same = sum(a == b for a, b in pairs)
    print(f"batch sizes equal at {same} of {len(pairs)} full minutes")
    return wrong


# --- what the three commands do


def run_pairs(folder: Path, peer_python: str, repeats: int) -> None:
    """A B A B ..., then ratios pair by pair."""
    pairs = []
    row = "{:>4}  {:9}{:>10}{:>10}{:>12}   {}"
    print(row.format("pair", "side", "CPU s", "wall s", "peak MiB", "CPU s of imports / set-up / run / metrics"))
    for pair in range(1, repeats + 1):
        sides = []
        for name, python, script in ((OURS, sys.executable, "g2g_side.py"), (PEER, peer_python, "openg2g_side.py")):
            one = run_child(python, script, [str(folder)], folder / f"{name}.json")
            phases = " / ".join(f"{one.result['cpu_s'][k]:.2f}" for k in ("imports", "set_up", "run", "metrics"))
            print(row.format(pair, name, f"{one.cpu_s:.2f}", f"{one.wall_s:.2f}", f"{one.peak_mib:.0f}", phases))
            sides.append(one)
        pairs.append(sides)
    wrong = compare(*(side.result for side in pairs[-1]))
    print(f"\nratios {PEER} / {OURS}, pair by pair")
    print(f"{'':18}{'min':>8}{'median':>8}{'max':>8}   pairs")
    for name, read in (
        ("CPU, whole child", lambda one: one.cpu_s),
        ("CPU, run alone", lambda one: one.result["cpu_s"]["run"]),
        ("wall time", lambda one: one.wall_s),
        ("peak memory", lambda one: one.peak_mib),
    ):
        ratios = [read(peer) / read(ours) for ours, peer in pairs]
        listed = " ".join(f"{ratio:.2f}" for ratio in ratios)
        print(f"{name:18}{min(ratios):8.2f}{median(ratios):8.2f}{max(ratios):8.2f}   {listed}")
    if wrong:
        raise BenchmarkError("both sides did not compute the same thing:\n  " + "\n  ".join(wrong))
    print(f"\nboth sides agree within {100 * METRICS_AGREE_WITHIN:g} %")


def run_bare(folder: Path, repeats: int) -> None:
    """CPU seconds of our closed loop next to those of its power flows alone."""
    powers = folder / "powers.npz"
    run_child(sys.executable, "g2g_side.py", [str(folder), "--powers", str(powers)], folder / "run.json")
    print("CPU seconds at OpenDSS tolerance 1e-4")
    print(f"{'pair':>4}{'closed loop':>14}{'its power flows':>18}{'powers unchanged':>18}")
    for pair in range(1, repeats + 1):
        run = run_child(sys.executable, "g2g_side.py", [str(folder)], folder / "run.json").result
        arguments = [str(folder), "--powers", str(powers), "--tolerances", str(OPENDSS_TOLERANCE)]
        bare = run_child(sys.executable, "power_flow_side.py", arguments, folder / "bare.json").result["rows"][0]
        print(f"{pair:4d}{run['cpu_s']['run']:14.2f}{bare['cpu_s']:18.2f}{bare['unchanged_cpu_s']:18.2f}")
    print(
        f"iterations per power flow: {bare['iterations'] / bare['n_power_flows']:.2f} with the run's powers, "
        f"{bare['unchanged_iterations'] / bare['n_power_flows']:.2f} with powers unchanged"
    )


def run_sweep(folder: Path) -> None:
    """Our closed loop at several tolerances, and its power flows against those at 1e-10."""
    powers = folder / "powers.npz"
    arguments = [str(folder), "--tolerance", str(SWEEP_REFERENCE), "--powers", str(powers)]
    reference = run_child(sys.executable, "g2g_side.py", arguments, folder / "reference.json").result
    tolerances = [*SWEEP_TOLERANCES, SWEEP_REFERENCE]
    arguments = [str(folder), "--powers", str(powers), "--tolerances", *map(str, tolerances)]
    flows = run_child(sys.executable, "power_flow_side.py", arguments, folder / "flows.json").result["rows"]
    print(f"{'':10}{'closed loop':>38}{'':4}{'powers of the run at 1e-10, power flows alone':>46}")
    head = ("tolerance", "CPU s", "violation pu s", "as 1e-10 (min)", "CPU s", "iterations", "max |dV| pu")
    print(("{:10}" + "{:>10}{:>16}{:>16}" + "{:>12}{:>14}{:>16}").format(*head))
    for tolerance, flow in zip(tolerances, flows, strict=True):
        arguments = [str(folder), "--tolerance", str(tolerance)]
        one = run_child(sys.executable, "g2g_side.py", arguments, folder / "run.json")
        minutes = list(zip(one.result["batch_by_minute"], reference["batch_by_minute"], strict=True))
        same = f"{sum(a == b for a, b in minutes)} of {len(minutes)}"
        print(
            f"{tolerance:<10.0e}{one.cpu_s:10.2f}{one.result['integral_violation_pu_s']:16.3f}{same:>16}"
            f"{flow['cpu_s']:12.2f}{flow['iterations']:14d}{flow['max_deviation_pu']:16.1e}"
        )
    print("as 1e-10: full minutes at which all batch sizes equal those of the run at 1e-10")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3, help="pairs to run (default 3)")
    parser.add_argument("--peer-python", default=sys.executable, help="interpreter that has openg2g[opendss]")
    parser.add_argument("--duration-s", type=int, default=3600, help="simulated seconds (default: the hour)")
    parser.add_argument("--bare", action="store_true", help="time the power flows alone, without the peer")
    parser.add_argument("--tolerance", action="store_true", help="sweep OpenDSS's tolerance on our side only")
    options = parser.parse_args()
    if options.repeats < 1 or options.duration_s < 1:
        parser.error("--repeats and --duration-s must be 1 or more")
    print(machine())
    with tempfile.TemporaryDirectory(prefix="g2g_benchmark_") as temporary:
        folder, short = Path(temporary, "case"), Path(temporary, "warm_up")
        try:
            write_case(folder, options.duration_s)
            write_case(short, 2)
            run_child(sys.executable, "g2g_side.py", [str(short)], short / "ours.json")
            if options.bare:
                run_bare(folder, options.repeats)
            elif options.tolerance:
                run_sweep(folder)
            else:
                run_child(options.peer_python, "openg2g_side.py", [str(short)], short / "peer.json")
                run_pairs(folder, options.peer_python, options.repeats)
        except BenchmarkError as error:
            print(f"FAILED: {error}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
