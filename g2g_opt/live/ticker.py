"""One timer for many nodes: what is due within the same hundredth of a period is called together."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

# Timers of a period. A timer of its own for each of 1,000 nodes would cost a tenth of all that a campaign does.
_SLOTS = 100


class Ticker:
    """Calls each member once a period, at its phase of it (to a hundredth), on the event loop that `add` is called on.

    A member is told how long (s) it was not called although it was due, because the whole process was not given the
    time; what was missed is not made up for.
    """

    def __init__(self, period_s: float) -> None:
        self._period_s = period_s
        self._members: dict[int, dict[Callable[[float], None], None]] = {}
        self._timers: dict[int, asyncio.TimerHandle] = {}
        self._began_s: float | None = None

    def add(self, phase: float, member: Callable[[float], None]) -> None:
        """Call `member` from its next turn on; `phase` is in [0, 1)."""
        loop = asyncio.get_running_loop()
        if self._began_s is None:
            self._began_s = loop.time()
        slot = int(phase * _SLOTS) % _SLOTS
        self._members.setdefault(slot, {})[member] = None
        if slot not in self._timers:
            first_s = self._began_s + slot * self._period_s / _SLOTS
            rounds = max(0, math.ceil((loop.time() - first_s) / self._period_s))
            self._set(slot, first_s + rounds * self._period_s)

    def discard(self, phase: float, member: Callable[[float], None]) -> None:
        """Call it no more."""
        slot = int(phase * _SLOTS) % _SLOTS
        self._members.get(slot, {}).pop(member, None)
        if not self._members.get(slot) and slot in self._timers:
            self._timers.pop(slot).cancel()

    def _set(self, slot: int, due_s: float) -> None:
        self._timers[slot] = asyncio.get_running_loop().call_at(due_s, self._call, slot, due_s)

    def _call(self, slot: int, due_s: float) -> None:
        missed = max(0, math.floor((asyncio.get_running_loop().time() - due_s) / self._period_s))
        self._set(slot, due_s + self._period_s * (missed + 1))
        for member in list(self._members[slot]):
            member(missed * self._period_s)
