"""What a connection check found, as rows."""

from __future__ import annotations

from dataclasses import dataclass, replace

from g2g_opt.judge import Criterion, LimitCheck
from g2g_opt.limits import Limits
from g2g_opt.outcome import Outcome
from studies.connection_check.judging import JudgedRequest
from studies.connection_check.nearest_limit import nearest_limit
from studies.connection_check.remedy_search import TriedRemedy
from studies.hosting_capacity.capacity import Operation
from studies.shared.stored_runs import RunRow
from studies.shared.tap_search import TapTrial
from studies.shared.typed_rows import TypedRow


@dataclass(frozen=True)
class RequestRow(TypedRow):
    """A request under one operation: yes or no, the limit that it moves nearest or breaks most, how much fits instead.

    `mw` was asked for, `full_draw_mw` is what its fleet, of whole servers, draws. `cap_mw` is the most that the fleet
    draws in any run without a controller: what is granted, and `power_peak_mw`, the most in any run as it is operated,
    lies within it or the request is refused. `margin_mw` is how
    much more fits than was asked (less, if negative); `at_search_end`: nothing larger was refused. `limit_used` is the
    share of the limit that is used up, `limit_used_before` that without the site; `base_limit` is the limit that the
    circuit is nearest to without the site.
    """

    operation: Operation
    bus: str
    mw: float
    n_servers: int
    n_gpus: int
    kept: bool
    limit: str
    limit_criterion: Criterion | None
    limit_element: str
    limit_where: str
    limit_value: float | None
    limit_allowed: float | None
    limit_used: float | None
    limit_used_before: float | None
    base_limit: str
    base_limit_where: str
    base_limit_used: float | None
    scenario: str
    engine: str
    broken: str
    above_cap: bool
    base_breaks: bool
    full_draw_mw: float
    cap_mw: float | None
    power_peak_mw: float | None
    power_mean_mw: float | None
    throughput_share: float | None
    lowest_pu: float | None
    highest_pu: float | None
    loading_pu: float | None
    largest_n_servers: int
    largest_mw: float | None
    margin_mw: float | None
    next_limit: str
    next_limit_where: str
    at_search_end: bool
    note: str = ""
    # Sizes below the largest one that were tried and do not fit, in MW at full draw, and up to where all fit.
    gaps_mw: str = ""
    held_up_to_mw: float | None = None


@dataclass(frozen=True)
class CheckedLimitRow(TypedRow):
    """One limit in one scenario of the size asked for: how much of it is used up, and where and when."""

    operation: Operation
    scenario: str
    limit: str
    criterion: Criterion
    value: float
    allowed: float
    used: float
    kept: bool
    where: str


@dataclass(frozen=True)
class TriedSizeRow(TypedRow):
    """A size that was simulated: its power, and how much of the limit that binds it uses up."""

    operation: Operation
    n_servers: int
    power_peak_mw: float | None
    kept: bool
    limit_used: float | None
    limit: str


@dataclass(frozen=True, eq=False)
class RequestRun(RunRow):
    """A run of a size; `asked`: of the one that was asked for; `confirms`: on OpenDSS, of what the search kept."""

    operation: Operation
    n_servers: int
    asked: bool
    confirms: bool
    kept: bool


def request_row(judged: JudgedRequest, bus: str, mw: float, full_draw_mw: float, limits: Limits) -> RequestRow:
    """The row of a request; `full_draw_mw` is that of its fleet, by which sizes that were not simulated are told."""
    run, mw_per_server = judged.deciding, full_draw_mw / judged.n_servers
    figures = run.summary if run.failure is None else None
    largest = judged.sizes.get(judged.largest)
    above = min((n for n, trial in judged.sizes.items() if n > judged.largest and not trial.kept), default=None)
    stopped = judged.sizes[above].binding.verdict.binding if above is not None else None
    nearest = nearest_limit([*judged.trial.runs, *judged.confirmed], limits, stopped.criterion if stopped else None)
    check = nearest.check if judged.kept else run.verdict.binding
    largest_mw = judged.largest * mw_per_server if largest is not None else None
    site = run.summary.sites[-1] if run.summary.sites else None
    peaks = judged.peaks_mw
    heaviest = figures.worst_loading() if figures is not None else None
    return RequestRow(
        operation=judged.operation,
        bus=bus,
        mw=mw,
        n_servers=judged.n_servers,
        n_gpus=judged.trial.plan.sites[-1].n_gpus,
        kept=judged.kept,
        limit=check.name if check is not None else "",
        limit_criterion=check.criterion if check is not None else None,
        limit_element=check.where if check is not None else "",
        limit_where=check.place() if check is not None else "",
        limit_value=_finite(check, "value"),
        limit_allowed=_finite(check, "limit"),
        limit_used=_finite(check, "used"),
        limit_used_before=nearest.used_before if judged.kept and check is not None else None,
        base_limit=nearest.of_base.name if nearest.of_base is not None else "",
        base_limit_where=nearest.of_base.place() if nearest.of_base is not None else "",
        base_limit_used=_finite(nearest.of_base, "used"),
        scenario=run.scenario,
        engine=run.engine,
        broken="; ".join(run.reasons),
        above_cap=not judged.is_within_cap,
        full_draw_mw=full_draw_mw,
        base_breaks=any(check.base_breaks for check in run.verdict.broken),
        cap_mw=max(peaks[1], full_draw_mw) if peaks is not None else None,
        power_peak_mw=peaks[0] if peaks is not None else None,
        power_mean_mw=site.power_mean_mw if site is not None and figures is not None else None,
        throughput_share=figures.throughput_share if figures is not None else None,
        lowest_pu=figures.lowest if figures is not None else None,
        highest_pu=figures.highest if figures is not None else None,
        loading_pu=heaviest.loading_pu if heaviest is not None else None,
        largest_n_servers=judged.largest,
        largest_mw=largest_mw,
        margin_mw=(largest_mw or 0.0) - mw if judged.sizes else None,
        next_limit=stopped.name if stopped is not None else "",
        next_limit_where=stopped.place() if stopped is not None else "",
        at_search_end=bool(judged.sizes) and above is None,
        gaps_mw=", ".join(" to ".join(f"{n * mw_per_server:.2f}" for n in dict.fromkeys(gap)) for gap in judged.gaps),
        held_up_to_mw=judged.held_up_to * mw_per_server if judged.gaps else None,
    )


def better_of(firm: RequestRow, flexible: RequestRow) -> RequestRow:
    """The flexible answer: a controller can always be left off, so it is worth no less than the firm one."""
    largest = [row.largest_mw or 0.0 for row in (firm, flexible)]
    if flexible.kept and largest[1] >= largest[0]:
        return flexible
    if firm.kept:
        return replace(firm, operation="flexible", note="the controller is better left off here")
    if largest[1] >= largest[0]:
        return flexible
    note = f"{largest[1]:.2f} MW fit with the controller, {largest[0]:.2f} MW without: it is better left off here"
    same = {name: getattr(firm, name) for name in _LARGEST}
    return replace(flexible, note=note, **same)


_LARGEST = (
    "largest_n_servers", "largest_mw", "margin_mw", "next_limit", "next_limit_where", "at_search_end", "gaps_mw",
    "held_up_to_mw",
)  # fmt: skip


def limit_rows(judged: JudgedRequest) -> list[CheckedLimitRow]:
    """Every limit of the size asked for, scenario by scenario; of a failed run that it failed."""
    return [
        CheckedLimitRow(
            operation=judged.operation,
            scenario=run.scenario,
            limit=check.name,
            criterion=check.criterion,
            value=check.value,
            allowed=check.limit,
            used=check.used,
            kept=check.kept,
            where=check.place(),
        )
        for run in judged.trial.runs
        for check in (run.checks or run.verdict.broken)
    ]


def size_rows(judged: JudgedRequest) -> list[TriedSizeRow]:
    """Every size that was simulated."""
    return [_size_row(judged.operation, n, trial) for n, trial in judged.sizes.items()]


def _size_row(operation: Operation, n_servers: int, trial: TapTrial) -> TriedSizeRow:
    check, peaks = trial.binding.verdict.binding, [_peak_mw(run) for run in trial.runs if run.failure is None]
    return TriedSizeRow(
        operation=operation,
        n_servers=n_servers,
        power_peak_mw=max(peaks, default=None),
        kept=trial.kept,
        limit_used=_finite(check, "used"),
        limit=check.name if check is not None else "",
    )


def _peak_mw(run: Outcome) -> float:
    return run.summary.sites[-1].power_peak_mw


def _finite(check: LimitCheck | None, name: str) -> float | None:
    """A figure of a check; None of a run that failed, which has none."""
    return None if check is None or check.failure is not None else float(getattr(check, name))


@dataclass(frozen=True)
class RemedyRow(TypedRow):
    """A remedy that was simulated: what is changed, whether the request then keeps every limit, and what it costs.

    `capital_usd` is spent once, `annual_usd` every year with the investment annualised; `cost_parts` say what of, at
    which unit costs, and where these come from. `in_full`: simulated in every
    scenario and not only at rest. `limit_used` and the limit are those that bind then; `fault` says why the changed
    circuit could not be used, or why there is no remedy of the kind.
    """

    kind: str
    words: str
    cures: bool
    in_full: bool
    engine: str
    capital_usd: float | None
    annual_usd: float | None
    limit: str
    limit_where: str
    limit_used: float | None
    edits: str
    fault: str
    cost_parts: str = ""


@dataclass(frozen=True)
class LimitedYearRow(TypedRow):
    """The limited profile under which a request fits through the year: hours below its full draw, least MW, energy.

    Energies are of a site that draws what it may in every hour; `note` says why there is no profile.
    """

    bus: str
    hours: int
    hours_limited: int | None
    least_mw: float | None
    energy_mwh: float | None
    energy_lost_mwh: float | None
    annual_usd: float | None
    limit: str
    limit_where: str
    note: str
    cost_parts: str = ""


def remedy_row(tried: TriedRemedy) -> RemedyRow:
    """The row of a remedy."""
    trial, remedy = tried.deciding, tried.remedy
    run = trial.binding if trial is not None else None
    check = run.verdict.binding if run is not None else None
    return RemedyRow(
        kind=remedy.kind,
        words=remedy.words,
        cures=tried.cures,
        in_full=tried.in_full,
        engine=run.engine if run is not None else "",
        capital_usd=tried.cost.capital_usd,
        annual_usd=tried.cost.annual_usd,
        limit=check.name if check is not None else "",
        limit_where=check.place() if check is not None else "",
        limit_used=_finite(check, "used"),
        edits="\n".join(remedy.edits),
        fault=tried.fault,
        cost_parts="; ".join(tried.cost.parts),
    )


def no_remedy_row(kind: str, reason: str) -> RemedyRow:
    """The row of a kind that does not apply."""
    return RemedyRow(kind, "", False, False, "", None, None, "", "", None, "", reason)
