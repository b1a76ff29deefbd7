"""Does OFO find its way from whichever batch size a fleet begins at? Violation in a fixed hour, for every start.

    python benchmarks/ofo_starts.py

Fleets whose curves misled it once: power that is not monotone in the batch size (Qwen3-235B on four B200), and one
that is flat in a fit over sizes that the model may not use (Qwen3-30B-A3B on one). They stand at bus 671 of the 13-bus
feeder with 1,500 kW of facility load, through the fixed hour of the OpenG2G paper (`PUBLISHED_HOUR`), in steps of 1 s.
Prints a line a start: integral violation (pu s) without coordination, under droop and under OFO, and for how long OFO
had nothing better to set. Ends with status 1 if OFO leaves more than was asked for, or 5 % more from one start than
from another.
"""

from __future__ import annotations

import sys

from measuring import ROOT, machine

sys.path.insert(0, str(ROOT))

from g2g_opt.feeder import Feeder
from g2g_opt.limits import Limits
from g2g_opt.plan import Plan, Policy
from g2g_opt.simulation import simulate_runs
from g2g_opt.site import Deployment, Site
from studies.ai_choices.choices import AIChoice
from studies.ai_choices.question import PUBLISHED_HOUR

BASE_KW = 1500.0
# Choice, replicas, and the violation (pu s) that OFO was asked to stay below.
FLEETS = (
    ("a=qwen3-235b-a22b-thinking-2507@B200:gpqa:bfloat16:4:100", 1036, 150.0),
    ("a=qwen3-235b-a22b-instruct-2507@B200:lm-arena-chat:bfloat16:4:100", 1036, 150.0),
    ("a=qwen3-30b-a3b-instruct-2507@B200:lm-arena-chat:bfloat16:1:50", 3428, 40.0),
)
KINDS = ("none", "droop", "ofo")


def main() -> int:
    print(machine())
    feeder, good = Feeder.load("ieee13"), True
    for text, n_replicas, most_pu_s in FLEETS:
        choice = AIChoice.parse(text)
        spec = choice.spec()
        starts = spec.feasible_batch_sizes
        base_kw_per_gpu = BASE_KW / (n_replicas * spec.gpus_per_replica)
        plans = [
            Plan(
                (Site("fleet", "671", (Deployment(spec, n_replicas, start),), base_kw_per_gpu),),
                policy=Policy(kind),  # type: ignore[arg-type]
            )
            for start in starts
            for kind in KINDS
        ]
        runs = simulate_runs([(plan, PUBLISHED_HOUR) for plan in plans], feeder, Limits())
        left = [run.voltage.integral_violation_pu_s for run in runs[KINDS.index("ofo") :: len(KINDS)]]
        good = good and max(left) < min(most_pu_s, 1.05 * min(left))
        print(f"{choice.name}, {n_replicas} replicas")
        for k, start in enumerate(starts):
            own = runs[len(KINDS) * k : len(KINDS) * (k + 1)]
            none, droop, ofo = (run.voltage.integral_violation_pu_s for run in own)
            idle_s = sum(site.exhausted_control_steps for site in own[2].summary.sites)
            print(
                f"  from {start:5}: none {none:7.1f}, droop {droop:7.1f}, OFO {ofo:7.1f} pu s, "
                f"{own[2].summary.batch_switches} switches, nothing better to set for {idle_s} s"
            )
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
