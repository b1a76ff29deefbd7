"""What a trip of a plant or a site of a plan does to voltages, before any regulator has moved.

Looked at in the hours of the year in which it may do most: those of most sun and of least, those in which storage
gives, and those in which the highest and the lowest voltages of the plan's year stand. Regulators stand where the year
left them; capacitor banks stand as the circuit has them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from g2g_opt.metrics.rapid_voltage_change import change_pu
from solvers.siting.problem import SitingPlan
from studies.pv_datacenter_siting.operated_year import OperatedYear, YearRows
from studies.pv_datacenter_siting.question import SitingQuestion
from studies.pv_datacenter_siting.year_network import at_hours, over_hours
from studies.shared.typed_rows import ShownAs, TypedRow

# Hours of each kind.
_HOURS = 12


@dataclass(frozen=True)
class TripRow(TypedRow):
    """The largest voltage change (pu) at a trip of what a plan builds, with regulators standing still.

    `kw` is what it gave (negative: drew) before, `lowest_pu` and `highest_pu` are of all judged voltages just after the
    trips that were looked at. None where a trip leaves no solution.
    """

    plan: Annotated[str, ShownAs("plan")]
    what: Annotated[str, ShownAs("trip of")]
    kw: Annotated[float, ShownAs("injected before (kW)", 0)]
    change_pu: Annotated[float | None, ShownAs("largest voltage change (pu)", 4)]
    where: Annotated[str, ShownAs("where")]
    date: Annotated[str, ShownAs("day")]
    hour: Annotated[int, ShownAs("hour")]
    lowest_pu: Annotated[float | None, ShownAs("lowest just after (pu)", 4)]
    highest_pu: Annotated[float | None, ShownAs("highest just after (pu)", 4)]
    n_hours: Annotated[int, ShownAs("hours looked at", secondary=True)]


def trip_rows(plan: SitingPlan, year: OperatedYear, rows: YearRows, name: str) -> list[TripRow]:
    """Of each plant and site, with sites at the highest level of utilisation."""
    network, level = year.network, int(np.argmax(year.levels))
    n, nodes = len(network.sun), network.node_names()
    voltage = rows.simulated.g[: len(nodes), level * n : (level + 1) * n]
    stored = network.storage_share if plan.storage_kw.any() else None
    hours = _hardest_hours(network.sun, stored, voltage, ~year.unsolved[level].ravel())
    if not len(hours):
        return []
    looked_at = at_hours(network, hours)
    looked_at = replace(looked_at, demand=np.full_like(looked_at.demand, year.levels[level]))
    taps_pu = year.series.taps_pu[level, hours].T
    found = []
    for trip in looked_at.trips(over_hours(plan, looked_at), taps_pu):
        whole = trip.solved
        change = np.where(whole, change_pu(trip.before_pu, trip.after_pu), np.inf)
        node, at = np.unravel_index(int(change.argmax()), change.shape)
        day, hour = divmod(int(hours[at]), 24)
        after = trip.after_pu[:, whole]
        found.append(
            TripRow(
                name,
                trip.what,
                -float(trip.kw[at]),
                float(change[node, at]) if whole.all() else None,
                nodes[node] if whole.all() else "",
                year.dates[day],
                hour,
                float(after.min()) if whole.all() else None,
                float(after.max()) if whole.all() else None,
                len(hours),
            )
        )
    return found


def _hardest_hours(
    sun: NDArray[np.float64],
    stored: NDArray[np.float64] | None,
    voltage: NDArray[np.float64],
    solved: NDArray[np.bool_],
) -> NDArray[np.int64]:
    """Hours of most and least sun, of the highest and of the lowest voltages, among those with a solution; with storage
    also those in which it gives, in the sun and in the dark.
    """
    own = np.flatnonzero(solved)
    keys = [sun, -sun, voltage.max(axis=0), -voltage.min(axis=0)]
    if stored is not None:
        keys += [sun + stored, stored - sun]
    return np.unique([own[np.argsort(-key[own], kind="stable")[:_HOURS]] for key in keys])


def trip_warning(question: SitingQuestion, trips: Sequence[TripRow]) -> str:
    """That a trip of what a plan builds moves a voltage by more than a trip may; nothing if none does."""
    limit = question.limits.rapid_voltage_change_trip_max_pu
    if limit is None:
        return ""
    over = [one for one in trips if one.change_pu is None or one.change_pu > limit]
    if not over:
        return ""
    worst = max(over, key=lambda one: np.inf if one.change_pu is None else one.change_pu)
    if worst.change_pu is None:
        what = f"leaves no power flow on {worst.date} at {worst.hour}:00"
    else:
        what = f"moves {worst.where} by {100 * worst.change_pu:.1f} % on {worst.date} at {worst.hour}:00"
    return (
        f"a trip of {worst.what} {what}, before regulators move, and {100 * limit:g} % is the most that a trip may "
        f"({len(over)} of {len(trips)} trips are above it): siting judges it in the windows run on OpenDSS alone, and "
        "there of datacenters"
    )
