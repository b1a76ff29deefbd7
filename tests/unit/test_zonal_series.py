"""Zonal series: the bundled tables, days cut out of them, 5-minute steps, and what is refused."""

from __future__ import annotations

import gzip
import shutil
from collections import Counter
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from g2g_opt.data_files import data_path
from g2g_opt.errors import InputError
from g2g_opt.transmission import series as series_module
from g2g_opt.transmission.series import ZonalSeries, clock_changes, load_bundled_series

pytestmark = pytest.mark.xdist_group("zonal series")  # one worker, so that the series are read once


@pytest.fixture(scope="module")
def bundled() -> ZonalSeries:
    return load_bundled_series()


def days_of(n_days: int, load_mw: float = 1000.0) -> ZonalSeries:
    n_hours = 24 * n_days
    return ZonalSeries(
        ("West", "North"),
        np.datetime64("2018-07-01T00") + np.arange(n_hours),
        np.full((n_hours, 2), load_mw),
        np.full((n_hours, 2), np.nan),
        np.full(n_hours, 300.0),
        np.zeros(n_hours),
    )


def hourly(steps: np.ndarray) -> np.ndarray:
    return steps.reshape(-1, 12, *steps.shape[1:]).mean(axis=1)


# ---------------------------------------------------------------- the bundled tables


def test_bundled_tables_have_546_whole_days_of_eleven_zones(bundled: ZonalSeries) -> None:
    assert bundled.load_mw.shape == bundled.forecast_mw.shape == (13104, 11)
    assert (str(bundled.days[0]), str(bundled.days[-1]), len(bundled.days)) == ("2018-01-01", "2019-06-30", 546)
    assert (bundled.zones[0], bundled.zones[9]) == ("West", "N.Y.C.")
    state_mw = bundled.load_mw.sum(axis=1)
    assert (state_mw.max(), str(bundled.hour_begins[state_mw.argmax()])) == (31554.0, "2018-07-02T15")
    assert bundled.load_mw[0].tolist() == [1512, 869, 1594, 410, 761, 1378, 1167, 509, 678, 5723, 2764]
    assert (bundled.wind_mw[0], bundled.solar_mw.max()) == (735.519, 1029.98)
    assert not np.isnan(bundled.forecast_mw).any()


def test_the_sun_does_not_shine_at_night(bundled: ZonalSeries) -> None:
    by_hour_mw = bundled.solar_mw.reshape(-1, 24).mean(axis=0)
    assert by_hour_mw[[22, 23, 0, 1, 2, 3]].max() == 0.0
    assert by_hour_mw.argmax() == 12


def test_every_negative_bid_is_a_note_and_kept(bundled: ZonalSeries) -> None:
    negative = [note for note in bundled.notes if note.kind == "negative"]
    assert Counter(note.series for note in negative) == {"North": 188, "Millwd": 4, "Hud Vl": 2}
    assert len(negative) == (bundled.load_mw < 0.0).sum()
    for note in negative:
        hour, zone = np.flatnonzero(bundled.hour_begins == note.hour_begins)[0], bundled.zones.index(note.series)
        assert note.done == f"{bundled.load_mw[hour, zone]:g} MW, kept"


def test_the_clock_changes_of_the_bundled_tables_are_notes(bundled: ZonalSeries) -> None:
    changes = [(str(note.hour_begins), note.series) for note in bundled.notes if note.kind == "clock change"]
    spring = [("11T01", "fuel mix"), ("11T02", "forecast"), ("11T02", "load")]
    assert changes == [
        *(("2018-03-" + at, series) for at, series in spring),
        ("2018-11-04T01", "all"),
        *(("2019-03-" + at.replace("11", "10"), series) for at, series in spring),
    ]
    for day in ("2018-03-11", "2019-03-10"):  # what the notes say is so: these hours lie between their neighbours
        cut = bundled.between(day, day)
        np.testing.assert_allclose(cut.load_mw[2], cut.load_mw[[1, 3]].mean(axis=0), atol=0.51)
        np.testing.assert_allclose(cut.forecast_mw[2], cut.forecast_mw[[1, 3]].mean(axis=0), atol=0.51)
        assert cut.wind_mw[1] == pytest.approx(cut.wind_mw[[0, 2]].mean(), abs=0.001)


def test_the_peak_tables_are_cut_from_the_hourly_ones(bundled: ZonalSeries) -> None:
    peaks = np.loadtxt(data_path("nyiso", "peak_load_bid.csv"), delimiter=",", skiprows=1, usecols=range(1, 13))
    rows = 24 * np.arange(546) + peaks[:, 0].astype(int)
    np.testing.assert_array_equal(np.maximum(bundled.load_mw[rows], 0.0), peaks[:, 1:])
    sun_and_wind = np.loadtxt(data_path("nyiso", "peak_renewables.csv"), delimiter=",", skiprows=1, usecols=(1, 2))
    at_four = 24 * np.arange(546) + 16
    np.testing.assert_array_equal(
        np.column_stack((bundled.wind_mw[at_four], bundled.solar_mw[at_four])), sun_and_wind
    )  # fmt: skip


@pytest.mark.parametrize(
    ("year", "spring", "autumn"),
    [(2018, "2018-03-11", "2018-11-04"), (2020, "2020-03-08", "2020-11-01"), (2006, "2006-04-02", "2006-10-29")],
)
def test_dates_of_clock_changes(year: int, spring: str, autumn: str) -> None:
    assert tuple(map(str, clock_changes(year))) == (spring, autumn)


# ---------------------------------------------------------------- days


def test_days_are_cut_out_with_their_notes(bundled: ZonalSeries) -> None:
    cut = bundled.between("2018-11-03", date(2018, 11, 5))
    assert [str(day) for day in cut.days] == ["2018-11-03", "2018-11-04", "2018-11-05"]
    start = int(np.flatnonzero(bundled.hour_begins == np.datetime64("2018-11-03T00"))[0])
    np.testing.assert_array_equal(cut.load_mw, bundled.load_mw[start : start + 72])
    np.testing.assert_array_equal(cut.forecast_mw, bundled.forecast_mw[start : start + 72])
    np.testing.assert_array_equal(cut.wind_mw, bundled.wind_mw[start : start + 72])
    np.testing.assert_array_equal(cut.solar_mw, bundled.solar_mw[start : start + 72])
    kept = {note for note in bundled.notes if "2018-11-03" <= str(note.hour_begins)[:10] <= "2018-11-05"}
    assert "clock change" in {note.kind for note in kept}
    assert set(cut.notes) == kept


@pytest.mark.parametrize(
    ("first", "last", "text"),
    [
        ("2017-12-31", "2018-01-02", "it has 2018-01-01 to 2019-06-30"),
        ("2019-06-30", "2019-07-01", "not within the series"),
        ("2018-02-02", "2018-02-01", "comes after"),
        ("2018-02-30", "2018-03-01", "no date such as"),
    ],
)
def test_days_outside_the_series_are_refused(bundled: ZonalSeries, first: str, last: str, text: str) -> None:
    with pytest.raises(InputError, match=text):
        bundled.between(first, last)


# ---------------------------------------------------------------- 5-minute steps


def test_five_minute_steps_keep_the_energy_of_every_hour(bundled: ZonalSeries) -> None:
    cut = bundled.between("2018-06-18", "2018-06-19")
    steps = cut.at_five_minutes()
    assert (len(steps.step_begins), str(steps.step_begins[13])) == (2 * 288, "2018-06-18T01:05")
    np.testing.assert_allclose(hourly(steps.load_mw), cut.load_mw, rtol=1e-12)
    np.testing.assert_allclose(hourly(steps.wind_mw), cut.wind_mw, rtol=1e-12)
    np.testing.assert_allclose(hourly(steps.solar_mw), cut.solar_mw, rtol=1e-12, atol=1e-12)
    assert steps.solar_mw.min() == 0.0


def test_load_has_no_jumps_between_hours(bundled: ZonalSeries) -> None:
    cut = bundled.between("2018-06-18", "2018-06-19")
    across_hours = np.abs(np.diff(cut.load_mw, axis=0)).max(axis=0)
    within = np.abs(np.diff(cut.at_five_minutes().load_mw, axis=0)).max(axis=0)
    assert (within < across_hours / 6).all()


def test_level_load_stays_level() -> None:
    steps = days_of(1).at_five_minutes()
    np.testing.assert_allclose(steps.load_mw, 1000.0, rtol=1e-12)
    np.testing.assert_allclose(steps.wind_mw, 300.0, rtol=1e-12)


def test_a_steady_ramp_is_a_straight_line() -> None:
    ramp = replace(days_of(2), load_mw=np.repeat(np.arange(48.0)[:, None] * 120.0, 2, axis=1))
    rises = np.diff(ramp.at_five_minutes().load_mw[:, 0])
    np.testing.assert_allclose(rises[12 * 20 : 12 * 28], 10.0, rtol=1e-9)


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"load_mw": np.ones((24, 3))}, r"load_mw has the shape \(24, 3\)"),
        ({"wind_mw": np.ones(23)}, "wind_mw has the shape"),
        ({"load_mw": np.full((24, 2), np.nan)}, "load_mw has no finite number at 2018-07-01T00"),
        ({"forecast_mw": np.full((24, 2), np.inf)}, "forecast_mw has no finite number"),
        ({"zones": ("West", "West")}, "different names"),
        ({"hour_begins": np.datetime64("2018-07-01T01") + np.arange(24)}, "starts at midnight"),
        ({"hour_begins": np.datetime64("2018-07-01T00") + np.arange(23)}, "whole days of 24 hours"),
        ({"hour_begins": np.datetime64("2018-07-01T00") + 2 * np.arange(24)}, "2018-07-01T02 follows 2018-07-01T00"),
    ],
)
def test_series_that_disagree_are_refused(change: dict[str, object], text: str) -> None:
    with pytest.raises(InputError, match=text):
        replace(days_of(1), **change)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        (",Millwd,", ",Milwood,", "must have the columns"),
        ("2018-01-01,5,", "2018-01-01,4,", "2018-01-01T04 follows 2018-01-01T04"),
        ("\n2018-01-01,1,1485,", "\n2018-01-01,1,,", "cell that cannot be read"),
    ],
)
def test_a_damaged_table_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: str, new: str, text: str
) -> None:
    shutil.copytree(data_path("nyiso"), tmp_path / "nyiso")
    table = tmp_path / "nyiso/hourly_load_bid.csv.gz"
    content = gzip.decompress(table.read_bytes()).decode()
    assert content.count(old) == 1
    table.write_bytes(gzip.compress(content.replace(old, new).encode(), 1))
    monkeypatch.setattr(series_module, "data_path", tmp_path.joinpath)
    with pytest.raises(InputError, match=rf"(?s)hourly_load_bid.*{text}"):
        load_bundled_series()


def test_a_day_missing_at_the_end_of_one_table_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(data_path("nyiso"), tmp_path / "nyiso")
    table = tmp_path / "nyiso/hourly_renewables.csv.gz"
    lines = gzip.decompress(table.read_bytes()).decode().splitlines()
    table.write_bytes(gzip.compress("\n".join(lines[:-24]).encode(), 1))
    monkeypatch.setattr(series_module, "data_path", tmp_path.joinpath)
    with pytest.raises(InputError, match=r"hourly_renewables.*2019-06-29T23"):
        load_bundled_series()
