"""The command line of a hosting-capacity study: its options, and the question they make."""

from __future__ import annotations

import argparse
from typing import get_args

from g2g_opt.limits import Limits
from g2g_opt.plan import Policy
from g2g_opt.scenario import Scenario
from g2g_opt.service_transformer import ServiceTransformer, VectorGroup
from studies.catalogue import make_question
from studies.hosting_capacity.study import OPERATIONS, HostingCapacityStudy
from studies.shared.number_flags import number_of
from studies.shared.task import Question
from studies.shared.workload_arguments import (
    add_fleet_arguments,
    add_load_level,
    add_loading_limit,
    add_voltage_limits,
    fleet_content,
)

DESCRIPTION = (
    "For every bus, or set of buses: the largest datacenter that keeps the limits in closed loop over a whole hour, "
    "firm (batch sizes fixed) and flexible (a controller lowers and raises batch sizes), with the limit that binds."
)
EPILOG = (
    "Example: g2g hosting-capacity --feeder ieee13 --bus 671 --bus 675 --model llama-3.1-8b --out results/two. Exit "
    "status 0 when every bus has an answer, 1 when one failed, 2 on bad input, 130 after Ctrl-C (what was finished is "
    "kept)."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the question's options to a parser."""
    default = HostingCapacityStudy()
    add_fleet_arguments(parser)
    add = parser.add_argument
    _add_service(parser)
    add("--operation", action="append", choices=OPERATIONS, help="only this operation (default: both)")
    add("--policy", choices=("ofo", "droop"), default="ofo", help="controller of flexible operation (default ofo)")
    add(
        "--margin",
        type=number_of(Policy, "margin_pu"),
        default=default.policy.margin_pu,
        metavar="PU",
        help="the controller aims this far inside the voltage limits (default %(default)s)",
    )
    add(
        "--taps",
        choices=("optimised", "study", "own control"),
        default="optimised",
        help="regulator taps: found per size, the feeder's own, or moved by its controls (default optimised)",
    )
    add("--seed", type=number_of(Scenario, "seed"), default=0, help="study seed (default %(default)s)")
    _add_limits(parser)
    _add_site_sets(parser)
    add_load_level(parser)
    _add_scenarios(parser, default)


def _add_limits(parser: argparse.ArgumentParser) -> None:
    group, limits = parser.add_argument_group("limits"), Limits()
    add_voltage_limits(group, limits)
    add_loading_limit(group, limits)
    add = group.add_argument
    add(
        "--violation-share",
        type=number_of(Limits, "violation_time_share_max"),
        default=limits.violation_time_share_max,
        metavar="SHARE",
        help="share of the hour in which a voltage may be outside (default %(default)s)",
    )
    add(
        "--overload-time-max",
        type=number_of(Limits, "overload_time_max_s"),
        metavar="S",
        help="time (s) in which the loading may be above --loading-max (default 0)",
    )
    add(
        "--loading-emergency-max",
        type=number_of(Limits, "loading_emergency_max_pu"),
        metavar="SHARE",
        help="loading that is never passed, as a share of the emergency ratings, e.g. 1.0 (default: none)",
    )
    add(
        "--throughput-min",
        type=number_of(Limits, "throughput_share_min"),
        default=limits.throughput_share_min,
        metavar="SHARE",
        help="tokens served, as a share of the uncontrolled fleet's (default %(default)s)",
    )
    add(
        "--throughput-curve",
        type=number_of(HostingCapacityStudy, "throughput_shares"),
        nargs="+",
        default=(),
        metavar="SHARE",
        help="flexible capacity also at these shares of tokens, e.g. 1.0 0.9 0.8 0.7 0.6",
    )


def _add_service(parser: argparse.ArgumentParser) -> None:
    add, of = parser.add_argument_group("a transformer between every bus and its site").add_argument, ServiceTransformer
    add(
        "--service-kva",
        type=number_of(of, "kva"),
        metavar="KVA",
        help="nameplate (default: none, the site is at the bus itself)",
    )
    add(
        "--service-z",
        type=number_of(of, "z_percent"),
        default=of.z_percent,
        metavar="PERCENT",
        help="default %(default)s",
    )
    add("--service-kv", type=number_of(of, "kv"), default=of.kv, metavar="KV", help="default %(default)s")
    add("--service-group", choices=get_args(VectorGroup), default=of.group, help="default %(default)s")


def _add_site_sets(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("several sites at once").add_argument
    add(
        "--sites",
        type=number_of(HostingCapacityStudy, "n_sites"),
        default=1,
        metavar="N",
        help="every set of N of the buses (default %(default)s)",
    )
    add(
        "--site-set",
        action="append",
        metavar="BUS+BUS",
        help="only this set, buses joined by +; repeat for several",
    )
    add(
        "--site-shares",
        type=number_of(HostingCapacityStudy, "site_shares"),
        nargs="+",
        default=(),
        metavar="SHARE",
        help="how the sites of a set share the servers (default: evenly)",
    )
    add(
        "--frontier",
        type=number_of(HostingCapacityStudy, "frontier_points"),
        default=0,
        metavar="POINTS",
        help="for pairs: the largest second site at so many sizes of the first (default: not asked)",
    )


def _add_scenarios(parser: argparse.ArgumentParser, default: HostingCapacityStudy) -> None:
    add = parser.add_argument_group("scenario set").add_argument
    add(
        "--scenarios",
        type=number_of(HostingCapacityStudy, "scenarios"),
        default=default.scenarios,
        metavar="N",
        help="judge every size in N drawn scenarios; 59 show 95 %% with 95 %% confidence (default: one, not drawn)",
    )
    add(
        "--scenario-share",
        type=number_of(HostingCapacityStudy, "scenario_share_min"),
        default=default.scenario_share_min,
        metavar="SHARE",
        help="share of all scenarios that has to keep the limits (default %(default)s)",
    )
    add(
        "--confidence",
        type=number_of(HostingCapacityStudy, "confidence"),
        default=default.confidence,
        metavar="SHARE",
        help="default %(default)s",
    )


def _service(options: argparse.Namespace) -> ServiceTransformer | None:
    if options.service_kva is None:
        return None
    return ServiceTransformer(
        kva=options.service_kva, z_percent=options.service_z, kv=options.service_kv, group=options.service_group
    )


def question_of(options: argparse.Namespace) -> Question:
    """The study that a parsed line asks for; `InputError` for values that cannot be used."""
    content = fleet_content(options, HostingCapacityStudy.models) | {
        "operations": tuple(options.operation or OPERATIONS),
        "service": _service(options),
        "policy": Policy(options.policy, margin_pu=options.margin),
        "taps": options.taps,
        "scenario": Scenario(seed=options.seed, own_load_share=options.own_load_share),
        "limits": Limits(
            voltage_min_pu=options.voltage_min,
            voltage_max_pu=options.voltage_max,
            violation_time_share_max=options.violation_share,
            loading_max_pu=options.loading_max,
            rating_basis=options.rating_basis,
            overload_time_max_s=options.overload_time_max,
            loading_emergency_max_pu=options.loading_emergency_max,
            throughput_share_min=options.throughput_min,
        ),
        "n_sites": options.sites,
        "site_sets": tuple(tuple(part.strip() for part in text.split("+")) for text in options.site_set or ()),
        "site_shares": tuple(options.site_shares),
        "frontier_points": options.frontier,
        "throughput_shares": tuple(options.throughput_curve),
        "scenarios": options.scenarios,
        "scenario_share_min": options.scenario_share,
        "confidence": options.confidence,
    }
    return make_question(HostingCapacityStudy.study, content, "the options")
