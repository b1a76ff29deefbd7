"""Policies of batch sizes by PPO are trained and tested through the channels that they will act through."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from g2g_opt.assembly import assemble
from g2g_opt.batch.simulator import run_batch
from g2g_opt.communication import Channels, read_channels
from g2g_opt.controller.ppo import PPONetwork
from g2g_opt.learning.environment import BatchSizeVectorEnv, Trained
from g2g_opt.limits import Limits
from g2g_opt.plan import Policy
from g2g_opt.ppo_policy import DenseLayer, PPOPolicy
from g2g_opt.scenario import Scenario
from g2g_opt.scenario_draws import ScenarioRanges, draw_scenario
from g2g_opt.study_case import StudyCase
from studies.ppo_training.study import PPOTrainingStudy
from studies.scenario_library.study import LibraryStudy
from studies.shared.screening import ScreeningRule
from studies.shared.task import Task, TaskResult

CLEAR, DEAD = read_channels("ideal"), read_channels("ideal:outage=0-100000")
# Two minutes, in which ramps and training still happen (they stretch with the run).
SHORT = Scenario(duration_s=120, dt_s=Fraction(1), seed=5)


def quietly(share: float, words: str) -> None:
    """Progress that nobody looks at."""


def trained_on(channels: Channels | None) -> Trained:
    case = StudyCase.load("ieee13")
    scenarios = [draw_scenario(case, replace(SHORT, duration_s=60), ScenarioRanges(), "s0", 0)]
    plan = replace(case.plan, policy=replace(case.plan.policy, channels=channels))
    return Trained(plan, case.feeder, scenarios, Limits(), "full-voltage")


def drawn_policy(env: BatchSizeVectorEnv) -> PPOPolicy:
    """A policy of drawn weights that moves sizes now and then, both ways."""
    draw = np.random.default_rng(1)
    (width,) = env.single_observation_space.shape
    observed = env.reset()[0]
    shape, outputs = (3 * len(env.outputs), width), env.outputs
    layer = DenseLayer(
        tuple(map(tuple, (draw.normal(size=shape) / np.sqrt(width)).tolist())),
        tuple(draw.normal(size=shape[0]).tolist()),
    )
    mean = tuple(observed.mean(axis=0).astype(float).tolist())
    return PPOPolicy("ieee13", "full-voltage", outputs, mean, (0.02,) * width, 10.0, (layer,), nodes=env.nodes)


@pytest.mark.parametrize(
    "text",
    [
        "ideal",
        "ideal:latency=3",
        "udp:loss=0.5,latency=1.5,latency_kind=exponential",
        "udp:loss=0.6,age=1,stale=silence,silence=8,fail_safe=safe",
        "ideal:outage=20-50,silence=5,fail_safe=droop",
    ],
)
def test_an_environment_with_channels_is_the_run_with_channels(text: str) -> None:
    channels = read_channels(text)
    policy = drawn_policy(BatchSizeVectorEnv(trained_on(None), 1))
    env, network = BatchSizeVectorEnv(trained := trained_on(channels), 2), PPONetwork(policy)
    observed, _ = env.reset()
    group = env._groups[0]
    rows, fleets = group.fleets.rows, group.parts.fleets
    in_force, done = [fleets.batch[rows].copy()], np.zeros(2, dtype=bool)
    voltages = [group.parts.grids.voltage_pu[:, :2].copy()]
    while not done.any():
        observed, _, _, done, _ = env.step(network.actions(observed.astype(float)))
        if not done.any():
            in_force.append(fleets.batch[rows].copy())
            voltages.append(group.parts.grids.voltage_pu[:, :2].copy())
    plan = replace(trained.plan, policy=Policy("ppo", ppo=policy, channels=channels))
    run = assemble(plan, trained.scenarios[0], trained.feeder, Limits(), record_loading=False)
    (lockstep,) = run_batch([run.coordinator], trace=[0])
    assert lockstep.trace is not None
    trace, n = lockstep.trace, len(in_force)
    columns = [(trace.sites[o.site], trace.sites[o.site].labels.index(o.model)) for o in policy.outputs]
    sizes = np.array(in_force)[:, 0]
    assert n == 59
    assert (np.diff(sizes, axis=0) != 0).any()
    assert np.array_equal(np.array([site.batch_size[:n, column] for site, column in columns]).T, sizes)
    assert np.allclose(np.array(voltages)[:, :, 0], trace.voltage_pu[:n], atol=1e-9, equal_nan=True)


def test_a_clear_channel_changes_no_reward_and_a_dead_one_pays_what_is_in_force() -> None:
    rewards = []
    for channels in (None, CLEAR, DEAD):
        env = BatchSizeVectorEnv(trained_on(channels), 1)
        env.reset()
        down = np.zeros((1, len(env.outputs)), dtype=np.int64)
        rewards.append([env.step(down)[4]["reward_parts"][0] for _ in range(10)])
    at_once, clear, dead = np.array(rewards)
    assert np.array_equal(at_once, clear)
    # Throughput falls with what is commanded only where that arrives.
    assert at_once[-1, 1] < at_once[0, 1]
    assert (dead[:, 1] == dead[0, 1]).all()


def test_checkpoints_and_the_others_are_tested_through_channels(tmp_path: Path) -> None:
    library = LibraryStudy(
        n_train=1, n_test=2, n_validation=2, rule=ScreeningRule(1e-9, 0.0), scenario=replace(SHORT, duration_s=60)
    )
    rows = [library.run(task, quietly)["candidates"] for task in library.tasks("candidates", ())]
    results = [(task, {"candidates": table}) for task, table in zip(library.tasks("candidates", ()), rows, strict=True)]

    file = tmp_path / "library.csv"
    text = library.conclude([TaskResult(task, tables) for task, tables in results]).texts["library.csv"]
    file.write_text(text, encoding="utf-8")
    policy = drawn_policy(BatchSizeVectorEnv(trained_on(None), 1)).to_json()
    tasks = [Task("others", {}, "others"), Task("test", {"training": 1, "steps": 5, "policy": policy}, "test")]

    def tested(channels: Channels | None) -> list[dict[str, Any]]:
        study = PPOTrainingStudy(library=str(file), channels=channels)
        return [row for task in tasks for row in study.run(task, quietly)["tested"]]

    at_once, clear, dead = (tested(channels) for channels in (None, CLEAR, DEAD))
    assert at_once == clear
    none = {(row["split"], row["scenario"]): row for row in dead if row["controller"] == "none"}
    for kind in ("droop", "ofo", "ppo"):
        before, after = ([row for row in rows if row["controller"] == kind] for rows in (at_once, dead))
        if kind != "droop":  # no voltage is low in these
            assert [row["mean_throughput_tps"] for row in before] != [row["mean_throughput_tps"] for row in after]
        for row in after:
            same = none[row["split"], row["scenario"]]
            assert row["integral_violation_pu_s"] == same["integral_violation_pu_s"]
