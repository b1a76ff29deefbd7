"""Observed latencies of many models at many sites at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from g2g_opt.compiled.kernel import inner, kernel
from g2g_opt.datacenter.workloads.latency import mean_itl_s

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_mean_itl_s = inner(mean_itl_s)


@kernel
def observe_itl_s(replicas: Ints, mean_s: Floats, variance_s2: Floats, normal_draws: Floats, itl_s: Floats) -> None:
    """`mean_itl_s` of many models into `itl_s` (s); the mean itself without variance, NaN without replicas."""
    for r in range(len(replicas)):
        itl_s[r] = np.nan
        if replicas[r] > 0:
            itl_s[r] = mean_s[r]
            if variance_s2[r] > 0.0:
                itl_s[r] = _mean_itl_s(mean_s[r], variance_s2[r], float(replicas[r]), normal_draws[r])
