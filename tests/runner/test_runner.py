"""A study survives what happens to it: tasks that raise, hang or crash, kills, full disks, other versions."""

from __future__ import annotations

import os
import resource
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from killing import write_question
from small_study import SmallStudy

from g2g_opt.errors import InputError
from studies.cli import main
from studies.running import inputs, runner
from studies.running.ledger import Ledger
from studies.running.local_workers import LocalWorkers
from studies.running.runner import begin_study, read_results, run_study
from studies.running.study_folder import DiskFullError, StorageError, StudyFolder
from studies.shared.task import gather
from studies.study_report import write_all


def _run(root: Path, study: SmallStudy, time_out_s: float | None = None, **options: object) -> runner.Finished:
    begin_study(root, study, ["test"])
    return run_study(root, lambda: LocalWorkers(2, time_out_s), **options)  # type: ignore[arg-type]


def _sums(root: Path) -> dict[int, float]:
    return {row["number"]: row["sum"] for row in gather(read_results(root)[1], "sums")}


def test_a_study_runs_stage_after_stage_and_concludes(tmp_path: Path) -> None:
    heard = []
    finished = _run(tmp_path / "s", SmallStudy(n=5), tell=heard.append)
    assert [(e.stage, e.state, e.attempts) for e in finished.entries] == [("sums", "done", 1)] * 5 + [
        ("total", "done", 1)
    ]
    assert {event.stage for event in heard} == {"sums", "total"}
    assert max(event.work_done for event in heard) == 5.0
    question, results, _ = read_results(tmp_path / "s")
    assert question == SmallStudy(n=5)
    conclusion = question.conclude(results)
    assert conclusion.answer == f"the total is {sum(_sums(tmp_path / 's').values())!r}"


def test_results_do_not_depend_on_groups_or_workers(tmp_path: Path) -> None:
    _run(tmp_path / "one", SmallStudy(n=7, group=1))
    begin_study(tmp_path / "all", SmallStudy(n=7, group=7))
    run_study(tmp_path / "all", lambda: LocalWorkers(1))
    assert _sums(tmp_path / "one") == _sums(tmp_path / "all")


def test_a_task_that_raises_is_a_row_with_a_reason_and_the_others_go_on(tmp_path: Path) -> None:
    finished = _run(tmp_path / "s", SmallStudy(n=4, bad=((2, "raises"),)))
    (failed,) = finished.failed
    assert failed.reason == "raised: ValueError: this number cannot be summed"
    assert failed.attempts == 1
    assert sorted(_sums(tmp_path / "s")) == [0, 1, 3]
    ledger = Ledger(StudyFolder(tmp_path / "s").ledger)
    (attempt,) = ledger.attempts(failed.id)
    assert "small_study.py" in attempt["details"], "the traceback is kept"
    ledger.close()


@pytest.mark.parametrize(("how", "signal"), [("segfaults", "SIGSEGV"), ("is killed", "SIGKILL")])
def test_a_group_whose_worker_dies_is_divided_and_costs_one_number(tmp_path: Path, how: str, signal: str) -> None:
    finished = _run(tmp_path / "s", SmallStudy(n=4, group=2, bad=((1, how),)))
    (failed,) = finished.failed
    assert failed.task.content == {"numbers": [1]}
    assert failed.reason == f"died: the worker process was ended by {signal}"
    assert failed.attempts == 2
    assert sorted(_sums(tmp_path / "s")) == [0, 2, 3]
    (divided,) = [entry for entry in finished.entries if entry.state == "split"]
    assert divided.task.content == {"numbers": [0, 1]}


def test_a_task_that_hangs_is_stopped_and_the_others_go_on(tmp_path: Path) -> None:
    finished = _run(tmp_path / "s", SmallStudy(n=3, bad=((1, "hangs"),)), time_out_s=8.0)
    (failed,) = finished.failed
    assert failed.reason == "timed out: not done within 8 s"
    assert sorted(_sums(tmp_path / "s")) == [0, 2]


def test_the_order_of_results_is_that_of_the_tasks_after_a_division(tmp_path: Path) -> None:
    _run(tmp_path / "s", SmallStudy(n=6, group=3, bad=((1, "raises"),)))
    assert [row["number"] for row in gather(read_results(tmp_path / "s")[1], "sums")] == [0, 2, 3, 4, 5]


def test_failed_tasks_are_tried_again_only_when_asked(tmp_path: Path) -> None:
    log = tmp_path / "log"
    study = SmallStudy(n=3, bad=((1, "raises"),), log=str(log))
    _run(tmp_path / "s", study)
    again = _run(tmp_path / "s", study)
    begun = Counter(log.read_text().splitlines())
    assert begun == {"sums [0]": 1, "sums [1]": 1, "sums [2]": 1, "the total": 1}
    assert len(again.failed) == 1
    ledger = Ledger(StudyFolder(tmp_path / "s").ledger, writable=True)
    assert ledger.retry_failed() == 1
    ledger.close()
    (failed,) = _run(tmp_path / "s", study).failed
    assert failed.attempts == 2
    assert Counter(log.read_text().splitlines())["sums [1]"] == 2


def test_a_retried_task_that_works_changes_what_later_stages_are_asked(tmp_path: Path) -> None:
    flag = tmp_path / "log"
    root = tmp_path / "s"
    begin_study(root, SmallStudy(n=3, log=str(flag)))
    flag.mkdir()  # nothing can be logged: every task raises
    assert len(run_study(root, lambda: LocalWorkers(2)).failed) == 4
    flag.rmdir()
    finished = run_study(root, lambda: LocalWorkers(2), retry_failed=True)
    assert not finished.failed
    assert [entry.stage for entry in finished.entries] == ["sums"] * 3 + ["total"]
    question, results, _ = read_results(root)
    assert question.conclude(results).answer == f"the total is {sum(_sums(root).values())!r}"


def test_an_interrupted_run_goes_on_without_doing_recorded_tasks_again(tmp_path: Path) -> None:
    log = tmp_path / "log"
    study = SmallStudy(n=6, seconds=0.3, log=str(log))

    def interrupt(event: runner.Event) -> None:
        if event.n_done >= 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _run(tmp_path / "s", study, tell=interrupt)
    ledger = Ledger(StudyFolder(tmp_path / "s").ledger)
    states = Counter(entry.state for entry in ledger.entries())
    recorded = [entry.task.label for entry in ledger.entries() if entry.state == "done"]
    ledger.close()
    assert states["running"] == 0
    assert states["done"] >= 2
    before = Counter(log.read_text().splitlines())
    _run(tmp_path / "s", study)
    after = Counter(log.read_text().splitlines())
    assert all(after[label] == before[label] == 1 for label in recorded)
    _run(tmp_path / "plain", replace(study, log=""))
    assert _sums(tmp_path / "s") == _sums(tmp_path / "plain")


def test_a_second_runner_is_kept_out(tmp_path: Path) -> None:
    root = tmp_path / "s"
    begin_study(root, SmallStudy(n=2, seconds=1.0))
    first = threading.Thread(target=run_study, args=(root, lambda: LocalWorkers(1)))
    first.start()
    time.sleep(0.5)
    with pytest.raises(InputError, match=r"another g2g \(process \d+\) is at work"):
        run_study(root, lambda: LocalWorkers(1))
    first.join()
    assert len(_sums(root)) == 2


def test_status_says_that_nobody_is_at_work_behind_a_runner_that_was_killed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "s"
    begin_study(root, SmallStudy(n=2))
    folder = StudyFolder(root)
    with closing(Ledger(folder.ledger, writable=True)) as ledger:
        question = SmallStudy(n=2)
        ledger.list_stage("sums", question.tasks("sums", []), "1", False)
        ledger.start(ledger.entries()[0].id, "local")
    with folder.locked():
        assert main(["status", str(root), "--trust-study"]) == 0
        assert "running: sums [0]: 0 %" in (told := capsys.readouterr().out)
        assert "nobody is at work" not in told
    assert main(["status", str(root), "--trust-study"]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert f"nobody is at work in {root}: what is told as running was stopped; go on with: g2g resume {root}" in told
    assert "running: sums" not in told


def test_only_what_is_wrong_with_a_study_file_is_said_to_be(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder that holds another study, or a flag, was told as a fault of the file."""
    good, bad = (write_question(tmp_path / f"{n}.toml", SmallStudy(n=n)) for n in (2, 0))
    begin_study(tmp_path / "s", SmallStudy(n=3))
    flags = ["--out", str(tmp_path / "s"), "--trust-study"]
    for command, words in (
        (["run", str(bad), *flags], f"error: {bad}: n must be 1 or more"),
        (["run", str(good), *flags], f"error: {tmp_path}/s holds another study"),
        (["run", str(good), *flags, "--scheduler", "x"], "error: --scheduler goes with --engine dask"),
    ):
        assert main(command) == 2
        assert capsys.readouterr().err.startswith(words)


def test_a_study_that_is_looked_for_beside_its_folder_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    begin_study(tmp_path / "results" / "hosting_capacity", SmallStudy(n=2))
    for wrong, words in (("hosting-capacity", "; did you mean hosting_capacity?"), ("", "; studies in it: ho")):
        assert main(["status", str(tmp_path / "results" / wrong), "--trust-study"]) == 2
        assert words in capsys.readouterr().err
    assert main(["resume", str(tmp_path / "nowhere" / "study"), "--trust-study"]) == 2
    assert "`g2g run` begins one\n" in capsys.readouterr().err


def test_a_folder_takes_one_study(tmp_path: Path) -> None:
    begin_study(tmp_path / "s", SmallStudy(n=2))
    begin_study(tmp_path / "s", SmallStudy(n=2))
    (tmp_path / "s_2").mkdir()
    words = r"s holds another study \(n=2 there\); give .* as in --out \S+/s_3, or remove that one$"
    with pytest.raises(InputError, match=words):
        begin_study(tmp_path / "s", SmallStudy(n=3))
    with pytest.raises(InputError, match="no study in"):
        run_study(tmp_path / "elsewhere", lambda: LocalWorkers(1))


def test_results_of_another_code_version_are_seen_and_kept_or_redone_as_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "log"
    study, root = SmallStudy(n=2, log=str(log)), tmp_path / "s"
    _run(root, study)
    monkeypatch.setattr(runner, "code_version", lambda: "9.9+changed")
    with pytest.raises(InputError, match="3 results made by another version of the code"):
        run_study(root, lambda: LocalWorkers(1))
    kept = run_study(root, lambda: LocalWorkers(1), older="keep")
    assert {entry.code_version for entry in kept.entries} == {inputs.code_version()}
    assert len(log.read_text().splitlines()) == 3
    redone = run_study(root, lambda: LocalWorkers(1), older="redo")
    assert {entry.code_version for entry in redone.entries} == {"9.9+changed"}
    assert len(log.read_text().splitlines()) == 6


def test_a_study_whose_input_files_changed_is_not_gone_on_with(tmp_path: Path) -> None:
    traces = tmp_path / "traces"
    (traces / "Qwen3-8B").mkdir(parents=True)
    (traces / "Qwen3-8B" / "trace.csv").write_text("a\n1\n")
    root = tmp_path / "s"
    begin_study(root, SmallStudy(trace_dir=str(traces)))
    (traces / "Qwen3-8B" / "trace.csv").write_text("a\n2\n")
    with pytest.raises(InputError, match=r"files changed since the study began: traces/Qwen3-8B/trace\.csv"):
        run_study(root, lambda: LocalWorkers(1))


def test_a_disk_that_is_full_stops_the_study_and_it_goes_on_when_there_is_room(
    tmp_path: Path, small_disk: Path
) -> None:
    root = small_disk / "s"
    begin_study(root, SmallStudy(n=400, group=40))
    with pytest.raises(DiskFullError, match="make room"):
        run_study(root, lambda: LocalWorkers(2))
    (small_disk / "ballast").unlink()
    finished = run_study(root, lambda: LocalWorkers(2))
    assert not finished.failed
    _run(tmp_path / "plain", SmallStudy(n=400, group=40))
    assert _sums(root) == _sums(tmp_path / "plain")


@pytest.mark.parametrize("room_kb", [4, 24, 60, 68, 100])
def test_how_to_go_on_after_a_full_disk_holds_however_early_it_was_full(
    tmp_path: Path, small_disk: Path, capsys: pytest.CaptureFixture[str], room_kb: int
) -> None:
    """Full before the study was begun, or while the files beside its ledger were made, `resume` had nothing to do."""
    ballast, root = small_disk / "ballast", small_disk / "s"
    ballast.write_bytes(b"0" * 1024 * (1024 - room_kb))
    question = write_question(tmp_path / "q.toml", SmallStudy(n=2))
    command = ["run", str(question), "--out", str(root)]
    options = ["--trust-study", "--workers", "1"]
    assert main([*command, *options]) == 1
    told = capsys.readouterr()
    assert "no room left" in told.err
    # Room for a report, too.
    subprocess.run(["mount", "-o", "remount,size=32m", str(small_disk)], check=True)
    if "go on with: g2g resume" in told.out:
        command = ["resume", str(root)]
    else:
        assert "no study was begun" in told.out
        assert main(["status", str(root), "--trust-study"]) == 2
        assert "was not begun" in capsys.readouterr().err
    assert main([*command, *options]) == 0


def test_a_ledger_that_is_full_stops_the_study_with_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begin_study(tmp_path / "s", SmallStudy(n=2))
    limited: list[Ledger] = []
    plain = Ledger.__init__

    def with_few_pages(self: Ledger, path: Path, *, writable: bool = False) -> None:
        plain(self, path, writable=writable)
        self._file.rows(f"PRAGMA max_page_count = {self._file.rows('PRAGMA page_count')[0][0]}")
        limited.append(self)

    monkeypatch.setattr(Ledger, "__init__", with_few_pages)
    study = SmallStudy(n=2000, log="x" * 3000)
    root = tmp_path / "full"
    begin_study(root, study)
    with pytest.raises(DiskFullError, match="no room left for the ledger"):
        run_study(root, lambda: LocalWorkers(1))
    monkeypatch.undo()
    assert limited
    db = sqlite3.connect(StudyFolder(root).ledger)
    assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    db.close()


def test_stored_results_are_reported_under_other_limits(tmp_path: Path) -> None:
    _run(tmp_path / "s", SmallStudy(n=2))
    limits = replace(SmallStudy().limits, voltage_min_pu=0.94)
    conclusion, paths = write_all(tmp_path / "s", limits)
    assert conclusion.warnings[1:] == ("judged from 0.94 pu",)
    assert "nothing was simulated" in conclusion.warnings[0]
    with pytest.raises(InputError, match="cannot judge its stored results again by loading_max_pu"):
        write_all(tmp_path / "s", replace(limits, loading_max_pu=0.9))
    assert all(path.is_relative_to(tmp_path / "s" / "rejudged" / "voltage_min_pu=0.94") for path in paths)
    other_basis = replace(SmallStudy().limits, rating_basis="nameplate")
    with pytest.raises(
        InputError, match="shares of normal ratings; ask the question anew with --rating-basis nameplate"
    ):
        write_all(tmp_path / "s", other_basis)


@pytest.mark.parametrize("limit_mb", [460, 720, 1250])
def test_under_a_limit_of_memory_a_run_ends_with_a_result_or_a_reason(tmp_path: Path, limit_mb: int) -> None:
    question = write_question(tmp_path / "q.toml", SmallStudy(n=3))
    arguments = ["run", str(question), "--out", str(tmp_path / "s"), "--workers", "2", "--trust-study"]
    done = subprocess.run(
        [sys.executable, "-m", "studies.cli", *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        errors="replace",
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit_mb * 1_000_000, limit_mb * 1_000_000)),
        # It waited for ever.
        timeout=120,
        check=False,
    )
    if limit_mb < 1200:
        assert done.returncode == 2
        assert f"memory is limited to {limit_mb} MB here" in " ".join(done.stderr.split())
    else:
        assert done.returncode in (0, 1)
        assert done.returncode == 0 or "memory" in done.stderr or "there is no answer" in done.stdout


def test_a_resume_tries_what_failed_once_more_and_the_command_itself_does_not(tmp_path: Path) -> None:
    log = tmp_path / "log"
    question = write_question(tmp_path / "q.toml", SmallStudy(n=3, bad=((1, "raises"),), log=str(log)))
    root = str(tmp_path / "s")

    def tried(*arguments: str) -> int:
        before = log.read_text().count("sums [1]") if log.exists() else 0
        assert main([*arguments, "--trust-study", "--workers", "1"]) == 1
        return log.read_text().count("sums [1]") - before

    assert tried("run", str(question), "--out", root) == 1
    assert tried("run", str(question), "--out", root) == 0
    assert tried("resume", root) == 1
    assert tried("resume", root) == 1
    assert tried("retry", root, "--failed") == 1


def test_a_place_that_cannot_be_written_stops_the_study_and_fails_no_task(tmp_path: Path) -> None:
    root = tmp_path / "s"
    begin_study(root, SmallStudy(n=3))
    (root / "tasks").rmdir()
    (root / "tasks").touch()
    with pytest.raises(StorageError, match="cannot be written: Not a directory"):
        run_study(root, lambda: LocalWorkers(1))
    (root / "tasks").unlink()
    assert [entry.state for entry in run_study(root, lambda: LocalWorkers(1)).entries] == ["done"] * 4
