"""Measured serving configurations of the ML.ENERGY Benchmark v3 and how a model spec finds its rows.

Source and columns: `data/workloads/README.md`. A configuration is (task, model, GPU, GPUs per replica, precision,
parallelism); each is measured at several batch sizes. In the data a configuration has one split over its GPUs
only, so the GPUs per replica already name it, and data parallelism is part of the replica: a spec does not state it.
"""

from __future__ import annotations

import re
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from math import log2
from typing import Literal, NamedTuple

from g2g_opt.data_files import data_path, read_table
from g2g_opt.datacenter.model_spec import InferenceModelSpec
from g2g_opt.errors import InputError, unknown_name

Interpolation = Literal["log2"] | None

# Latency targets (ITL, s) of the reference cases, by the beginning of the short name; others get the default.
ITL_DEADLINES_S = {
    "Llama-3.1-8B": 0.08,
    "Llama-3.1-70B": 0.10,
    "Llama-3.1-405B": 0.12,
    "Qwen3-30B-A3B": 0.06,
    "Qwen3-235B-A22B": 0.14,
}
ITL_DEADLINE_DEFAULT_S = 0.10


class Configuration(NamedTuple):
    """What was measured, without the batch size; the fields are the columns of the data."""

    task: str
    model_id: str
    gpu_model: str
    num_gpus: int
    precision: str
    tensor_parallel: int
    expert_parallel: int
    data_parallel: int

    def __str__(self) -> str:
        split = f"tensor {self.tensor_parallel}, expert {self.expert_parallel}, data {self.data_parallel}"
        return f"{self.model_id} on {self.num_gpus} x {self.gpu_model}, {self.task}, {self.precision} ({split})"


@dataclass(frozen=True, order=True)
class Measurement:
    """Figures of one configuration at one batch size (median of runs if it was measured more than once).

    Power in W of the whole replica, latency percentiles (`itl`, inter-token latency) in s, throughput in output
    tokens/s of the replica, `batch_size` the most requests at once, `avg_batch_size` the mean realised.
    """

    configuration: Configuration
    batch_size: int
    avg_batch_size: float
    avg_power_w: float
    output_throughput_tps: float
    median_itl_s: float
    p90_itl_s: float
    p95_itl_s: float
    p99_itl_s: float

    @property
    def mean_itl_s(self) -> float:
        """Mean time between two tokens of one request, s, by Little's law: mean batch size / throughput."""
        return self.avg_batch_size / self.output_throughput_tps

    @property
    def power_w_per_gpu(self) -> float:
        """Mean power of one GPU, W."""
        return self.avg_power_w / self.configuration.num_gpus


# --- the table


def _read_measurement(row: dict[str, str]) -> Measurement:
    c = Configuration(
        row["task"],
        row["model_id"],
        row["gpu_model"],
        int(row["num_gpus"]),
        row["precision"],
        int(row["tensor_parallel"]),
        int(row["expert_parallel"]),
        int(row["data_parallel"]),
    )
    itl_s = (float(row[f"{name}_itl_ms"]) / 1e3 for name in ("median", "p90", "p95", "p99"))
    figures = (float(row[name]) for name in ("avg_batch_size", "avg_power_w", "output_throughput_tps"))
    return Measurement(c, int(row["max_num_seqs"]), *figures, *itl_s)


def merge_repeats(rows: list[Measurement]) -> Measurement:
    """One measurement of several of the same configuration and batch size: the median of each figure."""
    names = list(Measurement.__dataclass_fields__)[2:]
    medians = (statistics.median(getattr(row, name) for row in rows) for name in names)
    return Measurement(rows[0].configuration, rows[0].batch_size, *medians)


@lru_cache(maxsize=1)
def load_measurements() -> tuple[Measurement, ...]:
    """All measurements, sorted by configuration and batch size, repeats merged; read once."""
    groups: dict[tuple[Configuration, int], list[Measurement]] = {}
    for row in read_table(data_path("workloads", "mlenergy_v3_llm.csv")):
        found = _read_measurement(row)
        groups.setdefault((found.configuration, found.batch_size), []).append(found)
    return tuple(merge_repeats(groups[key]) for key in sorted(groups))


@lru_cache(maxsize=1)
def _by_configuration() -> dict[Configuration, dict[int, Measurement]]:
    table: dict[Configuration, dict[int, Measurement]] = {}
    for row in load_measurements():
        table.setdefault(row.configuration, {})[row.batch_size] = row
    return table


def configurations() -> tuple[Configuration, ...]:
    """All measured configurations, sorted."""
    return tuple(_by_configuration())


def short_name(model_id: str) -> str:
    """The part of a model's id after its publisher: "Llama-3.1-8B-Instruct"."""
    return model_id.rpartition("/")[2]


# --- queries


def query_measurements(
    model: str | None = None,
    gpu: str | None = None,
    task: str | None = None,
    precision: str | None = None,
    gpus_per_replica: int | None = None,
    tensor_parallel: int | None = None,
    expert_parallel: int | None = None,
    data_parallel: int | None = None,
    batch_size: int | None = None,
) -> tuple[Measurement, ...]:
    """Measurements that agree with every filter given, sorted by configuration and batch size.

    `model` is the full id or the part after the slash; texts are compared without regard to case. Raises
    `InputError` if nothing agrees, listing the values that exist for the filter that empties the result.
    """
    Reader = Callable[[Measurement], str | int]
    filters: list[tuple[str, str | int | None, Reader]] = [
        ("model", model, lambda row: row.configuration.model_id),
        ("task", task, lambda row: row.configuration.task),
        ("gpu", gpu, lambda row: row.configuration.gpu_model),
        ("precision", precision, lambda row: row.configuration.precision),
        ("gpus_per_replica", gpus_per_replica, lambda row: row.configuration.num_gpus),
        ("tensor_parallel", tensor_parallel, lambda row: row.configuration.tensor_parallel),
        ("expert_parallel", expert_parallel, lambda row: row.configuration.expert_parallel),
        ("data_parallel", data_parallel, lambda row: row.configuration.data_parallel),
        ("batch_size", batch_size, lambda row: row.batch_size),
    ]
    rows = load_measurements()
    passed: list[str] = []
    for name, wanted, read in filters:
        if wanted is None:
            continue
        kept = tuple(row for row in rows if _agrees(name, wanted, read(row)))
        if not kept:
            exist = ", ".join(str(value) for value in sorted({read(row) for row in rows}))
            given = f" for {', '.join(passed)}" if passed else ""
            raise InputError(f"no measurement has {name}={wanted!r}{given}; measured there: [{exist}]")
        rows = kept
        passed.append(f"{name}={wanted!r}")
    return rows


def _agrees(name: str, wanted: str | int, found: str | int) -> bool:
    if isinstance(wanted, str) and isinstance(found, str):
        names = {found.casefold()} | ({short_name(found).casefold()} if name == "model" else set())
        return wanted.casefold() in names
    return wanted == found


def find_configuration(spec: InferenceModelSpec) -> Configuration:
    """The measured configuration a spec means.

    Model, GPU, task and GPUs per replica must agree, and so must the precision. A split other than (1, 1), which
    stands for "not stated", must agree too. Should two remain that differ in data parallelism alone (none do in
    the bundled data), the smaller one is meant. Raises `InputError` that says what was measured.
    """
    where = f"model {spec.model_label!r}"
    try:
        rows = query_measurements(spec.model_id, spec.gpu_model, spec.task, gpus_per_replica=spec.gpus_per_replica)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error
    found = sorted({row.configuration for row in rows})
    precisions = sorted({c.precision for c in found})
    if spec.precision not in precisions:
        raise InputError(f"{where}: precision {spec.precision!r} was not measured; write precision={precisions[0]!r}")
    found = [c for c in found if c.precision == spec.precision]
    stated = (spec.tensor_parallel, spec.expert_parallel)
    splits = sorted({(c.tensor_parallel, c.expert_parallel) for c in found})
    if stated not in splits:
        if stated != (1, 1) or len(splits) > 1:
            raise InputError(
                f"{where}: tensor_parallel={stated[0]}, expert_parallel={stated[1]} was not measured; measured "
                f"(tensor_parallel, expert_parallel): {splits}"
            )
        stated = splits[0]
    return min(c for c in found if (c.tensor_parallel, c.expert_parallel) == stated)


def measured_at(
    configuration: Configuration, batch_size: int, interpolation: Interpolation = None, where: str = ""
) -> Measurement:
    """The measurement at a batch size; between measured ones by interpolation if it is asked for.

    With `interpolation="log2"`, power, latency percentiles, mean latency and the share of the batch in use are
    linear in log2(batch size) between the two measured neighbours; throughput follows from Little's law. Raises
    `InputError` for a batch size that is not measured otherwise, and always outside the measured range.
    """
    check_interpolation(interpolation)
    table = _by_configuration()[configuration]
    if batch_size in table:
        return table[batch_size]
    measured = sorted(table)
    place = where or str(configuration)
    if not measured[0] < batch_size < measured[-1]:
        raise InputError(
            f"{place}: batch size {batch_size} lies outside the measured range; measured: {measured}. "
            f"Nothing is extrapolated: choose one of these"
        )
    if interpolation is None:
        raise InputError(
            f"{place}: batch size {batch_size} was not measured; measured: {measured}. Choose one of these, or "
            f'pass interpolation="log2" to interpolate between its neighbours'
        )
    low = table[max(size for size in measured if size < batch_size)]
    high = table[min(size for size in measured if size > batch_size)]
    return _between(low, high, batch_size)


def check_interpolation(interpolation: str | None) -> None:
    """Raise `InputError` unless it is None or "log2"."""
    if interpolation not in (None, "log2"):
        raise InputError(f'interpolation {interpolation!r} is unknown; pass None or "log2"')


def _between(low: Measurement, high: Measurement, batch_size: int) -> Measurement:
    share = log2(batch_size / low.batch_size) / log2(high.batch_size / low.batch_size)

    def mixed(read: Callable[[Measurement], float]) -> float:
        return (1.0 - share) * read(low) + share * read(high)

    avg_batch_size = batch_size * mixed(lambda row: row.avg_batch_size / row.batch_size)
    return Measurement(
        low.configuration,
        batch_size,
        avg_batch_size,
        mixed(lambda row: row.avg_power_w),
        avg_batch_size / mixed(lambda row: row.mean_itl_s),
        mixed(lambda row: row.median_itl_s),
        mixed(lambda row: row.p90_itl_s),
        mixed(lambda row: row.p95_itl_s),
        mixed(lambda row: row.p99_itl_s),
    )


def spec_measurements(spec: InferenceModelSpec, interpolation: Interpolation = None) -> dict[int, Measurement]:
    """The measurement at every batch size of a spec; errors as `find_configuration` and `measured_at`."""
    configuration = find_configuration(spec)
    where = f"model {spec.model_label!r}"
    return {size: measured_at(configuration, size, interpolation, where) for size in spec.batch_sizes}


# --- from a name to a spec


def find_model(name: str) -> str:
    """The one model id that `name` means, whatever the case.

    Tried in turn: the id, its part after the slash, a piece of the id ("llama-3.1-70b"), the words of `name` among
    the id's words in order ("llama-8b"). Raises `InputError` if the first that finds any finds several, or none does.
    """
    ids = sorted({c.model_id for c in configurations()})
    wanted = name.strip().casefold()
    words = _words(wanted)
    tests: tuple[Callable[[str], bool], ...] = (
        lambda model_id: wanted == model_id.casefold(),
        lambda model_id: wanted == short_name(model_id).casefold(),
        lambda model_id: bool(wanted) and wanted in model_id.casefold(),
        lambda model_id: bool(words) and _in_order(words, _words(model_id.casefold())),
    )
    for agrees in tests:
        found = [model_id for model_id in ids if agrees(model_id)]
        if len(found) == 1:
            return found[0]
        if found:
            raise InputError(f"model {name!r} is ambiguous; write one of {found}")
    raise unknown_name("model", name, ids, "among the measurements")


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z0-9.]+", text)


def _in_order(words: list[str], among: list[str]) -> bool:
    rest = iter(among)
    return all(word in rest for word in words)


def measured_spec(
    model: str,
    gpu: str | None = None,
    task: str | None = None,
    precision: str | None = None,
    gpus_per_replica: int | None = None,
    *,
    itl_deadline_s: float | None = None,
    model_label: str | None = None,
) -> InferenceModelSpec:
    """A spec with everything that was measured of the one configuration that agrees with the arguments.

    `model` as in `find_model`; the label is its short name unless given. Without `itl_deadline_s` (s) the target is
    that of `ITL_DEADLINES_S`, else `ITL_DEADLINE_DEFAULT_S`. Feasible are the measured batch sizes that are powers
    of two and whose mean latency meets the target. Raises `InputError` if several configurations agree (listing
    them), none does, or no batch size meets the target.
    """
    model_id = find_model(model)
    rows = query_measurements(model_id, gpu, task, precision, gpus_per_replica)
    found = sorted({row.configuration for row in rows})
    if len(found) > 1:
        listed = "; ".join(str(c) for c in found)
        raise InputError(
            f"model {model!r} was measured in {len(found)} configurations; say gpu, task or gpus_per_replica: {listed}"
        )
    name = short_name(model_id)
    deadline_s = itl_deadline_s
    if deadline_s is None:
        known = [value for start, value in ITL_DEADLINES_S.items() if name.startswith(start)]
        deadline_s = known[0] if known else ITL_DEADLINE_DEFAULT_S
    feasible = [row.batch_size for row in rows if row.mean_itl_s <= deadline_s and row.batch_size.bit_count() == 1]
    if not feasible:
        raise InputError(
            f"{found[0]}: no measured batch size that is a power of two meets itl_deadline_s={deadline_s:g}; the "
            f"shortest mean latency is {min(row.mean_itl_s for row in rows):.4g} s"
        )
    return InferenceModelSpec(
        model_label=model_label or name,
        model_id=model_id,
        gpu_model=found[0].gpu_model,
        task=found[0].task,
        precision=found[0].precision,
        gpus_per_replica=found[0].num_gpus,
        tensor_parallel=found[0].tensor_parallel,
        expert_parallel=found[0].expert_parallel,
        itl_deadline_s=deadline_s,
        batch_sizes=tuple(row.batch_size for row in rows),
        feasible_batch_sizes=tuple(feasible),
    )
