"""Training by stable-baselines3, and its actor as a `PPOPolicy`. This is the only file that imports torch."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import VecEnv, VecNormalize
from torch import nn, no_grad, set_num_threads

from g2g_opt.learning.environment import BatchSizeVectorEnv
from g2g_opt.learning.reward import REWARD_PARTS
from g2g_opt.ppo_policy import N_ACTIONS, DenseLayer, PPOPolicy
from studies.ppo_training.rows import CurveRow, PPOPolicyRow

if TYPE_CHECKING:
    from studies.ppo_training.question import PPOSettings

CLIP, VARIANCE_FLOOR = 10.0, 1e-8


class StableBaselinesEnv(VecEnv):  # type: ignore[misc]
    """A `BatchSizeVectorEnv` in the form that stable-baselines3 steps: one dict of words per environment."""

    def __init__(self, env: BatchSizeVectorEnv) -> None:
        self.env = env
        super().__init__(env.num_envs, env.single_observation_space, env.single_action_space)
        self.parts: list[Any] = []
        self.n_failed = 0

    def reset(self) -> Any:
        """Begin anew."""
        return self.env.reset()[0]

    def step_async(self, actions: Any) -> None:
        """Keep the actions for `step_wait`."""
        self._actions = actions

    def step_wait(self) -> Any:
        """Observations, rewards, ends and words, with the last observations of what has ended."""
        observed, reward, terminated, truncated, about = self.env.step(self._actions)
        self.parts.append(about["reward_parts"].mean(axis=0))
        self.n_failed += int(terminated.sum())
        done = terminated | truncated
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        for k in np.flatnonzero(done):
            infos[k] = {"terminal_observation": about["final_obs"][k], "TimeLimit.truncated": bool(truncated[k])}
        return observed, reward.astype(np.float32), done, infos

    def close(self) -> None:
        """Nothing is held."""

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """An attribute, the same for every environment."""
        return [getattr(self.env, attr_name)] * self.num_envs

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Environments of a batch have no attributes of their own."""
        raise NotImplementedError(attr_name)

    def env_method(self, method_name: str, *method_args: Any, indices: Any = None, **method_kwargs: Any) -> list[Any]:
        """Environments of a batch have no methods of their own."""
        raise NotImplementedError(method_name)

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        """None is."""
        return [False] * self.num_envs


@dataclass(eq=False)
class _Recorder(BaseCallback):  # type: ignore[misc]
    """Notes the parts of the reward of every rollout, and keeps policies at even distances."""

    training: int
    env: StableBaselinesEnv
    normal: VecNormalize
    settings: PPOSettings
    tell: Callable[[float], None]
    curve: list[CurveRow] = field(default_factory=list)
    kept: list[PPOPolicyRow] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self._began_s = time.process_time()

    def _on_step(self) -> bool:
        return True

    def _on_rollout_start(self) -> None:
        # The policy that is here has been updated by every rollout before.
        self._keep()

    def _on_rollout_end(self) -> None:
        parts = dict(zip(REWARD_PARTS, np.mean(self.env.parts, axis=0).tolist(), strict=True))
        self.env.parts.clear()
        values = self.model.rollout_buffer.values.reshape(-1)
        returns = self.model.rollout_buffer.returns.reshape(-1)
        spread = float(np.var(returns))
        with no_grad():
            observed = self.model.policy.obs_to_tensor(self.model._last_obs)[0]
            entropy = float(self.model.policy.get_distribution(observed).entropy().mean())
        self.curve.append(
            CurveRow(
                self.training,
                self.num_timesteps,
                **parts,
                entropy=entropy,
                explained=1.0 - float(np.var(returns - values)) / spread if spread > 0.0 else 0.0,
                n_failed=self.env.n_failed,
            )
        )
        self.tell(min(1.0, self.num_timesteps / self.settings.steps))

    def _on_training_end(self) -> None:
        self._keep()

    def _keep(self) -> None:
        done, every = self.num_timesteps, self.settings.steps / self.settings.n_checkpoints
        if done >= every * (len(self.kept) + 1):
            policy = exported(self.model.policy, self.normal, self.env.env)
            cpu_s = time.process_time() - self._began_s
            self.kept.append(PPOPolicyRow(self.training, done, cpu_s, policy.to_json()))


def train(
    env: BatchSizeVectorEnv,
    settings: PPOSettings,
    training: int,
    seed: int,
    tell: Callable[[float], None],
    show: Callable[[tuple[Any, VecNormalize]], None] = lambda trained: None,
) -> tuple[list[CurveRow], list[PPOPolicyRow]]:
    """One training: its curve, and its checkpoints. The same seed gives the same policy on the same machine.

    `tell` hears the share that is done; `show` gets the library's own policy and whitening at the end.
    """
    set_num_threads(1)
    stepped = StableBaselinesEnv(env)
    normal = VecNormalize(
        stepped, norm_obs=True, norm_reward=True, clip_obs=CLIP, gamma=settings.discount, epsilon=VARIANCE_FLOOR
    )
    hidden = [settings.width] * settings.n_layers
    model = PPO(
        "MlpPolicy",
        normal,
        learning_rate=settings.learning_rate,
        n_steps=settings.rollout_steps,
        batch_size=settings.minibatch,
        n_epochs=settings.n_epochs,
        gamma=settings.discount,
        gae_lambda=settings.gae_lambda,
        clip_range=settings.clip_range,
        ent_coef=settings.entropy_weight,
        policy_kwargs={"net_arch": {"pi": hidden, "vf": hidden}, "activation_fn": nn.Tanh},
        seed=seed % 2**31,
        device="cpu",
    )
    with no_grad():
        # Logits of every output stand next to each other: down, hold, up.
        model.policy.action_net.bias.view(-1, N_ACTIONS)[:, 1] = settings.hold_logit
    recorder = _Recorder(training, stepped, normal, settings, tell)
    model.learn(settings.steps, callback=recorder)
    show((model.policy, normal))
    return recorder.curve, recorder.kept


def exported(policy: Any, normal: VecNormalize, env: BatchSizeVectorEnv) -> PPOPolicy:
    """The actor of an `ActorCriticPolicy` and what whitens its observations, as data."""
    linear = [part for part in policy.mlp_extractor.policy_net if isinstance(part, nn.Linear)]
    trained, full = env.trained, env.trained.observation == "full-voltage"
    return PPOPolicy(
        feeder=trained.feeder.name,
        observation=trained.observation,
        outputs=env.outputs,
        mean=tuple(normal.obs_rms.mean.tolist()),
        scale=tuple(np.sqrt(normal.obs_rms.var + VARIANCE_FLOOR).tolist()),
        clip=float(normal.clip_obs),
        layers=tuple(_layer(part) for part in (*linear, policy.action_net)),
        nodes=env.nodes if full else (),
        zones=tuple(trained.feeder.zones) if trained.observation == "zone-summary" else (),
        step_s=trained.scenarios[0].control_dt_s,
        about="trained by proximal policy optimisation with stable-baselines3 (g2g ppo-training)",
    )


def _layer(part: nn.Linear) -> DenseLayer:
    """Weights of a layer; in the fewest digits that give the same numbers of 32 bits."""

    def shortest(values: Any) -> tuple[float, ...]:
        return tuple(float(str(value)) for value in values)

    weight, bias = (x.detach().numpy() for x in (part.weight, part.bias))
    return DenseLayer(tuple(shortest(row) for row in weight), shortest(bias))
