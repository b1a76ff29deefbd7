"""CPU and memory of live campaigns on loopback, for 10 to 1,000 nodes, beside those of the reference study.

    python benchmarks/live_nodes.py --seconds 20

Each campaign is a process of its own: an allocator and so many nodes with a socket each on one event loop, one report
and one allocation a second and node, signed and recorded. CPU is user and system time of that process (getrusage) while
all nodes are there, as a share of one core; memory is its largest resident set. The reference (ASGriDS) was measured by
its authors with psrecord over 30 s of simulation, on another machine, with a message every 1.13 s.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

NODES = (10, 20, 50, 100, 300, 500, 1000)
# nodes: mean share of a core (%), largest memory (MiB); cpu_mem/ps.*.2.out at commit 0549798, rows 3 to 300.
REFERENCE = {
    10: (8.7, 152.4),
    20: (12.9, 153.5),
    50: (22.9, 158.4),
    100: (39.4, 168.1),
    300: (94.9, 203.9),
    500: (114.7, 428.0),
}


def one(n_nodes: int, transport: str, seconds: float) -> dict[str, float]:
    import asyncio

    import numpy as np

    from g2g_opt.live.allocation import ProportionalRule
    from g2g_opt.live.campaign import run_campaign
    from g2g_opt.live.record import load_live_run
    from g2g_opt.live.settings import LiveSettings

    with tempfile.TemporaryDirectory() as folder:
        outcome = asyncio.run(
            run_campaign(
                {f"n{k}": lambda time_s: (30.0, 1.0) for k in range(n_nodes)},
                seconds,
                ProportionalRule(20.0 * n_nodes),
                LiveSettings(transport=transport),
                record_in=Path(folder),
            )
        )
        run = load_live_run(Path(folder))
    lost = {t: sum(int(np.isinf(v.arrived_s).sum()) for k, v in run.lanes.items() if k[2] == t) for t in _TOPICS}
    sent = {t: sum(len(v.sent_s) for k, v in run.lanes.items() if k[2] == t) for t in _TOPICS}
    late_s = np.concatenate([v.arrived_s - v.sent_s for v in run.lanes.values()])
    tally = outcome.tally
    return {
        "cpu": 100.0 * outcome.cpu_s / outcome.seconds,
        "memory": outcome.memory_mib,
        "reports": sent["report"],
        "reports_lost": lost["report"],
        "allocations": sent["allocation"],
        "allocations_lost": lost["allocation"],
        "delay_p99_ms": 1e3 * float(np.quantile(late_s[np.isfinite(late_s)], 0.99)),
        "other": sum(tally[name] for name in ("kernel_full", "queue_full", "unsent", "rule_late", "lost")),
        "refused": tally.n_refused,
    }


_TOPICS = ("report", "allocation")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--nodes", type=int, nargs="+", default=NODES)
    parser.add_argument("--transport", nargs="+", default=("udp", "tcp"))
    parser.add_argument("--one", action="store_true", help="run in this process and print JSON (what the others call)")
    options = parser.parse_args()
    if options.one:
        print(json.dumps(one(options.nodes[0], options.transport[0], options.seconds)))
        return
    print(f"load of the machine before: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    print(
        "nodes transport  core %  MiB  reports (lost)  allocations (lost)  99 % of delays  trouble  reference: %, MiB"
    )
    for transport in options.transport:
        for n_nodes in options.nodes:
            words = ["--one", "--nodes", str(n_nodes), "--transport", transport, "--seconds", str(options.seconds)]
            done = subprocess.run([sys.executable, __file__, *words], capture_output=True, text=True, check=True)
            row = json.loads(done.stdout.splitlines()[-1])
            reference = REFERENCE.get(n_nodes)
            told = f"{reference[0]:6.1f} {reference[1]:6.0f}" if reference else "       -"
            print(
                f"{n_nodes:5d} {transport:9s} {row['cpu']:6.1f} {row['memory']:5.0f}"
                f" {row['reports']:8d} ({row['reports_lost']})    {row['allocations']:8d} ({row['allocations_lost']})"
                f"      {row['delay_p99_ms']:8.1f} ms   {row['other'] + row['refused']:6d}   {told}",
                flush=True,
            )


if __name__ == "__main__":
    main()
