"""A circuit that changes while a study runs, or between two runs: no result of one is recorded as the other's."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from small_study import SmallStudy

from g2g_opt.errors import InputError
from studies.running.inputs import InputsChangedError, inputs_of
from studies.running.ledger import Ledger
from studies.running.local_workers import LocalWorkers
from studies.running.runner import run_study
from studies.running.study_folder import StudyFolder

MASTER = """Clear
New Circuit.c bus1=head basekv=12.47 pu=1 mvasc3=200 mvasc1=210
Redirect "line data.dss"
New Load.l bus1=mid kV=12.47 kW=500 pf=0.95
Set VoltageBases=[12.47]
CalcVoltageBases
"""
LINES = "New Line.one bus1=head bus2=mid r1=0.3 x1=0.4 length=2 units=km\n"


def study(folder: Path, **changed: object) -> SmallStudy:
    (folder / "master.dss").write_text(MASTER)
    (folder / "line data.dss").write_text(LINES)
    return SmallStudy(feeder=str(folder / "master.dss"), **changed)  # type: ignore[arg-type]


def test_a_file_that_changes_during_a_task_stops_the_run_and_nothing_is_recorded(tmp_path: Path) -> None:
    asked = study(tmp_path, n=8, seconds=1.0, log=str(tmp_path / "log"))
    lines, root = tmp_path / "line data.dss", tmp_path / "study"

    def edit() -> None:
        until_s = time.monotonic() + 60.0
        while not (tmp_path / "log").exists() and time.monotonic() < until_s:
            time.sleep(0.02)
        lines.write_text(LINES.replace("length=2", "length=6"))

    editor = threading.Thread(target=edit)
    editor.start()
    with pytest.raises(InputsChangedError, match=r"feeder/line data\.dss"):
        run_study(root, lambda: LocalWorkers(2), question=asked)
    editor.join()
    ledger = Ledger(StudyFolder(root).ledger)
    states = {entry.state for entry in ledger.entries()}
    ledger.close()
    assert states == {"waiting"}
    with pytest.raises(InputsChangedError, match="begin anew"):
        run_study(root, lambda: LocalWorkers(1), question=asked)
    # As it was when the study began, the study goes on.
    lines.write_text(LINES)
    finished = run_study(root, lambda: LocalWorkers(2))
    assert {entry.state for entry in finished.entries} == {"done"}


def test_another_circuit_is_another_study_whatever_its_files_are_called(tmp_path: Path) -> None:
    asked = study(tmp_path)
    before = inputs_of(asked)
    assert {name for name in before if name.startswith("feeder/")} == {"feeder/master.dss", "feeder/line data.dss"}
    (tmp_path / "line data.dss").write_text(LINES.replace("r1=0.3", "r1=0.4"))
    after = inputs_of(asked)
    assert {name for name in before if before[name] != after[name]} == {"feeder/line data.dss"}
    (tmp_path / "line data.dss").unlink()
    with pytest.raises(InputError, match=r"master\.dss, line 3: the file 'line data\.dss' does not exist"):
        inputs_of(asked)
