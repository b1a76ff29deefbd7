"""The ladder of limits of some buses, each rung and the size above it run again on OpenDSS.

    python benchmarks/ladder.py [--buses 13:632,671 34:850 123:67] [--duration-s 3600] [--taps "own control"]

A rung holds if OpenDSS keeps its criterion at that size, and is sharp if it breaks it, by that criterion, at the next
size that was simulated, at most 3 % or one server above. Prints one line a rung, and how many were confirmed.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace

from g2g_opt.evaluation import evaluate
from g2g_opt.plan import Plan
from g2g_opt.scenario import Scenario
from g2g_opt.site import sized_site
from studies.hosting_capacity.ladder import POWER_FLOW, Rung, broken_by
from studies.hosting_capacity.study import HostingCapacityStudy
from studies.hosting_capacity.work import search_aims


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--buses", nargs="+", default=["13:632,671", "34:850", "123:67"], metavar="FEEDER:BUS,BUS")
    parser.add_argument("--duration-s", type=int, default=3600)
    parser.add_argument("--taps", default=HostingCapacityStudy().taps)
    options = parser.parse_args()
    n_confirmed = n_rungs = 0
    for text in options.buses:
        feeder, _, buses = text.partition(":")
        for bus in buses.split(","):
            confirmed, rungs = climb(f"ieee{feeder}", bus, options.duration_s, options.taps)
            n_confirmed, n_rungs = n_confirmed + confirmed, n_rungs + rungs
    print(f"{n_confirmed} of {n_rungs} rungs that bind hold on OpenDSS and break above, by their own criterion")
    return 0 if n_confirmed == n_rungs else 1


def climb(feeder: str, bus: str, duration_s: int, taps: str) -> tuple[int, int]:
    """Search and confirm the rungs of one bus; (confirmed, rungs that bind)."""
    usual = HostingCapacityStudy()
    scenario = usual.scenario if duration_s == usual.scenario.duration_s else Scenario(duration_s=duration_s)
    study = replace(usual, feeder=feeder, buses=(bus,), taps=taps, operations=("firm",), scenario=scenario)
    began_s = time.process_time()
    (found,) = search_aims(study, dict.fromkeys(study.aims((bus,))))
    spent_s = time.process_time() - began_s
    answer = found.capacity.largest
    mw = answer.summary.power_peak_mw if answer is not None else 0.0
    print(f"{feeder} {bus}, {taps}: {mw:.2f} MW, {len(found.capacity.judged)} sizes in {spent_s:.0f} CPU s")
    confirmed = rungs = 0
    for rung in found.rungs:
        if rung.stopped_by is None or rung.criterion == POWER_FLOW:
            end = rung.ends_at.summary.power_peak_mw if rung.ends_at is not None else 0.0
            what = "the power flow ends"
            if rung.criterion != POWER_FLOW:
                what = "not reached" if rung.is_judged else "not judged"
            print(f"  {rung.criterion:<24} {what} at {end:.2f} MW")
            continue
        holds, breaks = confirm(study, bus, rung)
        rungs, confirmed = rungs + 1, confirmed + (holds and breaks)
        at = rung.below.summary.power_peak_mw if rung.below is not None else 0.0
        words = f"holds {'yes' if holds else 'NO'}, above {'breaks' if breaks else 'DOES NOT BREAK'}"
        print(f"  {rung.criterion:<24} {at:6.2f} MW, {rung.stopped_by}: {words}")
    return confirmed, rungs


def confirm(study: HostingCapacityStudy, bus: str, rung: Rung) -> tuple[bool, bool]:
    """Does OpenDSS keep the rung's criterion at its size, and break it at the next one?"""
    assert rung.n_rejected is not None
    below = rung.below.n_servers if rung.below is not None else 0
    assert rung.n_rejected - below <= max(1, 0.03 * below), (below, rung.n_rejected)
    verdicts = []
    for n in (below, rung.n_rejected):
        if n == 0:
            verdicts.append(True)
            continue
        site = sized_site("site", bus, study.load_models(), n, study.base_kw_per_gpu)
        plan = Plan((site,), tap_mode="own control" if study.taps == "own control" else "fixed")
        (outcome,) = evaluate(plan, study.load_feeder(), [study.scenario], study.limits, engine="opendss").outcomes
        verdicts.append(broken_by(outcome.verdict, rung.criterion) is None)
    return verdicts[0], not verdicts[1]


if __name__ == "__main__":
    sys.exit(main())
