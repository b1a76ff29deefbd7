"""Section of the report page on where its numbers come from, and the warnings that follow from the tasks' states."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from g2g_opt.errors import number_of
from studies.report.page_sections import Section
from studies.report.provenance import Provenance, TaskStates


def task_warnings(tasks: TaskStates) -> list[str]:
    """What the states of the tasks mean for the answer; empty if all are done with one version of the code."""
    warnings = []
    if tasks.unsettled:
        waiting = ", ".join(f"{n:,} {state}" for state, n in tasks.unsettled.items())
        warnings.append(
            f"The study is not finished: of {number_of(tasks.total, 'task')}, {waiting}. The answer covers the others."
        )
    if tasks.failed:
        warnings.append(
            f"{len(tasks.failed):,} of {number_of(tasks.total, 'task')} failed and "
            "the answer does not cover them: see Failures."
        )
    if tasks.versions_mixed:
        warnings.append(f"Results of several code versions are mixed: {', '.join(sorted(set(tasks.code_versions)))}.")
    return warnings


def provenance_section(provenance: Provenance, tasks: TaskStates) -> Section:
    """Key facts in the open; command, question, versions and hashes folded."""
    facts = {
        "Code": ", ".join(sorted(set(tasks.code_versions))) or provenance.code_version,
        "Seed": "none" if provenance.seed is None else str(provenance.seed),
        "Started": f"{provenance.started:%Y-%m-%d %H:%M:%S %Z}".strip(),
        "Finished": f"{provenance.finished:%Y-%m-%d %H:%M:%S %Z}".strip(),
        "Took": in_words(provenance.seconds),
        "Host": ", ".join(provenance.hosts) or "unknown",
        "Engines": "; ".join(provenance.engines) or "none",
    }
    listed = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in facts.items())
    details = [
        _fold("Command", f'<pre class="command">{escape(provenance.command)}</pre>'),
        _fold("Question as TOML", f"<pre>{escape(provenance.question_toml)}</pre>"),
        _fold("The circuit as it is studied", _items(provenance.circuit)),
        _fold("Versions", _pairs({"this program": provenance.code_version, **provenance.versions})),
        _fold("Hashes of the inputs (SHA-256)", _pairs(provenance.input_hashes)),
    ]
    return Section("provenance", "Provenance", f'<dl class="key-facts">{listed}</dl>\n' + "\n".join(details))


def _fold(title: str, html: str) -> str:
    return f"<details><summary>{escape(title)}</summary>\n{html}\n</details>"


def _items(sentences: Sequence[str]) -> str:
    if not sentences:
        return "<p>no circuit</p>"
    return f"<ul>{''.join(f'<li>{escape(words)}</li>' for words in sentences)}</ul>"


def _pairs(values: Mapping[str, str]) -> str:
    if not values:
        return "<p>none</p>"
    rows = "".join(
        f'<tr><th scope="row">{escape(name)}</th><td><code>{escape(str(value))}</code></td></tr>'
        for name, value in values.items()
    )
    return f'<div class="scroll"><table class="pairs"><tbody>{rows}</tbody></table></div>'


def in_words(seconds: float) -> str:
    """A duration as people say it, e.g. "2 h 5 min"."""
    if seconds < 60.0:
        return f"{seconds:.1f} s"
    minutes = round(seconds / 60.0)
    if minutes < 60:
        return f"{minutes} min"
    hours, rest = divmod(minutes, 60)
    return f"{hours} h {rest} min" if hours < 48 else f"{hours / 24:.1f} days"
