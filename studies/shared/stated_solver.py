"""The solver of a question's program: our own matrices in HiGHS, or the program's Pyomo statement by any solver."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Annotated, Any

from g2g_opt.errors import InputError
from g2g_opt.flag import Flag
from solvers.outcome import SolverError

Solve = Callable[..., Any]

MATRICES = "highs"
_PREFIX = "pyomo:"
# Brings solvers and modelling tools that only statements need.
EXTRA = "pip install 'g2g-opt[statements]'"

SolverName = Annotated[
    str,
    Flag(
        "--solver",
        "highs: matrices of our own; pyomo:highs, pyomo:scip, ...: the program as it is stated (docs/statements.md)",
        metavar="NAME",
    ),
]


def pyomo_solver(name: str) -> str | None:
    """The solver that Pyomo is to ask; None for our own matrices. `InputError` for anything else."""
    if name == MATRICES:
        return None
    asked = name.removeprefix(_PREFIX)
    if not name.startswith(_PREFIX) or not asked:
        raise InputError(f"solver must be {MATRICES}, or {_PREFIX}NAME as in {_PREFIX}scip, got {name!r}")
    return asked


def solver_of(name: str, matrices: Solve, module: str, statement: str) -> Solve:
    """What solves a program by the solver of a question: `matrices` of our own, or the same promise by its statement.

    `statement` is the function of a `module` that takes the solver's name after the program.
    """
    solver = pyomo_solver(name)
    if solver is None:
        return matrices
    # Pyomo takes half a second to import, which others need not wait for.
    stated: Solve = getattr(import_module(module), statement)
    return lambda problem, **asked: stated(problem, solver, **asked)


def check_solver_is_installed(name: str) -> None:
    """Raise `InputError`, with what is installed and how to install more, if a question's solver cannot be asked."""
    asked = pyomo_solver(name)
    if asked is None:
        return
    # Pyomo takes half a second to import.
    from solvers.pyomo_solvers import check_solver

    try:
        check_solver(asked)
    except SolverError as error:
        raise InputError(f"solver {name}: {error}") from error


def check_cvxpy_is_installed() -> None:
    """Raise `InputError`, with how to install it, if there is no CVXPY for statements."""
    if find_spec("cvxpy") is None:
        raise InputError(f"the statement in CVXPY needs the extra `statements`, which is not installed: {EXTRA}")
