"""The grid as the queue finds it: sites granted so far, and whether one more may join them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from g2g_opt.feeder import Feeder
from g2g_opt.outcome import Engine
from g2g_opt.plan import Plan
from g2g_opt.scenario import Scenario
from g2g_opt.simulation import Bases
from g2g_opt.site import Site
from solvers.largest_by_use import search_largest_by_use
from studies.connection_check.judging import is_within_cap, peaks_mw, try_plan
from studies.connection_check.offered_sizes import capped_at_nominal, held_at_nominal
from studies.connection_queue.question import ConnectionQueueQuestion
from studies.connection_queue.requests_file import QueuedRequest
from studies.hosting_capacity.capacity import Operation
from studies.shared.side_by_side import Result, Wanted, judged_by, limit_use, run_side_by_side, together
from studies.shared.tap_search import TapTrial

Decision = Literal["firm", "flexible", "limited", "refused"]
# A limited size is looked for to this share of it.
_RESOLUTION = 0.04
# Sizes looked at below a limited one: what is granted holds at all of them.
_SIZES_BELOW = 4


@dataclass(frozen=True)
class Grant:
    """What a request was granted: servers at every level of own load, the highest level first."""

    request: QueuedRequest
    decision: Decision
    n_servers: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class JudgedCase:
    """A trial in one case: at which of the levels of own load, and at how much of it (share of what the data have)."""

    level: int
    own_load_share: float
    trial: TapTrial

    @property
    def peaks_mw(self) -> tuple[float, float] | None:
        """The most that the last site drew, and its fleet without a controller (MW); None of runs without an answer."""
        return peaks_mw(self.trial.runs)

    @property
    def kept(self) -> bool:
        """True if every run keeps every limit, and the last site its cap."""
        return self.trial.kept and is_within_cap(self.peaks_mw)

    @property
    def merit(self) -> tuple[Any, ...]:
        """By which cases are compared, the best last."""
        return self.kept, *self.trial.merit()


@dataclass(frozen=True, eq=False)
class Judgement:
    """A grant, or a refusal, with the case that decided it; `largest` servers would have fitted firm at the top level.

    `peaks_mw` is the most that a granted site drew on OpenDSS, by level of own load.
    """

    grant: Grant
    deciding: JudgedCase
    largest: int = 0
    peaks_mw: tuple[float, ...] = ()


@dataclass(frozen=True, eq=False)
class Searched:
    """A grant that holds in the steps of the search, and what first refused a better one; OpenDSS has to be asked."""

    grant: Grant
    refused: JudgedCase | None = None


class GrantedGrid:
    """The feeder with everything granted so far, at one year's own load."""

    def __init__(self, study: ConnectionQueueQuestion, feeder: Feeder, first_year: int) -> None:
        self._study, self._feeder, self._first_year = study, feeder, first_year
        self.grants: list[Grant] = []
        self._bases: Bases = {}
        self._sites: dict[tuple[str, int], Site] = {}
        # Level of own load and name of the run that broke a limit last, by request and what it was to be granted.
        self._broke: dict[tuple[str, str], tuple[int, str]] = {}

    # --- plans

    def plan(self, level: int, more: Sequence[Grant] = ()) -> Plan:
        """Sites at a level; with a controller those that are firm or limited keep their batch sizes, and no other one
        draws more than without it.
        """
        study, sites, grants = self._study, [], [*self.grants, *more]
        flexible = self._operation(more) == "flexible"
        for grant in grants:
            site = self._site(grant.request, grant.n_servers[level])
            if flexible:
                site = capped_at_nominal(site) if grant.decision == "flexible" else held_at_nominal(site)
            sites.append(site)
        policy = study.policy if flexible else study.policy.of_the_grid
        return Plan(tuple(sites), policy=policy, tap_mode=study.tap_mode)

    def _site(self, request: QueuedRequest, n_servers: int) -> Site:
        """The site of a request, made once."""
        key = request.name, n_servers
        if key not in self._sites:
            bus = self._feeder.bus(request.bus).name
            self._sites[key] = self._study.site_of(request, bus, n_servers)
        return self._sites[key]

    def cases(self, year: int) -> list[tuple[int, float]]:
        """(level, own load share) that a grant of a year has to hold at."""
        study = self._study
        now = study.own_load_factor(year, self._first_year)
        later = study.own_load_factor(year + study.horizon_years, self._first_year)
        found = [(k, level * now) for k, level in enumerate(study.levels)]
        return found if later == now else [*found, (0, study.levels[0] * later)]

    # --- judging

    def judged(self, request: QueuedRequest, year: int, searched: Searched | None = None) -> Judgement:
        """The best that a request can be granted now: what holds in the search's steps, and on OpenDSS in the run's.

        `searched` is what a search beside this very grid found (`looked_at`).
        """
        return self._run([self._judging(request, year, searched)])[0]

    def looked_at(self, asked: Sequence[tuple[QueuedRequest, int]]) -> list[Judgement | Searched]:
        """Requests and their years, each beside this very grid: its refusal, or what OpenDSS has to be asked about.

        Their searches share batches. A refusal is the one that `judged` gives as long as nothing is granted or freed.
        """
        return self._run([self._search(request, year) for request, year in asked])

    def looked_at_again(self, asked: Sequence[tuple[QueuedRequest, int]]) -> list[Searched | None]:
        """Requests that were refused beside another grid: what OpenDSS has to be asked about now, None of a refusal.

        The run that refused a request last time is simulated first: as long as it breaks a limit, no other is needed.
        """
        return self._run([self._search_again(request, year) for request, year in asked])

    def holds(self, year: int) -> JudgedCase:
        """What was granted, alone, at a year's own load: the case that is nearest to a limit."""
        (found,) = self._run([self._tried((), year, self._motion)])
        return _worst(found)

    def _judging(self, request: QueuedRequest, year: int, searched: Searched | None) -> Wanted[Judgement]:
        found: Judgement | Searched = searched or (yield from self._search(request, year))
        while isinstance(found, Searched):
            judgement = yield from self._confirmed(found.grant, year)
            if judgement.deciding.kept:
                return judgement
            refused = found.refused or judgement.deciding
            found = yield from self._search(request, year, found.grant.decision, refused)
        return found

    def _search(
        self,
        request: QueuedRequest,
        year: int,
        after: Decision | None = None,
        refused: JudgedCase | None = None,
    ) -> Wanted[Judgement | Searched]:
        """The best that holds in the search's steps, among the decisions that come `after` one that OpenDSS refused."""
        if after is None:
            grant = self._whole(request, "firm")
            refused = yield from self._searched(grant, year)
            if refused.kept:
                return Searched(grant)
        assert refused is not None
        found = yield from self._less_than_firm(request, year, after)
        if found is not None:
            return Searched(found, refused)
        largest = yield from self._largest_firm(request, year, refused)
        return Judgement(Grant(request, "refused", ()), refused, largest)

    def _search_again(self, request: QueuedRequest, year: int) -> Wanted[Searched | None]:
        grant = self._whole(request, "firm")
        refused = yield from self._searched_again(grant, year)
        if refused.kept:
            return Searched(grant)
        found = yield from self._less_than_firm(request, year, None)
        return Searched(found, refused) if found is not None else None

    def _less_than_firm(self, request: QueuedRequest, year: int, after: Decision | None) -> Wanted[Grant | None]:
        """What holds of a request that is not granted firm, among the decisions that come `after` a refused one."""
        if request.load_shape == "fleet" and after in (None, "firm"):
            grant = self._whole(request, "flexible")
            case = yield from self._searched_again(grant, year)
            if case.kept:
                return grant
        return (yield from self._limited(request, year)) if after != "limited" else None

    def _whole(self, request: QueuedRequest, decision: Decision) -> Grant:
        """All that a request asks for, at every level."""
        return Grant(request, decision, (self._study.size_of(request),) * len(self._study.levels))

    def _operation(self, more: Sequence[Grant]) -> Operation:
        return "flexible" if any(g.decision == "flexible" for g in (*self.grants, *more)) else "firm"

    def _searched(self, grant: Grant, year: int) -> Wanted[JudgedCase]:
        """A grant in every case at rest, then in motion: the worst of the first of these that breaks, or of motion.

        With a controller, which needs time to act, there is no judging at rest.
        """
        if self._operation((grant,)) == "firm":
            case = _worst((yield from self._tried((grant,), year, self._rests)))
            if not case.kept:
                return self._noted(grant, case)
        return self._noted(grant, _worst((yield from self._tried((grant,), year, self._motion))))

    def _noted(self, grant: Grant, case: JudgedCase) -> JudgedCase:
        """A case, noted as the one to look at first if it breaks."""
        if not case.kept:
            run = case.trial.binding.scenario
            self._broke[grant.request.name, grant.decision] = case.level, run
            if grant.decision == "firm":
                # What a controller would have to cope with: the way through all utilisations at the same own load.
                way = self._motion(case.own_load_share)[-1].name
                self._broke.setdefault((grant.request.name, "flexible"), (case.level, way))
        return case

    def _searched_again(self, grant: Grant, year: int) -> Wanted[JudgedCase]:
        """A grant in the very run that broke a limit with it before, if that is known and still does; else in all."""
        level, run = self._broke.get((grant.request.name, grant.decision), (-1, ""))
        for k, share in self.cases(year):
            scenarios = [one for one in self._runs(grant, share) if k == level and one.name == run]
            if scenarios:
                case = JudgedCase(k, share, (yield from try_plan(self.plan(k, (grant,)), scenarios)))
                if not case.kept:
                    return case
        return (yield from self._searched(grant, year))

    def _runs(self, grant: Grant, share: float) -> tuple[Scenario, ...]:
        """All runs in the search's steps at a share of own load."""
        rests = self._rests(share) if self._operation((grant,)) == "firm" else ()
        return *rests, *self._motion(share)

    def _confirmed(self, grant: Grant, year: int) -> Wanted[Judgement]:
        """A grant in every case on OpenDSS, in the run's own steps and, if firm, at rest; the worst case decides."""
        kinds = [self._motion_in_full, *([self._rests] if self._operation((grant,)) == "firm" else [])]
        tried = yield from together([self._tried((grant,), year, kind, "opendss") for kind in kinds])
        found: list[JudgedCase] = [case for cases in tried for case in cases]
        peaks = [0.0] * len(self._study.levels)
        for case in found:
            if case.peaks_mw is not None:
                peaks[case.level] = max(peaks[case.level], case.peaks_mw[0])
        return Judgement(grant, _worst(found), peaks_mw=tuple(peaks))

    def _tried(
        self,
        more: Sequence[Grant],
        year: int,
        scenarios: Callable[[float], Sequence[Scenario]],
        engine: Engine = "batch",
    ) -> Wanted[list[JudgedCase]]:
        """What was granted, and `more`, in every case of a year; `scenarios` are those at a share of own load."""
        cases = self.cases(year)
        trials: list[TapTrial] = yield from together(
            [try_plan(self.plan(level, more), scenarios(share), engine) for level, share in cases]
        )
        return [JudgedCase(level, share, trial) for (level, share), trial in zip(cases, trials, strict=True)]

    def _rests(self, share: float) -> tuple[Scenario, ...]:
        return self._study.rests(replace(self._study.scenario, own_load_share=share))

    def _motion_in_full(self, share: float) -> tuple[Scenario, ...]:
        """The run and the way through the utilisation range, in the run's own steps."""
        return self._study.scenarios("flexible", share)

    def _motion(self, share: float) -> tuple[Scenario, ...]:
        """The same in the steps of the search."""
        return tuple(map(self._study.coarse, self._motion_in_full(share)))

    # --- sizes

    def least_size(self, request: QueuedRequest) -> int:
        """The fewest servers of a limited profile: no less than its least share."""
        least = self._study.limited_share_min * self._study.size_of(request)
        # Not more for what a product of shares leaves behind a whole number.
        return max(self._study.least_size_of(request), math.ceil(least - 1e-9))

    def _limited(self, request: QueuedRequest, year: int) -> Wanted[Grant | None]:
        """Servers by level of own load: all of them at the lowest, at the others what fits, if the least size does."""
        whole, least, lowest = self._study.size_of(request), self.least_size(request), len(self._study.levels) - 1
        if lowest == 0 or (yield from self._use(request, whole, lowest, year)) > 1.0:
            return None
        uses = yield from together([self._use(request, least, level, year) for level in range(lowest)])
        if max(uses) > 1.0:
            return None
        start = max(least, whole // 2)
        found: list[int] = yield from together(
            [self._largest(request, level, year, start, 1.5, _SIZES_BELOW) for level in range(lowest)]
        )
        return Grant(request, "limited", (*found, whole)) if min(found) >= least else None

    def _largest_firm(self, request: QueuedRequest, year: int, refused: JudgedCase) -> Wanted[int]:
        """The most servers that hold at the highest level; 0 if fewer than the least of a limited profile do.

        First by the run alone that refused all of them, then by all runs near there. What OpenDSS `refused`, in the
        run's own steps, holds in those of the search, and so may a little less: OpenDSS is asked there, too.
        """
        whole, least = self._study.size_of(request), self.least_size(request)
        level, run = self._broke.get((request.name, "firm"), (-1, ""))
        start, growth = max(least, whole // 2), 1.5
        if refused.level == 0 and refused.trial.binding.engine == "opendss":
            found: int = whole
            while found >= least:
                fewer = int((1.0 - _RESOLUTION) * found)
                found = yield from self._largest(request, 0, year, start, growth, 0, n_max=fewer)
                if found >= least and (yield from self._holds_on_opendss(request, found, year)):
                    return found
            return 0
        if level == 0:
            start = yield from self._largest(request, 0, year, start, growth, 0, run)
            if start < least:
                return 0
            growth = 1.0 + _RESOLUTION
        return (yield from self._largest(request, 0, year, start, growth, 0))

    def _holds_on_opendss(self, request: QueuedRequest, n_servers: int, year: int) -> Wanted[bool]:
        """True if so many servers hold firm at the highest level in the run's own steps, and at rest."""
        grant = Grant(request, "limited", (n_servers,) * len(self._study.levels))
        rests = self._rests if self._operation((grant,)) == "firm" else None
        shares = [share for level, share in self.cases(year) if level == 0]
        runs = [one for share in shares for one in (*self._motion_in_full(share), *(rests(share) if rests else ()))]
        trial: TapTrial = yield from try_plan(self.plan(0, (grant,)), runs, "opendss")
        return trial.kept

    def _largest(
        self,
        request: QueuedRequest,
        level: int,
        year: int,
        start: int,
        growth: float,
        below: int,
        run: str = "",
        n_max: int | None = None,
    ) -> Wanted[int]:
        """The most servers, up to `n_max` or all, that hold at a level, and so do those tried `below`, in all runs or
        in one `run` alone; 0 if there are none.
        """
        n_max, n_min = self._study.size_of(request) if n_max is None else n_max, self.least_size(request)
        if n_max < n_min:
            return 0
        search = search_largest_by_use(
            n_max, n_min=n_min, start=min(start, n_max), resolution=_RESOLUTION, growth=growth, below=below
        )

        def judge(sizes: Sequence[int]) -> Wanted[dict[int, float]]:
            uses = yield from together([self._use(request, n, level, year, run) for n in sizes])
            return dict(zip(sizes, uses, strict=True))

        return (yield from judged_by(search, judge)).held_up_to

    def _use(self, request: QueuedRequest, n: int, level: int, year: int, run: str = "") -> Wanted[float]:
        """Share of the limit that binds so many servers at one level: in the run that broke one before; where that
        holds, and is not all that is asked, at rest; where that holds, in motion.
        """
        sizes = tuple(n if k == level else 0 for k in range(len(self._study.levels)))
        grant = Grant(request, "limited", sizes)
        plan, shares = self.plan(level, (grant,)), [share for k, share in self.cases(year) if k == level]
        runs = [one for share in shares for one in self._runs(grant, share)]
        key = request.name, f"limited at {level}"
        first = run or self._broke.get(key, self._broke.get((request.name, "firm"), (level, "")))[1]
        stages = [[one for one in runs if one.name == first]]
        if not run:
            moving = {one.name for share in shares for one in self._motion(share)}
            rest = [one for one in runs if one.name != first]
            stages += [[one for one in rest if one.name not in moving], [one for one in rest if one.name in moving]]
        used = 0.0
        for stage in stages:
            if stage:
                trial: TapTrial = yield from try_plan(plan, stage)
                used = max(used, limit_use(trial.runs))
            if used > 1.0:
                self._broke[key] = level, trial.binding.scenario
                return used
        return used

    def _run(self, searches: Sequence[Wanted[Result]]) -> list[Result]:
        return run_side_by_side(self._study, self._feeder, searches, bases=self._bases)


def _worst(cases: Sequence[JudgedCase]) -> JudgedCase:
    """The case that is furthest beyond a limit, or nearest to one."""
    return min(cases, key=lambda case: case.merit)
