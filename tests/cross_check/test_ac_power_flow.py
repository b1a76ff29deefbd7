"""AC power flows of a network case against hand figures, and the AC check of coordination on a whole study."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pypower.api import case24_ieee_rts, ext2int, makePTDF, ppoption, runpf

from g2g_opt.errors import InputError
from g2g_opt.transmission.ac_network import AcNetwork
from g2g_opt.transmission.ac_power_flow import AcPowerFlow
from g2g_opt.transmission.case_system import system_of_case
from g2g_opt.transmission.network_case import (
    BRANCH_STATUS,
    BUNDLED_CASE,
    LOAD_MVAR,
    LOAD_MW,
    NetworkCase,
    load_network_case,
)
from studies.coordination_policy.ac_check import Operated, check_ac
from studies.coordination_policy.network import CaseNetwork, load_network
from studies.coordination_policy.peak_hour import make_case
from studies.coordination_policy.question import CoordinationQuestion
from studies.coordination_policy.rows import OfDraw
from studies.coordination_policy.setting import dispatch_of
from studies.coordination_policy.study import CoordinationStudy
from studies.shared.task import Task

# A reference, a line of 0.01 + 0.1j pu rated 130 MVA, and a load; a generator without limits that matter.
TWO_BUSES = """function mpc = two
mpc.version = '2';
mpc.baseMVA = 100;
mpc.bus = [
  10 3 0 0 0 0 1 1 0 230 1 1.05 0.95;
  20 {kind} 120 30 0 0 1 1 0 230 1 1.05 {least};
];
mpc.gen = [
  10 0 0 300 -300 1 100 1 {most} 0;
{second}];
mpc.branch = [
  10 20 0.01 0.1 0 140 0 0 0 0 1 -360 360;
];
mpc.gencost = [
  2 0 0 3 0 20 0;
{cost}];
"""


def two_buses(folder: Path, most: float = 300.0, least: float = 0.9, mvar_max: float | None = None) -> NetworkCase:
    """The case; with `mvar_max`, a condenser of so many Mvar holds 1 pu at the load."""
    holds = mvar_max is not None
    second = f"  20 0 0 {mvar_max} -{mvar_max} 1 100 1 0 0;\n" if holds else ""
    text = TWO_BUSES.format(
        kind=2 if holds else 1, most=most, least=least, second=second, cost="  2 0 0 3 0 0 0;\n" if holds else ""
    )
    (folder / "two.m").write_text(text, encoding="utf-8")
    return load_network_case(str(folder / "two.m"))


def solved(case: NetworkCase) -> AcPowerFlow:
    load = case.bus[:, LOAD_MW], case.bus[:, LOAD_MVAR]
    return AcNetwork(case).solve(np.append(120.0, np.zeros(len(case.gen) - 1)), *load)


def hand_voltage(p: float, q: float) -> float:
    """|V| behind 0.01 + 0.1j pu from 1 pu with load p + jq: the larger root of the line's quadratic in V^2."""
    b = 2.0 * (0.01 * p + 0.1 * q) - 1.0
    return float(np.sqrt((-b + np.sqrt(b * b - 4.0 * (0.01**2 + 0.1**2) * (p * p + q * q))) / 2.0))


def test_two_buses_by_hand(tmp_path: Path) -> None:
    found = solved(two_buses(tmp_path))
    voltage = hand_voltage(1.2, 0.3)
    current2 = (1.2**2 + 0.3**2) / voltage**2
    assert found.voltage_pu[1] == pytest.approx(voltage, abs=1e-8)
    assert found.loss_mw == pytest.approx(100.0 * 0.01 * current2, rel=1e-6)
    assert found.loading[0] == pytest.approx(100.0 * np.sqrt(current2) / 140.0, rel=1e-6)
    assert found.broken == ()


def test_a_case_that_was_saved_with_its_solution_is_read_too(tmp_path: Path) -> None:
    case = two_buses(tmp_path)
    saved = replace(case, gen=np.hstack([case.gen, np.ones((len(case.gen), 15))]))
    np.testing.assert_array_equal(solved(saved).voltage_pu, solved(case).voltage_pu)


def test_what_is_broken_is_named(tmp_path: Path) -> None:
    found = solved(two_buses(tmp_path, most=121.0, least=0.97))
    assert found.broken == ("voltage", "losses")
    assert found.outside_pu == pytest.approx(0.97 - hand_voltage(1.2, 0.3), abs=1e-8)
    assert found.excess_mw == pytest.approx(120.0 + found.loss_mw - 121.0, abs=1e-6)


def test_an_angle_across_a_branch_is_checked(tmp_path: Path) -> None:
    """V2 = V1 - z i: its angle by hand. DC dispatch keeps the same limit; losses and reactive power take it further."""
    case = two_buses(tmp_path)
    voltage = hand_voltage(1.2, 0.3)
    angle_deg = np.rad2deg(np.arcsin((0.1 * 1.2 - 0.01 * 0.3) / voltage))
    limit_deg = float(angle_deg) - 0.5
    branch = case.branch.copy()
    branch[0, 11:13] = -limit_deg, limit_deg
    found = solved(replace(case, branch=branch))
    assert found.broken == ("angle",)
    assert found.angle_outside_deg == pytest.approx(0.5, abs=1e-6)
    assert found.breaks_more_than(solved(case))
    branch[0, 11:13] = -30.0, 30.0
    assert solved(replace(case, branch=branch)).broken == ()
    assert solved(case).angle_outside_deg == -np.inf


def test_losses_are_given_by_all_generators_by_what_each_could_give_more(tmp_path: Path) -> None:
    """They were made good at the reference bus alone, which broke its limits where others had room."""
    two_buses(tmp_path)
    text = (tmp_path / "two.m").read_text(encoding="utf-8")
    text = text.replace(
        "10 0 0 300 -300 1 100 1 300.0 0;", "10 0 0 300 -300 1 100 1 80 0;\n  20 0 0 9 -9 1 100 1 60 0;"
    )
    (tmp_path / "two.m").write_text(text.replace("0 20 0;", "0 20 0;\n  2 0 0 3 0 20 0;"), encoding="utf-8")
    case = load_network_case(str(tmp_path / "two.m"))
    load = case.bus[:, LOAD_MW], case.bus[:, LOAD_MVAR]
    # The reference bus is at its limit: the other generator gives the losses of the line.
    found = AcNetwork(case).solve(np.array([80.0, 40.0]), *load)
    assert found.converged
    assert found.excess_mw == 0.0
    assert "losses" not in found.broken
    # A line that carries 80 MW and what bus 20 lacks of reactive power loses 0.6 to 1 MW.
    assert 0.6 < found.loss_mw < 1.0
    # With both at their limits, nobody gives them.
    full = AcNetwork(case).solve(np.array([80.0, 60.0]), load[0] + [0.0, 20.0], load[1])
    assert full.excess_mw == pytest.approx(full.loss_mw, abs=0.02)
    assert "losses" in full.broken
    # What is too much is taken back, too: 5 MW less load than was dispatched.
    less = AcNetwork(case).solve(np.array([80.0, 40.0]), load[0] - [0.0, 5.0], load[1])
    assert less.excess_mw == 0.0


def test_a_reference_without_a_generator_gives_its_part_to_the_largest_unit(tmp_path: Path) -> None:
    case = two_buses(tmp_path)
    swapped = case.bus.copy()
    swapped[:, 1] = [2.0, 3.0]
    assert solved(replace(case, bus=swapped)).voltage_pu == pytest.approx(solved(case).voltage_pu, abs=1e-9)


def test_a_bar_without_impedance_is_solved(tmp_path: Path) -> None:
    two_buses(tmp_path)
    text = (tmp_path / "two.m").read_text(encoding="utf-8")
    text = text.replace("  20 1 120 30", "  30 1 0 0 0 0 1 1 0 230 1 1.05 0.9;\n  20 1 120 30")
    text = text.replace("  10 20 0.01", "  10 30 0 0 0 0 0 0 0 0 1 -360 360;\n  30 20 0.01")
    (tmp_path / "bar.m").write_text(text, encoding="utf-8")
    found = solved(load_network_case(str(tmp_path / "bar.m")))
    assert found.voltage_pu == pytest.approx([1.0, 1.0, hand_voltage(1.2, 0.3)], abs=1e-5)


def test_a_loading_that_has_no_rating_is_not_known(tmp_path: Path) -> None:
    """It was 0.000."""
    case = two_buses(tmp_path)
    branch = case.branch.copy()
    branch[:, 5] = 0.0
    found = solved(replace(case, branch=branch))
    assert np.isnan(found.loading).all()
    assert found.loading_max is None
    assert found.broken == ()


def test_a_condenser_holds_the_voltage_until_it_is_spent(tmp_path: Path) -> None:
    assert solved(two_buses(tmp_path, mvar_max=80.0)).voltage_pu[1] == pytest.approx(1.0, abs=1e-8)
    # Spent, it is a negative reactive load.
    assert solved(two_buses(tmp_path, mvar_max=20.0)).voltage_pu[1] == pytest.approx(hand_voltage(1.2, 0.1), abs=1e-8)


def test_a_load_beyond_what_the_line_carries_is_no_solution(tmp_path: Path) -> None:
    case = two_buses(tmp_path)
    found = AcNetwork(case).solve(np.array([900.0]), np.array([0.0, 900.0]), np.array([0.0, 300.0]))
    assert not found.converged
    assert found.broken == ("no solution",)


def test_bundled_case_is_the_published_one() -> None:
    case, other = load_network_case(BUNDLED_CASE), case24_ieee_rts()
    reference, converged = runpf(other, ppoption(VERBOSE=0, OUT_ALL=0))
    assert converged
    # Its solution has the losses in the power of its generators already: nothing is left to share.
    own = AcNetwork(case).solve(reference["gen"][:, 1], case.bus[:, LOAD_MW], case.bus[:, LOAD_MVAR])
    np.testing.assert_allclose(own.voltage_pu, reference["bus"][:, 7], atol=1e-6)
    flow = reference["branch"]
    assert own.loss_mw == pytest.approx(float((flow[:, 13] + flow[:, 15]).sum()), rel=1e-5)


def test_transfer_factors_of_a_case_with_taps_and_parallel_lines() -> None:
    case = load_network_case(BUNDLED_CASE)
    system = system_of_case(case, case.largest_loads[:3])
    inside = ext2int(case24_ieee_rts())
    other = makePTDF(inside["baseMVA"], inside["bus"], inside["branch"], 12)
    injected = np.random.default_rng(1).normal(size=(5, 24))
    injected -= injected.mean(axis=1, keepdims=True)
    np.testing.assert_allclose(
        injected @ dispatch_of(system, "physical").transfer_factors.T, injected @ other.T, atol=1e-9
    )
    assert len(set(system.line_names)) == len(system.line_names)


def edited(old: str, new: str) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        two_buses(folder)
        text = (folder / "two.m").read_text(encoding="utf-8")
        assert old in text
        (folder / "bad.m").write_text(text.replace(old, new), encoding="utf-8")
        return folder / "bad.m"

    return write


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (lambda folder: folder / "none.m", "none.m not found"),
        (edited("mpc.gencost", "mpc.other"), "gives other, which is no field"),
        (edited("mpc.gencost", "% mpc.gencost"), "is no statement of a case"),
        (edited("  10 20 0.01 0.1", "  10 30 0.01 0.1"), "names a bus that is not in the table bus"),
        (edited("0.01 0.1 0 140 0 0 0 0 1", "0.01 0.1 0 140 0 0 0 0 0"), "not all connected"),
        (edited("  20 1 120", "  10 1 120"), "twice"),
        (edited("2 0 0 3 0 20 0", "2 0 0 3 -1 20 0"), "convex"),
        (edited("120 30 0 0", "120 0 0 0"), "no load has reactive power"),
        (edited("0.01 0.1 0 140", "0 0.1 0 140"), "no branch has a resistance"),
        (edited("300 -300", "0 0"), "no generator has reactive limits"),
        (edited("300 -300", "-300 300"), "contradict"),
        (edited("120 30 0 0", "NaN 30 0 0"), "row 2 has a value that is no finite number"),
        (edited("1.05 0.9;", "NaN 0.9;"), "row 2 has a value that is no finite number"),
        (edited("2 0 0 3 0 20", "2 0 0 NaN 0 20"), "row 1 says nan terms"),
        (edited("0.01 0.1 0 140", "0.01 0.1 0 -140"), "negative rating"),
        (edited("  10 20 0.01", "  10 10 0.01"), "begins and ends"),
        (edited("300.0 0;", "300.0 400;"), "above its most"),
        (edited("1 300.0", "0 300.0"), "no generator is in service"),
        (edited("mpc.baseMVA = 100", "mpc.baseMVA = Inf"), "baseMVA"),
    ],
)
def test_a_case_that_cannot_be_used_is_named(write: Callable[[Path], Path], words: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=words):
        CoordinationStudy(network=str(write(tmp_path))).check()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"network": BUNDLED_CASE, "kind": "day-ahead"}, "peak hours"),
        ({"network": BUNDLED_CASE, "settings": "published"}, "physical"),
        ({"network": BUNDLED_CASE, "datacenter_buses": (1, 99)}, "no bus 99"),
        ({"network": BUNDLED_CASE, "datacenter_buses": (1,)}, "two datacenters"),
        ({"network": BUNDLED_CASE, "datacenter_buses": (3, 3)}, "twice"),
        ({"network": BUNDLED_CASE, "rating_share": 0.0}, "rating_share: must lie in"),
        ({"datacenter_buses": (1, 2)}, "give --network"),
    ],
)
def test_a_network_question_that_cannot_be_asked_is_named(settings: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        CoordinationStudy(**settings).check()  # type: ignore[arg-type]


def test_what_stands_at_an_isolated_bus_is_left_out(tmp_path: Path) -> None:
    two_buses(tmp_path)
    text = (tmp_path / "two.m").read_text(encoding="utf-8")
    text = text.replace("1.05 0.9;\n", "1.05 0.9;\n  30 4 50 0 0 0 1 1 0 230 1 1.05 0.9;\n")
    text = text.replace("];\nmpc.gencost", "  20 30 0.01 0.1 0 140 0 0 0 0 1 -360 360;\n];\nmpc.gencost")
    text = text.replace("];\nmpc.branch", "  30 0 0 9 -9 1 100 1 70 0;\n];\nmpc.branch")
    text = text.replace("0 20 0;\n", "0 20 0;\n  2 0 0 3 0 1 0;\n")
    (tmp_path / "isolated.m").write_text(text, encoding="utf-8")
    case = load_network_case(str(tmp_path / "isolated.m"))
    assert (len(case.bus), len(case.branch), len(case.gen), len(case.costs)) == (2, 1, 1, 1)


def test_endless_reactive_limits_leave_the_other_side_in_force(tmp_path: Path) -> None:
    case = two_buses(tmp_path, mvar_max=20.0)
    endless = replace(case, gen=np.where(case.gen == -20.0, -np.inf, case.gen))
    assert solved(endless).voltage_pu[1] == pytest.approx(hand_voltage(1.2, 0.1), abs=1e-8)


def test_a_shunt_is_load_of_the_dispatch_and_not_of_the_power_flow_twice(tmp_path: Path) -> None:
    two_buses(tmp_path)
    text = (tmp_path / "two.m").read_text(encoding="utf-8").replace("120 30 0 0 1 1", "120 30 7 0 1 1")
    (tmp_path / "shunt.m").write_text(text, encoding="utf-8")
    network = load_network(CoordinationQuestion(network=str(tmp_path / "shunt.m")))
    np.testing.assert_allclose(network.records.load_mw - network.load_mw, np.tile([0.0, 7.0], (546, 1)))


def test_a_limit_that_is_broken_further_counts_and_one_that_could_not_be_judged_does_not(tmp_path: Path) -> None:
    base = solved(two_buses(tmp_path, least=0.97))
    assert base.broken == ("voltage",)
    assert replace(base, outside_pu=base.outside_pu + 0.01).breaks_more_than(base)
    assert not replace(base, outside_pu=base.outside_pu + 1e-4).breaks_more_than(base)
    none = replace(base, converged=False)
    assert none.breaks_more_than(base)
    assert not base.breaks_more_than(none)
    assert "voltage" in replace(base, outside_pu=np.nan).broken


def test_what_is_out_of_service_is_left_out(tmp_path: Path) -> None:
    two_buses(tmp_path)
    text = (tmp_path / "two.m").read_text(encoding="utf-8")
    twin = "  10 20 0.01 0.1 0 140 0 0 0 0 1 -360 360;\n"
    text = text.replace(twin, twin + twin.replace(" 1 -360", " 0 -360"))
    (tmp_path / "off.m").write_text(text, encoding="utf-8")
    case = load_network_case(str(tmp_path / "off.m"))
    assert len(case.branch) == 1
    assert (case.branch[:, BRANCH_STATUS] > 0.0).all()


QUESTION = CoordinationQuestion(network=BUNDLED_CASE, penetrations=(0.1,))


@pytest.fixture(scope="module")
def network() -> CaseNetwork:
    return load_network(QUESTION)


@pytest.mark.xdist_group("ac check")
def test_served_load_is_what_generators_give(network: CaseNetwork) -> None:
    case = make_case(QUESTION, 0.1, 0.25)
    k = int(np.argmax(case.records.load_mw.sum(axis=1)))
    active, reactive = network.drawn(k, case.setting.base_mw, case.base.shed_mw[k])
    assert active.sum() == pytest.approx(case.base.power_mw[k].sum(), rel=1e-6)
    assert case.setting.base_mw.sum() == pytest.approx(0.1 * 2850.0, rel=1e-6)
    centers = case.setting.base_mw.sum() * np.tan(np.arccos(0.95))
    assert reactive.sum() == pytest.approx(network.load_mvar[k].sum() + centers, rel=1e-9)
    # Branches are loaded to 70 % of their ratings at most.
    assert (np.abs(case.base.flow_mw) <= 0.7 * network.system.limit_mw + 1e-3).all()


@pytest.mark.xdist_group("ac check")
def test_a_shift_that_breaks_what_holds_without_it_is_taken_back(network: CaseNetwork) -> None:
    case = make_case(QUESTION, 0.1, 0.25)
    records = np.array([0, 100, 200])
    base = Operated.of(case.base, case.setting.base_mw, records)
    # All datacenters' work, and as much again from nowhere, at one bus: no voltage stands that.
    theta = base.theta_mw.copy()
    theta[1, 0] += 1500.0
    broken = Operated(base.power_mw, base.shed_mw, theta, 0.5 * base.cost_usd, base.solved)
    found = check_ac(OfDraw(0.1, 0.25, 1, 0), network, records, {"none": base, "mad": broken}, lambda words: None)
    none, mad = found["ac"]
    assert (none.worse, mad.worse) == (0, 1)
    assert [row.date for row in found["ac_records"]] == [case.records.dates[100]]
    assert mad.saving_share == pytest.approx(0.5)
    kept = 0.5 * base.cost_usd[[0, 2]].sum() / base.cost_usd.sum()
    assert mad.saving_checked_share == pytest.approx(kept, rel=1e-9)


@pytest.mark.xdist_group("ac check")
def test_a_record_without_a_dispatch_is_counted_and_not_judged(network: CaseNetwork) -> None:
    case = make_case(QUESTION, 0.1, 0.25)
    records = np.array([0, 100])
    base = Operated.of(case.base, case.setting.base_mw, records)
    lost = Operated(base.power_mw, base.shed_mw, base.theta_mw, base.cost_usd, np.array([True, False]))
    (row,) = check_ac(OfDraw(0.1, 0.25, 1, 0), network, records, {"none": lost}, lambda words: None)["ac"]
    assert (row.n_records, row.n_undispatched) == (1, 1)


def test_a_study_on_a_users_network_reports_its_ac_check(tmp_path: Path) -> None:
    two_buses(tmp_path, mvar_max=80.0)
    text = (tmp_path / "two.m").read_text(encoding="utf-8").replace("10 3 0 0 0 0", "10 3 60 10 0 0")
    text = text.replace("20 0 0 80.0 -80.0 1 100 1 0 0", "20 0 0 80.0 -80.0 1 100 1 90 0").replace(
        "0 0 3 0 0 0", "0 0 3 0 45 0"
    )
    (tmp_path / "mine.m").write_text(text, encoding="utf-8")
    study = CoordinationStudy(network=str(tmp_path / "mine.m"), q=(536,), alphas=(1.0,), penetrations=(0.3,))
    study.check()
    assert set(study.input_files()) >= {"network", "nyiso/lines.csv"}
    (task,) = study.tasks("runs", [])
    assert isinstance(task, Task)
    tables = study.run(task, lambda share, words: None)
    assert [row["policy"] for row in tables["ac"]] == ["none", "ideal", "contextual, eps 10"]
    assert all(row["n_records"] == 10 for row in tables["ac"])
