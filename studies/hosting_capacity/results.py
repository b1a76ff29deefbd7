"""Results of a hosting-capacity study as rows, files and a table on screen."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import json
import math
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from fractions import Fraction
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

import g2g_opt
from g2g_opt.data_files import data_path
from g2g_opt.errors import InputError
from g2g_opt.feeder_lint import placeholder_rated_lines
from g2g_opt.site import GPUS_PER_SERVER
from studies.hosting_capacity.study import Capacity, HostingCapacityStudy

COLUMNS = (
    "bus",
    "operation",
    "power_operating_mw",
    "power_peak_mw",
    "fleet_peak_mw",
    "power_operating_opendss_mw",
    "power_peak_opendss_mw",
    "voltage_lowest_opendss_pu",
    "n_gpus",
    "n_replicas",
    "throughput_share",
    "voltage_lowest_pu",
    "voltage_highest_pu",
    "violation_time_s",
    "own_loads_unserved_time_s",
    "line_loading_max_pu",
    "line_loading_where",
    "transformer_loading_max_pu",
    "transformer_loading_where",
    "limit",
    "limit_where",
    "taps",
    "sizes_judged",
    "gpus_rejected_below",
    "note",
)


def result_row(capacity: Capacity) -> dict[str, Any]:
    """One row per bus and operation; blank figures where no size was accepted.

    `power_operating_mw` and `power_peak_mw` are the mean and the peak of the simulated closed loop on the batch
    engine; those with `opendss` in their names come from the same run on OpenDSS;
    `fleet_peak_mw` is what the same fleet would draw at its peak if nobody controlled it.
    """
    row: dict[str, Any] = dict.fromkeys(COLUMNS, "")
    row |= {
        "bus": capacity.bus,
        "operation": capacity.operation,
        "limit": capacity.stopped_by.name,
        "limit_where": capacity.stopped_by.where,
        "sizes_judged": len(capacity.judged),
        "gpus_rejected_below": " ".join(str(GPUS_PER_SERVER * n) for n in capacity.rejected_below),
        "note": capacity.note,
    }
    if capacity.largest is None:
        return row | {
            "power_operating_mw": 0.0,
            "power_peak_mw": 0.0,
            "fleet_peak_mw": 0.0,
            "n_gpus": 0,
            "n_replicas": 0,
        }
    figures = capacity.largest.figures
    (site,) = figures.sites
    row |= {
        "power_operating_mw": round(site.power_mean_mw, 4),
        "power_peak_mw": round(site.power_peak_mw, 4),
        "fleet_peak_mw": round(site.uncontrolled_peak_mw, 4),
        "n_gpus": site.n_gpus,
        "n_replicas": site.n_replicas,
        "throughput_share": round(figures.throughput_share, 4),
        "voltage_lowest_pu": round(figures.voltage.worst_vmin, 5),
        "voltage_highest_pu": round(figures.voltage.worst_vmax, 5),
        "violation_time_s": figures.voltage.violation_time_s,
        "own_loads_unserved_time_s": figures.own_loads_unserved_time_s,
        "taps": " ".join(f"{name}={ratio:g}" for name, ratio in capacity.largest.taps),
    }
    confirmed = capacity.confirmed.figures if capacity.confirmed is not None else None
    if confirmed is not None:
        row |= {
            "power_operating_opendss_mw": round(confirmed.sites[0].power_mean_mw, 4),
            "power_peak_opendss_mw": round(confirmed.sites[0].power_peak_mw, 4),
            "voltage_lowest_opendss_pu": round(confirmed.voltage.worst_vmin, 5),
        }
    for kind, worst in (("line", figures.worst_line), ("transformer", figures.worst_transformer)):
        if worst is not None:
            row |= {f"{kind}_loading_max_pu": round(worst.loading_pu, 3), f"{kind}_loading_where": worst.branch}
    return row


def write_results(
    study: HostingCapacityStudy, results: Sequence[Capacity], failures: dict[str, str], folder: Path, seconds: float
) -> list[Path]:
    """Write `hosting_capacity.csv` (rows) and `hosting_capacity.json` (question, provenance, every size judged)."""
    make_folder(folder)
    table, document = folder / "hosting_capacity.csv", folder / "hosting_capacity.json"
    rows = [result_row(capacity) for capacity in results]
    with table.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    content = {
        "question": study,
        "answer": rows,
        "failures": failures,
        "not_assessed": not_assessed(study),
        "judged": results,
        "provenance": provenance(study, seconds),
    }
    document.write_text(json.dumps(_plain(content), indent=1, allow_nan=False) + "\n", encoding="utf-8")
    return [table, document]


def make_folder(folder: Path) -> None:
    """Make the folder of the results; `InputError` if that cannot be done."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"the folder {folder} cannot be made ({error}); choose another with --out") from error


def provenance(study: HostingCapacityStudy, seconds: float) -> dict[str, Any]:
    """What it takes to get the same numbers again: versions, seed, hashes of the inputs."""
    feeder = study.load_feeder()
    return {
        "g2g_opt": g2g_opt.__version__,
        "python": platform.python_version(),
        "packages": {name: version(name) for name in ("numpy", "numba", "dss_python_backend", "highspy")},
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(seconds, 1),
        "seed": study.scenario.seed,
        "feeder_sha256": hashlib.sha256("\n".join(feeder.commands).encode()).hexdigest(),
        "workloads_sha256": hashlib.sha256(data_path("workloads", "mlenergy_v3_llm.csv").read_bytes()).hexdigest(),
    }


def not_assessed(study: HostingCapacityStudy) -> list[str]:
    """What the answer does not cover, in words."""
    feeder = study.load_feeder()
    notes = [
        "one hour in one scenario; no seasons, no contingencies",
        "protection, short-circuit levels, harmonics and sub-second transients",
        "the grid upstream of the feeder's source",
    ]
    if feeder.isolated_buses:
        notes.insert(0, f"buses without a closed path to the source: {', '.join(feeder.isolated_buses)}")
    if study.limits.loading_max_pu is None:
        lines = placeholder_rated_lines(feeder)
        notes.insert(
            0,
            "thermal limits: loadings are reported, not judged (--loading-max judges them)"
            + (f"; {len(lines)} lines carry OpenDSS's placeholder rating of 400 A" if lines else ""),
        )
    return notes


def result_table(study: HostingCapacityStudy, results: Sequence[Capacity]) -> Table:
    """The answer for a screen."""
    names = ", ".join(study.models)
    table = Table(title=escape(f"Hosting capacity of {study.feeder}: {names} on {study.gpu}, simulated MW"))
    for name in ("bus", "operation"):
        table.add_column(name)
    for name in ("mean MW", "peak MW", "fleet MW", "GPUs", "replicas", "tokens"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("limit that binds the next size")
    for row in map(result_row, results):
        share = f"{100 * row['throughput_share']:.0f} %" if row["throughput_share"] != "" else ""
        limit = ", ".join(part for part in (row["limit"], row["limit_where"], row["note"]) if part)
        if row["gpus_rejected_below"]:
            limit += f"; gap: {row['gpus_rejected_below']} GPUs were rejected"
        table.add_row(
            escape(row["bus"]),
            row["operation"],
            *(f"{row[column]:.2f}" for column in ("power_operating_mw", "power_peak_mw", "fleet_peak_mw")),
            str(row["n_gpus"]),
            str(row["n_replicas"]),
            share,
            escape(limit),
            end_section=row["operation"] == "flexible",
        )
    return table


def overload_warning(study: HostingCapacityStudy, results: Sequence[Capacity]) -> str:
    """A sentence on ratings that the answers pass where ratings are not judged; empty if none is passed."""
    if study.limits.loading_max_pu is not None:
        return ""
    found = [capacity.largest.figures for capacity in results if capacity.largest is not None]
    parts = []
    for kind, worst in (
        ("lines", [f.worst_line for f in found]),
        ("transformers", [f.worst_transformer for f in found]),
    ):
        heaviest = max((w for w in worst if w is not None), key=lambda w: w.loading_pu, default=None)
        if heaviest is not None and heaviest.loading_pu > 1.0:
            parts.append(f"{kind} up to {heaviest.loading_pu:.2f} ({heaviest.branch})")
    return (
        f"ratings are passed at these sizes: {', '.join(parts)} of normal; --loading-max 1.0 keeps them"
        if parts
        else ""
    )


def _plain(value: Any) -> Any:
    """Dataclasses as objects, fractions as numbers; what is no finite number is null, which JSON has."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, Fraction):
        return float(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
