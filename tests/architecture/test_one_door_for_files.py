"""Files are read through `g2g_opt.reading` and `g2g_opt.csv_files`, so that every kind of trouble has one answer."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from functools import cache

import pytest
from source_trees import ROOT, telling_nodes, trees

pytestmark = pytest.mark.xdist_group("source")  # one worker, so that the source is parsed once
# Functions that read or parse what a file holds; those of a common name only as these modules have them.
_READS = frozenset({"open", "read_text", "read_bytes", "loadtxt", "genfromtxt", "read_csv", "read_excel", "read_table"})
_OF_MODULE = {"csv": ("reader", "DictReader"), "json": ("load", "loads"), "tomllib": ("load", "loads")}
# Who may do so past the door, and why.
ALLOWED = {
    "g2g_opt/reading.py": "the door",
    "g2g_opt/csv_files.py": "the door for tables",
    "g2g_opt/compiled/kernel.py": "our own source",
    "g2g_opt/feeder.py": "bundled constants of a feeder",
    "g2g_opt/datacenter/workloads/latency_fit.py": "opened to write",
    "g2g_opt/datacenter/workloads/training.py": "opened to write",
    "g2g_opt/live/record.py": "opened to write",
    "g2g_opt/live/settings.py": "opened to write",
    "studies/package_version.py": "a constant of a built package",
    "g2g_opt/live/sockets.py": "the system's own table of sockets",
    "g2g_opt/transmission/market_folder.py": "a member of an archive that the door has read",
    "g2g_opt/transmission/series.py": "rows of a bundled table that the door has read",
    "studies/cli.py": "the device that takes what nobody reads",
    "studies/running/inputs.py": "our own source",
    "studies/report/files.py": "opened to write",
    "studies/report/page.py": "bundled parts of the page",
    "studies/shared/site_choices.py": "bundled constants of a feeder",
}
# Stored studies and circuits have doors of their own.
_OWN_DOORS = (
    "g2g_opt/circuit/engine_answers",
    "g2g_opt/circuit/script_file/",
    "studies/running/kept_inputs",
    "studies/running/ledger",
    "studies/running/local_",
    "studies/report/atomic_file",
    "studies/running/stored_",
    "studies/running/study_folder",
)


def reads(nodes: Iterable[ast.AST]) -> list[str]:
    """Line and call of everything among a module's nodes that reads a file or parses what one holds."""
    found = []
    for node in nodes:
        if not isinstance(node, ast.Call):
            continue
        if isinstance(node.func, ast.Name) and node.func.id == "open":
            found.append(f"{node.lineno}: open")
        if isinstance(node.func, ast.Attribute):
            owner = node.func.value.id if isinstance(node.func.value, ast.Name) else ""
            if node.func.attr in _READS or node.func.attr in _OF_MODULE.get(owner, ()):
                found.append(f"{node.lineno}: {owner}.{node.func.attr}")
    return found


@cache
def reads_by_module() -> dict[str, list[str]]:
    nodes: dict[str, list[ast.AST]] = {module: [] for module in trees()}
    for module, node in telling_nodes():
        nodes[module].append(node)
    return {module: reads(those) for module, those in nodes.items()}


def modules() -> list[str]:
    """Modules without an exception."""
    places = [path for part in ("g2g_opt", "studies") for path in (ROOT / part).rglob("*.py")]
    found = [path.relative_to(ROOT).as_posix() for path in places]
    return sorted(name for name in found if name not in ALLOWED and not name.startswith(_OWN_DOORS))


@pytest.mark.parametrize("module", modules())
def test_no_module_reads_files_past_the_door(module: str) -> None:
    assert reads_by_module()[module] == []


@pytest.mark.parametrize("module", sorted(ALLOWED))
def test_an_exception_is_needed(module: str) -> None:
    assert reads_by_module()[module]


@pytest.mark.parametrize(
    "call",
    ["open(a)", "a.open()", "a.b.read_text()", "csv.reader(a)", "json.loads(a)", "tomllib.load(a)", "np.loadtxt(a)"],
)
def test_every_way_of_reading_is_seen(call: str) -> None:
    assert len(reads(ast.walk(ast.parse(call)))) == 1


def test_what_goes_through_the_door_is_not_meant() -> None:
    text = "Feeder.load(a)\nread_text(a, 'x', 1)\nread_csv(a, 'x', ())\nself._table.load(b)\n"
    assert reads(ast.walk(ast.parse(text))) == []
