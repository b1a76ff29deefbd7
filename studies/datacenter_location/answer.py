"""What a location study concludes from its stored rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from g2g_opt.feeder import Feeder
from g2g_opt.feeder_description import loading_notes, unassessed_notes
from g2g_opt.limits import Limits
from g2g_opt.scenario import Scenario
from studies.datacenter_location.ranking import best_rows, judge_again, n_tied
from studies.shared.conclusion import Chart, Column, Conclusion, Envelope, Failure, FeederMap, Line, ResultTable
from studies.shared.task import Row, TaskResult, gather

TIE_RULE = (
    "ties are broken by violation time, then tokens served (more first), then the margin of the worst voltage to the "
    "band (more first), then the names of the buses"
)

_COLUMNS = (
    Column("rank", "rank"),
    Column("placement", "buses"),
    Column("engine", "engine", secondary=True),
    Column("integral_violation_pu_s", "integral violation (pu s)", 4),
    Column("violation_time_s", "time outside (s)", 1),
    Column("throughput_tps", "tokens/s", 0),
    Column("throughput_share", "tokens, share of uncontrolled", 3, secondary=True),
    Column("margin_pu", "margin of the worst voltage (pu)", 5, secondary=True),
    Column("lowest_pu", "lowest (pu)", 4),
    Column("lowest_where", "lowest at", secondary=True),
    Column("highest_pu", "highest (pu)", 4),
    Column("highest_where", "highest at", secondary=True),
    Column("kept", "limits kept"),
    Column("broken", "limits broken", secondary=True),
    Column("taps", "taps", secondary=True),
)
_BATCH = (
    Column("batch_rank", "rank on the batch engine"),
    Column("batch_integral_pu_s", "integral on the batch engine (pu s)", 4),
)
# Placements of the long table that are shown on a page; all are in the CSV.
_CLOUD_MAX = 4000


def draw_conclusion(
    *,
    feeder: Feeder,
    sites: Sequence[str],
    n_placements: int,
    limits: Limits,
    judged_again: bool,
    scenario: Scenario,
    finalist_dt_s: float,
    followed: Sequence[str],
    results: Sequence[TaskResult],
) -> Conclusion:
    """The answer from stored rows; with `judged_again` the limits are others than those of the runs."""
    rows = gather(results, "placements")
    on_batch = best_rows(rows, finalists=False)
    on_opendss = best_rows(rows, finalists=True)
    if judged_again:
        on_batch = best_rows(judge_again(rows, gather(results, "runs"), limits), finalists=False)
        on_opendss = []
    ranked = [row for row in on_batch if not row["failure"]]
    rank_of = {row["placement"]: k + 1 for k, row in enumerate(ranked)}
    integral_of = {row["placement"]: row["integral_violation_pu_s"] for row in ranked}
    final = [
        row
        | {
            "batch_rank": rank_of.get(row["placement"]),
            "batch_integral_pu_s": integral_of.get(row["placement"]),
        }
        for row in on_opendss
        if not row["failure"]
    ]
    tables = [
        ResultTable("location", "All placements, batch engine", _COLUMNS, _shown(ranked, _COLUMNS), folded=bool(final))
    ]
    if final:
        columns = (*_COLUMNS, *_BATCH)
        title = f"Finalists{' and placements asked after' if followed else ''}, OpenDSS at {finalist_dt_s:g} s"
        tables.insert(0, ResultTable("finalists", title, columns, _shown(final, columns)))
    watched = [row for row in tables[-1].rows if row["placement"] in followed]
    if watched:
        tables.append(ResultTable("followed", "Placements asked after, batch engine", _COLUMNS, watched))
    winner = next(iter(final or ranked), None)
    return Conclusion(
        title=f"Location of {len(sites)} sites on {feeder.name}",
        answer=_answer(sites, winner, final, ranked, n_placements, scenario, finalist_dt_s),
        feeder=feeder.name,
        tables=tuple(tables),
        maps=_maps(ranked, winner, sites),
        envelopes=_envelopes(results, [row["placement"] for row in final], limits),
        charts=_charts(ranked, rows, final),
        failures=_failures(results, on_batch, on_opendss),
        warnings=_warnings(winner, ranked, n_placements, judged_again, final, on_opendss),
        not_assessed=_not_assessed(feeder, limits),
    )


def _shown(rows: Sequence[Row], columns: Sequence[Column]) -> list[Row]:
    """Rows of a table that is shown, with their ranks."""
    return [
        {column.name: k + 1 if column.name == "rank" else row[column.name] for column in columns}
        for k, row in enumerate(rows)
    ]


def _answer(
    sites: Sequence[str],
    winner: Row | None,
    final: Sequence[Row],
    ranked: Sequence[Row],
    n_placements: int,
    scenario: Scenario,
    finalist_dt_s: float,
) -> str:
    if winner is None:
        return f"None of {n_placements} placements has a simulated answer; see the failures."
    where = ", ".join(f"{site} at bus {bus}" for site, bus in zip(sites, winner["buses"], strict=True))
    engine = f"OpenDSS at {finalist_dt_s:g} s" if final else f"the batch engine at {float(scenario.dt_s):g} s"
    zero = sum(round(row["integral_violation_pu_s"], 6) == 0.0 for row in ranked)
    sentence = (
        f"Best of {len(ranked)} placements simulated over {scenario.duration_s} s: {where}; integral voltage violation "
        f"{winner['integral_violation_pu_s']:.4f} pu s, {winner['violation_time_s']:g} s outside the band, "
        f"{winner['throughput_tps']:.0f} tokens/s, voltages {winner['lowest_pu']:.4f} to {winner['highest_pu']:.4f} pu "
        f"(on {engine})."
    )
    if zero > 1:
        sentence += (
            f" {zero} placements keep the band all the time on the batch engine, and none can have less violation than "
            f"that; {TIE_RULE}."
        )
    else:
        sentence += f" Rule: least integral violation; {TIE_RULE}."
    return sentence


def _maps(ranked: Sequence[Row], winner: Row | None, sites: Sequence[str]) -> tuple[FeederMap, ...]:
    """Per bus the least integral violation of all placements that use it."""
    best: dict[str, Row] = {}
    for row in ranked:
        for bus in row["buses"]:
            best.setdefault(bus, row)
    if winner is None:
        return ()
    return (
        FeederMap(
            title="Least integral violation of the placements that use a bus",
            unit="pu s",
            value_by_bus={bus: row["integral_violation_pu_s"] for bus, row in best.items()},
            text_by_bus={bus: f"best placement with it: {row['placement']}" for bus, row in best.items()},
            marked={bus: f"{site} (best placement)" for site, bus in zip(sites, winner["buses"], strict=True)},
        ),
    )


def _envelopes(results: Sequence[TaskResult], order: Sequence[str], limits: Limits) -> tuple[Envelope, ...]:
    voltages: Mapping[str, Row] = {row["placement"]: row for row in gather(results, "voltages")}
    return tuple(
        Envelope(
            f"placement {name}, OpenDSS",
            tuple(voltages[name]["nodes"]),
            [float(v) for v in voltages[name]["lowest_pu"]],
            [float(v) for v in voltages[name]["highest_pu"]],
            limits.voltage_min_pu,
            limits.voltage_max_pu,
        )
        for name in order
        if name in voltages
    )


def _charts(ranked: Sequence[Row], rows: Sequence[Row], final: Sequence[Row]) -> tuple[Chart, ...]:
    charts = [
        Chart(
            "Integral violation of all placements, best first",
            "rank",
            "integral violation (pu s)",
            (Line("batch engine", *_curve([row["integral_violation_pu_s"] for row in ranked])),),
        )
    ]
    known = [row for row in rows if row["stage"] == "placements" and row.get("coarse_study_integral_pu_s") is not None]
    known = [row for row in known if not row["failure"]]
    cloud = known[:: max(1, -(-len(known) // _CLOUD_MAX))]
    if cloud:
        charts.append(
            Chart(
                "What taps are worth: every placement under the study's taps and under those chosen for it",
                "integral violation under the study's taps, coarse run (pu s)",
                "integral violation under the taps chosen, full run (pu s)",
                (
                    Line(
                        "placements",
                        [row["coarse_study_integral_pu_s"] for row in cloud],
                        [row["integral_violation_pu_s"] for row in cloud],
                        points=True,
                        text=[row["placement"] for row in cloud],
                    ),
                ),
                diagonal=True,
            )
        )
        predicted = [row for row in cloud if row["predicted_cost_pu"] is not None]
        charts.append(
            Chart(
                "Predicted next to simulated",
                "cost of the chosen taps by the linear model (pu, sum of depths)",
                "integral violation, full run (pu s)",
                (
                    Line(
                        "placements",
                        [row["predicted_cost_pu"] for row in predicted],
                        [row["integral_violation_pu_s"] for row in predicted],
                        points=True,
                        text=[row["placement"] for row in predicted],
                    ),
                ),
            )
        )
    if final:
        charts.append(
            Chart(
                "Finalists: batch engine next to OpenDSS",
                "integral violation, batch engine (pu s)",
                "integral violation, OpenDSS in finer steps (pu s)",
                (
                    Line(
                        "finalists",
                        [row["batch_integral_pu_s"] for row in final],
                        [row["integral_violation_pu_s"] for row in final],
                        points=True,
                        text=[row["placement"] for row in final],
                    ),
                ),
                diagonal=True,
            )
        )
    return tuple(charts)


def _curve(values: Sequence[float]) -> tuple[list[int], list[float]]:
    """Ranks and values, thinned out where there are many; the first hundred all stay."""
    n = len(values)
    places = sorted({*range(min(n, 100)), *np.linspace(0, n - 1, min(n, 1000)).astype(int).tolist()}) if n else []
    return [k + 1 for k in places], [values[k] for k in places]


def _failures(results: Sequence[TaskResult], on_batch: Sequence[Row], on_opendss: Sequence[Row]) -> tuple[Failure, ...]:
    tasks = [Failure(result.task.label, result.failed) for result in results if result.failed]
    batch = [Failure(f"placement {row['placement']}", row["failure"]) for row in on_batch if row["failure"]]
    again = [Failure(f"finalist {row['placement']} on OpenDSS", row["failure"]) for row in on_opendss if row["failure"]]
    return (*tasks, *batch, *again)


def _warnings(
    winner: Row | None,
    ranked: Sequence[Row],
    n_placements: int,
    judged_again: bool,
    final: Sequence[Row],
    on_opendss: Sequence[Row],
) -> tuple[str, ...]:
    found: list[str] = []
    if len(ranked) < n_placements:
        found.append(f"{n_placements - len(ranked)} of {n_placements} placements have no figures and no rank")
    if winner is not None and not winner["kept"]:
        found.append(f"the best placement breaks limits: {winner['broken']}")
    tied = n_tied(ranked)
    if tied > 1:
        found.append(f"{tied} placements tie for the first rank on the batch engine: only their names decide there")
    if judged_again:
        found.append("judged under other limits than the runs were made for: nothing was simulated, taps and finalists "
                     "are those of the old limits, and OpenDSS runs keep no figures to judge again")  # fmt: skip
    elif ranked and not final:
        found.append("no finalist has figures from OpenDSS; the ranking is the batch engine's")
    if final and final[0]["batch_rank"] != 1:
        found.append(
            f"OpenDSS in finer steps puts another placement first than the batch engine ({ranked[0]['placement']})"
        )
    elsewhere = sum(bool(row["engine_note"]) for row in ranked)
    if elsewhere:
        found.append(f"{elsewhere} placements ran on OpenDSS instead of the batch engine, e.g. because: "
                     + next(row["engine_note"] for row in ranked if row["engine_note"]))  # fmt: skip
    return tuple(found)


def _not_assessed(feeder: Feeder, limits: Limits) -> tuple[str, ...]:
    notes = [
        "that no other taps are better: every placement is simulated, none is excluded, but its taps come from a "
        "heuristic search (linear model, coarse runs; the first ranks get a search of their own)",
        "placements beyond the finalists on OpenDSS",
        "one scenario; no seasons, no contingencies",
        "protection, short-circuit levels, harmonics and sub-second transients",
        "the grid upstream of the feeder's source",
    ]
    notes += loading_notes(feeder, limits)
    notes += unassessed_notes(feeder)
    return tuple(notes)
