"""`Remedy`: one change of the circuit or of the plan that may let a request in, as data."""

from __future__ import annotations

from dataclasses import dataclass, replace

from g2g_opt.feeder import Feeder
from g2g_opt.plan import Plan, StorageUnit
from studies.connection_check.question import RemedyKind
from studies.connection_check.remedy_costs import Amounts


@dataclass(frozen=True)
class Remedy:
    """What is changed: the circuit (`edits`, OpenDSS commands behind the feeder's own), or the plan: `storage` units
    that are built, or another `bus` for the request. `amounts` are what it takes of the table of costs.
    """

    kind: RemedyKind
    words: str
    amounts: Amounts
    edits: tuple[str, ...] = ()
    storage: tuple[StorageUnit, ...] = ()
    bus: str | None = None

    def feeder(self, feeder: Feeder) -> Feeder:
        """The feeder after the change."""
        return feeder.extended(self.edits) if self.edits else feeder

    def plan(self, plan: Plan) -> Plan:
        """The plan after the change; the request is its last site."""
        if self.bus is not None:
            plan = replace(plan, sites=(*plan.sites[:-1], replace(plan.sites[-1], bus=self.bus)))
        return replace(plan, storage=(*plan.storage, *self.storage))
