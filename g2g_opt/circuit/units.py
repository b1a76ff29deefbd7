"""Generators, PV systems and storage of a compiled circuit: what each feeds in now, and by which law of its voltage."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from g2g_opt.circuit.elements import elements
from g2g_opt.circuit.opendss_circuit import Circuit

UNIT_KINDS = frozenset({"generator", "pvsystem", "storage"})


class UnitLaw(StrEnum):
    """How a unit answers to its voltage.

    POWER: constant power inside its window, an impedance outside. IMPEDANCE: at any voltage. VARS: constant P, and Q
    whose impedance outside does not scale with the window (OpenDSS's generator model 4). VARS_IMPEDANCE: constant P,
    and Q as an impedance (model 5). LIMITED: constant power, below the window constant current. LIMITED_TURNED: the
    same with the sign of Q turned round below the window, as OpenDSS's generator model 7 has it. OTHER: anything else.
    """

    POWER = "power"
    IMPEDANCE = "impedance"
    VARS = "vars"
    VARS_IMPEDANCE = "vars impedance"
    LIMITED = "limited"
    LIMITED_TURNED = "limited turned"
    OTHER = "other"


HOLDS_VOLTAGE = 3  # OpenDSS's generator model
_GENERATOR_LAWS = {
    1: UnitLaw.POWER,
    2: UnitLaw.IMPEDANCE,
    4: UnitLaw.VARS,
    5: UnitLaw.VARS_IMPEDANCE,
    7: UnitLaw.LIMITED_TURNED,
}


@dataclass(frozen=True)
class HeldVoltage:
    """What a unit holds: the mean voltage (V) of its branches, by vars of each branch within limits (fed in)."""

    voltage_v: float
    least_var: float
    most_var: float

    @property
    def rating_var(self) -> float:
        """The larger of its limits, of which its vars are a share."""
        return max(abs(self.least_var), abs(self.most_var))


@dataclass(frozen=True, eq=False)
class OwnUnit:
    """One unit: nodes of its conductors (-1 ground), law, and power fed in by each branch (VA) at rated voltage.

    `base_v` is that of a branch, `window_pu` where its law holds. `outside_share` is what an impedance outside the
    window is of the one that power and base imply: a third for one phase in delta. `follows_load`: whether the load
    level dispatches it. `is_idle`: a storage that neither charges nor discharges. `held`: the voltage that its vars
    hold, whatever `power_va` says of them. `unlike` says what sets one of another law apart.
    """

    kind: str
    name: str
    nodes: NDArray[np.int64]
    n_phases: int
    is_delta: bool
    law: UnitLaw
    power_va: complex
    base_v: float
    window_pu: tuple[float, float]
    outside_share: float
    follows_load: bool
    is_idle: bool
    unlike: str = ""
    held: HeldVoltage | None = None

    def branch_nodes(self) -> list[tuple[int, int]]:
        """Node pairs (from, to) across which its branches lie; -1 is ground."""
        nodes = [int(n) for n in self.nodes]
        if not self.is_delta:
            return [(n, nodes[self.n_phases]) for n in nodes[: self.n_phases]]
        return [(nodes[k], nodes[(k + 1) % len(nodes)]) for k in range(self.n_phases)]


@dataclass(frozen=True)
class UnitShare:
    """What of a unit ("pvsystem.a") a share scales: all of it, or of an inverter its active or reactive power."""

    element: str
    part: Literal["all", "active", "reactive"] = "all"


def rated_vars(unit: OwnUnit, kva: float) -> OwnUnit:
    """A unit that a control steers, with its inverter's rating (kVA) as reactive power, of which it gives a share."""
    return replace(unit, power_va=complex(unit.power_va.real, 1e3 * kva / len(unit.branch_nodes())))


def parts_of_unit(unit: OwnUnit) -> list[tuple[OwnUnit, UnitShare]]:
    """A unit as parts that are scaled by shares of their own: inverters have two, whose currents add up."""
    element = f"{unit.kind}.{unit.name}"
    if (unit.kind == "generator" and unit.held is None) or unit.law is UnitLaw.OTHER:
        return [(unit, UnitShare(element))]
    return [
        (replace(unit, power_va=complex(unit.power_va.real)), UnitShare(element, "active")),
        (replace(unit, power_va=1j * unit.power_va.imag), UnitShare(element, "reactive")),
    ]


def own_units(circuit: Circuit) -> list[OwnUnit]:
    """The units in service of a circuit that is solved, in its order."""
    names = [(kind, name) for kind, name in elements(circuit) if kind in UNIT_KINDS]
    return [
        _unit(circuit, kind, name)
        for kind, name in names
        if circuit.has(f"{kind}.{name}") and circuit.ask("CktElement_Get_Enabled")
    ]


_FORMS_THE_GRID = "gfm"


def _unit(circuit: Circuit, kind: str, name: str) -> OwnUnit:
    def asked(prop: str) -> str:
        return circuit.ask_property(f"{kind}.{name}.{prop}").strip().lower()

    model = int(asked("model"))
    law = _GENERATOR_LAWS.get(model, UnitLaw.OTHER)
    if kind != "generator":
        law = {1: UnitLaw.POWER, 2: UnitLaw.IMPEDANCE}.get(model, UnitLaw.OTHER)
        if kind == "pvsystem" and law is UnitLaw.POWER and asked("limitcurrent") in ("yes", "true"):
            law = UnitLaw.LIMITED
    unlike = "" if law is not UnitLaw.OTHER else f"is of model {model}"
    n_phases = int(asked("phases"))
    if n_phases == 3 and asked("balanced") in ("yes", "true"):
        law, unlike = UnitLaw.OTHER, "feeds in its phases alike, whatever their voltages (balanced)"
    if kind != "generator" and asked("controlmode") == _FORMS_THE_GRID:
        law, unlike = UnitLaw.OTHER, f"forms the grid (controlmode={_FORMS_THE_GRID})"
    is_delta = asked("conn").startswith(("d", "l"))
    base_v = 1e3 * float(asked("kv")) / (1.0 if n_phases == 1 or is_delta else np.sqrt(3.0))
    low_pu, high_pu = (float(asked(f"v{edge}pu")) for edge in ("min", "max"))
    one_in_delta = is_delta and n_phases == 1
    if law is UnitLaw.LIMITED and one_in_delta:
        # OpenDSS takes its current for that of three phases.
        low_pu *= np.sqrt(3.0)
    held = None
    if kind == "generator" and model == HOLDS_VOLTAGE:
        held = _held_voltage(asked, n_phases, base_v, is_delta)
        if held.rating_var == 0.0 or one_in_delta:
            unlike = "holds a voltage (model 3) without vars, or between two phases"
        else:
            # Its watts and vars are what they are at any voltage.
            law, low_pu, high_pu = UnitLaw.POWER, 0.0, np.inf
    unit = OwnUnit(
        kind=kind,
        name=name,
        nodes=np.zeros(0, dtype=np.int64),
        n_phases=n_phases,
        is_delta=is_delta,
        law=law,
        power_va=0j,
        base_v=base_v,
        window_pu=(low_pu, high_pu),
        outside_share=1.0 / 3.0 if one_in_delta else 1.0,
        follows_load=_follows_load(kind, asked),
        is_idle=kind == "storage" and asked("state") == "idling",
        unlike=unlike,
        held=held if law is UnitLaw.POWER else None,
    )
    return _with_power(circuit, unit)


def _follows_load(kind: str, asked: Callable[[str], str]) -> bool:
    """Whether the load level dispatches a unit: a generator above a value, a storage by its triggers."""
    mode = asked("dispmode")
    if kind == "generator":
        return mode != "default" and float(asked("dispvalue")) > 0.0
    triggers = ("chargetrigger", "dischargetrigger")
    return kind == "storage" and mode.startswith("l") and any(float(asked(one)) > 0.0 for one in triggers)


def _held_voltage(asked: Callable[[str], str], n_phases: int, base_v: float, is_delta: bool) -> HeldVoltage:
    """OpenDSS compares the mean of the phases' voltages, in delta divided by the root of 3, with `vpu` of kV."""
    target_v = 1e3 * float(asked("vpu")) * float(asked("kv")) / (np.sqrt(3.0) if n_phases > 1 else 1.0)
    least, most = (1e3 * float(asked(f"{edge}kvar")) / n_phases for edge in ("min", "max"))
    return HeldVoltage(float(target_v * (np.sqrt(3.0) if is_delta else 1.0)), least, most)


def _with_power(circuit: Circuit, unit: OwnUnit) -> OwnUnit:
    """The unit with its nodes and what each branch feeds in at rated voltage, told from what it does now.

    Properties do not tell it: dispatch, an inverter's controls, limits and the state of a storage decide.
    """
    circuit.activate(f"{unit.kind}.{unit.name}")
    unit = replace(unit, nodes=circuit.terminal_nodes())
    if circuit.ask("CktElement_IsOpen", 1, 0):
        return replace(unit, law=UnitLaw.OTHER, unlike="is open at its terminal")
    powers = circuit.ask_array("CktElement_Get_Powers", "double")
    fed_va = -1e3 * complex(powers[0::2].sum(), powers[1::2].sum())
    volts = np.append(circuit.node_voltages(), 0.0)
    m = np.array([abs(volts[a] - volts[b]) for a, b in unit.branch_nodes()]) / unit.base_v
    low, high = unit.window_pu
    outside = unit.outside_share * m**2
    match unit.law:
        case UnitLaw.POWER:
            share = np.where(
                m <= low, outside / (low or 1.0) ** 2, np.where(m > high, outside / (high or 1.0) ** 2, 1.0)
            )
        case UnitLaw.IMPEDANCE:
            share = outside
        case _:
            if unit.kind == "generator":
                circuit.activate(f"generator.{unit.name}")
                circuit.ask("Generators_Set_Name", unit.name.encode())
                asked_kva = complex(float(circuit.ask("Generators_Get_kW")), float(circuit.ask("Generators_Get_kvar")))
                if unit.law in (UnitLaw.VARS, UnitLaw.VARS_IMPEDANCE):
                    # These vars follow neither GenMult nor a shape.
                    asked_kva = complex(asked_kva.real, float(circuit.ask_property(f"Generator.{unit.name}.kvar")))
                return replace(unit, power_va=1e3 * asked_kva / unit.n_phases)
            share = np.where(m <= low, m / (low or 1.0), 1.0)
    # Without any voltage a unit feeds nothing, whatever it would at its own.
    return replace(unit, power_va=fed_va / float(share.sum()) if share.any() else 0j)
