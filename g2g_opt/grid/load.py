"""External loads: power per phase (kW, consumption positive) drawn at a bus over time."""

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


class ExternalLoad(PowerProfile):
    """A consumer beside the feeder's own loads; subclass it with `power_kw(t)` for measured consumption."""


class ConstantLoad(ConstantProfile, ExternalLoad):
    """`peak_kw` per phase at all times."""


class HeldLoad(HeldProfile, ExternalLoad):
    """`peak_kw` per phase times shares that each hold for a period."""


class ShapedLoad(ShapedProfile, ExternalLoad):
    """`peak_kw` per phase times the shares of a shape."""


class SampledLoad(SampledProfile, ExternalLoad):
    """Consumption (kW per phase) given at sample times (s), linear in between."""


class CSVProfileLoad(SampledProfile, ExternalLoad):
    """Consumption read from a two-column CSV: time (s), power (kW per phase)."""

    def __init__(self, csv_path: Path | str) -> None:
        super().__init__(*read_profile(Path(csv_path)), what=f"profile {csv_path}")


# Demonstration shapes: base share of the peak, then pulses (centre s, half width s, height).
_SHAPES = (
    (0.20, ((2200.0, 1300.0, 0.70),)),
    (0.15, ((1400.0, 600.0, 0.45), (2900.0, 550.0, 0.75))),
    (0.75, ((1700.0, 1100.0, -0.50), (2600.0, 350.0, 0.20))),
    (0.12, ((3100.0, 850.0, 0.80),)),
    (0.10, ((1000.0, 320.0, 0.50), (2150.0, 380.0, 0.65), (3300.0, 280.0, 0.80))),
)


class SyntheticLoad(ExternalLoad):
    """A demonstration hour of demand with one to three peaks; not measured.

    `peak_kw` is the highest possible consumption per phase; `site_idx` 0 to 4 selects the shape, which repeats
    every hour.
    """

    N_SHAPES = len(_SHAPES)

    def __init__(self, peak_kw: float, site_idx: int = 0) -> None:
        if not 0 <= site_idx < len(_SHAPES):
            raise InputError(f"SyntheticLoad has shapes 0 to {len(_SHAPES) - 1}, not site_idx={site_idx}")
        self.peak_kw = float(peak_kw)
        self.site_idx = int(site_idx)

    def power_kw(self, t: float) -> float:
        return float(self.power_series_kw(np.array([t]))[0])

    def power_series_kw(self, time_s: Floats) -> Floats:
        t = np.mod(time_s, 3600.0)
        base, pulses = _SHAPES[self.site_idx]
        share = np.full(len(t), base)
        for center_s, half_width_s, height in pulses:
            share += height * smooth_pulse(t, center_s, half_width_s)
        ripple = 1.0 + 0.04 * np.sin(2 * np.pi * t / (120.0 + 30.0 * self.site_idx))
        return np.clip(self.peak_kw * share * ripple, 0.0, max(self.peak_kw, 0.0))
