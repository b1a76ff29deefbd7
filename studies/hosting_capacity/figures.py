"""Figures of a hosting-capacity study. Drawing only."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from g2g_opt.feeder import Feeder
from studies.hosting_capacity.study import Capacity, Operation

_COLOUR: dict[Operation, str] = {"firm": "#4c6a92", "flexible": "#e08a3c"}


def draw_hosting_capacity(feeder: Feeder, results: Sequence[Capacity], title: str, path: Path) -> Path:
    """Peak and operating MW per bus, and the feeder with its buses sized and coloured by capacity; writes a PNG."""
    buses = list(dict.fromkeys(capacity.bus for capacity in results))
    figure, (bars, network) = plt.subplots(1, 2, figsize=(13, 5.2), width_ratios=(max(1.2, 0.14 * len(buses)), 1))
    _draw_bars(bars, buses, results)
    _draw_network(network, feeder, results)
    figure.suptitle(title, fontsize=12)
    figure.tight_layout()
    figure.savefig(path, dpi=140)
    plt.close(figure)
    return path


def _mw(capacity: Capacity | None, peak: bool) -> float:
    if capacity is None or capacity.largest is None:
        return 0.0
    (site,) = capacity.largest.figures.sites
    return site.power_peak_mw if peak else site.power_mean_mw


def _draw_bars(axes: Axes, buses: Sequence[str], results: Sequence[Capacity]) -> None:
    at = {(capacity.bus, capacity.operation): capacity for capacity in results}
    for operation, offset in (("firm", -0.2), ("flexible", 0.2)):
        places = [i + offset for i in range(len(buses))]
        found = [at.get((bus, operation)) for bus in buses]  # type: ignore[arg-type]
        colour = _COLOUR[operation]  # type: ignore[index]
        heights = [_mw(capacity, peak=True) for capacity in found]
        axes.bar(places, heights, 0.38, color=colour, label=f"{operation}: peak")
        axes.scatter(
            places,
            [_mw(c, peak=False) for c in found],
            marker="_",
            s=320,
            color="black",
            linewidths=1.6,
            label="operating (mean)" if operation == "firm" else None,
            zorder=3,
        )
        if len(buses) <= 14:
            for place, height in zip(places, heights, strict=True):
                axes.annotate(f"{height:.2f}", (place, height), ha="center", va="bottom", fontsize=8)
    axes.set_xticks(range(len(buses)), buses, rotation=90 if len(buses) > 14 else 0)
    axes.set_xlabel("bus")
    axes.set_ylabel("simulated site power (MW)")
    axes.grid(axis="y", alpha=0.3)
    axes.set_axisbelow(True)
    axes.margins(y=0.15)
    axes.legend(loc="upper right", fontsize=9, ncols=3)


def _draw_network(axes: Axes, feeder: Feeder, results: Sequence[Capacity]) -> None:
    for branch in feeder.branches:
        ends = [feeder.buses[bus].xy for bus in branch.buses[:2]]
        if len(ends) == 2 and ends[0] is not None and ends[1] is not None and branch.closed:
            axes.plot([ends[0][0], ends[1][0]], [ends[0][1], ends[1][1]], color="#999999", linewidth=1.2, zorder=1)
    flexible = [c for c in results if c.operation == "flexible" and feeder.buses[c.bus].xy is not None]
    if not flexible:
        axes.set_axis_off()
        return
    points = [feeder.buses[c.bus].xy or (0.0, 0.0) for c in flexible]
    values = [_mw(c, peak=True) for c in flexible]
    drawn = axes.scatter(
        [x for x, _ in points], [y for _, y in points], c=values, s=130, cmap="viridis", edgecolors="black", zorder=3
    )
    for (x, y), capacity in zip(points, flexible, strict=True):
        axes.annotate(capacity.bus, (x, y), xytext=(6, 7), textcoords="offset points", fontsize=8)
    axes.figure.colorbar(drawn, ax=axes, label="flexible capacity, peak (MW)", shrink=0.7, pad=0.02)
    axes.set_aspect("equal", adjustable="datalim")
    axes.set_axis_off()
