"""The lanes of a power flow that searches side by side fill: how many sizes each of them judges in a round."""

from __future__ import annotations

# Sizes of one search judged in a round, at least: more cost little in a batch and save rounds. Measured on the 13-bus
# feeder with 14 searches side by side, 2 to 4 take the same time, 6 and 8 half as much again. A few searches alone take
# as many as fill the sixteen lanes of a flow, which cost what one of them does.
SIZES_AT_ONCE, LANES = 2, 16


class SharedLanes:
    """The lanes that so many searches share, until they `leave`."""

    def __init__(self, n_searches: int) -> None:
        self._n_searches = n_searches
        # In coarse steps, which cost little beside what every size costs, it stays at that.
        self.at_first = self.at_once()

    def leave(self) -> None:
        """A search has found where its answer is: what it asks for from now on it asks for at once."""
        self._n_searches -= 1

    def at_once(self) -> int:
        """Sizes that each of those that still look judges in a round."""
        return max(SIZES_AT_ONCE, LANES // max(1, self._n_searches))
