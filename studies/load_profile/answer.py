"""The conclusion of a load-profile study: MW by month and hour, the fleets that live by it, what binds."""

from __future__ import annotations

import calendar
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from g2g_opt.feeder_description import loading_notes, unassessed_notes
from g2g_opt.hourly_profile import load_profile
from g2g_opt.limits import Limits
from g2g_opt.site import GPUS_PER_SERVER
from solvers.largest_feasible import held_up_to
from studies.load_profile.question import LoadProfileQuestion
from studies.load_profile.rows import (
    CellKey,
    CellRow,
    CellRun,
    CellSizeRow,
    FleetCellRow,
    FleetRow,
    ProfileRow,
    YearRun,
    cell_rows,
)
from studies.report.scenario_chart import course_charts
from studies.shared.conclusion import (
    Chart,
    Column,
    Conclusion,
    Envelope,
    FeederMap,
    Line,
    MissingAnswer,
    ResultTable,
    most_and_least,
    most_and_least_words,
)
from studies.shared.envelopes import envelope_of
from studies.shared.stored_bases import StoredBases
from studies.shared.task import TaskResult
from studies.shared.typed_rows import as_shown, columns_of, gather_as, table_of

# Buses with a chart of their own.
_CHARTS_MAX = 8


def conclusion_of(study: LoadProfileQuestion, results: Sequence[TaskResult], again: bool = False) -> Conclusion:
    """The answer from stored results alone; `again` if the runs were made under other limits than the study's."""
    used = study.limits
    years, hours = gather_as(results, "years", YearRun), load_profile(study.profile)
    if again:
        cells = cell_rows(_sizes(study, gather_as(results, "runs", CellRun), StoredBases(results)), None)
        # What went through the year did so for other limits; nothing is simulated for new ones.
        fleets, profile_rows, fleet_cells = [], [], []
    else:
        cells, fleets = gather_as(results, "cells", CellRow), gather_as(results, "fleets", FleetRow)
        profile_rows = gather_as(results, "profile", FleetCellRow)
        fleet_cells = gather_as(results, "fleet_cells", FleetCellRow)
    held = {row.key: row for row in profile_rows}
    flexible = {row.key: row for row in fleet_cells if row.operation == "flexible"}
    buses = list(dict.fromkeys(row.bus for row in cells))
    firm: dict[str, float | None] = dict.fromkeys(buses)
    firm |= {row.bus: row.power_mw for row in fleets if row.operation == "firm"}
    profile = [_profile_row(row, held.get(row.key), firm[row.bus], flexible.get(row.key), again) for row in cells]
    known = [row for row in profile if row.allowed_mw is not None]
    tightest = {bus: min((row for row in known if row.bus == bus), key=_allowed, default=None) for bus in buses}
    rank = {bus: firm[bus] or _allowed(row) for bus, row in tightest.items()}
    with_hours = [bus for bus in buses if tightest[bus]]
    part = most_and_least_words(len(with_hours), _CHARTS_MAX, "buses")
    return Conclusion(
        title=f"Limited load profile of {study.feeder}: {', '.join(study.models)} on {study.gpu}",
        answer=_answer(study, profile, firm, fleets, tightest, rank, again),
        feeder=study.feeder,
        tables=(
            _fleet_table(fleets, tightest, hours.period),
            table_of(
                "limited_load_profile", "MW allowed by month and hour", columns_of(ProfileRow), profile, folded=True
            ),
        ),
        maps=_maps(firm, fleets, hours.period),
        envelopes=() if again else tuple(_envelope(run, used, hours.period) for run in years),
        charts=(
            *(
                _chart(f"MW allowed at bus {bus}{part}", [row for row in known if row.bus == bus], firm[bus])
                for bus in most_and_least(with_hours, _CHARTS_MAX, rank.__getitem__)
            ),
            *_month_charts(study),
        ),
        failures=_failures(results),
        warnings=_warnings(study, profile, buses, fleets, held, gather_as(results, "judged", CellSizeRow), again),
        not_assessed=_not_assessed(study, used),
    )


def _sizes(study: LoadProfileQuestion, runs: Sequence[CellRun], bases: StoredBases) -> list[CellSizeRow]:
    """Stored runs judged by the study's limits."""
    cells, profile = {(cell.month, cell.hour): cell for cell in study.cells()}, load_profile(study.profile)
    moments = {key: cell.moment(profile) for key, cell in cells.items()}
    return [
        CellSizeRow.of(run.bus, cells[at], run.n_servers, run.outcome(study.limits, bases.of(run)), moments[at])
        for run in runs
        for at in [(run.month, run.hour)]
    ]


def _allowed(row: ProfileRow | None) -> float:
    return (row.allowed_mw or 0.0) if row is not None else 0.0


def _profile_row(
    cell: CellRow, held: FleetCellRow | None, firm_mw: float | None, flexible: FleetCellRow | None, again: bool
) -> ProfileRow:
    """A cell of the table: what held through the year; judged again, what the stored sizes say of the cell."""
    source = cell if again else held
    allowed = source.power_mw if source is not None else None
    figures: dict[str, Any] = {name: getattr(source, name, None) for name in ("lowest_pu", "highest_pu", "loading_pu")}
    return ProfileRow(
        *cell.of_cell,
        allowed_mw=allowed,
        firm_mw=firm_mw,
        above_firm_mw=max(0.0, allowed - firm_mw) if allowed is not None and firm_mw is not None else None,
        flexible_mw=flexible.power_mw if flexible else None,
        flexible_batch_cap=flexible.batch_cap if flexible else None,
        limit=cell.limit,
        limit_where=cell.limit_where,
        searched_mw=cell.power_mw,
        searched_gpus=GPUS_PER_SERVER * cell.n_servers if cell.n_servers is not None else None,
        **figures,
        at_cap=cell.at_cap,
    )


def _when(row: ProfileRow | None) -> str:
    if row is None:
        return ""
    words = f"{calendar.month_abbr[row.month]} {row.hour:02d}:00" + (f", {row.limit}" if row.limit else "")
    return words + (f" {row.limit_where}" if row.limit_where else "")


def _answer(
    study: LoadProfileQuestion,
    profile: Sequence[ProfileRow],
    firm: Mapping[str, float | None],
    fleets: Sequence[FleetRow],
    tightest: Mapping[str, ProfileRow | None],
    rank: Mapping[str, float],
    again: bool,
) -> str:
    whole = [
        bus for bus in tightest
        if len([r for r in profile if r.bus == bus and r.allowed_mw is not None]) == len(study.cells())
    ]  # fmt: skip
    hours = load_profile(study.profile)
    period = hours.period
    if not whole:
        if again:
            return "Under these limits no bus has a simulated size that keeps them in every hour; smaller ones may."
        return f"No bus has a profile that went through all of {period} yet: see the notes and failures."
    bus = max(whole, key=rank.__getitem__)
    rows = [row for row in profile if row.bus == bus]
    mean = sum(_allowed(row) * row.days for row in rows) / sum(row.days for row in rows)
    most, least = max(rows, key=_allowed), min(rows, key=_allowed)
    words = f"Bus {bus} can take {firm[bus]:.2f} MW in every hour of {study.profile}; " if firm[bus] else f"Bus {bus}: "
    if not hours.is_year:
        words = f"This is of {period}: that is no year. {words}"
    words += (
        f"by month and hour {'at least ' if again else ''}{_allowed(least):.2f} MW ({_when(least)}) to "
        f"{_allowed(most):.2f} MW ({calendar.month_abbr[most.month]} {most.hour:02d}:00), {mean:.2f} MW on "
        "average."
    )
    if study.utilisation is not None and not again:
        low, high = study.utilisation
        words += (
            f" A site draws its demand, from {low:g} to {high:g} of its replicas, and no more than the hour's MW: "
            f"years with at most {' and '.join(map(format, study.lower_shares))} of them active hold as well."
        )
    if capped := [row for row in rows if row.at_cap]:
        words += (
            f" In {len(capped)} of {len(rows)} hours of months the search ended at its cap of "
            f"{study.power_max_mw:g} MW at rated power (power_max_mw): more may fit there."
        )
    by_name = {row.operation: row for row in fleets if row.bus == bus}
    flexible, plain = by_name.get("flexible"), by_name.get("firm")
    if flexible and plain and flexible.n_servers and plain.n_servers:
        words += f" {plain.n_gpus} GPUs fit at any time"
        if flexible.curtailed_hours:
            words += (
                f"; a fleet of {flexible.n_gpus} that lowers its batch sizes in {flexible.curtailed_hours} hours "
                f"serves {100 * ((flexible.tokens_of_firm or 1.0) - 1):.1f} % more tokens in {period}"
            )
        words += "."
    if len(whole) > 1:
        last = min(whole, key=rank.__getitem__)
        words += f" The least of {len(whole)} buses is {last} with {rank[last]:.2f} MW."
    return words


def _fleet_table(fleets: Sequence[FleetRow], tightest: Mapping[str, ProfileRow | None], period: str) -> ResultTable:
    columns = columns_of(
        FleetRow,
        "bus operation power_mw power_peak_mw n_gpus energy_gwh throughput_tps tokens_of_firm throughput_share",
        "curtailed_hours",
        Column("binding", "tightest hour"),
        "note rounds",
    )
    rows = [as_shown(row, columns, {"binding": _when(tightest.get(row.bus))}) for row in fleets]
    return table_of("fleets", f"Fleets that keep the limits in every hour of {period}", columns, rows)


def _maps(firm: Mapping[str, float | None], fleets: Sequence[FleetRow], period: str) -> tuple[FeederMap, ...]:
    found = []
    known = {bus: mw for bus, mw in firm.items() if mw is not None}
    if known:
        found.append(FeederMap(f"firm capacity over {period}", "MW", known))
    flexible = {r.bus: float(r.n_gpus) for r in fleets if r.operation == "flexible" and r.n_gpus}
    if flexible:
        found.append(FeederMap("flexible fleet", "GPUs", flexible))
    return tuple(found)


def _envelope(run: YearRun, limits: Limits, period: str) -> Envelope:
    what = "a site that draws the profile" if run.operation == "profile" else f"{run.operation} fleet"
    return envelope_of(f"{run.bus}, {what} through {period}, OpenDSS", [run], limits)


def _chart(title: str, rows: Sequence[ProfileRow], firm_mw: float | None) -> Chart:
    """A line per month: MW allowed against the hour of the day."""
    lines = []
    for month in dict.fromkeys(row.month for row in rows):
        of_month = sorted((row for row in rows if row.month == month), key=lambda row: row.hour)
        hours, mw = [row.hour for row in of_month], [row.allowed_mw for row in of_month]
        lines.append(Line(calendar.month_abbr[month], hours, mw))
    if firm_mw is not None:
        lines.append(Line("firm", [0, 23], [firm_mw] * 2))
    return Chart(title, "hour beginning", "MW", tuple(lines))


def _month_charts(study: LoadProfileQuestion) -> tuple[Chart, ...]:
    """Own load and sun by the hour of the day, means of the months."""
    profile = study.hourly()
    found: dict[str, tuple[list[float], list[float]]] = {}
    for month in range(1, 13):
        rows = [profile.rows_of(month, hour) for hour in range(24)]
        if all(len(of_hour) for of_hour in rows):
            load, sun = (
                [float(np.mean([shares[k] for k in of_hour])) for of_hour in rows]
                for shares in (profile.load_share, profile.generation_share)
            )
            found[calendar.month_abbr[month]] = (load, sun)
    return course_charts(f"of profile {profile.name}, means by month", found) if found else ()


def _failures(results: Sequence[TaskResult]) -> tuple[MissingAnswer, ...]:
    tasks = [MissingAnswer(result.task.label, result.failed) for result in results if result.failed]
    smallest: dict[CellKey, CellSizeRow] = {}
    for size in gather_as(results, "judged", CellSizeRow):
        if size.key not in smallest or size.n_servers < smallest[size.key].n_servers:
            smallest[size.key] = size
    nothing = []
    for row in gather_as(results, "cells", CellRow):
        if row.n_servers == 0:
            least = smallest[row.key]
            what = f"bus {row.bus}, {calendar.month_abbr[row.month]} {row.hour:02d}:00"
            nothing.append(MissingAnswer(what, f"not even {GPUS_PER_SERVER * least.n_servers} GPUs: {least.broken}"))
    return (*tasks, *nothing)


def _warnings(
    study: LoadProfileQuestion,
    profile: Sequence[ProfileRow],
    buses: Sequence[str],
    fleets: Sequence[FleetRow],
    held: Mapping[CellKey, FleetCellRow],
    sizes: Sequence[CellSizeRow],
    again: bool,
) -> tuple[str, ...]:
    period, found = load_profile(study.profile).period, []
    if again:
        found.append(
            "MW are those of the largest simulated size of every hour by itself that keeps "
            f"them; nothing was run through {period} for them, and fleets are not shown"
        )
        unknown = [f"{r.bus} {_when(r)}" for r in profile if r.allowed_mw is None]
        if unknown:
            shown = "; ".join(unknown[:3])
            found.append(f"{len(unknown)} hours have no simulated size that keeps them, e.g. {shown}: smaller ones may")
        return tuple(found)
    n_cells = len(study.cells())
    incomplete = [bus for bus in buses if len([r for r in profile if r.bus == bus]) < n_cells]
    if incomplete:
        found.append(f"months are missing for {', '.join(incomplete)}")
    waiting = [bus for bus in buses if not any(key[0] == bus for key in held) and bus not in incomplete]
    if waiting:
        found.append(f"no profile went through {period} for {', '.join(waiting)}: no MW are reported there")
    found += [f"{r.bus} {r.operation}: {r.note}" for r in fleets if r.n_servers is None and r.note]
    found += _gap_warnings(sizes)
    return tuple(found)


def _gap_warnings(sizes: Sequence[CellSizeRow]) -> list[str]:
    """Hours in which sizes below the answer were refused, bus by bus, and one of them."""
    found = []
    for bus in dict.fromkeys(row.bus for row in sizes):
        cells: dict[CellKey, list[CellSizeRow]] = {}
        for row in sizes:
            if row.bus == bus:
                cells.setdefault(row.key, []).append(row)
        gaps = []
        for rows in cells.values():
            judged = {row.n_servers: row.kept for row in rows}
            answer = max((n for n, kept in judged.items() if kept), default=0)
            refused = [row for row in rows if not row.kept and row.n_servers < answer]
            if refused:
                first = min(refused, key=lambda row: row.n_servers)
                gaps.append((first, next((r for r in rows if r.n_servers == held_up_to(judged, answer)), None)))
        if gaps:
            first, held = gaps[0]
            up_to = f"all that were tried up to {held.power_peak_mw:.2f} MW hold" if held else "no smaller one holds"
            found.append(
                f"{bus}: in {len(gaps)} of {len(cells)} hours of months sizes below the answer break a limit, in "
                f"{calendar.month_abbr[first.month]} {first.hour:02d}:00 {GPUS_PER_SERVER * first.n_servers} GPUs "
                f"({first.broken}); {up_to} there"
            )
    return found


def _not_assessed(study: LoadProfileQuestion, limits: Limits) -> tuple[str, ...]:
    notes = [
        "what happens within an hour: every hour is one power flow with the fleet's mean power; a hosting-capacity "
        "study runs the ramps and the controller second by second",
        "other orders of hours: regulators under their own control remember, and a site that draws another power than "
        "the profile's may leave them elsewhere",
        "other years than that of the profile, and contingencies",
        "protection against faults, short-circuit levels, harmonics and transients",
        "the grid upstream of the feeder's source",
    ]
    if study.taps == "study":
        notes.pop(1)
    cells, profile = study.cells(), load_profile(study.profile)
    if len(cells) < 288:
        notes.append(f"hours of the year that the profile lacks: it has {len(cells)} of 288 hours of months")
    year = profile.hours[0].year
    notes += profile.calendar_notes()
    short = {c.month for c in cells if c.n_days < calendar.monthrange(year, c.month)[1] - (c.month == 2)}
    if short:
        names = ", ".join(calendar.month_abbr[month] for month in sorted(short))
        notes.append(f"days of {names} that the profile lacks")
    notes = [*loading_notes(study.load_feeder(), limits), *notes]
    notes += unassessed_notes(study.load_feeder())
    return tuple(notes)
