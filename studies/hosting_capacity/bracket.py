"""The bracket of a search that closes in on its answer, as another one beside it sees it."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from typing import TypeVar

from solvers.largest_by_use import bracket_of
from solvers.largest_feasible import LargestFeasible
from studies.shared.side_by_side import Wanted

_Yielded = TypeVar("_Yielded")
_Sent = TypeVar("_Sent")


class Bracket:
    """The largest size known to hold and the smallest known not to (`high`, 0: none), in servers.

    It is narrow once they lie no further apart than a share of the lower one.
    """

    def __init__(self, narrow_share: float) -> None:
        self._narrow_share = narrow_share
        self._uses: dict[int, float] = {}
        self._is_closed = False
        self.low, self.high = 0, 0

    @property
    def is_narrow(self) -> bool:
        """Whether the answer is known but for a share."""
        return self.high > 0 and self.high - self.low <= self._narrow_share * self.low

    def noting(
        self, judge: Callable[[Sequence[int]], Wanted[Mapping[int, float]]], sizes: Sequence[int]
    ) -> Wanted[Mapping[int, float]]:
        """What a judge says of sizes, shares of a limit that they use up, noted on its way to the search."""
        found = yield from judge(sizes)
        self._uses.update(found)
        self.low, high = bracket_of(self._uses, n_min=1)
        self.high = high or 0
        return found

    def closed_by(
        self, search: Generator[_Yielded, _Sent, LargestFeasible]
    ) -> Generator[_Yielded, _Sent, LargestFeasible]:
        """The search, after which nothing waits for the bracket any more."""
        found = yield from search
        self._is_closed = True
        self.low, self.high = found.n, max(found.n, self.high)
        return found

    def until_narrow(self) -> Wanted[None]:
        """Wait, round by round without a wish, until the bracket is narrow or its search over."""
        while not (self.is_narrow or self._is_closed):
            yield ()
