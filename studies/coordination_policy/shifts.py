"""Where coordination moves work: mean shifts by datacenter, and by link (figure 2 of the published study).

Loads do not say along which links work moved: any flow that leaves a datacenter with its shift will do. Told is the one
with the least latency times work, of the mean over records.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from g2g_opt.transmission.system import ZonalSystem
from solvers.highs import SparseProgram, solve_sparse_program
from solvers.outcome import SolverError
from studies.coordination_policy.rows import MovedAlongLink, MovedToDatacenter, OfDraw, ShiftLinkRow, ShiftRow
from studies.coordination_policy.setting import CoordinationSetting
from studies.shared.typed_rows import TypedRow

Floats = NDArray[np.float64]

# Shifts and flows below this are a solver's rounding.
_NOTHING_MW = 1e-2
# Added to the latency of a link: work does not go round in circles between datacenters that are equally near.
_OF_ITSELF = 1e-3


def moved_tables(
    about: OfDraw, setting: CoordinationSetting, loads_mw: Mapping[str, Floats]
) -> dict[str, Sequence[TypedRow]]:
    """Rows `about` a draw of loads (record, datacenter) by way of operation; ways without records have none."""
    shifts: list[ShiftRow] = []
    links: list[ShiftLinkRow] = []
    for policy, theta in loads_mw.items():
        if policy == "none" or not len(theta):
            continue
        by_center, by_link = moved_work(setting.system, setting.base_mw, theta)
        shifts += [ShiftRow(**vars(about), policy=policy, **vars(one)) for one in by_center]
        links += [ShiftLinkRow(**vars(about), policy=policy, **vars(one)) for one in by_link]
    return {"shifts": shifts, "links": links}


def moved_work(
    system: ZonalSystem, base_mw: Floats, theta_mw: Floats
) -> tuple[list[MovedToDatacenter], list[MovedAlongLink]]:
    """Work that loads (record, datacenter) move from `base_mw` (datacenter,), by datacenter and by link."""
    moved = theta_mw - base_mw
    mean = moved.mean(axis=0)
    by_center = [
        MovedToDatacenter(
            datacenter=name,
            base_mw=float(base_mw[k]),
            shift_mw=float(mean[k]),
            shift_pct=100.0 * float(mean[k] / base_mw[k]) if base_mw[k] > _NOTHING_MW else None,
            least_mw=float(moved[:, k].min()),
            most_mw=float(moved[:, k].max()),
        )
        for k, name in enumerate(system.datacenters)
    ]
    apart = system.latency[:, system.datacenter_zone]
    flow = least_flow(apart, mean)
    by_link = [
        MovedAlongLink(
            origin=system.datacenters[one],
            to=system.datacenters[other],
            mean_mw=float(flow[one, other]),
            distance=float(apart[one, other]),
        )
        for one, other in np.argwhere(flow > _NOTHING_MW)
    ]
    return by_center, by_link


def least_flow(apart: Floats, shift_mw: Floats) -> Floats:
    """Work (from, to) that leaves datacenters with their shifts, which sum to 0, with the least latency times work.

    `apart` (from, to) is the latency between them. Raises `SolverError` if there is none.
    """
    n = len(shift_mw)
    one, other = np.nonzero(~np.eye(n, dtype=np.bool_))
    m = len(one)
    rows = csr_matrix(
        (np.append(np.ones(m), -np.ones(m)), (np.append(other, one), np.tile(np.arange(m), 2))), shape=(n, m)
    )
    # What rounding leaves of the sum must not make it impossible.
    asked = shift_mw - shift_mw.mean()
    found, report = solve_sparse_program(
        SparseProgram(
            apart[one, other] + _OF_ITSELF,
            rows,
            asked,
            asked,
            np.zeros(m),
            np.full(m, np.inf),
            np.zeros(m, dtype=np.bool_),
        )
    )
    if found is None:
        raise SolverError(f"shifts by link: {report.status.value}")
    flow = np.zeros((n, n))
    flow[one, other] = found
    return flow
