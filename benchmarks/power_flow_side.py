"""The power flows of a closed-loop run alone: no datacenters, controllers or record. Used by `--bare`, `--tolerance`.

Reads a case folder and the powers of every step that `g2g_side.py --powers` saved. For each tolerance it solves all
steps in order and reports CPU seconds, iterations, and the largest voltage difference from the last tolerance given.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from g2g_opt.circuit.opendss_circuit import Circuit
from g2g_opt.feeder import Feeder


def compiled(folder: Path, case: dict[str, Any], feeder: Feeder, tolerance: float, kw: Any, kvar: Any) -> Circuit:
    """The case's circuit with its injections, solved once at the first step's powers."""
    commands = [*feeder.commands, f"Edit Vsource.source pu={case['source_pu']:.12g}"]
    circuit = Circuit(commands, tolerance=tolerance)
    low_pu, high_pu = case["dc_constant_power_window_pu"]
    for i, place in enumerate((*case["sites"], *case["generators"])):
        for phase in (1, 2, 3):
            kv = feeder.bus(place["bus"]).kv_ln
            circuit.add_injection(f"{i}_{phase}", place["bus"], (phase,), kv, (low_pu, high_pu))
    for name, ratio in case["initial_taps"].items():
        circuit.set_tap(feeder.regulator(name), ratio)
    circuit.finish()
    # In the run, measuring the slopes at the first step renews the sites' admittances in the system matrix.
    for place in range(3 * len(case["sites"])):
        circuit.edit_injection(place, float(kw[0, place]), float(kvar[0, place]))
    circuit.injection_kw[:], circuit.injection_kvar[:] = kw[0], kvar[0]
    circuit.solve()
    return circuit


def solve_all(circuit: Circuit, kw: Any, kvar: Any) -> tuple[float, Any]:
    """CPU seconds of all steps, and voltage magnitudes (pu, float32 would hide 1e-8) of shape [step, node]."""
    phasors = np.empty((len(kw), len(circuit.node_base_v)), dtype=np.complex128)
    phasors[:] = 0.0  # touch the pages before the clock starts
    started = time.process_time()
    for step in range(len(kw)):
        circuit.injection_kw[:] = kw[step]
        circuit.injection_kvar[:] = kvar[step]
        circuit.solve()
        phasors[step] = circuit.node_voltages()
    seconds = time.process_time() - started
    return seconds, np.abs(phasors) / circuit.node_base_v


def count_iterations(circuit: Circuit, kw: Any, kvar: Any) -> int:
    total = 0
    for step in range(len(kw)):
        circuit.injection_kw[:] = kw[step]
        circuit.injection_kvar[:] = kvar[step]
        circuit.solve()
        total += circuit.iterations
    return total


def solve_unchanged(circuit: Circuit, n: int) -> tuple[float, int]:
    """CPU seconds of `n` solves with the powers as they are (handed over each time), and iterations in all."""
    started = time.process_time()
    for _ in range(n):
        circuit.solve()
    return time.process_time() - started, n * circuit.iterations


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--powers", type=Path, required=True)
    parser.add_argument("--tolerances", type=float, nargs="+", required=True)
    parser.add_argument("--result", type=Path, required=True)
    options = parser.parse_args()
    case = json.loads((options.folder / "case.json").read_text(encoding="utf-8"))
    feeder = Feeder.from_dss(options.folder / case["master_file"])
    with np.load(options.powers) as saved:
        kw, kvar = saved["kw"], saved["kvar"]
    rows, reference = [], None
    for tolerance in reversed(options.tolerances):
        cpu_s, voltage_pu = solve_all(compiled(options.folder, case, feeder, tolerance, kw, kvar), kw, kvar)
        reference = voltage_pu if reference is None else reference
        iterations = count_iterations(compiled(options.folder, case, feeder, tolerance, kw, kvar), kw, kvar)
        unchanged_cpu_s, unchanged_iterations = solve_unchanged(
            compiled(options.folder, case, feeder, tolerance, kw, kvar), len(kw)
        )
        rows.append(
            {
                "tolerance": tolerance,
                "n_power_flows": len(kw),
                "cpu_s": cpu_s,
                "iterations": iterations,
                "max_deviation_pu": float(np.max(np.abs(voltage_pu - reference))),
                "unchanged_cpu_s": unchanged_cpu_s,
                "unchanged_iterations": unchanged_iterations,
            }
        )
    options.result.write_text(json.dumps({"rows": rows[::-1]}), encoding="utf-8")


if __name__ == "__main__":
    main()
