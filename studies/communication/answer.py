"""What a communication study on a feeder concludes: how many of the flexible MW survive which link."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from g2g_opt.feeder import Feeder
from g2g_opt.feeder_description import loading_notes, unassessed_notes
from studies.communication.bounds import bounds_table, bounds_words, limits_in_words
from studies.communication.feeder_tasks import CAPACITIES, RUNS, UNDER_ALL
from studies.communication.links import LinkState
from studies.communication.question import CommunicationQuestion
from studies.communication.rows import LinkRow, LinkRunRow, SurvivingRow
from studies.communication.survival import RESOLUTION
from studies.communication.survivors import Survivor, survivors_of
from studies.shared.conclusion import Chart, Column, Conclusion, Line, MissingAnswer, ResultTable
from studies.shared.paired import bootstrap_draws, interval_row, with_interval
from studies.shared.task import Row, TaskResult
from studies.shared.typed_rows import gather_as

_LINK = (
    Column("bus", "bus"),
    Column("transport", "transport"),
    Column("loss_pct", "loss (%)", 0),
    Column("delay_s", "delay (s)", 1),
    Column("outage_s", "outage (s)", 0),
    Column("fail_safe", "fail-safe"),
)
_AGES = (Column("voltage_age_s", "age of voltages (s)", 2), Column("command_age_s", "age of commands (s)", 2))
_SURVIVING = (
    *_LINK,
    *with_interval(Column("mw", "fleet MW", 2)),
    Column("mw_least", "fleet MW, least draw", 2, secondary=True),
    Column("flexible_mw", "flexible MW left", 2),
    *with_interval(Column("lost_mw", "MW against a perfect link", 2)),
    Column("left_off", "draws with the controller better left off"),
    *_AGES,
)
_METRICS = {
    "integral_violation_pu_s": ("violation (pu s)", 3),
    "outside_s": ("outside (s)", 0),
    "throughput_share": ("tokens share", 3),
}
_RUN_MEANS = (
    *_LINK[:4],
    Column("stale", "stale rule"),
    *_LINK[4:],
    *(
        column
        for name, (title, digits) in _METRICS.items()
        for column in (
            Column(name, title, digits),
            *with_interval(
                Column(f"{name}_change", f"{title} against a perfect link", digits, secondary=True), f"{title}, change"
            ),
        )
    ),
    Column("kept", "draws that keep the limits"),
    *_AGES,
)
_EVERY = (
    *_LINK,
    Column("stale", "stale rule", secondary=True),
    Column("draw", "draw"),
)
_CAPACITY_ROWS = (
    Column("operation", "operation"),
    Column("limits", "limits"),
    *_EVERY,
    Column("n_gpus", "GPUs"),
    Column("fleet_mw", "fleet MW", 3),
    Column("power_peak_mw", "peak MW", 3),
    Column("power_mean_mw", "mean MW", 3),
    Column("opendss_peak_mw", "OpenDSS peak MW", 3),
    Column("throughput_tps", "tokens/s", 0),
    Column("throughput_share", "tokens share", 3),
    Column("limit", "limit that binds the next size"),
    Column("n_refused_below", "sizes refused below"),
    Column("note", "note"),
)
_RUN_ROWS = (
    *_EVERY,
    Column("n_servers", "servers"),
    *(Column(name, title, digits) for name, (title, digits) in _METRICS.items()),
    Column("latency_miss_share", "latency misses", 4),
    Column("batch_switches", "batch switches"),
    Column("kept", "keeps the limits"),
    Column("failure", "failure"),
)
_RULES = {
    "hold": "sites hold their batch sizes",
    "safe": "sites go down to a safe batch size",
    "release": "sites go back to their batch sizes without control",
    "droop": "sites follow the voltage at their own bus",
}


def feeder_conclusion(question: CommunicationQuestion, results: Sequence[TaskResult]) -> Conclusion:
    """The answer from stored rows."""
    rows = gather_as(results, CAPACITIES, SurvivingRow)
    runs = gather_as(results, RUNS, LinkRunRow)
    feeder = question.load_feeder()
    under_all = gather_as(results, UNDER_ALL, SurvivingRow)
    survivors = {bus: found for bus in _buses(rows) if (found := survivors_of(rows, bus))}
    all_limits = {bus: found[0] for bus in _buses(under_all) if (found := survivors_of(under_all, bus))}
    failures = [MissingAnswer(result.task.label, result.failed) for result in results if result.failed]
    failures += [MissingAnswer(f"bus {row.bus}, {row.link.words}", row.failure) for row in runs if row.failure]
    words = [
        line for bus, found in survivors.items() for line in headline(question, feeder, bus, found, all_limits.get(bus))
    ]
    judged_by = limits_in_words(question)
    every_search = [
        row | {"limits": words} for words, of in ((judged_by, rows), ("all", under_all)) for row in _plain(of)
    ]
    return Conclusion(
        title="Flexible capacity and the quality of communication",
        answer=" ".join(words) or "No bus has an answer in every draw.",
        feeder=question.feeder,
        tables=(
            bounds_table(question, {bus: found[0] for bus, found in survivors.items()}, all_limits),
            ResultTable(
                "surviving",
                f"Capacity over links, {_of_limits(judged_by)}",
                _SURVIVING,
                [_survivor_row(question, bus, one) for bus, found in survivors.items() for one in found],
            ),
            ResultTable(
                "link_runs",
                f"The size of a perfect link over all links, {_of_limits(judged_by)}",
                _RUN_MEANS,
                [row for bus in _buses(runs) for row in _run_means(question, [r for r in runs if r.bus == bus])],
            ),
            ResultTable("capacities", "Every search", _CAPACITY_ROWS, every_search, folded=True),
            ResultTable("runs", "Every run", _RUN_ROWS, _plain(runs), folded=True),
        ),
        charts=tuple(chart for bus, found in survivors.items() for chart in _charts(question, bus, found)),
        failures=tuple(failures),
        warnings=tuple(_warnings(survivors)),
        not_assessed=(
            "links that differ from one another: all channels of a run are alike",
            "outages that begin at other moments",
            *(f"{kind} over links (--all-limits judges them there, too)" for kind in question.left_out),
            *loading_notes(feeder, question.limits),
            *unassessed_notes(feeder),
        ),
    )


def _of_limits(words: str) -> str:
    return "under all limits" if words == "all" else words


def _buses(rows: Sequence[LinkRow]) -> list[str]:
    return list(dict.fromkeys(row.bus for row in rows))


def _plain(rows: Sequence[LinkRow]) -> list[Row]:
    return [vars(row) | {"loss_pct": 100.0 * row.loss} for row in rows]


def _survivor_row(question: CommunicationQuestion, bus: str, one: Survivor) -> Row:
    draws = bootstrap_draws(len(one.mw), question.seed)
    found = _about(bus, one.link) | {"mw_least": float(one.mw.min()), "flexible_mw": one.flexible_mw}
    for name, values in (("mw", one.mw), ("lost_mw", one.mw - one.perfect_mw)):
        found |= interval_row(name, values, draws)
    off = sum(row.fleet_mw < firm for row, firm in zip(one.rows, one.firm_mw.tolist(), strict=True))
    return found | {"left_off": off} | _mean_ages(one.rows)


def _about(bus: str, link: LinkState) -> Row:
    return {"bus": bus, **vars(link), "loss_pct": 100.0 * link.loss}


def _mean_ages(rows: Sequence[SurvivingRow] | Sequence[LinkRunRow]) -> Row:
    return {name: float(np.mean([getattr(row, name) for row in rows])) for name in ("voltage_age_s", "command_age_s")}


def _run_means(question: CommunicationQuestion, rows: Sequence[LinkRunRow]) -> Iterator[Row]:
    by_link: dict[LinkState, dict[int, LinkRunRow]] = {}
    for row in rows:
        by_link.setdefault(row.link, {})[row.draw] = row
    perfect = next((found for link, found in by_link.items() if link.transport == "ideal" and not link.outage_s), {})
    for link, found in by_link.items():
        good = [
            draw for draw, row in found.items() if not row.failure and draw in perfect and not perfect[draw].failure
        ]
        if not good:
            continue
        draws = bootstrap_draws(len(good), question.seed)
        mean = _about(rows[0].bus, link) | {"kept": sum(found[draw].kept for draw in good)}
        for name in _METRICS:
            values = np.array([getattr(found[draw], name) for draw in good])
            before = np.array([getattr(perfect[draw], name) for draw in good])
            mean |= {name: float(values.mean())} | interval_row(f"{name}_change", values - before, draws)
        yield mean | _mean_ages([found[draw] for draw in good])


# --- words


def headline(
    question: CommunicationQuestion,
    feeder: Feeder,
    bus: str,
    survivors: Sequence[Survivor],
    under_all: Survivor | None = None,
) -> Iterator[str]:
    """How many MW survive, plainly; `under_all` is the perfect link under all limits."""
    perfect = survivors[0]
    yield from bounds_words(question, feeder, bus, perfect, under_all)
    firm, flexible = float(perfect.firm_mw.mean()), perfect.flexible_mw
    if flexible <= RESOLUTION * firm:
        yield f"That is nothing that a link could lose: what stops larger sites is {perfect.limit}."
        return
    for outage_s in question.outages_s:
        own = [one for one in survivors if one.link.outage_s == outage_s]
        if own:
            best = max(own, key=lambda one: one.flexible_mw)
            outage = f"an outage of {outage_s:g} s at its worst moment"
            kept = f"Of the {flexible:.2f} MW, {best.flexible_mw:.2f} MW survive {outage}"
            if best.flexible_mw > flexible + RESOLUTION * (firm + flexible):
                kept = f"In {outage}, {best.flexible_mw:.2f} MW are flexible, more than on a perfect link"
            yield (
                f"{kept}, if {_RULES[best.link.fail_safe]} when nobody reaches them"
                + (f" ({_others(own, best)})." if len(own) > 1 else ".")
            )
    lossy = [one for one in survivors if one.link.transport != "ideal"]
    if lossy:
        worst, best = (f(lossy, key=lambda one: one.flexible_mw) for f in (min, max))
        if worst.flexible_mw >= flexible - RESOLUTION * (firm + flexible):
            yield "Without an outage, no lossy or slow link takes any of them."
            return
        yield (
            f"Without an outage, lossy and slow links leave {worst.flexible_mw:.2f} ({worst.link.words}) to "
            f"{best.flexible_mw:.2f} MW ({best.link.words}) of them."
        )


def _others(own: Sequence[Survivor], best: Survivor) -> str:
    return ", ".join(f"{one.link.fail_safe} {one.flexible_mw:.2f}" for one in own if one is not best)


def _warnings(survivors: dict[str, list[Survivor]]) -> Iterator[str]:
    for bus, found in survivors.items():
        gaps = sum(row.n_refused_below > 0 for one in found for row in one.rows)
        n = sum(len(one.rows) for one in found)
        least = min((row.held_up_to_mw for one in found for row in one.rows if row.n_refused_below), default=0.0)
        if gaps:
            yield (
                f"bus {bus}: in {gaps} of {n} searches smaller sizes than the answer break a limit; the lowest one is "
                f"above {least:.2f} MW, up to which all that were tried hold: regulators and controllers settle in "
                "steps, and differences of a step between links mean little"
            )


# --- pictures


def _charts(question: CommunicationQuestion, bus: str, survivors: Sequence[Survivor]) -> Iterator[Chart]:
    perfect = survivors[0]
    firm_mw, perfect_mw = float(perfect.firm_mw.mean()), float(perfect.perfect_mw.mean())
    lossy = [one for one in survivors if one.link.transport != "ideal"]
    of_loss = list(
        _lines(lossy, lambda link: f"{link.transport}, delay {link.delay_s:g} s", lambda one: 100.0 * one.link.loss)
    )
    if lossy:
        ends = [0.0, 100.0 * max(question.losses)]
        levels = [Line("perfect link", ends, [perfect_mw] * 2), Line("firm", ends, [firm_mw] * 2)]
        yield Chart(f"Capacity against loss, bus {bus}", "loss (%)", "fleet MW", (*of_loss, *levels))
        of_age = [replace(line, points=True, text=[one.link.words for one in own]) for line, own in _aged(lossy)]
        yield Chart(
            f"Capacity against communication quality, bus {bus}",
            "mean age of voltages and commands together (s)",
            "fleet MW",
            tuple(of_age),
            marked=((0.0, perfect_mw, "perfect"),),
        )
    outages = [one for one in survivors if one.link.outage_s]
    if outages:
        lines = []
        for rule in question.fail_safes:
            own = sorted((one for one in outages if one.link.fail_safe == rule), key=lambda one: one.link.outage_s)
            x = [0.0, *(one.link.outage_s for one in own)]
            lines.append(Line(rule, x, [perfect_mw, *(float(one.mw.mean()) for one in own)]))
        x_end = [0.0, max(question.outages_s)]
        lines.append(Line("firm", x_end, [firm_mw] * 2))
        yield Chart(f"Capacity against the length of an outage, bus {bus}", "outage (s)", "fleet MW", tuple(lines))


def _lines(
    survivors: Sequence[Survivor], name_of: Callable[[LinkState], str], x_of: Callable[[Survivor], float]
) -> Iterator[Line]:
    for name in dict.fromkeys(name_of(one.link) for one in survivors):
        own = sorted((one for one in survivors if name_of(one.link) == name), key=x_of)
        yield Line(name, [x_of(one) for one in own], [float(one.mw.mean()) for one in own])


def _aged(survivors: Sequence[Survivor]) -> Iterator[tuple[Line, list[Survivor]]]:
    """Points of every transport over the mean age of what its two ends know of each other."""

    def age_s(one: Survivor) -> float:
        return sum(_mean_ages(one.rows).values())

    for transport in dict.fromkeys(one.link.transport for one in survivors):
        own = sorted((one for one in survivors if one.link.transport == transport), key=age_s)
        yield Line(transport, [age_s(one) for one in own], [float(one.mw.mean()) for one in own]), own
