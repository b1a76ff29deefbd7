"""The storage of a compiled circuit that charges or discharges: its energy, and what it does when it rests."""

from __future__ import annotations

from dataclasses import dataclass, replace

from g2g_opt.circuit.element_names import as_word
from g2g_opt.circuit.element_properties import ElementProperties
from g2g_opt.circuit.elements import elements, fed_in_kva
from g2g_opt.circuit.opendss_circuit import Circuit

_IDLE = "idling"


@dataclass(frozen=True)
class StorageSettings:
    """One storage in service that charges or discharges where a run begins, in OpenDSS's units.

    It charges from `stored_kwh` to `rated_kwh`, or discharges to `reserve_kwh`, and idles from then on, with its
    terminals giving `idle_kva`. Efficiencies are shares. `unlike` says what sets it apart from one that acts in
    lockstep.
    """

    name: str
    charges: bool
    stored_kwh: float
    rated_kwh: float
    reserve_kwh: float
    charge_efficiency: float
    discharge_efficiency: float
    idle_losses_kw: float
    idle_kva: complex
    unlike: str = ""


def idling_command(name: str) -> str:
    """The command that lets a storage unit idle, whatever would dispatch it."""
    return f"Edit {as_word(f'Storage.{name}')} dispmode=default state={_IDLE}"


def idling_commands(circuit: Circuit) -> list[str]:
    """Commands that let all storage of a circuit idle, and rest what would dispatch it."""
    found = []
    for kind, name in elements(circuit):
        if kind in ("storage", "storagecontroller") and circuit.ask("CktElement_Get_Enabled"):
            rests = f"Disable {as_word(f'StorageController.{name}')}"
            found.append(idling_command(name) if kind == "storage" else rests)
    return found


def read_storages(circuit: Circuit) -> tuple[StorageSettings, ...]:
    """The storages of a circuit that do not idle; the circuit is solved, and left with them idling."""
    names = [
        name
        for kind, name in elements(circuit)
        if kind == "storage"
        and circuit.ask("CktElement_Get_Enabled")
        and circuit.ask_property(f"Storage.{name}.state").strip().lower() != _IDLE
    ]
    found = [_storage(circuit, name) for name in names]
    if found and any(kind == "storagecontroller" for kind, _ in elements(circuit)):
        # One that has acted, and rests since, has written its own reserve over the one that a storage keeps.
        found = [replace(one, unlike=one.unlike or "stands beside a StorageController's reserve") for one in found]
    for name in names:
        circuit.command(f"Edit {as_word(f'Storage.{name}')} state={_IDLE}")
    if names:
        circuit.finish()
    return tuple(replace(one, idle_kva=fed_in_kva(circuit, f"Storage.{one.name}")) for one in found)


def _storage(circuit: Circuit, name: str) -> StorageSettings:
    own = ElementProperties(circuit, f"Storage.{name}")
    return StorageSettings(
        name=name,
        charges=own.text("state").lower() == "charging",
        stored_kwh=own.number("kwhstored"),
        rated_kwh=own.number("kwhrated"),
        reserve_kwh=own.number("kwhrated") * own.number("%reserve") / 100.0,
        charge_efficiency=own.number("%effcharge") / 100.0,
        discharge_efficiency=own.number("%effdischarge") / 100.0,
        idle_losses_kw=own.number("kwrated") * own.number("%idlingkw") / 100.0,
        idle_kva=0j,
        unlike=_unlike(own),
    )


def _unlike(own: ElementProperties) -> str:
    mode = own.text("dispmode").lower()
    if mode not in ("default", "external", "follow"):
        return f"is dispatched by {mode}"
    if own.number("chargetrigger") != 0.0 or own.number("dischargetrigger") != 0.0:
        return "is switched by a trigger level"
    if own.text("effcurve") not in ("", "none"):
        return "has an efficiency curve"
    return ""
