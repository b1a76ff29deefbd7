"""Files that a study reads, by the names that a report gives them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from g2g_opt.circuit.script_file.reading import is_own_circuit
from g2g_opt.data_files import data_path, trace_folder
from g2g_opt.hourly_profile import profile_path
from g2g_opt.scenario import TrainingOverlay


def files_under(kind: str, folder: Path) -> dict[str, Path]:
    """All files in a folder and below, by name."""
    return {f"{kind}/{p.relative_to(folder).as_posix()}": p for p in sorted(folder.rglob("*")) if p.is_file()}


def feeder_files(
    feeder: str, trace_dir: str, profile: str | None = None, training: Sequence[TrainingOverlay] = ()
) -> dict[str, Path]:
    """Files that a study on this feeder reads, by name: bundled data, the user's traces (of inference and training) and
    hourly profile.

    Those of a user's own circuit are found as it is read (`running.inputs.inputs_of`).
    """
    bundled = [] if is_own_circuit(feeder) else sorted(data_path("feeders", feeder.lower()).iterdir())
    traces = sorted(trace_folder(Path(trace_dir)).glob("*/trace.csv"))
    profiles = [profile_path(profile)] if profile is not None else []
    workloads = sorted(data_path("workloads").glob("*.csv"))
    jobs = dict.fromkeys(job.trace for job in training if job.trace is not None)
    return {f"training/{trace}": Path(trace) for trace in jobs} | {
        f"{kind}/{path.name if kind != 'traces' else path.relative_to(trace_dir).as_posix()}": path
        for kind, paths in (("feeder", bundled), ("workloads", workloads), ("traces", traces), ("profiles", profiles))
        for path in paths
        if path.is_file()
    }
