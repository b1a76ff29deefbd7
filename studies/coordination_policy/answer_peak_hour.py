"""What a peak-hour study says: savings by policy, infeasibility over q, selected features over eps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from studies.coordination_policy.answer_parts import AnswerParts, percent_of, policy_files, table
from studies.coordination_policy.question import EPS_SWEEP, CoordinationQuestion
from studies.shared.conclusion import Chart, Column, Line, MissingAnswer, ResultTable
from studies.shared.task import Row, TaskResult, gather

_SUMMARY = (
    Column("penetration", "datacenters (share of peak)"),
    Column("alpha", "alpha", 2),
    Column("q", "records"),
    Column("eps", "eps", 3),
    Column("policy", "policy"),
    Column("cost", "mean cost ($)", 0),
    Column("saving", "saving (%)", 2),
    Column("saving_low", "lowest (%)", 2),
    Column("saving_high", "highest (%)", 2),
    Column("captured", "of the ideal (%)", 1),
    Column("refused", "refused by datacenters (%)", 1),
    Column("shed", "rejected by the grid (%)", 1, secondary=True),
    Column("sheds_more", "would shed more than without (%)", 1, secondary=True),
    Column("shed_mw", "load shed (MW, mean)", 3),
    Column("shed_records", "records that shed"),
    Column("shed_cost", "of the cost (%)", 1),
    Column("latency_margin", "latency margin", 2, secondary=True),
    Column("margin_enough", "enough margin for the refusals asked", secondary=True),
    Column("training_s", "training (s)", 1, secondary=True),
    Column("residual", "certificate", 9, secondary=True),
    Column("n_draws", "draws", secondary=True),
    Column("n_optima", "trainings and equal optima", secondary=True),
    Column("record_low", "saving over records, 2.5 % (%)", 2, secondary=True),
    Column("record_high", "97.5 % (%)", 2, secondary=True),
)
_FEATURES = (
    Column("alpha", "alpha", 2),
    Column("penetration", "datacenters (share of peak)", secondary=True),
    Column("q", "records", secondary=True),
    Column("draw", "draw", secondary=True),
    Column("eps", "eps", 3),
    Column("n_used", "features used"),
    Column("used", "which"),
    Column("norm", "|beta|_1", 3, secondary=True),
)
_AC = (
    Column("penetration", "datacenters (share of peak)", secondary=True),
    Column("alpha", "alpha", 2),
    Column("q", "records", secondary=True),
    Column("draw", "draw", secondary=True),
    Column("policy", "coordination"),
    Column("n_records", "records checked"),
    Column("broken", "break a limit"),
    Column("worse", "more than without coordination"),
    Column("voltage", "voltage"),
    Column("loading", "branch loading"),
    Column("losses", "power for losses"),
    Column("unsolved", "no power flow"),
    Column("loading_max", "highest loading", 3),
    Column("outside_max_pu", "worst voltage, outside by (pu)", 4),
    Column("loss_mw", "mean losses (MW)", 1),
    Column("saving_share", "saving (share)", 4),
    Column("saving_checked_share", "saving if those stay uncoordinated (share)", 4),
    Column("n_undispatched", "records without a dispatch", secondary=True),
    Column("unrated_branches", "branches without a rating, not checked", secondary=True),
)
_AC_RECORDS = (
    Column("date", "day"),
    Column("alpha", "alpha", 2),
    Column("policy", "coordination"),
    Column("breaks", "breaks"),
    Column("loading_max", "highest loading", 3),
    Column("outside_pu", "voltage outside by (pu)", 4),
)
_N_1 = (
    Column("penetration", "datacenters (share of peak)", secondary=True),
    Column("alpha", "alpha", 2),
    Column("q", "records", secondary=True),
    Column("draw", "draw", secondary=True),
    Column("policy", "coordination"),
    Column("n_records", "records checked"),
    Column("n_outages", "outages of a branch in each"),
    Column("secure", "records that stand them all"),
    Column("broken", "outages that break a limit"),
    Column("worse", "more than without coordination"),
    Column("worse_records", "in records"),
    Column("unsolved", "no power flow"),
    Column("loading_max", "highest loading (of the emergency rating)", 3),
    Column("n_splitting", "branches whose outage splits the network, not assessed"),
    Column("n_left_out", "records without an intact power flow, left out", secondary=True),
)
_N_1_OUTAGES = (
    Column("outage", "branch"),
    Column("alpha", "alpha", 2),
    Column("policy", "coordination"),
    Column("broken", "records in which its outage breaks a limit"),
    Column("worse", "more than without coordination"),
    Column("breaks", "breaks"),
    Column("loading_max", "highest loading", 3),
)


_N_1_LIMITS = (
    "N-1: outages are of one branch at a time, of no generator or bus; after one, generators share the losses and hold "
    "their voltages, and nothing is dispatched anew; loadings are shares of emergency ratings (RATE_C) where a case "
    "states them; the dispatch does not know of outages, it keeps to its share of ratings"
)
# An ideal saving below this is a solver's tolerance: no share of it is told.
_NOTHING_PERCENT = 1e-3


def peak_hour_parts(question: CoordinationQuestion, results: Sequence[TaskResult]) -> AnswerParts:
    """Tables over draws; ties of one training count as further draws of the contextual policy's interval."""
    rows = gather(results, "savings")
    summary = [_summary(group) for group in _groups(rows)]
    ideal = {(r["penetration"], r["alpha"], r["q"]): r["saving"] for r in summary if r["policy"] == "ideal"}
    for row in summary:
        best = ideal.get((row["penetration"], row["alpha"], row["q"]))
        has_room = best is not None and best > _NOTHING_PERCENT and row["policy"] not in ("none", "ideal")
        row["captured"] = 100.0 * row["saving"] / best if has_room else None
    failures = tuple(
        MissingAnswer(
            f"{_trained(r)}, alpha {r['alpha']:g}, q {r['q']}, draw {r['draw'] + 1}, eps {r['eps']:g}",
            f"no certified optimum: gap {r['gap']:.1e}, residual {r['residual']:.1e}; its figures are left out",
        )
        for r in rows
        if r.get("certified") is False
    )
    tables: tuple[ResultTable, ...] = (
        table("savings", "Savings against no coordination, on records not trained on", _SUMMARY, summary),
        table("features", "Features the contextual policy uses", _FEATURES, gather(results, "features")),
    )
    texts = policy_files(gather(results, "policies"))
    lost = tuple(
        MissingAnswer(f"{row['date']}, alpha {row['alpha']:g}", row["reason"]) for row in gather(results, "lost")
    )
    warnings = tuple(dict.fromkeys(row["note"] for row in gather(results, "network_notes")))
    answer, charts = _answer(summary, eps_chosen=question.eps is None), tuple(_charts(summary))
    if ac := gather(results, "ac"):
        records = gather(results, "ac_records")
        tables = (
            table("ac_check", "AC power flows of records not trained on", _AC, ac),
            table("ac_records", "Records that coordination breaks", _AC_RECORDS, records, folded=True),
            *tables,
        )
        warnings += tuple(
            f"{row['broken']} of {row['n_records']} AC power flows break a limit without coordination: what shifts do "
            "to limits that hold is seen in the others only"
            for row in ac
            if row["policy"] == "none" and 2 * row["broken"] > row["n_records"]
        )
        # Rows of one network agree; those of another version of the study do not say.
        if unrated := ac[0].get("unrated_branches"):
            warnings += (
                f"{unrated} of {ac[0]['n_branches']} branches have no rating: how they are loaded was not checked",
            )
        answer, charts = f"{answer}\n{_ac_answer(ac)}", (*_ac_charts(ac), *charts)
    if n_1 := gather(results, "n_1"):
        outages = gather(results, "n_1_outages")
        tables = (
            table("n_1", "AC power flows after the outage of a branch (N-1)", _N_1, n_1),
            table("n_1_outages", "Outages that break a limit", _N_1_OUTAGES, outages, folded=True),
            *tables,
        )
        answer = f"{answer}\n{_n_1_answer(n_1)}"
        warnings += (_N_1_LIMITS,)
    return AnswerParts(answer, tables, charts, (*failures, *lost), warnings, texts)


def _trained(row: Row) -> str:
    return str(row["policy"]) + (f", tie {row['tie']}" if row["tie"] else "")


def _groups(rows: Sequence[Row]) -> list[list[Row]]:
    groups: dict[tuple[object, ...], list[Row]] = {}
    for row in rows:
        if row.get("certified") is False:
            continue
        # Further optima of the same training widen its interval.
        key = (row["penetration"], row["alpha"], row["q"], row["eps"], row["policy"])
        groups.setdefault(key, []).append(row)
    return list(groups.values())


def _summary(group: list[Row]) -> Row:
    first, n_optima = group[0], len(group)
    shares = 100.0 * np.array([row["saving_share"] for row in group])
    # Ties widen the interval; means are those of the rule by which ties are broken.
    group = [row for row in group if row.get("tie") == first.get("tie")] or group

    def mean(name: str, times: float = 1.0) -> float | None:
        values = [row[name] for row in group if row.get(name) is not None]
        return times * float(np.mean(values)) if values else None

    return {
        **{name: first[name] for name in ("penetration", "alpha", "q", "eps")},
        "policy": first["policy"],
        "cost": mean("cost"),
        "saving": mean("saving_share", 100.0),
        "saving_low": float(shares.min()),
        "saving_high": float(shares.max()),
        "refused": mean("refused_share", 100.0),
        "shed": mean("shed_share", 100.0),
        "sheds_more": mean("sheds_more_share", 100.0),
        "latency_margin": mean("latency_margin"),
        "margin_enough": all(row.get("margin_enough", True) for row in group),
        "training_s": mean("training_s"),
        "residual": max((row["residual"] for row in group if row.get("residual") is not None), default=None),
        "n_draws": len(group),
        "n_optima": n_optima,
        "shed_mw": mean("shed_mw"),
        "shed_records": mean("shed_records"),
        "shed_cost": mean("shed_cost_share", 100.0),
        "shed_usd_per_mwh": first.get("shed_usd_per_mwh"),
        "n_test": first.get("n_test"),
        "n_limited_lines": first.get("n_limited_lines"),
        "record_low": mean("saving_low", 100.0),
        "record_high": mean("saving_high", 100.0),
    }


def _answer(summary: Sequence[Row], *, eps_chosen: bool = False) -> str:
    words = _shed_words(summary)
    for row in summary:
        about = f"With {percent_of(row['penetration'])} % datacenters and alpha {row['alpha']:g}"
        if row["policy"] == "ideal" and row["saving"] <= _NOTHING_PERCENT:
            words.append(f"{about}, even ideal coordination saves nothing{_why_nothing(row)}.")
        if row["policy"] != "contextual" or row["captured"] is None:
            continue
        words.append(
            f"{about}, the contextual policy (eps {row['eps']:g}, {row['q']} records) saves {_range_words(row)} of "
            f"the dispatch cost, {row['captured']:.0f} % of what ideal coordination would"
            f"{_regression_words(summary, row)}; datacenters refuse {row['refused']:.1f} % of its shifts."
        )
        if eps_chosen and row["eps"] in (EPS_SWEEP[0], EPS_SWEEP[-1]):
            end = "largest" if row["eps"] == EPS_SWEEP[-1] else "smallest"
            words[-1] += f" That eps is the {end} of those compared: one beyond it may do better."
        if not row["margin_enough"]:
            words[-1] += (
                f" The search for a latency margin ended at its cap ({row['latency_margin']:g} on average): even so "
                "more shifts of held-out records were refused than asked for."
            )
    return "\n".join(words[:12]) or "No policy was trained with a certificate."


def _shed_words(summary: Sequence[Row]) -> list[str]:
    """What is said before anything else: that load is not served, and how much of the "cost" is its price."""
    words = []
    for row in summary:
        if not row["shed_mw"]:
            continue
        how = {"none": "without coordination", "ideal": "with ideal coordination"}.get(
            row["policy"], f"with the {row['policy']} policy" + ("" if row["eps"] is None else f" (eps {row['eps']:g})")
        )
        words.append(
            f"LOAD IS SHED, {percent_of(row['penetration'])} % datacenters, alpha {row['alpha']:g}, {how}: "
            f"{row['shed_mw']:,.3g} MW on average, in {row['shed_records']:.10g} of {row['n_test']} records; "
            f"{row['shed_cost']:.1f} % of the cost that is told is its price ({row['shed_usd_per_mwh']:,.10g} $/MWh)."
        )
    return words


def _why_nothing(row: Row) -> str:
    if row["shed_mw"]:
        return ": generators lack power, wherever the work is done"
    if row["n_limited_lines"] == 0:
        return ": no line has a limit, so that where power is drawn makes no difference"
    return ": the grid is not congested"


def _range_words(row: Row) -> str:
    """The saving, with its range over optima that cost the same on the training records, and over draws."""
    if row["n_optima"] < 2:
        return f"{row['saving']:.1f} %"
    ties = "equal optima of its training" if row["n_optima"] > row["n_draws"] else ""
    over = " and ".join(words for words in (ties, "draws" if row["n_draws"] > 1 else "") if words)
    return f"{row['saving_low']:.1f} to {row['saving_high']:.1f} % (over {row['n_optima']} {over})"


def _regression_words(summary: Sequence[Row], row: Row) -> str:
    """Base regression, where it saves more than the contextual policy does."""
    same = ("penetration", "alpha", "q", "eps")
    for other in summary:
        is_same = other["policy"] == "base regression" and all(other[name] == row[name] for name in same)
        if is_same and other["saving"] > row["saving"]:
            return f" (base regression saves {other['saving']:.1f} %, more)"
    return ""


def _ac_answer(rows: Sequence[Row]) -> str:
    words = []
    for row in rows:
        if row["policy"] == "none":
            before = row["broken"]
            continue
        words.append(
            f"AC power flow, alpha {row['alpha']:g}, {row['policy']}: {row['broken']} of {row['n_records']} records "
            f"break a limit ({before} without coordination), {row['worse']} of them one that holds "
            f"without it, or further; leaving those uncoordinated saves {_percent(row['saving_checked_share'])} "
            f"instead of {_percent(row['saving_share'])}."
        )
    return "\n".join(words[:12])


def _n_1_answer(rows: Sequence[Row]) -> str:
    words, before = [], rows[0]
    for row in rows:
        if row["policy"] == "none":
            before = row
            continue
        words.append(
            f"N-1, alpha {row['alpha']:g}, {row['policy']}: {row['broken']} of {row['n_records'] * row['n_outages']} "
            f"outages of a branch break a limit ({before['broken']} without coordination), {row['worse']} of them one "
            f"that holds without it, or further{_splitting_words(row['n_splitting'])}."
        )
    return "\n".join(words[:12])


def _splitting_words(n: int) -> str:
    if not n:
        return ""
    return f"; {n} that split the network {'is' if n == 1 else 'are'} not among them"


def _percent(share: float | None) -> str:
    return "nothing" if share is None else f"{100 * share:.2f} %"


def _ac_charts(rows: Sequence[Row]) -> list[Chart]:
    first = [row for row in rows if all(row[name] == rows[0][name] for name in ("penetration", "alpha", "q", "draw"))]
    lines = []
    for row in first:
        loadings = sorted((100.0 * loading for loading in row["loadings"]), reverse=True)
        share = [100.0 * (k + 1) / len(loadings) for k in range(len(loadings))]
        lines.append(Line(str(row["policy"]), share, loadings))
    return [Chart("Highest branch loading", "records (%)", "loading (% of the rating)", tuple(lines))]


def _charts(summary: Sequence[Row]) -> list[Chart]:
    charts = []
    for name, title, unit in (
        ("penetration", "Mean cost over penetration", "datacenters (share of the peak load)"),
        ("q", "Shifts refused over training records", "training records"),
        ("eps", "Mean cost over eps", "eps, bound on |beta|_1"),
    ):
        what = "refused" if name == "q" else "cost"
        lines = []
        for policy in dict.fromkeys(row["policy"] for row in summary):
            for alpha in dict.fromkeys(row["alpha"] for row in summary):
                own = [r for r in summary if r["policy"] == policy and r["alpha"] == alpha and r[name] is not None]
                own = sorted((r for r in own if r[what] is not None), key=lambda r: float(r[name]))
                if len({r[name] for r in own}) > 1:
                    x, y = [r[name] for r in own], [r[what] for r in own]
                    lines.append(Line(f"{policy}, alpha {alpha:g}", x, y, points=True))
        if lines:
            y_title = "refused by datacenters (%)" if what == "refused" else "mean dispatch cost ($)"
            charts.append(Chart(title, unit, y_title, tuple(lines)))
    return charts
