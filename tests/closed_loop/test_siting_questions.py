"""Siting: days that stand for a year, prices by the hour, and what cannot be asked."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from joint_siting import JOINT, SITES
from pydantic import TypeAdapter

from g2g_opt.errors import InputError
from g2g_opt.hourly_profile import load_profile
from studies.catalogue import make_question, question_json
from studies.cli import main
from studies.pv_datacenter_siting.case import days_of, make_case
from studies.pv_datacenter_siting.days import five_days, typical_days, with_day

pytestmark = pytest.mark.xdist_group("siting")  # one worker, so that the study is run once


# --- days


def test_days_stand_for_a_whole_year() -> None:
    profile = load_profile("hudson_valley_2018")
    for days in (five_days(profile), typical_days(profile, 6)):
        assert sum(day.n_days for day in days) == pytest.approx(365.0)
        added = with_day(days, profile, 100)
        assert sum(day.n_days for day in added) == pytest.approx(365.0)
        assert added[-1].n_days == 1.0
    load = np.array(profile.load_share)
    typical = typical_days(profile, 6)
    assert {day.index for day in typical} >= {int(load.argmax()) // 24, int(load.argmin()) // 24}


def test_the_sunnier_summer_day_has_more_sun_than_the_cloudy_one() -> None:
    sun = {day.name: day.sun.sum() for day in five_days(load_profile("hudson_valley_2018"))}
    assert sun["summer"] > sun["summer_cloudy"]
    assert sun["summer"] > sun["winter"]


def test_prices_by_the_hour_are_what_energy_earns(tmp_path: Path) -> None:
    begin = datetime(2023, 1, 1)
    path = tmp_path / "priced.csv"
    rows = []
    for k in range(24 * 365):
        at = begin + timedelta(hours=k)
        sun = max(0.0, float(np.sin((at.hour - 6) * np.pi / 12)))
        rows.append(f"{at.isoformat()},0.5,{sun:.4f},{0.30 if at.hour == 12 else -0.01}")
    path.write_text("\n".join(["hour_beginning,load_share,generation_share,price_per_kwh", *rows]), encoding="utf-8")
    study = replace(JOINT, profile=str(path), mode="pv", sites=(), sweeps=())
    case = make_case(study, study.load_feeder(), days_of(study))
    noon = np.flatnonzero(case.calendar.price_per_kwh == 0.30)
    assert sorted(set((noon % 96).tolist())) == [48, 49, 50, 51]
    assert set(case.calendar.price_per_kwh.tolist()) == {0.30, -0.01}
    with pytest.raises(InputError, match="cannot be swept"):
        replace(study, sweeps=(("price", (0.1,)),)).check()
    path.write_text(path.read_text().replace("-0.01", "dear", 1), encoding="utf-8")
    with pytest.raises(InputError, match=r"priced\.csv, line 2, price_per_kwh: 'dear' is no number"):
        load_profile(str(path))


# --- bad input


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"pv_buses": ("nowhere",)}, "nowhere"),
        ({"pv_buses": ("611",)}, "all three"),
        ({"pv_total_max_kw": 5.0}, "nothing can be built"),
        ({"pv_size_min_kw": 700.0}, "at most pv_size_max_kw"),
        ({"sites": (replace(SITES[0], candidates=("632",)), replace(SITES[1], candidates=("632",)))}, "no two sites"),
        ({"pv_zones": ({"zone": "north", "count": 1},)}, "zone"),
        ({"slot_h": 5}, "slot_h"),
        ({"sweeps": (("colour", (1.0,)),)}, "colour"),
        ({"sweeps": (("pv-total", (1.0,)),)}, "nothing can be built"),
        ({"site_scale_min": 2.0}, "scale of sites goes from the least"),
        ({"mode": "dc", "storage": {"power_max_kw": 1.0, "energy_max_kwh": 1.0}}, "beside PV"),
    ],
)
def test_what_cannot_be_asked_is_refused_in_words(changed: dict[str, object], words: str) -> None:
    import json

    content = json.loads(question_json(JOINT)) | json.loads(json.dumps(changed, default=_plain))
    content.pop("study")
    question = make_question("siting", content)
    with pytest.raises(InputError, match=words):
        question.check()


def test_ten_days_are_no_year(tmp_path: Path) -> None:
    """Their plan was sold as earning 348,542 $ a year."""
    begin = datetime(2023, 6, 1)
    rows = [f"{(begin + timedelta(hours=k)).isoformat()},0.5,0.1" for k in range(240)]
    path = tmp_path / "ten_days.csv"
    path.write_text("\n".join(["hour_beginning,load_share,generation_share", *rows]), encoding="utf-8")
    with pytest.raises(InputError, match="'ten_days' covers 240 hours from 2023-06-01 00:00 to 2023-06-10 23:00"):
        replace(JOINT, profile=str(path)).check()


def _plain(value: object) -> object:
    return json.loads(TypeAdapter(type(value)).dump_json(value))


def test_a_profile_with_a_gap_or_negative_sun_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    begin = datetime(2024, 1, 1)
    hours = [begin + timedelta(hours=k) for k in range(24 * 366)]
    good = [f"{at.isoformat()},0.5,{max(0.0, np.sin((at.hour - 6) * np.pi / 12)):.4f}" for at in hours]
    header = "hour_beginning,load_share,generation_share"
    gap, negative = tmp_path / "gap.csv", tmp_path / "negative.csv"
    gap.write_text("\n".join([header, *good[:100], *good[101:]]), encoding="utf-8")
    negative.write_text(
        "\n".join([header, *good[:12], f"{hours[12].isoformat()},0.5,-0.2", *good[13:]]), encoding="utf-8"
    )
    for path in (gap, negative):
        assert main(["siting", "--feeder", "ieee13", "--profile", str(path), "--out", str(tmp_path / "out")]) == 2
        words = capsys.readouterr().err
        assert path.name in words.replace("\n", "")
        assert "Traceback" not in words


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--sweep", "pv-cost"], "cannot be read"),
        (["--sweep", "pv-cost=cheap"], "--sweep pv-cost: 'cheap' is no number"),
        (["--pv-zone", "everywhere"], "cannot be read"),
        (["--pv-bus", "xyz"], "xyz"),
    ],
)
def test_flags_that_cannot_be_read_are_named(
    flags: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["siting", "--feeder", "ieee13", *flags, "--out", str(tmp_path / "out")]) == 2
    assert words in capsys.readouterr().err


def test_a_flag_of_two_figures_is_refused_with_one(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["siting", "--feeder", "ieee13", "--site-scale", "2"])
    assert end.value.code == 2
    assert "takes 2 parts separated by ',' (MIN,MAX), got 1" in capsys.readouterr().err
