"""The public surface: what `g2g_opt` itself offers, pinned; it is imported late; old names work for a version."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import g2g_opt

ROOT = Path(__file__).resolve().parents[2]

# A name that leaves this list, or a parameter that leaves a signature, breaks scripts: warn for a version first
# (`g2g_opt.deprecation`), and say so in CHANGELOG.md.
# fmt: off
SURFACE = [
    "AdaptiveTaps", "BASE_KW_PER_GPU", "Consent", "Controller", "Coordinator", "Criterion", "Deployment",
    "Evaluation", "Failure", "FailureKind", "Feeder", "G2GError", "HourlyProfile", "InferenceModelSpec",
    "InputError", "LimitCheck", "Limits", "Outcome", "PVUnit", "Plan", "Policy", "PowerFlowError",
    "ReplicaShares", "Scenario", "SimulationLog", "Site", "StorageUnit", "Summary", "TrainingOverlay",
    "Verdict", "__version__", "evaluate", "give_consent", "load_profile", "measured_spec",
    "query_measurements", "simulate", "sized_site", "solve_base_case",
]
# fmt: on
# The parameters that scripts give, in this order.
PARAMETERS = {
    "simulate": "plans scenarios feeder limits engine workers trace_dir tolerance progress with_base bases",
    "evaluate": "plan feeder scenarios limits engine trace_dir tolerance",
    "sized_site": "name bus models n_servers base_kw_per_gpu power_factor connection",
    "measured_spec": "model gpu task precision gpus_per_replica itl_deadline_s model_label",
    "Plan": "sites taps policy tap_mode pv storage",
    "Site": "name bus deployments base_kw_per_gpu power_factor connection spare_servers",
    "PVUnit": "bus size_kw output_max_kw storage_kw",
    "Evaluation": "plan outcomes",
}
# How the name of a figure ends if it says its unit; others are described in the docstring.
# fmt: off
UNITS = {
    "a", "fraction", "gpus", "h", "hz", "kv", "kva", "kvar", "kw", "kwh", "ms", "mw", "mwh", "pu", "s", "scale",
    "share", "tps", "usd", "v", "w",
}
# fmt: on
MOVED = {"g2g_opt.simulate": "g2g_opt.simulation", "g2g_opt.evaluate": "g2g_opt.evaluation"}


def run(script: str) -> str:
    command = [sys.executable, "-W", "error", "-c", script]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_surface_is_what_it_was() -> None:
    assert sorted(g2g_opt.__all__) == sorted(SURFACE)


@pytest.mark.parametrize("name", SURFACE)
def test_a_public_name_can_be_had_and_says_what_it_is(name: str) -> None:
    found = getattr(g2g_opt, name)
    if callable(found):
        assert found.__name__ == name
        assert (found.__doc__ or "").strip()
    assert name in dir(g2g_opt)


@pytest.mark.parametrize("name", sorted(PARAMETERS))
def test_parameters_that_scripts_give_are_there_in_their_order(name: str) -> None:
    import inspect

    given = list(inspect.signature(getattr(g2g_opt, name)).parameters)
    # New ones may come behind those that scripts know.
    wanted = PARAMETERS[name].split()
    assert given[: len(wanted)] == wanted


def test_what_a_type_checker_reads_is_what_is_imported() -> None:
    tree = ast.parse((ROOT / "g2g_opt" / "__init__.py").read_text(encoding="utf-8"))
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    typed = {alias.name: node.module for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert typed == g2g_opt._PLACE_OF
    assert sorted([*typed, "__version__"]) == sorted(g2g_opt.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Feedr'"):
        _ = g2g_opt.Feedr


def test_import_brings_nothing_heavy() -> None:
    heavy = ("numpy", "numba", "scipy", "pydantic", "pandas", "matplotlib", "dss_python_backend")
    assert run(f"import sys, g2g_opt; print([name for name in {heavy} if name in sys.modules])") == "[]"


def test_functions_are_meant_whatever_was_imported_before() -> None:
    # The modules have other names than the functions: a module would take the function's place in its package.
    script = "import g2g_opt.simulation, g2g_opt.evaluation; from g2g_opt import evaluate, simulate; print({}, {})"
    assert run(script.format("simulate.__name__", "evaluate.__name__")) == "simulate evaluate"


@pytest.mark.parametrize("old", sorted(MOVED))
def test_a_moved_module_works_and_warns_where_it_is_imported(old: str) -> None:
    name = old.rpartition(".")[2]
    script = f"""
import warnings
with warnings.catch_warnings(record=True) as heard:
    warnings.simplefilter("always")
    from {old} import {name}
from {MOVED[old]} import {name} as now
import g2g_opt
assert {name} is now
(warning,) = heard
assert warning.category is DeprecationWarning and warning.filename == "<string>", (warning.filename, warning.message)
try:
    g2g_opt.{name}()
except TypeError as error:
    assert "{name}() missing" in str(error), error
print(warning.message)
"""
    said = run(script)
    assert said.startswith(f"{old} is now {MOVED[old]}; the old name goes with g2g-opt")


def test_nobody_of_ours_uses_a_moved_name() -> None:
    users = []
    for folder in ("g2g_opt", "studies", "solvers", "tests", "benchmarks", "examples"):
        for path in (ROOT / folder).rglob("*.py"):
            text = path.read_text(encoding="utf-8")
            users += [f"{path.relative_to(ROOT)}: {old}" for old in MOVED if f"from {old} import" in text]
    assert users == []


def says_its_unit(name: str, docstring: str) -> bool:
    """Whether a figure's name ends in a unit or says what it is per, or else the docstring speaks of it."""
    by_name = name.rpartition("_")[2] in UNITS or "_per_" in name
    return by_name or re.search(rf"\b{name}\b", docstring) is not None


def figures(found: object) -> list[tuple[str, str]]:
    """Every figure that a script gives to a public name or reads of it, with the docstring that would speak of it."""
    doc = inspect.getdoc(found) or ""
    parts: list[tuple[str, str]] = []
    if inspect.isclass(found):
        own = [base for base in found.__mro__ if base.__module__.startswith("g2g_opt")]
        fields = [pair for base in own for pair in inspect.get_annotations(base).items()]
        parts += [(name, doc) for name, kind in fields if "float" in str(kind).lower() and not name.startswith("_")]
        callables = [m for name, m in inspect.getmembers(found, inspect.isfunction) if not name.startswith("_")]
    else:
        callables = [found] if inspect.isfunction(found) else []
    for function in callables:
        for parameter in inspect.signature(function).parameters.values():
            if "float" in str(parameter.annotation).lower():
                parts.append((parameter.name, doc + (inspect.getdoc(function) or "")))
    return parts


@pytest.mark.parametrize("name", SURFACE)
def test_every_figure_says_its_unit_or_what_it_is(name: str) -> None:
    assert [figure for figure, doc in figures(getattr(g2g_opt, name)) if not says_its_unit(figure, doc)] == []


def test_a_figure_without_a_unit_is_noticed() -> None:
    def grow(size_kw: float, by: float) -> None:
        """Grows a plant to `size_kw`."""

    assert [name for name, doc in figures(grow) if not says_its_unit(name, doc)] == ["by"]
