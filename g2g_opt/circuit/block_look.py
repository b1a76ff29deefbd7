"""`BlockLook`: somebody who looks at every solution of a block, and may end it there."""

from __future__ import annotations

from collections.abc import Callable

# Told the place of a solution in its block; True ends the block with it.
SolutionLook = Callable[[int], bool]


def look_at_none(place: int) -> bool:
    """Nobody looks."""
    return False


class BlockLook:
    """A `look` at a part of a block that begins at place `first`; `ended` says that it has ended the block."""

    def __init__(self, look: SolutionLook, first: int = 0) -> None:
        self._look, self._first, self.ended = look, first, False

    def __call__(self, place: int) -> bool:
        self.ended = self._look(self._first + place)
        return self.ended
