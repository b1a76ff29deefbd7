"""The simulation clock: exact ticks, seconds on request, optional pacing to wall time."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from fractions import Fraction
from math import gcd

from g2g_opt.errors import InputError, shown

HOUR_S = 3600
DAY_S = 24 * HOUR_S

# Digits of a period as a person writes it; exponents of any length would have `Fraction` count for hours.
_PERIOD = re.compile(r"\s*\+?\d{0,12}(\.\d{0,12})?(/\d{1,12}|[eE][+-]?\d{1,2})?\s*", re.ASCII)


def as_period(dt_s: Fraction | int | str | float, owner: str, name: str = "dt_s") -> Fraction:
    """A period as an exact `Fraction` (s); a float must be one a person would write, such as 0.1.

    Raises `InputError` if it is no number, not positive or no short fraction of a second.
    """
    try:
        if isinstance(dt_s, bool) or (isinstance(dt_s, str) and _PERIOD.fullmatch(dt_s) is None):
            raise ValueError("no period")
        period = Fraction(str(dt_s)) if isinstance(dt_s, float) else Fraction(dt_s)
    except (ValueError, TypeError, ZeroDivisionError) as error:
        raise InputError(f"{owner}: {name}={shown(dt_s)} is no period; write seconds, e.g. 0.1 or 1/10") from error
    if period <= 0:
        raise InputError(f"{owner}: {name} must be positive, got {shown(dt_s)}; write seconds, e.g. 0.1 or 1/10")
    if period.denominator > 1_000_000:
        raise InputError(f"{owner}: {name}={shown(dt_s)} is no short fraction of a second; write e.g. 0.1 or 1/10")
    return period


def common_tick(periods: Iterable[Fraction]) -> Fraction:
    """The greatest common divisor of the periods (equation 1.1), in s."""
    tick = Fraction(0)
    for period in periods:
        tick = Fraction(
            gcd(tick.numerator * period.denominator, period.numerator * tick.denominator),
            tick.denominator * period.denominator,
        )
    return tick


class SimulationClock:
    """Counts base ticks of `tick_s`; with `live=True` each advance waits for wall time.

    `speed` seconds of the run then pass in one of wall time. Raises `InputError` for a period or a speed that is not
    positive.
    """

    def __init__(self, tick_s: Fraction, live: bool = False, speed: float = 1.0) -> None:
        self.tick_s = as_period(tick_s, "SimulationClock")
        if not 0.0 < speed < float("inf"):
            raise InputError(f"SimulationClock: speed must be positive, got {shown(speed)}")
        self.live, self.speed = live, speed
        self._ticks_by_period: dict[Fraction, int] = {}
        self.reset()

    def reset(self) -> None:
        """Back to time zero; in live mode, wall time is counted from the first advance on."""
        self.step = 0
        self.time_s = 0.0
        self._wall_start_s: float | None = None

    def ticks_per(self, period: Fraction) -> int:
        """How many base ticks a component's period takes; `InputError` if that is no whole number."""
        ticks = self._ticks_by_period.get(period)
        if ticks is None:
            ratio = period / self.tick_s
            if ratio.denominator != 1:
                raise InputError(f"a period of {period} s is no multiple of the tick {self.tick_s} s")
            ticks = self._ticks_by_period[period] = int(ratio)
        return ticks

    def times_s(self, n_ticks: int) -> list[float]:
        """The times (s) of this tick and those after it."""
        numerator, denominator = self.tick_s.numerator, self.tick_s.denominator
        return [step * numerator / denominator for step in range(self.step, self.step + n_ticks)]

    def is_due(self, period: Fraction) -> bool:
        """True on the ticks at which a component of this period steps."""
        return self.step % self.ticks_per(period) == 0

    def advance(self, n_ticks: int = 1) -> None:
        """So many ticks on; in live mode, sleep until wall time has caught up."""
        self.step += n_ticks
        self.time_s = self.step * self.tick_s.numerator / self.tick_s.denominator
        if self.live:
            now = time.monotonic()
            if self._wall_start_s is None:
                self._wall_start_s = now - float(self.tick_s) * (self.step - n_ticks) / self.speed
            time.sleep(max(0.0, self._wall_start_s + self.time_s / self.speed - now))
