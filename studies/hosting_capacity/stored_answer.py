"""Answers from stored runs, judged by the limits of the question: the largest simulated size that keeps them."""

from __future__ import annotations

from collections.abc import Sequence

from g2g_opt.limits import Limits
from g2g_opt.site import GPUS_PER_SERVER
from studies.hosting_capacity.capacity import (
    Aim,
    Capacity,
    JudgedSize,
    ScenarioCertificate,
    best_of,
    buses_of,
    capacity_of,
    most_drawn_mw,
)
from studies.hosting_capacity.ladder import rungs_of
from studies.hosting_capacity.question import HostingCapacityQuestion
from studies.hosting_capacity.rows import CapacityRow, CapacityRun, RungRow, capacity_row, rung_row
from studies.shared.stored_bases import StoredBases
from studies.shared.tap_search import TapTrial

_Place = tuple[str, str, int | None]


def answers_of_runs(
    study: HostingCapacityQuestion, runs: Sequence[CapacityRun], bases: StoredBases, order: Sequence[CapacityRow]
) -> tuple[list[CapacityRow], list[RungRow]]:
    """Rows like those of the tables "capacities", in the `order` of that table, and "ladder"; nothing is simulated.

    Raises `InputError` for a limit at which the runs kept no figures.
    """
    by_place: dict[_Place, list[CapacityRun]] = {}
    for run in runs:
        by_place.setdefault((run.bus, run.operation, run.first_n_servers), []).append(run)
    floors = study.floors(1)
    firm: dict[tuple[str, int | None], Capacity] = {
        (bus, first): _capacity(study, (bus, operation, first), of_place, bases, floors[0])
        for (bus, operation, first), of_place in by_place.items()
        if operation == "firm"
    }
    found = list(firm.values())
    for (bus, operation, first), of_place in by_place.items():
        if operation != "flexible":
            continue
        for floor in floors if first is None else floors[:1]:
            capacity = _capacity(study, (bus, operation, first), of_place, bases, floor)
            at_rest = firm.get((bus, first))
            found.append(best_of(at_rest, capacity, study.objective) if at_rest is not None else capacity)
    places = {(row.bus, row.first_n_servers, row.operation): k for k, row in enumerate(order)}
    found.sort(key=lambda c: places[c.bus, c.aim.first_n_servers, c.operation])
    rungs = [rung for c in found if study.has_ladder(c.aim) for rung in rungs_of(c.aim, c.judged)]
    return [capacity_row(capacity) for capacity in found], [rung_row(rung) for rung in rungs]


def _capacity(
    study: HostingCapacityQuestion,
    place: _Place,
    runs: Sequence[CapacityRun],
    bases: StoredBases,
    throughput_floor: float,
) -> Capacity:
    bus, operation, first = place
    buses = buses_of(bus, max(len(run.n_servers_by_site) for run in runs))
    aim = Aim(buses, "firm" if operation == "firm" else "flexible", throughput_floor, first)
    limits, allowed = aim.limits(study.limits), study.failures_allowed()
    rounds: dict[tuple[int, str, str], list[CapacityRun]] = {}
    for run in runs:
        rounds.setdefault((run.n_servers, run.plan, run.purpose), []).append(run)
    trials: dict[int, list[TapTrial]] = {}
    certificates: dict[tuple[int, str], TapTrial] = {}
    on_opendss: dict[tuple[int, str], TapTrial] = {}
    sizes: dict[int, tuple[int, ...]] = {}
    undecided = 0
    for (n, plan, purpose), of_round in rounds.items():
        sizes[n] = of_round[0].n_servers_by_site
        if purpose == "opendss":
            found = [run.outcome(limits, bases.of(run)) for run in of_round]
            on_opendss[n, plan] = TapTrial.of(of_round[0].read_plan(), found)
            continue
        outcomes = [run.outcome(limits, bases.of(run)) for run in of_round]
        trial = TapTrial.of(of_round[0].read_plan(), outcomes, allowed)
        if trial.kept and len(of_round) < len(study.draw_scenarios("search", aim.operation)):
            # The search left the other scenarios out, because these were enough to refuse the size under its limits.
            undecided += 1
        elif purpose == "certificate":
            certificates[n, plan] = trial
        else:
            trials.setdefault(n, []).append(trial)
    judged = {
        n: JudgedSize.of_trials(n, sizes[n], sorted(of_size, key=TapTrial.merit), study.utilisation is not None)
        for n, of_size in trials.items()
    }
    notes = [f"{undecided} rounds were cut short and cannot be judged again"] if undecided else []
    largest, confirmed, certificate = None, None, None
    kept = [size for size in judged.values() if size.kept]
    for n in [size.n_servers for size in sorted(kept, key=lambda s: s.value(study.objective_of(aim)), reverse=True)]:
        plan = next(run.plan for run in runs if run.n_servers == n and run.read_plan().taps == judged[n].taps)
        fresh, confirmed = certificates.get((n, plan)), on_opendss.get((n, plan))
        gpus = f"{GPUS_PER_SERVER * sum(sizes[n])} GPUs"
        if fresh is not None and not fresh.kept:
            notes.append(f"{gpus} are refused by fresh scenarios ({fresh.n_failed} of {len(fresh.runs)} miss a limit)")
        elif confirmed is not None and not confirmed.kept and not judged[n].n_failed:
            notes.append(
                f"{gpus} are accepted by the batch engine and refused by OpenDSS: "
                f"{'; '.join(confirmed.binding.reasons)}"
            )
        else:
            largest = judged[n]
            certificate = ScenarioCertificate.of(fresh, study.confidence, 1) if fresh is not None else None
            break
    if largest is not None and largest.n_servers == max(judged):
        notes.append(f"at least: sizes up to {largest.n_gpus} GPUs were simulated")
    shown = confirmed.runs[0] if largest is not None and confirmed is not None else None
    peak = most_drawn_mw(confirmed.runs) if shown and confirmed and study.utilisation is not None else None
    return capacity_of(aim, list(judged.values()), largest, notes, shown, certificate, confirmed_peak_mw=peak)


def reading_notes(study: HostingCapacityQuestion, asked: Limits, rows: Sequence[CapacityRow]) -> tuple[str, ...]:
    """What a reader has to know of answers from runs that were made under the limits `asked` for."""
    words = []
    loose = [row for row in rows if row.n_servers_rejected_above is None and row.n_gpus]
    if loose:
        places = ", ".join(dict.fromkeys(row.bus for row in loose))
        words.append(f"no simulated size is refused any more at {places}: those capacities are at least what is stated")
    band = (study.limits.voltage_min_pu, study.limits.voltage_max_pu)
    if band != (asked.voltage_min_pu, asked.voltage_max_pu) and "flexible" in study.operations:
        words.append("in the stored flexible runs the controller aimed for the voltage limits of the question")
    return tuple(words)
