"""Hosting capacity of buses: how large a site can be, firm and with flexible operation (formulations 6)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, get_args

from g2g_opt.assembly import assemble
from g2g_opt.datacenter.config import InferenceModelSpec
from g2g_opt.datacenter.workloads.measurements import measured_spec
from g2g_opt.errors import InputError, PowerFlowError
from g2g_opt.feeder import Feeder
from g2g_opt.limits import Limits
from g2g_opt.outcome import Figures, LimitCheck, Outcome
from g2g_opt.plan import Plan, Policy, TapMode
from g2g_opt.scenario import Scenario
from g2g_opt.site import BASE_KW_PER_GPU, GPUS_PER_SERVER, sized_site, smallest_n_servers
from solvers.largest_feasible import LargestFeasible, search_largest_feasible
from studies.side_by_side import Request, Wanted, run_side_by_side, together
from studies.tap_search import Taps, TapSearch

Operation = Literal["firm", "flexible"]
TapChoice = Literal["optimised", "study", "own control"]

# Share of an answer within which the search stops; one server near the bottom.
RESOLUTION = 0.005
# Where the search begins, and how many servers a MW is at the least: an H100 is rated 0.7 kW.
FIRST_SIZE_MW = 2.0
GPU_RATED_KW = 0.7
# Sizes of one search judged in a round: more cost little in a batch and save rounds.
SIZES_AT_ONCE = 2
GROWTH = 1.6
NO_CHECK = LimitCheck("none within the search range", 0.0, 0.0, 0.0, True)


@dataclass(frozen=True)
class HostingCapacityStudy:
    """The question, complete enough to rerun.

    `feeder` is a bundled name or the path of a `.dss` master file; no `buses` means the feeder's candidates; the
    site serves `models` (names of measured models on `gpu`; `task`, `precision` and `gpus_per_replica` choose where
    a model was measured in several configurations) with evenly shared servers at `batch_size`. Firm runs hold that
    batch size; flexible ones run `policy`. `taps`: "optimised" per placement and size, "study" (the
    feeder's own constants), or "own control" (its regulator controls). `power_max_mw` ends the search.
    """

    feeder: str = "ieee13"
    buses: tuple[str, ...] = ()
    models: tuple[str, ...] = ("llama-3.1-70b",)
    gpu: str = "H100"
    task: str | None = None
    precision: str | None = None
    gpus_per_replica: int | None = None
    batch_size: int = 128
    policy: Policy = field(default_factory=lambda: Policy("ofo", margin_pu=0.003))
    taps: TapChoice = "optimised"
    scenario: Scenario = field(default_factory=Scenario)
    limits: Limits = field(default_factory=Limits)
    base_kw_per_gpu: float = BASE_KW_PER_GPU
    power_max_mw: float = 60.0
    trace_dir: str = "data/specs"

    def __post_init__(self) -> None:
        if not self.models:
            raise InputError("name at least one model (--model); `g2g models` lists what was measured")
        if self.power_max_mw <= 0 or self.base_kw_per_gpu < 0:
            raise InputError("power_max_mw must be positive and base_kw_per_gpu not negative")
        if self.taps not in get_args(TapChoice):
            raise InputError(f"taps {self.taps!r} is unknown; known choices: {list(get_args(TapChoice))}")
        if self.policy.kind == "none":
            raise InputError("flexible capacity needs a policy: 'ofo' or 'droop'")

    def load_feeder(self) -> Feeder:
        """The feeder named by the question."""
        return Feeder.from_dss(self.feeder) if self.feeder.lower().endswith(".dss") else Feeder.load(self.feeder)

    def load_models(self) -> tuple[tuple[InferenceModelSpec, int], ...]:
        """Measured specs with their batch size; `InputError` if the batch size is not feasible for a model."""
        specs = [
            measured_spec(model, self.gpu, self.task, self.precision, self.gpus_per_replica) for model in self.models
        ]
        for spec in specs:
            if self.batch_size not in spec.feasible_batch_sizes:
                raise InputError(
                    f"batch size {self.batch_size} of {spec.model_label} is not feasible on {self.gpu}; "
                    f"feasible: {list(spec.feasible_batch_sizes)} (--batch-size)"
                )
        return tuple((spec, self.batch_size) for spec in specs)

    def resolve_buses(self, feeder: Feeder) -> tuple[str, ...]:
        """The buses asked for, checked, or the feeder's candidates."""
        buses = tuple(feeder.bus(bus).name for bus in self.buses) or feeder.candidate_buses
        for bus in buses:
            if feeder.bus(bus).phases != (1, 2, 3):
                raise InputError(f"bus {bus} has phases {feeder.bus(bus).phases}; a site needs all three")
        if not buses:
            raise InputError(f"feeder {feeder.name} has no bus that a site can go to; see `g2g feeder`")
        return buses

    def check(self) -> tuple[Feeder, tuple[str, ...]]:
        """Feeder and buses of the question, after everything that can be wrong with it was tried on a smallest site."""
        feeder, models = self.load_feeder(), self.load_models()
        buses = self.resolve_buses(feeder)
        n_servers = smallest_n_servers(models)
        for bus in buses:
            site = sized_site("site", bus, models, n_servers, self.base_kw_per_gpu)
            plan = Plan((site,), policy=self.policy)
            run = assemble(plan, self.scenario, feeder, self.limits, trace_dir=Path(self.trace_dir))
            run.grid.start()
        return feeder, buses


@dataclass(frozen=True)
class JudgedSize:
    """One size that was simulated: kept or not, under which taps, and its outcome (of the best tap round)."""

    n_servers: int
    kept: bool
    taps: Taps
    rounds: int
    outcome: Outcome

    @property
    def figures(self) -> Figures:
        """The figures of its run; only a run that failed has none, and a size that was kept did not fail."""
        if self.outcome.figures is None:
            raise PowerFlowError(f"{self.n_servers} servers have no figures: {self.outcome.failure}")
        return self.outcome.figures


@dataclass(frozen=True)
class Capacity:
    """The answer for one bus and operation: the largest size kept, and what stopped the next one.

    `largest` is None if not even the smallest site was accepted; `stopped_by` is the limit that the smallest rejected
    size breaks most, or the reason its run failed. `rejected_below` are sizes (servers) below the answer that were
    rejected: feasibility has a gap there. `note` says what else a reader has to know.
    """

    bus: str
    operation: Operation
    largest: JudgedSize | None
    stopped_by: LimitCheck
    rejected_below: tuple[int, ...]
    reached_search_end: bool
    judged: tuple[JudgedSize, ...] = field(default_factory=tuple)
    note: str = ""
    confirmed: Outcome | None = None


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
    feeder, models = study.load_feeder(), study.load_models()
    searches = [
        _BusSearch(study, feeder, models, bus, operation, report).capacity()
        for bus in buses
        for operation in get_args(Operation)
    ]
    found = run_side_by_side(study, feeder, searches)
    return [capacity for k in range(0, len(found), 2) for capacity in _best_of(*found[k : k + 2])]


def _best_of(firm: Capacity, flexible: Capacity) -> tuple[Capacity, Capacity]:
    """The controller can always be left off, so a bus hosts no less than its firm capacity."""
    controlled = flexible.largest.n_servers if flexible.largest else 0
    if firm.largest is not None and firm.largest.n_servers > controlled:
        note = f"with the controller on only {controlled * GPUS_PER_SERVER} GPUs: it is better left off here"
        flexible = replace(
            flexible, largest=firm.largest, stopped_by=firm.stopped_by, note=note, confirmed=firm.confirmed
        )
    return firm, flexible


class _BusSearch:
    """The search for one bus and operation, as generators that yield runs to simulate together (see `side_by_side`)."""

    def __init__(
        self,
        study: HostingCapacityStudy,
        feeder: Feeder,
        models: tuple[tuple[InferenceModelSpec, int], ...],
        bus: str,
        operation: Operation,
        report: Report,
    ) -> None:
        self._study, self._models, self._bus, self._operation, self._report = study, models, bus, operation, report
        self._policy = study.policy if operation == "flexible" else Policy("none")
        self._tap_mode: TapMode = "own control" if study.taps == "own control" else "fixed"
        self._taps = TapSearch(
            feeder, study.scenario, study.limits, optimise=study.taps == "optimised", trace_dir=Path(study.trace_dir)
        )
        self._judged: dict[int, JudgedSize] = {}

    def _plan(self, n_servers: int) -> Plan:
        site = sized_site("site", self._bus, self._models, n_servers, self._study.base_kw_per_gpu)
        return Plan((site,), policy=self._policy, tap_mode=self._tap_mode)

    def capacity(self) -> Wanted[Capacity]:
        """The largest size kept, confirmed on OpenDSS."""
        n_min = smallest_n_servers(self._models)
        server_kw = GPUS_PER_SERVER * (GPU_RATED_KW + self._study.base_kw_per_gpu)
        n_max = max(n_min, math.ceil(self._study.power_max_mw * 1e3 / server_kw))
        search = search_largest_feasible(
            n_max,
            n_min=n_min,
            start=round(FIRST_SIZE_MW * 1e3 / server_kw),
            resolution=RESOLUTION,
            growth=GROWTH,
            at_once=SIZES_AT_ONCE,
        )
        asked = next(search)
        while True:
            yield from together([self._judge(n) for n in asked])
            try:
                asked = search.send({n: self._judged[n].kept for n in asked})
            except StopIteration as end:
                answer: LargestFeasible = end.value
                break
        largest, confirmed, refused = yield from self._confirm(answer.n)
        rejected = self._judged.get(answer.n_rejected) if answer.n_rejected is not None else None
        return Capacity(
            bus=self._bus,
            operation=self._operation,
            largest=largest,
            stopped_by=_what_stopped(rejected),
            rejected_below=answer.rejected_below,
            reached_search_end=answer.n_rejected is None,
            judged=tuple(self._judged[n] for n in sorted(self._judged)),
            note="; ".join(refused),
            confirmed=confirmed,
        )

    def _judge(self, n_servers: int) -> Wanted[None]:
        """One size under the taps that suit it."""
        trials = yield from self._taps.try_taps(self._plan(n_servers))
        best = trials[-1]
        judged = JudgedSize(n_servers, best.outcome.kept, best.taps, len(trials), best.outcome)
        self._judged[n_servers] = judged
        self._report(self._bus, self._operation, judged)

    def _confirm(self, n: int) -> Wanted[tuple[JudgedSize | None, Outcome | None, list[str]]]:
        """The largest accepted size that OpenDSS accepts too, its outcome there, and what OpenDSS refused."""
        refused: list[str] = []
        for judged in sorted((j for j in self._judged.values() if j.kept), key=lambda j: -j.n_servers):
            if judged.n_servers > n:
                continue
            plan = replace(self._plan(judged.n_servers), taps=judged.taps)
            (run,) = yield (Request(plan, "opendss"),)
            if run.outcome.kept:
                return judged, run.outcome, refused
            refused.append(
                f"{GPUS_PER_SERVER * judged.n_servers} GPUs were accepted by the batch engine and refused by OpenDSS: "
                f"{', '.join(run.outcome.reasons)}"
            )
        return None, None, refused


def _what_stopped(rejected: JudgedSize | None) -> LimitCheck:
    if rejected is None:
        return NO_CHECK
    if rejected.outcome.failure is not None:
        return LimitCheck("power flow", math.nan, math.nan, math.inf, False, rejected.outcome.failure)
    broken = [check for check in rejected.outcome.checks if not check.kept]
    return max(broken, key=lambda check: check.used)
