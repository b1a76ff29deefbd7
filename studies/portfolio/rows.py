"""What the feeders of a portfolio answered, as rows."""

from __future__ import annotations

from dataclasses import dataclass

from studies.shared.typed_rows import TypedRow


@dataclass(frozen=True)
class PortfolioRow(TypedRow):
    """A feeder's answer in its study's own words, with the tasks of it that failed and what has no answer."""

    feeder: str
    path: str
    title: str
    answer: str
    n_tasks: int
    n_failed: int
    reasons: tuple[str, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class PortfolioBusRow(TypedRow):
    """A figure of a bus of one feeder: one that its study draws on a map ("firm capacity", MW)."""

    feeder: str
    bus: str
    figure: str
    unit: str
    value: float
