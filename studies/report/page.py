"""`write_report`: a study's conclusion as one HTML file that needs no network, no server and no other file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import escape, unescape
from importlib.resources import files
from pathlib import Path

from g2g_opt.errors import number_of
from g2g_opt.feeder import Feeder
from studies.report.atomic_file import write_text
from studies.report.glossary import terms_on
from studies.report.network_drawing import drawing_of
from studies.report.page_sections import (
    Section,
    chart_section,
    envelope_section,
    failure_section,
    glossary_section,
    map_section,
    not_assessed_section,
    table_sections,
)
from studies.report.provenance import Provenance, TaskStates
from studies.report.provenance_section import in_words, provenance_section, task_warnings
from studies.shared.conclusion import Conclusion

# The browser itself refuses whatever would leave the file.
_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:; "
    "base-uri 'none'; form-action 'none'"
)
_SCRIPTS = ("tables.js", "plots.js")


def write_report(
    conclusion: Conclusion, provenance: Provenance, feeder: Feeder | None, tasks: TaskStates, path: Path
) -> Path:
    """Write the report page to `path`, the old file staying whole until the new one is; returns `path`."""
    return write_text(path, report_html(conclusion, provenance, feeder, tasks))


def report_html(conclusion: Conclusion, provenance: Provenance, feeder: Feeder | None, tasks: TaskStates) -> str:
    """The report page: the answer first, then what it stands on, at the end where its numbers come from."""
    binding = [table for table in conclusion.tables if is_binding(table.name)]
    results = [table for table in conclusion.tables if not is_binding(table.name)]
    sections = [
        *(map_section(conclusion.maps, feeder, drawing_of(feeder)) if feeder is not None else ()),
        *table_sections("results", "Results", results),
        *envelope_section(conclusion.envelopes, conclusion.envelopes_of),
        *table_sections("binding", "What binds", binding),
        *chart_section(conclusion.charts),
        failure_section(conclusion.failures, tasks),
        not_assessed_section(conclusion.not_assessed),
    ]
    texts = [conclusion.title, conclusion.answer, *conclusion.warnings, *map(_visible, sections), *_drawn(conclusion)]
    sections += [*glossary_section(terms_on(texts)), provenance_section(provenance, tasks)]
    style = _part("report.css")
    scripts = "\n".join(f"<script>\n{_part(name)}\n</script>" for name in _SCRIPTS)
    body = "\n".join(_section_html(section) for section in sections)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<title>{escape(conclusion.title)}</title>
<style>
{style}
</style>
</head>
<body>
{_header_html(conclusion, provenance, feeder, tasks, sections)}
<main>
{body}
</main>
<script>
{plotly_source()}
</script>
{scripts}
</body>
</html>
"""


def _visible(section: Section) -> str:
    """What a section says in words, without what its figures are drawn from."""
    shown = re.sub(r"<script.*?</script>", " ", section.html, flags=re.DOTALL)
    return f"{section.title} {unescape(re.sub('<[^>]*>', ' ', shown))}"


def _drawn(conclusion: Conclusion) -> Iterator[str]:
    """Words that figures show."""
    yield from (feeder_map.unit for feeder_map in conclusion.maps)
    if conclusion.envelopes:
        yield "bus and phase, voltage (pu)"
    for chart in conclusion.charts:
        yield from (chart.x_title, chart.y_title, *(line.name for line in chart.lines))


def is_binding(table_name: str) -> bool:
    """Whether a table of a conclusion tells what binds: "binding", or a name that ends in "_binding"."""
    return table_name == "binding" or table_name.endswith("_binding")


def plotly_source() -> str:
    """The drawing library of the page as the plotly package ships it (it has the full build only)."""
    return files("plotly").joinpath("package_data", "plotly.min.js").read_text(encoding="utf-8")


def _part(name: str) -> str:
    return files("studies.report").joinpath(name).read_text(encoding="utf-8")


def _section_html(section: Section) -> str:
    return f'<section id="{section.id}">\n<h2>{escape(section.title)}</h2>\n{section.html}\n</section>'


def _header_html(
    conclusion: Conclusion, provenance: Provenance, feeder: Feeder | None, tasks: TaskStates, sections: list[Section]
) -> str:
    warnings = [*conclusion.warnings, *task_warnings(tasks)]
    facts = (
        *((f"feeder {conclusion.feeder}, {number_of(len(feeder.buses), 'bus')}",) if feeder is not None else ()),
        f"{tasks.total:,} task{'' if tasks.total == 1 else 's'} in {in_words(provenance.seconds)}",
        f"finished {provenance.finished:%Y-%m-%d %H:%M %Z}".strip(),
    )
    answer = "".join(f"<p>{escape(part)}</p>" for part in conclusion.answer.splitlines() if part.strip())
    qualified = (
        f'<div class="warnings" role="note"><h2>{"Warning" if len(warnings) == 1 else "Warnings"}</h2><ul>'
        + "".join(f"<li>{escape(warning)}</li>" for warning in warnings)
        + "</ul></div>"
        if warnings
        else ""
    )
    links = "".join(f'<a href="#{section.id}">{escape(section.title)}</a>' for section in sections)
    return f"""<header>
<h1>{escape(conclusion.title)}</h1>
<p class="facts">{"".join(f"<span>{escape(fact)}</span>" for fact in facts)}</p>
<div class="answer" id="answer">{answer}</div>
{qualified}
<nav aria-label="Sections">{links}</nav>
<noscript><p class="note">Without scripts: the first rows of each table, no map, no charts.</p></noscript>
</header>"""
