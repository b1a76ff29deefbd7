"""Data of the report page's interactive figures; how they are drawn is said in plots.js."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from g2g_opt.feeder import Feeder
from studies.report.network_drawing import EdgeKind, NetworkDrawing
from studies.report.plain_values import plain_value
from studies.shared.conclusion import Chart, Envelope, FeederMap

_EDGE_KINDS: tuple[EdgeKind, ...] = ("line", "transformer", "regulator", "open")
_PHASES = {1: "A", 2: "B", 3: "C"}
# Colours and signs (points, or dashes) of a figure's lines: all pairs of them differ before the first comes again.
N_COLOURS = N_SIGNS = 6
# Figures that differ by less than this, as a share of the largest, are one figure and noise of rounding.
_CONSTANT_SHARE, _ZERO = 1e-4, 1e-9
# Share of an axis by which bars at one place are moved aside.
_BARS_APART = 0.005
# Enough to place a bus on any screen, also in degrees.
_POSITION_DIGITS = 9


def network_data(feeder: Feeder, drawing: NetworkDrawing) -> dict[str, Any]:
    """Placed buses as columns, and pairs of their indices by kind of edge."""
    names = list(drawing.positions)
    index = {name: k for k, name in enumerate(names)}
    together: dict[tuple[float, float], list[str]] = {}
    for name, xy in drawing.positions.items():
        together.setdefault(xy, []).append(name)
    pairs: dict[str, list[list[int]]] = {kind: [] for kind in _EDGE_KINDS}
    for edge in drawing.edges:
        ends = [index[bus] for bus in edge.buses if bus in index]
        if len(ends) == 2 and ends not in pairs[edge.kind]:
            pairs[edge.kind].append(ends)
    return {
        "buses": names,
        "x": [_significant(drawing.positions[name][0]) for name in names],
        "y": [_significant(drawing.positions[name][1]) for name in names],
        "about": [_about(feeder, name) for name in names],
        # Buses drawn at one point hide each other.
        "same_place": {
            index[name]: [other for other in group if other != name]
            for group in together.values()
            if len(group) > 1
            for name in group
        },
        "edges": pairs,
        "source": index.get(drawing.source),
        "y_per_x": drawing.y_per_x,
    }


def _significant(value: float) -> float:
    return float(f"{value:.{_POSITION_DIGITS}g}")


def _about(feeder: Feeder, name: str) -> str:
    bus = feeder.buses[name]
    phases = "".join(_PHASES.get(phase, str(phase)) for phase in bus.phases) or "none"
    base = f", {bus.kv_ln:.4g} kV to neutral" if bus.kv_ln > 0.0 else ""
    return f"phases {phases}{base}"


def map_data(feeder_map: FeederMap, drawing: NetworkDrawing) -> dict[str, Any]:
    """Values, texts and marks of one map in the order of the network's buses."""
    names = list(drawing.positions)
    return {
        "title": feeder_map.title,
        "unit": feeder_map.unit,
        "values": [plain_value(feeder_map.value_by_bus.get(name)) for name in names],
        "texts": {k: feeder_map.text_by_bus[name] for k, name in enumerate(names) if name in feeder_map.text_by_bus},
        "marked": {k: feeder_map.marked[name] for k, name in enumerate(names) if name in feeder_map.marked},
    }


def envelope_data(envelope: Envelope) -> dict[str, Any]:
    """One envelope, its nodes grouped by phase (the part after the last point of their names)."""
    phase_of = [node.rpartition(".")[2] if "." in node else "" for node in envelope.nodes]
    return {
        "title": envelope.title,
        "nodes": list(envelope.nodes),
        "lowest": plain_value(list(envelope.lowest_pu)),
        "highest": plain_value(list(envelope.highest_pu)),
        "limits": [envelope.voltage_min_pu, envelope.voltage_max_pu],
        "phases": {phase: [k for k, found in enumerate(phase_of) if found == phase] for phase in sorted(set(phase_of))},
    }


def chart_data(chart: Chart) -> dict[str, Any]:
    """One chart; its x axis has categories where any x is a word, so that bus names are never read as numbers."""
    lines = [
        {
            "name": line.name,
            "x": plain_value(list(line.x)),
            "y": plain_value(list(line.y)),
            "points": line.points,
            "text": list(line.text),
            "low": plain_value(list(line.low)),
            "colour": (k if line.hue is None else line.hue) % N_COLOURS,
            "sign": (k + k // N_COLOURS) % N_SIGNS,
        }
        for k, line in enumerate(chart.lines)
    ]
    words = any(isinstance(x, str) for line in lines for x in line["x"])
    if words:
        for line in lines:
            line["x"] = [str(x) for x in line["x"]]
    else:
        _set_bars_apart(lines)
    return {
        "title": chart.title,
        "x_title": chart.x_title,
        "y_title": chart.y_title,
        "lines": lines,
        "words": words,
        "diagonal": _diagonal(lines) if chart.diagonal and not words else None,
        "limits": list(chart.limits),
        "marked": [list(mark) for mark in chart.marked],
        "y_range": constant_range([v for line in lines for v in (*line["y"], *line["low"]) if v is not None]),
    }


def _set_bars_apart(lines: list[dict[str, Any]]) -> None:
    """Bars at one place would hide each other: those of every colour are moved aside by a little."""
    bars = [line for line in lines if line["low"]]
    xs = [x for line in lines for x in line["x"] if x is not None]
    colours = sorted({line["colour"] for line in bars})
    if len(colours) < 2:
        return
    step = _BARS_APART * (max(xs) - min(xs))
    for line in bars:
        aside = step * (colours.index(line["colour"]) - (len(colours) - 1) / 2.0)
        line["x"] = [None if x is None else x + aside for x in line["x"]]


def constant_range(values: Sequence[float]) -> list[float] | None:
    """Ends of an axis on which figures that are all one figure are a flat line; None for figures that differ.

    An axis left to itself would show the noise of rounding as if it were a course of things.
    """
    if not values:
        return None
    low, high = min(values), max(values)
    size = max(abs(low), abs(high))
    if high - low > max(_CONSTANT_SHARE * size, _ZERO):
        return None
    return [low - 0.1 * abs(low), high + 0.1 * abs(high)] if size > _ZERO else [-1.0, 1.0]


def _diagonal(lines: Iterable[dict[str, Any]]) -> list[float] | None:
    known = [v for line in lines for axis in ("x", "y") for v in line[axis] if v is not None]
    return [min(known), max(known)] if known else None


def envelope_summary(envelope: Envelope) -> str:
    """The extremes of an envelope, and the bus-phases outside the limits, in words."""
    known = [
        (node, low, high)
        for node, low, high in zip(envelope.nodes, envelope.lowest_pu, envelope.highest_pu, strict=True)
        if math.isfinite(low) and math.isfinite(high)
    ]
    if not known:
        return "No voltages were simulated."
    lowest = min(known, key=lambda item: item[1])
    highest = max(known, key=lambda item: item[2])
    outside = [node for node, low, high in known if low < envelope.voltage_min_pu or high > envelope.voltage_max_pu]
    return (
        f"Lowest {lowest[1]:.4f} pu at {lowest[0]}, highest {highest[2]:.4f} pu at {highest[0]}; "
        f"limits {envelope.voltage_min_pu:g} to {envelope.voltage_max_pu:g} pu. {_leaving(outside, len(known))}"
    )


def _leaving(outside: Sequence[str], n_nodes: int) -> str:
    if not outside:
        return f"None of {n_nodes} bus-phases leaves the limits at any time."
    named = ", ".join(outside[:6]) + (f" and {len(outside) - 6} more" if len(outside) > 6 else "")
    verb = "leaves" if len(outside) == 1 else "leave"
    return f"{len(outside)} of {n_nodes} bus-phases {verb} the limits at some time: {named}."
