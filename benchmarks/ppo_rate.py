"""Environment steps per CPU second: of the environment by itself and of a training, on every study case.

    python benchmarks/ppo_rate.py [--cases ieee13 ieee34 ieee123] [--rollouts 4]

Needs the extra [rl]. The settings are those of `g2g ppo-training` (128 environments, rollouts of 128 steps), the
observation of each feeder the published one, the scenarios drawn and not screened. One thread; the first rollout, which
compiles, is not counted. Prints what 2 and 5 million steps take at that rate.
"""

from __future__ import annotations

import argparse
import os
import sys
import time

from measuring import ROOT, THREAD_VARIABLES, machine

os.environ |= dict.fromkeys(THREAD_VARIABLES, "1")
sys.path.insert(0, str(ROOT))

from dataclasses import replace

import numpy as np

from g2g_opt.learning.environment import BatchSizeVectorEnv, Trained
from g2g_opt.limits import Limits
from g2g_opt.ppo_policy import ObservationMode
from g2g_opt.scenario import Scenario
from g2g_opt.scenario_draws import ScenarioRanges
from g2g_opt.study_case import StudyCase
from studies.ppo_training.question import PPOSettings
from studies.ppo_training.training import train
from studies.shared.screening import draw_candidates

OBSERVED: dict[str, ObservationMode] = {
    "ieee13": "full-voltage",
    "ieee34": "system-summary",
    "ieee123": "zone-summary",
}
N_SCENARIOS = 128


def rates(name: str, n_rollouts: int) -> None:
    """Measure and print one case."""
    case = StudyCase.load(name)
    scenarios = draw_candidates(case, Scenario(), ScenarioRanges(), "train", 0, N_SCENARIOS)
    usual = PPOSettings()
    rollout = usual.n_envs * usual.rollout_steps
    settings = replace(usual, steps=(n_rollouts + 1) * rollout, n_checkpoints=1)
    trained = Trained(case.plan, case.feeder, scenarios, Limits(), OBSERVED[name])
    env = BatchSizeVectorEnv(trained, settings.n_envs, n_groups=settings.n_groups, seed=1)
    env.reset()
    # All hold: one of three actions for each output.
    hold = np.ones(env.action_space.shape, dtype=np.int64)
    env.step(hold)
    began_s = time.process_time()
    for _ in range(usual.rollout_steps):
        env.step(hold)
    alone = rollout / (time.process_time() - began_s)
    ends_s: list[float] = []
    train(env, settings, 1, 1, lambda share: ends_s.append(time.process_time()))
    whole = rollout * (len(ends_s) - 1) / (ends_s[-1] - ends_s[0])
    print(
        f"{name}, {OBSERVED[name]}: environment {alone:,.0f} steps per CPU s, training {whole:,.0f}: 2 million "
        f"steps in {2e6 / whole:,.0f} CPU s, 5 million in {5e6 / whole / 60:.1f} CPU minutes",
        flush=True,
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="+", choices=StudyCase.known(), default=StudyCase.known())
    parser.add_argument("--rollouts", type=int, default=4)
    options = parser.parse_args()
    print(machine())
    for name in options.cases:
        rates(name, options.rollouts)
    return 0


if __name__ == "__main__":
    sys.exit(main())
