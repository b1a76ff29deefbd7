"""Equations and code name each other: a cited number exists, and every equation has a function that cites it."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest
from source_trees import PACKAGES, ROOT, trees

pytestmark = pytest.mark.xdist_group("source")  # one worker, so that the source is parsed once
PAGE = (ROOT / "docs" / "equations.md").read_text(encoding="utf-8")

_ENTRY = re.compile(r"^### (\d+\.\d+) (.+)$", re.MULTILINE)
_SECTION = re.compile(r"^## (\d+) ", re.MULTILINE)
_NUMBER = r"\d+\.\d+"
# "equation 4.1", "equations 8.1, 8.2 and 9.3", "equations 5.1 to 5.3".
_CITED = re.compile(rf"\bequations? ({_NUMBER}(?:(?:,| and| to|, and)\s+{_NUMBER})*)", re.IGNORECASE)
_CITED_SECTION = re.compile(r"\bequations, sections? (\d+(?:(?:,| and| to)\s+\d+)*)(?![.\d])", re.IGNORECASE)


def entries() -> dict[str, str]:
    """Text of every equation by its number."""
    parts = _ENTRY.split(PAGE)
    return dict(zip(parts[1::3], parts[3::3], strict=True))


def numbers_in(text: str) -> set[str]:
    """Numbers of equations that a text cites; a range cites its ends and what is between."""
    found: set[str] = set()
    for match in _CITED.finditer(" ".join(text.split())):
        parts = re.split(rf"(?<=\d)(?:,? and |, | to )(?={_NUMBER})", match[1])
        joins = re.findall(rf"(?<=\d)(,? and |, | to )(?={_NUMBER})", match[1])
        found.add(parts[0])
        for join, before, after in zip(joins, parts, parts[1:], strict=False):
            found.add(after)
            if join == " to ":
                (section, first), (_, last) = before.split("."), after.split(".")
                found |= {f"{section}.{k}" for k in range(int(first), int(last))}
    return found


@cache
def docstrings() -> dict[str, tuple[str, ...]]:
    """By dotted name of a module, class or function: its docstring, and those of what it stands in, innermost first."""
    found: dict[str, tuple[str, ...]] = {}

    def visit(node: ast.AST, name: str, around: tuple[str, ...]) -> None:
        own = ast.get_docstring(node, clean=True) if isinstance(node, _DOCUMENTED) else None
        around = ((own or ""), *around)
        found[name] = around
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                visit(child, f"{name}.{child.name}", around)

    for path, tree in trees().items():
        parts = Path(path).with_suffix("").parts
        visit(tree, ".".join(parts[:-1] if parts[-1] == "__init__" else parts), ())
    return found


_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def code_of(body: str) -> list[str]:
    """Dotted names that an entry says the equation is in."""
    (line,) = re.findall(r"^- Code: (.+)$", body, re.MULTILINE)
    return re.findall(r"`([\w.]+)`", line)


def test_numbers_are_in_order_and_none_is_used_twice() -> None:
    numbers = [tuple(map(int, number.split("."))) for number, _ in _ENTRY.findall(PAGE)]
    assert numbers == sorted(set(numbers))
    # Within a section they count from 1 without a hole.
    assert all(n == 1 or (section, n - 1) in numbers for section, n in numbers)
    assert [int(n) for n in _SECTION.findall(PAGE)] == list(range(1, len(_SECTION.findall(PAGE)) + 1))


@pytest.mark.parametrize("number", sorted(entries()))
def test_an_equation_is_stated_with_code_unit_and_source(number: str) -> None:
    body = entries()[number]
    assert re.search(r"^    \S", body, re.MULTILINE), "the equation itself, as an indented block"
    for what in ("Code", "Unit", "Source"):
        assert len(re.findall(rf"^- {what}: \S", body, re.MULTILINE)) == 1, what
    assert code_of(body), "an equation without a function"


@pytest.mark.parametrize("number", sorted(entries()))
def test_the_code_of_an_equation_is_there_and_cites_it(number: str) -> None:
    missing = []
    for name in code_of(entries()[number]):
        texts = docstrings().get(name)
        if texts is None:
            missing.append(f"{name} does not exist")
        elif number not in set().union(*map(numbers_in, texts)):
            missing.append(f"{name} does not cite equation {number}")
    assert missing == []


def test_a_cited_number_exists() -> None:
    known, sections = set(entries()), set(_SECTION.findall(PAGE))
    wrong = []
    for name, (own, *_) in docstrings().items():
        wrong += [f"{name}: equation {n}" for n in sorted(numbers_in(own) - known)]
        for match in _CITED_SECTION.finditer(" ".join(own.split())):
            wrong += [f"{name}: section {n}" for n in re.findall(r"\d+", match[1]) if n not in sections]
    assert wrong == []


def test_numbers_cited_by_the_pages_exist() -> None:
    # Pages also write a number in brackets: "(8.1)" where the text has said that it means equations.
    known = set(entries())
    wrong = {}
    for page in [*sorted((ROOT / "docs").rglob("*.md")), ROOT / "README.md"]:
        cited = numbers_in(page.read_text(encoding="utf-8"))
        if cited - known:
            wrong[page.name] = sorted(cited - known)
    assert wrong == {}


def test_no_text_cites_a_document_that_is_not_in_the_project() -> None:
    texts = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    texts += [*(ROOT / "tests").rglob("*.py"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "benchmarks").glob("*.*")]
    texts = [path for path in texts if path != Path(__file__).resolve()]
    cites = re.compile(r"\bformulations? \d")
    found = [path.relative_to(ROOT).as_posix() for path in texts if cites.search(path.read_text(encoding="utf-8"))]
    assert found == []


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("as in equation 4.1, which", {"4.1"}),
        ("(equations 8.1, 8.2)", {"8.1", "8.2"}),
        ("Equations 5.1 to 5.3 and 9.2", {"5.1", "5.2", "5.3", "9.2"}),
        ("equations, section 4", set()),
        ("a share of 4.1", set()),
    ],
)
def test_citations_are_read(text: str, numbers: set[str]) -> None:
    assert numbers_in(text) == numbers
