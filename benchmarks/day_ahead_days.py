"""Which days give the published day-ahead savings? Every day by itself, then every run of days beside the paper.

    python benchmarks/day_ahead_days.py --first 2018-01-01 --last 2018-02-28 --record FILE    # goes on where it stopped
    python benchmarks/day_ahead_days.py --record FILE --look    # only compares what is there

A line of the record is a day under one setting: cost, datacenters' charge from 16 to 20 h, and cost with units on in
part, without flexibility and at alpha 0, 0.25 and 1. Looked at are all runs of consecutive days, and all sets of days
at one distance; of each, how far (relative, root mean square) its means are from the paper's figures.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
from measuring import ROOT, machine

sys.path.insert(0, str(ROOT))

from g2g_opt.transmission.system import Settings
from solvers.outcome import SolverError
from solvers.unit_commitment.problem import UnitCommitmentProblem
from solvers.unit_commitment.solve import relaxed_commitment_usd, solve_unit_commitment
from studies.coordination_policy.day_ahead import day_problem
from studies.coordination_policy.hours import load_hours
from studies.coordination_policy.question import CoordinationQuestion
from studies.coordination_policy.setting import make_setting

ALPHAS = (None, 0.0, 0.25, 1.0)
# Savings ($ a day; what alpha 0.25 saves is told as "triples" only), saving with relaxed commitment at alpha 1, and
# charges (1,000 $) without flexibility and at alpha 0, 0.25 and 1.
PAPER = {"alpha 0": 137_812.0, "alpha 1": 445_059.0, "relaxed 1": 486_785.0}
CHARGES = {"charge": 2_804.0, "charge 0": 2_636.0, "charge 0.25": 2_328.0, "charge 1": 2_117.0}


def solved(problem: UnitCommitmentProblem, gap: float) -> dict[str, float]:
    found = solve_unit_commitment(problem, mip_gap=gap, time_limit_s=60.0)
    relaxed = relaxed_commitment_usd(problem, mip_gap=gap)
    return {"cost": found.cost.total, "charge": float(found.charge_usd.sum()), "relaxed": relaxed}


def record_days(options: argparse.Namespace, known: set[tuple[str, str, float]]) -> None:
    question = CoordinationQuestion(kind="day-ahead", first_date=options.first, last_date=options.last)
    setting = make_setting(options.settings, options.penetration, 0.0)
    hours = load_hours(replace(question, settings=options.settings), setting)
    for day in list(dict.fromkeys(hours.days()))[:: options.every]:
        if (day, options.settings, options.penetration) in known:
            continue
        first = int(np.searchsorted(hours.series.hour_begins, np.datetime64(day)))
        line: dict[str, object] = {"day": day, "settings": options.settings, "penetration": options.penetration}
        began_s = time.process_time()
        try:
            for alpha in ALPHAS:
                line[str(alpha)] = solved(day_problem(setting, hours, first, alpha), options.gap)
        except SolverError as error:
            line["reason"] = str(error)
        line["cpu_s"] = round(time.process_time() - began_s, 2)
        with options.record.open("a", encoding="utf-8") as out:
            out.write(json.dumps(line) + "\n")


def figures(line: dict[str, dict[str, float]]) -> dict[str, float]:
    """A day in the paper's figures."""
    base = line["None"]
    saved = {
        f"alpha {alpha}": base["cost"] - line[key]["cost"] for alpha, key in ((0, "0.0"), (0.25, "0.25"), (1, "1.0"))
    }
    charges = {f"charge {alpha}": line[key]["charge"] / 1e3 for alpha, key in ((0, "0.0"), (0.25, "0.25"), (1, "1.0"))}
    relaxed = {"relaxed 1": base["relaxed"] - line["1.0"]["relaxed"]}
    return saved | relaxed | {"charge": base["charge"] / 1e3} | charges


def look(lines: list[dict[str, dict[str, float]]], title: str, shown: int = 5) -> None:
    days = [str(line["day"]) for line in lines]
    table = np.array([list(figures(line).values()) for line in lines])
    names = list(figures(lines[0]))
    aims = PAPER | CHARGES
    at = [names.index(name) for name in aims]
    aim = np.array(list(aims.values()))
    found = []
    for step in range(1, 1 + len(days) // 5):
        for first in range(len(days)):
            for n in range(5, 1 + (len(days) - 1 - first) // step + 1):
                mean = table[first : first + step * n : step].mean(axis=0)
                off = float(np.sqrt(np.mean((mean[at] / aim - 1.0) ** 2)))
                found.append((off, days[first], n, step, mean))
    found.sort(key=lambda one: one[0])
    print(f"{title}: {len(days)} days, {len(found)} sets; the paper: {aims}")
    for off, day, n, step, mean in found[:shown]:
        words = ", ".join(f"{name} {value:,.0f}" for name, value in zip(names, mean, strict=True))
        print(f"  {100 * off:.1f} % off: {n} days from {day} on, every {step}: {words}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--first", default="2018-01-01")
    parser.add_argument("--last", default="2018-02-28")
    parser.add_argument("--every", type=int, default=1, help="days from one to the next")
    parser.add_argument("--settings", choices=get_args(Settings), default="published")
    parser.add_argument("--penetration", type=float, default=0.2)
    parser.add_argument("--gap", type=float, default=1e-3)
    parser.add_argument("--record", type=Path, required=True)
    parser.add_argument("--look", action="store_true")
    options = parser.parse_args()
    print(machine())

    def kept() -> list[dict[str, dict[str, float]]]:
        if not options.record.exists():
            return []
        return [json.loads(line) for line in options.record.read_text(encoding="utf-8").splitlines()]

    if not options.look:
        record_days(options, {(str(k["day"]), str(k["settings"]), float(str(k["penetration"]))) for k in kept()})
    by_setting: dict[tuple[str, str], list[dict[str, dict[str, float]]]] = {}
    for line in sorted(kept(), key=lambda one: str(one["day"])):
        if "reason" not in line:
            by_setting.setdefault((str(line["settings"]), str(line["penetration"])), []).append(line)
    for (settings, penetration), lines in by_setting.items():
        look(lines, f"{settings}, {penetration} of the peak load")


if __name__ == "__main__":
    main()
