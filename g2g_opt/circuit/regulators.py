"""The tap changers of a compiled circuit and the controls on them, read whole out of the engine."""

from __future__ import annotations

from dataclasses import dataclass, replace

from g2g_opt.circuit.element_names import named
from g2g_opt.circuit.opendss_circuit import Circuit
from g2g_opt.circuit.parts import Regulator

_NO = "no"


@dataclass(frozen=True, eq=False)
class RegulatorReading:
    """A circuit's changers by the lower-case name of the control in service on each, and what else was found.

    `notes` say in words which controls have no changer of their own to move: disabled ones, those on a winding without
    taps, and a second control on the same changer.
    """

    regulators: dict[str, Regulator]
    notes: tuple[str, ...]


def read_regulators(circuit: Circuit) -> RegulatorReading:
    """Every changer that a RegControl moves, with the range and the steps of its own winding."""
    found: dict[str, Regulator] = {}
    notes: list[str] = []
    movers: dict[tuple[str, int], str] = {}
    for name in circuit.ask_array("RegControls_Get_AllNames", "char*"):
        name = name.lower()
        if not circuit.has(f"RegControl.{name}"):
            continue  # the engine's word for none is a name
        if _ask(circuit, f"RegControl.{name}.enabled").lower() == _NO:
            notes.append(f"RegControl {name} is disabled")
            continue
        transformer = named(_ask(circuit, f"RegControl.{name}.transformer"))
        kind = "transformer" if circuit.has(f"Transformer.{transformer}") else "autotrans"
        circuit.activate(f"{kind}.{transformer}")
        if not circuit.ask("CktElement_Get_Enabled"):
            notes.append(f"RegControl {name} moves {kind} {transformer}, which is disabled")
            continue
        controlled = int(_ask(circuit, f"RegControl.{name}.winding"))
        tapped = int(_ask(circuit, f"RegControl.{name}.tapwinding"))
        changer = (f"{kind}.{transformer}", tapped)
        regulator = _read(circuit, name, kind, transformer, controlled, tapped)
        if regulator is None:
            notes.append(f"RegControl {name} moves winding {tapped} of {kind} {transformer}, which has no tap changer")
        elif changer in movers:
            notes.append(f"RegControl {name} moves the same changer as {movers[changer]}: winding {tapped}")
            first = found[movers[changer]]
            both = tuple(sorted({*first.phases, *regulator.phases}))
            found[first.name] = replace(first, phases=both)
        else:
            movers[changer] = name
            found[name] = regulator
    return RegulatorReading(found, tuple(notes))


def _read(circuit: Circuit, name: str, kind: str, transformer: str, controlled: int, tapped: int) -> Regulator | None:
    """One control's changer; None if its winding has none."""
    circuit.activate(f"{kind}.{transformer}")
    ends = circuit.ask_array("CktElement_Get_BusNames", "char*")
    bus, *nodes = ends[controlled - 1].lower().split(".")
    circuit.select_winding(f"{kind}.{transformer}", tapped)
    low, high = (float(_ask(circuit, f"{kind}.{transformer}.{limit}")) for limit in ("mintap", "maxtap"))
    n_steps = int(float(_ask(circuit, f"{kind}.{transformer}.numtaps")))
    if n_steps < 1 or not high > low:
        return None
    return Regulator(
        name,
        transformer,
        tapped,
        bus,
        tuple(int(n) for n in nodes if n in ("1", "2", "3")) or (1, 2, 3),
        low,
        high,
        (high - low) / n_steps,
        kind=kind,
        controlled_winding=controlled,
        settings=tuple(_settings(circuit, name)),
    )


def _settings(circuit: Circuit, name: str) -> list[str]:
    """What a control does besides holding the voltage of its winding, in words."""
    words = []
    r, x, z = (float(_ask(circuit, f"RegControl.{name}.{part}")) for part in ("r", "x", "ldc_z"))
    if r or x:
        words.append(f"line-drop compensation R {r:g} V, X {x:g} V")
    if z:
        words.append(f"line-drop compensation Z {z:g} V")
    remote = _ask(circuit, f"RegControl.{name}.bus").lower()
    if remote:
        words.append(f"holds the voltage of bus {remote}")
    if _ask(circuit, f"RegControl.{name}.reversible").lower() != _NO:
        held = "goes to neutral" if _ask(circuit, f"RegControl.{name}.revneutral").lower() != _NO else (
            f"holds {_ask(circuit, f'RegControl.{name}.revvreg')} V"
        )  # fmt: skip
        words.append(f"reverse mode: {held} when power flows back")
    if _ask(circuit, f"RegControl.{name}.cogen").lower() != _NO:
        words.append("cogeneration mode")
    limit = float(_ask(circuit, f"RegControl.{name}.vlimit"))
    if limit:
        words.append(f"lowers the tap above {limit:g} V at the winding")
    if _ask(circuit, f"RegControl.{name}.inversetime").lower() != _NO:
        words.append("inverse time delay")
    return words


def _ask(circuit: Circuit, what: str) -> str:
    return circuit.ask_property(what).strip()
