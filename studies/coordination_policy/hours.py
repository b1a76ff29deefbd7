"""Hours of a closed-loop study: series, what was published in them, and the features a policy is trained on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from g2g_opt.errors import InputError
from g2g_opt.randomness import keyed_generator
from g2g_opt.reading import file_status
from g2g_opt.transmission.market_files import load_market_files
from g2g_opt.transmission.market_folder import MarketFolder
from g2g_opt.transmission.policy import CoordinationFeature, Published
from g2g_opt.transmission.policy_controller import published_features
from g2g_opt.transmission.series import ZonalSeries, checked_dates, load_bundled_series
from studies.coordination_policy.question import CoordinationQuestion
from studies.coordination_policy.setting import CoordinationSetting, published_figures

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Hours that pass before a policy with figures of yesterday can act.
LAG_MAX_H = 25
# Where the policy may bend: quantiles of the expected net load over the hours trained on.
_BENDS = (0.1, 0.25, 0.5, 0.75, 0.9, 0.97)


@dataclass(frozen=True, eq=False)
class Hours:
    """Load without datacenters and renewables (hour, zone) of all hours, and which of them are run: first to last."""

    series: ZonalSeries
    load_mw: Floats
    injected_mw: Floats
    first: int
    last: int

    def days(self) -> list[str]:
        """Date of every hour that is run."""
        return [str(day) for day in self.series.hour_begins[self.first : self.last].astype("datetime64[D]")]


def load_hours(question: CoordinationQuestion, setting: CoordinationSetting) -> Hours:
    """The bundled series, or the user's market files, with a year to train with before a closed loop.

    Raises `InputError` if the dates do not fit.
    """
    first_day, last_day = checked_dates(question.first_date, question.last_date)
    trains = question.kind == "closed-loop"
    if question.market_files:
        from_day = first_day - np.timedelta64(365 if trains else 0, "D")
        folder = MarketFolder(question.market_files)
        stood = tuple((str(path), *_state(path)) for path in folder.files)
        series = _read_files(question.market_files, str(from_day), str(last_day), stood)
    else:
        series = load_bundled_series()
    days = series.days
    if first_day < days[0] or last_day > days[-1]:
        raise InputError(f"the series reaches from {days[0]} to {days[-1]}; --first and --last must lie within")
    first = int(np.searchsorted(series.hour_begins, first_day))
    last = int(np.searchsorted(series.hour_begins, last_day + np.timedelta64(1, "D")))
    if trains and first <= LAG_MAX_H:
        raise InputError(f"there are no hours before {question.first_date} to train with")
    injected = setting.system.renewables_mw(series.wind_mw, series.solar_mw, question.settings)
    return Hours(series, series.load_mw, injected, first, last)


def _state(path: Path) -> tuple[int, int]:
    found = file_status(path, "market file")
    return found.st_size, found.st_mtime_ns


# A year of them takes 20 CPU seconds: a worker reads them once, for as long as they stand.
@lru_cache(maxsize=1)
def _read_files(folder: str, first_day: str, last_day: str, stood: tuple[tuple[str, int, int], ...]) -> ZonalSeries:
    return load_market_files(Path(folder), first_day, last_day)


def draw_hours(question: CoordinationQuestion, hours: Hours, q: int, draw: int) -> Ints:
    """Hours to train with: all before those that are run, q of them drawn, sorted."""
    before = np.arange(LAG_MAX_H, hours.first)
    if q > len(before):
        raise InputError(f"q is {q}, but only {len(before)} hours lie before {question.first_date}")
    return np.sort(keyed_generator(question.seed, "hours", draw).choice(before, q, replace=False))


def published(setting: CoordinationSetting, hours: Hours, which: Ints) -> Floats:
    """What was published (hour, name) in some hours without coordination, in the order of `published_names`."""
    load, injected = hours.load_mw[which], hours.injected_mw[which]
    found = setting.dispatched(load, injected, setting.base_mw)
    return published_figures(load, injected, found)


def make_features(
    question: CoordinationQuestion, setting: CoordinationSetting, hours: Hours, train: Ints
) -> tuple[tuple[CoordinationFeature, ...], Floats]:
    """Features of the question's set, all measured an hour before or earlier, and their values (record, feature)."""
    system = setting.system
    zones = system.zones
    renewable = tuple(CoordinationFeature.of(f"renewable.{zone}", "MW", 1) for zone in zones)
    figures: dict[str, Floats] = {}
    for lag in (1, 24, 25):
        figures |= {f"load.{zone}@{lag}h": hours.load_mw[train - lag, k] for k, zone in enumerate(zones)}
        figures |= {f"renewable.{zone}@{lag}h": hours.injected_mw[train - lag, k] for k, zone in enumerate(zones)}
    if question.features == "published":
        chosen = published_features(zones, system.line_names, 1)
        table = published(setting, hours, train - 1)
        figures = {feature.name: table[:, k] for k, feature in enumerate(chosen)}
    elif question.features == "loads":
        chosen = (*(CoordinationFeature.of(f"load.{zone}", "MW", 1) for zone in zones), *renewable)
    else:
        # An hour ago, and the change that yesterday brought at this time.
        lags = ((1, 1.0), (24, 1.0), (25, -1.0))
        terms = {z: tuple((Published(f"load.{z}", lag), times) for lag, times in lags) for z in zones}
        expected = tuple(CoordinationFeature(f"expected load.{zone}", "MW", terms[zone]) for zone in zones)
        net = (
            *(term for zone in zones for term in terms[zone]),
            *((Published(f"renewable.{zone}", 1), -1.0) for zone in zones),
        )
        levels = np.quantile(CoordinationFeature("net", "MW", net).values(figures), _BENDS)
        bends = tuple(
            CoordinationFeature(f"expected net load above {level:.0f} MW", "MW", net, float(round(level)))
            for level in levels
        )
        chosen = (*expected, *renewable, *bends)
    return chosen, np.column_stack([feature.values(figures) for feature in chosen])
