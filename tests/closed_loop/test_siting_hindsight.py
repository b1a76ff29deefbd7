"""Siting under own controls beside brute force with hindsight."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hindsight_of_plans import brute_force, built_cost, hours_of, settings_beforehand
from hindsight_taps import best_of_settings
from operated_siting import STUDY, best, run

from studies.pv_datacenter_siting.operated_year import operate_year
from studies.pv_datacenter_siting.stored_plan import read_plan

pytestmark = pytest.mark.xdist_group("operated siting")  # one worker, so that its studies are run once


def test_hindsight_of_three_tap_settings_is_every_sequence_of_them() -> None:
    case, plan = read_plan(STUDY, STUDY.load_feeder(), best().json)
    hours, at = hours_of(case, plan, 1.0), np.array([4000, 4006, 4012, 4018])
    settings = np.array([[2, 0, 2], [6, 4, 6], [9, 6, 9]])
    least, which = best_of_settings(hours, settings, 2.0, at)
    by_hand = []
    for sequence in product(range(3), repeat=4):
        positions = settings[list(sequence)]
        cost = float(hours.cost(at, positions).sum()) + 2.0 * np.abs(np.diff(positions, axis=0)).sum()
        by_hand.append((cost, sequence))
    assert least == pytest.approx(min(by_hand)[0], rel=1e-12)
    assert tuple(which) == min(by_hand)[1]


def test_the_causal_plan_loses_little_to_brute_force_with_hindsight() -> None:
    """Two weeks of summer, every placement and every sequence of three tap settings; the year is a benchmark."""
    case, plan = read_plan(STUDY, STUDY.load_feeder(), best().json)
    assert case.network.operated is not None
    year = operate_year(case, plan, case.network.operated.set_points)
    at = np.arange(24 * 170, 24 * 184)
    settings = settings_beforehand(case)
    found = brute_force(case, plan, (STUDY.pv_size_max_kw,), settings, at)
    assert found.n_placements == 6
    losses = float(case.hourly_price[at] @ year.series.losses_kw[0, at])
    causal = losses + STUDY.switch_cost * float(year.steps[0, at[1:]].sum()) + built_cost(case, plan, at)
    nothing = replace(plan, pv_kw=np.zeros_like(plan.pv_kw))
    without, _ = best_of_settings(hours_of(case, nothing, 1.0), settings, STUDY.switch_cost, at)
    assert without > found.cost  # what the optimum is worth
    assert causal - found.cost < 0.1 * (without - found.cost)


def test_loadings_without_a_limit_are_not_said_to_keep_one() -> None:
    free = replace(STUDY, limits=replace(STUDY.limits, loading_max_pu=None))
    answer = free.conclude(run(STUDY)).answer
    assert "no voltage breaks its limit with sites at" in answer
    assert "loadings have none" in answer
    assert "no loading" not in answer
