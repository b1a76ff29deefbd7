"""What a closed-loop study says: the share of the ideal saving that is captured, infeasible hours, worst days."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from g2g_opt.transmission.system import load_zonal_system
from studies.coordination_policy.answer_parts import AnswerParts, percent_of, policy_files, table
from studies.coordination_policy.question import CoordinationQuestion
from studies.coordination_policy.zone_map import zone_map
from studies.shared.conclusion import Chart, Column, Line, MissingAnswer
from studies.shared.task import Row, TaskResult, gather

_RUNS = (
    Column("penetration", "datacenters (share of peak)", secondary=True),
    Column("alpha", "alpha", 2),
    Column("q", "records"),
    Column("eps", "eps", 1),
    Column("draw", "draw"),
    Column("cost", "mean cost ($/h)", 0),
    Column("saving", "saving (%)", 2),
    Column("captured", "of the ideal (%)", 1),
    Column("outside_hours", "hours held back"),
    Column("rejected_hours", "hours rejected by the grid"),
    Column("shed_hours", "hours with load shed", secondary=True),
    Column("waiting_hours", "hours without figures", secondary=True),
    Column("latency_excess_mw", "latency excess (MW)", 4, secondary=True),
    Column("training_s", "training (s)", 1, secondary=True),
    Column("residual", "certificate", 9, secondary=True),
)
_BOUNDS = (
    Column("penetration", "datacenters (share of peak)"),
    Column("alpha", "alpha", 2),
    Column("hours", "hours"),
    Column("base_mean", "cost without coordination ($/h)", 0),
    Column("ideal_mean", "ideal ($/h)", 0),
    Column("ideal_saving", "ideal saving (%)", 2),
    Column("base_shed_hours", "hours with load shed"),
)
_DAYS = (
    Column("date", "day"),
    Column("alpha", "alpha", 2),
    Column("q", "records", secondary=True),
    Column("eps", "eps", 1, secondary=True),
    Column("base", "cost without coordination ($)", 0),
    Column("saving", "saved, mean of draws ($)", 0),
    Column("ideal", "ideal saving ($)", 0),
    Column("missed", "missed ($)", 0),
)
_WORST_DAYS = 10
# An ideal saving below this share of the cost is a solver's tolerance: no share of it is told.
_NOTHING = 1e-6


def closed_loop_parts(question: CoordinationQuestion, results: Sequence[TaskResult]) -> AnswerParts:
    """Tables of runs, bounds and the days on which most was missed."""
    bounds = {(row["penetration"], row["alpha"]): _ideal_everywhere(row) for row in gather(results, "bounds")}
    runs: list[Row] = []
    days: list[Row] = []
    answers, charts = [], []
    loops = gather(results, "loops")
    for key, bound in bounds.items():
        base, ideal = np.asarray(bound["base_cost"]), np.asarray(bound["ideal_cost"])
        trainings: dict[tuple[float, int], list[Row]] = {}
        for row in loops:
            if (row["penetration"], row["alpha"]) == key:
                trainings.setdefault((row["eps"], row["q"]), []).append(row)
        for (eps, q), own in trainings.items():
            costs = [np.asarray(row["cost"]) for row in own]
            alike = [
                row
                | {
                    "cost": float(cost.mean()),
                    "saving": 100.0 * float((base - cost).sum() / base.sum()),
                    "captured": _captured(base, ideal, cost),
                }
                for row, cost in zip(own, costs, strict=True)
            ]
            runs += alike
            answers.append(_answer(question, key, bound, alike))
            saved = base - np.mean(costs, axis=0)
            about = {"alpha": key[1], "q": q, "eps": eps}
            days += [about | row for row in _worst_days(bound, base, ideal, saved)]
            words = f"alpha {key[1]:g}, {percent_of(key[0])} % datacenters"
            words += f", eps {eps:g}, {q} hours" if len(trainings) > 1 else ""
            charts += _charts(words, base, ideal, saved, bound, own)
    shown = [
        row
        | {
            "base_mean": float(np.mean(row["base_cost"])),
            "ideal_mean": float(np.mean(row["ideal_cost"])),
            "ideal_saving": 100.0 * (1.0 - float(np.sum(row["ideal_cost"]) / np.sum(row["base_cost"]))),
        }
        for row in bounds.values()
    ]
    worst = max((run["latency_excess_mw"] for run in runs), default=0.0)
    warnings = [f"a run exceeded what datacenters accept by {worst:.3f} MW"] if worst > 0.0 else []
    if unsolved := max((row["unsolved_hours"] for row in bounds.values()), default=0):
        warnings.append(f"{unsolved} hour(s) have no certified ideal dispatch; nothing is counted as saved there by it")
    return AnswerParts(
        "\n".join(answers) or "No policy ran.",
        (
            table("runs", "Policies in closed loop", _RUNS, runs),
            table("bounds", "Without coordination, and ideally coordinated", _BOUNDS, shown),
            table("worst_days", "Days on which most of the ideal saving was missed", _DAYS, days),
        ),
        tuple(charts),
        failures=tuple(
            MissingAnswer(f"alpha {r['alpha']:g}, q {r['q']}, draw {r['draw'] + 1}, eps {r['eps']:g}", r["reason"])
            for r in gather(results, "lost")
        ),
        warnings=tuple(warnings),
        texts=policy_files(gather(results, "policies")),
    )


def _ideal_everywhere(bound: Row) -> Row:
    """The row with the cost without coordination in hours that have no ideal one."""
    ideal = np.asarray(bound["ideal_cost"], dtype=np.float64)
    return bound | {"ideal_cost": np.where(np.isfinite(ideal), ideal, np.asarray(bound["base_cost"]))}


def _captured(base: np.ndarray, ideal: np.ndarray, cost: np.ndarray) -> float | None:
    """Share (%) of the ideal saving; None where there is none."""
    room = float((base - ideal).sum())
    return 100.0 * float((base - cost).sum()) / room if room > _NOTHING * float(base.sum()) else None


def _answer(question: CoordinationQuestion, key: tuple[float, float], bound: Row, runs: list[Row]) -> str:
    share = np.array([run["captured"] for run in runs if run["captured"] is not None])
    n = len(share)
    if not n:
        return (
            f"With {percent_of(key[0])} % datacenters and alpha {key[1]:g}, ideal coordination saves nothing in "
            f"{bound['hours']:,} hours."
        )
    ideal = 100.0 * (1.0 - float(np.sum(bound["ideal_cost"]) / np.sum(bound["base_cost"])))
    spread = f", {share.min():.1f} to {share.max():.1f} % over {n} trainings" if n > 1 else ""
    held = np.mean([run["outside_hours"] for run in runs])
    return (
        f"With {percent_of(key[0])} % datacenters and alpha {key[1]:g}, a policy that sees only what was measured "
        f"before it acts (eps {runs[0]['eps']:g}, {runs[0]['q']} hours) captured {share.mean():.1f} % of the ideal "
        f"saving ({ideal:.2f} % of the cost) in {bound['hours']:,} hours{spread}; its shift was outside what "
        f"datacenters accept, and became one by '{question.response}', in {held:.0f} hours."
    )


def _by_day(values: np.ndarray) -> np.ndarray:
    return np.asarray(values.reshape(-1, 24).sum(axis=1))


def _worst_days(bound: Row, base: np.ndarray, ideal: np.ndarray, saved: np.ndarray) -> list[Row]:
    missed = _by_day(base - ideal - saved)
    rows = []
    for day in np.argsort(missed)[::-1][:_WORST_DAYS]:
        rows.append(
            {
                "date": bound["dates"][day],
                "base": _by_day(base)[day],
                "saving": _by_day(saved)[day],
                "ideal": _by_day(base - ideal)[day],
                "missed": missed[day],
            }
        )
    return rows


def _charts(
    words: str, base: np.ndarray, ideal: np.ndarray, saved: np.ndarray, bound: Row, own: Sequence[Row]
) -> list[Chart]:
    days = list(bound["dates"])
    lines = (
        Line("ideal", days, np.cumsum(_by_day(base - ideal)).tolist()),
        Line("policy, mean of trainings", days, np.cumsum(_by_day(saved)).tolist()),
    )
    system = load_zonal_system()
    flows = np.mean([row["flow_mw"] for row in own], axis=0).tolist()
    theta = np.mean([row["theta_mw"] for row in own], axis=0).tolist()
    return [
        Chart(f"Saved since the first day, {words}", "day", "$", lines),
        zone_map(f"Mean flows without coordination, {words}", system, bound["base_flow_mw"], bound["base_theta_mw"]),
        zone_map(f"Mean flows with the policy, {words}", system, flows, theta),
    ]
