"""A curve through the measured points themselves, where the logistic form (equation 2.1) does not describe them.

Between neighbouring batch sizes a cubic in x = log2(batch size) whose slopes keep the shape of the points (Fritsch and
Carlson 1980, in the form of Fritsch and Butland 1984): it rises where they rise, falls where they fall, and overshoots
none of them. Outside it goes on straight.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from g2g_opt.datacenter.workloads.batch_curve import CurveOverBatch
from g2g_opt.errors import InputError

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class MeasuredCurve(CurveOverBatch):
    """Values `y` at `x` = log2(batch size), rising, with the slope dy/dx at each; 1 point (a constant) or more."""

    x: tuple[float, ...]
    y: tuple[float, ...]
    slope: tuple[float, ...]

    def __post_init__(self) -> None:
        if not len(self.x) == len(self.y) == len(self.slope) >= 1 or any(
            not after > before for before, after in zip(self.x, self.x[1:], strict=False)
        ):
            raise InputError("a measured curve needs a value and a slope at each of its rising places, one at least")
        if not np.isfinite([self.x, self.y, self.slope]).all():
            raise InputError("a measured curve needs finite places, values and slopes")

    @staticmethod
    def through(batch_sizes: ArrayLike, values: ArrayLike) -> MeasuredCurve:
        """The curve through `values` at different positive `batch_sizes`, in any order."""
        from scipy.interpolate import PchipInterpolator

        batches = np.asarray(batch_sizes, dtype=np.float64).reshape(-1)
        y = np.asarray(values, dtype=np.float64).reshape(-1)
        if batches.shape != y.shape or not len(y) or len(np.unique(batches)) < len(batches):
            raise InputError("a measured curve needs one value at each of its batch sizes")
        if not (batches > 0).all():
            raise InputError("a measured curve needs positive batch sizes")
        order = np.argsort(batches)
        x, y = np.log2(batches[order]), y[order]
        # A slope is a harmonic mean of its neighbours', whose inverses may be beyond all numbers: it is then 0.
        with np.errstate(over="ignore"):
            slope = PchipInterpolator(x, y).derivative()(x) if len(x) > 1 else np.zeros(1)
        return MeasuredCurve(tuple(x.tolist()), tuple(y.tolist()), tuple(slope.tolist()))

    @property
    def rises(self) -> bool:
        """True if every value is above the one before; where it is not, a slope tells nothing of what lies beyond."""
        return all(after > before for before, after in zip(self.y, self.y[1:], strict=False))

    @cached_property
    def coefficients(self) -> Floats:
        """Of (x - x_j)^0..3 between neighbours (interval, 4); a straight line where there is one point."""
        x, y, d = np.array(self.x), np.array(self.y), np.array(self.slope)
        if len(x) == 1:
            return np.array([[y[0], 0.0, 0.0, 0.0]])
        width = np.diff(x)
        secant = np.diff(y) / width
        square = (3.0 * secant - 2.0 * d[:-1] - d[1:]) / width
        cube = (d[:-1] + d[1:] - 2.0 * secant) / width**2
        return np.stack([y[:-1], d[:-1], square, cube], axis=1)

    @overload
    def eval_x(self, x: float) -> float: ...
    @overload
    def eval_x(self, x: Floats) -> Floats: ...
    def eval_x(self, x: float | Floats) -> float | Floats:
        """Value at x = log2(batch size), of the shape of `x`."""
        return self._at(x)[0]

    @overload
    def deriv_wrt_x(self, x: float) -> float: ...
    @overload
    def deriv_wrt_x(self, x: Floats) -> Floats: ...
    def deriv_wrt_x(self, x: float | Floats) -> float | Floats:
        """dy/dx, per doubling of the batch size, of the shape of `x`."""
        return self._at(x)[1]

    def _at(self, x: float | Floats) -> tuple[float | Floats, float | Floats]:
        at, places = np.asarray(x, dtype=np.float64), np.array(self.x)
        inside = np.clip(at, places[0], places[-1])
        j = np.clip(np.searchsorted(places, inside, side="right") - 1, 0, len(self.coefficients) - 1)
        c, u = self.coefficients[j], inside - places[j]
        value = c[..., 0] + u * (c[..., 1] + u * (c[..., 2] + u * c[..., 3]))
        slope = c[..., 1] + u * (2.0 * c[..., 2] + 3.0 * u * c[..., 3])
        value = value + slope * (at - inside)
        return (value, slope) if np.ndim(x) else (float(value), float(slope))
