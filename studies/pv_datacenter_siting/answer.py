"""What a siting study concludes from its stored rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from g2g_opt.feeder_description import unassessed_notes
from g2g_opt.hourly_profile import load_profile
from g2g_opt.limits import Limits
from studies.pv_datacenter_siting.question import SitingQuestion
from studies.pv_datacenter_siting.windows import WindowRun
from studies.shared.conclusion import Chart, Column, Conclusion, Envelope, Failure, FeederMap, Line, ResultTable
from studies.shared.task import Row, TaskResult, gather
from studies.shared.typed_rows import gather_as

_PLAN = (
    Column("plan", "plan"),
    Column("pv", "PV"),
    Column("sites", "datacenters"),
    Column("cost", "simulated cost ($/year)", 0),
    Column("predicted_cost", "predicted cost ($/year)", 0),
    Column("bound", "bound ($/year)", 0, secondary=True),
    Column("gap", "gap", 4),
    Column("status", "solver", secondary=True),
    Column("holds", "holds"),
    Column("lowest_pu", "lowest (pu)", 4),
    Column("highest_pu", "highest (pu)", 4),
    Column("over_max_pu", "farthest outside (pu)", 5, secondary=True),
    Column("over_pu_h", "outside (pu h/year)", 4, secondary=True),
    Column("curtailed_mwh", "curtailed (MWh/year)", 1, secondary=True),
    Column("storage_kw", "storage (kW)", 0, secondary=True),
    Column("storage_kwh", "storage (kWh)", 0, secondary=True),
    Column("cost_pv_investment", "PV investment ($/year)", 0, secondary=True),
    Column("cost_pv_energy", "PV energy ($/year)", 0, secondary=True),
    Column("cost_violation", "violations ($/year)", 0, secondary=True),
    Column("cost_switching", "tap changes ($/year)", 0, secondary=True),
    Column("cost_site_value", "value of datacenters ($/year)", 0, secondary=True),
    Column("cost_storage_investment", "storage investment ($/year)", 0, secondary=True),
    Column("cost_storage_energy", "storage energy ($/year)", 0, secondary=True),
    Column("n_rounds", "rounds", secondary=True),
    Column("solver_s", "solver (s)", 1, secondary=True),
    Column("reason", "why it does not hold", secondary=True),
)
_SIZES = (
    Column("plan", "plan"),
    Column("kind", "kind"),
    Column("name", "name"),
    Column("bus", "bus"),
    Column("size_kw", "size (kW)", 0),
    Column("size_max_kw", "largest allowed (kW)", 0),
    Column("storage_kw", "storage (kW)", 0, secondary=True),
    Column("storage_kwh", "storage (kWh)", 0, secondary=True),
)
_ROUNDS = (
    Column("plan", "plan"),
    Column("n_days", "days"),
    Column("round", "round"),
    Column("predicted_cost", "predicted cost ($/year)", 0),
    Column("simulated_cost", "simulated cost ($/year)", 0),
    Column("gap", "gap", 4),
    Column("predicted_lowest_pu", "predicted lowest (pu)", 4),
    Column("simulated_lowest_pu", "simulated lowest (pu)", 4),
    Column("predicted_highest_pu", "predicted highest (pu)", 4),
    Column("simulated_highest_pu", "simulated highest (pu)", 4),
    Column("n_over", "broken limits"),
    Column("over_max_pu", "farthest outside (pu)", 5, secondary=True),
    Column("where", "worst at", secondary=True),
    Column("when", "worst when", secondary=True),
    Column("n_unsolved", "steps without a solution", secondary=True),
    Column("rows_generated", "rows generated", secondary=True),
    Column("rows_all", "rows in all", secondary=True),
    Column("status", "solver", secondary=True),
    Column("solver_s", "solver (s)", 1, secondary=True),
)
_WINDOWS = (
    Column("when", "nearest to a limit"),
    Column("margin_pu", "margin (pu)", 5),
    Column("batch_lowest_pu", "lowest, batch engine (pu)", 5),
    Column("opendss_lowest_pu", "lowest, OpenDSS (pu)", 5),
    Column("batch_highest_pu", "highest, batch engine (pu)", 5),
    Column("opendss_highest_pu", "highest, OpenDSS (pu)", 5),
    Column("difference_pu", "largest difference (pu)", 8, secondary=True),
    Column("fleets_lowest_pu", "lowest, fleets without control (pu)", 5, secondary=True),
    Column("fleets_highest_pu", "highest, fleets without control (pu)", 5, secondary=True),
    Column("fleets_kept", "kept, fleets without control"),
    Column("loop_lowest_pu", "lowest in closed loop (pu)", 5, secondary=True),
    Column("loop_highest_pu", "highest in closed loop (pu)", 5, secondary=True),
    Column("loop_throughput_share", "tokens served in closed loop", 3, secondary=True),
    Column("loop_kept", "kept in closed loop"),
    Column("loop_broken", "broken in closed loop", secondary=True),
    Column("reason", "failure", secondary=True),
)
# Share of a largest size within which a size counts as that: solvers stop at it up to their tolerance.
_AT_LARGEST = 1e-6


def draw_conclusion(
    question: SitingQuestion, results: Sequence[TaskResult], made_under: Limits | None = None
) -> Conclusion:
    """The answer from stored rows; plans `made_under` other voltage limits are judged by their extreme voltages."""
    limits = None if made_under is None else question.limits
    plans = gather(results, "plans")
    if limits is not None:
        plans = [row | _judge_again(row, limits) for row in plans]
    own = [row for row in plans if not row["sweep"]]
    best = min((row for row in own if row["holds"]), key=lambda row: (row["cost"], row["rank"]), default=None)
    year = next(iter(gather(results, "year")), None)
    windows = _windows(results, question.limits)
    tables = [ResultTable("plans", "Plans", _PLAN, _shown(own, _PLAN))]
    sizes = [row for row in gather(results, "sizes") if row["plan"] in {plan["plan"] for plan in own}]
    tables.append(ResultTable("sizes", "What is built", _SIZES, _shown(sizes, _SIZES)))
    tables.append(ResultTable("rounds", "Predicted and simulated, round by round", _ROUNDS, _rounds(results, own)))
    if swept := [row for row in plans if row["sweep"]]:
        columns: tuple[Column, ...] = (Column("sweep", "changed"), Column("value", "value", 3), *_PLAN)
        tables.insert(
            1, ResultTable("sweeps", "The study again with one figure changed", columns, _shown(swept, columns))
        )
    if windows:
        columns = (
            _WINDOWS
            if question.places_sites
            else tuple(column for column in _WINDOWS if not column.name.startswith(("loop_", "fleets_")))
        )
        rows = _shown(windows, columns)
        tables.append(ResultTable("windows", "Hours nearest to the limits, on OpenDSS", columns, rows))
    tables += _long_tables(results)
    return Conclusion(
        title=f"Siting of {_what(question)} on {question.feeder}",
        answer=_answer(question, best, own, year) + _at_largest(question, best, sizes),
        feeder=question.feeder,
        tables=tuple(tables),
        maps=_maps(best, sizes),
        envelopes=_envelopes(results, best, question.limits),
        charts=_charts(results, best, plans),
        failures=_failures(results, plans, windows),
        warnings=_warnings(question, best, own, year, windows, limits),
        not_assessed=(
            "protection, fault levels and power quality; losses are simulated but not priced",
            "that no cheaper plan exists for the nonlinear network: the bound is one for the program linearised at the "
            "plan, not for every plan's own linearisation",
            *(() if question.limits.loading_max_pu is not None else ("ratings of lines and transformers",)),
            f"other years: profile {question.profile} covers {load_profile(question.profile).span}, "
            "hours by its own clock",
            *unassessed_notes(question.load_feeder()),
        ),
    )


def _what(question: SitingQuestion) -> str:
    return {"pv": "PV", "dc": "datacenters", "joint": "PV and datacenters"}[question.mode]


def _shown(rows: Sequence[Row], columns: Sequence[Column]) -> list[Row]:
    return [{column.name: row.get(column.name) for column in columns} for row in rows]


def _judge_again(row: Row, limits: Limits) -> Row:
    if row["lowest_pu"] is None or row["highest_pu"] is None:
        return {"holds": False}
    kept = row["lowest_pu"] >= limits.voltage_min_pu and row["highest_pu"] <= limits.voltage_max_pu
    return {"holds": kept, "reason": "" if kept else "simulated voltages are outside the limits of this report"}


def _answer(question: SitingQuestion, best: Row | None, own: Sequence[Row], year: Row | None) -> str:
    if best is None:
        reason = next((row["reason"] for row in own if row["reason"]), "")
        return f"No plan of {_what(question)} held when simulated{': ' + reason if reason else ''}."
    built = "; ".join(part for part in (best["pv"] and f"PV at {best['pv']}", best["sites"]) if part) or "nothing"
    earns = f"costs {best['cost']:,.0f}" if best["cost"] >= 0 else f"earns {-best['cost']:,.0f}"
    gap = f" (gap {100 * best['gap']:.2f} %)" if best["gap"] is not None and best["gap"] < 10.0 else " (no bound)"
    words = (
        f"Build {built}. The plan {earns} $ a year{gap}; in the power flow of every step of its days all monitored "
        f"voltages lie between {best['lowest_pu']:.4f} and {best['highest_pu']:.4f} pu."
    )
    if year is not None:
        broken = year["n_hours_broken"] + year["n_hours_unsolved"]
        words += (
            f" Over all {year['n_hours']:,} hours of the year it breaks "
            f"{'no limit' if not broken else f'a limit in {broken:,}'}."
        )
    return words


def _at_largest(question: SitingQuestion, best: Row | None, sizes: Sequence[Row]) -> str:
    """A sentence on what is as large as the question allows: there it is the question that ends the size."""
    if best is None:
        return ""
    # Results of before this was kept have no largest size.
    of_plan = [row for row in sizes if row["plan"] == best["plan"] and row.get("size_max_kw") is not None]
    largest = [row for row in of_plan if row["size_kw"] >= row["size_max_kw"] * (1.0 - _AT_LARGEST)]
    parts = []
    if plants := [row["bus"] for row in largest if row["kind"] == "PV"]:
        parts.append(f"PV at {', '.join(plants)} ({question.pv_size_max_kw:,.0f} kW, pv_size_max_kw)")
    if names := [f"{row['name']} ({row['size_max_kw']:,.0f} kW)" for row in largest if row["kind"] == "datacenter"]:
        parts.append(f"{', '.join(names)} (site_scale_max {question.site_scale_max:g})")
    total = question.pv_total_max_kw
    if question.places_pv and total is not None and best["pv_kw"] >= total * (1.0 - _AT_LARGEST):
        parts.append(f"all PV together ({total:,.0f} kW, pv_total_max_kw)")
    return f" At the largest size that the question allows, where more may pay: {'; '.join(parts)}." if parts else ""


def _rounds(results: Sequence[TaskResult], own: Sequence[Row]) -> list[Row]:
    names = {row["plan"] for row in own}
    return [row for row in _shown(gather(results, "rounds"), _ROUNDS) if row["plan"] in names]


def _windows(results: Sequence[TaskResult], limits: Limits) -> list[Row]:
    rows = []
    runs = {(row.when, row.policy): row.outcome(limits) for row in gather_as(results, "runs", WindowRun)}
    for row in gather(results, "windows"):
        found: Row = {}
        for (when, policy), outcome in runs.items():
            if when != row["when"]:
                continue
            name = "fleets" if policy == "none" else "loop"
            figures = outcome.summary if outcome.failure is None else None
            found |= {
                f"{name}_lowest_pu": figures.lowest if figures else None,
                f"{name}_highest_pu": figures.highest if figures else None,
                f"{name}_throughput_share": figures.throughput_share if figures else None,
                f"{name}_kept": outcome.kept,
                f"{name}_broken": "; ".join(outcome.reasons),
            }
            if outcome.failure is not None:
                found["reason"] = str(outcome.failure)
        rows.append({column.name: (row | found).get(column.name) for column in _WINDOWS})
    return rows


def _long_tables(results: Sequence[TaskResult]) -> list[ResultTable]:
    """Tables that other programs read: as they are stored, folded away on the page."""
    titles = {
        "taps": "Taps by day and slot",
        "days": "The days and how many they stand for",
        "voltages": "Extreme voltages, predicted and simulated",
        "year_hours": "Hours of the year that break a limit",
        "history": "Cost and bound over the solver's time",
    }
    found = []
    for name, title in titles.items():
        rows = gather(results, name)
        if rows:
            columns = tuple(Column(key, key, 4 if isinstance(value, float) else None) for key, value in rows[0].items())
            found.append(ResultTable(name, title, columns, rows, folded=True))
    return found


def _maps(best: Row | None, sizes: Sequence[Row]) -> tuple[FeederMap, ...]:
    built = [row for row in sizes if best is not None and row["plan"] == best["plan"]]
    if not built:
        return ()
    value: dict[str, float] = {}
    marked: dict[str, str] = {}
    for row in built:
        value[row["bus"]] = value.get(row["bus"], 0.0) + row["size_kw"] / 1e3
        word = row["name"] or row["kind"]
        marked[row["bus"]] = f"{marked[row['bus']]}, {word}" if row["bus"] in marked else word
    return (FeederMap("Built at the bus", "MW", value, marked=marked),)


def _envelopes(results: Sequence[TaskResult], best: Row | None, limits: Limits) -> tuple[Envelope, ...]:
    rows = [row for row in gather(results, "voltages") if best is not None and row["plan"] == best["plan"]]
    if not rows:
        return ()
    return (
        Envelope(
            "All steps of the plan's days, simulated",
            tuple(row["node"] for row in rows),
            [row["simulated_lowest_pu"] for row in rows],
            [row["simulated_highest_pu"] for row in rows],
            limits.voltage_min_pu,
            limits.voltage_max_pu,
        ),
    )


def _charts(results: Sequence[TaskResult], best: Row | None, plans: Sequence[Row]) -> tuple[Chart, ...]:
    charts: list[Chart] = []
    rows = [row for row in gather(results, "voltages") if best is not None and row["plan"] == best["plan"]]
    if rows and best is not None:
        nodes = [row["node"] for row in rows]
        charts.append(
            Chart(
                "Predicted and simulated extreme voltages",
                "predicted by the program (pu)",
                "simulated (pu)",
                tuple(
                    Line(
                        name,
                        [row[f"predicted_{name}_pu"] for row in rows],
                        [row[f"simulated_{name}_pu"] for row in rows],
                        points=True,
                        text=nodes,
                    )
                    for name in ("lowest", "highest")
                ),
                diagonal=True,
            )
        )
        parts = [key for key in best if key.startswith("cost_") and best[key]]
        words = [key.removeprefix("cost_").replace("_", " ") for key in parts]
        bars = Line("plan", words, [best[key] for key in parts], points=True)
        charts.append(Chart("Cost by parts", "", "$ a year, negative is earned", (bars,)))
    history = [row for row in gather(results, "history") if best is not None and row["plan"] == best["plan"]]
    if history:
        seconds = [row["seconds"] for row in history]
        charts.append(
            Chart(
                "Cost of the best plan and bound while it was solved",
                "seconds of the solver, rounds one after the other",
                "$ a year",
                tuple(Line(name, seconds, [_finite(row[name]) for row in history]) for name in ("cost", "bound")),
            )
        )
    for sweep in dict.fromkeys(row["sweep"] for row in plans if row["sweep"]):
        swept = [row for row in plans if row["sweep"] == sweep]
        values = [row["value"] for row in swept]
        charts.append(
            Chart(
                f"Simulated cost over {sweep}",
                sweep,
                "$ a year",
                (Line("cost", values, [row["cost"] for row in swept]),),
            )
        )
        if sweep == "violation-cost":
            without = [row["cost"] - row["cost_violation"] for row in swept]
            pareto = Line(sweep, [row["over_pu_h"] for row in swept], without, text=[f"{v:g}" for v in values])
            charts.append(
                Chart(
                    "Cost against violation",
                    "outside the limits (pu h a year, simulated)",
                    "cost without violations ($ a year)",
                    (pareto,),
                )
            )
    return tuple(charts)


def _finite(value: float | None) -> float | None:
    return value if value is not None and abs(value) < 1e15 else None


def _failures(
    results: Sequence[TaskResult], plans: Sequence[Row], windows: Sequence[Mapping[str, Any]]
) -> tuple[Failure, ...]:
    found = [Failure(result.task.label, result.failed) for result in results if result.failed]
    found += [Failure(row["plan"], row["reason"]) for row in plans if not row["holds"]]
    found += [Failure(row["when"], row["reason"]) for row in windows if row["reason"]]
    return tuple(found)


def _warnings(
    question: SitingQuestion,
    best: Row | None,
    own: Sequence[Row],
    year: Row | None,
    windows: Sequence[Row],
    limits: Limits | None,
) -> tuple[str, ...]:
    words = []
    if limits is not None:
        words.append("judged again by the extreme voltages of each plan; costs and placements are those of the study")
    if any(row["status"] == "time limit" for row in own):
        words.append("the time limit ended the search: a better plan may exist within the gap (--time-limit)")
    if best is not None and best["gap"] is not None and best["gap"] > question.mip_gap:
        words.append(f"the gap of {100 * best['gap']:.2f} % is wider than the {100 * question.mip_gap:g} % asked for")
    if any(row["status"] == "infeasible" for row in own):
        words.append("limits cannot all be kept in the linear program: its plans break the least they can")
    if year is not None:
        broken = year["n_hours_broken"] + year["n_hours_unsolved"]
        if broken:
            words.append(
                f"{broken:,} hours of the year break a limit, by up to {year['over_max_pu']:.4f} pu: let more days "
                "join (--days-added) or choose typical days (--days typical)"
            )
        error = year["pv_mwh_by_days"] / year["pv_mwh"] - 1.0 if year["pv_mwh"] else 0.0
        if abs(error) > 0.0005:
            words.append(f"the representative days put PV's energy {100 * error:+.1f} % off that of the whole year")
    elif question.year_check is False:
        words.append("not checked over the hours of the year (--no-year)")
    if lost := [row["when"] for row in windows if row["fleets_kept"] is False]:
        words.append(f"with the sites' fleets, without control, a limit is not kept at {', '.join(lost)}")
    if lost := [row["when"] for row in windows if row["loop_kept"] is False]:
        words.append(
            f"in closed loop with {question.policy} a limit is not kept at {', '.join(lost)}"
            + (": there it is better left off" if all(row["fleets_kept"] for row in windows) else "")
        )
    return tuple(words)
