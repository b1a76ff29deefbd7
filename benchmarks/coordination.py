"""Coordination: seconds of one core for dispatch of all records, ideal coordination, and training, with certificates.

    python benchmarks/coordination.py
    python benchmarks/coordination.py --settings published --q 150,250,500

In this process, one thread, after a first dispatch that loads libraries; CPU seconds beside those of the clock.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from typing import TypeVar, get_args

from measuring import ROOT, machine

sys.path.insert(0, str(ROOT))

from g2g_opt.transmission.system import Settings
from solvers.policy_training.training import train_policy
from solvers.quadratic.program import OptimalityCertificate
from studies.coordination_policy.peak_hour import make_case
from studies.coordination_policy.question import CoordinationQuestion
from studies.coordination_policy.setting import draw_records

Found = TypeVar("Found")


def timed(run: Callable[[], Found]) -> tuple[Found, float, float]:
    began_s, cpu_s = time.perf_counter(), time.process_time()
    found = run()
    return found, time.perf_counter() - began_s, time.process_time() - cpu_s


def describe(name: str, wall_s: float, cpu_s: float, certificates: tuple[OptimalityCertificate, ...]) -> str:
    gap = max(one.gap for one in certificates)
    residual = max(max(one.primal_residual, one.dual_residual) for one in certificates)
    held = "certified" if all(one.holds for one in certificates) else "NOT certified"
    return f"{name}: {wall_s:.2f} s ({cpu_s:.2f} CPU s), gap {gap:.0e}, residual {residual:.0e}, {held}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--settings", choices=get_args(Settings), default="physical")
    parser.add_argument("--penetration", type=float, default=0.2)
    parser.add_argument("--alpha", type=float, default=0.25)
    parser.add_argument("--eps", type=float, default=10.0)
    parser.add_argument("--q", default="150,250,500")
    options = parser.parse_args()
    print(machine())
    question = CoordinationQuestion(settings=options.settings)
    case = make_case(question, options.penetration, options.alpha)
    load, injected, setting = case.records.load_mw, case.records.injected_mw, case.setting
    base, *seconds = timed(lambda: setting.dispatched(load, injected, setting.base_mw))
    print(describe(f"dispatch of {len(load)} records", *seconds, base.certificates))
    ideal, *seconds = timed(lambda: setting.ideal(load, injected))
    print(describe(f"ideal coordination of {len(load)} records", *seconds, ideal.certificates))
    for q in (int(part) for part in options.q.split(",")):
        train = draw_records(question.seed, 0, len(load), q)

        def fit(train=train):  # type: ignore[no-untyped-def]
            return train_policy(
                setting.dispatch,
                load[train],
                injected[train],
                setting.network,
                case.features[train],
                options.eps,
            )

        policy, *seconds = timed(fit)
        print(describe(f"training, {q} records, by {policy.solver}", *seconds, (policy.certificate,)), flush=True)


if __name__ == "__main__":
    main()
