"""Channels of messages in a question: where it holds them, whether anybody hears through them, and words on them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from g2g_opt.communication import Channels
from g2g_opt.errors import InputError
from g2g_opt.plan import Policy
from studies.shared.conclusion import Conclusion
from studies.shared.question_model import NotHere, not_here

CHANNEL_FLAG = "--channel"


def no_channels(reason: str) -> Mapping[str, NotHere]:
    """What a question has as its `not_here` in whose runs nobody hears through channels, for this reason."""
    return {"channels": NotHere(CHANNEL_FLAG, reason)}


def asked_channels(question: Any) -> Channels | None:
    """The channels that a question asks for, as its own field or as its policy's; None: everything is known at once."""
    found = getattr(question, "channels", None)
    if found is None and isinstance(policy := getattr(question, "policy", None), Policy):
        found = policy.channels
    return found if isinstance(found, Channels) else None


def check_heard(question: Any, *reasons: str) -> None:
    """Raise `InputError` for channels through which nobody hears, with the first of the `reasons` that is not empty."""
    found = [reason for reason in reasons if reason]
    if asked_channels(question) is not None and found:
        raise InputError(f"channels ({CHANNEL_FLAG}) change nothing here: {found[0]}")


def with_channels(study: str, kind: type, content: Mapping[str, Any], channels: Channels) -> dict[str, Any]:
    """The `content` of a question of this kind with channels in the place of its own.

    Raises `InputError` for a study that has none, with its reason.
    """
    fields: Mapping[str, Any] = getattr(kind, "__dataclass_fields__", {})
    if "channels" in fields:
        return {**content, "channels": asdict(channels)}
    own = not_here(kind).get("channels")
    usual = getattr(kind(), "policy", None) if own is None and "policy" in fields else None
    if not isinstance(usual, Policy):
        reason = own.reason if own is not None else "its question has none"
        raise InputError(f"channels ({CHANNEL_FLAG}) cannot be given to the study {study!r}: {reason}")
    given = content.get("policy", {})
    # Anything but a table is refused where the question is made.
    return {**content, "policy": {**given, "channels": asdict(channels)} if isinstance(given, Mapping) else given}


def with_channels_note(conclusion: Conclusion, question: Any) -> Conclusion:
    """A conclusion that also says through which channels messages passed, if they did.

    One of a question that asks about many channels (its class attribute `varies_channels`) says so by itself.
    """
    channels = asked_channels(question)
    if channels is None or getattr(question, "varies_channels", False):
        return conclusion
    words = f"messages between sensors, controllers and sites pass channels ({channels.words})"
    return replace(conclusion, warnings=(words, *conclusion.warnings))
