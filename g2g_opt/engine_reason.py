"""`EngineReason`: why a run went to OpenDSS though the batch engine was asked for."""

from __future__ import annotations

from enum import StrEnum


class EngineReason(StrEnum):
    """NOT_MODELLED: the batch engine does not know an element, control or component. NOT_SOLVED: it found no solution.
    ILL_CONDITIONED: rounding moves the circuit's voltages by more than solutions must agree to.
    """

    NOT_MODELLED = "not modelled"
    NOT_SOLVED = "not solved"
    ILL_CONDITIONED = "ill-conditioned"
