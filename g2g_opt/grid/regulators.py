"""The regulators of a feeder: tap positions in, ratios by regulator name out, and onto a circuit."""

from __future__ import annotations

from functools import cached_property

from g2g_opt.circuit.opendss_circuit import Circuit
from g2g_opt.errors import InputError
from g2g_opt.feeder import Feeder
from g2g_opt.tap_position import TapPosition

_PHASE_LETTER = {1: "a", 2: "b", 3: "c"}


class RegulatorBank:
    """Resolves, sets and reads the taps of a feeder's regulators."""

    def __init__(self, feeder: Feeder, enforce_range: bool = True) -> None:
        self._feeder = feeder
        self._enforce_range = enforce_range
        self._of_phase: dict[str, list[str]] = {"a": [], "b": [], "c": []}
        for regulator in feeder.regulators.values():
            for phase in regulator.phases:
                self._of_phase[_PHASE_LETTER[phase]].append(regulator.name)

    @cached_property
    def elements(self) -> frozenset[str]:
        """The elements whose taps they move ("transformer.reg1")."""
        return frozenset(one.element for one in self._feeder.regulators.values())

    def resolve(self, position: TapPosition) -> dict[str, float]:
        """Ratios (pu) by regulator name; phases a, b, c stand for the only regulator of that phase.

        Raises `InputError` for unknown regulators, for a phase that several or no regulators serve, and for a ratio
        outside the regulator's range.
        """
        resolved = {}
        for key, ratio in position.regulators.items():
            name = key
            if key in self._of_phase and key not in self._feeder.regulators:
                candidates = self._of_phase[key]
                if len(candidates) != 1:
                    raise InputError(
                        f"TapPosition({key}=...) fits a feeder with one regulator on phase {key.upper()}; feeder "
                        f"{self._feeder.name} has {candidates or 'none'}: use TapPosition(regulators={{name: ratio}})"
                    )
                name = candidates[0]
            regulator = self._feeder.regulator(name)
            low, high = regulator.tap_min_pu, regulator.tap_max_pu
            if self._enforce_range and not low - 1e-9 <= ratio <= high + 1e-9:
                raise InputError(
                    f"tap {ratio:g} of regulator {regulator.name} lies outside its range of {low:g} to {high:g} "
                    f"in steps of {regulator.tap_step_pu:g}"
                )
            resolved[regulator.name] = ratio
        return resolved

    def apply(self, circuit: Circuit, position: TapPosition) -> None:
        """Move the named regulators of a circuit."""
        for name, ratio in self.resolve(position).items():
            circuit.set_tap(self._feeder.regulators[name], ratio)

    def read(self, circuit: Circuit) -> TapPosition | None:
        """Present ratios of all regulators; None if there are none."""
        taps = {name: circuit.tap(regulator) for name, regulator in self._feeder.regulators.items()}
        return TapPosition(regulators=taps) if taps else None
