"""Fit the latency mixtures: four measured percentiles by least squares in the logarithm, the mean exactly.

A mixture of unit mean has four free figures: the weight w of component 1, the share f of the mean that component 1
carries, and the spreads s1, s2. The means of the components are then f / w and (1 - f) / (1 - w), so whatever the
search does, the mean stays right, and with it the throughput. The search runs over all rows and all starts at
once (a Levenberg-Marquardt step per problem, as arrays), because 562 rows one by one take half an hour.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from g2g_opt.csv_files import write_csv
from g2g_opt.data_files import data_path, read_table
from g2g_opt.datacenter.workloads.latency import LatencyMixture
from g2g_opt.datacenter.workloads.measurements import Configuration, Measurement, load_measurements
from g2g_opt.errors import InputError

Floats = NDArray[np.float64]

_PROBABILITIES = np.array([0.5, 0.9, 0.95, 0.99])
_SQRT_2PI = np.sqrt(2.0 * np.pi)

# A spread below 1 % is a spike that only chases one percentile; one above 1 makes the variance, and with it the
# spread of the mean over replicas, a matter of a tail that nobody measured (percentiles end at 99 %).
SIGMA_MIN, SIGMA_MAX = 0.01, 1.0
# Nor may a component be lighter than the share beyond the last percentile, or it hides there and takes a mean that
# fits no percentile with it (latencies of minutes at a thousandth of the weight, seen without this bound).
_LOGIT_WEIGHT_MAX = np.log(0.99 / 0.01)
_BOX_LOW = np.array([-_LOGIT_WEIGHT_MAX, -12.0, np.log(SIGMA_MIN), np.log(SIGMA_MIN)])
_BOX_HIGH = np.array([_LOGIT_WEIGHT_MAX, 12.0, np.log(SIGMA_MAX), np.log(SIGMA_MAX)])
_START_WEIGHTS, _START_SIGMAS_1, _START_SIGMAS_2 = (0.97, 0.9, 0.7, 0.4), (0.05, 0.2), (0.1, 0.4, 0.9)
_ITERATIONS = 150

# Among starts that end about as well (worst percentile within this of the best), the least variance is taken.
_TIE_ERROR = 2e-3


@dataclass(frozen=True)
class FittedLatency:
    """A fitted mixture and its worst relative error over the percentiles 50, 90, 95 and 99 %."""

    mixture: LatencyMixture
    worst_percentile_error: float


def fit_rows(percentiles_s: Floats, mean_s: Floats) -> list[FittedLatency]:
    """Mixtures for rows of measured percentiles (s, shape (row, 4): 50, 90, 95, 99 %) and means (s, shape (row,)).

    Deterministic. Raises `InputError` unless percentiles are positive and do not fall, and means are positive.
    """
    percentiles_s = np.asarray(percentiles_s, dtype=np.float64).reshape(-1, 4)
    mean_s = np.asarray(mean_s, dtype=np.float64).reshape(-1)
    if not (np.isfinite(percentiles_s).all() and (percentiles_s > 0).all() and (np.diff(percentiles_s) >= 0).all()):
        raise InputError("latency percentiles must be positive and must not fall from 50 to 90, 95 and 99 %")
    if not (np.isfinite(mean_s).all() and (mean_s > 0).all() and len(mean_s) == len(percentiles_s)):
        raise InputError("mean latencies must be positive, one per row of percentiles")
    target = np.log(percentiles_s / mean_s[:, None])
    starts = list(product(_START_WEIGHTS, _START_SIGMAS_1, _START_SIGMAS_2))
    guess = np.stack([_start(target, *start) for start in starts], axis=1)
    found = _search(guess.reshape(-1, 4), np.repeat(target, len(starts), axis=0))
    w, mu_1, sigma_1, mu_2, sigma_2 = _mixture_figures(found)
    quantile = _log_quantile(w, mu_1, sigma_1, mu_2, sigma_2)
    error = np.abs(np.expm1(quantile - np.repeat(target, len(starts), axis=0))).max(axis=1)
    second_moment = w * np.exp(2 * (mu_1 + sigma_1**2)) + (1 - w) * np.exp(2 * (mu_2 + sigma_2**2))
    shape = (len(mean_s), len(starts))
    error, second_moment = error.reshape(shape), second_moment.reshape(shape)
    best = error.min(axis=1, keepdims=True)
    good = error <= np.maximum(1.05 * best, _TIE_ERROR)
    chosen = np.where(good, second_moment, np.inf).argmin(axis=1) + np.arange(shape[0]) * shape[1]
    shift = np.log(mean_s)
    return [
        FittedLatency(
            LatencyMixture(
                weight=float(w[i]),
                mu_1=float(mu_1[i] + shift[row]),
                sigma_1=float(sigma_1[i]),
                mu_2=float(mu_2[i] + shift[row]),
                sigma_2=float(sigma_2[i]),
            ),
            float(error.reshape(-1)[i]),
        )
        for row, i in enumerate(chosen)
    ]


# --- the search, for N problems at once; theta [N, 4] = (logit w, logit f, log s1, log s2), the mean is 1


def _start(target: Floats, weight: float, sigma_1: float, sigma_2: float) -> Floats:
    """A start with component 1 around the median."""
    share = weight * np.exp(target[:, 0] + sigma_1**2 / 2)
    share = np.where(share < 0.98, np.maximum(share, 0.02), min(weight, 0.9))
    start = np.empty((len(target), 4))
    start[:, 0] = np.log(weight / (1 - weight))
    start[:, 1] = np.log(share / (1 - share))
    start[:, 2:] = np.log([sigma_1, sigma_2])
    return start


def _mixture_figures(theta: Floats) -> tuple[Floats, Floats, Floats, Floats, Floats]:
    w, f = 1 / (1 + np.exp(-theta[:, 0])), 1 / (1 + np.exp(-theta[:, 1]))
    sigma_1, sigma_2 = np.exp(theta[:, 2]), np.exp(theta[:, 3])
    mu_1 = np.log(f) - np.log(w) - sigma_1**2 / 2
    mu_2 = np.log1p(-f) - np.log1p(-w) - sigma_2**2 / 2
    return w, mu_1, sigma_1, mu_2, sigma_2


def _log_quantile(w: Floats, mu_1: Floats, sigma_1: Floats, mu_2: Floats, sigma_2: Floats) -> Floats:
    """Logarithms of the four percentiles, shape (N, 4): Newton's method kept inside a shrinking bracket."""
    from scipy.special import ndtr, ndtri

    w, mu_1, sigma_1, mu_2, sigma_2 = (x[:, None] for x in (w, mu_1, sigma_1, mu_2, sigma_2))
    z = ndtri(_PROBABILITIES)
    low = np.minimum(mu_1 + sigma_1 * z, mu_2 + sigma_2 * z) - 1e-9
    high = np.maximum(mu_1 + sigma_1 * z, mu_2 + sigma_2 * z) + 1e-9
    y = (low + high) / 2
    for _ in range(60):
        z_1, z_2 = (y - mu_1) / sigma_1, (y - mu_2) / sigma_2
        excess = w * ndtr(z_1) + (1 - w) * ndtr(z_2) - _PROBABILITIES
        low, high = np.where(excess < 0, y, low), np.where(excess < 0, high, y)
        density = (w * np.exp(-0.5 * z_1**2) / sigma_1 + (1 - w) * np.exp(-0.5 * z_2**2) / sigma_2) / _SQRT_2PI
        stepped = y - excess / np.maximum(density, 1e-300)
        stepped = np.where((stepped > low) & (stepped < high), stepped, (low + high) / 2)
        moved = float(np.abs(stepped - y).max())
        y = stepped
        if moved < 1e-12:
            break
    return np.asarray(y)


def _residual_and_jacobian(theta: Floats, target: Floats) -> tuple[Floats, Floats]:
    """Log percentiles minus `target` [N, 4], and their derivatives by theta [N, 4, 4] (implicit function)."""
    from scipy.special import ndtr

    w, mu_1, sigma_1, mu_2, sigma_2 = _mixture_figures(theta)
    y = _log_quantile(w, mu_1, sigma_1, mu_2, sigma_2)
    f = 1 / (1 + np.exp(-theta[:, 1:2]))
    w, mu_1, sigma_1, mu_2, sigma_2 = (x[:, None] for x in (w, mu_1, sigma_1, mu_2, sigma_2))
    z_1, z_2 = (y - mu_1) / sigma_1, (y - mu_2) / sigma_2
    by_mu_1 = -w * np.exp(-0.5 * z_1**2) / _SQRT_2PI / sigma_1
    by_mu_2 = -(1 - w) * np.exp(-0.5 * z_2**2) / _SQRT_2PI / sigma_2
    density = np.maximum(-by_mu_1 - by_mu_2, 1e-300)
    cdf_by_theta = np.stack(
        [
            (ndtr(z_1) - ndtr(z_2)) * w * (1 - w) - (1 - w) * by_mu_1 + w * by_mu_2,
            (1 - f) * by_mu_1 - f * by_mu_2,
            (z_1 - sigma_1) * sigma_1 * by_mu_1,
            (z_2 - sigma_2) * sigma_2 * by_mu_2,
        ],
        axis=2,
    )
    return y - target, -cdf_by_theta / density[:, :, None]


def _search(theta: Floats, target: Floats) -> Floats:
    """Levenberg-Marquardt inside the box, each problem with its own damping; returns the best theta of each."""
    theta = np.clip(theta, _BOX_LOW, _BOX_HIGH)
    damping = np.full(len(theta), 1e-2)
    running = np.arange(len(theta))
    residual, jacobian = _residual_and_jacobian(theta, target)
    cost = (residual**2).sum(axis=1)
    for _ in range(_ITERATIONS):
        J, r = jacobian[running], residual[running]
        gradient = np.einsum("nij,ni->nj", J, r)
        # A figure at the edge that wants to leave stays there, or it would spoil the others' step.
        here = theta[running]
        stuck = ((here <= _BOX_LOW) & (gradient > 0)) | ((here >= _BOX_HIGH) & (gradient < 0))
        J = np.where(stuck[:, None, :], 0.0, J)
        normal = np.einsum("nij,nik->njk", J, J)
        scale = np.maximum(np.einsum("njj->nj", normal), 1e-9)
        normal += damping[running, None, None] * np.eye(4) * scale[:, :, None]
        step = np.linalg.solve(normal, np.where(stuck, 0.0, gradient)[:, :, None])[:, :, 0]
        trial = np.clip(here - np.clip(step, -1.0, 1.0), _BOX_LOW, _BOX_HIGH)
        trial_residual, trial_jacobian = _residual_and_jacobian(trial, target[running])
        trial_cost = (trial_residual**2).sum(axis=1)
        better = trial_cost < cost[running]
        gain = np.where(better, 1.0 - trial_cost / np.maximum(cost[running], 1e-300), 0.0)
        at = running[better]
        theta[at], cost[at] = trial[better], trial_cost[better]
        residual[at], jacobian[at] = trial_residual[better], trial_jacobian[better]
        damping[running] = np.clip(np.where(better, damping[running] / 4, damping[running] * 6), 1e-12, 1e12)
        done = (cost[running] < 1e-14) | (damping[running] > 1e8) | (better & (gain < 1e-9))
        running = running[~done]
        if not len(running):
            break
    return theta


# --- the table of all measured configurations

_FIGURES = ("weight", "mu_1", "sigma_1", "mu_2", "sigma_2")
_COMMENT = (
    "# Written by `python -m g2g_opt.datacenter.workloads.latency_fit` from mlenergy_v3_llm.csv: two log-normal "
    "components per row, mu in log s; see README.md\n"
)


def fit_measurements(rows: Sequence[Measurement]) -> list[FittedLatency]:
    """Mixtures of measurements, in their order."""
    percentiles_s = np.array([[r.median_itl_s, r.p90_itl_s, r.p95_itl_s, r.p99_itl_s] for r in rows])
    return fit_rows(percentiles_s, np.array([r.mean_itl_s for r in rows]))


def write_mixtures(path: Path | None = None) -> None:
    """Fit every measurement and write the table; by default the bundled one. Takes about a minute."""
    rows = load_measurements()
    target = path or data_path("workloads") / "itl_mixtures.csv"
    with target.open("w", newline="", encoding="utf-8") as file:
        file.write(_COMMENT)
        header = (*Configuration._fields, "batch_size", *_FIGURES, "worst_percentile_error")
        write_csv(
            file,
            header,
            (
                [
                    *row.configuration,
                    row.batch_size,
                    *(getattr(fitted.mixture, name) for name in _FIGURES),
                    f"{fitted.worst_percentile_error:.3e}",
                ]
                for row, fitted in zip(rows, fit_measurements(rows), strict=True)
            ),
        )


@lru_cache(maxsize=1)
def load_mixtures() -> dict[tuple[Configuration, int], FittedLatency]:
    """The bundled mixtures by configuration and batch size; read once."""
    table: dict[tuple[Configuration, int], FittedLatency] = {}
    for row in read_table(data_path("workloads", "itl_mixtures.csv")):
        key = Configuration(
            row["task"],
            row["model_id"],
            row["gpu_model"],
            int(row["num_gpus"]),
            row["precision"],
            int(row["tensor_parallel"]),
            int(row["expert_parallel"]),
            int(row["data_parallel"]),
        )
        mixture = LatencyMixture(**{name: float(row[name]) for name in _FIGURES})
        table[key, int(row["batch_size"])] = FittedLatency(mixture, float(row["worst_percentile_error"]))
    return table


@lru_cache(maxsize=256)
def mixture_of(measurement: Measurement) -> LatencyMixture:
    """The mixture of a measurement: from the table if it is a measured one, else (interpolated) fitted now."""
    fitted = load_mixtures().get((measurement.configuration, measurement.batch_size))
    return fitted.mixture if fitted is not None else fit_measurements([measurement])[0].mixture


def fit_latency_mixture(
    median_s: float, p90_s: float, p95_s: float, p99_s: float, mean_s: float
) -> tuple[LatencyMixture, float]:
    """The mixture with mean `mean_s` exactly and percentiles as near as it gets, and its worst percentile error.

    Least squares over the logarithms of the four percentiles; the error is relative. All in s.
    """
    fitted = fit_rows(np.array([[median_s, p90_s, p95_s, p99_s]]), np.array([mean_s]))[0]
    return fitted.mixture, fitted.worst_percentile_error


if __name__ == "__main__":
    write_mixtures()
