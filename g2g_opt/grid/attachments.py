"""What hangs on a grid besides the feeder's own elements: sites, generators, loads and storage."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from g2g_opt.circuit.element_names import check_name
from g2g_opt.circuit.opendss_circuit import Circuit
from g2g_opt.circuit.parts import Bus
from g2g_opt.datacenter.base import DatacenterBackend
from g2g_opt.errors import InputError, unknown_name
from g2g_opt.feeder import Feeder
from g2g_opt.grid.profile import PowerProfile
from g2g_opt.grid.storage import EnergyStorage
from g2g_opt.unserved_buses import raise_on_unserved

Connection = Literal["wye", "delta"]
Pairs = tuple[tuple[int, int], ...]

# Real power supplies draw constant power over a wide band; OpenDSS's own default of 0.95 to 1.05 does not (equation
# 5.2).
CONSTANT_POWER_WINDOW_PU = (0.80, 1.20)


def connection_at(bus: Bus, connection_type: str, what: str) -> Connection:
    """How `what` is connected at a bus: as asked for, or for "auto" as the bus permits.

    At two phases, or the two legs of a 120/240 V service, it lies between them (delta), at one phase between that and
    the neutral (wye). Raises `InputError` for an unknown connection, one that the phases of the bus do not permit, and
    for wye where no zero-sequence current can flow: its loads to ground would have no voltage of their own there.
    """
    only: Connection | None = {1: "wye", 2: "delta"}.get(len(bus.phases))  # type: ignore[assignment]
    asked = connection_type.lower()
    if only is not None and asked in ("wye", "delta") and asked != only:
        between = "its two phases" if only == "delta" else "its one phase and the neutral"
        raise InputError(f"{what} can only lie between {between} at bus {bus.name}: connection {only!r} (or 'auto')")
    match asked:
        case "auto":
            return only or ("delta" if bus.three_wire else "wye")
        case "wye":
            if bus.three_wire:
                raise InputError(
                    f"{what} cannot be connected in wye at bus {bus.name}: the circuit has no path for zero-sequence "
                    "current there; connect it in delta (or 'auto')"
                )
            return "wye"
        case "delta":
            return "delta"
        case _:
            raise InputError(f"connection_type must be 'auto', 'wye' or 'delta', got {connection_type!r}")


def connected_pairs(bus: Bus, connection: Connection) -> Pairs:
    """Node numbers (from, to) of the three branches (0 is ground), side by side where there are fewer phases."""
    if len(bus.phases) == 2:
        return ((bus.phases[0], bus.phases[1]),) * 3
    if len(bus.phases) == 1:
        return ((bus.phases[0], bus.neutral),) * 3
    if connection == "delta":
        first, second, third = bus.three_phases
        return ((first, second), (second, third), (third, first))
    return tuple((phase, bus.neutral) for phase in bus.three_phases)


# Standing loads of a feeder's studies, as recorded with the reference trajectories (lagging).
LOAD_POWER_FACTOR = 0.96


def tan_phi(power_factor: float) -> float:
    """kvar per kW at a lagging power factor in (0, 1]; `InputError` outside."""
    if not 0.0 < power_factor <= 1.0:
        raise InputError(f"power_factor must lie in (0, 1], got {power_factor}")
    return math.tan(math.acos(power_factor))


def check_window(window_pu: tuple[float, float]) -> tuple[float, float]:
    """A constant-power window (low, high) around 1 pu, else `InputError`; OpenDSS needs low > 0.5."""
    low, high = window_pu
    if not 0.5 < low < 1.0 < high:
        raise InputError(f"constant_power_window_pu must be (low, high) around 1 with low > 0.5, got {window_pu}")
    return float(low), float(high)


@dataclass(frozen=True, eq=False)
class Attachment:
    """Something drawing power on the phases of a bus, as three single-phase injections.

    `pairs` are the node numbers (from, to) of the three (0 is ground), `base_kv` is the base of the voltage across
    them, to the six decimals that OpenDSS is told. At a bus with fewer than three phases they lie side by side.
    """

    name: str
    bus: str
    connection: Connection
    pairs: Pairs
    base_kv: float
    tan_phi: float
    window_pu: tuple[float, float]


@dataclass(frozen=True, eq=False)
class SiteAttachment(Attachment):
    """A datacenter."""

    datacenter: DatacenterBackend[Any]


@dataclass(frozen=True, eq=False)
class ProfileAttachment(Attachment):
    """A generator (`sign` -1) or an external load (+1); the profile gives kW per phase."""

    profile: PowerProfile
    sign: float


@dataclass(frozen=True, eq=False)
class StorageAttachment(Attachment):
    """A storage, balanced over the phases."""

    storage: EnergyStorage


class AttachmentBook:
    """What is attached to a feeder, checked as it is entered.

    Every method raises `InputError` for names unsafe in OpenDSS, buses that do not exist, lack a phase, a base or
    a path to the source, and things attached twice.
    """

    def __init__(self, feeder: Feeder, window_pu: tuple[float, float]) -> None:
        self._feeder = feeder
        self._window_pu = window_pu
        self.sites: list[SiteAttachment] = []
        self.profiles: list[ProfileAttachment] = []
        self.storages: list[StorageAttachment] = []

    def add_site(
        self,
        dc: DatacenterBackend[Any],
        bus: str,
        connection_type: str,
        power_factor: float,
        window_pu: tuple[float, float] | None,
        fewer_phases: bool = False,
    ) -> None:
        """Enter a datacenter; only with `fewer_phases` at a bus that has one or two."""
        if any(a.datacenter is dc for a in self.sites):
            raise InputError(f"datacenter {dc.name!r} is already attached")
        name = self._unused("datacenter", "dc", dc.name, self.sites)
        place = self._bus("datacenter", dc.name, bus, fewer_phases)
        window = check_window(window_pu) if window_pu is not None else self._window_pu
        wiring = self._wiring(f"datacenter {dc.name!r}", place, connection_type)
        self.sites.append(SiteAttachment(name, place, *wiring, tan_phi(power_factor), window, dc))

    def add_profile(
        self,
        kind: str,
        profile: PowerProfile,
        bus: str,
        power_factor: float,
        sign: float,
        connection_type: str = "auto",
    ) -> None:
        """Enter a generator (sign -1) or a load (+1)."""
        name = f"{kind}_{len(self.profiles)}"
        place = self._bus(kind, name, bus)
        wiring = self._wiring(f"{kind} {name!r}", place, connection_type)
        self.profiles.append(
            ProfileAttachment(name, place, *wiring, tan_phi(power_factor), self._window_pu, profile, sign)
        )

    def add_storage(self, storage: EnergyStorage, bus: str, connection_type: str) -> None:
        """Enter a storage."""
        name = self._unused("storage", "storage", storage.name, self.storages)
        place = self._bus("storage", storage.name, bus)
        wiring = self._wiring(f"storage {storage.name!r}", place, connection_type)
        self.storages.append(StorageAttachment(name, place, *wiring, 0.0, self._window_pu, storage))

    def site(self, dc: DatacenterBackend[Any]) -> SiteAttachment:
        """The entry of an attached datacenter."""
        for attachment in self.sites:
            if attachment.datacenter is dc:
                return attachment
        raise unknown_name("datacenter", dc.name, [a.datacenter.name for a in self.sites], "on this grid")

    def all(self) -> list[Attachment]:
        """Everything, in the order of the circuit's injections."""
        return [*self.sites, *self.profiles, *self.storages]

    def add_injections(self, circuit: Circuit) -> None:
        """Add three single-phase injections per attachment to a circuit."""
        for attachment in self.all():
            for letter, (first, second) in zip("abc", attachment.pairs, strict=True):
                nodes = (first, second) if second else (first,)
                name = f"{attachment.name}_{letter}"
                circuit.add_injection(name, attachment.bus, nodes, attachment.base_kv, attachment.window_pu)

    def _wiring(self, what: str, place: str, connection_type: str) -> tuple[Connection, Pairs, float]:
        """Connection, node pairs and base (kV)."""
        bus = self._feeder.buses[place]
        connection = connection_at(bus, connection_type, what)
        base_kv = bus.kv_between_phases if connection == "delta" else bus.kv_ln
        return connection, connected_pairs(bus, connection), round(base_kv, 6)

    def _unused(self, kind: str, prefix: str, name: str, others: Sequence[Attachment]) -> str:
        full = f"{prefix}_{check_name(kind, name)}"
        if any(other.name.lower() == full.lower() for other in others):
            raise InputError(f"a {kind} named {name!r} is already attached; names must differ (OpenDSS ignores case)")
        return full

    def _bus(self, kind: str, shown: str, bus: str, fewer_phases: bool = False) -> str:
        found = self._feeder.bus(bus)
        where = f"bus {bus!r} of feeder {self._feeder.name}"
        missing = (
            []
            if found.three_phases
            else [letter for phase, letter in ((1, "A"), (2, "B"), (3, "C")) if phase not in found.phases]
        )
        raise_on_unserved(self._feeder, found.name, f"; attach {kind} {shown!r} elsewhere")
        if missing and not (fewer_phases and found.phases):
            three_phase = [b.name for b in self._feeder.buses.values() if b.three_phases]
            raise InputError(
                f"{kind} {shown!r} needs three phases but {where} lacks {', '.join(missing)}; "
                f"three-phase buses: {three_phase}"
            )
        if found.kv_ln <= 0.0:
            raise InputError(
                f"{where} has no voltage base; Set VoltageBases and CalcVoltageBases belong behind the last element"
            )
        return found.name
