"""Tables and charts of a hosting-capacity study, from rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from g2g_opt.feeder import Feeder
from g2g_opt.grid.attachments import connection_at
from studies.hosting_capacity.capacity import buses_of
from studies.hosting_capacity.frontier import Corner
from studies.hosting_capacity.question import HostingCapacityQuestion
from studies.hosting_capacity.rows import CapacityRow, JudgedSizeRow
from studies.shared.conclusion import Chart, Column, Line, ResultTable, most_and_least, most_and_least_words
from studies.shared.typed_rows import as_shown, columns_of, table_of

# Charts with more lines than this say nothing.
_LINES_MAX = 24

_POWER = "power_operating_mw power_peak_mw fleet_peak_mw"
_SCENARIOS = "n_scenarios_kept n_scenarios scenario_share_lower_bound binding_scenario"


def capacity_table(rows: Sequence[CapacityRow], study: HostingCapacityQuestion) -> ResultTable:
    """The answer: one row per place and operation."""
    feeder = study.load_feeder()
    columns = columns_of(
        CapacityRow,
        f"bus operation {_POWER} n_gpus n_replicas throughput_tps throughput_share limit limit_where",
        "" if study.scenarios == 1 else _SCENARIOS,
        "trillion_tokens_per_year gpus_rejected_above gpus_rejected_below",
        "power_operating_opendss_mw power_peak_opendss_mw voltage_lowest_opendss_pu",
        "voltage_lowest_pu voltage_highest_pu violation_time_s own_loads_unserved_time_s",
        "line_loading_max_pu line_loading_where transformer_loading_max_pu transformer_loading_where taps",
        Column("connection", "connection", secondary=True),
        Column("power_factor", "power factor (lagging)", 3, secondary=True),
        "sizes_judged note",
    )
    more = {"power_factor": study.power_factor}
    shown = [
        as_shown(row, columns, more | {"connection": _connection(study, feeder, buses_of(row.bus, row.n_sites))})
        for row in rows
    ]
    return table_of("capacities", "Hosting capacity, simulated MW", columns, shown)


def _connection(study: HostingCapacityQuestion, feeder: Feeder, buses: Sequence[str]) -> str:
    """How the sites at buses are connected."""
    found = []
    for name in buses:
        bus = feeder.bus(feeder.service_buses.get(name, name))
        connection = connection_at(bus, study.connection, "a site")
        fewer = {1: " (one phase)", 2: " (between two legs)" if bus.legs else " (between two phases)"}
        behind = f" behind {study.service.kva:g} kVA {study.service.group}" if study.service is not None else ""
        found.append(connection + fewer.get(len(bus.phases), "") + behind)
    return "+".join(found)


def binding_table(rows: Sequence[CapacityRow]) -> ResultTable:
    """What stops the next size: limit, value it reaches, value allowed, place and time."""
    columns = columns_of(
        CapacityRow,
        "bus operation",
        Column("n_gpus", "GPUs kept"),
        Column("gpus_rejected_above", "GPUs refused"),
        Column("limit", "limit"),
        "limit_value limit_allowed",
        Column("limit_where", "where and when"),
    )
    return table_of("binding", "What binds the next size", columns, rows)


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
    columns = columns_of(
        CapacityRow,
        f"bus throughput_floor {_POWER} n_gpus",
        Column("throughput_share", "tokens served, share", 3),
        "limit limit_where note",
    )
    by_floor = [row for of_place in _by_place(rows).values() for row in sorted(of_place, key=_floor, reverse=True)]
    return table_of("throughput_curve", "Flexible capacity against tokens to serve", columns, by_floor)


def _peak_mw(row: CapacityRow) -> float:
    return row.power_peak_mw


def _floor(row: CapacityRow) -> float:
    return row.throughput_floor


def curve_chart(rows: Sequence[CapacityRow]) -> Chart:
    """Flexible capacity against the allowed loss of tokens."""
    lines = []
    by_place = _by_place(rows)
    for place, found in most_and_least(by_place.items(), _LINES_MAX, lambda item: max(map(_peak_mw, item[1]))):
        points = sorted((1.0 - _floor(row), row.power_peak_mw) for row in found)
        lines.append(Line(place, [x for x, _ in points], [y for _, y in points]))
    title = f"Flexible capacity against lost tokens{most_and_least_words(len(by_place), _LINES_MAX, 'places')}"
    return Chart(title, "allowed loss of tokens (share)", "peak MW", tuple(lines))


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
    hours = Column("curtailed_h", "curtailed (h of the run)", 3)
    columns = columns_of(JudgedSizeRow, "bus", hours, "n_gpus power_peak_mw throughput_share operation")
    fronts = curtailment_points(judged).values()
    rows = [as_shown(row, columns, {"curtailed_h": at}) for front in fronts for at, row in front]
    return table_of("curtailment_curve", "Capacity against hours of curtailment", columns, rows)


def curtailment_chart(judged: Sequence[JudgedSizeRow]) -> Chart:
    """The table above as lines."""
    by_place = curtailment_points(judged)
    fronts = most_and_least(
        by_place.items(), _LINES_MAX, lambda item: max(row.power_peak_mw or 0.0 for _, row in item[1])
    )
    lines = [
        Line(place, [hours for hours, _ in front], [row.power_peak_mw for _, row in front]) for place, front in fronts
    ]
    title = f"Capacity against curtailment{most_and_least_words(len(by_place), _LINES_MAX, 'places')}"
    return Chart(title, "batch sizes below nominal (h of the run)", "peak MW", tuple(lines))


Frontiers = Mapping[tuple[str, str, str], Sequence[Corner]]


def frontier_table(frontiers: Frontiers) -> ResultTable:
    """Every point of every pair's frontier."""
    rows = [corner for found in frontiers.values() for corner in found]
    return table_of("frontier", "Sizes of two sites that go together", columns_of(Corner), rows)


def frontier_charts(frontiers: Frontiers) -> list[Chart]:
    """One chart per operation, one line per pair."""
    charts = []
    for operation in ("firm", "flexible"):
        pairs = [(name, found) for name, found in frontiers.items() if name[2] == operation]
        if pairs:
            title = f"Sizes that go together, {operation}{most_and_least_words(len(pairs), _LINES_MAX, 'pairs')}"
            lines = tuple(
                Line(
                    f"{first}, {second}",
                    [corner.first_peak_mw for corner in found],
                    [corner.second_peak_mw for corner in found],
                )
                for (first, second, _), found in most_and_least(pairs, _LINES_MAX, _largest_of_both)
            )
            charts.append(Chart(title, "first site, peak MW", "second site, peak MW", lines))
    return charts


def _largest_of_both(pair: tuple[tuple[str, str, str], Sequence[Corner]]) -> float:
    """Largest peak of the first site of a frontier, and that of the second, together (MW)."""
    _, found = pair
    return max(corner.first_peak_mw for corner in found) + max(corner.second_peak_mw for corner in found)


def judged_table(judged: Sequence[JudgedSizeRow]) -> ResultTable:
    """Every size that was judged."""
    columns = columns_of(
        JudgedSizeRow,
        "bus operation throughput_floor first_n_servers n_servers n_gpus kept power_peak_mw throughput_tps",
        "throughput_share curtailed_time_s n_scenarios n_failed binding_scenario rounds taps checks failure",
    )
    return table_of("judged", "Every size judged", columns, judged, folded=True)
