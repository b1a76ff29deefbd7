"""The packages' source, read and parsed once for all that looks at its shape."""

from __future__ import annotations

import ast
import gc
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("g2g_opt", "solvers", "studies")
DEFINITIONS = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


@cache
def sources() -> dict[str, str]:
    """Text of every Python file of the packages, by its path relative to the checkout."""
    files = sorted(file for package in PACKAGES for file in (ROOT / package).rglob("*.py"))
    return {file.relative_to(ROOT).as_posix(): file.read_text(encoding="utf-8") for file in files}


@cache
def trees() -> dict[str, ast.Module]:
    """Every file of `sources`, parsed; nobody changes them."""
    # 700,000 nodes that stay: looking through them for garbage, time and again, takes longer than parsing them does.
    gc.disable()
    try:
        return {path: ast.parse(text, path) for path, text in sources().items()}
    finally:
        gc.freeze()
        gc.enable()


@cache
def telling_nodes() -> tuple[tuple[str, ast.AST], ...]:
    """By path: imports, calls, and handlers of exceptions, wherever they stand."""
    kinds = (ast.Import, ast.ImportFrom, ast.Call, ast.ExceptHandler)
    return tuple((path, node) for path, tree in trees().items() for node in ast.walk(tree) if isinstance(node, kinds))


def definitions(tree: ast.Module) -> Iterator[ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef]:
    """The module, and every class and function in it, wherever it stands."""
    yield tree
    waiting: list[ast.AST] = [tree]
    while waiting:
        for child in ast.iter_child_nodes(waiting.pop()):
            # An expression holds none; most nodes are of expressions.
            if not isinstance(child, ast.expr):
                waiting.append(child)
            if isinstance(child, DEFINITIONS):
                yield child
