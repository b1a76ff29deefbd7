"""Losses and ages of live UDP campaigns through the relay, beside the simulator's on the same sending times.

    python benchmarks/live_age.py --nodes 200 --period-s 0.25 --seconds 20

For every loss: the share of reports delivered and how many standard deviations that is from 1 - p; the mean age of
information of the live lanes (from a node's second report on, so that joining is over), that of the simulator's
arrivals for messages sent at the very same times, and 1/(1 - p) - 1/2 periods, which holds where sending is regular.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from pathlib import Path

import numpy as np

from g2g_opt.channel.age import mean_age_s
from g2g_opt.channel.transport import arrivals_s
from g2g_opt.communication import ChannelSpec
from g2g_opt.live.allocation import ProportionalRule
from g2g_opt.live.campaign import run_campaign
from g2g_opt.live.record import load_live_run
from g2g_opt.live.settings import LiveSettings

# Draws of the simulator for every lane.
_DRAWS = 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, default=200)
    parser.add_argument("--period-s", type=float, default=0.25)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--loss", type=float, nargs="+", default=[0.1, 0.2, 0.3, 0.6])
    options = parser.parse_args()
    measures = {f"n{k}": lambda time_s: (30.0, 1.0) for k in range(options.nodes)}
    for loss in options.loss:
        spec = ChannelSpec("udp", loss=loss)
        settings = LiveSettings(period_s=options.period_s, silence_s=max(5.0, 20.0 * options.period_s))
        with tempfile.TemporaryDirectory() as folder:
            rule = ProportionalRule(20.0 * options.nodes)
            asyncio.run(run_campaign(measures, options.seconds, rule, settings, channel=spec, record_in=Path(folder)))
            run = load_live_run(Path(folder))
        lanes = [lane for name, lane in run.lanes.items() if name[2] == "report" and len(lane.sent_s) > 10]
        n = sum(len(lane.sent_s) for lane in lanes)
        delivered = sum(int(np.isfinite(lane.arrived_s).sum()) for lane in lanes) / n
        sigma = (loss * (1.0 - loss) / n) ** 0.5
        delay_s = np.concatenate([lane.arrived_s - lane.sent_s for lane in lanes])
        delay_s = float(delay_s[np.isfinite(delay_s)].mean())
        live, simulated, seconds = 0.0, 0.0, 0.0
        for k, lane in enumerate(lanes):
            sent_s, end_s = lane.sent_s, float(lane.sent_s[-1])
            length_s = end_s - float(sent_s[0])
            live += length_s * mean_age_s(sent_s, lane.arrived_s, end_s)
            draws = [arrivals_s(spec, sent_s, 0, "age", k, draw) + delay_s for draw in range(_DRAWS)]
            simulated += length_s * float(np.mean([mean_age_s(sent_s, one, end_s) for one in draws]))
            seconds += length_s
        regular_s = options.period_s * (1.0 / (1.0 - loss) - 0.5)
        print(
            f"loss {100 * loss:g} %: {n} reports of {len(lanes)} nodes, delivered {100 * delivered:.2f} % "
            f"({(delivered - 1.0 + loss) / sigma:+.1f} sigma); mean age {live / seconds:.4f} s live, "
            f"{simulated / seconds:.4f} s simulated ({100 * (live / simulated - 1.0):+.1f} %), {regular_s:.4f} s by "
            f"formula; a message takes {1000 * delay_s:.1f} ms"
        )


if __name__ == "__main__":
    main()
