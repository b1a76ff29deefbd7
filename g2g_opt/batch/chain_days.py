"""Which days of chains to run next, and what is known of those that were run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from g2g_opt.batch.known_days import KnownDay, guessed_end
from g2g_opt.batch.own_controls import Standing
from g2g_opt.compiled.lanes import WIDTH

# A day of a chain, and where controls stand before it.
ChainDay = tuple[int, int, Standing]

# Controls remember for some days where they stood: a stretch that is not longer is run twice.
_STRETCH_MIN_DAYS = 7
# Days that a turn runs by guess beyond one that it has to run: so many times the days of which the turn before told
# that its guesses were right, and so many more in lanes that would have no work.
_GUESSED_MORE, _GUESSED_DAYS = 1, 8


class ChainDays:
    """Days of `n_chains` chains by where they begin, until each chain is known from its beginning to its end.

    The first day of each begins at `start`, others where the one before ends; or each where `begins` (chain, day) says.
    `guesses` (chain, day) are where days may begin. A turn runs `WIDTH` lanes for each of `n_threads`; lanes are
    `alike` if any of them may run any chain.
    """

    def __init__(
        self,
        n_chains: int,
        n_days: int,
        start: Standing,
        begins: Sequence[Sequence[Standing]] | None,
        guesses: Sequence[Sequence[Standing]] | None,
        n_threads: int,
        alike: bool,
    ) -> None:
        self._n_chains, self._n_days, self._start = n_chains, n_days, start
        self._begins, self._guesses, self._a_chunk_each = begins, guesses, WIDTH * n_threads
        # Days that one lane runs in a row at first, so that every thread has a chunk of lanes: more stretches would
        # have more days to be run again where they meet.
        n_stretches = max(1, min(self._a_chunk_each // n_chains, n_days // _STRETCH_MIN_DAYS))
        self._stretch = 1 if begins is not None else -(-n_days // n_stretches)
        # Are the days of every chain run one after the other, each where the one before ends?
        self.are_in_order = begins is None and n_stretches == 1
        # In turn all days at once, or one of each chain, whose set of chains would have to be laid out anew for others.
        self._takes_all = begins is not None or (not alike and self.are_in_order)
        # Where the way from a stretch's first day through known days has come to: the next day, and where it begins.
        self._come: dict[tuple[int, int], tuple[int, Standing]] = {}
        # Of a day (chain, day), by where it begins.
        self._known: dict[tuple[int, int], dict[Standing, KnownDay]] = {}
        self._given_up: set[int] = set()

    def give_up(self, chain: int) -> None:
        """Run no more days of a chain whose days are run in order."""
        self._given_up.add(chain)

    def note(self, day: ChainDay, known: KnownDay) -> None:
        """A day has been run."""
        self._known.setdefault(day[:2], {})[day[2]] = known

    def on_the_way(self) -> tuple[list[list[Standing]], list[KnownDay]]:
        """Where controls stand before each day of every chain, and its days, chain by chain, all of them known; the
        last one that is known again and again where a chain was given up.
        """
        begins, days = [], []
        for chain in range(self._n_chains):
            at = self._start
            begins.append([at] * self._n_days)
            for day in range(self._n_days):
                begins[chain][day] = at = self._begin(chain, day, at)
                if chain not in self._given_up or (chain, day) in self._known:
                    known = self._known[chain, day][at]
                days.append(known)
                at = known.end
        return begins, days

    def unknown(self) -> list[ChainDay]:
        """Days to run next, on the way along every chain: whole chunks of lanes while there are as many.

        A chain begins in several places at once. From each it goes on day by day, through days that are known from
        where it comes; where a day is known from elsewhere only, the next ones are run by guess in the same turn: as
        many as guesses have been right before, and more where lanes would be left without work. A place that the way
        from before has reached is given up: it began at a guess.
        """
        # By how far a day is beyond what guesses have earned, and the day's place in its stretch.
        wanted: dict[ChainDay, tuple[int, int]] = {}
        for chain in range(self._n_chains):
            reached = self._n_days if chain in self._given_up else 0
            for first in range(0, self._n_days, self._stretch):
                if first >= reached:
                    reached = self._go_on(chain, first, wanted)
        return list(wanted) if self._takes_all else self._whole_chunks(wanted)

    def _go_on(self, chain: int, first: int, wanted: dict[ChainDay, tuple[int, int]]) -> int:
        """Add what is wanted on the way of a chain from a stretch's first day; the day to which it comes."""
        guessed = self._start if not first or self._guesses is None else self._guesses[chain][first]
        begun, at = self._come.get((chain, first), (first, guessed))
        day, n_run, n_earned = begun, 0, 0
        while day < self._n_days:
            at = self._begin(chain, day, at)
            known = self._known.get((chain, day), {})
            day += 1
            if at in known:
                at = known[at].end
                if not n_run:
                    self._come[chain, first] = day, at
                continue
            n_earned = n_earned or 1 + _GUESSED_MORE * (day - 1 - begun)
            one, how = (chain, day - 1, at), (max(0, n_run + 1 - n_earned), day - first)
            wanted[one] = min(how, wanted.get(one, how))
            n_run += 1
            if not known or n_run >= n_earned + _GUESSED_DAYS:
                break
            at = guessed_end(at, known)
        return day

    def _begin(self, chain: int, day: int, at: Standing) -> Standing:
        return at if self._begins is None else self._begins[chain][day]

    def _whole_chunks(self, wanted: Mapping[ChainDay, tuple[int, int]]) -> list[ChainDay]:
        """Of days that are wanted, those that are run in a turn; what is left out comes again in the next."""
        n_sure = sum(not beyond for beyond, _ in wanted.values())
        n = n_sure // self._a_chunk_each * self._a_chunk_each or -(-n_sure // WIDTH) * WIDTH
        return sorted(wanted, key=lambda day: wanted[day])[:n]
