"""Measured configurations: against the raw rows, read here on their own."""

from __future__ import annotations

import csv
import math
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import pytest

from g2g_opt.datacenter.config import InferenceModelSpec
from g2g_opt.datacenter.workloads.feasible_power import (
    feasible_power_range_kw,
    feasible_power_span_kw,
    match_peak_replicas,
)
from g2g_opt.datacenter.workloads.measurements import (
    configurations,
    find_configuration,
    find_model,
    load_measurements,
    measured_at,
    measured_spec,
    query_measurements,
    spec_measurements,
)
from g2g_opt.errors import InputError

RAW = list(csv.DictReader((Path(__file__).parents[2] / "data/workloads/mlenergy_v3_llm.csv").read_text().splitlines()))
SPEC_8B = InferenceModelSpec(
    model_label="Llama-3.1-8B",
    model_id="meta-llama/Llama-3.1-8B-Instruct",
    gpu_model="H100",
    task="lm-arena-chat",
    itl_deadline_s=0.08,
    batch_sizes=(8, 16, 32, 64, 96, 128, 192, 256, 384, 512, 768),
    feasible_batch_sizes=(8, 16, 32, 64, 128, 256, 512),
)


def raw_row(model: str, gpu: str, gpus: int, batch: int, task: str = "lm-arena-chat") -> dict[str, str]:
    found = [
        r
        for r in RAW
        if (r["model_id"], r["gpu_model"], r["num_gpus"], r["max_num_seqs"], r["task"])
        == (model, gpu, str(gpus), str(batch), task)
    ]
    assert len(found) == 1
    return found[0]


def test_all_rows_are_there_and_repeats_are_merged() -> None:
    assert len(RAW) == 565
    keys = defaultdict(list)
    for row in RAW:
        keys[*list(row.values())[:8], row["max_num_seqs"]].append(row)
    assert len(keys) == len(load_measurements()) == 562
    assert len(configurations()) == 72
    twice = query_measurements("gpt-oss-20b", "H100", "gpqa", batch_size=96)
    assert len(twice) == 1
    assert twice[0].avg_power_w == pytest.approx((588.0 + 605.08) / 2)  # the two runs, by hand
    assert twice[0].output_throughput_tps == pytest.approx((6710.37 + 6564.53) / 2)


def test_a_spec_finds_its_rows() -> None:
    rows = spec_measurements(SPEC_8B)
    assert tuple(rows) == SPEC_8B.batch_sizes
    for batch, row in rows.items():
        raw = raw_row("meta-llama/Llama-3.1-8B-Instruct", "H100", 1, batch)
        assert row.avg_power_w == float(raw["avg_power_w"])
        assert row.mean_itl_s == pytest.approx(float(raw["avg_batch_size"]) / float(raw["output_throughput_tps"]))
        assert row.p99_itl_s == pytest.approx(float(raw["p99_itl_ms"]) / 1000)


def test_power_per_gpu_divides_by_the_gpus_of_the_replica() -> None:
    row = query_measurements("llama-3.1-70b-instruct", "h100", batch_size=128)[0]
    assert row.power_w_per_gpu == float(raw_row("meta-llama/Llama-3.1-70B-Instruct", "H100", 4, 128)["avg_power_w"]) / 4


def test_queries_filter_and_say_what_exists() -> None:
    rows = query_measurements("Llama-3.1-8B-Instruct", gpu="B200")
    assert [r.batch_size for r in rows] == [8, 16, 32, 64, 128, 256, 512, 1024, 2048]
    with pytest.raises(
        InputError, match=r"gpu='A100' for model='Llama-3.1-8B-Instruct'; measured there: \[B200, H100\]"
    ):
        query_measurements("Llama-3.1-8B-Instruct", gpu="A100")
    with pytest.raises(InputError, match="batch_size=7"):
        query_measurements("Llama-3.1-8B-Instruct", gpu="H100", batch_size=7)


def test_precision_and_split_of_a_spec() -> None:
    spec = replace(
        SPEC_8B,
        model_id="meta-llama/Llama-3.1-405B-Instruct-FP8",
        gpus_per_replica=8,
        batch_sizes=(8, 16, 32),
        feasible_batch_sizes=(8,),
    )
    with pytest.raises(InputError, match="precision='fp8'"):
        find_configuration(spec)
    spec = replace(spec, precision="fp8")
    assert find_configuration(spec).tensor_parallel == 8  # not stated: the measured split
    assert find_configuration(replace(spec, tensor_parallel=8)).num_gpus == 8
    with pytest.raises(InputError, match=r"tensor_parallel=4.*\(8, 1\)"):
        find_configuration(replace(spec, tensor_parallel=4))
    with pytest.raises(InputError, match=r"gpus_per_replica=2.*\[8\]"):
        find_configuration(replace(spec, gpus_per_replica=2))


def test_data_parallel_configurations_are_found_without_stating_it() -> None:
    spec = measured_spec("Qwen3-Coder-480B-A35B-Instruct-FP8", gpus_per_replica=4, itl_deadline_s=1.0)
    assert find_configuration(spec).data_parallel == 4


def test_unmeasured_batch_sizes_need_interpolation_and_are_never_extrapolated() -> None:
    configuration = find_configuration(SPEC_8B)
    with pytest.raises(InputError, match=r'48 was not measured.*interpolation="log2"'):
        measured_at(configuration, 48)
    between = measured_at(configuration, 48, "log2")
    low, high = (raw_row("meta-llama/Llama-3.1-8B-Instruct", "H100", 1, batch) for batch in (32, 64))
    share = math.log2(48 / 32)
    power = (1 - share) * float(low["avg_power_w"]) + share * float(high["avg_power_w"])
    means = [float(r["avg_batch_size"]) / float(r["output_throughput_tps"]) for r in (low, high)]
    assert between.avg_power_w == pytest.approx(power, rel=1e-12)
    assert between.mean_itl_s == pytest.approx((1 - share) * means[0] + share * means[1], rel=1e-12)
    for batch in (4, 1024):
        with pytest.raises(InputError, match="outside the measured range"):
            measured_at(configuration, batch, "log2")
    with pytest.raises(InputError, match="'linear' is unknown"):
        measured_at(configuration, 48, "linear")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "model_id"),
    [
        ("meta-llama/Llama-3.1-8B-Instruct", "meta-llama/Llama-3.1-8B-Instruct"),
        ("LLAMA-3.1-70b", "meta-llama/Llama-3.1-70B-Instruct"),
        ("llama-8b", "meta-llama/Llama-3.1-8B-Instruct"),
        ("Llama-3.1-405B-Instruct", "meta-llama/Llama-3.1-405B-Instruct"),  # although -FP8 contains it
        ("scout", "meta-llama/Llama-4-Scout-17B-16E-Instruct"),
    ],
)
def test_names_are_found(name: str, model_id: str) -> None:
    assert find_model(name) == model_id


def test_names_that_mean_several_or_none_are_refused() -> None:
    with pytest.raises(InputError, match=r"ambiguous.*Llama-3.1-70B-Instruct.*Llama-3.3-70B-Instruct"):
        find_model("llama-70b")
    with pytest.raises(InputError, match="known models"):
        find_model("gpt-2")
    with pytest.raises(InputError, match="known models"):
        find_model("")


def test_measured_spec_takes_all_batch_sizes_and_the_reference_deadline() -> None:
    spec = measured_spec("llama-3.1-8b", gpu="H100", model_label="Llama-3.1-8B")
    # Mean latency at 512 is 0.063 s, at 768 it is no power of two: the reference specification.
    assert spec == SPEC_8B
    short = measured_spec("llama-3.1-8b", gpu="H100", itl_deadline_s=0.02)
    means = {
        int(r["max_num_seqs"]): float(r["avg_batch_size"]) / float(r["output_throughput_tps"])
        for r in RAW
        if r["model_id"] == spec.model_id and r["gpu_model"] == "H100"
    }
    assert short.feasible_batch_sizes == tuple(b for b in (8, 16, 32, 64, 128, 256, 512) if means[b] <= 0.02)
    assert 0 < len(short.feasible_batch_sizes) < 7
    with pytest.raises(InputError, match=r"2 configurations.*B200.*H100"):
        measured_spec("llama-3.1-8b")
    with pytest.raises(InputError, match="shortest mean latency"):
        measured_spec("llama-3.1-8b", gpu="H100", itl_deadline_s=0.001)
    assert measured_spec("Llama-3.3-70B-Instruct", gpu="H100").itl_deadline_s == 0.10


def test_feasible_power_range_by_hand() -> None:
    # The most power is drawn at 256, a little more than at 512.
    low, high = (raw_row("meta-llama/Llama-3.1-8B-Instruct", "H100", 1, b)["avg_power_w"] for b in (8, 256))
    assert feasible_power_range_kw(SPEC_8B, 1000) == pytest.approx(float(high) - float(low))
    assert feasible_power_span_kw(SPEC_8B, 1000) == pytest.approx((float(low), float(high)))


def test_feasible_power_range_is_a_span_where_power_is_not_monotone() -> None:
    # Qwen3-8B on one B200: 646 W at 8, 494 W at 32, 831 W at 256, 752 W at 512.
    spec = measured_spec("Qwen3-8B", "B200", task="lm-arena-chat")
    power_w = [float(raw_row(spec.model_id, "B200", 1, b)["avg_power_w"]) for b in spec.feasible_batch_sizes]
    assert power_w.index(max(power_w)) not in (0, len(power_w) - 1)
    assert feasible_power_range_kw(spec, 10) == pytest.approx((max(power_w) - min(power_w)) / 100)
    n_replicas = match_peak_replicas(spec, 3.12)
    # Sized by the power at the largest batch size and read between the ends it was 0.44 MW.
    assert n_replicas == round(3.12e6 / max(power_w))
    assert feasible_power_range_kw(spec, n_replicas) / 1e3 == pytest.approx(1.26, abs=0.01)


def test_match_peak_agrees_with_the_paper() -> None:
    # OpenG2G paper, appendix H: 906 replicas of Qwen3-235B-Thinking (8 H100, batch 32) for 3.12 MW at 100 ms.
    spec = measured_spec("Qwen3-235B-A22B-Thinking-2507", "H100", gpus_per_replica=8, itl_deadline_s=0.1)
    assert spec.feasible_batch_sizes == (8, 16, 32)
    assert match_peak_replicas(spec, 3.12) == 906
    with pytest.raises(InputError, match="peak_mw"):
        match_peak_replicas(spec, 0.001)
