"""`PowerShape`: how a generator's or load's power runs over an hour, as plain data."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from g2g_opt.errors import InputError
from g2g_opt.quantities import DurationS, LoadShare, PhaseRad, Share, ShareChange, TimeS, check_quantities
from g2g_opt.reading import finite_number

Floats = NDArray[np.float64]

SHAPE_SYNTAX = "SCALE,LEVEL[,ramp:START:END:CHANGE][,pulse:CENTRE:HALF_WIDTH:CHANGE]..."
# Periods (s) and parts of the flicker; they share no small multiple, so that an hour repeats nothing.
_FLICKER = ((191.0, 0.5), (83.0, 0.3), (37.0, 0.2))


@dataclass(frozen=True)
class PowerShape:
    """Share of a unit's peak over time: `scale` times what `level`, ramps and pulses make of it, from 0 on.

    `ramps` are (start s, end s, change): the share moves by so much, slowly at both ends, and stays there. `pulses` are
    (centre s, half width s, change): raised cosines, such as a cloud (negative) or a peak. On top the share varies by
    `flicker` of itself either way, in sines of some tens of seconds to minutes that begin at `phase` (rad).
    """

    scale: LoadShare = 1.0
    level: Share = 1.0
    ramps: tuple[tuple[TimeS, TimeS, ShareChange], ...] = ()
    pulses: tuple[tuple[TimeS, DurationS, ShareChange], ...] = ()
    flicker: Share = 0.0
    phase: PhaseRad = 0.0

    def __post_init__(self) -> None:
        check_quantities(self)
        for start_s, end_s, _ in self.ramps:
            if not start_s < end_s:
                raise InputError(f"a ramp of a power shape must end after it starts, got {start_s:g} s to {end_s:g} s")

    def share_at(self, time_s: Floats) -> Floats:
        """Share of the peak at times (s), of their shape (equation 2.12); 0 or more."""
        share = np.full(np.shape(time_s), self.level)
        for start_s, end_s, change in self.ramps:
            done = np.clip((time_s - start_s) / (end_s - start_s), 0.0, 1.0)
            share += change * 0.5 * (1.0 - np.cos(np.pi * done))
        for centre_s, half_width_s, change in self.pulses:
            share += change * smooth_pulse(time_s, centre_s, half_width_s)
        sines = sum(
            part * np.sin(2.0 * np.pi * time_s / period_s + (k + 1) * self.phase)
            for k, (period_s, part) in enumerate(_FLICKER)
        )
        found: Floats = self.scale * np.maximum(share, 0.0) * (1.0 + self.flicker * sines)
        return found

    @staticmethod
    def parse(text: str) -> PowerShape:
        """Of `SHAPE_SYNTAX`, e.g. "1.5,0.9,pulse:1800:300:-0.5"; `InputError` for anything else."""
        where = f"power shape {text!r}"
        parts = [part.strip() for part in text.split(",")]
        if len(parts) < 2 or any(":" in part for part in parts[:2]):
            raise InputError(f"{where} cannot be read; write {SHAPE_SYNTAX}")
        changes: dict[str, list[tuple[float, float, float]]] = {"ramp": [], "pulse": []}
        for part in parts[2:]:
            kind, *figures = part.split(":")
            if kind not in changes or len(figures) != 3:
                raise InputError(f"{where}: {part!r} is neither a ramp nor a pulse of three figures ({SHAPE_SYNTAX})")
            first, second, change = (finite_number(figure, where) for figure in figures)
            changes[kind].append((first, second, change))
        scale, level = (finite_number(part, where) for part in parts[:2])
        return PowerShape(scale, level, tuple(changes["ramp"]), tuple(changes["pulse"]))


def smooth_pulse(t: Floats, center_s: float, half_width_s: float) -> Floats:
    """A raised-cosine pulse of height one, zero beyond `half_width_s` from its centre."""
    distance = np.minimum(np.abs(t - center_s) / half_width_s, 1.0)
    return 0.5 * (1.0 + np.cos(np.pi * distance))
