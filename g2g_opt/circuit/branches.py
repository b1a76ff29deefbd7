"""What carries current from bus to bus in a compiled circuit: admittances, ratings, and whether anybody stated them."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g2g_opt.circuit.conductor_ratings import ConductorRating, ConductorRatings
from g2g_opt.circuit.elements import DRAWING_KINDS, elements
from g2g_opt.circuit.opendss_circuit import Circuit
from g2g_opt.circuit.parts import Branch

# OpenDSS gives every line without a stated rating 400 A, and 600 A in emergencies, each for itself.
DEFAULT_RATING_A, DEFAULT_EMERGENCY_A = 400.0, 600.0
# What a rating is made of where it is not stated itself; without it, it is OpenDSS's default for a size nobody gave.
_MADE_OF = {
    "transformer": {"kva", "kvas", "normhkva", "emerghkva"},
    "autotrans": {"kva", "kvas", "normhkva", "emerghkva"},
    "reactor": {"kvar"},
    "capacitor": {"kvar"},
}
# Codes that hand a rating on, and the objects of either by name with what is stated of them.
_CODES = ("LineCode", "XfmrCode")
Codes = Mapping[str, Mapping[str, Mapping[str, Any]]]
_SOURCES = {"vsource", "isource", "gicsource"}
_ALWAYS = {"line", "transformer", "autotrans"}


def read_branches(
    circuit: Circuit, ask_stated: bool = False, ratings: Mapping[str, Collection[str]] = MappingProxyType({})
) -> list[Branch]:
    """Everything that carries current between two buses, with present admittances (read anew after a tap change).

    Lines, transformers of every kind, reactors and capacitors in series, and whatever else has two ends. A reactor or
    capacitor whose rating nobody stated has none: OpenDSS makes it of a size that is its own default. `ask_stated` also
    finds out whether the ratings of lines and transformers were stated (`Branch.rating_is_stated`), and rates lines
    that are made of wires or cables by their phases' conductors. `ratings` are those that the circuit's files state of
    lines (see `stated_ratings`): the engine does not tell one of 400 A from none where a line code comes before.
    """
    found = []
    codes = {kind: circuit.stated_properties_of(kind) for kind in _CODES} if ask_stated else {}
    conductors = ConductorRatings(circuit) if ask_stated else None
    for kind, name in elements(circuit):
        n_terminals = int(circuit.ask("CktElement_Get_NumTerminals"))
        if n_terminals < 2 or kind in _SOURCES or kind in DRAWING_KINDS:
            continue
        ends = [end.lower().split(".")[0] for end in circuit.ask_array("CktElement_Get_BusNames", "char*")]
        if kind not in _ALWAYS and len(set(ends)) < 2:
            continue  # to ground
        flat = circuit.ask_array("CktElement_Get_Yprim", "double")
        enabled = bool(circuit.ask("CktElement_Get_Enabled"))
        # An element that was never in service has no nodes yet.
        nodes = circuit.terminal_nodes() if len(flat) and enabled else np.empty(0, dtype=np.int64)
        order = len(nodes)
        if len(flat) != 2 * order**2 and enabled:
            continue  # a control
        # A terminal's last conductor may be a neutral; loading is that of the phase conductors.
        n_conductors = int(circuit.ask("CktElement_Get_NumConductors"))
        n_phases = int(circuit.ask("CktElement_Get_NumPhases"))
        n_open = [_n_open(circuit, terminal, n_phases) for terminal in range(1, n_terminals + 1)]
        rating_a = float(circuit.ask("CktElement_Get_NormalAmps"))
        emergency_a = float(circuit.ask("CktElement_Get_EmergAmps"))
        stated = _is_stated(circuit, kind, name, rating_a, codes) if ask_stated or kind not in _ALWAYS else True
        emergency_stated = not ask_stated or _emergency_is_stated(circuit, kind, name, emergency_a, stated, codes)
        if (own := ratings.get(f"{kind}.{name}")) is not None:
            stated = rating_a != DEFAULT_RATING_A or "normamps" in own
            emergency_stated = emergency_a != DEFAULT_EMERGENCY_A or "emergamps" in own
        if kind not in _ALWAYS and not stated:
            rating_a = emergency_a = 0.0
        opendss_rating_a = rating_a
        shares: list[tuple[float, ...]] = [(), ()]
        if kind == "line" and conductors is not None and not conductors.is_empty:
            circuit.activate(f"line.{name}")
            by_wires = conductors.of_line(circuit.stated_properties(), n_phases, ConductorRating(rating_a, emergency_a))
            if by_wires is not None:
                (rating_a, emergency_a), *shares = by_wires
                stated, emergency_stated = rating_a > 0.0, emergency_a > 0.0
        found.append(
            Branch(
                kind,
                name,
                tuple(ends),
                nodes,
                _square(flat, order),
                n_conductors,
                n_phases,
                rating_a,
                emergency_a,
                enabled and max(n_open) < n_phases,
                kind == "line" and _is_switch(circuit, name),
                rating_is_stated=stated,
                has_open_conductor=any(0 < n < n_phases for n in n_open),
                **(_nameplate(circuit, kind, name, n_terminals, n_phases) if ask_stated else {}),
                emergency_is_stated=emergency_stated,
                opendss_rating_a=opendss_rating_a,
                conductor_shares=shares[0],
                emergency_conductor_shares=shares[1],
            )
        )
    return found


def read_admittance(circuit: Circuit, element: str) -> NDArray[np.complex128]:
    """Present admittances (S) between the conductors of an element ("transformer.reg1"), of all its terminals."""
    circuit.activate(element)
    flat = circuit.ask_array("CktElement_Get_Yprim", "double")
    return _square(flat, math.isqrt(len(flat) // 2))


def _square(flat: NDArray[np.float64], order: int) -> NDArray[np.complex128]:
    """OpenDSS writes a matrix column by column."""
    if not order:
        return np.empty((0, 0), complex)
    return np.asarray((flat[0::2] + 1j * flat[1::2]).reshape(order, order).T)


def _n_open(circuit: Circuit, terminal: int, n_phases: int) -> int:
    """Open phase conductors of a terminal of the active element."""
    if not circuit.ask("CktElement_IsOpen", terminal, 0):
        return 0
    return sum(bool(circuit.ask("CktElement_IsOpen", terminal, phase)) for phase in range(1, n_phases + 1))


def _is_switch(circuit: Circuit, name: str) -> bool:
    circuit.activate(f"line.{name}")
    return bool(circuit.ask("Lines_Get_IsSwitch"))


def _is_stated(circuit: Circuit, kind: str, name: str, rating_a: float, codes: Codes) -> bool:
    """Did somebody state an element's rating, or what it is made of?"""
    if kind == "line" and rating_a != DEFAULT_RATING_A:
        return True
    circuit.activate(f"{kind}.{name}")
    named = circuit.stated_properties()
    if kind != "line":
        if kind == "transformer" and codes.get("XfmrCode"):
            # The engine forgets that the code was stated where something else was behind it.
            code = circuit.ask_property(f"{kind}.{name}.xfmrcode").strip().lower()
            named |= codes["XfmrCode"].get(code, {})
        return "normamps" in named or bool(_MADE_OF.get(kind, set()) & named.keys())
    if "normamps" not in named:
        return False
    if "linecode" not in named:
        return True
    # A linecode hands its ratings on, stated or not, normal before emergency: one stated at the line comes later.
    order = list(named)
    if "emergamps" in named and order.index("normamps") > order.index("emergamps"):
        return True
    return "normamps" in codes.get("LineCode", {}).get(str(named["linecode"]).lower(), {})


def _emergency_is_stated(
    circuit: Circuit, kind: str, name: str, emergency_a: float, stated: bool, codes: Codes
) -> bool:
    """Did somebody state an element's emergency rating, or (but for lines) what it is made of?"""
    if kind != "line":
        return stated
    if emergency_a != DEFAULT_EMERGENCY_A:
        return True
    circuit.activate(f"{kind}.{name}")
    named = circuit.stated_properties()
    if "emergamps" not in named:
        return False
    if "linecode" not in named:
        return True
    # As for normal ratings: what a linecode hands on stands in a fixed order, right behind its normal one.
    order = list(named)
    if "normamps" not in named or order.index("emergamps") < order.index("normamps"):
        return True
    return "emergamps" in codes.get("LineCode", {}).get(str(named["linecode"]).lower(), {})


def _nameplate(circuit: Circuit, kind: str, name: str, n_terminals: int, n_phases: int) -> dict[str, Any]:
    """How a transformer's normal rating stands to its nameplate, and its terminals' ratings to the first one's.

    OpenDSS's normal rating of a transformer is 110 % of its nameplate by default. A terminal carries its winding's kVA
    at its kV; the windings of an autotransformer share theirs, so that its first terminal stands for all.
    """
    if kind not in ("transformer", "autotrans"):
        return {}
    circuit.select_winding(f"{kind}.{name}", 1)
    nameplate, normal = (float(circuit.ask_property(f"{kind}.{name}.{size}")) for size in ("kva", "normhkva"))
    shares: tuple[float, ...] = (1.0,)
    through_a = 0.0
    kv = _numbers(circuit.ask_property(f"{kind}.{name}.kvs"))
    if kind == "autotrans":
        through_a = normal / kv[0] / (math.sqrt(3.0) if n_phases > 1 else 1.0) if kv and kv[0] > 0.0 else 0.0
    else:
        kva = _numbers(circuit.ask_property(f"{kind}.{name}.kvas"))
        if len(kva) == len(kv) == n_terminals and min((*kva, *kv)) > 0.0:
            shares = tuple(kva[w] / kv[w] * kv[0] / kva[0] for w in range(n_terminals))
    return {
        "normal_over_nameplate": normal / nameplate if nameplate > 0.0 else 1.0,
        "terminal_shares": shares,
        "through_rating_a": through_a,
    }


def _numbers(text: str) -> list[float]:
    return [float(part) for part in text.strip("[]() ").replace(",", " ").split()]
