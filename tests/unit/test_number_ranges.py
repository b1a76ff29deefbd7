"""Every number of every question and of the nouns inside it has a range, whichever way it comes."""

from __future__ import annotations

import dataclasses
import json
import math
import types
from collections.abc import Iterator
from fractions import Fraction
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import pytest
from number_examples import FEATURE, OUTPUT, SPEC, TERM

from g2g_opt.communication import Channels, ChannelSpec, FailSafe, Lane, StaleSignal
from g2g_opt.controller.adaptive_tap import AdaptiveTapConfig
from g2g_opt.controller.batch_size_schedule import BatchSizeChange, BatchSizeSchedule
from g2g_opt.controller.load_shift import LoadShiftConfig
from g2g_opt.controller.ofo import OFOConfig
from g2g_opt.controller.rule_based import RuleBasedConfig
from g2g_opt.controller.storage import StorageDroopConfig
from g2g_opt.datacenter.config import (
    DatacenterConfig,
    PowerAugmentationConfig,
    ReplicaSchedule,
    TrainingRun,
    TrainingSchedule,
)
from g2g_opt.datacenter.workloads.curves import LogisticModel
from g2g_opt.datacenter.workloads.latency import LatencyMixture
from g2g_opt.datacenter.workloads.ripple import RippleModel
from g2g_opt.datacenter.workloads.training import TrainingTrace
from g2g_opt.errors import InputError
from g2g_opt.feeder_policy import FeederPolicy
from g2g_opt.grid.storage import BatteryStorage
from g2g_opt.learning.reward import RewardWeights
from g2g_opt.limits import Limits
from g2g_opt.plan import AdaptiveTaps, Plan, Policy, PVUnit, StorageUnit
from g2g_opt.power_shape import PowerShape
from g2g_opt.ppo_policy import DenseLayer, PPOOutput, PPOPolicy
from g2g_opt.quantities import STEPS_MAX, Bounds
from g2g_opt.scenario import ReplicaShares, Scenario, TrainingOverlay
from g2g_opt.scenario_draws import ScenarioRanges
from g2g_opt.service_transformer import ServiceTransformer
from g2g_opt.site import Deployment, Site
from g2g_opt.tap_position import TapPosition, TapSchedule
from g2g_opt.transmission.policy import CoordinationFeature as MarketFeature
from studies.ai_choices.choices import PUBLISHED_CHOICES
from studies.catalogue import STUDIES, json_schema, make_question, question_json, question_type
from studies.controllers.choices import ControllerChoice, ParameterSweep
from studies.coordination_policy.study import CoordinationStudy
from studies.datacenter_location.study import LocationStudy
from studies.pv_datacenter_siting.offered import PVZone, Storage
from studies.pv_datacenter_siting.study import SitingStudy
from studies.shared.screening import ScreeningRule
from studies.shared.site_choices import ServedModel, SiteChoice

ABSURD = (math.nan, math.inf, -math.inf, 1e300, -1e300, 10**30, -(10**30), 10**400)
_NUMBERS = (int, float, Fraction)
SITE = Site("a", "671", (Deployment(SPEC, 4, 16),))
SHARES = ReplicaShares("a", 0.5, ((10.0, 20.0, 0.6),), (("m", 8),))
SHAPE = PowerShape(1.0, 0.5, ((10.0, 20.0, 0.1),), ((30.0, 5.0, -0.1),), 0.1, 1.0)
# One instance of every noun that a question or a stored file carries; the questions themselves are added below.
PPO_OUTPUT, PPO_LAYER = PPOOutput("campus", "m", (8, 16)), DenseLayer(((0.0,) * 8,) * 3, (0.0,) * 3)
NOUNS: tuple[Any, ...] = (
    Limits(0.95, 1.05, 0.01, 1.0, 1.0, 0.0, 0.05, 0.5, 1.0, 60.0),
    Scenario(
        replica_ramps=((10.0, 20.0, 0.5),),
        site_shares=(SHARES,),
        generation_shapes=(SHAPE,),
        load_shapes=(SHAPE,),
    ),
    SHARES,
    SHAPE,
    ScenarioRanges(),
    ScreeningRule(),
    Policy(
        "schedule", settings=(("x", 1.0),), batch_caps=((0.0, 8),), load_shift_gpus=8, tap_schedule=((0.0, "r", 1.0),)
    ),
    AdaptiveTaps(),
    ChannelSpec("udp", latency_kind="trace", latency_trace_s=(0.1,), rate_per_s=1.0, outages=((1.0, 2.0),)),
    StaleSignal(),
    FailSafe(),
    Lane(ChannelSpec()),
    Channels(),
    StorageUnit("671", 100.0, 50.0, apparent_power_kva=120.0),
    TrainingOverlay(0.0, 10.0, n_gpus=8),
    TrainingOverlay(0.0, 10.0, gpu_share=0.5),
    PVUnit("671", 100.0, 50.0),
    Plan((SITE,), taps=(("creg1a", 1.0),)),
    Deployment(SPEC, 4, 16),
    SITE,
    SPEC,
    ReplicaSchedule(4, ((8, 1.0, 2.0),)),
    DatacenterConfig(),
    PowerAugmentationConfig(),
    TrainingRun(n_gpus=8, trace=TrainingTrace.generate(60.0)),
    TrainingSchedule(((TrainingRun(n_gpus=8, trace=TrainingTrace.generate(60.0)), 0.0, 10.0),)),
    BatchSizeChange(8, 1.0),
    ServiceTransformer(2500.0),
    BatchSizeSchedule(((0.0, BatchSizeChange(8)),)),
    TapSchedule(((0.0, TapPosition(a=1.0)),)),
    OFOConfig(),
    AdaptiveTapConfig(),
    RuleBasedConfig(),
    LoadShiftConfig(),
    StorageDroopConfig(droop_gain_per_pu=1.0, max_abs_output=1.0),
    BatteryStorage("b", 10.0, 20.0, apparent_power_kva=12.0),
    FEATURE,
    OUTPUT,
    FeederPolicy((FEATURE,), (OUTPUT,), (0.5,), ((0.1,),)),
    MarketFeature("x", "MW", TERM.terms, 3.0),
    RippleModel(),
    LogisticModel(b0=0.0, L=1.0, k=1.0, x0=3.0),
    LatencyMixture(0.5, -3.0, 0.1, -2.0, 0.1),
    PVZone("north", 2, 100.0),
    Storage(10.0, 20.0),
    ServedModel("llama-3.1-70b", 8, 128, 4),
    SiteChoice("a", (ServedModel("llama-3.1-70b", 8),), base_kw_per_phase=10.0),
    CoordinationStudy(refused_max=0.1, datacenter_buses=(1, 2)),
    SitingStudy(sweeps=(("pv-cost", (100.0,)),), pv_zones=(PVZone("north", 1, 5.0),), storage=Storage(10.0, 20.0)),
    LocationStudy(),
    question_type("hosting-capacity")(
        gpus_per_replica=4, site_shares=(1.0,), throughput_shares=(0.9,), utilisation=(0.2, 0.8)
    ),
    question_type("load-profile")(gpus_per_replica=4, utilisation=(0.2, 0.8)),
    question_type("check")(gpus_per_replica=4),
    question_type("portfolio")(),
    question_type("queue")(gpus_per_replica=4),
    question_type("feeder-policy")(),
    question_type("scenarios")(),
    question_type("communication")(),
    question_type("controllers")(sweeps=(ParameterSweep(ControllerChoice("ofo"), "w_throughput", (0.1,)),)),
    ControllerChoice("ofo", (("x", 1.0),), 0.001, 8),
    ParameterSweep(ControllerChoice("ofo"), "w_throughput", (0.1,)),
    question_type("ai-choices")(choices=(PUBLISHED_CHOICES[0],), limit_mw=5.0),
    PUBLISHED_CHOICES[0],
    question_type("ppo-training")(),
    question_type("ppo-training")().settings,
    RewardWeights(),
    PPO_LAYER,
    PPO_OUTPUT,
    PPOPolicy("ieee13", "system-summary", (PPO_OUTPUT,), (0.0,) * 8, (1.0,) * 8, 10.0, (PPO_LAYER,)),
)
# Fields that hold numbers and have no range of their own, and why.
WITHOUT_RANGE: dict[tuple[str, str], str] = {}
_Step = int | str


def numbers_in(hint: Any, value: Any, place: tuple[_Step, ...] = ()) -> Iterator[tuple[tuple[_Step, ...], bool]]:
    """Places of numbers below a field, and whether they are annotated with a range."""
    origin, args = get_origin(hint), get_args(hint)
    if origin is Annotated:
        if args[0] in _NUMBERS:
            yield place, any(isinstance(extra, Bounds) for extra in args[1:])
        else:
            yield from numbers_in(args[0], value, place)
    elif hint in _NUMBERS:
        yield place, False
    elif origin in (Union, types.UnionType):
        for arg in args:
            yield from numbers_in(arg, value, place)
    elif origin is tuple:
        parts = enumerate(args) if args[-1] is not Ellipsis else [(0, args[0])]
        for k, arg in parts:
            inner = value[k] if isinstance(value, tuple) and len(value) > k else None
            yield from numbers_in(arg, inner, (*place, k))


def fields_with_numbers() -> list[tuple[Any, str, tuple[_Step, ...], bool]]:
    found = []
    for noun in NOUNS:
        hints = get_type_hints(type(noun), include_extras=True)
        for field in dataclasses.fields(noun):
            if field.init:
                for place, ranged in numbers_in(hints[field.name], getattr(noun, field.name)):
                    found.append((noun, field.name, place, ranged))
    return found


NUMBERS = fields_with_numbers()
IDS = [f"{type(noun).__name__}.{name}{list(place) or ''}" for noun, name, place, _ in NUMBERS]


def put(whole: Any, place: tuple[_Step, ...], value: Any) -> Any:
    """`whole` (nested tuples) with one entry changed; an empty tuple gets one."""
    if not place:
        return value
    parts = list(whole) or [None]
    parts[int(place[0])] = put(parts[int(place[0])], place[1:], value)
    return tuple(parts)


def plain(value: Any) -> Any:
    """As a TOML or JSON file has it, with whatever number Python can hold."""
    if dataclasses.is_dataclass(value):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, tuple):
        return [plain(item) for item in value]
    return str(value) if isinstance(value, Fraction) else value


def test_every_noun_inside_a_question_is_among_those_tried() -> None:
    def nouns_of(kind: type, seen: set[type]) -> None:
        if kind in seen:
            return
        seen.add(kind)
        hints = get_type_hints(kind)
        for field in dataclasses.fields(kind):
            for part in inner(hints[field.name]):
                if dataclasses.is_dataclass(part):
                    nouns_of(part, seen)  # type: ignore[arg-type]

    def inner(hint: Any) -> Iterator[Any]:
        yield hint
        for arg in get_args(hint):
            yield from inner(arg)

    seen: set[type] = set()
    for study in STUDIES:
        nouns_of(question_type(study), seen)
    assert seen <= {type(noun) for noun in NOUNS}


@pytest.mark.parametrize(("noun", "name", "place", "ranged"), NUMBERS, ids=IDS)
def test_a_number_that_cannot_be_is_refused_in_python(
    noun: Any, name: str, place: tuple[_Step, ...], ranged: bool
) -> None:
    assert ranged != ((type(noun).__name__, name) in WITHOUT_RANGE)
    whole = getattr(noun, name)
    for value in ABSURD:
        with pytest.raises(InputError, match=name) as refused:
            dataclasses.replace(noun, **{name: put(whole, place, value)})
        assert len(str(refused.value)) < 600


@pytest.mark.parametrize("study", sorted(STUDIES))
def test_a_number_that_cannot_be_is_refused_in_a_file(study: str) -> None:
    question = next(noun for noun in NOUNS if type(noun) is question_type(study))
    content = plain(question)
    make_question(study, content)
    tried = 0

    def walk(value: Any, place: tuple[_Step, ...]) -> Iterator[tuple[_Step, ...]]:
        if isinstance(value, dict):
            for key, item in value.items():
                yield from walk(item, (*place, key))
        elif isinstance(value, list):
            for k, item in enumerate(value):
                yield from walk(item, (*place, k))
        elif (isinstance(value, int | float) and not isinstance(value, bool)) or str(place[-1]).endswith("dt_s"):
            yield place

    for place in walk(content, ()):
        for bad in ABSURD:
            changed = json.loads(json.dumps(content))
            at = changed
            for step in place[:-1]:
                at = at[step]
            at[place[-1]] = bad
            with pytest.raises(InputError, match=str(next(step for step in reversed(place) if isinstance(step, str)))):
                make_question(study, changed)
            tried += 1
    assert tried >= (2 if study == "portfolio" else 8) * 8


@pytest.mark.parametrize("study", sorted(STUDIES))
def test_the_schema_tells_other_programs_the_ranges(study: str) -> None:
    schema = json_schema(study)

    def numbers(part: Any) -> Iterator[dict[str, Any]]:
        if isinstance(part, dict):
            if part.get("type") in ("number", "integer"):
                yield part
            for item in part.values():
                yield from numbers(item)
        elif isinstance(part, list):
            for item in part:
                yield from numbers(item)

    found = list(numbers({key: value for key, value in schema.items() if key != "default"}))
    assert found
    for part in found:
        assert {"minimum", "exclusiveMinimum"} & set(part), part
        assert {"maximum", "exclusiveMaximum"} & set(part), part


def test_a_share_in_percent_is_told_how_it_is_written() -> None:
    with pytest.raises(InputError, match=r"throughput_share_min must lie in \[0, 1\], got 80; .*80 % is written 0\.8"):
        Limits(throughput_share_min=80)
    with pytest.raises(InputError, match=r"penetrations.*20 % is written 0\.2"):
        make_question("coordination", {"penetrations": [20.0]})


# --- numbers that do not go together


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"replica_ramps": ((4000.0, 5000.0, 0.5),)}, "begins after the run"),
        ({"replica_ramps": ((100.0, 50.0, 0.5),)}, "one after the other"),
        ({"replica_ramps": ((100.0, 500.0, 0.5), (400.0, 600.0, 0.5))}, "one after the other"),
        ({"control_dt_s": Fraction(7200)}, "longer than the run"),
        ({"dt_s": Fraction(7200)}, "no multiple"),
        ({"dt_s": Fraction(1, 100_000)}, f"at most {STEPS_MAX}"),
        ({"dt_s": "1e999999999"}, "no period"),
        ({"dt_s": "1/0"}, "no period"),
        ({"dt_s": True}, "no period"),
        ({"dt_s": 10.0**-300}, "no short fraction|no period"),
        ({"profile_rows": (0, 1)}, "list of 3"),
        ({"seed": True}, "whole number"),
        ({"seed": 1.5}, "whole number"),
        ({"own_load_share": "much"}, "number in"),
    ],
)
def test_a_scenario_that_cannot_be_run_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        Scenario(**changes)


@pytest.mark.parametrize("wrong", [True, "7", [7], {"seed": 7}, None])
def test_what_is_no_number_is_none(wrong: object) -> None:
    with pytest.raises(InputError, match="seed"):
        make_question("load-profile", {"seed": wrong})
    with pytest.raises(InputError, match="seed"):
        Scenario(seed=wrong)  # type: ignore[arg-type]


def test_the_usual_ramps_may_lie_beyond_a_short_run() -> None:
    assert Scenario(duration_s=300).replica_ramps == Scenario().replica_ramps


def test_limits_that_exclude_each_other_are_refused() -> None:
    with pytest.raises(InputError, match="voltage_min_pu below voltage_max_pu"):
        Limits(voltage_min_pu=1.06)


def test_a_question_with_its_numbers_is_the_same_after_storing() -> None:
    for noun in NOUNS:
        if hasattr(noun, "study"):
            content = json.loads(question_json(noun))
            assert make_question(content.pop("study"), content) == noun
