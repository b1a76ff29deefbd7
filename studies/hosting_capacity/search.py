"""The search for one capacity, as a generator that asks for runs to simulate together with others (`side_by_side`)."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from g2g_opt.feeder import Feeder
from g2g_opt.outcome import Outcome
from g2g_opt.plan import Plan, TapMode
from g2g_opt.scenario import Scenario
from g2g_opt.site import smallest_n_servers
from solvers.largest_by_use import search_largest_by_use
from solvers.largest_feasible import LargestFeasible, search_below, search_largest_feasible
from studies.hosting_capacity.across_gaps import look_across, size_across
from studies.hosting_capacity.bracket import Bracket
from studies.hosting_capacity.capacity import (
    Aim,
    Capacity,
    JudgedSize,
    ScenarioCertificate,
    best_note,
    capacity_of,
    most_drawn_mw,
)
from studies.hosting_capacity.coarse_look import CoarseLook, in_coarse_steps
from studies.hosting_capacity.ladder import rungs_of, sizes_wanted
from studies.hosting_capacity.question import HostingCapacityQuestion
from studies.hosting_capacity.search_result import SearchResult, StoredRun
from studies.hosting_capacity.shared_lanes import LANES, SIZES_AT_ONCE, SharedLanes
from studies.shared.side_by_side import RunRequest, Wanted, judged_by, limit_use, together
from studies.shared.tap_search import TapSearch, TapTrial
from studies.shared.workload import Models, SizeRange

# Share of an answer within which the search stops; one server near the bottom.
RESOLUTION = 0.005
GROWTH = 1.6
# Sizes spread over the range in which the best one is looked for, and how near to it the search comes.
SIZES_SPREAD, BEST_RESOLUTION = 6, 0.02
# Share of a rung of the ladder within which it is known.
RUNG_RESOLUTION = 0.02
# Share of a size within which a bracket is narrow: sizes on both sides of it are looked at while it closes.
CLOSED_IN = 0.08
# Around a guess the search spreads in smaller steps.
GROWTH_AROUND_GUESS = 1.15
# How far apart the first two flexible sizes lie, which begin where firm ones end in coarse steps.
SPREAD_FLEXIBLE = 0.05
# Multiples of an answer that are looked at above it. Regulators that act by themselves settle at one step or another
# as a site grows, so that what holds has gaps: 850 of the 34-bus feeder keeps voltages up to 2.59 MW, breaks them at
# 2.90, keeps them again at 3.00, and so on up to 5.42.
TRY_ABOVE: dict[TapMode, tuple[float, ...]] = {
    "fixed": (1.02, 1.05, 1.15),
    "own control": (1.02, 1.04, 1.07, 1.1, 1.14, 1.18, 1.22, 1.26, 1.32, 1.4),
}
# Sizes looked at below an answer, in one batch, whether they hold too: where controls of the circuit act by themselves,
# what holds has gaps there as well (a capacitor bank that a small site brings to hunt is settled by a large one).
SIZES_BELOW: dict[TapMode, int] = {"fixed": 6, "own control": 16}

# Sizes that a search usually judges, for progress: on the way to the largest one, for the ladder, and for the best one.
# Medians over buses of the 13- and 34-bus feeders, where counts lie within a third of them.
_SIZES_TO_LARGEST: dict[TapMode, int] = {"fixed": 12, "own control": 21}
_SIZES_OF_LADDER = {"firm": 23, "flexible": 35}
_SIZES_TO_BEST = 5

SizeReport = Callable[[Aim, JudgedSize], None]


def expected_sizes(study: HostingCapacityQuestion, aim: Aim) -> int:
    """About how many sizes the search for an aim judges, by what is asked of it."""
    ladder = _SIZES_OF_LADDER[aim.operation] if study.has_ladder(aim) else 0
    return _SIZES_TO_LARGEST[study.tap_mode] + ladder + (_SIZES_TO_BEST if study.objective_of(aim) != "gpus" else 0)


class SizeSearch:
    """One aim's search. `guess` (servers) is where it begins, if something is known.

    `report` hears of every size, `confirmed` of every run on OpenDSS. `lanes` are those that it shares with others, and
    `coarse` is the coarse look of another search at the same place.
    """

    def __init__(
        self,
        study: HostingCapacityQuestion,
        feeder: Feeder,
        models: Models,
        aim: Aim,
        guess: int | None = None,
        report: SizeReport = lambda aim, judged: None,
        confirmed: Callable[[Aim], None] = lambda aim: None,
        lanes: SharedLanes | None = None,
        coarse: CoarseLook | None = None,
    ) -> None:
        self._study, self._models, self._aim, self._guess, self._report = study, models, aim, guess, report
        self._confirmed, self._lanes = confirmed, lanes or SharedLanes(LANES)
        self._limits, self._objective = aim.limits(study.limits), study.objective_of(aim)
        self._policy = study.flexible_policy if aim.operation == "flexible" else study.policy.of_the_grid
        self._scenarios = study.draw_scenarios("search", aim.operation)
        self._allowed = study.failures_allowed()
        self._taps = self._tap_search(feeder, self._scenarios, optimise=study.taps == "optimised")
        self._feeder = feeder
        steps = in_coarse_steps(self._scenarios[0]) if len(self._scenarios) == 1 else None
        if coarse is None and steps is not None:
            coarse = CoarseLook(self._firm_plan, self._taps.over([steps]))
        self.coarse = coarse
        self._sizes_range = SizeRange.of(models, study.base_kw_per_gpu, study.power_max_mw)
        self._judged: dict[int, JudgedSize] = {}
        self._trials: dict[int, list[TapTrial]] = {}

    def _tap_search(self, feeder: Feeder, scenarios: tuple[Scenario, ...], optimise: bool) -> TapSearch:
        return TapSearch(
            feeder,
            scenarios,
            self._limits,
            optimise=optimise,
            trace_dir=Path(self._study.trace_dir),
            failures_allowed=self._allowed,
        )

    def _sizes(self, n_servers: int) -> tuple[int, ...]:
        first = self._aim.first_n_servers
        return (first, n_servers) if first is not None else self._study.share_servers(n_servers, len(self._aim.buses))

    def _firm_plan(self, n_servers: int) -> Plan:
        return replace(self._plan(n_servers), policy=self._study.policy.of_the_grid)

    def _plan(self, n_servers: int) -> Plan:
        study = self._study
        sizes = self._sizes(n_servers)
        names = ["site"] if len(sizes) == 1 else [f"site-{k + 1}" for k in range(len(sizes))]
        sites = tuple(
            study.site(name, bus, self._models, n)
            for name, bus, n in zip(names, self._aim.buses, sizes, strict=True)
            if n > 0
        )
        return Plan(sites, policy=self._policy, tap_mode=study.tap_mode, storage=study.storage)

    def found(self) -> Wanted[SearchResult]:
        """The largest size kept, certified and confirmed on OpenDSS, with all runs."""
        n_largest = yield from self._look_for_largest(self._guess)
        has_ladder = self._study.has_ladder(self._aim)
        if has_ladder:
            yield from self._climb()
            # Sizes judged for the ladder may have met one beyond a gap.
            while (met := max((n for n, size in self._judged.items() if size.kept), default=0)) > n_largest:
                n_largest = yield from self._look_for_largest(met)
        if self._objective != "gpus":
            yield from self._look_for_best(n_largest)
        self._lanes.leave()
        yield from self._look_below(n_largest)
        settled = yield from self.settle(n_largest)
        return replace(settled, rungs=tuple(rungs_of(self._aim, list(self._judged.values())) if has_ladder else ()))

    def _look_for_largest(self, guess: int | None) -> Wanted[int]:
        """The largest size kept, from a guess (servers) on if there is one; sizes that are known are not run again."""
        n_min = self._smallest()
        if self.coarse is not None:
            return (yield from self._close_in(self.coarse, guess, n_min))
        search = search_largest_feasible(
            self._cap(),
            n_min=n_min,
            start=self._sizes_range.first if guess is None else max(n_min, guess),
            resolution=RESOLUTION,
            growth=GROWTH if guess is None else GROWTH_AROUND_GUESS,
            try_above=TRY_ABOVE[self._study.tap_mode],
            at_once=SIZES_AT_ONCE,
            shrink=guess is not None,
        )
        found = yield from judged_by(search, self._kept)
        look = partial(look_across, self._sizes_judged)
        met = yield from size_across(look, self._kept, self._judged, found.n, self._cap())
        return found.n if met == 0 else (yield from self._look_for_largest(met))

    def _close_in(self, coarse: CoarseLook, guess: int | None, n_min: int) -> Wanted[int]:
        """The largest size kept: close in on where a coarse look says, at every step, then look above."""
        n_max = self._cap()
        if guess is None:
            first = max(n_min, self._sizes_range.first)
            guess = yield from coarse.largest(first, n_min, n_max, RESOLUTION, GROWTH, self._lanes.at_first)
            self._taps.last_good = coarse.last_good
        spread = RESOLUTION if self._aim.operation == "firm" else SPREAD_FLEXIBLE
        known: dict[int, float] = {}
        while True:
            search = search_largest_by_use(
                n_max,
                n_min=n_min,
                start=max(n_min, guess),
                resolution=RESOLUTION,
                growth=GROWTH,
                spread=spread,
                at_once=self._lanes.at_once,
                known=known,
            )
            bracket = Bracket(CLOSED_IN)
            closing = bracket.closed_by(judged_by(search, partial(bracket.noting, self._uses)))
            found: LargestFeasible
            found, _ = yield from together([closing, self._look_around(bracket, n_max)])
            met = max((n for n, size in self._judged.items() if size.kept), default=0)
            if met <= found.n:
                met = yield from size_across(coarse.across, self._kept, self._judged, found.n, n_max)
                if met == 0:
                    return found.n
            # From there upwards only: below lies a gap, which sizes on both sides would find again.
            known = {n: limit_use(trials[-1].runs) for n, trials in self._trials.items() if n >= met}

    def _look_around(self, bracket: Bracket, n_max: int) -> Wanted[None]:
        """Sizes on both sides of a bracket, from when it is narrow on: they share the rounds in which it closes."""
        yield from bracket.until_narrow()
        above = {int(bracket.high * factor) for factor in TRY_ABOVE[self._study.tap_mode]}
        sizes = {n for n in above if bracket.high < n <= n_max} | {*next(self._below(bracket.low), ())}
        # Their taps are not those to go on with where the bracket is.
        taps = self._taps.over(self._scenarios)
        yield from together([self._judge(n, taps) for n in sorted(sizes - {*self._judged})])

    def _uses(self, sizes: Sequence[int]) -> Wanted[dict[int, float]]:
        """The share of the limit that binds which these sizes use up."""
        yield from self._kept(sizes)
        return {n: limit_use(self._trials[n][-1].runs) for n in sizes}

    def _kept(self, sizes: Sequence[int]) -> Wanted[dict[int, bool]]:
        """Which of these sizes keep the limits."""
        yield from together([self._judge(n) for n in sizes if n not in self._judged])
        return {n: self._judged[n].kept for n in sizes}

    def _sizes_judged(self, sizes: Sequence[int]) -> Wanted[Mapping[int, JudgedSize]]:
        yield from self._kept(sizes)
        return self._judged

    def _look_below(self, n_largest: int) -> Wanted[None]:
        """Whether sizes below the largest one hold too."""
        yield from judged_by(self._below(n_largest), self._kept)

    def _below(self, n_largest: int) -> Generator[tuple[int, ...], Mapping[int, bool], dict[int, bool]]:
        """A search through sizes below one."""
        known = {n: size.kept for n, size in self._judged.items()}
        n_sizes, n_min = SIZES_BELOW[self._study.tap_mode], self._smallest()
        return search_below(known, n_largest, n_sizes, n_min=n_min, resolution=BEST_RESOLUTION)

    def _look_for_best(self, n_largest: int) -> Wanted[None]:
        """Judge sizes up to the largest kept where the most valuable one may be: spread evenly, then around the best.

        A controller that gives up tokens for voltages makes more servers do less work somewhere, so the largest size
        that keeps the limits need not be the best one.
        """
        n_min = self._smallest()
        if n_largest <= n_min:
            return
        spread = [round(n_min * (n_largest / n_min) ** (k / SIZES_SPREAD)) for k in range(1, SIZES_SPREAD)]
        yield from together([self._judge(n) for n in dict.fromkeys(spread) if n not in self._judged])
        while True:
            sizes = sorted(n for n, size in self._judged.items() if size.outcome.failure is None and n <= n_largest)
            kept = [n for n in sizes if self._judged[n].kept]
            if not kept:
                return
            best = max(kept, key=lambda n: self._judged[n].value(self._objective))
            place, wanted = sizes.index(best), set()
            parts = 1 + self._lanes.at_once() // 2
            for beside in sizes[max(0, place - 1) : place + 2]:
                if abs(beside - best) > max(1, int(BEST_RESOLUTION * best)):
                    wanted |= {best + (beside - best) * part // parts for part in range(1, parts)} - {best, beside}
            wanted -= {*self._judged}
            if not wanted:
                return
            yield from together([self._judge(n) for n in sorted(wanted)])

    def _climb(self) -> Wanted[None]:
        """Judge sizes until every criterion's rung is known, at once those beside the rungs in coarse steps."""
        if self.coarse is not None:
            beside = yield from self.coarse.beside_rungs(self._smallest(), self._cap(), RUNG_RESOLUTION, GROWTH)
            yield from self._kept(sorted(beside))
        bounds = self._smallest(), self._cap()
        while wanted := sizes_wanted(self._judged, *bounds, RUNG_RESOLUTION, GROWTH, self._lanes.at_once()):
            yield from together([self._judge(n) for n in wanted])

    def _smallest(self) -> int:
        """The least servers in all with which every site has a replica of every model."""
        smallest = smallest_n_servers(self._models)
        n_min = smallest
        while self._aim.first_n_servers is None and min(self._sizes(n_min)) < smallest:
            n_min += 1
        return n_min

    def _cap(self) -> int:
        """The most servers that are tried."""
        return max(self._smallest(), self._sizes_range.largest)

    def _search_end(self, n_servers: int) -> str:
        """What is said of an answer that the search could not go beyond."""
        if n_servers < self._cap():
            return ""
        return (
            f"the search ended at its cap of {n_servers} servers ({self._study.power_max_mw:g} MW at rated power, "
            "power_max_mw): more may fit"
        )

    def _judge(self, n_servers: int, taps: TapSearch | None = None) -> Wanted[None]:
        """One size under the taps that suit it."""
        trials = yield from (taps or self._taps).try_taps(self._plan(n_servers))
        judged = JudgedSize.of_trials(n_servers, self._sizes(n_servers), trials, self._study.utilisation is not None)
        self._judged[n_servers], self._trials[n_servers] = judged, trials
        self._report(self._aim, judged)

    def settle(self, n: int) -> Wanted[SearchResult]:
        """The best accepted size up to `n` that fresh scenarios and OpenDSS accept too; what they refused is noted."""
        notes: list[str] = []
        runs: list[StoredRun] = []
        judged = sorted(self._judged.values(), key=lambda j: j.n_servers)
        attempt = 0
        for size in sorted(
            (j for j in judged if j.kept and j.n_servers <= n), key=lambda j: j.value(self._objective), reverse=True
        ):
            plan = replace(self._plan(size.n_servers), taps=size.taps)
            certificate = None
            if self._study.scenarios > 1:
                attempt += 1
                fresh = self._study.draw_scenarios(f"certificate {attempt}")
                trial = yield from self._try(plan, fresh)
                certificate = ScenarioCertificate.of(trial, self._study.confidence, attempt)
                runs += self._stored(size.n_servers, trial, "certificate", fresh)
                if not trial.kept:
                    notes.append(
                        f"{size.n_gpus} GPUs were refused by fresh scenarios "
                        f"({trial.n_failed} of {len(trial.runs)} missed a limit)"
                    )
                    continue
            # Of drawn scenarios the one that binds; those of a range each have something of their own to say.
            again = self._scenarios if self._study.scenarios == 1 else (self._binding_scenario(size),)
            done: Sequence[Outcome] = yield tuple(RunRequest(plan, "opendss", scenario) for scenario in again)
            on_opendss = TapTrial.of(plan, [run.judged(self._limits) for run in done])
            outcome = on_opendss.binding
            self._confirmed(self._aim)
            runs += self._stored(size.n_servers, TapTrial.of(plan, done), "opendss", again)
            if outcome.kept or size.n_failed:
                runs += self._search_runs(size.n_servers)
                end = self._search_end(size.n_servers)
                if size.n_servers < n and self._objective != "gpus" and not notes:
                    notes.append(best_note(size, self._judged[n], self._objective))
                ranged = self._study.utilisation is not None
                shown, peak = (on_opendss.runs[0], most_drawn_mw(on_opendss.runs)) if ranged else (outcome, None)
                capacity = capacity_of(self._aim, judged, size, notes, shown, certificate, end, peak)
                return SearchResult(capacity, runs)
            notes.append(
                f"{size.n_gpus} GPUs were accepted by the batch engine and refused "
                f"by OpenDSS: {', '.join(outcome.reasons)}"
            )
        runs += self._search_runs(0)
        return SearchResult(capacity_of(self._aim, judged, None, notes), runs)

    def absorb(self, runs: Sequence[StoredRun]) -> None:
        """Judge other searches' runs of the same sites under this one's limits.

        A run is a verdict only where one scenario is judged.
        """
        for stored in runs:
            known = self._judged.get(stored.n_servers)
            if stored.purpose != "search" or (known is not None and known.kept):
                continue
            outcome = stored.run.judged(self._limits)
            if known is None or outcome.kept:
                trial = TapTrial.of(stored.plan, [outcome])
                size = JudgedSize.of_trials(stored.n_servers, stored.n_servers_by_site, [trial])
                self._judged[stored.n_servers] = size

    def best_kept(self, capacity: Capacity) -> int | None:
        """The largest size kept, if any size kept is worth more than the answer; None if the answer stands."""
        kept = [size for size in self._judged.values() if size.kept]
        best = max((size.value(self._objective) for size in kept), default=None)
        if best is None or (capacity.largest is not None and best <= capacity.largest.value(self._objective)):
            return None
        return max(size.n_servers for size in kept)

    def _binding_scenario(self, size: JudgedSize) -> Scenario:
        return next(s for s in self._scenarios if s.name == size.outcome.scenario)

    def _try(self, plan: Plan, scenarios: tuple[Scenario, ...]) -> Wanted[TapTrial]:
        """The plan as it is in scenarios that nobody has seen."""
        (trial,) = yield from self._tap_search(self._feeder, scenarios, optimise=False).try_taps(plan, plan.taps)
        return trial

    def _search_runs(self, n_answer: int) -> list[StoredRun]:
        """Runs to keep: all of them, or with a scenario set those of the answer and of the next size."""
        sizes = sorted(self._trials)
        if len(self._scenarios) > 1:
            above = [n for n in sizes if n > n_answer and not self._judged[n].kept]
            sizes = [n for n in sizes if n == n_answer] + above[:1]
        return [
            run for n in sizes for trial in self._trials[n] for run in self._stored(n, trial, "search", self._scenarios)
        ]

    def _stored(self, n: int, trial: TapTrial, purpose: str, scenarios: tuple[Scenario, ...]) -> list[StoredRun]:
        by_name = {scenario.name: scenario for scenario in scenarios}
        return [
            StoredRun(self._aim, n, self._sizes(n), trial.plan, by_name[run.scenario], purpose, run)
            for run in trial.runs
        ]
