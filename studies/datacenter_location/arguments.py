"""The command line of the location study: its question, and nothing else."""

from __future__ import annotations

import argparse
from dataclasses import replace

from g2g_opt.errors import InputError
from g2g_opt.limits import Limits
from g2g_opt.plan import Policy
from g2g_opt.scenario import Scenario
from studies.datacenter_location.study import LocationStudy
from studies.shared.number_flags import number_of
from studies.shared.site_choices import SYNTAX, parse_site
from studies.shared.workload_arguments import (
    add_feeder_arguments,
    add_load_level,
    add_loading_limit,
    add_voltage_limits,
    excluded_buses,
)

DESCRIPTION = (
    "Every placement of the sites, one bus each, is simulated in closed loop over the whole scenario under regulator "
    "taps of its own; the best are run again on OpenDSS in finer steps. The best has the least integral voltage "
    "violation; ties: violation time, tokens served, margin of the worst voltage, names."
)
EPILOG = (
    f"A site is written {SYNTAX}. PLACE is a zone of the feeder, or buses joined by +, or any (every candidate of the "
    "feeder); GPUS is how many a model has at full demand, BATCH its batch size without control (128). Example: "
    "g2g location --feeder ieee13 --site west=671+675:llama-3.1-8b:800 --site east=any:llama-3.1-70b:400@64"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of a location question to a parser."""
    default = LocationStudy()
    add = parser.add_argument
    add_feeder_arguments(parser, default.feeder)
    add_load_level(parser)
    add(
        "--site",
        action="append",
        metavar="SITE",
        help=f"a site to place, written {SYNTAX}; repeat for several (default: the sites of the feeder's study.json)",
    )
    add("--gpu", default=default.gpu, help="GPU the models run on (default %(default)s)")
    add("--policy", choices=("ofo", "droop", "none"), default="ofo", help="controller at every site (default ofo)")
    add(
        "--margin",
        type=number_of(Policy, "margin_pu"),
        default=default.policy.margin_pu,
        metavar="PU",
        help="the controller aims this far inside the voltage limits (default %(default)s)",
    )
    add(
        "--taps",
        choices=("optimised", "study"),
        default=default.taps,
        help="regulator taps: found per placement, or the feeder's own (default %(default)s)",
    )
    add(
        "--refined",
        type=number_of(LocationStudy, "refined"),
        default=default.refined,
        metavar="N",
        help="best placements that get a tap search of their own (default %(default)s)",
    )
    add(
        "--finalists",
        type=number_of(LocationStudy, "finalists"),
        default=default.finalists,
        metavar="N",
        help="best placements that are run again on OpenDSS (default %(default)s)",
    )
    add(
        "--finalist-dt-s",
        type=number_of(LocationStudy, "finalist_dt_s"),
        default=default.finalist_dt_s,
        metavar="S",
        help="their step in s (default %(default)s)",
    )
    add(
        "--follow",
        action="append",
        metavar="BUSES",
        help="a placement to take through all stages, buses in the order of the sites joined by /, e.g. 1/21/60/97",
    )
    limits = Limits()
    add_voltage_limits(parser, limits)
    add_loading_limit(parser, limits)
    add(
        "--violation-share",
        type=number_of(Limits, "violation_time_share_max"),
        default=limits.violation_time_share_max,
        metavar="SHARE",
        help="share of the time in which a voltage may be outside before a placement is marked (default %(default)s)",
    )
    add(
        "--throughput-min",
        type=number_of(Limits, "throughput_share_min"),
        default=limits.throughput_share_min,
        metavar="SHARE",
        help="tokens a placement must serve, as a share of the uncontrolled fleet's (default %(default)s)",
    )
    add(
        "--duration-s",
        type=number_of(Scenario, "duration_s"),
        default=default.scenario.duration_s,
        metavar="S",
        help="default %(default)s",
    )
    add(
        "--seed",
        type=number_of(Scenario, "seed"),
        default=default.scenario.seed,
        help="of all draws (default %(default)s)",
    )
    add("--trace-dir", default=default.trace_dir, help="where your own traces lie (default %(default)s)")


def question_of(options: argparse.Namespace) -> LocationStudy:
    """The study that a parsed line asks for; `InputError` for a site that cannot be read."""
    study = LocationStudy(feeder=options.feeder)
    zones = tuple(study.load_feeder().zones)
    sites = tuple(parse_site(text, zones) for text in options.site or ())
    n_sites = len(sites or study.choices())
    followed = tuple(tuple(text.split("/")) for text in options.follow or ())
    for buses in followed:
        if len(buses) != n_sites:
            raise InputError(f"--follow {'/'.join(buses)} names {len(buses)} buses for {n_sites} sites")
    return LocationStudy(
        feeder=options.feeder,
        exclude_buses=excluded_buses(options),
        edits=options.edits,
        sites=sites,
        gpu=options.gpu,
        policy=Policy(options.policy, margin_pu=options.margin),
        taps=options.taps,
        scenario=replace(
            Scenario(seed=options.seed, own_load_share=options.own_load_share), duration_s=options.duration_s
        ),
        limits=Limits(
            voltage_min_pu=options.voltage_min,
            voltage_max_pu=options.voltage_max,
            violation_time_share_max=options.violation_share,
            loading_max_pu=options.loading_max,
            rating_basis=options.rating_basis,
            throughput_share_min=options.throughput_min,
        ),
        refined=options.refined,
        finalists=options.finalists,
        finalist_dt_s=options.finalist_dt_s,
        followed=followed,
        trace_dir=options.trace_dir,
    )
