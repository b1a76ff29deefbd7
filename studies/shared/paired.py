"""Means over scenarios with bootstrap intervals; the same draws for every case, so that intervals can be compared."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from g2g_opt.randomness import keyed_generator

Ints = NDArray[np.int64]

_DRAWS = 2000


def bootstrap_draws(n_scenarios: int, seed: int, n_draws: int = _DRAWS) -> Ints:
    """Places of scenarios drawn with putting back, shape (draw, scenario)."""
    return keyed_generator(seed, "bootstrap").integers(n_scenarios, size=(n_draws, n_scenarios))


def mean_and_interval(values: ArrayLike, draws: Ints) -> tuple[float, float, float]:
    """Mean of values by scenario, and the ends of its 95 % interval."""
    found = np.asarray(values, dtype=float)
    low, high = np.percentile(found[draws].mean(axis=1), [2.5, 97.5])
    return float(found.mean()), float(low), float(high)
