"""Regulator tap positions and when they are set."""

from __future__ import annotations

from collections.abc import Mapping

from g2g_opt.errors import InputError
from g2g_opt.schedule import Schedule

TAP_STEP_PU = 0.00625  # one of 32 steps over +-10 %, the standard step regulator


class TapPosition:
    """Tap ratios (pu) of regulators, by name; or by phase, `TapPosition(a=..., b=..., c=...)`, where a feeder has
    one bank only. Names are case-insensitive. Two positions with the same ratios are equal.
    """

    __slots__ = ("regulators",)

    def __init__(
        self,
        *,
        a: float | None = None,
        b: float | None = None,
        c: float | None = None,
        regulators: Mapping[str, float] | None = None,
    ) -> None:
        by_phase = {phase: tap for phase, tap in (("a", a), ("b", b), ("c", c)) if tap is not None}
        if by_phase and regulators:
            raise InputError("TapPosition takes phases (a=, b=, c=) or regulators={name: ratio}, not both")
        if not by_phase and not regulators:
            raise InputError("TapPosition needs at least one tap: TapPosition(regulators={'creg1a': 1.05})")
        taps = {name.lower(): float(tap) for name, tap in (by_phase or dict(regulators or {})).items()}
        for name, tap in taps.items():
            if not 0.5 <= tap <= 1.5:
                raise InputError(f"tap of {name!r} is {tap}; give the ratio in pu, e.g. 1.0 + 4 * 0.00625")
        self.regulators: dict[str, float] = taps

    @property
    def a(self) -> float | None:
        """Ratio of phase A where phases were given, else None."""
        return self.regulators.get("a")

    @property
    def b(self) -> float | None:
        """Ratio of phase B where phases were given, else None."""
        return self.regulators.get("b")

    @property
    def c(self) -> float | None:
        """Ratio of phase C where phases were given, else None."""
        return self.regulators.get("c")

    def at(self, t: float) -> TapSchedule:
        """This position from `t` seconds on; join such entries with `|`."""
        return TapSchedule(((float(t), self),))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TapPosition) and self.regulators == other.regulators

    def __hash__(self) -> int:
        return hash(frozenset(self.regulators.items()))

    def __repr__(self) -> str:
        return f"TapPosition(regulators={self.regulators!r})"


class TapSchedule(Schedule[TapPosition]):
    """Tap positions in time: `(time_s, position)` entries, kept in order of time."""
