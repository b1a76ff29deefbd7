"""What the batch engine does not model; such runs go to OpenDSS, with the reason."""

from __future__ import annotations

from g2g_opt.engine_reason import EngineReason
from g2g_opt.errors import G2GError


class UnsupportedByBatch(G2GError):  # noqa: N818 - a reason, not a fault
    """A circuit, or a component of a run, that is not for the batch engine; the message names it, `reason` its kind."""

    def __init__(self, words: str, reason: EngineReason = EngineReason.NOT_MODELLED) -> None:
        super().__init__(words)
        self.reason = reason
