"""A day of market files, as tests write them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from g2g_opt.transmission.market_files import load_market_files
from g2g_opt.transmission.series import ZonalSeries, clock_changes

ZONES = ("West", "Genese", "Centrl", "North", "Mhk Vl", "Capitl", "Hud Vl", "Millwd", "Dunwod", "N.Y.C.", "Longil")
Hours = list[tuple[int, str]]  # hour of the clock, EST or EDT


def hours_of(day: np.datetime64) -> Hours:
    """The hours that clocks in New York show on a day: 24, 23 or 25."""
    spring, autumn = clock_changes(int(str(day)[:4]))
    if day == spring:
        return [(h, "EST" if h < 2 else "EDT") for h in range(24) if h != 2]
    if day == autumn:
        return [(0, "EDT"), (1, "EDT"), *((h, "EST") for h in range(1, 24))]
    return [(h, "EDT" if spring < day < autumn else "EST") for h in range(24)]


def stamp(day: np.datetime64, hour: int, minute: int = 0) -> str:
    year, month, of_month = str(day).split("-")
    return f"{month}/{of_month}/{year} {hour:02d}:{minute:02d}"


class MarketDay:
    """Texts of the files of one day, every zone at 1000 MW plus 10 MW times the hour unless told otherwise."""

    def __init__(self, day: str, folder: Path) -> None:
        self.day, self.folder = np.datetime64(day), folder
        self.hours = hours_of(self.day)
        self.load_mw = {(hour, clock, zone): 1000.0 + 10.0 * hour for hour, clock in self.hours for zone in ZONES}
        self.sun_category = "Other Renewables"

    @property
    def digits(self) -> str:
        return str(self.day).replace("-", "")

    def integrated(self) -> list[str]:
        return [
            '"Time Stamp","Time Zone","Name","PTID","Integrated Load"',
            *(
                f'"{stamp(self.day, hour)}:00","{clock}","{zone.upper()}",61752,{value!r}'
                for (hour, clock, zone), value in self.load_mw.items()
            ),
        ]

    def five_minute_load(self, around_mw: float = 6.0) -> list[str]:
        """Readings that rise through the hour and have the hour's load as mean."""
        return [
            '"Time Stamp","Time Zone","Name","PTID","Load"',
            *(
                f'"{stamp(self.day, hour, 5 * k)}:00","{clock}","{zone.upper()}",61752,{value + around_mw * (k - 5.5)}'
                for (hour, clock, zone), value in self.load_mw.items()
                for k in range(12)
            ),
        ]

    def forecast(self, n_days: int = 1) -> list[str]:
        days = [self.day + k for k in range(n_days)]
        rows = (f'"{stamp(day, hour)}",{",".join(["2000"] * 11)},22000' for day in days for hour, _ in hours_of(day))
        return [",".join(f'"{name}"' for name in ("Time Stamp", *ZONES, "NYISO")), *rows]

    def fuels(self, wind_mw: float = 500.0, sun_mw: float = 250.0, unit: str = "MW") -> list[str]:
        fuels = {"Nuclear": 3000.0, "Wind": wind_mw, self.sun_category: sun_mw}
        rows = (
            f"{stamp(self.day, hour, 5 * k)}:00,{clock},{fuel},{value!r}"
            for hour, clock in self.hours
            for k in range(12)
            for fuel, value in fuels.items()
        )
        return [f"Time Stamp,Time Zone,Fuel Category,Gen {unit}", *rows]

    def write(self, **files: list[str]) -> MarketDay:
        """Write the files given as kind=lines, as the day's files."""
        for kind, lines in files.items():
            (self.folder / f"{self.digits}{kind}.csv").write_text("\r\n".join(lines) + "\r\n", encoding="utf-8")
        return self

    def write_all(self) -> MarketDay:
        return self.write(palIntegrated=self.integrated(), isolf=self.forecast(), rtfuelmix=self.fuels())


def load_one(day: MarketDay) -> ZonalSeries:
    return load_market_files(day.folder, str(day.day), str(day.day))
