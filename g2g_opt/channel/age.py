"""Age of information: how old the newest message is that has arrived, on average over time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def mean_age_s(sent_s: Floats, arrival_s: Floats, end_s: float) -> float:
    """Time-average, from the first sending to `end_s` (s), of now minus the sending time of the newest message there
    (equation 10.7).

    `sent_s` rise, `arrival_s` (inf: never) need not. What was known at the first sending counts as sent then.
    """
    begin_s = float(sent_s[0])
    there = np.flatnonzero(np.isfinite(arrival_s) & (arrival_s < end_s))
    order = there[np.argsort(arrival_s[there], kind="stable")]
    newest_s = np.concatenate([[begin_s], np.maximum.accumulate(sent_s[order])])
    edges_s = np.concatenate([[begin_s], arrival_s[order], [end_s]])
    return float((np.diff(edges_s) * ((edges_s[1:] + edges_s[:-1]) / 2.0 - newest_s)).sum() / (end_s - begin_s))
