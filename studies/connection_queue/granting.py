"""The grid as the queue finds it: sites granted so far, and whether one more may join them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from g2g_opt.feeder import Feeder
from g2g_opt.outcome import Engine
from g2g_opt.plan import Plan
from g2g_opt.scenario import Scenario
from g2g_opt.simulation import Bases
from g2g_opt.site import Site, smallest_n_servers
from solvers.largest_by_use import search_largest_by_use
from studies.connection_check.judging import try_plan
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
        self._bases: Bases = {}

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
        (found,) = self._run([self._judging(request, year, confirm=True)])
        assert found is not None
        return found

    def refused(self, asked: Sequence[tuple[QueuedRequest, int]]) -> list[Judgement | None]:
        """Requests and their years, each beside this very grid: its refusal, or None where OpenDSS has to be asked.

        Their searches share batches. A refusal is the one that `judged` gives as long as nothing is granted or freed.
        """
        return self._run([self._judging(request, year, confirm=False) for request, year in asked])

    def holds(self, year: int) -> TapTrial:
        """What was granted, alone, at a year's own load: the case that is nearest to a limit."""
        (found,) = self._run([self._worst([(self.plan(k), self._motion(share)) for k, share in self.cases(year)])])
        return found

    def _judging(self, request: QueuedRequest, year: int, confirm: bool) -> Wanted[Judgement | None]:
        whole = self._study.size_of(request)
        refused: TapTrial | None = None
        decisions: tuple[Operation, ...] = ("firm", "flexible") if request.load_shape == "fleet" else ("firm",)
        for decision in decisions:
            grant = Grant(request, decision, (whole,) * len(self._study.levels))
            trial = yield from self._searched(grant, year)
            if trial.kept and not confirm:
                return None
            if trial.kept:
                trial = yield from self._confirmed(grant, year)
            if trial.kept:
                return Judgement(grant, trial)
            refused = refused or trial
        assert refused is not None
        limited = yield from self._limited(request, whole, year)
        if isinstance(limited, int):
            return Judgement(Grant(request, "refused", ()), refused, limited)
        if not confirm:
            return None
        trial = yield from self._confirmed(limited, year)
        return Judgement(limited, trial) if trial.kept else Judgement(Grant(request, "refused", ()), refused)

    def _operation(self, more: Sequence[Grant]) -> Operation:
        return "flexible" if any(g.decision == "flexible" for g in (*self.grants, *more)) else "firm"

    def _searched(self, grant: Grant, year: int) -> Wanted[TapTrial]:
        """A grant in every case at rest, then in motion: the first that breaks, or the worst.

        With a controller, which needs time to act, there is no judging at rest.
        """
        cases = [(self.plan(k, (grant,)), share) for k, share in self.cases(year)]
        if self._operation((grant,)) == "firm":
            trial = yield from self._worst([(plan, self._rests(share)) for plan, share in cases])
            if not trial.kept:
                return trial
        return (yield from self._worst([(plan, self._motion(share)) for plan, share in cases]))

    def _confirmed(self, grant: Grant, year: int) -> Wanted[TapTrial]:
        """A grant in every case on OpenDSS, in the run's own steps and, if firm, at rest."""
        cases = [(self.plan(k, (grant,)), share) for k, share in self.cases(year)]
        asked = [(plan, self._motion(share, coarse=False)) for plan, share in cases]
        if self._operation((grant,)) == "firm":
            asked += [(plan, self._rests(share)) for plan, share in cases]
        return (yield from self._worst(asked, "opendss"))

    def _rests(self, share: float) -> tuple[Scenario, ...]:
        return _named(self._study.rests(replace(self._study.scenario, own_load_share=share)))

    def _motion(self, share: float, coarse: bool = True) -> tuple[Scenario, ...]:
        """The run and the way through the utilisation range, in the steps of the search or in the run's own."""
        found = self._study.scenarios("flexible", share)
        return _named(tuple(map(self._study.coarse, found)) if coarse else found)

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

    def _worst(self, asked: Sequence[tuple[Plan, Sequence[Scenario]]], engine: Engine = "batch") -> Wanted[TapTrial]:
        trials: list[TapTrial] = yield from together([try_plan(plan, scenarios, engine) for plan, scenarios in asked])
        return min(trials, key=lambda trial: trial.merit())

    def _run(self, searches: Sequence[Wanted[Result]]) -> list[Result]:
        return run_side_by_side(self._study, self._feeder, searches, bases=self._bases)


def _named(scenarios: Sequence[Scenario]) -> tuple[Scenario, ...]:
    """Scenarios that say in their names at which level of the circuit's own load they are."""
    return tuple(replace(one, name=f"{one.name}, {one.own_load_share:g} of the own load") for one in scenarios)


def held(site: Site) -> Site:
    """A site that keeps its batch sizes under any controller: it is offered no other."""
    kept = tuple(replace(d, spec=replace(d.spec, feasible_batch_sizes=(d.batch_size,))) for d in site.deployments)
    return replace(site, deployments=kept)
