"""AC power flows of published networks, intact and after outages, against PYPOWER's of the same dispatch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from network_cases import published, ring, written
from numpy.typing import NDArray
from pypower_power_flow import reference_power_flow

from g2g_opt.transmission.ac_network import AcNetwork
from g2g_opt.transmission.ac_power_flow import AcPowerFlow
from g2g_opt.transmission.network_case import GEN_MW, LOAD_MVAR, LOAD_MW, RATING, NetworkCase

Floats = NDArray[np.float64]

PUBLISHED = ("case9", "case14", "case24_ieee_rts", "case30", "case39", "case57", "case118", "case300")
VOLTAGE_PU = 1e-8


def drawn(case: NetworkCase, rng: np.random.Generator) -> tuple[Floats, Floats, Floats]:
    """Loads of 70 to 100 % of the file's, each by itself, and as much less of what its generators give, in part."""
    share = rng.uniform(0.7, 1.0, len(case.bus))
    load = share * case.bus[:, LOAD_MW]
    power = rng.uniform(0.9, 1.0, len(case.gen)) * case.gen[:, GEN_MW]
    return power * load.sum() / power.sum(), load, share * case.bus[:, LOAD_MVAR]


def assert_same(own: AcPowerFlow, other: AcPowerFlow) -> None:
    assert own.converged == other.converged
    if not own.converged:
        return
    np.testing.assert_allclose(own.voltage_pu, other.voltage_pu, rtol=0.0, atol=VOLTAGE_PU)
    np.testing.assert_allclose(own.phasor_pu, other.phasor_pu, rtol=0.0, atol=VOLTAGE_PU)
    np.testing.assert_allclose(own.power_mw, other.power_mw, rtol=0.0, atol=1e-5)
    np.testing.assert_allclose(own.loading, other.loading, rtol=1e-6, atol=1e-8)
    assert own.loss_mw == pytest.approx(other.loss_mw, abs=1e-5)
    assert own.excess_mw == pytest.approx(other.excess_mw, abs=1e-5)
    assert own.broken == other.broken


@pytest.mark.parametrize("name", PUBLISHED)
def test_one_network_again_and_again_is_pypowers_from_the_beginning(name: str, tmp_path: Path) -> None:
    """Some of them run out of reactive power, at other buses each: what one left behind must not be the next one's."""
    case = written(tmp_path, published(name))
    network, rng = AcNetwork(case), np.random.default_rng(7)
    asked = [drawn(case, rng) for _ in range(4)]
    # One that has no solution lies between two that have.
    power, load, reactive = asked[1]
    asked.insert(2, (power, 8.0 * load, 8.0 * reactive))
    found = [network.solve(*one) for one in asked]
    assert [one.converged for one in found].count(True) >= 3
    for one, own in zip(asked, found, strict=True):
        assert_same(own, reference_power_flow(case, *one))
    np.testing.assert_array_equal(network.solve(*asked[0]).phasor_pu, found[0].phasor_pu)


@pytest.mark.parametrize("name", ["case9", "case24_ieee_rts", "case39"])
def test_an_outage_is_the_power_flow_of_the_network_without_the_branch(name: str, tmp_path: Path) -> None:
    case = written(tmp_path, published(name))
    network = AcNetwork(case)
    power, load, reactive = drawn(case, np.random.default_rng(3))
    before = network.solve(power, load, reactive)
    assert before.converged
    for branch in network.outages:
        rest = replace(case, branch=np.delete(case.branch, branch, axis=0))
        rest.branch[:, RATING] = np.delete(case.emergency_rating_mva, branch)
        own = network.solve_outage(before, load, reactive, int(branch))
        other = reference_power_flow(rest, before.power_mw, load, reactive)
        assert np.isnan(own.loading[branch])
        assert_same(replace(own, loading=np.delete(own.loading, branch)), other)


def test_a_branch_that_nothing_replaces_is_no_outage_that_is_assessed(tmp_path: Path) -> None:
    """Bus 4 hangs on one line, buses 1 and 2 on two in parallel."""
    case = ring(
        tmp_path,
        bus=[
            "1 3 0 0 0 0 1 1 0 230 1 1.1 0.9",
            "2 1 120 30 0 0 1 1 0 230 1 1.1 0.9",
            "4 1 10 2 0 0 1 1 0 230 1 1.1 0.9",
        ],
        gen=["1 0 0 200 -200 1 100 1 300 0"],
        gencost=["2 0 0 2 20 0"],
        branch=[
            "1 2 0.01 0.2 0 150 160 170 0 0 1 -360 360",
            "2 4 0.01 0.2 0 150 0 0 0 0 1 -360 360",
            "1 2 0.01 0.2 0 150 0 0 0 0 1 -360 360",
        ],
    )
    network = AcNetwork(case)
    assert network.outages.tolist() == [0, 2]
    # What is stated for emergencies, else the rating.
    assert case.emergency_rating_mva.tolist() == [170.0, 150.0, 150.0]
    load, reactive = case.bus[:, LOAD_MW], case.bus[:, LOAD_MVAR]
    before = network.solve(np.array([130.0]), load, reactive)
    after = network.solve_outage(before, load, reactive, 2)
    # All of it goes through the twin, with what both lines in use take: X is 20 R.
    sent, sent_mvar = 130.0 + after.loss_mw, 32.0 + 20.0 * after.loss_mw
    assert after.power_mw.sum() == pytest.approx(sent, abs=0.02)
    assert after.loading[0] == pytest.approx(np.hypot(sent, sent_mvar) / 170.0, rel=1e-3)
    assert after.loss_mw > 1.5 * before.loss_mw
