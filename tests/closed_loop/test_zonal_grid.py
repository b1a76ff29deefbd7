"""The loop of zones: what a policy sees and when it acts, and when the grid takes a shift back (equations 9.5, 9.6).

The grid of most tests is small enough to be dispatched by hand: zone A has cheap generators, zone B 100 MW of dear ones
and a line of 300 MW from A.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from g2g_opt.coordinator import Coordinator
from g2g_opt.errors import InputError, PowerFlowError
from g2g_opt.simulation_log import SimulationLog
from g2g_opt.transmission.policy import ContextualPolicy, CoordinationFeature, Published
from g2g_opt.transmission.policy_controller import ContextualPolicyController, published_names
from g2g_opt.transmission.series import ZonalSeries
from g2g_opt.transmission.zonal_datacenter import HOUR_S, ShiftTasks, ZonalDatacenter
from g2g_opt.transmission.zonal_grid import Dispatch, ShedRule, ZonalGrid
from studies.coordination_policy.closed_loop import run_loop
from studies.coordination_policy.hours import load_hours
from studies.coordination_policy.setting import make_setting
from studies.coordination_policy.study import CoordinationStudy

NAMES = published_names(("A", "B"), ("A-B",))
BASE_MW = (60.0, 40.0)
LINE_MW, DEAR_MW = 300.0, 100.0


def by_hand(load_mw: np.ndarray, renewable_mw: np.ndarray) -> Dispatch:
    """B imports what the line carries, then runs its own, then sheds; A must find users for its renewables."""
    need_a, need_b = load_mw - renewable_mw
    flow = min(max(need_b, 0.0), LINE_MW)
    dear = min(max(need_b - flow, 0.0), DEAR_MW)
    shed = max(need_b - flow - dear, 0.0)
    cost = 10.0 * (need_a + flow) + 50.0 * dear + 1000.0 * shed
    price_b = 1000.0 if shed else 50.0 if dear else 10.0
    return Dispatch(
        bool(need_a + flow >= 0.0), cost, np.array([0.0, shed]), np.array([10.0, price_b]), np.array([flow])
    )


def policy_of(
    feature: CoordinationFeature | None = None, slope: float = 0.0, intercept_mw: float = 0.0
) -> ContextualPolicy:
    """Work moves from A's datacenter to B's: so many MW, and so many per unit of a feature."""
    columns = [[-intercept_mw, intercept_mw], *([[-slope, slope]] if feature is not None else [])]
    return ContextualPolicy(("a", "b"), (feature,) if feature is not None else (), np.array(columns).T)


class Rig:
    """Two zones with a datacenter each, a policy between them, and what came of a run."""

    def __init__(
        self,
        load_mw: np.ndarray,
        policy: ContextualPolicy | None,
        *,
        renewable_mw: np.ndarray | None = None,
        dispatch: Callable[[np.ndarray, np.ndarray], Dispatch] = by_hand,
        shed_rule: ShedRule = "sheds no more",
        dt_s: Fraction = HOUR_S,
        respond: Callable[[np.ndarray], np.ndarray] = lambda asked: asked,
        **options: Any,
    ) -> None:
        renewable_mw = np.zeros_like(load_mw) if renewable_mw is None else renewable_mw
        self.grid = ZonalGrid(load_mw, renewable_mw, dispatch, shed_rule=shed_rule, dt_s=dt_s)
        self.sites = [ZonalDatacenter(name, zone, BASE_MW[zone], dt_s) for zone, name in enumerate("ab")]
        for site in self.sites:
            self.grid.attach_dc(site)
        controllers = []
        if policy is not None:
            controllers = [ContextualPolicyController(policy, self.sites, self.grid, NAMES, respond, **options)]
        self.coordinator = Coordinator(
            datacenters=self.sites, grid=self.grid, controllers=controllers, total_duration_s=len(load_mw) * dt_s
        )

    def run(self) -> SimulationLog[Any, Any]:
        return self.coordinator.run()


def shift_mw(log: SimulationLog[Any, Any]) -> np.ndarray:
    """What B's datacenter did more, in every step; A's did less by as much."""
    to_b = np.array([state.shift_mw for state in log.dc_states_by_site["b"]])
    from_a = np.array([state.shift_mw for state in log.dc_states_by_site["a"]])
    assert to_b == pytest.approx(-from_a, abs=1e-9)
    return to_b


def loads(hours: int, load_a: float = 500.0, load_b: float = 200.0) -> np.ndarray:
    return np.tile([load_a, load_b], (hours, 1)).astype(float)


# ---------------------------------------------------------------- when it sees and acts


@pytest.mark.parametrize("lag_h", [1, 2, 24])
def test_an_hours_figure_moves_tasks_its_lag_later_and_never_before(lag_h: int) -> None:
    load_mw = loads(30)
    load_mw[3, 0] += 100.0
    log = Rig(load_mw, policy_of(CoordinationFeature.of("load.A", "MW", lag_h), 0.01), before=np.zeros((25, 7))).run()
    expected = [0.0] + [0.01 * load_mw[h - lag_h, 0] if h >= lag_h else 0.0 for h in range(1, 30)]
    assert shift_mw(log) == pytest.approx(expected)


@pytest.mark.parametrize("name", NAMES)
def test_no_figure_of_an_hour_reaches_that_hour_or_one_before(name: str) -> None:
    """The same run with another hour 4: shifts up to hour 4 are the same, whatever is read of it."""
    load_mw = loads(8) + np.arange(8)[:, None]
    other_mw, other_renewable_mw = load_mw.copy(), np.zeros_like(load_mw)
    other_mw[4] += 80.0
    other_renewable_mw[4] = 7.0
    policy = policy_of(CoordinationFeature.of(name, "", 1), 0.01)
    first = shift_mw(Rig(load_mw, policy).run())
    second = shift_mw(Rig(other_mw, policy, renewable_mw=other_renewable_mw).run())
    assert np.array_equal(first[:5], second[:5])
    # The price of A is always that of its cheap generators; anything else is another one from hour 5 on.
    assert (first[5] != second[5]) == (name != "price.A")


def test_prices_and_flows_read_are_those_of_the_dispatch_with_shifts() -> None:
    # With 60 MW more in B the line is full and B's own generators set its price.
    policy = policy_of(CoordinationFeature.of("price.B", "$/MWh", 1), 0.1, intercept_mw=50.0)
    log = Rig(loads(4, load_b=220.0), policy).run()
    assert shift_mw(log) == pytest.approx([0.0, 51.0, 55.0, 55.0])


def test_hours_before_the_run_come_from_before_the_latest_last() -> None:
    before = np.zeros((3, 7))
    before[:, 0] = [100.0, 200.0, 300.0]
    policy = policy_of(CoordinationFeature.of("load.A", "MW", 3), 0.01)
    log = Rig(loads(4, load_a=400.0), policy, before=before).run()
    # Hour 1 looks at two hours before the run, hour 2 at the last one.
    assert shift_mw(log) == pytest.approx([0.0, 2.0, 3.0, 4.0])
    assert not [event for event in log.events if event.topic == "policy.waits"]


def test_an_hour_whose_figures_are_not_there_yet_waits_and_says_so() -> None:
    log = Rig(loads(5, load_a=400.0), policy_of(CoordinationFeature.of("load.A", "MW", 3), 0.01, 5.0)).run()
    assert shift_mw(log) == pytest.approx([0.0, 0.0, 0.0, 9.0, 9.0])
    assert [event.data["hour"] for event in log.events if event.topic == "policy.waits"] == [1, 2]


def test_what_is_known_without_measuring_is_that_of_the_hour_acted_in() -> None:
    policy = policy_of(CoordinationFeature.of("clock", "h", 0), 1.0)
    log = Rig(loads(4), policy, context=lambda hour: {"clock": float(hour)}).run()
    assert shift_mw(log) == pytest.approx([0.0, 1.0, 2.0, 3.0])


def test_a_second_run_of_the_same_components_is_the_first_again() -> None:
    load_mw = loads(6, 500.0, 300.0) + np.arange(6)[:, None]
    rig = Rig(load_mw, policy_of(CoordinationFeature.of("load.A", "MW", 2), 0.01), before=np.full((1, 7), 50.0))
    first, second = shift_mw(rig.run()), shift_mw(rig.run())
    assert first[2] == pytest.approx(5.0)
    assert np.array_equal(first, second)


def test_commands_reach_datacenters_by_name_whatever_their_order() -> None:
    policy = ContextualPolicy(("b", "a"), (), np.array([[5.0], [-5.0]]))
    assert shift_mw(Rig(loads(2), policy).run()) == pytest.approx([0.0, 5.0])


def test_what_a_response_holds_back_is_an_event_with_both_figures() -> None:
    log = Rig(loads(3), policy_of(intercept_mw=10.0), respond=lambda asked: 0.3 * asked).run()
    assert shift_mw(log) == pytest.approx([0.0, 3.0, 3.0])
    (first, *_) = [event for event in log.events if event.topic == "policy.held_back"]
    assert first.data["asked_mw"] == pytest.approx([-10.0, 10.0])
    assert first.data["done_mw"] == pytest.approx([-3.0, 3.0])


# ---------------------------------------------------------------- what a policy may not read or move


@pytest.mark.parametrize("lag_h", [0, -1])
@pytest.mark.parametrize("name", ["load.A", "price.B", "flow.A-B"])
def test_a_policy_that_reads_measured_figures_of_the_hour_it_acts_in_is_refused(name: str, lag_h: int) -> None:
    with pytest.raises(InputError, match=f"at least an hour old.*{name}@{lag_h}h"):
        Rig(loads(2), policy_of(CoordinationFeature.of(name, "MW", lag_h), 0.1))


def test_a_hidden_term_of_the_future_is_found() -> None:
    feature = CoordinationFeature("net", "MW", ((Published("load.A", 1), 1.0), (Published("renewable.B", 0), -1.0)))
    with pytest.raises(InputError, match=r"renewable\.B@0h"):
        Rig(loads(2), policy_of(feature, 0.1))


def test_a_clock_figure_of_another_hour_is_refused() -> None:
    # The context gives the hour acted in only: an older one would silently be that one.
    with pytest.raises(InputError, match="clock@2h"):
        Rig(
            loads(2),
            policy_of(CoordinationFeature.of("clock", "h", 2), 1.0),
            context=lambda hour: {"clock": float(hour)},
        )


def test_figures_and_datacenters_that_are_not_there_are_named() -> None:
    with pytest.raises(InputError, match=r"does not publish: \['load.C'\]"):
        Rig(loads(2), policy_of(CoordinationFeature.of("load.C", "MW", 1), 0.1))
    with pytest.raises(InputError, match=r"not there: \['c'\]"):
        Rig(loads(2), ContextualPolicy(("a", "c"), (), np.zeros((2, 1))))


def test_hours_before_that_lack_a_figure_are_refused() -> None:
    with pytest.raises(InputError, match=r"\(hour, 7\)"):
        Rig(loads(2), policy_of(intercept_mw=1.0), before=np.zeros((3, 6)))


# ---------------------------------------------------------------- rule (24)

# Load of B that just needs all of its generators and the line without a shift.
FULL_B = LINE_MW + DEAR_MW - BASE_MW[1]


@pytest.mark.parametrize(
    ("load_b", "asked_mw", "nothing", "no_more"),
    [
        (FULL_B - 50.0, 30.0, True, True),  # nothing is shed
        (FULL_B, 10.0, False, False),  # shed because of the shift
        (FULL_B + 20.0, -15.0, False, True),  # less is shed than without, but not nothing
        (FULL_B + 20.0, -25.0, True, True),  # the shift saves all of it
        (FULL_B + 20.0, 5.0, False, False),  # more is shed than without
        (FULL_B + 20.0, 0.0, True, True),  # shed without a shift: there is nothing to reject
    ],
)
@pytest.mark.parametrize("rule", ["sheds nothing", "sheds no more"])
def test_a_shift_is_rejected_by_what_is_shed(
    load_b: float, asked_mw: float, nothing: bool, no_more: bool, rule: ShedRule
) -> None:
    accepted = nothing if rule == "sheds nothing" else no_more
    log = Rig(loads(2, load_b=load_b), policy_of(intercept_mw=asked_mw), shed_rule=rule).run()
    state = log.grid_states[1]
    assert state.shift_accepted == accepted
    assert shift_mw(log)[1] == pytest.approx(asked_mw if accepted else 0.0)
    assert len([event for event in log.events if event.topic == "shift.rejected"]) == (not accepted)
    # Cost and shed load are those of what was done.
    moved_mw = shift_mw(log)[1]
    truth = by_hand(np.array([500.0 + BASE_MW[0] - moved_mw, load_b + BASE_MW[1] + moved_mw]), np.zeros(2))
    assert state.dispatch.cost_usd_per_h == pytest.approx(truth.cost_usd_per_h)
    assert state.dispatch.shed_mw == pytest.approx(truth.shed_mw)


def test_a_withdrawn_shift_leaves_base_loads_in_the_record_and_the_next_hour_tries_again() -> None:
    load_mw = loads(5)
    load_mw[2, 1] = FULL_B
    log = Rig(load_mw, policy_of(intercept_mw=10.0)).run()
    assert shift_mw(log) == pytest.approx([0.0, 10.0, 0.0, 10.0, 10.0])
    for site, base_mw, sign in (("a", BASE_MW[0], -1.0), ("b", BASE_MW[1], 1.0)):
        states = log.dc_states_by_site[site]
        assert [state.load_mw for state in states] == pytest.approx(base_mw + sign * shift_mw(log))
        assert [1e6 * state.load_mw for state in states] == pytest.approx([s.power_w.total for s in states])
        assert [state.time_s for state in states] == [3600.0 * hour for hour in range(5)]
    assert [state.shift_accepted for state in log.grid_states] == [True, True, False, True, True]
    assert [event.t_s for event in log.events if event.topic == "shift.rejected"] == [7200.0]


def test_an_hour_that_cannot_be_dispatched_names_its_step() -> None:
    renewable_mw = np.zeros((4, 2))
    renewable_mw[2, 0] = 2000.0
    with pytest.raises(PowerFlowError, match="step 2"):
        Rig(loads(4), None, renewable_mw=renewable_mw).run()
    with pytest.raises(PowerFlowError, match="step 2"):
        Rig(loads(4), policy_of(intercept_mw=10.0), renewable_mw=renewable_mw).run()


@pytest.mark.parametrize(("asked_mw", "done_mw"), [(50.0, 0.0), (-50.0, -50.0)])
def test_a_shift_that_strands_renewables_is_withdrawn_one_that_saves_them_is_kept(
    asked_mw: float, done_mw: float
) -> None:
    # B's load is more than the line carries, so work moved to B is not done in A, and A has 10 MW to spare or to find.
    spare_mw = 10.0 if asked_mw > 0.0 else -10.0
    renewable_mw = np.zeros((2, 2))
    renewable_mw[1, 0] = 500.0 + BASE_MW[0] + LINE_MW - spare_mw
    rig = Rig(loads(2, load_b=320.0), policy_of(intercept_mw=asked_mw), renewable_mw=renewable_mw)
    assert shift_mw(rig.run())[1] == pytest.approx(done_mw)


# ---------------------------------------------------------------- five minutes

FIVE_MINUTES_S = Fraction(300)


def series_of(load_mw: np.ndarray) -> ZonalSeries:
    n = len(load_mw)
    begins = np.datetime64("2018-07-01T00") + np.arange(n)
    return ZonalSeries(("A", "B"), begins, load_mw, np.full((n, 2), np.nan), np.zeros(n), np.zeros(n))


def test_in_five_minute_steps_a_policy_acts_on_the_hour_by_the_mean_of_hours_before() -> None:
    hour = np.arange(24)
    load_mw = np.column_stack([500.0 + 100.0 * np.sin(hour / 4.0), np.full(24, 200.0)])
    fine_mw = series_of(load_mw).at_five_minutes().load_mw
    # Otherwise the first five minutes of an hour would do as well as its mean.
    assert np.abs(fine_mw[::12, 0] - load_mw[:, 0]).max() > 5.0
    policy = policy_of(CoordinationFeature.of("load.A", "MW", 1), 0.1, -45.0)
    hourly = shift_mw(Rig(load_mw, policy).run())
    fine = shift_mw(Rig(fine_mw, policy, dt_s=FIVE_MINUTES_S).run())
    assert len(fine) == 288
    assert fine == pytest.approx(np.repeat(hourly, 12), abs=1e-6)


def test_in_five_minute_steps_a_shift_is_withdrawn_where_it_does_harm_only() -> None:
    fine_mw = np.repeat(loads(3), 12, axis=0)
    fine_mw[15:18, 1] = FULL_B
    done = shift_mw(Rig(fine_mw, policy_of(intercept_mw=10.0), dt_s=FIVE_MINUTES_S).run())
    assert np.flatnonzero(done == 0.0).tolist() == [*range(12), 15, 16, 17]


def test_datacenters_of_another_rate_than_their_grid_are_refused() -> None:
    # A shift is withdrawn step by step: the record of a longer step would be wrong in part.
    grid = ZonalGrid(loads(12), np.zeros((12, 2)), by_hand, dt_s=FIVE_MINUTES_S)
    with pytest.raises(InputError, match="'a' steps every 3600 s, its grid every 300 s"):
        grid.attach_dc(ZonalDatacenter("a", 0, 60.0))


def test_a_grid_whose_steps_do_not_make_an_hour_has_no_hourly_policy() -> None:
    with pytest.raises(InputError, match=r"whole number of steps.* 420 s"):
        Rig(loads(3), policy_of(intercept_mw=1.0), dt_s=Fraction(420))


# ---------------------------------------------------------------- bad input


def test_what_a_grid_and_datacenters_cannot_be_is_refused() -> None:
    grid = ZonalGrid(loads(2), np.zeros((2, 2)), by_hand)
    with pytest.raises(InputError, match="zone 2"):
        grid.attach_dc(ZonalDatacenter("a", 2, 1.0))
    for bad_mw in (-1.0, float("nan"), float("inf")):
        with pytest.raises(InputError, match="cannot do"):
            ZonalDatacenter("a", 0, bad_mw)
    with pytest.raises(InputError, match="alike"):
        ZonalGrid(loads(2), np.zeros((2, 3)), by_hand)
    rig = Rig(loads(2), None)
    rig.coordinator.total_duration_s *= 2
    longer = Coordinator(datacenters=rig.sites, grid=rig.grid, total_duration_s=3 * HOUR_S)
    with pytest.raises(InputError, match="2 steps"):
        longer.run()


@pytest.mark.parametrize("asked_mw", [float("nan"), float("inf")])
def test_a_shift_that_is_no_number_is_refused_and_not_a_load_of_nothing(asked_mw: float) -> None:
    def respond(asked: Sequence[float]) -> np.ndarray:
        return np.array([asked_mw, -asked_mw])

    with pytest.raises(InputError, match="no number"):
        Rig(loads(3), policy_of(intercept_mw=1.0), respond=respond).run()


def test_a_command_of_another_class_is_refused() -> None:
    rig = Rig(loads(2), None)
    rig.coordinator.start()
    with pytest.raises(InputError, match="not in this run"):
        rig.coordinator.dispatch_commands([ShiftTasks(1.0, target=ZonalDatacenter("c", 0, 1.0))])


# ---------------------------------------------------------------- the real system


def test_without_a_policy_the_loop_is_one_batch_of_dispatches() -> None:
    two_days = CoordinationStudy(
        kind="closed-loop", settings="published", response="shrink", first_date="2018-07-02", last_date="2018-07-03"
    )
    setting = make_setting("published", 0.2, 0.25)
    hours = load_hours(two_days, setting)
    run, span = run_loop(two_days, setting, hours, None), slice(hours.first, hours.last)
    batch = setting.dispatched(hours.load_mw[span], hours.injected_mw[span], setting.base_mw)
    assert len(run.cost_usd) == 48
    assert run.cost_usd == pytest.approx(batch.cost_usd, rel=1e-6)
    assert run.theta_mw == pytest.approx(np.tile(setting.base_mw, (48, 1)))
    assert run.accepted.all()


def test_a_policy_for_datacenters_in_another_order_is_refused() -> None:
    # What datacenters accept is asked by place, not by name.
    study = CoordinationStudy(kind="closed-loop", first_date="2018-07-02", last_date="2018-07-02")
    setting = make_setting("physical", 0.2, 0.25)
    policy = ContextualPolicy(setting.system.datacenters[::-1], (), np.zeros((5, 1)))
    with pytest.raises(InputError, match="policy is for datacenters"):
        run_loop(study, setting, load_hours(study, setting), policy)
