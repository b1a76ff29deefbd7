"""What every kind of coordination study gives its conclusion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from studies.coordination_policy.rows import TrainedPolicyRow
from studies.shared.conclusion import Chart, MissingAnswer, ResultTable


@dataclass(frozen=True)
class AnswerParts:
    """Answer, tables, charts, what failed, what qualifies it, and files for other programs."""

    answer: str
    tables: tuple[ResultTable, ...]
    charts: tuple[Chart, ...] = ()
    failures: tuple[MissingAnswer, ...] = ()
    warnings: tuple[str, ...] = ()
    texts: Mapping[str, str] = field(default_factory=dict)


def percent_of(share: float) -> str:
    """A share as it was typed, in percent: 27.5 of 0.275."""
    return f"{100.0 * share:.10g}"


def policy_files(rows: Sequence[TrainedPolicyRow]) -> dict[str, str]:
    """A JSON file for every trained policy, by its place in the results' folder."""
    return {
        f"policies/alpha{row.alpha:g}_penetration{row.penetration:g}_q{row.q}_eps{row.eps:g}_draw{row.draw + 1}.json": (
            row.json + "\n"
        )
        for row in rows
    }
