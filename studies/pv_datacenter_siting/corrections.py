"""What refused plans ask of the next proposal: narrowed limits where they broke, or another placement.

A plan that the year or its windows refuse is corrected once: limits of the rows that it broke are narrowed, by as much
as they were outside, at those steps of its days, and its placement may be proposed again. If that has no figures (no
solution, or another limit than that of a row), or its placement has been corrected before, the placement is left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from g2g_opt.judge import Criterion
from g2g_opt.limits import Limits
from g2g_opt.summary import Summary
from solvers.outcome import SolveStatus
from studies.pv_datacenter_siting.days import STEPS_A_DAY, STEPS_AN_HOUR
from studies.pv_datacenter_siting.proposal import TIGHTEN_PU, Narrowing
from studies.pv_datacenter_siting.records import DAYS
from studies.pv_datacenter_siting.rows import BuiltSizeRow
from studies.pv_datacenter_siting.verdicts import Cause, JudgedPlan
from studies.pv_datacenter_siting.year import BrokenHour
from studies.shared.task import TaskResult
from studies.shared.typed_rows import gather_as

# PV buses that are built and the bus of every site, by name.
NamedPlacement = tuple[tuple[str, ...], tuple[str, ...]]


@dataclass(frozen=True)
class CorrectionRequest:
    """A task of proposing `n_plans` plans, numbered from `first_number` on, in a `turn` (1: nothing was refused yet).

    `start` is the stored plan to begin at ("": none), on whose days the program is made.
    """

    turn: int = 1
    first_number: int = 1
    n_plans: int = 1
    start: str = ""
    excluded: tuple[NamedPlacement, ...] = ()
    narrowed: tuple[Narrowing, ...] = ()

    def content(self) -> dict[str, Any]:
        """As the content of a task."""
        return asdict(self)

    @staticmethod
    def of_content(content: Mapping[str, Any]) -> CorrectionRequest:
        """The request of a task's content, which has been JSON since."""
        fields = {name: content[name] for name in ("turn", "first_number", "n_plans", "start")}
        excluded = tuple((tuple(pv), tuple(sites)) for pv, sites in content["excluded"])
        return CorrectionRequest(
            **fields, excluded=excluded, narrowed=tuple(Narrowing(**one) for one in content["narrowed"])
        )


@dataclass(frozen=True)
class Corrections:
    """All corrections so far; `none_left` if the program itself has no plan any more."""

    excluded: tuple[NamedPlacement, ...]
    narrowed: tuple[Narrowing, ...]
    none_left: bool


def corrections_of(results: Sequence[TaskResult], plans: Sequence[JudgedPlan], limits: Limits) -> Corrections:
    """What the plans proposed so far, in their order, ask of the next one; `limits` are those they were judged by."""
    sizes, hours = gather_as(results, "sizes", BuiltSizeRow), gather_as(results, "year_hours", BrokenHour)
    excluded: list[NamedPlacement] = []
    narrowed: dict[NamedPlacement, tuple[Narrowing, ...]] = {}
    none_left = False
    for plan in plans:
        placement = _placement([size for size in sizes if size.plan == plan.row.plan])
        infeasible = plan.row.status == SolveStatus.INFEASIBLE.value
        if plan.held:
            excluded.append(placement)
        elif infeasible and narrowed:
            # It is the narrowing that cannot be kept: where it came from is left out instead.
            excluded += narrowed
            narrowed = {}
        elif infeasible:
            none_left = True
        elif placement not in narrowed and (
            correction := _narrowing_of(plan, [hour for hour in hours if hour.plan == plan.row.plan], limits)
        ):
            narrowed[placement] = correction
        else:
            narrowed.pop(placement, None)
            excluded.append(placement)
    every = tuple(one for of_placement in narrowed.values() for one in of_placement)
    return Corrections(tuple(dict.fromkeys(excluded)), every, none_left)


def _placement(sizes: Sequence[BuiltSizeRow]) -> NamedPlacement:
    return (
        tuple(size.bus for size in sizes if size.kind == "PV"),
        tuple(size.bus for size in sizes if size.kind == "datacenter"),
    )


def _narrowing_of(plan: JudgedPlan, hours: Sequence[BrokenHour], limits: Limits) -> tuple[Narrowing, ...]:
    """Limits to narrow, by as much as they were broken over the year and in windows; none if that mends nothing."""
    if any(refusal.cause is not Cause.LIMIT or refusal.judged == DAYS for refusal in plan.refusals):
        return ()
    most: dict[tuple[str, int, int], float] = {}
    for hour in hours:
        if hour.over_pu is not None:
            at = hour.where, hour.taps_of_day, hour.hour * STEPS_AN_HOUR
            most[at] = max(most.get(at, 0.0), hour.over_pu)
    for window in plan.windows:
        for summary, verdict in window.deciding:
            if not all(_is_of_a_row(check.criterion) for check in verdict.broken):
                return ()
            for row, over in _outside(summary, limits).items():
                at = row, window.row.day, window.row.first % STEPS_A_DAY
                most[at] = max(most.get(at, 0.0), over)
    return tuple(
        Narrowing(row, day, first, STEPS_AN_HOUR, over + TIGHTEN_PU) for (row, day, first), over in most.items()
    )


def _is_of_a_row(criterion: Criterion) -> bool:
    """Is a criterion about a voltage or a loading, of which the program has rows?"""
    return criterion.is_voltage or criterion.is_thermal


def _outside(record: Summary, limits: Limits) -> dict[str, float]:
    """How far (pu) nodes and branches of a record were outside the limits at their worst."""
    over = np.maximum(limits.voltage_min_pu - record.lowest_pu, record.highest_pu - limits.voltage_max_pu)
    found = dict(zip(record.node_names, over.tolist(), strict=True))
    loading = np.full(len(record.branches), -np.inf)
    if limits.loading_max_pu is not None:
        loading = np.maximum(loading, record.loading_pu - limits.loading_max_pu)
    if limits.loading_emergency_max_pu is not None:
        with np.errstate(divide="ignore"):
            loading = np.maximum(loading, record.loading_pu - limits.loading_emergency_max_pu / record.emergency_share)
    found |= dict(zip(record.branches, loading.tolist(), strict=True))
    return {row: value for row, value in found.items() if value > 0.0}
