"""Market files as a user downloads them: normal days, clock changes, gaps, doubles, archives, and a round trip."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from market_days import ZONES, MarketDay, load_one, stamp

from g2g_opt.errors import InputError
from g2g_opt.transmission.market_files import load_market_files
from g2g_opt.transmission.series import SeriesNote, ZonalSeries, load_bundled_series


def notes_of(series: ZonalSeries, *kinds: str) -> list[tuple[str, str, str]]:
    return [(n.series, str(n.hour_begins)[-2:], n.done) for n in series.notes if n.kind in kinds]


# ---------------------------------------------------------------- days


def test_a_normal_day_comes_as_the_files_say(july: MarketDay) -> None:
    series = load_one(july)
    assert series.zones == ZONES
    np.testing.assert_array_equal(series.load_mw, np.repeat(1000.0 + 10.0 * np.arange(24.0)[:, None], 11, axis=1))
    assert (series.forecast_mw == 2000.0).all()
    assert ((series.wind_mw == 500.0) & (series.solar_mw == 250.0)).all()
    assert {note.kind for note in series.notes} == {"stand-in"}
    assert [n.series for n in series.notes] == ["solar"]
    assert "refuse" in series.notes[0].done


def test_zones_are_found_by_name_not_by_order(july: MarketDay) -> None:
    july.load_mw[14, "EDT", "N.Y.C."] = 9999.0
    lines = july.integrated()
    july.write(palIntegrated=[lines[0].upper(), *reversed(lines[1:])])
    load_mw = load_one(july).load_mw
    assert load_mw[14, ZONES.index("N.Y.C.")] == 9999.0
    assert (load_mw == 9999.0).sum() == 1


def test_in_spring_the_skipped_hour_is_interpolated_and_noted(tmp_path: Path) -> None:
    day = MarketDay("2018-03-11", tmp_path).write_all()
    series = load_one(day)
    np.testing.assert_allclose(series.load_mw[:4, 0], [1000.0, 1010.0, 1020.0, 1030.0])
    assert (series.forecast_mw == 2000.0).all()
    changes = notes_of(series, "clock change", "missing")
    assert changes == [(what, "02", "interpolated") for what in ("forecast", "fuel mix", "load")]


def test_in_spring_a_value_in_the_skipped_hour_is_not_used(tmp_path: Path) -> None:
    day = MarketDay("2018-03-11", tmp_path)
    day.load_mw |= {(2, "EST", zone): 0.0 for zone in ZONES}
    series = load_one(day.write_all())
    np.testing.assert_allclose(series.load_mw[2], 1020.0)
    assert [note[:2] for note in notes_of(series, "left out")] == [("load", "02")]


def test_in_autumn_the_doubled_hour_is_averaged_and_noted(tmp_path: Path) -> None:
    day = MarketDay("2018-11-04", tmp_path)
    day.load_mw |= {(1, "EST", zone): 1200.0 for zone in ZONES}
    forecast = day.forecast()
    forecast[3] = forecast[3].replace("2000", "2300")  # the second of the two rows of 01:00
    series = load_one(day.write(palIntegrated=day.integrated(), isolf=forecast, rtfuelmix=day.fuels()))
    np.testing.assert_allclose(series.load_mw[:3, 0], [1000.0, (1010.0 + 1200.0) / 2, 1020.0])
    np.testing.assert_allclose(series.forecast_mw[:3, 0], [2000.0, 2150.0, 2000.0])
    assert notes_of(series, "clock change", "doubled", "missing") == [
        (what, "01", "the doubled hour averaged") for what in ("forecast", "fuel mix", "load")
    ]


def test_in_autumn_five_minute_readings_of_both_hours_count_alike(tmp_path: Path) -> None:
    day = MarketDay("2018-11-04", tmp_path)
    day.load_mw |= {(1, "EST", zone): 1200.0 for zone in ZONES}
    lines = day.five_minute_load(around_mw=0.0)
    stamped = stamp(day.day, 1, 55)
    lines = [line for line in lines if not ('"EST"' in line and line.startswith(f'"{stamped}'))]
    series = load_one(day.write(pal=lines, isolf=day.forecast(), rtfuelmix=day.fuels()))
    np.testing.assert_allclose(series.load_mw[1], (1010.0 + 1200.0) / 2)
    assert ("load", "01", "11 of 12 readings: averaged") in notes_of(series, "missing")


def test_readings_between_the_five_minute_ones_count_by_the_time_they_hold(tmp_path: Path) -> None:
    """Eight of 1,400 MW from 13:10:40 on, the last until 13:15: 260 s of the hour. By number they were 1,160 MW."""
    day = MarketDay("2018-07-02", tmp_path)
    day.load_mw = dict.fromkeys(day.load_mw, 1000.0)
    lines = day.five_minute_load(around_mw=0.0)
    extra = []
    for moment in ("10:40", "11:10", "11:45", "12:20", "12:50", "13:13", "13:40", "14:05"):
        regular = f"{stamp(day.day, 13, 10)}:00"
        at = regular.replace("10:00", moment)
        template = [line for line in lines if line.startswith(f'"{regular}"')]
        extra += [line.replace(regular, at).replace(",1000.0", ",1400.0") for line in template]
    assert len(extra) == 88
    assert all("1400" in line for line in extra)
    for rows in (lines + extra, [lines[0], *extra, *reversed(lines[1:])]):
        series = load_one(day.write(pal=rows, isolf=day.forecast(), rtfuelmix=day.fuels()))
        np.testing.assert_allclose(series.load_mw[13], (3340 * 1000.0 + 260 * 1400.0) / 3600)
        np.testing.assert_allclose(series.load_mw[[12, 14]], 1000.0)
        assert notes_of(series, "extra") == [("load", "13", "20 of 12 readings: weighted by the time that each holds")]


def test_files_that_read_every_quarter_of_an_hour_are_whole_and_it_is_said(tmp_path: Path) -> None:
    """At 0, 15, 30 and 45 minutes 967, 985, 1,003 and 1,021 MW (and 10 more every hour): 994 MW in the first."""
    day = MarketDay("2018-07-02", tmp_path)
    quarters = ('00:00"', '15:00"', '30:00"', '45:00"')
    lines = [line for line in day.five_minute_load() if line.split(",")[0].endswith((*quarters, 'Stamp"'))]
    fuels = [line for line in day.fuels() if line.split(",")[0].endswith((*(q[:-1] for q in quarters), "Stamp"))]
    series = load_one(day.write(pal=lines, isolf=day.forecast(), rtfuelmix=fuels))
    np.testing.assert_allclose(series.load_mw[:, 3], 994.0 + 10.0 * np.arange(24))
    np.testing.assert_allclose(series.wind_mw, 500.0)
    assert ("load", "00", "4 readings an hour in 20180702pal.csv, not 12") in notes_of(series, "stand-in")
    assert not notes_of(series, "missing")
    # One of four is too few, three are enough, and a fifth counts by the time that it holds.
    cut = [line for line in lines if not line.startswith((f'"{stamp(day.day, 9)[:-2]}', f'"{stamp(day.day, 11, 45)}'))]
    cut += [line for line in lines if line.startswith(f'"{stamp(day.day, 9, 15)}')]
    more = [line for line in lines if line.startswith(f'"{stamp(day.day, 13, 45)}')]
    cut += [line.replace("13:45:00", "13:50:00").replace(",1151.0", ",1421.0") for line in more]
    series = load_one(day.write(pal=cut))
    np.testing.assert_allclose(series.load_mw[9], (series.load_mw[8] + series.load_mw[10]) / 2)
    np.testing.assert_allclose(series.load_mw[13], 1124.0 + 270.0 * 600 / 3600)
    assert notes_of(series, "missing", "extra") == [
        ("load", "09", "1 of 4 readings: too few, not used"),
        ("load", "09", "interpolated"),
        ("load", "11", "3 of 4 readings: averaged"),
        ("load", "13", "5 of 4 readings: weighted by the time that each holds"),
    ]


def test_readings_that_are_left_of_a_damaged_file_are_no_rarer_readings(tmp_path: Path) -> None:
    day = MarketDay("2018-07-02", tmp_path)
    lines = [line for line in day.five_minute_load() if line.split(",")[0].endswith(('5:00"', '10:00"', 'Stamp"'))]
    lines = [line for line in lines if not line.split(",")[0].endswith(('25:00"', '35:00"', '45:00"', '55:00"'))]
    with pytest.raises(InputError, match="West has too few readings from 2018-07-02T00 for 24 hours"):
        load_one(day.write(pal=lines, isolf=day.forecast(), rtfuelmix=day.fuels()))


# ---------------------------------------------------------------- kinds of files


def test_five_minute_load_stands_in_for_hourly_load(tmp_path: Path) -> None:
    day = MarketDay("2018-07-02", tmp_path)
    day.write(pal=day.five_minute_load(), isolf=day.forecast(), rtfuelmix=day.fuels())
    series = load_one(day)
    np.testing.assert_allclose(series.load_mw[:, 3], 1000.0 + 10.0 * np.arange(24))
    assert [note[0] for note in notes_of(series, "stand-in")] == ["load", "solar"]


def test_hourly_load_is_preferred_to_five_minute_load(july: MarketDay) -> None:
    july.write(pal=[line.replace("10", "20") for line in july.five_minute_load()])
    np.testing.assert_array_equal(load_one(july).load_mw[0], 1000.0)


def test_an_hour_with_few_readings_is_interpolated(tmp_path: Path) -> None:
    day = MarketDay("2018-07-02", tmp_path)
    late = tuple(f'"{stamp(day.day, 9, minute)}' for minute in range(25, 60, 5))
    lines = [line for line in day.five_minute_load() if not line.startswith(late)]
    series = load_one(day.write(pal=lines, isolf=day.forecast(), rtfuelmix=day.fuels()))
    np.testing.assert_allclose(series.load_mw[9], 1090.0)
    assert notes_of(series, "missing") == [
        ("load", "09", "5 of 12 readings: too few, not used"),
        ("load", "09", "interpolated"),
    ]


def test_sun_is_the_solar_category_where_there_is_one(july: MarketDay) -> None:
    july.sun_category = "Solar"
    fuels = july.fuels(sun_mw=77.0, unit="MWh")
    fuels += [line.replace("Solar", "Other Renewables") for line in fuels[1:]]
    series = load_one(july.write(rtfuelmix=fuels))
    assert (series.solar_mw == 77.0).all()
    assert notes_of(series, "stand-in") == []


def test_the_midnight_between_two_fuel_files_counts_once(tmp_path: Path) -> None:
    first, second = MarketDay("2018-07-02", tmp_path).write_all(), MarketDay("2018-07-03", tmp_path).write_all()
    midnight = f"{stamp(second.day, 0)}:00,EDT"
    shifted = [line for line in second.fuels() if not line.startswith(midnight)]
    first.write(rtfuelmix=[*first.fuels(), f"{midnight},Wind,512.0", f"{midnight},Other Renewables,250.0"])
    second.write(rtfuelmix=shifted)
    series = load_market_files(tmp_path, "2018-07-02", "2018-07-03")
    assert series.wind_mw[24] == pytest.approx((11 * 500.0 + 512.0) / 12)
    assert notes_of(series, "missing", "doubled") == []
    second.write(rtfuelmix=[*shifted, f"{midnight},Wind,512.0", f"{midnight},Other Renewables,250.0"])
    again = load_market_files(tmp_path, "2018-07-02", "2018-07-03")
    np.testing.assert_array_equal(again.wind_mw, series.wind_mw)
    assert again.notes == series.notes


def test_an_older_forecast_stands_in(tmp_path: Path) -> None:
    for day in ("2018-07-02", "2018-07-03"):
        MarketDay(day, tmp_path).write_all()
    (tmp_path / "20180703isolf.csv").unlink()
    first = MarketDay("2018-07-02", tmp_path)
    first.write(isolf=[line.replace("2000", "2111") for line in first.forecast(6)])
    series = load_market_files(tmp_path, "2018-07-02", "2018-07-03")
    assert (series.forecast_mw == 2111.0).all()
    assert ("forecast", "00", "from 20180702isolf.csv, 1 days older") in notes_of(series, "stand-in")


def test_a_day_without_any_forecast_has_none(july: MarketDay) -> None:
    (july.folder / "20180702isolf.csv").unlink()
    series = load_one(july)
    assert np.isnan(series.forecast_mw).all()
    assert notes_of(series, "missing") == [("forecast", "00", "no isolf file covers the day: there is none")]


def test_month_archives_are_read_and_unpacked_files_come_first(july: MarketDay) -> None:
    path = july.folder / "20180702palIntegrated.csv"
    july.load_mw[5, "EDT", "West"] = 1234.0
    with zipfile.ZipFile(july.folder / "20180701palIntegrated_csv.zip", "w") as archive:
        archive.writestr(path.name, "\n".join(july.integrated()))
    assert load_one(july).load_mw[5, 0] == 1050.0
    path.unlink()
    assert load_one(july).load_mw[5, 0] == 1234.0


# ---------------------------------------------------------------- what is odd in the rows


def test_negative_values_are_kept_and_noted(july: MarketDay) -> None:
    july.load_mw[3, "EDT", "North"] = -12.5
    series = load_one(july.write(palIntegrated=july.integrated(), rtfuelmix=july.fuels(wind_mw=-1.0)))
    assert series.load_mw[3, ZONES.index("North")] == -12.5
    notes = notes_of(series, "negative")
    assert ("North", "03", "-12.5 MW, kept") in notes
    assert [note[0] for note in notes].count("wind") == 24


def test_a_blank_of_three_hours_is_interpolated_and_of_four_refused(july: MarketDay) -> None:
    def blanked(hours: range) -> list[str]:
        del_from = {f'"{stamp(july.day, hour)}:00"' for hour in hours}
        return [
            line.rsplit(",", 1)[0] + "," if line.split(",")[0] in del_from and "CAPITL" in line else line
            for line in july.integrated()
        ]

    series = load_one(july.write(palIntegrated=blanked(range(8, 11))))
    np.testing.assert_allclose(series.load_mw[8:11, ZONES.index("Capitl")], [1080.0, 1090.0, 1100.0])
    assert notes_of(series, "missing") == [("Capitl", f"{hour:02d}", "interpolated") for hour in (8, 9, 10)]
    july.write(palIntegrated=blanked(range(8, 12)))
    with pytest.raises(
        InputError, match=r"20180702palIntegrated.csv: Capitl is missing from 2018-07-02T08 for 4 hours"
    ):
        load_one(july)


def test_a_gap_where_the_series_begins_is_refused(july: MarketDay) -> None:
    july.write(palIntegrated=[line for line in july.integrated() if f'"{stamp(july.day, 0)}' not in line])
    with pytest.raises(InputError, match=r"missing at 2018-07-02T00, with nothing before"):
        load_one(july)


def test_doubled_rows_are_averaged_and_noted(july: MarketDay) -> None:
    lines = july.integrated()
    july.write(palIntegrated=[*lines, f'"{stamp(july.day, 4)}:00","EDT","LONGIL",61762,1100.0'])
    series = load_one(july)
    assert series.load_mw[4, -1] == (1040.0 + 1100.0) / 2
    [(zone, hour, done)] = notes_of(series, "doubled")
    assert (zone, hour) == ("Longil", "04")
    assert "1040 and 1100 MW averaged" in done


def test_a_name_that_is_no_zone_is_left_out_and_noted(july: MarketDay) -> None:
    july.write(palIntegrated=[*july.integrated(), f'"{stamp(july.day, 4)}:00","EDT","H Q",61844,1100.0'])
    assert [note[0] for note in notes_of(load_one(july), "left out")] == ["H Q"]


# ---------------------------------------------------------------- round trip


def written(series: ZonalSeries, folder: Path) -> Iterator[MarketDay]:
    """Write a series as market files; the odd hour of a clock change as it is in the series."""
    for k, day in enumerate(series.days):
        rows = slice(24 * k, 24 * k + 24)
        market_day = MarketDay(str(day), folder)
        load_mw, forecast_mw = series.load_mw[rows], series.forecast_mw[rows]
        wind_mw, solar_mw = series.wind_mw[rows], series.solar_mw[rows]
        market_day.load_mw = {
            (hour, clock, zone): float(load_mw[hour, z])
            for hour, clock in market_day.hours
            for z, zone in enumerate(ZONES)
        }
        forecast = [market_day.forecast()[0]]
        fuels = market_day.fuels()[:1]
        for hour, clock in market_day.hours:
            forecast.append(f'"{stamp(day, hour)}",' + ",".join(map(repr, map(float, forecast_mw[hour]))) + ",0")
            fuels += [
                f"{stamp(day, hour, 5 * step)}:00,{clock},{fuel},{float(value[hour])!r}"
                for step in range(12)
                for fuel, value in (("Wind", wind_mw), ("Solar", solar_mw))
            ]
        yield market_day.write(palIntegrated=market_day.integrated(), isolf=forecast, rtfuelmix=fuels)


@pytest.mark.parametrize(
    ("first", "last", "skipped_hours"),
    [("2018-01-04", "2018-01-06", 0), ("2018-03-10", "2018-03-12", 1), ("2018-11-03", "2018-11-05", 0)],
)
def test_bundled_days_written_as_market_files_come_back(
    tmp_path: Path, first: str, last: str, skipped_hours: int
) -> None:
    bundled = load_bundled_series().between(first, last)
    assert len(list(written(bundled, tmp_path))) == 3
    back = load_market_files(tmp_path, first, last)
    np.testing.assert_array_equal(back.hour_begins, bundled.hour_begins)
    skipped = np.zeros(len(bundled.hour_begins), dtype=bool)
    skipped[[26] * skipped_hours] = True
    for name in ("load_mw", "forecast_mw", "wind_mw", "solar_mw"):
        np.testing.assert_allclose(getattr(back, name)[~skipped], getattr(bundled, name)[~skipped], rtol=1e-12)
        if name != "wind_mw":  # whose table interpolates another hour
            np.testing.assert_allclose(getattr(back, name)[skipped], getattr(bundled, name)[skipped], atol=0.51)

    def negative(notes: tuple[SeriesNote, ...]) -> set[SeriesNote]:
        return {note for note in notes if note.kind == "negative"}

    assert negative(back.notes) == negative(bundled.notes)
    assert {n.kind for n in back.notes} - {"negative"} == ({"clock change"} if first != "2018-01-04" else set())
