"""A siting study's causal plan against hindsight over the year: brute force on the 13-bus feeder, best taps on any.

    python benchmarks/siting_brute_force.py --feeder ieee13
    python benchmarks/siting_brute_force.py --feeder ieee34 --switch-cost 0.5

On the 13-bus feeder: one PV plant of at most 1,000 kW at three buses, one 1.2 MW site at two buses that draws anything
between nothing and all of it. Brute force tries every placement, PV of none and of all its size, and by dynamic
programming every sequence of three tap settings through the 8,760 hours, limits kept at both ends of the utilisation,
each by a sequence of its own. The settings are fixed before any plan is known: where each regulator stands most of the
year on the feeder as it is, with its set-points as they are, 2 V lower and 2 V higher.
On any feeder: the taps of the study's own plan as hindsight would move them, regulator by regulator. Losses of the
causal plan are told as shares of what the optimum is worth against the feeder as it is.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "cross_check"))

from hindsight_of_plans import brute_force, built_cost, hours_of, settings_beforehand
from hindsight_taps import OUTSIDE, cost_of_way, hindsight

from g2g_opt.feeder import Feeder
from studies.pv_datacenter_siting.corrections import CorrectionRequest
from studies.pv_datacenter_siting.operated_chains import operation_of
from studies.pv_datacenter_siting.operated_year import operate_year
from studies.pv_datacenter_siting.operation import banks
from studies.pv_datacenter_siting.operation_rows import AS_IT_IS
from studies.pv_datacenter_siting.stored_plan import read_plan
from studies.pv_datacenter_siting.study import SitingStudy
from studies.pv_datacenter_siting.work import propose_plans
from studies.shared.site_choices import ServedModel, SiteChoice

SITE = SiteChoice("east", (ServedModel("Llama-3.1-70B-Instruct", n_gpus=1600),), candidates=("671", "680"))


def study_of(feeder: str, switch_cost: float) -> SitingStudy:
    if feeder != "ieee13":
        return SitingStudy(feeder=feeder, mode="pv", switch_cost=switch_cost)
    buses = ("632", "671", "675")
    return SitingStudy(feeder=feeder, mode="joint", pv_buses=buses, pv_count=1, switch_cost=switch_cost, sites=(SITE,))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--feeder", default="ieee13")
    parser.add_argument("--switch-cost", type=float, default=10.0)
    options = parser.parse_args()
    study, feeder = study_of(options.feeder, options.switch_cost), Feeder.find(options.feeder)
    tables = propose_plans(study, feeder, CorrectionRequest(), lambda words: print(words, flush=True))
    row = tables["plans"][0]
    case, plan = read_plan(study, feeder, str(row["json"]))
    operated = case.network.operated
    if operated is None:
        raise SystemExit("the plan has no operation")
    year = operate_year(case, plan, operated.set_points)
    base = next(one for one in tables["operation"] if one["what"] == AS_IT_IS)
    as_it_is = float(base["tap_cost"]) + float(base["losses_cost"])
    print(f"causal plan: PV {row['pv']}, sites {row['sites']}: costs {float(row['cost']):,.0f} $ a year", flush=True)

    def told(name: str, cost: float) -> None:
        costs = cost - as_it_is
        loss = float(row["cost"]) - costs
        print(
            f"{name}: costs {costs:,.0f} $ a year; the causal plan {loss:,.0f} $ more, {100 * loss / abs(costs):.2f} %"
        )

    began_s = time.process_time()
    operation = operation_of(feeder, study.limits.rating_basis)
    way = np.rint((year.series.taps_pu[0] - 1.0) / operation.step_pu).astype(np.int64)
    hours, every = hours_of(case, plan, study.levels[0]), np.arange(len(way))
    of_banks = [[operation.regulators.index(name) for name in bank] for bank in banks(operation.set_points())]
    best = hindsight(hours, way, study.switch_cost, of_banks, lambda words: print(words, flush=True))
    losses, steps = cost_of_way(hours, best, study.switch_cost)
    told(
        f"hindsight of the plan's taps ({steps:,} steps)",
        losses + study.switch_cost * steps + built_cost(case, plan, every),
    )
    print(f"{hours.n_flows:,} power flows, {time.process_time() - began_s:.0f} CPU s", flush=True)
    if options.feeder == "ieee13":
        began_s = time.process_time()
        settings = settings_beforehand(case)
        found = brute_force(case, plan, (study.pv_size_max_kw,), settings)
        if found.cost >= OUTSIDE:
            print(f"brute force: no sequence of {settings.tolist()} keeps the limits at any placement")
            return 0
        told(f"brute force, {found.n_placements} placements, tap settings {settings.tolist()}", found.cost)
        moved = int((np.diff(found.which) != 0).sum())
        print(
            f"best: PV {case.pv_words(found.plan)}, sites {case.site_words(found.plan)}, settings moved {moved} times"
        )
        price = case.hourly_price
        print(f"losses of the causal plan {float(price @ year.series.losses_kw[0]):,.0f} $", end="; ")
        print(f"{time.process_time() - began_s:.0f} CPU s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
