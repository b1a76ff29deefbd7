"""What every curve over batch sizes does alike."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from g2g_opt.errors import InputError

Floats = NDArray[np.float64]


class CurveOverBatch(ABC):
    """A figure of a model over x = log2(batch size)."""

    @overload
    @abstractmethod
    def eval_x(self, x: float) -> float: ...
    @overload
    @abstractmethod
    def eval_x(self, x: Floats) -> Floats: ...
    @abstractmethod
    def eval_x(self, x: float | Floats) -> float | Floats:
        """Value at x = log2(batch size), of the shape of `x`."""

    @overload
    @abstractmethod
    def deriv_wrt_x(self, x: float) -> float: ...
    @overload
    @abstractmethod
    def deriv_wrt_x(self, x: Floats) -> Floats: ...
    @abstractmethod
    def deriv_wrt_x(self, x: float | Floats) -> float | Floats:
        """dy/dx, per doubling of the batch size, of the shape of `x`."""

    def eval(self, batch_size: ArrayLike) -> float | Floats:
        """Value at a batch size (positive), of its shape."""
        batches = np.asarray(batch_size, dtype=np.float64)
        if not (batches > 0).all():
            raise InputError(f"{type(self).__name__}: batch sizes must be positive, got {batch_size!r}")
        y = self.eval_x(np.log2(batches))
        return y if batches.ndim else float(y)
