"""`Verdict`: a run held against limits, check by check; `judge` makes them."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import StrEnum

from g2g_opt.failure import Failure, Moment, since_start
from g2g_opt.metrics.voltage import VoltageStats, WorstVoltage

_WITHOUT_SITES = "also without any site"


class Criterion(StrEnum):
    """What a limit is about. POWER_FLOW: there is no usable answer to hold against limits."""

    VOLTAGE_LOW = "undervoltage"
    VOLTAGE_HIGH = "overvoltage"
    VOLTAGE_INTEGRAL = "voltage integral"
    LINE_LOADING = "line loading"
    TRANSFORMER_LOADING = "transformer loading"
    EMERGENCY_LOADING = "emergency loading"
    LATENCY = "latency"
    THROUGHPUT = "throughput"
    UNBALANCE = "voltage unbalance"
    RAPID_VOLTAGE_CHANGE = "rapid voltage change"
    TRIP_VOLTAGE_CHANGE = "voltage change at a trip"
    VOLTAGE_AFTER_TRIP = "voltage after a trip"
    POWER_FLOW = "power flow"

    @property
    def is_voltage(self) -> bool:
        """True if other taps may mend it."""
        return self in (Criterion.VOLTAGE_LOW, Criterion.VOLTAGE_HIGH, Criterion.VOLTAGE_INTEGRAL)

    @property
    def is_thermal(self) -> bool:
        """True if it is about a branch's rating; the check's `where` then names the branch."""
        return self in (Criterion.LINE_LOADING, Criterion.TRANSFORMER_LOADING, Criterion.EMERGENCY_LOADING)


@dataclass(frozen=True)
class LimitCheck:
    """One limit against what was simulated: `kept` or not, and where and when (s) it was closest.

    `value` and `limit` are in the unit of the criterion (pu, s, pu s, %; loadings as shares of a rating). `used` is the
    share of the limit that was used up (1: exactly at it), by which checks are ranked. `phase` is that of
    `where`; `detail` more words. `base_breaks`: the run without sites breaks this limit as well, so that no site of any
    size could keep it. For a failed run (criterion POWER_FLOW) the `failure` says it all.
    """

    criterion: Criterion
    name: str
    value: float
    limit: float
    used: float
    kept: bool
    where: str = ""
    phase: str = ""
    time_s: float | None = None
    detail: str = ""
    failure: Failure | None = None
    base_breaks: bool = False

    def place(self, moment: Moment = since_start) -> str:
        """Where and when, in words; `moment` says when."""
        if self.failure is not None:
            return self.failure.in_words(moment) + (f", {_WITHOUT_SITES}" if self.base_breaks else "")
        where = ".".join(part for part in (self.where, self.phase) if part)
        when = f" at {moment(self.time_s)}" if self.time_s is not None else ""
        base = _WITHOUT_SITES if self.base_breaks else ""
        return ", ".join(part for part in (where + when, self.detail, base) if part)

    def in_words(self, moment: Moment = since_start) -> str:
        """Name, value, limit, and the place."""
        if self.failure is not None:
            return self.place(moment)
        return ", ".join(
            part for part in (f"{self.name} {self.value:.4g} (limit {self.limit:.4g})", self.place(moment)) if part
        )

    def __str__(self) -> str:
        return self.in_words()


@dataclass(frozen=True)
class Verdict:
    """A run held against limits: every check, or why there is nothing to check.

    `voltage` and `worst_voltage` are figures of the limits' band; None of a run that failed, and `voltage` also where
    the record kept no times for that band and none were needed. `base_failed`: the run without sites has no answer
    either; `base_broken` are the limits that it breaks, of a run that failed.
    """

    checks: tuple[LimitCheck, ...]
    failure: Failure | None = None
    voltage: VoltageStats | None = None
    worst_voltage: WorstVoltage | None = None
    base_failed: bool = False
    base_broken: tuple[LimitCheck, ...] = ()

    @property
    def kept(self) -> bool:
        """True if the run has an answer and keeps every limit."""
        return self.failure is None and all(check.kept for check in self.checks)

    @property
    def broken(self) -> tuple[LimitCheck, ...]:
        """The checks that are not kept; of a failed run one that says so, and what its base breaks."""
        if self.failure is not None:
            unknown, when = (math.nan, math.nan, math.inf), self.failure.time_s
            whole = LimitCheck(Criterion.POWER_FLOW, "power flow", *unknown, False, time_s=when, failure=self.failure)
            return (replace(whole, base_breaks=self.base_failed), *self.base_broken)
        return tuple(check for check in self.checks if not check.kept)

    @property
    def binding(self) -> LimitCheck | None:
        """What binds: the broken check that uses most of its limit, or the nearest of a run that keeps all of them."""
        return max(self.broken or self.checks, key=lambda check: check.used, default=None)

    @property
    def used(self) -> float:
        """The largest share of a limit that is used up; infinite for a run without an answer."""
        if self.failure is not None:
            return math.inf
        return max((check.used for check in self.checks), default=math.inf)

    def reasons(self, moment: Moment = since_start) -> tuple[str, ...]:
        """Why it is not kept, in words: the failure, or every broken limit."""
        return tuple(check.in_words(moment) for check in self.broken)
