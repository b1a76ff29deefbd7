"""What coordination studies store and show, each a typed record with what people are shown of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from studies.shared.typed_rows import ShownAs, TypedRow

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class OfSetting(TypedRow):
    """A row of one setting of the grid and its datacenters."""

    penetration: Annotated[float, ShownAs("datacenters (share of peak)")]
    alpha: Annotated[float, ShownAs("alpha", 2)]


@dataclass(frozen=True)
class OfDraw(OfSetting):
    """A row of one draw of so many training records (or hours) in a setting."""

    q: Annotated[int, ShownAs("records")]
    draw: Annotated[int, ShownAs("draw", secondary=True)]

    @property
    def of_draw(self) -> tuple[float, float, int, int]:
        """Setting, records and draw."""
        return self.penetration, self.alpha, self.q, self.draw


@dataclass(frozen=True)
class TrainedPolicyRow(OfDraw):
    """A trained policy, as JSON."""

    eps: float
    json: str


@dataclass(frozen=True)
class LostRow(OfDraw):
    """A record (by its date), or a training with a bound `eps`, that has no answer, and why."""

    reason: str
    date: str = ""
    eps: float | None = None


@dataclass(frozen=True)
class NoteRow(TypedRow):
    """A sentence on the network that was read."""

    note: str


@dataclass(frozen=True)
class MarketNoteRow(TypedRow):
    """What was done with a reading of the market's files."""

    hour_begins: Annotated[str, ShownAs("hour that begins")]
    series: Annotated[str, ShownAs("series")]
    kind: Annotated[str, ShownAs("what is not as it should be")]
    done: Annotated[str, ShownAs("what became of it")]


# --- peak hours


@dataclass(frozen=True)
class Judged(TypedRow):
    """A policy over records that it was not trained on: means, what was refused or shed, and how it was trained.

    Figures of a training that is not `certified` are None: it is not to be used. `saving_low` and `saving_high` are a
    95 % interval over records. The cost of an MWh that is not served is a price that was set, not one that is paid:
    its share of the cost is told beside it. `lacking_mw` is how much of it generators lack, wherever it is drawn;
    `base_latency` (MW times hops) is what alpha allows more of.
    """

    policy: str
    cost: float | None
    saving_share: float | None
    saving_low: float | None
    saving_high: float | None
    refused_share: float | None
    shed_share: float | None
    n_test: int
    shed_mw: float | None
    shed_records: int
    shed_cost_share: float | None
    shed_usd_per_mwh: float | None
    n_limited_lines: int
    lacking_mw: float | None = None
    base_latency: float | None = None
    sheds_more_share: float | None = None
    certified: bool | None = None
    gap: float | None = None
    residual: float | None = None
    training_s: float | None = None
    training_cost: float | None = None
    solver: str | None = None


@dataclass(frozen=True)
class SavingRow(Judged, OfDraw):
    """A judged policy of a draw; `tie` counts further optima of one training."""

    eps: float | None = None
    tie: int | None = None
    latency_margin: float | None = None
    margin_enough: bool | None = None


@dataclass(frozen=True)
class MeanSavingRow(OfSetting):
    """Savings of a policy over draws, in percent; not stored."""

    q: Annotated[int, ShownAs("records")]
    eps: Annotated[float | None, ShownAs("eps", 3)]
    policy: Annotated[str, ShownAs("policy")]
    cost_usd: Annotated[float | None, ShownAs("mean cost ($)", 0)]
    saving_pct: Annotated[float, ShownAs("saving (%)", 2)]
    saving_low_pct: Annotated[float, ShownAs("lowest (%)", 2)]
    saving_high_pct: Annotated[float, ShownAs("highest (%)", 2)]
    captured_pct: Annotated[float | None, ShownAs("of the ideal (%)", 1)]
    refused_pct: Annotated[float | None, ShownAs("refused by datacenters (%)", 1)]
    shed_pct: Annotated[float | None, ShownAs("rejected by the grid (%)", 1, secondary=True)] = None
    sheds_more_pct: Annotated[float | None, ShownAs("would shed more than without (%)", 1, secondary=True)] = None
    shed_mw: Annotated[float | None, ShownAs("load shed (MW, mean)", 3)] = None
    shed_records: Annotated[float | None, ShownAs("records that shed")] = None
    shed_cost_pct: Annotated[float | None, ShownAs("of the cost (%)", 1)] = None
    latency_margin: Annotated[float | None, ShownAs("latency margin", 2, secondary=True)] = None
    margin_enough: Annotated[bool, ShownAs("enough margin for the refusals asked", secondary=True)] = True
    training_s: Annotated[float | None, ShownAs("training (s)", 1, secondary=True)] = None
    residual: Annotated[float | None, ShownAs("certificate", 9, secondary=True)] = None
    n_draws: Annotated[int, ShownAs("draws", secondary=True)] = 1
    n_optima: Annotated[int, ShownAs("trainings and equal optima", secondary=True)] = 1
    record_low_pct: Annotated[float | None, ShownAs("saving over records, 2.5 % (%)", 2, secondary=True)] = None
    record_high_pct: Annotated[float | None, ShownAs("97.5 % (%)", 2, secondary=True)] = None
    shed_usd_per_mwh: float | None = None
    n_test: int = 0
    n_limited_lines: int = 0
    lacking_mw: float | None = None
    base_latency: float | None = None


@dataclass(frozen=True)
class FeatureRow(OfDraw):
    """Features that a contextual policy uses."""

    eps: Annotated[float, ShownAs("eps", 3)]
    n_used: Annotated[int, ShownAs("features used")]
    used: Annotated[str, ShownAs("which")]
    norm: Annotated[float, ShownAs("|beta|_1", 3, secondary=True)]


@dataclass(frozen=True)
class MovedToDatacenter(TypedRow):
    """Work that is moved to a datacenter, mean over the records or hours that it is looked at in."""

    datacenter: Annotated[str, ShownAs("datacenter")]
    base_mw: Annotated[float, ShownAs("load without coordination (MW)", 1)]
    shift_mw: Annotated[float, ShownAs("moved to it, mean (MW)", 1)]
    shift_pct: Annotated[float | None, ShownAs("of its load (%)", 1)]
    least_mw: Annotated[float, ShownAs("least (MW)", 1)]
    most_mw: Annotated[float, ShownAs("most (MW)", 1)]


@dataclass(frozen=True)
class MovedAlongLink(TypedRow):
    """Work that is moved between two datacenters, mean over the same records or hours."""

    origin: Annotated[str, ShownAs("from")]
    to: Annotated[str, ShownAs("to")]
    mean_mw: Annotated[float, ShownAs("moved, mean (MW)", 1)]
    distance: Annotated[float, ShownAs("latency between them", 2)]


@dataclass(frozen=True)
class OfWay(OfDraw):
    """A row of one way of operation."""

    policy: Annotated[str, ShownAs("coordination")]


@dataclass(frozen=True)
class ShiftRow(MovedToDatacenter, OfWay):
    """What a way of operation moves to a datacenter."""


@dataclass(frozen=True)
class ShiftLinkRow(MovedAlongLink, OfWay):
    """What it moves between two datacenters."""


@dataclass(frozen=True)
class AcRow(OfDraw):
    """AC power flows of records under a way of operation; figures are None where they are not known."""

    policy: Annotated[str, ShownAs("coordination")]
    n_records: Annotated[int, ShownAs("records checked")]
    broken: Annotated[int, ShownAs("break a limit")]
    worse: Annotated[int, ShownAs("more than without coordination")]
    voltage: Annotated[int, ShownAs("voltage")]
    loading: Annotated[int | None, ShownAs("branch loading")]
    losses: Annotated[int, ShownAs("power for losses")]
    unsolved: Annotated[int, ShownAs("no power flow")]
    loading_max: Annotated[float | None, ShownAs("highest loading", 3)]
    outside_max_pu: Annotated[float | None, ShownAs("worst voltage, outside by (pu)", 4)]
    loss_mw: Annotated[float | None, ShownAs("mean losses (MW)", 1)]
    saving_share: Annotated[float | None, ShownAs("saving (share)", 4)]
    saving_checked_share: Annotated[float | None, ShownAs("saving if those stay uncoordinated (share)", 4)]
    n_undispatched: Annotated[int, ShownAs("records without a dispatch", secondary=True)]
    unrated_branches: Annotated[int, ShownAs("branches without a rating, not checked", secondary=True)]
    n_branches: int
    loadings: tuple[float, ...]
    angle: Annotated[int | None, ShownAs("angle across a branch")] = None


@dataclass(frozen=True)
class AcRecordRow(OfDraw):
    """A record that coordination breaks, or breaks further."""

    date: Annotated[str, ShownAs("day")]
    policy: Annotated[str, ShownAs("coordination")]
    breaks: Annotated[str, ShownAs("breaks")]
    loading_max: Annotated[float | None, ShownAs("highest loading", 3)]
    outside_pu: Annotated[float | None, ShownAs("voltage outside by (pu)", 4)]


@dataclass(frozen=True)
class OutagesRow(OfDraw):
    """AC power flows after the outage of every branch, one at a time, under a way of operation."""

    policy: Annotated[str, ShownAs("coordination")]
    n_records: Annotated[int, ShownAs("records checked")]
    n_outages: Annotated[int, ShownAs("outages of a branch in each")]
    secure: Annotated[int | None, ShownAs("records that stand them all")]
    broken: Annotated[int, ShownAs("outages that break a limit")]
    worse: Annotated[int, ShownAs("more than without coordination")]
    worse_records: Annotated[int, ShownAs("in records")]
    unsolved: Annotated[int, ShownAs("no power flow")]
    loading_max: Annotated[float | None, ShownAs("highest loading (of the emergency rating)", 3)]
    n_splitting: Annotated[int, ShownAs("branches whose outage splits the network, not assessed")]
    n_left_out: Annotated[int, ShownAs("records without an intact power flow, left out", secondary=True)]


@dataclass(frozen=True)
class OutageRow(OfDraw):
    """A branch whose outage breaks a limit in some records."""

    policy: Annotated[str, ShownAs("coordination")]
    outage: Annotated[str, ShownAs("branch")]
    broken: Annotated[int, ShownAs("records in which its outage breaks a limit")]
    worse: Annotated[int, ShownAs("more than without coordination")]
    breaks: Annotated[str, ShownAs("breaks")]
    loading_max: Annotated[float | None, ShownAs("highest loading", 3)]


# --- closed loop


@dataclass(frozen=True, eq=False)
class BoundRow(OfSetting):
    """The hours of a run without coordination and ideally coordinated: costs (hour,) in $, means of loads and flows."""

    hours: Annotated[int, ShownAs("hours")]
    first_date: str
    base_cost: Floats
    ideal_cost: Floats
    base_shed_hours: Annotated[int, ShownAs("hours with load shed")]
    unsolved_hours: int
    base_flow_mw: Floats
    base_theta_mw: Floats
    ideal_theta_mw: Floats
    dates: tuple[str, ...]

    @property
    def base_mean_usd_per_h(self) -> Annotated[float, ShownAs("cost without coordination ($/h)", 0)]:
        """Mean cost of an hour."""
        return float(self.base_cost.mean())

    @property
    def ideal_mean_usd_per_h(self) -> Annotated[float, ShownAs("ideal ($/h)", 0)]:
        """Mean cost of an hour, ideally coordinated."""
        return float(self.ideal_cost.mean())

    @property
    def ideal_saving_pct(self) -> Annotated[float, ShownAs("ideal saving (%)", 2)]:
        """What ideal coordination saves."""
        return 100.0 * (1.0 - float(self.ideal_cost.sum() / self.base_cost.sum()))

    def ideal_everywhere(self) -> BoundRow:
        """The row with the cost without coordination in hours that have no ideal one."""
        return replace(self, ideal_cost=np.where(np.isfinite(self.ideal_cost), self.ideal_cost, self.base_cost))


@dataclass(frozen=True, eq=False)
class LoopRow(OfDraw):
    """A policy in closed loop: cost (hour,) in $, means of loads and flows, and hours in which something was held."""

    eps: Annotated[float, ShownAs("eps", 1)]
    cost: Floats
    theta_mw: Floats
    flow_mw: Floats
    outside_hours: Annotated[int, ShownAs("hours held back")]
    rejected_hours: Annotated[int, ShownAs("hours rejected by the grid")]
    shed_hours: Annotated[int, ShownAs("hours with load shed", secondary=True)]
    waiting_hours: Annotated[int, ShownAs("hours without figures", secondary=True)]
    latency_excess_mw: Annotated[float, ShownAs("latency excess (MW)", 4, secondary=True)]
    training_s: Annotated[float, ShownAs("training (s)", 1, secondary=True)]
    residual: Annotated[float, ShownAs("certificate", 9, secondary=True)]


# --- day ahead


@dataclass(frozen=True)
class CommittedDayRow(TypedRow):
    """A day committed without flexibility (alpha None) or with it; figures are None where no plan was found."""

    date: Annotated[str, ShownAs("day")]
    penetration: Annotated[float, ShownAs("datacenters (share of peak)", secondary=True)]
    alpha: Annotated[float | None, ShownAs("alpha", 2)]
    cost: Annotated[float | None, ShownAs("cost ($)", 0)] = None
    startup_cost: Annotated[float | None, ShownAs("start-ups ($)", 0)] = None
    charge: Annotated[float | None, ShownAs("datacenters' charge ($)", 0)] = None
    shed_mwh: Annotated[float | None, ShownAs("load shed (MWh)", 1)] = None
    bound: float | None = None
    gap: Annotated[float | None, ShownAs("gap", 5)] = None
    seconds: Annotated[float | None, ShownAs("time (s)", 1)] = None
    status: Annotated[str | None, ShownAs("solver", secondary=True)] = None
    reason: Annotated[str, ShownAs("failure", secondary=True)] = ""
    no_load_cost: Annotated[float | None, ShownAs("no-load ($)", 0)] = None
    relaxed_cost: Annotated[float | None, ShownAs("cost if units were on in part ($)", 0, secondary=True)] = None


@dataclass(frozen=True, eq=False)
class LoadRow(TypedRow):
    """Loads of the datacenters (datacenter,) in MW in an hour of a day, and what that hour costs ($)."""

    penetration: float
    date: str
    alpha: float | None
    hour: int
    theta_mw: Floats
    cost: float | None = None


@dataclass(frozen=True)
class DayShiftRow(MovedToDatacenter, OfSetting):
    """What flexibility moves to a datacenter in the flexible hours of all days; not stored."""


@dataclass(frozen=True)
class DayShiftLinkRow(MovedAlongLink, OfSetting):
    """What it moves between two datacenters; not stored."""


@dataclass(frozen=True)
class MeanDayRow(TypedRow):
    """Means over days; not stored."""

    penetration: Annotated[float, ShownAs("datacenters (share of peak)")]
    case: Annotated[str, ShownAs("flexibility")]
    n_days: Annotated[int, ShownAs("days")]
    cost_usd: Annotated[float, ShownAs("cost ($/day)", 0)]
    saving_usd: Annotated[float, ShownAs("saving ($/day)", 0)]
    saving_low_usd: Annotated[float | None, ShownAs("2.5 %", 0)]
    saving_high_usd: Annotated[float | None, ShownAs("97.5 %", 0)]
    charge_usd: Annotated[float, ShownAs("datacenters' charge ($/day)", 0)]
    charge_change_pct: Annotated[float, ShownAs("change (%)", 1)]
    time_median_s: Annotated[float, ShownAs("median time (s)", 1)]
    time_max_s: Annotated[float, ShownAs("longest (s)", 1, secondary=True)]
    gap_max: Annotated[float, ShownAs("largest gap", 5, secondary=True)]
    relaxed_saving_usd: Annotated[float | None, ShownAs("saving if units were on in part ($/day)", 0)] = None
    saving_least_usd: Annotated[float | None, ShownAs("least saving within the gap ($/day)", 0, secondary=True)] = None
    saving_most_usd: Annotated[float | None, ShownAs("most ($/day)", 0, secondary=True)] = None
