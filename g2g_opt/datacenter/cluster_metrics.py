"""What the metrics of a running cluster say: power by host, replicas and latencies by model.

Metrics come as Prometheus text, from exporters themselves or from a server that gathers them. Names are those of
NVIDIA's DCGM exporter (one `DCGM_FI_DEV_POWER_USAGE` per GPU, W) and of vLLM (`vllm:num_requests_running`, one series
per engine; the histogram `vllm:inter_token_latency_seconds`, in older releases `vllm:time_per_output_token_seconds`). A
mapping file gives others.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, get_args

from prometheus_client.parser import text_string_to_metric_families

from g2g_opt.errors import InputError, shown, unknown_name
from g2g_opt.quantities import Scale, check_quantities
from g2g_opt.reading import read_toml

Phase = Literal["A", "B", "C"]
PHASES: tuple[Phase, ...] = get_args(Phase)
# No GPU, and no server in the place of one, draws more (W); a counter of seconds does not exceed it either.
_POWER_MAX_W = 1e6
_TOTAL_MAX = 1e15


@dataclass(frozen=True)
class MetricNames:
    """Names of metrics and labels, as a mapping file (TOML) has them.

    `power` is a gauge per GPU, `power_unit_w` what one of its units is in W (0.001 for mW); readings are told apart by
    `host_label` and `gpu_label`, and several of one GPU (as of its slices) count once. `running` is any series that
    there is one of for every replica, `latency` the first of these histograms that is there (s); `model_label` names
    the model served, which `models` translates into a label of ours where they differ. `batch_size`, if there is such
    a gauge, is the batch size in force. `phase_of_host` says on which phase a host is; others lie evenly on all three.
    """

    power: str = "DCGM_FI_DEV_POWER_USAGE"
    power_unit_w: Scale = 1.0
    host_label: str = "Hostname"
    gpu_label: str = "UUID"
    running: str = "vllm:num_requests_running"
    latency: tuple[str, ...] = ("vllm:inter_token_latency_seconds", "vllm:time_per_output_token_seconds")
    model_label: str = "model_name"
    batch_size: str = ""
    models: Mapping[str, str] = field(default_factory=dict)
    phase_of_host: Mapping[str, Phase] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_quantities(self)
        for host, phase in self.phase_of_host.items():
            if phase not in PHASES:
                raise InputError(f"host {shown(host)} is on phase {shown(phase)}; phases are A, B and C")


def load_metric_names(path: Path) -> MetricNames:
    """The names in a mapping file: a TOML table of `MetricNames`; what it leaves out is as by default."""
    table = read_toml(path, "mapping file")
    kinds = {part.name: part for part in fields(MetricNames)}
    for name, value in table.items():
        if name not in kinds:
            raise unknown_name("entry", name, kinds, f"of mapping file {path}")
        wanted: Any = {"power_unit_w": (int, float), "latency": list, "models": dict, "phase_of_host": dict}.get(
            name, str
        )
        if not isinstance(value, wanted) or (wanted is dict and not all(isinstance(v, str) for v in value.values())):
            raise InputError(f"mapping file {path}: {name} cannot be {shown(value)}")
    if "latency" in table:
        table["latency"] = tuple(str(name) for name in table["latency"])
    if "power_unit_w" in table:
        table["power_unit_w"] = float(table["power_unit_w"])
    return MetricNames(**table)


@dataclass(frozen=True)
class ClusterSample:
    """What one endpoint said: power (W) by host and GPUs that said so, replicas by model, batch size in force, and the
    sum (s) and count of inter-token latencies since its start. `refused` readings were no numbers that can be meant.
    """

    power_w: Mapping[str, float]
    n_gpus: int
    replicas: Mapping[str, int]
    batch_size: Mapping[str, int]
    latency_sum_s: Mapping[str, float]
    latency_count: Mapping[str, float]
    refused: int


def read_cluster_sample(text: str, names: MetricNames) -> ClusterSample:
    """The sample in a Prometheus text; raises `ValueError` if it is none, or has none of these metrics.

    Only lines of these metrics are parsed: exporters tell a hundred other things of every GPU and engine.
    """
    wanted = (names.power, names.running, *names.latency, *([names.batch_size] if names.batch_size else []))
    # Only "\n" ends a line: Python's own lines also end at letters that a label may hold.
    lines = [line for line in text.split("\n") if line.startswith(wanted) and "_bucket{" not in line]
    if not lines:
        raise ValueError(f"none of {', '.join(wanted)} is in it")
    gpus: dict[tuple[str, str], float] = {}
    replicas: dict[str, int] = {}
    batch: dict[str, int] = {}
    totals: dict[tuple[str, str, str], float] = {}
    refused = 0
    for family in text_string_to_metric_families("\n".join(lines) + "\n"):
        for sample in family.samples:
            name, labels, value = sample.name, sample.labels, sample.value
            if name == names.power:
                power_w = value * names.power_unit_w
                if 0.0 <= power_w <= _POWER_MAX_W:
                    host = labels.get(names.host_label, "")
                    gpus[host, labels.get(names.gpu_label, labels.get("gpu", ""))] = power_w
                else:
                    refused += 1
                continue
            served = labels.get(names.model_label, "")
            model = names.models.get(served, served)
            if name == names.running:
                replicas[model] = replicas.get(model, 0) + 1
            elif name == names.batch_size and names.batch_size:
                if 1.0 <= value <= 1e6:
                    batch[model] = int(value)
                else:
                    refused += 1
            elif name.endswith(("_sum", "_count")):
                histogram, _, part = name.rpartition("_")
                if histogram in names.latency:
                    if not 0.0 <= value <= _TOTAL_MAX:
                        refused += 1
                        continue
                    totals[histogram, part, model] = totals.get((histogram, part, model), 0.0) + value
    power: dict[str, float] = {}
    for (host, _), power_w in gpus.items():
        power[host] = power.get(host, 0.0) + power_w
    told = next((name for name in names.latency if any(key[0] == name for key in totals)), "")
    return ClusterSample(
        power,
        len(gpus),
        replicas,
        batch,
        {model: total for (name, part, model), total in totals.items() if (name, part) == (told, "sum")},
        {model: total for (name, part, model), total in totals.items() if (name, part) == (told, "count")},
        refused,
    )


def mean_latency_s(before: ClusterSample, after: ClusterSample, model: str) -> tuple[float, float]:
    """Seconds and tokens that a model's latencies have grown by from one sample to the next: their ratio is the ITL.

    (NaN, 0) if there were no tokens, or the counters began anew.
    """
    if model not in before.latency_count or model not in after.latency_count:
        return math.nan, 0.0
    tokens = after.latency_count[model] - before.latency_count[model]
    seconds = after.latency_sum_s.get(model, math.nan) - before.latency_sum_s.get(model, math.nan)
    return (seconds, tokens) if tokens > 0.0 and seconds >= 0.0 else (math.nan, 0.0)
