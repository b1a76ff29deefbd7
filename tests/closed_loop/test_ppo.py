"""PPO in the loop: the environment is the simulator, both engines run one policy alike, and misfits are refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from g2g_opt.assembly import assemble
from g2g_opt.batch.simulator import run_batch
from g2g_opt.controller.ppo import PPONetwork
from g2g_opt.datacenter.workloads.curves import LogisticModelStore
from g2g_opt.errors import InputError
from g2g_opt.learning.environment import BatchSizeVectorEnv, Trained
from g2g_opt.learning.reward import RewardWeights
from g2g_opt.limits import Limits
from g2g_opt.plan import AdaptiveTaps, Policy, StorageUnit
from g2g_opt.ppo_policy import DenseLayer, ObservationMode, PPOPolicy
from g2g_opt.scenario import Scenario
from g2g_opt.scenario_draws import ScenarioRanges, draw_scenario
from g2g_opt.simulation import simulate
from g2g_opt.study_case import StudyCase
from studies.controllers.choices import ControllerChoice
from studies.controllers.study import ControllersStudy

# Ramps go both ways, and models begin at several sizes.
VARIED = ScenarioRanges(ramp_up_share=0.5, start_batch_sizes=(32, 64, 128))
BASE = Scenario(duration_s=60, dt_s=Fraction(1), seed=5)
MODES: dict[str, ObservationMode] = {"ieee13": "full-voltage", "ieee34": "system-summary", "ieee123": "zone-summary"}


def trained_on(name: str, n: int = 3, **changes: object) -> Trained:
    case = StudyCase.load(name)
    scenarios = [draw_scenario(case, BASE, VARIED, f"s{k}", k) for k in range(n)]
    return replace(Trained(case.plan, case.feeder, scenarios, Limits(), MODES[name]), **changes)  # type: ignore[arg-type]


def drawn_policy(env: BatchSizeVectorEnv, seed: int = 1) -> PPOPolicy:
    """A policy of drawn weights that moves sizes now and then, both ways."""
    draw = np.random.default_rng(seed)
    trained = env.trained
    (width,) = env.single_observation_space.shape
    observed = env.reset()[0]

    def layer(n_out: int, n_in: int) -> DenseLayer:
        weight = draw.normal(size=(n_out, n_in)) / np.sqrt(n_in)
        return DenseLayer(tuple(map(tuple, weight.tolist())), tuple(draw.normal(size=n_out).tolist()))

    full = trained.observation == "full-voltage"
    return PPOPolicy(
        trained.feeder.name,
        trained.observation,
        env.outputs,
        tuple(observed.mean(axis=0).astype(float).tolist()),
        (0.02,) * width,
        10.0,
        (layer(16, width), layer(3 * len(env.outputs), 16)),
        nodes=env.nodes if full else (),
        zones=tuple(trained.feeder.zones) if trained.observation == "zone-summary" else (),
    )


@pytest.mark.parametrize("name", MODES)
def test_a_policy_does_the_same_in_the_environment_and_on_both_engines(name: str) -> None:
    trained = trained_on(name, 1)
    env = BatchSizeVectorEnv(trained, 2)
    policy = drawn_policy(env)
    network = PPONetwork(policy)
    observed, _ = env.reset()
    rows, fleets = env._groups[0].fleets.rows, env._groups[0].parts.fleets
    commanded, done = [fleets.commanded[rows].copy()], np.zeros(2, dtype=bool)
    while not done.any():
        observed, _, _, done, _ = env.step(network.actions(observed.astype(float)))
        commanded.append(fleets.commanded[rows].copy())
    sizes = np.array(commanded)
    assert (np.diff(sizes[:, 0], axis=0) != 0).sum() > 10
    # Both environments have the same scenario.
    assert np.array_equal(sizes[:, 0], sizes[:, 1])
    plan = replace(trained.plan, policy=Policy("ppo", ppo=policy))
    case = StudyCase.load(name)
    run = assemble(plan, trained.scenarios[0], case.feeder, Limits(), record_loading=False)
    (lockstep,) = run_batch([run.coordinator], trace=[0])
    assert lockstep.trace is not None

    def by_output(sites: Mapping[str, Any], labels: str) -> NDArray[np.int64]:
        """Batch sizes (step, model) in the order of the policy's outputs."""
        columns = [(sites[o.site], getattr(sites[o.site], labels).index(o.model)) for o in policy.outputs]
        return np.array([site.batch_size[:, column] for site, column in columns]).T

    traced = by_output(lockstep.trace.sites, "labels")
    assert np.array_equal(traced, sizes[:, 0])
    run.coordinator.run()
    records = {name: site.record for name, site in run.datacenters.items()}
    assert np.array_equal(by_output(records, "labels"), traced)


def test_the_reward_is_that_of_the_run() -> None:
    weights = RewardWeights(100.0, 1.0, 10.0, 0.0)
    trained = trained_on("ieee13", 1, weights=weights)
    env = BatchSizeVectorEnv(trained, 1)
    env.reset()
    paid = []
    for _ in range(59):
        _, reward, terminated, truncated, infos = env.step(np.ones((1, 5), dtype=np.int64))
        assert reward == pytest.approx(infos["reward_parts"].sum(axis=1))
        paid.append(infos["reward_parts"][0])
    assert truncated.all()
    assert not terminated.any()
    case = StudyCase.load("ieee13")
    run = assemble(case.plan, trained.scenarios[0], case.feeder, Limits())
    run.coordinator.run()
    voltage_pu = run.grid.record.voltage_pu[:, run.grid.monitored_columns]
    outside = np.maximum(np.maximum(0.95 - voltage_pu, voltage_pu - 1.05), 0.0)
    paid_parts = np.array(paid)
    assert -100.0 * (outside**2).sum(axis=1)[1:] == pytest.approx(paid_parts[:, 0], abs=1e-6)
    record, (site,) = run.datacenters["campus"].record, case.plan.sites
    specs = {d.spec.model_label: d.spec for d in site.deployments}
    curves = LogisticModelStore.ensure(trained.trace_dir, list(specs.values()))
    shares, excess = [], []
    for column, label in enumerate(record.labels):
        largest = float(curves.throughput(label).eval(max(specs[label].feasible_batch_sizes)))
        shares.append(float(curves.throughput(label).eval(int(record.batch_size[0, column]))) / largest)
        excess.append(np.maximum(record.itl_s[1:, column] / specs[label].itl_deadline_s - 1.0, 0.0))
    assert paid_parts[:, 1] == pytest.approx(np.mean(shares))
    assert paid_parts[:, 2] == pytest.approx(-10.0 * np.mean(excess, axis=0))


def test_groups_begin_at_different_times_and_episodes_anew() -> None:
    env = BatchSizeVectorEnv(trained_on("ieee13"), 4, n_groups=2, seed=3)
    assert env.metadata["autoreset_mode"] == AutoresetMode.SAME_STEP
    first, _ = env.reset()
    assert first in env.observation_space
    ends: dict[int, list[int]] = {k: [] for k in range(4)}
    hold = np.ones((4, 5), dtype=np.int64)
    for step in range(1, 121):
        observed, _, _, truncated, infos = env.step(hold)
        assert observed in env.observation_space
        for k in np.flatnonzero(truncated):
            ends[int(k)].append(step)
            assert infos["_final_obs"][k]
            assert not np.array_equal(infos["final_obs"][k], observed[k])
    # A run of 60 steps has 59 after its first; the second group's first run ends in its middle.
    assert ends[0] == ends[1] == [59, 118]
    assert ends[2] == ends[3] == [29, 88]
    assert np.array_equal(env.reset()[0], first)
    assert not np.array_equal(env.reset(seed=4)[0], first)


def test_what_else_a_plan_does_acts_in_the_environment() -> None:
    base = trained_on("ieee34", 1)
    more = Policy(adaptive_taps=AdaptiveTaps(Fraction(5), 10.0))
    plan = replace(base.plan, policy=more, storage=(StorageUnit("848", 300.0, 600.0, "qv"),))
    env = BatchSizeVectorEnv(replace(base, plan=plan), 1)
    observed, _ = env.reset()
    network = PPONetwork(policy := drawn_policy(env))
    observed, seen = env.reset()[0], []
    for _ in range(58):
        observed, *_ = env.step(network.actions(observed.astype(float)))
        seen.append(env._groups[0].parts.grids.voltage_pu[:, 0].copy())
    ((run,),) = simulate(
        [replace(plan, policy=replace(more, kind="ppo", ppo=policy))],
        [replace(base.scenarios[0], duration_s=59)],
        base.feeder,
        Limits(),
    )
    grids = env._groups[0].parts.grids
    lowest = np.min([*seen], axis=0)[grids.monitored[0]]
    assert len(grids.tap_history[0]) > 1
    assert run.summary.lowest_pu == pytest.approx(lowest, abs=1e-3)


# --- bad input


def test_what_cannot_be_trained_on_is_refused() -> None:
    trained = trained_on("ieee13")
    first, second, third = trained.scenarios
    for words, changes in (
        ("no scenario to train on", {"scenarios": ()}),
        ("sets no batch sizes", {"plan": replace(trained.plan, policy=Policy("ofo"))}),
        ("has no zones", {"observation": "zone-summary", "feeder": replace(trained.feeder, zones={})}),
        ("of one duration", {"scenarios": (first, second, replace(third, duration_s=120))}),
    ):
        with pytest.raises(InputError, match=words):
            replace(trained, **changes)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="3 environments cannot be in 2 groups"):
        BatchSizeVectorEnv(trained, 3, n_groups=2)
    env = BatchSizeVectorEnv(trained, 2)
    with pytest.raises(InputError, match=r"0 \(down\), 1 \(hold\) or 2 \(up\)"):
        env.step(np.full((2, 5), 3))


def test_a_policy_that_is_not_of_this_case_is_refused_before_a_run(tmp_path: Path) -> None:
    policy = drawn_policy(BatchSizeVectorEnv(trained_on("ieee13"), 1))
    file = tmp_path / "policy.json"

    def refused(words: str, text: str, case: str = "ieee13") -> None:
        file.write_text(text, encoding="utf-8")
        choice = ControllerChoice.parse(f"ppo:file={file}")
        with pytest.raises(InputError, match=words):
            ControllersStudy(case=case, controllers=(choice,), n_candidates=1, scenario=BASE).check()

    refused("trained on feeder ieee13, and this is ieee34", policy.to_json(), "ieee34")
    refused("nan, which is no finite number", policy.to_json().replace("[0.02,", "[NaN,", 1))
    outputs = (replace(policy.outputs[0], batch_sizes=policy.outputs[0].batch_sizes[:-1]), *policy.outputs[1:])
    refused("moves 'Llama-3.1-8B-Instruct' at 'campus' along", replace(policy, outputs=outputs).to_json())
    refused("trained to act every 5 s; in this run controllers act every 1 s", replace(policy, step_s="5").to_json())
    with pytest.raises(InputError, match="controller 'ppo' needs the file of a trained policy: ppo:file=FILE"):
        ControllerChoice.parse("ppo").policy()
    file.write_text(policy.to_json(), encoding="utf-8")
    ControllersStudy(controllers=(ControllerChoice.parse(f"ppo:file={file}"),), n_candidates=1, scenario=BASE).check()
