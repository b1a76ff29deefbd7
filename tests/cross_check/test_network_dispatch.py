"""Dispatch of case files against PYPOWER's DC optimal power flow, and by hand where it has no answer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from network_cases import PUBLISHED, RING, dispatched, published, reference_cost, ring, tables_of, written
from numpy.typing import NDArray

from g2g_opt.errors import InputError
from g2g_opt.transmission.case_system import system_of_case
from g2g_opt.transmission.network_case import load_network_case
from solvers.dispatch import blocks
from solvers.dispatch.solve import solve_dispatch
from studies.coordination_policy.network import load_network
from studies.coordination_policy.question import CoordinationQuestion
from studies.coordination_policy.setting import dispatch_of

Floats = NDArray[np.float64]


@pytest.fixture(params=["by transfer factors", "by angles"])
def form(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(blocks, "ZONES_BY_FACTORS", 10**6 if request.param == "by transfer factors" else 0)
    return str(request.param)


@pytest.mark.parametrize("name", [name for name in PUBLISHED if name != "case4gs"])
def test_a_published_case_costs_what_pypower_finds(name: str, form: str, tmp_path: Path) -> None:
    """Constant, piecewise linear and square costs, angle limits, phase shifters and a negative reactance (case300)."""
    tables = published(name)
    _, found, _ = dispatched(written(tmp_path, tables))
    assert found.solved.all()
    expected = reference_cost(tables)
    if np.isnan(expected):
        # The load is above what generators give: it is shed here, and has no solution there.
        assert found.shed_mw.sum() > 1.0
        return
    assert found.cost_usd[0] == pytest.approx(expected, rel=1e-6)
    assert found.shed_mw.sum() == pytest.approx(0.0, abs=1e-3)


LIMIT_60 = [line.replace(" 150 ", " 60 ") for line in RING["branch"]]
CAPACITOR = [RING["branch"][0].replace("0.2", "0.4"), "2 3 0.01 -0.1 0 150 0 0 0 0 1", RING["branch"][2]]
GENCOST = np.array([[2.0, 0, 0, 2, 20, 0], [2, 0, 0, 2, 50, 0]])


@pytest.mark.parametrize(
    ("rows", "cost", "power"),
    [
        # 7 degrees over 0.2 pu are 61.09 MW, on 1-2 as on 1-3, of which 1-3 has the rest of what bus 1 gives.
        ({"branch": [line.replace("-360 360", "-7 7") for line in RING["branch"]]}, None, None),
        # A shift of 2 degrees drives 5.8 MW around the ring.
        ({"branch": [*RING["branch"][:2], "1 3 0.01 0.2 0 150 0 0 1 2 1 -360 360"]}, 4400.0, (220.0, 0.0)),
        ({"branch": [*LIMIT_60[:2], "1 3 0.01 0.2 0 60 0 0 1 5 1 -360 360"]}, None, None),
        # A shift and an angle limit of one branch, which counts from the end to the end.
        ({"branch": [*RING["branch"][:2], "1 3 0.01 0.2 0 150 0 0 1 4 1 -5 5"]}, None, None),
        ({"branch": [CAPACITOR[0], CAPACITOR[1] + " -360 360", CAPACITOR[2]]}, 4700.0, (210.0, 10.0)),
        # The limit of an angle over a negative reactance turns the limit of the flow round.
        ({"branch": [CAPACITOR[0], CAPACITOR[1] + " -3 4", CAPACITOR[2]]}, None, None),
        # Two like branches in parallel, one with a tap.
        ({"branch": [*LIMIT_60, "1 3 0.01 0.2 0 60 0 0 0.95 0 1 -360 360"]}, None, None),
    ],
)  # fmt: skip
def test_what_a_branch_may_be_is_dispatched(
    rows: dict[str, list[str]], cost: float | None, power: tuple[float, ...] | None, form: str, tmp_path: Path
) -> None:
    case = ring(tmp_path, **rows)
    dispatch, found, units = dispatched(case)
    assert found.cost_usd[0] == pytest.approx(reference_cost(tables_of(case, GENCOST)), rel=1e-6)
    if cost is not None:
        assert found.cost_usd[0] == pytest.approx(cost, rel=1e-6)
        assert units == pytest.approx(power, abs=1e-3)
    lines = dispatch.lines
    assert (found.flow_mw[0] <= lines.flow_max_mw + 1e-3).all()
    assert (found.flow_mw[0] >= lines.flow_min_mw - 1e-3).all()
    net = units @ np.eye(3)[[0, 2]] - [0.0, 120.0, 100.0]
    assert found.flow_mw[0] @ lines.incidence.toarray() == pytest.approx(net, abs=1e-3)


@pytest.mark.parametrize(
    ("gencost", "cost", "power"),
    [
        # Pieces at 20 and 25, and at 50 and 55 $/MWh: 60 MW from bus 1, which lines limit.
        (["1 0 0 3 0 0 100 2000 300 7000", "1 0 0 3 0 0 100 5000 300 16000"], 9500.0, (60.0, 160.0)),
        (["2 0 0 2 20 4000 0 0 0 0", "2 0 0 2 50 4000 0 0 0 0"], 17200.0, (60.0, 160.0)),
        # A polynomial and pieces, the last of which reaches beyond its points: 100 * 50 + 60 * 55.
        (["2 0 0 3 0.01 20 100 0 0 0", "1 0 0 3 0 0 100 5000 120 6100"], 36 + 1200 + 100 + 8300, (60.0, 160.0)),
        # The least cost is paid at the first point, which is not at 0 MW.
        (["2 0 0 1 7 0 0 0", "1 0 0 2 100 300 200 1300"], 7 + 900, (60.0, 160.0)),
    ],
)
def test_costs_are_those_of_their_pieces_and_constants(
    gencost: list[str], cost: float, power: tuple[float, ...], form: str, tmp_path: Path
) -> None:
    case = ring(tmp_path, branch=LIMIT_60, gencost=gencost)
    _, found, units = dispatched(case)
    assert found.cost_usd[0] == pytest.approx(cost, rel=1e-6)
    assert units == pytest.approx(power, abs=1e-3)


def test_a_dc_line_carries_what_it_is_scheduled_for(form: str, tmp_path: Path) -> None:
    """50 MW leave bus 1, 47.5 reach bus 3: 2 MW and 1 % are lost."""
    line = "mpc.dcline = [ 1 3 1 50 0 -3 4 1 1 0 80 0 0 0 0 2 0.01; 1 2 0 99 99 0 0 1 1 99 99 0 0 0 0 0 0 ];"
    case = ring(tmp_path, line, branch=LIMIT_60)
    assert case.dc_drawn_mw.tolist() == pytest.approx([50.0, 0.0, -47.5])
    assert case.dc_drawn_mvar.tolist() == pytest.approx([3.0, 0.0, -4.0])
    assert "1 DC line(s) carry the power they are scheduled for" in case.notes[0]
    _, found, units = dispatched(case)
    assert found.cost_usd[0] == pytest.approx(reference_cost(tables_of(case, GENCOST)), rel=1e-6)
    assert units.sum() == pytest.approx(222.5, abs=1e-3)


def test_a_dc_line_that_carries_the_other_way_loses_what_the_format_says(form: str, tmp_path: Path) -> None:
    """20 MW reach bus 1: bus 3 gives 20.8 of them, as the loss is 1 + 0.01 (-20) MW in the format's words."""
    case = ring(tmp_path, "mpc.dcline = [1 3 1 -20 -20.8 0 0 1 1 -30 0 0 0 0 0 1 0.01];", branch=LIMIT_60)
    assert case.dc_drawn_mw.tolist() == pytest.approx([-20.0, 0.0, 20.8])
    _, found, units = dispatched(case)
    expected = reference_cost(tables_of(case, GENCOST))
    assert found.cost_usd[0] == pytest.approx(expected, rel=1e-6)
    assert units.sum() == pytest.approx(220.8, abs=1e-3)


def test_a_branch_without_reactance_gives_its_ends_one_angle(form: str, tmp_path: Path) -> None:
    """A bar from bus 3 to bus 4, where the second generator stands: as if it stood at bus 3."""
    bar = "3 4 0 0 0 {} 0 0 0 0 1 -360 360"
    more = {
        "bus": [*RING["bus"], "4 2 0 0 0 0 1 1 0 230 1 1.1 0.9"],
        "gen": [RING["gen"][0], RING["gen"][1].replace("3 0", "4 0", 1)],
    }
    _, plain, _ = dispatched(ring(tmp_path, branch=LIMIT_60))
    _, found, units = dispatched(ring(tmp_path, branch=[*LIMIT_60, bar.format(0)], **more))
    assert found.cost_usd[0] == pytest.approx(plain.cost_usd[0], rel=1e-6)
    assert found.flow_mw[0, 3] == pytest.approx(-units[1], abs=1e-3)
    assert found.price_usd_per_mwh[0, 3] == pytest.approx(found.price_usd_per_mwh[0, 2], abs=1e-2)
    # The bar carries 150 MW at most. Bus 1 gives the rest, until 1-2 is full: (2 (120 - shed) - 50) / 3 = 60.
    _, found, units = dispatched(ring(tmp_path, branch=[*LIMIT_60, bar.format(150)], **more))
    assert units[1] == pytest.approx(150.0, abs=1e-3)
    assert found.shed_mw.sum() == pytest.approx(5.0, abs=1e-3)


def test_prices_are_what_one_more_mw_costs(form: str, tmp_path: Path) -> None:
    limit_59 = [line.replace(" 60 ", " 59 ") for line in LIMIT_60]
    case = ring(tmp_path, branch=limit_59, gencost=["2 0 0 3 0.01 20 0", "2 0 0 3 0.01 50 0"])
    dispatch, found, _ = dispatched(case)
    load = np.tile(case.demand_mw, (7, 1))
    load[1:4] += 0.5 * np.eye(3)
    load[4:] -= 0.5 * np.eye(3)
    cost = solve_dispatch(dispatch, load, np.zeros_like(load)).cost_usd
    assert found.price_usd_per_mwh[0] == pytest.approx(cost[1:4] - cost[4:], abs=0.02)


def test_a_feeder_of_a_few_mw_is_dispatched_as_sharply(form: str, tmp_path: Path) -> None:
    rows = {
        "bus": ["1 3 0 0 0 0 1 1 0 10 1 1.05 0.95", "2 1 900 300 0 0 1 1 0 10 1 1.05 0.95"],
        "gen": ["1 0 0 5 -5 1 10 1 10 0"],
        "branch": ["1 2 0.004 0.003 0 0 0 0 0 0 1 -360 360"],
        "gencost": ["2 0 0 2 40 0"],
    }
    _, found, _ = dispatched(ring(tmp_path, "mpc.bus(:, [3 4]) = mpc.bus(:, [3 4]) / 1e3;", **rows))
    assert found.cost_usd[0] == pytest.approx(36.0, rel=1e-6)


def test_a_reference_bus_without_a_generator_is_dispatched(tmp_path: Path) -> None:
    bus = [RING["bus"][0].replace("1 3", "1 2", 1), RING["bus"][1].replace("2 1", "2 3", 1), RING["bus"][2]]
    _, found, _ = dispatched(ring(tmp_path, bus=bus))
    assert found.cost_usd[0] == pytest.approx(4400.0, rel=1e-6)


def test_what_is_isolated_is_left_out_and_said(tmp_path: Path) -> None:
    bus = [*RING["bus"], "7 4 50 0 0 0 1 1 0 230 1 1.1 0.9", "8 1 0 0 0 0 1 1 0 230 1 1.1 0.9"]
    branch = [*RING["branch"], "3 7 0.01 0.2 0 60 0 0 0 0 1 -360 360", "3 8 0.01 0.2 0 60 0 0 0 0 0 -360 360"]
    case = ring(tmp_path, bus=bus, branch=branch)
    assert (len(case.bus), len(case.branch)) == (3, 3)
    assert case.notes == (
        "bus 7 is isolated (type 4): left out, with 50 MW of load and what is there",
        "bus 8 is connected to nothing, with no load and no generator: left out",
    )


def test_parts_that_are_not_connected_are_refused_by_their_buses(tmp_path: Path) -> None:
    bus = [*RING["bus"], "8 1 5 0 0 0 1 1 0 230 1 1.1 0.9"]
    with pytest.raises(InputError, match=r"not all connected: bus 8 is apart"):
        ring(tmp_path, bus=bus)
    with pytest.raises(InputError, match=r"buses 1, 2 are references"):
        ring(tmp_path, bus=[RING["bus"][0], RING["bus"][1].replace("2 1", "2 3", 1), RING["bus"][2]])


def test_lines_that_determine_no_flow_or_ask_for_too_much_are_refused(tmp_path: Path) -> None:
    bars = ["1 3 0 0 0 60 0 0 0 0 1 -360 360"] * 2
    case = ring(tmp_path, branch=[*LIMIT_60, *bars])
    with pytest.raises(InputError, match="without reactance form a loop"):
        dispatch_of(system_of_case(case, np.array([1])), "physical")
    case = ring(tmp_path, branch=[*LIMIT_60[:2], "1 3 0 -0.4 0 60 0 0 0 0 1 -360 360"])
    with pytest.raises(InputError, match="cancel out"):
        dispatch_of(system_of_case(case, np.array([1])), "physical")
    case = ring(tmp_path, branch=[LIMIT_60[0].replace("-360 360", "20 30"), *LIMIT_60[1:]])
    with pytest.raises(InputError, match=r"line 1-2: the angle .* beyond 60 MW, 100 % of its rating"):
        dispatch_of(system_of_case(case, np.array([1])), "physical")


def test_injections_do_not_follow_the_demand(tmp_path: Path) -> None:
    """A load of -40 MW is a wind farm or a small station, a shunt of 7 MW a loss: no demand."""
    bus = [RING["bus"][0].replace("1 3 0 0 0 0", "1 3 -40 -5 7 0"), *RING["bus"][1:]]
    line = "mpc.dcline = [ 2 3 1 10 0 0 0 1 1 10 10 0 0 0 0 0 0 ];"
    ring(tmp_path, line, bus=bus)
    network = load_network(CoordinationQuestion(network=str(tmp_path / "ring.m")))
    assert network.records.load_mw[:, 0] == pytest.approx(np.full(546, -33.0))
    assert network.load_mw[:, 0] == pytest.approx(np.full(546, -40.0))
    assert network.load_mvar[:, 0] == pytest.approx(np.full(546, -5.0))
    assert network.load_mw[:, 1].max() == pytest.approx(130.0)
    assert network.load_mw[:, 2].max() == pytest.approx(90.0)
    assert np.ptp(network.load_mw[:, 1]) > 10.0
    assert network.system.peak_load_mw.tolist() == [0.0, 120.0, 100.0]


def test_power_that_costs_more_than_shed_load_used_to_is_generated(tmp_path: Path) -> None:
    """Load is shed at ten times the dearest power, at 1,000 $/MWh at least."""
    case = ring(
        tmp_path,
        gen=[line.replace("1 300 0", "1 120 0") for line in RING["gen"]],
        gencost=["2 0 0 2 20 0", "2 0 0 2 2500 0"],
    )
    _, found, units = dispatched(case)
    assert found.shed_mw.sum() == pytest.approx(0.0, abs=1e-3)
    assert units == pytest.approx([120.0, 100.0], abs=1e-2)


def test_the_bundled_case_is_dispatched_with_its_constant_costs(form: str) -> None:
    case = load_network_case("ieee24")
    _, found, _ = dispatched(case)
    tables = published("case24_ieee_rts")
    assert found.cost_usd[0] == pytest.approx(reference_cost(tables), rel=1e-6)
