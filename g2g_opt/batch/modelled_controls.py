"""Which of a circuit's own controls act in lockstep: `load_controls` reads them or names one that is not modelled."""

from __future__ import annotations

from functools import lru_cache

from g2g_opt.batch.unsupported import UnsupportedByBatch
from g2g_opt.circuit.controls import ControlReading, read_controls
from g2g_opt.circuit.faults import read_faults
from g2g_opt.circuit.opendss_circuit import SETTLED_DT_S, Circuit
from g2g_opt.circuit.switches_as_left import switches_that_move


@lru_cache(maxsize=16)
def load_controls(commands: tuple[str, ...], dt_s: float) -> ControlReading:
    """The controls of the circuit that these commands build, as they stand when a run with steps of `dt_s` begins.

    Raises `UnsupportedByBatch` for a control that is not modelled.
    """
    circuit = Circuit(commands, tolerance=1e-9, max_iterations=200, regulator_control_dt_s=dt_s)
    reading = read_controls(circuit)
    switches = [name for name in reading.others if name.startswith("swtcontrol.")]
    at_rest = {*switches}.difference(switches_that_move(commands, circuit, switches))
    if acting := [name for name in reading.others if name not in at_rest]:
        raise UnsupportedByBatch(f"the circuit's own control {acting[0]} acts, which is not modelled")
    moving = [fault for fault in read_faults(circuit) if fault.moves_in_time]
    if moving and dt_s < SETTLED_DT_S:
        raise UnsupportedByBatch(f"{moving[0]} comes or goes in time, which is not modelled")
    movers: dict[tuple[str, int], str] = {}
    for control in reading.regulators:
        name, changer = f"RegControl {control.name}", (control.transformer, control.tap_winding)
        if control.kind != "transformer":
            raise UnsupportedByBatch(f"{name} moves an {control.kind}, whose control is not modelled")
        if control.tap_step_pu <= 0.0:
            raise UnsupportedByBatch(f"{name} moves a winding without a tap changer")
        if changer in movers:
            raise UnsupportedByBatch(f"{name} moves the same changer as {movers[changer]}")
        if control.bus and control.pt_phase > 1:
            raise UnsupportedByBatch(f"{name} looks at phase {control.pt_phase} of a remote bus")
        movers[changer] = control.name
    banks: dict[str, str] = {}
    for bank in reading.capacitors:
        name = f"CapControl {bank.name}"
        if bank.kind == "other":
            raise UnsupportedByBatch(f"{name} is of a type that is not modelled")
        if bank.n_steps != 1:
            raise UnsupportedByBatch(f"{name} switches a bank of {bank.n_steps} steps")
        if bank.overrides_by_voltage and bank.override_bus:
            raise UnsupportedByBatch(f"{name} looks at the voltage of bus {bank.override_bus}")
        if bank.capacitor in banks:
            raise UnsupportedByBatch(f"{name} switches the same bank as {banks[bank.capacitor]}")
        banks[bank.capacitor] = bank.name
    return reading
