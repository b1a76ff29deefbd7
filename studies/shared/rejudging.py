"""Stored results under other limits than they were made under: which study can, by which limits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

from g2g_opt.errors import InputError
from g2g_opt.limits import Limits
from studies.shared.conclusion import Conclusion
from studies.shared.task import Question, TaskResult

_JUDGED_AGAIN = "judged again under other limits than the runs were made for: nothing was simulated"

# For studies whose answers follow from `Summary` records alone, whose loadings are shares of ratings on one basis.
ALL_LIMITS = frozenset(field.name for field in fields(Limits)) - {"rating_basis"}


def conclude_under(question: Question, results: Sequence[TaskResult], limits: Limits) -> Conclusion:
    """The answer that stored results give under other limits; `InputError` for limits they cannot be judged by."""
    conclusion = under_limits(question, limits).conclude(results, limits_of(question))
    return replace(conclusion, warnings=(_JUDGED_AGAIN, *conclusion.warnings))


def under_limits(question: Question, limits: Limits) -> Question:
    """The question with other limits, for its stored results to be concluded by.

    Raises `InputError` for a study without limits, and names the limits by which the study's records cannot be judged
    again.
    """
    asked = limits_of(question)
    able: frozenset[str] = getattr(question, "rejudges", frozenset())
    changed = [name for name in vars(limits) if getattr(limits, name) != getattr(asked, name)]
    if unable := [name for name in changed if name not in able]:
        known = f"; it can by {', '.join(sorted(able))}" if able else ""
        if "rating_basis" in unable:
            raise InputError(
                f"the stored loadings are shares of {asked.rating_basis} ratings; ask the question anew with "
                f"--rating-basis {limits.rating_basis}"
            )
        raise InputError(
            f"a {question.study} study cannot judge its stored results again by {', '.join(unable)}{known}: ask the "
            "question anew with it"
        )
    new: Any = replace(question, limits=limits)  # type: ignore[type-var]
    found: Question = new
    return found


def limits_of(question: Question) -> Limits:
    """The limits in a question; `InputError` for a study that has none."""
    limits = getattr(question, "limits", None)
    if not isinstance(limits, Limits):
        raise InputError(f"a {question.study} study has no limits to change")
    return limits
