"""The links of a communication study: what one is like, in a few figures, and its channels."""

from __future__ import annotations

from dataclasses import dataclass, replace

from g2g_opt.communication import Channels, FailSafeRule, StaleRule, Transport


@dataclass(frozen=True)
class LinkState:
    """What all channels between controllers, sensors and sites are like, and what is done about it.

    `loss` is of messages (udp) or segments (tcp), `delay_s` the latency one way; for `outage_s` nothing gets through.
    """

    transport: Transport = "ideal"
    loss: float = 0.0
    delay_s: float = 0.0
    stale: StaleRule = "hold"
    fail_safe: FailSafeRule = "hold"
    outage_s: float = 0.0

    def channels(self, shared: Channels, two_way: bool) -> Channels:
        """Channels with the figures of this link in the place of those of `shared`, without its outage."""
        loss_back = self.loss if two_way and self.transport == "tcp" else 0.0
        spec = replace(
            shared.default, transport=self.transport, loss=self.loss, loss_back=loss_back, latency_s=self.delay_s
        )
        return replace(
            shared,
            default=spec,
            voltage=replace(shared.voltage, rule=self.stale),
            fail_safe=replace(shared.fail_safe, rule=self.fail_safe),
        )

    @property
    def words(self) -> str:
        """In a few words: "tcp, loss 30 %, delay 10 s"."""
        if self.outage_s:
            return f"outage of {self.outage_s:g} s, fail-safe {self.fail_safe}"
        if self.transport == "ideal":
            return "perfect"
        parts = [self.transport, f"loss {100 * self.loss:g} %", f"delay {self.delay_s:g} s"]
        if self.stale != "hold":
            parts.append(f"stale {self.stale}")
        return ", ".join(parts)
