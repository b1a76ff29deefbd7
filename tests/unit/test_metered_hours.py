"""Metered years: what can be read in one way only is read and said, everything else is refused by its cause."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from g2g_opt.errors import InputError
from g2g_opt.feeder import Feeder
from g2g_opt.hourly_profile import HourlyProfile, load_profile
from g2g_opt.scenario import Scenario
from studies.hosting_capacity.study import HostingCapacityStudy

HOUR = timedelta(hours=1)
NEW_YORK, SYDNEY, BERLIN = ZoneInfo("America/New_York"), ZoneInfo("Australia/Sydney"), ZoneInfo("Europe/Berlin")


def instants(zone: ZoneInfo, step: timedelta = HOUR) -> Iterator[datetime]:
    """Every step of the local year 2023."""
    at, end = datetime(2023, 1, 1, tzinfo=zone).astimezone(UTC), datetime(2024, 1, 1, tzinfo=zone).astimezone(UTC)
    while at < end:
        yield at
        at += step


def load(
    path: Path, texts: list[str], shares: list[float] | None = None, column: str = "hour_beginning"
) -> HourlyProfile:
    shares = shares or [0.5 + 0.4 * (k % 24) / 24 for k in range(len(texts))]
    rows = [f"{text},{share!r},0.0" for text, share in zip(texts, shares, strict=True)]
    path.write_text("\n".join([f"{column},load_share,generation_share", *rows]), encoding="utf-8")
    return load_profile(str(path))


def standard(zone: ZoneInfo) -> tuple[datetime, ...]:
    """The hours of the year by the clock that is never changed, from a midnight on."""
    offset = min(at.astimezone(zone).utcoffset() or HOUR for at in instants(zone))
    hours = [(at + offset).replace(tzinfo=None) for at in instants(zone)]
    # South of the equator the year begins in summer time: its first hour is one of the year before.
    return tuple(hours if hours[0].hour == 0 else [*hours[1:], hours[-1] + HOUR])


@pytest.mark.parametrize("zone", [NEW_YORK, SYDNEY])
@pytest.mark.parametrize("form", ["%Y-%m-%dT%H:%M%z", "%Y-%m-%dT%H:%M"])
def test_offsets_and_clock_changes_are_read_as_standard_time(tmp_path: Path, zone: ZoneInfo, form: str) -> None:
    texts = [at.astimezone(zone).strftime(form) for at in instants(zone)]
    profile = load(tmp_path / "year.csv", texts)
    assert profile.hours == standard(zone)
    assert profile.is_year
    note, *more = (note for note in profile.calendar_notes() if "standard time" in note)
    assert ("UTC offsets" in note) == form.endswith("%z")
    moved = ["its first hour, 2022-12-31 23:00 of standard time, stands behind its last, as 2023-12-31 23:00"]
    assert [note.partition(": ")[2] for note in more] == (moved if zone is SYDNEY else [])


@pytest.mark.parametrize(
    ("zone", "form", "minutes", "column"),
    [
        (BERLIN, "%Y-%m-%d %H:%M", 30, "hour_beginning"),
        (SYDNEY, "%Y-%m-%dT%H:%M:%S", 30, "hour_ending"),
        (NEW_YORK, "%Y-%m-%dT%H:%M", 60, "hour_ending"),
        (BERLIN, "%Y-%m-%dT%H:%M:%S%z", 30, "hour_ending"),
    ],
)
def test_clock_changes_offsets_parts_of_hours_and_ends_together(
    tmp_path: Path, zone: ZoneInfo, form: str, minutes: int, column: str
) -> None:
    step = timedelta(minutes=minutes)
    named = [at + (step if column == "hour_ending" else 0 * step) for at in instants(zone, step)]
    # Every row has the number of its hour since the year began, so that a shift of any part would show.
    shares = [0.01 * (k * minutes // 60 % 9000) for k in range(len(named))]
    profile = load(tmp_path / "year.csv", [at.astimezone(zone).strftime(form) for at in named], shares, column)
    assert profile.hours == standard(zone)
    n = len(profile.hours)
    first = zone is SYDNEY
    assert profile.load_share == pytest.approx([0.01 * ((k + first) % n) for k in range(n)])


def test_a_year_that_begins_at_another_hour_is_told_so_and_is_no_part_of_a_year(tmp_path: Path) -> None:
    """A year of Berlin by UTC begins at 23:00: whoever reads why it is refused knows what to write."""
    profile = load(tmp_path / "utc.csv", [at.strftime("%Y-%m-%dT%H:%MZ") for at in instants(BERLIN)])
    assert not profile.is_year
    words = "its days begin at 23:00; write its times by the clock of the place, in standard time, from 00:00 on"
    with pytest.raises(InputError, match=words):
        profile.check_is_year()
    notes = " ".join(profile.calendar_notes())
    assert words in notes
    assert "part of a year" not in notes


@pytest.mark.parametrize("zone", [NEW_YORK, SYDNEY])
@pytest.mark.parametrize("form", ["%Y-%m-%dT%H:%M%z", "%Y-%m-%dT%H:%M"])
def test_the_wrong_one_of_both_names_is_refused_also_where_clocks_change(
    tmp_path: Path, zone: ZoneInfo, form: str
) -> None:
    """South of the equator local 01:00 of a January is 00:00 of standard time, and looks like a beginning."""
    ends = [(at + HOUR).astimezone(zone).strftime(form) for at in instants(zone)]
    with pytest.raises(InputError, match=r"line 2.*from 01:00 on.*named by the ends"):
        load(tmp_path / "ends.csv", ends)
    beginnings = [at.astimezone(zone).strftime(form) for at in instants(zone)]
    with pytest.raises(InputError, match=r"line 2.*from 00:00 on.*named by the beginnings"):
        load(tmp_path / "beginnings.csv", beginnings, column="hour_ending")


def test_a_row_that_lacks_and_one_that_is_there_twice_are_no_summer_time(tmp_path: Path) -> None:
    """On two Sundays of one month, where no clock is changed and changed back."""
    hours = [datetime(2023, 3, 1) + k * HOUR for k in range(31 * 24)]
    wrong = [at for at in hours if at != datetime(2023, 3, 12, 2)]
    wrong.insert(wrong.index(datetime(2023, 3, 19, 1)), datetime(2023, 3, 19, 1))
    with pytest.raises(InputError, match="every hour needs a row of its own"):
        load(tmp_path / "month.csv", [at.isoformat() for at in wrong])


def test_quarter_hours_are_averaged(tmp_path: Path) -> None:
    texts = [f"2023-07-01T{hour:02d}:{minute:02d}" for hour in range(24) for minute in (0, 15, 30, 45)]
    profile = load(tmp_path / "day.csv", texts, [hour + part for hour in range(24) for part in (0.0, 0.1, 0.2, 0.5)])
    assert profile.hours == tuple(datetime(2023, 7, 1, hour) for hour in range(24))
    assert profile.load_share == pytest.approx([hour + 0.2 for hour in range(24)])
    assert "mean of its 4 rows" in " ".join(profile.calendar_notes())


@pytest.mark.parametrize("minutes", [60, 15])
def test_rows_named_by_their_ends_are_moved_only_where_the_column_says_so(tmp_path: Path, minutes: int) -> None:
    ends = [datetime(2023, 7, 1) + timedelta(minutes=minutes) * (k + 1) for k in range(24 * 60 // minutes)]
    texts = [at.strftime("%Y-%m-%dT%H:%M") for at in ends]
    profile = load(tmp_path / "day.csv", texts, column="hour_ending")
    assert profile.hours == tuple(datetime(2023, 7, 1, hour) for hour in range(24))
    assert any("hour_ending names ends" in note for note in profile.calendar_notes())
    with pytest.raises(InputError, match=r"line 2.*hour_ending"):
        load(tmp_path / "same.csv", texts)


def test_a_year_of_hour_endings_is_refused_under_the_wrong_name(tmp_path: Path) -> None:
    texts = [(datetime(2023, 1, 1, 1) + k * HOUR).isoformat() for k in range(8760)]
    with pytest.raises(InputError, match="look as if rows were named by the ends"):
        load(tmp_path / "year.csv", texts)
    assert load(tmp_path / "named.csv", texts, column="hour_ending").is_year


DAY = [f"2023-03-12T{hour:02d}:00" for hour in range(24)]  # clocks go forward in New York


@pytest.mark.parametrize(
    ("texts", "reason"),
    [
        ([*DAY[:2], *DAY[3:]], r"line 4.*change of the clock, which leaves an hour out.*UTC offsets"),
        ([*DAY[:2], *DAY[1:]], r"line 4.*change of the clock, which has an hour twice"),
        ([*DAY[:12], *DAY[13:]], r"line 14.*every hour needs a row of its own"),
        ([*DAY[:12], DAY[11], *DAY[12:]], r"line 14.*every hour needs a row of its own"),
        (DAY[::-1], "every hour needs a row"),
        ([*DAY[:3], f"{DAY[3]}Z", *DAY[4:]], r"line 5: some times have a UTC offset"),
        ([*DAY, "2023-03-12T24:00"], r"line 26.*is an hour 24"),
        (["2023-03-12T00:07", "2023-03-12T01:07"], "must be a full hour"),
        (["2023-03-12T00:15", "2023-03-12T01:15"], "within an hour"),
        (["2023-03-12T00:00", "2023-03-12T00:15", "2023-03-12T00:30"], "the last hour has 3 of its 4 rows"),
        (["2023-03-12T00:00", "2023-03-12T00:25"], "equal parts"),
        (["0001-01-01T00:00+12:00", "0001-01-01T01:00+12:00"], "line 2: '0001-01-01T00:00.*years from 1900 to 2200"),
        (["9999-12-31T22:00-12:00", "9999-12-31T23:00-12:00"], "line 2: '9999-12-31T22:00.*years from 1900 to 2200"),
    ],
)
def test_what_cannot_be_read_in_one_way_is_refused_by_its_cause(tmp_path: Path, texts: list[str], reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        load(tmp_path / "day.csv", texts)


def test_a_table_without_hours_or_with_both_names_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "day.csv"
    path.write_text("when,load_share,generation_share\n2023-01-01T00:00,1,0\n")
    with pytest.raises(InputError, match="lacks the columns hour_beginning"):
        load_profile(str(path))
    path.write_text("hour_beginning,hour_ending,load_share,generation_share\n2023-01-01T00:00,2023-01-01T01:00,1,0\n")
    with pytest.raises(InputError, match="both columns"):
        load_profile(str(path))


def test_the_first_hour_that_there_is_has_no_end(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="years from 1900 to 2200"):
        load(tmp_path / "first.csv", ["0001-01-01T00:00", "0001-01-01T01:00"], column="hour_ending")


def year_with(path: Path, header: str, row: str) -> HourlyProfile:
    path.write_text("\n".join([header, *(f"{at},{row}" for at in DAY)]), encoding="utf-8")
    return load_profile(str(path))


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("55,0,0.05", "load_share reaches 55 times the circuit's own load"),
        ("0.5,80,0.05", "generation_share reaches 80 times the peak"),
        ("0.5,0,42", "price_per_kwh is 42 \\$ on average"),
        ("0.5,0,-42", "price_per_kwh is -42 \\$ on average"),
    ],
)
def test_figures_that_look_like_another_unit_are_said(tmp_path: Path, row: str, words: str) -> None:
    header = "hour_beginning,load_share,generation_share,price_per_kwh"
    notes = year_with(tmp_path / "day.csv", header, row).calendar_notes()
    assert re.search(f"profile day: its {words}", "\n".join(notes))
    plain = year_with(tmp_path / "plain.csv", header, "1.9,1.9,0.9")
    assert not plain.notes


def test_columns_that_nothing_is_read_from_are_said_and_one_that_is_nearly_the_price_is_refused(tmp_path: Path) -> None:
    header = "hour_beginning,load_share,generation_share"
    profile = year_with(tmp_path / "day.csv", f"{header},price,load_share_raw", "0.5,0,1,1")
    assert "nothing is read from its columns price, load_share_raw" in profile.notes
    for name, why in (
        ("price_per_mwh", "is of another unit than price_per_kwh; convert it"),
        ("prices_per_kwh", "not found; did you mean price_per_kwh"),
        ("Price per MWh", "is of another unit than price_per_kwh; convert it"),
    ):
        with pytest.raises(InputError, match=f"column '{name}' {why}"):
            year_with(tmp_path / "priced.csv", f"{header},{name}", "0.5,0,1")
    assert year_with(tmp_path / "cased.csv", f"{header}, Price_per_kWh ", "0.5,0,0.1").price_per_kwh == (0.1,) * 24
    assert year_with(tmp_path / "both.csv", f"{header},price_per_kwh,price_per_mwh", "0.5,0,0.1,100").price_per_kwh


def test_names_of_a_profiles_columns_are_read_in_any_case_and_the_nearest_is_named(tmp_path: Path) -> None:
    profile = year_with(tmp_path / "day.csv", "Hour_Beginning , LOAD_SHARE,Generation_Share", "0.5,0")
    assert (profile.load_share[0], profile.notes) == (0.5, ())
    for slip, meant in (("hour_begining", "hour_beginning"), ("hour end", "hour_ending")):
        with pytest.raises(InputError, match=rf"lacks the columns hour_beg.*; it has '{slip}'; did you mean {meant}"):
            year_with(tmp_path / "slip.csv", f"{slip},load_share,generation_share", "0.5,0")
    with pytest.raises(InputError, match=r"lacks the columns load_share; .*; rename load share to load_share\?"):
        year_with(tmp_path / "blank.csv", "hour_beginning,load share,generation_share", "0.5,0")


def test_a_study_that_runs_hours_of_a_profile_says_what_was_done_to_it(tmp_path: Path) -> None:
    """Of every study with a scenario: its feeder says it, in the report and on the screen."""
    year_with(tmp_path / "day.csv", "hour_beginning,load_share,generation_share", "55,0")
    scenario = Scenario(profile=str(tmp_path / "day.csv"))
    said = HostingCapacityStudy(feeder="ieee13", scenario=scenario).load_feeder().state
    assert any("profile day: its load_share reaches 55 times" in words for words in said)
    plain = HostingCapacityStudy(feeder="ieee13", scenario=Scenario(profile="hudson_valley_2018")).load_feeder()
    assert plain.state == Feeder.load("ieee13").state
