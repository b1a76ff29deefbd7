"""A site with one batch size gets no controller of batch sizes: there is nothing that it could send."""

from __future__ import annotations

from typing import Literal

import pytest

from g2g_opt.assembly import assemble
from g2g_opt.limits import Limits
from g2g_opt.plan import Plan, Policy
from g2g_opt.scenario import Scenario
from studies.connection_check.offered_sizes import held_at_nominal
from studies.connection_queue.study import ConnectionQueueStudy


@pytest.mark.parametrize("kind", ["ofo", "droop"])
def test_only_sites_with_a_choice_are_controlled(kind: Literal["ofo", "droop"]) -> None:
    study = ConnectionQueueStudy(feeder="ieee13")
    free = study.site("free", "671", study.load_models(), 10)
    held = held_at_nominal(study.site("held", "632", study.load_models(), 10))
    run = assemble(Plan((free, held), policy=Policy(kind)), Scenario(duration_s=10), study.load_feeder(), Limits())
    (controller,) = run.coordinator.controllers
    assert controller.datacenter.name == "free"  # type: ignore[attr-defined]
