"""Portfolios: one question over a folder of feeders; what is broken has a reason and the rest an answer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from g2g_opt.errors import InputError
from g2g_opt.feeder import Feeder
from g2g_opt.limits import Limits
from g2g_opt.scenario import Scenario
from studies.catalogue import question_toml
from studies.hosting_capacity.capacity import Aim
from studies.hosting_capacity.study import HostingCapacityStudy
from studies.hosting_capacity.work import search_aims
from studies.portfolio.study import PortfolioStudy
from studies.running.local_workers import LocalWorkers
from studies.running.runner import run_study
from studies.shared.task import TaskResult

QUESTION = HostingCapacityStudy(
    operations=("firm",),
    ladder=False,
    buses=("671", "675"),
    scenario=Scenario(duration_s=20, replica_ramps=()),
    limits=Limits(rapid_voltage_change_max_pu=None),
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "feeders"
    feeder = Feeder.load("ieee13")
    feeder.write_dss(root / "one")
    feeder.extended(("Load.634a.kW=400",)).write_dss(root / "two")
    (root / "broken.dss").write_text("New Circuit.x basekv=4.16\nNew Line.a bus1=sourcebus bus2=b linecode=nowhere\n")
    (root / "notes").mkdir()
    (tmp_path / "study.toml").write_text(question_toml(QUESTION))
    return root


def test_a_circuit_that_breaks_a_limit_without_a_site_is_told_of(tmp_path: Path) -> None:
    """A study of one feeder says so in its report; of many, each row does."""
    circuits = Path(__file__).parents[1] / "circuits"
    (tmp_path / "feeders").mkdir()
    text = (circuits / "n1_deltasecondary.dss").read_text(encoding="utf-8")
    (tmp_path / "feeders" / "n1.dss").write_text(text, encoding="utf-8")
    (tmp_path / "feeders" / "less.dss").write_text(text.replace("Solve", "Set LoadMult=0.5\nSolve"), encoding="utf-8")
    (tmp_path / "study.toml").write_text(question_toml(replace(QUESTION, buses=("mid",))), encoding="utf-8")
    study = PortfolioStudy(folder=str(tmp_path / "feeders"), question=str(tmp_path / "study.toml"))
    results = [TaskResult(task, study.run(task, lambda share, words: None)) for task in study.tasks("feeders", [])]
    rows = [row for result in results for row in result.tables["feeders"]]
    told = {row["feeder"]: [words for words in row["warnings"] if words.startswith("without any site")] for row in rows}
    assert told["less"] == []
    (words,) = told["n1"]
    assert "1 of 9 judged bus-phases is outside 0.95 to 1.05 pu, worst far.AB 0.9480 pu" in words
    # It hosts what nobody knows by these limits, and not nothing: it has no place among the others.
    conclusion = study.conclude(results)
    assert {row["feeder"]: row["state"] for row in conclusion.tables[0].rows} == {"less": "answered", "n1": "no figure"}
    assert [row["feeder"] for row in conclusion.tables[1].rows] == ["less"]
    assert conclusion.answer.startswith("1 of 2 feeders have an answer; 1 without a figure of any bus, first n1: Firm")
    assert "breaks a limit without any site" in conclusion.answer
    assert conclusion.answer.endswith("Bus mid of less is the only one with a firm capacity, 2.49 MW.")


def test_every_feeder_has_an_answer_or_a_reason(folder: Path, tmp_path: Path) -> None:
    study = PortfolioStudy(folder=str(folder), question=str(tmp_path / "study.toml"))
    finished = run_study(tmp_path / "out", lambda: LocalWorkers(1, None), question=study)
    assert {entry.task.label: entry.state for entry in finished.entries} == {
        "broken": "failed",
        "one": "done",
        "two": "done",
    }
    (broken,) = finished.failed
    assert "nowhere" in broken.reason
    results = [TaskResult(task, study.run(task, lambda share, words: None)) for task in study.tasks("feeders", [])[1:2]]
    results += [TaskResult(entry.task, failed=entry.reason) for entry in finished.failed]
    conclusion = study.conclude(results)
    assert [row["state"] for row in conclusion.tables[0].rows] == ["answered", "failed"]
    assert "1 of 2 feeders" in conclusion.answer
    # The figure of a bus is that of the feeder's own study.
    asked = study.asked_of(study.feeders()["one"])
    assert isinstance(asked, HostingCapacityStudy)
    alone = search_aims(asked, dict.fromkeys([Aim(("671",), "firm", 0.5), Aim(("675",), "firm", 0.5)]))
    peaks = {one.capacity.bus: one.capacity.largest.summary.power_peak_mw for one in alone if one.capacity.largest}
    ranked = {row["bus"]: row["value"] for row in conclusion.tables[1].rows}
    assert ranked == pytest.approx(peaks, abs=1e-4)
    assert list(ranked) == sorted(peaks, key=lambda bus: -peaks[bus])


def test_files_and_folders_of_one_name_are_feeders_each(tmp_path: Path) -> None:
    places = ("a.dss", "a.DSS", "a/Master.dss", "b/Master.dss", "c/Master.dss")
    for place in places:
        (tmp_path / place).parent.mkdir(exist_ok=True)
        (tmp_path / place).write_text("Clear\n")
    found = PortfolioStudy(folder=str(tmp_path)).feeders()
    assert sorted(found.values()) == sorted(str(tmp_path / place) for place in places)
    assert {"b", "c", "a/Master.dss"} < set(found)


def test_feeders_are_those_of_a_list_where_there_is_one(folder: Path) -> None:
    (folder / "feeders.txt").write_text("# bundled\nieee34\none/ieee13.dss\n")
    study = PortfolioStudy(folder=str(folder), buses_max=2)
    assert study.feeders() == {"ieee34": "ieee34", "one/ieee13.dss": str(folder / "one" / "ieee13.dss")}
    asked = study.asked_of("ieee34")
    assert isinstance(asked, HostingCapacityStudy)
    assert (asked.feeder, len(asked.buses)) == ("ieee34", 2)
    # A study file that names no bus is asked of as many; one that names some, of those.
    (folder / "any.toml").write_text(question_toml(HostingCapacityStudy(operations=("firm",))))
    anywhere = PortfolioStudy(folder=str(folder), question=str(folder / "any.toml"), buses_max=2).asked_of("ieee34")
    assert isinstance(anywhere, HostingCapacityStudy)
    assert (anywhere.buses, anywhere.operations) == (asked.buses, ("firm",))


def test_a_folder_without_a_feeder_or_a_question_of_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="name the folder"):
        PortfolioStudy().check()
    with pytest.raises(InputError, match="has no feeder"):
        PortfolioStudy(folder=str(tmp_path)).check()
    (tmp_path / "broken.dss").write_text("Nonsense\n")
    with pytest.raises(InputError, match="can be asked"):
        PortfolioStudy(folder=str(tmp_path)).check()


def test_a_folder_whose_master_file_nobody_can_tell_has_a_reason(tmp_path: Path) -> None:
    """Two circuits and no Master.dss, or circuits deeper down: such a feeder is not left out without a word."""
    circuit = "Clear\nNew Circuit.x basekv=4.16\n"
    for place in ("good/Master.dss", "two/a.dss", "two/b.DSS", "deep/north/Master.dss", "notes/readme.txt"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_text(circuit, encoding="utf-8")
    study = PortfolioStudy(folder=str(tmp_path))
    assert list(study.feeders()) == ["deep", "good", "two"]
    with pytest.raises(
        InputError, match=r"two has a\.dss, b\.DSS, and none is called Master\.dss; name .* feeders\.txt"
    ):
        study.asked_of(study.feeders()["two"])
    with pytest.raises(InputError, match=r"deep has its \.dss files deeper; name .* feeders\.txt"):
        study.asked_of(study.feeders()["deep"])
