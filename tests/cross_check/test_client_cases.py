"""Cases of clients: their feeders against an independent power flow, and figures that everybody should find again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pypower.api import ppoption, runpf

from g2g_opt.allocation.client_grid import ClientGrid
from g2g_opt.allocation.clients import ClientCase, load_client_case
from g2g_opt.data_files import data_path, read_table
from studies.communication.client_runs import ClientStudy
from studies.communication.question import CommunicationQuestion


def positive_sequence(folder: Path, case: ClientCase, drawn_kva: np.ndarray) -> dict[str, float]:
    """Voltages (pu) by bus, by PYPOWER from the tables alone: a line a branch, a transformer its short circuit."""
    base_mva = 1.0
    names = [row["name"] for row in read_table(folder / "buses.csv")]
    kv = {row["name"]: float(row["kv_ll"]) for row in read_table(folder / "buses.csv")}
    (source,) = read_table(folder / "vsources.csv")
    place = {name: k for k, name in enumerate(names)}
    bus = np.array([[k, 1, 0, 0, 0, 0, 1, 1, 0, kv[name], 1, 1.2, 0.8] for k, name in enumerate(names)], dtype=float)
    bus[place[source["bus1"]], 1] = 3
    for at, power in zip(case.buses, drawn_kva, strict=True):
        bus[place[at], 2:4] += power.real / 1e3, power.imag / 1e3
    codes = {row["name"]: row for row in read_table(folder / "linecodes.csv") if (row["i"], row["j"]) == ("1", "1")}
    branches = []
    for row in read_table(folder / "lines.csv"):
        ends = [name.split(".")[0] for name in (row["bus1"], row["bus2"])]
        of_length = codes.get(row["linecode"], {"r": row["r1"], "x": row["x1"], "c_nf": "0"})
        length, z_base = float(row["length"]), kv[ends[0]] ** 2 / base_mva
        r, x = (float(of_length[name]) * length / z_base for name in ("r", "x"))
        b = 2 * np.pi * 50 * float(of_length["c_nf"]) * 1e-9 * length * z_base
        branches.append([place[ends[0]], place[ends[1]], r, x, b, 0, 0, 0, 0, 0, 1, -360, 360])
    windings = read_table(folder / "transformers.csv") if (folder / "transformers.csv").exists() else []
    for high, low in zip(windings[::2], windings[1::2], strict=True):
        per_mva = base_mva / (float(high["kva"]) / 1e3)
        r, x = (float(high[name]) / 100.0 * per_mva for name in ("%loadloss", "xhl"))
        branches.append([place[high["bus"]], place[low["bus"]], r, x, 0, 0, 0, 0, 0, 0, 1, -360, 360])
    slack = [place[source["bus1"]], 0, 0, 99, -99, float(source["pu"]), 1, 1, 99, -99] + [0] * 11
    tables = {"version": "2", "baseMVA": base_mva, "bus": bus, "gen": np.array([slack]), "branch": np.array(branches)}
    found, solved = runpf(tables, ppoption(VERBOSE=0, OUT_ALL=0, PF_TOL=1e-8))
    assert solved
    return dict(zip(names, found["bus"][:, 7].tolist(), strict=True))


@pytest.mark.parametrize("name", ["cigre-lv", "five-clients"])
def test_power_flows_are_those_of_another_program(name: str) -> None:
    case = load_client_case(name)
    grid = ClientGrid(case)
    folder = data_path("feeders", case.feeder.name)
    for row in (0, 60, int(case.available_kw.sum(axis=1).argmax())):
        drawn = case.load_kva[row] - case.available_kw[row]
        other = positive_sequence(folder, case, drawn)
        own = dict(zip(grid.buses, grid.voltage_pu(drawn).tolist(), strict=True))
        assert own.keys() == other.keys()
        assert max(abs(own[bus] - other[bus]) for bus in own) < 1e-4


def test_the_figures_of_cigre_lv_without_control_and_with_perfect_knowledge() -> None:
    study = ClientStudy(CommunicationQuestion(case="cigre-lv"))
    assert len(study.grid.buses) == 44
    assert study.case.curve_sum_kw == pytest.approx(35_970.02, abs=0.005)
    alone = study.no_control()
    assert alone.violation_share == pytest.approx(0.095, abs=0.001)
    assert alone.violation_time_share == pytest.approx(0.362, abs=0.001)
    assert alone.highest_pu == pytest.approx(1.0911, abs=1e-4)
    assert alone.lost_share == pytest.approx(0.0, abs=1e-12)
    assert study.ideal_lost_share() == pytest.approx(0.078, abs=0.002)
    assert study.excess_max_pu < 1e-7
