"""Generators: power per phase (kW, positive) injected at a bus over time."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from g2g_opt.errors import InputError
from g2g_opt.grid.profile import (
    ConstantProfile,
    Floats,
    HeldProfile,
    PowerProfile,
    SampledProfile,
    ShapedProfile,
    read_profile,
)
from g2g_opt.power_shape import smooth_pulse


class Generator(PowerProfile):
    """A source of real power; subclass it with `power_kw(t)` for measured or weather-driven output."""


class ConstantGenerator(ConstantProfile, Generator):
    """`peak_kw` per phase at all times."""


class HeldGenerator(HeldProfile, Generator):
    """`peak_kw` per phase times shares that each hold for a period."""


class ShapedGenerator(ShapedProfile, Generator):
    """`peak_kw` per phase times the shares of a shape."""


class SampledGenerator(SampledProfile, Generator):
    """Output (kW per phase) given at sample times (s), linear in between."""


class CSVProfileGenerator(SampledProfile, Generator):
    """Output read from a two-column CSV: time (s), power (kW per phase)."""

    def __init__(self, csv_path: Path | str) -> None:
        super().__init__(*read_profile(Path(csv_path)), what=f"profile {csv_path}")


# Clouds of the demonstration sites: (centre s, half width s, depth); level at start and its change over an hour.
_CLOUDS = (
    ((700.0, 160.0, 0.5), (2000.0, 260.0, 0.4)),
    ((1500.0, 320.0, 0.6), (2650.0, 180.0, 0.3)),
    ((400.0, 120.0, 0.25), (3000.0, 400.0, 0.65)),
)
_LEVELS = ((0.9, -0.35), (0.6, 0.3), (0.45, 0.5))


class SyntheticPV(Generator):
    """A demonstration hour of photovoltaics with clouds, a trend and a flicker; not measured irradiance.

    `peak_kw` is the highest possible output per phase; `site_idx` 0 to 2 selects one of three shapes, which
    repeat every hour.
    """

    N_SHAPES = len(_CLOUDS)

    def __init__(self, peak_kw: float, site_idx: int = 0) -> None:
        if not 0 <= site_idx < len(_CLOUDS):
            raise InputError(f"SyntheticPV has shapes 0 to {len(_CLOUDS) - 1}, not site_idx={site_idx}")
        self.peak_kw = float(peak_kw)
        self.site_idx = int(site_idx)

    def power_kw(self, t: float) -> float:
        return float(self.power_series_kw(np.array([t]))[0])

    def power_series_kw(self, time_s: Floats) -> Floats:
        t = np.mod(time_s, 3600.0)
        start, change = _LEVELS[self.site_idx]
        share = start + change * t / 3600.0
        for center_s, half_width_s, depth in _CLOUDS[self.site_idx]:
            share *= 1.0 - depth * smooth_pulse(t, center_s, half_width_s)
        flicker = 1.0 + 0.03 * np.sin(2 * np.pi * t / 75.0 + self.site_idx) * np.sin(2 * np.pi * t / 225.0)
        return np.clip(self.peak_kw * share * flicker, 0.0, max(self.peak_kw, 0.0))
