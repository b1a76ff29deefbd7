"""The numpy policy beside the library that trained it.

With stable-baselines3 installed (`g2g-opt[rl]`) a policy is trained for a moment and both are asked; without it, what
the library once said of the bundled policy is in `ppo_library.json`, written by

    python tests/cross_check/test_ppo_library.py
"""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from g2g_opt.controller.ppo import PPONetwork
from g2g_opt.data_files import data_path
from g2g_opt.learning.environment import BatchSizeVectorEnv, Trained
from g2g_opt.limits import Limits
from g2g_opt.ppo_policy import N_ACTIONS, PPOPolicy
from g2g_opt.scenario import Scenario
from g2g_opt.scenario_draws import ScenarioRanges, draw_scenario
from g2g_opt.study_case import StudyCase

# Ramps go both ways, and models begin at several sizes.
VARIED = ScenarioRanges(ramp_up_share=0.5, start_batch_sizes=(32, 64, 128))
RECORD = Path(__file__).with_name("ppo_library.json")
BUNDLED = ("study_cases", "policies", "ieee13_ppo.json")


def probabilities(logits: Any) -> Any:
    """Softmax over actions."""
    shifted = np.exp(logits - logits.max(axis=2, keepdims=True))
    return shifted / shifted.sum(axis=2, keepdims=True)


def asked_of_the_library(model_policy: Any, whitened: Any) -> Any:
    """Probabilities (observation, output, action) that an `ActorCriticPolicy` gives to whitened observations."""
    import torch

    with torch.no_grad():
        distribution = model_policy.get_distribution(torch.as_tensor(whitened, dtype=torch.float32))
    return np.stack([one.probs.numpy() for one in distribution.distribution], axis=1)


def test_the_bundled_policy_says_what_the_library_said() -> None:
    record = json.loads(RECORD.read_text(encoding="utf-8"))
    policy = PPOPolicy.load(data_path(*BUNDLED))
    found = probabilities(PPONetwork(policy).logits(np.array(record["observations"])))
    recorded = np.array(record["probabilities"])
    assert recorded.shape == (40, len(policy.outputs), N_ACTIONS)
    # It is no constant: what is observed decides.
    assert len({tuple(row) for row in recorded.argmax(axis=2).tolist()}) > 2
    assert np.abs(found - recorded).max() < 1e-6


def test_a_policy_that_is_trained_here_says_what_the_library_says() -> None:
    pytest.importorskip("stable_baselines3", reason="an extra: pip install g2g-opt[rl]")
    from stable_baselines3.common.vec_env import VecNormalize

    from studies.ppo_training.question import PPOSettings
    from studies.ppo_training.training import train

    case = StudyCase.load("ieee13")
    hour = Scenario(duration_s=60, dt_s=Fraction(1))
    scenarios = [draw_scenario(case, hour, VARIED, f"s{k}", k) for k in range(4)]
    env = BatchSizeVectorEnv(Trained(case.plan, case.feeder, scenarios, Limits()), 8, n_groups=2)
    settings = PPOSettings(1024, 8, 2, 32, 64, 2, width=16, n_layers=2, n_checkpoints=2)
    models: list[tuple[Any, VecNormalize]] = []
    curve, kept = train(env, settings, 1, 1, lambda share: None, models.append)
    assert [row.steps for row in curve] == [256, 512, 768, 1024]
    assert [row.steps for row in kept] == [512, 1024]
    assert all(np.isfinite([row.voltage, row.throughput, row.latency, row.switching]).all() for row in curve)
    ((model_policy, normal),) = models
    policy = PPOPolicy.from_json(kept[-1].policy)
    observed = np.concatenate([env.step(env.action_space.sample())[0] for _ in range(20)])
    library = asked_of_the_library(model_policy, normal.normalize_obs(observed))
    assert np.abs(probabilities(PPONetwork(policy).logits(observed.astype(float))) - library).max() < 1e-6


def _record() -> None:
    """What an `ActorCriticPolicy` with the weights of the bundled policy says of observations of the environment."""
    import torch
    from gymnasium import spaces
    from stable_baselines3.common.policies import ActorCriticPolicy

    policy = PPOPolicy.load(data_path(*BUNDLED))
    n = len(policy.mean)
    hidden = [len(layer.bias) for layer in policy.layers[:-1]]
    library = ActorCriticPolicy(
        spaces.Box(-np.inf, np.inf, (n,), np.float32),
        spaces.MultiDiscrete([N_ACTIONS] * len(policy.outputs)),
        lambda _: 0.0,
        net_arch={"pi": hidden, "vf": hidden},
        activation_fn=torch.nn.Tanh,
    )
    linear = [part for part in library.mlp_extractor.policy_net if isinstance(part, torch.nn.Linear)]
    with torch.no_grad():
        for part, layer in zip([*linear, library.action_net], policy.layers, strict=True):
            part.weight[:] = torch.tensor(layer.weight)
            part.bias[:] = torch.tensor(layer.bias)
    case = StudyCase.load("ieee13")
    scenarios = [draw_scenario(case, Scenario(), VARIED, f"s{k}", k) for k in range(20)]
    env = BatchSizeVectorEnv(Trained(case.plan, case.feeder, scenarios, Limits()), 20, n_groups=2)
    env.reset()
    draw, seen = np.random.default_rng(0), []
    for step in range(1200):
        observed = env.step(draw.choice(N_ACTIONS, p=(0.01, 0.98, 0.01), size=(20, len(policy.outputs))))[0]
        if step % 600 == 599:
            seen.append(observed)
    observations = np.concatenate(seen).astype(float)
    whitened = np.clip((observations - policy.mean) / policy.scale, -policy.clip, policy.clip)
    found = asked_of_the_library(library, whitened)
    RECORD.write_text(
        json.dumps(
            {
                "observations": [[float(f"{x:.9g}") for x in row] for row in observations.tolist()],
                "probabilities": [[[float(f"{x:.9g}") for x in a] for a in row] for row in found.tolist()],
            }
        ),
        encoding="utf-8",
    )


if __name__ == "__main__":
    _record()
