"""What a study on a user's network says of load that is shed, of limits that are not there, and of its file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from network_cases import RING, ring

from g2g_opt.transmission.ac_network import AcNetwork
from solvers.outcome import SolverError
from solvers.policy_training.training import train_policy
from studies.coordination_policy.ac_check import Operated, check_ac
from studies.coordination_policy.answer_peak_hour import _n_1_answer
from studies.coordination_policy.draws import study_draw
from studies.coordination_policy.network import load_network
from studies.coordination_policy.peak_hour import judge_policy, make_case
from studies.coordination_policy.question import CoordinationQuestion
from studies.coordination_policy.rows import OfDraw, OutagesRow
from studies.coordination_policy.setting import draw_records
from studies.coordination_policy.study import CoordinationStudy
from studies.shared.conclusion import Conclusion
from studies.shared.task import Row, TaskResult

WIDE = [line.replace(" 150 ", " 900 ") for line in RING["branch"]]
SHORT = [RING["bus"][0], RING["bus"][1].replace("120 30", "520 90"), RING["bus"][2].replace("100 25", "400 80")]


def concluded(
    folder: Path, told: list[str] | None = None, **changes: object
) -> tuple[Conclusion, dict[str, list[Row]]]:
    settings = {"datacenter_buses": (2, 3), "penetrations": (0.1,), "alphas": (0.5,), "q": (540,), "n_ties": 0}
    study = CoordinationStudy(network=str(folder / "ring.m"), **(settings | changes))  # type: ignore[arg-type]
    study.check()
    (task,) = study.tasks("runs", [])
    tables = study.run(task, lambda share, words: None if told is None else told.append(words))
    return study.conclude([TaskResult(task, tables)]), tables


def test_load_that_is_shed_is_said_first_with_its_part_of_the_cost(tmp_path: Path) -> None:
    """Loads of up to 920 MW and datacenters, 600 MW of generators: "the grid is not congested" it said."""
    ring(tmp_path, bus=SHORT, branch=WIDE)
    found, tables = concluded(tmp_path)
    none = next(row for row in tables["savings"] if row["policy"] == "none")
    assert none["n_test"] == 6
    first = found.answer.split("\n")[0]
    assert first.startswith("LOAD IS SHED, 10 % datacenters, alpha 0.5, without coordination")
    # Once for all policies, those under which the same is shed together.
    assert found.answer.count("LOAD IS SHED") == 1
    assert {row["policy"] for row in tables["savings"] if row["shed_mw"]} > {"none", "ideal"}
    assert "with ideal coordination" in first
    assert f"in {none['shed_records']} of 6 records" in first
    assert none["shed_records"] == 5
    price = 1000.0 * none["shed_mw"] / none["cost"]
    assert none["shed_cost_share"] == pytest.approx(price, rel=1e-6)
    assert f"{100 * price:.1f} % of the cost that is told is its price" in first
    assert "(1,000 $/MWh)" in first
    assert "not congested" not in found.answer
    assert "saves nothing: generators lack power, wherever the work is done" in found.answer
    (table,) = (one for one in found.tables if one.name == "savings")
    shown = next(row for row in table.rows if row["policy"] == "none")
    assert shown["shed_mw"] == pytest.approx(none["shed_mw"])


def test_a_grid_without_limits_is_not_told_to_be_free_of_congestion_and_its_loadings_are_not_known(
    tmp_path: Path,
) -> None:
    ring(tmp_path, branch=[line.replace(" 150 ", " 0 ") for line in RING["branch"]])
    found, tables = concluded(tmp_path, penetrations=(0.27,))
    assert "saves nothing: no line has a limit" in found.answer
    assert all(row["loading_max"] is None and row["loading"] is None for row in tables["ac"])
    assert any("3 of 3 branches have no rating" in words for words in found.warnings)
    assert not any("loading" in chart.title for chart in found.charts)
    assert all(row["penetration"] == 0.27 for row in tables["savings"])
    assert "With 27 % datacenters" in found.answer


@pytest.mark.parametrize("use", ["trained", "judged"])
def test_generators_whose_least_output_is_above_what_is_drawn_are_why_there_is_no_answer(
    use: str, tmp_path: Path
) -> None:
    """It ended in "there are no records to train on", or in means of nothing."""
    ring(tmp_path)
    question = CoordinationQuestion(network=str(tmp_path / "ring.m"), datacenter_buses=(2, 3))
    case = make_case(question, 0.1, 0.5)
    n_records = len(case.base.solved)
    drawn = np.isin(np.arange(n_records), draw_records(question.seed, 0, n_records, 540))
    solved = ~drawn if use == "trained" else drawn
    runs = replace(case.setting.dispatch, power_min_mw=np.full_like(case.setting.dispatch.power_max_mw, 300.0))
    case = replace(case, base=replace(case.base, solved=solved), setting=replace(case.setting, dispatch=runs))
    n = {"trained": 540, "judged": n_records - 540}[use]
    why = rf"none of the {n} records to be {use} on has a dispatch \(generators give 600 MW at least, more than the \d"
    with pytest.raises(SolverError, match=why):
        study_draw(question, case, 540, 0, lambda words, share: None)


def test_a_grid_with_wide_limits_is_not_congested(tmp_path: Path) -> None:
    ring(tmp_path, branch=WIDE)
    found, _ = concluded(tmp_path, datacenter_buses=(1, 3))
    assert "saves nothing: the grid is not congested" in found.answer


@pytest.mark.parametrize("rating", [60, 100])
def test_users_that_have_all_a_datacenter_of_their_own_are_why_nothing_is_shifted(rating: int, tmp_path: Path) -> None:
    """A grid that is congested, and sheds what lines cannot bring (60 MW): no lack of power, and no lack of limits."""
    ring(tmp_path, branch=[line.replace(" 150 ", f" {rating} ") for line in RING["branch"]])
    found, tables = concluded(tmp_path)
    (none,) = (row for row in tables["savings"] if row["policy"] == "none")
    assert none["base_latency"] == pytest.approx(0.0, abs=1e-6)
    assert none["lacking_mw"] == 0.0
    assert (none["shed_mw"] > 1.0) == (rating == 60)
    assert "saves nothing: all users have a datacenter at their own bus" in found.answer
    moved, _ = concluded(tmp_path, datacenter_buses=(1, 3))
    assert "at their own bus" not in moved.answer


def test_outages_that_a_shift_makes_worse_are_counted_by_branch(tmp_path: Path) -> None:
    ring(tmp_path)
    question = CoordinationQuestion(network=str(tmp_path / "ring.m"), datacenter_buses=(2, 3))
    network, case = load_network(question), make_case(question, 0.1, 0.5)
    records = np.arange(4)
    base = Operated.of(case.base, case.setting.base_mw, records)
    # The same dispatch for 40 MW more at bus 2 and 40 less at bus 3.
    moved = replace(base, theta_mw=base.theta_mw + np.array([40.0, -40.0]))
    found = check_ac(OfDraw(0.1, 0.5, 1, 0), network, records, {"none": base, "moved": moved}, lambda words: None, 2)
    none, other = found["n_1"]
    assert (none.n_records, none.n_outages, none.n_splitting, none.worse) == (2, 3, 0, 0)
    ac, loads = AcNetwork(network.case), network.load_mw[records].sum(axis=1)
    both = [int(loads.argmax()), int(loads.argmin())]
    broken = {"none": 0, "moved": 0}
    for name, how in (("none", base), ("moved", moved)):
        for k in both:
            drawn = network.drawn(int(records[k]), how.theta_mw[k], how.shed_mw[k])
            intact = ac.solve(network.system.by_unit_mw(how.power_mw[k]), *drawn)
            broken[name] += sum(bool(ac.solve_outage(intact, *drawn, branch).broken) for branch in range(3))
    assert {"none": none.broken, "moved": other.broken} == broken
    assert other.worse > 0
    assert sum(row.worse for row in found["n_1_outages"]) == other.worse
    assert {row.outage for row in found["n_1_outages"]} <= {"1-2", "2-3", "1-3"}


def test_a_study_with_outages_says_what_they_are_and_are_not(tmp_path: Path) -> None:
    ring(tmp_path)
    told: list[str] = []
    found, tables = concluded(tmp_path, told, n_1=1)
    # Something is said before the first dispatch, and of every part.
    assert told[0].startswith("dispatch of all records")
    assert [words for words in told if words.startswith("outages of 3 branches in 1 record, ideal")]
    assert [row["policy"] for row in tables["n_1"]] == ["none", "ideal", "contextual, eps 10"]
    assert "N-1, alpha 0.5, ideal: " in found.answer
    assert " of 3 outages of a branch break a limit" in found.answer
    assert any(words.startswith("N-1: outages are of one branch") for words in found.warnings)
    assert {"n_1", "n_1_outages"} <= {table.name for table in found.tables}


def test_what_was_done_with_a_file_reaches_the_reader(tmp_path: Path) -> None:
    ring(tmp_path, "mpc.dcline = [ 1 3 1 5 5 0 0 1 1 5 5 0 0 0 0 0 0 ];")
    found, _ = concluded(tmp_path)
    assert any(words.startswith("1 DC line(s) carry the power") for words in found.warnings)


def test_the_grid_rejects_only_what_datacenters_had_accepted(tmp_path: Path) -> None:
    """Where they had refused, no shift reaches the grid: load that is shed then is not for a shift."""
    ring(tmp_path, bus=SHORT, branch=WIDE)
    question = CoordinationQuestion(network=str(tmp_path / "ring.m"), datacenter_buses=(2, 3))
    case = make_case(question, 0.1, 0.5)
    test = np.arange(20)
    policy = train_policy(
        case.setting.dispatch,
        case.records.load_mw[20:40],
        case.records.injected_mw[20:40],
        case.setting.network,
        case.features[20:40],
        10.0,
    )
    # A shift that no datacenter accepts: more than all there is.
    wild = replace(policy, matrix=policy.matrix + np.outer([1e4, -1e4], np.eye(policy.matrix.shape[1])[0]))
    row = judge_policy(question, case, test, "wild", wild)
    assert (row.refused_share, row.shed_share, row.sheds_more_share) == (1.0, 0.0, 0.0)
    assert row.shed_records > 10
    # None at all is accepted, and rejected wherever load is shed.
    still = replace(policy, matrix=np.zeros_like(policy.matrix))
    row = judge_policy(question, case, test, "still", still)
    assert row.refused_share == 0.0
    assert row.shed_share == pytest.approx(row.shed_records / 20)
    assert row.sheds_more_share == 0.0


def test_outages_that_are_not_known_are_told_in_words() -> None:
    about = {"penetration": 0.1, "alpha": 0.5, "q": 1, "draw": 0, "n_records": 2, "n_outages": 10, "secure": 0}
    about |= {"worse_records": 1, "loading_max": None}
    none = OutagesRow(**about, policy="none", broken=5, worse=0, unsolved=0, n_splitting=0, n_left_out=0)
    other = OutagesRow(**about, policy="ideal", broken=7, worse=3, unsolved=1, n_splitting=4, n_left_out=1)
    assert _n_1_answer([none, other]) == (
        "N-1, alpha 0.5, ideal: 7 of 20 outages of a branch break a limit (5 without coordination), 3 of them one that "
        "holds without it, or further; 1 has no power flow; 4 that split the network are not among them; 1 record "
        "without an intact power flow left out."
    )
    assert _n_1_answer([none, replace(other, unsolved=0, n_splitting=0, n_left_out=0)]).endswith("or further.")
