"""The grid as the queue finds it: sites granted so far, and whether one more may join them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from g2g_opt.feeder import Feeder
from g2g_opt.outcome import Engine
from g2g_opt.plan import Plan
from g2g_opt.scenario import Scenario
from g2g_opt.simulation import Bases
from g2g_opt.site import Site, smallest_n_servers
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
        whole = self._study.size_of(request)
        decisions: tuple[Decision, ...] = ("firm", "flexible") if request.load_shape == "fleet" else ("firm",)
        decisions = (*decisions, "limited")
        for decision in decisions[decisions.index(after) + 1 if after is not None else 0 :]:
            if decision == "limited":
                limited = yield from self._limited(request, whole, year)
                if isinstance(limited, Grant):
                    return Searched(limited, refused)
                assert refused is not None
                return Judgement(Grant(request, "refused", ()), refused, limited)
            grant = Grant(request, decision, (whole,) * len(self._study.levels))
            case = yield from self._searched(grant, year)
            if case.kept:
                return Searched(grant, refused)
            refused = refused or case
        assert refused is not None
        return Judgement(Grant(request, "refused", ()), refused)

    def _operation(self, more: Sequence[Grant]) -> Operation:
        return "flexible" if any(g.decision == "flexible" for g in (*self.grants, *more)) else "firm"

    def _searched(self, grant: Grant, year: int) -> Wanted[JudgedCase]:
        """A grant in every case at rest, then in motion: the first that breaks, or the worst.

        With a controller, which needs time to act, there is no judging at rest.
        """
        if self._operation((grant,)) == "firm":
            case = _worst((yield from self._tried((grant,), year, self._rests)))
            if not case.kept:
                return case
        return _worst((yield from self._tried((grant,), year, self._motion)))

    def _confirmed(self, grant: Grant, year: int) -> Wanted[Judgement]:
        """A grant in every case on OpenDSS, in the run's own steps and, if firm, at rest; the worst case decides."""
        found: list[JudgedCase] = yield from self._tried((grant,), year, self._motion_in_full, "opendss")
        if self._operation((grant,)) == "firm":
            found += yield from self._tried((grant,), year, self._rests, "opendss")
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

    def _limited(self, request: QueuedRequest, whole: int, year: int) -> Wanted[Grant | int]:
        """Servers by level of own load, if all of them fit at the lowest; else how many fit at the highest level."""
        least = max(smallest_n_servers(self._study.models_of(request)), int(self._study.limited_share_min * whole))
        lowest = len(self._study.levels) - 1
        fits = lowest > 0 and (yield from self._use(request, whole, lowest, year)) <= 1.0
        levels, below = (range(lowest), _SIZES_BELOW) if fits else (range(1), 0)
        found: list[int] = yield from together([self._largest(request, whole, least, k, year, below) for k in levels])
        if not fits or min(found) < least:
            return found[0]
        return Grant(request, "limited", (*found, whole))

    def _largest(
        self, request: QueuedRequest, whole: int, least: int, level: int, year: int, below: int
    ) -> Wanted[int]:
        """The most servers, up to `whole`, that hold at a level, and so do those tried `below`; 0 if fewer do."""
        search = search_largest_by_use(
            whole, n_min=least, start=max(least, whole // 2), resolution=_RESOLUTION, below=below
        )

        def judge(sizes: Sequence[int]) -> Wanted[dict[int, float]]:
            uses = yield from together([self._use(request, n, level, year) for n in sizes])
            return dict(zip(sizes, uses, strict=True))

        return (yield from judged_by(search, judge)).held_up_to

    def _use(self, request: QueuedRequest, n: int, level: int, year: int) -> Wanted[float]:
        """Share of the limit that binds so many servers at one level, at rest or, where that holds, in motion."""
        sizes = tuple(n if k == level else 0 for k in range(len(self._study.levels)))
        grant = Grant(request, "limited", sizes)
        plan, shares = self.plan(level, (grant,)), [share for k, share in self.cases(year) if k == level]
        used = 0.0
        if self._operation((grant,)) == "firm":
            trial = yield from try_plan(plan, [rest for share in shares for rest in self._rests(share)])
            used = limit_use(trial.runs)
            if used > 1.0:
                return used
        trial = yield from try_plan(plan, [run for share in shares for run in self._motion(share)])
        return max(used, limit_use(trial.runs))

    def _run(self, searches: Sequence[Wanted[Result]]) -> list[Result]:
        return run_side_by_side(self._study, self._feeder, searches, bases=self._bases)


def _worst(cases: Sequence[JudgedCase]) -> JudgedCase:
    """The case that is furthest beyond a limit, or nearest to one."""
    return min(cases, key=lambda case: case.merit)
