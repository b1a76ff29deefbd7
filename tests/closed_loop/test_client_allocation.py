"""Clients, channels and an allocator in closed loop: who knows what when, and what repeats."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from g2g_opt.allocation.allocators import PIAllocator, SeenClients
from g2g_opt.allocation.client_grid import ClientGrid
from g2g_opt.allocation.clients import load_client_case
from g2g_opt.allocation.loop import CAREFUL_RULES, PUBLISHED_RULES, AllocationRules, drawn_arrivals, run_allocation
from g2g_opt.allocation.run import AllocationRun
from g2g_opt.channel.age import mean_age_s
from g2g_opt.communication import Channels, ChannelSpec
from g2g_opt.errors import InputError

CASE = load_client_case("five-clients")
GRID = ClientGrid(CASE)
N = len(CASE.names)
Floats = np.ndarray
Seen = Callable[[SeenClients], np.ndarray | None]


class Recorded:
    """An allocator that keeps what it saw and answers as it is told."""

    def __init__(self, answer: Seen) -> None:
        self.answer, self.seen = answer, []

    def reset(self) -> None:
        self.seen = []

    def allocate(self, seen: SeenClients) -> np.ndarray | None:
        self.seen.append(seen)
        return self.answer(seen)


def run(rules: AllocationRules, answer: Seen, spec: ChannelSpec = ChannelSpec()) -> tuple[AllocationRun, Recorded]:  # noqa: B008
    allocator = Recorded(answer)
    arrivals = drawn_arrivals(Channels(spec), 0, "run")
    return run_allocation(CASE, GRID, allocator, rules, arrivals, seed=0, scenario="run"), allocator


def given_at(found: AllocationRun, time_s: float) -> np.ndarray:
    return found.given_kw[np.searchsorted(found.begin_s, time_s, side="right") - 1]


def test_caps_hold_until_the_next_one_and_no_unit_gives_more_than_the_sun() -> None:
    found, allocator = run(CAREFUL_RULES, lambda seen: np.full(N, 4.0))
    first_s = found.begin_s[np.flatnonzero(found.given_kw.max(axis=1) == 4.0)[0]]
    assert np.all(found.given_kw[found.begin_s >= first_s] <= 4.0)
    rows = [CASE.row_at(t) for t in found.begin_s]
    assert np.all(found.given_kw <= CASE.available_kw[rows] + 1e-12)
    assert found.lasts_s.sum() == pytest.approx(CASE.duration_s)
    produced = (found.lasts_s @ found.given_kw).sum() / 3600.0
    assert found.lost_share == pytest.approx(1.0 - produced / CASE.available_kwh)
    # Every cycle after the first reports it knows what each unit could give when it was last heard of.
    assert len(allocator.seen) == pytest.approx(CASE.duration_s / 3.12, abs=1)
    late = allocator.seen[20]
    assert np.all([late.available_kw[k] in CASE.available_kw[:, k] for k in range(N)])


def test_a_cap_of_zero_frees_a_unit_only_by_the_published_rules() -> None:
    freed, _ = run(PUBLISHED_RULES, lambda seen: np.zeros(N))
    np.testing.assert_allclose(freed.lost_share, 0.0, atol=1e-12)
    held, _ = run(replace(PUBLISHED_RULES, zero_frees=False), lambda seen: np.zeros(N))
    assert held.lost_share > 0.9
    none, _ = run(PUBLISHED_RULES, lambda seen: None)
    assert none.n_infeasible > 40
    np.testing.assert_array_equal(none.given_kw, freed.given_kw)


def test_who_is_not_heard_of_counts_with_its_size_or_with_what_it_last_said() -> None:
    dead = ChannelSpec("udp", outages=((60.0, 400.0),))
    for rules, known in ((PUBLISHED_RULES, False), (CAREFUL_RULES, True)):
        _, allocator = run(rules, lambda seen: None, dead)
        last = allocator.seen[-1].available_kw
        if known:
            assert np.all(np.isin(last, CASE.available_kw[58:60]))
        else:
            np.testing.assert_array_equal(last, CASE.pv_max_kw)


def test_the_same_seed_gives_the_same_run_and_channels_do_not_move_phases() -> None:
    lossy = ChannelSpec("tcp", latency_s=2e-5, loss=0.4)
    pi = [
        run_allocation(
            CASE,
            ClientGrid(CASE),
            PIAllocator(CASE.pv_max_kw),
            CAREFUL_RULES,
            drawn_arrivals(Channels(lossy), 3, "x"),
            seed=3,
            scenario="x",
        )
        for _ in range(2)
    ]
    np.testing.assert_array_equal(pi[0].voltage_pu, pi[1].voltage_pu)
    other, _ = run(CAREFUL_RULES, lambda seen: None, lossy)
    clean, _ = run(CAREFUL_RULES, lambda seen: None)
    for one, two in zip(other.report_s, clean.report_s, strict=True):
        np.testing.assert_array_equal(one, two)
    assert clean.delivered_share == 1.0
    assert clean.mean_age_s == pytest.approx(0.5, abs=0.02)
    assert other.mean_age_s > clean.mean_age_s


def test_arrivals_may_be_those_of_a_record() -> None:
    def recorded(source: str, destination: str, topic: str, sent_s: Floats) -> Floats:
        # Reports are heard of at once; no cap ever arrives.
        return sent_s if topic == "site" else np.full(len(sent_s), np.inf)

    allocator = Recorded(lambda seen: np.zeros(N))
    found = run_allocation(CASE, GRID, allocator, CAREFUL_RULES, recorded, seed=0, scenario="run")
    assert found.lost_share == pytest.approx(0.0, abs=1e-12)
    assert len(allocator.seen) > 60


def test_pi_caps_fall_with_voltages_above_the_limit_and_come_back() -> None:
    pi = PIAllocator(np.full(2, 30.0))
    seen = SeenClients(np.full(2, 30.0), np.zeros(2, complex), np.array([1.0, 1.04]))
    np.testing.assert_allclose(pi.allocate(seen), 30.0)
    # 4 V above: 1 - 0.05 x 4 - 4e-5 x 900 x 4.
    high = replace(seen, voltage_pu=np.array([1.0, 1.06]))
    np.testing.assert_allclose(pi.allocate(high), 30.0 * 0.656)
    np.testing.assert_allclose(pi.allocate(high), 30.0 * 0.512)
    pi.reset()
    np.testing.assert_allclose(pi.allocate(high), 30.0 * 0.656)


def test_age_is_counted_from_the_first_sending() -> None:
    sent_s = np.array([0.0, 1.0, 2.0])
    # Known at 0; the second comes at 2 with age 1, the third never.
    assert mean_age_s(sent_s, np.array([0.0, 2.0, np.inf]), 4.0) == pytest.approx((2.0 + 4.0) / 4.0)


def test_a_case_that_there_is_not_and_rows_that_there_are_not() -> None:
    with pytest.raises(InputError, match="cigre-lv"):
        load_client_case("cigre")
    with pytest.raises(InputError, match="1 to 199 rows"):
        CASE.part(200)
    assert CASE.part(10).duration_s == 10.0
