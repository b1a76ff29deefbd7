"""What a coordination study cannot be asked: refused in words by `check`, before a worker starts."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from g2g_opt.errors import InputError
from g2g_opt.transmission.series import zone_names
from studies.catalogue import make_question, parse_question, question_json
from studies.cli import main
from studies.coordination_policy.hours import draw_hours, load_hours
from studies.coordination_policy.question import CoordinationQuestion
from studies.coordination_policy.setting import draw_records, make_setting
from studies.coordination_policy.study import CoordinationStudy

NAN, INF = float("nan"), float("inf")
LOOP: dict[str, Any] = {"kind": "closed-loop", "q": (50,)}
DAYS: dict[str, Any] = {"kind": "day-ahead", "n_days": 2, "first_date": "2019-06-01", "last_date": "2019-06-30"}


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"eps": None},
        {"alphas": (0.0,), "eps": (0.0,)},
        {"q": (545,), "penetrations": (1.0,)},
        LOOP,
        LOOP | {"features": "expected", "response": "shrink", "first_date": "2018-01-10", "last_date": "2018-01-10"},
        DAYS,
        # Nothing is trained: a study of the first days needs no days before them.
        DAYS | {"first_date": "2018-01-01", "last_date": "2018-01-02"},
    ],
)
def test_what_can_be_asked_passes_and_survives_its_text(changed: dict[str, Any]) -> None:
    study = CoordinationStudy(**changed)
    study.check()
    assert parse_question(question_json(study)) == study
    assert eval(repr(study)) == study
    assert hash(study) == hash(CoordinationStudy(**changed))


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"alphas": (0.25, -0.1)}, r"alpha.*-0\.1"),
        ({"alphas": (NAN,)}, "alpha"),
        ({"alphas": (INF,)}, "alpha"),
        ({"alphas": ()}, "alphas is empty"),
        ({"eps": (-1.0,)}, "eps"),
        ({"n_1": 3}, "give --network"),
        ({"eps": (NAN, 1.0)}, "eps"),
        ({"eps": (1.0, NAN)}, "eps"),
        ({"eps": (INF,)}, "eps"),
        ({"eps": ()}, "eps"),
        ({"penetrations": (0.0,)}, "penetration"),
        ({"penetrations": (0.2, 1.01)}, r"penetration.*1\.01"),
        ({"penetrations": (NAN,)}, "penetration"),
        ({"penetrations": ()}, "penetrations is empty"),
        ({"q": (546,)}, "below the 546 records"),
        ({"q": (250, 10_000)}, r"\[10000\]"),
        ({"q": (1,)}, "q must be"),
        ({"q": (0,)}, r"q\.0"),
        ({"q": ()}, "q is empty"),
        # Of three records, two of five fifths are empty.
        ({"q": (3,), "eps": None}, "cross-validation"),
        ({"q": (100, 100)}, "twice"),
        ({"alphas": (0.25, 0.25)}, "twice"),
        ({"n_draws": 0}, "n_draws"),
        ({"n_ties": -1}, "n_ties"),
        ({"n_days": 0}, "days"),
        ({"latency_margin": 1.0}, "latency_margin"),
        ({"latency_margin": -0.1}, "latency_margin"),
        ({"latency_margin": NAN}, "latency_margin"),
        ({"redispatch_max": 0.0}, "redispatch_max"),
        (LOOP | {"redispatch_max": 0.2}, "peak hours"),
        ({"redispatch_max": 0.2, "statement": "cvxpy"}, "from matrices"),
        ({"mip_gap": 0.0}, "mip_gap"),
        ({"mip_gap": 1.0}, "gap"),
        ({"time_limit_s": 0.0}, "time_limit_s"),
        ({"time_limit_s": NAN}, "time_limit_s"),
        ({"seed": -1}, "seed"),
        ({"features": "expected"}, "published"),
        (LOOP | {"q": (0,)}, r"q\.0"),
        (LOOP | {"q": (-3,)}, r"q\.0"),
        (LOOP | {"q": (10_000,)}, "8735 hours lie before 2019-01-01"),
        # Nothing chooses between bounds in closed loop, and no ties are trained.
        (LOOP | {"eps": None}, "cross-validation"),
        (LOOP | {"n_ties": 1}, "ties"),
        (LOOP | {"first_date": "2019-02-30"}, "2019-02-30.*is no date"),
        (LOOP | {"first_date": ""}, "is no date"),
        (LOOP | {"first_date": "NaT"}, "is no date"),
        (LOOP | {"first_date": "2019-01"}, "is no date"),
        (LOOP | {"last_date": "2019-06"}, "is no date"),
        (LOOP | {"first_date": "2019-01-08", "last_date": "2019-01-07"}, "2019-01-08 comes after"),
        (LOOP | {"first_date": "2018-01-01"}, "no hours before 2018-01-01 to train"),
        (LOOP | {"first_date": "2018-01-02"}, "no hours before 2018-01-02 to train"),
        (LOOP | {"first_date": "2017-12-31"}, "2018-01-01 to 2019-06-30"),
        # A run that ends earlier than was asked would look like the whole one.
        (LOOP | {"last_date": "2019-07-01"}, "2018-01-01 to 2019-06-30"),
        (LOOP | {"first_date": "2025-01-01", "last_date": "2025-01-02"}, "2018-01-01 to 2019-06-30"),
        (DAYS | {"n_days": 31}, "31 days are asked for, 30"),
        (DAYS | {"last_date": "someday"}, "is no date"),
    ],
)
def test_what_cannot_be_asked_is_refused_in_words(changed: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        CoordinationStudy(**changed).check()


@pytest.mark.parametrize(
    "changed",
    [
        {"features": "temperatures"},
        {"kind": "week-ahead"},
        {"response": "ignore"},
        {"shed_rule": "sheds much"},
        {"settings": "exact"},
        {"q": (2.5,)},
        {"alphas": "0.25"},
        {"colour": "red"},
    ],
)
def test_words_that_are_no_choice_are_named(changed: dict[str, Any]) -> None:
    (name,) = changed
    with pytest.raises(InputError, match=name):
        make_question("coordination", changed)


def test_the_default_question_is_the_recorded_one() -> None:
    plain = CoordinationQuestion()
    assert (plain.seed, plain.q, plain.eps, plain.penetrations, plain.alphas) == (256, (250,), (10.0,), (0.2,), (0.25,))
    assert (plain.settings, plain.response, plain.shed_rule) == ("physical", "reject", "sheds nothing")


# ---------------------------------------------------------------- draws


def test_draws_are_keyed_and_lie_before_the_run() -> None:
    loop = CoordinationStudy(**LOOP)
    setting = make_setting("physical", 0.2, 0.25)
    hours = load_hours(loop, setting)
    late_first = [draw_hours(loop, hours, 60, draw) for draw in (2, 1, 0)][::-1]
    for draw, train in enumerate(late_first):
        assert np.array_equal(train, draw_hours(loop, hours, 60, draw))
        assert len(set(train)) == 60
        assert train.min() >= 25
        assert train.max() < hours.first
    assert len({tuple(train) for train in late_first}) == 3
    assert not np.array_equal(late_first[0], draw_hours(replace(loop, seed=1), hours, 60, 0))


def test_the_first_draw_of_peak_hours_is_the_recorded_split() -> None:
    first = draw_records(256, 0, 546, 250)
    assert first.tolist() == sorted(np.random.default_rng(256).choice(546, 250, replace=False).tolist())
    others = [tuple(draw_records(256, draw, 546, 250)) for draw in (3, 1, 2)]
    assert len({tuple(first), *others}) == 4
    assert others[1] == tuple(draw_records(256, 1, 546, 250))


# ---------------------------------------------------------------- the user's market files


def market_folder(folder: Path, zones: tuple[str, ...]) -> Path:
    """One day of files, far too little, whose load lacks whatever is not in `zones`."""
    folder.mkdir()
    for day in ("20240101", "20240102"):
        at = f"{day[4:6]}/{day[6:]}/{day[:4]}"
        load = [f'"{at} {hour:02d}:00:00","EST","{zone}",61752,1000.0' for hour in range(24) for zone in zones]
        header = '"Time Stamp","Time Zone","Name","PTID","Integrated Load"'
        (folder / f"{day}palIntegrated.csv").write_text("\n".join([header, *load]), encoding="utf-8")
    return folder


def test_market_files_without_a_zone_are_refused_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = market_folder(tmp_path / "market", tuple(zone for zone in zone_names() if zone != "Dunwod"))
    study = CoordinationStudy(
        **DAYS | {"market_files": str(folder), "first_date": "2024-01-01", "last_date": "2024-01-02"}
    )
    with pytest.raises(InputError, match=r"20240101.*Dunwod"):
        study.check()


@pytest.mark.parametrize(("first", "words"), [("2024-01-02", "20230102|2023-01-02"), ("2024-13-01", "is no date")])
def test_market_files_without_the_days_to_train_with_are_refused(tmp_path: Path, first: str, words: str) -> None:
    folder = market_folder(tmp_path / "market", zone_names())
    study = CoordinationStudy(**LOOP | {"market_files": str(folder), "first_date": first, "last_date": "2024-01-02"})
    with pytest.raises(InputError, match=words):
        study.check()


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere"):
        CoordinationStudy(**LOOP | {"market_files": str(tmp_path / "nowhere")}).check()


def test_market_files_that_would_not_be_read_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no market files"):
        CoordinationStudy(market_files=str(tmp_path)).check()


# ---------------------------------------------------------------- the command line


def status_of(words: list[str]) -> int:
    """Exit status, whether the parser or the question refuses."""
    try:
        return main(words)
    except SystemExit as ended:
        return int(ended.code or 0)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--alpha", "-1"], "alpha"),
        (["--alpha", "some"], "--alpha"),
        (["--eps", "-0.5"], "eps"),
        (["--eps", "nan"], "--eps"),
        (["--q", "600"], "546"),
        (["--q", "2.5"], "whole number"),
        (["--penetration", "0"], "penetration"),
        (["--penetration", ","], "--penetration"),
        (["--kind", "closed-loop", "--first", "2019-02-30"], "2019-02-30"),
        (["--kind", "closed-loop", "--first", "2019-06-02", "--last", "2019-06-01"], "2019-06-02"),
        (["--kind", "closed-loop", "--market-files", "nowhere/at/all"], "nowhere"),
        (["--seed", "-1"], "seed"),
    ],
)
def test_bad_flags_end_with_words_and_code_2(
    flags: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status_of(["coordination", *flags, "--out", str(tmp_path / "out")]) == 2
    told = capsys.readouterr().err
    assert words in told.replace("\n", "")
    assert "Traceback" not in told
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("flags", [["--features", "temperatures"], ["--kind", "week"], ["--draws", "many"]])
def test_flags_that_are_no_choice_end_with_code_2(
    flags: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["coordination", *flags, "--out", str(tmp_path / "out")])
    assert ended.value.code == 2
    assert flags[0] in capsys.readouterr().err


def test_a_question_from_a_file_is_the_one_from_flags() -> None:
    study = CoordinationStudy(**LOOP | {"features": "expected", "eps": (100.0,)})
    content = json.loads(question_json(study))
    assert make_question(content.pop("study"), content) == study
    assert replace(study, n_draws=3) != study
