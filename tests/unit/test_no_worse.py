"""The base rule "no-worse": where the circuit breaks a limit without a site, the site may not make it worse."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from g2g_opt.edges import Edges
from g2g_opt.errors import InputError
from g2g_opt.failure import Failure, FailureKind
from g2g_opt.judge import Criterion, LimitCheck, Verdict, judge
from g2g_opt.limits import Limits
from g2g_opt.metrics.power_quality import PowerQuality, SiteTrip
from g2g_opt.summary import Summary

NODES = (("near", 1), ("far", 1))
NAMES = ("near.A", "far.A")
BRANCHES = ("line.near", "line.far")
ALWAYS = Limits(violation_time_share_max=0.0)
NO_WORSE = replace(ALWAYS, base_rule="no-worse")
SOME_TIME = replace(NO_WORSE, violation_time_share_max=0.1)


def run(near: Any, far: Any, loading: Any = ((0.5,), (0.5,)), **more: Any) -> Summary:
    """Twenty steps of a second, or as many as the voltages (pu) of two buses have."""
    voltage = np.array([np.broadcast_to(one, 20) for one in (near, far)], dtype=np.float64)
    loads = np.array([np.broadcast_to(one, 20) for one in loading], dtype=np.float64)
    return Summary.of_points(voltage, NODES, NAMES, 1.0, loading_pu=loads, branches=BRANCHES, **more)


def course(n_outside: int, outside: float, inside: float = 1.0) -> np.ndarray:
    return np.where(np.arange(20) < n_outside, outside, inside)


def of(verdict: Verdict, *criteria: Criterion) -> LimitCheck:
    (found,) = [check for check in verdict.checks if check.criterion in criteria]
    return found


def voltage_check(verdict: Verdict) -> LimitCheck:
    return of(verdict, Criterion.VOLTAGE_LOW, Criterion.VOLTAGE_HIGH)


def test_a_base_that_keeps_its_limits_changes_nothing() -> None:
    base = run(1.0, 1.0)
    for site in (run(0.99, 0.96), run(0.99, 0.94), run(0.99, course(3, 0.94)), run(0.99, 0.96, ((1.2,), (0.5,)))):
        for held, asked in ((ALWAYS, NO_WORSE), (replace(ALWAYS, violation_time_share_max=0.1), SOME_TIME)):
            assert judge(site, asked, base).checks == judge(site, held).checks


def test_a_bus_that_is_outside_already_may_stay_there_by_the_tolerance() -> None:
    base = run(1.0, 0.94)
    assert not judge(run(1.0, 0.94), ALWAYS, base).kept
    for far, kept in ((0.94, True), (0.945, True), (0.9391, True), (0.9389, False), (0.96, True)):
        for limits in (NO_WORSE, SOME_TIME):
            verdict = judge(run(0.99, far), limits, base)
            assert verdict.kept == kept, (far, limits)
    broken = voltage_check(judge(run(0.99, 0.9389), NO_WORSE, base))
    assert (broken.where, broken.phase, broken.criterion) == ("far", "A", Criterion.VOLTAGE_LOW)
    assert broken.limit == pytest.approx(0.939)
    assert "0.9400 pu without a site" in str(broken)
    wider = replace(NO_WORSE, voltage_worse_max_pu=0.005)
    assert judge(run(0.99, 0.936), wider, base).kept
    assert not judge(run(0.99, 0.934), wider, base).kept


def test_each_side_and_each_bus_is_held_against_its_own_base() -> None:
    base = run(1.07, 0.94)
    # The system's extremes are no worse in any of these.
    assert judge(run(1.06, 0.945), NO_WORSE, base).kept
    for site in (run(0.945, 1.0), run(1.0, 1.06), run(0.941, 0.941)):
        assert not judge(site, NO_WORSE, base).kept
        assert not judge(site, SOME_TIME, base).kept
    # Too high before, too low now: another side, another limit.
    check = voltage_check(judge(run(0.945, 1.0), NO_WORSE, base))
    assert (check.criterion, check.where, check.limit) == (Criterion.VOLTAGE_LOW, "near", 0.95)


def test_a_bus_may_not_be_outside_for_longer_than_in_the_base() -> None:
    base = run(1.0, course(8, 0.94))
    limits = replace(NO_WORSE, time_worse_share_max=0.05)
    assert judge(run(1.0, course(9, 0.94)), limits, base).kept
    longer = judge(run(1.0, course(10, 0.94)), limits, base)
    assert not longer.kept
    check = voltage_check(longer)
    assert (check.value, check.limit) == (0.5, pytest.approx(0.45))
    assert not judge(run(course(1, 0.949), course(8, 0.94)), limits, base).kept
    # Where some time outside is allowed, a bus that the base keeps inside has that time, and no more.
    assert judge(run(course(2, 0.93), course(8, 0.94)), SOME_TIME, base).kept
    assert not judge(run(course(3, 0.93), course(8, 0.94)), SOME_TIME, base).kept


def test_every_branch_is_held_against_its_own_base() -> None:
    base = run(1.0, 1.0, ((1.2,), (0.5,)))
    assert not judge(base, ALWAYS, base).kept
    for near, far, kept in ((1.2, 0.9, True), (1.205, 0.9, True), (1.22, 0.9, False), (1.1, 1.1, False), (0.9, 0.9, 1)):
        assert judge(run(1.0, 1.0, ((near,), (far,))), NO_WORSE, base).kept == kept
    check = of(judge(run(1.0, 1.0, ((1.22,), (0.5,))), NO_WORSE, base), Criterion.LINE_LOADING)
    assert (check.where, check.limit) == ("line.near", pytest.approx(1.21))
    sometimes = replace(NO_WORSE, overload_time_share_max=0.1)
    partly = run(1.0, 1.0, (course(8, 1.2, 0.5), (0.5,)))
    for near, far, kept in ((8, 2, True), (8, 3, False), (9, 0, False), (2, 2, True)):
        site = run(1.0, 1.0, (course(near, 1.2, 0.5), course(far, 1.5, 0.5)))
        assert judge(site, sometimes, partly).kept == kept, (near, far)


def test_emergency_ratings_and_the_integral_have_the_base_beside_them_too() -> None:
    limits = replace(NO_WORSE, loading_max_pu=None, loading_emergency_max_pu=1.0)
    share = {"emergency_share": np.array([1.0, 1.0])}
    base = run(1.0, 1.0, ((1.2,), (0.5,)), **share)
    for near, far, kept in ((1.205, 0.9, True), (1.22, 0.9, False), (1.1, 1.1, False)):
        assert judge(run(1.0, 1.0, ((near,), (far,)), **share), limits, base).kept == kept
    capped = replace(NO_WORSE, violation_integral_max_pu_s=0.01)
    outside = run(1.0, 0.94)
    # 20 s at 0.01 pu outside, and 20 s of the tolerance of 0.001 pu.
    assert of(judge(run(1.0, 0.9395), capped, outside), Criterion.VOLTAGE_INTEGRAL).limit == pytest.approx(0.22)
    assert judge(run(1.0, 0.9395), capped, outside).kept


def quality(change_pu: tuple[float, float], after_pu: tuple[float, float] | None = None) -> PowerQuality:
    none, steps = np.zeros((2, 0)), np.zeros(2, np.int32)
    trips = () if after_pu is None else (SiteTrip("site", 3, np.array([1.0, 1.0]), np.array(after_pu)),)
    return PowerQuality(
        1.0, 20, NODES, (), (), none, none.astype(np.int32), np.zeros((2, 0, 0), np.int32), none,
        np.array(change_pu), steps, (), trips,
    )  # fmt: skip


def test_rapid_changes_of_the_circuit_itself_are_no_fault_of_the_site() -> None:
    base = replace(run(1.0, 1.0), power_quality=quality((0.04, 0.01)))
    for changes, kept in (((0.0405, 0.02), True), ((0.042, 0.02), False), ((0.03, 0.035), False)):
        site = replace(run(1.0, 1.0), power_quality=quality(changes))
        assert judge(site, NO_WORSE, base).kept == kept
        assert of(judge(site, ALWAYS, base), Criterion.RAPID_VOLTAGE_CHANGE).base_breaks


def test_a_trip_has_a_limit_of_its_own_and_leaves_no_more_than_the_base_has() -> None:
    for after, limits, criterion in (
        (1.04, Limits(), Criterion.TRIP_VOLTAGE_CHANGE),
        (1.04, Limits(rapid_voltage_change_trip_max_pu=0.05), None),
        (1.04, Limits(rapid_voltage_change_trip_max_pu=None, rapid_voltage_change_max_pu=0.001), None),
        (1.06, Limits(rapid_voltage_change_trip_max_pu=0.05), Criterion.TRIP_VOLTAGE_CHANGE),
    ):
        site = replace(run(1.0, 1.0), power_quality=quality((0.0, 0.0), (after, 1.0)))
        assert [c.criterion for c in judge(site, limits).broken] == ([criterion] if criterion else [])
    asked = replace(NO_WORSE, voltage_after_trip_max_pu=1.06, rapid_voltage_change_trip_max_pu=None)
    base = replace(run(1.08, 1.0), power_quality=quality((0.0, 0.0)))
    for after, kept in (((1.0805, 1.0), True), ((1.082, 1.0), False), ((1.05, 1.07), False)):
        site = replace(run(1.05, 1.0), power_quality=quality((0.0, 0.0), after))
        assert judge(site, asked, base).kept == kept


def test_under_hold_the_base_names_what_no_site_is_to_blame_for() -> None:
    base, site = run(1.0, 0.94), run(1.0, 0.93, ((1.2,), (0.5,)))
    verdict = judge(site, ALWAYS, base)
    assert {check.criterion: check.base_breaks for check in verdict.broken} == {
        Criterion.VOLTAGE_LOW: True,
        Criterion.LINE_LOADING: False,
    }
    assert "also without any site" in verdict.reasons()[0]
    assert [replace(check, base_breaks=False) for check in verdict.checks] == list(judge(site, ALWAYS).checks)
    # Another side of the band is another criterion: the base is not to blame for it.
    assert not voltage_check(judge(run(1.0, 1.07), ALWAYS, base)).base_breaks


def test_what_the_base_does_not_have_is_held_to_the_limit() -> None:
    base = Summary.of_points(np.full((1, 20), 0.94), NODES[1:], NAMES[1:], 1.0)
    assert judge(run(1.0, 0.94), NO_WORSE, base).kept
    assert not judge(run(0.94, 0.94), NO_WORSE, base).kept
    assert not judge(run(1.0, 0.94, ((1.2,), (0.5,))), NO_WORSE, base).kept


def test_a_base_without_an_answer_is_no_reference() -> None:
    failed = Summary.without_figures(Failure(FailureKind.NOT_CONVERGED, time_s=0.0), 1.0)
    assert not judge(run(1.0, 0.94), NO_WORSE, failed).kept
    verdict = judge(failed, NO_WORSE, failed)
    assert verdict.reasons() == ("t=0 s: the power flow did not converge, also without any site",)
    assert verdict.broken[0].base_breaks
    assert not judge(failed, NO_WORSE, run(1.0, 1.0)).broken[0].base_breaks


def test_no_base_other_steps_and_times_that_were_not_kept_are_refused() -> None:
    with pytest.raises(InputError, match="needs the run of the same scenario without sites"):
        judge(run(1.0, 1.0), NO_WORSE)
    base = Summary.of_points(np.full((2, 10), 0.94), NODES, NAMES, 1.0)
    with pytest.raises(InputError, match="give a base of the same steps"):
        judge(run(1.0, 0.93), NO_WORSE, base)
    with pytest.raises(InputError, match=r"no voltage figures were kept at 0\.955 pu"):
        judge(run(1.0, 0.93), replace(NO_WORSE, voltage_min_pu=0.955), run(1.0, 0.94))
    at_edge = Edges().including(0.955, 1.05, 1.0)
    limits = replace(NO_WORSE, voltage_min_pu=0.955)
    assert judge(run(1.0, 0.94, edges=at_edge), limits, run(1.0, 0.94, edges=at_edge)).kept
    with pytest.raises(InputError, match="base rule 'worse' not found"):
        Limits(base_rule="worse")  # type: ignore[arg-type]
