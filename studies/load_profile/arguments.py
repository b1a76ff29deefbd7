"""The command line of a load-profile study: its options, and the question they make."""

from __future__ import annotations

import argparse

from g2g_opt.limits import Limits
from studies.catalogue import make_question
from studies.load_profile.study import LoadProfileStudy
from studies.shared.number_flags import number_of
from studies.shared.task import Question
from studies.shared.workload_arguments import add_fleet_arguments, add_loading_limit, add_voltage_limits, fleet_content

DESCRIPTION = (
    "A limited load profile: the MW that a bus can take in each hour of each month of a year, simulated on every day "
    "of it, with the firm MW, the fleet that fits without flexibility, and the larger one that lowers its batch sizes "
    "in the tight hours. limited_load_profile.csv is the table to agree on with the utility."
)
EPILOG = (
    "Example: g2g load-profile --feeder ieee13 --bus 671 --profile year.csv. The CSV has the columns hour_beginning "
    "(2024-01-01T00:00), load_share and generation_share: factors on the feeder's own loads and generators."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the question's options to a parser."""
    default = LoadProfileStudy()
    add_fleet_arguments(parser)
    add = parser.add_argument
    add(
        "--profile",
        default=default.profile,
        metavar="NAME|FILE",
        help="hourly year of the feeder's own load and sun: a bundled name or a CSV (default %(default)s)",
    )
    add(
        "--taps",
        choices=("own control", "study"),
        default=default.taps,
        help="regulator taps: moved by the feeder's own controls in every hour, or fixed (default %(default)s)",
    )
    add("--seed", type=number_of(LoadProfileStudy, "seed"), default=0, help="study seed (default %(default)s)")
    limits = default.limits
    group = parser.add_argument_group("limits, kept in every hour")
    add_voltage_limits(group, limits)
    add_loading_limit(group, limits)
    add = group.add_argument
    add(
        "--throughput-min",
        type=number_of(Limits, "throughput_share_min"),
        default=limits.throughput_share_min,
        metavar="SHARE",
        help="tokens that the flexible fleet serves over the year, share of its nominal ones (default %(default)s)",
    )


def question_of(options: argparse.Namespace) -> Question:
    """The study that a parsed line asks for; `InputError` for values that cannot be used."""
    content = fleet_content(options, LoadProfileStudy.models) | {
        "profile": options.profile,
        "taps": options.taps,
        "seed": options.seed,
        "limits": Limits(
            voltage_min_pu=options.voltage_min,
            voltage_max_pu=options.voltage_max,
            violation_time_share_max=0.0,
            loading_max_pu=options.loading_max,
            rating_basis=options.rating_basis,
            throughput_share_min=options.throughput_min,
        ),
    }
    return make_question(LoadProfileStudy.study, content, "the options")
