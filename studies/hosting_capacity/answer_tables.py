"""Tables and charts of a hosting-capacity study, from rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from g2g_opt.feeder import Feeder
from g2g_opt.grid.attachments import connection_at
from g2g_opt.site import GPUS_PER_SERVER
from studies.hosting_capacity.answer_ladder import tokens_per_year
from studies.hosting_capacity.frontier import Corner
from studies.hosting_capacity.question import HostingCapacityQuestion
from studies.hosting_capacity.rows import CapacityRow, JudgedSizeRow
from studies.shared.conclusion import Chart, Column, Line, ResultTable, most_and_least
from studies.shared.task import Row

# Charts with more lines than this say nothing.
_LINES_MAX = 24

_PLACE = (Column("bus", "bus"), Column("operation", "operation"))
_POWER = (
    Column("power_operating_mw", "mean MW", 2),
    Column("power_peak_mw", "peak MW", 2),
    Column("fleet_peak_mw", "fleet MW", 2),
)
_COLUMNS = (
    *_PLACE,
    *_POWER,
    Column("n_gpus", "GPUs"),
    Column("n_replicas", "replicas"),
    Column("throughput_tps", "tokens/s", 0),
    Column("throughput_share", "tokens share", 3),
    Column("limit", "limit that binds the next size"),
    Column("limit_where", "where"),
    Column("tokens_per_year", "tokens a year at this rate (10^12)", 1, secondary=True),
    Column("gpus_rejected_above", "GPUs refused next", secondary=True),
    Column("gpus_rejected_below", "GPUs refused below (gap)", secondary=True),
    Column("power_operating_opendss_mw", "OpenDSS mean MW", 2, secondary=True),
    Column("power_peak_opendss_mw", "OpenDSS peak MW", 2, secondary=True),
    Column("voltage_lowest_opendss_pu", "OpenDSS lowest pu", 4, secondary=True),
    Column("voltage_lowest_pu", "lowest pu", 4, secondary=True),
    Column("voltage_highest_pu", "highest pu", 4, secondary=True),
    Column("violation_time_s", "outside the band (s)", 0, secondary=True),
    Column("own_loads_unserved_time_s", "own loads unserved (s)", 0, secondary=True),
    Column("second_solution_pu", "another solution within (pu)", 4, secondary=True),
    Column("line_loading_max_pu", "line loading", 2, secondary=True),
    Column("line_loading_where", "line", secondary=True),
    Column("transformer_loading_max_pu", "transformer loading", 2, secondary=True),
    Column("transformer_loading_where", "transformer", secondary=True),
    Column("taps", "taps", secondary=True),
    Column("connection", "connection", secondary=True),
    Column("power_factor", "power factor (lagging)", 3, secondary=True),
    Column("sizes_judged", "sizes judged", secondary=True),
    Column("note", "note"),
)
_SCENARIOS = (
    Column("n_scenarios_kept", "scenarios kept"),
    Column("n_scenarios", "fresh scenarios"),
    Column("scenario_share_lower_bound", "share kept, lower bound", 4),
    Column("binding_scenario", "scenario that binds"),
)


def capacity_table(rows: Sequence[CapacityRow], study: HostingCapacityQuestion) -> ResultTable:
    """The answer: one row per place and operation."""
    columns = _COLUMNS if study.scenarios == 1 else _COLUMNS[:9] + _SCENARIOS + _COLUMNS[9:]
    feeder = study.load_feeder()
    shown = [
        _with_gpus(row) | {"connection": _connection(study, feeder, row.bus), "power_factor": study.power_factor}
        for row in rows
    ]
    return ResultTable("capacities", "Hosting capacity, simulated MW", columns, shown)


def _connection(study: HostingCapacityQuestion, feeder: Feeder, buses: str) -> str:
    """How the sites at buses joined by "+" are connected."""
    found = []
    for name in buses.split("+"):
        bus = feeder.bus(feeder.service_buses.get(name, name))
        connection = connection_at(bus, study.connection, "a site")
        fewer = {1: " (one phase)", 2: " (between two legs)" if bus.legs else " (between two phases)"}
        behind = f" behind {study.service.kva:g} kVA {study.service.group}" if study.service is not None else ""
        found.append(connection + fewer.get(len(bus.phases), "") + behind)
    return "+".join(found)


def _with_gpus(row: CapacityRow) -> Row:
    return vars(row) | {
        "gpus_rejected_above": row.gpus_rejected_above,
        "tokens_per_year": None if row.throughput_tps is None else tokens_per_year(row.throughput_tps) / 1e12,
    }


def binding_table(rows: Sequence[CapacityRow]) -> ResultTable:
    """What stops the next size: limit, value it reaches, value allowed, place and time."""
    columns = (
        *_PLACE,
        Column("n_gpus", "GPUs kept"),
        Column("gpus_rejected_above", "GPUs refused"),
        Column("limit", "limit"),
        Column("limit_value", "value of the refused size", 4),
        Column("limit_allowed", "allowed", 4),
        Column("limit_where", "where and when"),
    )
    return ResultTable("binding", "What binds the next size", columns, [_with_gpus(row) for row in rows])


def capacity_chart(rows: Sequence[CapacityRow]) -> Chart:
    """Peak MW of every place, firm and flexible."""
    lines = []
    for operation in ("firm", "flexible"):
        found = [row for row in rows if row.operation == operation]
        if found:
            names, mw = [row.bus for row in found], [row.power_peak_mw for row in found]
            lines.append(Line(operation, names, mw, True, [f"{row.n_gpus} GPUs" for row in found]))
    return Chart("Firm and flexible capacity", "bus", "peak power (MW)", tuple(lines))


def _by_place(rows: Sequence[CapacityRow]) -> dict[str, list[CapacityRow]]:
    found: dict[str, list[CapacityRow]] = {}
    for row in rows:
        if row.operation == "flexible":
            found.setdefault(row.bus, []).append(row)
    return found


def curve_table(rows: Sequence[CapacityRow]) -> ResultTable:
    """Flexible capacity against the share of tokens that has to be served."""
    columns = (
        Column("bus", "bus"),
        Column("throughput_floor", "tokens to serve, share", 2),
        *_POWER,
        Column("n_gpus", "GPUs"),
        Column("throughput_share", "tokens served, share", 3),
        Column("limit", "limit that binds the next size"),
        Column("limit_where", "where"),
        Column("note", "note"),
    )
    by_floor = [
        vars(row) for of_place in _by_place(rows).values() for row in sorted(of_place, key=_floor, reverse=True)
    ]
    return ResultTable("throughput_curve", "Flexible capacity against tokens to serve", columns, by_floor)


def _peak_mw(row: CapacityRow) -> float:
    return row.power_peak_mw


def _floor(row: CapacityRow) -> float:
    return row.throughput_floor


def curve_chart(rows: Sequence[CapacityRow]) -> Chart:
    """Flexible capacity against the allowed loss of tokens."""
    lines = []
    by_place = most_and_least(_by_place(rows).items(), _LINES_MAX, lambda item: max(map(_peak_mw, item[1])))
    for place, found in by_place:
        points = sorted((1.0 - _floor(row), row.power_peak_mw) for row in found)
        lines.append(Line(place, [x for x, _ in points], [y for _, y in points]))
    return Chart("Flexible capacity against lost tokens", "allowed loss of tokens (share)", "peak MW", tuple(lines))


def curtailment_points(judged: Sequence[JudgedSizeRow]) -> dict[str, list[tuple[float, JudgedSizeRow]]]:
    """For every place the sizes kept that no size with less or equal curtailment exceeds, after their curtailed hours.

    A size judged under several floors counts once; it is kept if it keeps the loosest of them.
    """
    kept: dict[str, list[tuple[float, JudgedSizeRow]]] = {}
    for row in judged:
        if row.kept and row.curtailed_time_s is not None and row.first_n_servers is None:
            kept.setdefault(row.bus, []).append((row.curtailed_time_s / 3600.0, row))
    found: dict[str, list[tuple[float, JudgedSizeRow]]] = {}
    for place, rows in kept.items():
        for hours, row in sorted(rows, key=lambda entry: (entry[0], -entry[1].n_gpus)):
            front = found.setdefault(place, [])
            if not front or row.n_gpus > front[-1][1].n_gpus:
                front.append((hours, row))
    return found


def curtailment_table(judged: Sequence[JudgedSizeRow]) -> ResultTable:
    """Capacity against the time in which batch sizes were below nominal, from all simulated sizes."""
    columns = (
        Column("bus", "bus"),
        Column("curtailed_h", "curtailed (h of the run)", 3),
        Column("n_gpus", "GPUs"),
        Column("power_peak_mw", "peak MW", 2),
        Column("throughput_share", "tokens share", 3),
        Column("operation", "operation"),
    )
    fronts = curtailment_points(judged).values()
    rows = [vars(row) | {"curtailed_h": hours} for front in fronts for hours, row in front]
    return ResultTable("curtailment_curve", "Capacity against hours of curtailment", columns, rows)


def curtailment_chart(judged: Sequence[JudgedSizeRow]) -> Chart:
    """The table above as lines."""
    fronts = most_and_least(
        curtailment_points(judged).items(), _LINES_MAX, lambda item: max(row.power_peak_mw or 0.0 for _, row in item[1])
    )
    lines = [
        Line(place, [hours for hours, _ in front], [row.power_peak_mw for _, row in front]) for place, front in fronts
    ]
    return Chart("Capacity against curtailment", "batch sizes below nominal (h of the run)", "peak MW", tuple(lines))


Frontiers = Mapping[tuple[str, str, str], Sequence[Corner]]


def frontier_table(frontiers: Frontiers) -> ResultTable:
    """Every point of every pair's frontier."""
    columns = (
        Column("first", "first site"),
        Column("second", "second site"),
        Column("operation", "operation"),
        Column("first_gpus", "GPUs of the first"),
        Column("second_gpus", "GPUs of the second"),
        Column("first_peak_mw", "peak MW of the first", 2),
        Column("second_peak_mw", "peak MW of the second", 2),
        Column("limit", "limit that binds a larger second site"),
        Column("limit_where", "where"),
    )
    rows = [
        {
            "first": corner.buses[0],
            "second": corner.buses[1],
            "operation": corner.operation,
            "first_gpus": GPUS_PER_SERVER * corner.n_servers[0],
            "second_gpus": GPUS_PER_SERVER * corner.n_servers[1],
            "first_peak_mw": corner.power_peak_mw[0],
            "second_peak_mw": corner.power_peak_mw[1],
            "limit": corner.limit,
            "limit_where": corner.limit_where,
        }
        for found in frontiers.values()
        for corner in found
    ]
    return ResultTable("frontier", "Sizes of two sites that go together", columns, rows)


def frontier_charts(frontiers: Frontiers) -> list[Chart]:
    """One chart per operation, one line per pair."""
    charts = []
    for operation in ("firm", "flexible"):
        lines = [
            Line(
                f"{first}, {second}",
                [corner.power_peak_mw[0] for corner in found],
                [corner.power_peak_mw[1] for corner in found],
            )
            for (first, second, kind), found in frontiers.items()
            if kind == operation
        ]
        if lines:
            title = f"Sizes that go together, {operation}"
            shown = most_and_least(lines, _LINES_MAX, lambda line: max(line.x) + max(y or 0.0 for y in line.y))
            charts.append(Chart(title, "first site, peak MW", "second site, peak MW", tuple(shown)))
    return charts


def judged_table(judged: Sequence[JudgedSizeRow]) -> ResultTable:
    """Every size that was judged."""
    columns = (
        *_PLACE,
        Column("throughput_floor", "tokens to serve, share", 2),
        Column("first_n_servers", "servers of the first site, given"),
        Column("n_servers", "servers"),
        Column("n_gpus", "GPUs"),
        Column("kept", "kept"),
        Column("power_peak_mw", "peak MW", 2),
        Column("throughput_tps", "tokens/s", 0),
        Column("throughput_share", "tokens share", 3),
        Column("curtailed_time_s", "curtailed (s)", 0),
        Column("n_scenarios", "scenarios run"),
        Column("n_failed", "scenarios missed"),
        Column("binding_scenario", "scenario that binds"),
        Column("rounds", "tap rounds"),
        Column("taps", "taps"),
        Column("checks", "limits"),
        Column("failure", "failure"),
    )
    return ResultTable("judged", "Every size judged", columns, [vars(row) for row in judged], folded=True)
