"""The studies there are, by name; each one pydantic model behind TOML, JSON, JSON schema and Python."""

from __future__ import annotations

import importlib
import json
import re
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

import tomli_w
from pydantic import PydanticUserError, TypeAdapter, ValidationError

from g2g_opt.consent import Consent, given_consent
from g2g_opt.data_files import TRACE_DIR
from g2g_opt.errors import InputError, shown, unknown_name
from g2g_opt.reading import absolute_path, check_plain, parse_json, read_toml
from studies.shared.question_model import built, check_not_here, faults_in_words
from studies.shared.question_tables import NONE, completed, with_none_written
from studies.shared.task import Question

# Named by where they are, so that the runner and its workers import only the study they run.
STUDIES = {
    "ai-choices": "studies.ai_choices.study:AIChoicesStudy",
    "check": "studies.connection_check.study:ConnectionCheckStudy",
    "communication": "studies.communication.study:CommunicationStudy",
    "controllers": "studies.controllers.study:ControllersStudy",
    "coordination": "studies.coordination_policy.study:CoordinationStudy",
    "feeder-policy": "studies.feeder_policy.study:FeederPolicyStudy",
    "hosting-capacity": "studies.hosting_capacity.study:HostingCapacityStudy",
    "load-profile": "studies.load_profile.study:LoadProfileStudy",
    "location": "studies.datacenter_location.study:LocationStudy",
    "portfolio": "studies.portfolio.study:PortfolioStudy",
    "ppo-training": "studies.ppo_training.study:PPOTrainingStudy",
    "queue": "studies.connection_queue.study:ConnectionQueueStudy",
    "scenarios": "studies.scenario_library.study:LibraryStudy",
    "siting": "studies.pv_datacenter_siting.study:SitingStudy",
}
# The group of entry points by which an installed package adds its own: name = "module:Class".
ENTRY_POINTS = "g2g_opt.studies"
_PLACE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")
_METHODS = ("input_files", "check", "tasks", "split", "run", "conclude")


def known_studies() -> dict[str, str]:
    """Where the class of every registered study is ("module:Class"), by its name: ours, and those of other packages."""
    return {**{name: points[0].value for name, points in _registered().items()}, **STUDIES}


def _registered() -> dict[str, list[EntryPoint]]:
    found: dict[str, list[EntryPoint]] = {}
    for point in entry_points(group=ENTRY_POINTS):
        found.setdefault(point.name, []).append(point)
    return found


def question_type(study: str) -> type[Any]:
    """The class of a study's question, by the name under which it is registered (`STUDIES`, `ENTRY_POINTS`).

    A class that is not registered is named by where it is, "my_package.my_module:MyStudy", and imported only if the
    user has consented to that (`given_consent().studies`). Raises `InputError` for a study that does not exist, is not
    allowed, or is none.
    """
    return _class_at(_place(study))


def _place(study: str) -> str:
    """Where the class of a study is. What is asked for and allowed is looked at again on every call, never kept."""
    if study in STUDIES:
        return STUDIES[study]
    if study in STUDIES.values():
        return study
    points = _registered().get(study, [])
    if len(points) > 1:
        packages = ", ".join(sorted(point.dist.name if point.dist is not None else point.value for point in points))
        raise InputError(f"the study {study!r} is registered by several packages: {packages}; remove all but one")
    place = points[0].value if points else study
    if not points and ":" not in study:
        raise unknown_name("study", study, known_studies())
    if not _PLACE.fullmatch(place):
        raise InputError(f"the study {shown(study)} is named neither by a registered name nor as module:Class")
    if not points and place not in known_studies().values() and not given_consent().studies:
        raise InputError(
            f"the study {shown(study)} is not registered: importing it would run the code of module "
            f"{shown(place.partition(':')[0])}. If you trust that code, say so with --trust-study (in Python: "
            f"g2g_opt.consent.give_consent); registered are {', '.join(sorted(known_studies()))}"
        )
    return place


@lru_cache
def _class_at(place: str) -> type[Any]:
    """The class at a place that `_place` allowed; `InputError` if it cannot be imported or is no study."""
    module, _, name = place.partition(":")
    try:
        found = getattr(importlib.import_module(module), name)
    except Exception as error:  # whatever code that is not ours raises while it is imported
        raise InputError(f"the study {place} cannot be imported: {type(error).__name__}: {error}") from error
    if not isinstance(found, type):
        raise InputError(f"the study {place} is no class but {shown(found)}")
    lacking = [name for name in _METHODS if not callable(getattr(found, name, None))]
    lacking += [name for name in ("study", "stages") if not hasattr(found, name)]
    declared = {name for base in found.__mro__ for name in vars(base).get("__annotations__", ())}
    lacking += [name for name in ("feeder", "seed") if name not in declared and not hasattr(found, name)]
    if lacking:
        raise InputError(f"{place} is no study: it lacks {', '.join(lacking)} of studies.shared.task.Question")
    own = getattr(found, "study")  # noqa: B009 - a class that is only known to be one
    # Stages may depend on the question: then they are a property.
    if not isinstance(own, str) or not isinstance(getattr(found, "stages"), tuple | property):  # noqa: B009
        raise InputError(f"{place} is no study: `study` must be its name and `stages` a tuple of names")
    if own != place and place not in (STUDIES.get(own), *(point.value for point in _registered().get(own, []))):
        raise InputError(f"{place} calls itself the study {shown(own)}, by which it is not found; call it {place!r}")
    return found


def _adapter(study: str) -> TypeAdapter[Any]:
    return _adapter_at(_place(study))


@lru_cache
def _adapter_at(place: str) -> TypeAdapter[Any]:
    try:
        return TypeAdapter(built(_class_at(place)))
    except PydanticUserError as error:
        raise InputError(f"{place} is no study: its fields have no types that pydantic reads: {error}") from error


def json_schema(study: str) -> dict[str, Any]:
    """JSON schema of a study's TOML file; `InputError` for a study that has none."""
    try:
        schema = _adapter(study).json_schema()
    except PydanticUserError as error:
        raise InputError(f"the study {study!r} has no JSON schema: {error}") from error
    for part in (schema, *schema.get("$defs", {}).values()):
        for field in part.get("properties", {}).values():
            kinds = [one.get("type") for one in field.get("anyOf", ())]
            if "null" in kinds and ("string" not in kinds or field.get("default") is not None):
                field["anyOf"].append({"const": NONE, "type": "string"})
    schema["properties"] = {"study": {"const": study, "type": "string"}, **schema.get("properties", {})}
    schema["required"] = ["study", *schema.get("required", [])]
    return schema


def read_question(path: Path) -> Question:
    """The question in a TOML file; `InputError` names every line that cannot be used."""
    content = read_toml(path, "study file")
    study = content.pop("study", None)
    if not isinstance(study, str):
        raise InputError(f'{path} does not say which study it is; begin with e.g. study = "hosting-capacity"')
    return make_question(study, content, str(path))


def make_question(study: str, content: dict[str, Any], where: str = "the question") -> Question:
    """A question from plain values; `InputError` names what does not fit. Paths of files become absolute."""
    check_plain(content, where)
    try:
        check_not_here(question_type(study), content)
        adapter, found = _adapter(study), _with_absolute_paths(completed(question_type(study), content))
    except InputError as error:
        raise InputError(f"{where}: {error}") from error
    try:
        question: Question = adapter.validate_python(found)
    except ValidationError as error:
        raise InputError(f"{where}: {faults_in_words(error)}") from error
    # Where a question says of its numbers what they may be, the words are better; it need not.
    check_plain(content, where, finite=True)
    return question


def _with_absolute_paths(content: dict[str, Any]) -> dict[str, Any]:
    """The user's files by their whole paths: a report may be written from elsewhere."""
    found = dict(content)
    for name in ("feeder", "edits", "profile", "year", "costs", "requests", "market_files", "network", "library"):
        value = found.get(name)
        if not isinstance(value, str):
            continue
        if value.lower().endswith((".dss", ".csv", ".m")) or (name in ("market_files", "edits") and value):
            found[name] = str(absolute_path(value, name))
    for name in ("folder", "question"):
        if isinstance(value := found.get(name), str) and value:
            found[name] = str(absolute_path(value, name))
    # The usual folder need not be there, and is looked for where the study runs.
    if isinstance(found.get("trace_dir"), str) and Path(found["trace_dir"]) != TRACE_DIR:
        found["trace_dir"] = str(absolute_path(found["trace_dir"], "trace_dir"))
    if isinstance(jobs := found.get("training"), list):
        found["training"] = [_with_absolute_trace(job) for job in jobs]
    if isinstance(found.get("scenario"), dict):
        found["scenario"] = _with_absolute_paths(found["scenario"])
    return found


def _with_absolute_trace(job: Any) -> Any:
    if not isinstance(job, dict) or not isinstance(job.get("trace"), str):
        return job
    return job | {"trace": str(absolute_path(job["trace"], "trace"))}


def question_json(question: Question) -> str:
    """A question as canonical JSON: what tasks are identified by. Paths of files are absolute, wherever it is read."""
    plain = _plain(question)
    return json.dumps({"study": question.study, **plain}, sort_keys=True, separators=(",", ":"))


def parse_question(text: str) -> Question:
    """The question of `question_json`; `InputError` for any other text. It imports no more than a study file may."""
    # What one call was allowed is nothing to the next one.
    return _parsed(text, given_consent())


@lru_cache(maxsize=16)
def _parsed(text: str, _consent: Consent) -> Question:
    content = parse_json(text, "the stored question")
    study = content.pop("study", None) if isinstance(content, dict) else None
    if not isinstance(study, str):
        raise InputError("the stored question does not say which study it is")
    return make_question(study, content, "the stored question")


def question_toml(question: Question) -> str:
    """A question as a TOML file that `read_question` reads as the same; None is left out or written (`NONE`)."""
    return tomli_w.dumps({"study": question.study, **with_none_written(type(question), _plain(question))})


def _plain(question: Question) -> dict[str, Any]:
    """A question's plain values. One that was made in Python has its files by the paths that were given."""
    return _with_absolute_paths(_adapter(question.study).dump_python(question, mode="json"))
