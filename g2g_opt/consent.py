"""What the user of this process has allowed beyond reading data. Flags give it, a file never does."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Consent:
    """`circuits`: OpenDSS may run whatever a circuit file says. `studies`: a study may be imported from any module."""

    circuits: bool = False
    studies: bool = False


_given = Consent()


def give_consent(consent: Consent) -> None:
    """Let this be what the user has allowed, from now on in this process."""
    global _given
    _given = consent


def given_consent() -> Consent:
    """What the user has allowed; nothing unless `give_consent` was called."""
    return _given
