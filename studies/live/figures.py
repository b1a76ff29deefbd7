"""Voltage and power of runs on a cluster, over time. Drawing only."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np

from g2g_opt.live.online_run import OnlineRun
from studies.report.atomic_file import replacing

_COLOURS = ("#8d99a5", "#0072b2", "#d55e00")


def write_online_picture(folder: Path, runs: Mapping[str, OnlineRun]) -> Path:
    """Lowest voltage, power, and age of the news, of every run; times in which power was not measured are shaded."""
    figure, axes = plt.subplots(3, 1, figsize=(10, 7), sharex=True, layout="constrained")
    for colour, (kind, run) in zip(_COLOURS, runs.items(), strict=False):
        site = run.assembly.datacenters["site"]
        record = run.assembly.grid.record
        columns = run.assembly.grid.monitored_columns
        axes[0].plot(record.time_s, record.voltage_pu[:, columns].min(axis=1), color=colour, lw=1.2, label=kind)
        axes[1].plot(site.record.time_s, site.record.power_w.sum(axis=1) / 1e6, color=colour, lw=1.2, label=kind)
        states = site.history()
        ages_s = np.array([getattr(state, "age_s", 0.0) for state in states])
        axes[2].plot(site.record.time_s, ages_s, color=colour, lw=1.0, label=kind)
        unheard = np.array([getattr(state, "power_source", "") != "measured" for state in states])
        axes[1].fill_between(
            site.record.time_s,
            0,
            1,
            where=unheard.tolist(),
            color=colour,
            alpha=0.15,
            transform=axes[1].get_xaxis_transform(),
        )
    axes[0].axhline(0.95, color="#b00020", lw=0.8)
    for axis, words in zip(
        axes, ("lowest voltage (pu)", "power of the site (MW)", "age of the sample (s)"), strict=True
    ):
        axis.set_ylabel(words)
        axis.grid(alpha=0.3)
    axes[0].legend(loc="lower right")
    axes[2].set_xlabel("time of the run (s)")
    path = folder / "run.png"
    with replacing(path) as scratch:
        figure.savefig(scratch, dpi=120, format="png")
    plt.close(figure)
    return path
