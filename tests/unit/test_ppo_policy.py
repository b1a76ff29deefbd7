"""PPO policies as data and as arrays: by hand, from files, and what is refused."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from g2g_opt.assembly import assemble
from g2g_opt.controller.ppo import PPOModels, PPONetwork, PPOState, columns_seen, observation, zone_columns
from g2g_opt.data_files import data_path
from g2g_opt.errors import InputError
from g2g_opt.learning.reward import RewardWeights, reward_parts
from g2g_opt.limits import Limits
from g2g_opt.plan import Policy
from g2g_opt.ppo_policy import DenseLayer, PPOOutput, PPOPolicy
from g2g_opt.scenario import Scenario
from g2g_opt.scenario_draws import ScenarioRanges, draw_scenario
from g2g_opt.simulation import simulate_runs
from g2g_opt.study_case import StudyCase

OUTPUTS = (PPOOutput("west", "a", (8, 16, 32)), PPOOutput("west", "b", (4, 8)))


def small_policy(**changed: Any) -> PPOPolicy:
    """Three figures of the feeder and five of each of two models; one hidden unit that looks at the lowest voltage."""
    n = 13
    hidden = DenseLayer(((2.0, *(0.0,) * (n - 1)),), (0.5,))
    last = DenseLayer(((1.0,), (0.0,), (-1.0,), (0.0,), (0.0,), (0.0,)), (0.0, 0.25, 0.0, 0.0, 0.1, 0.2))
    mean, scale = (0.95, *(0.0,) * 12), (0.01, *(1.0,) * 12)
    policy = PPOPolicy("ieee13", "system-summary", OUTPUTS, mean, scale, 10.0, (hidden, last))
    return replace(policy, **changed)


def models() -> PPOModels:
    sizes = np.array([[8, 16, 32], [4, 8, 8]])
    return PPOModels(
        OUTPUTS,
        sizes,
        np.array([2, 1]),
        np.log2(sizes),
        np.array([0.1, 0.2]),
        np.array([10.0, 4.0]),
        np.array([0, 0]),
        np.array([2, 0]),
    )


@pytest.mark.parametrize("name", StudyCase.known())
def test_a_bundled_policy_runs_in_its_case_and_in_no_other(name: str) -> None:
    policy = Policy("ppo", ppo=PPOPolicy.load(data_path("study_cases", "policies", f"{name}_ppo.json")))
    short = Scenario(duration_s=20)
    for known in StudyCase.known():
        case = StudyCase.load(known)
        scenario = draw_scenario(case, short, ScenarioRanges(), "drawn", 1)
        plan = replace(case.plan, policy=policy)
        if known == name:
            (run,) = simulate_runs([(plan, scenario)], case.feeder, Limits())
            assert run.failure is None
            assert run.summary.batch_switches > 0
        else:
            with pytest.raises(InputError, match=f"was trained on feeder {name}, and this is {known}"):
                assemble(plan, scenario, case.feeder, Limits())


def test_a_network_is_what_it_says() -> None:
    network = PPONetwork(small_policy())
    observed = np.zeros((2, 13))
    observed[:, 0] = 0.94, 2.0
    for row, z in zip(network.logits(observed), ((0.94 - 0.95) / 0.01, 10.0), strict=True):
        h = math.tanh(2.0 * z + 0.5)
        assert row.reshape(-1) == pytest.approx([h, 0.25, -h, 0.0, 0.1, 0.2])
    # A low voltage holds the first model's size rather than lower it: h is negative there, and -h the largest.
    assert network.actions(observed).tolist() == [[2, 2], [0, 2]]


def test_what_is_observed_is_in_the_units_that_it_says() -> None:
    voltage_pu = np.array([[0.94, 1.00, 1.06, np.nan], [1.0, 1.01, 1.02, 1.03]])
    state = PPOState(
        np.array([[2, 0], [0, 1]]),
        np.array([[-1.0, 0.0], [2.0, 1.0]]),
        np.array([[0.05, np.nan], [0.5, 0.2]]),
        np.array([[5, 4], [10, 0]]),
        np.array([[2.5e6], [1e6]]),
    )
    of_models = [
        [1.0, 0.5, 0.5, 2.5, -1.0, 0.0, 0.0, 1.0, 2.5, 0.0],
        [0.0, 2.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 1.0, 1.0],
    ]
    whole = [[0.94, 1.06, 0.02], [1.0, 1.03, 0.0]]
    seen = [observation(voltage_pu, state, models(), mode, zones, (0.95, 1.05)) for mode, zones in (
        ("full-voltage", ()), ("system-summary", ()), ("zone-summary", (np.array([0]), np.array([1, 2]))))]  # fmt: skip
    for row in range(2):
        full = [1.0 if np.isnan(v) else v for v in voltage_pu[row]]
        zones = [[0.94, 0.94, 0.01, 1.0, 1.06, 0.01], [1.0, 1.0, 0.0, 1.01, 1.02, 0.0]][row]
        for found, voltages in zip(seen, ([*full, *whole[row]], whole[row], zones), strict=True):
            assert found[row] == pytest.approx([*voltages, *of_models[row]])


def test_actions_step_along_feasible_sizes_and_stop_at_their_ends() -> None:
    place = np.array([[0, 0], [2, 1], [1, 0]])
    after, change = models().moved(place, np.array([[0, 2], [2, 2], [2, 1]]))
    assert after.tolist() == [[0, 1], [2, 1], [2, 0]]
    assert change.tolist() == [[0.0, 1.0], [0.0, 0.0], [1.0, 0.0]]
    assert models().batch(after).tolist() == [[8, 8], [32, 8], [32, 4]]


def test_the_reward_by_hand() -> None:
    weights = RewardWeights(100.0, 2.0, 10.0, 4.0)
    parts = reward_parts(
        np.array([0.01]),
        np.array([[1.0, 0.5]]),
        np.array([[0.12, np.nan]]),
        np.array([0.1, 0.2]),
        np.array([[-1.0, 2.0]]),
        weights,
    )
    assert [float(part[0]) for part in parts] == pytest.approx([-1.0, 1.5, -1.0, -6.0])
    assert parts.total == pytest.approx([-6.5])


def test_a_policy_comes_back_from_its_file(tmp_path: Path) -> None:
    full = replace(
        small_policy(),
        observation="full-voltage",
        nodes=("671.1", "680.2"),
        mean=(1.0,) * 15,
        scale=(0.5,) * 15,
        layers=(DenseLayer(((0.1,) * 15,) * 6, (0.0,) * 6),),
        step_s=Fraction(1, 2),
    )
    for policy in (small_policy(), full):
        file = tmp_path / "policy.json"
        file.write_text(policy.to_json(), encoding="utf-8")
        assert PPOPolicy.load(file) == policy == PPOPolicy.from_json(policy.to_json())


def test_columns_follow_names_and_zones() -> None:
    nodes = [("671", 1), ("680", 1), ("680", 2)]
    full = replace(
        small_policy(), observation="full-voltage", nodes=("680.2", "671.1"), mean=(1.0,) * 15, scale=(1.0,) * 15,
        layers=(DenseLayer(((0.0,) * 15,) * 6, (0.0,) * 6),),
    )  # fmt: skip
    assert columns_seen(full, nodes, {})[0].tolist() == [2, 0]
    with pytest.raises(InputError, match=r"bus-phase '671\.1' not found that the PPO policy reads"):
        columns_seen(full, nodes[1:], {})
    assert [c.tolist() for c in zone_columns(nodes, {"a": ("680",), "b": ("671", "680")})] == [[1, 2], [0, 1, 2]]
    with pytest.raises(InputError, match="zone 'c' has no monitored bus-phase"):
        zone_columns(nodes, {"c": ("650",)})


def plain(**changed: Any) -> str:
    return json.dumps(json.loads(small_policy().to_json()) | changed)


def without(name: str) -> str:
    return json.dumps({key: value for key, value in json.loads(small_policy().to_json()).items() if key != name})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (plain(mean=[math.nan] * 13), r"mean\.0 is nan, which is no finite number"),
        (small_policy().to_json().replace("0.25", "NaN"), r"layers\.1\.bias\.1 is nan"),
        (small_policy().to_json().replace("0.25", "1e13"), r"layers\.1\.bias"),
        (plain(mean=[0.0] * 12), "observes 13 figures has 12 as mean"),
        (plain(scale=[0.0] * 13), "scale"),
        (plain(layers=[]), "needs layers"),
        (plain(layers=[{"weight": [[0.0]] * 6, "bias": [0.0] * 6}]), "takes 1 figures where 13 come in"),
        (plain(layers=[{"weight": [[0.0] * 13] * 5, "bias": [0.0] * 5}]), "end in 5 figures; 6 belong"),
        (plain(layers=[{"weight": [[0.0] * 13, [0.0]], "bias": [0.0] * 2}]), "rows of one length"),
        (plain(observation="all"), "observation"),
        (plain(nodes=["671.1"]), "nodes belong to"),
        (plain(zones=["north"]), "zones belong to"),
        (plain(outputs=[]), "needs outputs"),
        (plain(outputs=[{"site": "w", "model": "a", "batch_sizes": [8, 8]}]), "batch_sizes that rise"),
        (plain(step_s="0"), "step_s"),
        (plain(wide=3), "entry 'wide', which no PPO policy has"),
        (without("layers"), "layers"),
        ("[]", "no JSON object"),
        ("{", "is no JSON"),
    ],
)  # fmt: skip
def test_a_file_that_holds_no_policy_is_refused_by_its_cause(text: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        PPOPolicy.from_json(text)
