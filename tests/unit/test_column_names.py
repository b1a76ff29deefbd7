"""Columns of result tables: a name says the unit that its title has, for whoever reads the CSV file alone."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import studies

# Units as titles have them, and what a name with them ends in. Dollars of stored rows, and counts, need none.
ENDINGS = {
    "MW": "mw",
    "kW": "kw",
    "kvar": "kvar",
    "MWh": "mwh",
    "pu": "pu",
    "pu s": "pu_s",
    "s": "s",
    "h": "h",
    "min": "min",
    "V": "v",
    "%": "pct",
    "$/h": "usd_per_h",
    "$/day": "usd",
    "10^6 tokens/s": "million_tps",
}
_UNITS = "|".join(map(re.escape, sorted(ENDINGS, key=len, reverse=True)))
_UNIT = re.compile(rf"(?:^|\((?:[^()]*, )?)({_UNITS})(?:(?:,| of the run)[^()]*)?(?:\)|$)")


def columns() -> Iterator[tuple[str, str, str]]:
    """File, name and title of every column that is written in the source by these."""
    root = Path(studies.__file__ or "").parent
    for path in sorted(root.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            match node:
                case ast.Call(
                    func=ast.Name(id="Column"), args=[ast.Constant(value=str(name)), ast.Constant(value=str(title)), *_]
                ):
                    yield path.name, name, title
                case ast.AnnAssign(target=ast.Name(id=name), annotation=note):
                    yield from ((path.name, name, title) for title in titles_in(note))
                case ast.FunctionDef(name=name, returns=ast.expr() as note):
                    yield from ((path.name, name, title) for title in titles_in(note))


def titles_in(annotation: ast.expr) -> Iterator[str]:
    for node in ast.walk(annotation):
        match node:
            case ast.Call(func=ast.Name(id="ShownAs"), args=[ast.Constant(value=str(title)), *_]):
                yield title


def test_a_column_whose_title_has_a_unit_ends_in_it() -> None:
    found = list(columns())
    assert len(found) > 500
    with_unit = [(file, name, title, unit[1]) for file, name, title in found if (unit := _UNIT.search(title))]
    assert len(with_unit) > 120
    wrong = [
        f"{file}: {name} ({title})"
        for file, name, title, unit in with_unit
        if not f"_{name}".endswith(f"_{ENDINGS[unit]}") and name != "seconds"
    ]
    assert wrong == []
