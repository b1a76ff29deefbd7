"""When OpenDSS's control queue lets an action happen, bit for bit: its clock counts hours and seconds apart."""

from __future__ import annotations

from dataclasses import dataclass

from g2g_opt.compiled.kernel import inner

_HOUR_S = 3600.0


@dataclass
class ControlClock:
    """OpenDSS's solution time; `advance` is what it does after every solution."""

    hour: int = 0
    second: float = 0.0

    def advance(self, dt_s: float) -> None:
        """Let a step pass."""
        self.second += dt_s
        while self.second >= _HOUR_S:
            self.hour += 1
            self.second -= _HOUR_S

    @property
    def now_s(self) -> float:
        """The time that actions in the queue are compared with."""
        return self.hour * _HOUR_S + self.second


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
