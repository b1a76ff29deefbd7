"""The conclusion of a hosting-capacity study: sentences, tables, maps and charts from stored rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from g2g_opt.circuit.second_solution import TOLD_MIN_PU
from g2g_opt.errors import listed, number_of
from g2g_opt.feeder_description import loading_notes, unassessed_notes
from g2g_opt.limits import Limits
from g2g_opt.scenario import Scenario
from solvers.exact_binomial import trials_needed
from studies.hosting_capacity import answer_tables as tables
from studies.hosting_capacity.answer_ladder import (
    front_chart,
    front_table,
    ladder_charts,
    ladder_in_words,
    ladder_table,
    tokens_in_words,
)
from studies.hosting_capacity.capacity import buses_of
from studies.hosting_capacity.exhausted_controllers import exhausted_warning
from studies.hosting_capacity.frontier import corners, rises
from studies.hosting_capacity.question import HostingCapacityQuestion
from studies.hosting_capacity.rows import CapacityRow, CapacityRun, JudgedSizeRow, RungRow
from studies.hosting_capacity.search import SIZES_BELOW
from studies.hosting_capacity.stored_answer import answers_of_runs, reading_notes
from studies.report.scenario_chart import scenario_chart
from studies.shared.conclusion import (
    Conclusion,
    Envelope,
    FeederMap,
    MissingAnswer,
    most_and_least,
    most_and_least_words,
)
from studies.shared.envelopes import envelope_of
from studies.shared.stored_bases import StoredBases
from studies.shared.tap_range import taps_in_words
from studies.shared.tap_search import FORESIGHT
from studies.shared.task import TaskResult
from studies.shared.typed_rows import gather_as

# Envelopes shown: those of the largest capacities and of the smallest.
_ENVELOPES = 8

# Gaps that are listed one by one.
_GAP_MAX = 3
# A flexible answer that is larger than the firm one by less than this ratio adds nothing.
_ADDS_MIN = 1.005

# Others say "firm" of what is served with an element out of service.
FIRM_IS_NOT_N_1 = "outages: firm means without flexible operation, on the intact feeder; it does not mean N-1"


def conclusion_of(
    study: HostingCapacityQuestion, results: Sequence[TaskResult], made_under: Limits | None = None
) -> Conclusion:
    """The answer from stored results alone; from the runs, if they were `made_under` other limits than the study's."""
    rows = gather_as(results, "capacities", CapacityRow)
    warnings: tuple[str, ...] = ()
    again, used = made_under is not None, study.limits
    ladder = gather_as(results, "ladder", RungRow)
    if made_under is not None:
        bases = StoredBases(results)
        rows, ladder = answers_of_runs(study, gather_as(results, "runs", CapacityRun), bases, rows)
        warnings = reading_notes(study, made_under, rows)
    floor = used.throughput_share_min
    whole = [row for row in rows if row.first_n_servers is None]
    main = [row for row in whole if row.throughput_floor == floor]
    frontiers = corners(rows, floor)
    warnings += tuple(
        f"{first} and {second}, {operation}: a larger first site goes with a larger second one somewhere"
        for (first, second, operation), found in frontiers.items()
        if rises(found)
    )
    judged = [] if again else gather_as(results, "judged", JudgedSizeRow)
    shown = [tables.capacity_table(main, study), tables.binding_table(main)]
    # Of one place the ladder says it.
    charts = [] if ladder and len({row.bus for row in main}) == 1 else [tables.capacity_chart(main)]
    if ladder:
        shown.append(ladder_table(ladder))
        charts += ladder_charts(ladder)
    if judged and "flexible" in study.operations:
        shown.append(front_table(judged))
        charts.append(front_chart(judged))
    if study.throughput_shares:
        shown.append(tables.curve_table(whole))
        charts.append(tables.curve_chart(whole))
        if judged:
            shown.append(tables.curtailment_table(judged))
            charts.append(tables.curtailment_chart(judged))
    if frontiers:
        shown.append(tables.frontier_table(frontiers))
        charts += tables.frontier_charts(frontiers)
    if judged:
        shown.append(tables.judged_table(judged))
    charts.append(scenario_chart(study.draw_scenarios("search"), study.load_feeder()))
    names = ", ".join(study.models)
    return Conclusion(
        title=f"Hosting capacity of {study.feeder}: {names} on {study.gpu}",
        answer=_answer(study, main, ladder, again),
        feeder=study.feeder,
        tables=tuple(shown),
        maps=_maps(main, again),
        envelopes=tuple(_envelopes(main, results, used)),
        envelopes_of=_envelopes_of(len(_with_sites(main))),
        charts=tuple(charts),
        failures=tuple(MissingAnswer(result.task.label, result.failed) for result in results if result.failed),
        warnings=tuple(
            word
            for word in (
                *warnings,
                *_set_warnings(study, main),
                overload_warning(used, main),
                second_solution_warning(main),
                exhausted_warning(main, gather_as(results, "runs", CapacityRun)),
                FORESIGHT if study.taps == "optimised" else "",
            )
            if word
        ),
        not_assessed=tuple(not_assessed(study, used)),
    )


def _answer(study: HostingCapacityQuestion, main: Sequence[CapacityRow], ladder: Sequence[RungRow], again: bool) -> str:
    n_places = len({row.bus for row in main})
    if not main:
        return "No bus has an answer: every task failed."
    sentences = []
    for operation in study.operations:
        found = [row for row in main if row.operation == operation]
        if not found:
            continue
        best, least = max(found, key=_peak), min(found, key=_peak)
        what = "bus" if best.n_sites == 1 else "set of buses"
        text = f"{operation.capitalize()}, {what} {_in_words(best, again)}"
        if n_places > 1 and least is not best:
            text += f"; the least of {n_places}: {what} {_in_words(least, again)}"
        sentences.append(text + ".")
        if steps := [row for row in ladder if (row.bus, row.operation) == (best.bus, operation)]:
            sentences.append(f"Each limit alone, {operation}, at {best.bus}: {ladder_in_words(steps)}.")
    sentences += where_flexibility_adds_nothing(main)
    if any(row.base_breaks for row in main if row.n_gpus == 0) and study.limits.base_rule == "hold":
        sentences.append("The base rule no-worse asks instead whether a site makes that worse.")
    if again:
        sentences.append("Judged again under other limits: the largest simulated size that keeps them.")
    return "\n".join(sentences)


def second_solution_warning(main: Sequence[CapacityRow]) -> str:
    """Where the same loads may have another solution beside an answer, and which one was taken; "" if nowhere."""
    found = [row for row in main if (row.second_solution_pu or 0.0) >= TOLD_MIN_PU]
    if not found:
        return ""
    worst = max(found, key=lambda row: row.second_solution_pu or 0.0)
    places = listed([f"{row.bus} ({row.operation})" for row in found], 6)
    return (
        "loads stand at the edge of their voltage window, where their power jumps: beside the run behind the answer at "
        f"{places} the same loads may have another solution, at most {worst.second_solution_pu:.4f} pu away; taken is "
        "the one that continues the step before, from the circuit without a site on"
    )


def where_flexibility_adds_nothing(main: Sequence[CapacityRow]) -> list[str]:
    """At the bus of the largest flexible answer: what refuses both operations, and what work is gained all the same."""
    flexible = max((row for row in main if row.operation == "flexible"), key=_peak, default=None)
    firm = next((row for row in main if flexible and (row.bus, row.operation) == (flexible.bus, "firm")), None)
    if not (flexible and firm and firm.n_gpus and flexible.n_gpus and firm.limit and flexible.limit):
        return []
    if _peak(flexible) > _ADDS_MIN * _peak(firm):
        return []
    why = (
        f"{firm.limit} refuses the next size of both"
        if firm.limit == flexible.limit
        else f"{flexible.limit} refuses its next size, {firm.limit} the next one of firm operation"
    )
    text = f"Flexible operation adds no MW at {flexible.bus}: {why}"
    if firm.throughput_tps and flexible.throughput_tps:
        text += (
            f"; it serves {flexible.throughput_tps / firm.throughput_tps:.2f} times the tokens per second "
            f"with {flexible.n_gpus / firm.n_gpus:.2f} of the GPUs"
        )
    return [text + "."]


def _in_words(row: CapacityRow, again: bool) -> str:
    if row.n_gpus == 0:
        # Under other limits the sizes are those that were searched under the old ones; smaller ones may do.
        none = "has no simulated size that keeps them; smaller ones may" if again else "hosts no site"
        if row.base_breaks:
            why = f"the circuit breaks a limit without any site: {row.base_breaks}"
            return f"{row.bus} has no answer by these limits, as {why}"
        smallest = f": not even {row.gpus_rejected_above} GPUs" if not again and row.gpus_rejected_above else ""
        where = f", {row.limit_where}" if row.limit_where else ""
        return f"{row.bus} {none}{smallest} ({row.limit}{where})"
    words = f"{row.bus} hosts {row.power_peak_mw:.2f} MW "
    words += "at its peak (" if row.power_peak_run_mw is None else "at the most within its range of utilisation ("
    words += f"{row.n_gpus} GPUs, {tokens_in_words(row)}"
    if row.power_peak_run_mw is not None:
        words += f" in the run, where it draws up to {row.power_peak_run_mw:.2f} MW"
    if row.n_servers_rejected_above is not None:
        words += f"; {row.gpus_rejected_above} GPUs do not keep the limits: {row.limit}"
    elif row.limit_where:
        words += f"; {row.limit_where}"
    words += ")"
    if row.gpus_rejected_below:
        below, whole = row.gpus_rejected_below.split(", "), row.power_peak_below_gap_mw
        words += f", with gaps below it, where the limits are not kept: {_listed(below)}"
        words += f"; all sizes tried up to {whole:.2f} MW do" if whole is not None else "; no smaller size tried does"
    if row.scenario_share_lower_bound is not None:
        words += (
            f", kept in {row.n_scenarios_kept} of {row.n_scenarios} fresh scenarios: in at least "
            f"{100 * row.scenario_share_lower_bound:.1f} % of all"
        )
    return words


def _listed(gaps: Sequence[str]) -> str:
    """Gaps, the lowest ones first."""
    more = f" and {number_of(len(gaps) - _GAP_MAX, 'gap')} above" if len(gaps) > _GAP_MAX else ""
    return f"{', '.join(gaps[:_GAP_MAX])} GPUs{more}"


def _peak(row: CapacityRow) -> float:
    return row.power_peak_mw


def _maps(main: Sequence[CapacityRow], again: bool) -> tuple[FeederMap, ...]:
    """A map per operation; with sets of sites a bus shows the largest set it belongs to.

    Judged `again`, a bus without a simulated size that keeps the limits has no figure, rather than none at all; nor has
    one at which the circuit breaks a limit without any site.
    """
    found = []
    for operation in ("firm", "flexible"):
        value: dict[str, float] = {}
        text: dict[str, str] = {}
        rows = [row for row in main if row.operation == operation]
        sets = any(row.n_sites > 1 for row in rows)
        for row in sorted(rows, key=_peak):
            if (sets and row.n_sites == 1) or (row.n_gpus == 0 and (again or row.base_breaks)):
                continue
            for bus in buses_of(row.bus, row.n_sites):
                value[bus] = _peak(row)
                text[bus] = f"{row.n_gpus} GPUs; binds: {row.limit} {row.limit_where}".strip()
        if not value:
            continue
        best = max(rows, key=_peak)
        title = f"{operation} capacity" + (" of the largest set with this bus" if sets else "")
        # Where no bus hosts anything, none is the largest.
        marked = dict.fromkeys(buses_of(best.bus, best.n_sites), "largest") if _peak(best) > 0.0 else {}
        found.append(FeederMap(title, "MW", value, text, marked))
    return tuple(found)


def _with_sites(main: Sequence[CapacityRow]) -> list[CapacityRow]:
    return [row for row in main if row.n_gpus]


def _envelopes(main: Sequence[CapacityRow], results: Sequence[TaskResult], limits: Limits) -> Iterable[Envelope]:
    largest = most_and_least(_with_sites(main), _ENVELOPES, _peak)
    wanted: dict[tuple[str, int], list[CapacityRun]] = {(row.bus, row.n_servers): [] for row in largest}
    for run in gather_as(results, "runs", CapacityRun):
        if run.purpose == "search" and run.first_n_servers is None and run.failure_kind is None:
            wanted.get((run.bus, run.n_servers), []).append(run)
    for row in largest:
        runs = [r for r in wanted[row.bus, row.n_servers] if taps_in_words(r.read_plan().taps) == row.taps]
        # A controller that is left off stands on the firm run.
        found = [run for run in runs if run.operation == row.operation] or runs
        if found:
            yield envelope_of(f"{row.bus}, {row.operation}: {row.power_peak_mw:.2f} MW", found, limits)


def _envelopes_of(n_answers: int) -> str:
    words = most_and_least_words(n_answers, _ENVELOPES, "sizes, by MW").strip(" ()")
    return f"{words}. The others' lowest and highest voltages are not drawn." if words else ""


def _set_warnings(study: HostingCapacityQuestion, main: Sequence[CapacityRow]) -> list[str]:
    """What a scenario set does and does not show."""
    if study.scenarios == 1:
        return []
    share, confidence = study.scenario_share_min, study.confidence
    words = [
        f"scenario set: every size was judged in {study.scenarios} draws and the answer in as many that the search "
        f"never saw; the lower bounds are exact (Clopper-Pearson) at {100 * confidence:g} % confidence for one answer "
        f"each. {trials_needed(share, confidence)} draws without a failure are needed to show {100 * share:g} %. The "
        "ranges of the draws are assumptions. Power and tokens are those of the scenario that binds"
    ]
    again = [row.bus for row in main if (row.certificate_attempt or 1) > 1]
    if again:
        words.append(
            f"at {', '.join(dict.fromkeys(again))} fresh draws refused a larger size first: over those attempts "
            "together the chance of a wrong bound adds up"
        )
    return words


def overload_warning(limits: Limits, rows: Sequence[CapacityRow]) -> str:
    """A sentence on ratings that the answers pass where ratings are not judged; empty if none is passed."""
    if limits.loading_max_pu is not None or limits.loading_emergency_max_pu is not None:
        return ""
    parts = []
    for kind in ("line", "transformer"):
        found = [(getattr(row, f"{kind}_loading_max_pu"), getattr(row, f"{kind}_loading_where")) for row in rows]
        loading_pu, where = max((one for one in found if one[0] is not None), default=(0.0, ""))
        if loading_pu > 1.0:
            parts.append(f"{kind}s up to {loading_pu:.2f} ({where})")
    return (
        f"ratings are passed at these sizes: {', '.join(parts)} of {limits.rating_basis}; --loading-max 1.0 keeps them"
        if parts
        else ""
    )


def _replica_shares(scenario: Scenario) -> list[float]:
    """Shares of the replicas between which a run's are active: its first, and where each ramp is when it ends."""
    shares, duration_s = [scenario.replica_share_start], float(scenario.duration_s)
    for start_s, end_s, share in scenario.replica_ramps:
        if start_s < duration_s:
            passed = min(1.0, (duration_s - start_s) / (end_s - start_s)) if end_s > start_s else 1.0
            shares.append(shares[-1] + (share - shares[-1]) * passed)
    return shares


def _one_scenario(study: HostingCapacityQuestion) -> str:
    """What a run of one scenario leaves out, and what of its sites' draw is covered."""
    duration_s = float(study.scenario.duration_s)
    length = "one hour" if duration_s == 3600.0 else f"{duration_s:g} s"
    words = f"{length} in one scenario; no seasons, no contingencies"
    if study.utilisation is None:
        shares = _replica_shares(study.scenario)
        return (
            f"{words}; draws of sites other than the run's, whose replicas are between {min(shares):.3g} and "
            f"{max(shares):.3g} of them active: --utilisation 0,1 covers all"
        )
    low, high = study.utilisation
    return f"{words}; draws faster than from {low:g} to {high:g} of the replicas and back within a run"


def not_assessed(study: HostingCapacityQuestion, limits: Limits) -> list[str]:
    """What the answer does not cover, in words."""
    feeder = study.load_feeder()
    notes = [
        FIRM_IS_NOT_N_1,
        _one_scenario(study) if study.scenarios == 1 else "one hour, in drawn scenarios; no seasons, no contingencies",
        "other draws of the seed: on the 13-bus feeder they move answers by 0.6 %",
        "protection against faults, short-circuit levels, harmonics and sub-second transients",
        "the grid upstream of the feeder's source",
    ]
    if study.taps == "own control":
        notes.append(
            f"sizes between those tried (judged.csv): {SIZES_BELOW[study.tap_mode]} are spread below an answer, but "
            "where regulators and capacitors act by themselves, what holds may have narrower gaps"
        )
    if study.scenario.own_load_share != 1.0:
        notes.insert(0, f"load levels other than {study.scenario.own_load_share:g} of the circuit's own load")
    return [*loading_notes(feeder, limits), *unassessed_notes(feeder), *notes]
