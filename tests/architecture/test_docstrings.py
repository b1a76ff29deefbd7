"""Public names without a docstring: none. What overrides a documented method has its docstring from there."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass, field
from functools import cache

import pytest
from source_trees import definitions, trees

pytestmark = pytest.mark.xdist_group("source")  # one worker, so that the source is parsed once
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass
class Class:
    """A class as its source shows it."""

    place: str
    bases: list[str]
    documented: bool
    methods: dict[str, bool] = field(default_factory=dict)


def public(name: str) -> bool:
    return not name.startswith("_")


@cache
def classes() -> dict[str, Class]:
    """By name: one noun is one class (`test_file_shape`)."""
    found: dict[str, Class] = {}
    for place, tree in trees().items():
        waiting = [node for node in tree.body if isinstance(node, ast.ClassDef)]
        while waiting:
            node = waiting.pop()
            waiting += [inner for inner in node.body if isinstance(inner, ast.ClassDef)]
            bases = [ast.unparse(base).partition("[")[0].rpartition(".")[2] for base in node.bases]
            own = Class(f"{place}:{node.lineno}", bases, ast.get_docstring(node) is not None)
            for method in node.body:
                if isinstance(method, _FUNCTIONS):
                    said = own.methods.get(method.name, False) or ast.get_docstring(method) is not None
                    own.methods[method.name] = said
            found.setdefault(node.name, own)
    return found


def is_documented(name: str, method: str) -> bool:
    """Whether a class, or one that it derives from, says what a method does."""
    known = classes().get(name)
    return known is not None and (
        known.methods.get(method, False) or any(is_documented(base, method) for base in known.bases if base != name)
    )


def test_every_public_name_says_what_it_is() -> None:
    missing = []
    for place, tree in trees().items():
        if not place.endswith("__init__.py") and ast.get_docstring(tree) is None:
            missing.append(place)
        for node in tree.body:
            if isinstance(node, _FUNCTIONS) and public(node.name) and ast.get_docstring(node) is None:
                missing.append(f"{place}:{node.lineno} {node.name}")
    for name, own in classes().items():
        if public(name):
            missing += [] if own.documented else [f"{own.place} {name}"]
            missing += [f"{own.place} {name}.{m}" for m in own.methods if public(m) and not is_documented(name, m)]
    assert missing == []


# Suffixes of names that are units, and how the unit is written in words.
UNITS = {
    "_kw": "kW",
    "_mw": "MW",
    "_w": "W",
    "_kva": "kVA",
    "_kvar": "kvar",
    "_kwh": "kWh",
    "_mwh": "MWh",
    "_pu": "pu",
    "_s": "s",
    "_v": "V",
    "_a": "A",
    "_usd": "$",
}


def contradictions(text: str) -> list[str]:
    """Figures of a docstring, `name_unit` with a unit in brackets behind it, that say another unit than their name."""
    found = []
    for name, told in re.findall(r"`([a-z]\w*)` \(([^`()\s]+)\)", text):
        suffix = next((unit for unit in sorted(UNITS, key=len, reverse=True) if name.endswith(unit)), None)
        # A price per kWh is no energy.
        if suffix and "_per_" not in name and told in UNITS.values() and told != UNITS[suffix]:
            found.append(f"{name} ({told})")
    return found


def test_units_in_brackets_are_those_of_the_names() -> None:
    wrong = []
    for place, tree in trees().items():
        for node in definitions(tree):
            wrong += [f"{place}: {words}" for words in contradictions(ast.get_docstring(node) or "")]
    assert wrong == []


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("`power_kw` (kW)", []),
        ("`power_kw` (MW)", ["power_kw (MW)"]),
        ("`time_s` (step,)", []),
        ("`voltage_pu` (V)", ["voltage_pu (V)"]),
    ],
)
def test_units_are_read(text: str, wrong: list[str]) -> None:
    assert contradictions(text) == wrong
