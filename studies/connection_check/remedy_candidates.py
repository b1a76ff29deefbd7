"""The remedies of each kind that are worth a simulation, from what the circuit is made of; none of them is judged here.

A kind that does not apply (no regulator, a bus of one phase) gives no remedy, with the reason.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from g2g_opt.circuit.element_names import as_word
from g2g_opt.circuit.parts import Branch, Bus
from g2g_opt.data_files import data_path, read_table
from g2g_opt.errors import listed, number_of
from g2g_opt.feeder import Feeder
from g2g_opt.plan import StorageUnit
from studies.connection_check.feeder_paths import FeederPaths
from studies.connection_check.question import RemedyKind
from studies.connection_check.remedy import Remedy

_SHIFTS_V = (1.0, 2.0, 3.0, 4.0, 5.0, -1.0, -2.0, -3.0, -4.0)
_BANKS_KVAR = (150, 300, 450, 600, 900, 1200, 1800, 2400)
_VAR_KVA = (100, 250, 500, 1000, 1500, 2500, 4000)
_STORAGE_KW = (100, 250, 500, 1000, 2000, 4000)
# Energy of storage, in hours at its power: utility-scale storage of today.
STORAGE_H = 4.0
_MOVES_MAX = 12
# Standard sizes of three-phase transformers (kVA), and how many larger ones are tried.
_SIZES_KVA = (
    *(45, 75, 112.5, 150, 225, 300, 500, 750, 1000, 1500, 2000, 2500, 3750, 5000, 7500, 10_000, 12_000, 15_000),
    *(20_000, 25_000, 30_000, 40_000, 50_000, 60_000),
)
_LARGER = 3
# Sizes of fuses (A): the K and T links of IEEE C37.42, and current-limiting ones above them.
_FUSES_A = (
    *(1, 2, 3, 6, 8, 10, 12, 15, 20, 25, 30, 40, 50, 65, 80, 100, 140, 200),
    *(250, 315, 400, 500, 630, 800, 1000, 1250),
)
# What a new control holds on a base of 120 V: the middle of the usual band, and two steps of 2 V up.
_VREG_V = (120.0, 122.0, 124.0)
_PT_V = 120.0
# A line up to this length (km) is a switch or a bar, which has no conductor to exchange.
_SWITCH_KM = 0.01
# Lines without a unit of length that are named.
_BARE_NAMED = 4
# Name of what remedies add to a circuit.
PREFIX = "g2g_remedy"


@dataclass(frozen=True)
class RemedyPlace:
    """Where remedies are looked for: the feeder as it is, the request's bus, how many buses nearby are tried, and the
    elements that are overloaded ("line.650632").
    """

    feeder: Feeder
    bus: Bus
    nearby: int
    overloaded: tuple[str, ...] = ()

    def paths(self) -> FeederPaths:
        """Ways through the feeder."""
        return FeederPaths(self.feeder)


@dataclass(frozen=True)
class RemedyList:
    """Remedies of one kind, or why there are none."""

    remedies: tuple[Remedy, ...] = ()
    reason: str = ""


def list_remedies(kind: RemedyKind, place: RemedyPlace) -> RemedyList:
    """The remedies of a kind."""
    return _KINDS[kind](place)


def _set_points(place: RemedyPlace) -> RemedyList:
    regulators = list(place.feeder.regulators)
    if not regulators:
        return RemedyList(reason="the feeder has no regulator with a control")
    paths = place.paths()
    held = {name: float(paths.ask(f"RegControl.{name}.vreg")) for name in regulators}
    return RemedyList(
        tuple(
            Remedy(
                "set-points",
                f"every regulator holds {shift:+g} V",
                (("set-point visit", float(len(regulators))),),
                tuple(f"{as_word(f'RegControl.{name}.vreg')}={vreg + shift:g}" for name, vreg in held.items()),
            )
            for shift in _SHIFTS_V
        )
    )


def _capacitor(place: RemedyPlace) -> RemedyList:
    bus = place.bus
    if bus.phases != (1, 2, 3):
        return RemedyList(reason=f"bus {bus.name} has not three phases")
    connection = "delta" if bus.three_wire else "wye"
    kv = math.sqrt(3.0) * bus.kv_ln
    return RemedyList(
        tuple(
            Remedy(
                "capacitor",
                f"a bank of {kvar} kvar at {bus.name}",
                (("capacitor bank", 1.0), ("capacitor kvar", float(kvar))),
                (
                    f"New Capacitor.{PREFIX} bus1={as_word(f'{bus.name}.1.2.3')} phases=3 conn={connection} "
                    f"kv={kv:.9g} kvar={kvar:g}",
                ),
            )
            for kvar in _BANKS_KVAR
        )
    )


def _var_source(place: RemedyPlace) -> RemedyList:
    # Of no real power to speak of: what it moves is reactive power, by the voltage.
    return RemedyList(
        tuple(
            Remedy(
                "var source",
                f"a var source of {kva} kVA at {place.bus.name} that follows the voltage",
                (("var source", 1.0), ("var source kVA", float(kva))),
                storage=(StorageUnit(place.bus.name, 1.0, 1.0, "qv", apparent_power_kva=float(kva)),),
            )
            for kva in _VAR_KVA
        )
    )


def _storage(place: RemedyPlace) -> RemedyList:
    return RemedyList(
        tuple(
            Remedy(
                "storage",
                f"storage of {kw} kW and {STORAGE_H * kw:g} kWh at {place.bus.name} that follows the voltage",
                (("storage power", float(kw)), ("storage energy", STORAGE_H * kw)),
                storage=(StorageUnit(place.bus.name, float(kw), STORAGE_H * kw, "pv"),),
            )
            for kw in _STORAGE_KW
        )
    )


def _rebalanced(place: RemedyPlace) -> RemedyList:
    """Single-phase loads from the phase with most load to the one with least, one more in every remedy."""
    feeder = place.feeder
    by_phase = dict.fromkeys((1, 2, 3), 0.0)
    movable = {}
    for load in feeder.own_loads:
        phases = [node for node in load.nodes if node in by_phase]
        for phase in phases:
            by_phase[phase] += load.kw / len(phases)
        if len(phases) == 1 and feeder.buses[load.bus].phases == (1, 2, 3) and not feeder.buses[load.bus].three_wire:
            movable[load.name] = (load, phases[0])
    moves: list[str] = []
    moved_names: list[str] = []
    found = []
    for _ in range(_MOVES_MAX):
        most, least = max(by_phase, key=lambda p: by_phase[p]), min(by_phase, key=lambda p: by_phase[p])
        gap = by_phase[most] - by_phase[least]
        able = [load for load, phase in movable.values() if phase == most and 0.0 < load.kw < gap]
        if not able:
            break
        load = min(able, key=lambda one: abs(one.kw - gap / 2.0))
        by_phase[most] -= load.kw
        by_phase[least] += load.kw
        del movable[load.name]
        neutral = feeder.buses[load.bus].neutral
        to = as_word(f"{load.bus}.{least}" + (f".{neutral}" if neutral else ""))
        moves.append(f"{as_word(f'Load.{load.name}.bus1')}={to}")
        moved_names.append(load.name)
        moved = number_of(len(moves), "single-phase load")
        words = f"{moved} moved to another phase: {', '.join(moved_names)}"
        found.append(Remedy("rebalanced phases", words, (("moved load", float(len(moves))),), tuple(moves)))
    if not found:
        return RemedyList(reason="no single-phase load at a bus of three phases would even them out")
    return RemedyList(tuple(found))


@lru_cache
def _conductors() -> tuple[dict[str, str], ...]:
    return tuple(read_table(data_path("remedies", "conductors.csv")))


def _conductor(place: RemedyPlace) -> RemedyList:
    """New conductors for the overloaded lines, and for the ends of the way from the source that grow to all of it."""
    paths = place.paths()
    way = [
        b
        for b in paths.from_source(place.bus.name)
        if b.kind == "line" and b.n_phases == 3 and paths.length_km[b.name] > _SWITCH_KM
    ]
    if not way:
        wires = [b.name for b in paths.from_source(place.bus.name) if b.kind == "line" and b.n_phases > 3]
        if wires:
            named = listed(wires, _BARE_NAMED)
            return RemedyList(
                reason=f"a new conductor has three phases, and lines have a neutral among theirs: {named}"
            )
        return RemedyList(reason=f"no line of three phases leads to {place.bus.name}")
    bare = [f"line.{b.name}" for b in way if b.name in paths.without_unit]
    way = [b for b in way if b.name not in paths.without_unit]
    if not way:
        named = listed(bare, _BARE_NAMED)
        return RemedyList(reason=f"lengths without a unit are none of a new conductor: state the units of {named}")
    over = [b for b in way if f"line.{b.name}" in place.overloaded]
    sets = [over] if over else []
    sets += [way[: math.ceil(share * len(way))] for share in (0.25, 0.5, 0.75, 1.0)]
    found: dict[tuple[str, ...], Remedy] = {}
    for row in _conductors():
        for lines in sets:
            km = sum(paths.length_km[b.name] for b in lines)
            words = (
                f"{row['label']} on {number_of(len(lines), 'line')}, {km:.2f} km: {', '.join(b.name for b in lines)}"
            )
            edits = _new_wire(row) + tuple(
                edit for b in lines for edit in _rewired(b.name, paths.length_km[b.name], row)
            )
            amount = ((f"conductor {row['name']}", km),)
            found.setdefault(edits, Remedy("conductor", words, amount, edits))
    return RemedyList(tuple(found.values()))


def _new_wire(row: dict[str, str]) -> tuple[str, ...]:
    """The conductor on the IEEE feeders' poles (ID-500: phases 0, 2.5 and 7 ft across, 28 ft up; neutral 24 ft)."""
    name = f"{PREFIX}_{row['name']}".replace("-", "_")
    where = ((0.0, 28.0), (2.5, 28.0), (7.0, 28.0), (4.0, 24.0))
    conductors = " ".join(f"cond={k} wire={name} x={x:g} h={h:g} units=ft" for k, (x, h) in enumerate(where, start=1))
    return (
        f"New WireData.{name} Rac={row['ohm_per_mile']} Runits=mi GMRac={row['gmr_ft']} GMRunits=ft "
        f"diam={row['diameter_in']} radunits=in normamps={row['normal_a']}",
        f"New LineGeometry.{name} nconds=4 nphases=3 reduce=yes {conductors}",
    )


def _rewired(line: str, km: float, row: dict[str, str]) -> tuple[str, ...]:
    """The line's new geometry, and its length in km: that of a line code may have been in the code's unit."""
    name = f"{PREFIX}_{row['name']}".replace("-", "_")
    geometry, amps = (as_word(f"Line.{line}.{prop}") for prop in ("geometry", "normamps"))
    units = as_word(f"Line.{line}.units")
    return f"{geometry}={name}", f"{units}=km length={km:.12g}", f"{amps}={row['normal_a']}"


def _on_the_way(place: RemedyPlace, paths: FeederPaths) -> list[Branch]:
    """Three-phase transformers of two windings between the source and the bus that no control moves."""
    moved = {regulator.transformer for regulator in place.feeder.regulators.values()}
    return [
        branch
        for branch in paths.from_source(place.bus.name)
        if branch.kind == "transformer" and branch.n_phases == 3 and len(branch.buses) == 2 and branch.name not in moved
    ]


_NO_TRANSFORMER = "no three-phase transformer without a tap changer lies between the source and the bus"


def _transformer(place: RemedyPlace) -> RemedyList:
    paths = place.paths()
    found = []
    for branch in _on_the_way(place, paths):
        kva = float(paths.ask(f"Transformer.{branch.name}.kva"))
        for larger in [size for size in _SIZES_KVA if size > 1.01 * kva][:_LARGER]:
            found.append(
                Remedy(
                    "transformer",
                    f"transformer {branch.name} of {larger:g} in place of {kva:g} kVA",
                    (("transformer", 1.0), ("transformer kVA", larger)),
                    (f"{as_word(f'Transformer.{branch.name}.kvas')}=({larger:g} {larger:g})",),
                )
            )
    return RemedyList(tuple(found), "" if found else _NO_TRANSFORMER)


def _tap_changer(place: RemedyPlace) -> RemedyList:
    paths = place.paths()
    found = []
    for branch in _on_the_way(place, paths):
        kva = float(paths.ask(f"Transformer.{branch.name}.kva"))
        behind = place.feeder.buses[branch.buses[1]]
        for size in [kva, *[size for size in _SIZES_KVA if size > 1.01 * kva][:1]]:
            for vreg in _VREG_V:
                found.append(
                    Remedy(
                        "tap changer",
                        f"transformer {branch.name} of {size:g} kVA with a tap changer that holds {vreg:g} of 120 V",
                        (("transformer", 1.0), ("transformer kVA", size), ("tap changer", 1.0)),
                        (
                            f"{as_word(f'Transformer.{branch.name}.kvas')}=({size:g} {size:g})",
                            f"New RegControl.{PREFIX} transformer={as_word(branch.name)} winding=2 "
                            f"vreg={vreg:g} band=2 ptratio={1e3 * behind.kv_ln / _PT_V:.9g} delay=30 maxtapchange=1",
                        ),
                    )
                )
    return RemedyList(tuple(found), "" if found else _NO_TRANSFORMER)


def _fuse(place: RemedyPlace) -> RemedyList:
    """Larger fuses in place of those on the way from the source that are smaller, size by size."""
    paths = place.paths()
    way = {f"{branch.kind}.{branch.name}" for branch in paths.from_source(place.bus.name)}
    fuses = [fuse for fuse in paths.fuses() if fuse.element in way]
    if not fuses:
        return RemedyList(reason=f"no fuse lies between the source and {place.bus.name}")
    least = min(fuse.rated_a for fuse in fuses)
    found = []
    for size in [size for size in _FUSES_A if size > least]:
        smaller = [fuse for fuse in fuses if fuse.rated_a < size]
        old = ", ".join(f"{fuse.name} ({fuse.rated_a:g} A)" for fuse in smaller)
        found.append(
            Remedy(
                "fuse",
                f"fuses of {size:g} A in place of {old}; that they still clear what is behind them, and act before "
                "what is ahead of them, is not judged",
                (("fuse", float(len(smaller))), ("fuse ampere", float(size * len(smaller)))),
                tuple(f"{as_word(f'Fuse.{fuse.name}.ratedcurrent')}={size:g}" for fuse in smaller),
            )
        )
    return RemedyList(tuple(found), "" if found else f"the list of sizes has no fuse of more than {least:g} A")


def _other_bus(place: RemedyPlace) -> RemedyList:
    paths = place.paths()
    far = paths.distances_km(place.bus.name)
    bare = ", lengths without a unit taken for km" if paths.without_unit else ""
    able = [bus for bus in place.feeder.candidate_buses if bus != place.bus.name and bus in far]
    able = [bus for bus in able if place.feeder.buses[bus].phases == place.bus.phases]
    nearest = sorted(able, key=lambda bus: far[bus])[: place.nearby]
    if not nearest:
        return RemedyList(reason="no other bus of the same phases can take a site")
    return RemedyList(
        tuple(
            Remedy("other bus", f"bus {bus}, {far[bus]:.2f} km away{bare}", (("line extension", far[bus]),), bus=bus)
            for bus in nearest
        )
    )


_KINDS: dict[RemedyKind, Callable[[RemedyPlace], RemedyList]] = {
    "set-points": _set_points,
    "capacitor": _capacitor,
    "var source": _var_source,
    "storage": _storage,
    "rebalanced phases": _rebalanced,
    "conductor": _conductor,
    "transformer": _transformer,
    "tap changer": _tap_changer,
    "fuse": _fuse,
    "other bus": _other_bus,
}


def items_of(kinds: Sequence[RemedyKind]) -> list[str]:
    """Items of the table of costs that remedies of these kinds may need."""
    found: list[str] = []
    for kind in kinds:
        found += [f"conductor {row['name']}" for row in _conductors()] if kind == "conductor" else _ITEMS[kind]
    return found


_ITEMS: dict[RemedyKind, tuple[str, ...]] = {
    "set-points": ("set-point visit",),
    "capacitor": ("capacitor bank", "capacitor kvar"),
    "var source": ("var source", "var source kVA"),
    "storage": ("storage power", "storage energy"),
    "rebalanced phases": ("moved load",),
    "transformer": ("transformer", "transformer kVA"),
    "tap changer": ("transformer", "transformer kVA", "tap changer"),
    "fuse": ("fuse", "fuse ampere"),
    "other bus": ("line extension",),
}
