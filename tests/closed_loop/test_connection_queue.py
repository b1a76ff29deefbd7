"""Queues: each request finds the grid that those before it left; what is granted holds, also for public doors."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from study_run import results_of

from g2g_opt.errors import InputError
from g2g_opt.limits import Limits
from g2g_opt.plan import Plan
from g2g_opt.scenario import Scenario
from g2g_opt.simulation import simulate
from studies.catalogue import question_toml
from studies.cli import parser_of
from studies.connection_check.offered_sizes import held_at_nominal
from studies.connection_check.remedy import Remedy
from studies.connection_check.remedy_costs import RemedyCost
from studies.connection_check.remedy_search import search_remedies
from studies.connection_queue.answer import _answer
from studies.connection_queue.granting import Decision, Grant, GrantedGrid, Judgement
from studies.connection_queue.requests_file import QueuedRequest, read_requests
from studies.connection_queue.rows import QueueEventRow, QueueRemedyRow, QueueRow, QueueYearRow
from studies.connection_queue.study import ConnectionQueueStudy
from studies.connection_queue.working import QueueRun
from studies.running.run_keeper import FolderKeeper
from studies.running.runner import read_results
from studies.shared import side_by_side
from studies.shared.kept_runs import keeping
from studies.shared.task import TaskResult
from studies.shared.typed_rows import gather_as

pytestmark = pytest.mark.xdist_group("connection queue")  # one worker, so that the queue is worked through once

# On the 13-bus feeder a trip of a fleet at 671 changes voltages by 3 % at about 1.4 MW; its transformer is full at 3.
QUEUE = """name,bus,mw,date,load_shape,withdrawn
first,632,1.5,2025-01-10,,2026-07-01
second,671,0.9,2025-03-01,constant,
third,633,1.4,2025-06-01,,
fourth,671,1.7,2026-02-01,,
"""


def asked(folder: Path, text: str = QUEUE, **more: object) -> ConnectionQueueStudy:
    (folder / "requests.csv").write_text(text, encoding="utf-8")
    study = ConnectionQueueStudy(
        requests=str(folder / "requests.csv"),
        scenario=Scenario(duration_s=120, replica_ramps=((20.0, 60.0, 1.0),)),
        limits=Limits(rapid_voltage_change_max_pu=None),
        remedies=("other bus",),
        growth=0.01,
        limited_share_min=0.9,
    )
    return replace(study, **more)  # type: ignore[arg-type]


run = results_of


@pytest.fixture(scope="module")
def queue(tmp_path_factory: pytest.TempPathFactory) -> tuple[ConnectionQueueStudy, Sequence[TaskResult]]:
    study = asked(tmp_path_factory.mktemp("queue"))
    study.check()
    return study, run(study)


def test_each_request_finds_what_was_granted_before_it(
    queue: tuple[ConnectionQueueStudy, Sequence[TaskResult]],
) -> None:
    _, results = queue
    rows = {row.request: row for row in gather_as(results, "queue", QueueRow)}
    assert [rows[name].decision for name in ("first", "second")] == ["firm", "firm"]
    # The transformer is full with the first two; when one of them goes, the next in line comes in.
    assert (rows["third"].decision, rows["third"].freed_by, rows["third"].decided) == ("firm", "first", "2026-07-01")
    assert (rows["fourth"].decision, rows["fourth"].largest_mw) < ("refused", 1.7)
    events = [(row.request, row.event) for row in gather_as(results, "queue_events", QueueEventRow)]
    assert ("first", "withdrawn") in events
    assert events[-1] == ("third", "granted firm after the withdrawal of first")
    years = gather_as(results, "queue_years", QueueYearRow)
    assert [row.year for row in years] == [2025, 2026]
    assert years[1].own_load_share == pytest.approx(1.01)
    assert all(row.kept for row in years)


def test_a_grant_holds_by_the_public_door_at_every_level_and_a_refusal_does_not(
    queue: tuple[ConnectionQueueStudy, Sequence[TaskResult]],
) -> None:
    study, results = queue
    rows = {row.request: row for row in gather_as(results, "queue", QueueRow)}
    requests = {one.name: one for one in study.read()}
    feeder = study.load_feeder()
    grid = GrantedGrid(study, feeder, 2025)
    grants = [Grant(requests[name], "firm", rows[name].n_servers_by_level) for name in ("second", "third")]
    for level, share in grid.cases(2026):
        plan = grid.plan(level, grants)
        for engine in ("batch", "opendss"):
            (runs,) = simulate([plan], study.scenarios("firm", share), feeder, study.limits, engine=engine)  # type: ignore[arg-type]
            assert all(one.kept for one in runs)
    whole = Grant(requests["fourth"], "firm", (study.size_of(requests["fourth"]),) * 2)
    plan = grid.plan(0, [whole])
    (runs,) = simulate([plan], study.scenarios("firm", 1.01), feeder, study.limits)
    assert not all(one.kept for one in runs)


def test_a_refusal_is_told_what_would_cure_it(queue: tuple[ConnectionQueueStudy, Sequence[TaskResult]]) -> None:
    study, results = queue
    remedies = gather_as(results, "remedies", QueueRemedyRow)
    assert {row.request for row in remedies} == {"fourth"}
    conclusion = study.conclude(results)
    assert conclusion.answer.startswith("Of 4 requests 3 were granted firm and 1 refused; ")
    (fourth,) = (row for row in gather_as(results, "queue", QueueRow) if row.request == "fourth")
    assert conclusion.answer.endswith(f"; {fourth.scenario}).")
    (shown,) = (row for row in conclusion.tables[0].rows if row["request"] == "fourth")
    assert shown["cure"] == next((f"{row.kind}: {row.words}" for row in remedies if row.cures), "none of those tried")


@pytest.mark.parametrize(
    ("decisions", "words"),
    [
        (["firm", "flexible", "firm", "refused"], "Of 4 requests 3 were granted (2 firm, 1 flexible) and 1 refused"),
        (["limited", "refused"], "Of 2 requests 1 was granted limited and 1 refused"),
        (["refused"], "Of 1 request none was granted and 1 refused"),
        (["flexible"] * 2, "Of 2 requests 2 were granted flexible and none refused"),
    ],
)
def test_the_answer_counts_what_was_granted_and_how(
    queue: tuple[ConnectionQueueStudy, Sequence[TaskResult]], decisions: list[Decision], words: str
) -> None:
    (row, *_) = gather_as(queue[1], "queue", QueueRow)
    assert _answer([replace(row, decision=decision, freed_by="") for decision in decisions], [], []).startswith(words)


def test_a_refusal_says_at_which_level_of_own_load_and_a_grant_what_it_drew(
    queue: tuple[ConnectionQueueStudy, Sequence[TaskResult]],
) -> None:
    study, results = queue
    for row in gather_as(results, "queue", QueueRow):
        assert row.limit_level in study.levels
        growth = 1.01 ** (int(row.decided[:4]) - 2025)
        assert row.own_load_share == pytest.approx(row.limit_level * growth)
        if row.decision != "refused":
            drawn = max(row.peak_mw_by_level)
            assert drawn == pytest.approx(row.mw, rel=0.01)
    (shown, *_) = (row for row in study.conclude(results).tables[0].rows if row["decision"] == "refused")
    assert shown["limit_level"] in study.levels
    assert f"at the level {shown['limit_level']:g} of own load" in study.conclude(results).answer


def test_a_cure_holds_at_every_level_of_own_load(tmp_path: Path) -> None:
    """Under regulators' own controls the highest voltage is another one at a tenth of own load: one may hold alone."""
    study = asked(tmp_path)
    feeder, models = study.load_feeder(), study.load_models()
    plan = Plan((study.site("a", "671", models, 30),), tap_mode=study.tap_mode)
    cases = [(plan, study.scenarios("firm", share)) for share in (0.1, 1.0)]
    bare = Remedy("other bus", "bus 680", (), bus="680")
    highest = []
    for _, scenarios in cases:
        (runs,) = simulate([bare.plan(plan)], scenarios, feeder, study.limits)
        highest.append(max(run.summary.highest for run in runs))
    assert highest[1] > highest[0] + 0.002
    strict = replace(study, limits=replace(study.limits, voltage_max_pu=sum(highest) / 2, violation_time_share_max=0.0))
    priced = [(bare, RemedyCost(0.0, 0.0))]
    (one,) = search_remedies(strict, feeder, cases[:1], priced, lambda words: None)
    assert one.cures
    (both,) = search_remedies(strict, feeder, cases, priced, lambda words: None)
    assert not both.cures


def test_refusals_that_are_found_together_are_those_of_one_after_the_other(
    queue: tuple[ConnectionQueueStudy, Sequence[TaskResult]], monkeypatch: pytest.MonkeyPatch
) -> None:
    study, results = queue
    monkeypatch.setattr("studies.connection_queue.working._AHEAD_MAX", 1)
    (task,) = study.tasks("queue", ())
    alone = TaskResult(task, study.run(task, lambda share, words: None))
    for table, row in (("queue", QueueRow), ("queue_events", QueueEventRow), ("queue_years", QueueYearRow)):
        assert gather_as([alone], table, row) == gather_as(results, table, row)


def test_a_queue_that_is_killed_at_work_ends_like_one_left_in_peace(
    queue: tuple[ConnectionQueueStudy, Sequence[TaskResult]], tmp_path: Path
) -> None:
    """The process and its worker are killed with SIGKILL, once when runs were kept and once soon after the resume."""
    study, results = queue
    (tmp_path / "study.toml").write_text(question_toml(study), encoding="utf-8")
    root = tmp_path / "out"

    def g2g(*words: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "studies.cli", *words, "--workers", "1"], start_new_session=True,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}, stdout=subprocess.DEVNULL,
        )  # fmt: skip

    runner = g2g("run", str(tmp_path / "study.toml"), "--out", str(root))
    while not any(path.is_file() for path in (root / "kept").rglob("*")):
        assert runner.poll() is None, "the run ended before anything was kept"
        time.sleep(0.02)
    os.killpg(runner.pid, signal.SIGKILL)
    runner.wait()
    again = g2g("resume", str(root))
    with suppress(subprocess.TimeoutExpired):
        again.wait(3.0)
    os.killpg(again.pid, signal.SIGKILL) if again.poll() is None else None
    again.wait()
    assert g2g("resume", str(root)).wait() == 0
    found = read_results(root)[1]
    for table, row in (("queue", QueueRow), ("queue_events", QueueEventRow), ("remedies", QueueRemedyRow)):
        assert gather_as(found, table, row) == gather_as(results, table, row)


def test_refused_requests_are_looked_at_again_by_the_run_that_refused_them(
    queue: tuple[ConnectionQueueStudy, Sequence[TaskResult]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is said again beside a grid is what a first look says there, and takes a run where that still refuses."""
    study, _ = queue
    requests = {one.name: one for one in study.read()}
    feeder = study.load_feeder()
    (whole, small) = (
        Grant(requests[name], "firm", (study.size_of(requests[name]),) * 2) for name in ("first", "second")
    )
    waiting = [(requests["third"], 2026), (requests["fourth"], 2026)]
    grid = GrantedGrid(study, feeder, 2025)
    grid.grants = [whole, small]
    assert all(isinstance(one, Judgement) for one in grid.looked_at(waiting))
    runs = []
    simulate = side_by_side.simulate_runs
    monkeypatch.setattr(
        side_by_side, "simulate_runs", lambda asked, *a, **k: runs.extend(asked) or simulate(asked, *a, **k)
    )
    assert grid.looked_at_again(waiting) == [None, None]
    assert len(runs) < 2 * 10
    for left in ([whole], [small], []):
        grid.grants = list(left)
        again, fresh = grid.looked_at_again(waiting), GrantedGrid(study, feeder, 2025)
        fresh.grants = list(left)
        first = fresh.looked_at(waiting)
        for known, found in zip(again, first, strict=True):
            assert (known is None) == isinstance(found, Judgement)
            assert known is None or known.grant == found.grant
    assert any(one is not None for one in again)


def test_what_was_decided_before_a_kill_is_not_decided_again(
    queue: tuple[ConnectionQueueStudy, Sequence[TaskResult]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study, results = queue
    (task,) = study.tasks("queue", ())
    row, asked_for = QueueRun._row, []

    class Killed(BaseException):
        """What ends a worker in the middle."""

    def killed_at(n: int | None) -> TaskResult:
        asked_for.clear()

        def counted(self: QueueRun, day: date, request: QueuedRequest, *more: Any) -> QueueRow | None:
            if len(asked_for) == n:
                raise Killed
            asked_for.append(request.name)
            return row(self, day, request, *more)

        monkeypatch.setattr(QueueRun, "_row", counted)
        with keeping(FolderKeeper(tmp_path), FolderKeeper(tmp_path / "decided")):
            return TaskResult(task, study.run(task, lambda share, words: None))

    with pytest.raises(Killed):
        killed_at(3)
    assert asked_for == ["first", "second", "third"]
    # Nothing is left of the runs that led to what is decided and changed the grid.
    assert len(list((tmp_path / "decided").glob("*.parquet"))) == 3
    ended = killed_at(None)
    assert asked_for[0] == "fourth"
    for table, kind in (("queue", QueueRow), ("queue_events", QueueEventRow), ("queue_years", QueueYearRow)):
        assert gather_as([ended], table, kind) == gather_as(results, table, kind)


def test_a_constant_load_draws_what_was_asked_for_whatever_the_demand(tmp_path: Path) -> None:
    study = asked(tmp_path)
    request = next(one for one in study.read() if one.load_shape == "constant")
    site = study.site_of(request, "671", study.size_of(request))
    idle = 1e-3 * site.base_kw_per_gpu * site.n_gpus
    assert 0.96 * request.mw < idle < request.mw


def test_a_firm_site_keeps_its_batch_size_beside_a_flexible_one(tmp_path: Path) -> None:
    study = asked(tmp_path)
    site = study.site("a", "671", study.load_models(), 20)
    assert [d.spec.feasible_batch_sizes for d in held_at_nominal(site).deployments] == [(128,)]


def test_the_file_may_be_given_without_a_flag() -> None:
    options = parser_of("queue").parse_args(["queue", "mine.csv", "--feeder", "ieee34"])
    assert options.question_of(options).requests.endswith("mine.csv")


@cache
def lines() -> list[str]:
    return QUEUE.splitlines()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("bus,mw\n671,1\n", "lacks the columns date"),
        ("bus,mw,date\n671,0,2025-01-01\n", "line 2, mw"),
        ("bus,mw,date\n671,1,soon\n", "line 2, date"),
        ("bus,mw,date\n,1,2025-01-01\n", "the bus is missing"),
        ("name,bus,mw,date\na,671,1,2025-01-01\na,671,1,2025-01-02\n", "line 3: the name 'a' is there twice"),
        ("bus,mw,date,load_shape\n671,1,2025-01-01,flat\n", "load_shape"),
        ("bus,mw,date,withdrawn\n671,1,2025-01-01,2024-01-01\n", "before it came"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_with_its_line(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "requests.csv").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=reason):
        read_requests(str(tmp_path / "requests.csv"))


def test_all_lines_that_cannot_be_read_are_named_and_columns_that_nearly_are_one(tmp_path: Path) -> None:
    path = tmp_path / "requests.csv"
    rows = [f"671,{mw},{day}" for mw, day in (("five", "2025-01-01"), ("1", "2025-02-30"), ("1", "2025-01-01"))]
    path.write_text("\n".join(["bus,mw,date", *rows]), encoding="utf-8")
    with pytest.raises(InputError) as caught:
        read_requests(str(path))
    assert str(caught.value).count("requests.csv") == 1
    assert "line 2, mw: 'five'" in str(caught.value)
    assert "; line 3, date: '2025-02-30'" in str(caught.value)
    path.write_text("\n".join(["bus,mw,date", *["671,-1,2025-01-01"] * 20]), encoding="utf-8")
    with pytest.raises(InputError, match=r"; and 12 lines more$"):
        read_requests(str(path))
    path.write_text("bus,mw,date,modle\n671,1,2025-01-01,x\n", encoding="utf-8")
    with pytest.raises(InputError, match="'modle' not found; did you mean model"):
        read_requests(str(path))
    path.write_text("Bus, MW,Date,Load_Shape\n671,1,2025-01-01,constant\n", encoding="utf-8")
    assert [(one.bus, one.mw, one.load_shape) for one in read_requests(str(path))] == [("671", 1.0, "constant")]
    # A planner's own columns are nobody's business.
    path.write_text("bus,mw,date,customer,comment\n671,1,2025-01-01,Acme,\n", encoding="utf-8")
    assert len(read_requests(str(path))) == 1


def test_requests_of_any_name_or_none_become_sites_of_a_circuit(tmp_path: Path) -> None:
    text = "name,bus,mw,date\n,671,0.2,2025-01-01\nAcme & Co.,671,0.2,2025-01-02\nacme_&_co.,671,0.2,2025-01-03\n"
    study = asked(tmp_path, text + "Łódź 1,671,0.2,2025-01-04\n")
    requests = study.read()
    assert [one.name for one in requests] == ["request-1", "Acme & Co.", "acme_&_co.", "Łódź 1"]
    names = [one.site_name for one in requests]
    assert len({name.casefold() for name in names}) == 4
    feeder, grid = study.load_feeder(), GrantedGrid(study, study.load_feeder(), 2025)
    plan = grid.plan(0, [Grant(one, "firm", (3, 3)) for one in requests])
    ((run,),) = simulate([plan], study.rests(study.scenario)[:1], feeder, study.limits, engine="opendss")
    assert run.failure is None
    assert [site.name for site in run.summary.sites] == names


def test_requests_are_taken_in_order_of_arrival_and_unknown_buses_are_named(tmp_path: Path) -> None:
    text = "\n".join([lines()[0], *lines()[:0:-1]])
    assert [one.name for one in asked(tmp_path, text).read()] == ["first", "second", "third", "fourth"]
    with pytest.raises(InputError, match="nowhere"):
        asked(tmp_path, "bus,mw,date\nnowhere,1,2025-01-01\n").check()
    with pytest.raises(InputError, match="needs a file of requests"):
        ConnectionQueueStudy().check()
    with pytest.raises(InputError, match="highest down"):
        asked(tmp_path, levels=(0.5, 1.0)).check()
