"""Nouns of a question, no figure of them at its default."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

from g2g_opt.communication import read_channels
from g2g_opt.limits import BASE_RULE_FIELDS, Limits
from g2g_opt.plan import AdaptiveTaps, Policy, StorageUnit
from g2g_opt.scenario import ReplicaShares, Scenario, TrainingOverlay
from g2g_opt.scenario_draws import ScenarioRanges
from g2g_opt.service_transformer import ServiceTransformer
from studies.shared.site_choices import ServedModel, SiteChoice

LIMITS = Limits(
    voltage_min_pu=0.93,
    voltage_max_pu=1.04,
    violation_time_share_max=0.02,
    violation_integral_max_pu_s=12.5,
    loading_max_pu=0.9,
    overload_time_share_max=0.125,
    latency_miss_share_max=0.06,
    throughput_share_min=0.7,
    loading_emergency_max_pu=1.25,
    overload_time_max_s=90.0,
    rating_basis="nameplate",
    unbalance_negative_sequence_max=0.025,
    unbalance_nema_max=None,
    unbalance_time_share_max=0.1,
    rapid_voltage_change_max_pu=0.04,
    rapid_voltage_change_trip_max_pu=0.05,
    voltage_after_trip_max_pu=1.08,
    base_rule="no-worse",
    voltage_worse_max_pu=0.002,
    loading_worse_max=0.02,
    time_worse_share_max=0.03,
)
KEPT_ALWAYS = replace(
    LIMITS,
    violation_time_share_max=0.0,
    violation_integral_max_pu_s=None,
    overload_time_share_max=0.0,
    overload_time_max_s=None,
    **{name: getattr(Limits(), name) for name in BASE_RULE_FIELDS},
)


RUN = Scenario(
    "calm", 1800, Fraction(1, 2), Fraction(2), 0.6, ((10.0, 20.5, 0.75), (30.0, 40.0, 0.25)), False, 0.01, 0.002, 7,
    1.5, "hudson_valley_2018", (5, 1, 2), (TrainingOverlay(60.0, 90.5, gpu_share=0.25, peak_w_per_gpu=350.0),),
    (ReplicaShares("west", 0.5, ((10.0, 20.5, 0.75), (30.0, 40.0, 0.25))), ReplicaShares("east", 1.0)),
    own_shapes=True,
)  # fmt: skip
# As scenarios are drawn around a study case.
HOUR = Scenario(
    duration_s=1800, dt_s=Fraction(1, 2), control_dt_s=Fraction(2), server_spread=0.01, server_noise=0.002, seed=4,
    own_load_share=1.5,
)  # fmt: skip
RANGES = ScenarioRanges(
    (1.0, 3.0), (0.25, 1.5), (0.2, 0.4), (1.1, 1.3), 0.75, 0.25, (64, 128), 0.5, 350.0, "steps"
)  # fmt: skip
SERVICE = ServiceTransformer(2500.0, 6.0, 0.9, 0.4, "Dd")
CHANNELS = "udp:loss=0.2,latency=0.5"
SCHEDULE = Policy(
    "schedule", 0.004, (("droop_gain", 0.1), ("x", -2.0)), ((-5.0, 64), (10.5, 32)), None, 16,
    ((5.0, "creg1a", 1.025), (7.5, "creg1b", 1.0)), AdaptiveTaps(Fraction(10), 45.5), read_channels(CHANNELS),
)  # fmt: skip
STORAGE = (StorageUnit("675", 500.0, 1000.5, "qv"), StorageUnit("", 50.0, 100.0))
SITES = (
    SiteChoice("west", (ServedModel("llama-3.1-8b", 80, 64), ServedModel("qwen", 8)), candidates=("671", "675")),
    SiteChoice("east", (ServedModel("llama-3.1-70b", 40),)),
)
