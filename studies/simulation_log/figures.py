"""`draw_run`: any run at one glance, for scripts and notebooks. Drawing only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from g2g_opt.datacenter.base import LLMDatacenterState
from g2g_opt.errors import InputError
from g2g_opt.grid.record import GridRecord
from g2g_opt.simulation_log import SimulationLog

Floats = NDArray[np.float64]
_LIMIT = "#b00020"
# States that are drawn of every component: a picture has no room for more.
_POINTS = 900


def draw_run(
    log: SimulationLog[Any, Any], *, v_min: float = 0.95, v_max: float = 1.05, exclude_buses: Sequence[str] = ()
) -> Figure:
    """Voltage envelope, power, batch sizes, latencies, tap ratios and commands of a run over time, one below the other.

    `exclude_buses` are left out of the envelope. What the run has none of (sites that serve no models, regulators) has
    no panel. Long runs are drawn at every so many-th state, the envelope with the extremes in between. Raises
    `InputError` for a log without a state.
    """
    grid_states = _thinned(log.grid_states)
    if not grid_states:
        raise InputError("the log holds no state of a grid: run the coordinator first")
    sites = {name: _thinned(states) for name, states in log.dc_states_by_site.items()}
    serving = {name: states for name, states in sites.items() if states and isinstance(states[0], LLMDatacenterState)}
    taps = grid_states[0].tap_positions
    panels = ["voltage", "power"] + ["batch", "latency"] * bool(serving) + ["taps"] * (taps is not None) + ["commands"]
    figure, drawn = plt.subplots(len(panels), 1, figsize=(10, 2.2 * len(panels)), sharex=True, layout="constrained")
    axes: dict[str, Axes] = dict(zip(panels, np.ravel(drawn), strict=True))
    _draw_voltages(axes["voltage"], log.grid_states, exclude_buses, (v_min, v_max))
    for name, states in sites.items():
        power_mw = [sum((s.power_w.a, s.power_w.b, s.power_w.c)) / 1e6 for s in states]
        axes["power"].plot([s.time_s for s in states], power_mw, label=name)
    axes["power"].set_ylabel("power (MW)")
    for name, states in serving.items():
        _draw_service(axes["batch"], axes["latency"], name if len(serving) > 1 else "", states)
    if taps is not None:
        for regulator in taps.regulators:
            ratios = [s.tap_positions.regulators[regulator] for s in grid_states]
            axes["taps"].step([s.time_s for s in grid_states], ratios, where="post", label=regulator)
        axes["taps"].set_ylabel("tap ratio (pu)")
    _draw_commands(axes["commands"], log)
    for axis in axes.values():
        if axis.get_legend_handles_labels()[1]:
            axis.legend(fontsize="x-small", loc="center left", bbox_to_anchor=(1.0, 0.5))
        axis.grid(alpha=0.3)
    axes["commands"].set_xlabel("time (s)")
    return figure


def _thinned(states: Sequence[Any]) -> list[Any]:
    return [states[k] for k in _drawn_steps(len(states))]


def _drawn_steps(n: int) -> range:
    return range(0, n, max(1, n // _POINTS))


def _voltages_pu(states: Sequence[Any], exclude_buses: Sequence[str]) -> tuple[Floats, Floats]:
    """Times (s) of all states, and voltages (pu) of the buses that are left, shape (state, bus-phase)."""
    if isinstance(states, GridRecord):
        return states.time_s, states.voltage_pu[:, states.columns(exclude_buses)]
    excluded = {bus.lower() for bus in exclude_buses}
    buses = [bus for bus in states[0].voltages if bus.lower() not in excluded]
    voltage_pu = np.array([[phase for bus in buses for phase in state.voltages[bus]] for state in states])
    return np.array([state.time_s for state in states]), voltage_pu[:, ~np.isnan(voltage_pu).all(axis=0)]


def _draw_voltages(axis: Axes, states: Sequence[Any], exclude_buses: Sequence[str], band: tuple[float, float]) -> None:
    time_s, voltage_pu = _voltages_pu(states, exclude_buses)
    # A dip between two states that are drawn is what a picture of a run is looked at for.
    drawn = _drawn_steps(len(time_s))
    lowest_pu = np.fmin.reduceat(np.nanmin(voltage_pu, axis=1), drawn)
    highest_pu = np.fmax.reduceat(np.nanmax(voltage_pu, axis=1), drawn)
    axis.fill_between(time_s[drawn], lowest_pu, highest_pu, step="post", alpha=0.4)
    for limit in band:
        axis.axhline(limit, color=_LIMIT, linestyle="--", linewidth=1.0)
    axis.set_ylabel("voltages (pu)")


def _draw_service(batch: Axes, latency: Axes, site: str, states: Sequence[LLMDatacenterState]) -> None:
    time_s = [state.time_s for state in states]
    for model in states[0].batch_size_by_model:
        label = f"{model} at {site}" if site else model
        batch.step(time_s, [s.batch_size_by_model.get(model, 0) for s in states], where="post", label=label)
        seen = [1e3 * s.observed_itl_s_by_model.get(model, float("nan")) for s in states]
        latency.plot(time_s, seen, label=label, linewidth=1.0)
    batch.set_yscale("log", base=2)
    batch.set_ylabel("batch size")
    latency.set_ylabel("latency (ms per token)")


def _draw_commands(axis: Axes, log: SimulationLog[Any, Any]) -> None:
    """A mark for every command, one row for each kind of them."""
    kinds = [type(command).__name__ for command in log.commands]
    rows = list(dict.fromkeys(kinds))
    axis.plot(log.command_time_s, [rows.index(kind) for kind in kinds], linestyle="none", marker="|")
    axis.set_yticks(range(len(rows)), rows)
    axis.set_ylabel(f"{len(kinds)} commands")
