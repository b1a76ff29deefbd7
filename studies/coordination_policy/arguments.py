"""The command line of the coordination study: its question, and nothing else."""

from __future__ import annotations

import argparse
from typing import get_args

from g2g_opt.transmission.network_case import BUNDLED_CASE
from g2g_opt.transmission.system import SETTINGS
from g2g_opt.transmission.zonal_grid import ShedRule
from studies.coordination_policy.question import (
    EPS_SWEEP,
    CoordinationQuestion,
    FeatureSet,
    Kind,
    ResponseKind,
)
from studies.coordination_policy.study import CoordinationStudy
from studies.shared.number_flags import number_of, numbers_of

DESCRIPTION = (
    "What shifting tasks between datacenters saves a grid operator, on the 11 zones of New York: with ideal "
    "coordination, and with regression policies that read public figures only. A policy is trained on dispatch itself, "
    "as one convex program with a certificate, and judged on records or hours it was not trained on."
)
EPILOG = (
    "Several values are separated by commas. Examples: g2g coordination --settings published --penetration 0.1,0.2 "
    "--alpha 0.25,1,2; g2g coordination --q 50,100,150,200,250 --draws 20; g2g coordination --eps "
    f"{','.join(f'{eps:g}' for eps in EPS_SWEEP)}; g2g coordination --kind closed-loop --features expected --response "
    "shrink --eps 10000 --q 500; g2g coordination --kind day-ahead --alpha 0,0.25,1"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of a coordination question to a parser."""
    default = CoordinationQuestion()
    add = parser.add_argument
    add("--kind", choices=get_args(Kind), default=default.kind, help="which study (default %(default)s)")
    add(
        "--settings",
        choices=SETTINGS,
        default=default.settings,
        help="published repeats the line weights and renewables of the published study (default %(default)s)",
    )
    add(
        "--penetration",
        type=numbers_of(CoordinationQuestion, "penetrations"),
        default="0.2",
        metavar="P,...",
        help="datacenters, shares of the peak load (default %(default)s)",
    )
    add(
        "--alpha",
        type=numbers_of(CoordinationQuestion, "alphas"),
        default="0.25",
        metavar="A,...",
        help="allowed latency losses (default %(default)s)",
    )
    add(
        "--seed",
        type=number_of(CoordinationQuestion, "seed"),
        default=default.seed,
        help="of all draws (default %(default)s)",
    )

    add = parser.add_argument_group("training").add_argument
    add(
        "--q",
        type=numbers_of(CoordinationQuestion, "q"),
        default="250",
        metavar="N,...",
        help="training records or hours (default %(default)s)",
    )
    add(
        "--draws",
        type=number_of(CoordinationQuestion, "n_draws"),
        default=default.n_draws,
        metavar="N",
        help="draws of records (default %(default)s)",
    )
    add(
        "--eps",
        type=numbers_of(CoordinationQuestion, "eps", besides="choose"),
        default="10",
        metavar="E,...|choose",
        help="bound on |beta|_1, or chosen by cross-validation on training records (default %(default)s)",
    )
    add("--scaled", action="store_true", help="count |beta|_1 per standard deviation of a feature, not per unit")
    add("--free-intercept", action="store_true", help="leave constant moves (MW) out of |beta|_1")
    add("--features", choices=get_args(FeatureSet), default=default.features, help="what is read (default %(default)s)")
    add(
        "--ties",
        type=number_of(CoordinationQuestion, "n_ties"),
        default=default.n_ties,
        metavar="N",
        help="further optima of every training to judge",
    )
    add(
        "--latency-margin",
        type=number_of(CoordinationQuestion, "latency_margin"),
        default=0.0,
        metavar="SHARE",
        help="of the latency loss held back in training",
    )
    add(
        "--refused-max",
        type=number_of(CoordinationQuestion, "refused_max"),
        metavar="SHARE",
        help="fit that margin: at most so many shifts refused, held out",
    )

    add = parser.add_argument_group("in operation").add_argument
    add(
        "--response",
        choices=get_args(ResponseKind),
        default=default.response,
        help="what a shift becomes that the datacenters do not accept (default %(default)s)",
    )
    add(
        "--shed-rule",
        choices=[rule.replace(" ", "-") for rule in get_args(ShedRule)],
        default=default.shed_rule.replace(" ", "-"),
        help="when the grid rejects a shift (default %(default)s)",
    )
    add("--first", default=default.first_date, metavar="DATE", help="of a closed loop or day-ahead study")
    add("--last", default=default.last_date, metavar="DATE", help="default %(default)s")
    add(
        "--market-files",
        default="",
        metavar="FOLDER",
        help="the market operator's CSV files instead of the bundled year",
    )

    add = parser.add_argument_group("on another network, with an AC check").add_argument
    add("--network", default="", metavar="CASE", help=f"MATPOWER-style case (.m), or {BUNDLED_CASE}, for New York's")
    add(
        "--datacenters",
        type=numbers_of(CoordinationQuestion, "datacenter_buses"),
        default=(),
        metavar="BUS,...",
        help="their buses (default: the five largest loads)",
    )
    add(
        "--rating-share",
        type=number_of(CoordinationQuestion, "rating_share"),
        default=default.rating_share,
        metavar="SHARE",
        help="of branch ratings that dispatch may use (default %(default)s)",
    )

    add = parser.add_argument_group("day-ahead").add_argument
    add(
        "--days",
        type=number_of(CoordinationQuestion, "n_days"),
        default=default.n_days,
        metavar="N",
        help="days, evenly spread (default %(default)s)",
    )
    add(
        "--gap",
        type=number_of(CoordinationQuestion, "mip_gap"),
        default=default.mip_gap,
        metavar="SHARE",
        help="default %(default)s",
    )
    add(
        "--time-limit",
        type=number_of(CoordinationQuestion, "time_limit_s"),
        default=default.time_limit_s,
        metavar="S",
        help="per program (default %(default)s)",
    )


def question_of(options: argparse.Namespace) -> CoordinationStudy:
    """The study that a parsed line asks for; `InputError` for what cannot be asked."""
    return CoordinationStudy(
        kind=options.kind,
        settings=options.settings,
        penetrations=options.penetration,
        alphas=options.alpha,
        eps=options.eps,
        q=options.q,
        n_draws=options.draws,
        n_ties=options.ties,
        features=options.features,
        scaled=options.scaled,
        free_intercept=options.free_intercept,
        response=options.response,
        shed_rule=options.shed_rule.replace("-", " "),
        latency_margin=options.latency_margin,
        refused_max=options.refused_max,
        first_date=options.first,
        last_date=options.last,
        n_days=options.days,
        mip_gap=options.gap,
        time_limit_s=options.time_limit,
        market_files=options.market_files,
        network=options.network,
        datacenter_buses=options.datacenters,
        rating_share=options.rating_share,
        seed=options.seed,
    )
