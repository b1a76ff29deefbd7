"""Plans, rounds and voltages of a siting study as rows that can be stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import numpy as np

from studies.pv_datacenter_siting.days import STEPS_AN_HOUR, clock_of
from studies.pv_datacenter_siting.network import worst_place
from studies.pv_datacenter_siting.rounds import Found, Round
from studies.pv_datacenter_siting.setting import Setting
from studies.pv_datacenter_siting.stored_plan import dump_plan
from studies.pv_datacenter_siting.windows import nearest_windows
from studies.shared.task import Row, TaskResult, gather


def best_plan(results: Sequence[TaskResult]) -> Row | None:
    """The cheapest plan of the question itself that holds, of those stored."""
    rows = [row for row in gather(results, "plans") if not row["sweep"] and row["holds"]]
    return min(rows, key=lambda row: (row["cost"], row["rank"]), default=None)


def plan_row(found: Found) -> Row:
    """A plan in one row: what it builds, what it costs by parts (simulated), the bound, and whether it holds."""
    setting, best = found.setting, found.best
    plan, solution, network = found.plan, best.solution, setting.network
    g = best.simulated.g[: network.n_voltages, best.simulated.solved]
    return {
        "pv": ", ".join(f"{network.pv_buses[j]}: {plan.pv_kw[j]:.0f} kW" for j in np.flatnonzero(plan.pv_kw)),
        "sites": ", ".join(
            f"{choice.name} at {network.site_buses[plan.site_bus[k]]}: {plan.site_kw[k]:.0f} kW"
            for k, choice in enumerate(setting.question.choices())
        ),
        "pv_kw": float(plan.pv_kw.sum()),
        "site_kw": float(plan.site_kw.sum()),
        "storage_kw": float(plan.storage_kw.sum()),
        "storage_kwh": float(plan.storage_kwh.sum()),
        "curtailed_mwh": float(plan.curtailed_kw.sum(axis=0) @ setting.calendar.hours) / 1e3,
        "cost": best.cost.total,
        "predicted_cost": solution.cost.total,
        **{f"cost_{name}": value for name, value in asdict(best.cost).items()},
        "bound": solution.report.bound,
        "gap": solution.report.gap,
        "status": solution.report.status.value,
        "solver_s": sum(one.seconds for one in found.rounds),
        "n_rounds": len(found.rounds),
        "holds": found.holds,
        "over_max_pu": best.over_max,
        "over_pu_h": float((best.over @ setting.calendar.hours).sum()),
        "lowest_pu": float(g.min()) if g.size else None,
        "highest_pu": float(g.max()) if g.size else None,
        "reason": "" if found.holds else _why_not(setting, best),
        "json": dump_plan(setting, plan),
    }


def _why_not(setting: Setting, one: Round) -> str:
    """What a plan that does not hold breaks, in words."""
    if not one.simulated.solved.all():
        point = int(np.flatnonzero(~one.simulated.solved)[0])
        return f"the power flow has no solution at {setting.place_in_time(point)}"
    if one.over_max > 0.0:
        where, point = worst_place(setting.network.names(), one.over)
        return f"{where} is {one.over_max:.4f} pu outside its limit at {setting.place_in_time(point)}"
    return "predicted and simulated cost do not agree"


def round_rows(found: Found) -> list[Row]:
    """What every round predicted and what was simulated, those on fewer days first."""
    rows = [] if found.before is None else round_rows(found.before)
    setting = found.setting
    names, n_voltages = setting.network.names(), setting.network.n_voltages
    for k, one in enumerate(found.rounds):
        solved = one.simulated.solved
        simulated, predicted = one.simulated.g[:n_voltages, solved], one.solution.predicted[:n_voltages]
        where, when = "", ""
        if one.over_max > 0.0:
            where, point = worst_place(names, one.over)
            when = setting.place_in_time(point)
        rows.append(
            {
                "n_days": len(setting.days),
                "round": k + 1,
                "status": one.solution.report.status.value,
                "predicted_cost": one.solution.cost.total,
                "simulated_cost": one.cost.total,
                "bound": one.solution.report.bound,
                "gap": one.solution.report.gap,
                "predicted_lowest_pu": float(predicted.min()),
                "simulated_lowest_pu": float(simulated.min()) if simulated.size else None,
                "predicted_highest_pu": float(predicted.max()),
                "simulated_highest_pu": float(simulated.max()) if simulated.size else None,
                "over_max_pu": one.over_max,
                "n_over": int((one.over > 0.0).sum()),
                "where": where,
                "when": when,
                "n_unsolved": int((~solved).sum()),
                "rows_generated": len(one.solution.generated),
                "rows_all": one.solution.n_rows_all,
                "solver_s": one.seconds,
            }
        )
    return rows


def history_rows(found: Found) -> list[Row]:
    """Cost of the best plan and bound over the seconds of all rounds."""
    rows, before_s = [], 0.0
    for k, one in enumerate(found.rounds):
        rows += [
            {"round": k + 1, "seconds": before_s + seconds, "cost": cost, "bound": bound}
            for seconds, cost, bound in one.solution.history
        ]
        before_s += one.seconds
    return rows


def size_rows(found: Found) -> list[Row]:
    """Everything that is built: kind, bus, size."""
    plan, setting = found.plan, found.setting
    network = setting.network
    rows: list[Row] = []
    for j in np.flatnonzero(plan.pv_kw):
        rows.append({"kind": "PV", "name": "", "bus": network.pv_buses[j], "size_kw": float(plan.pv_kw[j])})
        rows[-1] |= {"size_max_kw": setting.question.pv_size_max_kw}
        rows[-1] |= {"storage_kw": float(plan.storage_kw[j]), "storage_kwh": float(plan.storage_kwh[j])}
    for k, choice in enumerate(setting.question.choices()):
        bus = network.site_buses[plan.site_bus[k]]
        rows.append({"kind": "datacenter", "name": choice.name, "bus": bus, "size_kw": float(plan.site_kw[k])})
        # Sizes that are not free have no largest one.
        free = setting.question.site_scale_max > setting.question.site_scale_min
        rows[-1] |= {"size_max_kw": float(setting.sites.size_max_kw[k]) if free else None}
        rows[-1] |= {"storage_kw": 0.0, "storage_kwh": 0.0}
    return rows


def tap_rows(found: Found) -> list[Row]:
    """Ratio of every regulator in every slot of every day."""
    setting, plan = found.setting, found.plan
    n_slots = 24 // setting.question.slot_h
    return [
        {
            "day": day.name,
            "date": day.date,
            "from": clock_of(h * setting.question.slot_h * STEPS_AN_HOUR),
            "regulator": name,
            "tap_pu": setting.network.tap_ratio(name, int(plan.tap_steps[r, k * n_slots + h])),
        }
        for k, day in enumerate(setting.days)
        for h in range(n_slots)
        for r, name in enumerate(setting.network.regulators)
    ]


def day_rows(found: Found) -> list[Row]:
    """The days and what they stand for."""
    return [
        {
            "day": day.name,
            "date": day.date,
            "n_days": day.n_days,
            "load_share_min": float(day.load_share.min()),
            "load_share_max": float(day.load_share.max()),
            "sun_h": float(day.sun.sum()) / STEPS_AN_HOUR,
        }
        for day in found.setting.days
    ]


def voltage_rows(found: Found) -> list[Row]:
    """Lowest and highest predicted and simulated voltage of every monitored bus-phase over all steps."""
    best, n_voltages = found.best, found.setting.network.n_voltages
    solved = best.simulated.solved
    predicted, simulated = best.solution.predicted[:n_voltages], best.simulated.g[:n_voltages]
    low, high = np.where(solved, simulated, np.inf).min(axis=1), np.where(solved, simulated, -np.inf).max(axis=1)
    return [
        {
            "node": name,
            "predicted_lowest_pu": float(predicted[i].min()),
            "simulated_lowest_pu": float(low[i]),
            "predicted_highest_pu": float(predicted[i].max()),
            "simulated_highest_pu": float(high[i]),
        }
        for i, name in enumerate(found.setting.network.names()[:n_voltages])
    ]


def nearest_rows(found: Found) -> list[Row]:
    """Hours nearest to the limits."""
    setting = found.setting
    return [
        {"first": w.first, "nearest": w.nearest, "margin_pu": w.margin_pu, "when": setting.place_in_time(w.nearest)}
        for w in nearest_windows(setting, found.best.simulated, setting.question.n_windows)
    ]
