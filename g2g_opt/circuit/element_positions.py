"""What a circuit's own controls move, and where it stands: taps, banks, vars, and terminals that are open."""

from __future__ import annotations

from g2g_opt.circuit.elements import elements
from g2g_opt.circuit.opendss_circuit import Circuit

# OpenDSS's controls that move something in the circuit, by what holds still while they do not act.
CONTROLS = {
    "regcontrol": "taps",
    "capcontrol": "capacitor banks",
    "invcontrol": "reactive and active power of inverters",
    "expcontrol": "reactive power of inverters",
    "storagecontroller": "batteries",
    "swtcontrol": "switches",
    "relay": "switches",
    "recloser": "switches",
    "fuse": "fuses",
    "gendispatcher": "generators",
    "espvlcontrol": "sources",
    "upfccontrol": "power flow controllers",
}
# What of an element a control moves, as properties that an edit sets again.
_MOVED = {
    "transformer": ("taps",),
    "autotrans": ("taps",),
    "capacitor": ("states",),
    "pvsystem": ("kvar",),
    # The power of a storage that charges or discharges is a share of its rating, which a StorageController sets.
    "storage": ("kvar", "state", "%charge", "%discharge"),
    # Stating its watts makes OpenDSS set its vars, so that these come behind.
    "generator": ("kw", "kvar"),
}
# The position of what may be open, and that of what is not.
OPEN, NOWHERE = "open", "none"
Positions = dict[str, dict[str, str]]


def positions(circuit: Circuit) -> Positions:
    """By element, what a control may have moved: properties, and terminals that are open."""
    found: Positions = {}
    for kind, name in elements(circuit):
        if kind in CONTROLS or not circuit.ask("CktElement_Get_Enabled"):
            continue
        element = f"{kind}.{name}"
        found[element] = {}
        # A bank that is switched off counts as open, too; its states say it all.
        if kind != "capacitor":
            found[element][OPEN] = _open_places(circuit)
        for prop in _MOVED.get(kind, ()):
            found[element][prop] = circuit.ask_property(f"{element}.{prop}").strip()
    return found


def _open_places(circuit: Circuit) -> str:
    """Where the active element is open: terminals ("1"), phases where one is open in part ("1.2 1.3"), or "none"."""
    found = []
    n_phases = int(circuit.ask("CktElement_Get_NumPhases"))
    for terminal in range(1, int(circuit.ask("CktElement_Get_NumTerminals")) + 1):
        phases = [k for k in range(1, n_phases + 1) if circuit.ask("CktElement_IsOpen", terminal, k)]
        found += [str(terminal)] if len(phases) == n_phases else [f"{terminal}.{phase}" for phase in phases]
    return " ".join(found) or NOWHERE
