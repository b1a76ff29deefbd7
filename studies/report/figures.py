"""Pictures of a conclusion for documents and slides: feeder maps, voltage envelopes, charts. Drawing only."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from g2g_opt.base_case import BaseCase
from g2g_opt.feeder import Feeder
from g2g_opt.limits import Limits
from studies.report.atomic_file import replacing
from studies.report.distance_chart import distance_chart
from studies.report.network_drawing import NetworkDrawing, drawing_of
from studies.report.plot_data import chart_data, envelope_data, envelope_summary
from studies.shared.conclusion import Chart, Conclusion, Envelope, FeederMap

# Okabe and Ito: told apart with any colour vision; each with a sign of its own besides.
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#8c6d00")
_MARKERS = ("o", "s", "D", "^", "x", "*")
_STYLES = ("-", "--", ":", "-.", (0, (8, 3)), (0, (8, 3, 2, 3)))
_LIMIT = "#b00020"
_EDGE_STYLE = {"line": ("#8d99a5", "-", 1.2), "transformer": ("#cc79a7", "-", 3.0), "open": ("#8d99a5", ":", 1.2)}
# Words on an axis that still fit side by side.
_TICKS_MAX = 30
# Points of a line whose words are written beside them; lines whose names have room inside the axes.
_WORDS_MAX, _INSIDE_MAX = 25, 8
# Buses of a feeder on which every one is named, and characters of a mark.
_LABELS_MAX = 40
_WORD_MAX = 28
# Lines and areas on white: a third of the time of the usual compression, for files that are little larger.
_PNG = {"compress_level": 1}
# A word without a blank so long is drawn in short.
_LONG_WORD = re.compile(r"\S{49,}")


def draw_pictures(conclusion: Conclusion, feeder: Feeder | None, folder: Path) -> list[Path]:
    """Write a PNG per map, envelope and chart, named after their titles; returns the paths."""
    # One after the other: open figures take memory.
    drawn: list[tuple[str, Callable[[], Figure]]] = []
    if feeder is not None:
        drawing = drawing_of(feeder)
        for feeder_map in conclusion.maps:
            drawn.append((f"map_{feeder_map.title}", partial(draw_feeder_map, feeder_map, drawing)))
    for envelope in conclusion.envelopes:
        drawn.append((f"voltages_{envelope.title}", partial(draw_envelope, envelope)))
    for chart in conclusion.charts:
        drawn.append((f"chart_{chart.title}", partial(draw_chart, chart)))
    paths: list[Path] = []
    for title, draw in drawn:
        figure = draw()
        paths.append(_free_path(folder, title, paths))
        _save(figure, paths[-1], 150)
    return paths


def _save(figure: Figure, path: Path, dpi: int) -> None:
    with replacing(path) as scratch, warnings.catch_warnings():
        # Letters that its font lacks, matplotlib draws as boxes; whoever reads the terminal can do nothing about it.
        warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from", UserWarning)
        warnings.filterwarnings("error", "constrained_layout not applied", UserWarning)
        _lay_out(figure, dpi)
        # Not `savefig`, which goes through a figure that has had a layout engine once more before it draws it.
        FigureCanvasAgg(figure).print_png(scratch, pil_kwargs=_PNG)  # type: ignore[no-untyped-call]
    plt.close(figure)


def _lay_out(figure: Figure, dpi: int) -> None:
    """Give the axes of a figure their places for good: `savefig` draws it once more for that, which takes as long."""
    figure.set_dpi(dpi)
    engine = figure.get_layout_engine()
    if engine is None:
        return
    # Names so long that no room is left beside them: axes where they are, and the names cut at the edge.
    with suppress(UserWarning):
        engine.execute(figure)
    figure.set_layout_engine("none")


def _free_path(folder: Path, title: str, taken: Sequence[Path]) -> Path:
    stem = re.sub(r"[^a-z0-9]+", "_", title.lower()).strip("_")[:60] or "figure"
    path, number = folder / f"{stem}.png", 2
    while path in taken:
        path, number = folder / f"{stem}_{number}.png", number + 1
    return path


def _plain(text: object) -> str:
    """Texts as they are, but for long words: between two dollar signs matplotlib would read mathematics."""
    return _LONG_WORD.sub(lambda found: f"{found[0][:40]}...{found[0][-5:]}", str(text)).replace("$", r"\$")


def write_feeder_picture(feeder: Feeder, base: BaseCase, load_level: float, limits: Limits, path: Path) -> Path:
    """A feeder without a site at one glance, as a PNG at `path`: where it is weak, beside voltage against distance."""
    lowest: dict[str, float] = {}
    for node in base.voltages:
        lowest[node.bus] = min(node.voltage_pu, lowest.get(node.bus, node.voltage_pu))
    figure, (left, right) = plt.subplots(1, 2, figsize=(16, 5.5), layout="constrained")
    _draw_map(left, FeederMap("Lowest voltage of the bus", "pu", lowest), drawing_of(feeder))
    chart = distance_chart(base, load_level, None, limits)
    if chart is not None:
        _draw_lines(right, chart)
    figure.suptitle(f"{_plain(feeder.name)}: base case without a site")
    _save(figure, path, 120)
    return path


def draw_feeder_map(feeder_map: FeederMap, drawing: NetworkDrawing) -> Figure:
    """The feeder with its buses coloured by their figures; those without one are small and grey."""
    figure, axes = plt.subplots(figsize=(10, 6.5), layout="constrained")
    _draw_map(axes, feeder_map, drawing)
    return figure


def _draw_map(axes: Axes, feeder_map: FeederMap, drawing: NetworkDrawing) -> None:
    lines: dict[str, list[list[tuple[float, float]]]] = {}
    for edge in drawing.edges:
        ends = [drawing.positions.get(bus) for bus in edge.buses]
        if ends[0] is not None and ends[1] is not None:
            lines.setdefault("line" if edge.kind == "regulator" else edge.kind, []).append([ends[0], ends[1]])
            if edge.kind == "regulator":
                middle = [(ends[0][k] + ends[1][k]) / 2 for k in (0, 1)]
                axes.plot(*middle, "D", mfc="none", mec=_COLOURS[1], mew=1.6, ms=11, zorder=1)
    for kind, of_kind in lines.items():
        colour, style, width = _EDGE_STYLE[kind]
        # One artist for all: of a large feeder, thousands take seconds to draw.
        axes.add_collection(LineCollection(of_kind, linestyles=style, colors=colour, linewidths=width, zorder=1))
    values = {bus: value for bus, value in feeder_map.value_by_bus.items() if bus in drawing.positions}
    empty = [xy for bus, xy in drawing.positions.items() if bus not in values]
    axes.scatter([x for x, _ in empty], [y for _, y in empty], s=12, color="#b4bec8", zorder=2)
    if values:
        # The highest last, on top.
        buses = sorted(values, key=lambda bus: (bus in feeder_map.marked, values[bus]))
        dots = axes.scatter(
            [drawing.positions[bus][0] for bus in buses],
            [drawing.positions[bus][1] for bus in buses],
            c=[values[bus] for bus in buses],
            s=[150 if bus in feeder_map.marked else 70 for bus in buses],
            linewidths=[2.2 if bus in feeder_map.marked else 0.6 for bus in buses],
            edgecolors="#1b2530",
            cmap="viridis",
            zorder=3,
        )
        axes.figure.colorbar(dots, ax=axes, label=_plain(feeder_map.unit), shrink=0.75)
    _label_buses(axes, feeder_map, drawing)
    if drawing.y_per_x is not None:
        axes.set_aspect(drawing.y_per_x, adjustable="datalim")
    axes.margins(0.06)
    axes.set_axis_off()
    remarks = [f"buses without coordinates, not drawn: {len(drawing.unplaced)}"] if drawing.unplaced else []
    if drawing.computed:
        remarks.append(drawing.coordinate_system)
    axes.set_title(_plain("\n".join([feeder_map.title, *remarks])), fontsize=11)


def _label_buses(axes: Axes, feeder_map: FeederMap, drawing: NetworkDrawing) -> None:
    """Marked buses with their word, by turns above and below; the source; on a small feeder every bus."""
    small = len(drawing.positions) <= _LABELS_MAX
    labels = {bus: bus for bus in drawing.positions if small or bus == drawing.source}
    if drawing.source in labels:
        labels[drawing.source] += " (source)"
    for bus, word in feeder_map.marked.items():
        labels[bus] = f"{bus}: {word if len(word) <= _WORD_MAX else word[: _WORD_MAX - 1] + '…'}"
    marked = list(feeder_map.marked)
    for bus, text in labels.items():
        if bus in drawing.positions:
            below = bus in marked and marked.index(bus) % 2 == 1
            place = (7, -15) if below else (7, 8)
            weight = "bold" if bus in marked else "normal"
            axes.annotate(
                _plain(text),
                drawing.positions[bus],
                xytext=place,
                textcoords="offset points",
                fontsize=8.5,
                weight=weight,
                zorder=4,
            )


def draw_envelope(envelope: Envelope) -> Figure:
    """Lowest to highest voltage of every bus-phase, with the limits; those outside are ringed."""
    figure, axes = plt.subplots(figsize=(11, 4.8), layout="constrained")
    lowest = np.asarray(envelope.lowest_pu, dtype=np.float64)
    highest = np.asarray(envelope.highest_pu, dtype=np.float64)
    for place, (phase, nodes) in enumerate(envelope_data(envelope)["phases"].items()):
        colour = _COLOURS[place % len(_COLOURS)]
        axes.vlines(
            nodes, lowest[nodes], highest[nodes], color=colour, lw=1.6, label=f"phase {phase}" if phase else "voltages"
        )
        for ends in (lowest, highest):
            axes.plot(nodes, ends[nodes], _MARKERS[place % len(_MARKERS)], color=colour, ms=2.6)
    for ends, outside in (
        (lowest, lowest < envelope.voltage_min_pu),
        (highest, highest > envelope.voltage_max_pu),
    ):
        axes.plot(np.flatnonzero(outside), ends[outside], "o", mfc="none", mec=_LIMIT, ms=8)
    for limit in (envelope.voltage_min_pu, envelope.voltage_max_pu):
        axes.axhline(limit, color=_LIMIT, ls="--", lw=1.2)
    step = max(1, -(-len(envelope.nodes) // _TICKS_MAX))
    places = range(0, len(envelope.nodes), step)
    axes.set_xticks(places, [_plain(envelope.nodes[k]) for k in places], rotation=70, fontsize=8)
    axes.set_xlim(-1, len(envelope.nodes))
    axes.set_xlabel("bus and phase")
    axes.set_ylabel("voltage (pu)")
    axes.grid(axis="y", alpha=0.3)
    axes.set_title(_plain(f"{envelope.title}\n{envelope_summary(envelope)}"), fontsize=10, wrap=True)
    if envelope.nodes:
        axes.legend(loc="best", fontsize=8, ncols=4)
    return figure


def draw_chart(chart: Chart) -> Figure:
    """The lines and points of a chart; x are places of words where any x is a word."""
    figure, axes = plt.subplots(figsize=(10.5 if _is_beside(chart) else 8, 5), layout="constrained")
    _draw_lines(axes, chart)
    return figure


def _is_beside(chart: Chart) -> bool:
    """Does the legend stand beside the axes? Where limits are drawn, every place in them says something."""
    return len(chart.lines) > _INSIDE_MAX or bool(chart.limits)


def _draw_lines(axes: Axes, chart: Chart) -> None:
    data = chart_data(chart)
    if data["diagonal"]:
        axes.plot(data["diagonal"], data["diagonal"], "--", color="#8d99a5", lw=1.2, label="equal")
    words = list(dict.fromkeys(x for line in data["lines"] for x in line["x"])) if data["words"] else []
    for line in data["lines"]:
        x = [words.index(word) for word in line["x"]] if words else _figures(line["x"])
        marked = line["points"] or len(x) <= _TICKS_MAX
        colour = _COLOURS[line["colour"]]
        if line["low"]:
            axes.vlines(x, _figures(line["low"]), _figures(line["y"]), color=colour, lw=1.2)
            axes.plot(x, _figures(line["low"]), _MARKERS[line["sign"]], color=colour, ms=3)
        axes.plot(
            x,
            _figures(line["y"]),
            linestyle="none" if line["points"] else _STYLES[line["sign"]],
            marker=_MARKERS[line["sign"]] if marked else None,
            color=colour,
            ms=3 if line["low"] else 5,
            label=_plain(line["name"]),
        )
        # A page shows words where one points; on paper there is room for few.
        if line["points"] and 0 < len(line["text"]) <= _WORDS_MAX and not data["marked"]:
            axes.margins(x=0.15)
            for place, text in zip(zip(x, _figures(line["y"]), strict=True), line["text"], strict=True):
                axes.annotate(_plain(text), place, xytext=(6, 4), textcoords="offset points", fontsize=7)
    if words:
        step = max(1, -(-len(words) // _TICKS_MAX))
        places = range(0, len(words), step)
        turned = max(map(len, words)) * len(places) > 80
        axes.set_xticks(places, [_plain(words[k]) for k in places], rotation=70 if turned else 0, fontsize=8)
    for limit in data["limits"]:
        axes.axhline(limit, color=_LIMIT, ls="--", lw=1.2)
    for x, y, word in data["marked"]:
        axes.plot(x, y, "o", mfc="none", mec=_LIMIT, ms=9)
        axes.annotate(_plain(word), (x, y), xytext=(6, -12), textcoords="offset points", fontsize=8, weight="bold")
    if data["y_range"] is not None:
        axes.set_ylim(*data["y_range"])
    axes.set_xlabel(_plain(chart.x_title))
    axes.set_ylabel(_plain(chart.y_title))
    axes.set_title(_plain(chart.title), fontsize=11, wrap=True)
    axes.grid(alpha=0.3)
    if data["diagonal"] or len(chart.lines) > 1:
        if _is_beside(chart):
            axes.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1.01, 1.0))
        else:
            axes.legend(fontsize=8)


def _figures(values: Sequence[float | None]) -> list[float]:
    return [np.nan if value is None else value for value in values]
