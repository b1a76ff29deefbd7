"""What searches found as rows: answers, sizes judged, and runs that can be judged again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, TypeVar

from g2g_opt.judge import Criterion, LimitCheck
from g2g_opt.site import GPUS_PER_SERVER
from g2g_opt.summary import Summary
from studies.hosting_capacity.capacity import Capacity, JudgedSize, Operation
from studies.hosting_capacity.ladder import Rung
from studies.hosting_capacity.search_result import SearchResult, StoredRun
from studies.shared.stored_bases import BASES, base_rows
from studies.shared.stored_runs import RunRow
from studies.shared.tap_range import taps_in_words
from studies.shared.task import Tables
from studies.shared.typed_rows import ShownAs, TypedRow, to_rows

_Record = TypeVar("_Record")

_HOURS_A_YEAR = 8760
_A_YEAR = "tokens a year at this rate (10^12)"
NOTHING_REFUSED = "none within the search range"


@dataclass(frozen=True)
class CapacityRow(TypedRow):
    """An answer, one per aim; figures are None where no size was accepted.

    `power_operating_mw` and `power_peak_mw` are the mean and the peak of the simulated closed loop on the batch
    engine (of several sites the sum; of a frontier's point both sites); those with `opendss` in their names come from
    the same run on OpenDSS; `fleet_peak_mw` is what the same fleet would draw at its peak if nobody controlled it.
    With a range of utilisation the peaks are the highest of all runs within it, and `power_peak_run_mw` is that of the
    study's own run, which mean and tokens are of (None without a range).
    `n_servers` is the size searched for: the total, or the second site's if `first_n_servers` is given. `base_breaks`
    are the limits broken by the next size that the circuit breaks without any site, in words.
    """

    bus: Annotated[str, ShownAs("bus")]
    operation: Annotated[Operation, ShownAs("operation")]
    n_sites: int
    throughput_floor: Annotated[float, ShownAs("tokens to serve, share", 2)]
    first_n_servers: int | None
    n_servers: int
    n_servers_by_site: tuple[int, ...]
    power_peak_mw_by_site: tuple[float, ...]
    power_operating_mw: Annotated[float, ShownAs("mean MW", 2)]
    power_peak_mw: Annotated[float, ShownAs("peak MW", 2)]
    fleet_peak_mw: Annotated[float, ShownAs("fleet MW", 2)]
    power_operating_opendss_mw: Annotated[float | None, ShownAs("OpenDSS mean MW", 2, secondary=True)]
    power_peak_opendss_mw: Annotated[float | None, ShownAs("OpenDSS peak MW", 2, secondary=True)]
    voltage_lowest_opendss_pu: Annotated[float | None, ShownAs("OpenDSS lowest pu", 4, secondary=True)]
    n_gpus: Annotated[int, ShownAs("GPUs")]
    n_replicas: Annotated[int, ShownAs("replicas")]
    throughput_share: Annotated[float | None, ShownAs("tokens share", 3)]
    throughput_tps: Annotated[float | None, ShownAs("tokens/s", 0)]
    voltage_lowest_pu: Annotated[float | None, ShownAs("lowest pu", 4, secondary=True)]
    voltage_highest_pu: Annotated[float | None, ShownAs("highest pu", 4, secondary=True)]
    violation_time_s: Annotated[float | None, ShownAs("outside the band (s)", 0, secondary=True)]
    own_loads_unserved_time_s: Annotated[float | None, ShownAs("own loads unserved (s)", 0, secondary=True)]
    second_solution_pu: Annotated[float | None, ShownAs("another solution within (pu)", 4, secondary=True)]
    line_loading_max_pu: Annotated[float | None, ShownAs("line loading", 2, secondary=True)]
    line_loading_where: Annotated[str | None, ShownAs("line", secondary=True)]
    transformer_loading_max_pu: Annotated[float | None, ShownAs("transformer loading", 2, secondary=True)]
    transformer_loading_where: Annotated[str | None, ShownAs("transformer", secondary=True)]
    limit: Annotated[str, ShownAs("limit that binds the next size")]
    limit_criterion: Criterion | None
    limit_element: str
    limit_where: Annotated[str, ShownAs("where")]
    limit_value: Annotated[float, ShownAs("value of the refused size", 4)]
    limit_allowed: Annotated[float, ShownAs("allowed", 4)]
    base_breaks: str
    taps: Annotated[str | None, ShownAs("taps", secondary=True)]
    sizes_judged: Annotated[int, ShownAs("sizes judged", secondary=True)]
    n_servers_rejected_above: int | None
    gpus_rejected_below: Annotated[str, ShownAs("GPUs refused below (gaps)", secondary=True)]
    note: Annotated[str, ShownAs("note")]
    n_scenarios: Annotated[int | None, ShownAs("fresh scenarios")]
    n_scenarios_kept: Annotated[int | None, ShownAs("scenarios kept")]
    scenario_share_lower_bound: Annotated[float | None, ShownAs("share kept, lower bound", 4)]
    binding_scenario: Annotated[str | None, ShownAs("scenario that binds")]
    certificate_attempt: int | None
    power_peak_run_mw: Annotated[float | None, ShownAs("peak MW of the run", 2, secondary=True)] = None
    # Peak of the largest size kept below the first gap; None without a gap, or where nothing is kept below it.
    power_peak_below_gap_mw: float | None = None

    @property
    def gpus_rejected_above(self) -> Annotated[int | None, ShownAs("GPUs refused next", secondary=True)]:
        """GPUs of all sites in the smallest size refused above the answer."""
        above = self.n_servers_rejected_above
        return None if above is None else GPUS_PER_SERVER * (above + (self.first_n_servers or 0))

    @property
    def trillion_tokens_per_year(self) -> Annotated[float | None, ShownAs(_A_YEAR, 1, secondary=True)]:
        """Tokens (10^12) of a year in which every hour is like the one that was simulated."""
        return None if self.throughput_tps is None else self.throughput_tps * 3600.0 * _HOURS_A_YEAR / 1e12


@dataclass(frozen=True)
class JudgedSizeRow(TypedRow):
    """A size that was judged, by its best round; powers of a run that failed are None."""

    bus: Annotated[str, ShownAs("bus")]
    operation: Annotated[Operation, ShownAs("operation")]
    throughput_floor: Annotated[float, ShownAs("tokens to serve, share", 2)]
    first_n_servers: Annotated[int | None, ShownAs("servers of the first site, given")]
    n_servers: Annotated[int, ShownAs("servers")]
    n_gpus: Annotated[int, ShownAs("GPUs")]
    kept: Annotated[bool, ShownAs("kept")]
    rounds: Annotated[int, ShownAs("tap rounds")]
    taps: Annotated[str, ShownAs("taps")]
    n_scenarios: Annotated[int, ShownAs("scenarios run")]
    n_failed: Annotated[int, ShownAs("scenarios missed")]
    binding_scenario: Annotated[str, ShownAs("scenario that binds")]
    failure: Annotated[str | None, ShownAs("failure")]
    checks: Annotated[str, ShownAs("limits")]
    curtailed_time_s: Annotated[float | None, ShownAs("curtailed (s)", 0)]
    power_operating_mw: Annotated[float | None, ShownAs("mean MW", 2)]
    power_peak_mw: Annotated[float | None, ShownAs("peak MW", 2)]
    fleet_peak_mw: Annotated[float | None, ShownAs("fleet MW", 2)]
    throughput_share: Annotated[float | None, ShownAs("tokens share", 3)]
    throughput_tps: Annotated[float | None, ShownAs("tokens/s", 0)]


class RungEnd(StrEnum):
    """How a rung of the ladder ends: a limit that a larger size breaks, or nothing that breaks it."""

    BINDS = "binds"
    NO_POWER_FLOW = "no size that has a power flow breaks it"
    SEARCH_END = "no size that was tried breaks it"
    NOT_JUDGED = "not judged: no limit, or nothing that it applies to"


@dataclass(frozen=True)
class RungRow(TypedRow):
    """A rung of the ladder: the largest size that keeps one criterion, all others left aside.

    Where nothing breaks it (`end`), the figures are those of the largest size that was simulated with an answer; of no
    size at all, they are None and n_servers is 0. `limit_...` are of the next size that was simulated, which breaks it.
    """

    bus: Annotated[str, ShownAs("bus")]
    operation: Annotated[Operation, ShownAs("operation")]
    criterion: Annotated[str, ShownAs("limit alone")]
    power_peak_mw: Annotated[float | None, ShownAs("peak MW that keep it", 2)]
    power_operating_mw: Annotated[float | None, ShownAs("mean MW", 2, secondary=True)]
    n_servers: int
    n_gpus: Annotated[int, ShownAs("GPUs")]
    throughput_tps: Annotated[float | None, ShownAs("tokens/s", 0)]
    end: Annotated[RungEnd, ShownAs("then")]
    n_servers_rejected_above: int | None
    limit: str
    limit_value: Annotated[float | None, ShownAs("value of the next size", 4, secondary=True)]
    limit_allowed: Annotated[float | None, ShownAs("allowed", 4, secondary=True)]
    limit_where: Annotated[str, ShownAs("where and when", secondary=True)]


@dataclass(frozen=True, eq=False)
class CapacityRun(RunRow):
    """A run of a search: for which aim (floors of tokens share runs), of which size, and for what."""

    bus: str
    operation: Operation
    first_n_servers: int | None
    n_servers: int
    n_servers_by_site: tuple[int, ...]
    purpose: str


def tables_of(found: Sequence[SearchResult]) -> Tables:
    """Tables of searches: "capacities" (an answer each), "judged" (sizes), "ladder" (criteria), "runs" and "bases"."""
    return {
        "capacities": to_rows([capacity_row(one.capacity) for one in found]),
        "judged": to_rows([row for one in found for row in _size_rows(one.capacity)]),
        "ladder": to_rows([rung_row(rung) for one in found for rung in one.rungs]),
        BASES: base_rows((run.plan, run.scenario, run.run) for one in found for run in one.runs),
        "runs": to_rows([_run_row(run) for run in _distinct(run for one in found for run in one.runs)]),
    }


def _distinct(runs: Iterable[StoredRun]) -> list[StoredRun]:
    """Searches that differ in how they judge share runs: each is stored once, for the first of them."""
    found: dict[tuple[Any, ...], StoredRun] = {}
    for run in runs:
        key = run.aim.buses, run.aim.operation, run.plan, run.scenario.name, run.purpose
        found.setdefault(key, run)
    return list(found.values())


def _run_row(stored: StoredRun) -> CapacityRun:
    return CapacityRun.of(
        stored.plan,
        stored.scenario,
        stored.run,
        bus=stored.aim.place,
        operation=stored.aim.operation,
        first_n_servers=stored.aim.first_n_servers,
        n_servers=stored.n_servers,
        n_servers_by_site=stored.n_servers_by_site,
        purpose=stored.purpose,
    )


def _size_rows(capacity: Capacity) -> list[JudgedSizeRow]:
    rows = []
    for size in capacity.judged:
        failure = size.outcome.failure
        figures = size.shown.summary if size.shown.failure is None else None
        row = JudgedSizeRow(
            bus=capacity.bus,
            operation=capacity.operation,
            throughput_floor=capacity.aim.throughput_share_min,
            first_n_servers=capacity.aim.first_n_servers,
            n_servers=size.n_servers,
            n_gpus=size.n_gpus,
            kept=size.kept,
            rounds=size.rounds,
            taps=taps_in_words(size.taps),
            n_scenarios=size.n_scenarios,
            n_failed=size.n_failed,
            binding_scenario=size.outcome.scenario,
            failure=str(failure) if failure is not None else None,
            checks="; ".join(f"{'kept' if c.kept else 'BROKEN'}: {c}" for c in size.outcome.checks),
            curtailed_time_s=figures.curtailed_time_s if figures else None,
            throughput_share=figures.throughput_share if figures else None,
            fleet_peak_mw=_rounded(size if figures else None, lambda f: f.fleet_peak_mw),
            **_powers(size if figures else None, None),
        )
        rows.append(row)
    return rows


def _rounded(record: _Record | None, figure: Callable[[_Record], float], digits: int = 4) -> float | None:
    """A figure of a record; None without a record."""
    return None if record is None else round(figure(record), digits)


def _powers(size: JudgedSize | None, nothing: float | None) -> dict[str, Any]:
    """Columns of power and tokens of a size whose run has an answer; `nothing` for power without one."""
    return {
        "power_operating_mw": round(size.summary.power_mean_mw, 4) if size else nothing,
        "power_peak_mw": round(size.most_drawn.power_peak_mw, 4) if size else nothing,
        "throughput_tps": size.summary.throughput_tps if size else None,
    }


def _limit(stopped: LimitCheck | None, name: str, where: str, figure: float | None) -> dict[str, Any]:
    """Columns of the limit that stopped something; `name`, `where` and `figure` if nothing did."""
    return {
        "limit": stopped.name if stopped is not None else name,
        "limit_where": stopped.place() if stopped is not None else where,
        "limit_value": stopped.value if stopped is not None else figure,
        "limit_allowed": stopped.limit if stopped is not None else figure,
    }


def capacity_row(capacity: Capacity) -> CapacityRow:
    """The row of an answer."""
    size, confirmed, certificate = capacity.largest, capacity.confirmed, capacity.certificate
    figures = size.summary if size is not None else None
    on_opendss = confirmed.summary if confirmed is not None and confirmed.failure is None else None
    line, transformer = _loading(figures, "line"), _loading(figures, "transformer")
    stopped, voltage = capacity.stopped_by, size.outcome.verdict.voltage if size is not None else None
    return CapacityRow(
        bus=capacity.bus,
        operation=capacity.operation,
        n_sites=len(capacity.aim.buses),
        throughput_floor=capacity.aim.throughput_share_min,
        first_n_servers=capacity.aim.first_n_servers,
        n_servers=capacity.n_servers,
        n_servers_by_site=size.n_servers_by_site if size is not None else (),
        power_peak_mw_by_site=tuple(round(site.power_peak_mw, 4) for site in size.most_drawn.sites) if size else (),
        **_powers(size, 0.0),
        power_peak_run_mw=_rounded(size, lambda f: f.summary.power_peak_mw) if size and size.range_runs else None,
        fleet_peak_mw=_rounded(size, lambda f: f.fleet_peak_mw) or 0.0,
        power_operating_opendss_mw=_rounded(on_opendss, lambda f: f.power_mean_mw),
        power_peak_opendss_mw=_rounded(on_opendss, lambda f: capacity.confirmed_peak_mw or f.power_peak_mw),
        voltage_lowest_opendss_pu=_rounded(on_opendss, lambda f: f.lowest, 5),
        n_gpus=sum(site.n_gpus for site in figures.sites) if figures else 0,
        n_replicas=sum(site.n_replicas for site in figures.sites) if figures else 0,
        throughput_share=_rounded(figures, lambda f: f.throughput_share),
        voltage_lowest_pu=_rounded(figures, lambda f: f.lowest, 5),
        voltage_highest_pu=_rounded(figures, lambda f: f.highest, 5),
        violation_time_s=voltage.violation_time_s if voltage is not None else None,
        own_loads_unserved_time_s=figures.own_loads_unserved_time_s if figures else None,
        second_solution_pu=_rounded(figures, lambda f: f.second_solution_pu, 5),
        line_loading_max_pu=line[0],
        line_loading_where=line[1],
        transformer_loading_max_pu=transformer[0],
        transformer_loading_where=transformer[1],
        **_limit(stopped, NOTHING_REFUSED, capacity.search_end, 0.0),
        limit_criterion=stopped.criterion if stopped is not None else None,
        limit_element=stopped.where if stopped is not None else "",
        base_breaks="; ".join(map(str, capacity.base_breaks)),
        taps=taps_in_words(size.taps) if size is not None else None,
        sizes_judged=len(capacity.judged),
        n_servers_rejected_above=capacity.n_rejected,
        gpus_rejected_below=", ".join(_from_to(*gap) for gap in capacity.gaps),
        note=capacity.note,
        n_scenarios=certificate.n if certificate else None,
        n_scenarios_kept=certificate.n_kept if certificate else None,
        scenario_share_lower_bound=_rounded(certificate, lambda f: f.share_lower_bound, 5),
        binding_scenario=certificate.binding if certificate else None,
        certificate_attempt=certificate.attempt if certificate else None,
        power_peak_below_gap_mw=_rounded(capacity.below_gap, lambda size: size.most_drawn.power_peak_mw),
    )


def _from_to(first: int, last: int) -> str:
    """GPUs of the sizes (servers) of a gap."""
    return " to ".join(str(GPUS_PER_SERVER * n) for n in dict.fromkeys((first, last)))


def rung_row(rung: Rung) -> RungRow:
    """The row of a rung of the ladder."""
    stopped = rung.stopped_by
    if not rung.is_judged:
        end = RungEnd.NOT_JUDGED
    elif stopped is not None:
        end = RungEnd.BINDS
    else:
        end = RungEnd.NO_POWER_FLOW if rung.power_flow_ends else RungEnd.SEARCH_END
    size = rung.below if stopped is not None else rung.ends_at
    return RungRow(
        bus=rung.aim.place,
        operation=rung.aim.operation,
        criterion=rung.criterion,
        end=end,
        n_servers=size.n_servers if size is not None else 0,
        n_gpus=size.n_gpus if size is not None else 0,
        n_servers_rejected_above=rung.n_rejected,
        **_powers(size, None),
        **_limit(stopped, "", "", None),
    )


def _loading(figures: Summary | None, kind: str) -> tuple[float | None, str | None]:
    worst = figures.worst_loading(kind) if figures is not None else None
    return (round(worst.loading_pu, 3), worst.branch) if worst is not None else (None, None)
