"""Scenario draws of a hosting-capacity study: keyed, within the stated ranges, valid scenarios."""

from __future__ import annotations

from dataclasses import replace

from g2g_opt.scenario import Scenario
from studies.hosting_capacity.scenario_draws import SERVER_FACTOR, SHARE_FACTOR, draw_scenario, draw_scenarios


def test_a_draw_depends_on_seed_purpose_and_number_alone() -> None:
    assert draw_scenario(Scenario(), "search", 5) == draw_scenarios(Scenario(), "search", 9)[5]
    others = [draw_scenario(Scenario(seed=1), "search", 5), draw_scenario(Scenario(), "certificate 1", 5)]
    for other in others:
        mine = replace(draw_scenario(Scenario(), "search", 5), name=other.name, seed=other.seed)
        assert mine != other


def test_draws_stay_within_their_ranges_and_ramps_in_order() -> None:
    base = Scenario()
    draws = draw_scenarios(base, "search", 300)
    for scenario in draws:
        assert scenario.replica_share_start <= min(1.0, base.replica_share_start * SHARE_FACTOR[1]) + 1e-6
        assert scenario.replica_share_start >= base.replica_share_start * SHARE_FACTOR[0] - 1e-6
        assert base.server_noise * SERVER_FACTOR[0] <= scenario.server_noise + 1e-6
        times = [t for begin, end, _ in scenario.replica_ramps for t in (begin, end)]
        assert times == sorted(times)
        assert times[0] >= 0.0
        assert times[-1] <= base.duration_s
        for (begin, end, _), (base_begin, base_end, _) in zip(scenario.replica_ramps, base.replica_ramps, strict=True):
            assert end - begin == base_end - base_begin
            assert abs(begin - base_begin) <= base.duration_s / 12 + 1
    off = sum(not scenario.standing_power for scenario in draws)
    assert 45 <= off <= 105
