"""Sections of the report page that show the conclusion: map, tables, voltages, charts, failures, what is left out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

from g2g_opt.errors import number_of
from g2g_opt.feeder import Feeder
from studies.report.glossary import Term
from studies.report.network_drawing import DRAWING_UNITS, NetworkDrawing
from studies.report.plain_values import json_in_page
from studies.report.plot_data import chart_data, envelope_data, envelope_summary, map_data, network_data
from studies.report.provenance import TaskStates
from studies.report.result_cells import shown_table, table_html
from studies.shared.conclusion import Chart, Column, Envelope, FeederMap, MissingAnswer, ResultTable

# More choices than this go into a list instead of a row of buttons.
_BUTTONS_MAX = 5
_BUSES_NAMED_MAX = 200
# A chart of more lines than this gets the whole width.
_NARROW_MAX = 4


@dataclass(frozen=True)
class Section:
    """A section of the page; `html` is ready, `title` is not escaped yet."""

    id: str
    title: str
    html: str


def map_section(maps: Sequence[FeederMap], feeder: Feeder, drawing: NetworkDrawing) -> list[Section]:
    """The feeder coloured by each map, one at a time; a conclusion without maps still shows its feeder."""
    shown = maps or (FeederMap(title=f"Feeder {feeder.name}", unit="", value_by_bus={}),)
    data = {
        "network": network_data(feeder, drawing),
        "maps": [map_data(feeder_map, drawing) for feeder_map in shown],
    }
    notes = [
        f"Drawn by {drawing.coordinate_system}."
        if not drawing.computed
        else "The circuit has no coordinates: this layout was computed from its topology. Steps to the right are "
        "branches away from the source; distances mean nothing."
    ]
    if drawing.coordinate_system == DRAWING_UNITS:
        notes[0] = "Drawn at the circuit's own drawing coordinates."
    if not drawing.geographic:
        notes.append("Positions are a drawing, not longitude and latitude; map.geojson says so too.")
    notes.append("Buses without a figure are small and grey.")
    html = f"""{_switch([feeder_map.title for feeder_map in shown], "map")}
<div class="plot map" id="map" role="img" aria-label="{escape("Map of feeder " + feeder.name)}"></div>
<p class="note">{escape(" ".join(notes))}</p>
{"".join(_unplaced_html(k, m, feeder, drawing) for k, m in enumerate(shown))}
<script type="application/json" id="map-data">{json_in_page(data)}</script>"""
    return [Section("the-map", "Map", html)]


def _unplaced_html(number: int, feeder_map: FeederMap, feeder: Feeder, drawing: NetworkDrawing) -> str:
    unknown = [bus for bus in feeder_map.value_by_bus if bus not in feeder.buses]
    parts = []
    for words, buses in (("without coordinates", drawing.unplaced), ("not in this feeder", unknown)):
        if buses:
            named = ", ".join(_bus_with_value(bus, feeder_map) for bus in buses[:_BUSES_NAMED_MAX])
            more = f" and {len(buses) - _BUSES_NAMED_MAX} more" if len(buses) > _BUSES_NAMED_MAX else ""
            noun = "Bus" if len(buses) == 1 else f"{len(buses)} buses"
            parts.append(f"{noun} {words}, so not drawn: {named}{more}.")
    hidden = " hidden" if number else ""
    return f'<p class="note unplaced" data-map="{number}"{hidden}>{escape(" ".join(parts))}</p>' if parts else ""


def _bus_with_value(bus: str, feeder_map: FeederMap) -> str:
    value = feeder_map.value_by_bus.get(bus)
    told = [
        *([f"{value:.4g} {feeder_map.unit}".strip()] if value is not None else []),
        *([feeder_map.marked[bus]] if bus in feeder_map.marked else []),
        *([feeder_map.text_by_bus[bus]] if bus in feeder_map.text_by_bus else []),
    ]
    return f"{bus} ({'; '.join(told)})" if told else bus


def _switch(titles: Sequence[str], what: str) -> str:
    """Buttons, or a list where there are many, that choose what a figure shows."""
    if len(titles) == 1:
        return f'<p class="figure-title">{escape(titles[0])}</p>'
    paper = f'<span class="on-paper note">(one of {len(titles)}; each is a picture of its own beside this page)</span>'
    if len(titles) <= _BUTTONS_MAX:
        buttons = "".join(
            f'<button type="button" data-choice="{k}" aria-pressed="{str(k == 0).lower()}">{escape(title)}</button>'
            for k, title in enumerate(titles)
        )
        attributes = f'data-switch="{what}" role="group" aria-label="Choose the {what}"'
        return f'<div class="switch" {attributes}>{buttons}{paper}</div>'
    options = "".join(f'<option value="{k}">{escape(title)}</option>' for k, title in enumerate(titles))
    return (
        f'<label class="switch" data-switch="{what}">Show '
        f'<select aria-label="Choose the {what}">{options}</select>{paper}</label>'
    )


def table_sections(section_id: str, title: str, tables: Sequence[ResultTable]) -> list[Section]:
    """A section of tables, those that are folded in <details>; none without tables."""
    if not tables:
        return []
    return [Section(section_id, title, "\n".join(_table(table, f"{table.name}.csv") for table in tables))]


def _table(table: ResultTable, file: str = "") -> str:
    html = table_html(shown_table(table, file))
    if not table.folded:
        return html
    rows = f"{len(table.rows):,} row{'' if len(table.rows) == 1 else 's'}"
    # On a screen the file stands below the table.
    where = f'<span class="on-paper">, <code>{escape(file)}</code></span>' if file else ""
    summary = f'{escape(table.title)} <span class="count">{rows}{where}</span>'
    return f"<details><summary>{summary}</summary>\n{html}\n</details>"


def envelope_section(envelopes: Sequence[Envelope], of: str = "") -> list[Section]:
    """Lowest and highest voltage of every bus-phase against the limits, one candidate at a time.

    `of` says of what they are a part.
    """
    if not envelopes:
        return []
    summaries = "".join(
        f'<p class="summary" data-envelope="{k}"{" hidden" if k else ""}>{escape(envelope_summary(envelope))}</p>'
        for k, envelope in enumerate(envelopes)
    )
    data = json_in_page([envelope_data(envelope) for envelope in envelopes])
    part = f'<p class="note">{escape(of)}</p>\n' if of else ""
    html = f"""{part}{_switch([envelope.title for envelope in envelopes], "envelope")}
<div class="plot envelope" id="envelope" role="img" aria-label="Voltage envelope"></div>
{summaries}
<script type="application/json" id="envelope-data">{data}</script>"""
    return [Section("voltages", "Voltages", html)]


def chart_section(charts: Sequence[Chart]) -> list[Section]:
    """All charts below each other."""
    if not charts:
        return []
    figures = "\n".join(
        f'<figure class="chart{" broad" if len(chart.lines) > _NARROW_MAX else ""}">'
        f"<figcaption>{escape(chart.title)}</figcaption>"
        f'<div class="plot" role="img" aria-label="{escape(chart.title)}"></div>'
        f'<script type="application/json">{json_in_page(chart_data(chart))}</script></figure>'
        for chart in charts
    )
    return [Section("charts", "Charts", f'<div class="charts">\n{figures}\n</div>')]


def failure_section(failures: Sequence[MissingAnswer], tasks: TaskStates) -> Section:
    """What has no answer and why: candidates first, then tasks; says so where there is none."""
    candidates = ResultTable(
        "failures",
        "Candidates without an answer",
        (Column("what", "what"), Column("reason", "reason")),
        [{"what": failure.what, "reason": failure.reason} for failure in failures],
    )
    failed = ResultTable(
        "failed_tasks",
        "Tasks that failed",
        (Column("label", "task"), Column("reason", "reason"), Column("attempts", "attempts", 0)),
        [{"label": task.label, "reason": task.reason, "attempts": task.attempts} for task in tasks.failed],
    )
    parts = [
        _table(candidates) if failures else "<p>Candidates without an answer: none.</p>",
        _table(failed) if tasks.failed else "<p>Tasks that failed: none.</p>",
        f"<p class='note'>{escape(_states_in_words(tasks))}</p>",
    ]
    return Section("failures", "Failures", "\n".join(parts))


def _states_in_words(tasks: TaskStates) -> str:
    counts = [f"{n:,} {state}" for state, n in tasks.counts.items() if n]
    return f"Of {number_of(tasks.total, 'task')}: {', '.join(counts)}." if counts else "There were no tasks."


def glossary_section(terms: Sequence[Term]) -> list[Section]:
    """The words and units of the page, explained; none where nothing needs it."""
    if not terms:
        return []
    listed = "".join(f"<dt>{escape(term.word)}</dt><dd>{escape(term.meaning)}</dd>" for term in terms)
    return [Section("words", "Words and units", f'<dl class="key-facts words-and-units">{listed}</dl>')]


def not_assessed_section(not_assessed: Iterable[str]) -> Section:
    """What the answer does not cover."""
    notes = "".join(f"<li>{escape(note)}</li>" for note in not_assessed)
    html = f"<ul>{notes}</ul>" if notes else "<p>The study lists nothing here.</p>"
    return Section("not-assessed", "Not assessed by this study", html)
