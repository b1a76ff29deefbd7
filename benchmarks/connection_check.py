"""Yes and no of `g2g check` against brute force: single runs on OpenDSS, one at a time, at random buses and MW.

    python benchmarks/connection_check.py --feeder ieee13 --requests 40 --seed 1

A yes is wrong if a single run breaks a limit; a no is wrong if the fleet of 2 % fewer MW keeps all of them, and so does
the one that was asked for.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from g2g_opt.evaluation import evaluate
from g2g_opt.plan import Plan
from studies.connection_check.judging import RequestJudge
from studies.connection_check.study import ConnectionCheckStudy
from studies.shared.side_by_side import run_side_by_side

# Of the capacity: a no up to this share below it is within what was asked.
_TOLERANCE = 0.02


def main() -> None:
    """Print a line for every request, and the counts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--feeder", default="ieee13")
    parser.add_argument("--requests", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--mw-max", type=float, default=3.0)
    options = parser.parse_args()
    draw = np.random.default_rng(options.seed)
    base = ConnectionCheckStudy(feeder=options.feeder, year=None, remedies=())
    feeder, models = base.load_feeder(), base.load_models()
    counts = {"yes": 0, "no": 0, "wrong yes": 0, "wrong no": 0}
    ours_s = brute_s = 0.0
    for _ in range(options.requests):
        bus = str(draw.choice(feeder.candidate_buses))
        mw = float(np.exp(draw.uniform(np.log(0.2), np.log(options.mw_max))))
        began_s = time.process_time()
        n_servers = base.servers_for(mw, models)
        (judged,) = run_side_by_side(base, feeder, [RequestJudge(base, bus, models).asked(n_servers, "firm")])
        ours_s += time.process_time() - began_s
        began_s = time.process_time()

        def keeps(n: int, bus: str = bus) -> bool:
            plan = Plan((base.site("site", bus, models, n),), tap_mode="own control")
            return all(
                evaluate(plan, feeder, [scenario], base.limits, engine="opendss").accepted
                for scenario in base.scenarios("firm")
            )

        truth = keeps(n_servers)
        wrong_no = not judged.kept and truth and keeps(int((1.0 - _TOLERANCE) * n_servers))
        brute_s += time.process_time() - began_s
        counts["yes" if judged.kept else "no"] += 1
        counts["wrong yes"] += judged.kept and not truth
        counts["wrong no"] += wrong_no
        check = judged.deciding.verdict.binding
        print(
            f"{bus:>6} {mw:6.3f} MW {'yes' if judged.kept else 'no ':3} brute force {'yes' if truth else 'no'}: {check}"
        )
    print(counts, f"check {ours_s:.0f} s, brute force {brute_s:.0f} s of processor")


if __name__ == "__main__":
    main()
