"""Other placements of a siting plan's sizes, against counting them; corrections as margins of the program."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations, islice, permutations

import numpy as np
import pytest

from solvers.siting.problem import SitingPlan, Zone, empty_plan
from studies.pv_datacenter_siting.case import SitingCase, days_of, make_case
from studies.pv_datacenter_siting.proposal import Narrowing, margin_of
from studies.pv_datacenter_siting.study import SitingStudy
from studies.pv_datacenter_siting.ties import moved_plans
from studies.shared.site_choices import ServedModel, SiteChoice

MODEL = (ServedModel("Llama-3.1-70B-Instruct", n_gpus=80),)
STUDY = SitingStudy(
    taps="optimised",
    feeder="ieee13",
    mode="joint",
    pv_buses=("632", "633", "671", "675", "680"),
    sites=(
        SiteChoice("west", MODEL, candidates=("632", "633", "671")),
        SiteChoice("east", MODEL, candidates=("671", "680")),
    ),
)


def case_of(study: SitingStudy) -> SitingCase:
    return make_case(study, study.load_feeder(), days_of(study)[:1])


def built(case: SitingCase, pv_kw: dict[int, float], sites: tuple[int, ...]) -> SitingPlan:
    """PV by candidate, and the candidate of every site."""
    steps = np.zeros((case.taps.n, len(case.calendar.slot_day)), dtype=np.int64)
    plan = empty_plan(case.pv.n, len(case.pv.sun), np.array(sites), np.full(len(sites), 100.0), steps)
    size = np.zeros(case.pv.n)
    size[list(pv_kw)] = list(pv_kw.values())
    return replace(plan, pv_kw=size)


def keys(plans: list[SitingPlan]) -> set[tuple[tuple[float, ...], tuple[int, ...]]]:
    return {(tuple(plan.pv_kw.tolist()), tuple(plan.site_bus.tolist())) for plan in plans}


@pytest.mark.parametrize("sizes", [(400.0, 400.0), (400.0, 600.0)])
def test_all_other_placements_of_the_sizes_are_looked_at_once(sizes: tuple[float, float]) -> None:
    case = case_of(STUDY)
    plan = built(case, {1: sizes[0], 3: sizes[1]}, (0, 3))
    found = list(moved_plans(case, plan))
    expected = set()
    for plants in permutations(range(5), 2):
        for west in case.sites.candidates[0]:
            for east in case.sites.candidates[1]:
                if west != east:
                    expected |= keys([built(case, dict(zip(plants, sizes, strict=True)), (west, east))])
    assert keys([moved for _, moved in found]) == expected - keys([plan])
    assert len(found) == len(expected) - 1
    moves = [n for n, _ in found]
    assert moves == sorted(moves)


def test_plants_that_are_curtailed_are_not_taken_for_each_other() -> None:
    case = case_of(STUDY)
    plan = built(case, {1: 400.0, 3: 400.0}, (0, 3))
    curtailed = plan.curtailed_kw.copy()
    curtailed[1, 50] = 10.0
    alike = len(list(moved_plans(case, plan)))
    assert len(list(moved_plans(case, replace(plan, curtailed_kw=curtailed)))) == 2 * (alike + 1) - 1
    moved = next(one for _, one in moved_plans(case, replace(plan, curtailed_kw=curtailed)) if one.pv_kw[0] > 0.0)
    assert moved.curtailed_kw.sum() == 10.0
    assert (moved.curtailed_kw.any(axis=1) <= (moved.pv_kw > 0.0)).all()


def test_placements_keep_the_limits_of_zones() -> None:
    case = case_of(STUDY)
    zoned = replace(case, pv=replace(case.pv, zones=(*case.pv.zones, Zone((0, 1, 2), 1, 500.0))))
    plan = built(case, {1: 400.0, 3: 600.0}, (0, 3))
    for _, moved in moved_plans(zoned, plan):
        inside = moved.pv_kw[:3]
        assert (inside > 0.0).sum() <= 1
        assert inside.sum() <= 500.0


def test_pairs_of_pv_buses_on_the_34_bus_feeder() -> None:
    case = case_of(SitingStudy(feeder="ieee34", mode="pv"))
    plan = built(case, {0: 1000.0, 1: 1000.0}, ())
    found = [moved for _, moved in moved_plans(case, plan)]
    assert len(found) == len(list(combinations(range(18), 2))) - 1 == 152
    assert len(list(islice(moved_plans(case, plan), 10))) == 10


def test_narrowed_limits_are_margins_of_their_row_on_their_day_alone() -> None:
    case = make_case(STUDY, STUDY.load_feeder(), days_of(STUDY)[:2])
    row = case.network.names()[4]
    day = case.days[1].index
    margin = margin_of(case, [Narrowing(row, day, 40, 4, 0.003), Narrowing(row, -1, 0, 4, 0.5)])
    assert margin[4, 96 + 40 : 96 + 44].tolist() == [0.003] * 4
    assert np.count_nonzero(margin) == 4
