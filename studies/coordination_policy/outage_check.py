"""Do shifts keep the limits of an AC power flow after the outage of a branch, whichever it is (N-1)?

Of branches alone, one at a time; what splits the network is not assessed. After an outage nobody acts but generators,
which share the losses and hold their voltages: nothing is dispatched anew, and no datacenter moves work.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from g2g_opt.errors import number_of
from g2g_opt.transmission.ac_network import AcNetwork
from g2g_opt.transmission.ac_power_flow import AcPowerFlow
from studies.coordination_policy.rows import OfDraw, OutageRow, OutagesRow
from studies.shared.typed_rows import TypedRow

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
# Active and reactive loads (bus,) in MW and Mvar.
OutageLoads = tuple[Floats, Floats]


def records_to_check(load_mw: Floats, n: int) -> Ints:
    """Which of the records with loads (record,) outages are checked on: n of them, from the highest to the lowest."""
    by_load = np.argsort(-load_mw, kind="stable")
    return np.asarray(by_load[np.unique(np.linspace(0, len(by_load) - 1, min(n, len(by_load))).round().astype(int))])


def check_outages(
    about: OfDraw,
    ac: AcNetwork,
    chosen: Ints,
    flows: Mapping[str, Sequence[AcPowerFlow | None]],
    drawn: Callable[[str, int], OutageLoads],
    report: Callable[[str], None],
) -> dict[str, Sequence[TypedRow]]:
    """Rows `about` a draw by way of operation, and by outage, of intact power flows (way -> record) and the loads they
    are `drawn` of.

    A record is checked if it has an intact power flow in every way. An outage is worse than without coordination
    ("none") if it breaks a kind of limit that holds there after the same outage, or one clearly further.
    """
    kept = [int(k) for k in chosen if all(_converged(own[int(k)]) for own in flows.values())]
    case, names = ac.case, ac.case.branch_names
    before: dict[int, list[AcPowerFlow]] = {}
    rows: list[OutagesRow] = []
    by_outage: list[OutageRow] = []
    for way, own in flows.items():
        after: dict[int, list[AcPowerFlow]] = {}
        for k in kept:
            intact = own[k]
            if intact is not None:
                after[k] = [ac.solve_outage(intact, *drawn(way, k), int(branch)) for branch in ac.outages]
        report(f"outages of {number_of(len(ac.outages), 'branch')} in {number_of(len(kept), 'record')}, {way}")
        before = before or after
        broken = np.array([[bool(flow.broken) for flow in after[k]] for k in kept]).reshape(len(kept), -1)
        worse = np.array(
            [[flow.breaks_more_than(old) for flow, old in zip(after[k], before[k], strict=True)] for k in kept]
        ).reshape(len(kept), -1)
        loading = np.array([[_or_nothing(flow.loading_max) for flow in after[k]] for k in kept]).reshape(len(kept), -1)
        known = loading[~np.isnan(loading)]
        rows.append(
            OutagesRow(
                **vars(about),
                policy=way,
                n_records=len(kept),
                n_outages=len(ac.outages),
                secure=int((~broken.any(axis=1)).sum()) if broken.size else None,
                broken=int(broken.sum()),
                worse=int(worse.sum()),
                worse_records=int(worse.any(axis=1).sum()) if worse.size else 0,
                unsolved=sum(not flow.converged for flows_of in after.values() for flow in flows_of),
                loading_max=float(known.max()) if known.size else None,
                n_splitting=len(case.branch) - len(ac.outages),
                n_left_out=len(chosen) - len(kept),
            )
        )
        for j in np.flatnonzero(broken.any(axis=0)) if broken.size else ():
            column = loading[:, j][~np.isnan(loading[:, j])]
            by_outage.append(
                OutageRow(
                    **vars(about),
                    policy=way,
                    outage=names[int(ac.outages[j])],
                    broken=int(broken[:, j].sum()),
                    worse=int(worse[:, j].sum()),
                    breaks=", ".join(dict.fromkeys(kind for k in kept for kind in after[k][j].broken)),
                    loading_max=float(column.max()) if column.size else None,
                )
            )
    by_outage.sort(key=lambda row: (-row.worse, -row.broken))
    return {"n_1": rows, "n_1_outages": by_outage}


def _or_nothing(value: float | None) -> float:
    return np.nan if value is None else value


def _converged(flow: AcPowerFlow | None) -> bool:
    return flow is not None and flow.converged
