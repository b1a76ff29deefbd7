"""One model behind TOML, JSON, JSON schema and Python; what cannot be used is named."""

from __future__ import annotations

import importlib
import json
import sys
import tomllib
import types
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

import pytest

from g2g_opt.consent import Consent, give_consent
from g2g_opt.data_files import TRACE_DIR
from g2g_opt.datacenter.workloads.measurements import measured_spec
from g2g_opt.errors import InputError
from g2g_opt.limits import Limits
from g2g_opt.plan import Policy
from g2g_opt.scenario import Scenario
from studies import catalogue, cli
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
from studies.shared.input_files import feeder_files

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


# ---------------------------------------------------------------- studies of other packages

OWN_STUDY = """
import sys
from dataclasses import field
from pathlib import Path
from typing import ClassVar
from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

sys.imported_own_study = True

@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class OwnStudy:
    study: ClassVar[str] = "{name}"
    stages: ClassVar[tuple[str, ...]] = ("all",)
    feeder: str = "ieee13"
    n: int = 1
    seed: int = 0
    def input_files(self): return {}
    def check(self): pass
    def tasks(self, stage, results): return []
    def split(self, task): return []
    def run(self, task, progress): return {}
    def conclude(self, results, limits=None): pass

class Half:
    study = "half"
    stages = ()
    def check(self): pass

@dataclass(frozen=True)
class Other(OwnStudy):
    study: ClassVar[str] = "another_name"

class Plain:
    study, stages, feeder, seed = "own_study:Plain", ("all",), "ieee13", 0
    input_files = check = tasks = split = run = conclude = lambda self, *args: None
"""


@pytest.fixture
def own_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str], None]]:
    """Make a module `own_study`; with entry points, a package that registers it."""
    catalogue._class_at.cache_clear()
    catalogue._adapter_at.cache_clear()
    catalogue._parsed.cache_clear()
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "imported_own_study", False, raising=False)

    def make(name: str, points: str = "") -> None:
        (tmp_path / "own_study.py").write_text(OWN_STUDY.replace("{name}", name))
        info = tmp_path / "own_package-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: own-package\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[{catalogue.ENTRY_POINTS}]\n{points}")
        importlib.invalidate_caches()

    yield make
    give_consent(Consent())
    sys.modules.pop("own_study", None)
    catalogue._class_at.cache_clear()
    catalogue._adapter_at.cache_clear()
    catalogue._parsed.cache_clear()


def test_a_study_that_is_not_registered_is_not_even_imported(own_study: Callable[..., None], tmp_path: Path) -> None:
    own_study("own_study:OwnStudy")
    path = tmp_path / "study.toml"
    path.write_text('study = "own_study:OwnStudy"\nn = 3\n')
    stored = '{"study":"own_study:OwnStudy","n":3}'
    for ask in (lambda: read_question(path), lambda: parse_question(stored), lambda: json_schema("own_study:OwnStudy")):
        with pytest.raises(InputError, match=r"would run the code of module 'own_study'.*--trust-study"):
            ask()
    assert not sys.imported_own_study  # type: ignore[attr-defined]
    give_consent(Consent(studies=True))
    question = read_question(path)
    assert sys.imported_own_study  # type: ignore[attr-defined]
    assert parse_question(stored) == parse_question(question_json(question)) == question
    assert json_schema("own_study:OwnStudy")["properties"]["n"]["type"] == "integer"
    # What one command was allowed is nothing to the next.
    give_consent(Consent())
    for ask in (lambda: read_question(path), lambda: parse_question(stored), lambda: json_schema("own_study:OwnStudy")):
        with pytest.raises(InputError, match="--trust-study"):
            ask()


def test_a_registered_study_needs_no_consent(
    own_study: Callable[..., None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own_study("own", "own = own_study:OwnStudy\nhalf = own_study:Half\nhosting-capacity = own_study:OwnStudy\n")
    question = make_question("own", {"n": 2})
    assert parse_question(question_json(question)) == question
    assert make_question("own_study:OwnStudy", {"n": 2}) == question
    assert cli.main(["schema", "own"]) == 0
    assert json.loads(capsys.readouterr().out)["properties"]["study"] == {"const": "own", "type": "string"}
    # A name of ours stays ours.
    assert question_type("hosting-capacity") is HostingCapacityStudy
    with pytest.raises(InputError, match=r"own_study:Half is no study: it lacks input_files, tasks, .*seed"):
        question_type("half")
    with pytest.raises(InputError, match=r"known studies: \[.*half, hosting-capacity, .*own, .*siting\]"):
        question_type("owm")


def test_a_name_that_two_packages_register_is_nobodys(own_study: Callable[..., None], tmp_path: Path) -> None:
    own_study("own", "own = own_study:OwnStudy\n")
    info = tmp_path / "second_package-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: second-package\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{catalogue.ENTRY_POINTS}]\nown = os:sep\n")
    with pytest.raises(InputError, match="several packages: own-package, second-package"):
        question_type("own")


@pytest.mark.parametrize(
    ("study", "words"),
    [
        (":dumps", "neither by a registered name nor as module:Class"),
        ("a:b:c", "neither by a registered name nor as module:Class"),
        ("json:", "neither by a registered name nor as module:Class"),
        ("..os:sep", "neither by a registered name nor as module:Class"),
        ("os:sep", "is no class but '/'"),
        ("builtins:dict", "builtins:dict is no study: it lacks input_files"),
        ("studies.shared.task:Question", "is no study: .*has no|is no study: it lacks|`study` must be"),
        ("no_such_module:Study", "cannot be imported: ModuleNotFoundError"),
        ("json:nothing", "cannot be imported: AttributeError"),
        ("own_study:Half", "own_study:Half is no study: it lacks input_files"),
        ("own_study:Other", "calls itself the study 'another_name'"),
        ("own_study:Plain", "own_study:Plain is no study: its fields have no types that pydantic reads"),
        ("x" * 100_000 + ":y", "cannot be imported"),
    ],
)
def test_with_consent_what_is_no_study_is_told(own_study: Callable[..., None], study: str, words: str) -> None:
    own_study("own_study:OwnStudy")
    give_consent(Consent(studies=True))
    for ask in (lambda: make_question(study, {}), lambda: json_schema(study)):
        with pytest.raises(InputError, match=words):
            ask()


def test_code_that_fails_while_it_is_imported_is_told(own_study: Callable[..., None], tmp_path: Path) -> None:
    own_study("own_study:OwnStudy")
    (tmp_path / "own_study.py").write_text("1 / 0\n")
    give_consent(Consent(studies=True))
    with pytest.raises(InputError, match="own_study:OwnStudy cannot be imported: ZeroDivisionError: division by zero"):
        question_type("own_study:OwnStudy")


@pytest.mark.parametrize(
    "text", ["{", "{}", "[]", '{"study": 3}', "[" * 100_000, '{"study": "os:sep"}', '{"study":"siting","seed":NaN}']
)
def test_a_stored_question_that_is_none_is_told(text: str) -> None:
    with pytest.raises(InputError, match=r"^the stored question"):
        parse_question(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('feeder = "a\\u0000b.dss"', "feeder holds a NUL"),
        ('feeder = "~nobody_of_this_name/a.dss"', "feeder '~nobody_of_this_name/a.dss'"),
        ("scenario.scenario" + ".scenario" * 40 + " = 1", "scenario.scenario: there is no such setting"),
        ("buses = " + "[" * 60 + "]" * 60, r"buses\.0: "),
        ("\n".join(f"key{k} = 1" for k in range(200)), "there is no such setting; and 180 more"),
        ("x" * 100_000 + " = 1", "x: there is no such setting"),
        ("seed = " + "9" * 100, "seed is an integer beyond 64 bits"),
        ("batch_size = nan", "batch_size: must be a .*number in .*nan"),
    ],
)
def test_a_question_of_another_kind_is_told_in_short(text: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "study.toml"
    path.write_text(f'study = "hosting-capacity"\n{text}\n')
    with pytest.raises(InputError, match=words) as caught:
        read_question(path)
    assert str(path) in str(caught.value)
    assert len(str(caught.value)) < 3000


def test_a_trace_folder_that_was_named_must_be_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert feeder_files("ieee13", str(TRACE_DIR))
    for name in ("nowhere", str(tmp_path / "nowhere"), 300 * "x" + "nowhere", "\0nowhere"):
        with pytest.raises(InputError, match="nowhere is no folder that is there"):
            feeder_files("ieee13", name)
    (tmp_path / "mine").mkdir()
    assert make_question("hosting-capacity", {"trace_dir": "mine"}).trace_dir == str(tmp_path / "mine")  # type: ignore[attr-defined]
    assert make_question("hosting-capacity", {}).trace_dir == str(TRACE_DIR)  # type: ignore[attr-defined]


def test_a_trace_of_no_model_is_refused_with_the_name_that_it_may_mean(tmp_path: Path) -> None:
    """Nothing was read from data/specs/llama-3.1-70b, as --model may name it, and nothing said so."""

    def files(name: str) -> list[str]:
        place = tmp_path / f"of {name}" / name
        place.mkdir(parents=True)
        (place / "trace.csv").touch()
        return [key for key in feeder_files("ieee13", str(place.parent)) if key.startswith("traces/")]

    spec = measured_spec("llama-3.1-70b", "H100")
    for name in (spec.model_label, spec.cache_hash(), "Llama-3.1-70B-Instruct fp8 4xB200"):
        assert files(name) == [f"traces/{name}/trace.csv"]
    with pytest.raises(InputError, match=r"model 'llama-3.1-70b' not found .*csv; did you mean .*Llama-3.1-70B-Instru"):
        files("llama-3.1-70b")


def test_a_link_keeps_the_name_by_which_the_user_knows_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "case.m").symlink_to("/dev/zero")
    assert make_question("coordination", {"network": "case.m"}).network == str(tmp_path / "case.m")  # type: ignore[attr-defined]
