"""Exact confidence bounds of a share, against scipy's beta quantiles, their definition, and drawn samples."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from solvers.exact_binomial import failures_allowed, lower_bound, trials_needed
from solvers.outcome import SolverError


@pytest.mark.parametrize("confidence", [0.5, 0.9, 0.95, 0.999])
@pytest.mark.parametrize(("k", "n"), [(1, 1), (59, 59), (92, 93), (3, 17), (1, 1000), (999, 1000)])
def test_bound_is_the_beta_quantile_and_solves_its_definition(k: int, n: int, confidence: float) -> None:
    bound = lower_bound(k, n, confidence)
    assert bound == pytest.approx(stats.beta.ppf(1.0 - confidence, k, n - k + 1), rel=1e-10)
    assert stats.binom.sf(k - 1, n, bound) == pytest.approx(1.0 - confidence, rel=1e-8)


def test_no_success_shows_nothing_and_no_failure_is_a_power() -> None:
    assert lower_bound(0, 10, 0.95) == 0.0
    assert lower_bound(59, 59, 0.95) == pytest.approx(0.05 ** (1 / 59), rel=1e-12)


def test_fifty_nine_without_a_failure_show_95_percent_at_95_percent() -> None:
    assert trials_needed(0.95, 0.95) == 59
    assert (failures_allowed(58, 0.95, 0.95), failures_allowed(59, 0.95, 0.95)) == (None, 0)
    assert (failures_allowed(92, 0.95, 0.95), failures_allowed(93, 0.95, 0.95)) == (0, 1)


@pytest.mark.parametrize(("share", "confidence"), [(0.5, 0.5), (0.9, 0.9), (0.99, 0.95), (0.8, 0.99), (0.5, 0.75)])
def test_trials_needed_are_the_least_that_suffice(share: float, confidence: float) -> None:
    n = trials_needed(share, confidence)
    assert lower_bound(n, n, confidence) >= share - 1e-12
    assert n == 1 or lower_bound(n - 1, n - 1, confidence) < share
    assert n == math.ceil(math.log(1 - confidence) / math.log(share) - 1e-9)


@pytest.mark.parametrize("share", [0.8, 0.95, 0.99])
def test_in_drawn_samples_the_bound_covers_the_share_as_often_as_stated(share: float) -> None:
    n, confidence, draws = 59, 0.95, 20_000
    kept = np.random.default_rng(7).binomial(n, share, draws)
    bounds = np.array([lower_bound(k, n, confidence) for k in range(n + 1)])
    covered = float((bounds[kept] <= share).mean())
    # Exact bounds never cover less often than stated; 4 standard errors of the sample.
    assert covered >= confidence - 4.0 * math.sqrt(confidence * (1 - confidence) / draws)


@pytest.mark.parametrize(("k", "n", "confidence"), [(3, 2, 0.9), (-1, 2, 0.9), (0, 0, 0.9), (1, 2, 1.0), (1, 2, 0.0)])
def test_what_cannot_be_is_refused(k: int, n: int, confidence: float) -> None:
    with pytest.raises(SolverError):
        lower_bound(k, n, confidence)
