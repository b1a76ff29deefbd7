"""The regulators of a feeder: where their taps begin, how far they go, and how they are written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g2g_opt.assembly import assemble
from g2g_opt.feeder import Feeder
from g2g_opt.grid.sensitivity import measure_tap_slopes
from g2g_opt.limits import Limits
from g2g_opt.plan import Plan
from g2g_opt.scenario import Scenario

Ints = NDArray[np.int64]
Steps = tuple[int, ...]
Taps = tuple[tuple[str, float], ...]
# Of a loading below this share of the rating, changes are taken as shares of it.
_LOADING_LEAST = 1e-3


def taps_in_words(taps: Taps) -> str:
    """Regulators and their ratios (pu)."""
    return " ".join(f"{name}={ratio:g}" for name, ratio in taps)


def measured_tap_slopes(
    plan: Plan, scenario: Scenario, feeder: Feeder, limits: Limits, trace_dir: Path
) -> NDArray[np.float64]:
    """Voltage changes (pu per tap step) of monitored bus-phases, measured on the circuit at the first step of a run."""
    run = assemble(plan, scenario, feeder, limits, trace_dir=trace_dir)
    ticks: Any = run.coordinator.run_iter()
    next(ticks)
    slopes = run.grid.estimate_tap_sensitivity()
    ticks.close()
    # Lets go of the circuit here: an OpenDSS context that is collected in another thread ends the process.
    run.grid.reset()
    return slopes


def measured_loading_slopes(
    plan: Plan, scenario: Scenario, feeder: Feeder, limits: Limits, trace_dir: Path
) -> NDArray[np.float64]:
    """Changes of loadings per tap step as shares of themselves, (branch, regulator), at the first step of a run.

    Of constant powers they differ little from one size to another. Branches are those of the run's record.
    """
    run = assemble(plan, scenario, feeder, limits, trace_dir=trace_dir)
    ticks: Any = run.coordinator.run_iter()
    next(ticks)
    circuit, setup = run.grid.circuit, run.grid.setup

    def loadings(phasors: NDArray[np.complex128]) -> NDArray[np.float64]:
        # Admittances of a moved transformer are others.
        found = setup.loading(circuit)
        loading_pu: NDArray[np.float64] = found.loading_pu(found.conductor_loading_pu(phasors[None]))[0]
        return loading_pu

    now = loadings(circuit.node_voltages())
    slopes = measure_tap_slopes(circuit, feeder.regulators, loadings)
    ticks.close()
    run.grid.reset()
    return slopes / np.maximum(now, _LOADING_LEAST)[:, None]


@dataclass(frozen=True, eq=False)
class TapRange:
    """The regulators of a feeder: ratios (pu) of the study's taps, step sizes, and steps left in either direction.

    The last step ends at the end of the range (pu), which it may reach before it is whole.
    """

    names: tuple[str, ...]
    start_pu: NDArray[np.float64]
    step_pu: NDArray[np.float64]
    lowest_pu: NDArray[np.float64]
    highest_pu: NDArray[np.float64]

    @staticmethod
    def of(feeder: Feeder) -> TapRange:
        """Ranges around the study's taps, or the circuit's own where a study has none."""
        regulators = list(feeder.regulators.values())
        known = {**feeder.compiled_taps, **(feeder.initial_taps.regulators if feeder.initial_taps is not None else {})}
        start = np.array([known[r.name] for r in regulators], dtype=np.float64)
        step = np.array([r.tap_step_pu for r in regulators], dtype=np.float64)
        low = np.array([r.tap_min_pu for r in regulators], dtype=np.float64)
        high = np.array([r.tap_max_pu for r in regulators], dtype=np.float64)
        return TapRange(tuple(r.name for r in regulators), start, step, low, high)

    def steps_left(self, ratio_pu: NDArray[np.float64]) -> tuple[Ints, Ints]:
        """Steps down and up (regulator,) that are left at some ratios."""
        down = np.ceil((ratio_pu - self.lowest_pu) / self.step_pu - 1e-6).astype(np.int64)
        return down, np.ceil((self.highest_pu - ratio_pu) / self.step_pu - 1e-6).astype(np.int64)

    def taps(self, steps: Sequence[int]) -> Taps:
        """Ratios by regulator name, as a plan takes them."""
        return self.moved(self.start_pu, steps)

    def moved(self, ratio_pu: NDArray[np.float64], steps: Sequence[int] | Ints) -> Taps:
        """The same so many steps from some ratios."""
        moved = np.round(ratio_pu + np.asarray(steps, dtype=np.int64) * self.step_pu, 9)
        return tuple(zip(self.names, np.clip(moved, self.lowest_pu, self.highest_pu).tolist(), strict=True))

    @property
    def study(self) -> Steps:
        """No steps: the study's taps."""
        return (0,) * len(self.names)
