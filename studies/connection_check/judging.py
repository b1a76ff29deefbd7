"""One request judged: the very size that was asked for, in every scenario, and how much the bus could take instead."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from g2g_opt.outcome import Engine, Outcome
from g2g_opt.plan import Plan, TapMode
from g2g_opt.scenario import Scenario
from g2g_opt.site import Site, smallest_n_servers
from solvers.largest_by_use import search_largest_by_use
from solvers.largest_feasible import gaps_below, held_up_to
from studies.connection_check.offered_sizes import capped_at_nominal
from studies.connection_check.question import MARGIN_MAX, OPERATIONS, ConnectionQuestion
from studies.hosting_capacity.capacity import Operation
from studies.shared.side_by_side import RunRequest, Wanted, judged_by, limit_use, together
from studies.shared.tap_search import TapTrial
from studies.shared.workload import Models

# Share of a capacity within which it is known.
RESOLUTION = 0.02
# A draw of up to so many times the cap is within it: servers' noise differs by their batch sizes.
_CAP_KEPT = 1.005
# Sizes that short runs look at in a round, and how far from one to the next the last round goes.
_SCREENED, _SCREENED_TO = 6, 1.03
# What a whole run leaves of a size that holds at rest, about, and how far from there the next size of a search is.
_GUESS_SHARE = 0.96
_GROWTH: dict[Operation, float] = {"firm": 1.06, "flexible": 1.2}
# Sizes looked at below the largest one, whether they hold too.
_SIZES_BELOW: dict[TapMode, int] = {"fixed": 4, "own control": 12}


@dataclass(frozen=True, eq=False)
class JudgedRequest:
    """A request under one operation: the trial of the size asked for, on the batch engine and, if kept, on OpenDSS.

    `sizes` are the others that were simulated on the way to the largest one that is kept, by servers.
    """

    operation: Operation
    n_servers: int
    trial: TapTrial
    confirmed: tuple[Outcome, ...] = ()
    sizes: dict[int, TapTrial] = field(default_factory=dict)

    @property
    def kept(self) -> bool:
        """True if both engines accept it in every scenario, and it never draws more than its cap."""
        return self.trial.kept and all(run.kept for run in self.confirmed) and self.is_within_cap

    @property
    def peaks_mw(self) -> tuple[float, float] | None:
        """The most that it draws in any run, and that its fleet draws there without a controller (MW); None without a
        run that has an answer.
        """
        return peaks_mw((*self.trial.runs, *self.confirmed))

    @property
    def is_within_cap(self) -> bool:
        """True if no controller makes it draw more than its fleet does without one (MW)."""
        return is_within_cap(self.peaks_mw)

    @property
    def deciding(self) -> Outcome:
        """The run that is furthest beyond a limit, or nearest to one."""
        return TapTrial.of(self.trial.plan, self.confirmed).binding if self._refused_by_opendss else self.trial.binding

    @property
    def gaps(self) -> tuple[tuple[int, int], ...]:
        """Refused sizes (servers) below the largest one that is kept, from which to which."""
        return gaps_below({n: self._keeps(n) for n in self.sizes}, self.largest)

    @property
    def held_up_to(self) -> int:
        """The largest size up to which all that were tried are kept; 0 if there is none."""
        return held_up_to({n: self._keeps(n) for n in self.sizes}, self.largest)

    def _keeps(self, n_servers: int) -> bool:
        return self.kept if n_servers == self.n_servers else self.sizes[n_servers].kept

    @property
    def _refused_by_opendss(self) -> bool:
        return self.trial.kept and not self.kept

    @property
    def largest(self) -> int:
        """The most servers that were kept; 0 if none."""
        found = [n for n, trial in self.sizes.items() if trial.kept]
        return max([*found, self.n_servers] if self.kept else [n for n in found if n != self.n_servers], default=0)


def peaks_mw(runs: Sequence[Outcome]) -> tuple[float, float] | None:
    """The most that a plan's last site draws in runs, and its fleet without a controller (MW); None without a run that
    has an answer.
    """
    sites = [run.summary.sites[-1] for run in runs if run.failure is None]
    if not sites:
        return None
    return max(site.power_peak_mw for site in sites), max(site.uncontrolled_peak_mw for site in sites)


def is_within_cap(peaks_mw: tuple[float, float] | None) -> bool:
    """True if a site draws no more than its fleet does without a controller, which is what it is granted."""
    return peaks_mw is None or peaks_mw[0] <= _CAP_KEPT * peaks_mw[1]


def try_plan(plan: Plan, scenarios: Sequence[Scenario], engine: Engine = "batch") -> Wanted[TapTrial]:
    """A plan in every scenario."""
    runs = yield tuple(RunRequest(plan, engine, scenario) for scenario in scenarios)
    return TapTrial.of(plan, runs)


class RequestJudge:
    """Judges sites of any size at a bus, besides those that are there `before`."""

    def __init__(
        self,
        study: ConnectionQuestion,
        bus: str,
        models: Models,
        own_load_share: float | None = None,
        before: Sequence[Site] = (),
        name: str = "site",
        tell: Callable[[str], None] = lambda words: None,
    ) -> None:
        self._study, self._bus, self._models, self._name = study, bus, models, name
        self._before, self._tell = tuple(before), tell
        self.scenarios = {operation: study.scenarios(operation, own_load_share) for operation in OPERATIONS}
        self._least = smallest_n_servers(models)

    def plan(self, n_servers: int, operation: Operation) -> Plan:
        """The request as a plan."""
        study = self._study
        site = study.site(self._name, self._bus, self._models, n_servers)
        site = capped_at_nominal(site) if operation == "flexible" else site
        policy = study.policy if operation == "flexible" else study.policy.of_the_grid
        return Plan((*self._before, site), policy=policy, tap_mode=study.tap_mode)

    def asked(self, n_servers: int, operation: Operation) -> Wanted[JudgedRequest]:
        """The size asked for, judged on both engines."""
        plan, scenarios = self.plan(n_servers, operation), self.scenarios[operation]
        trial = yield from try_plan(plan, scenarios)
        self._tell(f"{operation}: what was asked for {'keeps the limits' if trial.kept else 'does not'}")
        confirmed = (yield from try_plan(plan, scenarios, "opendss")).runs if trial.kept else ()
        return JudgedRequest(operation, n_servers, trial, confirmed)

    def with_margin(self, n_servers: int, operation: Operation) -> Wanted[JudgedRequest]:
        """The size asked for, and the largest one that is kept, up to `MARGIN_MAX` times of it."""
        asked = yield from self.asked(n_servers, operation)
        n_max = int(MARGIN_MAX * n_servers)
        guess = yield from self._guess(n_max)
        sizes = {n_servers: asked.trial}
        search = search_largest_by_use(
            n_max,
            n_min=self._least,
            start=max(self._least, int(_GUESS_SHARE * guess)),
            resolution=RESOLUTION,
            growth=_GROWTH[operation],
            below=_SIZES_BELOW[self._study.tap_mode],
        )

        def judge(wanted: Sequence[int]) -> Wanted[dict[int, float]]:
            new = [n for n in wanted if n not in sizes]
            for _ in new:
                self._tell(f"{operation}: how much fits instead")
            tried = yield from together([try_plan(self.plan(n, operation), self.scenarios[operation]) for n in new])
            sizes.update(zip(new, tried, strict=True))
            return {n: limit_use(sizes[n].runs) for n in wanted}

        yield from judged_by(search, judge)
        return replace(asked, sizes=dict(sorted(sizes.items())))

    def _guess(self, n_max: int) -> Wanted[int]:
        """About how many servers fit, by runs at rest, without a controller."""
        low, high = self._least, n_max
        rests = self._study.rests(self.scenarios["firm"][0])
        best = low
        while high > max(low + 1, low * _SCREENED_TO):
            step = (high / low) ** (1.0 / _SCREENED)
            sizes = sorted({min(high, max(low, round(low * step**k))) for k in range(1, _SCREENED + 1)} - {low})
            tried = yield from together([try_plan(self.plan(n, "firm"), rests) for n in sizes])
            kept = [n for n, trial in zip(sizes, tried, strict=True) if trial.kept]
            best = max(kept, default=low)
            above = [n for n in sizes if n > best]
            if not above:
                return best
            low, high = best, above[0]
        return best
