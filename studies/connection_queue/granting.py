"""The grid as the queue finds it: sites granted so far, and whether one more may join them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from g2g_opt.feeder import Feeder
from g2g_opt.outcome import Engine
from g2g_opt.plan import Plan
from g2g_opt.scenario import Scenario
from g2g_opt.site import Site, smallest_n_servers
from solvers.largest_feasible import search_largest_feasible
from studies.connection_check.judging import try_plan
from studies.connection_queue.question import ConnectionQueueQuestion
from studies.connection_queue.requests_file import QueuedRequest
from studies.hosting_capacity.capacity import Operation
from studies.shared.side_by_side import Wanted, largest_kept, run_side_by_side, together
from studies.shared.tap_search import TapTrial

Decision = Literal["firm", "flexible", "limited", "refused"]
# A limited size is looked for to this share, and lowered by it where the whole run does not hold.
_RESOLUTION, _LESS, _ROUNDS_MAX = 0.04, 0.94, 4
# Sizes looked at below the largest one: what is granted holds at all of them.
_SIZES_BELOW = 4


@dataclass(frozen=True)
class Grant:
    """What a request was granted: servers at every level of own load, the highest level first."""

    request: QueuedRequest
    decision: Decision
    n_servers: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Judgement:
    """A grant, or a refusal with the run that decided it; `largest` servers would have fitted firm at the top level."""

    grant: Grant
    deciding: TapTrial
    largest: int = 0


class GrantedGrid:
    """The feeder with everything granted so far, at one year's own load."""

    def __init__(self, study: ConnectionQueueQuestion, feeder: Feeder, first_year: int) -> None:
        self._study, self._feeder, self._first_year = study, feeder, first_year
        self.grants: list[Grant] = []

    # --- plans

    def plan(self, level: int, more: Sequence[Grant] = ()) -> Plan:
        """Sites at a level; with a controller those that are firm or limited keep their batch sizes."""
        study, sites, grants = self._study, [], [*self.grants, *more]
        flexible = self._operation(more) == "flexible"
        for grant in grants:
            bus = self._feeder.bus(grant.request.bus).name
            site = study.site_of(grant.request, bus, grant.n_servers[level])
            sites.append(held(site) if flexible and grant.decision != "flexible" else site)
        policy = study.policy if flexible else study.policy.of_the_grid
        return Plan(tuple(sites), policy=policy, tap_mode=study.tap_mode)

    def cases(self, year: int) -> list[tuple[int, float]]:
        """(level, own load share) that a grant of a year has to hold at."""
        study = self._study
        now = study.own_load_factor(year, self._first_year)
        later = study.own_load_factor(year + study.horizon_years, self._first_year)
        found = [(k, level * now) for k, level in enumerate(study.levels)]
        return found if later == now else [*found, (0, study.levels[0] * later)]

    # --- judging

    def judged(self, request: QueuedRequest, year: int) -> Judgement:
        """The best that a request can be granted now: what holds in the search's steps, and on OpenDSS in the run's."""
        whole = self._study.size_of(request)
        sizes = (whole,) * len(self._study.levels)
        refused: TapTrial | None = None
        decisions: tuple[Operation, ...] = ("firm", "flexible") if request.load_shape == "fleet" else ("firm",)
        for decision in decisions:
            trial = self._tried(Grant(request, decision, sizes), year)
            if trial.kept:
                return Judgement(Grant(request, decision, sizes), trial)
            refused = refused or trial
        assert refused is not None
        limited = self._limited(request, whole, year)
        if isinstance(limited, Grant):
            trial = self._tried(limited, year)
            if trial.kept:
                return Judgement(limited, trial)
            return Judgement(Grant(request, "refused", ()), refused)
        return Judgement(Grant(request, "refused", ()), refused, limited)

    def holds(self, year: int) -> TapTrial:
        """What was granted, alone, at a year's own load: the case that is nearest to a limit."""
        return self._worst([(self.plan(k), self._motion(share)) for k, share in self.cases(year)])

    def _operation(self, more: Sequence[Grant]) -> Operation:
        return "flexible" if any(g.decision == "flexible" for g in (*self.grants, *more)) else "firm"

    def _tried(self, grant: Grant, year: int) -> TapTrial:
        """A grant in every case: at rest, then in motion, then on OpenDSS; the first that breaks, or the worst.

        With a controller, which needs time to act, there is no judging at rest.
        """
        operation, more = self._operation((grant,)), (grant,)
        cases = [(self.plan(k, more), share) for k, share in self.cases(year)]
        if operation == "firm":
            trial = self._worst([(plan, self._rests(share)) for plan, share in cases])
            if not trial.kept:
                return trial
        trial = self._worst([(plan, self._motion(share)) for plan, share in cases])
        if not trial.kept:
            return trial
        asked = [(plan, self._motion(share, coarse=False)) for plan, share in cases]
        if operation == "firm":
            asked += [(plan, self._rests(share)) for plan, share in cases]
        return self._worst(asked, "opendss")

    def _rests(self, share: float) -> tuple[Scenario, ...]:
        return self._study.rests(replace(self._study.scenario, own_load_share=share))

    def _motion(self, share: float, coarse: bool = True) -> tuple[Scenario, ...]:
        """The run and the way through the utilisation range, in the steps of the search or in the run's own."""
        found = self._study.scenarios("flexible", share)
        return tuple(map(self._study.coarse, found)) if coarse else found

    def _limited(self, request: QueuedRequest, whole: int, year: int) -> Grant | int:
        """MW by level of own load, if all of it fits at one; else how many servers fit at the highest level."""
        least = max(smallest_n_servers(self._study.models_of(request)), int(self._study.limited_share_min * whole))
        lowest = len(self._study.levels) - 1
        rests = [rest for share in self._shares(lowest, year) for rest in self._rests(share)]
        (trial,) = self._together([(self._at_level(request, whole, lowest), rests)])
        if not trial.kept:
            # What is asked for fits at no level.
            return self._largest_at_rest(request, whole, least, 0, year)
        found = [self._largest_at_rest(request, whole, least, level, year) for level in range(lowest + 1)]
        if min(found) < least or max(found) < whole:
            return found[0]
        held = [self._largest(request, n, least, level, year) for level, n in enumerate(found)]
        if min(held) < least or max(held) < whole:
            return held[0]
        return Grant(request, "limited", tuple(held))

    def _at_level(self, request: QueuedRequest, n: int, level: int) -> Plan:
        sizes = tuple(n if k == level else 0 for k in range(len(self._study.levels)))
        more = (Grant(request, "limited", sizes),)
        return self.plan(level, more)

    def _shares(self, level: int, year: int) -> list[float]:
        return [share for k, share in self.cases(year) if k == level]

    def _largest_at_rest(self, request: QueuedRequest, whole: int, least: int, level: int, year: int) -> int:
        """The most servers up to which all that are tried hold at a level at rest; 0 if fewer than the least do."""
        rests = [rest for share in self._shares(level, year) for rest in self._rests(share)]
        search = search_largest_feasible(
            whole,
            n_min=least,
            resolution=_RESOLUTION,
            growth=2.0,
            try_above=(),
            at_once=3,
            shrink=True,
            below=_SIZES_BELOW,
        )

        def judge(sizes: Sequence[int]) -> Wanted[dict[int, bool]]:
            tried = yield from together([try_plan(self._at_level(request, n, level), rests) for n in sizes])
            return {n: trial.kept for n, trial in zip(sizes, tried, strict=True)}

        (found,) = run_side_by_side(self._study, self._feeder, [largest_kept(search, judge)])
        return found.held_up_to

    def _largest(self, request: QueuedRequest, n: int, least: int, level: int, year: int) -> int:
        """The servers at which a level also holds in motion, from `n` down; 0 if fewer than the least do."""
        for _ in range(_ROUNDS_MAX):
            if n < least:
                break
            plan = self._at_level(request, n, level)
            if self._worst([(plan, self._motion(share)) for share in self._shares(level, year)]).kept:
                return n
            n = int(_LESS * n)
        return 0

    def _worst(self, asked: Sequence[tuple[Plan, Sequence[Scenario]]], engine: Engine = "batch") -> TapTrial:
        return min(self._together(asked, engine), key=lambda trial: trial.merit())

    def _together(self, asked: Sequence[tuple[Plan, Sequence[Scenario]]], engine: Engine = "batch") -> list[TapTrial]:
        searches = [try_plan(plan, scenarios, engine) for plan, scenarios in asked]
        return run_side_by_side(self._study, self._feeder, searches)


def held(site: Site) -> Site:
    """A site that keeps its batch sizes under any controller: it is offered no other."""
    kept = tuple(replace(d, spec=replace(d.spec, feasible_batch_sizes=(d.batch_size,))) for d in site.deployments)
    return replace(site, deployments=kept)
