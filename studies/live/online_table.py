"""A run on a cluster step by step, as a table."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from g2g_opt.csv_files import write_csv
from g2g_opt.live.online_run import OnlineRun
from studies.report.atomic_file import write_text


def write_online_table(folder: Path, runs: Mapping[str, OnlineRun]) -> Path:
    """Time, power and its source, age of the oldest sample, batch sizes, and lowest voltage of every step: a CSV."""
    rows: list[dict[str, Any]] = []
    for kind, run in runs.items():
        site = run.assembly.datacenters["site"]
        voltage_pu = run.assembly.grid.record.voltage_pu[:, run.assembly.grid.monitored_columns]
        for state, of_step in zip(site.history(), voltage_pu, strict=False):
            online: Any = state
            rows.append(
                {
                    "policy": kind,
                    "time_s": online.time_s,
                    "power_kw": sum(online.power_w) / 1e3,
                    "power_source": online.power_source,
                    "age_s": online.age_s,
                    "voltage_min_pu": float(of_step.min()),
                    "voltage_max_pu": float(of_step.max()),
                    **{f"batch {label}": size for label, size in online.batch_size_by_model.items()},
                }
            )
    path = folder / "steps.csv"
    table = io.StringIO()
    write_csv(table, list(rows[0]) if rows else [], (row.values() for row in rows))
    return write_text(path, table.getvalue())
