"""What a comparison of controllers concludes from its stored rows."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from g2g_opt.errors import number_of
from g2g_opt.scenario import Scenario
from g2g_opt.study_case import StudyCase
from studies.controllers.published import PUBLISHED_COLUMNS, published_per_site, published_rows
from studies.controllers.rows import (
    GUIDE_METRICS,
    METRICS,
    BatchTrajectory,
    ControllerRun,
    Trajectory,
    by_controller,
    pareto_front,
    values_of,
)
from studies.report.scenario_chart import scenario_chart
from studies.shared.conclusion import Chart, Column, Conclusion, Line, MissingAnswer, ResultTable, first_words
from studies.shared.paired import bootstrap_draws, interval_row, saved_and_interval, with_interval
from studies.shared.screening import HOW_TO_ADMIT_MORE
from studies.shared.task import Row, TaskResult
from studies.shared.typed_rows import gather_as

if TYPE_CHECKING:
    from studies.controllers.question import ControllersQuestion

METRICS_FILE = "guide_metrics.csv"
_TITLES = {
    "integral_violation_pu_s": ("integral violation (pu s)", 3),
    "mean_throughput_tps": ("tokens/s", 0),
    "batch_switches": ("batch switches", 1),
    "itl_deadline_fraction": ("latency misses (share)", 4),
}
_FIGURES = tuple(
    column
    for name, (title, digits) in _TITLES.items()
    for column in with_interval(Column(name, title, digits), secondary=name != "integral_violation_pu_s")
)
_MEANS = (
    Column("controller", "controller"),
    Column("n_scenarios", "scenarios"),
    *_FIGURES,
    *with_interval(Column("recovery", "recovered (share of the means)", 3), of="recovered"),
    Column("switches_per_model", "switches per model", 2, secondary=True),
    Column("exhausted_s", "nothing left to set (s)", 1, secondary=True),
    Column("pareto", "on the Pareto front"),
)
_PAIRS = (
    Column("controller", "controller"),
    Column("against", "less that of"),
    *_FIGURES,
    Column("n_better", "scenarios with less violation"),
)
_RUNS = (
    Column("controller", "controller"),
    Column("scenario", "scenario"),
    *(Column(name, name) for name in GUIDE_METRICS),
    Column("batch_switches", "batch switches", 0),
    Column("power_mean_mw", "mean power (MW)", 3),
    Column("exhausted_s", "nothing left to set (s)", 0),
    Column("failure", "failure", secondary=True),
)
_ENGINES = (
    Column("controller", "controller"),
    Column("scenario", "scenario"),
    Column("batch_pu_s", "batch engine (pu s)", 6),
    Column("opendss_pu_s", "OpenDSS (pu s)", 6),
    Column("batch_switches", "switches, batch engine", 0),
    Column("opendss_switches", "switches, OpenDSS", 0),
)
# Charts of batch sizes, at most: a picture for every model at every site.
_BATCH_CHARTS_MAX = 8


def conclusion_of(
    case: StudyCase, question: ControllersQuestion, scenarios: Sequence[Scenario], results: Sequence[TaskResult]
) -> Conclusion:
    """Means over the scenarios in which every controller has an answer, and each against the others."""
    runs = gather_as(results, "runs", ControllerRun)
    found = by_controller(runs)
    common = [scenario.name for scenario in scenarios if all(scenario.name in of for of in found.values())]
    failures = [MissingAnswer(result.task.label, result.failed) for result in results if result.failed]
    failures += [MissingAnswer(f"{run.controller} in {run.scenario}", run.failure) for run in runs if run.failure]
    title = f"Controllers on the study case {case.name}"
    if not found or not common:
        why = "no scenario to test with passed the screening" if not scenarios else "no scenario has every answer"
        answer = f"Nothing can be compared: {why}."
        if not scenarios and not failures:
            failures.append(MissingAnswer("the comparison", f"no candidate passes; {HOW_TO_ADMIT_MORE}"))
        return Conclusion(title, answer, case.feeder.name, (), failures=tuple(failures))
    n_models = sum(len(site.deployments) for site in case.plan.sites)
    means = _means(found, common, question.seed, n_models)
    pairs = _pairs(found, [choice.name for choice in question.controllers], common, question.seed)
    named = {choice.name: choice.kind for choice in question.controllers}
    opendss = gather_as(results, "opendss", ControllerRun)
    return Conclusion(
        title=title,
        answer=_answer(means, pairs, common, linked=question.channels is not None),
        feeder=case.feeder.name,
        tables=(
            ResultTable("means", "Means over the scenarios, with 95 % intervals", _MEANS, means),
            ResultTable("differences", "Scenario by scenario: each less another, with 95 % intervals", _PAIRS, pairs),
            ResultTable(
                "published", "Beside the published figures", PUBLISHED_COLUMNS, published_rows(case, means, named)
            ),
            ResultTable("engines", "The engines in the same runs", _ENGINES, _engines(found, opendss), folded=True),
            ResultTable("runs", "Every controller in every scenario", _RUNS, [vars(run) for run in runs], folded=True),
        ),
        charts=(
            _plane(means),
            _every_scenario(found, common),
            *_sweeps(question, means),
            *_trajectory_charts(results, (question.limits.voltage_min_pu, question.limits.voltage_max_pu)),
            scenario_chart(scenarios, case.feeder),
        ),
        texts={METRICS_FILE: _guide_csv(runs)},
        failures=tuple(failures),
        warnings=_not_shown(question, common, results),
        not_assessed=(
            "scenarios other than those drawn: intervals are over scenarios, and not over cases or feeders",
            "limits other than the voltage band",
            *_unshifted(case, question),
            *published_per_site(case),
            f"source of the case: {case.about}",
        ),
    )


def _not_shown(question: ControllersQuestion, run: Sequence[str], results: Sequence[TaskResult]) -> tuple[str, ...]:
    """Words on a scenario that was to be shown, and is none of those that were run."""
    if not question.shown or question.shown in run:
        return ()
    drawn = gather_as(results, "trajectories", Trajectory)
    instead = f"; trajectories are those of {drawn[0].scenario!r}" if drawn else ""
    return (f"scenario {question.shown!r} (--show) is none of those that have answers{instead}",)


def _unshifted(case: StudyCase, question: ControllersQuestion) -> tuple[str, ...]:
    """Words on shifts of replicas that were asked for where there is nowhere to shift them."""
    labels = [d.spec.model_label for site in case.plan.sites for d in site.deployments]
    wanted = any(choice.load_shift_gpus is not None for choice in question.choices())
    alone = len(set(labels)) == len(labels)
    return ("shifts of replicas: no two sites of the case serve the same model",) if wanted and alone else ()


def _means(found: dict[str, dict[str, ControllerRun]], common: Sequence[str], seed: int, n_models: int) -> list[Row]:
    rows: list[Row] = []
    draws = bootstrap_draws(len(common), seed)
    points = [
        (
            float(values_of(runs, "integral_violation_pu_s", common).mean()),
            float(values_of(runs, "mean_throughput_tps", common).mean()),
        )
        for runs in found.values()
    ]
    none_pu_s = values_of(found["none"], METRICS[0], common) if "none" in found else np.zeros(len(common))
    for (name, runs), best in zip(found.items(), pareto_front(points), strict=True):
        row: Row = {"controller": name, "n_scenarios": len(common), "pareto": "yes" if best else "no"}
        for metric in METRICS:
            row |= interval_row(metric, values_of(runs, metric, common), draws)
        recovered = saved_and_interval(values_of(runs, METRICS[0], common), none_pu_s, draws) or (None, None, None)
        row |= zip(("recovery", "recovery_low", "recovery_high"), recovered, strict=True)
        row["switches_per_model"] = row["batch_switches"] / n_models
        row["exhausted_s"] = float(values_of(runs, "exhausted_s", common).mean())
        rows.append(row)
    return rows


def _pairs(
    found: dict[str, dict[str, ControllerRun]], names: Sequence[str], common: Sequence[str], seed: int
) -> list[Row]:
    rows: list[Row] = []
    draws = bootstrap_draws(len(common), seed)
    for against, name in combinations(names, 2):
        row: Row = {"controller": name, "against": against}
        for metric in METRICS:
            own, other = (values_of(found[which], metric, common) for which in (name, against))
            row |= interval_row(metric, own - other, draws)
            if metric == METRICS[0]:
                row["n_better"] = int((own < other).sum())
        rows.append(row)
    return rows


def _answer(means: Sequence[Row], pairs: Sequence[Row], common: Sequence[str], *, linked: bool) -> str:
    ranked = sorted(means, key=lambda row: float(row["integral_violation_pu_s"]))
    best, through = ranked[0], ", with messages through the channels asked for," * linked
    words = [
        f"In {number_of(len(common), 'scenario')}{through} {best['controller']} has the least violation, "
        f"{best['integral_violation_pu_s']:.2f} pu s on average ({best['integral_violation_pu_s_low']:.2f} to "
        f"{best['integral_violation_pu_s_high']:.2f})"
        + (
            f", which recovers {100 * best['recovery']:.1f} % ({100 * best['recovery_low']:.1f} to "
            f"{100 * best['recovery_high']:.1f} %)"
            if best["recovery"] is not None
            else ""
        )
        + f", at {best['mean_throughput_tps'] / 1e6:.2f} million tokens/s; "
        + "; ".join(
            f"{row['controller']} {row['integral_violation_pu_s']:.2f} pu s at "
            f"{row['mean_throughput_tps'] / 1e6:.2f} million tokens/s"
            for row in ranked[1:5]
        )
        + "."
    ]
    for row in pairs:
        low, high = row["integral_violation_pu_s_low"], row["integral_violation_pu_s_high"]
        apart = "tells them apart" if low > 0.0 or high < 0.0 else "does not tell them apart"
        words.append(
            f"{row['controller']} less {row['against']}: {row['integral_violation_pu_s']:+z.2f} pu s "
            f"({low:+z.2f} to {high:+z.2f}), less violation in {row['n_better']} of {len(common)}: this {apart}."
        )
    return "\n".join(words)


def _engines(found: dict[str, dict[str, ControllerRun]], opendss: Sequence[ControllerRun]) -> list[Row]:
    rows = []
    for run in opendss:
        batch = found.get(run.controller, {}).get(run.scenario)
        if batch is not None and not run.failure:
            rows.append(
                {
                    "controller": run.controller,
                    "scenario": run.scenario,
                    "batch_pu_s": batch.integral_violation_pu_s,
                    "opendss_pu_s": run.integral_violation_pu_s,
                    "batch_switches": batch.batch_switches,
                    "opendss_switches": run.batch_switches,
                }
            )
    return rows


def _guide_csv(runs: Sequence[ControllerRun]) -> str:
    """Mode, scenario and the seven metrics of the OpenG2G guide, under its names."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("mode", "scenario", *GUIDE_METRICS))
    writer.writerows(
        (run.controller, run.scenario, *(getattr(run, name) for name in GUIDE_METRICS))
        for run in runs
        if not run.failure
    )
    return text.getvalue()


# --- charts


def _plane(means: Sequence[Row]) -> Chart:
    lines = [
        Line(
            row["controller"],
            [row["integral_violation_pu_s"]],
            [row["mean_throughput_tps"] / 1e6],
            points=True,
            text=[f"{row['controller']}: {row['integral_violation_pu_s']:.3f} pu s"],
        )
        for row in means
    ]
    front = sorted(
        (row for row in means if row["pareto"] == "yes"), key=lambda row: float(row["integral_violation_pu_s"])
    )
    lines.append(
        Line(
            "Pareto front",
            [row["integral_violation_pu_s"] for row in front],
            [row["mean_throughput_tps"] / 1e6 for row in front],
        )
    )
    title = "Throughput against violation: means over the scenarios"
    return Chart(title, "integral violation (pu s)", "10^6 tokens/s", tuple(lines))


def _every_scenario(found: dict[str, dict[str, ControllerRun]], common: Sequence[str]) -> Chart:
    lines = tuple(
        Line(
            name,
            values_of(runs, "integral_violation_pu_s", common).tolist(),
            (values_of(runs, "mean_throughput_tps", common) / 1e6).tolist(),
            points=True,
            text=list(common),
        )
        for name, runs in found.items()
    )
    return Chart("Every scenario", "integral violation (pu s)", "10^6 tokens/s", lines)


def _sweeps(question: ControllersQuestion, means: Sequence[Row]) -> tuple[Chart, ...]:
    by_name = {row["controller"]: row for row in means}
    charts = []
    for sweep in question.sweeps:
        rows = [by_name[choice.name] for choice in sweep.choices() if choice.name in by_name]
        values = [value for choice, value in zip(sweep.choices(), sweep.values, strict=True) if choice.name in by_name]
        for metric, scale, words in (
            ("integral_violation_pu_s", 1.0, "integral violation (pu s)"),
            ("mean_throughput_tps", 1e-6, "10^6 tokens/s"),
        ):
            line = Line(
                sweep.controller.name,
                values,
                [scale * row[f"{metric}_high"] for row in rows],
                points=True,
                low=[scale * row[f"{metric}_low"] for row in rows],
            )
            mean = Line(f"{sweep.controller.name}, mean", values, [scale * row[metric] for row in rows])
            charts.append(
                Chart(f"{words} over {sweep.name} of {sweep.controller.kind}", sweep.name, words, (mean, line))
            )
    return tuple(charts)


def _trajectory_charts(results: Sequence[TaskResult], band_pu: tuple[float, float]) -> tuple[Chart, ...]:
    whole = gather_as(results, "trajectories", Trajectory)
    batches = gather_as(results, "batches", BatchTrajectory)
    if not whole:
        return ()
    scenario = whole[0].scenario
    voltages, powers = [], []
    for hue, row in enumerate(whole):
        minutes = (row.time_s / 60.0).tolist()
        voltages += [
            Line(f"{row.controller}, lowest", minutes, row.lowest_pu.tolist(), hue=hue),
            Line(f"{row.controller}, highest", minutes, row.highest_pu.tolist(), hue=hue),
        ]
        powers.append(Line(row.controller, minutes, row.power_mw.tolist(), hue=hue))
    charts = [
        Chart(
            f"Voltages in {scenario}",
            "minutes",
            "lowest and highest voltage (pu)",
            tuple(voltages),
            limits=band_pu,
        ),
        Chart(f"Power of the sites in {scenario}", "minutes", "MW", tuple(powers)),
    ]
    places = list(dict.fromkeys((row.site, row.model) for row in batches))
    part = first_words(len(places), _BATCH_CHARTS_MAX, "models at sites")
    for site, model in places[:_BATCH_CHARTS_MAX]:
        own = [row for row in batches if (row.site, row.model) == (site, model)]
        lines = tuple(Line(row.controller, (row.time_s / 60.0).tolist(), row.batch_size.tolist()) for row in own)
        charts.append(Chart(f"Batch size of {model} at {site} in {scenario}{part}", "minutes", "batch size", lines))
    late = dict.fromkeys((seen.controller for seen in batches), 0.0)
    for seen in batches:
        late[seen.controller] = max(late[seen.controller], float(np.nanmax(seen.latency_share, initial=0.0)))
    if late and max(late.values()) > 1.0:
        latest = max(late, key=late.__getitem__)
        own = [row for row in batches if row.controller == latest]
        lines = tuple(
            Line(f"{row.model} at {row.site}", (row.time_s / 60.0).tolist(), row.latency_share.tolist()) for row in own
        )
        title = f"Latency over its target in {scenario} under {latest}, where it is highest"
        charts.append(Chart(title, "minutes", "share of the target", lines, limits=(1.0,)))
    return tuple(charts)
