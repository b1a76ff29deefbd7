"""The question of a hosting-capacity study, complete enough to rerun, and what it resolves to."""

from __future__ import annotations

import itertools
import math
from dataclasses import field, replace
from typing import Annotated

from g2g_opt.communication import Channels
from g2g_opt.errors import InputError
from g2g_opt.feeder import Feeder
from g2g_opt.flag import Flag
from g2g_opt.plan import Policy
from g2g_opt.quantities import (
    DurationS,
    FewFromZero,
    InnerShare,
    RoundCount,
    Scale,
    ScenarioCount,
    Share,
    ShareAboveZero,
    TimeS,
)
from g2g_opt.scenario import Scenario
from solvers.exact_binomial import failures_allowed, trials_needed
from studies.hosting_capacity.capacity import Aim, Objective, Operation
from studies.hosting_capacity.scenario_draws import draw_scenarios
from studies.shared.feeder_questions import HourQuestion, SizeQuestion
from studies.shared.outages import worst_outage_start_s
from studies.shared.question_fields import StorageUnits
from studies.shared.question_model import NounFlags, check_no_effect, question_model
from studies.shared.utilisation import check_range, scenarios_within
from studies.shared.workload import check_site_buses

# Policies that make an operation flexible.
_FLEXIBLE = ("ofo", "droop", "schedule", "contextual", "ppo")
OPERATIONS: tuple[Operation, ...] = ("firm", "flexible")

# Sets of buses that are searched at most: beyond, days on a few cores.
SETS_MAX = 100_000


DESCRIPTION = (
    "For every bus, or set of buses: the largest datacenter that keeps the limits in closed loop over a whole hour, "
    "firm (batch sizes fixed) and flexible (a controller lowers and raises batch sizes), with the limit that binds."
)
EPILOG = (
    "Example: g2g hosting-capacity --feeder ieee13 --bus 671 --bus 675 --model llama-3.1-8b --out results/two. Exit "
    "status 0 when every bus has an answer, 1 when one failed, 2 on bad input, 130 after Ctrl-C (what was finished is "
    "kept)."
)
_SETS, _DRAWS = "several sites at once", "scenario set"


@question_model
class HostingCapacityQuestion(SizeQuestion, HourQuestion):
    """The question, complete enough to rerun.

    Firm runs hold the batch size; flexible ones run `policy`, with `outage_s` also through an outage of all channels.
    Several sites at once: every set of `n_sites` of the buses, or the `site_sets` named, share their servers by
    `site_shares` (sets are ordered where the shares differ).
    `throughput_shares` are floors besides that of `limits`. `scenarios` above 1 judges every size in so many draws (see
    `scenario_draws`): at least `scenario_share_min` of all scenarios have to keep the limits, shown with `confidence`.
    With a range of `utilisation` every size also keeps them wherever in it a site's replicas are; power and tokens are
    those of the study's own run.
    """

    operations: Annotated[tuple[Operation, ...], Flag("--operation", "only this operation", unset="both")] = OPERATIONS
    policy: Annotated[
        Policy,
        NounFlags(instead={"kind": Flag("--policy", "controller of flexible operation", choices=_FLEXIBLE)}),
    ] = field(default_factory=lambda: Policy("ofo", margin_pu=0.003))
    storage: StorageUnits = ()
    objective: Annotated[
        Objective,
        Flag(
            "--objective",
            "what the flexible answer has most of among the sizes that keep the limits: tokens served, MW at the peak, "
            "or GPUs",
        ),
    ] = "tokens"
    ladder: Annotated[
        bool,
        Flag("--no-ladder", "leave out the search for the sizes at which each limit begins to bind alone"),
    ] = True
    n_sites: Annotated[RoundCount, Flag("--sites", "every set of N of the buses", group=_SETS)] = 1
    site_sets: Annotated[
        tuple[tuple[str, ...], ...],
        Flag(
            "--site-set",
            "only this set, buses joined by +",
            metavar="BUS+BUS",
            group=_SETS,
            joined="+",
            unset="every set of --sites buses",
        ),
    ] = ()
    site_shares: Annotated[
        tuple[Scale, ...],
        Flag("--site-shares", "how the sites of a set share the servers", metavar="SHARE", group=_SETS, unset="evenly"),
    ] = ()
    frontier_points: Annotated[
        FewFromZero,
        Flag(
            "--frontier",
            "for pairs: the largest second site at so many sizes of the first",
            metavar="POINTS",
            group=_SETS,
            unset="not asked",
        ),
    ] = 0
    throughput_shares: Annotated[
        tuple[ShareAboveZero, ...],
        Flag(
            "--throughput-curve",
            "flexible capacity also at these shares of tokens, e.g. 1.0 0.9 0.8 0.7 0.6",
            metavar="SHARE",
            group="limits",
            unset="none",
        ),
    ] = ()
    scenarios: Annotated[
        ScenarioCount,
        Flag(
            "--scenarios",
            "judge every size in N drawn scenarios; 59 show 95 % with 95 % confidence",
            group=_DRAWS,
            unset="one, not drawn",
        ),
    ] = 1
    scenario_share_min: Annotated[
        InnerShare, Flag("--scenario-share", "share of all scenarios that has to keep the limits", group=_DRAWS)
    ] = 0.95
    confidence: Annotated[InnerShare, Flag("--confidence", "with which that is shown", group=_DRAWS)] = 0.95
    utilisation: Annotated[
        tuple[Share, Share] | None,
        Flag(
            "--utilisation",
            "least and largest share of the replicas that may be active: sizes also hold on a way all through it and "
            "back and, firm, at rest within it",
            metavar="LEAST,MOST",
            unset="what the run draws",
        ),
    ] = None
    outage_s: Annotated[
        DurationS | None,
        Flag(
            "--outage-s",
            "flexible operation has to survive that all channels are dead for so long, at its worst moment",
            metavar="S",
            unset="none",
        ),
    ] = None
    outage_start_s: Annotated[
        TimeS | None,
        Flag("--outage-start-s", "when that outage begins", metavar="S", unset="so that it ends as demand is highest"),
    ] = None

    @property
    def flexible_policy(self) -> Policy:
        """The policy of flexible operation, with the outage that it has to survive."""
        if self.outage_s is None:
            return self.policy
        start_s = self.outage_start_s
        if start_s is None:
            start_s = worst_outage_start_s(self.scenario, self.outage_s)
        channels = self.policy.channels or Channels()
        return replace(self.policy, channels=channels.with_outage(start_s, start_s + self.outage_s))

    # --- the question, resolved

    def resolve_buses(self, feeder: Feeder) -> tuple[str, ...]:
        """The buses asked for, checked, or the feeder's candidates."""
        named = dict.fromkeys(itertools.chain(self.buses, *self.site_sets))
        return check_site_buses(feeder, tuple(named))

    def resolve_sets(self, feeder: Feeder) -> list[tuple[str, ...]]:
        """Every set of buses that is asked for; with a frontier also the single buses of its pairs."""
        buses = self.resolve_buses(feeder)
        if self.site_sets:
            sets = [tuple(feeder.bus(bus).name for bus in named) for named in self.site_sets]
        else:
            alike = len(set(self.site_shares)) <= 1
            n_sets = (math.comb if alike else math.perm)(len(buses), self.n_sites)
            if n_sets > SETS_MAX:
                raise InputError(
                    f"n_sites {self.n_sites} of {len(buses)} buses are {n_sets} sets, more than the {SETS_MAX} "
                    "that are searched; name fewer buses, or the sets (site_sets)"
                )
            choose = itertools.combinations if alike else itertools.permutations
            sets = list(choose(buses, self.n_sites))
            if not sets:
                raise InputError(f"n_sites {self.n_sites} needs at least as many buses; there are {len(buses)}")
        if joined := [bus for buses in sets if len(buses) > 1 for bus in buses if "+" in bus]:
            raise InputError(f"buses of a set are joined by +, which bus {joined[0]!r} has in its name; rename it")
        if self.frontier_points > 1:
            sets += [(bus,) for bus in dict.fromkeys(itertools.chain(*sets)) if (bus,) not in sets]
        return sets

    def share_servers(self, n_servers: int, n_sites: int) -> tuple[int, ...]:
        """Servers of each site of a set; what does not divide goes to the first ones."""
        shares = self.site_shares if len(self.site_shares) == n_sites else (1.0,) * n_sites
        whole = [int(n_servers * share / sum(shares)) for share in shares]
        left = n_servers - sum(whole)
        return tuple(n + (1 if k < left else 0) for k, n in enumerate(whole))

    def floors(self, n_sites: int) -> tuple[float, ...]:
        """Shares of tokens to be served at which flexible capacity is asked for; the one of `limits` comes first."""
        own = self.limits.throughput_share_min
        return (own, *sorted({*self.throughput_shares} - {own}, reverse=True))

    def draw_scenarios(self, purpose: str, operation: Operation = "firm") -> tuple[Scenario, ...]:
        """The scenarios every size is judged in, the study's own run first; drawn ones are others for every purpose."""
        if self.scenarios > 1:
            return draw_scenarios(self.scenario, purpose, self.scenarios)
        if self.utilisation is None:
            return (self.scenario,)
        return scenarios_within(self.scenario, self.utilisation, with_controller=operation == "flexible")

    @property
    def has_one_run(self) -> bool:
        """Whether a size is judged in the study's own run alone."""
        return self.scenarios == 1 and self.utilisation is None

    def failures_allowed(self) -> int:
        """Scenarios of a set that may miss a limit."""
        if self.scenarios == 1:
            return 0
        return failures_allowed(self.scenarios, self.scenario_share_min, self.confidence) or 0

    def aims(self, buses: tuple[str, ...]) -> list[Aim]:
        """What is searched for one set of buses."""
        floors = self.floors(len(buses))
        found = [Aim(buses, "firm", floors[0])] if "firm" in self.operations else []
        if "flexible" in self.operations:
            found += [Aim(buses, "flexible", floor) for floor in floors]
        return found

    def objective_of(self, aim: Aim) -> Objective:
        """Firm, more servers do more work, and a second site beside a given one is as large as it can be."""
        return self.objective if aim.operation == "flexible" and aim.first_n_servers is None else "gpus"

    def has_ladder(self, aim: Aim) -> bool:
        """Of places, not of a frontier's points; floors of tokens share theirs, several runs have no one record."""
        is_first = aim.throughput_share_min == self.limits.throughput_share_min
        return self.ladder and is_first and aim.first_n_servers is None and self.has_one_run

    def check_fields(self) -> None:
        """Raise `InputError` for figures that do not fit together."""
        if not self.operations:
            raise InputError("name at least one operation: 'firm' or 'flexible'")
        if "flexible" not in self.operations:
            # Firm sites stand on a grid whose regulators a policy may move.
            unused = ("objective", "throughput_shares", "outage_s", *(() if self.policy.moves_taps else ("policy",)))
            check_no_effect(self, unused, "where only firm operation is asked for (--operation firm)")
        if self.policy.kind == "none":
            raise InputError("flexible capacity needs a policy: 'ofo' or 'droop'")
        if self.outage_start_s is not None and self.outage_s is None:
            raise InputError("outage_start_s needs outage_s, how long it lasts")
        if self.taps == "own control" and self.policy.moves_taps:
            raise InputError("taps move by the feeder's own controls or by the policy, not by both")
        if not all(job.of_every_size for job in self.scenario.training):
            raise InputError(
                "sites of many sizes are tried: train on a share of a site's GPUs, at every site (--training 33%,...)"
            )
        if any(len(set(named)) != len(named) or not named for named in self.site_sets):
            raise InputError("a site set needs different buses")
        widths = {len(named) for named in self.site_sets} or {self.n_sites}
        if self.site_shares and widths != {len(self.site_shares)}:
            raise InputError(f"site_shares need a share for every site, got {list(self.site_shares)}")
        if self.frontier_points == 1 or (self.frontier_points and 2 not in widths):
            raise InputError("frontier_points must be 0, or 2 and more for pairs of sites (n_sites = 2)")
        if self.utilisation is not None:
            check_range(self.utilisation)
            if self.scenarios > 1:
                raise InputError("drawn scenarios have shares of their own: give scenarios or utilisation, not both")
        if self.scenarios > 1:
            needed = trials_needed(self.scenario_share_min, self.confidence)
            if self.scenarios < needed:
                raise InputError(
                    f"{self.scenarios} scenarios cannot show {self.scenario_share_min:g} of them with a confidence of "
                    f"{self.confidence:g}, even if all are kept: {needed} are needed"
                )
