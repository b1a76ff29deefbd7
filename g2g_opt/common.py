"""`ThreePhase`: one figure per phase."""

from __future__ import annotations

from typing import NamedTuple


class ThreePhase(NamedTuple):
    """One value per phase A, B, C; its unit is named where it is used. NaN: the phase does not exist."""

    a: float
    b: float
    c: float

    @property
    def total(self) -> float:
        """Sum of the three phases."""
        return self.a + self.b + self.c
