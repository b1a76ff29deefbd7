"""Day-ahead unit commitment with flexible datacenters: seconds, gap and cost of days, in this process.

    python benchmarks/unit_commitment.py --days 22
    python benchmarks/unit_commitment.py --days 22 --settings physical --gap 1e-4
    python benchmarks/unit_commitment.py --days 4 --all-at-once 120    # also as one program for HiGHS, for so many s
    python benchmarks/unit_commitment.py --systems 60 --record FILE    # random systems: the statement by HiGHS and SCIP

Days are spread evenly over the bundled ones. 24 hours, 39 generators, 11 zones; five flexible hours from 16 h on.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from statistics import mean
from typing import get_args

import numpy as np
from measuring import ROOT, machine, spread

sys.path.insert(0, str(ROOT))
sys.path.insert(0, str(ROOT / "tests" / "cross_check"))

from test_unit_commitment import small_problem

from g2g_opt.transmission.system import Settings
from solvers.highs import solve_sparse_program
from solvers.outcome import SolverError
from solvers.unit_commitment.matrices import commitment_program, even_tangents
from solvers.unit_commitment.problem import UnitCommitmentProblem
from solvers.unit_commitment.pyomo_solve import solve_unit_commitment_statement
from solvers.unit_commitment.solve import solve_unit_commitment
from studies.coordination_policy.day_ahead import day_problem, days_of
from studies.coordination_policy.hours import load_hours
from studies.coordination_policy.question import CoordinationQuestion
from studies.coordination_policy.setting import make_setting

ALPHAS = (None, 0.0, 0.25, 1.0)


def with_startup_ramps(problem: UnitCommitmentProblem) -> UnitCommitmentProblem:
    """The same with first and last hours on no faster than between hours on."""
    units = problem.units
    ramped = replace(units, startup_ramp_mw=units.ramp_up_mw, shutdown_ramp_mw=units.ramp_down_mw)
    return replace(problem, units=ramped)


def at_once(problem: UnitCommitmentProblem, gap: float, limit_s: float) -> str:
    """The same day as one mixed-integer program, tangents 10 $ an hour and unit off."""
    began_s = time.perf_counter()
    program, _ = commitment_program(problem, even_tangents(problem, 10.0))
    _, report = solve_sparse_program(program, mip_gap=gap, time_limit_s=limit_s)
    return f"; at once {time.perf_counter() - began_s:.1f} s, {report.objective:,.0f} $, gap {100 * report.gap:.3f} %"


def beside_statement(first: int, n_systems: int, record: Path | None, gap: float = 1e-6) -> None:
    """Minimum times, no-load and start costs, a state before: our optimum against the statement's by two solvers.

    Systems that `record` has a line of already are not solved again: a run that was stopped goes on where it was.
    """
    done = [json.loads(line) for line in record.read_text().splitlines()] if record and record.exists() else []
    known = {line["seed"] for line in done}
    for seed in range(first, n_systems):
        if seed in known:
            continue
        alpha = (None, 0.0, 0.3, 1.0)[seed % 4]
        problem = small_problem(seed, alpha=alpha, before=seed % 3 > 0, times=True, no_load=True, limit_mw=45.0)
        line: dict[str, float | None] = {"seed": seed, "alpha": alpha}
        for name in ("own", "highs", "scip"):
            cpu_s = time.process_time()
            if name == "own":
                found = solve_unit_commitment(problem, mip_gap=gap)
            else:
                found = solve_unit_commitment_statement(problem, name, mip_gap=gap, time_limit_s=600.0)
            line |= {name: found.report.objective, f"{name}_bound": found.report.bound}
            line[f"{name}_cpu_s"] = round(time.process_time() - cpu_s, 2)
        print(json.dumps(line), flush=True)
        done.append(line)
        if record:
            with record.open("a") as out:
                out.write(json.dumps(line) + "\n")
    for name in ("highs", "scip"):
        far = max(abs(line["own"] - line[name]) / line[name] for line in done)
        closed = sum(line[name] - line[f"{name}_bound"] <= 1.01 * gap * line[name] for line in done)
        print(
            f"{len(done)} random systems: {name} at most {far:.1e} of the cost away, {closed} of them closed to {gap:g}"
        )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=int, default=22)
    parser.add_argument("--settings", choices=get_args(Settings), action="append")
    parser.add_argument("--startup-ramps", choices=("free", "ramp"), default="free")
    parser.add_argument("--penetration", type=float, default=0.2)
    parser.add_argument("--gap", type=float, default=1e-3)
    parser.add_argument("--limit-s", type=float, default=120.0)
    parser.add_argument("--all-at-once", type=float, default=0.0, metavar="S")
    parser.add_argument("--systems", type=int, default=0)
    parser.add_argument("--first-system", type=int, default=0, help="of them, the first that is solved")
    parser.add_argument("--record", type=Path, help="where systems that are solved are kept, a line for each")
    options = parser.parse_args()
    print(machine())
    if options.systems:
        beside_statement(options.first_system, options.systems, options.record)
        return 0
    every_day = CoordinationQuestion(kind="day-ahead", first_date="2018-01-01", n_days=options.days)
    for settings in options.settings or get_args(Settings):
        setting = make_setting(settings, options.penetration, 0.0)
        hours = load_hours(replace(every_day, settings=settings), setting)
        seconds: dict[float | None, list[float]] = {alpha: [] for alpha in ALPHAS}
        savings: dict[float | None, list[float]] = {alpha: [] for alpha in ALPHAS}
        charges: list[float] = []
        for day in days_of(every_day, hours):
            first = int(np.searchsorted(hours.series.hour_begins, np.datetime64(day)))
            without = None
            for alpha in ALPHAS:
                problem = day_problem(setting, hours, first, alpha)
                if options.startup_ramps == "ramp":
                    problem = with_startup_ramps(problem)
                where = f"{settings} {day} alpha {alpha}"
                cpu_s = time.process_time()
                try:
                    found = solve_unit_commitment(problem, mip_gap=options.gap, time_limit_s=options.limit_s)
                except SolverError as error:
                    print(f"{where}: {error}", flush=True)
                    continue
                report = found.report
                seconds[alpha].append(time.process_time() - cpu_s)
                if alpha is None:
                    without = report.objective
                    charges.append(float(found.charge_usd.sum()))
                elif without is not None:
                    savings[alpha].append(without - report.objective)
                beside = at_once(problem, options.gap, options.all_at_once) if options.all_at_once else ""
                print(
                    f"{where}: {report.seconds:.2f} s ({seconds[alpha][-1]:.2f} CPU s), {report.objective:,.0f} $, "
                    f"gap {100 * report.gap:.3f} %, "
                    f"{found.n_programs} programs, {report.status.value}{beside}",
                    flush=True,
                )
        for alpha in ALPHAS:
            saved = f", mean saving {mean(savings[alpha]):,.0f} $ a day" if savings[alpha] else ""
            print(f"{settings}, alpha {alpha}: {spread(seconds[alpha])} CPU s (min / median / max){saved}")
        print(f"{settings}: uncoordinated charge of the window {mean(charges):,.0f} $ a day")
    return 0


if __name__ == "__main__":
    sys.exit(main())
