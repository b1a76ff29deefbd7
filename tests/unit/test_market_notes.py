"""What was done with a market's readings reaches the log, the answer and the report of a study."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from g2g_opt.errors import InputError
from g2g_opt.transmission.series import SeriesNote, ZonalSeries, load_bundled_series
from solvers.outcome import SolverError
from studies.coordination_policy import day_ahead, hours
from studies.coordination_policy.market_notes import note_rows, note_tables, notes_in_words
from studies.coordination_policy.setting import CoordinationSetting, make_setting
from studies.coordination_policy.study import CoordinationStudy
from studies.shared.task import TaskResult

ZONES = {
    "CAPITL": 1200, "CENTRL": 1700, "DUNWOD": 600, "GENESE": 1000, "HUD VL": 1000, "LONGIL": 2000, "MHK VL": 800,
    "MILLWD": 280, "N.Y.C.": 5200, "NORTH": 600, "WEST": 1600,
}  # fmt: skip


def market(folder: Path) -> str:
    """Three days of 5-minute readings; N.Y.C. lacks 17:00 to 18:55 of the second; nothing has a category of sun."""
    for day in (1, 2, 3):
        load = ['"Time Stamp","Time Zone","Name","PTID","Load"']
        fuel = ["Time Stamp,Time Zone,Fuel Category,Gen MW"]
        for hour in range(24):
            for minute in range(0, 60, 5):
                at = f"01/0{day}/2019 {hour:02d}:{minute:02d}:00"
                load += [
                    f'"{at}","EST","{zone}",61750,{mw + 10.0 * hour}'
                    for zone, mw in ZONES.items()
                    if not (day == 2 and zone == "N.Y.C." and hour in (17, 18))
                ]
                fuel += [f"{at},EST,Wind,700", f"{at},EST,Other Renewables,280"]
        (folder / f"2019010{day}pal.csv").write_text("\n".join(load) + "\n", encoding="utf-8")
        (folder / f"2019010{day}rtfuelmix.csv").write_text("\n".join(fuel) + "\n", encoding="utf-8")
    return str(folder)


def study(folder: str) -> CoordinationStudy:
    days = {"first_date": "2019-01-02", "last_date": "2019-01-02", "n_days": 1}
    return CoordinationStudy(kind="day-ahead", alphas=(0.4,), market_files=folder, **days)  # type: ignore[arg-type]


def test_a_gap_in_a_peak_hour_is_told_everywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between 17 and 19 h nothing is known of N.Y.C.: 5,370 and 5,380 MW by the hours beside them; and it said so to
    nobody."""

    def unsolved(*args: object, **kwargs: object) -> None:
        raise SolverError("not asked here")

    monkeypatch.setattr(day_ahead, "solve_unit_commitment", unsolved)
    own = study(market(tmp_path))
    (task,) = own.tasks("runs", [])
    log: list[str] = []
    tables = own.run(task, lambda share, words: log.append(words))
    wanted = "gaps: N.Y.C.: interpolated (2019-01-02T17, 2019-01-02T18)"
    assert wanted in log[0]
    assert not any(wanted in words for words in log[1:])
    found = own.conclude([TaskResult(task, tables)])
    assert wanted in found.answer
    assert "stand-ins" in found.answer
    assert "Other Renewables of 20190102rtfuelmix.csv" in found.answer
    assert "pal" in found.answer
    (table,) = (one for one in found.tables if one.name == "market_notes")
    gaps = [row for row in table.rows if row["done"] == "interpolated"]
    assert [(row["series"], row["hour_begins"]) for row in gaps] == [
        ("N.Y.C.", "2019-01-02T17"),
        ("N.Y.C.", "2019-01-02T18"),
    ]
    load = hours.load_hours(own, own_setting()).load_mw
    assert load[17:19, 9].tolist() == pytest.approx([5370.0, 5380.0])


def own_setting() -> CoordinationSetting:
    return make_setting("physical", 0.2, 0.0)


def test_files_are_read_once_while_they_stand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own, read = study(market(tmp_path)), []
    load = hours.load_market_files
    monkeypatch.setattr(hours, "load_market_files", lambda *args: read.append(args) or load(*args))
    hours._read_files.cache_clear()
    for _ in range(3):
        hours.load_hours(own, own_setting())
    assert len(read) == 1
    path = tmp_path / "20190102pal.csv"
    path.write_text(path.read_text(encoding="utf-8").replace("N.Y.C.", "X.Y.C."), encoding="utf-8")
    with pytest.raises(InputError, match=r"nothing of 2019-01-02 for N\.Y\.C\."):
        hours.load_hours(own, own_setting())
    assert len(read) == 2


def test_notes_of_a_kind_are_told_together_and_none_is_nothing() -> None:
    begins = np.datetime64("2019-03-10T02")
    series = load_bundled_series()
    notes = tuple(
        SeriesNote("clock change", zone, begins, "interpolated") for zone in ("West", "Genese", "Centrl", "North")
    )
    rows = note_rows(_with(series, notes), "2019-03-10", "2019-03-10")
    assert len(rows) == 4
    assert notes_in_words(rows).startswith("Market files: 4 clock changes: West: interpolated (2019-03-10T02); ")
    assert notes_in_words(rows).endswith("; and 1 more.")
    assert note_rows(_with(series, notes), "2019-03-11", "2019-03-12") == []
    assert notes_in_words([]) == ""
    assert note_tables([]) == ()


def _with(series: ZonalSeries, notes: tuple[SeriesNote, ...]) -> ZonalSeries:
    return replace(series, notes=notes)
