"""How sensors, controllers and sites hear of each other, as data: `Channels`, and what is done with stale news."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator

from g2g_opt.errors import InputError, QuantityError, number_of, shown, unknown_name
from g2g_opt.flag import Flag
from g2g_opt.quantities import (
    BatchSize,
    Count,
    CountFromZero,
    DelayS,
    DurationS,
    ErrorPu,
    LogLatencyStd,
    MessageRate,
    ShareAboveZero,
    ShareBelowOne,
    TimeS,
    check_quantities,
)
from g2g_opt.reading import plain_digits

Transport = Literal["ideal", "udp", "tcp", "recorded"]
LatencyKind = Literal["constant", "exponential", "lognormal", "trace"]
Topic = Literal["voltage", "site", "command"]
StaleRule = Literal["hold", "silence", "bound", "predict"]
FailSafeRule = Literal["hold", "safe", "release", "droop"]

# Ends of lanes besides sites, which go by their names.
GRID, CONTROLLER = "grid", "controller"


def _check_word(kind: str, word: str, known: tuple[str, ...]) -> None:
    if word not in known:
        raise unknown_name(kind, word, known)


@dataclass(frozen=True)
class ChannelSpec:
    """One direction of a link (equations, section 10). A transparent one, which is the default, delivers at once.

    `transport`: "ideal" loses nothing, "udp" loses messages, "tcp" sends lost segments again, in order. "recorded" has
    messages fare, one after the other and from the first again after the last, as those of a live run did: after
    `latency_trace_s`, but for the `lost_messages` (counted from 0), which never arrive. `latency_s` is
    the mean one-way latency; "lognormal" spreads its logarithm by `latency_log_std`; "trace" takes `latency_trace_s`
    one after the other, from a place that is drawn.

    `loss` is the share lost of messages (udp) or segments (tcp), `loss_back` that of tcp's acknowledgements. With
    `burst_s`, losses come in bursts of that mean duration in which a share `burst_loss` is lost (Gilbert-Elliott, in
    continuous time; forward and back apart). A link that passes `rate_per_s` messages a second holds `queue` more and
    loses the rest. Whatever is sent in one of the `outages` (start s, end s) is lost, both ways, on any transport.
    """

    transport: Transport = "ideal"
    latency_s: DelayS = 0.0
    latency_kind: LatencyKind = "constant"
    latency_log_std: LogLatencyStd = 0.5
    latency_trace_s: tuple[DelayS, ...] = ()
    loss: ShareBelowOne = 0.0
    loss_back: ShareBelowOne = 0.0
    burst_s: TimeS = 0.0
    burst_loss: ShareAboveZero = 1.0
    rate_per_s: MessageRate | None = None
    queue: Count = 100
    outages: tuple[tuple[TimeS, TimeS], ...] = ()
    lost_messages: tuple[CountFromZero, ...] = ()

    def __post_init__(self) -> None:
        check_quantities(self)
        _check_word("transport", self.transport, get_args(Transport))
        _check_word("latency kind", self.latency_kind, get_args(LatencyKind))
        if (self.latency_kind == "trace") != bool(self.latency_trace_s):
            raise InputError("latency_trace_s belongs to latency_kind 'trace', which needs it")
        draws = self.loss or self.loss_back or self.rate_per_s is not None
        if self.transport == "ideal" and draws:
            raise InputError("an ideal channel loses nothing and has no rate; choose transport 'udp' or 'tcp'")
        if self.transport == "recorded" and (draws or self.latency_kind != "trace"):
            raise InputError("a recorded channel has latency_kind 'trace', and no loss or rate of its own")
        n_recorded = len(self.latency_trace_s) if self.transport == "recorded" else 0
        if max(self.lost_messages, default=-1) >= n_recorded:
            raise InputError("lost_messages are places in the latency_trace_s of transport 'recorded'")
        if self.transport != "tcp" and self.loss_back:
            raise InputError("loss_back is that of tcp's acknowledgements; choose transport 'tcp'")
        if self.burst_s and not max(self.loss, self.loss_back) < self.burst_loss:
            raise InputError(f"in bursts more is lost than otherwise: burst_loss {self.burst_loss:g} is not above loss")
        for start_s, end_s in self.outages:
            if not start_s < end_s:
                raise InputError(f"an outage is (start s, end s), got ({start_s:g}, {end_s:g})")

    @property
    def transparent(self) -> bool:
        """True if every message arrives as it is sent."""
        delayed = self.latency_s > 0.0 or self.latency_kind == "trace" or self.rate_per_s is not None
        return not (delayed or self.loss or self.loss_back or self.outages)

    @property
    def words(self) -> str:
        """In a few words: "udp, loss 20 %, latency 0.1 s (exponential)"."""
        parts: list[str] = [self.transport]
        parts += [f"loss {100 * self.loss:g} %"] * bool(self.loss)
        parts += [f"loss of acknowledgements {100 * self.loss_back:g} %"] * bool(self.loss_back)
        parts += [f"in bursts of {self.burst_s:g} s"] * bool(self.burst_s)
        if self.latency_kind == "trace":
            parts.append(f"latencies of {len(self.latency_trace_s)} recorded messages")
        elif self.latency_s:
            parts.append(f"latency {self.latency_s:g} s ({self.latency_kind})")
        parts += [f"{self.rate_per_s:g} messages/s"] if self.rate_per_s is not None else []
        parts += [f"an outage from {start_s:g} to {end_s:g} s" for start_s, end_s in self.outages]
        return ", ".join(parts)

    def with_outage(self, start_s: float, end_s: float) -> ChannelSpec:
        """The same with one more outage."""
        return replace(self, outages=(*self.outages, (start_s, end_s)))


@dataclass(frozen=True)
class StaleSignal:
    """What a controller takes for a signal whose newest message is older than `age_max_s`.

    "hold": the last value. "silence": it sends no commands. "bound": voltages `bound_pu` lower than the last ones.
    "predict": the line through the last two values that arrived, no further than `bound_pu` from the last. Of sites'
    own figures only "hold" and "silence" make sense.
    """

    rule: StaleRule = "hold"
    age_max_s: TimeS = 30.0
    bound_pu: ErrorPu = 0.02

    def __post_init__(self) -> None:
        check_quantities(self)
        _check_word("stale rule", self.rule, get_args(StaleRule))


@dataclass(frozen=True)
class FailSafe:
    """What a site does by itself when no command has reached it for `silence_s`, once every control period.

    "hold": it keeps its batch sizes. "safe": it goes down to `safe_batch_size` (or up, if it is lower), one feasible
    size at a time. "release": back to the batch sizes without control. "droop": it follows the voltages at its own bus,
    which need no channel. Taps and storages hold.
    """

    rule: FailSafeRule = "hold"
    silence_s: DurationS = 30.0
    safe_batch_size: BatchSize = 8

    def __post_init__(self) -> None:
        check_quantities(self)
        _check_word("fail-safe rule", self.rule, get_args(FailSafeRule))


@dataclass(frozen=True)
class Lane:
    """A channel of its own for messages of `topic` from `source` to `destination`; empty means any.

    Lanes are grid -> controller ("voltage"), site -> controller ("site": power, replicas, latencies, batch sizes) and
    controller -> site or grid ("command").
    """

    spec: ChannelSpec
    source: str = ""
    destination: str = ""
    topic: Topic | Literal[""] = ""

    def __post_init__(self) -> None:
        _check_word("topic", self.topic, ("", *get_args(Topic)))

    def fits(self, source: str, destination: str, topic: str) -> bool:
        """Is this the channel of such messages?"""
        wanted = ((self.source, source), (self.destination, destination), (self.topic, topic))
        return all(own in ("", asked) for own, asked in wanted)


@dataclass(frozen=True)
class Channels:
    """All channels of a run: `default` for every lane but those of `lanes`, of which the first that fits counts.

    What controllers do with stale voltages and stale figures of sites, and sites with silence. In short form, for the
    default channel: "udp:loss=0.2,latency=0.1".
    """

    default: ChannelSpec = ChannelSpec()
    lanes: tuple[Lane, ...] = ()
    voltage: StaleSignal = StaleSignal()
    site: StaleSignal = StaleSignal()
    fail_safe: FailSafe = FailSafe()

    def __post_init__(self) -> None:
        if self.site.rule not in ("hold", "silence"):
            raise InputError(f"stale figures of a site are held, or answered with silence, not {self.site.rule!r}")

    @property
    def words(self) -> str:
        """In a few words: the default channel, what is done about stale voltages and in silence, lanes of their own."""
        parts = [self.default.words]
        if self.voltage.rule != "hold":
            parts.append(f"voltages older than {self.voltage.age_max_s:g} s: {self.voltage.rule}")
        if self.site.rule != "hold":
            parts.append(f"figures of sites older than {self.site.age_max_s:g} s: {self.site.rule}")
        if self.fail_safe.rule != "hold":
            parts.append(f"sites after {self.fail_safe.silence_s:g} s of silence: {self.fail_safe.rule}")
        if self.lanes:
            parts.append(f"{number_of(len(self.lanes), 'lane')} with a channel of its own")
        return "; ".join(parts)

    def spec(self, source: str, destination: str, topic: str) -> ChannelSpec:
        """The channel of a lane."""
        fitting = (lane.spec for lane in self.lanes if lane.fits(source, destination, topic))
        return next(fitting, self.default)

    def with_outage(self, start_s: float, end_s: float) -> Channels:
        """The same with one more outage on every channel."""
        return replace(
            self,
            default=self.default.with_outage(start_s, end_s),
            lanes=tuple(replace(lane, spec=lane.spec.with_outage(start_s, end_s)) for lane in self.lanes),
        )

    def check_names(self, sites: tuple[str, ...]) -> None:
        """`InputError` for a lane that begins or ends at nobody."""
        known = (GRID, CONTROLLER, *sites)
        for name in (end for lane in self.lanes for end in (lane.source, lane.destination)):
            if name and name not in known:
                raise unknown_name("end of a lane", name, known)


# --- the short form

_FAIL_SAFE = {"fail_safe": "rule", "silence": "silence_s", "safe_batch": "safe_batch_size"}
_STALE = {"stale": "rule", "age": "age_max_s", "bound": "bound_pu"}
_SPEC = {"rate": "rate_per_s", "outage": "outages"} | {
    field.name.removesuffix("_s"): field.name
    for field in fields(ChannelSpec)
    if field.name not in ("transport", "latency_trace_s", "rate_per_s", "outages", "lost_messages")
}
_WORDS = ("transport", "latency_kind", "rule")


def read_channels(text: str) -> Channels:
    """Channels from their short form: a transport and, after a colon, settings: "tcp:loss=0.3,fail_safe=safe".

    Settings are the fields of `ChannelSpec` without their `_s`, `outage=START-END` (s; several joined by +),
    `stale`, `age` and `bound` of voltages, and `fail_safe`, `silence` and `safe_batch`. Raises `InputError`.
    """
    transport, _, rest = text.strip().partition(":")
    spec: dict[str, Any] = {"transport": transport.strip()}
    stale: dict[str, Any] = {}
    fail_safe: dict[str, Any] = {}
    for part in (part.strip() for part in rest.split(",") if part.strip()):
        name, sign, value = (word.strip() for word in part.partition("="))
        places = ((_SPEC, spec), (_STALE, stale), (_FAIL_SAFE, fail_safe))
        found = next(((names[name], into) for names, into in places if name in names), None)
        if found is None:
            raise unknown_name("setting", name, sorted({*_SPEC, *_STALE, *_FAIL_SAFE}), f"of channel {shown(text)}")
        field_name, into = found
        if not sign or field_name in into:
            raise InputError(f"channel {shown(text)}: {name} is given once, as {name}=VALUE")
        into[field_name] = _read_value(field_name, value, text)
    try:
        return Channels(ChannelSpec(**spec), voltage=StaleSignal(**stale), fail_safe=FailSafe(**fail_safe))
    except QuantityError as error:
        short = {field: name for names in (_SPEC, _STALE, _FAIL_SAFE) for name, field in names.items()}
        name = short.get(error.place.partition("[")[0], error.place)
        raise InputError(f"channel {shown(text)}: {name} {error.refusal}") from error


def _read_value(name: str, value: str, text: str) -> Any:
    if name in _WORDS:
        return value
    try:
        if name == "outages":
            ends = (part.split("-") for part in value.split("+"))
            return tuple((float(plain_digits(start)), float(plain_digits(end))) for start, end in ends)
        return (int if name in ("queue", "safe_batch_size") else float)(plain_digits(value))
    except ValueError as error:
        raise InputError(f"channel {shown(text)}: {name} cannot be {shown(value)}") from error


def channels_of(given: Any) -> Any:
    """`read_channels` of a text; anything else as it is."""
    return read_channels(given) if isinstance(given, str) else given


# What a question says of channels; None: everything is heard of at once.
ChannelsAsked = Annotated[
    Channels | None,
    BeforeValidator(channels_of),
    Flag(
        "--channel",
        "how controllers hear of voltages and sites, and sites of them, e.g. udp:loss=0.2,latency=0.1",
        metavar="TRANSPORT:NAME=X,...",
        unset="at once",
        read=read_channels,
    ),
]
