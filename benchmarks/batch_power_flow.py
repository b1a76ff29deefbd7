"""Power flows of many scenarios at once, as in a closed-loop hour: against OpenDSS, growth, and the machine's bound.

    python benchmarks/batch_power_flow.py                   # all three parts
    python benchmarks/batch_power_flow.py flows             # microseconds per power flow next to OpenDSS, by feeder
    python benchmarks/batch_power_flow.py growth            # with nodes, sites, batch size, and taps that differ
    python benchmarks/batch_power_flow.py bound             # what the arithmetic and the caches allow

Everything runs in this process, on one core, in alternation: every repeat takes another stretch of the hour, times
OpenDSS on it (`Circuit.solve_block`, the fastest way we know to call it), then the batch, both from the solution of the
step before and with powers handed over each time. Times are CPU time; read the ratios.
"""

from __future__ import annotations

import os

from measuring import THREAD_VARIABLES, machine, spread

os.environ |= dict.fromkeys(THREAD_VARIABLES, "1")

import argparse
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from statistics import median

import numpy as np
from flow_cases import MORE_SITES, FlowCase, describe, recorded, synthetic
from machine_peak import Peak, count_work, measure_peak
from numpy.typing import NDArray

from g2g_opt.batch.moving_elements import Setting
from g2g_opt.batch.power_flow import BatchPowerFlow
from g2g_opt.circuit.opendss_circuit import Circuit
from g2g_opt.compiled.lanes import WIDTH

FEEDERS = ("ieee123", "ieee34", "ieee13")
SIZES = (16, 64, 256, 1024)
OPENDSS_TOLERANCE, OUR_TOLERANCE, REFERENCE_TOLERANCE = 1e-4, 1e-6, 1e-10
# Microseconds that our power flow may take at most (batches of 64 or more) where OpenDSS at 1e-4 takes these.
TARGET_US = {"ieee123": (5.0, 30.0), "ieee34": (2.0, 20.0), "ieee13": (0.8, 11.0)}
FLOWS, STEPS_MAX, OPENDSS_FLOWS, WARM_STEPS, SAMPLE = 12_000, 150, 150, 3, 4
SYNTHETIC_NODES = (500, 2000, 8000)
GROWTH_SIZES = (1, 4, 16, 64, 256, 1024)
TAP_STEP_PU, TAP_STEPS = 0.00625, 2
BY_LANE = "port blocks by lane"


@dataclass
class Timed:
    """Microseconds per power flow by repeat, network solves per flow, and the largest difference (pu) to OpenDSS."""

    us: list[float] = field(default_factory=list)
    solves: list[float] = field(default_factory=list)
    chunk_solves: list[float] = field(default_factory=list)
    difference_pu: float = 0.0


class BatchRunner:
    """A batch of one case: times stretches of the hour, and compares with OpenDSS at a tight tolerance."""

    def __init__(self, case: FlowCase, n: int, settings: Sequence[Setting] | None = None) -> None:
        self.case, self.n, self.timed = case, n, Timed()
        began = time.process_time()
        self.flow: BatchPowerFlow = case.flow(n, settings, OUR_TOLERANCE)
        self.set_up_s = time.process_time() - began
        nodes = case.jacobian.network.n_nodes
        self._steps = max(5, min(STEPS_MAX, FLOWS * 278 // (n * max(nodes, 278))))

    def run(self, first: int, reference: Circuit | None = None) -> float:
        """Time the stretch from step `first` on; returns microseconds per power flow."""
        flow, timed = self.flow, self.timed
        powers: list[NDArray[np.float64]] = []
        solves, chunk_solves = [], []
        for step in range(first, first + WARM_STEPS + self._steps):
            flow.solve(self.case.power_va(self.n, step))
            powers.append(flow.power.copy())
            if not flow.solved.all():
                raise SystemExit(f"{self.case.name}: a power flow did not converge")
            if step >= first + WARM_STEPS:
                solves.append(flow.iterations.mean())
                padded = np.pad(flow.iterations, (0, -self.n % WIDTH))
                chunk_solves.append(padded.reshape(-1, WIDTH).max(axis=1).mean())
        for power in powers[:WARM_STEPS]:
            flow.power[:] = power
            flow.solve()
        began = time.process_time()
        for power in powers[WARM_STEPS:]:
            flow.power[:] = power
            flow.solve()
        us = 1e6 * (time.process_time() - began) / (self._steps * self.n)
        timed.us.append(us)
        timed.solves.append(float(np.mean(solves)))
        timed.chunk_solves.append(float(np.mean(chunk_solves)))
        if reference is not None:
            self._compare(reference, first + WARM_STEPS + self._steps - 1)
        return us

    def _compare(self, reference: Circuit, step: int) -> None:
        for scenario in np.unique(np.linspace(0, self.n - 1, SAMPLE).astype(int)).tolist():
            run, at = self.case.place(scenario, step)
            reference.injection_kw[:], reference.injection_kvar[:] = self.case.kw[run, at], self.case.kvar[run, at]
            reference.solve()
            expected = np.abs(reference.node_voltages()) / reference.node_base_v
            worst = float(np.nanmax(np.abs(expected - self.flow.voltage_pu[:, scenario])))
            self.timed.difference_pu = max(self.timed.difference_pu, worst)


class OpenDSSRunner:
    """OpenDSS on the first recorded run of a case."""

    def __init__(self, case: FlowCase, tolerance: float) -> None:
        self.case, self.circuit = case, case.opendss(tolerance)
        self.us: list[float] = []
        self.iterations: list[int] = []
        nodes = case.jacobian.network.n_nodes
        self._n = max(10, OPENDSS_FLOWS * 278 // max(nodes, 278))

    def run(self, first: int) -> float:
        """Time the stretch from step `first` on; returns microseconds per power flow."""
        steps = np.arange(first, first + WARM_STEPS + self._n) % self.case.kw.shape[1]
        kw, kvar = self.case.kw[0, steps], self.case.kvar[0, steps]
        phasors = np.zeros((len(kw), len(self.circuit.node_bus)), dtype=np.complex128)
        self.circuit.solve_block(kw[:WARM_STEPS], kvar[:WARM_STEPS], phasors)
        began = time.process_time()
        solved = self.circuit.solve_block(kw[WARM_STEPS:], kvar[WARM_STEPS:], phasors)
        self.us.append(1e6 * (time.process_time() - began) / self._n)
        self.iterations.append(self.circuit.iterations)
        if solved < self._n:
            self.circuit.report_unsolved(self.case.name)
        return self.us[-1]


def stretches(repeats: int) -> Iterable[int]:
    """First steps of the repeats, over the hour."""
    return (3600 * k // repeats for k in range(repeats))


# --- (a) against OpenDSS


def show_flows(repeats: int) -> None:
    print(f"\nPower flows against OpenDSS: CPU us per flow, minimum / median / maximum of {repeats} repeats")
    for name in FEEDERS:
        case = recorded(name)
        reference = case.opendss(REFERENCE_TOLERANCE)
        default, same = OpenDSSRunner(case, OPENDSS_TOLERANCE), OpenDSSRunner(case, OUR_TOLERANCE)
        batches = [BatchRunner(case, n) for n in SIZES]
        ratios: dict[int, list[tuple[float, float]]] = {n: [] for n in SIZES}
        for first in stretches(repeats):
            for batch in batches:
                at_default, at_ours = default.run(first), same.run(first)
                ours = batch.run(first, reference)
                ratios[batch.n].append((at_default / ours, at_ours / ours))
        print(f"\n{name}: " + ", ".join(f"{count} {what}" for what, count in describe(case).items()))
        for opendss, tolerance in ((default, "1e-4"), (same, "1e-6")):
            iterations = np.mean(opendss.iterations)
            print(f"  OpenDSS at {tolerance}: {spread(opendss.us, '.1f')} us, about {iterations:.1f} iterations")
        target, at_opendss = TARGET_US[name]
        now = target * median(default.us) / at_opendss
        print(f"  target {target:g} us where OpenDSS takes {at_opendss:g} us: {now:.2f} us on this machine now")
        head = (
            "batch",
            "us per flow",
            "OpenDSS 1e-4 / ours",
            "OpenDSS 1e-6 / ours",
            "solves",
            "in chunk",
            "max |dV| pu",
        )
        print(("  {:>6}{:>24}{:>24}{:>24}{:>8}{:>10}{:>13}  {}").format(*head, "target"))
        for batch in batches:
            timed, (a, b) = batch.timed, zip(*ratios[batch.n], strict=True)
            verdict = f"{median(a) / (at_opendss / target):.2f} of its rate"
            print(
                f"  {batch.n:6d}{spread(timed.us):>24}{spread(a, '.1f'):>24}{spread(b, '.1f'):>24}"
                f"{np.mean(timed.solves):8.2f}{np.mean(timed.chunk_solves):10.2f}{timed.difference_pu:13.1e}  {verdict}"
            )


# --- (b) growth


def tap_settings(case: FlowCase, n: int) -> list[Setting]:
    """Taps up to two steps either way from the case's own, different in every scenario."""
    draw = np.random.default_rng(0)
    moved = draw.integers(-TAP_STEPS, TAP_STEPS + 1, (n, len(case.taps)))
    moved[:, 0] = np.arange(n) % (2 * TAP_STEPS + 1) - TAP_STEPS
    return [
        Setting(tuple((name, ratio + TAP_STEP_PU * int(by)) for (name, ratio), by in zip(case.taps, row, strict=True)))
        for row in moved
    ]


def show_growth(repeats: int) -> None:
    form = "  {:30}{:>6}{:>7}{:>9}{:>7}{:>7}{:>26}{:>8}{:>10}{:>22}{:>14}"
    head = ("", "batch", "nodes", "entries", "loads", "ports", "us per flow", "solves", "us/solve", "OpenDSS / ours")

    def compare(title: str, rows: Sequence[tuple[str, BatchRunner]], with_opendss: bool) -> None:
        """All rows in turn in every repeat, OpenDSS at 1e-4 before each if wanted."""
        print(f"\nGrowth with {title}: CPU us per flow, minimum / median / maximum of {repeats} repeats")
        print(form.format(*head, "set-up CPU s"))
        others = [OpenDSSRunner(runner.case, OPENDSS_TOLERANCE) if with_opendss else None for _, runner in rows]
        ratios: list[list[float]] = [[] for _ in rows]
        for first in stretches(repeats):
            for (_, runner), other, found in zip(rows, others, ratios, strict=True):
                theirs = other.run(first) if other is not None else float("nan")
                found.append(theirs / runner.run(first))
        for (name, runner), found in zip(rows, ratios, strict=True):
            timed, size = runner.timed, describe(runner.case).values()
            solves = float(np.mean(timed.chunk_solves))
            against = spread(found, ".1f") if with_opendss else "-"
            us = spread(timed.us), f"{solves:.2f}", f"{median(timed.us) / solves:.3f}", against
            print(form.format(name, runner.n, *size, *us, f"{runner.set_up_s:.2f}"))

    case = recorded("ieee123")
    feeders = [*(recorded(name) for name in reversed(FEEDERS)), *(synthetic(nodes) for nodes in SYNTHETIC_NODES)]
    compare("nodes", [(feeder.name, BatchRunner(feeder, 64)) for feeder in feeders], True)
    sites = []
    for n in (1, 2, 4, 8):
        buses = (*case.buses[:4], *MORE_SITES)[:n]
        # Eight sites draw what four do; the generators stay.
        like = case.with_sites((*buses, *case.buses[4:]), [*(k % 4 for k in range(n)), *range(4, len(case.buses))])
        share = np.repeat([min(1.0, 4.0 / n)] * n + [1.0] * (len(case.buses) - 4), 3)
        like = replace(like, kw=like.kw * share, kvar=like.kvar * share)
        sites.append((f"{n} sites", BatchRunner(like, 64)))
    compare("sites (123-bus)", sites, True)
    compare("batch size (123-bus)", [(f"batch {n}", BatchRunner(case, n)) for n in GROWTH_SIZES], False)
    moved = []
    for n in (64, 256):
        moved.append(("the same taps in all", BatchRunner(case, n)))
        grouped = [setting for setting in tap_settings(case, n // WIDTH) for _ in range(WIDTH)]
        moved.append(("a setting for every 16", BatchRunner(case, n, grouped)))
        moved.append(("a setting for every scenario", BatchRunner(case, n, tap_settings(case, n))))
    compare("tap settings (123-bus)", moved, False)


# --- (c) the bound


def show_bound(repeats: int) -> None:
    print("\nThe bound of one core, peaks measured next to every flow, batch 64: medians, ratios min / median / max")
    peaks: list[Peak] = []
    for name in FEEDERS:
        runner = BatchRunner(recorded(name), 64)
        shares: dict[str, list[float]] = {}
        bounds: list[dict[str, float]] = []
        for first in stretches(repeats):
            before = measure_peak()
            us = runner.run(first)
            peaks += [before, measure_peak()]
            solves = runner.timed.chunk_solves[-1]
            for peak in peaks[-2:]:
                bound = count_work(runner.flow, solves).bound_us(peak)
                by_lane = count_work(runner.flow, solves, blocks_by_lane=True).bound_us(peak)
                bound |= {f"{what}, {BY_LANE}": by_lane[what] for what in ("level 1", "level 2")}
                bounds.append(bound)
                for what, least in bound.items():
                    shares.setdefault(what, []).append(us / least if least else float("nan"))
        report_bound(name, runner, bounds, shares)
    rates = {key: median(getattr(peak, key) for peak in peaks) for key in vars(peaks[0])}
    print("\n  one core: " + ", ".join(f"{rate:.1f} {what.replace('_', ' ')}/ns" for what, rate in rates.items()))


def report_bound(
    name: str, runner: BatchRunner, bounds: list[dict[str, float]], shares: dict[str, list[float]]
) -> None:
    solves = float(np.mean(runner.timed.chunk_solves))
    work = count_work(runner.flow, solves)
    print(
        f"\n  {name}: {median(runner.timed.us):.2f} us per flow with {solves:.2f} solves; {work.multiply_adds:.0f} "
        f"multiply-adds, {work.divisions + work.roots:.0f} divisions and roots, {work.touched / 1e3:.1f} kB touched, "
        f"{work.swept / 1e3:.1f} kB swept; a chunk holds {work.resident / 1e3:.0f} kB"
    )
    least = {what: median(bound[what] for bound in bounds) for what in bounds[0]}
    applies = max((what for what in least if BY_LANE not in what), key=lambda what: least[what])
    for what, us in least.items():
        mark = "  <- applies" if what == applies else ""
        print(f"    {what:34}{us:8.3f} us at least; measured / bound {spread(shares[what], '.1f')}{mark}")


def main() -> None:
    parts = {"flows": show_flows, "growth": show_growth, "bound": show_bound}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=[*parts, []], help="what to run (default: all)")
    parser.add_argument("--repeats", type=int, default=7, help="stretches of the hour (default 7)")
    options = parser.parse_args()
    if options.repeats < 1:
        parser.error("--repeats must be 1 or more")
    print(machine())
    for name in options.parts or parts:
        parts[name](options.repeats)


if __name__ == "__main__":
    main()
