"""Time of a live run: seconds since 1970 that no jump of the machine's clock moves."""

from __future__ import annotations

import time
from collections.abc import Callable

# Between two looks, wall time and monotonic time drift apart by far less unless somebody sets the clock.
JUMP_S = 0.5


class SteadyClock:
    """Wall time when it was made, plus what the monotonic clock has counted since."""

    def __init__(self, wall: Callable[[], float] = time.time, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._wall, self._monotonic = wall, monotonic
        self._ahead_s = wall() - monotonic()
        self._seen_ahead_s = self._ahead_s

    def now_s(self) -> float:
        """Seconds since 1970."""
        return self._ahead_s + self._monotonic()

    def jump_s(self) -> float:
        """By how much (s) the machine's clock has jumped since last asked; 0 if it has not. Our own time goes on."""
        ahead_s = self._wall() - self._monotonic()
        step_s, self._seen_ahead_s = ahead_s - self._seen_ahead_s, ahead_s
        return step_s if abs(step_s) > JUMP_S else 0.0
