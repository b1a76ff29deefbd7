"""A contextual policy in closed loop: what it sees, what it gains, and the yardstick it is held against."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from engine_pair import differences

from g2g_opt.assembly import Assembly, assemble
from g2g_opt.controller.ofo import LogisticModelStore
from g2g_opt.datacenter.workloads.measurements import measured_spec, spec_measurements
from g2g_opt.errors import InputError, PowerFlowError
from g2g_opt.evaluation import evaluate
from g2g_opt.feeder_policy import FeederPolicy, PolicyOutput
from g2g_opt.grid.opendss import OpenDSSGrid
from g2g_opt.limits import Limits
from g2g_opt.plan import Plan, Policy, PVUnit
from g2g_opt.scenario import Scenario
from g2g_opt.service_transformer import ServiceTransformer
from g2g_opt.simulation import simulate_assembled
from g2g_opt.site import BASE_KW_PER_GPU, sized_site
from studies.feeder_policy.cases import (
    CASES,
    METRICS,
    CaseRow,
    FeederPolicyAnswer,
    clairvoyant_row,
    mean_rows,
    run_case,
)
from studies.feeder_policy.clairvoyant import Clairvoyant, FleetBySize
from studies.feeder_policy.question import FeederPolicyQuestion
from studies.feeder_policy.records import OutputFigures, Records, lower_hull
from studies.feeder_policy.setting import FeederPolicyCase
from studies.shared.site_choices import ServedModel, SiteChoice

pytestmark = pytest.mark.xdist_group("feeder_policy")

LARGE, SMALL = measured_spec("llama-3.1-70b", gpu="H100"), measured_spec("llama-3.1-8b", gpu="H100")
SITE = sized_site("campus", "671", [(LARGE, 128)], 900, BASE_KW_PER_GPU)
BASE = Scenario(
    profile="hudson_valley_2018",
    duration_s=300,
    dt_s=Fraction(5),
    control_dt_s=Fraction(5),
    own_load_share=1.5,
    seed=7,
)
CAMPUS = SiteChoice("campus", (ServedModel("llama-3.1-70b", 7200),), candidates=("671",))
QUESTION = FeederPolicyQuestion(
    sites=(CAMPUS,),
    pv=(PVUnit("675", 900.0),),
    scenario=replace(BASE, seed=0),
    seed=7,
    n_training=8,
    n_test=4,
    grid_lag_s=20.0,
    site_lag_s=5.0,
    record_dt_s=20.0,
    margins_pu=(0.002,),
    rounds=1,
    limits=Limits(loading_max_pu=None),  # voltages are what a policy of batch sizes is trained for
)


def answer_feeder_policy(question: FeederPolicyQuestion, cases: Sequence[str] = CASES) -> FeederPolicyAnswer:
    """Train on the training scenarios, run the cases in the test scenarios; one after the other."""
    setting = FeederPolicyCase(question)
    found = [run_case(setting, case) for case in cases]
    return FeederPolicyAnswer(
        tuple(row for one in found for row in one.rows),
        {case: one.policies[case] for case, one in zip(cases, found, strict=True) if one.policies},
        tuple(entry for one in found for entry in one.rounds),
        {case: one.margins_pu[case] for case, one in zip(cases, found, strict=True) if one.margins_pu},
    )


@pytest.fixture(scope="module")
def answer() -> FeederPolicyAnswer:
    return answer_feeder_policy(QUESTION)


def total(answer: FeederPolicyAnswer, case: str, metric: str) -> float:
    return float(np.mean([getattr(row, metric) for row in answer.rows if row.case == case]))


def run_policy(policy: FeederPolicy, scenario: Scenario) -> tuple[Assembly, Any]:
    """The run with its components at hand, judged as the plan is."""
    setting = FeederPolicyCase(QUESTION)
    plan = replace(setting.plan, policy=Policy("contextual", contextual=policy))
    run = assemble(plan, scenario, setting.feeder, QUESTION.limits)
    return run, simulate_assembled(run, plan, scenario, setting.feeder, QUESTION.limits)


# --- scenarios


def test_training_and_test_share_no_day_and_are_drawn_by_their_names() -> None:
    training, test = QUESTION.scenarios()
    days = [{row // 24 for row in range(s.profile_rows[0], s.profile_rows[0] + 1)} for s in (*training, *test)]
    assert len(set.union(*days)) == 12
    more = replace(QUESTION, n_test=6).scenarios()
    assert more[0] == training
    assert more[1][:4] == test
    assert replace(QUESTION, seed=8).scenarios()[0] != training
    with pytest.raises(InputError, match="365 days"):
        replace(QUESTION, n_test=400).scenarios()


# --- the answer


def test_every_case_was_run_in_every_test_scenario(answer: FeederPolicyAnswer) -> None:
    test = [scenario.name for scenario in QUESTION.scenarios()[1]]
    assert [(row.case, row.scenario) for row in answer.rows] == [(case, name) for case in CASES for name in test]
    assert [row.failure for row in answer.rows] == [""] * len(answer.rows)


def test_context_keeps_voltages_and_serves_more_than_the_best_constant_sizes(answer: FeederPolicyAnswer) -> None:
    assert total(answer, "no control", "integral_violation_pu_s") > 1.0
    assert total(answer, "contextual", "integral_violation_pu_s") < 0.3 * total(
        answer, "no control", "integral_violation_pu_s"
    )
    assert total(answer, "contextual", "throughput_share") > total(answer, "constant", "throughput_share") + 0.02


def test_nobody_does_better_than_who_knows_the_scenario(answer: FeederPolicyAnswer) -> None:
    by_key = {(row.case, row.scenario): row for row in answer.rows}
    for scenario in QUESTION.scenarios()[1]:
        best = by_key["clairvoyant", scenario.name]
        for case in CASES:
            row = by_key[case, scenario.name]
            assert best.integral_violation_pu_s <= row.integral_violation_pu_s + 0.02
            if row.integral_violation_pu_s <= best.integral_violation_pu_s:
                assert best.throughput_share >= row.throughput_share - 0.01


def test_a_policy_from_json_gives_the_row_it_was_reported_with(answer: FeederPolicyAnswer) -> None:
    policy = FeederPolicy.from_json(answer.policies["contextual"].to_json())
    row = next(row for row in answer.rows if row.case == "contextual")
    _, simulation = run_policy(policy, QUESTION.scenarios()[1][0])
    assert simulation.voltage.integral_violation_pu_s == row.integral_violation_pu_s
    assert simulation.summary.throughput_share == row.throughput_share


# --- what the policy may see


def test_it_asks_for_no_voltage_and_no_slope(answer: FeederPolicyAnswer, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise AssertionError("a contextual policy looked at the grid's voltages")

    for name in ("voltages_vector", "estimate_sensitivity", "estimate_tap_sensitivity", "state", "history"):
        monkeypatch.setattr(OpenDSSGrid, name, refused if name != "state" else property(refused))
    run, simulation = run_policy(answer.policies["contextual"], QUESTION.scenarios()[1][0])
    assert simulation.failure is None
    assert len(np.unique(run.datacenters["campus"].record.batch_size)) > 1


def test_what_comes_later_changes_nothing_before(answer: FeederPolicyAnswer) -> None:
    scenario = replace(QUESTION.scenarios()[1][0], replica_share_start=0.9)
    calm = replace(scenario, replica_ramps=())
    busy = replace(scenario, replica_ramps=((150.0, 160.0, 0.5),))
    policy = answer.policies["contextual"]
    sizes = [run_policy(policy, s)[0].datacenters["campus"].record.batch_size[:, 0] for s in (calm, busy)]
    # Seen a step after 155 s (the first rows to differ) at the earliest, in force a step later.
    assert sizes[0][:33].tolist() == sizes[1][:33].tolist()
    assert sizes[0].tolist() != sizes[1].tolist()


# --- the yardstick and the door


def test_a_clairvoyant_finds_the_best_constant_size_of_a_steady_scenario() -> None:
    # Without noise and ramps one size is best at all times: try them all.
    steady = replace(
        QUESTION.scenarios()[1][0],
        duration_s=60,
        replica_ramps=(),
        replica_share_start=0.9,
        server_noise=0.0,
        own_load_share=1.8,
    )
    setting = FeederPolicyCase(replace(QUESTION, scenario=steady, sites=(campus_at(8),), pv=()))
    tried = []
    for size in LARGE.feasible_batch_sizes:
        plan = Plan((replace(SITE, deployments=(at(size),)),))
        figures = evaluate(plan, setting.feeder, [steady], QUESTION.limits, engine="opendss").outcomes[0]
        assert figures is not None
        tried.append((figures.voltage.integral_violation_pu_s, figures.summary.throughput_tps))
    lowest = min(violation for violation, _ in tried)
    # Relative to the start size, 8, of the first step.
    most = max(tps for violation, tps in tried if violation <= lowest + 1e-6) / tried[0][1]
    assert lowest == pytest.approx(0.0)
    assert 1.5 < most < max(tps for _, tps in tried) / tried[0][1]
    row = clairvoyant_row(setting, steady)
    assert row.integral_violation_pu_s <= 0.01
    assert row.throughput_share == pytest.approx((most * 11 + 1.0) / 12, rel=0.02)


def at(size: int) -> Any:
    return replace(SITE.deployments[0], batch_size=size)


def campus_at(size: int) -> SiteChoice:
    return replace(CAMPUS, models=(replace(CAMPUS.models[0], batch_size=size),))


def test_a_clairvoyant_believes_a_run_more_than_the_linear_model() -> None:
    output = PolicyOutput("campus", "chat", (8, 16), (0.0, 1.0))
    figures = OutputFigures((output,), (np.array([1.0, 2.0]),), (np.array([0.5, 0.0]),), np.array([1.0]))
    fleet = FleetBySize(np.array([[[100.0] * 3] * 2, [[200.0] * 3] * 2]), np.array([[1.0, 1.0], [2.0, 2.0]]))
    clairvoyant = Clairvoyant(figures, [fleet], (0.95, 1.05))
    # 300 kW more cost 0.03 pu: from 0.985 pu at size 8, size 16 seems to fit.
    records = Records(
        np.zeros((1, 0)),
        np.array([[0.985]]),
        *[np.zeros((1, 1, 1))],
        np.full((1, 1, 1, 3), -1e-4),
        *[np.ones((1, 1))] * 2,
        np.zeros(1),
    )
    times = np.array([0.0, 1.0])
    small, large = np.zeros((2, 1), dtype=np.int64), np.ones((2, 1), dtype=np.int64)
    assert clairvoyant.best(np.full((2, 1), 0.985), small, records, times).tolist() == large.tolist()
    assert clairvoyant.best(np.full((2, 1), 0.975), small, records, times).tolist() == small.tolist()
    # At the second step it is simulated lower than the model said.
    again = Clairvoyant(figures, [fleet], (0.95, 1.05))
    again.best(np.full((2, 1), 0.985), small, records, times)
    again.best(np.array([[0.955], [0.949]]), large, records, times)
    assert again.best(np.full((2, 1), 0.985), small, records, times).tolist() == [[1], [0]]


def test_records_say_what_another_size_does_to_voltages() -> None:
    scenario, made = replace(QUESTION.scenarios()[1][0], replica_share_start=0.8), {}
    for size in (64, 256):
        setting = FeederPolicyCase(replace(QUESTION, sites=(campus_at(size),), pv=()))
        made[size] = setting.recorded(scenario)[0]
    low, high = made[64], made[256]
    power_w = [
        LogisticModelStore.ensure(None, [LARGE]).power(LARGE.model_label).eval(size) for size in (8, 64, 256, 512)
    ]
    assert low.level[:, 0] == pytest.approx((power_w[1] - power_w[0]) / (power_w[3] - power_w[0]))
    assert high.level[:, 0] == pytest.approx((power_w[2] - power_w[0]) / (power_w[3] - power_w[0]))
    moved = high.voltage_pu - low.voltage_pu
    assert np.abs(moved).max() > 0.005
    # The curve says more between these two sizes than was measured: 398 W against 353 W a replica.
    measured = spec_measurements(LARGE)
    share = (measured[256].avg_power_w - measured[64].avg_power_w) / (power_w[2] - power_w[1])
    said = share * np.einsum("imd,id->im", low.slope_pu, high.level - low.level)
    # The fleet fluctuates around its curve, and the circuit is not quite linear.
    assert said == pytest.approx(moved, abs=1.5e-3)
    assert said.mean() == pytest.approx(moved.mean(), rel=0.05)


def test_components_assembled_by_hand_are_judged_as_the_plan_is() -> None:
    scenario, setting = QUESTION.scenarios()[1][0], FeederPolicyCase(QUESTION)
    plain = evaluate(setting.plan, setting.feeder, [scenario], QUESTION.limits, engine="opendss").outcomes[0]
    run = assemble(setting.plan, scenario, setting.feeder, QUESTION.limits)
    assembled = simulate_assembled(run, setting.plan, scenario, setting.feeder, QUESTION.limits)
    assert differences(assembled.summary, plain.summary) == []


def test_transformer_and_power_factor_are_the_simulated_sites_own() -> None:
    scenario, margins = QUESTION.scenarios()[1][0], []
    service = ServiceTransformer(kva=12000.0)
    for question in (QUESTION, replace(QUESTION, power_factor=0.9, service=service)):
        setting = FeederPolicyCase(question)
        (run,) = setting.evaluate(Policy(), [scenario], "opendss")
        assert run.failure is None
        margins.append(run.summary.worst_voltage(0.95, 1.05).margin_pu)
    assert dict(setting.feeder.service_buses) == {"671": "g2g_site_671"}
    assert margins[1] < margins[0] - 1e-3


def test_several_sites_and_models_have_rows_of_their_own() -> None:
    served = (ServedModel("llama-3.1-70b", 1200), ServedModel("llama-3.1-8b", 1200))
    two = SiteChoice("north", served, candidates=("632",))
    one = SiteChoice("south", (ServedModel("llama-3.1-70b", 3200),), candidates=("675",))
    question = replace(QUESTION, sites=(two, one), pv=(), n_training=2, n_test=1)
    found = answer_feeder_policy(question, ("contextual", "clairvoyant"))
    policy = found.policies["contextual"]
    assert [(o.site, o.model) for o in policy.outputs] == [
        ("north", LARGE.model_label),
        ("north", SMALL.model_label),
        ("south", LARGE.model_label),
    ]
    assert {f.site for f in policy.features if f.name == "site_demand_kw"} == {"north", "south"}
    assert [row.failure for row in found.rows] == ["", ""]


def test_a_scenario_without_an_answer_is_a_row_with_the_reason() -> None:
    # 900 servers' worth is hosted, six times that is not.
    huge = replace(QUESTION, sites=(replace(CAMPUS, models=(ServedModel("llama-3.1-70b", 48000),)),), pv=(), n_test=1)
    found = answer_feeder_policy(huge, ("no control", "clairvoyant"))
    assert [row.case for row in found.rows] == ["no control", "clairvoyant"]
    assert all("served" in row.failure or "converge" in row.failure for row in found.rows)
    assert mean_rows(found.rows) == []
    with pytest.raises(PowerFlowError, match="scenario 'training 0'"):
        answer_feeder_policy(huge, ("contextual",))
    with pytest.raises(InputError, match="did you mean contextual"):
        answer_feeder_policy(huge, ("contextural",))


# --- figures of the training and the tables


def test_a_lower_hull_by_hand() -> None:
    pieces = lower_hull(np.array([0.0, 0.5, 0.75, 1.0]), np.array([4.0, 1.0, 0.9, 0.0]))
    assert pieces == [(4.0, -6.0), (2.0, -2.0)]


def test_means_leave_out_a_scenario_that_failed_and_differences_are_paired() -> None:
    def row(case: str, scenario: str, violation: float | None, failure: str = "") -> CaseRow:
        return CaseRow(case, scenario, violation, 0.0, 1.0, 0.0, 0.0, 1.0, failure)

    rows = [row("a", f"s{k}", float(k)) for k in range(5)] + [row("b", f"s{k}", k + 0.5) for k in range(4)]
    rows.append(row("b", "s4", None, "did not converge"))
    means = {(m.case, m.metric): m for m in mean_rows(rows, n_draws=500)}
    found = means["a", METRICS[0]]
    assert (found.n_scenarios, found.mean) == (4, 1.5)
    assert 0.0 <= found.low < 1.5 < found.high <= 3.0
    (difference,) = [m for m in mean_rows(rows, against="a") if m.metric == METRICS[0]]
    assert (difference.case, difference.mean, difference.low, difference.high) == ("b", 0.5, 0.5, 0.5)
