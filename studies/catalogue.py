"""The studies there are, by name; each one pydantic model behind TOML, JSON, JSON schema and Python."""

from __future__ import annotations

import importlib
import json
import tomllib
from functools import lru_cache
from pathlib import Path
from typing import Any

import tomli_w
from pydantic import TypeAdapter, ValidationError

from g2g_opt.errors import InputError, unknown_name
from studies.question_model import faults_in_words
from studies.task import Question

# Named by where they are, so that the runner and its workers import only the study they run.
STUDIES = {
    "coordination": "studies.coordination_policy.study:CoordinationStudy",
    "feeder-policy": "studies.feeder_policy.study:FeederPolicyStudy",
    "hosting-capacity": "studies.hosting_capacity.study:HostingCapacityStudy",
    "load-profile": "studies.load_profile.study:LoadProfileStudy",
    "location": "studies.datacenter_location.study:LocationStudy",
    "siting": "studies.pv_datacenter_siting.study:SitingStudy",
}


@lru_cache
def question_type(study: str) -> type[Any]:
    """The class of a study's question; `InputError` for a study that does not exist.

    A study of one's own is named by where it is: "my_package.my_module:MyStudy".
    """
    if study not in STUDIES and ":" not in study:
        raise unknown_name("study", study, STUDIES)
    module, name = STUDIES.get(study, study).split(":")
    try:
        found: type[Any] = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise InputError(f"the study {study!r} cannot be imported: {error}") from error
    return found


@lru_cache
def _adapter(study: str) -> TypeAdapter[Any]:
    return TypeAdapter(question_type(study))


def json_schema(study: str) -> dict[str, Any]:
    """JSON schema of a study's TOML file."""
    schema = _adapter(study).json_schema()
    schema["properties"] = {"study": {"const": study, "type": "string"}, **schema["properties"]}
    schema["required"] = ["study", *schema.get("required", [])]
    return schema


def read_question(path: Path) -> Question:
    """The question in a TOML file; `InputError` names every line that cannot be used."""
    try:
        with path.open("rb") as file:
            content = tomllib.load(file)
    except OSError as error:
        raise InputError(f"the study file {path} cannot be read: {error.strerror}") from error
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path} is not TOML: {error}") from error
    study = content.pop("study", None)
    if not isinstance(study, str):
        raise InputError(f'{path} does not say which study it is; begin with e.g. study = "hosting-capacity"')
    return make_question(study, content, str(path))


def make_question(study: str, content: dict[str, Any], where: str = "the question") -> Question:
    """A question from plain values; `InputError` names what does not fit. Paths of files become absolute."""
    try:
        question: Question = _adapter(study).validate_python(_with_absolute_paths(content))
    except ValidationError as error:
        raise InputError(f"{where}: {faults_in_words(error)}") from error
    return question


def _with_absolute_paths(content: dict[str, Any]) -> dict[str, Any]:
    """The user's files by their whole paths: a report may be written from elsewhere."""
    found = dict(content)
    for name in ("feeder", "profile", "market_files", "network"):
        value = found.get(name)
        if not isinstance(value, str):
            continue
        if value.lower().endswith((".dss", ".csv", ".m")) or (name == "market_files" and value):
            found[name] = str(Path(value).expanduser().resolve())
    if isinstance(found.get("scenario"), dict):
        found["scenario"] = _with_absolute_paths(found["scenario"])
    return found


def question_json(question: Question) -> str:
    """A question as canonical JSON: what tasks are identified by."""
    plain = _adapter(question.study).dump_python(question, mode="json")
    return json.dumps({"study": question.study, **plain}, sort_keys=True, separators=(",", ":"))


@lru_cache(maxsize=16)
def parse_question(text: str) -> Question:
    """The question of `question_json`."""
    content = json.loads(text)
    return make_question(content.pop("study"), content)


def question_toml(question: Question) -> str:
    """A question as a TOML file; what is None is left out, which means the same."""
    plain = _adapter(question.study).dump_python(question, mode="json")
    return tomli_w.dumps({"study": question.study, **_without_none(plain)})


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_none(item) for item in value]
    return value
