"""Smooth curves of power, latency and throughput over x = log2(batch size) (equation 2.1).

    y(x) = b0 + L / (1 + exp(-k (x - x0))),   k > 0                                                          (2.1)

Power in W per replica, latency (mean ITL) in s, throughput in tokens/s per replica. A controller needs values and
slopes between the measured batch sizes; these are fits for that purpose, not measurements. They are made of the
batch sizes that the model may use and no others, and where equation 2.1 misses what was measured there, the curve goes
through the points instead (`MeasuredCurve`); `CurveFit` says which it is and how well it stands for a point it has not
seen.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Literal, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from g2g_opt.datacenter.model_spec import InferenceModelSpec, ModelDeployment
from g2g_opt.datacenter.workloads.batch_curve import CurveOverBatch
from g2g_opt.datacenter.workloads.measured_curve import MeasuredCurve
from g2g_opt.datacenter.workloads.measurements import Interpolation, Measurement, spec_measurements
from g2g_opt.errors import InputError, unknown_name
from g2g_opt.quantities import DoublingsOfBatch, Figure, Steepness, check_quantities

Floats = NDArray[np.float64]

# Steeper than 4 per doubling is a step between two measured batch sizes; flatter than 0.05 is a straight line.
STEEPNESS_MIN, STEEPNESS_MAX = 0.05, 4.0
_X0_BEYOND = 4.0  # the midpoint may lie so many doublings outside the data
# A curve (equation 2.1) stands for the measured points if it misses none of them, nor their span, by more than this
# share of it, and is nowhere among them flatter than this share of its mean slope: a slope of nothing moves no
# controller.
MISFIT_MAX, FLATNESS_MIN = 0.1, 0.1
# With as many points as it has parameters it meets whatever there is, and says nothing of what lies between.
_POINTS_MIN = 5

CurveForm = Literal["logistic", "measured"]


@dataclass(frozen=True, kw_only=True)
class LogisticModel(CurveOverBatch):
    """Curve (equation 2.1): `b0` level far left, `L` height (both in the unit of y), `k` steepness and `x0` midpoint in
    x.
    """

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
    """Least-squares curve (equation 2.1) through `values` at `batch_sizes` (3 different ones or more).

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


# --- the curve that stands for measured points

BatchCurve = LogisticModel | MeasuredCurve


@dataclass(frozen=True, eq=False)
class CurveFit:
    """A curve, its form, and the points (point,) it is made of, in rising order of the batch size.

    `span_error` is the curve's own span (largest minus smallest) at these points against theirs, as a share of it.
    """

    curve: BatchCurve
    form: CurveForm
    span_error: float
    batch_sizes: Floats
    values: Floats

    @cached_property
    def leave_one_out_error(self) -> float:
        """Root mean square, as a share of the points' span, of what the curve says of every point between the ends if
        it is made without it; NaN with fewer than four points. Few ask, and a fit for every point takes as long.
        """
        x, y, span = self.batch_sizes, self.values, float(np.ptp(self.values))
        if span == 0.0:
            return 0.0
        if len(y) < 4:
            return float("nan")
        errors = []
        for k in range(1, len(y) - 1):
            others = np.delete(x, k), np.delete(y, k)
            curve = fit_logistic(*others) if self.form == "logistic" else MeasuredCurve.through(*others)
            errors.append(float(curve.eval(float(x[k]))) - y[k])
        return float(np.sqrt(np.mean(np.square(errors)))) / span


def fit_curve(batch_sizes: ArrayLike, values: ArrayLike) -> CurveFit:
    """The curve for `values` at different `batch_sizes`: equation 2.1 where it stands for them, else through the
    points.
    """
    order = np.argsort(np.asarray(batch_sizes, dtype=np.float64).reshape(-1))
    batches = np.asarray(batch_sizes, dtype=np.float64).reshape(-1)[order]
    y = np.asarray(values, dtype=np.float64).reshape(-1)[order]
    through = MeasuredCurve.through(batches, y)
    span = float(np.ptp(y))
    if span == 0.0:
        return CurveFit(through, "measured", 0.0, batches, y)
    if len(y) >= _POINTS_MIN:
        logistic = fit_logistic(batches, y)
        at = np.asarray(logistic.eval(batches))
        span_error = abs(float(np.ptp(at)) - span) / span
        misfit = max(span_error, float(np.abs(at - y).max()) / span)
        x = np.log2(batches)
        flattest = float(np.abs(logistic.deriv_wrt_x(x)).min()) * float(np.ptp(x)) / span
        if misfit <= MISFIT_MAX and flattest >= FLATNESS_MIN:
            return CurveFit(logistic, "logistic", span_error, batches, y)
    return CurveFit(through, "measured", 0.0, batches, y)


@dataclass(frozen=True, eq=False)
class LogisticModelStore:
    """Curves by model label: power (W per replica), latency (mean ITL, s), throughput (tokens/s per replica)."""

    power_fits: Mapping[str, BatchCurve]
    latency_fits: Mapping[str, BatchCurve]
    throughput_fits: Mapping[str, BatchCurve]

    def __init__(
        self,
        power: Mapping[str, BatchCurve],
        latency: Mapping[str, BatchCurve],
        throughput: Mapping[str, BatchCurve],
    ) -> None:
        object.__setattr__(self, "power_fits", MappingProxyType(dict(power)))
        object.__setattr__(self, "latency_fits", MappingProxyType(dict(latency)))
        object.__setattr__(self, "throughput_fits", MappingProxyType(dict(throughput)))

    def power(self, label: str) -> BatchCurve:
        """Power of one replica, W."""
        return _curve(self.power_fits, label, "power")

    def latency(self, label: str) -> BatchCurve:
        """Mean ITL, s."""
        return _curve(self.latency_fits, label, "latency")

    def throughput(self, label: str) -> BatchCurve:
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
        """Curves of `models`, made of the measurements at their feasible batch sizes less `fit_exclude_batch_sizes`.

        `data_dir` is taken for the documented call and not read: the measurements are bundled and a fit takes
        milliseconds. Raises `InputError` as `spec_measurements`, and for a model of which nothing is left.
        """
        return cls._of(tuple(model.spec for model in models), interpolation)

    @classmethod
    @lru_cache(maxsize=64)
    def _of(cls, specs: tuple[InferenceModelSpec, ...], interpolation: Interpolation) -> LogisticModelStore:
        """The same store for the same models, of which thousands of runs ask for one."""
        fits = {spec.model_label: curve_fits(spec, interpolation) for spec in specs}
        return cls(
            power={label: fit.power.curve for label, fit in fits.items()},
            latency={label: fit.latency.curve for label, fit in fits.items()},
            throughput={label: fit.throughput.curve for label, fit in fits.items()},
        )


@dataclass(frozen=True)
class CurveFits:
    """The curves of a model, and what they are worth."""

    power: CurveFit
    latency: CurveFit
    throughput: CurveFit


def _curve(fits: Mapping[str, BatchCurve], label: str, kind: str) -> BatchCurve:
    if label not in fits:
        raise unknown_name("model", label, fits, f"among the {kind} curves")
    return fits[label]


@lru_cache(maxsize=512)
def curve_fits(spec: InferenceModelSpec, interpolation: Interpolation = None) -> CurveFits:
    """Curves over the feasible batch sizes of a model less `fit_exclude_batch_sizes`; errors as `ensure`."""
    measured = spec_measurements(spec, interpolation)
    sizes = [b for b in sorted(set(spec.feasible_batch_sizes)) if b not in spec.fit_exclude_batch_sizes]
    if not sizes:
        raise InputError(
            f"model {spec.model_label!r}: fit_exclude_batch_sizes leaves none of the feasible batch sizes "
            f"{list(spec.feasible_batch_sizes)} to make curves of"
        )
    rows: list[Measurement] = [measured[b] for b in sizes]
    return CurveFits(
        power=fit_curve(sizes, [row.avg_power_w for row in rows]),
        latency=fit_curve(sizes, [row.mean_itl_s for row in rows]),
        throughput=fit_curve(sizes, [row.output_throughput_tps for row in rows]),
    )
