"""A worker that is killed in the middle of a search loses no run that was over; the answer is the same."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from g2g_opt.feeder import Feeder
from g2g_opt.limits import Limits
from g2g_opt.outcome import Outcome
from g2g_opt.plan import Plan
from g2g_opt.scenario import Scenario
from g2g_opt.site import sized_site
from studies.hosting_capacity.study import HostingCapacityStudy
from studies.running.run_keeper import FolderKeeper
from studies.shared import side_by_side
from studies.shared.kept_runs import keeping
from studies.shared.side_by_side import RunRequest, Wanted, run_side_by_side
from studies.shared.task import Tables

STUDY = HostingCapacityStudy(
    buses=("671",),
    taps="study",
    operations=("firm",),
    limits=Limits(violation_time_share_max=1.0),
    scenario=Scenario(duration_s=20, replica_ramps=()),
)


class Killed(BaseException):
    """What ends a worker in the middle."""


class Counter:
    """Counts what is simulated, and is killed when it was asked so many times."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, killed_at: int | None) -> None:
        self.rounds, self.runs = 0, 0
        simulate = side_by_side.simulate_runs

        def counted(runs: Sequence[Any], *args: Any, **more: Any) -> Any:
            if self.rounds == killed_at:
                raise Killed
            self.rounds += 1
            self.runs += len(runs)
            return simulate(runs, *args, **more)

        monkeypatch.setattr(side_by_side, "simulate_runs", counted)


def run(folder: Path, monkeypatch: pytest.MonkeyPatch, killed_at: int | None = None) -> tuple[Tables, Counter]:
    (task,) = STUDY.tasks("capacities", [])
    with monkeypatch.context() as patch, keeping(FolderKeeper(folder), FolderKeeper(folder / "decided")):
        counter = Counter(patch, killed_at)
        return STUDY.run(task, lambda share, words: None), counter


def without_seconds(tables: Tables) -> dict[str, list[dict[str, str]]]:
    return {
        name: [{key: repr(value) for key, value in row.items() if key != "seconds"} for row in rows]
        for name, rows in tables.items()
    }


def test_what_was_simulated_before_a_kill_is_not_simulated_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, counted = run(tmp_path / "whole", monkeypatch)
    assert counted.rounds > 5
    with pytest.raises(Killed):
        run(tmp_path / "kept", monkeypatch, killed_at=4)
    files = sorted((tmp_path / "kept").iterdir())
    assert len(files) == 4
    # A file that is not whole counts for nothing.
    files[0].write_bytes(files[0].read_bytes()[:-1])
    again, after = run(tmp_path / "kept", monkeypatch)
    assert counted.rounds - 4 <= after.rounds <= counted.rounds - 3
    assert after.runs < counted.runs
    assert without_seconds(again) == without_seconds(whole)
    keeper = FolderKeeper(tmp_path / "kept")
    keeper.remove()
    assert keeper.rows() == []


def test_a_run_is_kept_for_the_circuit_it_was_made_on(tmp_path: Path) -> None:
    """A task may try changes of its circuit: the same plan is another run there."""
    feeder = STUDY.load_feeder()
    changed = feeder.extended(("Load.634a.kW=1000",))
    plan = Plan((sized_site("site", "671", STUDY.load_models(), 100, 0.2),))

    def lowest_pu(on: Feeder) -> float:
        def ask() -> Wanted[Outcome]:
            (run,) = yield (RunRequest(plan),)
            return run

        with keeping(FolderKeeper(tmp_path), FolderKeeper(tmp_path / "decided")):
            (run,) = run_side_by_side(STUDY, on, [ask()])
        return run.summary.lowest

    found = [lowest_pu(on) for on in (feeder, changed, feeder, changed)]
    assert found[0] == found[2] > found[1] == found[3]
