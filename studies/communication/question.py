"""The question of a communication study, complete enough to rerun, and what it resolves to."""

from __future__ import annotations

from dataclasses import field, replace
from itertools import product
from typing import Annotated, Any, ClassVar, Literal, get_args

from g2g_opt.allocation.clients import CLIENT_CASES, N_ROWS, load_client_case
from g2g_opt.communication import Channels, FailSafeRule, StaleRule, read_channels
from g2g_opt.errors import InputError
from g2g_opt.feeder import Feeder
from g2g_opt.flag import Flag
from g2g_opt.limits import Limits
from g2g_opt.plan import Plan, Policy, TapMode
from g2g_opt.quantities import Count, DelayS, DrawCount, DurationS, ShareBelowOne, TimeS
from g2g_opt.scenario import Scenario
from studies.communication.links import LinkState
from studies.shared.feeder_questions import SizeQuestion
from studies.shared.outages import worst_outage_start_s
from studies.shared.question_fields import FeederName, StudySeed
from studies.shared.question_model import NounFlags, check_unused, question_model
from studies.shared.workload import Models, check_site_buses

CommunicationCase = Literal["feeder", "cigre-lv", "five-clients"]
AllocatorName = Literal["opf", "pi"]
RulesName = Literal["published", "careful"]
# Policies that make an operation flexible.
_FLEXIBLE = ("ofo", "droop", "schedule", "contextual", "ppo")
# Where the sites of the bundled feeders are studied unless somebody names a bus.
_USUAL_FEEDER = "ieee13"
_USUAL_BUSES = {_USUAL_FEEDER: "671", "ieee34": "850", "ieee123": "67"}

DESCRIPTION = (
    "What coordination is worth when its messages are late, lost or gone. On a feeder: how many of the MW that a "
    "controller makes possible survive loss, delay and an outage of its links, and under which fail-safe rule of the "
    "sites. On a case of low-voltage clients: an allocator caps photovoltaic units over lossy links, as in the ASGriDS "
    "study, whose two figures it repeats."
)
EPILOG = (
    "Examples: g2g communication --feeder ieee13 --bus 671 --outage-s 60,300,900; g2g communication --feeder ieee34 "
    "--transport udp --loss 0,0.3,0.6 --delay-s 0 --stale hold --draws 5; g2g communication --case cigre-lv"
)
_LINKS, _CLIENTS, _RUN = "links", "cases of clients", "the run"
_DRAWN = {"seed": "the study seed keys all draws (--seed)"}
_CLIENT_DRAWS, _FEEDER_DRAWS = 10, 3
# What no controller of batch sizes aims at: where it stops larger sites first, it hides what communication is worth.
_NOT_AIMED_AT = {
    "loadings": ("loading_max_pu", "loading_emergency_max_pu", "overload_time_max_s"),
    "unbalance": ("unbalance_negative_sequence_max", "unbalance_nema_max"),
    "voltage changes at a trip": ("rapid_voltage_change_trip_max_pu", "voltage_after_trip_max_pu"),
}


@question_model
class CommunicationQuestion(SizeQuestion):
    """Links of every `transports` x `losses` x `delays_s`, with `two_way` also losing TCP's acknowledgements.

    On a feeder, sites of `models` at one of `buses` after the other, under `policy`, whose channels say what all links
    share: bursts, rate, ages and silences. Capacity is searched over those links, and through outages of `outages_s` at
    their worst moment (or from `outage_start_s` on) under every one of `fail_safes`; the size that a perfect link makes
    possible is also run over every link and every one of `stale_rules`. `n_draws` draws of servers and messages are the
    same for all of them.

    Links are judged by `aimed_limits`, those that a controller of batch sizes aims at, unless `all_limits` is set; firm
    operation and the perfect link also by all `limits`.

    On a case of clients, allocators act by `rules`: as the reference study's did, or as careful ones would.
    """

    # What a policy's channels are given is replaced link by link.
    varies_channels: ClassVar[bool] = True

    case: Annotated[CommunicationCase, Flag("--case", "sites on a feeder, or a bundled case of clients")] = "feeder"
    feeder: FeederName = _USUAL_FEEDER
    transports: Annotated[
        tuple[Literal["udp", "tcp"], ...], Flag("--transport", "only this transport", group=_LINKS, unset="both")
    ] = ("tcp", "udp")
    losses: Annotated[tuple[ShareBelowOne, ...], Flag("--loss", "shares of messages or segments", group=_LINKS)] = (
        0.0,
        0.1,
        0.2,
        0.3,
        0.6,
    )
    delays_s: Annotated[tuple[DelayS, ...], Flag("--delay-s", "one-way latencies", group=_LINKS)] = (0.0, 1.0, 10.0)
    two_way: Annotated[bool, Flag("--two-way", "TCP loses acknowledgements as well", group=_LINKS)] = False
    stale_rules: Annotated[
        tuple[StaleRule, ...],
        Flag("--stale", "only this rule of controllers for old voltages", group=_LINKS, unset="all four"),
    ] = get_args(StaleRule)
    outages_s: Annotated[
        tuple[DurationS, ...],
        Flag("--outage-s", "times for which all links are dead, at their worst moment", group=_LINKS),
    ] = (300.0,)
    outage_start_s: Annotated[
        TimeS | None,
        Flag(
            "--outage-start-s",
            "when outages begin",
            metavar="S",
            group=_LINKS,
            unset="so that they end as demand is highest",
        ),
    ] = None
    fail_safes: Annotated[
        tuple[FailSafeRule, ...],
        Flag("--fail-safe", "only this rule of sites that nobody reaches", group=_LINKS, unset="all four"),
    ] = get_args(FailSafeRule)
    policy: Annotated[
        Policy,
        NounFlags(
            instead={
                "kind": Flag("--policy", "controller at every site", choices=_FLEXIBLE),
                "channels": Flag(
                    "--channel",
                    "what all links share, e.g. ideal:age=5,silence=30; in what they differ has flags of its own: "
                    "--transport, --loss, --delay-s, --outage-s, --stale, --fail-safe",
                    metavar="ideal:NAME=X,...",
                    unset="ideal:age=5,silence=30",
                    read=read_channels,
                ),
            }
        ),
    ] = field(default_factory=lambda: Policy("ofo", margin_pu=0.003, channels=read_channels("ideal:age=5,silence=30")))
    taps: Annotated[
        Literal["own control", "study"],
        Flag("--taps", "moved by the circuit's own controls, or fixed at the feeder's constants"),
    ] = "own control"
    scenario: Annotated[Scenario, NounFlags(_RUN, without=_DRAWN)] = field(default_factory=Scenario)
    all_limits: Annotated[
        bool,
        Flag(
            "--all-limits",
            "judge links by all limits; without it, only firm operation and the perfect link are judged by those, too, "
            "that no controller of batch sizes aims at: loadings, unbalance, voltage changes at a trip",
            group="limits",
        ),
    ] = False
    n_draws: Annotated[
        DrawCount | None,
        Flag("--draws", "paired draws", unset=f"{_FEEDER_DRAWS} on feeders, {_CLIENT_DRAWS} of clients"),
    ] = None
    allocators: Annotated[
        tuple[AllocatorName, ...],
        Flag("--allocator", "only this one: the AC optimum, or a PI controller", group=_CLIENTS, unset="both"),
    ] = get_args(AllocatorName)
    rules: Annotated[
        tuple[RulesName, ...],
        Flag("--rules", "only these: what is done about clients not heard of", group=_CLIENTS, unset="both"),
    ] = get_args(RulesName)
    n_rows: Annotated[Count, Flag("--rows", "rows of the curves, one a second", group=_CLIENTS)] = N_ROWS
    seed: StudySeed = 0

    # --- the question, resolved

    @property
    def is_clients(self) -> bool:
        """True for a case of clients."""
        return self.case in CLIENT_CASES

    @property
    def draws(self) -> int:
        """Paired draws."""
        return self.n_draws or (_CLIENT_DRAWS if self.is_clients else _FEEDER_DRAWS)

    @property
    def left_out(self) -> tuple[str, ...]:
        """Kinds of limits, in words, that links are not judged by."""
        if self.all_limits:
            return ()
        kinds = _NOT_AIMED_AT.items()
        return tuple(words for words, names in kinds if any(getattr(self.limits, name) is not None for name in names))

    @property
    def aimed_limits(self) -> Limits:
        """The limits that links are judged by."""
        if self.all_limits:
            return self.limits
        nothing: dict[str, Any] = {name: None for names in _NOT_AIMED_AT.values() for name in names}
        return replace(self.limits, **nothing)

    def resolve_buses(self, feeder: Feeder) -> tuple[str, ...]:
        """The buses asked for, or the one where sites of a bundled feeder are usually studied."""
        # A circuit of somebody's own may have the name of a bundled one.
        usual = _USUAL_BUSES.get(self.feeder.lower())
        if not self.buses and usual is None:
            raise InputError(f"name a bus of {feeder.name} (--bus); `g2g feeder` lists those that can take a site")
        return check_site_buses(feeder, self.buses or (str(usual),))

    def draw(self, k: int) -> Scenario:
        """The scenario of a draw: servers and messages anew, everything else alike."""
        return replace(self.scenario, name=f"{self.scenario.name} draw {k + 1}", seed=self.seed)

    def plan(self, models: Models, bus: str, n_servers: int, link: LinkState | None) -> Plan:
        """A site of so many servers over a link; without one it is firm."""
        site = self.site("site", bus, models, n_servers)
        mode: TapMode = "own control" if self.taps == "own control" else "fixed"
        if link is None:
            return Plan((site,), policy=replace(self.policy.of_the_grid, channels=None), tap_mode=mode)
        return Plan((site,), policy=replace(self.policy, channels=self.channels_of(link)), tap_mode=mode)

    def channels_of(self, link: LinkState) -> Channels:
        """The channels of a link: its own figures, and what all links share."""
        found = link.channels(self.policy.channels or Channels(), self.two_way)
        if not link.outage_s:
            return found
        start_s = self.outage_start_s
        if start_s is None:
            start_s = worst_outage_start_s(self.scenario, link.outage_s)
        return found.with_outage(start_s, start_s + link.outage_s)

    # --- links

    @property
    def perfect(self) -> LinkState:
        """The link on which everything is known and done at once."""
        return LinkState(fail_safe=self.fail_safes[0])

    def lossy_links(self) -> list[LinkState]:
        """Every transport, loss and delay, but for those that are perfect."""
        found = [
            LinkState(transport, loss, delay_s, fail_safe=self.fail_safes[0])
            for transport, delay_s, loss in product(self.transports, self.delays_s, self.losses)
        ]
        return [link for link in found if link.loss or link.delay_s]

    def outage_links(self) -> list[LinkState]:
        """Otherwise perfect links that are dead for a while, under every fail-safe rule."""
        return [
            LinkState(fail_safe=rule, outage_s=outage_s) for outage_s, rule in product(self.outages_s, self.fail_safes)
        ]

    def links_of_runs(self) -> list[LinkState]:
        """What the size of a perfect link is run over: that link, all others under every stale rule, and outages."""
        lossy = [replace(link, stale=rule) for link in self.lossy_links() for rule in self.stale_rules]
        return [self.perfect, *lossy, *self.outage_links()]

    def check_fields(self) -> None:
        """Raise `InputError` for figures that do not fit together."""
        lists = ("transports", "losses", "delays_s", "stale_rules", "fail_safes", "allocators", "rules")
        for name in lists:
            values = getattr(self, name)
            if not values:
                raise InputError(f"{name} is empty; give at least one value")
            if len(set(values)) < len(values):
                raise InputError(f"{name} has a value twice: {list(values)}")
        if self.is_clients:
            if self.feeder != _USUAL_FEEDER or self.buses:
                raise InputError(f"case {self.case!r} has its own feeder and clients: leave out --feeder and --bus")
            load_client_case(self.case).part(self.n_rows)
            return
        check_unused(self)
        if self.policy.kind == "none":
            raise InputError("flexible capacity needs a policy: 'ofo' or 'droop'")
        if self.policy.channels is not None and not self.policy.channels.default.transparent:
            raise InputError(
                "losses, delays and outages are the study's own: leave them out of --channel, and give --loss, "
                "--delay-s and --outage-s instead"
            )
        if self.outage_start_s is not None and not self.outages_s:
            raise InputError("outage_start_s needs outages_s, how long they last")
        if self.taps == "own control" and self.policy.moves_taps:
            raise InputError("taps move by the feeder's own controls or by the policy, not by both")
        if not all(job.of_every_size for job in self.scenario.training):
            raise InputError(
                "sites of many sizes are tried: train on a share of a site's GPUs, at every site (--training 33%,...)"
            )
