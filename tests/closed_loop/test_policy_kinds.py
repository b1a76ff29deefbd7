"""Every kind of policy that a plan can name, with storage and training beside it, acts the same on both engines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from engine_pair import assert_same_until_a_tie, run_single
from random_runs import TOLERANCE, build, random_plan, random_scenario, random_site

from g2g_opt.batch.simulator import batch_key, run_batch
from g2g_opt.datacenter.workloads.measurements import measured_spec
from g2g_opt.feeder import Feeder
from g2g_opt.feeder_policy import FEEDER_FEATURES, SITE_FEATURES, FeederPolicy, PolicyFeature, PolicyOutput
from g2g_opt.limits import Limits
from g2g_opt.plan import AdaptiveTaps, Plan, Policy, StorageUnit
from g2g_opt.scenario import Scenario, TrainingOverlay
from g2g_opt.simulation import simulate, simulate_runs
from g2g_opt.site import BASE_KW_PER_GPU, Site, sized_site

FEEDER = Feeder.load("ieee13")
SPEC = measured_spec("llama-3.1-8b", gpu="H100", task="lm-arena-chat")
KINDS = ("none", "droop", "ofo", "schedule", "contextual")
LIMITS = Limits(voltage_min_pu=0.96, voltage_max_pu=1.04)


def random_runs(n: int) -> Iterator[tuple[Plan, Scenario]]:
    """Plans over all kinds, the kinds in turn, each with some of what may act beside it."""
    for i in range(n):
        rng = np.random.default_rng([78, i])
        plan = replace(random_plan(FEEDER, rng), policy=Policy())
        plan = replace(plan, sites=tuple(replace(s, spare_servers=int(rng.integers(0, 20))) for s in plan.sites))
        if i % 4 == 0:  # two sites that run the same models, so that replicas can move
            first = random_site("twin", plan.sites[0].bus, 150, rng)
            other = next(bus for bus in FEEDER.candidate_buses if bus != first.bus)
            plan = replace(plan, sites=(first, replace(first, name="other", bus=other, spare_servers=30)))
        plan = replace(plan, policy=random_kind(KINDS[i % len(KINDS)], plan, rng), storage=random_storage(rng))
        scenario = random_scenario(rng, f"kind {i}")
        yield plan, replace(scenario, training=random_training(plan, scenario, rng))


def random_kind(kind: str, plan: Plan, rng: np.random.Generator) -> Policy:
    regulators = tuple(FEEDER.regulators)
    policy = Policy(
        margin_pu=float(rng.choice([0.0, 0.01])),
        load_shift_gpus=int(rng.choice([8, 32])) if rng.random() < 0.6 else None,
        tap_schedule=tuple(
            (float(rng.integers(-1, 20)), str(rng.choice(regulators)), 1.0 + 0.00625 * int(rng.integers(0, 13)))
            for _ in range(rng.integers(0, 3))
        ),
        adaptive_taps=AdaptiveTaps(Fraction(int(rng.integers(1, 6))), 8.0) if rng.random() < 0.5 else None,
    )
    match kind:
        case "schedule":
            return replace(policy, kind=kind, batch_caps=((-1.0, 256), (7.0, 16), (15.5, 64)))
        case "contextual":
            return replace(policy, kind=kind, contextual=random_contextual(plan, rng))
    return replace(policy, kind=kind)


def random_contextual(plan: Plan, rng: np.random.Generator) -> FeederPolicy:
    features = [
        PolicyFeature(name, FEEDER_FEATURES[name], "", float(rng.integers(5, 9)), 100.0, 200.0)
        for name in ("pv_kw", "other_load_kw")
    ]
    outputs = []
    for site in plan.sites:
        for name, unit in SITE_FEATURES.items():
            features.append(PolicyFeature(name, unit, site.name, float(rng.integers(5, 9)), 1000.0, 400.0))
        for d in site.deployments:
            sizes = d.spec.feasible_batch_sizes
            levels = tuple(np.linspace(0.0, 1.0, len(sizes)).tolist())
            outputs.append(PolicyOutput(site.name, d.spec.model_label, sizes, levels))
    gain = tuple(tuple(rng.uniform(-0.5, 0.5, len(features)).tolist()) for _ in outputs)
    offset = tuple(rng.uniform(0.0, 1.0, len(outputs)).tolist())
    return FeederPolicy(tuple(features), tuple(outputs), offset, gain, str(rng.choice(["nearest", "down"])))  # type: ignore[arg-type]


def random_storage(rng: np.random.Generator) -> tuple[StorageUnit, ...]:
    units = (
        StorageUnit("675", 400.0, 2.0, "pv", soc_start=0.4),
        StorageUnit("", 150.0, 300.0, "qv", apparent_power_kva=200.0, voltage_ref_pu=1.02),
        StorageUnit("680", 200.0, 500.0, "pv", 0.7, deadband_pu=0.0),
    )
    return tuple(unit for unit in units if rng.random() < 0.4)


def random_training(plan: Plan, scenario: Scenario, rng: np.random.Generator) -> tuple[TrainingOverlay, ...]:
    jobs = []
    for site in (plan.sites[0].name, ""):
        start_s, end_s = np.sort(rng.uniform(0.0, scenario.duration_s, 2)).tolist()
        if rng.random() < 0.5:
            jobs.append(TrainingOverlay(start_s, end_s, gpu_share=float(rng.uniform(0.1, 0.4)), site=site))
    return tuple(jobs)


def test_engines_agree_on_random_plans_of_every_kind() -> None:
    runs = list(random_runs(20))
    batches: dict[object, list[int]] = {}
    for i, run in enumerate(runs):
        batches.setdefault(batch_key(build(FEEDER, *run)), []).append(i)
    acted, ties, moved_storage, moved_taps = dict.fromkeys(KINDS, 0), 0, 0, 0
    for members in batches.values():
        found = run_batch([build(FEEDER, *runs[i]) for i in members], trace=range(len(members)))
        for i, batch in zip(members, found, strict=True):
            single = run_single(build(FEEDER, *runs[i]))
            assert (single.failure, batch.failure) == (None, None), runs[i]
            ties += bool(assert_same_until_a_tie(single, batch).partings)
            trace = batch.trace
            assert trace is not None
            changes = (np.diff(site.batch_size, axis=0) for site in trace.sites.values())
            acted[runs[i][0].policy.kind] += sum(int(np.count_nonzero(change)) for change in changes)
            moved_taps += int(np.count_nonzero(np.diff(trace.taps_pu, axis=0)))
            if runs[i][0].storage:
                moved_storage += np.ptp(trace.storage_kw) + np.ptp(trace.storage_kvar) > 1.0
    assert ties <= 1
    assert {kind for kind, n in acted.items() if n} == {*KINDS} - {"none"}
    assert moved_taps > 10
    assert moved_storage > 5


def test_both_engines_keep_the_same_record_of_what_controllers_could_not_do() -> None:
    runs = list(random_runs(20))
    batch, opendss = (
        simulate_runs(runs, FEEDER, LIMITS, engine=engine, tolerance=TOLERANCE)  # type: ignore[arg-type]
        for engine in ("batch", "opendss")
    )
    assert {outcome.engine for outcome in batch} == {"batch"}
    steps = [[site.exhausted_control_steps for site in outcome.summary.sites] for outcome in batch]
    assert steps == [[site.exhausted_control_steps for site in outcome.summary.sites] for outcome in opendss]
    by_kind = dict.fromkeys(KINDS, 0)
    for (plan, _), of_sites in zip(runs, steps, strict=True):
        by_kind[plan.policy.kind] += sum(of_sites)
    assert by_kind["none"] == by_kind["schedule"] == by_kind["contextual"] == 0
    assert min(by_kind["droop"], by_kind["ofo"]) > 0


# --- controllers that can do no more


def at_671(n_servers: int, batch_size: int) -> Site:
    return sized_site("a", "671", [(SPEC, batch_size)], n_servers, BASE_KW_PER_GPU)


def exhausted(plan: Plan, scenario: Scenario, limits: Limits) -> list[int]:
    found = []
    for engine in ("batch", "opendss"):
        ((run,),) = simulate([plan], [scenario], FEEDER, limits, engine=engine)  # type: ignore[arg-type]
        assert run.failure is None
        found.append(run.summary.sites[0].exhausted_control_steps)
    return found


@pytest.mark.parametrize("kind", ["droop", "ofo"])
def test_a_controller_at_its_smallest_sizes_says_so_as_long_as_a_voltage_is_low(kind: str) -> None:
    scenario = Scenario(duration_s=30, replica_ramps=(), replica_share_start=1.0)
    smallest, tight = min(SPEC.feasible_batch_sizes), Limits(voltage_min_pu=0.999, voltage_max_pu=1.2)
    plan = Plan((at_671(400, smallest),), policy=Policy(kind))  # type: ignore[arg-type]
    assert exhausted(plan, scenario, tight) == [30, 30]
    # Never where it has room, and never where nothing is outside.
    assert exhausted(plan, scenario, Limits(voltage_min_pu=0.6, voltage_max_pu=1.2)) == [0, 0]
    # It begins at its largest size and gets to the smallest one in time: only then.
    later = exhausted(replace(plan, sites=(at_671(400, 512),)), scenario, tight)
    assert later[0] == later[1] < 30


def test_a_model_of_one_size_and_nobodys_policy() -> None:
    one = replace(SPEC, feasible_batch_sizes=(128,))
    site = sized_site("a", "671", [(one, 128)], 400, BASE_KW_PER_GPU)
    scenario = Scenario(duration_s=10, replica_ramps=(), replica_share_start=1.0)
    tight = Limits(voltage_min_pu=0.999, voltage_max_pu=1.2)
    assert exhausted(Plan((site,), policy=Policy("droop")), scenario, tight) == [10, 10]
    assert exhausted(Plan((site,), policy=Policy("ofo")), scenario, tight) == [10, 10]
    assert exhausted(Plan((site,)), scenario, tight) == [0, 0]


# --- load shift beside a schedule


def test_shifted_replicas_leave_room_for_a_ramp_that_is_still_to_come() -> None:
    smallest = min(SPEC.feasible_batch_sizes)
    heavy = replace(at_671(400, smallest), name="heavy")
    receiver = replace(sized_site("receiver", "632", [(SPEC, 512)], 60, BASE_KW_PER_GPU), spare_servers=3)
    # At 70 % until 10 s there is idle room at the receiver, all of which the ramp needs but the spare servers.
    scenario = Scenario(duration_s=30, replica_ramps=((10.0, 20.0, 1.0),), replica_share_start=0.7)
    plan = Plan((heavy, receiver), policy=Policy(load_shift_gpus=8))
    tight = Limits(voltage_min_pu=0.999, voltage_max_pu=1.2)
    for engine in ("batch", "opendss"):
        (run, alone) = simulate([plan, replace(plan, policy=Policy())], [scenario], FEEDER, tight, engine=engine)  # type: ignore[arg-type]
        assert run[0].failure is None
        more = run[0].summary.sites[1].throughput_tps / alone[0].summary.sites[1].throughput_tps
        assert more == pytest.approx(1.0 + 3 * 8 / (0.85 * 480), rel=0.05)
