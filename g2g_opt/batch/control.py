"""What every controller of a batch is: one kind of controller at many sites and in many scenarios at once."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from fractions import Fraction

from g2g_opt.batch.fleets import Fleets
from g2g_opt.batch.grids import Grids


@dataclass(frozen=True, eq=False)
class Parts:
    """What controllers read and command: the fleets and grids of a batch."""

    fleets: Fleets
    grids: Grids


class BatchControl(ABC):
    """Controllers with one rule and one period; `place` says when they act among the controllers of a scenario."""

    dt_s: Fraction
    place: int

    @abstractmethod
    def step(self, step: int, parts: Parts) -> None:
        """Read states after grid step `step` and command; called every `dt_s`."""

    def observe(self, step: int, parts: Parts) -> None:  # noqa: B027 - optional hook
        """Hear of every grid step, before controllers act."""
