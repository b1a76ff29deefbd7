"""Shape of the source files: their length and names, which of them touches which engine, and no swallowed failure."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from source_trees import PACKAGES, sources, telling_nodes, trees

pytestmark = pytest.mark.xdist_group("source")  # one worker, so that the source is parsed once
LINES_MAX = 400
DRAWERS = {"util", "utils", "helper", "helpers", "misc", "core"}

# top-level import -> the only files that may hold it: a path, or a file name that may stand anywhere
DOORS = {
    "opendssdirect": {"g2g_opt/circuit/direct.py"},
    "dss": {"g2g_opt/circuit/opendss_circuit.py"},
    "dss_python_backend": {"g2g_opt/circuit/engine_library.py"},
    "highspy": {"solvers/highs.py"},
    "matplotlib": {"figures.py", "report.py"},
    "plotly": {"figures.py", "report.py"},
}


def imported(node: ast.AST) -> list[str]:
    """Top-level packages that an import statement (or `import_module("...")`) brings in."""
    match node:
        case ast.Import(names=names):
            return [alias.name.split(".")[0] for alias in names]
        case ast.ImportFrom(module=str(module), level=0):
            return [module.split(".")[0]]
        case ast.Call(
            func=ast.Name(id="import_module" | "__import__") | ast.Attribute(attr="import_module"),
            args=[ast.Constant(value=str(name)), *_],
        ):
            return [name.split(".")[0]]
    return []


def is_blind(handler: ast.ExceptHandler) -> bool:
    """True for a bare `except:`, and for `except Exception` whose body does nothing."""
    if handler.type is None:
        return True
    broad = isinstance(handler.type, ast.Name) and handler.type.id in {"Exception", "BaseException"}
    does_nothing = all(
        isinstance(line, (ast.Pass, ast.Continue))
        or (isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant))
        for line in handler.body
    )
    return broad and does_nothing


def test_files_are_found() -> None:
    assert {path.split("/")[0] for path in sources()} == set(PACKAGES)


def test_no_file_is_too_long() -> None:
    too_long = {path: text.count("\n") for path, text in sources().items() if text.count("\n") > LINES_MAX}
    assert too_long == {}, "a file that grows has found a second idea: name it and give it a file"


def test_no_file_of_tests_is_too_long() -> None:
    texts = {path: path.read_text(encoding="utf-8") for path in Path(__file__).parents[1].rglob("*.py")}
    too_long = {path.name: text.count("\n") for path, text in texts.items() if text.count("\n") > LINES_MAX}
    assert too_long == {}, "split it by what it tests; what its parts share has a module or a conftest.py"


def test_no_file_or_folder_is_a_drawer() -> None:
    words = {path: set(path.removesuffix(".py").replace("/", "_").split("_")) for path in sources()}
    assert [path for path, found in words.items() if found & DRAWERS] == []


def test_common_holds_three_phase_alone() -> None:
    tree = trees()["g2g_opt/common.py"]
    kinds = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    assert [node.name for node in tree.body if isinstance(node, kinds)] == ["ThreePhase"]


@pytest.mark.parametrize("package", sorted(DOORS))
def test_each_engine_has_one_door(package: str) -> None:
    doors = DOORS[package]
    users = {path for path, node in telling_nodes() if package in imported(node)}
    assert {path for path in users if path not in doors and path.split("/")[-1] not in doors} == set()


def test_no_wildcard_imports() -> None:
    stars = [
        f"{path}:{node.lineno}"
        for path, node in telling_nodes()
        if isinstance(node, ast.ImportFrom) and any(alias.name == "*" for alias in node.names)
    ]
    assert stars == []


def test_no_swallowed_exceptions() -> None:
    blind = [
        f"{path}:{node.lineno}"
        for path, node in telling_nodes()
        if isinstance(node, ast.ExceptHandler) and is_blind(node)
    ]
    assert blind == []


@pytest.mark.parametrize(
    ("text", "blind"),
    [
        ("except:\n  raise", True),
        ("except Exception:\n  pass", True),
        ("except Exception as e:\n  'why'\n  ...", True),
        ("except Exception as e:\n  rows.append(e)", False),
        ("except OSError:\n  pass", False),
    ],
)
def test_is_blind(text: str, blind: bool) -> None:
    handler = next(n for n in ast.walk(ast.parse(f"try:\n  x\n{text}")) if isinstance(n, ast.ExceptHandler))
    assert is_blind(handler) is blind


def test_imported_sees_late_and_dynamic_imports() -> None:
    text = "def f():\n  import a.b, c\n  from d.e import g\n  importlib.import_module('h.i')\n  from . import j"
    assert sorted(name for node in ast.walk(ast.parse(text)) for name in imported(node)) == ["a", "c", "d", "h"]


def test_one_noun_is_one_class() -> None:
    # Short names of array types are alike everywhere; a name that begins with an underscore is a file's own.
    alike = {"Bools", "Complexes", "Counts", "Floats", "Ints", "Ticks"}
    found: dict[str, list[str]] = {}
    for path, tree in trees().items():
        for node in tree.body:
            names = [node.name] if isinstance(node, ast.ClassDef) else []
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Subscript):
                names = [target.id for target in node.targets if isinstance(target, ast.Name)]
            for name in names:
                if name[0].isupper() and not name.isupper() and name not in alike:
                    found.setdefault(name, []).append(path)
    assert {name: paths for name, paths in found.items() if len(paths) > 1} == {}
