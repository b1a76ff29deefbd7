"""The reward of a step of batch-size control (equation 4.14; OpenG2G paper, appendix B.3).

    r = -w_v sum (exceedance)^2 + w_T mean T(b) / T(b_max) - w_L mean [l / L - 1]_+ - w_S mean |log2 b - log2 b'|

The sum is over bus-phases, exceedance in pu; means are over the models of all sites, so that a weight means the same
whatever their number: T is throughput by the fitted curve, l the latency and L its target, b' the size a step before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, NamedTuple

import numpy as np
from numpy.typing import NDArray

from g2g_opt.controller.ppo import PPOModels
from g2g_opt.datacenter.config import InferenceModelSpec
from g2g_opt.datacenter.workloads.curves import LogisticModelStore
from g2g_opt.flag import Flag
from g2g_opt.quantities import Weight, check_quantities

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

REWARD_PARTS = ("voltage", "throughput", "latency", "switching")


@dataclass(frozen=True)
class RewardWeights:
    """w_v (per pu squared), w_T, w_L and w_S.

    The paper's tables give 5,000 for voltage; the others are our choices.
    """

    voltage: Annotated[Weight, Flag("--voltage-weight", "of squared exceedances of the band (per pu squared)")] = 5000.0
    throughput: Annotated[Weight, Flag("--throughput-weight", "of tokens, as a share of the most")] = 0.1
    latency: Annotated[Weight, Flag("--latency-weight", "of relative excess over latency targets")] = 0.2
    switching: Annotated[Weight, Flag("--switching-weight", "of doublings and halvings of batch sizes")] = 0.2

    def __post_init__(self) -> None:
        check_quantities(self)


class RewardParts(NamedTuple):
    """The four parts, each as it enters the sum, weight and sign included; shape (scenario,)."""

    voltage: Floats
    throughput: Floats
    latency: Floats
    switching: Floats

    @property
    def total(self) -> Floats:
        """The reward."""
        return self.voltage + self.throughput + self.latency + self.switching


def throughput_share(models: PPOModels, specs: Sequence[InferenceModelSpec], curves: LogisticModelStore) -> Floats:
    """T(b) / T(b_max) of every model at every place in its sizes, shape (model, size), by the fitted curves."""
    rows = []
    for spec, sizes, last in zip(specs, models.sizes, models.last, strict=True):
        tokens = np.array([float(curves.throughput(spec.model_label).eval(int(size))) for size in sizes])
        rows.append(tokens / tokens[last])
    return np.array(rows)


def reward_parts(
    square_pu2: Floats, share: Floats, itl_s: Floats, deadline_s: Floats, change: Floats, weights: RewardWeights
) -> RewardParts:
    """The parts of the reward from sums of squared exceedances (scenario,), and of every model (scenario, model) its
    share of throughput, latency (NaN: it serves nothing) and change of log2 of its batch size.
    """
    excess = np.maximum(np.nan_to_num(itl_s / deadline_s, nan=0.0) - 1.0, 0.0)
    return RewardParts(
        -weights.voltage * square_pu2,
        weights.throughput * share.mean(axis=1),
        -weights.latency * excess.mean(axis=1),
        -weights.switching * np.abs(change).mean(axis=1),
    )
