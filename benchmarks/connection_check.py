"""Yes and no of `g2g check` against brute force: single runs on OpenDSS, one at a time, at random buses and MW.

    python benchmarks/connection_check.py --feeder ieee13 --requests 40 --seed 1

A yes is wrong if a single run breaks a limit; a no is wrong if the fleet of 2 % fewer MW keeps all of them, and so does
the one that was asked for. Of the first `--margins` requests the margin is searched too: by single runs the largest
size has to be kept, and the one 4 % above it refused.
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
    parser.add_argument("--margins", type=int, default=8)
    options = parser.parse_args()
    draw = np.random.default_rng(options.seed)
    base = ConnectionCheckStudy(feeder=options.feeder, year=None, remedies=())
    feeder, models = base.load_feeder(), base.load_models()
    counts = {"yes": 0, "no": 0, "wrong yes": 0, "wrong no": 0}
    ours_s = brute_s = 0.0
    margins = {"checked": 0, "largest refused": 0, "4 % more kept": 0}
    for k in range(options.requests):
        bus = str(draw.choice(feeder.candidate_buses))
        mw = float(np.exp(draw.uniform(np.log(0.2), np.log(options.mw_max))))
        began_s = time.process_time()
        n_servers = base.servers_for(mw, models)
        judge, with_margin = RequestJudge(base, bus, models), k < options.margins
        search = judge.with_margin(n_servers, "firm") if with_margin else judge.asked(n_servers, "firm")
        (judged,) = run_side_by_side(base, feeder, [search])
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
        if with_margin and 0 < judged.largest < 1.9 * n_servers:
            margins["checked"] += 1
            margins["largest refused"] += not keeps(judged.largest)
            margins["4 % more kept"] += keeps(int(1.04 * judged.largest) + 1)
        brute_s += time.process_time() - began_s
        counts["yes" if judged.kept else "no"] += 1
        counts["wrong yes"] += judged.kept and not truth
        counts["wrong no"] += wrong_no
        check = judged.deciding.verdict.binding
        print(
            f"{bus:>6} {mw:6.3f} MW {'yes' if judged.kept else 'no ':3} brute force {'yes' if truth else 'no'}: "
            f"{check}",
            flush=True,
        )
    print(counts, "margins", margins, f"check {ours_s:.0f} s, brute force {brute_s:.0f} s of processor")


if __name__ == "__main__":
    main()
