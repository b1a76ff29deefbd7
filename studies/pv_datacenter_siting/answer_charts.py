"""Map, envelope and charts of a siting study."""

from __future__ import annotations

from collections.abc import Sequence

from g2g_opt.limits import Limits
from studies.pv_datacenter_siting.rows import BuiltSizeRow, HistoryRow, NodeRow, PlanRow
from studies.shared.conclusion import Chart, Envelope, FeederMap, Line
from studies.shared.task import TaskResult
from studies.shared.typed_rows import gather_as


def make_maps(best: PlanRow | None, sizes: Sequence[BuiltSizeRow]) -> tuple[FeederMap, ...]:
    """What the best plan builds, by bus."""
    built = [size for size in sizes if best is not None and size.plan == best.plan]
    if not built:
        return ()
    value: dict[str, float] = {}
    marked: dict[str, str] = {}
    for size in built:
        value[size.bus] = value.get(size.bus, 0.0) + size.size_kw / 1e3
        word = size.name or size.kind
        marked[size.bus] = f"{marked[size.bus]}, {word}" if size.bus in marked else word
    return (FeederMap("Built at the bus", "MW", value, marked=marked),)


def make_envelopes(results: Sequence[TaskResult], best: PlanRow | None, limits: Limits) -> tuple[Envelope, ...]:
    """Extreme voltages of the best plan over its days."""
    rows = _nodes(results, best)
    if not rows:
        return ()
    return (
        Envelope(
            "All steps of the plan's days, simulated",
            tuple(row.node for row in rows),
            [row.simulated_lowest_pu for row in rows],
            [row.simulated_highest_pu for row in rows],
            limits.voltage_min_pu,
            limits.voltage_max_pu,
        ),
    )


def _nodes(results: Sequence[TaskResult], best: PlanRow | None) -> list[NodeRow]:
    return [row for row in gather_as(results, "voltages", NodeRow) if best is not None and row.plan == best.plan]


def make_charts(results: Sequence[TaskResult], best: PlanRow | None, plans: Sequence[PlanRow]) -> tuple[Chart, ...]:
    """Predicted next to simulated, cost by parts, the solver's way, and sweeps."""
    charts = [] if best is None else _of_plan(results, best)
    for sweep in dict.fromkeys(row.sweep for row in plans if row.sweep):
        charts += _of_sweep(sweep, [row for row in plans if row.sweep == sweep])
    return tuple(charts)


def _of_plan(results: Sequence[TaskResult], best: PlanRow) -> list[Chart]:
    rows = _nodes(results, best)
    nodes = [row.node for row in rows]
    lowest = [row.predicted_lowest_pu for row in rows], [row.simulated_lowest_pu for row in rows]
    highest = [row.predicted_highest_pu for row in rows], [row.simulated_highest_pu for row in rows]
    parts = {name.replace("_", " "): value for name, value in best.cost_parts.items() if value}
    charts = [
        Chart(
            "Predicted and simulated extreme voltages",
            "predicted by the program (pu)",
            "simulated (pu)",
            tuple(
                Line(name, predicted, simulated, points=True, text=nodes)
                for name, (predicted, simulated) in (("lowest", lowest), ("highest", highest))
            ),
            diagonal=True,
        ),
        Chart(
            "Cost by parts",
            "",
            "$ a year, negative is earned",
            (Line("plan", list(parts), list(parts.values()), points=True),),
        ),
    ]
    history = [row for row in gather_as(results, "history", HistoryRow) if row.plan == best.plan]
    if history:
        seconds = [row.seconds for row in history]
        costs, bounds = [_finite(row.cost) for row in history], [_finite(row.bound) for row in history]
        charts.append(
            Chart(
                "Cost of the best plan and bound while it was solved",
                "seconds of the solver, rounds one after the other",
                "$ a year",
                (Line("cost", seconds, costs), Line("bound", seconds, bounds)),
            )
        )
    return charts


def _of_sweep(sweep: str, swept: Sequence[PlanRow]) -> list[Chart]:
    values = [row.value for row in swept]
    line = Line("cost", values, [row.cost for row in swept])
    charts = [Chart(f"Simulated cost over {sweep}", sweep, "$ a year", (line,))]
    if sweep == "violation-cost":
        without = [row.cost - row.cost_violation for row in swept]
        pareto = Line(sweep, [row.over_pu_h for row in swept], without, text=[f"{value:g}" for value in values])
        charts.append(
            Chart(
                "Cost against violation",
                "outside the limits (pu h a year, simulated)",
                "cost without violations ($ a year)",
                (pareto,),
            )
        )
    return charts


def _finite(value: float) -> float | None:
    return value if abs(value) < 1e15 else None
