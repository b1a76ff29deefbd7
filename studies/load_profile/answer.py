"""The conclusion of a load-profile study: MW by hour and month, the fleets that live by it, what binds."""

from __future__ import annotations

import calendar
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from g2g_opt.feeder_lint import placeholder_rated_lines
from g2g_opt.limits import Limits
from g2g_opt.site import GPUS_PER_SERVER
from studies.conclusion import Chart, Column, Conclusion, Envelope, Failure, FeederMap, Line, ResultTable
from studies.task import Row, TaskResult, gather

if TYPE_CHECKING:
    from studies.load_profile.study import LoadProfileStudy

# Buses with a chart of their own.
_CHARTS_MAX = 8

_PROFILE = (
    Column("bus", "bus"),
    Column("month", "month"),
    Column("hour", "hour beginning"),
    Column("days", "days", secondary=True),
    Column("allowed_mw", "MW allowed", 3),
    Column("firm_mw", "firm MW", 3),
    Column("above_firm_mw", "above firm", 3),
    Column("allowed_gpus", "GPUs at nominal batch", secondary=True),
    Column("flexible_mw", "flexible fleet MW", 3),
    Column("flexible_batch_cap", "its batch size up to"),
    Column("limit", "limit that binds"),
    Column("limit_where", "where"),
    Column("lowest_pu", "lowest pu", 4, secondary=True),
    Column("highest_pu", "highest pu", 4, secondary=True),
    Column("loading_pu", "highest loading", 3, secondary=True),
    Column("loading_where", "at", secondary=True),
)
_FLEETS = (
    Column("bus", "bus"),
    Column("operation", "operation"),
    Column("power_peak_mw", "peak MW", 3),
    Column("n_gpus", "GPUs"),
    Column("energy_gwh", "GWh in the profile's days", 2),
    Column("throughput_share", "tokens share", 3),
    Column("curtailed_hours", "hours curtailed"),
    Column("binding", "tightest hour"),
    Column("rounds", "rounds", secondary=True),
)


def draw_conclusion(study: LoadProfileStudy, results: Sequence[TaskResult], limits: Limits | None = None) -> Conclusion:
    """The answer from stored results alone; under other `limits` every stored size is judged again."""
    used = limits or study.limits
    cells = gather(results, "cells") if limits is None else _judged_again(gather(results, "judged"), limits)
    # Fleets were found for the old limits; nothing is simulated for new ones.
    fleets = gather(results, "fleets") if limits is None else []
    by_fleet = {(r["bus"], r["operation"]): r for r in fleets}
    flexible = [r for r in gather(results, "fleet_cells") if r["operation"] == "flexible"]
    of_cells = {(r["bus"], r["month"], r["hour"]): r for r in flexible}
    buses = list(dict.fromkeys(row["bus"] for row in cells))
    firm = {bus: _firm_mw(bus, by_fleet, cells, limits is not None) for bus in buses}
    profile = [_profile_row(row, firm[row["bus"]], of_cells if limits is None else {}) for row in cells]
    n_cells = len(study.cells())
    complete = [bus for bus in buses if sum(row["bus"] == bus for row in cells) == n_cells]
    tightest = {
        bus: min((r for r in profile if r["bus"] == bus), key=lambda r: float(r["allowed_mw"])) for bus in buses
    }
    warnings = []
    if limits is not None:
        warnings.append(
            "judged under other limits: MW allowed are the largest simulated sizes that keep them; the flexible fleet "
            "was found for the study's own limits and is not shown"
        )
    if len(complete) < len(buses):
        warnings.append(f"months are missing for {', '.join(bus for bus in buses if bus not in complete)}")
    missing = [f"{row['bus']} {row['operation']}" for row in fleets if not row["n_servers"]]
    if missing:
        warnings.append(f"no fleet keeps the limits in every hour: {', '.join(missing)}")
    return Conclusion(
        title=f"Limited load profile of {study.feeder}: {', '.join(study.models)} on {study.gpu}",
        answer=_answer(study, complete, firm, profile, by_fleet, tightest),
        feeder=study.feeder,
        tables=(
            _fleet_table(fleets, tightest),
            ResultTable("limited_load_profile", "MW allowed by month and hour", _PROFILE, profile, folded=True),
        ),
        maps=_maps(firm, by_fleet),
        envelopes=tuple(_envelope(row, used) for row in gather(results, "envelopes")) if limits is None else (),
        charts=tuple(_chart(bus, profile) for bus in complete[:_CHARTS_MAX]),
        failures=_failures(results),
        warnings=tuple(warnings),
        not_assessed=_not_assessed(study, used),
    )


def _judged_again(judged: Sequence[Row], limits: Limits) -> list[Row]:
    """Cells under other limits: the largest simulated size that keeps them, and what the next one breaks."""
    by_cell: dict[tuple[str, int, int], list[Row]] = {}
    for row in judged:
        by_cell.setdefault((row["bus"], row["month"], row["hour"]), []).append(row)
    found = []
    for rows in by_cell.values():
        rows.sort(key=lambda row: int(row["n_servers"]))
        broken = [_broken(row, limits) for row in rows]
        kept = max((k for k, words in enumerate(broken) if not words), default=None)
        above = next((k for k, words in enumerate(broken) if words and (kept is None or k > kept)), None)
        row = (
            dict(rows[kept])
            if kept is not None
            else {**rows[0], "n_servers": 0, "power_mw": None, "power_peak_mw": None}
        )
        row |= {"limit": broken[above] if above is not None else None, "limit_where": None}
        found.append(row)
    return found


def _broken(row: Row, limits: Limits) -> str:
    """The limit that a stored size breaks in some hour; empty if it keeps all of them."""
    if row["failure"]:
        return "power flow"
    if row["lowest_pu"] < limits.voltage_min_pu:
        return f"undervoltage, {row['lowest_pu']:.4f} pu"
    if row["highest_pu"] > limits.voltage_max_pu:
        return f"overvoltage, {row['highest_pu']:.4f} pu"
    if limits.loading_max_pu is not None and (row["loading_pu"] or 0.0) > limits.loading_max_pu:
        return f"loading {row['loading_pu']:.3f}, {row['loading_where']}"
    if limits.loading_emergency_max_pu is not None and (row["emergency_pu"] or 0.0) > limits.loading_emergency_max_pu:
        return f"emergency loading {row['emergency_pu']:.3f}"
    return "latency misses" if row["latency_miss_share"] > limits.latency_miss_share_max else ""


def _firm_mw(bus: str, fleets: Mapping[tuple[str, str], Row], cells: Sequence[Row], again: bool) -> float:
    """What the bus takes in any hour: the power of the simulated firm fleet; judged again, the least MW allowed."""
    if again:
        return min((float(row["power_mw"] or 0.0) for row in cells if row["bus"] == bus), default=0.0)
    row = fleets.get((bus, "firm"))
    return float(row["power_mw"] or 0.0) if row is not None else 0.0


def _profile_row(cell: Row, firm_mw: float, flexible: Mapping[tuple[str, int, int], Row]) -> Row:
    allowed = float(cell["power_mw"] or 0.0)
    of_fleet = flexible.get((cell["bus"], cell["month"], cell["hour"]))
    return {
        **{name: cell[name] for name in ("bus", "month", "hour", "days", "limit", "limit_where")},
        **{name: cell[name] for name in ("lowest_pu", "highest_pu", "loading_pu", "loading_where")},
        "allowed_mw": allowed,
        "allowed_gpus": GPUS_PER_SERVER * cell["n_servers"],
        "firm_mw": firm_mw,
        "above_firm_mw": max(0.0, allowed - firm_mw),
        "flexible_mw": of_fleet["power_mw"] if of_fleet else None,
        "flexible_batch_cap": of_fleet["batch_cap"] if of_fleet else None,
    }


def _when(row: Row) -> str:
    words = f"{calendar.month_abbr[row['month']]} {row['hour']:02d}:00"
    if row["limit"]:
        words += f", {row['limit']}"
    return words + (f" {row['limit_where']}" if row["limit_where"] else "")


def _answer(
    study: LoadProfileStudy,
    complete: Sequence[str],
    firm: Mapping[str, float],
    profile: Sequence[Row],
    fleets: Mapping[tuple[str, str], Row],
    tightest: Mapping[str, Row],
) -> str:
    if not complete:
        return "No bus has an answer for every month and hour: see the failures."
    bus = max(complete, key=lambda name: firm[name])
    rows = [row for row in profile if row["bus"] == bus]
    days = sum(row["days"] for row in rows)
    mean = sum(row["allowed_mw"] * row["days"] for row in rows) / days
    most = max(rows, key=lambda row: float(row["allowed_mw"]))
    words = (
        f"Bus {bus} can take {firm[bus]:.2f} MW in every hour of {study.profile}; by month and hour it can take "
        f"{tightest[bus]['allowed_mw']:.2f} MW ({_when(tightest[bus])}) to {most['allowed_mw']:.2f} MW "
        f"({calendar.month_abbr[most['month']]} {most['hour']:02d}:00), {mean:.2f} MW on average."
    )
    flexible = fleets.get((bus, "flexible"))
    plain = fleets.get((bus, "firm"))
    if flexible is not None and plain is not None and flexible["n_servers"] and plain["n_servers"]:
        words += (
            f" A fleet of {flexible['n_gpus']} GPUs lives within that profile by lowering batch sizes in "
            f"{flexible['curtailed_hours']} hours, and serves {100 * flexible['throughput_share']:.1f} % of its "
            f"tokens; without flexibility {plain['n_gpus']} GPUs fit."
        )
    if len(complete) > 1:
        least = min(complete, key=lambda name: firm[name])
        words += f" The least of {len(complete)} buses is {least} with {firm[least]:.2f} MW firm."
    return words


def _fleet_table(fleets: Sequence[Row], tightest: Mapping[str, Row]) -> ResultTable:
    rows = [
        {
            **row,
            "energy_gwh": row["energy_mwh"] / 1e3 if row["energy_mwh"] is not None else None,
            "binding": _when(tightest[row["bus"]]),
        }
        for row in fleets
    ]
    return ResultTable("fleets", "Fleets that keep the limits in every hour", _FLEETS, rows)


def _maps(firm: Mapping[str, float], fleets: Mapping[tuple[str, str], Row]) -> tuple[FeederMap, ...]:
    found = []
    if any(firm.values()):
        found.append(FeederMap("firm capacity over the year", "MW", dict(firm)))
    flexible = [row for (_, operation), row in fleets.items() if operation == "flexible" and row["n_servers"]]
    gpus = {row["bus"]: float(row["n_gpus"]) for row in flexible}
    if gpus:
        found.append(FeederMap("flexible fleet", "GPUs", gpus))
    return tuple(found)


def _envelope(row: Row, limits: Limits) -> Envelope:
    return Envelope(
        f"{row['bus']}, {row['operation']} fleet over the year, OpenDSS",
        tuple(row["nodes"]),
        [float(v) for v in row["lowest_pu"]],
        [float(v) for v in row["highest_pu"]],
        limits.voltage_min_pu,
        limits.voltage_max_pu,
    )


def _chart(bus: str, profile: Sequence[Row]) -> Chart:
    """A line per month: MW allowed against the hour of the day."""
    lines = []
    rows = [row for row in profile if row["bus"] == bus]
    for month in dict.fromkeys(row["month"] for row in rows):
        of_month = sorted((row for row in rows if row["month"] == month), key=lambda row: int(row["hour"]))
        hours, mw = [row["hour"] for row in of_month], [row["allowed_mw"] for row in of_month]
        lines.append(Line(calendar.month_abbr[month], hours, mw))
    lines.append(Line("firm", [0, 23], [rows[0]["firm_mw"]] * 2))
    return Chart(f"MW allowed at bus {bus}", "hour beginning", "MW", tuple(lines))


def _failures(results: Sequence[TaskResult]) -> tuple[Failure, ...]:
    tasks = [Failure(result.task.label, result.failed) for result in results if result.failed]
    smallest: dict[tuple[str, int, int], Row] = {}
    for row in gather(results, "judged"):
        key = row["bus"], row["month"], row["hour"]
        if key not in smallest or row["n_servers"] < smallest[key]["n_servers"]:
            smallest[key] = row
    nothing = []
    for row in gather(results, "cells"):
        if row["n_servers"] == 0:
            least = smallest[row["bus"], row["month"], row["hour"]]
            what = f"bus {row['bus']}, {calendar.month_abbr[row['month']]} {row['hour']:02d}:00"
            nothing.append(Failure(what, f"not even {GPUS_PER_SERVER * least['n_servers']} GPUs: {least['broken']}"))
    return (*tasks, *nothing)


def _not_assessed(study: LoadProfileStudy, limits: Limits) -> tuple[str, ...]:
    notes = [
        "what happens within an hour: every hour is one power flow with the fleet's mean power; a hosting-capacity "
        "study runs the ramps and the controller second by second",
        "other years than that of the profile, and contingencies",
        "protection, short-circuit levels, harmonics and transients",
        "the grid upstream of the feeder's source",
    ]
    n_cells = len(study.cells())
    if n_cells < 288:
        notes.append(f"hours of the year that the profile lacks: it has {n_cells} of 288 hours of months")
    if limits.loading_max_pu is None and limits.loading_emergency_max_pu is None:
        lines = placeholder_rated_lines(study.load_feeder())
        words = f"; {len(lines)} lines carry OpenDSS's placeholder rating of 400 A" if lines else ""
        notes.insert(0, f"thermal limits: loadings are reported, not judged (--loading-max judges them){words}")
    return tuple(notes)
