"""Peak hours: their dispatch without and with coordination, policies trained on some and judged on others (equation
9.5).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g2g_opt.randomness import keyed_generator
from g2g_opt.transmission.policy import ContextualPolicy
from g2g_opt.transmission.policy_controller import published_features, published_names
from g2g_opt.transmission.system import PeakRecords, load_peak_records
from g2g_opt.transmission.zonal_grid import SHED_TOLERANCE_MW
from solvers.dispatch.blocks import OutputBand
from solvers.dispatch.projection import project_shifts
from solvers.dispatch.solve import DispatchSolution
from solvers.policy_training.trained import TrainedPolicy, TrainingBegin
from solvers.quadratic.interior_point import Watch
from studies.coordination_policy.ac_check import Operated
from studies.coordination_policy.network import CaseNetwork, load_network
from studies.coordination_policy.question import CoordinationQuestion
from studies.coordination_policy.rows import FeatureRow, Judged, OfDraw
from studies.coordination_policy.setting import (
    ACCEPT_MW,
    CoordinationSetting,
    make_setting,
    published_figures,
    setting_of,
)
from studies.coordination_policy.training import train_contextual

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

# A feature is used if one standard deviation of it moves some datacenter by so much.
_USED_MW = 1.0


@dataclass(frozen=True, eq=False)
class PeakCase:
    """All records of a setting: without coordination, ideally coordinated, and the features of the former.

    `network` is the case file's, if the study is on one; `band` is how far coordination may move units from the
    former dispatch, if that is limited.
    """

    setting: CoordinationSetting
    records: PeakRecords
    base: DispatchSolution
    ideal: DispatchSolution
    features: Floats
    network: CaseNetwork | None = None
    band: OutputBand | None = None


# The draws of a setting, one after the other in a worker, share it.
@lru_cache(maxsize=1)
def make_case(question: CoordinationQuestion, penetration: float, alpha: float) -> PeakCase:
    """Dispatch of every record without coordination and with the ideal one."""
    network = load_network(question) if question.network else None
    if network is not None:
        setting = setting_of(network.system, question.settings, penetration, alpha, question.rating_share)
        records = network.records
    else:
        setting = make_setting(question.settings, penetration, alpha)
        records = load_peak_records(question.settings)
    base = setting.dispatched(records.load_mw, records.injected_mw, setting.base_mw)
    band = None
    if question.redispatch_max is not None:
        band = OutputBand.around(setting.dispatch, base.power_mw, question.redispatch_max)
    ideal = setting.ideal(records.load_mw, records.injected_mw, band)
    if ideal.network is not None:
        # Trainings begin with the rows of latency that it asked for.
        setting = replace(setting, network=ideal.network)
    features = published_figures(records.load_mw, records.injected_mw, base)
    return PeakCase(setting, records, base, ideal, features, network, band)


def judge_policy(
    question: CoordinationQuestion, case: PeakCase, test: Ints, name: str, policy: TrainedPolicy
) -> Judged:
    """Costs over the test records when the policy acts by the question's response and rule (24).

    Figures of a policy that is not certified are None: it is not to be used.
    """
    own = policy.certificate
    if policy.certified:
        found = judge_shifts(question, case, test, name, policy.shifts_mw(case.features[test]))
    else:
        nothing = judged_row(case, test, name, case.base.cost_usd, case.base.shed_mw, None, None)
        unknown: dict[str, Any] = {name: None for name, value in vars(nothing).items() if isinstance(value, float)}
        found = replace(nothing, **unknown)
    return replace(
        found,
        certified=policy.certified,
        gap=own.gap,
        residual=max(own.primal_residual, own.dual_residual),
        training_s=policy.seconds,
        solver=policy.solver,
        training_cost=policy.cost_usd,
    )


def judge_shifts(question: CoordinationQuestion, case: PeakCase, test: Ints, name: str, asked_mw: Floats) -> Judged:
    """Costs over the test records when these shifts (record, datacenter) are asked for, whoever asks."""
    limits = case.setting.network.limits
    accepted = np.asarray(limits.excess(case.setting.base_mw + asked_mw) <= ACCEPT_MW)
    operated, grid_ok, sheds_more = operate(question, case, test, asked_mw)
    cost, shed = case.base.cost_usd.copy(), case.base.shed_mw.copy()
    cost[test], shed[test] = operated.cost_usd, operated.shed_mw
    # The grid is asked for what the datacenters do: a shift that they refused whole it has not seen.
    asks = accepted if question.response == "reject" else np.ones(len(test), dtype=np.bool_)
    row = judged_row(case, test, name, cost, shed, accepted, grid_ok | ~asks)
    return replace(row, sheds_more_share=float((asks & sheds_more).mean()))


def operate(
    question: CoordinationQuestion, case: PeakCase, test: Ints, asked_mw: Floats
) -> tuple[Operated, Bools, Bools]:
    """Test records as shifts that are asked for (record, datacenter) operate them, by the response and rule (24)
    (equation 9.6).

    Also where (record,) the grid accepts, and where the shift would shed more than is shed without it.
    """
    setting = case.setting
    theta = setting.base_mw + respond(setting, question.response, asked_mw)
    band = None if case.band is None else case.band.of(test)
    found = setting.dispatched(case.records.load_mw[test], case.records.injected_mw[test], theta, band)
    shed = found.shed_mw.sum(axis=1)
    sheds_more = ~found.solved | (shed > case.base.shed_mw[test].sum(axis=1) + SHED_TOLERANCE_MW)
    sheds = ~found.solved | (shed > SHED_TOLERANCE_MW)
    grid_ok = ~(sheds_more if question.shed_rule == "sheds no more" else sheds)
    own, base = Operated.of(found, theta, np.arange(len(test))), Operated.of(case.base, setting.base_mw, test)
    return own.where(grid_ok, base), grid_ok, sheds_more


def respond(setting: CoordinationSetting, response: str, asked_mw: Floats) -> Floats:
    """What becomes of shifts (record, datacenter) (equation 9.6): as they are where accepted, else by the response."""
    base, limits = setting.base_mw, setting.network.limits
    if response == "reject":
        return np.where((limits.excess(base + asked_mw) <= ACCEPT_MW)[:, None], asked_mw, 0.0)
    if response == "shrink":
        return np.asarray(limits.shrink(base, asked_mw)[:, None] * asked_mw)
    return project_shifts(base + asked_mw, limits) - base


def policy_of(case: PeakCase, policy: TrainedPolicy, trained: dict[str, Any]) -> ContextualPolicy:
    """The policy as it is stored: it reads the hour it acts in, of the dispatch without coordination."""
    system = case.setting.system
    features = published_features(system.zones, system.line_names, 0)
    return ContextualPolicy(system.datacenters, features, policy.conserving_matrix, trained)


def fit_contextual(
    question: CoordinationQuestion,
    case: PeakCase,
    train: Ints,
    eps: float,
    latency_margin: float,
    tie_direction: Floats | None = None,
    begin: TrainingBegin | None = None,
    watch: Watch | None = None,
) -> TrainedPolicy:
    """The contextual policy of some records; `begin` is that of one with another tie direction; `watch` hears of
    steps.
    """
    return train_contextual(
        question,
        case.setting,
        case.records.load_mw[train],
        case.records.injected_mw[train],
        case.features[train],
        eps,
        latency_margin,
        tie_direction,
        begin,
        None if case.band is None else case.band.of(train),
        watch,
    )


def used_features(about: OfDraw, eps: float, case: PeakCase, train: Ints, policy: TrainedPolicy) -> FeatureRow:
    """How many and which features move some datacenter."""
    moves = np.abs(policy.matrix[:, 1:]).max(axis=0) * case.features[train].std(axis=0)
    names = published_names(case.setting.system.zones, case.setting.system.line_names)
    used = [name for name, move in zip(names, moves, strict=True) if move >= _USED_MW]
    norm = 0.5 * float(np.abs(policy.matrix).sum())
    return FeatureRow(**vars(about), eps=eps, n_used=len(used), used=", ".join(used), norm=norm)


def judged_row(
    case: PeakCase,
    test: Ints,
    name: str,
    cost: Floats,
    shed_mw: Floats,
    accepted: Bools | None,
    grid_ok: Bools | None,
) -> Judged:
    """Means over the test records; `cost` (record,) and `shed_mw` (record, zone) are of all records."""
    base, own = case.base.cost_usd[test], cost[test]
    dispatch = case.setting.dispatch
    shed = np.maximum(shed_mw[test], 0.0).sum(axis=1)
    shed = np.where(shed > SHED_TOLERANCE_MW, shed, 0.0)
    low, high = saving_interval(base, own)
    net = case.records.load_mw[test].sum(axis=1) - case.records.injected_mw[test].sum(axis=1)
    lacking = np.maximum(net + case.setting.base_mw.sum() - dispatch.power_max_mw.sum(), 0.0)
    limited = np.isfinite(dispatch.lines.flow_min_mw) | np.isfinite(dispatch.lines.flow_max_mw)
    return Judged(
        policy=name,
        cost=float(own.mean()),
        saving_share=float(1.0 - own.mean() / base.mean()),
        saving_low=low,
        saving_high=high,
        refused_share=None if accepted is None else float(1.0 - accepted.mean()),
        shed_share=None if grid_ok is None else float(1.0 - grid_ok.mean()),
        n_test=len(test),
        shed_mw=float(shed.mean()),
        shed_records=int((shed > 0.0).sum()),
        shed_cost_share=float(dispatch.shed_usd_per_mwh * shed.sum() / own.sum()),
        shed_usd_per_mwh=dispatch.shed_usd_per_mwh,
        n_limited_lines=int(limited.sum()),
        lacking_mw=float(lacking.mean()),
        base_latency=case.setting.base_latency,
    )


def saving_interval(base: Floats, own: Floats, n_resamples: int = 2000) -> tuple[float, float]:
    """95 % interval of the share saved over records like these, by bootstrap with a generator of its own."""
    generator = keyed_generator(0, "saving interval", len(base))
    picks = generator.integers(0, len(base), (n_resamples, len(base)))
    shares = 1.0 - own[picks].sum(axis=1) / base[picks].sum(axis=1)
    low, high = np.quantile(shares, [0.025, 0.975])
    return float(low), float(high)
