"""Words that a circuit's file leaves out, or puts in an order, and that OpenDSS fills with what nobody meant."""

from __future__ import annotations

from g2g_opt.circuit.element_names import named
from g2g_opt.circuit.element_properties import ElementProperties
from g2g_opt.circuit.elements import elements, in_service
from g2g_opt.circuit.inverters import read_inverters
from g2g_opt.circuit.opendss_circuit import Circuit
from g2g_opt.errors import listed

# OpenDSS's defaults: a storage's limit of vars (kvar), a third winding's reactances (%, to the first and the second).
_KVAR_MAX, _XHT, _XLT = 25.0, 35.0, 30.0
# A curve that ends beyond these voltages (pu) ends where no bus is.
_CURVE_FROM_PU, _CURVE_TO_PU = 0.8, 1.2
# A voltage to ground that is less than this of the one between an inverter's conductors is none between a phase and a
# neutral.
_TO_GROUND = 0.8
_MANY = 2
_OF_PHASES = frozenset({"line", "load", "capacitor", "reactor", "generator", "pvsystem", "storage"})
_SHOWN = 8


def unstated_notes(circuit: Circuit) -> tuple[str, ...]:
    """Sentences on elements in service that act by a default, or by a word's place, each kind with its elements."""
    found = (
        (
            _short_of_vars(circuit),
            "storage of no stated kVA: it gives 25 kvar at most, OpenDSS's default, whatever its kWrated; state kVA",
        ),
        (
            in_service(circuit, "gictransformer"),
            "transformers for direct currents (GIC), which are resistances of their windings here, to ground or their "
            "neutrals, so that nothing beyond them has a source, or a voltage base of its own; state a Transformer",
        ),
        (
            _doubled_conductors(circuit),
            "elements of more phases than the nodes that a bus of theirs names, whose further conductors OpenDSS puts "
            "at the nodes of their numbers, so that two lie at one; state phases, or name a node for each",
        ),
        (
            _third_windings(circuit),
            "transformers of three windings of which the third has 35 and 30 % to the others, OpenDSS's defaults "
            "whatever xhl is; state xht and xlt",
        ),
        (
            _open_curves(circuit),
            "curves of inverters that end with a slope, on which OpenDSS goes on in a straight line beyond their last "
            "point, past what they end with; add a point of the same height further out",
        ),
        (
            _between_conductors(circuit),
            "inverters of one phase between two conductors, of which an InvControl compares the first one's voltage to "
            "ground with their kV, so that it sees half their voltage, or 0.58 of it; state phases=2, and a kV of 1.73 "
            "times that to ground",
        ),
        (
            _switches_by_normal(circuit),
            "switches in the state that `normal` names, as it stands behind `state` or alone; EPRI's OpenDSS 10.1 "
            "leaves them in their `state`, or closed; name `state` last",
        ),
    )
    return tuple(f"{words}: {listed(names, _SHOWN)}" for names, words in found if names)


def _short_of_vars(circuit: Circuit) -> list[str]:
    found = []
    for name in in_service(circuit, "storage"):
        own = ElementProperties(circuit, name)
        if own.number("kvarmax") == _KVAR_MAX < own.number("kva"):
            circuit.activate(name)
            stated = circuit.stated_properties()
            if not {"kva", "kvarmax", "kvarmaxabs"} & set(stated):
                found.append(name)
    return found


def _doubled_conductors(circuit: Circuit) -> list[str]:
    found = []
    for kind, name in elements(circuit):
        # Most elements of large circuits have one phase.
        n_phases = circuit.ask("CktElement_Get_NumPhases") if kind in _OF_PHASES else 0
        if n_phases < _MANY or not circuit.ask("CktElement_Get_Enabled"):
            continue
        for bus in circuit.ask_array("CktElement_Get_BusNames", "char*"):
            stated = [int(node) for node in bus.split(".")[1:]]
            # The conductors that no node is named for lie at the nodes of their own numbers.
            nodes = [*stated, *range(len(stated) + 1, n_phases + 1)]
            if stated and len(set(nodes[:n_phases])) < n_phases > len(stated):
                found.append(f"{kind}.{name} ({n_phases} phases at {bus.lower()})")
                break
    return found


def _third_windings(circuit: Circuit) -> list[str]:
    found = []
    for name in in_service(circuit, "transformer"):
        own = ElementProperties(circuit, name)
        if own.number("windings") == 3 and (own.number("xht"), own.number("xlt")) == (_XHT, _XLT):
            found.append(name)
    return found


def _open_curves(circuit: Circuit) -> list[str]:
    found: dict[str, None] = {}
    for control in in_service(circuit, "invcontrol"):
        own = ElementProperties(circuit, control)
        mode = (own.text("combimode") or own.text("mode")).lower()
        used = {"vvc_curve1": mode in ("voltvar", "vv_vw"), "voltwatt_curve": mode in ("voltwatt", "vv_vw")}
        for prop, is_used in used.items():
            name = named(own.text(prop))
            if is_used and name:
                curve = ElementProperties(circuit, f"XYCurve.{name}")
                x, y = ([float(part) for part in curve.row(axis)] for axis in ("xarray", "yarray"))
                if min(len(x), len(y)) < 2:
                    continue
                # Below a volt-watt curve the sun is the limit.
                low = prop == "vvc_curve1" and x[0] > _CURVE_FROM_PU and y[0] != y[1]
                if low or (x[-1] < _CURVE_TO_PU and y[-1] != y[-2]):
                    found[f"xycurve.{name}"] = None
    return list(found)


def _between_conductors(circuit: Circuit) -> list[str]:
    found: dict[str, None] = {}
    for settings in read_inverters(circuit):
        circuit.activate(settings.element)
        if circuit.ask("CktElement_Get_NumPhases") == 1:
            volts = circuit.ask_array("CktElement_Get_Voltages", "double")
            first, second = volts[0::2] + 1j * volts[1::2]
            if abs(first) < _TO_GROUND * abs(first - second):
                found[settings.element] = None
    return list(found)


def _switches_by_normal(circuit: Circuit) -> list[str]:
    found = []
    for name in in_service(circuit, "swtcontrol"):
        circuit.activate(name)
        order = [prop for prop in circuit.stated_properties() if prop in ("normal", "state", "action")]
        if order and order[-1] == "normal":
            state = ElementProperties(circuit, name).text("state").lower()
            if len(order) > 1 or state == "open":
                found.append(f"{name} ({state})")
    return found
