"""Choosing eps and the latency margin on held-out fifths of the training records; test records have no say."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from solvers.outcome import SolverError
from studies.coordination_policy.peak_hour import PeakCase, fit_contextual, judge_policy
from studies.coordination_policy.question import FOLDS, CoordinationQuestion
from studies.coordination_policy.rows import Judged

Ints = NDArray[np.int64]

# Shares of the latency loss that may be held back, until few enough shifts are refused.
_MARGINS = (0.0, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75)


def choose_eps(question: CoordinationQuestion, case: PeakCase, train: Ints, report: Callable[[str], None]) -> float:
    """The eps of the usual ones with the least cost on held-out records; `SolverError` if none can be trained."""
    mean: dict[float, float] = {}
    for eps in question.eps_of():
        rows = _held_out(question, case, train, eps, question.latency_margin)
        if rows:
            mean[eps] = float(np.mean([row.cost for row in rows]))
            report(f"cross-validation, eps {eps:g}: {mean[eps]:,.0f} $")
    if not mean:
        raise SolverError("no eps gave a certified training on all parts of the records")
    return min(mean, key=lambda eps: mean[eps])


def choose_margin(
    question: CoordinationQuestion, case: PeakCase, train: Ints, eps: float, report: Callable[[str], None]
) -> tuple[float, bool]:
    """The least latency margin with which at most `refused_max` of the shifts of held-out records are refused.

    With it, whether it is enough: the largest one that is tried may not be.
    """
    if question.refused_max is None:
        return question.latency_margin, True
    for margin in _MARGINS:
        rows = _held_out(question, case, train, eps, margin)
        refused = float(np.mean([row.refused_share for row in rows])) if rows else 1.0
        report(f"latency margin {margin:g}: {100 * refused:.1f} % refused")
        if refused <= question.refused_max:
            return margin, True
    return _MARGINS[-1], False


def _held_out(question: CoordinationQuestion, case: PeakCase, train: Ints, eps: float, margin: float) -> list[Judged]:
    """Rows of every fifth judged by a training on the others; none if one is not certified."""
    fold = np.arange(len(train)) % FOLDS
    rows = []
    for k in range(FOLDS):
        policy = fit_contextual(question, case, train[fold != k], eps, margin)
        if not policy.certified:
            return []
        rows.append(judge_policy(question, case, train[fold == k], "held out", policy))
    return rows
