"""Latency mixtures: moments by hand, fits against the raw rows, observed means."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from g2g_opt.datacenter.workloads.latency import (
    ITLFitStore,
    LatencyMixture,
    mean_itl_s,
    observed_itl_s,
    sample_mean_itl_s,
)
from g2g_opt.datacenter.workloads.latency_fit import (
    fit_latency_mixture,
    fit_measurements,
    fit_rows,
    load_mixtures,
    mixture_of,
)
from g2g_opt.datacenter.workloads.measurements import find_configuration, load_measurements, measured_at, measured_spec
from g2g_opt.errors import InputError

DATA = Path(__file__).parents[2] / "data/workloads"
MIXTURE = LatencyMixture(weight=0.75, mu_1=math.log(0.02), sigma_1=0.1, mu_2=math.log(0.08), sigma_2=0.5)


def test_moments_by_hand() -> None:
    mean_1, mean_2 = 0.02 * math.exp(0.005), 0.08 * math.exp(0.125)
    second_1, second_2 = 0.02**2 * math.exp(2 * 0.01), 0.08**2 * math.exp(2 * 0.25)
    mean = 0.75 * mean_1 + 0.25 * mean_2
    assert MIXTURE.mean_s == pytest.approx(mean, rel=1e-14)
    assert MIXTURE.variance_s2 == pytest.approx(0.75 * second_1 + 0.25 * second_2 - mean**2, rel=1e-12)


def test_a_fixed_latency_has_no_variance() -> None:
    fixed = LatencyMixture.fixed(0.05)
    assert (fixed.mean_s, fixed.variance_s2) == (0.05, 0.0)
    np.testing.assert_allclose(fixed.quantile([0.01, 0.99]), 0.05)
    np.testing.assert_array_equal(fixed.cdf([0.049, 0.051, 0.0, -1.0]), [0.0, 1.0, 0.0, 0.0])
    assert mean_itl_s(0.05, 0.0, 3, -9.0) == 0.05
    with pytest.raises(InputError, match="positive"):
        LatencyMixture.fixed(0.0)


@settings(max_examples=60, deadline=None)
@given(
    weight=st.floats(0.02, 0.98),
    mu_1=st.floats(-6, 0),
    mu_2=st.floats(-6, 0),
    sigma_1=st.floats(0.02, 1.0),
    sigma_2=st.floats(0.02, 1.0),
    p=st.floats(0.005, 0.995),
)
def test_quantile_inverts_cdf(
    weight: float, mu_1: float, mu_2: float, sigma_1: float, sigma_2: float, p: float
) -> None:
    mixture = LatencyMixture(weight, mu_1, sigma_1, mu_2, sigma_2)
    assert float(mixture.cdf(mixture.quantile(p))) == pytest.approx(p, abs=1e-9)


def test_samples_follow_the_mixture() -> None:
    generator = np.random.default_rng(1)
    draws = MIXTURE.sample_s(generator.random(200_000), generator.standard_normal(200_000))
    assert draws.mean() == pytest.approx(MIXTURE.mean_s, rel=0.01)
    for p in (0.1, 0.5, 0.9, 0.99):
        assert np.mean(draws <= MIXTURE.quantile(p)) == pytest.approx(p, abs=0.004)


def test_mean_over_replicas_exact_and_by_the_limit_theorem() -> None:
    generator = np.random.default_rng(2)
    uniforms, normals = generator.random((40_000, 30)), generator.standard_normal((40_000, 30))
    for n in (1, 5, 30):
        observed = observed_itl_s(MIXTURE, n, uniforms, normals)
        np.testing.assert_array_equal(observed, sample_mean_itl_s(MIXTURE, n, uniforms[:, :n], normals[:, :n]))
        assert observed.mean() == pytest.approx(MIXTURE.mean_s, rel=0.02)
        assert observed.var() == pytest.approx(MIXTURE.variance_s2 / n, rel=0.1)
    # By hand: u = 0.5 < 0.75 takes component 1, u = 0.9 component 2.
    two = sample_mean_itl_s(MIXTURE, 2, np.array([[0.5, 0.9]]), np.array([[1.0, -1.0]]))
    assert two[0] == pytest.approx((0.02 * math.exp(0.1) + 0.08 * math.exp(-0.5)) / 2)
    many = observed_itl_s(MIXTURE, 400, uniforms, normals)
    np.testing.assert_allclose(many, MIXTURE.mean_s + math.sqrt(MIXTURE.variance_s2) / 20 * normals[:, 0])


def test_limit_theorem_is_an_array_function_and_stays_positive() -> None:
    figures = [[0.1, 0.2], [0.04, 0.0], [[4, 1], [1, 1]], [[0.5, 3.0], [-50.0, 3.0]]]
    drawn = mean_itl_s(*(np.array(figure) for figure in figures))
    np.testing.assert_allclose(drawn, [[0.15, 0.2], [0.005, 0.2]])


def test_wrong_draws_and_figures_are_refused() -> None:
    with pytest.raises(InputError, match=r"shape \[step, 3\]"):
        sample_mean_itl_s(MIXTURE, 3, np.zeros((5, 2)), np.zeros((5, 3)))
    with pytest.raises(InputError, match="weight"):
        LatencyMixture(1.2, 0.0, 0.1, 0.0, 0.1)
    with pytest.raises(InputError, match="sigma"):
        LatencyMixture(0.5, 0.0, -0.1, 0.0, 0.1)
    with pytest.raises(InputError, match="strictly between"):
        MIXTURE.quantile(1.0)


def test_fit_recovers_a_mixture_from_its_percentiles() -> None:
    q = MIXTURE.quantile([0.5, 0.9, 0.95, 0.99])
    fitted, error = fit_latency_mixture(*q.tolist(), MIXTURE.mean_s)
    assert error < 1e-4
    assert fitted.mean_s == pytest.approx(MIXTURE.mean_s, rel=1e-12)
    np.testing.assert_allclose(fitted.quantile([0.5, 0.9, 0.95, 0.99]), q, rtol=1e-4)


def test_fit_keeps_the_mean_even_where_no_mixture_fits() -> None:
    # A mean of 16 medians with p99 below 2 means: no distribution has that with two log-normal components.
    fitted, error = fit_latency_mixture(0.09, 1.76, 2.03, 2.34, 1.45)
    assert fitted.mean_s == pytest.approx(1.45, rel=1e-12)
    assert error > 0.3
    with pytest.raises(InputError, match="must not fall"):
        fit_latency_mixture(0.1, 0.09, 0.2, 0.3, 0.1)
    with pytest.raises(InputError, match="positive"):
        fit_rows(np.array([[1.0, 2.0, 3.0, 4.0]]), np.array([0.0]))


def test_the_table_holds_every_measurement_with_its_mean() -> None:
    table = load_mixtures()
    rows = load_measurements()
    assert set(table) == {(r.configuration, r.batch_size) for r in rows}
    for row in rows:
        mean = table[row.configuration, row.batch_size].mixture.mean_s
        assert mean == pytest.approx(row.avg_batch_size / row.output_throughput_tps, rel=1e-9)
    # The distribution of the worst percentile errors that data/workloads/README.md states.
    errors = np.array([fitted.worst_percentile_error for fitted in table.values()])
    assert np.median(errors) < 0.003
    assert np.mean(errors < 0.05) > 0.91
    assert np.sum(errors > 0.2) == 8


def test_stated_errors_are_those_of_the_raw_rows() -> None:
    mixtures = list(csv.DictReader((DATA / "itl_mixtures.csv").read_text().splitlines()[1:]))
    raw = {
        (r["task"], r["model_id"], r["gpu_model"], r["num_gpus"], r["max_num_seqs"]): r
        for r in csv.DictReader((DATA / "mlenergy_v3_llm.csv").read_text().splitlines())
        if not (r["model_id"].endswith(("gpt-oss-20b", "30B-A3B-Instruct-2507")) and r["gpu_model"] == "H100")
    }
    checked = 0
    for row in mixtures[::20]:
        measured = raw.get(tuple(row[k] for k in ("task", "model_id", "gpu_model", "num_gpus", "batch_size")))
        if measured is None:  # may be the median of two runs
            continue
        mixture = LatencyMixture(*(float(row[k]) for k in ("weight", "mu_1", "sigma_1", "mu_2", "sigma_2")))
        got = mixture.quantile([0.5, 0.9, 0.95, 0.99])
        wanted = np.array([float(measured[f"{k}_itl_ms"]) / 1e3 for k in ("median", "p90", "p95", "p99")])
        assert np.abs(got / wanted - 1).max() == pytest.approx(float(row["worst_percentile_error"]), abs=1e-4)
        checked += 1
    assert checked > 20


def test_refitting_a_sample_gives_the_table() -> None:
    rows = load_measurements()[::70]
    for row, fitted in zip(rows, fit_measurements(rows), strict=True):
        kept = load_mixtures()[row.configuration, row.batch_size]
        assert fitted.worst_percentile_error == pytest.approx(kept.worst_percentile_error, abs=2e-3)
        probabilities = [0.5, 0.9, 0.95, 0.99]
        np.testing.assert_allclose(
            fitted.mixture.quantile(probabilities), kept.mixture.quantile(probabilities), rtol=5e-3
        )


def test_an_interpolated_batch_size_gets_a_mixture_of_its_own() -> None:
    row = measured_at(find_configuration(measured_spec("llama-3.1-8b", "H100")), 48, "log2")
    mixture = mixture_of(row)
    assert mixture.mean_s == pytest.approx(row.mean_itl_s, rel=1e-12)
    assert float(mixture.quantile(0.5)) == pytest.approx(row.median_itl_s, rel=0.02)


def test_store_says_what_it_holds() -> None:
    store = ITLFitStore({"m": {16: MIXTURE, 8: MIXTURE}})
    assert store.batch_sizes("m") == (8, 16)
    assert store.distribution("m", 8) is MIXTURE
    with pytest.raises(InputError, match=r"batch size 32; choose one of \[8, 16\]"):
        store.distribution("m", 32)
    with pytest.raises(InputError, match="known models"):
        store.distribution("n", 8)
