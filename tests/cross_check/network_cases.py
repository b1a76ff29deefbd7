"""Networks as case files: PYPOWER's published ones written out, and a small one whose rows tests change."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pypower.api
from numpy.typing import NDArray
from pypower.api import ppoption, rundcopf

from g2g_opt.transmission.case_system import system_of_case
from g2g_opt.transmission.network_case import NetworkCase, load_network_case
from solvers.dispatch.blocks import DispatchSystem
from solvers.dispatch.solve import DispatchSolution, solve_dispatch
from studies.coordination_policy.setting import dispatch_of

Floats = NDArray[np.float64]

PUBLISHED = (
    "case4gs", "case6ww", "case9", "case9Q", "case9target", "case14", "case24_ieee_rts", "case30", "case30Q",
    "case30pwl", "case39", "case57", "case118", "case300",
)  # fmt: skip
# Sharper than the default, so that costs can be compared to 1e-6.
OPTIONS = ppoption(VERBOSE=0, OUT_ALL=0, PDIPM_FEASTOL=1e-9, PDIPM_GRADTOL=1e-9, PDIPM_COMPTOL=1e-9, PDIPM_COSTTOL=1e-9)

LOOSE = ppoption(VERBOSE=0, OUT_ALL=0)

# Three buses in a ring, 220 MW of load, a generator at 20 $/MWh and one at 50.
RING: dict[str, list[str]] = {
    "bus": [
        "1 3 0 0 0 0 1 1 0 230 1 1.1 0.9",
        "2 1 120 30 0 0 1 1 0 230 1 1.1 0.9",
        "3 2 100 25 0 0 1 1 0 230 1 1.1 0.9",
    ],
    "gen": ["1 0 0 200 -200 1 100 1 300 0", "3 0 0 200 -200 1 100 1 300 0"],
    "branch": [
        "1 2 0.01 0.2 0 150 0 0 0 0 1 -360 360",
        "2 3 0.01 0.2 0 150 0 0 0 0 1 -360 360",
        "1 3 0.01 0.2 0 150 0 0 0 0 1 -360 360",
    ],
    "gencost": ["2 0 0 2 20 0", "2 0 0 2 50 0"],
}


def ring(folder: Path, more: str = "", **rows: list[str]) -> NetworkCase:
    """`RING` with other rows in some tables, and statements that follow."""
    text = "function mpc = ring\nmpc.version = '2';\nmpc.baseMVA = 100;\n"
    for name, lines in (RING | rows).items():
        text += f"mpc.{name} = [\n" + "".join(f"\t{line};\n" for line in lines) + "];\n"
    (folder / "ring.m").write_text(text + more + "\n", encoding="utf-8")
    return load_network_case(str(folder / "ring.m"))


def published(name: str) -> dict[str, Any]:
    """Tables of a published case as PYPOWER ships it."""
    return dict(getattr(pypower.api, name)())


def write_case(path: Path, tables: dict[str, Any]) -> Path:
    """Such tables as a case file, and where it is."""
    text = f"function mpc = c\nmpc.version = '2';\nmpc.baseMVA = {tables['baseMVA']};\n"
    for name in (name for name in ("bus", "gen", "branch", "gencost") if name in tables):
        rows = ("\t".join(f"{value:.17g}" for value in row) for row in np.asarray(tables[name]))
        text += f"mpc.{name} = [\n" + "".join(f"\t{row};\n" for row in rows) + "];\n"
    path.write_text(text, encoding="utf-8")
    return path


def written(folder: Path, tables: dict[str, Any]) -> NetworkCase:
    """Such tables, as a case file that is read."""
    return load_network_case(str(write_case(folder / "c.m", tables)))


def dispatched(case: NetworkCase) -> tuple[DispatchSystem, DispatchSolution, Floats]:
    """The dispatch of a case at its own loads and full ratings, and the power of its units (unit,)."""
    system = system_of_case(case, case.largest_loads[:1])
    dispatch = dispatch_of(system, "physical")
    load = (case.demand_mw + case.fixed_mw)[None]
    found = solve_dispatch(dispatch, load, np.zeros_like(load))
    return dispatch, found, system.by_unit_mw(found.power_mw)[0]


def reference_cost(tables: dict[str, Any]) -> float:
    """What PYPOWER's DC optimal power flow costs ($/h); NaN if it has none."""
    found = rundcopf({name: np.copy(value) for name, value in tables.items()} | {"version": "2"}, OPTIONS)
    if not found["success"]:
        found = rundcopf({name: np.copy(value) for name, value in tables.items()} | {"version": "2"}, LOOSE)
    return float(found["f"]) if found["success"] else float("nan")


def tables_of(case: NetworkCase, gencost: Floats) -> dict[str, Any]:
    """A case without DC lines as PYPOWER takes it: what they draw is load."""
    bus, gen, branch = case.bus[:, :13].copy(), np.zeros((len(case.gen), 21)), np.zeros((len(case.branch), 13))
    bus[:, 2] += case.dc_drawn_mw
    gen[:, :10] = case.gen[:, :10]
    branch[:, 11:] = -360.0, 360.0
    branch[:, : case.branch.shape[1]] = case.branch[:, :13]
    return {"baseMVA": case.base_mva, "bus": bus, "gen": gen, "branch": branch, "gencost": gencost}
