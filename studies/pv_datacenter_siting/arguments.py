"""The command line of the siting study: its question, and nothing else."""

from __future__ import annotations

import argparse
import re
from typing import Any, get_args

from g2g_opt.errors import InputError
from g2g_opt.limits import Limits
from g2g_opt.plan import PolicyKind
from studies.pv_datacenter_siting.question import SENSITIVITY, SWEEPS, PVZone, SitingQuestion, Storage
from studies.pv_datacenter_siting.study import SitingStudy
from studies.shared.number_flags import number_of, numbers_of
from studies.shared.site_choices import SYNTAX, parse_site
from studies.shared.workload_arguments import (
    add_feeder_arguments,
    add_loading_limit,
    add_voltage_limits,
    excluded_buses,
)

DESCRIPTION = (
    "Where PV plants and datacenters go and how large they are, at the least yearly cost. Every plan that the "
    "mixed-integer program proposes is simulated with the nonlinear power flow at every step of its days and corrected "
    "until it holds, checked over all hours of the year, and run in closed loop on OpenDSS where it is nearest to a "
    "limit."
)
EPILOG = (
    f"A site is written {SYNTAX}. --sweep takes NAME=VALUE,VALUE,... with a name of: {', '.join(SWEEPS)}. Examples: "
    "g2g siting --feeder ieee34 --mode pv --sensitivity; g2g siting --feeder ieee123 --mode joint --pv-size-max 500 "
    "--gap 0.02"
)
_POLICIES = [kind for kind in get_args(PolicyKind) if kind != "schedule"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of a siting question to a parser."""
    default = SitingQuestion()
    add = parser.add_argument
    add_feeder_arguments(parser, default.feeder)
    add("--mode", choices=("pv", "dc", "joint"), default=default.mode, help="what is placed (default %(default)s)")
    add(
        "--profile", default=default.profile, metavar="NAME|FILE", help="hourly year of load and sun: bundled, or a CSV"
    )
    add("--days", choices=("five", "typical"), default=default.days, help="days of the program (default %(default)s)")
    add(
        "--typical-days",
        type=number_of(SitingQuestion, "n_typical_days"),
        default=default.n_typical_days,
        metavar="N",
        help="default %(default)s",
    )
    add(
        "--days-added",
        type=number_of(SitingQuestion, "days_added_max"),
        default=default.days_added_max,
        metavar="N",
        help="days of the year that may join",
    )
    add("--no-year", action="store_true", help="leave out the check over all hours of the year")
    add(
        "--slot-h",
        type=number_of(SitingQuestion, "slot_h"),
        default=default.slot_h,
        metavar="H",
        help="hours in which taps stay (default %(default)s)",
    )
    add("--policy", choices=_POLICIES, default=default.policy, help="at the sites in closed loop (default %(default)s)")
    add(
        "--margin",
        type=number_of(SitingQuestion, "policy_margin_pu"),
        default=default.policy_margin_pu,
        metavar="PU",
        help="it aims so far inside the limits",
    )
    add(
        "--windows",
        type=number_of(SitingQuestion, "n_windows"),
        default=default.n_windows,
        metavar="N",
        help="hours run on OpenDSS (default %(default)s)",
    )
    add(
        "--plans",
        type=number_of(SitingQuestion, "n_plans"),
        default=default.n_plans,
        metavar="K",
        help="distinct placements (default %(default)s)",
    )
    add(
        "--seed",
        type=number_of(SitingQuestion, "seed"),
        default=default.seed,
        help="of all draws (default %(default)s)",
    )
    add("--trace-dir", default=default.trace_dir, help="where your own traces lie (default %(default)s)")

    add = parser.add_argument_group("PV and storage").add_argument
    add("--pv-bus", action="append", metavar="BUS", help="a candidate; repeat (default: the feeder's candidates)")
    add(
        "--pv-count",
        type=number_of(SitingQuestion, "pv_count"),
        default=default.pv_count,
        metavar="N",
        help="plants at most (default %(default)s)",
    )
    add(
        "--pv-size-min",
        type=number_of(SitingQuestion, "pv_size_min_kw"),
        default=default.pv_size_min_kw,
        metavar="KW",
        help="default %(default)s",
    )
    add(
        "--pv-size-max",
        type=number_of(SitingQuestion, "pv_size_max_kw"),
        default=default.pv_size_max_kw,
        metavar="KW",
        help="default %(default)s",
    )
    add("--pv-total", type=_limit, default=default.pv_total_max_kw, metavar="KW", help="together (default %(default)s)")
    add("--pv-zone", action="append", metavar="ZONE=N[,KW]", help="plants, and kW together, at most in a zone; repeat")
    add(
        "--storage",
        type=numbers_of(SitingQuestion, "sweeps"),
        metavar="KW,KWH",
        help="offer storage beside every plant, up to this power and energy",
    )

    add = parser.add_argument_group("datacenters").add_argument
    add(
        "--site", action="append", metavar="SITE", help="a datacenter to place (default: those of the feeder's studies)"
    )
    add("--gpu", default=default.gpu, help="GPU the models run on (default %(default)s)")
    add(
        "--site-scale",
        type=numbers_of(SitingQuestion, "site_scale_max"),
        metavar="MIN,MAX",
        help="sizes are free between these shares of what is given, e.g. 0.5,3",
    )
    add(
        "--site-value",
        type=number_of(SitingQuestion, "site_value_per_kw"),
        default=default.site_value_per_kw,
        metavar="$",
        help="worth of a kW a year, then",
    )

    add = parser.add_argument_group("costs ($ a year)").add_argument
    add(
        "--pv-cost",
        type=number_of(SitingQuestion, "pv_cost_per_kw"),
        default=default.pv_cost_per_kw,
        metavar="$",
        help="per kW (default %(default)s)",
    )
    add(
        "--price",
        type=number_of(SitingQuestion, "price_per_kwh"),
        default=default.price_per_kwh,
        metavar="$",
        help="earned per kWh (default %(default)s), unless the profile has prices",
    )
    add(
        "--switch-cost",
        type=number_of(SitingQuestion, "switch_cost"),
        default=default.switch_cost,
        metavar="$",
        help="per tap step (default %(default)s)",
    )
    add(
        "--violation-cost",
        type=number_of(SitingQuestion, "violation_cost_per_pu_h"),
        metavar="$",
        help="price violations at so much per pu and hour, instead of forbidding them",
    )
    add("--sweep", action="append", metavar="NAME=V1,V2,...", help="the study again with one figure changed; repeat")
    add("--sensitivity", action="store_true", help="a sweep of costs, sizes and counts in one word")

    limits = default.limits
    group = parser.add_argument_group("limits, and how the program is solved")
    add_voltage_limits(group, limits)
    add_loading_limit(group, limits)
    add = group.add_argument
    add(
        "--gap",
        type=number_of(SitingQuestion, "mip_gap"),
        default=default.mip_gap,
        metavar="SHARE",
        help="asked of the solver (default %(default)s)",
    )
    add(
        "--time-limit",
        type=number_of(SitingQuestion, "time_limit_s"),
        default=default.time_limit_s,
        metavar="S",
        help="per plan (default %(default)s)",
    )
    add(
        "--threads",
        type=number_of(SitingQuestion, "threads"),
        default=default.threads,
        metavar="N",
        help="of the solver (default %(default)s)",
    )


def _limit(text: str) -> Any:
    return None if text.lower() in {"none", "inf"} else number_of(SitingQuestion, "pv_total_max_kw")(text)


def question_of(options: argparse.Namespace) -> SitingStudy:
    """The study that a parsed line asks for; `InputError` for what cannot be read."""
    zones = tuple(SitingStudy(feeder=options.feeder).load_feeder().zones)
    scale = _pair(options.site_scale, "--site-scale") if options.site_scale else (1.0, 1.0)
    sweeps = [_sweep(text) for text in options.sweep or ()]
    if options.sensitivity:
        sweeps += [entry for entry in SENSITIVITY if entry[0] not in {name for name, _ in sweeps}]
    storage = None
    if options.storage:
        power_kw, energy_kwh = _pair(options.storage, "--storage")
        storage = Storage(power_kw, energy_kwh)
    priced = options.violation_cost is not None
    return SitingStudy(
        feeder=options.feeder,
        exclude_buses=excluded_buses(options),
        edits=options.edits,
        mode=options.mode,
        pv_buses=tuple(options.pv_bus or ()),
        pv_count=options.pv_count,
        pv_size_min_kw=options.pv_size_min,
        pv_size_max_kw=options.pv_size_max,
        pv_total_max_kw=options.pv_total,
        pv_zones=tuple(_zone(text) for text in options.pv_zone or ()),
        sites=tuple(parse_site(text, zones) for text in options.site or ()),
        gpu=options.gpu,
        site_scale_min=scale[0],
        site_scale_max=scale[1],
        site_value_per_kw=options.site_value,
        storage=storage,
        pv_cost_per_kw=options.pv_cost,
        price_per_kwh=options.price,
        violations="priced" if priced else "forbidden",
        violation_cost_per_pu_h=options.violation_cost if priced else SitingQuestion.violation_cost_per_pu_h,
        switch_cost=options.switch_cost,
        slot_h=options.slot_h,
        profile=options.profile,
        days=options.days,
        n_typical_days=options.typical_days,
        days_added_max=options.days_added,
        year_check=not options.no_year,
        limits=Limits(
            voltage_min_pu=options.voltage_min,
            voltage_max_pu=options.voltage_max,
            violation_time_share_max=0.0,
            loading_max_pu=options.loading_max,
            rating_basis=options.rating_basis,
        ),
        mip_gap=options.gap,
        time_limit_s=options.time_limit,
        threads=options.threads,
        n_plans=options.plans,
        n_windows=options.windows,
        policy=options.policy,
        policy_margin_pu=options.margin,
        sweeps=tuple(sweeps),
        seed=options.seed,
        trace_dir=options.trace_dir,
    )


def _pair(values: tuple[float, ...], what: str) -> tuple[float, float]:
    if len(values) != 2:
        raise InputError(f"{what} takes two numbers separated by a comma, got {len(values)}")
    return values[0], values[1]


def _sweep(text: str) -> tuple[str, tuple[float, ...]]:
    name, sign, values = text.partition("=")
    if not sign:
        raise InputError(f"--sweep {text!r} cannot be read; write e.g. pv-cost=50,100,200")
    try:
        return name.strip(), numbers_of(SitingQuestion, "sweeps")(values)
    except argparse.ArgumentTypeError as error:
        raise InputError(f"--sweep {name}: {error}") from error


def _zone(text: str) -> PVZone:
    match = re.fullmatch(r"([^=]+)=(\d{1,12})(?:,([0-9]+(?:\.[0-9]*)?))?", text.strip())
    if match is None:
        raise InputError(f"--pv-zone {text!r} cannot be read; write e.g. z1_sw=2 or z1_sw=2,800")
    return PVZone(match[1], int(match[2]), float(match[3]) if match[3] else None)
