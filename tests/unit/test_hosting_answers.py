"""What a hosting-capacity search concludes from sizes judged: the answer, what stopped it, firm beside flexible."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest

from g2g_opt.errors import InputError, PowerFlowError
from g2g_opt.failure import Failure, FailureKind
from g2g_opt.judge import Criterion, LimitCheck, Verdict
from g2g_opt.limits import Limits
from g2g_opt.outcome import Outcome
from g2g_opt.summary import Summary
from solvers.largest_feasible import search_largest_feasible
from studies.hosting_capacity.answer import where_flexibility_adds_nothing
from studies.hosting_capacity.answer_tables import curtailment_points, frontier_charts
from studies.hosting_capacity.capacity import Aim, Capacity, JudgedSize, best_of, capacity_of
from studies.hosting_capacity.frontier import Corner, rises
from studies.hosting_capacity.rows import CapacityRow, JudgedSizeRow
from studies.hosting_capacity.search import GROWTH, RESOLUTION, TRY_ABOVE, expected_sizes
from studies.hosting_capacity.shared_lanes import SharedLanes
from studies.hosting_capacity.study import HostingCapacityStudy

FIRM = Aim(("671",), "firm", 0.5)
DIVERGED = Failure(FailureKind.NOT_CONVERGED)


def judged(n: int, *used: float, failure: Failure | None = None) -> JudgedSize:
    checks = tuple(
        LimitCheck(Criterion.LINE_LOADING, f"limit {k}", x, 1.0, x, x <= 1.0, f"at {k}") for k, x in enumerate(used)
    )
    summary = Summary.without_figures(failure or DIVERGED, 1.0)
    outcome = Outcome("hour", "batch", replace(summary, failure=failure), Verdict(checks, failure))
    return JudgedSize(n, outcome.kept, (), 1, outcome, (n,))


def answer(*sizes: JudgedSize, aim: Aim = FIRM) -> Capacity:
    return capacity_of(aim, sizes, max((s for s in sizes if s.kept), key=lambda s: s.n_servers, default=None))


def test_what_stops_the_next_size_is_the_limit_it_breaks_most() -> None:
    found = answer(judged(10, 0.9, 0.5), judged(12, 1.1, 1.4), judged(11, 0.7, 0.6), judged(20, 9.0, 0.1))
    assert found.n_servers == 11
    assert (found.n_rejected, found.stopped_by.name, found.stopped_by.where) == (12, "limit 1", "at 1")
    assert [size.n_servers for size in found.judged] == [10, 11, 12, 20]


def test_a_failed_power_flow_stops_a_size_with_its_reason() -> None:
    found = answer(judged(10, 0.9), judged(11, failure=DIVERGED))
    assert (found.stopped_by.name, found.stopped_by.place()) == ("power flow", "the power flow did not converge")
    with pytest.raises(PowerFlowError, match="did not converge"):
        _ = found.judged[1].summary


def test_a_gap_and_the_end_of_the_search_are_said() -> None:
    found = answer(judged(5, 2.0), judged(9, 0.5))
    assert found.rejected_below == (5,)
    assert found.below_gap is None
    assert found.n_rejected is None
    comb = answer(judged(3, 0.5), judged(4, 0.6), judged(5, 2.0), judged(7, 0.5), judged(8, 2.0), judged(9, 0.5))
    assert (comb.n_servers, comb.rejected_below) == (9, (5, 8))
    assert comb.below_gap is not None
    assert comb.below_gap.n_servers == 4
    assert answer(judged(5, 2.0)).largest is None


# Servers at 850 of the 34-bus feeder that keep voltages and ratings where its regulators act by themselves (one model,
# a steady run of 40 s): between these, a voltage settles above the band.
TEETH = (
    (1, 429), (459, 465), (489, 498), (530, 543), (564, 587), (597, 599), (601, 605), (613, 619), (627, 638),
    (644, 655), (662, 680), (682, 682), (693, 697), (705, 718), (738, 750), (772, 780), (847, 871), (878, 897),
)  # fmt: skip


@pytest.mark.parametrize("start", [1, 60, 275, 440, 1300])
def test_a_search_under_own_control_comes_to_the_last_tooth_of_a_comb(start: int) -> None:
    search = search_largest_feasible(
        9000, start=start, resolution=RESOLUTION, growth=GROWTH, try_above=TRY_ABOVE["own control"], at_once=2
    )
    asked, found = next(search), None
    while found is None:
        try:
            asked = search.send({n: any(low <= n <= high for low, high in TEETH) for n in asked})
        except StopIteration as end:
            found = end.value
    assert 0.995 * 897 <= found.n <= 897
    assert found.rejected_below
    assert len(found.judged) < 100


def test_flexible_is_no_less_than_firm() -> None:
    firm = answer(judged(10, 0.5), judged(11, 1.5))
    flexible = answer(judged(8, 0.5), judged(9, 1.5), aim=replace(FIRM, operation="flexible"))
    left_off = best_of(firm, flexible)
    assert (left_off.operation, left_off.n_servers, left_off.n_rejected) == ("flexible", 10, 11)
    assert "only 64 GPUs: it is better left off" in left_off.note
    assert best_of(flexible, firm) == firm
    # Sizes of the controller's own, refused below the firm answer, are no gap of an answer that leaves it off.
    assert left_off.gaps == ()


def corner(first: int, second: int) -> Corner:
    return Corner("671", "675", "firm", 8 * first, 8 * second, 0.0, 0.0, "", "")


def test_a_frontier_that_rises_by_more_than_the_resolution_is_noticed() -> None:
    assert not rises([corner(0, 1000), corner(10, 1005), corner(20, 900)])
    assert rises([corner(0, 1000), corner(10, 900), corner(20, 950)])


def test_a_chart_of_frontiers_says_which_pairs_it_shows() -> None:
    def pair(mw: float) -> list[Corner]:
        return [replace(corner(0, 0), first_peak_mw=mw), replace(corner(0, 0), second_peak_mw=2.0 * mw)]

    (few,) = frontier_charts({(f"b{k}", "675", "firm"): pair(float(k)) for k in range(3)})
    assert (few.title, [line.name for line in few.lines]) == ("Sizes that go together, firm", [
        "b2, 675", "b1, 675", "b0, 675"
    ])  # fmt: skip
    (many,) = frontier_charts({(f"b{k}", "675", "firm"): pair(float(k)) for k in range(30)})
    assert many.title == (
        "Sizes that go together, firm (24 of 30 pairs: the 23 with the most, and the one with the least)"
    )
    assert [line.name for line in many.lines] == [f"b{k}, 675" for k in (*range(29, 6, -1), 0)]


def test_curtailment_keeps_the_sizes_that_none_with_less_of_it_exceeds() -> None:
    def row(gpus: int, seconds: float | None, kept: bool = True) -> JudgedSizeRow:
        values = dict.fromkeys(f.name for f in fields(JudgedSizeRow))
        return JudgedSizeRow(**values | {"bus": "671", "n_gpus": gpus, "curtailed_time_s": seconds, "kept": kept})

    rows = [row(80, 0.0), row(88, 0.0), row(80, 600.0), row(96, 1800.0), row(104, 3600.0, kept=False), row(120, None)]
    assert [(size.n_gpus, hours) for hours, size in curtailment_points(rows)["671"]] == [(88, 0.0), (96, 0.5)]


def test_servers_are_shared_as_asked_and_none_is_lost() -> None:
    study = HostingCapacityStudy(site_shares=(3.0, 2.0, 1.0), n_sites=3)
    for n in range(200):
        sizes = study.share_servers(n, 3)
        assert sum(sizes) == n
        assert all(abs(size - n * share / 6.0) < 1.0 + 1e-9 for size, share in zip(sizes, (3.0, 2.0, 1.0), strict=True))


def test_searches_that_still_look_share_the_lanes_of_a_flow() -> None:
    lanes = SharedLanes(14)
    assert (lanes.at_first, lanes.at_once()) == (2, 2)
    for _ in range(10):
        lanes.leave()
    assert (lanes.at_first, lanes.at_once()) == (2, 4)
    for _ in range(4):
        lanes.leave()
    assert lanes.at_once() == 16


def test_few_sets_are_two_tasks_and_many_are_bounded_whatever_runs_them() -> None:
    study = HostingCapacityStudy(feeder="ieee123")
    tasks = study.tasks("capacities", ())
    buses = [buses[0] for task in tasks for buses in task.content["site_sets"]]
    assert sorted(buses) == sorted(study.resolve_buses(study.load_feeder()))
    assert max(len(task.content["site_sets"]) for task in tasks) <= 8
    assert len(HostingCapacityStudy(buses=("671", "675")).tasks("capacities", ())) == 2
    assert len(HostingCapacityStudy(buses=("671",)).tasks("capacities", ())) == 1
    assert len(HostingCapacityStudy().tasks("capacities", ())) == 2, "seven buses, for two workers"
    assert study.tasks("frontier", ()) == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"overload_time_max_s": 60.0, "loading_max_pu": None},
        {"overload_time_max_s": -1.0, "loading_max_pu": 1.0},
        {"loading_emergency_max_pu": 0.0},
    ],
)
def test_thermal_limits_that_contradict_each_other_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(InputError, match=r"loading_max_pu|must lie in"):
        Limits(**wrong)


# Sizes that searches judged at 671 and 675 (13 buses), 850 and 834 (34 buses) and 67 (123 buses), runs of 600 s.
MEASURED = {
    ("own control", "firm"): (52, 39, 44, 39, 49),
    ("own control", "flexible"): (72, 63, 57, 61, 73),
    ("study", "firm"): (37, 35, 32, 29),
    ("study", "flexible"): (48, 43, 44, 44),
}


@pytest.mark.parametrize(("taps", "operation"), MEASURED)
def test_progress_expects_about_as_many_sizes_as_searches_judge(taps: Any, operation: Any) -> None:
    study = HostingCapacityStudy(taps=taps)
    (aim,) = [one for one in study.aims(("671",)) if one.operation == operation]
    shares = [expected_sizes(study, aim) / n for n in MEASURED[taps, operation]]
    assert min(shares) > 0.75
    assert max(shares) < 1.25
    # Without the ladder there is less to do.
    assert expected_sizes(replace(study, ladder=False), aim) < 0.6 * expected_sizes(study, aim)


def capacity_row(operation: str, mw: float, **known: Any) -> CapacityRow:
    unknown: dict[str, Any] = dict.fromkeys(f.name for f in fields(CapacityRow))
    return CapacityRow(**unknown | {"bus": "671", "operation": operation, "power_peak_mw": mw} | known)


def test_where_flexible_operation_adds_no_mw_the_answer_says_what_refuses_both_and_what_work_is_gained() -> None:
    firm = capacity_row("firm", 1.377, n_gpus=1816, throughput_tps=1.0e6, limit="voltage change at a trip")
    flexible = capacity_row("flexible", 1.379, n_gpus=1634, throughput_tps=1.5e6, limit="voltage change at a trip")
    assert where_flexibility_adds_nothing([firm, flexible]) == [
        "Flexible operation adds no MW at 671: voltage change at a trip refuses the next size of both; it serves 1.50 "
        "times the tokens per second with 0.90 of the GPUs."
    ]
    (other,) = where_flexibility_adds_nothing([firm, replace(flexible, limit="throughput")])
    assert "throughput refuses its next size, voltage change at a trip the next one of firm operation" in other
    assert where_flexibility_adds_nothing([firm, replace(flexible, power_peak_mw=1.5)]) == []
    assert where_flexibility_adds_nothing([firm]) == where_flexibility_adds_nothing([flexible]) == []
    assert where_flexibility_adds_nothing([replace(firm, n_gpus=0, power_peak_mw=0.0), flexible]) == []
    # Where a search ended without a refusal, nothing refuses.
    assert where_flexibility_adds_nothing([replace(firm, limit=""), flexible]) == []
