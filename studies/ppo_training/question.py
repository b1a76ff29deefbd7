"""The question of a training of PPO policies, complete enough to rerun."""

from __future__ import annotations

from dataclasses import field
from pathlib import Path
from typing import Annotated

from g2g_opt.communication import ChannelsAsked
from g2g_opt.errors import InputError
from g2g_opt.flag import Flag
from g2g_opt.learning.reward import RewardWeights
from g2g_opt.limits import Limits
from g2g_opt.ppo_policy import ObservationMode
from g2g_opt.quantities import Count, InnerShare, RoundCount, Share, StepSize, TrainingSteps, Weight
from g2g_opt.scenario_library import LibraryScenario, ScenarioLibrary, Split, chosen_scenarios
from g2g_opt.study_case import StudyCase
from studies.shared.case_fields import BAND_ONLY, StudyCaseName
from studies.shared.question_fields import StudySeed, TraceFolder
from studies.shared.question_model import NounFlags, check_unused, question_model

DESCRIPTION = (
    "A policy of batch sizes is trained by proximal policy optimisation (PPO) on the scenarios of a library that are "
    "there to train on, hundreds of them in lockstep. Its checkpoints are compared on the scenarios to choose by, and "
    "all of them are tested; the answer says which one validation chooses, and which one the test itself would. Needs "
    'stable-baselines3: pip install "g2g-opt[rl]".'
)
EPILOG = (
    "policy.json in the study's folder is for g2g controllers --controller ppo:file=policy.json. Example: "
    "g2g scenarios --case ieee13 --train 1000 --validation 250 --test 400 --out results/scenarios; "
    "g2g ppo-training --case ieee13 --library results/scenarios/library.csv --seeds 5"
)
_PPO, _ENVIRONMENT = "proximal policy optimisation", "the environment"


@question_model
class PPOSettings:
    """How a policy is optimised. Where the OpenG2G paper's figures are legible they are these; the rest is our choice.

    Actor and critic have `n_layers` hidden layers of `width`, tanh between them. A rollout is `n_envs` environments
    over `rollout_steps`; it is used `n_epochs` times, in minibatches of `minibatch`. `hold_logit` is what the untrained
    policy has for holding a batch size over moving it, so that it does not begin by moving two of three every second.
    """

    steps: Annotated[TrainingSteps, Flag("--steps", "environment steps, of all environments together")] = 2_000_000
    n_envs: Annotated[RoundCount, Flag("--envs", "environments in lockstep", group=_ENVIRONMENT)] = 128
    n_groups: Annotated[
        RoundCount, Flag("--groups", "groups of them, which begin their hours at different times", group=_ENVIRONMENT)
    ] = 4
    rollout_steps: Annotated[Count, Flag("--rollout-steps", "steps of every environment between two updates")] = 128
    minibatch: Annotated[Count, Flag("--minibatch", "steps of a gradient step")] = 2048
    n_epochs: Annotated[RoundCount, Flag("--epochs", "times that a rollout is used")] = 10
    learning_rate: Annotated[StepSize, Flag("--learning-rate", "of Adam")] = 3e-4
    discount: Annotated[InnerShare, Flag("--discount", "of the reward of the next second")] = 0.99
    gae_lambda: Annotated[Share, Flag("--gae-lambda", "of generalised advantage estimation")] = 0.95
    clip_range: Annotated[InnerShare, Flag("--clip-range", "by which the policy may change in an update")] = 0.2
    entropy_weight: Annotated[Weight, Flag("--entropy-weight", "of the entropy of actions")] = 0.0
    width: Annotated[RoundCount, Flag("--width", "of hidden layers")] = 64
    n_layers: Annotated[RoundCount, Flag("--layers", "hidden layers of actor and of critic")] = 3
    hold_logit: Annotated[Weight, Flag("--hold-logit", "of holding a batch size, before training")] = 3.0
    n_checkpoints: Annotated[RoundCount, Flag("--checkpoints", "policies kept of a training, evenly")] = 10


@question_model
class PPOTrainingQuestion:
    """Which policy do `n_seeds` trainings by PPO give on a study case, and how good is it in scenarios it never saw?

    The `library` has scenarios to train on, to choose checkpoints by and to test with. `observation` is what the
    policy is shown of voltages: those of all bus-phases, or the lowest, the highest and the sum of what is outside the
    band, of every zone or of the feeder (the OpenG2G paper: full-voltage on 13, system-summary on 34, zone-summary on
    123 buses). With `channels` it is trained, chosen and tested with messages that pass these.
    """

    case: StudyCaseName = "ieee13"
    library: Annotated[
        str | None, Flag("--library", "library.csv of g2g scenarios with --validation", metavar="FILE", unset="needed")
    ] = None
    observation: Annotated[
        ObservationMode, Flag("--observation", "voltages that the policy sees: all, or lowest, highest and excess")
    ] = "full-voltage"
    n_seeds: Annotated[RoundCount, Flag("--seeds", "trainings, each with draws of its own")] = 1
    n_validation: Annotated[Count, Flag("--validation", "scenarios to choose checkpoints by, at most")] = 50
    n_test: Annotated[Count, Flag("--scenarios", "scenarios to test with, at most")] = 50
    settings: Annotated[PPOSettings, NounFlags(_PPO)] = field(default_factory=PPOSettings)
    channels: ChannelsAsked = None
    weights: Annotated[RewardWeights, NounFlags("the reward, each second")] = field(default_factory=RewardWeights)
    limits: Annotated[Limits, NounFlags("the band", without=BAND_ONLY)] = field(default_factory=Limits)
    seed: StudySeed = 0
    trace_dir: TraceFolder = "data/specs"

    @property
    def feeder(self) -> str:
        """The feeder of the case."""
        return StudyCase.load(self.case).feeder.name

    def scenarios(self, split: Split) -> list[LibraryScenario]:
        """Scenarios of a split; `InputError` for no library, one of another case, or one without any of them."""
        if self.library is None:
            raise InputError("name a scenario library (--library): g2g scenarios with --validation makes one")
        library = ScenarioLibrary.load(Path(self.library))
        if library.case != self.case:
            raise InputError(f"the library {self.library} is of the case {library.case}, not {self.case} (--case)")
        n_max = {"train": len(library.scenarios), "validation": self.n_validation, "test": self.n_test}[split]
        return list(chosen_scenarios(library, split, n_max))

    def check_fields(self) -> None:
        """Raise `InputError` for figures that do not fit together."""
        StudyCase.load(self.case)
        check_unused(self)
        settings = self.settings
        if settings.n_envs % settings.n_groups:
            raise InputError(f"{settings.n_envs} environments are not whole groups of {settings.n_groups} (--groups)")
        rollout = settings.n_envs * settings.rollout_steps
        if rollout % settings.minibatch:
            raise InputError(f"a rollout of {rollout} steps is not made of minibatches of {settings.minibatch}")
        if settings.steps < rollout * settings.n_checkpoints:
            raise InputError(
                f"{settings.steps} steps have room for {settings.steps // rollout} rollouts of {rollout}, which are "
                f"fewer than {settings.n_checkpoints} checkpoints (--checkpoints)"
            )
