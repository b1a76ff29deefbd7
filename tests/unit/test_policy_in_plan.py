"""A policy is data in the plan: one JSON for all kinds, the old form read as before, and clear refusals."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from g2g_opt.assembly import assemble, assemble_datacenter
from g2g_opt.batch.simulator import batch_key
from g2g_opt.data_files import data_path
from g2g_opt.datacenter.config import DatacenterConfig, TrainingRun
from g2g_opt.datacenter.offline import OfflineDatacenter, OfflineWorkload
from g2g_opt.datacenter.workloads.inference import InferenceData
from g2g_opt.datacenter.workloads.measurements import measured_spec
from g2g_opt.datacenter.workloads.training import TrainingTrace
from g2g_opt.errors import InputError
from g2g_opt.feeder import Feeder
from g2g_opt.feeder_policy import FeederPolicy, PolicyFeature, PolicyOutput
from g2g_opt.limits import Limits
from g2g_opt.plan import AdaptiveTaps, Plan, Policy, StorageUnit
from g2g_opt.ppo_policy import PPOPolicy
from g2g_opt.scenario import Scenario, TrainingOverlay
from g2g_opt.site import BASE_KW_PER_GPU, Site, sized_site
from studies.catalogue import make_question, parse_question, question_json, question_type

FEEDER = Feeder.load("ieee13")
SPEC = measured_spec("llama-3.1-8b", gpu="H100", task="lm-arena-chat")
SIZES = SPEC.feasible_batch_sizes
PLANS, SCENARIOS = TypeAdapter(tuple[Plan, ...]), TypeAdapter(tuple[Scenario, ...])

FEATURES = (PolicyFeature("pv_kw", "kW", center=100.0, scale=50.0), PolicyFeature("site_power_kw", "kW", "campus", 2.0))
OUTPUT = PolicyOutput("campus", SPEC.model_label, tuple(SIZES[:3]), (0.0, 0.5, 1.0))
CONTEXTUAL = FeederPolicy(FEATURES, (OUTPUT,), (0.5,), ((0.1, -0.2),), "down", "by hand", "ieee13")


def campus(n_servers: int = 10, **more: Any) -> Site:
    return replace(sized_site("campus", "671", [(SPEC, 128)], n_servers, BASE_KW_PER_GPU), **more)


POLICIES = (
    Policy(),
    Policy("droop", 0.003, (("step_size", 12.0),)),
    Policy("schedule", batch_caps=((-1.0, 64), (30.0, 8))),
    Policy("contextual", contextual=CONTEXTUAL),
    Policy("ofo", load_shift_gpus=16, tap_schedule=((5.0, "creg1a", 1.0125),), adaptive_taps=AdaptiveTaps()),
    Policy(adaptive_taps=AdaptiveTaps(Fraction(1, 2), 7.5, (("creg1a", ("671", "675")),))),
)
STORAGE = (StorageUnit("675", 500.0, 1000.0, "qv", apparent_power_kva=600.0), StorageUnit("", 50.0, 100.0))


def plan_of(policy: Policy) -> Plan:
    return Plan((campus(spare_servers=2),), (("creg1a", 1.05),), policy, storage=STORAGE)


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.kind)
def test_a_plan_of_every_kind_comes_back_from_its_json(policy: Policy) -> None:
    plan = plan_of(policy)
    text = PLANS.dump_json((plan,))
    assert PLANS.validate_json(text) == (plan,)
    # Readable: names and figures, and nothing that only a program could have written.
    found = json.loads(text)[0]
    assert found["policy"]["kind"] == policy.kind
    assert found["storage"][0]["droop"] == "qv"
    assert set(found["policy"]) == {
        *("kind", "margin_pu", "settings", "batch_caps", "contextual", "load_shift_gpus", "tap_schedule"),
        *("adaptive_taps", "channels", "ppo"),
    }
    if policy.contextual is not None:
        assert found["policy"]["contextual"] == json.loads(policy.contextual.to_json())


def test_the_form_before_these_kinds_is_read_as_it_was() -> None:
    plan = replace(plan_of(POLICIES[1]), sites=(campus(),), storage=())
    found = json.loads(PLANS.dump_json((plan,)))[0]
    old = found | {"policy": {k: found["policy"][k] for k in ("kind", "margin_pu", "settings", "batch_caps")}}
    del old["storage"], old["sites"][0]["spare_servers"]
    assert PLANS.validate_json(json.dumps([old])) == (plan,)
    scenario = json.loads(SCENARIOS.dump_json((Scenario(),)))[0]
    del scenario["training"]
    assert SCENARIOS.validate_json(json.dumps([scenario])) == (Scenario(),)


def test_a_scenario_with_training_comes_back_from_its_json() -> None:
    jobs = TrainingOverlay(0.0, 10.5, n_gpus=8, site="campus", trace="/t.csv"), TrainingOverlay(5.0, 9.0, gpu_share=0.5)
    scenario = Scenario(training=jobs)
    assert SCENARIOS.validate_json(SCENARIOS.dump_json((scenario,))) == (scenario,)


@pytest.mark.parametrize("study", ["hosting-capacity", "location"])
def test_a_question_holds_a_whole_contextual_policy_and_a_file_of_one_is_read(study: str, tmp_path: Path) -> None:
    file = tmp_path / "policy.json"
    file.write_text(CONTEXTUAL.to_json())
    assert FeederPolicy.load(file) == CONTEXTUAL
    kind = question_type(study)
    question = kind(policy=Policy("contextual", contextual=FeederPolicy.load(file)), storage=STORAGE)
    assert parse_question(question_json(question)) == question


# --- refusals

BUNDLED_PPO = data_path("study_cases", "policies", "ieee13_ppo.json")


def bad_policy(**changed: Any) -> str:
    return json.dumps(json.loads(CONTEXTUAL.to_json()) | changed)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Policy("drop"), "policy 'drop' is unknown"),  # type: ignore[arg-type]
        (lambda: Policy("contextual"), "policy 'contextual' needs a trained policy: --policy-file FILE"),
        (lambda: Policy("ppo"), "policy 'ppo' needs a trained policy: --ppo-file FILE"),
        (lambda: Policy("ofo", contextual=CONTEXTUAL), r"--policy-file.* belongs to policy 'contextual', not 'ofo'"),
        (lambda: Policy("ofo", ppo=PPOPolicy.load(BUNDLED_PPO)), r"--ppo-file.* belongs to policy 'ppo', not 'ofo'"),
        (lambda: Policy(load_shift_gpus=12), "multiple of 8, got 12"),
        (lambda: Policy(tap_schedule=((0.0, "creg1a", math.nan),)), "tap_schedule"),
        (lambda: replace(CONTEXTUAL, offset=(math.nan,)), "offset"),
        (lambda: FeederPolicy.from_json(bad_policy(offset=[math.nan])), "nan, which is no finite number"),
        (lambda: FeederPolicy.from_json(bad_policy(gain=[[math.inf, 0.0]])), "inf, which is no finite number"),
        (lambda: FeederPolicy.load("/nowhere/policy.json"), "/nowhere/policy.json"),
        (lambda: AdaptiveTaps.parse("5"), "write PERIOD,COOLDOWN"),
        (lambda: AdaptiveTaps.parse("0,5"), "period_s"),
        (lambda: StorageUnit("675", 10.0, 5.0, "pq"), "known: .'qv', 'pv'."),  # type: ignore[arg-type]
        (lambda: StorageUnit("675", 10.0, 5.0, apparent_power_kva=9.0), "apparent_power_kva is below"),
        (lambda: StorageUnit("675", 10.0, 5.0, deadband_pu=0.1), "deadband_pu < full_output_error_pu"),
        (lambda: StorageUnit.parse("675:10"), "write .BUS:.KW,KWH"),
        (lambda: StorageUnit.parse("675:10,x"), "'x' is no number"),
        (lambda: StorageUnit.parse("675:10,20,pq"), "cannot be read"),
        (lambda: TrainingOverlay(0.0, 10.0), "give one"),
        (lambda: TrainingOverlay(0.0, 10.0, 8, 0.5), "give one"),
        (lambda: TrainingOverlay(10.0, 10.0, 8), "must end after it starts"),
        (lambda: TrainingOverlay.parse("0.5,400,0,10"), "neither a number of GPUs nor a share"),
        (lambda: TrainingOverlay.parse("8,400,0"), "cannot be read"),
        (lambda: TrainingOverlay.parse("8,nan,0,10"), "no finite number"),
        (lambda: TrainingOverlay.parse("120%,400,0,10"), r"120 % .* write a percentage in \(0, 100\]$"),
        (lambda: TrainingOverlay.parse("0%,400,0,10"), r"write a percentage in \(0, 100\]$"),
        (lambda: Scenario(duration_s=60, control_dt_s=Fraction(1), replica_ramps=(), training=(
            TrainingOverlay(60.0, 70.0, 8),)), "begins after the run"),
        (lambda: Plan((campus(),), policy=POLICIES[4], tap_mode="own control"), "not by both"),
    ],
)  # fmt: skip
def test_bad_input_is_refused_with_what_to_change(make: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        make()


@pytest.mark.parametrize(
    ("plan", "scenario", "words"),
    [
        (Plan((campus(),)), {"training": (TrainingOverlay(0.0, 9.0, 81),)}, "more than the 80 GPUs of site 'campus'"),
        (
            Plan((campus(),)),
            {"training": (TrainingOverlay(0.0, 9.0, 41), TrainingOverlay(9.0, 20.0, gpu_share=0.5))},
            "training on 81 GPUs at t=9 s",
        ),
        (Plan((campus(),)), {"training": (TrainingOverlay(0.0, 9.0, 8, site="east"),)}, "site 'east'"),
        (Plan((campus(),)), {"training": (TrainingOverlay(0.0, 9.0, 8, trace="/none.csv"),)}, "/none.csv"),
        (Plan((campus(),), policy=Policy("contextual", contextual=replace(CONTEXTUAL, feeder="ieee34"))), {}, "ieee34"),
        (
            Plan((replace(campus(), name="other"),), policy=Policy("contextual", contextual=CONTEXTUAL)),
            {},
            "site 'campus'",
        ),
        (
            Plan((campus(),), policy=Policy("contextual", contextual=replace(CONTEXTUAL, features=(
                PolicyFeature("time_of_day_sin", "1"),), gain=((0.1,),)))),
            {},
            "the time of day is not known",
        ),
        (Plan((campus(),), policy=Policy("ofo", settings=(("gain", 1.0),))), {}, "setting 'gain'"),
        (Plan((campus(),), policy=Policy(settings=(("gain", 1.0),))), {}, "policy 'none' has no tuning, got gain"),
        (
            Plan((campus(),), policy=Policy("contextual", settings=(("gain", 1.0),), contextual=CONTEXTUAL)),
            {},
            "policy 'contextual' has no tuning",
        ),
        (Plan((campus(),), policy=Policy(tap_schedule=((0.0, "creg9", 1.0),))), {}, "creg9"),
        (Plan((campus(),), policy=Policy(tap_schedule=((0.0, "creg1a", 1.3),))), {}, "cannot take 1.3 pu"),
        (Plan((campus(),), policy=Policy(adaptive_taps=AdaptiveTaps(served_buses=(("creg1a", ("x",)),)))), {}, "'x'"),
        (Plan((campus(),), storage=(StorageUnit("x", 10.0, 5.0),)), {}, "'x'"),
        (Plan((campus(),), storage=(StorageUnit("611", 10.0, 5.0),)), {}, "611"),
    ],
)  # fmt: skip
def test_a_plan_that_does_not_fit_its_feeder_or_scenario_is_refused(plan: Plan, scenario: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        assemble(plan, Scenario(duration_s=60, replica_ramps=(), **scenario), FEEDER, Limits())


def test_hosting_capacity_refuses_training_that_fits_one_size_only() -> None:
    kind = question_type("hosting-capacity")
    for job in (TrainingOverlay(0.0, 9.0, 8), TrainingOverlay(0.0, 9.0, gpu_share=0.5, site="site")):
        with pytest.raises(InputError, match="share of a site's GPUs"):
            kind(scenario=Scenario(training=(job,))).check_fields()
    kind(scenario=Scenario(training=(TrainingOverlay(0.0, 9.0, gpu_share=0.5),))).check_fields()


def test_a_policy_moves_taps_or_the_feeders_own_controls_do() -> None:
    kind = question_type("hosting-capacity")
    with pytest.raises(InputError, match="not by both"):
        kind(taps="own control", policy=Policy("ofo", adaptive_taps=AdaptiveTaps())).check_fields()


def test_paths_of_training_traces_become_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    job = {"start_s": 0.0, "end_s": 9.0, "gpu_share": 0.5, "trace": "t.csv"}
    question: Any = make_question("hosting-capacity", {"scenario": {"training": [job]}})
    assert question.scenario.training[0].trace == str(tmp_path / "t.csv")
    assert TrainingOverlay.parse("east:8,400,0,9,t.csv").trace == str(tmp_path / "t.csv")


# --- training


def test_a_workload_without_training_is_one_that_trains_nothing() -> None:
    data = InferenceData.ensure(None, (SPEC,), dt_s=1.0)

    def made(**parts: Any) -> OfflineDatacenter:
        return OfflineDatacenter(
            DatacenterConfig(),
            OfflineWorkload(data, **parts),
            name="a",
            dt_s=Fraction(1),
            total_gpu_capacity=80,
        )

    power_w = made(replica_schedules=None, initial_batch_sizes=None, training=None).advance_block(0.0, 5)
    assert power_w.tolist() == made().advance_block(0.0, 5).tolist()
    with pytest.raises(InputError, match=r"run\.at\(t_start=\.\.\., t_end=\.\.\.\)"):
        made(training=TrainingRun(n_gpus=8, trace=TrainingTrace.generate(60.0)))


def test_training_draws_its_peak_on_top_of_the_replicas_in_its_window() -> None:
    idle = Scenario(duration_s=400, replica_ramps=(), server_noise=0.0)
    job = TrainingOverlay(100.0, 300.0, gpu_share=0.25, peak_w_per_gpu=500.0)
    sites = [assemble_datacenter(campus(), s) for s in (idle, replace(idle, training=(job,)))]
    alone, trained = (site.advance_block(0.0, 400).sum(axis=1) for site in sites)
    more_w = trained - alone
    assert (more_w[:100] == 0.0).all()
    assert (more_w[301:] == 0.0).all()
    assert more_w[100:301].min() > 0.0
    assert 0.9 * 20 * 500.0 < more_w[100:301].max() <= 20 * 500.0 * (1 + 1e-12)


# --- what is assembled


def test_a_storage_without_a_bus_stands_at_every_site() -> None:
    sites = (campus(), replace(campus(), name="east", bus="675"))
    units = (StorageUnit("", 50.0, 100.0, round_trip_efficiency=0.81), StorageUnit("633", 10.0, 5.0, "qv"))
    run = assemble(Plan(sites, storage=units), Scenario(duration_s=60, replica_ramps=()), FEEDER, Limits())
    placed = run.grid.setup.attached.storages
    assert [(a.storage.name, a.bus) for a in placed] == [
        ("storage_1", "671"),
        ("storage_2", "675"),
        ("storage_3", "633"),
    ]
    assert [a.storage.charge_efficiency for a in placed[:2]] == pytest.approx([0.9, 0.9])
    assert batch_key(run.coordinator)


def test_adaptive_taps_act_at_whole_steps_of_a_coarser_run() -> None:
    scenario = Scenario(duration_s=60, dt_s=Fraction(2), control_dt_s=Fraction(2), replica_ramps=())
    run = assemble(Plan((campus(),), policy=Policy(adaptive_taps=AdaptiveTaps())), scenario, FEEDER, Limits())
    assert [c.dt_s for c in run.coordinator.controllers] == [Fraction(6)]


def test_what_acts_on_the_grid_alone_is_left_of_a_firm_plan() -> None:
    assert POLICIES[4].of_the_grid == Policy(
        tap_schedule=POLICIES[4].tap_schedule, adaptive_taps=POLICIES[4].adaptive_taps
    )
    assert POLICIES[1].of_the_grid == Policy()
