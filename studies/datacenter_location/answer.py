"""What a location study concludes from its stored rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from g2g_opt.errors import number_of
from g2g_opt.feeder import Feeder
from g2g_opt.feeder_description import loading_notes, unassessed_notes
from g2g_opt.limits import Limits
from studies.datacenter_location.placements import name_of
from studies.datacenter_location.question import LocationQuestion
from studies.datacenter_location.ranking import best_rows, judged_rows, lead_in_words, n_tied
from studies.datacenter_location.trials import PlacementRow, TrialRun
from studies.report.scenario_chart import scenario_chart
from studies.shared.conclusion import Chart, Column, Conclusion, Envelope, FeederMap, Line, MissingAnswer
from studies.shared.envelopes import envelope_of
from studies.shared.stored_bases import StoredBases
from studies.shared.task import Row, TaskResult
from studies.shared.typed_rows import as_shown, columns_of, gather_as, table_of

TIE_RULE = (
    "ties are broken by violation time, then tokens served (more first), then the margin of the worst voltage to the "
    "band (more first), then the names of the buses"
)

_COLUMNS = (
    Column("rank", "rank"),
    *columns_of(
        PlacementRow,
        "placement engine integral_violation_pu_s violation_time_s throughput_tps throughput_share margin_pu",
        "lowest_pu lowest_where highest_pu highest_where kept broken taps",
    ),
)
_BATCH = (
    Column("batch_rank", "rank on the batch engine"),
    Column("batch_integral_pu_s", "integral on the batch engine (pu s)", 4),
)
# Placements of the long table that are shown on a page; all are in the CSV.
_CLOUD_MAX = 4000


def conclusion_of(
    study: LocationQuestion, results: Sequence[TaskResult], made_under: Limits | None = None
) -> Conclusion:
    """The answer from stored rows; if they were `made_under` other limits than the study's, judged again."""
    feeder, limits, judged_again = study.load_feeder(), study.limits, made_under is not None
    sites, n_placements = [choice.name for choice in study.choices()], len(study.placements())
    followed = {name_of(buses) for buses in study.followed}
    rows = gather_as(results, "placements", PlacementRow)
    if judged_again:
        rows = judged_rows(rows, gather_as(results, "runs", TrialRun), StoredBases(results), limits)
    on_batch = best_rows(rows, finalists=False)
    on_opendss = best_rows(rows, finalists=True)
    ranked = [row for row in on_batch if not row.failure]
    batch = {row.placement: (k + 1, row.integral_violation_pu_s) for k, row in enumerate(ranked)}
    final = [row for row in on_opendss if not row.failure]
    shown = _shown(ranked, batch)
    tables = [table_of("location", "All placements, batch engine", _COLUMNS, shown, folded=bool(final))]
    if final:
        title = f"Finalists{' and placements asked after' if followed else ''}, OpenDSS at {_finest(study)}"
        tables.insert(0, table_of("finalists", title, (*_COLUMNS, *_BATCH), _shown(final, batch)))
    if watched := [row for row in shown if row["placement"] in followed]:
        tables.append(table_of("followed", "Placements asked after, batch engine", _COLUMNS, watched))
    # Under other limits the best placement may be none that was run on OpenDSS.
    if judged_again and ranked and ranked[0].placement not in {row.placement for row in final}:
        final = []
    winner = next(iter(final or ranked), None)
    optimised = study.taps == "optimised"
    return Conclusion(
        title=f"Location of {number_of(len(sites), 'site')} on {feeder.name}",
        answer=_answer(study, sites, winner, final, ranked, n_placements),
        feeder=feeder.name,
        tables=tuple(tables),
        maps=_maps(ranked, winner, sites),
        envelopes=_envelopes(results, final, winner, limits),
        charts=(*_charts(ranked, rows, final, batch), scenario_chart((study.scenario,), feeder)),
        failures=_failures(results, on_batch, on_opendss),
        warnings=(
            *_warnings(winner, ranked, n_placements, judged_again, final),
            *(("taps found with foresight: one setting per placement, chosen knowing the hour",) if optimised else ()),
        ),
        not_assessed=_not_assessed(feeder, limits, optimised),
    )


def _finest(study: LocationQuestion) -> str:
    return f"{float(study.finalist_dt_s):g} s"


_Batch = Mapping[str, tuple[int, float | None]]


def _shown(rows: Sequence[PlacementRow], batch: _Batch) -> list[Row]:
    """Rows of a table that is shown, with their ranks and those on the batch engine."""
    found = []
    for k, row in enumerate(rows):
        batch_rank, batch_integral = batch.get(row.placement, (None, None))
        more = {"rank": k + 1, "batch_rank": batch_rank, "batch_integral_pu_s": batch_integral}
        found.append(as_shown(row, _COLUMNS, more))
    return found


def _answer(
    study: LocationQuestion,
    sites: Sequence[str],
    winner: PlacementRow | None,
    final: Sequence[PlacementRow],
    ranked: Sequence[PlacementRow],
    n_placements: int,
) -> str:
    if winner is None:
        return f"None of {number_of(n_placements, 'placement')} has a simulated answer; see the failures."
    where = ", ".join(f"{site} at bus {bus}" for site, bus in zip(sites, winner.buses, strict=True))
    engine = f"OpenDSS at {_finest(study)}" if final else f"the batch engine at {float(study.scenario.dt_s):g} s"
    zero = sum(round(row.integral_violation_pu_s or 0.0, 6) == 0.0 for row in ranked)
    sentence = (
        f"Best of {number_of(len(ranked), 'placement')} simulated over {study.scenario.duration_s} s: {where}; "
        f"integral voltage violation {winner.integral_violation_pu_s:.4f} pu s, "
        f"{winner.violation_time_s:g} s outside the band, "
        f"{winner.throughput_tps:.0f} tokens/s, voltages {winner.lowest_pu:.4f} to {winner.highest_pu:.4f} pu "
        f"(on {engine})."
    )
    if lead := lead_in_words(final or ranked):
        sentence += f" It is {lead}."
    if zero > 1:
        sentence += (
            f" {zero} placements keep the band all the time on the batch engine, and none can have less violation than "
            f"that; {TIE_RULE}."
        )
    else:
        sentence += f" Rule: least integral violation; {TIE_RULE}."
    return sentence


def _maps(ranked: Sequence[PlacementRow], winner: PlacementRow | None, sites: Sequence[str]) -> tuple[FeederMap, ...]:
    """Per bus the least integral violation of all placements that use it."""
    best: dict[str, PlacementRow] = {}
    for row in ranked:
        for bus in row.buses:
            best.setdefault(bus, row)
    if winner is None:
        return ()
    return (
        FeederMap(
            title="Least integral violation of the placements that use a bus",
            unit="pu s",
            value_by_bus={bus: row.integral_violation_pu_s or 0.0 for bus, row in best.items()},
            text_by_bus={bus: f"best placement with it: {row.placement}" for bus, row in best.items()},
            marked={bus: f"{site} (best placement)" for site, bus in zip(sites, winner.buses, strict=True)},
        ),
    )


def _envelopes(
    results: Sequence[TaskResult], final: Sequence[PlacementRow], winner: PlacementRow | None, limits: Limits
) -> tuple[Envelope, ...]:
    """Of the finalists, the best first; without any of the best placement, from its run on the batch engine."""
    runs = {(run.placement, run.stage): run for run in gather_as(results, "runs", TrialRun) if run.failure_kind is None}
    shown = final or ([winner] if winner is not None else [])
    found = [runs[row.placement, row.stage] for row in shown if (row.placement, row.stage) in runs]
    return tuple(envelope_of(f"placement {run.placement}, {run.engine} engine", [run], limits) for run in found)


def _charts(
    ranked: Sequence[PlacementRow], rows: Sequence[PlacementRow], final: Sequence[PlacementRow], batch: _Batch
) -> tuple[Chart, ...]:
    title = "Integral violation of all placements, best first"
    curve = Line("batch engine", *_curve([row.integral_violation_pu_s or 0.0 for row in ranked]))
    charts = [Chart(title, "rank", "integral violation (pu s)", (curve,))]
    known = [row for row in rows if row.stage == "placements" and row.coarse_study_integral_pu_s is not None]
    known = [row for row in known if not row.failure]
    cloud = known[:: max(1, -(-len(known) // _CLOUD_MAX))]
    part = f" ({len(cloud)} of {len(known)}, evenly spread)" if len(cloud) < len(known) else ""
    if cloud:
        charts += [
            _cloud(
                f"What taps are worth: placements under the study's taps and under those chosen for them{part}",
                "integral violation under the study's taps, coarse run (pu s)",
                "integral violation under the taps chosen, full run (pu s)",
                [(row, row.coarse_study_integral_pu_s) for row in cloud],
                diagonal=True,
            ),
            _cloud(
                f"Predicted next to simulated{part}",
                "cost of the chosen taps by the linear model (pu, sum of depths)",
                "integral violation, full run (pu s)",
                [(row, row.predicted_cost_pu) for row in cloud if row.predicted_cost_pu is not None],
            ),
        ]
    if final:
        charts.append(
            _cloud(
                "Finalists: batch engine next to OpenDSS",
                "integral violation, batch engine (pu s)",
                "integral violation, OpenDSS in finer steps (pu s)",
                [(row, batch[row.placement][1] if row.placement in batch else None) for row in final],
                "finalists",
                diagonal=True,
            )
        )
    return tuple(charts)


def _cloud(
    title: str,
    x_title: str,
    y_title: str,
    placed: Sequence[tuple[PlacementRow, float | None]],
    name: str = "placements",
    diagonal: bool = False,
) -> Chart:
    """Integral violations of placements over a figure of theirs."""
    y, names = [row.integral_violation_pu_s for row, _ in placed], [row.placement for row, _ in placed]
    line = Line(name, [x for _, x in placed], y, points=True, text=names)
    return Chart(title, x_title, y_title, (line,), diagonal=diagonal)


def _curve(values: Sequence[float]) -> tuple[list[int], list[float]]:
    """Ranks and values, thinned out where there are many; the first hundred all stay."""
    n = len(values)
    places = sorted({*range(min(n, 100)), *np.linspace(0, n - 1, min(n, 1000)).astype(int).tolist()}) if n else []
    return [k + 1 for k in places], [values[k] for k in places]


def _failures(
    results: Sequence[TaskResult], on_batch: Sequence[PlacementRow], on_opendss: Sequence[PlacementRow]
) -> tuple[MissingAnswer, ...]:
    tasks = [MissingAnswer(result.task.label, result.failed) for result in results if result.failed]
    batch = [MissingAnswer(f"placement {row.placement}", row.failure) for row in on_batch if row.failure]
    again = [MissingAnswer(f"finalist {row.placement} on OpenDSS", row.failure) for row in on_opendss if row.failure]
    return (*tasks, *batch, *again)


def _warnings(
    winner: PlacementRow | None,
    ranked: Sequence[PlacementRow],
    n_placements: int,
    judged_again: bool,
    final: Sequence[PlacementRow],
) -> tuple[str, ...]:
    found: list[str] = []
    if len(ranked) < n_placements:
        found.append(f"{n_placements - len(ranked)} of {n_placements} placements have no figures and no rank")
    if winner is not None and not winner.kept:
        found.append(f"the best placement breaks limits: {winner.broken}")
    tied = n_tied(ranked)
    if tied > 1:
        found.append(f"{tied} placements tie for the first rank on the batch engine: only their names decide there")
    if judged_again:
        found.append("taps and finalists are those of the limits that the runs were made for")
    if ranked and not final:
        unconfirmed = "the best placement was none of them" if judged_again else "no finalist has figures from OpenDSS"
        found.append(f"{unconfirmed}; the ranking is the batch engine's")
    if final and final[0].placement != ranked[0].placement:
        found.append(
            f"OpenDSS in finer steps puts another placement first than the batch engine ({ranked[0].placement})"
        )
    elsewhere = sum(bool(row.engine_note) for row in ranked)
    if elsewhere:
        found.append(f"{elsewhere} placements ran on OpenDSS instead of the batch engine, e.g. because: "
                     + next(row.engine_note for row in ranked if row.engine_note))  # fmt: skip
    return tuple(found)


def _not_assessed(feeder: Feeder, limits: Limits, optimised: bool) -> tuple[str, ...]:
    search = (
        "that no other taps are better: every placement is simulated, none is excluded, but its taps come from a "
        "heuristic search (linear model, coarse runs; the first ranks get a search of their own)"
    )
    notes = [
        *([search] if optimised else []),
        "placements beyond the finalists on OpenDSS",
        "one scenario; no seasons, no contingencies",
        "protection against faults, short-circuit levels, harmonics and sub-second transients",
        "the grid upstream of the feeder's source",
    ]
    notes += loading_notes(feeder, limits)
    notes += unassessed_notes(feeder)
    return tuple(notes)
