"""`Outcome`: one plan in one scenario, its record and the verdict on it; `Evaluation`: all outcomes of a plan."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from g2g_opt.engine_reason import EngineReason
from g2g_opt.errors import InputError
from g2g_opt.failure import Failure
from g2g_opt.judge import LimitCheck, Verdict, judge
from g2g_opt.limits import Limits
from g2g_opt.metrics.voltage import VoltageStats
from g2g_opt.plan import Plan
from g2g_opt.summary import Summary

Floats = NDArray[np.float64]

# What runs in closed loop: many in lockstep, or one by one on OpenDSS.
Engine = Literal["batch", "opendss"]


@dataclass(frozen=True, eq=False)
class StepFigures:
    """A run step by step: lowest and highest monitored voltage (pu), highest loading, closeness to an emergency rating,
    and the sites' power (MW), each of shape (step,).
    """

    lowest_pu: Floats
    highest_pu: Floats
    loading_pu: Floats
    emergency_pu: Floats
    power_mw: Floats


@dataclass(frozen=True, eq=False)
class Outcome:
    """One plan in one scenario: what was recorded, and the verdict on it under some limits.

    `engine_note` says why it ran on another engine than the one asked for, `engine_reason` of which kind that is,
    `seconds` how long it took. `by_step` are figures of every step, if asked for and the run has an answer. `base` is
    the record of the same scenario without sites, on the same engine, if there was need of it.
    """

    scenario: str
    engine: str
    summary: Summary
    verdict: Verdict
    seconds: float = 0.0
    engine_note: str = ""
    engine_reason: EngineReason | None = None
    by_step: StepFigures | None = None
    base: Summary | None = None

    def judged(self, limits: Limits) -> Outcome:
        """The same run under other limits; nothing is simulated. `InputError` as in `judge`."""
        return replace(self, verdict=judge(self.summary, limits, self.base))

    @property
    def failure(self) -> Failure | None:
        """Why the run has no usable answer, if it has none."""
        return self.summary.failure

    @property
    def checks(self) -> tuple[LimitCheck, ...]:
        """Every limit against what was simulated; none of a failed run."""
        return self.verdict.checks

    @property
    def kept(self) -> bool:
        """True if the run has an answer and keeps every limit."""
        return self.verdict.kept

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why it is not kept, in words: the failure, or every broken limit."""
        return self.verdict.reasons()

    @property
    def voltage(self) -> VoltageStats:
        """Voltage metrics (equation 3.1) of the band it was judged by; `InputError` if there are none for it."""
        if self.verdict.voltage is None:
            why = self.failure or "the record kept no times outside the band that it was judged by"
            raise InputError(f"the run in scenario {self.scenario!r} has no voltage metrics: {why}")
        return self.verdict.voltage


@dataclass(frozen=True)
class Evaluation:
    """All outcomes of a plan; accepted if every scenario keeps every limit."""

    plan: Plan
    outcomes: tuple[Outcome, ...]

    @property
    def accepted(self) -> bool:
        """True if every outcome keeps every limit."""
        return all(outcome.kept for outcome in self.outcomes)

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why the plan is not accepted, scenario by scenario."""
        return tuple(f"{outcome.scenario}: {reason}" for outcome in self.outcomes for reason in outcome.reasons)
