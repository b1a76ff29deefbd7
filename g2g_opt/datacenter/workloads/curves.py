"""Smooth curves of power, latency and throughput over x = log2(batch size) (formulations 2.1).

    y(x) = b0 + L / (1 + exp(-k (x - x0))),   k > 0                                                          (2.1)

Power in W per replica, latency (mean ITL) in s, throughput in tokens/s per replica. A controller needs values and
slopes between the measured batch sizes; these are fits for that purpose, not measurements.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from g2g_opt.datacenter.workloads.measurements import Interpolation, spec_measurements
from g2g_opt.errors import InputError, unknown_name
from g2g_opt.quantities import DoublingsOfBatch, Figure, Steepness, check_quantities

if TYPE_CHECKING:
    from g2g_opt.datacenter.config import InferenceModelSpec, ModelDeployment

Floats = NDArray[np.float64]

# Steeper than 4 per doubling is a step between two measured batch sizes; flatter than 0.05 is a straight line.
STEEPNESS_MIN, STEEPNESS_MAX = 0.05, 4.0
_X0_BEYOND = 4.0  # the midpoint may lie so many doublings outside the data


@dataclass(frozen=True, kw_only=True)
class LogisticModel:
    """Curve (2.1): `b0` level far left, `L` height (both in the unit of y), `k` steepness and `x0` midpoint in x."""

    b0: Figure
    L: Figure
    k: Steepness
    x0: DoublingsOfBatch

    def __post_init__(self) -> None:
        check_quantities(self)

    @overload
    def eval_x(self, x: float) -> float: ...
    @overload
    def eval_x(self, x: Floats) -> Floats: ...
    def eval_x(self, x: float | Floats) -> float | Floats:
        """Value at x = log2(batch size), of the shape of `x`."""
        y = self.b0 + self.L * _sigmoid(self.k * (np.asarray(x, dtype=np.float64) - self.x0))
        return y if np.ndim(x) else float(y)

    def eval(self, batch_size: ArrayLike) -> float | Floats:
        """Value at a batch size (positive), of its shape."""
        batches = np.asarray(batch_size, dtype=np.float64)
        if not (batches > 0).all():
            raise InputError(f"LogisticModel: batch sizes must be positive, got {batch_size!r}")
        y = self.eval_x(np.log2(batches))
        return y if batches.ndim else float(y)

    @overload
    def deriv_wrt_x(self, x: float) -> float: ...
    @overload
    def deriv_wrt_x(self, x: Floats) -> Floats: ...
    def deriv_wrt_x(self, x: float | Floats) -> float | Floats:
        """dy/dx, per doubling of the batch size, of the shape of `x`."""
        u = self.k * (np.asarray(x, dtype=np.float64) - self.x0)
        # sigma(u) sigma(-u) instead of sigma (1 - sigma), which loses all digits for large u.
        slope = self.L * self.k * _sigmoid(u) * _sigmoid(-u)
        return slope if np.ndim(x) else float(slope)


def _sigmoid(u: Floats) -> Floats:
    """1 / (1 + exp(-u)), with exponents of negative numbers only, so that nothing overflows."""
    shrunk = np.exp(-np.abs(u))
    return np.asarray(np.where(u >= 0, 1.0, shrunk) / (1.0 + shrunk))


def fit_logistic(batch_sizes: ArrayLike, values: ArrayLike) -> LogisticModel:
    """Least-squares curve (2.1) through `values` at `batch_sizes` (3 different ones or more).

    For given k and x0 the best b0 and L are a linear regression (variable projection), so a grid over (k, x0) with
    a local search from its best points is enough; `STEEPNESS_MIN` <= k <= `STEEPNESS_MAX`. Deterministic. Three
    points are met exactly by many curves; the grid's first one, the flattest, is taken.
    """
    batches = np.asarray(batch_sizes, dtype=np.float64).reshape(-1)
    y = np.asarray(values, dtype=np.float64).reshape(-1)
    if batches.shape != y.shape or len(np.unique(batches)) < 3:
        raise InputError(
            f"fit_logistic needs values at 3 different batch sizes or more, got {len(np.unique(batches))} batch sizes "
            f"and {len(y)} values"
        )
    if not ((batches > 0).all() and np.isfinite(y).all()):
        raise InputError("fit_logistic needs positive batch sizes and finite values")
    x = np.log2(batches)
    # In units of its own range, so that W, s and tokens/s are searched alike.
    scale = float(np.ptp(y))
    if scale == 0.0:
        return LogisticModel(b0=float(y[0]), L=0.0, k=1.0, x0=float(x.mean()))
    shifted = (y - y.mean()) / scale
    log_k = np.linspace(np.log(STEEPNESS_MIN), np.log(STEEPNESS_MAX), 25)
    x0 = np.linspace(x.min() - _X0_BEYOND, x.max() + _X0_BEYOND, 49)
    grid = np.stack(np.meshgrid(log_k, x0, indexing="ij"), axis=-1).reshape(-1, 2)
    cost = (_project(grid, x, shifted)[2] ** 2).sum(axis=1)
    best = grid[np.argsort(np.round(cost, 12), kind="stable")[:3]]
    theta = _polish(best, x, shifted)
    b0, height, _ = _project(theta[None, :], x, shifted)
    return LogisticModel(
        b0=float(b0[0]) * scale + float(y.mean()),
        L=float(height[0]) * scale,
        k=float(np.exp(theta[0])),
        x0=float(theta[1]),
    )


def _project(theta: Floats, x: Floats, y: Floats) -> tuple[Floats, Floats, Floats]:
    """Best b0 [n], L [n] and residuals [n, point] for each row (log k, x0) of `theta`; `y` has mean 0."""
    s = _sigmoid(np.exp(theta[:, :1]) * (x - theta[:, 1:]))
    s_mean = s.mean(axis=1, keepdims=True)
    centred = s - s_mean
    height = centred @ y / np.maximum((centred**2).sum(axis=1), 1e-300)
    return -height * s_mean[:, 0], height, height[:, None] * centred - y


def _polish(starts: Floats, x: Floats, y: Floats) -> Floats:
    from scipy.optimize import least_squares

    low = [np.log(STEEPNESS_MIN), x.min() - _X0_BEYOND]
    high = [np.log(STEEPNESS_MAX), x.max() + _X0_BEYOND]
    found: list[tuple[float, int, Floats]] = []
    for start in starts:
        inside = np.clip(start, np.add(low, 1e-9), np.subtract(high, 1e-9))
        fit = least_squares(
            lambda theta: _project(theta[None, :], x, y)[2][0], inside, bounds=(low, high), xtol=1e-12, ftol=1e-12
        )
        found.append((round(float(fit.cost), 14), len(found), fit.x))
    return np.asarray(min(found, key=lambda f: f[:2])[2])


@dataclass(frozen=True, eq=False)
class LogisticModelStore:
    """Curves by model label: power (W per replica), latency (mean ITL, s), throughput (tokens/s per replica)."""

    power_fits: Mapping[str, LogisticModel]
    latency_fits: Mapping[str, LogisticModel]
    throughput_fits: Mapping[str, LogisticModel]

    def __init__(
        self,
        power: Mapping[str, LogisticModel],
        latency: Mapping[str, LogisticModel],
        throughput: Mapping[str, LogisticModel],
    ) -> None:
        object.__setattr__(self, "power_fits", MappingProxyType(dict(power)))
        object.__setattr__(self, "latency_fits", MappingProxyType(dict(latency)))
        object.__setattr__(self, "throughput_fits", MappingProxyType(dict(throughput)))

    def power(self, label: str) -> LogisticModel:
        """Power of one replica, W."""
        return _curve(self.power_fits, label, "power")

    def latency(self, label: str) -> LogisticModel:
        """Mean ITL, s."""
        return _curve(self.latency_fits, label, "latency")

    def throughput(self, label: str) -> LogisticModel:
        """Output tokens/s of one replica."""
        return _curve(self.throughput_fits, label, "throughput")

    @classmethod
    def ensure(
        cls,
        data_dir: Path | str | None,
        models: Iterable[InferenceModelSpec | ModelDeployment],
        *,
        interpolation: Interpolation = None,
    ) -> LogisticModelStore:
        """Curves of `models`, fitted to the measurements at their batch sizes less `fit_exclude_batch_sizes`.

        `data_dir` is taken for the documented call and not read: the measurements are bundled and a fit takes
        milliseconds. Raises `InputError` as `spec_measurements` and `fit_logistic`.
        """
        curves = {model.spec.model_label: _fit_spec(model.spec, interpolation) for model in models}
        return cls(
            power={label: c[0] for label, c in curves.items()},
            latency={label: c[1] for label, c in curves.items()},
            throughput={label: c[2] for label, c in curves.items()},
        )


def _curve(fits: Mapping[str, LogisticModel], label: str, kind: str) -> LogisticModel:
    if label not in fits:
        raise unknown_name("model", label, fits, f"among the {kind} curves")
    return fits[label]


@lru_cache(maxsize=512)
def _fit_spec(
    spec: InferenceModelSpec, interpolation: Interpolation
) -> tuple[LogisticModel, LogisticModel, LogisticModel]:
    rows = [row for b, row in spec_measurements(spec, interpolation).items() if b not in spec.fit_exclude_batch_sizes]
    batches = [row.batch_size for row in rows]
    if len(batches) < 3:
        raise InputError(
            f"model {spec.model_label!r}: curves need 3 batch sizes or more after "
            f"fit_exclude_batch_sizes, got {batches}"
        )
    return (
        fit_logistic(batches, [row.avg_power_w for row in rows]),
        fit_logistic(batches, [row.mean_itl_s for row in rows]),
        fit_logistic(batches, [row.output_throughput_tps for row in rows]),
    )
