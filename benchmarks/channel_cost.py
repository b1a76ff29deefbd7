"""What channels cost: of a batch closed loop's step, and by the message.

    python benchmarks/channel_cost.py --steps 1200 --repeats 3

A batch of the 123-bus feeder under OFO and under droop, with channels and without them one after the other, in CPU
seconds of this process: the least of all rounds against the least without them (what else runs on the machine only
adds), and round by round. Twice: with a single feasible batch size, so that controllers command all the time and change
nothing (both batches solve the very same power flows, which is checked, and what is more is the channels' own), and as
they act, where controllers that see less act otherwise, and other power flows have to be solved. Arrivals are worked
out in every run; compilation is done before. Then messages simulated per CPU second over links with a rate, one event
after the other.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import numpy as np

from g2g_opt.assembly import assemble
from g2g_opt.batch.simulator import run_batch
from g2g_opt.channel.transport import arrivals_s
from g2g_opt.communication import ChannelSpec, read_channels
from g2g_opt.feeder import Feeder
from g2g_opt.limits import Limits
from g2g_opt.plan import Plan, Policy, PolicyKind
from g2g_opt.scenario import Scenario
from g2g_opt.site import sized_site
from studies.shared.workload import measured_models

CHANNELS = {
    "udp": "udp:loss=0.2,latency=0.5,latency_kind=exponential",
    "tcp": "tcp:loss=0.3,latency=0.5",
    "tcp, droop in silence": "tcp:loss=0.3,latency=0.5,fail_safe=droop",
    "outage, safe": "ideal:outage=50-250,silence=20,fail_safe=safe",
    "bound": "udp:loss=0.6,age=1,stale=bound",
}


POLICIES: tuple[PolicyKind, ...] = ("ofo", "droop")


@dataclass(frozen=True)
class Batch:
    """A batch to time; `held`: with a single feasible batch size."""

    feeder: Feeder
    bus: str
    n: int
    steps: int

    def cpu_s(self, policy: PolicyKind, channels: str | None, seed: int, held: bool) -> tuple[float, tuple[bytes, ...]]:
        """CPU seconds of its run, assembly apart, and what its power flows came to."""
        models = measured_models(("llama-3.1-70b",), "H100", None, None, None, 128)
        if held:
            models = tuple((replace(spec, feasible_batch_sizes=(128,)), size) for spec, size in models)
        site = sized_site("site", self.bus, models, 400, 0.2)
        margin_pu = 0.003 if policy == "ofo" else 0.0
        acts = Policy(policy, margin_pu=margin_pu, channels=None if channels is None else read_channels(channels))
        plan = Plan((site,), policy=acts)
        scenario = Scenario(duration_s=self.steps, replica_ramps=((self.steps / 4, self.steps / 2, 1.0),), seed=seed)
        runs = [
            assemble(
                plan, replace(scenario, name=f"run {k}"), self.feeder, Limits(), trace_dir=Path("data/specs")
            ).coordinator
            for k in range(self.n)
        ]
        began_s = time.process_time()
        done = run_batch(runs)
        cpu_s = time.process_time() - began_s
        return cpu_s, tuple(run.summary.lowest_pu.tobytes() for run in done)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--feeder", default="ieee123")
    parser.add_argument("--bus", default="67")
    parser.add_argument("--scenarios", type=int, default=192)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--policies", nargs="+", choices=POLICIES, default=list(POLICIES))
    options = parser.parse_args()
    batch = Batch(Feeder.load(options.feeder), options.bus, options.scenarios, options.steps)
    ways = {"none": None, **CHANNELS}
    for policy in options.policies:
        for held in (True, False):
            compare(batch, policy, ways, options.repeats, held)
    messages()


def compare(batch: Batch, policy: PolicyKind, ways: dict[str, str | None], repeats: int, held: bool) -> None:
    """Every way beside the batch without channels in the same round."""
    print(f"{policy}, {'a single feasible batch size' if held else 'as it acts'}")
    for channels in ways.values():
        replace(batch, n=16, steps=100).cpu_s(policy, channels, 0, held)
    spent_s: dict[str, list[float]] = {name: [] for name in ways}
    for repeat in range(repeats):
        flows = {}
        for name, channels in ways.items():
            cpu_s, flows[name] = batch.cpu_s(policy, channels, repeat, held)
            spent_s[name].append(cpu_s)
        if held and len(set(flows.values())) > 1:
            raise SystemExit("batches with a single feasible batch size solved different power flows")
    for name, values in spent_s.items():
        more = [100.0 * (cpu_s / base_s - 1.0) for cpu_s, base_s in zip(values, spent_s["none"], strict=True)]
        us = 1e6 * min(values) / (batch.n * batch.steps)
        least, span = 100.0 * (min(values) / min(spent_s["none"]) - 1.0), f"({min(more):+.1f} to {max(more):+.1f})"
        print(
            f"  {name:22} {us:6.2f} us per scenario-step, {least:+6.1f} %; round by round {median(more):+.1f} % {span}"
        )


def messages() -> None:
    """Messages simulated per CPU second."""
    sent_s = np.arange(200_000) / 20_000.0
    for name, spec in (
        ("udp, rate 20,000/s", ChannelSpec("udp", latency_s=0.01, loss=0.2, rate_per_s=20_000.0)),
        ("tcp, rate 20,000/s", ChannelSpec("tcp", latency_s=0.01, loss=0.01, rate_per_s=20_000.0, queue=1000)),
        ("tcp, 1 Hz, loss 30 %", ChannelSpec("tcp", latency_s=0.01, loss=0.3)),
    ):
        times_s = sent_s if "rate" in name else np.arange(20_000.0)
        arrivals_s(spec, times_s[:100], 0, "warm")
        began_s = time.process_time()
        arrival_s = arrivals_s(spec, times_s, 0, name)
        cpu_s = time.process_time() - began_s
        there = float(np.isfinite(arrival_s).mean())
        print(f"{name:22} {len(times_s) / cpu_s:12,.0f} messages per CPU second, {100 * there:.1f} % delivered")


if __name__ == "__main__":
    main()
