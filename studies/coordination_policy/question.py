"""The question of a coordination study, and what can be wrong with it."""

from __future__ import annotations

from typing import ClassVar, Literal

from g2g_opt.errors import InputError
from g2g_opt.quantities import (
    BusNumber,
    CoefficientSum,
    Count,
    DrawCount,
    FewFromZero,
    InnerShare,
    LatencyLoss,
    Seed,
    ShareAboveZero,
    ShareBelowOne,
    WorkTimeS,
)
from g2g_opt.transmission.series import checked_dates
from g2g_opt.transmission.system import Settings, load_peak_records
from g2g_opt.transmission.zonal_grid import ShedRule
from studies.shared.question_model import question_model

Kind = Literal["peak-hour", "closed-loop", "day-ahead"]
# What a shift becomes that the datacenters do not accept whole: none of it, the largest share, the nearest accepted.
ResponseKind = Literal["reject", "shrink", "project"]
# What a policy reads: the published study's 45 figures, loads and renewables alone, or loads as yesterday lets expect
# them with bends in their sum. In closed loop all are measured an hour before at the latest.
FeatureSet = Literal["published", "loads", "expected"]

# Parts of the training records in a cross-validation, each held out once.
FOLDS = 5

EPS_SWEEP = (0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 100.0, 1000.0)


@question_model
class CoordinationQuestion:
    """Settings of the grid and its datacenters, what is trained on what, and how the policy acts.

    `penetrations` are shares of the peak load, `alphas` allowed latency losses (0.25 is a quarter more), `eps` bounds
    on |beta|_1 (None: by cross-validation), per standard deviation of a feature if `scaled`, without constant moves if
    `free_intercept`; `q` training records; every combination is studied, for `n_draws` draws of records. `n_ties`
    further optima of the training show what ties are worth. `latency_margin` holds back a share of the latency loss in
    training; with `refused_max`, the least share is held back with which so few shifts of held-out training records are
    refused. The first draw is `numpy.random.default_rng(seed)`'s, as recorded results have it.

    `network` is a transmission network as a case file, with datacenters at `datacenter_buses` (its largest loads if
    there are none), whose dispatch loads branches to `rating_share` of their ratings: the peak-hour study then checks
    dispatches by AC power flows.
    """

    study: ClassVar[str] = "coordination"
    feeder: ClassVar[str] = ""

    kind: Kind = "peak-hour"
    settings: Settings = "physical"
    penetrations: tuple[ShareAboveZero, ...] = (0.2,)
    alphas: tuple[LatencyLoss, ...] = (0.25,)
    eps: tuple[CoefficientSum, ...] | None = (10.0,)
    q: tuple[Count, ...] = (250,)
    n_draws: DrawCount = 1
    n_ties: FewFromZero = 0
    features: FeatureSet = "published"
    scaled: bool = False
    free_intercept: bool = False
    response: ResponseKind = "reject"
    shed_rule: ShedRule = "sheds nothing"
    latency_margin: ShareBelowOne = 0.0
    refused_max: ShareBelowOne | None = None
    first_date: str = "2019-01-01"
    last_date: str = "2019-06-30"
    n_days: Count = 20
    mip_gap: InnerShare = 1e-3
    time_limit_s: WorkTimeS = 120.0
    market_files: str = ""
    network: str = ""
    datacenter_buses: tuple[BusNumber, ...] = ()
    rating_share: ShareAboveZero = 0.7
    seed: Seed = 256

    def check_figures(self) -> None:
        """Raise `InputError` for figures that no study can have."""
        for name, values in (("penetrations", self.penetrations), ("alphas", self.alphas), ("q", self.q)):
            if not values:
                raise InputError(f"{name} is empty; give at least one value")
            if len(set(values)) < len(values):
                raise InputError(f"{name} has a value twice: {list(values)}")
        checked_dates(self.first_date, self.last_date)
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
        if self.network and (self.kind != "peak-hour" or self.settings != "physical"):
            raise InputError("a network is studied at peak hours, with physical settings")
        if self.datacenter_buses and not self.network:
            raise InputError("datacenters' buses are those of a network; give --network")
        if len(set(self.datacenter_buses)) < len(self.datacenter_buses):
            raise InputError(f"a datacenter's bus is named twice: {list(self.datacenter_buses)}")
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

    def eps_of(self) -> tuple[float, ...]:
        """Bounds to train with; the candidates of a cross-validation if none are given."""
        return self.eps if self.eps is not None else EPS_SWEEP
