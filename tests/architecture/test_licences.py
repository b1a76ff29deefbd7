"""`LICENSES.md` names every runtime dependency, and its licence as the installed package states it."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
# Direct dependencies have a third column, for what is worth knowing.
_ROW = re.compile(r"^\| `([^`]+)` \| ([^|]+) \|.+\|$", re.MULTILINE)
_BROUGHT = re.compile(r"^\| `([^`]+)` \| ([^|]+) \|$", re.MULTILINE)


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


def brought_along() -> list[str]:
    """Names of what the direct dependencies of a plain install bring along, as their metadata have them."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    direct = {canonicalize_name(Requirement(line).name) for line in project["dependencies"]}
    seen, waiting = set(direct), list(direct)
    while waiting:
        for line in metadata(waiting.pop()).get_all("Requires-Dist") or []:
            needed = Requirement(line)
            name = canonicalize_name(needed.name)
            if name not in seen and (needed.marker is None or needed.marker.evaluate({"extra": ""})):
                seen.add(name)
                waiting.append(name)
    return sorted(metadata(name)["Name"] for name in seen - direct)


TEXT = (ROOT / "LICENSES.md").read_text(encoding="utf-8")
LISTED = dict(_ROW.findall(TEXT))


def test_the_list_has_every_runtime_dependency_and_no_other() -> None:
    assert sorted(LISTED) == runtime_dependencies()


@pytest.mark.parametrize("package", runtime_dependencies())
def test_a_licence_is_the_one_that_the_package_states(package: str) -> None:
    assert LISTED[package].strip() == stated(package)


def test_what_dependencies_bring_along_is_listed_with_its_licence() -> None:
    assert dict(_BROUGHT.findall(TEXT)) == {name: stated(name) for name in brought_along()}
