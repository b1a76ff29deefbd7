"""What a closed-loop study says: the share of the ideal saving that is captured, infeasible hours, worst days."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from g2g_opt.transmission.system import load_zonal_system
from studies.coordination_policy.answer_parts import AnswerParts, percent_of, policy_files
from studies.coordination_policy.question import CoordinationQuestion
from studies.coordination_policy.rows import BoundRow, Floats, LoopRow, LostRow, TrainedPolicyRow
from studies.coordination_policy.zone_map import zone_map
from studies.shared.conclusion import Chart, Column, Line, MissingAnswer
from studies.shared.task import Row, TaskResult
from studies.shared.typed_rows import as_shown, columns_of, gather_as, table_of

_RUNS = columns_of(
    LoopRow,
    Column("penetration", "datacenters (share of peak)", secondary=True),
    "alpha q eps",
    Column("draw", "draw"),
    Column("cost_usd_per_h", "mean cost ($/h)", 0),
    Column("saving_pct", "saving (%)", 2),
    Column("captured_pct", "of the ideal (%)", 1),
    "outside_hours rejected_hours shed_hours waiting_hours latency_excess_mw training_s residual",
)
_BOUNDS = columns_of(
    BoundRow, "penetration alpha hours base_mean_usd_per_h ideal_mean_usd_per_h ideal_saving_pct base_shed_hours"
)
_DAYS = (
    Column("date", "day"),
    *columns_of(LoopRow, "alpha"),
    Column("q", "records", secondary=True),
    Column("eps", "eps", 1, secondary=True),
    Column("base_usd", "cost without coordination ($)", 0),
    Column("saving_usd", "saved, mean of draws ($)", 0),
    Column("ideal_usd", "ideal saving ($)", 0),
    Column("missed_usd", "missed ($)", 0),
)
_WORST_DAYS = 10
# An ideal saving below this share of the cost is a solver's tolerance: no share of it is told.
_NOTHING = 1e-6


def closed_loop_parts(question: CoordinationQuestion, results: Sequence[TaskResult]) -> AnswerParts:
    """Tables of runs, bounds and the days on which most was missed."""
    found = [row.ideal_everywhere() for row in gather_as(results, "bounds", BoundRow)]
    runs: list[Row] = []
    days: list[Row] = []
    answers, charts = [], []
    loops = gather_as(results, "loops", LoopRow)
    for bound in found:
        base, ideal = bound.base_cost, bound.ideal_cost
        trainings: dict[tuple[float, int], list[LoopRow]] = {}
        for row in loops:
            if (row.penetration, row.alpha) == (bound.penetration, bound.alpha):
                trainings.setdefault((row.eps, row.q), []).append(row)
        for (eps, q), own in trainings.items():
            alike = [
                as_shown(
                    row,
                    _RUNS,
                    {
                        "cost_usd_per_h": float(row.cost.mean()),
                        "saving_pct": 100.0 * float((base - row.cost).sum() / base.sum()),
                        "captured_pct": _captured(base, ideal, row.cost),
                    },
                )
                for row in own
            ]
            runs += alike
            answers.append(_answer(question, bound, alike))
            saved = base - np.mean([row.cost for row in own], axis=0)
            about = {"alpha": bound.alpha, "q": q, "eps": eps}
            days += [about | row for row in _worst_days(bound, saved)]
            words = f"alpha {bound.alpha:g}, {percent_of(bound.penetration)} % datacenters"
            words += f", eps {eps:g}, {q} hours" if len(trainings) > 1 else ""
            charts += _charts(words, saved, bound, own)
    worst = max((run["latency_excess_mw"] for run in runs), default=0.0)
    warnings = [f"a run exceeded what datacenters accept by {worst:z.3f} MW"] if worst > 0.0 else []
    if unsolved := max((row.unsolved_hours for row in found), default=0):
        warnings.append(f"{unsolved} hour(s) have no certified ideal dispatch; nothing is counted as saved there by it")
    return AnswerParts(
        "\n".join(answers) or "No policy ran.",
        (
            table_of("runs", "Policies in closed loop", _RUNS, runs),
            table_of("bounds", "Without coordination, and ideally coordinated", _BOUNDS, found),
            table_of("worst_days", "Days on which most of the ideal saving was missed", _DAYS, days),
        ),
        tuple(charts),
        failures=tuple(
            MissingAnswer(f"alpha {row.alpha:g}, q {row.q}, draw {row.draw + 1}, eps {row.eps:g}", row.reason)
            for row in gather_as(results, "lost", LostRow)
        ),
        warnings=tuple(warnings),
        texts=policy_files(gather_as(results, "policies", TrainedPolicyRow)),
    )


def _captured(base: Floats, ideal: Floats, cost: Floats) -> float | None:
    """Share (%) of the ideal saving; None where there is none."""
    room = float((base - ideal).sum())
    return 100.0 * float((base - cost).sum()) / room if room > _NOTHING * float(base.sum()) else None


def _answer(question: CoordinationQuestion, bound: BoundRow, runs: list[Row]) -> str:
    share = np.array([run["captured_pct"] for run in runs if run["captured_pct"] is not None])
    n, about = len(share), f"With {percent_of(bound.penetration)} % datacenters and alpha {bound.alpha:g}"
    if not n:
        return f"{about}, ideal coordination saves nothing in {bound.hours:,} hours."
    spread = f", {share.min():z.1f} to {share.max():z.1f} % over {n} trainings" if n > 1 else ""
    held = np.mean([run["outside_hours"] for run in runs])
    return (
        f"{about}, a policy that sees only what was measured before it acts (eps {runs[0]['eps']:g}, {runs[0]['q']} "
        f"hours) captured {share.mean():z.1f} % of the ideal saving ({bound.ideal_saving_pct:z.2f} % of the cost) in "
        f"{bound.hours:,} hours{spread}; its shift was outside what datacenters accept, and became one by "
        f"'{question.response}', in {held:z.0f} hours."
    )


def _by_day(values: Floats) -> Floats:
    return np.asarray(values.reshape(-1, 24).sum(axis=1))


def _worst_days(bound: BoundRow, saved: Floats) -> list[Row]:
    base, ideal = _by_day(bound.base_cost), _by_day(bound.base_cost - bound.ideal_cost)
    by_day = _by_day(saved)
    missed = ideal - by_day
    return [
        {
            "date": bound.dates[k],
            "base_usd": base[k],
            "saving_usd": by_day[k],
            "ideal_usd": ideal[k],
            "missed_usd": missed[k],
        }
        for k in np.argsort(missed)[::-1][:_WORST_DAYS]
    ]


def _charts(words: str, saved: Floats, bound: BoundRow, own: Sequence[LoopRow]) -> list[Chart]:
    days = list(bound.dates)
    lines = (
        Line("ideal", days, np.cumsum(_by_day(bound.base_cost - bound.ideal_cost)).tolist()),
        Line("policy, mean of trainings", days, np.cumsum(_by_day(saved)).tolist()),
    )
    system = load_zonal_system()
    flows = np.mean([row.flow_mw for row in own], axis=0)
    theta = np.mean([row.theta_mw for row in own], axis=0)
    return [
        Chart(f"Saved since the first day, {words}", "day", "$", lines),
        zone_map(f"Mean flows without coordination, {words}", system, bound.base_flow_mw, bound.base_theta_mw),
        zone_map(f"Mean flows with the policy, {words}", system, flows, theta),
    ]
