"""A policy as plain data, its arithmetic, and what it may see when."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from controller_rigs import EVENTS, ToldSite, clock_at

from g2g_opt.controller.contextual_batch_size import (
    ContextualBatchSizeController,
    PolicySite,
    affine_level,
    batch_at_level,
)
from g2g_opt.datacenter.config import InferenceModelSpec
from g2g_opt.datacenter.workloads.curves import LogisticModel, LogisticModelStore
from g2g_opt.errors import InputError
from g2g_opt.feeder_policy import FeederPolicy, PolicyFeature, PolicyOutput
from g2g_opt.grid.generator import SampledGenerator
from g2g_opt.grid.load import ConstantLoad
from g2g_opt.held_series import HeldSeries, LoadShares

SHARE = "share of the loads in the circuit's data"
LOAD = PolicyFeature("own_load_share", SHARE, lag_s=30.0, center=0.5, scale=0.25)
POWER = PolicyFeature("site_power_kw", "kW", "told", lag_s=1.0, center=3.0, scale=1.5)
CHAT = PolicyOutput("told", "chat", (8, 16, 64, 128), (0.0, 0.2, 0.5, 1.0))
POLICY = FeederPolicy((LOAD, POWER), (CHAT,), (0.9,), ((-0.4, -0.1),), "nearest", "by hand")
SPEC = InferenceModelSpec(
    model_label="chat", model_id="x", gpu_model="H100", task="t", itl_deadline_s=0.1, batch_sizes=(8, 16, 64, 128)
)
FLAT = LogisticModel(L=0.0, x0=0.0, k=1.0, b0=500.0)
CURVES = LogisticModelStore({"chat": FLAT}, {"chat": FLAT}, {"chat": FLAT})


def told() -> PolicySite:
    return PolicySite(ToldSite({"chat": 128}, {"chat": 0.05}), (SPEC,), {"chat": 128})


def grid(load_share: HeldSeries | None = None, *profiles: Any) -> Any:
    """Publishes and has no voltages: whoever asks for them fails."""
    return SimpleNamespace(
        setup=SimpleNamespace(own_load_share=LoadShares.every(load_share), attached=SimpleNamespace(profiles=profiles))
    )


def controller(policy: FeederPolicy, at: Any = None, **more: Any) -> ContextualBatchSizeController:
    return ContextualBatchSizeController(policy, [told()], at or grid(), CURVES, **more)


# --- plain data


def test_a_policy_comes_back_from_json_as_it_was() -> None:
    again = FeederPolicy.from_json(POLICY.to_json())
    assert again == POLICY
    assert hash(again) == hash(POLICY)
    assert json.loads(POLICY.to_json())["features"][0] == {
        "name": "own_load_share",
        "unit": SHARE,
        "site": "",
        "lag_s": 30.0,
        "center": 0.5,
        "scale": 0.25,
    }


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d.pop("gain"), r"lacks \['gain'\]"),
        (lambda d: d["features"][0].pop("unit"), r"PolicyFeature in JSON lacks \['unit'\]"),
        (lambda d: d["outputs"][0].pop("levels"), r"PolicyOutput in JSON lacks \['levels'\]"),
        (lambda d: d.update(gains=1), "did you mean gain"),
        (lambda d: d["features"][0].update(name="own_load_shares"), "did you mean own_load_share"),
        (lambda d: d["features"][0].update(unit="kW"), "not 'kW'"),
        (lambda d: d["features"][1].update(site=""), "are of a site"),
        (lambda d: d["features"][0].update(lag_s=0.0), "lag_s"),
        (lambda d: d["features"].append(d["features"][0]), "coefficients"),
        (lambda d: d.update(offset=[float("nan")]), "offset.0 is nan, which is no finite number"),
        (lambda d: d.update(offset=3.0), "offset: 3.0 is no list"),
        (lambda d: d["outputs"][0].update(levels=[0.0, 0.6, 0.5, 1.0]), "rise"),
        (lambda d: d.update(rounding="up"), "rounding"),
    ],
)
def test_what_is_wrong_with_a_policys_text_is_named(change: Any, words: str) -> None:
    found = json.loads(POLICY.to_json())
    change(found)
    with pytest.raises(InputError, match=words):
        FeederPolicy.from_json(json.dumps(found))


def test_a_text_that_is_no_policy() -> None:
    with pytest.raises(InputError, match="no JSON"):
        FeederPolicy.from_json("{")
    with pytest.raises(InputError, match="JSON object"):
        FeederPolicy.from_json("[1]")


# --- arithmetic


def test_levels_by_hand() -> None:
    context = np.array([[0.5, 3.0], [0.75, 3.0], [0.5, 6.0], [0.0, 0.0], [2.0, 9.0]])
    level = affine_level(
        context, np.array([0.5, 3.0]), np.array([0.25, 1.5]), np.array([0.9]), np.array([[-0.4, -0.1]])
    )
    assert level[:, 0] == pytest.approx([0.9, 0.5, 0.7, 1.0, 0.0])


def test_a_scenario_among_others_is_the_scenario_alone() -> None:
    rng = np.random.default_rng(3)
    context, gain, offset = rng.normal(size=(7, 3)), rng.normal(size=(2, 3)), rng.normal(size=2)
    together = affine_level(context, np.zeros(3), np.ones(3), offset, gain)
    alone = [affine_level(row[None], np.zeros(3), np.ones(3), offset, gain)[0] for row in context]
    assert together == pytest.approx(np.array(alone))


def test_sizes_next_to_a_level_and_below_it() -> None:
    sizes, levels = [np.array([8, 16, 64, 128])], [np.array([0.0, 0.2, 0.5, 1.0])]
    asked = np.array([[0.0], [0.1], [0.11], [0.2], [0.35], [0.36], [0.74], [0.76], [1.0]])
    assert batch_at_level(asked, sizes, levels, "nearest")[:, 0].tolist() == [8, 8, 16, 16, 16, 64, 64, 128, 128]
    assert batch_at_level(asked, sizes, levels, "down")[:, 0].tolist() == [8, 8, 8, 16, 16, 16, 64, 64, 128]


def test_outputs_have_sizes_of_their_own() -> None:
    sizes, levels = [np.array([8, 16]), np.array([4, 6, 9])], [np.array([0.0, 1.0]), np.array([0.0, 0.1, 1.0])]
    assert batch_at_level(np.array([[0.4, 0.4], [0.6, 0.04]]), sizes, levels, "nearest").tolist() == [[8, 6], [16, 4]]


# --- what it sees


def batch_by_time(live: ContextualBatchSizeController, times: range) -> dict[int, int]:
    """Sizes commanded, by the time of the command."""
    found = {}
    for t in times:
        for command in live.step(clock_at(t), EVENTS):
            found[t] = command.batch_size_by_model["chat"]  # type: ignore[union-attr]
            command.target.show(command.batch_size_by_model, {"chat": 0.05})  # type: ignore[union-attr]
    return found


def test_a_figure_is_used_once_it_has_been_published() -> None:
    # The load share rises at 100 s from 0.5 (level 0.9, size 128) to 1.0 (level 0, size 8).
    shares = HeldSeries((0.5, 1.0), 100.0)
    alone = replace(POLICY, features=(LOAD,), gain=((-0.7,),))
    assert batch_by_time(controller(alone, grid(shares)), range(0, 140)) == {130: 8}
    fresh = replace(alone, features=(replace(LOAD, lag_s=1.0),))
    assert batch_by_time(controller(fresh, grid(shares)), range(0, 140)) == {101: 8}


def test_the_operator_published_before_the_run_and_a_site_did_not() -> None:
    low = replace(POLICY, offset=(0.0,), gain=((0.0, 0.0),))
    assert batch_by_time(controller(low), range(0, 40)) == {1: 8}
    late = replace(low, features=(LOAD, replace(POWER, lag_s=15.0)))
    assert batch_by_time(controller(late), range(0, 40)) == {15: 8}
    of_operator = replace(low, features=(LOAD,), gain=((0.0,),))
    assert batch_by_time(controller(of_operator), range(0, 40)) == {0: 8}


def test_a_sites_figure_is_used_once_it_has_been_published() -> None:
    # The demand doubles at 20 s, by replicas that no command changes; it is published 7 s later.
    demand = PolicyFeature("site_demand_kw", "kW", "told", lag_s=7.0, center=5.0, scale=1.0)
    live = controller(FeederPolicy((demand,), (CHAT,), (1.0,), ((-1.0,),)))
    datacenter: Any = live.context._sites["told"].datacenter
    found = batch_by_time(live, range(0, 20))
    datacenter.show({"chat": 128}, {"chat": 0.05}, {"chat": 20})
    assert found == {}
    assert batch_by_time(live, range(20, 34)) == {27: 8}


def test_a_reset_forgets_what_was_published() -> None:
    live = controller(POLICY)
    live.context.publish(0.0)
    assert live.context.seen(1.0) is not None
    live.reset()
    assert live.context.seen(1.0) is None


def test_figures_have_their_units() -> None:
    features = [
        PolicyFeature(name, unit, site)
        for name, unit, site in (
            ("pv_kw", "kW", ""),
            ("other_load_kw", "kW", ""),
            ("time_of_day_sin", "1", ""),
            ("time_of_day_cos", "1", ""),
            ("site_power_kw", "kW", "told"),
            ("site_demand_kw", "kW", "told"),
        )
    ]
    policy = FeederPolicy(tuple(features), (CHAT,), (0.9,), ((0.0,) * 6,))
    sun = SimpleNamespace(profile=SampledGenerator(np.array([0.0, 10.0]), np.array([0.0, 50.0])), sign=-1.0)
    load = SimpleNamespace(profile=ConstantLoad(7.0), sign=1.0)
    live = controller(policy, grid(None, sun, load), day_start_s=6 * 3600.0 - 4.0)
    live.context.publish(4.0)
    seen = live.context.seen(5.0)
    # 10 replicas at 500 W; a told site draws nothing.
    assert seen == pytest.approx([60.0, 21.0, 1.0, 0.0, 0.0, 5.0], abs=1e-9)


@pytest.mark.parametrize(
    ("policy", "more", "words"),
    [
        (POLICY, {"dt_s": Fraction(5)}, "lag_s >= 5"),
        (replace(POLICY, features=(LOAD, replace(POWER, site="elsewhere"))), {}, "publishes feature 'site_power_kw'"),
        (replace(POLICY, outputs=(replace(CHAT, site="elsewhere"),)), {}, "site 'elsewhere' not found"),
        (replace(POLICY, outputs=(replace(CHAT, model="chart"),)), {}, "did you mean chat"),
        (replace(POLICY, outputs=(replace(CHAT, batch_sizes=(8, 16, 64, 512)),)), {}, r"\[512\].*not feasible"),
    ],
)
def test_a_policy_that_does_not_fit_the_run_is_refused(policy: FeederPolicy, more: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        controller(policy, **more)
