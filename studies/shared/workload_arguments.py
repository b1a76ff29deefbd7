"""Command-line options on what sites serve and where, the same in every command."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any, get_args

from g2g_opt.limits import Limits, RatingBasis
from g2g_opt.scenario import Scenario
from g2g_opt.site import Site
from studies.shared.number_flags import number_of, number_or_none_of
from studies.shared.site_choices import ServedModel


def add_workload_filters(parser: argparse.ArgumentParser) -> None:
    """Options that choose between configurations of one model."""
    parser.add_argument("--task", help="only measurements of this task, e.g. lm-arena-chat")
    parser.add_argument("--precision", help="only this precision, e.g. bfloat16 or fp8")
    parser.add_argument(
        "--gpus-per-replica",
        type=number_of(ServedModel, "gpus_per_replica"),
        metavar="N",
        help="only replicas of so many GPUs",
    )


def add_feeder_arguments(parser: argparse.ArgumentParser, default: str) -> None:
    """The feeder, and what of it no limit looks at."""
    parser.add_argument(
        "--feeder", default=default, help="bundled feeder, or path of a .dss master file (default %(default)s)"
    )
    add_excluded_buses(parser)


def add_excluded_buses(parser: argparse.ArgumentParser) -> None:
    """Buses whose voltages no limit shall look at, and what of the circuit is changed."""
    parser.add_argument(
        "--edits",
        metavar="FILE",
        help="changes of elements of your own circuit in OpenDSS's words, e.g. Load.a.kW=5 or Disable Capacitor.c, a "
        "line each; part of the question and said in the report",
    )
    parser.add_argument(
        "--exclude-bus",
        action="append",
        metavar="BUS",
        help="leave the voltages of this bus out of the limits; repeat for several (said with its customers)",
    )


def add_load_level(parser: argparse._ActionsContainer, default: float = 1.0) -> None:
    """The level of the circuit's own load: the field `own_load_share` of a scenario."""
    parser.add_argument(
        "--load-level",
        "--own-load-share",
        dest="own_load_share",
        type=number_of(Scenario, "own_load_share"),
        default=default,
        metavar="SHARE",
        help="of the circuit's own load as its data have it, LoadMult included (default %(default)s)",
    )


def add_voltage_limits(parser: argparse._ActionsContainer, limits: Limits) -> None:
    """The voltage band that a study keeps: the fields `voltage_min_pu` and `voltage_max_pu` of its limits."""
    for flag, field in (("--voltage-min", "voltage_min_pu"), ("--voltage-max", "voltage_max_pu")):
        parser.add_argument(
            flag,
            type=number_of(Limits, field),
            default=getattr(limits, field),
            metavar="PU",
            help="default %(default)s",
        )


def add_loading_limit(parser: argparse._ActionsContainer, limits: Limits) -> None:
    """What a study keeps of ratings: the fields `loading_max_pu` and `rating_basis` of its limits."""
    parser.add_argument(
        "--loading-max",
        type=number_or_none_of(Limits, "loading_max_pu"),
        default=limits.loading_max_pu,
        metavar="SHARE",
        help="highest loading of lines and transformers, as a share of their ratings where somebody stated them; none: "
        "loadings are reported, not judged (default %(default)s)",
    )
    parser.add_argument(
        "--rating-basis",
        choices=get_args(RatingBasis),
        default=limits.rating_basis,
        help="which ratings loadings are shares of; a line's nameplate is its normal rating (default %(default)s)",
    )


def excluded_buses(options: argparse.Namespace) -> tuple[str, ...]:
    """The buses that `add_excluded_buses` has read: the field `exclude_buses` of a question."""
    return tuple(options.exclude_bus or ())


def add_fleet_arguments(parser: argparse.ArgumentParser) -> None:
    """Feeder, buses, and the models that a site serves."""
    add_feeder_arguments(parser, "ieee13")
    add = parser.add_argument
    add("--bus", action="append", help="a bus; repeat for several (default: all candidates of the feeder)")
    add("--model", action="append", help="a measured model; repeat to share the servers evenly (default llama-3.1-70b)")
    add("--gpu", default="H100", help="GPU the models run on (default %(default)s)")
    add_workload_filters(parser)
    add(
        "--batch-size",
        type=number_of(ServedModel, "batch_size"),
        default=128,
        help="batch size without control (default %(default)s)",
    )
    add(
        "--power-factor",
        type=number_of(Site, "power_factor"),
        default=0.95,
        metavar="PF",
        help="of the sites, lagging (default %(default)s)",
    )
    add(
        "--connection",
        choices=("auto", "wye", "delta"),
        default="auto",
        help="of the sites: three loads to neutral, or between phases; auto: as the bus permits (default %(default)s)",
    )
    add("--trace-dir", default="data/specs", help="where your own traces lie (default %(default)s)")


def fleet_content(options: argparse.Namespace, models: Sequence[str]) -> dict[str, Any]:
    """The fields of a question that `add_fleet_arguments` fills; `models` are the default ones."""
    return {
        "feeder": options.feeder,
        "exclude_buses": excluded_buses(options),
        "edits": options.edits,
        "buses": tuple(options.bus or ()),
        "models": tuple(options.model or models),
        "gpu": options.gpu,
        "task": options.task,
        "precision": options.precision,
        "gpus_per_replica": options.gpus_per_replica,
        "batch_size": options.batch_size,
        "power_factor": options.power_factor,
        "connection": options.connection,
        "trace_dir": options.trace_dir,
    }
