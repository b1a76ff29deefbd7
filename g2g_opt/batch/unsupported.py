"""What the batch engine does not model; such runs go to OpenDSS, with the reason."""

from __future__ import annotations

from g2g_opt.errors import G2GError


class UnsupportedByBatch(G2GError):  # noqa: N818 - a reason, not a fault
    """A circuit, or a component of a run, that the batch engine does not model; the message names it."""
