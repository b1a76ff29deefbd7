"""Means over scenarios with bootstrap intervals; the same draws for every case, so that intervals can be compared."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from g2g_opt.randomness import keyed_generator
from studies.shared.conclusion import Column
from studies.shared.task import Row

Ints = NDArray[np.int64]

_DRAWS = 2000


def bootstrap_draws(n_scenarios: int, seed: int, n_draws: int = _DRAWS) -> Ints:
    """Places of scenarios drawn with putting back, shape (draw, scenario)."""
    return keyed_generator(seed, "bootstrap").integers(n_scenarios, size=(n_draws, n_scenarios))


def mean_and_interval(values: ArrayLike, draws: Ints) -> tuple[float, float, float]:
    """Mean of values by scenario, and the ends of its 95 % interval (equation 6.5)."""
    found = np.asarray(values, dtype=float)
    low, high = np.percentile(found[draws].mean(axis=1), [2.5, 97.5])
    return float(found.mean()), float(low), float(high)


def saved_and_interval(left: ArrayLike, whole: ArrayLike, draws: Ints) -> tuple[float, float, float] | None:
    """Share of the mean of `whole` that is not `left`, both by scenario, and the ends of its 95 % interval over draws
    of scenarios; None where there is nothing to save in one of the draws.
    """
    kept, of = np.asarray(left, dtype=float), np.asarray(whole, dtype=float)
    drawn = of[draws].mean(axis=1)
    if not (drawn > 0.0).all():
        return None
    low, high = np.percentile(1.0 - kept[draws].mean(axis=1) / drawn, [2.5, 97.5])
    return float(1.0 - kept.mean() / of.mean()), float(low), float(high)


def interval_row(name: str, values: ArrayLike, draws: Ints) -> Row:
    """What `mean_and_interval` finds, as the columns that `with_interval` makes of a column `name`."""
    return dict(zip((name, f"{name}_low", f"{name}_high"), mean_and_interval(values, draws), strict=True))


def with_interval(column: Column, of: str | None = None, secondary: bool = True) -> tuple[Column, Column, Column]:
    """A column of means, and those of the ends of their 95 % intervals, which are titled as ends `of` it."""
    words = column.title if of is None else of
    ends = (("low", "2.5 %"), ("high", "97.5 %"))
    low, high = (
        Column(f"{column.name}_{end}", f"{words}, {share}" if words else share, column.digits, secondary)
        for end, share in ends
    )
    return column, low, high
