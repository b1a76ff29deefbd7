"""Exact (Clopper-Pearson) confidence bounds of a share from k successes in n independent trials.

(1) The lower bound p_L at confidence c solves  P[X >= k | p_L] = 1 - c,  X ~ Binomial(n, p_L); p_L = 0 for k = 0.
    By the beta-binomial identity p_L is the (1 - c) quantile of Beta(k, n - k + 1).
(2) With no failure, p_L = (1 - c)^(1/n): n >= ln(1 - c) / ln(share) trials show `share` (59 for 95 % at 95 %).
"""

from __future__ import annotations

import math

from solvers.outcome import SolverError


def lower_bound(successes: int, trials: int, confidence: float) -> float:
    """Lower bound p_L (1) of the share of successes (equation 6.2): it covers the true share with at least
    `confidence`.
    """
    if not 0 <= successes <= trials or trials < 1:
        raise SolverError(f"0 <= successes <= trials and trials >= 1 are needed, got {successes} of {trials}")
    _check_share("confidence", confidence)
    if successes == 0:
        return 0.0
    # Only where it is needed: importing it takes as long as numpy.
    from scipy.special import betaincinv

    return float(betaincinv(successes, trials - successes + 1, 1.0 - confidence))


def failures_allowed(trials: int, share: float, confidence: float) -> int | None:
    """Most failures in `trials` at which the lower bound still reaches `share`; None if not even none will do."""
    _check_share("share", share)
    allowed = None
    for failures in range(trials + 1):
        if lower_bound(trials - failures, trials, confidence) < share:
            break
        allowed = failures
    return allowed


def trials_needed(share: float, confidence: float) -> int:
    """Least trials that show `share` at `confidence` when none of them fails (2) (equation 6.3)."""
    _check_share("share", share)
    _check_share("confidence", confidence)
    n = max(1, math.floor(math.log1p(-confidence) / math.log(share)))
    # The quotient may be a whole number but for rounding.
    while share**n > 1.0 - confidence + 1e-15:
        n += 1
    return n


def _check_share(name: str, value: float) -> None:
    if not 0.0 < value < 1.0:
        raise SolverError(f"{name} must lie between 0 and 1, got {value}")
