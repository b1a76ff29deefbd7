"""Flags come from the fields of a question: none is forgotten, each says what it takes, all say the whole question."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from asked_nouns import CHANNELS
from asked_questions import ASKED, parse

from g2g_opt.communication import Channels, ChannelSpec, FailSafe, Lane, StaleSignal, read_channels
from g2g_opt.errors import InputError
from g2g_opt.feeder_policy import FeederPolicy, PolicyOutput
from g2g_opt.plan import AdaptiveTaps, PVUnit, StorageUnit
from g2g_opt.power_shape import PowerShape
from g2g_opt.ppo_policy import DenseLayer, PPOOutput, PPOPolicy
from g2g_opt.scenario import ReplicaShares, TrainingOverlay
from studies.ai_choices.choices import AIChoice
from studies.catalogue import STUDIES, json_schema, question_json, question_type
from studies.cli import main
from studies.controllers.choices import ControllerChoice, ParameterSweep
from studies.pv_datacenter_siting.offered import PVZone
from studies.shared.question_flags import FieldFlag, flags_of
from studies.shared.question_model import unused_fields
from studies.shared.site_choices import ServedModel, SiteChoice

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
