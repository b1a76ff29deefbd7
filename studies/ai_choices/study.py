"""AI choices on a feeder: each choice a task, in which its fleets are simulated in lockstep."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from g2g_opt.assembly import assemble
from g2g_opt.datacenter.config import InferenceModelSpec
from g2g_opt.datacenter.workloads.curves import LogisticModelStore, fit_logistic
from g2g_opt.datacenter.workloads.feasible_power import (
    feasible_power_range_kw,
    match_peak_replicas,
    measurements_meeting_deadline,
)
from g2g_opt.datacenter.workloads.measurements import Measurement, spec_measurements
from g2g_opt.errors import InputError, number_of
from g2g_opt.feeder import Feeder
from g2g_opt.limits import Limits
from g2g_opt.outcome import Outcome
from g2g_opt.plan import Plan, Policy
from g2g_opt.simulation import simulate_runs
from g2g_opt.site import Deployment, Site
from solvers.largest_feasible import LargestFeasible, gaps_below, search_largest_feasible
from studies.ai_choices.answer import conclusion_of
from studies.ai_choices.choices import AIChoice
from studies.ai_choices.question import AIChoicesQuestion
from studies.ai_choices.rows import ChoiceRow, HostedRow
from studies.shared.asked_channels import check_heard
from studies.shared.conclusion import Conclusion
from studies.shared.input_files import feeder_files
from studies.shared.question_model import check_no_effect, question_model
from studies.shared.side_by_side import RunRequest, Wanted, judged_by, run_side_by_side
from studies.shared.task import Progress, Tables, Task, TaskResult
from studies.shared.typed_rows import gather_as, to_rows

# Searches for the largest fleet: up to so many MW of GPUs, this fine, so many sizes at once.
_HOSTED_MAX_MW, _RESOLUTION, _AT_ONCE = 20.0, 0.01, 6
_FIRST_MW = 2.0
# Of fewer the logistic form cannot be fitted.
_LOGISTIC_POINTS_MIN = 3
# Sizes looked at below an answer, whether they hold too.
_SIZES_BELOW = 6
_WEIGHT = {True: 12.0, False: 1.0}


@question_model
class AIChoicesStudy(AIChoicesQuestion):
    """An `AIChoicesQuestion` that can be run."""

    study: ClassVar[str] = "ai-choices"
    stages: ClassVar[tuple[str, ...]] = ("choices",)
    # Searches follow the limits.
    rejudges: ClassVar[frozenset[str]] = frozenset()

    def input_files(self) -> dict[str, Path]:
        """Circuit, measurements, and the user's traces."""
        return feeder_files(self.feeder, self.trace_dir, self.scenario.profile, self.scenario.training)

    def check(self) -> None:
        """Raise `InputError` for whatever can be wrong with the question, before a worker starts."""
        if not self.capacity:
            check_no_effect(self, ("limit_mw",), "where no largest fleets are searched (--no-capacity)")
        check_heard(self, "" if self.policy.acts else "nothing acts that could be told anything (--policy none)")
        feeder = self.load_feeder()
        for place, choice in enumerate(self.compared()):
            site = self.site(choice, self.n_replicas(place))
            assemble(self._plan(site, self.policy), self.scenario, feeder, self.limits, trace_dir=Path(self.trace_dir))

    # --- fleets

    def n_replicas(self, place: int) -> int:
        """Replicas of the fleet of a choice, by its place among those compared."""
        choices = self.compared()
        choice = choices[place]
        if choice.sized_as_first:
            place = next(k for k, other in enumerate(choices) if other.comparison == choice.comparison)
            choice = choices[place]
        spec = choice.spec()
        if self.sizing == "measured":
            return match_peak_replicas(spec, self.peak_mw)
        power_w = _power_w if self.sizing == "curve" else logistic_power_w
        largest_w = power_w(spec, [max(spec.feasible_batch_sizes)])[0]
        return max(1, math.ceil(1e6 * self.peak_mw / largest_w))

    def site(self, choice: AIChoice, n_replicas: int, base_kw: float | None = None) -> Site:
        """A fleet at the bus that begins at the largest batch size that meets its target."""
        spec = choice.spec()
        n_gpus = n_replicas * spec.gpus_per_replica
        deployment = Deployment(spec, n_replicas, max(spec.feasible_batch_sizes))
        return Site("fleet", self.bus, (deployment,), (self.base_kw if base_kw is None else base_kw) / n_gpus)

    def _plan(self, site: Site, policy: Policy, *, hosted: bool = False) -> Plan:
        return Plan((site,), policy=policy, tap_mode="own control" if hosted else "fixed")

    # --- tasks

    def tasks(self, stage: str, results: Sequence[TaskResult]) -> list[Task]:
        """Every choice."""
        return [
            Task("choice", {"place": place}, f"{choice.comparison}: {choice.name}", weight=_WEIGHT[self.capacity])
            for place, choice in enumerate(self.compared())
        ]

    def split(self, task: Task) -> list[Task]:
        """A choice is the smallest unit."""
        return []

    def run(self, task: Task, progress: Progress) -> Tables:
        """Do a choice, in a worker process."""
        place = task.content["place"]
        choice, feeder = self.compared()[place], self.load_feeder()
        progress(0.0, "fleets of equal peak")
        row = self._compare(feeder, choice, self.n_replicas(place))
        if not self.capacity:
            return {"choices": to_rows([row]), "hosted": []}
        progress(0.1, "largest fleets")
        return {"choices": to_rows([row]), "hosted": to_rows(self._host(feeder, choice, progress))}

    def _compare(self, feeder: Feeder, choice: AIChoice, n_replicas: int) -> ChoiceRow:
        site, spec = self.site(choice, n_replicas), choice.spec()
        runs = [(self._plan(site, policy), self.scenario) for policy in (Policy(), self.policy)]
        none, controlled = simulate_runs(runs, feeder, self.limits, trace_dir=Path(self.trace_dir))
        failure = none.failure or controlled.failure
        sizes = spec.feasible_batch_sizes
        measured = measurements_meeting_deadline(spec)
        few = len(_measured_below(spec)) < _LOGISTIC_POINTS_MIN
        ends_w = None if few else logistic_power_w(spec, [sizes[0], sizes[-1]])

        def figure(run: Outcome, name: str) -> float | None:
            if run.failure is not None:
                return None
            return run.voltage.integral_violation_pu_s if name == "integral" else float(getattr(run.summary, name))

        return ChoiceRow(
            choice.comparison,
            choice.name,
            n_replicas,
            site.n_gpus,
            sizes[0],
            sizes[-1],
            feasible_power_range_kw(spec, n_replicas) / 1e3,
            None if ends_w is None else n_replicas * (ends_w[1] - ends_w[0]) / 1e6,
            figure(none, "integral"),
            figure(controlled, "integral"),
            figure(none, "throughput_tps"),
            figure(controlled, "throughput_tps"),
            figure(none, "latency_miss_share"),
            figure(controlled, "latency_miss_share"),
            figure(controlled, "batch_switches"),
            None
            if controlled.failure is not None
            else controlled.summary.sites[0].exhausted_control_steps * float(self.scenario.control_dt_s),
            tuple(row.batch_size for row in measured),
            tuple(n_replicas * row.avg_power_w / 1e6 for row in measured),
            tuple(n_replicas * row.output_throughput_tps for row in measured),
            str(failure) if failure is not None else "",
        )

    # --- hosted fleets

    def _host(self, feeder: Feeder, choice: AIChoice, progress: Progress) -> list[HostedRow]:
        """Both searches, whose runs share their batches."""
        seen: set[tuple[str, int]] = set()

        def tell(operation: str, sizes: Sequence[int]) -> None:
            seen.update((operation, n) for n in sizes)
            progress(min(0.95, 0.1 + 0.01 * len(seen)), f"{number_of(len(seen), 'fleet')} simulated")

        policies = {"firm": Policy(), "flexible": self.policy}
        searches = [self._search(choice, operation, policy, tell) for operation, policy in policies.items()]
        return run_side_by_side(self, feeder, searches)

    def _search(
        self, choice: AIChoice, operation: str, policy: Policy, tell: Callable[[str, Sequence[int]], None]
    ) -> Wanted[HostedRow]:
        """The largest fleet under a policy."""
        per_replica_mw = max(row.avg_power_w for row in measurements_meeting_deadline(choice.spec())) / 1e6
        n_max = max(1, int(_HOSTED_MAX_MW / per_replica_mw))
        first = max(1, min(n_max, int(_FIRST_MW / per_replica_mw)))
        search = search_largest_feasible(
            n_max, start=first, resolution=_RESOLUTION, at_once=_AT_ONCE, shrink=True, below=_SIZES_BELOW
        )
        scenario, seen = self.hosting_scenario(), dict[int, Outcome]()

        def judge(sizes: Sequence[int]) -> Wanted[dict[int, bool]]:
            plans = [self._plan(self._hosted_site(choice, n), policy, hosted=True) for n in sizes]
            runs = yield tuple(RunRequest(plan, scenario=scenario) for plan in plans)
            seen.update(zip(sizes, runs, strict=True))
            tell(operation, sizes)
            return {n: not self._refused(seen[n]) for n in sizes}

        found = yield from judged_by(search, judge)
        return self._hosted_row(choice, operation, found, seen)

    def _hosted_site(self, choice: AIChoice, n_replicas: int) -> Site:
        """A fleet with facility load in proportion to its peak."""
        spec = choice.spec()
        peak_mw = n_replicas * max(row.avg_power_w for row in measurements_meeting_deadline(spec)) / 1e6
        return self.site(choice, n_replicas, self.base_kw * peak_mw / self.peak_mw)

    def _refused(self, run: Outcome) -> str:
        """Why a fleet is too large; "" if it is not."""
        if not run.kept:
            return "; ".join(run.reasons)
        if self.limit_mw is not None and run.summary.power_peak_mw > self.limit_mw:
            return f"peak {run.summary.power_peak_mw:.2f} MW is above the limit of {self.limit_mw:g} MW"
        return ""

    def _hosted_row(
        self, choice: AIChoice, operation: str, found: LargestFeasible, seen: Mapping[int, Outcome]
    ) -> HostedRow:
        next_run = seen[found.n_rejected] if found.n_rejected is not None else None
        best = seen.get(found.n)
        return HostedRow(
            choice.comparison,
            choice.name,
            operation,
            found.n,
            found.n * choice.gpus_per_replica,
            best.summary.throughput_tps if best is not None else 0.0,
            best.summary.power_mean_mw if best is not None else 0.0,
            best.summary.power_peak_mw if best is not None else 0.0,
            self._refused(next_run) if next_run is not None else f"the search, which ends at {_HOSTED_MAX_MW:g} MW",
            ", ".join(
                f"{' to '.join(str(n) for n in dict.fromkeys(gap))} ({self._refused(seen[gap[1]])})"
                for gap in gaps_below(found.judged, found.n)
            ),
            found.held_up_to,
        )

    def conclude(self, results: Sequence[TaskResult], made_under: Limits | None = None) -> Conclusion:
        """The answer, from stored results alone; searches follow the limits, which are never others."""
        rows, hosted = gather_as(results, "choices", ChoiceRow), gather_as(results, "hosted", HostedRow)
        return conclusion_of(self, rows, hosted, results)


def _power_w(spec: InferenceModelSpec, batch_sizes: Sequence[int]) -> list[float]:
    """Power of a replica (W) at batch sizes, by the curve that controllers use."""
    curve = LogisticModelStore.ensure(None, [spec]).power(spec.model_label)
    if not batch_sizes:
        raise InputError(f"model {spec.model_label!r} has no batch size")
    return [float(curve.eval(size)) for size in batch_sizes]


def logistic_power_w(spec: InferenceModelSpec, batch_sizes: Sequence[int]) -> list[float]:
    """Power of a replica (W) at batch sizes, as published: the logistic form up to the largest feasible size."""
    measured = _measured_below(spec)
    curve = fit_logistic(list(measured), [row.avg_power_w for row in measured.values()])
    return [float(curve.eval(size)) for size in batch_sizes]


def _measured_below(spec: InferenceModelSpec) -> dict[int, Measurement]:
    """What was measured up to the largest size that meets the target, those on the way that miss it included."""
    largest = max(spec.feasible_batch_sizes)
    return {size: row for size, row in spec_measurements(spec).items() if size <= largest}
