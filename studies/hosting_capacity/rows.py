"""What searches found as rows: answers, sizes judged, and runs that can be judged again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from g2g_opt.outcome import Figures
from g2g_opt.site import GPUS_PER_SERVER
from studies.hosting_capacity.capacity import Capacity
from studies.hosting_capacity.question import HostingCapacityQuestion
from studies.hosting_capacity.search import Found, StoredRun
from studies.shared.stored_runs import run_row
from studies.shared.task import Row, Tables


def tables_of(study: HostingCapacityQuestion, found: Sequence[Found]) -> Tables:
    """Tables "capacities" (an answer each), "judged" (a size each) and "runs" of what searches found."""
    stored = _distinct(run for one in found for run in one.runs)
    curtailed = {
        (run.aim.place, run.aim.operation, run.n_servers_by_site, run.plan.taps): _curtailed_time_s(run)
        for run in stored
        if run.purpose == "search"
    }
    return {
        "capacities": [result_row(one.capacity) for one in found],
        "judged": [row for one in found for row in _judged_rows(one.capacity, curtailed)],
        "runs": [_stored_row(run) for run in stored],
    }


def _distinct(runs: Any) -> list[StoredRun]:
    """Searches that differ in how they judge share runs: each is stored once, for the first of them."""
    found: dict[tuple[Any, ...], StoredRun] = {}
    for run in runs:
        key = run.aim.buses, run.aim.operation, run.plan, run.scenario.name, run.purpose
        found.setdefault(key, run)
    return list(found.values())


def _curtailed_time_s(run: StoredRun) -> float | None:
    """Time (s) in which some site ran below its nominal batch sizes: that of the site curtailed longest."""
    if run.run.summary is None:
        return None
    return max((site.curtailed_steps for site in run.run.summary.sites), default=0) * run.run.summary.dt_s


def _stored_row(stored: StoredRun) -> Row:
    return {
        "bus": stored.aim.place,
        "operation": stored.aim.operation,
        "first_n_servers": stored.aim.first_n_servers,
        "n_servers": stored.n_servers,
        "n_servers_by_site": list(stored.n_servers_by_site),
        "purpose": stored.purpose,
        "engine": stored.run.outcome.engine,
        "curtailed_time_s": _curtailed_time_s(stored),
        **run_row(stored.plan, stored.scenario, stored.run),
    }


def _judged_rows(capacity: Capacity, curtailed: dict[tuple[Any, ...], float | None]) -> list[Row]:
    rows = []
    for size in capacity.judged:
        figures = size.outcome.figures
        row: Row = {
            "bus": capacity.bus,
            "operation": capacity.operation,
            "throughput_floor": capacity.aim.throughput_share_min,
            "first_n_servers": capacity.aim.first_n_servers,
            "n_servers": size.n_servers,
            "n_gpus": GPUS_PER_SERVER * sum(size.n_servers_by_site),
            "kept": size.kept,
            "rounds": size.rounds,
            "taps": taps_in_words(size.taps),
            "n_scenarios": size.n_scenarios,
            "n_failed": size.n_failed,
            "binding_scenario": size.outcome.scenario,
            "failure": size.outcome.failure,
            "checks": "; ".join(f"{'kept' if c.kept else 'BROKEN'}: {c}" for c in size.outcome.checks),
            "curtailed_time_s": curtailed.get((capacity.bus, capacity.operation, size.n_servers_by_site, size.taps)),
        }
        rows.append(row | _power(figures) | {"throughput_share": figures.throughput_share if figures else None})
    return rows


def _power(figures: Figures | None) -> Row:
    if figures is None:
        return {"power_operating_mw": None, "power_peak_mw": None, "fleet_peak_mw": None}
    return {
        "power_operating_mw": round(sum(site.power_mean_mw for site in figures.sites), 4),
        "power_peak_mw": round(sum(site.power_peak_mw for site in figures.sites), 4),
        "fleet_peak_mw": round(sum(site.uncontrolled_peak_mw for site in figures.sites), 4),
    }


def taps_in_words(taps: Sequence[tuple[str, float]]) -> str:
    """Regulators and their ratios (pu)."""
    return " ".join(f"{name}={ratio:g}" for name, ratio in taps)


def result_row(capacity: Capacity) -> Row:
    """One row per aim; figures are None where no size was accepted.

    `power_operating_mw` and `power_peak_mw` are the mean and the peak of the simulated closed loop on the batch
    engine (of several sites the sum; of a frontier's point both sites); those with `opendss` in their names come from
    the same run on OpenDSS; `fleet_peak_mw` is what the same fleet would draw at its peak if nobody controlled it.
    `n_servers` is the size searched for: the total, or the second site's if `first_n_servers` is given.
    """
    size, confirmed, certificate = capacity.largest, capacity.confirmed, capacity.certificate
    figures = size.figures if size is not None else None
    on_opendss = confirmed.figures if confirmed is not None else None
    row: Row = {
        "bus": capacity.bus,
        "operation": capacity.operation,
        "n_sites": len(capacity.aim.buses),
        "throughput_floor": capacity.aim.throughput_share_min,
        "first_n_servers": capacity.aim.first_n_servers,
        "n_servers": capacity.n_servers,
        "n_servers_by_site": list(size.n_servers_by_site) if size is not None else [],
        "power_peak_mw_by_site": [round(site.power_peak_mw, 4) for site in figures.sites] if figures else [],
    }
    row |= _power(figures) if figures else {"power_operating_mw": 0.0, "power_peak_mw": 0.0, "fleet_peak_mw": 0.0}
    row |= {
        "power_operating_opendss_mw": None,
        "power_peak_opendss_mw": None,
        "voltage_lowest_opendss_pu": None,
        "n_gpus": sum(site.n_gpus for site in figures.sites) if figures else 0,
        "n_replicas": sum(site.n_replicas for site in figures.sites) if figures else 0,
        "throughput_share": round(figures.throughput_share, 4) if figures else None,
        "voltage_lowest_pu": round(figures.voltage.worst_vmin, 5) if figures else None,
        "voltage_highest_pu": round(figures.voltage.worst_vmax, 5) if figures else None,
        "violation_time_s": figures.voltage.violation_time_s if figures else None,
        "own_loads_unserved_time_s": figures.own_loads_unserved_time_s if figures else None,
    }
    if on_opendss is not None:
        row |= {
            "power_operating_opendss_mw": round(sum(site.power_mean_mw for site in on_opendss.sites), 4),
            "power_peak_opendss_mw": round(sum(site.power_peak_mw for site in on_opendss.sites), 4),
            "voltage_lowest_opendss_pu": round(on_opendss.voltage.worst_vmin, 5),
        }
    for kind in ("line", "transformer"):
        worst = getattr(figures, f"worst_{kind}") if figures else None
        row |= {
            f"{kind}_loading_max_pu": round(worst.loading_pu, 3) if worst else None,
            f"{kind}_loading_where": worst.branch if worst else None,
        }
    stopped = capacity.stopped_by
    return row | {
        "limit": stopped.name,
        "limit_where": stopped.where,
        "limit_value": stopped.value,
        "limit_allowed": stopped.limit,
        "taps": taps_in_words(size.taps) if size is not None else None,
        "sizes_judged": len(capacity.judged),
        "n_servers_rejected_above": capacity.n_rejected,
        "gpus_rejected_below": " ".join(str(GPUS_PER_SERVER * n) for n in capacity.rejected_below),
        "note": capacity.note,
        "n_scenarios": certificate.n if certificate else None,
        "n_scenarios_kept": certificate.n_kept if certificate else None,
        "scenario_share_lower_bound": round(certificate.share_lower_bound, 5) if certificate else None,
        "binding_scenario": certificate.binding if certificate else None,
        "certificate_attempt": certificate.attempt if certificate else None,
    }
