"""One model behind TOML, JSON, JSON schema and Python; what cannot be used is named."""

from __future__ import annotations

import json
import tomllib
from dataclasses import fields
from fractions import Fraction
from pathlib import Path

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
        ('study = "hosting-capacity"\n[limits]\nvoltage_min_pu = 2.0', "0.5 < voltage_min_pu"),
        ('study = "hosting-capacity"\nbatch_size = "many"', "batch_size: .*integer"),
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
    assert (bundled.feeder, bundled.profile) == ("ieee13", str(tmp_path / "year.csv"))
