"""Stored runs held against other limits: the largest simulated size that keeps them; nothing is simulated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from g2g_opt.judge import judge, rejudge
from g2g_opt.limits import Limits
from g2g_opt.outcome import Outcome
from g2g_opt.scenario import Scenario
from g2g_opt.site import GPUS_PER_SERVER
from solvers.exact_binomial import lower_bound
from studies.hosting_capacity.capacity import Aim, Capacity, Certificate, JudgedSize, best_of, capacity_of
from studies.hosting_capacity.question import HostingCapacityQuestion
from studies.hosting_capacity.rows import result_row
from studies.shared.stored_runs import read_outcome, read_plan, read_scenario, read_summary
from studies.shared.task import Row, TaskResult, gather


@dataclass(frozen=True, eq=False)
class _Run:
    row: Row
    outcome: Outcome
    scenario: Scenario


@dataclass(frozen=True)
class Rejudged:
    """Rows like those of the table "capacities", and what a reader has to know besides."""

    rows: list[Row]
    warnings: tuple[str, ...]


def rejudge_capacities(study: HostingCapacityQuestion, results: Sequence[TaskResult], limits: Limits) -> Rejudged:
    """Every answer under other limits. Raises `InputError` for a limit at which the runs kept no figures."""
    runs: dict[tuple[str, str, int | None], list[_Run]] = {}
    n_without = 0
    for row in gather(results, "runs"):
        if row["purpose"] == "opendss":
            continue
        outcome, scenario = read_outcome(row), read_scenario(row)
        if not row["has_summary"] and outcome.figures is not None:
            n_without += 1
            continue
        judged = rejudge(outcome, read_summary(row), scenario, limits)
        runs.setdefault((row["bus"], row["operation"], row["first_n_servers"]), []).append(_Run(row, judged, scenario))
    floors = (limits.throughput_share_min, *study.floors(1)[1:])
    firm = {
        (bus, first): _capacity(study, (bus, "firm", first), of_aim, replace(limits, throughput_share_min=floors[0]))
        for (bus, operation, first), of_aim in runs.items()
        if operation == "firm"
    }
    found = [firm[bus, first] for bus, first in firm]
    for (bus, operation, first), of_aim in runs.items():
        if operation != "flexible":
            continue
        for floor in floors if first is None else floors[:1]:
            under = replace(limits, throughput_share_min=floor)
            capacity = _capacity(study, (bus, operation, first), of_aim, under)
            found.append(best_of(firm[bus, first], capacity) if (bus, first) in firm else capacity)
    order = {
        (row["bus"], row["first_n_servers"], row["operation"]): k for k, row in enumerate(gather(results, "capacities"))
    }
    found.sort(key=lambda c: order[c.bus, c.aim.first_n_servers, c.operation])
    return Rejudged([result_row(capacity) for capacity in found], _warnings(study, limits, found, n_without))


def _warnings(
    study: HostingCapacityQuestion, limits: Limits, found: Sequence[Capacity], n_without: int
) -> tuple[str, ...]:
    words = ["judged again under other limits from stored runs: nothing was simulated, OpenDSS was not asked again"]
    loose = [c for c in found if c.n_rejected is None and c.largest is not None]
    if loose:
        places = ", ".join(dict.fromkeys(c.bus for c in loose))
        words.append(f"no simulated size is refused any more at {places}: those capacities are at least what is stated")
    band = (limits.voltage_min_pu, limits.voltage_max_pu)
    if band != (study.limits.voltage_min_pu, study.limits.voltage_max_pu) and "flexible" in study.operations:
        words.append("in the stored flexible runs the controller aimed for the voltage limits of the question")
    if n_without:
        words.append(f"{n_without} runs that were done on OpenDSS kept no summary and are left out")
    return tuple(words)


def _capacity(
    study: HostingCapacityQuestion, key: tuple[str, str, int | None], runs: Sequence[_Run], limits: Limits
) -> Capacity:
    bus, operation, first = key
    aim = Aim(tuple(bus.split("+")), "firm" if operation == "firm" else "flexible", limits.throughput_share_min, first)
    rounds: dict[tuple[int, str, str], list[_Run]] = {}
    for run in runs:
        outcome = run.outcome
        if outcome.figures is not None:
            outcome = replace(outcome, checks=judge(outcome.figures, run.scenario, limits))
        place = rounds.setdefault((int(run.row["n_servers"]), run.row["plan"], run.row["purpose"]), [])
        place.append(_Run(run.row, outcome, run.scenario))
    by_size: dict[int, list[JudgedSize]] = {}
    certificates: dict[int, Certificate] = {}
    undecided = 0
    for (n, _, purpose), of_round in rounds.items():
        n_failed = sum(not run.outcome.kept for run in of_round)
        kept = n_failed <= study.failures_allowed()
        if kept and len(of_round) < study.scenarios:
            # The search left the other scenarios out, because these were enough to refuse the size under its limits.
            undecided += 1
            continue
        binding = min(of_round, key=lambda run: (run.outcome.kept, -_used(run.outcome)))
        if purpose == "certificate":
            n_kept = len(of_round) - n_failed
            bound = lower_bound(n_kept, len(of_round), study.confidence)
            certificates[n] = Certificate(len(of_round), n_kept, bound, binding.outcome.scenario, 1)
            continue
        size = JudgedSize(
            n_servers=n,
            kept=kept,
            taps=read_plan(binding.row).taps,
            rounds=len(of_round),
            outcome=binding.outcome,
            n_servers_by_site=tuple(int(x) for x in binding.row["n_servers_by_site"]),
            n_scenarios=len(of_round),
            n_failed=n_failed,
        )
        by_size.setdefault(n, []).append(size)
    judged = [
        max(sizes, key=lambda size: (size.kept, -size.n_failed, -_used(size.outcome))) for sizes in by_size.values()
    ]
    largest = max((size for size in judged if size.kept), key=lambda size: size.n_servers, default=None)
    notes = [f"{undecided} rounds were cut short and cannot be judged again"] if undecided else []
    if judged and largest is not None and all(size.kept for size in judged if size.n_servers >= largest.n_servers):
        top = max(size.n_servers for size in judged)
        if top == largest.n_servers:
            notes.append(
                f"at least: sizes up to {GPUS_PER_SERVER * sum(largest.n_servers_by_site)} GPUs were simulated"
            )
    certificate = certificates.get(largest.n_servers) if largest is not None else None
    return capacity_of(aim, judged, largest, notes, certificate=certificate)


def _used(outcome: Outcome) -> float:
    return max((check.used for check in outcome.checks), default=float("inf"))
