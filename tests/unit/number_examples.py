"""Nouns that hold numbers, for tests of their ranges."""

from __future__ import annotations

from g2g_opt.datacenter.config import (
    InferenceModelSpec,
)
from g2g_opt.feeder_policy import PolicyFeature, PolicyOutput
from g2g_opt.transmission.policy import CoordinationFeature as MarketFeature

SPEC = InferenceModelSpec(
    model_label="m",
    model_id="a/m",
    gpu_model="H100",
    task="t",
    itl_deadline_s=0.1,
    batch_sizes=(8, 16),
    fit_exclude_batch_sizes=(8,),
)
FEATURE, OUTPUT = PolicyFeature("pv_kw", "kW"), PolicyOutput("a", "m", (8, 16), (0.0, 1.0))
TERM = MarketFeature.of("load.West", "MW", 1)
