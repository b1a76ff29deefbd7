"""The 123-bus, four-site OFO hour at 1 s steps: the batch engine against OpenG2G and against our own single run.

    python benchmarks/batch_closed_loop.py --repeats 3 [--peer-python PATH]   # one core: 64, 128, 192, 256 scenarios
    python benchmarks/batch_closed_loop.py --both-cores --repeats 3           # two batches at once
    python benchmarks/batch_closed_loop.py --variants --repeats 3             # loadings, noise and ripple, sites
    python benchmarks/batch_closed_loop.py --memory                           # peak memory over the number of steps

The first scenario of every batch is the peer's very case, the others are its neighbours (`scenarios.py`). A
scenario-step is one step of one scenario: power flow, four sites, four controllers, metrics. Every side is a process of
its own, in alternation; CPU seconds and peak memory are the whole child's (`os.wait4`), `run` is clocked inside it.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from statistics import median
from typing import Any

from measuring import (
    OURS,
    PEER,
    BenchmarkError,
    Child,
    Measurement,
    machine,
    run_child,
    spread,
    write_case,
)

SIZES = (64, 128, 192, 256)
USUAL_SIZE = 192
TOLERANCE = "1e-6"  # of our single run next to a batch, whose own it is
TIGHT = "1e-10"  # where both must give the same run
TARGET_RATIO, TARGET_RATIO_BOTH_CORES = 60.0, 100.0
MEMORY_SCENARIOS, MEMORY_STEPS, MEMORY_LIMIT_MIB = 1000, (200, 1000, 3000), 2048.0
SINGLE_AGREES_WITHIN, PEER_AGREES_WITHIN = 0.001, 0.005
METRICS = {
    "violation_time_s": "violation time (s)",
    "integral_violation_pu_s": "integral violation (pu s)",
    "mean_throughput_tps": "mean throughput (tokens/s)",
}
VARIANTS = {
    "flat power": [],
    "with loadings": ["--loading"],
    "ripple, noise, drawn latency": ["--measured"],
    "the same with loadings": ["--measured", "--loading"],
    "1 site": ["--sites", "1"],
    "2 sites": ["--sites", "2"],
}


@dataclass(frozen=True)
class Sides:
    """How the sides of one case folder are run; `n_steps` of each scenario."""

    folder: Path
    peer_python: str
    n_steps: int

    def peer(self) -> Measurement:
        return run_child(self.peer_python, "openg2g_side.py", [str(self.folder)], self.folder / "peer.json")

    def single(self, tolerance: str = TOLERANCE) -> Measurement:
        arguments = [str(self.folder), "--tolerance", tolerance]
        return run_child(sys.executable, "g2g_side.py", arguments, self.folder / "single.json")

    def start_batch(self, n: int, *arguments: str, first: int = 0) -> Child:
        words = [str(self.folder), "--scenarios", str(n), "--first", str(first), *arguments]
        return Child(sys.executable, "batch_side.py", words, self.folder / f"batch_{first}.json")

    def batch(self, n: int, *arguments: str) -> Measurement:
        return self.start_batch(n, *arguments).wait()

    def us(self, seconds: float, n: int = 1) -> float:
        """Microseconds per scenario-step."""
        return 1e6 * seconds / (n * self.n_steps)


Read = Callable[[Measurement], float]


def of_child(one: Measurement) -> float:
    """CPU seconds of the whole child: imports, set-up, run."""
    return one.cpu_s


def of_run(one: Measurement) -> float:
    """CPU seconds of its run alone."""
    return float(one.result["cpu_s"]["run"])


# --- one core


def run_sizes(sides: Sides, repeats: int) -> list[str]:
    """Peer and batch in turn, for every size; ratios per core; returns what is wrong."""
    head = "{:>5}  {:12}{:>9}{:>14}{:>14}{:>10}   {}"
    print(head.format("round", "side", "CPU s", "us/step child", "us/step run", "peak MiB", "CPU s by phase"))
    pairs: dict[int, list[tuple[Measurement, Measurement]]] = {n: [] for n in SIZES}
    singles: list[tuple[Measurement, Measurement]] = []

    def show(k: int, name: str, one: Measurement, n: int) -> None:
        phases = ", ".join(f"{phase} {seconds:.2f}" for phase, seconds in one.result["cpu_s"].items())
        child, run = sides.us(of_child(one), n), sides.us(of_run(one), n)
        print(head.format(k, name, f"{one.cpu_s:.2f}", f"{child:.2f}", f"{run:.2f}", f"{one.peak_mib:.0f}", phases))

    for k in range(1, repeats + 1):
        for n in SIZES:
            peer, batch = sides.peer(), sides.batch(n)
            pairs[n].append((peer, batch))
            show(k, PEER, peer, 1)
            show(k, f"batch {n}", batch, n)
            if n == USUAL_SIZE:
                single = sides.single()
                singles.append((single, batch))
                show(k, "single run", single, 1)
    print(f"\nscenario-steps per core: {PEER} / batch, minimum / median / maximum of {repeats} pairs")
    print(f"{'batch':>8}{'us/step run':>24}{'run / run':>26}{'run / whole child':>26}{'child / child':>26}")
    reached = {}
    for n, both in pairs.items():
        us = [sides.us(of_run(batch), n) for _, batch in both]
        columns = [
            [n * read_peer(peer) / read_batch(batch) for peer, batch in both]
            for read_peer, read_batch in ((of_run, of_run), (of_run, of_child), (of_child, of_child))
        ]
        reached[n] = median(columns[0])
        print(f"{n:8d}{spread(us):>24}" + "".join(f"{spread(column, '.1f'):>26}" for column in columns))
    ratios = [USUAL_SIZE * of_run(single) / of_run(batch) for single, batch in singles]
    print(f"our single run / batch {USUAL_SIZE}, run / run: {spread(ratios, '.1f')}")
    n = max(reached, key=lambda size: reached[size])
    print(f"target {TARGET_RATIO:g} x per core: {reached[n]:.1f} x at {n} scenarios (median, run / run)")
    print("run / whole child: the peer without its imports and set-up, ours with them")
    peer, batch = pairs[USUAL_SIZE][-1]
    return compare(sides, batch.result, singles[-1][0].result, peer.result)


def compare(sides: Sides, batch: dict[str, Any], single: dict[str, Any], peer: dict[str, Any]) -> list[str]:
    """The first scenario of a batch against our single run, also at a tight tolerance, and against the peer."""
    tight = sides.batch(16, "--tolerance", TIGHT).result, sides.single(TIGHT).result
    wrong = []
    print(
        f"\n{'the first scenario':28}{'batch':>16}{'single run':>16}{PEER:>16}{'batch - single':>18}{f'at {TIGHT}':>14}"
    )
    for key, name in METRICS.items():
        a, b, c = batch[key], single[key], peer[key]
        print(f"{name:28}{a:16.7g}{b:16.7g}{c:16.7g}{a - b:18.2g}{tight[0][key] - tight[1][key]:14.2g}")
        for other, who, within in (
            (b, "our single run", SINGLE_AGREES_WITHIN),
            (c, "the peer", PEER_AGREES_WITHIN),
        ):
            if abs(a - other) > within * max(abs(a), abs(other)):
                wrong.append(f"{name}: {a:g} in the batch, {other:g} in {who}")
    for key in ("worst_vmin_pu", "worst_vmax_pu"):
        a, b, c = batch[key], single[key], peer[key]
        print(f"{key:28}{a:16.7f}{b:16.7f}{c:16.7f}{a - b:18.2g}{tight[0][key] - tight[1][key]:14.2g}")
    for key in ("n_power_flows", "n_batch_changes"):
        a, b, c = batch[key], single[key], peer[key]
        print(f"{key:28}{a:16d}{b:16d}{c:16d}{a - b:18d}{tight[0][key] - tight[1][key]:14d}")
    print(
        "the whole family of the batch: "
        + ", ".join(f"{k} {a:.5g} to {b:.5g}" for k, (a, b) in batch["family"].items())
    )
    return wrong


# --- both cores


def run_both_cores(sides: Sides, repeats: int) -> None:
    """Two batches at once against one peer, by wall time and by CPU seconds."""
    n, by_wall, by_cpu, whole = USUAL_SIZE, [], [], []
    form = "{:>5}{:>16}{:>28}{:>14}{:>10}{:>10}"
    print(form.format("round", "peer us/step", "two batches: wall us/step", "CPU us/step", "wall x", "CPU x"))
    for k in range(1, repeats + 1):
        peer = sides.peer()
        children = [sides.start_batch(n, first=0), sides.start_batch(n, first=n)]
        both = [child.wait() for child in children]
        wall_s = max(one.result["run_wall_s"] for one in both)
        rate = sum(n / of_run(one) for one in both)  # scenarios per CPU second, both cores
        by_wall.append(2 * n * of_run(peer) / wall_s)
        by_cpu.append(rate * of_run(peer))
        whole.append(2 * n * peer.wall_s / max(one.wall_s for one in both))
        us = sides.us(of_run(peer)), sides.us(wall_s, 2 * n), 1e6 / (rate * sides.n_steps)
        print(form.format(k, f"{us[0]:.1f}", f"{us[1]:.2f}", f"{us[2]:.2f}", f"{by_wall[-1]:.1f}", f"{by_cpu[-1]:.1f}"))
    print(f"one {PEER} process / two batches of {n} at once, per scenario-step (minimum / median / maximum)")
    print(f"  runs: peer's CPU over our wall time {spread(by_wall, '.1f')}, over our CPU time {spread(by_cpu, '.1f')}")
    print(f"  whole children, wall over wall      {spread(whole, '.1f')}")
    print(f"target {TARGET_RATIO_BOTH_CORES:g} x; wall time also counts what other processes took of the two cores")


# --- variants


def run_variants(sides: Sides, repeats: int) -> None:
    """Every variant next to flat power."""
    n = USUAL_SIZE
    rows: dict[str, list[tuple[Measurement, Measurement]]] = {name: [] for name in VARIANTS}
    for _ in range(repeats):
        for name, arguments in VARIANTS.items():
            rows[name].append((sides.batch(n), sides.batch(n, *arguments)))
    print(f"batch {n}, minimum / median / maximum of {repeats} pairs; ratios to flat power in the same pair, run / run")
    print(f"{'variant':30}{'us/step run':>24}{'us/step child':>24}{'ratio':>22}{'peak MiB':>10}")
    for name, pairs in rows.items():
        run = [sides.us(of_run(one), n) for _, one in pairs]
        child = [sides.us(of_child(one), n) for _, one in pairs]
        ratio = [of_run(one) / of_run(plain) for plain, one in pairs]
        peak = max(one.peak_mib for _, one in pairs)
        print(f"{name:30}{spread(run):>24}{spread(child):>24}{spread(ratio):>22}{peak:10.0f}")


# --- memory


def run_memory(folder: Path, steps: list[int], measured: bool) -> list[str]:
    """Peak memory of many scenarios at 0.1 s steps for several numbers of steps."""
    n, peaks = MEMORY_SCENARIOS, []
    print(f"{n} scenarios at 0.1 s steps{', ripple and noise' if measured else ', flat power'}")
    print(f"{'steps':>8}{'peak MiB':>10}{'CPU s':>10}{'us/step run':>14}")
    for count in steps:
        case = folder / f"steps_{count}_{measured}"
        write_case(case, -(-count // 10), dt_s="1/10")
        one = Sides(case, "", count).batch(n, *(["--measured"] if measured else []))
        peaks.append(one.peak_mib)
        print(f"{count:8d}{one.peak_mib:10.0f}{one.cpu_s:10.1f}{1e6 * of_run(one) / (n * count):14.2f}", flush=True)
    if len(steps) > 1:
        grown = (peaks[-1] - peaks[0]) / (steps[-1] - steps[0]) * 36_000
        print(f"growth from {steps[0]} to {steps[-1]} steps, over 36,000 of them: {grown:.0f} MiB")
    return [f"peak memory {max(peaks):.0f} MiB"] if max(peaks) > MEMORY_LIMIT_MIB else []


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3, help="rounds to run (default 3)")
    parser.add_argument("--peer-python", default=sys.executable, help="interpreter that has openg2g[opendss]")
    parser.add_argument("--duration-s", type=int, default=3600, help="simulated seconds (default: the hour)")
    parser.add_argument("--both-cores", action="store_true", help="two batches at once")
    parser.add_argument("--variants", action="store_true", help="loadings, noise and ripple, fewer sites")
    parser.add_argument("--memory", action="store_true", help="peak memory of 1,000 scenarios at 0.1 s")
    parser.add_argument("--memory-steps", type=int, nargs="+", default=list(MEMORY_STEPS), help="steps to try")
    options = parser.parse_args()
    if options.repeats < 1 or options.duration_s < 100:
        parser.error("--repeats must be 1 or more, --duration-s 100 or more")
    print(machine())
    wrong: list[str] = []
    with tempfile.TemporaryDirectory(prefix="g2g_benchmark_") as temporary:
        folder = Path(temporary, "case")
        sides = Sides(folder, options.peer_python, int(options.duration_s / Fraction(1)))
        try:
            write_case(folder, options.duration_s, dt_s="1")
            if options.memory:
                warm_up(Path(temporary, "warm_up"), options.peer_python, peer=False)
                for measured in (False, True):
                    wrong += run_memory(Path(temporary), options.memory_steps, measured)
            else:
                warm_up(Path(temporary, "warm_up"), options.peer_python, peer=not options.variants)
                if options.both_cores:
                    run_both_cores(sides, options.repeats)
                elif options.variants:
                    run_variants(sides, options.repeats)
                else:
                    wrong = run_sizes(sides, options.repeats)
        except BenchmarkError as error:
            wrong = [str(error)]
    for words in wrong:
        print(f"FAILED: {words}", file=sys.stderr)
    return 1 if wrong else 0


def warm_up(folder: Path, peer_python: str, peer: bool) -> None:
    """Compile everything once: bytecode of all sides, kernels for batches that fill their lanes and that do not."""
    write_case(folder, 100, dt_s="1")
    short = Sides(folder, peer_python, 100)
    cold = short.batch(17, "--measured", "--loading")
    short.batch(16)
    short.batch(17)
    short.single()
    if peer:
        short.peer()
    print(f"first start, compiling the kernels: {cold.cpu_s:.1f} CPU s; {OURS} at load {os.getloadavg()[0]:.2f}")


if __name__ == "__main__":
    sys.exit(main())
