"""`Outcome`: one plan in one scenario, in numbers; `Evaluation`: all outcomes of a plan and the verdict."""

from __future__ import annotations

from dataclasses import dataclass

from g2g_opt.metrics.thermal import WorstLoading
from g2g_opt.metrics.voltage import VoltageStats, WorstVoltage
from g2g_opt.plan import Plan


@dataclass(frozen=True)
class LimitCheck:
    """One limit against what was simulated: `kept` or not, and where it was closest.

    `used` is the share of the limit that was used up (1: exactly at it), by which checks are ranked.
    """

    name: str
    value: float
    limit: float
    used: float
    kept: bool
    where: str = ""

    def __str__(self) -> str:
        return f"{self.name} {self.value:.4g} (limit {self.limit:.4g})" + (f", {self.where}" if self.where else "")


@dataclass(frozen=True)
class SiteOutcome:
    """A site in numbers: simulated power (MW, three phases) in closed loop; energy in MWh.

    `uncontrolled_peak_mw` is the peak of the same fleet left at its batch sizes, replayed without a controller.
    """

    site: str
    bus: str
    n_gpus: int
    n_replicas: int
    power_mean_mw: float
    power_peak_mw: float
    uncontrolled_peak_mw: float
    energy_mwh: float


@dataclass(frozen=True)
class Figures:
    """What a completed run comes to; `throughput_share` is against the uncontrolled fleet of the same size.

    `worst_emergency` is the branch closest to its emergency rating. `own_loads_unserved_time_s`: time in which a
    constant-power load of the feeder itself was outside its window.
    """

    sites: tuple[SiteOutcome, ...]
    voltage: VoltageStats
    worst_voltage: WorstVoltage
    worst_line: WorstLoading | None
    worst_transformer: WorstLoading | None
    worst_emergency: WorstLoading | None
    overload_time_s: float
    own_loads_unserved_time_s: float
    own_loads_worst: str
    throughput_tps: float
    throughput_share: float
    latency_miss_share: float
    batch_switches: int


@dataclass(frozen=True)
class Outcome:
    """One plan in one scenario: figures and limit checks, or the reason why the run has no usable answer.

    `engine_note` says why it ran on another engine than the one asked for.
    """

    scenario: str
    engine: str
    failure: str | None
    figures: Figures | None
    checks: tuple[LimitCheck, ...]
    seconds: float
    engine_note: str = ""

    @property
    def kept(self) -> bool:
        """True if the run has an answer and keeps every limit."""
        return self.failure is None and all(check.kept for check in self.checks)

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why it is not kept: the failure, or every broken limit."""
        broken = tuple(str(check) for check in self.checks if not check.kept)
        return broken if self.failure is None else (self.failure,)


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
