"""Files that a study reads, by the names that a report gives them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from g2g_opt.circuit.script_file.reading import is_own_circuit
from g2g_opt.data_files import data_path, trace_folder
from g2g_opt.datacenter.workloads.measurements import configurations, short_name
from g2g_opt.errors import unknown_name
from g2g_opt.hourly_profile import profile_path
from g2g_opt.scenario import TrainingOverlay


def files_under(kind: str, folder: Path) -> dict[str, Path]:
    """All files in a folder and below, by name."""
    return {f"{kind}/{p.relative_to(folder).as_posix()}": p for p in sorted(folder.rglob("*")) if p.is_file()}


# The hash of a measured configuration (`InferenceModelSpec.cache_hash`).
_HASH = re.compile("[0-9a-f]{16}")


def _check_models_of(traces: Iterable[Path]) -> None:
    labels: set[str] = set()
    for path in traces:
        name = path.parent.name
        labels = labels or {short_name(one.model_id) for one in configurations()}
        # Labels of choices of a model have its precision and GPUs behind its name.
        if name.split(" ")[0] not in labels and not _HASH.fullmatch(name):
            raise unknown_name("model", name, labels, f"for the trace {path}")


def feeder_files(
    feeder: str, trace_dir: str, profile: str | None = None, training: Sequence[TrainingOverlay] = ()
) -> dict[str, Path]:
    """Files that a study on this feeder reads, by name: bundled data, the user's traces (of inference and training) and
    hourly profile.

    Those of a user's own circuit are found as it is read (`running.inputs.inputs_of`). Raises `InputError` for a trace
    in a folder that is named as no model: nothing would be read from it.
    """
    bundled = [] if is_own_circuit(feeder) else sorted(data_path("feeders", feeder.lower()).iterdir())
    traces = sorted(trace_folder(Path(trace_dir)).glob("*/trace.csv"))
    _check_models_of(traces)
    profiles = [profile_path(profile)] if profile is not None else []
    workloads = sorted(data_path("workloads").glob("*.csv"))
    jobs = dict.fromkeys(job.trace for job in training if job.trace is not None)
    return {f"training/{trace}": Path(trace) for trace in jobs} | {
        f"{kind}/{path.name if kind != 'traces' else path.relative_to(trace_dir).as_posix()}": path
        for kind, paths in (("feeder", bundled), ("workloads", workloads), ("traces", traces), ("profiles", profiles))
        for path in paths
        if path.is_file()
    }
