"""`BatchSizeVectorEnv`: hundreds of scenarios in lockstep as a `gymnasium` vector environment.

One environment is one scenario on the batch engine: the same power flows, fleets and latencies as in every other study.
An action moves every model of every site one feasible batch size down (0), not at all (1), or up (2); it acts from the
next grid step on, as a controller's commands do. Where the plan has channels, what is shown is what has arrived, and
actions take effect when they have. An episode is a whole run. Environments of one group step through the
hour together; groups begin theirs at different times, so that what is collected at once is of all parts of it.

Needs `gymnasium` (`pip install "g2g-opt[rl]"`), which is imported with this module.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from g2g_opt.assembly import assemble, begun
from g2g_opt.batch.channels import BatchChannels
from g2g_opt.batch.control import Parts
from g2g_opt.batch.controls import build_controls
from g2g_opt.batch.ppo_control import PPOFleets
from g2g_opt.batch.simulator import batch_key, parts_of
from g2g_opt.compiled.program import Part, make_all
from g2g_opt.controller.noop import NoopController
from g2g_opt.controller.ppo import PPOModels, exceedance_pu, node_name, observation, zone_columns
from g2g_opt.coordinator import Coordinator
from g2g_opt.data_files import TRACE_DIR
from g2g_opt.datacenter.workloads.curves import LogisticModelStore
from g2g_opt.errors import InputError
from g2g_opt.failure import Failure
from g2g_opt.feeder import Feeder
from g2g_opt.learning.reward import REWARD_PARTS, RewardParts, RewardWeights, reward_parts, throughput_share
from g2g_opt.limits import Limits
from g2g_opt.plan import Plan
from g2g_opt.policy_assembly import ppo_sites
from g2g_opt.ppo_policy import N_ACTIONS, ObservationMode, PPOOutput
from g2g_opt.randomness import keyed_generator
from g2g_opt.scenario import Scenario

Floats = NDArray[np.float64]
Float32s = NDArray[np.float32]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Trained:
    """What a policy is trained on, and how it is shown: the plan (whose policy sets no batch sizes, but may have
    channels, through which the trained one then sees and acts), the feeder, scenarios of one length and period, the
    band, the observation and the weights of the reward.
    """

    plan: Plan
    feeder: Feeder
    scenarios: Sequence[Scenario]
    limits: Limits
    observation: ObservationMode = "full-voltage"
    weights: RewardWeights = field(default_factory=RewardWeights)
    trace_dir: Path = TRACE_DIR

    def __post_init__(self) -> None:
        if not self.scenarios:
            raise InputError("there is no scenario to train on")
        if self.plan.policy.kind != "none":
            raise InputError("a policy is trained on a plan whose own policy sets no batch sizes")
        if self.observation == "zone-summary" and not self.feeder.zones:
            raise InputError(
                f"feeder {self.feeder.name} has no zones to observe; observe full-voltage or system-summary"
            )
        if len({(s.duration_s, s.dt_s, s.control_dt_s) for s in self.scenarios}) > 1:
            raise InputError("scenarios to train on must be of one duration, step and control period")

    @property
    def band_pu(self) -> tuple[float, float]:
        """Lowest and highest voltage (pu) that are no exceedance."""
        return self.limits.voltage_min_pu, self.limits.voltage_max_pu


class _Group:
    """So many scenarios in lockstep, drawn anew for every episode."""

    def __init__(self, trained: Trained, n_envs: int, key: tuple[int, int], first_share: float) -> None:
        """`first_share` is the part of a run after which the first episode ends."""
        self._trained, self._n, self._key, self._share = trained, n_envs, key, first_share
        self._episode = 0
        self.begin()

    def begin(self) -> None:
        """The first step of new scenarios."""
        trained = self._trained
        seed, group = self._key
        generator = keyed_generator(seed, "training group", group, self._episode)
        self._episode += 1
        drawn = [trained.scenarios[k] for k in generator.integers(len(trained.scenarios), size=self._n)]
        assembled = [
            assemble(trained.plan, s, trained.feeder, trained.limits, trace_dir=trained.trace_dir, record_loading=False)
            for s in drawn
        ]
        runs, first = [_acted_on(one.coordinator, s) for one, s in zip(assembled, drawn, strict=True)], drawn[0]
        if len({batch_key(run) for run in runs}) > 1:
            raise InputError("scenarios to train on must fit into one batch: their grids differ")
        order, self.parts = parts_of(runs)
        begun_plans = [replace(trained.plan, sites=tuple(begun(site, s) for site in trained.plan.sites)) for s in drawn]
        sites = [ppo_sites(begun_plans[i], assembled[i].datacenters) for i in order]
        models = [PPOModels.of(of_run) for of_run in sites]
        fleets = np.array(self.parts.fleets.of_scenario, dtype=np.int64)
        self.fleets = PPOFleets(models, range(self._n), fleets, self.parts)
        ordered = [runs[i] for i in order]
        linked = trained.plan.policy.channels is not None
        self._channels = BatchChannels(ordered, self.parts.fleets, self.parts.grids) if linked else None
        sight, self._seen = None, self.parts
        self._before: list[Part] = []
        self._between: list[Part] = []
        self._after: list[Part] = []
        if self._channels is not None:
            sight, self._seen = self._channels.sight(), self._channels.parts()
            self._before, self._between = self._channels.parts_before(), self._channels.parts_between()
            self._after = self._channels.parts_after()
        # What else of the plan acts: shifts, storage, taps.
        self._controls = build_controls([run.controllers for run in ordered], self.parts, sight)
        self._control_ticks = [int(Fraction(c.dt_s) / first.dt_s) for c in self._controls]
        self._ticks = int(first.control_dt_s / first.dt_s)
        self._n_steps = int(self._share * first.duration_s / float(first.dt_s))
        self._share = 1.0
        self._monitored = self.parts.grids.monitored[0]
        self.nodes = [self.parts.grids.network.nodes[k] for k in self._monitored]
        zoned = trained.observation == "zone-summary"
        self._zones = zone_columns(self.nodes, trained.feeder.zones) if zoned else []
        self.sites = sites[0]
        self._step = 0
        self._advance()

    def _advance(self) -> Floats:
        """A grid step; squares of exceedances, summed over bus-phases (scenario,)."""
        parts = self.parts
        make_all(self._before, self._step)
        parts.fleets.advance(self._step)
        parts.grids.solve(self._step, parts.fleets.power_w)
        make_all(self._between, self._step)
        self._step += 1
        return np.asarray((exceedance_pu(self._voltage_pu(parts), *self._trained.band_pu) ** 2).sum(axis=1))

    def _let_others_act(self, step: int) -> None:
        """Everything else that acts after a grid step, as `run_batch` has it."""
        for control in self._controls:
            control.observe(step, self._seen)
        for control, ticks in zip(self._controls, self._control_ticks, strict=True):
            if step % ticks == 0:
                control.step(step, self._seen)
        make_all(self._after, step)

    def _voltage_pu(self, parts: Parts) -> Floats:
        return np.asarray(parts.grids.voltage_pu[self._monitored].T)

    def observed(self) -> Floats:
        """What the policy is shown now, (scenario, figure)."""
        trained, fleets, seen = self._trained, self.fleets, self._seen
        voltage_pu, state = self._voltage_pu(seen), fleets.state(seen)
        return observation(voltage_pu, state, fleets.models, trained.observation, self._zones, trained.band_pu)

    def act(self, action: Ints, share: Floats) -> RewardParts:
        """Act and go on to the next control step; `share` are throughputs by model and place, (model, size)."""
        fleets = self.fleets
        fleets.act(action, self._seen)
        squares = []
        for _ in range(self._ticks):
            self._let_others_act(self._step - 1)
            squares.append(self._advance())
        models = fleets.models
        # Those in force, which channels may keep from what was commanded.
        in_force = self.parts.fleets.batch[fleets.rows]
        reached = share[np.arange(len(models.sizes)), (models.sizes < in_force[:, :, None]).sum(axis=2)]
        return reward_parts(
            np.mean(squares, axis=0),
            reached,
            self.parts.fleets.itl_s[fleets.rows],
            models.deadline_s,
            fleets.change,
            self._trained.weights,
        )

    @property
    def failures(self) -> list[Failure | None]:
        """Why a scenario has no power flow any more, by scenario."""
        return self.parts.grids.failure

    @property
    def ended(self) -> bool:
        """True if no control step is left, or a scenario has failed: then all of them begin anew."""
        return self._step + self._ticks > self._n_steps or any(reason is not None for reason in self.failures)


def _acted_on(run: Coordinator[Any, Any], scenario: Scenario) -> Coordinator[Any, Any]:
    """A run whose channels, if it has any, also carry what the trained policy sends once every control period."""
    if run.links is None:
        return run
    return Coordinator(
        datacenters=run.datacenters,
        grid=run.grid,
        controllers=[NoopController(Fraction(scenario.control_dt_s)), *run.controllers],
        total_duration_s=run.total_duration_s,
        links=run.links,
    )


class BatchSizeVectorEnv(VectorEnv[Float32s, Ints, Floats]):
    """`n_envs` environments in `n_groups` groups; scenarios are drawn with repetition, keyed by `seed`.

    Observations (n_envs, figure) are those of `controller.ppo.observation`; actions (n_envs, model). An episode is
    truncated at the end of its run (of its first run: somewhere in it, by group), and terminated by a power flow that
    has no answer, which ends those of its group too; new ones begin in the same step (`AutoresetMode.SAME_STEP`), with
    the last observation in `infos["final_obs"]`. `infos["reward_parts"]` has the parts of `REWARD_PARTS` (n_envs, 4),
    and `infos["failure"]` the words on a failed power flow, empty for none.
    """

    def __init__(self, trained: Trained, n_envs: int, *, n_groups: int = 1, seed: int = 0) -> None:
        if not 1 <= n_groups <= n_envs or n_envs % n_groups:
            raise InputError(f"{n_envs} environments cannot be in {n_groups} groups of one size")
        self.trained, self.num_envs, self._n_groups, self._seed = trained, n_envs, n_groups, seed
        self.metadata = {"autoreset_mode": AutoresetMode.SAME_STEP, "render_modes": []}
        self.render_mode = None
        self._begin(seed)
        one = self._groups[0]
        self.nodes: tuple[str, ...] = tuple(node_name(node) for node in one.nodes)
        self.outputs: tuple[PPOOutput, ...] = one.fleets.models.outputs
        specs = [spec for site in one.sites for spec in site.specs]
        curves = LogisticModelStore.ensure(trained.trace_dir, specs)
        self._share = throughput_share(one.fleets.models, specs, curves)
        width = self._observed().shape[1]
        self.single_observation_space = spaces.Box(-np.inf, np.inf, (width,), np.float32)
        self.single_action_space = spaces.MultiDiscrete([N_ACTIONS] * len(self.outputs))
        self.observation_space = batch_space(self.single_observation_space, n_envs)
        self.action_space = batch_space(self.single_action_space, n_envs)

    def _begin(self, seed: int) -> None:
        size, n = self.num_envs // self._n_groups, self._n_groups
        self._groups = [_Group(self.trained, size, (seed, k), (n - k) / n) for k in range(n)]

    def _observed(self) -> Float32s:
        return np.concatenate([group.observed() for group in self._groups]).astype(np.float32)

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Float32s, dict[str, Any]]:
        """Begin anew, all groups; without a seed by that of the environment, so that it is the same again."""
        if isinstance(seed, list):
            raise InputError("environments of a batch share one seed: give a whole number")
        self._begin(self._seed if seed is None else seed)
        return self._observed(), {}

    def step(  # type: ignore[override]
        self, actions: Ints
    ) -> tuple[Float32s, Floats, Bools, Bools, dict[str, Any]]:
        """Act in all environments; see the class for what comes back."""
        wanted = np.asarray(actions, dtype=np.int64).reshape(self.num_envs, len(self.outputs))
        if wanted.min() < 0 or wanted.max() >= N_ACTIONS:
            raise InputError(
                f"actions are 0 (down), 1 (hold) or 2 (up), got {int(wanted.min())} to {int(wanted.max())}"
            )
        size = self.num_envs // self._n_groups
        terminated, truncated = (np.zeros(self.num_envs, dtype=np.bool_) for _ in range(2))
        words = np.full(self.num_envs, "", dtype=object)
        parts, shown, last = [], [], {}
        for k, group in enumerate(self._groups):
            own = slice(k * size, (k + 1) * size)
            parts.append(group.act(wanted[own], self._share))
            observed = group.observed()
            if group.ended:
                terminated[own] = [reason is not None for reason in group.failures]
                truncated[own] = ~terminated[own]
                words[own] = ["" if reason is None else str(reason) for reason in group.failures]
                last[own.start] = observed
                group.begin()
                observed = group.observed()
            shown.append(observed)
        whole = RewardParts(*(np.concatenate(column) for column in zip(*parts, strict=True)))
        # A scenario without a power flow has no voltages: what it would be paid is no figure.
        paid = np.where(terminated[:, None], 0.0, np.stack([getattr(whole, part) for part in REWARD_PARTS], axis=1))
        infos: dict[str, Any] = {"reward_parts": paid}
        now = np.concatenate(shown).astype(np.float32)
        if last:
            final = np.zeros_like(now)
            for first, observed in last.items():
                final[first : first + size] = observed
            infos |= {"final_obs": final, "_final_obs": terminated | truncated, "failure": words}
        return now, paid.sum(axis=1), terminated, truncated, infos
