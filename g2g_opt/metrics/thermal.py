"""Loading of lines and transformers over a run (equations, section 3)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from g2g_opt.circuit.parts import phase_letter
from g2g_opt.errors import InputError
from g2g_opt.failure import Moment, since_start
from g2g_opt.grid.record import GridRecord


@dataclass(frozen=True)
class WorstLoading:
    """The branch with the highest loading (share of its normal rating), when, and for how long it was over 1.

    `phase` is the letter of its heaviest conductor, `emergency_pu` the loading as a share of its emergency rating (0
    without one).
    """

    branch: str
    loading_pu: float
    time_s: float
    overload_time_s: float
    phase: str = ""
    emergency_pu: float = 0.0

    def place_in_words(self, moment: Moment = since_start) -> str:
        """Branch, phase and time; `moment` says when."""
        return f"{self.branch}{'.' if self.phase else ''}{self.phase} at {moment(self.time_s)}"


def is_of_kind(branch: str, kind: str) -> bool:
    """Whether a branch, "line.650632", is a "line" (also a reactor or a capacitor in series, or whatever else has two
    ends), a "transformer" (also an autotransformer), or of any `kind` that is empty.
    """
    transforms = branch.partition(".")[0] in ("transformer", "autotrans")
    return not kind or transforms == (kind == "transformer")


@lru_cache(maxsize=256)
def places_of_kind(branches: tuple[str, ...], kind: str) -> NDArray[np.int64]:
    """Places of the branches of a kind (see `is_of_kind`)."""
    return np.array([place for place, name in enumerate(branches) if is_of_kind(name, kind)], dtype=np.int64)


def find_worst_loading(record: GridRecord, dt_s: float, kind: str = "", emergency: bool = False) -> WorstLoading | None:
    """The worst loaded branch of a run recorded with `record_loading=True`; `kind` filters (see `is_of_kind`).

    With `emergency`, the branch closest to its emergency rating. None if there is no such branch. Raises `InputError`
    if loadings were not recorded.
    """
    if record.loading is None:
        raise InputError("loadings were not recorded; build the grid with record_loading=True")
    columns = places_of_kind(tuple(record.loading.names), kind)
    if not len(columns):
        return None
    highest_pu = record.loading_pu[:, columns].max(axis=0)
    share = record.loading.emergency_share[columns]
    column = int(columns[int((highest_pu * share if emergency else highest_pu).argmax())])
    loading_pu = record.loading_pu[:, column]
    step = int(loading_pu.argmax())
    return WorstLoading(
        record.loading.names[column],
        float(loading_pu[step]),
        float(record.time_s[step]),
        float((loading_pu > 1.0).sum() * dt_s),
        phase_letter(int(record.loading_phase[column])),
        float(loading_pu[step] * record.loading.emergency_share[column]),
    )


def overload_time_s(record: GridRecord, dt_s: float, limit_pu: float, kind: str = "") -> float:
    """Time (s) in which any branch of `kind` carries more than `limit_pu` of its rating (equation 3.5)."""
    if record.loading is None:
        raise InputError("loadings were not recorded; build the grid with record_loading=True")
    columns = places_of_kind(tuple(record.loading.names), kind)
    return float(np.any(record.loading_pu[:, columns] > limit_pu, axis=1).sum() * dt_s)
