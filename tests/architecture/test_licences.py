"""`LICENSES.md` names every runtime dependency, and its licence as the installed package states it."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_ROW = re.compile(r"^\| `([^`]+)` \| ([^|]+) \|", re.MULTILINE)


def stated(package: str) -> str:
    """The licence in a package's metadata: its expression, else a licence of one line, else its classifier or title."""
    found = metadata(package)
    if found.get("License-Expression"):
        return str(found["License-Expression"])
    text = str(found.get("License") or "").strip().lstrip("\ufeff")
    classifiers = [entry.rpartition(" :: ")[2] for entry in found.get_all("Classifier") or [] if "License ::" in entry]
    if text and "\n" not in text:
        return text
    return classifiers[0] if classifiers else text.partition("\n")[0].strip()


def runtime_dependencies() -> list[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *extras["dask"], *extras["statements"]]
    return sorted(re.split(r"[^\w.-]", entry, maxsplit=1)[0] for entry in wanted)


LISTED = dict(_ROW.findall((ROOT / "LICENSES.md").read_text(encoding="utf-8")))


def test_the_list_has_every_runtime_dependency_and_no_other() -> None:
    assert sorted(LISTED) == runtime_dependencies()


@pytest.mark.parametrize("package", runtime_dependencies())
def test_a_licence_is_the_one_that_the_package_states(package: str) -> None:
    assert LISTED[package].strip() == stated(package)
