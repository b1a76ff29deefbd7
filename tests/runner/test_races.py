"""Two runners that begin one folder together: one does the study, the other is refused.

`tests/nightly/kills.py` has more of them.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from killing import g2g, rows_of, write_question
from small_study import SmallStudy

from g2g_opt.errors import InputError
from studies.running import runner
from studies.running.local_workers import LocalWorkers
from studies.running.runner import begin_study, run_study

RACES = 2


def test_of_two_runners_one_does_the_study_and_the_other_is_refused(tmp_path: Path) -> None:
    run_study(tmp_path / "alone", lambda: LocalWorkers(2), question=SmallStudy(n=4, group=2))
    for race in range(RACES):
        root = tmp_path / f"race{race}" / "made" / "here"
        log = tmp_path / f"log{race}"
        # It waits until the test has seen the other one refused.
        question = write_question(
            tmp_path / f"{race}.toml", SmallStudy(n=4, group=2, bad=((0, "waits"),), log=str(log))
        )
        two = [g2g("run", str(question), "--out", str(root), "--workers", "1") for _ in range(2)]
        until_s = time.monotonic() + 60.0
        while not (over := [one for one in two if one.poll() is not None]):
            assert time.monotonic() < until_s
            time.sleep(0.02)
        log.with_name(f"{log.name}.go").touch()
        (refused,) = over
        assert refused.returncode == 2
        assert "another g2g (process " in refused.communicate()[1]
        two.remove(refused)
        _, errors = two[0].communicate(timeout=120)
        assert two[0].returncode == 0, errors
        assert rows_of(root) == rows_of(tmp_path / "alone")


def test_a_folder_that_is_being_begun_is_held_already(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, may_go_on = threading.Event(), threading.Event()
    inputs_of = runner.inputs_of

    def slow_inputs_of(question: SmallStudy) -> dict[str, str]:
        begun.set()
        assert may_go_on.wait(30)
        return inputs_of(question)

    with monkeypatch.context() as slow:
        slow.setattr(runner, "inputs_of", slow_inputs_of)
        first = threading.Thread(target=begin_study, args=(tmp_path / "s", SmallStudy(n=1)))
        first.start()
        assert begun.wait(30)
    for question in (SmallStudy(n=1), SmallStudy(n=2)):
        with pytest.raises(InputError, match="is at work in"):
            begin_study(tmp_path / "s", question)
    assert not (tmp_path / "s" / "ledger.sqlite").exists()
    may_go_on.set()
    first.join()
    assert len(run_study(tmp_path / "s", lambda: LocalWorkers(1)).entries) == 2
