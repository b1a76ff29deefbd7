"""What a training of a PPO policy records."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from studies.controllers.rows import ControllerRun
from studies.shared.typed_rows import ShownAs, TypedRow


@dataclass(frozen=True)
class CurveRow(TypedRow):
    """Means over the steps of one rollout, before the update by it: parts of the reward per second, and the loss."""

    training: Annotated[int, ShownAs("training")]
    steps: Annotated[int, ShownAs("steps")]
    voltage: Annotated[float, ShownAs("voltage part", 5)]
    throughput: Annotated[float, ShownAs("throughput part", 5)]
    latency: Annotated[float, ShownAs("latency part", 5)]
    switching: Annotated[float, ShownAs("switching part", 5)]
    entropy: Annotated[float, ShownAs("entropy", 4)]
    explained: Annotated[float, ShownAs("variance that the critic explains (share)", 3)]
    n_failed: Annotated[int, ShownAs("runs without a power flow")]

    @property
    def reward(self) -> float:
        """All parts together."""
        return self.voltage + self.throughput + self.latency + self.switching


@dataclass(frozen=True)
class PPOPolicyRow(TypedRow):
    """A checkpoint: the policy after so many steps, as JSON, and the processor seconds it took until then."""

    training: int
    steps: int
    cpu_s: float
    policy: str


@dataclass(frozen=True)
class TestedRow(TypedRow):
    """A checkpoint of a training (0: another controller) in one scenario; None without an answer, with the reason."""

    training: int
    steps: int
    split: str
    controller: str
    scenario: str
    integral_violation_pu_s: float | None
    mean_throughput_tps: float | None
    batch_switches: float | None
    itl_deadline_fraction: float | None
    failure: str

    @staticmethod
    def of(run: ControllerRun, training: int, steps: int, split: str) -> TestedRow:
        """The row of a run."""
        return TestedRow(
            training,
            steps,
            split,
            run.controller,
            run.scenario,
            run.integral_violation_pu_s,
            run.mean_throughput_tps,
            run.batch_switches,
            run.itl_deadline_fraction,
            run.failure,
        )
