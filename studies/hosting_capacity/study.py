"""Hosting capacity of buses: how large a site can be, firm and with flexible operation (formulations 6)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field, replace
from pathlib import Path
from typing import ClassVar, Literal

from g2g_opt.errors import InputError
from g2g_opt.feeder import Feeder
from g2g_opt.limits import Limits
from g2g_opt.plan import Policy
from g2g_opt.quantities import (
    BatchSize,
    Count,
    FewFromZero,
    InnerShare,
    KwPerGpu,
    PowerFactor,
    PowerMw,
    RoundCount,
    Scale,
    ScenarioCount,
    ShareAboveZero,
)
from g2g_opt.scenario import Scenario
from g2g_opt.service_transformer import ServiceTransformer, with_services
from g2g_opt.site import BASE_KW_PER_GPU, POWER_FACTOR, AskedConnection
from solvers.exact_binomial import failures_allowed, trials_needed
from studies.hosting_capacity.answer import draw_conclusion
from studies.hosting_capacity.capacity import Aim, Capacity, JudgedSize, Operation, best_of
from studies.hosting_capacity.frontier import frontier_aims, frontier_tasks
from studies.hosting_capacity.rows import tables_of
from studies.hosting_capacity.scenario_draws import draw_scenarios
from studies.hosting_capacity.search import Found, SizeSearch, StoredRun, nobody
from studies.running.inputs import feeder_files
from studies.shared.conclusion import Conclusion
from studies.shared.question_model import question_model
from studies.shared.side_by_side import run_side_by_side
from studies.shared.task import Progress, Tables, Task, TaskResult, counted
from studies.shared.workload import Models, check_site_buses, measured_models, try_smallest_sites

TapChoice = Literal["optimised", "study", "own control"]
OPERATIONS: tuple[Operation, ...] = ("firm", "flexible")

# Sets of buses that are searched at most: beyond, days on a few cores.
SETS_MAX = 100_000
# Searches that share the batches of a task: enough to fill them, few enough to be lost as a whole.
SEARCHES_PER_TASK = 16
# Sizes a search usually judges, for progress.
_EXPECTED_SIZES = 18


@question_model
class HostingCapacityStudy:
    """The question, complete enough to rerun.

    `feeder` is a bundled name or the path of a `.dss` master file; no limit looks at the voltages of `exclude_buses`
    (besides those that the feeder leaves out itself). No `buses` means the feeder's candidates; a site serves `models`
    (names of measured models on `gpu`; `task`, `precision` and `gpus_per_replica` choose where a model was measured in
    several configurations) with evenly shared servers at `batch_size`, at a lagging `power_factor`, connected as
    `connection` says (see `Site`), behind a transformer of its own if `service` is one. Firm runs hold that
    batch size; flexible ones run `policy`. `taps`: "optimised" per placement and size, "study" (the
    feeder's own constants), or "own control" (its regulator controls). `power_max_mw` ends the search.

    Several sites at once: every set of `n_sites` of the buses, or the `site_sets` named, share their servers by
    `site_shares` (evenly if left out; sets are ordered where the shares differ). `frontier_points` above 1 asks besides
    for every pair which sizes of its two sites go together, at so many sizes of the first.

    `throughput_shares`: floors of the tokens served at which flexible capacity is asked for as well, besides that of
    `limits`. `scenarios` above 1 judges every size in so many draws (see `scenario_draws`): at least
    `scenario_share_min` of all scenarios have to keep the limits, shown with `confidence`.
    """

    study: ClassVar[str] = "hosting-capacity"
    stages: ClassVar[tuple[str, ...]] = ("capacities", "frontier")

    feeder: str = "ieee13"
    exclude_buses: tuple[str, ...] = ()
    edits: str | None = None
    buses: tuple[str, ...] = ()
    models: tuple[str, ...] = ("llama-3.1-70b",)
    gpu: str = "H100"
    task: str | None = None
    precision: str | None = None
    gpus_per_replica: Count | None = None
    batch_size: BatchSize = 128
    power_factor: PowerFactor = POWER_FACTOR
    connection: AskedConnection = "auto"
    operations: tuple[Operation, ...] = OPERATIONS
    policy: Policy = field(default_factory=lambda: Policy("ofo", margin_pu=0.003))
    taps: TapChoice = "optimised"
    scenario: Scenario = field(default_factory=Scenario)
    limits: Limits = field(default_factory=Limits)
    n_sites: RoundCount = 1
    site_sets: tuple[tuple[str, ...], ...] = ()
    site_shares: tuple[Scale, ...] = ()
    frontier_points: FewFromZero = 0
    throughput_shares: tuple[ShareAboveZero, ...] = ()
    scenarios: ScenarioCount = 1
    scenario_share_min: InnerShare = 0.95
    confidence: InnerShare = 0.95
    base_kw_per_gpu: KwPerGpu = BASE_KW_PER_GPU
    power_max_mw: PowerMw = 60.0
    trace_dir: str = "data/specs"
    service: ServiceTransformer | None = None

    @property
    def profile(self) -> str | None:
        """Hourly figures of the scenario, if it has any."""
        return self.scenario.profile

    @property
    def seed(self) -> int:
        """The study seed; every draw is keyed by it."""
        return self.scenario.seed

    # --- the question, resolved

    def load_feeder(self) -> Feeder:
        """The feeder named by the question."""
        feeder = Feeder.find(self.feeder, self.edits).excluding(self.exclude_buses)
        return feeder if self.service is None else with_services(feeder, self.resolve_buses(feeder), self.service)

    def load_models(self) -> Models:
        """Measured specs with their batch size; `InputError` if the batch size is not feasible for a model."""
        return measured_models(self.models, self.gpu, self.task, self.precision, self.gpus_per_replica, self.batch_size)

    def resolve_buses(self, feeder: Feeder) -> tuple[str, ...]:
        """The buses asked for, checked, or the feeder's candidates."""
        named = dict.fromkeys(itertools.chain(self.buses, *self.site_sets))
        return check_site_buses(feeder, tuple(named))

    def resolve_sets(self, feeder: Feeder) -> list[tuple[str, ...]]:
        """Every set of buses that is asked for; with a frontier also the single buses of its pairs."""
        buses = self.resolve_buses(feeder)
        if self.site_sets:
            sets = [tuple(feeder.bus(bus).name for bus in named) for named in self.site_sets]
        else:
            alike = len(set(self.site_shares)) <= 1
            n_sets = (math.comb if alike else math.perm)(len(buses), self.n_sites)
            if n_sets > SETS_MAX:
                raise InputError(
                    f"n_sites {self.n_sites} of {len(buses)} buses are {n_sets} sets, more than the {SETS_MAX} "
                    "that are searched; name fewer buses, or the sets (site_sets)"
                )
            choose = itertools.combinations if alike else itertools.permutations
            sets = list(choose(buses, self.n_sites))
            if not sets:
                raise InputError(f"n_sites {self.n_sites} needs at least as many buses; there are {len(buses)}")
        if self.frontier_points > 1:
            sets += [(bus,) for bus in dict.fromkeys(itertools.chain(*sets)) if (bus,) not in sets]
        return sets

    def share_servers(self, n_servers: int, n_sites: int) -> tuple[int, ...]:
        """Servers of each site of a set; what does not divide goes to the first ones."""
        shares = self.site_shares if len(self.site_shares) == n_sites else (1.0,) * n_sites
        whole = [int(n_servers * share / sum(shares)) for share in shares]
        left = n_servers - sum(whole)
        return tuple(n + (1 if k < left else 0) for k, n in enumerate(whole))

    def floors(self, n_sites: int) -> tuple[float, ...]:
        """Shares of tokens to be served at which flexible capacity is asked for; the one of `limits` comes first."""
        own = self.limits.throughput_share_min
        return (own, *sorted({*self.throughput_shares} - {own}, reverse=True))

    def draw_scenarios(self, purpose: str) -> tuple[Scenario, ...]:
        """The scenarios every size is judged in; other ones for every purpose."""
        if self.scenarios == 1:
            return (self.scenario,)
        return draw_scenarios(self.scenario, purpose, self.scenarios)

    def failures_allowed(self) -> int:
        """Scenarios of a set that may miss a limit."""
        if self.scenarios == 1:
            return 0
        return failures_allowed(self.scenarios, self.scenario_share_min, self.confidence) or 0

    def input_files(self) -> dict[str, Path]:
        """Circuit, bundled data, the user's traces and hourly profile."""
        return feeder_files(self.feeder, self.trace_dir, self.profile)

    def check(self) -> None:
        """Raise `InputError` for whatever can be wrong with the question, after a smallest site was tried on it."""
        self._check_fields()
        feeder, models = self.load_feeder(), self.load_models()
        self.resolve_sets(feeder)
        buses = self.resolve_buses(feeder)
        try_smallest_sites(
            feeder,
            buses,
            models,
            self.base_kw_per_gpu,
            self.power_factor,
            self.connection,
            self.policy,
            self.scenario,
            self.limits,
            self.trace_dir,
        )

    def _check_fields(self) -> None:
        if not self.operations:
            raise InputError("name at least one operation: 'firm' or 'flexible'")
        if self.policy.kind == "none":
            raise InputError("flexible capacity needs a policy: 'ofo' or 'droop'")
        if any(len(set(named)) != len(named) or not named for named in self.site_sets):
            raise InputError("a site set needs different buses")
        widths = {len(named) for named in self.site_sets} or {self.n_sites}
        if self.site_shares and widths != {len(self.site_shares)}:
            raise InputError(f"site_shares need a share for every site, got {list(self.site_shares)}")
        if self.frontier_points == 1 or (self.frontier_points and 2 not in widths):
            raise InputError("frontier_points must be 0, or 2 and more for pairs of sites (n_sites = 2)")
        if self.scenarios > 1:
            needed = trials_needed(self.scenario_share_min, self.confidence)
            if self.scenarios < needed:
                raise InputError(
                    f"{self.scenarios} scenarios cannot show {self.scenario_share_min:g} of them with a confidence of "
                    f"{self.confidence:g}, even if all are kept: {needed} are needed"
                )

    # --- tasks

    def tasks(self, stage: str, results: Sequence[TaskResult]) -> list[Task]:
        """Groups of site sets; in the stage "frontier" groups of pairs with the sizes of their first sites."""
        if stage == "frontier":
            return frontier_tasks(self, results) if self.frontier_points > 1 else []
        sets = self.resolve_sets(self.load_feeder())
        searches = len(self.operations) - 1 + len(self.floors(1)) if "flexible" in self.operations else 1
        n_tasks = max(min(2, len(sets)), -(-len(sets) * searches // SEARCHES_PER_TASK))
        return [self._task(sets[k::n_tasks]) for k in range(n_tasks)]

    def _task(self, sets: Sequence[tuple[str, ...]]) -> Task:
        names = ["+".join(buses) for buses in sets]
        label = f"bus {names[0]}" if len(names) == 1 else f"buses {', '.join(names)}"
        return Task("capacities", {"site_sets": [list(buses) for buses in sets]}, label, float(len(sets)))

    def split(self, task: Task) -> list[Task]:
        """One task for every set of buses, or for every point of a frontier."""
        if task.kind == "frontier":
            points = task.content["points"]
            return [replace(task, content={"points": [p]}, weight=1.0) for p in points] if len(points) > 1 else []
        sets = [tuple(buses) for buses in task.content["site_sets"]]
        return [self._task([buses]) for buses in sets] if len(sets) > 1 else []

    def run(self, task: Task, progress: Progress) -> Tables:
        """The searches of a task, side by side."""
        aims: Mapping[Aim, int | None]
        if task.kind == "frontier":
            aims = frontier_aims(task)
        else:
            aims = dict.fromkeys(aim for buses in task.content["site_sets"] for aim in self.aims(tuple(buses)))
        tell = counted(progress, _EXPECTED_SIZES * len(aims))

        def report(aim: Aim, judged: JudgedSize) -> None:
            verdict = "keeps the limits" if judged.kept else "does not"
            gpus = judged.outcome.figures
            size = f"{sum(s.n_gpus for s in gpus.sites)} GPUs" if gpus else f"{judged.n_servers} servers"
            tell(f"bus {aim.place} {aim.operation}: {size} {verdict}")

        return tables_of(self, _search(self, aims, report))

    def aims(self, buses: tuple[str, ...]) -> list[Aim]:
        """What is searched for one set of buses."""
        floors = self.floors(len(buses))
        found = [Aim(buses, "firm", floors[0])] if "firm" in self.operations else []
        if "flexible" in self.operations:
            found += [Aim(buses, "flexible", floor) for floor in floors]
        return found

    def conclude(self, results: Sequence[TaskResult], limits: Limits | None = None) -> Conclusion:
        """The answer, from stored results alone; under other `limits` every stored run is judged again."""
        return draw_conclusion(self, results, limits)


Report = Callable[[str, Operation, JudgedSize], None]


def find_bus_capacity(
    study: HostingCapacityStudy, bus: str, report: Report = lambda bus, operation, judged: None
) -> tuple[Capacity, Capacity]:
    """Firm and flexible capacity of one bus; `report` hears of every size as it is judged."""
    firm, flexible = find_capacities(study, (bus,), report)
    return firm, flexible


def find_capacities(
    study: HostingCapacityStudy, buses: Sequence[str], report: Report = lambda bus, operation, judged: None
) -> list[Capacity]:
    """Firm and flexible capacity of every bus, bus after bus; their searches go on side by side.

    Every round, what all searches want to know is simulated in one batch. The largest sizes are run again on
    OpenDSS, and one that OpenDSS does not accept gives way to the next smaller one. `report` hears of every size.
    """
    floor = study.limits.throughput_share_min
    aims = [Aim((bus,), operation, floor) for bus in buses for operation in OPERATIONS]
    found = _search(study, dict.fromkeys(aims), lambda aim, judged: report(aim.place, aim.operation, judged))
    return [one.capacity for one in found]


def _search(
    study: HostingCapacityStudy, aims: Mapping[Aim, int | None], report: Callable[[Aim, JudgedSize], None] = nobody
) -> list[Found]:
    """What every aim comes to; a flexible one no less than the firm one at the same place."""
    study._check_fields()
    feeder, models = study.load_feeder(), study.load_models()
    searches = [SizeSearch(study, feeder, models, aim, guess, report) for aim, guess in aims.items()]
    # Floors of the tokens served differ only in how the same runs are judged.
    remember = bool(study.throughput_shares)
    found = run_side_by_side(study, feeder, [search.found() for search in searches], remember)
    if len(study.floors(1)) > 1 and study.scenarios == 1:
        found = _share_sizes(study, feeder, searches, found)
    firm = {(one.capacity.aim.buses, one.capacity.aim.first_n_servers): one for one in found if _is_firm(one)}
    for k, one in enumerate(found):
        aim = one.capacity.aim
        at_rest = firm.get((aim.buses, aim.first_n_servers))
        if not _is_firm(one) and at_rest is not None:
            found[k] = Found(best_of(at_rest.capacity, one.capacity), one.runs)
    return found


def _share_sizes(
    study: HostingCapacityStudy, feeder: Feeder, searches: Sequence[SizeSearch], found: Sequence[Found]
) -> list[Found]:
    """What was simulated under one floor of tokens, judged under the others; larger answers are confirmed as well."""
    pool: dict[tuple[tuple[str, ...], Operation], list[StoredRun]] = {}
    for one in found:
        pool.setdefault((one.capacity.aim.buses, one.capacity.operation), []).extend(one.runs)
    better = []
    for k, one in enumerate(found):
        aim = one.capacity.aim
        largest = searches[k].absorb(pool[aim.buses, aim.operation])
        if largest > one.capacity.n_servers:
            better.append((k, largest))
    settled = run_side_by_side(study, feeder, [searches[k].settle(n) for k, n in better])
    shared = list(found)
    for (k, _), one in zip(better, settled, strict=True):
        shared[k] = one
    return shared


def _is_firm(found: Found) -> bool:
    return found.capacity.operation == "firm"
