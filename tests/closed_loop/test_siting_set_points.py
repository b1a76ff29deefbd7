"""Set-points that hold at both ends of the utilisation range are looked at between them, too."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from operated_siting import STUDY, run

from g2g_opt.batch.chains import SetPoints
from g2g_opt.batch.own_controls import Standing
from solvers.siting.problem import SitingPlan
from studies.pv_datacenter_siting import operation
from studies.pv_datacenter_siting.case import SitingCase
from studies.pv_datacenter_siting.compared_days import Begins, ComparedDays, OperationWorth
from studies.pv_datacenter_siting.operation import find_set_points
from studies.pv_datacenter_siting.stored_plan import read_plan
from studies.pv_datacenter_siting.verdicts import judged_plans

# Of the same study as others, which is run once.
pytestmark = pytest.mark.xdist_group("operated siting")


def test_what_breaks_between_the_ends_of_the_range_is_searched_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """124 V are cheapest; above 119.4 V a day breaks at a draw between the ends, of which neither end tells."""
    levels_seen: list[int] = []

    def worth_of(
        case: SitingCase,
        days: ComparedDays,
        operated: Sequence[tuple[SitingPlan, SetPoints]],
        levels: Sequence[float],
        guesses: Sequence[Begins] | None = None,
        over_max: float | None = None,
    ) -> list[OperationWorth]:
        levels_seen.append(len(levels))
        begins = tuple(tuple(Standing((), (), ()) for _ in days.days) for _ in levels)
        found = []
        for _, set_points in operated:
            volts = max(one.vreg_v for one in set_points.values())
            over = max(0.0, volts - 119.4) if len(levels) > 2 else 0.0
            found.append(OperationWorth(over, abs(volts - 124.0), 0.0, 0.01, (days.days[0],) if over else (), begins))
        return found

    (built,) = (one.row for one in judged_plans(STUDY, run(STUDY)) if one.held)
    case, plan = read_plan(STUDY, STUDY.load_feeder(), built.json)
    monkeypatch.setattr(operation, "worth_of", worth_of)
    found = find_set_points(case, plan, [], (), lambda words: None)
    highest = max(one.vreg_v for one in found.set_points.values())
    # As near as volts are moved last.
    assert 119.4 - operation.MOVES[-1][0] <= highest <= 119.4
    assert set(levels_seen) == {2, 5}
    assert found.begins is not None
    assert len(found.begins) == 5
