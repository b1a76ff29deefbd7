"""The command line of the study of policies on a feeder: its question, and nothing else."""

from __future__ import annotations

import argparse
from dataclasses import replace

from g2g_opt.errors import InputError
from g2g_opt.plan import PVUnit
from g2g_opt.scenario import Scenario
from studies.feeder_policy.cases import CASES
from studies.feeder_policy.study import FeederPolicyStudy
from studies.shared.number_flags import number_of, numbers_of
from studies.shared.site_choices import SYNTAX, parse_site
from studies.shared.workload_arguments import add_feeder_arguments, add_load_level, excluded_buses

DESCRIPTION = (
    "A policy that sets batch sizes from figures that are public before it acts (feeder-head load, PV, time, demand of "
    "the sites) is trained in closed loop on some days and run on others, next to no control, the best constant sizes, "
    "droop, online feedback optimisation and a clairvoyant, all in the same hours on OpenDSS."
)
EPILOG = (
    f"A site is written {SYNTAX}, where PLACE is its bus and GPUS what a model has at full demand. Example: "
    "g2g feeder-policy --feeder ieee13 --site campus=671:llama-3.1-70b:7200 --pv 675:1200 --training 40 --test 40"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of a feeder-policy question to a parser."""
    default = FeederPolicyStudy()
    add = parser.add_argument
    add_feeder_arguments(parser, default.feeder)
    add("--site", action="append", metavar="SITE", help="a site and its bus; repeat (default: 900 servers at bus 671)")
    add(
        "--pv", action="append", metavar="BUS:KW", help="a PV plant; repeat; none for none (default: 1.2 MW at bus 675)"
    )
    add("--gpu", default=default.gpu, help="GPU the models run on (default %(default)s)")
    add("--case", action="append", choices=CASES, help="a case; repeat (default: all)")
    add(
        "--seed",
        type=number_of(FeederPolicyStudy, "seed"),
        default=default.seed,
        help="of all draws (default %(default)s)",
    )

    add = parser.add_argument_group("scenarios").add_argument
    add(
        "--training",
        type=number_of(FeederPolicyStudy, "n_training"),
        default=default.n_training,
        metavar="N",
        help="hours to train in (default %(default)s)",
    )
    add(
        "--test",
        type=number_of(FeederPolicyStudy, "n_test"),
        default=default.n_test,
        metavar="N",
        help="hours to run, on other days (default %(default)s)",
    )
    add("--profile", default=default.scenario.profile, help="hourly load and sun (default %(default)s)")
    add(
        "--duration",
        type=number_of(Scenario, "duration_s"),
        default=default.scenario.duration_s,
        metavar="S",
        help="of a run (default %(default)s)",
    )
    add_load_level(parser, default.scenario.own_load_share)
    add(
        "--margins",
        type=numbers_of(FeederPolicyStudy, "margins_pu"),
        default=",".join(f"{margin:g}" for margin in default.margins_pu),
        metavar="PU,...",
        help="to the voltage band, the best of them in training is taken (default %(default)s)",
    )
    add(
        "--rounds",
        type=number_of(FeederPolicyStudy, "rounds"),
        default=default.rounds,
        metavar="N",
        help="of training (default %(default)s)",
    )


def question_of(options: argparse.Namespace) -> FeederPolicyStudy:
    """The study that a parsed line asks for; `InputError` for what cannot be read."""
    default = FeederPolicyStudy()
    return FeederPolicyStudy(
        feeder=options.feeder,
        exclude_buses=excluded_buses(options),
        edits=options.edits,
        sites=tuple(parse_site(text, ()) for text in options.site) if options.site else default.sites,
        pv=_plants(options.pv) if options.pv else default.pv,
        gpu=options.gpu,
        cases=tuple(options.case or CASES),
        scenario=replace(
            default.scenario,
            profile=options.profile,
            duration_s=options.duration,
            own_load_share=options.own_load_share,
        ),
        n_training=options.training,
        n_test=options.test,
        margins_pu=options.margins,
        rounds=options.rounds,
        seed=options.seed,
    )


def _plants(texts: list[str]) -> tuple[PVUnit, ...]:
    plants = []
    for text in texts:
        if text == "none":
            continue
        bus, _, size = text.rpartition(":")
        try:
            size_kw = float(size)
        except ValueError as error:
            raise InputError(f"--pv {text!r} cannot be read; write BUS:KW") from error
        if not bus:
            raise InputError(f"--pv {text!r} cannot be read; write BUS:KW")
        plants.append(PVUnit(bus, size_kw))
    return tuple(plants)
