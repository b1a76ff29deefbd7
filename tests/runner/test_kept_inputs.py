"""A study is reported on from its folder alone: what it read of the user's is kept there."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from g2g_opt.errors import InputError
from g2g_opt.scenario import Scenario
from studies.cli import main
from studies.hosting_capacity.study import HostingCapacityStudy
from studies.running.local_workers import LocalWorkers
from studies.running.runner import run_study
from studies.study_report import write_all

pytestmark = pytest.mark.xdist_group("kept inputs")  # one worker, so that the study is run once

MASTER = """Clear
New Circuit.c bus1=head basekv=12.47 pu=1.02 mvasc3=200 mvasc1=210
Redirect parts/lines.dss
New Load.l bus1=mid kV=12.47 kW=500 pf=0.95 daily=day
Set VoltageBases=[12.47]
CalcVoltageBases
"""
LINES = """New Loadshape.day npts=3 interval=1 mult=(file=day.csv)
New Line.one bus1=head bus2=mid r1=0.3 x1=0.4 length=2 units=km normamps=300
"""
SHORT = Scenario("short", 60, replica_share_start=1.0, replica_ramps=(), profile_rows=(1, 1, 1))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Folder of the files a study reads (circuit, data of it, edits, profile), and the folder of the study."""
    theirs, root = tmp_path_factory.mktemp("theirs"), tmp_path_factory.mktemp("ours") / "study"
    (theirs / "net" / "parts").mkdir(parents=True)
    (theirs / "net" / "master.dss").write_text(MASTER)
    (theirs / "net" / "parts" / "lines.dss").write_text(LINES)
    (theirs / "net" / "parts" / "day.csv").write_text("0.5\n1.0\n0.7\n")
    (theirs / "edits.txt").write_text("Load.l.kW=600\n")
    trace = theirs / "traces" / "Llama-3.1-70B-Instruct" / "trace.csv"
    trace.parent.mkdir(parents=True)
    of_sizes = "\n".join(
        f"{size},{t},{2500 + t}" for size in (8, 16, 32, 64, 96, 128, 256, 512, 1024) for t in range(9)
    )
    trace.write_text(f"batch_size,relative_time_s,power_total_W\n{of_sizes}\n")
    rows = "\n".join(f"2018-01-01T{hour:02}:00,0.{hour + 3},0.5" for hour in range(3))
    (theirs / "year.csv").write_text(f"hour_beginning,load_share,generation_share\n{rows}\n")
    question = HostingCapacityStudy(
        feeder=str(theirs / "net" / "master.dss"),
        edits=str(theirs / "edits.txt"),
        buses=("mid",),
        operations=("firm",),
        trace_dir=str(theirs / "traces"),
        scenario=Scenario(**{**vars(SHORT), "profile": str(theirs / "year.csv")}),
    )
    run_study(root, lambda: LocalWorkers(1), question=question)
    return theirs, root


@pytest.fixture
def folders(finished: tuple[Path, Path]) -> Iterator[tuple[Path, Path]]:
    """The same, with everything put back behind a test."""
    saved = [folder.with_name(f"{folder.name}.saved") for folder in finished]
    for folder, copy in zip(finished, saved, strict=True):
        shutil.copytree(folder, copy)
    yield finished
    for folder, copy in zip(finished, saved, strict=True):
        shutil.rmtree(folder, ignore_errors=True)
        copy.rename(folder)


def pages(root: Path, out: Path) -> dict[str, bytes]:
    write_all(root, out=out)
    return {name: (out / name).read_bytes() for name in ("report.html", "answer.json", "map.geojson")}


def test_a_report_needs_nothing_but_the_folder_of_the_study(folders: tuple[Path, Path], tmp_path: Path) -> None:
    theirs, root = folders
    before = pages(root, tmp_path / "before")
    # Whoever gave a trace in kW sees it here.
    words = b"in W of all GPUs of a replica: Llama-3.1-70B-Instruct/trace.csv up to 2,508 W"
    assert words in before["report.html"]
    assert words in before["answer.json"]
    shutil.rmtree(theirs)
    assert pages(root, tmp_path / "after") == before
    assert main(["status", str(root)]) == 0
    # Judged again, too, and in another place.
    moved = tmp_path / "moved"
    shutil.copytree(root, moved)
    assert main(["report", str(moved), "--voltage-min-pu", "0.94"]) == 0


def test_a_file_that_changed_is_said_and_the_report_is_still_of_the_old_one(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    theirs, root = folders
    geojson = pages(root, tmp_path / "before")["map.geojson"]
    (theirs / "net" / "parts" / "lines.dss").write_text(LINES.replace("mid", "other"))
    after = pages(root, tmp_path / "after")
    assert b"files changed since the study began" in after["report.html"]
    assert b"feeder/parts/lines.dss" in after["report.html"]
    assert after["map.geojson"] == geojson


@pytest.mark.parametrize("how", ["other words", "link", "gone", "folder is a link"])
def test_a_copy_that_is_not_what_was_recorded_is_refused(folders: tuple[Path, Path], tmp_path: Path, how: str) -> None:
    theirs, root = folders
    copy = next((root / "inputs").rglob("lines.dss"))
    if how == "other words":
        copy.write_text(LINES.replace("length=2", "length=3"))
    elif how == "folder is a link":
        copy.parent.rename(tmp_path / "elsewhere")
        copy.parent.symlink_to(tmp_path / "elsewhere")
    else:
        copy.unlink()
    if how == "link":
        copy.symlink_to(theirs / "net" / "parts" / "lines.dss")
    with pytest.raises(InputError, match=r"copies of inputs .*feeder/parts/lines\.dss"):
        write_all(root, out=tmp_path / "out")
    # Without copies the files themselves are read, as in studies that kept none.
    shutil.rmtree(root / "inputs")
    write_all(root, out=tmp_path / "out")


def test_a_study_whose_files_are_gone_says_where_its_copies_lie(
    folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on another machine, where paths are others. Put back in their places, the study goes on."""
    theirs, root = folders
    monkeypatch.setenv("COLUMNS", "5000")
    moved = root.rename(root.with_name("moved"))
    try:
        elsewhere = theirs.rename(theirs.with_name("elsewhere"))
        assert main(["resume", str(moved)]) == 2
        said = capsys.readouterr().err
        assert "6 of the files that this study began with are not where they were" in said
        assert f"their copies lie in {moved / 'inputs'} below their whole paths" in said
        shutil.copytree(moved / "inputs" / theirs.relative_to("/"), theirs)
        assert main(["resume", str(moved)]) == 0
        shutil.rmtree(theirs)
        elsewhere.rename(theirs)
    finally:
        moved.rename(root)


def test_where_the_folder_cannot_be_written_the_way_out_is_named(folders: tuple[Path, Path], tmp_path: Path) -> None:
    _, root = folders
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(InputError, match=r"cannot be written: .*--out"):
        write_all(root, out=blocked / "below")
