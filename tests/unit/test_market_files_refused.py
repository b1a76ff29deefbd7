"""Market files that are refused, by their cause."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from market_days import MarketDay, load_one

from g2g_opt.errors import InputError
from g2g_opt.transmission.market_files import load_market_files


def break_line(day: MarketDay, old: str, new: str) -> None:
    path = day.folder / f"{day.digits}palIntegrated.csv"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ("MILLWD", "MILLWOOD", r"20180702palIntegrated\.csv has nothing of 2018-07-02 for Millwd"),
        ('"Integrated Load"', '"Load MW"', r"20180702palIntegrated\.csv lacks the columns Integrated Load.*New York"),
        ("1230.0", "about 1200", r"20180702palIntegrated\.csv, line 255: 'about 1200' is no number"),
        ("1230.0", "inf", "'inf' is no finite number"),
        ("1230.0", "1230000", r"line 255: '1230000' must be from -1e\+06 to 1e\+06 MW; a value in kW"),
        ('"EDT"', '"UTC"', r"20180702palIntegrated\.csv, line 2: the time zone 'UTC' is none of EST and EDT"),
        ("07/02/2018 09:00", "07/02/2018 29:00", "'07/02/2018 29:00:00' is no time"),
        ("07/02/2018 09:00", "02/07/2018 09:00", "02/07/2018 09:00:00 is not of 2018-07-02"),
        (",61752,1230.0", "", "ends early"),
    ],
)
def test_a_damaged_file_is_refused(july: MarketDay, old: str, new: str, text: str) -> None:
    break_line(july, old, new)
    with pytest.raises(InputError, match=text):
        load_one(july)


def test_a_file_that_is_no_text_is_refused(july: MarketDay) -> None:
    (july.folder / "20180702palIntegrated.csv").write_bytes(b"\x89PNG\xff\xfe")
    with pytest.raises(InputError, match=r"20180702palIntegrated\.csv, line 1 holds the byte 0x89, which is no UTF-8"):
        load_one(july)


def test_a_broken_archive_is_refused(july: MarketDay) -> None:
    (july.folder / "20180702palIntegrated.csv").unlink()
    (july.folder / "20180701palIntegrated_csv.zip").write_bytes(b"<html>not found</html>")
    with pytest.raises(InputError, match=r"20180701palIntegrated_csv.zip cannot be unpacked"):
        load_one(july)


@pytest.mark.parametrize(("kind", "needed"), [("palIntegrated", "20180703pal.csv"), ("rtfuelmix", "20180701rtfuelmix")])
def test_a_day_without_a_file_is_refused(july: MarketDay, kind: str, needed: str) -> None:
    MarketDay("2018-07-03", july.folder).write_all()
    (july.folder / f"20180703{kind}.csv").unlink()
    with pytest.raises(InputError, match=rf"nothing for 2018-07-03 in .*{needed}"):
        load_market_files(july.folder, "2018-07-02", "2018-07-03")


def test_the_first_day_without_a_file_is_told_at_once_however_many_are_asked_for(july: MarketDay) -> None:
    began = time.monotonic()
    with pytest.raises(InputError, match="nothing for 0001-01-01"):
        load_market_files(july.folder, "0001-01-01", "9999-12-31")
    with pytest.raises(InputError, match="nothing for 2018-07-03"):
        load_market_files(july.folder, "2018-07-02", "9999-12-31")
    assert time.monotonic() - began < 5.0


@pytest.mark.parametrize("kind", ["palIntegrated", "pal", "isolf", "rtfuelmix"])
def test_a_folder_by_the_name_of_a_day_file_is_refused(july: MarketDay, kind: str) -> None:
    path = july.folder / f"20180702{kind}.csv"
    path.unlink(missing_ok=True)
    path.mkdir()
    if kind == "pal":
        (july.folder / "20180702palIntegrated.csv").unlink()
    with pytest.raises(InputError, match=rf"20180702{kind}\.csv is a folder"):
        load_one(july)


def test_a_fuel_mix_without_wind_is_refused(july: MarketDay) -> None:
    july.write(rtfuelmix=[line for line in july.fuels() if "Wind" not in line])
    with pytest.raises(InputError, match=r"20180702rtfuelmix.csv lacks the category Wind"):
        load_one(july)


def test_a_file_that_is_there_twice_is_refused(july: MarketDay) -> None:
    (july.folder / "more").mkdir()
    (july.folder / "more/20180702palIntegrated.csv").write_text("x", encoding="utf-8")
    with pytest.raises(InputError, match="is there twice"):
        load_one(july)


def test_files_of_other_operators_are_refused_by_whose_files_are_understood(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"only the New York operator's files .*it has no file at all"):
        load_market_files(tmp_path, "2018-07-02", "2018-07-02")
    for k in range(8):
        (tmp_path / f"hrl_load_metered_{k}.csv").write_text("datetime_beginning_ept,mw\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"only the New York operator's .*hrl_load_metered_0\.csv.* and 2 more"):
        load_market_files(tmp_path, "2018-07-02", "2018-07-02")


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not found"):
        load_market_files(tmp_path / "nowhere", "2018-07-01", "2018-07-01")
