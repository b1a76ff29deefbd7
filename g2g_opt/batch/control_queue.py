"""When OpenDSS's control queue lets an action happen, bit for bit: its clock counts hours and seconds apart."""

from __future__ import annotations

import numpy as np

from g2g_opt.compiled.kernel import inner
from g2g_opt.compiled.records import Floats1, Ints1

_HOUR_S = 3600.0


class ControlClock:
    """OpenDSS's solution time; `advance` is what it does after every solution.

    `hours` and `seconds` are arrays of one place, so that kernels may let steps pass, too.
    """

    def __init__(self, hour: int = 0, second: float = 0.0) -> None:
        self.hours, self.seconds = np.array([hour], dtype=np.int64), np.array([second])

    @property
    def hour(self) -> int:
        """Whole hours."""
        return int(self.hours[0])

    @property
    def second(self) -> float:
        """Seconds of the hour."""
        return float(self.seconds[0])

    @property
    def now_s(self) -> float:
        """The time that actions in the queue are compared with."""
        return self.hour * _HOUR_S + self.second


@inner
def let_pass(hours: Ints1, seconds: Floats1, dt_s: float) -> None:
    """Let a step pass on a `ControlClock`."""
    seconds[0] += dt_s
    while seconds[0] >= _HOUR_S:
        hours[0] += 1
        seconds[0] -= _HOUR_S


@inner
def action_time_s(hour: int, second: float, delay_s: float) -> float:
    """Time (s) of an action that is pushed `delay_s` ahead of (hour, second)."""
    s = second + delay_s
    while s > 3600.0:
        hour += 1
        s -= 3600.0
        if s < 3600.0:
            break
    return hour * 3600.0 + s
