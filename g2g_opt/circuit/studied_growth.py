"""Loads as they have grown by the year that a circuit's file sets, stated as powers of year 0.

OpenDSS lets a load grow by its GrowthShape, else by the circuit's %growth; what it makes of each is measured, not
computed a second time.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from g2g_opt.circuit.element_names import as_word
from g2g_opt.circuit.elements import elements
from g2g_opt.circuit.opendss_circuit import Circuit
from g2g_opt.errors import listed

# Constant power at any voltage, and little of it, so that the measurement always has a solution.
_PROBED = "model=1 vminpu=0.01 vmaxpu=100"
_SNAPSHOT = "Set mode=snapshot hour=0 sec=0 number=1 loadmult=0.01 year={year}"
_NAMED = 6
_GROWTH_PERCENT = 2.5


def grown_loads(commands: Sequence[str], year: int) -> tuple[list[str], str]:
    """Edits that state loads of the `year` (1, 2, ...) that `commands` set as those of year 0, and words on them."""
    circuit = Circuit(commands, tolerance=1e-9, max_iterations=300)
    loads = [name for kind, name in elements(circuit) if kind == "load" and circuit.ask("CktElement_Get_Enabled")]
    stated = {name: [float(circuit.ask_property(f"Load.{name}.{what}")) for what in ("kw", "kvar")] for name in loads}
    for name in loads:
        circuit.command(f"Edit {as_word(f'Load.{name}')} {_PROBED}")
    asked_kw = []
    for of_year in (0, year):
        circuit.command(_SNAPSHOT.format(year=of_year))
        circuit.ask("Solution_SolveNoControl")
        asked_kw.append({name: _asked_kva(circuit, name) for name in loads})
    edits, growth = ["Set year=0"], {}
    for name in loads:
        then, now = asked_kw[0][name], asked_kw[1][name]
        growth[name] = now / then if then > 0.0 else 1.0
        kw, kvar = (growth[name] * power for power in stated[name])
        edits.append(f"Edit {as_word(f'Load.{name}')} kw={kw:.12g} kvar={kvar:.12g}")
    factors: dict[float, list[str]] = {}
    for name, factor in growth.items():
        factors.setdefault(round(factor, 6), []).append(name)
    if len(factors) == 1:
        told = f"by a factor of {next(iter(factors)):g}"
    else:
        told = "by factors of " + "; ".join(f"{by:g}: {listed(names, _NAMED)}" for by, names in factors.items())
    percent = round(float(circuit.command("Get %growth")), 9)
    unless = ", as OpenDSS has it where nothing is stated" if percent == _GROWTH_PERCENT else ""
    told += f" ({percent:g} % a year for loads without a growth shape{unless})"
    return edits, f"year {year} of the file: loads have grown {told}"


def _asked_kva(circuit: Circuit, name: str) -> float:
    circuit.activate(f"Load.{name}")
    powers = circuit.ask_array("CktElement_Get_Powers", "double")
    return float(abs(np.sum(powers[0::2]) + 1j * np.sum(powers[1::2])))
