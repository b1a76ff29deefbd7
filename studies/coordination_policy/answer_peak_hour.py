"""What a peak-hour study says: savings by policy, infeasibility over q, selected features over eps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from g2g_opt.transmission.zonal_grid import SHED_TOLERANCE_MW
from studies.coordination_policy.answer_parts import AnswerParts, percent_of, policy_files
from studies.coordination_policy.question import EPS_SWEEP, CoordinationQuestion
from studies.coordination_policy.rows import (
    AcRecordRow,
    AcRow,
    FeatureRow,
    LostRow,
    MeanSavingRow,
    NoteRow,
    OfDraw,
    OutageRow,
    OutagesRow,
    SavingRow,
    ShiftLinkRow,
    ShiftRow,
    TrainedPolicyRow,
)
from studies.coordination_policy.setting import ACCEPT_MW
from studies.shared.conclusion import Chart, Column, Line, MissingAnswer, ResultTable
from studies.shared.task import TaskResult
from studies.shared.typed_rows import columns_of, gather_as, table_of

_SAVINGS = "Savings against no coordination, on records not trained on"
_SECONDARY = (
    Column("penetration", "datacenters (share of peak)", secondary=True),
    Column("alpha", "alpha", 2),
    Column("q", "records", secondary=True),
    Column("draw", "draw", secondary=True),
)
_OF_DRAW = {column.name for column in _SECONDARY}


def _checked(kind: type[OfDraw]) -> tuple[Column, ...]:
    """Columns of checks: which draw they are of is secondary."""
    return (*_SECONDARY, *(column for column in columns_of(kind) if column.name not in _OF_DRAW))


_N_1_LIMITS = (
    "N-1: outages are of one branch at a time, of no generator or bus; after one, generators share the losses and hold "
    "their voltages, and nothing is dispatched anew; loadings are shares of emergency ratings (RATE_C) where a case "
    "states them; the dispatch does not know of outages, it keeps to its share of ratings"
)
# An ideal saving below this is a solver's tolerance: no share of it is told.
_NOTHING_PERCENT = 1e-3


def peak_hour_parts(question: CoordinationQuestion, results: Sequence[TaskResult]) -> AnswerParts:
    """Tables over draws; ties of one training count as further draws of the contextual policy's interval."""
    rows = gather_as(results, "savings", SavingRow)
    summary = [_summary(group) for group in _groups(rows)]
    ideal = {(row.penetration, row.alpha, row.q): row.saving_pct for row in summary if row.policy == "ideal"}
    for k, row in enumerate(summary):
        best = ideal.get((row.penetration, row.alpha, row.q))
        if best is not None and best > _NOTHING_PERCENT and row.policy not in ("none", "ideal"):
            summary[k] = replace(row, captured_pct=100.0 * row.saving_pct / best)
    failures = tuple(
        MissingAnswer(
            f"{_trained(r)}, alpha {r.alpha:g}, q {r.q}, draw {r.draw + 1}, eps {r.eps:g}",
            f"no certified optimum: gap {r.gap:.1e}, residual {r.residual:.1e}; its figures are left out",
        )
        for r in rows
        if r.certified is False
    )
    features = gather_as(results, "features", FeatureRow)
    columns = columns_of(FeatureRow, "alpha", _SECONDARY[0], *_SECONDARY[2:], "eps n_used used norm")
    tables: tuple[ResultTable, ...] = (
        table_of("savings", _SAVINGS, columns_of(MeanSavingRow), summary),
        table_of("features", "Features the contextual policy uses", columns, features),
        *_moved(results),
    )
    texts = policy_files(gather_as(results, "policies", TrainedPolicyRow))
    lost = tuple(
        MissingAnswer(f"{row.date}, alpha {row.alpha:g}", row.reason) for row in gather_as(results, "lost", LostRow)
    )
    warnings = tuple(dict.fromkeys(row.note for row in gather_as(results, "network_notes", NoteRow)))
    answer, charts = _answer(summary, eps_chosen=question.eps is None), tuple(_charts(summary))
    if question.redispatch_max is not None:
        answer += (
            f"\nCoordination may move a unit from its schedule without it by {percent_of(question.redispatch_max)} % "
            "of its capacity at most: where savings end there, a wider band holds back more reserve and saves more."
        )
    if ac := gather_as(results, "ac", AcRow):
        records, told = gather_as(results, "ac_records", AcRecordRow), "date alpha policy breaks loading_max outside_pu"
        broken = columns_of(AcRecordRow, told)
        tables = (
            table_of("ac_check", "AC power flows of records not trained on", _checked(AcRow), ac),
            table_of("ac_records", "Records that coordination breaks", broken, records, folded=True),
            *tables,
        )
        warnings += tuple(
            f"{row.broken} of {row.n_records} AC power flows break a limit without coordination: what shifts do "
            "to limits that hold is seen in the others only"
            for row in ac
            if row.policy == "none" and 2 * row.broken > row.n_records
        )
        # Rows of one network agree.
        if unrated := ac[0].unrated_branches:
            n_all = ac[0].n_branches
            warnings += (f"{unrated} of {n_all} branches have no rating: how they are loaded was not checked",)
        answer, charts = f"{answer}\n{_ac_answer(ac)}", (*_ac_charts(ac), *charts)
    if n_1 := gather_as(results, "n_1", OutagesRow):
        outages = gather_as(results, "n_1_outages", OutageRow)
        of_branch = columns_of(OutageRow, "outage alpha policy broken worse breaks loading_max")
        tables = (
            table_of("n_1", "AC power flows after the outage of a branch (N-1)", _checked(OutagesRow), n_1),
            table_of("n_1_outages", "Outages that break a limit", of_branch, outages, folded=True),
            *tables,
        )
        answer = f"{answer}\n{_n_1_answer(n_1)}"
        warnings += (_N_1_LIMITS,)
    return AnswerParts(answer, tables, charts, (*failures, *lost), warnings, texts)


def _moved(results: Sequence[TaskResult]) -> list[ResultTable]:
    """Shifts by datacenter and by link, of the first draw of every setting."""
    tables = []
    for name, title, kind in (
        ("shifts", "Work moved, by datacenter", ShiftRow),
        ("links", "Work moved, by link", ShiftLinkRow),
    ):
        rows = [row for row in gather_as(results, name, kind) if row.draw == 0]
        if rows:
            tables.append(table_of(name, title, columns_of(kind), rows, folded=True))
    return tables


def _trained(row: SavingRow) -> str:
    return row.policy + (f", tie {row.tie}" if row.tie else "")


def _groups(rows: Sequence[SavingRow]) -> list[list[SavingRow]]:
    groups: dict[tuple[object, ...], list[SavingRow]] = {}
    for row in rows:
        if row.certified is not False:
            # Further optima of the same training widen its interval.
            groups.setdefault((row.penetration, row.alpha, row.q, row.eps, row.policy), []).append(row)
    return list(groups.values())


def _summary(group: list[SavingRow]) -> MeanSavingRow:
    first, n_optima = group[0], len(group)
    shares = 100.0 * np.array([row.saving_share for row in group], dtype=np.float64)
    # Ties widen the interval; means are those of the rule by which ties are broken.
    group = [row for row in group if row.tie == first.tie] or group

    def mean(name: str, times: float = 1.0) -> float | None:
        values = [value for row in group if (value := getattr(row, name)) is not None]
        return times * float(np.mean(values)) if values else None

    return MeanSavingRow(
        first.penetration,
        first.alpha,
        first.q,
        first.eps,
        first.policy,
        cost_usd=mean("cost"),
        saving_pct=mean("saving_share", 100.0) or 0.0,
        saving_low_pct=float(shares.min()),
        saving_high_pct=float(shares.max()),
        captured_pct=None,
        refused_pct=mean("refused_share", 100.0),
        shed_pct=mean("shed_share", 100.0),
        sheds_more_pct=mean("sheds_more_share", 100.0),
        shed_mw=mean("shed_mw"),
        shed_records=mean("shed_records"),
        shed_cost_pct=mean("shed_cost_share", 100.0),
        latency_margin=mean("latency_margin"),
        margin_enough=all(row.margin_enough is not False for row in group),
        training_s=mean("training_s"),
        residual=max((row.residual for row in group if row.residual is not None), default=None),
        n_draws=len(group),
        n_optima=n_optima,
        record_low_pct=mean("saving_low", 100.0),
        record_high_pct=mean("saving_high", 100.0),
        shed_usd_per_mwh=first.shed_usd_per_mwh,
        n_test=first.n_test,
        n_limited_lines=first.n_limited_lines,
        lacking_mw=mean("lacking_mw"),
        base_latency=first.base_latency,
    )


def _answer(summary: Sequence[MeanSavingRow], *, eps_chosen: bool = False) -> str:
    words = _shed_words(summary)
    for row in summary:
        about = f"With {percent_of(row.penetration)} % datacenters and alpha {row.alpha:g}"
        if row.policy == "ideal" and row.saving_pct <= _NOTHING_PERCENT:
            words.append(f"{about}, even ideal coordination saves nothing{_why_nothing(row)}.")
        if row.policy != "contextual" or row.captured_pct is None:
            continue
        words.append(
            f"{about}, the contextual policy (eps {row.eps:g}, {row.q} records) saves {_range_words(row)} of "
            f"the dispatch cost, {row.captured_pct:z.0f} % of what ideal coordination would"
            f"{_regression_words(summary, row)}; datacenters refuse {row.refused_pct:z.1f} % of its shifts."
        )
        if eps_chosen and row.eps in (EPS_SWEEP[0], EPS_SWEEP[-1]):
            end = "largest" if row.eps == EPS_SWEEP[-1] else "smallest"
            words[-1] += f" That eps is the {end} of those compared: one beyond it may do better."
        if not row.margin_enough:
            words[-1] += (
                f" The search for a latency margin ended at its cap ({row.latency_margin:g} on average): even so "
                "more shifts of held-out records were refused than asked for."
            )
    return "\n".join(words[:12]) or "No policy was trained with a certificate."


def _shed_words(summary: Sequence[MeanSavingRow]) -> list[str]:
    """What is said before anything else: that load is not served, and how much of the "cost" is its price; once for a
    share of datacenters and an alpha, whatever policies there are.
    """
    cases: dict[tuple[float, float], list[MeanSavingRow]] = {}
    for row in summary:
        if row.shed_mw:
            cases.setdefault((row.penetration, row.alpha), []).append(row)
    words = []
    for (penetration, alpha), rows in cases.items():
        # Policies under which the same is shed stand together.
        said: dict[str, list[str]] = {}
        for row in rows:
            of_cost = f"{row.shed_cost_pct:z.1f} % of the cost that is told is its price"
            much = f"{row.shed_mw:,.3g} MW on average, in {row.shed_records:.10g} of {row.n_test} records; {of_cost}"
            how = {"none": "without coordination", "ideal": "with ideal coordination"}.get(
                row.policy, f"with the {row.policy} policy" + ("" if row.eps is None else f" (eps {row.eps:g})")
            )
            said.setdefault(much, []).append(how)
        parts = "; ".join(f"{_and(how)}: {much}" for much, how in said.items())
        price = f"{rows[0].shed_usd_per_mwh:,.10g} $/MWh"
        words.append(f"LOAD IS SHED, {percent_of(penetration)} % datacenters, alpha {alpha:g}, {parts} ({price}).")
    return words


def _and(words: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def _why_nothing(row: MeanSavingRow) -> str:
    if row.shed_mw and row.lacking_mw is not None and row.shed_mw <= row.lacking_mw + SHED_TOLERANCE_MW:
        return ": generators lack power, wherever the work is done"
    if row.n_limited_lines == 0:
        return ": no line has a limit, so that where power is drawn makes no difference"
    if row.base_latency is not None and row.base_latency <= ACCEPT_MW:
        return (
            ": all users have a datacenter at their own bus, and a share of a latency of 0 allows no shift; name fewer "
            "of their buses (--datacenters)"
        )
    if row.shed_mw:
        return ": lines keep power from the load that is shed, wherever the work may be done"
    return ": the grid is not congested"


def _range_words(row: MeanSavingRow) -> str:
    """The saving, with its range over optima that cost the same on the training records, and over draws."""
    if row.n_optima < 2:
        return f"{row.saving_pct:z.1f} %"
    ties = "equal optima of its training" if row.n_optima > row.n_draws else ""
    over = " and ".join(words for words in (ties, "draws" if row.n_draws > 1 else "") if words)
    low, high = f"{row.saving_low_pct:z.1f}", f"{row.saving_high_pct:z.1f}"
    return f"{low if low == high else f'{low} to {high}'} % (over {row.n_optima} {over})"


def _regression_words(summary: Sequence[MeanSavingRow], row: MeanSavingRow) -> str:
    """Base regression, where it saves more than the contextual policy does."""
    for other in summary:
        is_same = (other.penetration, other.alpha, other.q, other.eps) == (row.penetration, row.alpha, row.q, row.eps)
        if is_same and other.policy == "base regression" and other.saving_pct > row.saving_pct:
            return f" (base regression saves {other.saving_pct:z.1f} %, more)"
    return ""


def _ac_answer(rows: Sequence[AcRow]) -> str:
    words, before = [], 0
    for row in rows:
        if row.policy == "none":
            before = row.broken
            continue
        words.append(
            f"AC power flow, alpha {row.alpha:g}, {row.policy}: {row.broken} of {row.n_records} records "
            f"break a limit ({before} without coordination), {row.worse} of them one that holds "
            f"without it, or further; leaving those uncoordinated saves {_percent(row.saving_checked_share)} "
            f"instead of {_percent(row.saving_share)}."
        )
    return "\n".join(words[:12])


def _n_1_answer(rows: Sequence[OutagesRow]) -> str:
    words, before = [], 0
    for row in rows:
        if row.policy == "none":
            before = row.broken
            continue
        words.append(
            f"N-1, alpha {row.alpha:g}, {row.policy}: {row.broken} of {row.n_records * row.n_outages} "
            f"outages of a branch break a limit ({before} without coordination), {row.worse} of them one "
            f"that holds without it, or further{_unsolved_words(row.unsolved)}{_splitting_words(row.n_splitting)}"
            f"{_left_out_words(row.n_left_out)}."
        )
    return "\n".join(words[:12])


def _unsolved_words(n: int) -> str:
    """An outage without a power flow is counted as one that breaks a limit."""
    return f"; {n} {'has' if n == 1 else 'have'} no power flow" if n else ""


def _left_out_words(n: int) -> str:
    return f"; {n} {'record' if n == 1 else 'records'} without an intact power flow left out" if n else ""


def _splitting_words(n: int) -> str:
    if not n:
        return ""
    return f"; {n} that split the network {'is' if n == 1 else 'are'} not among them"


def _percent(share: float | None) -> str:
    return "nothing" if share is None else f"{100 * share:z.2f} %"


def _ac_charts(rows: Sequence[AcRow]) -> list[Chart]:
    lines = []
    for row in rows:
        if row.loadings and row.of_draw == rows[0].of_draw:
            loadings = sorted((100.0 * loading for loading in row.loadings), reverse=True)
            share = [100.0 * (k + 1) / len(loadings) for k in range(len(loadings))]
            lines.append(Line(row.policy, share, loadings))
    return [Chart("Highest branch loading", "records (%)", "loading (% of the rating)", tuple(lines))] if lines else []


def _charts(summary: Sequence[MeanSavingRow]) -> list[Chart]:
    charts = []
    for name, title, unit in (
        ("penetration", "Mean cost over penetration", "datacenters (share of the peak load)"),
        ("q", "Shifts refused over training records", "training records"),
        ("eps", "Mean cost over eps", "eps, bound on |beta|_1"),
    ):
        what = "refused_pct" if name == "q" else "cost_usd"
        lines = []
        for policy in dict.fromkeys(row.policy for row in summary):
            for alpha in dict.fromkeys(row.alpha for row in summary):
                own = [(getattr(r, name), getattr(r, what)) for r in summary if (r.policy, r.alpha) == (policy, alpha)]
                own = sorted((x, y) for x, y in own if x is not None and y is not None)
                if len({x for x, _ in own}) > 1:
                    x, y = [x for x, _ in own], [y for _, y in own]
                    lines.append(Line(f"{policy}, alpha {alpha:g}", x, y, points=True))
        if lines:
            y_title = "refused by datacenters (%)" if what == "refused_pct" else "mean dispatch cost ($)"
            charts.append(Chart(title, unit, y_title, tuple(lines)))
    return charts
