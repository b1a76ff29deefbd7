"""Service metrics (equations, section 3) by hand: one site, several sites, states and records."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from g2g_opt.common import ThreePhase
from g2g_opt.datacenter.base import LLMDatacenterState
from g2g_opt.datacenter.record import OfflineDatacenterRecord
from g2g_opt.errors import InputError
from g2g_opt.metrics.performance import compute_performance_stats, throughput_tps
from g2g_opt.simulation_log import MergedStates

NAN = math.nan
DEADLINES = {"a": 0.05, "b": 0.10}
# Per step: batch, replicas, latency of models a and b.
ONE = [((8, 10, 0.04), (16, 0, NAN)), ((16, 10, 0.06), (16, 2, 0.10)), ((16, 5, 0.08), (16, 2, 0.11))]
TWO = [((8, 4, 0.02), (32, 1, 0.20)), ((8, 4, 0.02), (32, 1, 0.20)), ((8, 4, 0.02), (64, 1, 0.20))]


def record_of(rows: list[Any], dt_s: float = 2.0) -> OfflineDatacenterRecord:
    record = OfflineDatacenterRecord(("a", "b"))
    table = np.array(rows, dtype=float)
    n = len(rows)
    record.write(
        0,
        np.arange(n) * dt_s,
        np.zeros((n, 3)),
        np.zeros((n, 2)),
        table[:, :, 0].astype(np.int32),
        table[:, :, 1].astype(np.int64),
        table[:, :, 2],
    )
    record.n_steps = n
    return record


def states_of(rows: list[Any], dt_s: float = 2.0) -> list[LLMDatacenterState]:
    return [
        LLMDatacenterState(
            step * dt_s,
            ThreePhase(0.0, 0.0, 0.0),
            {"a": a[0], "b": b[0]},
            {"a": a[1], "b": b[1]},
            {"a": a[2], "b": b[2]},
        )
        for step, (a, b) in enumerate(rows)
    ]


def test_throughput_is_replicas_times_batch_over_latency() -> None:
    got = throughput_tps(
        np.array([8.0, 8, 8, 0, 8]), np.array([10.0, 0, 5, 5, 5]), np.array([0.04, 0.1, NAN, 0.1, 0.0])
    )
    assert got.tolist() == [2000.0, 0.0, 0.0, 0.0, 0.0]


@pytest.mark.parametrize("make", [record_of, states_of])
def test_one_site_by_hand(make: Any) -> None:
    stats = compute_performance_stats(make(ONE), itl_deadline_s_by_model=DEADLINES)
    a = (10 * 8 / 0.04 + 10 * 16 / 0.06 + 5 * 16 / 0.08) / 3
    b = (0 + 2 * 16 / 0.10 + 2 * 16 / 0.11) / 3
    assert stats.throughput_by_model_tps == pytest.approx({"a": a, "b": b})
    assert stats.mean_throughput_tps == pytest.approx(a + b)
    assert stats.integrated_throughput_tokens == pytest.approx(4.0 * (a + b))
    assert stats.mean_batch_by_model == pytest.approx({"a": 40 / 3, "b": 16.0})
    assert stats.mean_replicas_by_model == pytest.approx({"a": 25 / 3, "b": 4 / 3})
    assert stats.mean_itl_s_by_model == pytest.approx({"a": 0.06, "b": 0.105})
    # Exactly on target is no miss; a model without replicas gives no sample.
    assert stats.itl_deadline_fraction_by_model == pytest.approx({"a": 2 / 3, "b": 1 / 2})
    assert stats.itl_deadline_fraction == pytest.approx(3 / 5)
    assert stats.batch_switches == 1


def interleaved(*sites: list[LLMDatacenterState]) -> list[LLMDatacenterState]:
    return [state for at_once in zip(*sites, strict=True) for state in at_once]


@pytest.mark.parametrize(
    "both",
    [
        MergedStates([record_of(ONE), record_of(TWO)]),
        MergedStates([states_of(ONE), states_of(TWO)]),
        interleaved(states_of(ONE), states_of(TWO)),
    ],
    ids=["records", "merged lists", "flat list"],
)
def test_two_sites_add_up(both: Any) -> None:
    first = compute_performance_stats(record_of(ONE), itl_deadline_s_by_model=DEADLINES)
    second = compute_performance_stats(record_of(TWO), itl_deadline_s_by_model=DEADLINES)
    stats = compute_performance_stats(both, itl_deadline_s_by_model=DEADLINES)
    assert stats.mean_throughput_tps == pytest.approx(first.mean_throughput_tps + second.mean_throughput_tps)
    assert stats.integrated_throughput_tokens == pytest.approx(4.0 * stats.mean_throughput_tps)
    assert stats.mean_batch_by_model == pytest.approx({"a": (40 + 24) / 6, "b": (48 + 128) / 6})
    assert stats.itl_deadline_fraction == pytest.approx((3 + 3) / (5 + 6))
    assert stats.itl_deadline_fraction_by_model == pytest.approx({"a": 2 / 6, "b": 4 / 5})
    assert stats.batch_switches == 2  # one at each site, none from reading one site after the other


def test_two_sites_that_step_at_different_rates_keep_their_means_over_time() -> None:
    # Each site is steady; the second reports every 4 s only. The fleet's throughput is still their sum.
    fast, slow = [((8, 10, 0.04), (16, 1, 0.10))] * 4, [((8, 5, 0.04), (16, 1, 0.10))] * 2
    stats = compute_performance_stats(
        MergedStates([record_of(fast, 2.0), record_of(slow, 4.0)]), itl_deadline_s_by_model=DEADLINES
    )
    assert stats.throughput_by_model_tps == pytest.approx({"a": 2000.0 + 1000.0, "b": 320.0})


@given(
    st.lists(
        st.tuples(
            *[st.tuples(st.sampled_from([8, 16, 32]), st.integers(0, 5), st.floats(0.01, 0.2)) for _ in range(2)]
        ),
        min_size=1,
        max_size=12,
    )
)
def test_states_and_record_give_the_same_figures(rows: list[Any]) -> None:
    by_record = compute_performance_stats(record_of(rows), itl_deadline_s_by_model=DEADLINES)
    by_states = compute_performance_stats(states_of(rows), itl_deadline_s_by_model=DEADLINES)
    assert by_record == by_states
    assert by_record == compute_performance_stats(record_of(rows)[:], itl_deadline_s_by_model=DEADLINES)


def test_what_is_missing_is_named() -> None:
    with pytest.raises(InputError, match=r"model 'b' not found in itl_deadline_s_by_model"):
        compute_performance_stats(record_of(ONE), itl_deadline_s_by_model={"a": 0.1})
    with pytest.raises(InputError, match="at least one datacenter state"):
        compute_performance_stats([], itl_deadline_s_by_model=DEADLINES)
    with pytest.raises(InputError, match="order of time"):
        compute_performance_stats(states_of(ONE)[::-1], itl_deadline_s_by_model=DEADLINES)
