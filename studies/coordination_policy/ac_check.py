"""Do shifts that a DC dispatch accepts keep the limits of an AC power flow (the published study's remark on (24))?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from g2g_opt.errors import number_of
from g2g_opt.transmission.ac_network import AcNetwork
from g2g_opt.transmission.ac_power_flow import AcPowerFlow
from g2g_opt.transmission.network_case import angle_limits_deg
from solvers.dispatch.solve import DispatchSolution
from studies.coordination_policy.network import CaseNetwork
from studies.coordination_policy.outage_check import check_outages, records_to_check
from studies.coordination_policy.rows import AcRecordRow, AcRow, OfDraw
from studies.shared.typed_rows import TypedRow

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Operated:
    """Records as they are operated: the dispatch of each, its cost, and the datacenters' loads."""

    power_mw: Floats
    shed_mw: Floats
    theta_mw: Floats
    cost_usd: Floats
    solved: NDArray[np.bool_]

    @classmethod
    def of(cls, found: DispatchSolution, theta_mw: Floats, which: Ints) -> Operated:
        """Some records of a dispatch with loads (datacenter,) or (record of the dispatch, datacenter)."""
        theta = np.broadcast_to(theta_mw, (len(found.cost_usd), theta_mw.shape[-1]))
        return cls(
            found.power_mw[which], found.shed_mw[which], theta[which], found.cost_usd[which], found.solved[which]
        )

    def where(self, taken: NDArray[np.bool_], other: Operated) -> Operated:
        """These records where `taken` (record,), others elsewhere."""
        return Operated(
            np.where(taken[:, None], self.power_mw, other.power_mw),
            np.where(taken[:, None], self.shed_mw, other.shed_mw),
            np.where(taken[:, None], self.theta_mw, other.theta_mw),
            np.where(taken, self.cost_usd, other.cost_usd),
            np.where(taken, self.solved, other.solved),
        )


def check_ac(
    about: OfDraw,
    network: CaseNetwork,
    records: Ints,
    operated: Mapping[str, Operated],
    report: Callable[[str], None],
    n_outage_records: int | None = None,
) -> dict[str, Sequence[TypedRow]]:
    """Rows `about` a draw by way of operation ("none" is without coordination), and of records that others break more.

    Of `n_outage_records` records also after the outage of every branch.
    """
    ac = AcNetwork(network.case)
    flows: dict[str, list[AcPowerFlow | None]] = {}
    for name, how in operated.items():
        flows[name] = [
            _flow(ac, network, int(record), how, k) if how.solved[k] else None for k, record in enumerate(records)
        ]
        report(f"AC power flow of {number_of(len(records), 'record')}, {name}")
    base_cost = operated["none"].cost_usd
    before = {k: flow for k, flow in enumerate(flows["none"]) if flow is not None}
    n_rated = int(np.isfinite(network.case.rating_mva).sum())
    has_angles = bool(np.isfinite(np.stack(angle_limits_deg(network.case.branch))).any())
    rows: list[AcRow] = []
    worst: list[AcRecordRow] = []
    for name, how in operated.items():
        own = [(k, flow) for k, flow in enumerate(flows[name]) if flow is not None and k in before]
        worse = [k for k, flow in own if flow.breaks_more_than(before[k])]
        checked = how.cost_usd.copy()
        checked[worse] = base_cost[worse]
        judged = [k for k, _ in own]
        good = [flow for _, flow in own if flow.converged]
        loadings = [flow.loading_max for flow in good if flow.loading_max is not None]
        kinds = [kind for _, flow in own for kind in flow.broken]
        rows.append(
            AcRow(
                **vars(about),
                policy=name,
                n_records=len(own),
                broken=sum(bool(flow.broken) for _, flow in own),
                worse=len(worse),
                voltage=kinds.count("voltage"),
                # Without ratings no loading could be too high: then it is not known, not 0.
                loading=kinds.count("loading") if n_rated else None,
                losses=kinds.count("losses"),
                unsolved=kinds.count("no solution"),
                loading_max=max(loadings, default=None),
                outside_max_pu=max((max(flow.outside_pu, 0.0) for flow in good), default=None),
                loss_mw=float(np.mean([flow.loss_mw for flow in good])) if good else None,
                saving_share=_saving(base_cost[judged], how.cost_usd[judged]),
                saving_checked_share=_saving(base_cost[judged], checked[judged]),
                n_undispatched=len(records) - len(own),
                unrated_branches=len(network.case.branch) - n_rated,
                n_branches=len(network.case.branch),
                loadings=tuple(loadings),
                # As for ratings.
                angle=kinds.count("angle") if has_angles else None,
            )
        )
        for k, flow in own:
            if k in worse:
                date, outside_pu = network.records.dates[int(records[k])], max(flow.outside_pu, 0.0)
                worst.append(
                    AcRecordRow(
                        **vars(about),
                        date=date,
                        policy=name,
                        breaks=", ".join(flow.broken),
                        loading_max=flow.loading_max,
                        outside_pu=outside_pu if flow.converged else None,
                    )
                )
    tables: dict[str, Sequence[TypedRow]] = {"ac": rows, "ac_records": worst}
    if n_outage_records is not None:
        tables |= check_outages(
            about,
            ac,
            records_to_check(network.load_mw[records].sum(axis=1), n_outage_records),
            flows,
            lambda name, k: _drawn(network, int(records[k]), operated[name], k),
            report,
        )
    return tables


def _drawn(network: CaseNetwork, record: int, how: Operated, k: int) -> tuple[Floats, Floats]:
    return network.drawn(record, how.theta_mw[k], how.shed_mw[k])


def _flow(ac: AcNetwork, network: CaseNetwork, record: int, how: Operated, k: int) -> AcPowerFlow:
    return ac.solve(network.system.by_unit_mw(how.power_mw[k]), *_drawn(network, record, how, k))


def _saving(base: Floats, own: Floats) -> float | None:
    return float(1.0 - own.sum() / base.sum()) if len(base) else None
