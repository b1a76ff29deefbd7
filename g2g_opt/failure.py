"""`Failure`: why a run has no usable answer, as data; its words are made here and nowhere else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum

# Words for a time (s) since the beginning of a run; a study may know its date.
Moment = Callable[[float], str]


def since_start(time_s: float) -> str:
    """A time since the beginning of the run: "t=12 s"."""
    return f"t={time_s:g} s"


class FailureKind(StrEnum):
    """What keeps a run from an answer.

    NOT_CONVERGED: the power flow has no solution within its iterations. ILL_CONDITIONED: rounding keeps it from its
    tolerance. SLOPES_NOT_CONVERGED: none where sensitivities were measured. RESTLESS_CONTROLS: the circuit's own
    controls go on moving. PROTECTION_PICKS_UP: a fuse begins to melt, or a recloser or relay may act, which the batch
    engine does not follow. PROTECTION_AT_REST: one acts where the circuit's own controls have come to rest.
    NOT_SERVED: something attached got another power than it asked for (equation 5.2). UNDEFINED_VOLTAGE: a judged
    voltage is no number. ENGINE_ERROR: OpenDSS refused a call. NO_DISPATCH: the transmission
    grid cannot carry its renewables away. NO_ANSWER: nothing that was tried had one.
    """

    NOT_CONVERGED = "not converged"
    ILL_CONDITIONED = "ill-conditioned"
    SLOPES_NOT_CONVERGED = "slopes not converged"
    RESTLESS_CONTROLS = "restless controls"
    PROTECTION_PICKS_UP = "protection picks up"
    PROTECTION_AT_REST = "protection acts at rest"
    NOT_SERVED = "not served"
    UNDEFINED_VOLTAGE = "undefined voltage"
    ENGINE_ERROR = "engine error"
    NO_DISPATCH = "no dispatch"
    NO_ANSWER = "no answer"


_NO_SOLUTION = (FailureKind.NOT_CONVERGED, FailureKind.ILL_CONDITIONED, FailureKind.SLOPES_NOT_CONVERGED)


@dataclass(frozen=True)
class Failure:
    """Why a run failed: its kind, where and when (s since the beginning; None: not at any time), and details in words.

    `run` names the run among others ("scenario 'training 3'"), where that is not known anyway.
    """

    kind: FailureKind
    where: str = ""
    time_s: float | None = None
    detail: str = ""
    run: str = ""

    def at(self, time_s: float) -> Failure:
        """The same at a time (s)."""
        return replace(self, time_s=time_s)

    def of_run(self, run: str) -> Failure:
        """The same, of a run named in words."""
        return replace(self, run=run)

    @property
    def no_solution(self) -> bool:
        """True if the power flow, and not what it says, is the reason: another engine may find a solution."""
        return self.kind in _NO_SOLUTION

    @property
    def asks_opendss(self) -> bool:
        """True if the batch engine ended the run and OpenDSS may not: it is asked before anybody is told so."""
        return self.no_solution or self.kind is FailureKind.PROTECTION_PICKS_UP

    def in_words(self, moment: Moment = since_start) -> str:
        """A clause: run, time, what failed where, details."""
        when = "" if self.time_s is None else moment(self.time_s)
        what = " ".join(part for part in (self._what(), self.detail) if part)
        return ": ".join(part for part in (self.run, when, what) if part)

    def _what(self) -> str:
        match self.kind:
            case FailureKind.NOT_CONVERGED:
                return "the power flow did not converge"
            case FailureKind.ILL_CONDITIONED:
                return "rounding keeps the power flow from its tolerance"
            case FailureKind.SLOPES_NOT_CONVERGED:
                return "the power flow did not converge when slopes were measured"
            case FailureKind.RESTLESS_CONTROLS:
                return "the circuit's own controls do not come to rest"
            case FailureKind.PROTECTION_PICKS_UP:
                return f"{self.where} picks up, and what it does then is not modelled"
            case FailureKind.PROTECTION_AT_REST:
                return f"{self.where} opens by itself where the circuit comes to rest"
            case FailureKind.UNDEFINED_VOLTAGE:
                return f"the voltage of {self.where} is undefined"
            case FailureKind.NO_DISPATCH:
                return "renewables cannot be carried away; there is no dispatch"
        return self.where

    def __str__(self) -> str:
        return self.in_words()
