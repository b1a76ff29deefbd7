"""A feeder at one glance: where it is weak, and its voltages against the distance from the source. Drawing only."""

from __future__ import annotations

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from g2g_opt.base_case import BaseCase
from g2g_opt.feeder import Feeder
from g2g_opt.limits import Limits
from studies.report.atomic_file import replacing
from studies.report.network_drawing import drawing_of

_PHASE_COLOURS = ("#0072b2", "#d55e00", "#009e73")
_PHASE_MARKERS = ("o", "s", "^")
_LIMIT = "#b00020"
# Above so many bus-phases, marks shrink.
_MANY = 400


def draw_feeder(feeder: Feeder, base: BaseCase, limits: Limits) -> Figure:
    """Map with the lowest voltage of every bus, beside voltage against distance by phase."""
    # Without pyplot and a layout that draws everything twice: both take longer than the drawing itself.
    figure = Figure(figsize=(13, 5.5))
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    figure.subplots_adjust(left=0.02, right=0.98, bottom=0.11, top=0.86, wspace=0.2)
    _draw_map(left, feeder, base)
    _draw_profile(right, base, limits)
    figure.suptitle(f"{feeder.name}: base case without a site")
    return figure


def write_feeder_picture(feeder: Feeder, base: BaseCase, limits: Limits, path: Path) -> Path:
    """Draw the picture as a PNG at `path`; returns it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure = draw_feeder(feeder, base, limits)
    with replacing(path) as scratch:
        figure.savefig(scratch, dpi=120, format="png")
    return path


def _draw_map(axes: Axes, feeder: Feeder, base: BaseCase) -> None:
    drawing = drawing_of(feeder)
    place = drawing.positions
    for is_open, style in ((True, ":"), (False, "-")):
        ends = [
            [place[bus] for bus in edge.buses]
            for edge in drawing.edges
            if (edge.kind == "open") == is_open and all(bus in place for bus in edge.buses)
        ]
        # One artist for all: of a large feeder, thousands take seconds to draw.
        axes.add_collection(LineCollection(ends, linestyles=style, colors="#8d99a5", linewidths=0.9, zorder=1))
    axes.autoscale_view()
    lowest: dict[str, float] = {}
    for node in base.voltages:
        if node.bus in place:
            lowest[node.bus] = min(node.voltage_pu, lowest.get(node.bus, node.voltage_pu))
    if lowest:
        size = 9 if len(lowest) > _MANY else 28
        points = axes.scatter(
            [place[bus][0] for bus in lowest],
            [place[bus][1] for bus in lowest],
            c=list(lowest.values()),
            cmap="viridis",
            s=size,
            zorder=2,
        )
        axes.figure.colorbar(points, ax=axes, label="lowest voltage of the bus (pu)", shrink=0.8)
    if drawing.source in place:
        axes.annotate("source", place[drawing.source], xytext=(4, 4), textcoords="offset points", fontsize=8)
    axes.set_title(drawing.coordinate_system, fontsize=9)
    axes.set_xticks([])
    axes.set_yticks([])
    if drawing.y_per_x is not None:
        axes.set_aspect(drawing.y_per_x, adjustable="datalim")


def _draw_profile(axes: Axes, base: BaseCase, limits: Limits) -> None:
    distance_km = base.distance_km or {}
    for phase, (colour, marker) in enumerate(zip(_PHASE_COLOURS, _PHASE_MARKERS, strict=True), 1):
        nodes = [node for node in base.voltages if node.phase == phase and node.bus in distance_km]
        axes.plot(
            [distance_km[node.bus] for node in nodes],
            [node.voltage_pu for node in nodes],
            marker,
            ms=2.5 if len(base.voltages) > _MANY else 4.5,
            color=colour,
            label="ABC"[phase - 1],
            alpha=0.8,
        )
    for limit_pu in (limits.voltage_min_pu, limits.voltage_max_pu):
        axes.axhline(limit_pu, color=_LIMIT, lw=1.0, ls="--")
    unit = "km" if not base.without_unit else f"as given: OpenDSS keeps no unit of {base.without_unit} lines"
    axes.set_xlabel(f"distance from the source along lines ({unit})")
    axes.set_ylabel("voltage (pu)")
    axes.set_title("voltage against distance, by phase; dashed: the limits", fontsize=9)
    axes.grid(alpha=0.3)
    axes.legend(title="phase", fontsize=8)
