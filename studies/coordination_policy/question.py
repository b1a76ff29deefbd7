"""The question of a coordination study, and what can be wrong with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from g2g_opt.errors import InputError
from g2g_opt.flag import Flag
from g2g_opt.quantities import (
    BusNumber,
    CoefficientSum,
    Count,
    DrawCount,
    FewFromZero,
    InnerShare,
    LatencyLoss,
    ShareAboveZero,
    ShareBelowOne,
    WorkTimeS,
)
from g2g_opt.transmission.network_case import BUNDLED_CASE
from g2g_opt.transmission.series import checked_dates
from g2g_opt.transmission.system import Settings, load_peak_records
from g2g_opt.transmission.zonal_grid import ShedRule
from studies.shared.asked_channels import no_channels
from studies.shared.question_fields import StudySeed
from studies.shared.question_model import NotHere, check_no_effect, question_model
from studies.shared.stated_solver import MATRICES, SolverName, pyomo_solver

Kind = Literal["peak-hour", "closed-loop", "day-ahead"]
# What a shift becomes that the datacenters do not accept whole: none of it, the largest share, the nearest accepted.
ResponseKind = Literal["reject", "shrink", "project"]
# What a policy reads: the published study's 45 figures, loads and renewables alone, or loads as yesterday lets expect
# them with bends in their sum. In closed loop all are measured an hour before at the latest.
FeatureSet = Literal["published", "loads", "expected"]

# Parts of the training records in a cross-validation, each held out once.
FOLDS = 5

# Further optima of a training: with the one that moves least, enough to see that it is not the only one.
_TIES = 2

EPS_SWEEP = (0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 100.0, 1000.0)


DESCRIPTION = (
    "What shifting tasks between datacenters saves a grid operator, on the 11 zones of New York: with ideal "
    "coordination, and with regression policies that read public figures only. A policy is trained on dispatch itself, "
    "as one convex program with a certificate, and judged on records or hours it was not trained on."
)
EPILOG = (
    "Several values are separated by commas. Examples: g2g coordination --settings published --penetration 0.1,0.2 "
    "--alpha 0.25,1,2; g2g coordination --q 50,100,150,200,250 --draws 20; g2g coordination --eps "
    f"{','.join(f'{eps:g}' for eps in EPS_SWEEP)}; g2g coordination --kind closed-loop --features expected --response "
    "shrink --eps 10000 --q 500; g2g coordination --kind day-ahead --alpha 0,0.25,1"
)
_TRAINING, _OPERATION, _NETWORK = "training", "in operation", "on another network, with an AC check"
_DAY_AHEAD = "day-ahead"

# Fields of some kinds of studies, with these.
_OF_KINDS: Mapping[str, tuple[Kind, ...]] = {
    **dict.fromkeys(("n_days", "mip_gap", "time_limit_s"), ("day-ahead",)),
    **dict.fromkeys(("first_date", "last_date"), ("closed-loop", "day-ahead")),
    **dict.fromkeys(
        ("q", "n_draws", "eps", "scaled", "free_intercept", "latency_margin", "response", "shed_rule"),
        ("peak-hour", "closed-loop"),
    ),
}


@question_model
class CoordinationQuestion:
    """Settings of the grid and its datacenters, what is trained on what, and how the policy acts.

    Every combination of `penetrations`, `alphas`, `eps` and `q` is studied, for `n_draws` draws of records. `n_ties`
    further optima of the training show what ties are worth (None: two at peak hours). The first draw is
    `numpy.random.default_rng(seed)`'s, as recorded results have it.

    `redispatch_max` (r-bar) is how far dispatch with coordination may be from the schedule without it, which it was
    planned by: at 1, the published setting, nothing is held back.

    `network` is a transmission network as a case file, whose dispatch loads branches to `rating_share` of their
    ratings: the peak-hour study then checks dispatches by AC power flows, those of `n_1` records also after the outage
    of every branch.
    """

    study: ClassVar[str] = "coordination"
    feeder: ClassVar[str] = ""
    not_here: ClassVar[Mapping[str, NotHere]] = no_channels(
        "no voltage controller acts here, and tasks are shifted by the hour: seconds of delay and single lost messages "
        "do not reach that; g2g communication has controllers that act every second"
    )

    kind: Annotated[Kind, Flag("--kind", "which study")] = "peak-hour"
    settings: Annotated[
        Settings,
        Flag("--settings", "published repeats the published study: line weights, renewables, no no-load costs"),
    ] = "physical"
    penetrations: Annotated[
        tuple[ShareAboveZero, ...], Flag("--penetration", "datacenters, shares of the peak load")
    ] = (0.2,)
    alphas: Annotated[
        tuple[LatencyLoss, ...], Flag("--alpha", "allowed latency losses, 0.25 is a quarter more", metavar="A")
    ] = (0.25,)
    eps: Annotated[
        tuple[CoefficientSum, ...] | None,
        Flag(
            "--eps",
            "bound on |beta|_1, or chosen by cross-validation on training records",
            metavar="E|choose",
            group=_TRAINING,
            none=("choose",),
        ),
    ] = (10.0,)
    q: Annotated[tuple[Count, ...], Flag("--q", "training records or hours", group=_TRAINING)] = (250,)
    n_draws: Annotated[DrawCount, Flag("--draws", "draws of records", group=_TRAINING)] = 1
    n_ties: Annotated[
        FewFromZero | None,
        Flag("--ties", "further optima of every training to judge", group=_TRAINING, unset="2 at peak hours"),
    ] = None
    features: Annotated[FeatureSet, Flag("--features", "what is read", group=_TRAINING)] = "published"
    scaled: Annotated[
        bool, Flag("--scaled", "count |beta|_1 per standard deviation of a feature, not per unit", group=_TRAINING)
    ] = False
    free_intercept: Annotated[
        bool, Flag("--free-intercept", "leave constant moves (MW) out of |beta|_1", group=_TRAINING)
    ] = False
    statement: Annotated[
        Literal["matrices", "cvxpy"],
        Flag(
            "--statement",
            "what is trained from: matrices of our own, or the program as it is stated (docs/statements.md)",
            group=_TRAINING,
        ),
    ] = "matrices"
    baselines: Annotated[
        tuple[str, ...],
        Flag(
            "--baseline",
            "a regressor of scikit-learn that learns the ideal shifts, with numbers as parameters: Ridge(alpha=10)",
            metavar="NAME(A=1)",
            group=_TRAINING,
            unset="none",
        ),
    ] = ()
    response: Annotated[
        ResponseKind, Flag("--response", "what a shift becomes that the datacenters do not accept", group=_OPERATION)
    ] = "reject"
    shed_rule: Annotated[ShedRule, Flag("--shed-rule", "when the grid rejects a shift", group=_OPERATION)] = (
        "sheds nothing"
    )
    redispatch_max: Annotated[
        ShareAboveZero | None,
        Flag(
            "--redispatch-max",
            "how far coordination may move a unit from its schedule without it, as a share of its capacity",
            metavar="SHARE",
            group=_OPERATION,
            unset="as far as it can go",
        ),
    ] = None
    latency_margin: Annotated[
        ShareBelowOne, Flag("--latency-margin", "share of the latency loss held back in training", group=_TRAINING)
    ] = 0.0
    refused_max: Annotated[
        ShareBelowOne | None,
        Flag(
            "--refused-max",
            "fit that margin: the least with which at most this share of held-out shifts is refused",
            group=_TRAINING,
            unset="not fitted",
        ),
    ] = None
    first_date: Annotated[
        str, Flag("--first", "first day of a closed loop or day-ahead study", metavar="DATE", group=_OPERATION)
    ] = "2019-01-01"
    last_date: Annotated[str, Flag("--last", "last day of it", metavar="DATE", group=_OPERATION)] = "2019-06-30"
    n_days: Annotated[Count, Flag("--days", "days, evenly spread", group=_DAY_AHEAD)] = 20
    mip_gap: Annotated[
        InnerShare, Flag("--gap", "asked of the solver, of the cost", metavar="SHARE", group=_DAY_AHEAD)
    ] = 1e-3
    time_limit_s: Annotated[WorkTimeS, Flag("--time-limit-s", "per program", group=_DAY_AHEAD)] = 120.0
    solver: SolverName = MATRICES
    market_files: Annotated[
        str,
        Flag(
            "--market-files",
            "the market operator's CSV files",
            metavar="FOLDER",
            group=_OPERATION,
            unset="the bundled year",
        ),
    ] = ""
    network: Annotated[
        str,
        Flag(
            "--network",
            f"MATPOWER-style case (.m), or {BUNDLED_CASE}",
            metavar="CASE",
            group=_NETWORK,
            unset="New York's",
        ),
    ] = ""
    datacenter_buses: Annotated[
        tuple[BusNumber, ...],
        Flag("--datacenters", "their buses", metavar="BUS", group=_NETWORK, unset="the five largest loads"),
    ] = ()
    rating_share: Annotated[
        ShareAboveZero, Flag("--rating-share", "share of branch ratings that dispatch may use", group=_NETWORK)
    ] = 0.7
    n_1: Annotated[
        Count | None,
        Flag(
            "--n-1",
            "records on which the outage of every branch is checked, one at a time",
            metavar="RECORDS",
            group=_NETWORK,
            unset="none",
        ),
    ] = None
    seed: StudySeed = 256

    def check_figures(self) -> None:
        """Raise `InputError` for figures that no study can have."""
        for name, values in (("penetrations", self.penetrations), ("alphas", self.alphas), ("q", self.q)):
            if not values:
                raise InputError(f"{name} is empty; give at least one value")
            if len(set(values)) < len(values):
                raise InputError(f"{name} has a value twice: {list(values)}")
        checked_dates(self.first_date, self.last_date)
        check_no_effect(
            self,
            (name for name, kinds in _OF_KINDS.items() if self.kind not in kinds),
            f"in a {self.kind} study (--kind)",
        )
        if self.eps is not None and not self.eps:
            raise InputError("eps is empty; give at least one value, or None for a cross-validation")
        if self.refused_max is not None and self.kind != "peak-hour":
            raise InputError("the latency margin is fitted in peak-hour studies; give --latency-margin elsewhere")
        if self.eps is None and self.kind == "closed-loop":
            raise InputError("eps is chosen by cross-validation in peak-hour studies; give one here")
        if self.n_ties and self.kind != "peak-hour":
            raise InputError("ties are trained in peak-hour studies only")
        if self.kind == "closed-loop" and min(self.q) < 2:
            raise InputError(f"q must be at least 2 hours, got {list(self.q)}")
        if self.redispatch_max is not None and (self.kind != "peak-hour" or self.statement != "matrices"):
            raise InputError(
                "redispatch_max limits peak hours (--kind peak-hour) in trainings from matrices (--statement matrices)"
            )
        if self.network and (self.kind != "peak-hour" or self.settings != "physical"):
            raise InputError("a network is studied at peak hours, with physical settings")
        if self.datacenter_buses and not self.network:
            raise InputError("datacenters' buses are those of a network; give --network")
        if self.n_1 is not None and not self.network:
            raise InputError("outages (--n-1) are those of a network's branches; give --network")
        if len(set(self.datacenter_buses)) < len(self.datacenter_buses):
            raise InputError(f"a datacenter's bus is named twice: {list(self.datacenter_buses)}")
        if pyomo_solver(self.solver) is not None and self.kind != "day-ahead":
            raise InputError("a solver is chosen for the unit commitment of day-ahead studies; give --kind day-ahead")
        if self.statement != "matrices" and self.kind == "day-ahead":
            raise InputError("a day-ahead study trains nothing; give --solver pyomo:NAME for another solver")
        if self.baselines and self.kind != "peak-hour":
            raise InputError("baselines learn the ideal shifts of peak hours; give --kind peak-hour")
        if len(set(self.baselines)) < len(self.baselines):
            raise InputError(f"a baseline is named twice: {list(self.baselines)}")
        if self.kind == "peak-hour":
            n_records = len(load_peak_records(self.settings).dates)
            # Some records must be left to test with.
            if bad_q := [q for q in self.q if not 2 <= q < n_records]:
                raise InputError(f"q must be at least 2 and below the {n_records} records there are, got {bad_q}")
            if (self.eps is None or self.refused_max is not None) and min(self.q) < FOLDS:
                raise InputError(f"cross-validation divides q records in {FOLDS} parts, got q {list(self.q)}")
            if self.market_files:
                raise InputError("the peak-hour study has records of its own and reads no market files")
            if self.features != "published":
                raise InputError("the peak-hour study has no hours before its own: its features are 'published'")

    def ties_of(self) -> int:
        """Further optima of every training that are judged."""
        return (_TIES if self.kind == "peak-hour" else 0) if self.n_ties is None else self.n_ties

    def eps_of(self) -> tuple[float, ...]:
        """Bounds to train with; the candidates of a cross-validation if none are given."""
        return self.eps if self.eps is not None else EPS_SWEEP
