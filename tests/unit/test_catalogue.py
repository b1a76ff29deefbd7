"""One model behind TOML, JSON, JSON schema and Python; what cannot be used is named."""

from __future__ import annotations

import json
import tomllib
import types
from dataclasses import fields, is_dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

import pytest

from g2g_opt.errors import InputError
from g2g_opt.limits import Limits
from g2g_opt.plan import Policy
from g2g_opt.scenario import Scenario
from studies.catalogue import (
    STUDIES,
    json_schema,
    make_question,
    parse_question,
    question_json,
    question_toml,
    question_type,
    read_question,
)
from studies.coordination_policy.study import CoordinationStudy
from studies.hosting_capacity.study import HostingCapacityStudy

QUESTION = HostingCapacityStudy(
    buses=("671", "675"),
    policy=Policy("droop", settings=(("step_size", 2.0),)),
    scenario=Scenario(duration_s=600, dt_s=Fraction(1, 10), seed=3),
    limits=Limits(voltage_min_pu=0.94, loading_max_pu=1.2),
)


def test_a_question_comes_back_from_toml_and_json(tmp_path: Path) -> None:
    path = tmp_path / "study.toml"
    path.write_text(question_toml(QUESTION), encoding="utf-8")
    assert read_question(path) == QUESTION
    assert parse_question(question_json(QUESTION)) == QUESTION


def places(study: str) -> list[tuple[tuple[str, ...], Any]]:
    """Every field of a question and of the nouns in it, with its default."""
    usual = question_type(study)()
    found: list[tuple[tuple[str, ...], Any]] = []
    for one in fields(usual):
        value = getattr(usual, one.name)
        found.append(((one.name,), value))
        if is_dataclass(value):
            found += [((one.name, inner.name), getattr(value, inner.name)) for inner in fields(value)]
    return found


def takes_none(study: str, place: tuple[str, ...]) -> bool:
    """Whether the annotation of a field has None in it."""
    kind: Any = question_type(study)
    for name in place[:-1]:
        kind = type(getattr(kind(), name))
    return type(None) in every_type(get_type_hints(kind)[place[-1]])


def every_type(hint: Any) -> set[Any]:
    args = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else ()
    return {hint}.union(*map(every_type, args)) if args else {hint}


def test_there_are_fields_that_may_be_none_and_are_not() -> None:
    found = {place[-1] for study in STUDIES for place, usual in places(study) if usual is not None and
             takes_none(study, place)}  # fmt: skip
    assert {"loading_max_pu", "unbalance_nema_max", "rapid_voltage_change_max_pu", "pv_total_max_kw"} <= found


@pytest.mark.parametrize("study", sorted(STUDIES))
def test_none_in_any_field_comes_back_from_toml_and_json(study: str, tmp_path: Path) -> None:
    usual, path = question_type(study)(), tmp_path / "study.toml"
    tried = 0
    for place, value in places(study):
        if value is None or not takes_none(study, place):
            continue
        try:
            if len(place) == 1:
                question = replace(usual, **{place[0]: None})
            else:
                question = replace(usual, **{place[0]: replace(getattr(usual, place[0]), **{place[1]: None})})
        except InputError:
            continue  # no question at all: this field goes with another
        path.write_text(question_toml(question), encoding="utf-8")
        assert f'{place[-1]} = "none"' in path.read_text()
        assert read_question(path) == question, place
        assert parse_question(question_json(question)) == question, place
        field = json_schema(study)["properties"].get(place[0], {})
        if len(place) == 1:
            assert {"const": "none", "type": "string"} in field["anyOf"]
        tried += 1
    assert tried or not any(value is not None and takes_none(study, place) for place, value in places(study))


def test_none_is_a_word_for_numbers_only_where_it_can_be_meant(tmp_path: Path) -> None:
    asked = make_question("hosting-capacity", {"limits": {"loading_max_pu": "none", "overload_time_max_s": "none"}})
    assert asked == HostingCapacityStudy(limits=Limits(loading_max_pu=None))
    with pytest.raises(InputError, match=r"limits\.voltage_min_pu: must be a number in .* got 'none'"):
        make_question("hosting-capacity", {"limits": {"voltage_min_pu": "none"}})
    assert make_question("hosting-capacity", {"policy": {"kind": "none"}}).policy.kind == "none"  # type: ignore[attr-defined]
    limits = json_schema("hosting-capacity")["$defs"]["Limits"]["properties"]
    assert {"const": "none", "type": "string"} in limits["unbalance_nema_max"]["anyOf"]


@pytest.mark.parametrize("study", sorted(STUDIES))
def test_a_part_of_a_table_changes_that_part_of_the_questions_own_default(study: str) -> None:
    usual = question_type(study)()
    plain = tomllib.loads(question_toml(usual))
    tried = 0
    for name, table in plain.items():
        if not isinstance(table, dict):
            continue
        assert make_question(study, {name: {}}) == usual, name
        for inner, value in table.items():
            assert make_question(study, {name: {inner: value}}) == usual, (name, inner)
            tried += 1
    assert tried or study in ("coordination", "portfolio")


def test_a_partial_table_is_what_the_flags_mean() -> None:
    question: Any = make_question("load-profile", {"limits": {"voltage_min_pu": 0.94}})
    assert question.limits == Limits(voltage_min_pu=0.94, violation_time_share_max=0.0)
    flexible: Any = make_question("hosting-capacity", {"policy": {"settings": [["step_size", 2.0]]}})
    assert flexible.policy == Policy("ofo", margin_pu=0.003, settings=(("step_size", 2.0),))
    with pytest.raises(InputError, match="violation_time_share_max changes nothing here"):
        make_question("load-profile", {"limits": {"violation_time_share_max": 0.01}}).check()


@pytest.mark.parametrize("study", sorted(STUDIES))
def test_every_default_question_comes_back_and_has_a_schema(study: str) -> None:
    question = question_type(study)()
    assert parse_question(question_json(question)) == question
    schema = json_schema(study)
    content = tomllib.loads(question_toml(question))
    assert content["study"] == study
    assert set(content) <= set(schema["properties"])
    assert set(schema["properties"]) == {"study", *(field.name for field in fields(question_type(study)))}
    assert schema["additionalProperties"] is False
    json.dumps(schema)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('feeder = "ieee13"', "does not say which study"),
        ('study = "hosting"', "study.toml: study 'hosting' not found; .*known studies"),
        ('study = "hosting-capacity"\nbusses = ["671"]', "busses: there is no such setting"),
        ('study = "hosting-capacity"\n[limits]\nvmin = 0.9', r"limits\.vmin: there is no such setting"),
        (
            'study = "hosting-capacity"\n[limits]\nvoltage_min_pu = 2.0',
            r"voltage_min_pu: must lie in \(0\.5, 1\.5\) pu",
        ),
        ('study = "hosting-capacity"\nbatch_size = "many"', "batch_size: must be a number in .* got 'many'"),
        ("study = ", "is not TOML"),
        ('study = "json:nothing"', "not registered: importing it would run the code of module 'json'.*--trust-study"),
    ],
)
def test_a_file_that_cannot_be_used_is_told_why(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "study.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        read_question(path)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.toml not found"):
        read_question(tmp_path / "nowhere.toml")


def test_python_takes_the_same_values_as_a_file() -> None:
    question = make_question("hosting-capacity", {"buses": ["671"], "scenario": {"dt_s": "1/10"}})
    assert question == HostingCapacityStudy(buses=("671",), scenario=Scenario(dt_s=Fraction(1, 10)))


def test_paths_of_the_users_files_become_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    question = make_question("load-profile", {"feeder": "mine/Master.dss", "profile": "year.csv"})
    assert (question.feeder, question.profile) == (str(tmp_path / "mine/Master.dss"), str(tmp_path / "year.csv"))
    bundled = make_question("hosting-capacity", {"scenario": {"profile": "year.csv"}})
    assert (bundled.feeder, bundled.scenario.profile) == ("ieee13", str(tmp_path / "year.csv"))


def test_a_question_made_in_python_is_stored_by_whole_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A study that was begun with network="mine.m" could not go on from another folder."""
    monkeypatch.chdir(tmp_path)
    question = CoordinationStudy(network="mine.m", datacenter_buses=(1, 2))
    stored, written = question_json(question), question_toml(question)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert parse_question(stored).network == str(tmp_path / "mine.m")
    assert tomllib.loads(written)["network"] == str(tmp_path / "mine.m")
    loop = question_json(CoordinationStudy(kind="closed-loop", q=(50,), market_files="files"))
    assert parse_question(loop).market_files == str(elsewhere / "files")
