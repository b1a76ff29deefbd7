"""Loading of lines and transformers over a run (formulations 3)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from g2g_opt.errors import InputError
from g2g_opt.grid.record import GridRecord


@dataclass(frozen=True)
class WorstLoading:
    """The branch with the highest loading (share of its normal rating), when, and for how long it was over 1."""

    branch: str
    loading_pu: float
    time_s: float
    overload_time_s: float


def find_worst_loading(record: GridRecord, dt_s: float, kind: str = "") -> WorstLoading | None:
    """The worst loaded branch of a run recorded with `record_loading=True`; `kind` "line" or "transformer" filters.

    None if there is no such branch. Raises `InputError` if loadings were not recorded.
    """
    if record.loading is None:
        raise InputError("loadings were not recorded; build the grid with record_loading=True")
    columns = [i for i, name in enumerate(record.loading.names) if name.startswith(kind)]
    if not columns:
        return None
    loading_pu = record.loading_pu[:, columns]
    step, column = np.unravel_index(int(loading_pu.argmax()), loading_pu.shape)
    return WorstLoading(
        record.loading.names[columns[column]],
        float(loading_pu[step, column]),
        float(record.time_s[step]),
        float((loading_pu[:, column] > 1.0).sum() * dt_s),
    )


def overload_time_s(record: GridRecord, dt_s: float, limit_pu: float, kind: str = "") -> float:
    """Time (s) in which any branch of `kind` carries more than `limit_pu` of its rating."""
    if record.loading is None:
        raise InputError("loadings were not recorded; build the grid with record_loading=True")
    columns = [i for i, name in enumerate(record.loading.names) if name.startswith(kind)]
    return float(np.any(record.loading_pu[:, columns] > limit_pu, axis=1).sum() * dt_s)
