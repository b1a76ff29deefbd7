"""The question of a study of policies on a feeder, complete enough to rerun, and what it resolves to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field, replace
from typing import Annotated, Literal, get_args

import numpy as np

from g2g_opt.clock import HOUR_S
from g2g_opt.communication import ChannelsAsked
from g2g_opt.errors import InputError
from g2g_opt.feeder import Feeder
from g2g_opt.feeder_policy import Rounding
from g2g_opt.flag import Flag
from g2g_opt.hourly_profile import load_profile
from g2g_opt.plan import Plan, PVUnit
from g2g_opt.quantities import CoefficientSum, Count, DurationS, MarginPu, RoundCount, ShareAboveZero, Weight
from g2g_opt.randomness import keyed_generator
from g2g_opt.reading import plain_digits
from g2g_opt.scenario import PROFILE_FLAG, TRAINING_FLAG, Scenario
from studies.shared.asked_channels import check_heard
from studies.shared.feeder_questions import SiteQuestion
from studies.shared.question_fields import SITES, StudySeed, read_sites
from studies.shared.question_model import NounFlags, ReadBy, check_unused, question_model
from studies.shared.site_choices import SYNTAX, ServedModel, SiteChoice

DESCRIPTION = (
    "A policy that sets batch sizes from figures that are public before it acts (feeder-head load, PV, time, demand of "
    "the sites) is trained in closed loop on some days and run on others, next to no control, the best constant sizes, "
    "droop, online feedback optimisation and a clairvoyant, all in the same hours on OpenDSS."
)
EPILOG = (
    f"A site is written {SYNTAX}, where PLACE is its bus and GPUS what a model has at full demand. Example: "
    "g2g feeder-policy --feeder ieee13 --site campus=671:llama-3.1-70b:7200 --pv 675:1200 --training 40 --test 40"
)
PolicyCase = Literal["no control", "constant", "droop", "ofo", "contextual", "clairvoyant"]
CASES: tuple[PolicyCase, ...] = get_args(PolicyCase)
# Those that hear and command nothing, and that know all beforehand.
_DEAF: tuple[PolicyCase, ...] = ("no control", "clairvoyant")

# 900 servers of one large model on the 13-bus feeder, and a plant at its end.
_SITES = (SiteChoice("campus", (ServedModel("llama-3.1-70b", 7200),), candidates=("671",)),)
_PV = (PVUnit("675", 1200.0),)
_RUNS, _TRAINING = "scenarios", "training"
_DRAWN = dict.fromkeys(
    ("name", "profile_rows", "replica_share_start", "replica_ramps", "site_shares", "seed"),
    "the study draws it for every scenario by itself, keyed by its own seed",
) | dict.fromkeys(("generation_shapes", "load_shapes"), "sun and loads follow the hours of the profile")
# What `--training` is elsewhere; here that is how many hours a policy is trained in.
_TRAINING_JOBS = replace(TRAINING_FLAG, name="--training-job")
_INSTEAD = {"profile": replace(PROFILE_FLAG, unset=""), "training": _TRAINING_JOBS}
_HOURS_A_DAY = 24


def read_plants(texts: Sequence[str], question: object) -> tuple[PVUnit, ...]:
    """PV plants from a command line: BUS:KW."""
    plants = []
    for text in texts:
        bus, _, size = text.rpartition(":")
        try:
            size_kw = float(plain_digits(size))
        except ValueError as error:
            raise InputError(f"--pv {text!r} cannot be read; write BUS:KW") from error
        if not bus:
            raise InputError(f"--pv {text!r} cannot be read; write BUS:KW")
        plants.append(PVUnit(bus, size_kw))
    return tuple(plants)


@question_model
class FeederPolicyQuestion(SiteQuestion):
    """Sites (each at one bus) and PV on a feeder, in `n_training` and `n_test` scenarios that share no day.

    Runs follow `scenario`, whose profile gives load and sun; each begins at an hour of a day drawn without putting
    back. At the start, and by a ramp in each half of the run, a share of the replicas drawn from `replica_share` is
    reached. `penalty_per_pu` weighs violations (mean over time, pu summed over bus-phases) against the logarithm of the
    throughput, in training and in the choice of margins; `coefficients_max` bounds the sum of the policy's coefficients
    (5 of the program). Through `channels` policies hear and command, in training and in the runs after it; a
    clairvoyant, who knows all, needs none.
    """

    sites: Annotated[
        tuple[SiteChoice, ...],
        Flag(
            "--site",
            f"a site and its bus (PLACE), written {SYNTAX}, e.g. campus=671:llama-3.1-70b:7200",
            metavar="SITE",
            group=SITES,
            unset="900 servers at bus 671",
        ),
        ReadBy(read_sites),
    ] = _SITES
    pv: Annotated[
        tuple[PVUnit, ...],
        Flag("--pv", "a PV plant (none: no plant)", metavar="BUS:KW", unset="1.2 MW at bus 675"),
        ReadBy(read_plants),
    ] = _PV
    cases: Annotated[tuple[PolicyCase, ...], Flag("--case", "only this case", unset="all")] = CASES
    channels: ChannelsAsked = None
    scenario: Annotated[Scenario, NounFlags(_RUNS, without=_DRAWN, instead=_INSTEAD)] = field(
        default_factory=lambda: Scenario(profile="hudson_valley_2018")
    )
    n_training: Annotated[Count, Flag("--training", "hours to train in", group=_RUNS)] = 20
    n_test: Annotated[Count, Flag("--test", "hours to run, on other days", group=_RUNS)] = 20
    replica_share: Annotated[
        tuple[ShareAboveZero, ShareAboveZero],
        Flag("--replica-share", "range that shares of active replicas are drawn from", metavar="LOW,HIGH", group=_RUNS),
    ] = (0.4, 1.0)
    feeder_features: Annotated[
        tuple[str, ...], Flag("--feeder-feature", "what a policy reads of the feeder", metavar="NAME", group=_TRAINING)
    ] = ("own_load_share", "pv_kw", "time_of_day_sin", "time_of_day_cos")
    site_features: Annotated[
        tuple[str, ...], Flag("--site-feature", "what it reads of every site", metavar="NAME", group=_TRAINING)
    ] = ("site_demand_kw",)
    grid_lag_s: Annotated[DurationS, Flag("--grid-lag-s", "age at which the operator publishes", group=_TRAINING)] = (
        60.0
    )
    site_lag_s: Annotated[DurationS, Flag("--site-lag-s", "age at which the sites publish", group=_TRAINING)] = 1.0
    record_dt_s: Annotated[DurationS, Flag("--record-dt-s", "distance of training records", group=_TRAINING)] = 60.0
    margins_pu: Annotated[
        tuple[MarginPu, ...],
        Flag("--margins-pu", "to the voltage band, the best of them in training is taken", group=_TRAINING),
    ] = (0.0, 0.001, 0.002, 0.003)
    rounding: Annotated[
        Rounding, Flag("--rounding", "of what a policy asks to batch sizes there are", group=_TRAINING)
    ] = "nearest"
    penalty_per_pu: Annotated[
        Weight, Flag("--penalty", "per pu of mean violation, against the logarithm of tokens", group=_TRAINING)
    ] = 1000.0
    coefficients_max: Annotated[
        CoefficientSum, Flag("--coefficients-max", "bound on the sum of a policy's coefficients", group=_TRAINING)
    ] = 10.0
    rounds: Annotated[
        RoundCount, Flag("--rounds", "of training, each on records made under the policy before", group=_TRAINING)
    ] = 2
    clairvoyant_rounds: Annotated[
        RoundCount, Flag("--clairvoyant-rounds", "in which the clairvoyant corrects itself", group=_TRAINING)
    ] = 3
    seed: StudySeed = 0

    # --- the question, resolved

    @property
    def base(self) -> Scenario:
        """What every run follows, with the study's seed."""
        return replace(self.scenario, seed=self.seed)

    def resolve_buses(self, feeder: Feeder) -> list[str]:
        """The buses of the sites."""
        return [bus for site in self.sites for bus in site.candidates]

    def plan(self) -> Plan:
        """Sites and plants without a policy; `InputError` for sites that cannot stand where they are said to."""
        for choice in self.sites:
            choice.check()
            if len(choice.candidates) != 1:
                raise InputError(f"site {choice.name!r}: name the one bus where it stands")
        sites = (c.site(c.candidates[0], self.gpu, self.power_factor, self.connection) for c in self.sites)
        return Plan(tuple(sites), pv=self.pv)

    def scenarios(self) -> tuple[tuple[Scenario, ...], tuple[Scenario, ...]]:
        """Training and test scenarios; `InputError` if the profile has too few days for runs that share none."""
        base = self.base
        if base.profile is None:
            raise InputError("a policy study draws days from the scenario's profile; give it one (--profile)")
        rows = -(-base.duration_s // HOUR_S)
        days_a_run = -(-(rows + _HOURS_A_DAY - 1) // _HOURS_A_DAY)
        n_days = len(load_profile(base.profile).hours) // _HOURS_A_DAY
        starts = np.arange(0, n_days - days_a_run + 1, days_a_run)
        needed = self.n_training + self.n_test
        if len(starts) < needed:
            raise InputError(f"{needed} runs that share no day need more than the profile's {n_days} days")
        chosen = keyed_generator(base.seed, "feeder policy days").permutation(starts)[:needed]
        names = [f"training {k}" for k in range(self.n_training)] + [f"test {k}" for k in range(self.n_test)]
        drawn = [self._drawn(name, int(day), rows) for name, day in zip(names, chosen, strict=True)]
        return tuple(drawn[: self.n_training]), tuple(drawn[self.n_training :])

    def _drawn(self, name: str, day: int, rows: int) -> Scenario:
        base = self.base
        generator = keyed_generator(base.seed, name, "feeder policy")
        row = day * _HOURS_A_DAY + int(generator.integers(_HOURS_A_DAY))
        start, first, second = (round(float(x), 6) for x in generator.uniform(*self.replica_share, size=3))
        begins = [round(float(generator.uniform(low, low + 0.3)) * base.duration_s) for low in (0.05, 0.5)]
        ramp_s = max(1.0, round(base.duration_s / 8))
        ramps = tuple((at_s, at_s + ramp_s, share) for at_s, share in zip(begins, (first, second), strict=True))
        return replace(base, name=name, replica_share_start=start, replica_ramps=ramps, profile_rows=(row, rows, 1))

    def check_fields(self) -> None:
        """Raise `InputError` for figures that do not fit together, or the feeder."""
        if not self.sites:
            raise InputError("a policy needs a site to act on")
        if len({site.name for site in self.sites}) < len(self.sites):
            raise InputError("sites need different names")
        if not self.cases:
            raise InputError("name a case at least")
        hears = any(case not in _DEAF for case in self.cases)
        check_heard(self, "" if hears else f"no case is run that hears or commands anything (--case {self.cases[0]})")
        if not self.margins_pu:
            raise InputError("a policy study needs a margin to try")
        low, high = self.replica_share
        if low > high:
            raise InputError(f"shares of replicas must rise, got {low} to {high}")
        feeder = self.load_feeder(())
        if self.sites == _SITES and self.feeder.lower() != "ieee13":
            raise InputError(f"name sites (--site) and plants (--pv) for feeder {feeder.name}")
        for site in self.sites:
            site.candidate_buses(feeder)
        for unit in self.pv:
            feeder.bus(unit.bus)
        check_unused(self)
        if self.scenario.duration_s <= max(self.grid_lag_s, self.record_dt_s):
            raise InputError(f"runs of {self.scenario.duration_s} s end before the first record is made")
        self.plan()
        self.scenarios()
