"""Studies of other packages: found where they are registered, imported only with consent."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from g2g_opt.consent import Consent, give_consent
from g2g_opt.data_files import TRACE_DIR
from g2g_opt.datacenter.workloads.measurements import measured_spec
from g2g_opt.errors import InputError
from studies import catalogue, cli
from studies.catalogue import (
    json_schema,
    make_question,
    parse_question,
    question_json,
    question_type,
    read_question,
)
from studies.hosting_capacity.study import HostingCapacityStudy
from studies.shared.input_files import feeder_files

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
def test_a_compared_questions_that_is_none_is_told(text: str) -> None:
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
