"""What channels cost: of a batch closed loop's step, and by the message.

    python benchmarks/channel_cost.py --steps 300 --repeats 5

A batch of the 123-bus feeder under OFO, with channels and without them one after the other, in CPU seconds of this
process: what counts is the ratio to the batch without them in the same round. First that of the channels' own code
(tables of arrivals, what is seen, what arrives, fail-safes), then that of the whole batch, which also takes longer or
shorter because controllers that see less act otherwise. Arrivals are worked out in every run; compilation
is done before. Then messages simulated per CPU second over links with a rate, one event after the other.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median

import numpy as np

from g2g_opt.assembly import assemble
from g2g_opt.batch.channels import BatchChannels
from g2g_opt.batch.simulator import run_batch
from g2g_opt.channel.transport import arrivals_s
from g2g_opt.communication import ChannelSpec, read_channels
from g2g_opt.feeder import Feeder
from g2g_opt.limits import Limits
from g2g_opt.plan import Plan, Policy
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


class OwnTime:
    """CPU time (s) spent in some methods of a class since `spent_s` was set to 0."""

    def __init__(self, cls: type, names: Sequence[str]) -> None:
        self.spent_s = 0.0
        for name in names:
            setattr(cls, name, self._timed(getattr(cls, name)))

    def _timed(self, method: Callable[..., object]) -> Callable[..., object]:
        def timed(*args: object) -> object:
            began_s = time.thread_time()
            try:
                return method(*args)
            finally:
                self.spent_s += time.thread_time() - began_s

        return timed


OWN = OwnTime(BatchChannels, ("__init__", "begin", "measure", "close"))


def batch_cpu_s(feeder: Feeder, bus: str, n: int, steps: int, channels: str | None, seed: int) -> tuple[float, float]:
    """CPU seconds of a batch, assembly apart, and of the channels' own code in it."""
    models = measured_models(("llama-3.1-70b",), "H100", None, None, None, 128)
    site = sized_site("site", bus, models, 400, 0.2)
    policy = Policy("ofo", margin_pu=0.003, channels=None if channels is None else read_channels(channels))
    plan = Plan((site,), policy=policy)
    scenario = Scenario(duration_s=steps, replica_ramps=((steps / 4, steps / 2, 1.0),), seed=seed)
    runs = [
        assemble(plan, replace(scenario, name=f"run {k}"), feeder, Limits(), trace_dir=Path("data/specs")).coordinator
        for k in range(n)
    ]
    OWN.spent_s, began_s = 0.0, time.process_time()
    run_batch(runs)
    return time.process_time() - began_s, OWN.spent_s


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--feeder", default="ieee123")
    parser.add_argument("--bus", default="67")
    parser.add_argument("--scenarios", type=int, default=192)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    feeder = Feeder.load(options.feeder)
    ways = {"none": None, **CHANNELS}
    for channels in ways.values():
        batch_cpu_s(feeder, options.bus, 16, 100, channels, 0)
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for repeat in range(options.repeats):
        for name, channels in ways.items():
            spent_s = batch_cpu_s(feeder, options.bus, options.scenarios, options.steps, channels, repeat)
            found[name].append(spent_s)
    steps = options.scenarios * options.steps
    for name, values in found.items():
        without_s = [whole_s for whole_s, _ in found["none"]]
        own = [100.0 * own_s / base_s for (_, own_s), base_s in zip(values, without_s, strict=True)]
        whole = [100.0 * (whole_s / base_s - 1.0) for (whole_s, _), base_s in zip(values, without_s, strict=True)]
        print(
            f"{name:22} {1e6 * median(whole_s for whole_s, _ in values) / steps:8.2f} us per scenario-step, own code"
            f" {median(own):4.1f} % ({min(own):.1f} to {max(own):.1f}), the batch {median(whole):+.1f} %"
            f" ({min(whole):+.1f} to {max(whole):+.1f})"
        )
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
