"""Day-ahead coordination as a study, and what its command writes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from coordination_runs import DAY, do, run, shown

from g2g_opt.transmission.policy import ContextualPolicy
from studies.cli import main
from studies.coordination_policy.setting import make_setting
from studies.coordination_policy.study import CoordinationStudy
from studies.running.runner import read_results
from studies.shared.task import TaskResult, gather

# Studies are run once for all tests that look at them.
pytestmark = pytest.mark.xdist_group("coordination")


# ---------------------------------------------------------------- day ahead


def test_a_day_with_flexibility_costs_no_more_and_moves_work_in_its_window_only() -> None:
    rows = {row["alpha"]: row for row in gather(run(DAY), "days")}
    assert set(rows) == {None, 0.0, 0.25}
    for alpha in (0.0, 0.25):
        assert rows[alpha]["reason"] == ""
        assert rows[alpha]["cost"] < rows[None]["cost"] * (1.0 + DAY.mip_gap)
        assert rows[alpha]["gap"] <= DAY.mip_gap
    assert rows[0.25]["cost"] < rows[None]["cost"]
    setting = make_setting("physical", 0.2, 0.25)
    for alpha in (None, 0.0, 0.25):
        by_hour = {
            row["hour"]: np.asarray(row["theta_mw"]) for row in gather(run(DAY), "loads") if row["alpha"] == alpha
        }
        theta = np.array([by_hour[hour] for hour in range(24)])
        fixed = [hour for hour in range(24) if alpha is None or not 16 <= hour <= 20]
        assert np.abs(theta[fixed] - setting.base_mw).max() < 1e-3
        # Work moves between places and hours of the window, none is lost.
        assert theta[16:21].sum() == pytest.approx(5 * setting.demand_mw.sum(), rel=1e-6)
        if alpha is not None:
            moved = theta[16:21] - setting.base_mw
            own = [row for row in shown(DAY, "shifts") if row["alpha"] == alpha]
            assert [row["shift_mw"] for row in own] == pytest.approx(moved.mean(axis=0), abs=1e-3)
            assert [row["most_mw"] for row in own] == pytest.approx(moved.max(axis=0), abs=1e-3)
            net = dict.fromkeys(setting.system.datacenters, 0.0)
            for link in (row for row in shown(DAY, "links") if row["alpha"] == alpha):
                net[link["to"]] += link["mean_mw"]
                net[link["origin"]] -= link["mean_mw"]
            # Links below 0.01 MW are left out.
            assert list(net.values()) == pytest.approx(moved.mean(axis=0), abs=0.05)
    summary = {row["case"]: row for row in shown(DAY, "savings")}
    assert summary["alpha 0.25"]["saving_usd"] == pytest.approx(rows[None]["cost"] - rows[0.25]["cost"])
    # One day gives no interval.
    assert summary["alpha 0.25"]["saving_low_usd"] is None


def test_a_day_without_a_plan_is_a_reason_and_in_no_mean() -> None:
    (result,) = run(DAY)
    days = [dict(row) for row in result.rows("days")]
    days[1] |= dict.fromkeys(("cost", "startup_cost", "charge", "shed_mwh", "bound", "gap", "seconds"))
    days[1]["reason"] = "no plan within the time"
    conclusion = DAY.conclude((TaskResult(result.task, {"days": days, "loads": result.rows("loads")}),))
    assert conclusion.answer == "No day was solved."
    assert [failure.reason for failure in conclusion.failures] == ["no plan within the time"]


# ---------------------------------------------------------------- the command line


def test_the_command_writes_a_page_and_policies_that_other_programs_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = [
        "--kind=closed-loop",
        "--features=loads",
        "--response=project",
        "--q=20",
        "--first=2019-06-30",
        "--workers=1",
    ]
    assert main(["coordination", *flags, "--out", str(tmp_path / "out")]) == 0
    assert "captured" in capsys.readouterr().out
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "Policies in closed loop" in page
    assert "Mean flows with the policy" in page
    (path,) = (tmp_path / "out" / "policies").glob("*.json")
    policy = ContextualPolicy.load(path)
    shift_mw = policy.shift_mw({figure.key: 1000.0 for figure in policy.figures})
    assert shift_mw.shape == (5,)
    assert abs(shift_mw.sum()) < 1e-6 * (1.0 + np.abs(shift_mw).max())
    # What went through a worker's files is what is done here.
    question, results, _ = read_results(tmp_path / "out")
    assert isinstance(question, CoordinationStudy)
    here = do(question, results[-1].task)
    assert np.asarray(gather(results, "loops")[0]["cost"]) == pytest.approx(np.asarray(here.rows("loops")[0]["cost"]))
