"""What the circuit's own controls go on moving in the scenarios of a batch in which they do not come to rest."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from g2g_opt.circuit.restless import WATCHED, in_brackets, moving_words
from g2g_opt.failure import Failure, FailureKind

Floats = NDArray[np.float64]


class RestlessLanes:
    """Which `movers` (element, control) move in the last rounds of a solution whose controls do not come to rest."""

    def __init__(self, movers: Sequence[tuple[str, str]]) -> None:
        self._movers = tuple(movers)
        self._seen: list[Floats] = []
        self._words: dict[int, str] = {}

    def begin(self) -> None:
        """A solution begins."""
        self._seen.clear()

    def note(self, number: int, rounds: int, positions: Callable[[], Floats]) -> None:
        """Where everything stands before a round (mover, scenario), if it is one of the last of so many `rounds`."""
        if number >= rounds - 1 - WATCHED:
            self._seen.append(positions())

    def end(self, slots: Sequence[int], positions: Floats) -> None:
        """The controls of these scenarios did not come to rest."""
        for slot in slots:
            found: dict[str, dict[str, None]] = {}
            for k, (element, control) in enumerate(self._movers):
                if any(seen[k, slot] != positions[k, slot] for seen in self._seen):
                    found.setdefault(element, {})[control] = None
            self._words[slot] = moving_words({element: list(controls) for element, controls in found.items()})

    def failure(self, slot: int, time_s: float) -> Failure:
        """Why a scenario ended at a time: its controls do not come to rest; what moves, and by which controls."""
        detail = in_brackets(self._words.get(slot, ""))
        return Failure(FailureKind.RESTLESS_CONTROLS, time_s=time_s, detail=detail)
