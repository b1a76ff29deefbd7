"""Training of a contextual policy as a question asks for it: by matrices of our own, or by the statement."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from solvers.dispatch.blocks import OutputBand
from solvers.policy_training.trained import TrainedPolicy, TrainingBegin
from solvers.policy_training.training import train_policy
from solvers.quadratic.interior_point import Watch
from studies.coordination_policy.question import CoordinationQuestion
from studies.coordination_policy.setting import CoordinationSetting, scale_of

Floats = NDArray[np.float64]


def train_contextual(
    question: CoordinationQuestion,
    setting: CoordinationSetting,
    load_mw: Floats,
    injected_mw: Floats,
    features: Floats,
    eps: float,
    latency_margin: float,
    tie_direction: Floats | None = None,
    begin: TrainingBegin | None = None,
    band: OutputBand | None = None,
    watch: Watch | None = None,
) -> TrainedPolicy:
    """The policy of some records: loads and injections (record, zone) without datacenters, features (record, feature).

    `begin` is that of a policy of the same records with another tie direction; `band` limits units by record; `watch`
    hears of steps, where there are any to hear of.

    Raises `SolverError` if the statement has no optimum; a policy that is not certified says so itself.
    """
    scale = scale_of(features) if question.scaled else None
    if question.statement == "matrices":
        return train_policy(
            setting.dispatch,
            load_mw,
            injected_mw,
            setting.trained_network(latency_margin),
            features,
            eps,
            scale=scale,
            free_intercept=question.free_intercept,
            tie_direction=tie_direction,
            begin=begin,
            band=band,
            watch=watch,
        )
    # An extra: `check_cvxpy_is_installed` asks for it before a worker starts.
    from solvers.policy_training.cvxpy_statement import TaskNetwork, train_policy_statement

    tasks = TaskNetwork(
        setting.network.zone,
        setting.system.latency,
        setting.demand_mw,
        setting.allocation_mw,
        setting.alpha * (1.0 - latency_margin),
    )
    return train_policy_statement(
        setting.dispatch,
        tasks,
        load_mw,
        injected_mw,
        features,
        eps,
        scale=scale,
        free_intercept=question.free_intercept,
        tie_direction=tie_direction,
    )
