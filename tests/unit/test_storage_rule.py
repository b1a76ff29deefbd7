"""Storage by a rule that knows no future: by hand, as properties, and blind to what comes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from studies.pv_datacenter_siting.storage_rule import StorageRule, rules_asked, run_rule

RULES = st.builds(StorageRule, st.floats(0.0, 1.0), st.integers(0, 23))
SUNS = st.integers(0, 2**32 - 1).map(lambda seed: np.random.default_rng(seed).uniform(0.0, 1.0, 24 * 5))


def test_six_hours_by_hand() -> None:
    """Two hours of duration, 0.8 one way, charged above 0.5, discharged from the hour 4 on.

    h  sun  it
    0  0.6  takes 1 and holds 0.8
    1  0.5  rests: 0.5 is not above 0.5
    2  0.9  takes 1 and holds 1.6
    3  0.7  has room for 0.4, which 0.5 from outside fill: it holds 2
    4  0.8  gives 1 and holds 2 - 1/0.8 = 0.75, whatever the sun
    5  0.0  gives what is left, 0.75 x 0.8 = 0.6
    """
    year = run_rule(StorageRule(0.5, 4), np.array([0.6, 0.5, 0.9, 0.7, 0.8, 0.0]), 2.0, 0.8)
    assert year.charge == pytest.approx([1.0, 0.0, 1.0, 0.5, 0.0, 0.0])
    assert year.discharge == pytest.approx([0.0, 0.0, 0.0, 0.0, 1.0, 0.6])
    assert year.content == pytest.approx([0.8, 0.8, 1.6, 2.0, 0.75, 0.0])
    assert year.share == pytest.approx([-1.0, 0.0, -1.0, -0.5, 1.0, 0.6])


def test_it_goes_on_past_midnight_until_empty_and_charges_only_then() -> None:
    sun = np.tile([0.9, 0.9, 0.9] + [0.0] * 19 + [0.9, 0.9], 3)
    year = run_rule(StorageRule(0.1, 23), sun, 4.0, 1.0)
    # Five sunny hours from 22 o'clock to 2: the first day's three fill it up to 3, then 22 to 4.
    assert year.content[:3].tolist() == [1.0, 2.0, 3.0]
    assert year.content[22] == 4.0
    # From 23 on it gives for four hours, through the sunny ones after midnight.
    assert year.discharge[22:28].tolist() == [0.0, 1.0, 1.0, 1.0, 1.0, 0.0]
    assert year.charge[23:28].tolist() == [0.0] * 5
    # Filled in one sunny hour of the second day, at 22: given in an hour.
    assert (year.charge[46], year.discharge[47], year.content[47]) == (1.0, 1.0, 0.0)


def test_what_was_stored_in_the_day_before_is_given_in_the_morning() -> None:
    year = run_rule(StorageRule(0.5, 6), np.tile(np.where(np.arange(24) == 12, 1.0, 0.0), 2), 3.0, 0.9)
    assert np.flatnonzero(year.charge).tolist() == [12, 36]
    assert np.flatnonzero(year.discharge).tolist() == [30]
    assert year.discharge[30] == pytest.approx(0.9 * 0.9)


@settings(max_examples=200, deadline=None)
@given(RULES, SUNS, st.floats(0.1, 30.0), st.floats(0.5, 1.0))
def test_energy_is_kept_and_no_limit_is_passed(
    rule: StorageRule, sun: np.ndarray[tuple[int], np.dtype[np.float64]], duration_h: float, efficiency: float
) -> None:
    year = run_rule(rule, sun, duration_h, efficiency)
    for flow in (year.charge, year.discharge):
        assert flow.min() >= 0.0
        assert flow.max() <= 1.0
    assert not (year.charge * year.discharge).any()
    assert year.content.min() >= 0.0
    assert year.content.max() <= duration_h
    gained = efficiency * year.charge - year.discharge / efficiency
    assert np.diff(year.content, prepend=0.0) == pytest.approx(gained, abs=1e-9)
    assert not year.charge[sun <= rule.charge_above].any()
    # It begins to give at its hour alone, and then gives until it is empty.
    begins = (year.discharge > 0.0) & (np.append(0.0, year.discharge[:-1]) == 0.0)
    assert (np.flatnonzero(begins) % 24 == rule.discharge_from_h).all()
    ends = np.flatnonzero((year.discharge[:-1] > 0.0) & (year.discharge[1:] == 0.0))
    assert not year.content[ends].any()


@settings(max_examples=100, deadline=None)
@given(RULES, SUNS, SUNS, st.integers(0, 119), st.floats(0.1, 30.0))
def test_what_comes_does_not_change_what_was_done(
    rule: StorageRule,
    sun: np.ndarray[tuple[int], np.dtype[np.float64]],
    other: np.ndarray[tuple[int], np.dtype[np.float64]],
    now: int,
    duration_h: float,
) -> None:
    changed = np.concatenate([sun[: now + 1], other[now + 1 :]])
    was, would_be = (run_rule(rule, one, duration_h, 0.95) for one in (sun, changed))
    for series in ("charge", "discharge", "content"):
        assert (getattr(was, series)[: now + 1] == getattr(would_be, series)[: now + 1]).all()


def test_rules_that_a_question_leaves_open() -> None:
    assert rules_asked(0.3, 18) == [StorageRule(0.3, 18)]
    assert {one.charge_above for one in rules_asked(None, 18)} == {0.2, 0.4, 0.6}
    assert len(rules_asked(None, None)) == 9
    assert rules_asked(0.4, 7)[0].in_words() == (
        "discharge at rated power from 07:00 until empty, and else charge at rated power while the sun is above 40 % "
        "of PV's size, until full"
    )
