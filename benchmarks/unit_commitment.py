"""Day-ahead unit commitment with flexible datacenters: seconds, gap and cost of days, in this process.

    python benchmarks/unit_commitment.py --days 22
    python benchmarks/unit_commitment.py --days 22 --settings physical --gap 1e-4
    python benchmarks/unit_commitment.py --days 4 --all-at-once 120    # also as one program for HiGHS, for so many s

Days are spread evenly over the bundled ones. 24 hours, 39 generators, 11 zones; five flexible hours from 16 h on.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass
from statistics import mean
from typing import get_args

import numpy as np
from measuring import ROOT, machine, spread

sys.path.insert(0, str(ROOT))

from g2g_opt.transmission.series import ZonalSeries, load_bundled_series
from g2g_opt.transmission.system import SHED_USD_PER_MWH, Settings, load_zonal_system
from solvers.highs import solve_sparse_program
from solvers.outcome import SolverError
from solvers.task_allocation import allocate_tasks
from solvers.unit_commitment import solve_unit_commitment
from solvers.unit_commitment_matrices import commitment_program, even_tangents
from solvers.unit_commitment_problem import FlexibleDatacenters, UnitCommitmentProblem, Units

ALPHAS = (None, 0.0, 0.25, 1.0)
WINDOW = np.arange(16, 21)


@dataclass(frozen=True)
class Asked:
    settings: Settings
    penetration: float
    startup_ramps: str  # "free": a first hour on up to full output; "ramp": no faster than between hours on


def day_problem(asked: Asked, series: ZonalSeries, day: int, alpha: float | None) -> UnitCommitmentProblem:
    """Day `day` of the series; nothing is known of the hour before, and there are no minimum times."""
    system, hours = load_zonal_system(), slice(24 * day, 24 * day + 24)
    n = len(system.power_max_mw)
    none, at_once = np.zeros(n, dtype=np.int64), np.full(n, np.inf)
    units = Units(
        system.generator_zone,
        system.power_min_mw,
        system.power_max_mw,
        system.cost_usd_per_mwh,
        system.quadratic_usd_per_mw2h,
        system.startup_usd,
        system.ramp_up_mw_per_h,
        system.ramp_down_mw_per_h,
        at_once if asked.startup_ramps == "free" else system.ramp_up_mw_per_h,
        at_once if asked.startup_ramps == "free" else system.ramp_down_mw_per_h,
        none,
        none,
    )
    demand = system.datacenter_demand_mw(asked.penetration)
    work = allocate_tasks(system.latency, demand)
    centers = FlexibleDatacenters(
        system.datacenter_zone,
        system.latency,
        np.tile(demand, (24, 1)),
        np.tile(work.sum(axis=1), (24, 1)),
        np.full(24, float((work * system.latency).sum())),
        WINDOW,
        alpha,
    )
    return UnitCommitmentProblem(
        series.load_mw[hours],
        system.renewables_mw(series.wind_mw[hours], series.solar_mw[hours], asked.settings),
        units,
        system.transfer_factors(asked.settings),
        system.limit_mw,
        SHED_USD_PER_MWH,
        centers,
    )


def at_once(problem: UnitCommitmentProblem, gap: float, limit_s: float) -> str:
    """The same day as one mixed-integer program, tangents 10 $ an hour and unit off."""
    began_s = time.perf_counter()
    program, _ = commitment_program(problem, even_tangents(problem, 10.0))
    _, report = solve_sparse_program(program, mip_gap=gap, time_limit_s=limit_s)
    return f"; at once {time.perf_counter() - began_s:.1f} s, {report.objective:,.0f} $, gap {100 * report.gap:.3f} %"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=int, default=22)
    parser.add_argument("--settings", choices=get_args(Settings), action="append")
    parser.add_argument("--startup-ramps", choices=("free", "ramp"), default="free")
    parser.add_argument("--penetration", type=float, default=0.2)
    parser.add_argument("--gap", type=float, default=1e-3)
    parser.add_argument("--limit-s", type=float, default=120.0)
    parser.add_argument("--all-at-once", type=float, default=0.0, metavar="S")
    options = parser.parse_args()
    print(machine())
    series = load_bundled_series()
    days = np.linspace(0, len(series.days) - 1, options.days).round().astype(int).tolist()
    for settings in options.settings or get_args(Settings):
        asked = Asked(settings, options.penetration, options.startup_ramps)
        seconds: dict[float | None, list[float]] = {alpha: [] for alpha in ALPHAS}
        savings: dict[float | None, list[float]] = {alpha: [] for alpha in ALPHAS}
        charges: list[float] = []
        for day in days:
            without = None
            for alpha in ALPHAS:
                problem = day_problem(asked, series, day, alpha)
                where = f"{settings} {series.days[day]} alpha {alpha}"
                try:
                    found = solve_unit_commitment(problem, mip_gap=options.gap, time_limit_s=options.limit_s)
                except SolverError as error:
                    print(f"{where}: {error}", flush=True)
                    continue
                report = found.report
                seconds[alpha].append(report.seconds)
                if alpha is None:
                    without = report.objective
                    charges.append(float(found.charge_usd.sum()))
                elif without is not None:
                    savings[alpha].append(without - report.objective)
                beside = at_once(problem, options.gap, options.all_at_once) if options.all_at_once else ""
                print(
                    f"{where}: {report.seconds:.2f} s, {report.objective:,.0f} $, gap {100 * report.gap:.3f} %, "
                    f"{found.n_programs} programs, {report.status.value}{beside}",
                    flush=True,
                )
        for alpha in ALPHAS:
            saved = f", mean saving {mean(savings[alpha]):,.0f} $ a day" if savings[alpha] else ""
            print(f"{settings}, alpha {alpha}: {spread(seconds[alpha])} s (min / median / max){saved}")
        print(f"{settings}: uncoordinated charge of the window {mean(charges):,.0f} $ a day")
    return 0


if __name__ == "__main__":
    sys.exit(main())
