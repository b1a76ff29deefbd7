"""Rows of a study of AI choices."""

from __future__ import annotations

from dataclasses import dataclass

from studies.shared.typed_rows import TypedRow


@dataclass(frozen=True)
class ChoiceRow(TypedRow):
    """A fleet of one choice: its size, its feasible power range (MW), and what it did without coordination and under
    coordination; None where a run has no answer. The range by the logistic form is that of its ends, as published.
    """

    comparison: str
    choice: str
    n_replicas: int
    n_gpus: int
    batch_low: int
    batch_high: int
    range_mw: float
    range_by_logistic_mw: float | None
    none_pu_s: float | None
    controlled_pu_s: float | None
    none_tps: float | None
    controlled_tps: float | None
    none_misses: float | None
    controlled_misses: float | None
    switches: float | None
    exhausted_s: float | None
    batch_sizes: tuple[int, ...]
    power_mw: tuple[float, ...]
    tokens_per_s: tuple[float, ...]
    failure: str = ""


@dataclass(frozen=True)
class HostedRow(TypedRow):
    """The largest fleet of one choice that a bus hosts: firm without coordination, flexible under it.

    `stopped_by` is why the next size was refused; `gap` names sizes (replicas) below that were refused
    too, from which to which and why the largest of them, and up to `held_up_to` all that were tried hold.
    """

    comparison: str
    choice: str
    operation: str
    n_replicas: int
    n_gpus: int
    tokens_per_s: float
    mean_mw: float
    peak_mw: float
    stopped_by: str
    gap: str
    held_up_to: int
