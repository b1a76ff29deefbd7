"""What a compiled circuit is made of, read out of the engine: loads, linear elements, sources."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator

import numpy as np
from numpy.typing import NDArray

from g2g_opt.circuit.element_names import INJECTION_PREFIX
from g2g_opt.circuit.opendss_circuit import Circuit
from g2g_opt.circuit.parts import LinearElement, LoadBranch
from g2g_opt.errors import InputError, listed

_ZIPV_MODEL = 8
_SOURCES = frozenset({"vsource", "isource"})
_ROUNDED = 1e-3  # share of what is taken up by which a source may give another power
_VARIABLE, _FIXED = 0, 1  # OpenDSS's load status


def elements(circuit: Circuit) -> Iterator[tuple[str, str]]:
    """(kind, name) of every element, in OpenDSS's order; each is the active one while it is handed out."""
    for place, full_name in enumerate(circuit.ask_array("Circuit_Get_AllElementNames", "char*")):
        kind, _, name = full_name.partition(".")
        # By its place: the engine takes far longer to find one by its name.
        circuit.ask("Circuit_SetCktElementIndex", place)
        yield kind.lower(), name.lower()


def elements_of(circuit: Circuit, kinds: Collection[str]) -> list[str]:
    """Elements (kind.name) of some kinds, in OpenDSS's order; for few among many, as none is made the active one."""
    names = [name.lower() for name in circuit.ask_array("Circuit_Get_AllElementNames", "char*")]
    return [name for name in names if name.partition(".")[0] in kinds]


def raise_on_same_names(circuit: Circuit) -> None:
    """Raise `InputError` if elements have the same name, of which the engine finds one alone by it."""
    names = Counter(name.lower() for name in circuit.ask_array("Circuit_Get_AllElementNames", "char*"))
    same = [name for name, count in names.items() if count > 1]
    if same:
        raise InputError(
            f"there is more than one {listed(same, 6)} (AllowDuplicates): an element is known by its name here; "
            "give each a name of its own"
        )


def raise_on_no_voltage(circuit: Circuit) -> None:
    """`InputError` on units in service that are stated for no voltage: no node has one that is a number then."""
    for unit in in_service(circuit, "generator", "pvsystem", "storage"):
        kv = float(circuit.ask_property(f"{unit}.kv"))
        if not kv > 0.0:
            raise InputError(f"{unit} is stated for {kv:g} kV, where nothing gives power; state its kv")


def fed_in_kva(circuit: Circuit, element: str) -> complex:
    """What an element feeds in (kW + j kvar) in the latest solution."""
    circuit.activate(element)
    powers = circuit.ask_array("CktElement_Get_Powers", "double")
    return -complex(float(powers[0::2].sum()), float(powers[1::2].sum()))


def source_kw(circuit: Circuit) -> float:
    """What a circuit's sources give in the latest solution (kW).

    What OpenDSS answers is V Y V at an admittance that has nearly no bound where a source's impedance is nearly none,
    and then nothing but rounding; what everything else takes up stands for it then.
    """
    told = -float(circuit.ask_array("Circuit_Get_TotalPower", "double")[0])
    taken = []
    for kind, _ in elements(circuit):
        if kind not in _SOURCES and circuit.ask("CktElement_Get_Enabled"):
            taken.append(float(circuit.ask_array("CktElement_Get_Powers", "double")[0::2].sum()))
    drawn = sum(taken)
    return told if abs(told - drawn) <= _ROUNDED * max(1.0, sum(map(abs, taken))) else drawn


def in_service(circuit: Circuit, *kinds: str) -> list[str]:
    """Elements (kind.name) of some kinds that are switched on, in OpenDSS's order; for few among many."""
    names = []
    for name in elements_of(circuit, kinds):
        circuit.activate(name)
        if circuit.ask("CktElement_Get_Enabled"):
            names.append(name)
    return names


def load_branches(circuit: Circuit) -> list[LoadBranch]:
    """The circuit's own loads that are switched on (not the injections), with the window of their branches.

    Powers include LoadMult, which those of status fixed or exempt do not follow.
    """
    found = []
    multiplier = float(circuit.ask("Solution_Get_LoadMult"))
    more = circuit.ask("Loads_Get_First")
    while more:
        circuit.ask("Circuit_SetActiveElement", b"Load." + circuit.ask_text("Loads_Get_Name").encode())
        name = circuit.ask_text("Loads_Get_Name").lower()
        if not name.startswith(INJECTION_PREFIX) and circuit.ask("CktElement_Get_Enabled"):
            model = int(circuit.ask("Loads_Get_Model"))
            status = int(circuit.ask("Loads_Get_Status"))
            varies = status == _VARIABLE
            level = multiplier if varies else 1.0
            figures = [float(circuit.ask(f"Loads_Get_{what}")) for what in ("kV", "kW", "kvar")]
            if not np.isfinite(figures).all():
                kv, kw, kvar = figures
                raise InputError(f"load.{name} is no finite load: {kv:g} kV, {kw:g} kW, {kvar:g} kvar")
            if figures[0] <= 0.0:
                raise InputError(
                    f"load.{name} is stated for {figures[0]:g} kV, at which nothing draws power; state its kv"
                )
            found.append(
                LoadBranch(
                    name=name,
                    nodes=circuit.terminal_nodes(),
                    n_phases=int(circuit.ask("CktElement_Get_NumPhases")),
                    is_delta=bool(circuit.ask("Loads_Get_IsDelta")),
                    model=model,
                    kv=float(circuit.ask("Loads_Get_kV")),
                    kw=level * float(circuit.ask("Loads_Get_kW")),
                    kvar=level * float(circuit.ask("Loads_Get_kvar")),
                    window_pu=(float(circuit.ask("Loads_Get_Vminpu")), float(circuit.ask("Loads_Get_Vmaxpu"))),
                    cvr_exponents=(float(circuit.ask("Loads_Get_CVRwatts")), float(circuit.ask("Loads_Get_CVRvars"))),
                    zipv=tuple(circuit.ask_array("Loads_Get_ZIPV", "double")) if model == _ZIPV_MODEL else (),
                    low_pu=float(circuit.ask_property(f"Load.{name}.vlowpu")),
                    varies=varies,
                    fixed_kvar=float(circuit.ask("Loads_Get_kvar")),
                    shape="" if status == _FIXED else _shape(circuit),
                )
            )
        more = circuit.ask("Loads_Get_Next")
    return found


def _shape(circuit: Circuit) -> str:
    """The shape that the active load follows in OpenDSS's yearly mode: its yearly one, else its daily one."""
    return (circuit.ask_text("Loads_Get_Yearly") or circuit.ask_text("Loads_Get_daily")).lower()


def linear_elements(circuit: Circuit, only: Collection[tuple[str, str]] | None = None) -> list[LinearElement]:
    """Elements in service whose currents are linear in the voltages: lines, transformers, capacitors, sources, ...

    All of them, or `only` those of some (kind, name).
    """
    if only is None:
        return _with_admittances(circuit, elements(circuit), lambda kind: kind in LINEAR_KINDS)
    return _with_admittances(circuit, _active(circuit, only), lambda kind: True)


def _active(circuit: Circuit, names: Collection[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    for kind, name in names:
        circuit.activate(f"{kind}.{name}")
        yield kind, name


def passive_elements(circuit: Circuit) -> list[LinearElement]:
    """Everything in service that carries current from bus to bus or holds a voltage: all but what draws and feeds in.

    Lines, transformers of every kind, capacitors and reactors in series or to ground, faults, and voltage sources.
    """
    return _with_admittances(circuit, elements(circuit), lambda kind: kind not in DRAWING_KINDS)


def _with_admittances(
    circuit: Circuit, names: Iterator[tuple[str, str]], wanted: Callable[[str], bool]
) -> list[LinearElement]:
    found = []
    for kind, name in names:
        if not wanted(kind) or not circuit.ask("CktElement_Get_Enabled"):
            continue
        flat = circuit.ask_array("CktElement_Get_Yprim", "double")
        nodes = circuit.terminal_nodes()
        if len(flat) != 2 * len(nodes) ** 2:
            continue  # controls and meters have none
        if not np.isfinite(flat).all():
            raise InputError(
                f"{kind}.{name} has an admittance that is no finite number: a voltage, size or impedance of it is zero "
                "or out of range"
            )
        # OpenDSS writes the matrix column by column.
        yprim = (flat[0::2] + 1j * flat[1::2]).reshape(len(nodes), len(nodes)).T
        found.append(LinearElement(kind, name, nodes, yprim))
    return found


LINEAR_KINDS = frozenset({"line", "transformer", "autotrans", "capacitor", "reactor", "fault", "vsource", "isource"})

# What draws or feeds in by a law of its own; it hangs on the network and connects nothing. A UPFC lies in series.
DRAWING_KINDS = frozenset({"load", "generator", "pvsystem", "storage", "indmach012", "vccs"})


def source_currents_a(circuit: Circuit) -> NDArray[np.complex128]:
    """Currents (A) that the circuit's sources inject behind their own admittances, in node order."""
    circuit.ask("YMatrix_ZeroInjCurr")
    circuit.ask("YMatrix_GetSourceInjCurrents")
    return circuit.injected_currents_a()


# Kilometres in each of OpenDSS's units of length, in its order; 0 is none.
_KM_PER_UNIT = (1.0, 1.609344, 0.3048, 1.0, 1e-3, 3.048e-4, 2.54e-5, 1e-5, 1e-6)
_UNITS = ("none", "mi", "kft", "km", "m", "ft", "in", "cm", "mm")


def _unit_of_impedance(circuit: Circuit, line: str) -> int:
    """The unit by which a line that states none has its impedance; 0 if there is none."""
    if any(circuit.ask_property(f"Line.{line}.{one}").strip(" []") for one in ("geometry", "spacing")):
        return _UNITS.index("m")
    code = circuit.ask_property(f"Line.{line}.linecode").strip()
    unit = circuit.ask_property(f"LineCode.{code}.units").strip().lower() if code else "none"
    return _UNITS.index(unit) if unit in _UNITS else 0


def line_lengths_km(circuit: Circuit) -> dict[str, tuple[float, bool]]:
    """(length, whether its unit is stated) of every line by name; a length without a unit is taken as it is.

    One of a line code is in the code's unit, and one of a geometry in metres, as OpenDSS has it.
    """
    found = {}
    more = circuit.ask("Lines_Get_First")
    while more:
        name = circuit.ask_text("Lines_Get_Name").lower()
        unit = int(circuit.ask("Lines_Get_Units")) or _unit_of_impedance(circuit, name)
        found[name] = (float(circuit.ask("Lines_Get_Length")) * _KM_PER_UNIT[unit], unit != 0)
        more = circuit.ask("Lines_Get_Next")
    return found
