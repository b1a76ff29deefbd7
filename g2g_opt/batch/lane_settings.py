"""`LaneSettings`: taps and banks of every slot of a batch, told now or asked for where they are needed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from g2g_opt.batch.moving_elements import Setting
from g2g_opt.compiled.lanes import WIDTH as W

Ints = NDArray[np.int64]


class LaneSettings:
    """Settings of `n_slots` slots; those beyond the scenarios repeat the last one of these."""

    def __init__(self, settings: Sequence[Setting], n_slots: int) -> None:
        self._n = len(settings)
        self._of_slot = [settings[min(s, self._n - 1)] for s in range(n_slots)]
        self._moved = np.zeros(n_slots, dtype=np.bool_)
        self._setting_of: Callable[[int], Setting] | None = None

    def of_all(self) -> list[Setting]:
        """Of every slot."""
        if self._setting_of is not None:
            for slot in np.flatnonzero(self._moved).tolist():
                self._of_slot[slot] = self._setting_of(min(slot, self._n - 1))
            self._moved[:] = False
        return self._of_slot

    def put(self, settings: Mapping[int, Setting]) -> set[int]:
        """Settings by scenario; the slots that have them."""
        of_slot, more = self.of_all(), len(self._of_slot) - self._n
        for scenario, setting in settings.items():
            of_slot[scenario] = setting
        if more and self._n - 1 in settings:
            of_slot[self._n :] = [settings[self._n - 1]] * more
            return {*settings, *range(self._n, len(of_slot))}
        return set(settings)

    def moved(self, slots: Ints, setting_of: Callable[[int], Setting]) -> None:
        """Slots have moved, and `setting_of` a scenario tells where to until they move again."""
        self._moved[slots], self._setting_of = True, setting_of

    def agree(self, chunk: int) -> bool:
        """Do all lanes of a chunk have one setting?"""
        lanes = self.of_all()[chunk * W : (chunk + 1) * W]
        return all(setting == lanes[0] for setting in lanes)
