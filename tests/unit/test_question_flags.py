"""Flags come from the fields of a question: none is forgotten, each says what it takes, all say the whole question."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, get_type_hints

import pytest

from g2g_opt.communication import Channels, ChannelSpec, FailSafe, Lane, StaleSignal, read_channels
from g2g_opt.errors import InputError
from g2g_opt.feeder_policy import FeederPolicy, PolicyOutput
from g2g_opt.learning.reward import RewardWeights
from g2g_opt.limits import BASE_RULE_FIELDS, Limits
from g2g_opt.plan import AdaptiveTaps, Policy, PVUnit, StorageUnit
from g2g_opt.power_shape import PowerShape
from g2g_opt.ppo_policy import DenseLayer, PPOOutput, PPOPolicy
from g2g_opt.scenario import ReplicaShares, Scenario, TrainingOverlay
from g2g_opt.scenario_draws import ScenarioRanges
from g2g_opt.service_transformer import ServiceTransformer
from studies.ai_choices.choices import AIChoice
from studies.catalogue import STUDIES, json_schema, make_question, question_json, question_type, read_question
from studies.cli import main
from studies.controllers.choices import ControllerChoice, ParameterSweep
from studies.ppo_training.question import PPOSettings
from studies.pv_datacenter_siting.offered import PVZone, Storage
from studies.running.ledger import Ledger
from studies.running.study_folder import StudyFolder
from studies.shared.question_flags import FieldFlag, add_question_flags, flags_of, given_fields
from studies.shared.question_model import unused_fields
from studies.shared.screening import ScreeningRule
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
SERVED: dict[str, Any] = {
    "feeder": "ieee13",
    "exclude_buses": ("611", "652"),
    "edits": "/edits.dss",
    "buses": ("671", "675"),
    "models": ("llama-3.1-8b", "llama-3.1-70b"),
    "gpu": "B200",
    "task": "lm-arena-chat",
    "precision": "fp8",
    "gpus_per_replica": 2,
    "batch_size": 64,
    "power_factor": 0.9,
    "connection": "delta",
    "service": SERVICE,
    "base_kw_per_gpu": 0.1,
    "power_max_mw": 12.0,
    "trace_dir": "/traces",
}
# Every study with no field that has a flag at its default.
ASKED: dict[str, dict[str, Any]] = {
    "hosting-capacity": SERVED
    | {
        "feeder": "ieee34",
        "at": "2024-07-15T17:00",
        "operations": ("flexible",),
        "policy": SCHEDULE,
        "storage": STORAGE,
        "objective": "gpus",
        "outage_s": 300.0,
        "outage_start_s": 100.5,
        "ladder": False,
        "taps": "study",
        "scenario": RUN,
        "limits": LIMITS,
        "n_sites": 2,
        "site_sets": (("671", "675"), ("632", "633")),
        "site_shares": (1.0, 2.5),
        "frontier_points": 4,
        "throughput_shares": (0.9, 0.75),
        "utilisation": (0.2, 0.8),
        "scenarios": 59,
        "scenario_share_min": 0.9,
        "confidence": 0.8,
    },
    "check": {name: value for name, value in SERVED.items() if name not in ("buses", "power_max_mw")}
    | {
        "feeder": "ieee34",
        "at": "2024-07-15T17:00",
        "bus": "850",
        "mw": 2.5,
        "policy": SCHEDULE,
        "taps": "study",
        "utilisation": (0.25, 0.75),
        "scenario": RUN,
        "limits": LIMITS,
        "year": "/year.csv",
        "remedies": ("capacitor", "other bus"),
        "costs": "/costs.csv",
        "discount_rate": 0.05,
        "nearby": 3,
    },
    "portfolio": {
        "folder": "/feeders",
        "question": "/study.toml",
        "buses_max": 2,
        "channels": read_channels(CHANNELS),
        "seed": 3,
    },
    "queue": {name: value for name, value in SERVED.items() if name not in ("buses", "power_max_mw")}
    | {
        "feeder": "ieee34",
        "at": "2024-07-15T17:00",
        "policy": SCHEDULE,
        "taps": "study",
        "utilisation": (0.25, 0.75),
        "scenario": RUN,
        "limits": LIMITS,
        "remedies": ("storage",),
        "costs": "/costs.csv",
        "discount_rate": 0.05,
        "nearby": 3,
        "requests": "/requests.csv",
        "levels": (0.9, 0.5),
        "growth": 0.015,
        "horizon_years": 5,
        "limited_share_min": 0.3,
        "search_dt_s": Fraction(5),
        "cures": 2,
    },
    "load-profile": SERVED
    | {
        "feeder": "ieee34",
        "profile": "/year.csv",
        "own_shapes": True,
        "utilisation": (0.25, 0.75),
        "own_load_share": 0.8,
        "standing_power": False,
        "taps": "study",
        "limits": KEPT_ALWAYS,
        "seed": 3,
    },
    "location": {
        "feeder": "ieee13",
        "exclude_buses": ("611",),
        "edits": "/edits.dss",
        "at": "2024-07-15T17:00",
        "sites": SITES,
        "gpu": "B200",
        "power_factor": 0.9,
        "connection": "wye",
        "service": SERVICE,
        "policy": SCHEDULE,
        "storage": STORAGE,
        "taps": "study",
        "scenario": RUN,
        "limits": LIMITS,
        "refined": 0,
        "finalists": 3,
        "finalist_dt_s": Fraction(1, 3),
        "coarse_dt_s": Fraction(20),
        "followed": (("671", "632"), ("675", "633")),
        "trace_dir": "/traces",
    },
    "siting": {
        "feeder": "ieee13",
        "exclude_buses": ("611",),
        "edits": "/edits.dss",
        "mode": "joint",
        "solver": "pyomo:scip",
        "pv_buses": ("671",),
        "pv_count": 2,
        "pv_size_min_kw": 20.0,
        "pv_size_max_kw": 500.5,
        "pv_total_max_kw": None,
        "pv_zones": (PVZone("north", 2, 800.0), PVZone("south", 1)),
        "sites": SITES,
        "gpu": "B200",
        "power_factor": 0.9,
        "site_scale_min": 0.5,
        "site_scale_max": 3.0,
        "site_value_per_kw": 90.0,
        "storage": Storage(100.0, 400.0, 21.0, 26.0, 0.9, 0.3, 18),
        "pv_cost_per_kw": 150.0,
        "price_per_kwh": 0.2,
        "violations": "priced",
        "violation_cost_per_pu_h": 700.0,
        "taps": "optimised",
        "utilisation": (0.1, 0.9),
        "switch_cost": 5.0,
        "slot_h": 4,
        "profile": "/year.csv",
        "own_shapes": True,
        "connection": "delta",
        "service": SERVICE,
        "days": "typical",
        "n_typical_days": 6,
        "days_added_max": 2,
        "year_check": False,
        "limits": KEPT_ALWAYS,
        "margin_pu": 1e-4,
        "mip_gap": 0.01,
        "time_limit_s": 60.0,
        "threads": 2,
        "rounds_max": 5,
        "n_plans": 3,
        "n_windows": 2,
        "refusals_max": 2,
        "n_ties": 20,
        "policy": "droop",
        "policy_margin_pu": 0.002,
        "channels": read_channels(CHANNELS),
        "sweeps": (("pv-cost", (100.0, 250.5)), ("pv-count", (1.0,))),
        "seed": 9,
        "trace_dir": "/traces",
    },
    "coordination": {
        "kind": "closed-loop",
        "settings": "published",
        "penetrations": (0.1, 0.25),
        "alphas": (0.5, 1.0),
        "eps": None,
        "q": (100, 200),
        "n_draws": 2,
        "n_ties": 3,
        "features": "expected",
        "scaled": True,
        "free_intercept": True,
        "response": "shrink",
        "shed_rule": "sheds no more",
        "redispatch_max": 0.3,
        "latency_margin": 0.1,
        "refused_max": 0.05,
        "first_date": "2019-02-01",
        "last_date": "2019-03-01",
        "n_days": 5,
        "mip_gap": 0.01,
        "time_limit_s": 30.0,
        "market_files": "/market",
        "network": "/case.m",
        "datacenter_buses": (3, 14),
        "rating_share": 0.5,
        "n_1": 4,
        "statement": "cvxpy",
        "baselines": ("Ridge(alpha=10)", "LinearRegression"),
        "solver": "pyomo:scip",
        "seed": 11,
    },
    "communication": SERVED
    | {
        "case": "cigre-lv",
        "feeder": "ieee34",
        "transports": ("udp",),
        "losses": (0.05, 0.25),
        "delays_s": (0.5,),
        "two_way": True,
        "all_limits": True,
        "stale_rules": ("hold", "bound"),
        "outages_s": (60.0, 900.0),
        "outage_start_s": 100.5,
        "fail_safes": ("safe",),
        "policy": SCHEDULE,
        "taps": "study",
        "scenario": replace(RUN, seed=0),
        "limits": replace(LIMITS, unbalance_nema_max=0.04),
        "n_draws": 4,
        "allocators": ("pi",),
        "rules": ("careful",),
        "n_rows": 20,
        "seed": 17,
    },
    "feeder-policy": {
        "feeder": "ieee34",
        "exclude_buses": ("611",),
        "edits": "/edits.dss",
        "sites": SITES,
        "pv": (PVUnit("675", 900.5), PVUnit("633", 10.0)),
        "gpu": "B200",
        "power_factor": 0.9,
        "connection": "wye",
        "service": SERVICE,
        "cases": ("no control", "ofo"),
        "scenario": Scenario(
            duration_s=1800,
            dt_s=Fraction(1, 2),
            control_dt_s=Fraction(2),
            standing_power=False,
            server_spread=0.01,
            server_noise=0.002,
            own_load_share=1.5,
            profile="/year.csv",
            own_shapes=True,
            training=(TrainingOverlay(60.0, 90.5, n_gpus=2400, site="west", trace="/trace.csv"),),
        ),
        "channels": read_channels(CHANNELS),
        "n_training": 3,
        "n_test": 4,
        "replica_share": (0.5, 0.75),
        "feeder_features": ("pv_kw",),
        "site_features": ("site_power_kw", "site_demand_kw"),
        "grid_lag_s": 30.0,
        "site_lag_s": 2.0,
        "record_dt_s": 20.0,
        "margins_pu": (0.001, 0.0025),
        "rounding": "down",
        "penalty_per_pu": 500.0,
        "coefficients_max": 5.0,
        "rounds": 1,
        "clairvoyant_rounds": 2,
        "limits": LIMITS,
        "seed": 13,
        "trace_dir": "/traces",
    },
    "controllers": {
        "case": "ieee34",
        "library": "/library.csv",
        "n_scenarios": 7,
        "controllers": (
            ControllerChoice("droop"),
            ControllerChoice("ofo", (("w_throughput", 0.001),), 0.002, 16, "/policy.json"),
        ),
        "sweeps": (ParameterSweep(ControllerChoice("ofo", (("w_switch", 2.0),)), "w_throughput", (0.5, 0.25)),),
        "channels": read_channels(CHANNELS),
        "shown": "test 3",
        "n_compared": 4,
        "n_candidates": 9,
        "ranges": RANGES,
        "rule": ScreeningRule(2.0, 0.8),
        "scenario": HOUR,
        "limits": Limits(0.94, 1.06),
        "trace_dir": "/traces",
    },
    "ai-choices": {
        "feeder": "ieee34",
        "exclude_buses": ("611",),
        "edits": "/edits.dss",
        "bus": "850",
        "choices": (AIChoice("mine", "qwen3-8b", "B200", "lm-arena-chat", "bfloat16", 1, 0.05),),
        "comparisons": ("model size on B200",),
        "peak_mw": 2.5,
        "base_kw": 900.5,
        "sizing": "curve",
        "capacity": False,
        "limit_mw": 5.5,
        "policy": SCHEDULE,
        "scenario": RUN,
        "limits": LIMITS,
        "trace_dir": "/traces",
    },
    "scenarios": {
        "case": "ieee34",
        "n_train": 5,
        "n_test": 6,
        "n_validation": 7,
        "kept_train": 3,
        "kept_test": 4,
        "kept_validation": 2,
        "channels": read_channels(CHANNELS),
        "ranges": RANGES,
        "rule": ScreeningRule(2.0, 0.8),
        "scenario": HOUR,
        "limits": Limits(0.94, 1.06),
        "trace_dir": "/traces",
    },
    "ppo-training": {
        "case": "ieee34",
        "library": "/library.csv",
        "observation": "system-summary",
        "n_seeds": 5,
        "n_validation": 7,
        "n_test": 8,
        "settings": PPOSettings(100_000, 16, 2, 64, 512, 4, 1e-3, 0.95, 0.9, 0.1, 0.01, 32, 2, 1.0, 5),
        "channels": read_channels(CHANNELS),
        "weights": RewardWeights(1000.0, 0.25, 0.5, 2.0),
        "limits": Limits(0.94, 1.06),
        "seed": 3,
        "trace_dir": "/traces",
    },
}
# Fields of nouns that are written as one text and that the text does not reach: a file or Python does.
ONLY_IN_FILES = {
    "SiteChoice.base_kw_per_phase",
    "ServedModel.gpus_per_replica",
    "PVUnit.output_max_kw",
    "PVUnit.storage_kw",
}
ONLY_IN_FILES |= {"ReplicaShares.batch_sizes", "PowerShape.flicker", "PowerShape.phase", "TrainingOverlay.shape"}
ONLY_IN_FILES |= {"AIChoice.sized_as_first"}
# The short form is that of the default channel, and of voltages that are old.
ONLY_IN_FILES |= {"Channels.lanes", "Channels.site", "ChannelSpec.latency_trace_s", "ChannelSpec.lost_messages"}
ONLY_IN_FILES |= {f"Lane.{name}" for name in ("spec", "source", "destination", "topic")}
ONLY_IN_FILES |= {
    f"StorageUnit.{name}"
    for name in (
        *("round_trip_efficiency", "soc_start", "apparent_power_kva", "voltage_ref_pu", "deadband_pu"),
        "full_output_error_pu",
    )
}


def parse(study: str, *words: str) -> Any:
    kind = question_type(study)
    parser = argparse.ArgumentParser()
    add_question_flags(parser, kind)
    return make_question(study, given_fields(kind, parser.parse_args(words)), "the options")


def held(one: FieldFlag, question: Any) -> Any:
    for name in one.path:
        question = getattr(question, name)
    found = tuple(getattr(question, name) for name in one.names)
    return found if len(found) > 1 else found[0]


def text_of(value: Any, sign: str = ",") -> str:
    """As a user would write it, from `docs` and --help alone."""
    match value:
        case SiteChoice():
            served = ",".join(
                f"{m.model}:{m.n_gpus}" + (f"@{m.batch_size}" * (m.batch_size != 128)) for m in value.models
            )
            return f"{value.name}={'+'.join(value.candidates) or 'any'}:{served}"
        case StorageUnit():
            place = f"{value.bus}:" if value.bus else ""
            return f"{place}{value.power_kw},{value.energy_kwh}" + (",qv" if value.droop == "qv" else "")
        case Channels():
            assert value == read_channels(CHANNELS)
            return CHANNELS
        case AdaptiveTaps():
            return f"{value.period_s},{value.cooldown_s}"
        case TrainingOverlay():
            size = f"{100 * value.gpu_share}%" if value.gpu_share is not None else str(value.n_gpus)
            words = [f"{value.site}:{size}" if value.site else size, value.peak_w_per_gpu, value.start_s, value.end_s]
            return ",".join(str(word) for word in [*words, *([value.trace] if value.trace else [])])
        case ReplicaShares():
            return f"{value.site}:{text_of((value.start, *(figure for ramp in value.ramps for figure in ramp)))}"
        case ControllerChoice():
            more = [f"{name}={x}" for name, x in value.settings]
            more += [f"margin={value.margin_pu}"] if value.margin_pu else []
            more += [f"load-shift={value.load_shift_gpus}"] if value.load_shift_gpus is not None else []
            more += [f"file={value.policy_file}"] if value.policy_file is not None else []
            return f"{value.kind}:{','.join(more)}" if more else value.kind
        case ParameterSweep():
            return f"{text_of(value.controller)}:{value.name}={text_of(value.values)}"
        case AIChoice():
            served = (value.gpu, value.task, value.precision, value.gpus_per_replica, 1e3 * value.itl_deadline_s)
            return f"{value.comparison}={value.model}@{':'.join(str(x) for x in served)}"
        case PVUnit():
            return f"{value.bus}:{value.size_kw}"
        case PVZone():
            return f"{value.zone}={value.count}" + (f",{value.total_max_kw}" if value.total_max_kw is not None else "")
        case (str() as name, (float(), *_) as values):
            return f"{name}={text_of(values)}"
        case tuple():
            return sign.join(text_of(part) for part in value)
    return str(value)


def words_of(question: Any) -> Iterator[str]:
    """A command line that asks this question."""
    for one in flags_of(type(question), type(question)()):
        value, name, sign = held(one, question), one.flag.name, one.flag.joined
        if one.flag.const or value == one.default:
            continue
        if isinstance(value, bool):
            yield name
        elif value is None:
            yield f"{name}={one.flag.none[0]}"
        elif isinstance(value, tuple) and isinstance(value[0], float | int) and len(one.names) == 1:
            yield f"{name}={text_of(value)}"
        elif isinstance(value, tuple) and len(one.names) == 1:
            yield from (f"{name}={text_of(part, sign)}" for part in value)
        else:
            yield f"{name}={text_of(value)}"


@pytest.mark.parametrize("study", sorted(STUDIES))
def test_flags_say_the_whole_question(study: str) -> None:
    kind = question_type(study)
    question, usual = kind(**ASKED[study]), kind()
    for one in flags_of(kind, usual):
        # Those have tests of their own: a file is read, and a profile leaves no room for shapes.
        elsewhere = one.names[0] in ("contextual", "ppo", "generation_shapes", "load_shapes")
        tried = held(one, question) != one.default or elsewhere
        assert tried, f"{one.flag.name} is not tried"
    found = parse(study, *words_of(question))
    assert found == question
    assert question_json(found) == question_json(question)


def test_a_policy_file_is_read_into_the_question(tmp_path: Path) -> None:
    output = PolicyOutput("west", "m", (8, 16), (0.0, 1.0))
    trained, file = FeederPolicy((), (output,), (0.5,), ((),)), tmp_path / "policy.json"
    file.write_text(trained.to_json())
    for study in ("check", "hosting-capacity", "location"):
        found = parse(study, "--policy", "contextual", "--policy-file", str(file))
        assert (found.policy.kind, found.policy.contextual) == ("contextual", trained)
        with pytest.raises(InputError, match=r"nothing\.json"):
            parse(study, "--policy", "contextual", "--policy-file", "nothing.json")


def test_a_file_of_a_ppo_policy_is_read_into_the_question(tmp_path: Path) -> None:
    layer = DenseLayer(((0.0,) * 8,) * 3, (0.0, 0.5, 0.0))
    outputs = (PPOOutput("west", "m", (8, 16)),)
    trained = PPOPolicy("ieee13", "system-summary", outputs, (0.0,) * 8, (1.0,) * 8, 10.0, (layer,))
    file = tmp_path / "policy.json"
    file.write_text(trained.to_json())
    for study in ("check", "hosting-capacity", "location"):
        found = parse(study, "--policy", "ppo", "--ppo-file", str(file))
        assert (found.policy.kind, found.policy.ppo) == ("ppo", trained)


def test_shapes_of_sun_and_loads_are_read_into_the_scenario() -> None:
    words = ("--generation-shape", "1.5,0.9,pulse:600:120:-0.5", "--load-shape", "1,0.25,ramp:0:900:0.5")
    found = parse("location", *words).scenario
    assert found.generation_shapes == (PowerShape(1.5, 0.9, (), ((600.0, 120.0, -0.5),)),)
    assert found.load_shapes == (PowerShape(1.0, 0.25, ((0.0, 900.0, 0.5),)),)
    with pytest.raises(InputError, match="and so do shapes; give one"):
        parse("location", *words, "--profile", "hudson_valley_2018")
    assert parse("location", "--training", "33%,400,10,20,plateaus").scenario.training[0].shape == "plateaus"


@pytest.mark.parametrize("study", sorted(STUDIES))
def test_nothing_given_is_the_default_question_and_one_flag_changes_one_thing(study: str) -> None:
    kind = question_type(study)
    assert parse(study) == kind()
    assert parse(study, "--seed", "5").seed == 5


def nouns_in(hint: Any) -> Iterator[type]:
    for arg in getattr(hint, "__args__", ()):
        yield from nouns_in(arg)
    if isinstance(hint, type) and is_dataclass(hint):
        yield hint


@pytest.mark.parametrize("study", sorted(STUDIES))
def test_every_field_has_a_flag_or_a_reason(study: str) -> None:
    kind = question_type(study)
    reached = {(*one.path, name) for one in flags_of(kind, kind()) for name in one.names}
    hints, unused = get_type_hints(kind), unused_fields(kind)
    for field in fields(kind):
        if (field.name,) in reached:
            for noun in (inner for outer in nouns_in(hints[field.name]) for inner in (outer, *inner_nouns(outer))):
                texts = {f"{noun.__name__}.{f.name}" for f in fields(noun) if f.name in SPELLED[noun]}
                assert {f"{noun.__name__}.{f.name}" for f in fields(noun)} - texts <= ONLY_IN_FILES
            continue
        (noun,) = nouns_in(hints[field.name])
        without = unused.get(field.name, {})
        assert {name for name in without if not without[name]} == set()
        missing = {f.name for f in fields(noun)} - {path[1] for path in reached if path[0] == field.name} - set(without)
        assert missing == set()


# What the texts of `text_of` hold of each noun.
SPELLED: dict[type, set[str]] = {
    SiteChoice: {"name", "models", "zone", "candidates"},
    ServedModel: {"model", "n_gpus", "batch_size"},
    PVUnit: {"bus", "size_kw"},
    PVZone: {"zone", "count", "total_max_kw"},
    StorageUnit: {"bus", "power_kw", "energy_kwh", "droop"},
    ReplicaShares: {"site", "start", "ramps"},
    PowerShape: {"scale", "level", "ramps", "pulses"},
    ControllerChoice: {"kind", "settings", "margin_pu", "load_shift_gpus", "policy_file"},
    ParameterSweep: {"controller", "name", "values"},
    Channels: {"default", "voltage", "fail_safe"},
    ChannelSpec: {f.name for f in fields(ChannelSpec)} - {"latency_trace_s", "lost_messages"},
    Lane: set(),
    StaleSignal: {f.name for f in fields(StaleSignal)},
    FailSafe: {f.name for f in fields(FailSafe)},
    AIChoice: {"comparison", "model", "gpu", "task", "precision", "gpus_per_replica", "itl_deadline_s"},
}


def inner_nouns(noun: type) -> list[type]:
    return [inner for hint in get_type_hints(noun).values() for inner in nouns_in(hint)]


@pytest.mark.parametrize("study", sorted(STUDIES))
def test_help_says_unit_range_and_default(study: str, capsys: pytest.CaptureFixture[str]) -> None:
    kind = question_type(study)
    with pytest.raises(SystemExit):
        main([study, "--help"])
    shown = " ".join(capsys.readouterr().out.split())
    question = kind(**ASKED[study])
    for one in flags_of(kind, kind()):
        words = one.help.replace("%%", "%")
        assert words.startswith(one.flag.help)
        assert one.flag.name in shown
        if one.flag.const or isinstance(one.default, bool):
            continue
        assert "default" in words, one.flag.name
        # Words for nothing, where the question has something there, would deny a limit that judges.
        assert one.flag.unset != "none" or one.default in (None, ()), one.flag.name
        numbers = one.read_by is None and any(isinstance(v, float | Fraction) for v in _leaves(held(one, question)))
        assert not numbers or " in [" in words or " in (" in words, one.flag.name


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, tuple):
        for part in value:
            yield from _leaves(part)
    else:
        yield value


def test_the_help_of_a_limit_is_its_description_in_the_schema() -> None:
    limits = json_schema("hosting-capacity")["$defs"]["Limits"]["properties"]
    assert limits["voltage_min_pu"]["description"] == "lowest voltage; unit: pu"
    assert limits["voltage_min_pu"]["exclusiveMinimum"] == 0.5
    assert limits["throughput_share_min"]["description"].startswith("tokens served")


# --- flags that would change nothing


@pytest.mark.parametrize(
    ("study", "content", "reason"),
    [
        ("load-profile", {"limits": Limits()}, "violation_time_share_max changes nothing here: a load profile keeps"),
        ("load-profile", {"limits": replace(KEPT_ALWAYS, overload_time_max_s=9.0)}, "overload_time_max_s changes"),
        ("siting", {"limits": replace(KEPT_ALWAYS, violation_integral_max_pu_s=1.0)}, "keeps its limits at every step"),
        ("feeder-policy", {"scenario": Scenario(seed=4)}, "scenario.seed changes nothing here: the study draws it"),
    ],
)
def test_what_a_study_does_not_use_is_refused(study: str, content: dict[str, Any], reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        question_type(study)(**content).check()


def test_a_noun_that_is_not_there_is_not_changed() -> None:
    with pytest.raises(InputError, match="--service-kv changes nothing without --service-kva"):
        parse("hosting-capacity", "--service-kv", "0.4")
    with pytest.raises(InputError, match="--storage-efficiency changes nothing without --storage"):
        parse("siting", "--storage-efficiency", "0.9")
    with pytest.raises(SystemExit):
        parse("load-profile", "--violation-share", "0.1")


@pytest.mark.parametrize(
    ("study", "flags", "words"),
    [
        ("load-profile", "--violation-share 0.1", "--violation-share changes nothing in a load-profile study: a load"),
        ("load-profile", "--overload-time-max-s 5 --loading-max 1", "--overload-time-max-s changes nothing"),
        ("siting", "--violation-integral-pu-s 5", "--violation-integral-pu-s changes nothing in a siting study"),
        ("coordination", "--voltage-min-pu 0.9", "a coordination study has no limits to change\n"),
        (
            "hosting-capacity",
            "--voltage-min-pu 1.2",
            "limits need --voltage-min-pu below --voltage-max-pu, got 1.2 and 1.05",
        ),
    ],
)
def test_a_report_refuses_a_limit_that_its_study_does_not_use(
    study: str, flags: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Ledger.create(StudyFolder(tmp_path).ledger, question_json(question_type(study)()), f"g2g {study}", {})
    assert main(["report", str(tmp_path), *shlex.split(flags)]) == 2
    assert words in capsys.readouterr().err


# --- how values are written


@pytest.mark.parametrize(
    ("study", "line", "field", "value"),
    [
        ("coordination", "--penetration 0.1,0.2", "penetrations", (0.1, 0.2)),
        ("coordination", "--penetration 0.1 0.2", "penetrations", (0.1, 0.2)),
        ("coordination", "--eps choose", "eps", None),
        ("coordination", "--shed-rule sheds-no-more", "shed_rule", "sheds no more"),
        ("hosting-capacity", "--taps 'own control'", "taps", "own control"),
        ("hosting-capacity", "--taps own-control", "taps", "own control"),
        ("hosting-capacity", "--throughput-curve 1.0 0.9", "throughput_shares", (1.0, 0.9)),
        ("hosting-capacity", "--operation firm --operation flexible", "operations", ("firm", "flexible")),
        ("siting", "--pv-total-kw inf", "pv_total_max_kw", None),
        ("siting", "--violation-cost-per-pu-h 7", "violations", "priced"),
        ("siting", "--violation-cost-per-pu-h 7 --violations forbidden", "violations", "forbidden"),
        ("siting", "--storage 100,400", "storage", Storage(100.0, 400.0)),
        ("feeder-policy", "--pv none", "pv", ()),
        ("check", "--remedy none", "remedies", ()),
        ("queue", "--remedy other-bus --remedy set-points", "remedies", ("other bus", "set-points")),
        ("feeder-policy", "--duration 1800", "scenario", Scenario(profile="hudson_valley_2018", duration_s=1800)),
        ("location", "--replica-ramp none", "scenario", Scenario(replica_ramps=())),
        ("location", "--replica-ramp 0,5,1 --load-level 2", "scenario",
         Scenario(replica_ramps=((0.0, 5.0, 1.0),), own_load_share=2.0)),
    ],
)  # fmt: skip
def test_values_as_users_write_them(study: str, line: str, field: str, value: Any) -> None:
    assert getattr(parse(study, *shlex.split(line)), field) == value


def test_the_word_for_no_item_stands_alone() -> None:
    with pytest.raises(InputError, match="--remedy none stands alone, got none, capacitor"):
        parse("check", "--remedy", "none", "--remedy", "capacitor")


def test_one_word_asks_for_all_sweeps_that_are_not_named() -> None:
    found = dict(parse("siting", "--sweep", "pv-cost=1,2", "--sensitivity").sweeps)
    assert found["pv-cost"] == (1.0, 2.0)
    assert len(found) == 5


@pytest.mark.parametrize(
    ("study", "line", "words"),
    [
        ("location", "--replica-ramp 0,5", "argument --replica-ramp: takes 3 parts separated by ','"),
        ("siting", "--site-scale 1", "argument --site-scale: takes 2 parts separated by ','"),
        ("hosting-capacity", "--voltage-min-pu 95", "argument --voltage-min-pu: must lie in (0.5, 1.5) pu, got 95"),
        (
            "hosting-capacity",
            "--connection star",
            "argument --connection: invalid choice: 'star' (choose from auto",
        ),
        ("hosting-capacity", "--loading 1", "ambiguous option: --loading could match --loading-max"),
    ],
)
def test_what_cannot_be_read_is_told_by_its_flag(
    study: str, line: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        parse(study, *shlex.split(line))
    assert words in capsys.readouterr().err


def test_a_saved_question_is_the_one_that_was_asked(tmp_path: Path) -> None:
    path = tmp_path / "study.toml"
    words = ("--feeder", "ieee13", "--bus", "671", "--power-factor", "0.9", "--service-kva", "2500", "--seed", "4")
    assert main(["load-profile", *words, "--save", str(path)]) == 0
    assert read_question(path) == parse("load-profile", *words)


@pytest.mark.parametrize("study", sorted(STUDIES))
def test_a_flag_that_turns_something_off_says_so(study: str) -> None:
    kind = question_type(study)
    for one in flags_of(kind, kind()):
        if one.hint is bool and not one.flag.const:
            assert one.flag.name.startswith("--no-") == bool(one.default), one.flag.name
