"""The look in coarse steps: what sizes do in the same run at a tenth of its steps, before any is run in full.

It says where to begin: near the largest size that holds, and beside the rungs of the ladder. Nothing that is reported
rests on a coarse run: whatever is judged is run at every step. Controllers that act at every step would be others in
coarse steps, so that firm operation alone is looked at; flexible sizes begin there, too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction

from g2g_opt.plan import Plan
from g2g_opt.scenario import Scenario
from solvers.largest_by_use import search_largest_by_use
from studies.hosting_capacity.across_gaps import look_across
from studies.hosting_capacity.capacity import JudgedSize
from studies.hosting_capacity.ladder import sizes_beside_rungs, sizes_wanted
from studies.shared.side_by_side import Wanted, judged_by, limit_use, together
from studies.shared.tap_range import Taps
from studies.shared.tap_search import TapSearch

# A coarse step (s), and how much longer than a run's own it has to be to be worth it.
STEP_S = Fraction(10)
_LONGER = 4
# Fewest coarse steps that tell anything of a run.
_STEPS_MIN = 60


def in_coarse_steps(scenario: Scenario) -> Scenario | None:
    """The same run in coarse steps; None where its own steps are long, or it is short or no multiple of them."""
    duration_s, dt_s = Fraction(scenario.duration_s), Fraction(scenario.dt_s)
    if dt_s * _LONGER > STEP_S or duration_s < _STEPS_MIN * STEP_S or duration_s % STEP_S:
        return None
    return replace(scenario, dt_s=STEP_S, control_dt_s=max(STEP_S, Fraction(scenario.control_dt_s)))


class CoarseLook:
    """Sizes of one place, firm, in coarse steps; `plan` makes a plan of a size (servers), `taps` tries it.

    What one search has looked at, another one at the same place need not look at again.
    """

    def __init__(self, plan: Callable[[int], Plan], taps: TapSearch) -> None:
        self._plan, self._taps = plan, taps
        self._judged: dict[int, JudgedSize] = {}
        self._use: dict[int, float] = {}

    @property
    def last_good(self) -> Taps:
        """The taps that kept a size last."""
        return self._taps.last_good

    def largest(
        self, first: int, n_min: int, n_max: int, resolution: float, growth: float, at_once: int
    ) -> Wanted[int]:
        """The largest size that holds below the first that does not, from `first` on; `n_min` where none does."""
        search = search_largest_by_use(
            n_max, n_min=n_min, start=first, resolution=resolution, growth=growth, at_once=at_once
        )
        found = yield from judged_by(search, self._uses)
        return max(found.n, n_min)

    def across(self, tried: int, n_max: int) -> Wanted[list[int]]:
        """Sizes far above what was `tried` that hold again, the largest first (see `look_across`)."""
        return (yield from look_across(self._sizes, tried, n_max))

    def beside_rungs(self, n_min: int, n_max: int, resolution: float, growth: float) -> Wanted[set[int]]:
        """Sizes on both sides of every rung of the ladder."""
        while wanted := sizes_wanted(self._judged, n_min, n_max, resolution, growth):
            yield from self._uses(wanted)
        return sizes_beside_rungs(self._judged)

    def _sizes(self, sizes: Sequence[int]) -> Wanted[Mapping[int, JudgedSize]]:
        yield from self._uses(tuple(sizes))
        return self._judged

    def _uses(self, sizes: tuple[int, ...]) -> Wanted[dict[int, float]]:
        """The share of the limit that binds which sizes use up."""
        new = [n for n in dict.fromkeys(sizes) if n not in self._use]
        tried = yield from together([self._taps.try_taps(self._plan(n)) for n in new])
        for n, trials in zip(new, tried, strict=True):
            self._judged[n] = JudgedSize.of_trials(n, (n,), trials)
            self._use[n] = limit_use(trials[-1].runs)
        return {n: self._use[n] for n in sizes}
