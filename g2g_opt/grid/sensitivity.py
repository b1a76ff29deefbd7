"""Slopes of voltages against a site's power, measured by perturbing the circuit (equation 5.4)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from g2g_opt.circuit.opendss_circuit import Circuit
from g2g_opt.circuit.parts import Regulator

Floats = NDArray[np.float64]
# Watched voltages (pu) of node voltages (V).
SlopeWatch = Callable[[NDArray[np.complex128]], Floats]
# Slopes are differences of nearly equal voltages, so they are solved for more tightly than flows are. At 1e-6 pu those
# of 10 kW on a feeder of 123 buses were wrong by a thousandth, and the batch engine, which measures them so, switched
# batch sizes at other moments. At OpenDSS's own tolerance they are as it finds them: recorded runs have those.
_SLOPE_TOLERANCE, _TIGHTEST_PU, _LOOSE_PU = 1e-4, 1e-12, 1e-4


def measure_slopes(
    circuit: Circuit, injections: Sequence[int], tan_phi: float, perturbation_kw: float, watch: SlopeWatch
) -> tuple[Floats, Floats]:
    """Finite differences of +dP kW and +dP tan(phi) kvar at each injection, around the present powers.

    Returns dv/dp (pu/kW), shape (watched voltage, injection), and the voltages (pu) at the base point. The
    circuit is left solved at the base point. Raises `PowerFlowError` if a perturbed circuit does not converge.
    """
    with _tightly(circuit):
        v0 = _solved_pu(circuit, watch)
        slopes = np.empty((len(v0), len(injections)))
        for j, place in enumerate(injections):
            kw, kvar = float(circuit.injection_kw[place]), float(circuit.injection_kvar[place])
            circuit.edit_injection(place, kw + perturbation_kw, kvar + perturbation_kw * tan_phi)
            slopes[:, j] = (_solved_pu(circuit, watch) - v0) / perturbation_kw
            circuit.edit_injection(place, kw, kvar)
        circuit.solve(held=True)
    return slopes, v0


@contextmanager
def _tightly(circuit: Circuit) -> Iterator[None]:
    """Solutions of a fraction of the circuit's tolerance, for as long as it is entered."""
    usual = circuit.command("Get tolerance")
    if float(usual) >= _LOOSE_PU:
        yield
        return
    if circuit.rounding is not None:
        # No tolerance tells that the rest is at rest: twice the iterations are made.
        circuit.command(f"Set miniterations={2 * circuit.rounding.iterations}")
        try:
            yield
        finally:
            circuit.command(f"Set miniterations={circuit.rounding.iterations}")
        return
    circuit.command(f"Set tolerance={max(_SLOPE_TOLERANCE * float(usual), _TIGHTEST_PU):g}")
    try:
        yield
    finally:
        circuit.command(f"Set tolerance={usual}")


def measure_tap_slopes(circuit: Circuit, regulators: Mapping[str, Regulator], watch: SlopeWatch) -> Floats:
    """Voltage change (pu) per tap step of each regulator around the present point, shape (watched voltage, regulator)
    (equation 5.5).

    One step up is tried, or one down where there is less than a step upwards, and more room downwards. The circuit is
    left as it was found. Raises `PowerFlowError` if a perturbed circuit does not converge.
    """
    v0 = _solved_pu(circuit, watch)
    slopes = np.empty((len(v0), len(regulators)))
    for r, regulator in enumerate(regulators.values()):
        ratio, step = circuit.tap(regulator), regulator.tap_step_pu
        up = regulator.tap_max_pu - ratio >= min(step, ratio - regulator.tap_min_pu) - 1e-9
        moved = regulator.clipped(ratio + step if up else ratio - step)
        if abs(moved - ratio) < 1e-9:
            slopes[:, r] = 0.0
            continue
        circuit.set_tap(regulator, moved)
        slopes[:, r] = (_solved_pu(circuit, watch) - v0) * step / (moved - ratio)
        circuit.set_tap(regulator, ratio)
    circuit.solve(held=True)
    return slopes


def _solved_pu(circuit: Circuit, watch: SlopeWatch) -> Floats:
    """Solve with the controls holding still, and the watched voltages (pu)."""
    circuit.solve(held=True)
    return watch(circuit.node_voltages())
