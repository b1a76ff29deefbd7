"""One side of `siting.py`: a siting study's plan on its days, or its first program with all rows at once."""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from g2g_opt.feeder import Feeder
from solvers.highs import solve_sparse_program
from solvers.siting.matrices import SitingMatrices
from studies.pv_datacenter_siting.case import days_of, make_case
from studies.pv_datacenter_siting.network import no_plan
from studies.pv_datacenter_siting.proposal import propose
from studies.pv_datacenter_siting.question import SitingQuestion


def question_of(feeder: str, mode: str, gap: float) -> SitingQuestion:
    """34-bus: at most 3 plants of 1,000 kW, 2,000 kW together; 123-bus: 3 plants of 500 kW and the four sites."""
    size_kw, total_kw = (1000.0, 2000.0) if feeder == "ieee34" else (500.0, None)
    return SitingQuestion(
        feeder=feeder,
        mode=mode,  # type: ignore[arg-type]
        taps="optimised",
        mip_gap=gap,
        pv_size_max_kw=size_kw,
        pv_total_max_kw=total_kw,
    )


def plan_study(question: SitingQuestion) -> dict[str, object]:
    """Rounds of propose, simulate, correct."""
    case = make_case(question, Feeder.find(question.feeder), days_of(question))
    found = propose(case, lambda words: None)
    best = found.best
    return {
        "holds": found.holds,
        "rounds": len(found.rounds),
        "gap": best.solution.report.gap,
        "cost": best.cost.total,
        "solver_s": sum(one.seconds for one in found.rounds),
        "over_max_pu": best.over_max,
        "rows_generated": len(best.solution.generated),
        "rows_all": best.solution.n_rows_all,
        "n_checked": int(best.simulated.g.size),
    }


def all_at_once(question: SitingQuestion, time_limit_s: float) -> dict[str, object]:
    """The first program with whole taps and every row of (8.2), violations at their price, as one model for HiGHS."""
    question = replace(question, violations="priced")
    case = make_case(question, Feeder.find(question.feeder), days_of(question))
    plan = no_plan(case.network, len(case.calendar.slot_day), case.sites)
    simulated = case.network.simulate(plan)
    problem = case.problem(case.network.linearize(plan, simulated, np.full(simulated.g.shape, question.margin_pu)))
    rows = [
        (i, p, side) for side in (1, -1) for i in range(len(problem.rows.constant)) for p in range(problem.n_points)
    ]
    own = SitingMatrices(problem, rows)
    # c <= S sun everywhere, so that nothing has to be generated.
    own.capped = {(j, p): None for p in own.curtailed for j in range(problem.pv.n)}
    program = own.program(whole_taps=True)
    _, report = solve_sparse_program(program, time_limit_s=time_limit_s, mip_gap=question.mip_gap)
    return {
        "status": report.status.value,
        "gap": report.gap,
        "cost": report.objective,
        "solver_s": report.seconds,
        "rows": program.matrix.shape[0],
        "columns": program.matrix.shape[1],
        "nonzeros": int(program.matrix.nnz),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("feeder")
    parser.add_argument("mode", choices=("pv", "dc", "joint"))
    parser.add_argument("gap", type=float)
    parser.add_argument("--all-at-once", type=float, metavar="S", help="one model, for so many seconds")
    parser.add_argument("--result", type=Path, required=True)
    options = parser.parse_args()
    question = question_of(options.feeder, options.mode, options.gap)
    began_s = time.process_time()
    found = plan_study(question) if options.all_at_once is None else all_at_once(question, options.all_at_once)
    found["cpu_s"] = time.process_time() - began_s
    options.result.write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main()
