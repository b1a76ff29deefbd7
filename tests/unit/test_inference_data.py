"""Inference data: measured means in, templates and mixtures out; a user's traces; constant data."""

from __future__ import annotations

import logging
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from g2g_opt.datacenter.config import InferenceModelSpec, ModelDeployment
from g2g_opt.datacenter.workloads.inference import InferenceData, InferenceTemplateStore
from g2g_opt.datacenter.workloads.ripple import RippleModel
from g2g_opt.errors import InputError

SPEC = InferenceModelSpec(
    model_label="70B",
    model_id="meta-llama/Llama-3.1-70B-Instruct",
    gpu_model="H100",
    task="lm-arena-chat",
    gpus_per_replica=4,
    tensor_parallel=4,
    itl_deadline_s=0.10,
    batch_sizes=(8, 16, 96),
    feasible_batch_sizes=(8, 16),
)
SMALL = replace(
    SPEC, model_label="8B", model_id="meta-llama/Llama-3.1-8B-Instruct", gpus_per_replica=1, tensor_parallel=1
)


def raw_figures(batch: str) -> list[float]:
    """Mean power (W), mean batch, throughput (tokens/s) of the 70B model on 4 H100, straight from the file."""
    for line in (Path(__file__).parents[2] / "data/workloads/mlenergy_v3_llm.csv").read_text().splitlines():
        cells = line.split(",")
        if cells[1] == SPEC.model_id and cells[2] == "H100" and cells[10] == batch:
            return [float(cells[12]), float(cells[11]), float(cells[13])]
    raise AssertionError(batch)


def test_templates_have_the_measured_mean_per_gpu(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        data = InferenceData.ensure(None, (ModelDeployment(SPEC, 8), SMALL), dt_s=Fraction(1, 10))
    assert data.models == (SPEC, SMALL)
    assert data.power_templates.batch_sizes("70B") == (8, 16, 96)
    for batch in (8, 16, 96):
        power_w, mean_batch, throughput = raw_figures(str(batch))
        template = data.power_templates.template("70B", batch)
        assert template.shape == (6000,)
        assert template.mean() == pytest.approx(power_w / 4, rel=1e-12)
        assert data.itl_fits is not None
        assert data.itl_fits.distribution("70B", batch).mean_s == pytest.approx(mean_batch / throughput, rel=1e-9)
    assert "model 70B: measured mean power with a modelled ripple" in caplog.text


def test_templates_depend_on_the_configuration_alone() -> None:
    alone = InferenceData.ensure(None, [replace(SPEC, model_label="x")], dt_s=1.0)
    beside = InferenceData.ensure(None, [SMALL, SPEC], dt_s=1.0)
    np.testing.assert_array_equal(alone.power_templates.template("x", 8), beside.power_templates.template("70B", 8))
    flat = InferenceData.ensure(None, [SPEC], dt_s=1.0, ripple=RippleModel(relative_std=0.0))
    np.testing.assert_allclose(flat.power_templates.template("70B", 8), raw_figures("8")[0] / 4)


def test_unmeasured_batch_sizes_follow_the_option() -> None:
    spec = replace(SPEC, batch_sizes=(8, 12, 16), feasible_batch_sizes=(8, 12))
    with pytest.raises(InputError, match=r"'70B': batch size 12 was not measured"):
        InferenceData.ensure(None, [spec])
    data = InferenceData.ensure(None, [spec], dt_s=1.0, interpolation="log2")
    share = np.log2(12 / 8)
    expected = ((1 - share) * raw_figures("8")[0] + share * raw_figures("16")[0]) / 4
    assert data.power_templates.template("70B", 12).mean() == pytest.approx(expected, rel=1e-12)
    assert data.itl_fits is not None
    means = [b / t for _, b, t in (raw_figures("8"), raw_figures("16"))]
    assert data.itl_fits.distribution("70B", 12).mean_s == pytest.approx((1 - share) * means[0] + share * means[1])


def write_trace(folder: Path, rows: str, header: str = "batch_size,relative_time_s,power_total_W") -> None:
    folder.mkdir(parents=True)
    (folder / "trace.csv").write_text(f"{header}\n{rows}")


GOOD = "8,0,400\n8,1,800\n8,2,400\n8,3,0\n16,5,1000\n16,7,2000\n"


@pytest.mark.parametrize("by_hash", [False, True])
def test_a_users_trace_replaces_the_ripple(tmp_path: Path, by_hash: bool, caplog: pytest.LogCaptureFixture) -> None:
    write_trace(tmp_path / (SPEC.cache_hash() if by_hash else "70B"), GOOD)
    with caplog.at_level(logging.INFO):
        data = InferenceData.ensure(tmp_path, [SPEC, SMALL], dt_s=0.5)
    # 4 GPUs a replica; period 3 s + 1 s, closed from the last sample to the first.
    np.testing.assert_allclose(data.power_templates.template("70B", 8), [100, 150, 200, 150, 100, 50, 0, 50])
    np.testing.assert_allclose(data.power_templates.template("70B", 16), np.array([4, 5, 6, 7, 8, 7, 6, 5]) * 62.5)
    assert data.power_templates.batch_sizes("70B") == (8, 16)  # 96 is not feasible and not in the trace
    assert data.power_templates.batch_sizes("8B") == (8, 16, 96)
    assert "power from the trace" in caplog.text


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("8,0,400\n8,1,800\n", r"feasible batch sizes \[16\]"),
        ("8,0,x\n", "line 2, power_total_W: 'x' is no number"),
        ("8,0,-5\n", "line 2, power_total_W: '-5' must be from 0"),
        ("8.5,0,5\n", "whole batch_size"),
        (GOOD.replace("8,1,", "8,0,"), "line 3: relative_time_s must rise .* 0 follows 0"),
        ("8,0,400\n16,0,400\n", "2 rows or more"),
        ("", "no rows"),
    ],
)
def test_bad_traces_are_refused(tmp_path: Path, rows: str, message: str) -> None:
    write_trace(tmp_path / "70B", rows)
    with pytest.raises(InputError, match=message):
        InferenceData.ensure(tmp_path, [SPEC])


@pytest.mark.parametrize(("factor", "unit"), [(1e-3, "kW"), (1e-6, "kW"), (100.0, "another unit")])
def test_a_trace_in_another_unit_is_refused_beside_what_was_measured(tmp_path: Path, factor: float, unit: str) -> None:
    """400 to 2,000 W of 4 GPUs; what was measured of them are 1,000 to 1,400 W."""
    rows = [line.split(",") for line in GOOD.split()]
    write_trace(tmp_path / "70B", "\n".join(f"{b},{t},{factor * float(power)!r}" for b, t, power in rows))
    measured = np.mean([raw_figures("8")[0], raw_figures("16")[0]]) / 4
    words = f"W per GPU on average, where {measured:.0f} W were measured .* a replica in W, and these look like {unit}"
    with pytest.raises(InputError, match=words):
        InferenceData.ensure(tmp_path, [SPEC], dt_s=0.5)


def test_trace_columns_are_named(tmp_path: Path) -> None:
    write_trace(tmp_path / "70B", GOOD, header="batch,t,p")
    with pytest.raises(InputError, match="power_total_W"):
        InferenceData.ensure(tmp_path, [SPEC])


def test_constant_data_looks_at_no_measurement() -> None:
    spec = replace(SPEC, model_id="nobody/nothing", batch_sizes=(8, 7000), feasible_batch_sizes=(8, 7000))
    data = InferenceData.constant([spec], {"70B": {8: 300.0, 7000: 600.0}}, {"70B": {8: 0.03, 7000: 0.08}})
    np.testing.assert_array_equal(data.power_templates.template("70B", 7000), [600.0])
    assert data.itl_fits is not None
    mixture = data.itl_fits.distribution("70B", 8)
    assert (mixture.mean_s, mixture.variance_s2) == (0.03, 0.0)
    with pytest.raises(InputError, match=r"no latency mixture at its feasible batch sizes \[7000\]"):
        InferenceData.constant([spec], {"70B": {8: 300.0, 7000: 600.0}}, {"70B": {8: 0.03}})
    with pytest.raises(InputError, match=r"no power template at its feasible batch sizes \[7000\]"):
        InferenceData.constant([spec], {"70B": {8: 300.0}})


def test_filtering_keeps_the_models_named() -> None:
    data = InferenceData.ensure(None, [SPEC, SMALL], dt_s=1.0)
    assert data.filter_models(["8B"]).models == (SMALL,)
    with pytest.raises(InputError, match="known models"):
        data.filter_models(["9B"])


def test_labels_and_templates_are_checked() -> None:
    with pytest.raises(InputError, match="more than once: \\['70B'\\]"):
        InferenceData.ensure(None, [SPEC, SPEC])
    store = InferenceTemplateStore({"m": {16: np.array([2.0]), 8: np.array([1.0])}})
    assert store.batch_sizes("m") == (8, 16)
    assert not store.template("m", 8).flags.writeable
    with pytest.raises(InputError, match=r"choose one of \[8, 16\]"):
        store.template("m", 32)
    with pytest.raises(InputError, match="known models"):
        store.template("n", 8)
    with pytest.raises(InputError, match="finite powers"):
        InferenceTemplateStore({"m": {8: np.array([np.nan])}})


def test_nothing_heavy_is_imported_on_the_way() -> None:
    code = (
        "import sys; import g2g_opt.datacenter.workloads.inference, g2g_opt.datacenter.workloads.curves; "
        "sys.exit(any(m.split('.')[0] in ('scipy', 'pandas') for m in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], check=False).returncode == 0
