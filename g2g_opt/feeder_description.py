"""A feeder in a planner's words: its customers, between what voltages are judged, what no limit looks at."""

from __future__ import annotations

from collections.abc import Sequence

from g2g_opt.circuit.branches import DEFAULT_EMERGENCY_A
from g2g_opt.circuit.parts import Bus, Regulator, phase_letter
from g2g_opt.errors import listed, number_of
from g2g_opt.feeder import Feeder
from g2g_opt.feeder_lint import unjudged_elements
from g2g_opt.limits import Limits

# Buses named in a sentence.
_SHOWN = 24


def feeder_in_short(feeder: Feeder) -> str:
    """Which feeder, and how large it is."""
    return (
        f"feeder {feeder.name}: {number_of(len(feeder.buses), 'bus')}, {number_of(len(feeder.regulators), 'regulator')}"
    )


def describe_feeder(feeder: Feeder, limits: Limits | None = None) -> list[str]:
    """Sentences on a feeder, each a paragraph of `g2g feeder`; `limits` say what of loadings is judged."""
    supplied = {load.bus for load in feeder.own_loads}
    kw = sum(load.kw for load in feeder.own_loads)
    words = [
        f"customers: {kw:,.6g} kW in {number_of(len(feeder.own_loads), 'load')} at {number_of(len(supplied), 'bus')}"
    ]
    three_wire = [bus.name for bus in feeder.buses.values() if bus.three_wire]
    if three_wire:
        words.append(
            "three wires, no path for zero-sequence current: voltages are judged line to line and sites connected in "
            f"delta at {listed(three_wire, _SHOWN)}"
        )
    neutrals = [f"{bus.name}.{bus.neutral}" for bus in feeder.buses.values() if bus.neutral and bus.phases]
    if neutrals:
        words.append(f"neutral conductors, against which voltages are judged: {listed(neutrals, _SHOWN)}")
    words += [_regulator_in_words(regulator) for regulator in feeder.regulators.values()]
    return [*words, *loading_notes(feeder, limits or Limits()), *unassessed_notes(feeder)]


def site_notes(feeder: Feeder, n_named: int | None = _SHOWN) -> list[str]:
    """Which buses can take a site, in words, so many of each kind by name (None: all)."""
    more = [bus for bus in feeder.site_buses if bus not in feeder.candidate_buses]
    fewer = [bus for bus in more if len(feeder.buses[bus].phases) < 3]
    others = [bus for bus in more if bus not in fewer]
    notes = [
        f"{len(feeder.candidate_buses)} of {len(feeder.site_buses)} buses that can take a site are candidates where a "
        f"study names none{_named(feeder.candidate_buses, n_named)}"
    ]
    if fewer:
        notes.append(
            f"{len(fewer)} of one or two phases can be named (--bus; siting and location need three phases)"
            f"{_named(fewer, n_named)}"
        )
    if others:
        notes.append(f"{len(others)} more of three phases can be named (--bus){_named(others, n_named)}")
    return notes


def _named(buses: Sequence[str], n_named: int | None) -> str:
    if not buses:
        return ""
    shown = listed(buses, n_named) if n_named is not None else ", ".join(buses)
    return f": {shown}" + ("; --all-buses names all" if n_named is not None and len(buses) > n_named else "")


def loading_notes(feeder: Feeder, limits: Limits) -> list[str]:
    """What a study judges of loadings, in words: nothing, or shares of what, and which elements it cannot judge."""
    if limits.loading_max_pu is None and limits.loading_emergency_max_pu is None:
        return ["thermal limits: loadings are reported, not judged (--loading-max judges them)"]
    unjudged = unjudged_elements(feeder, limits.rating_basis)
    n_closed = sum(branch.closed for branch in feeder.branches)
    words = f"not judged, since nobody stated a rating: the loading of {len(unjudged)} of {n_closed} elements"
    notes = [f"{words}: {listed(unjudged, _SHOWN)}"] if unjudged else []
    if limits.rating_basis == "normal":
        return [*rating_notes(feeder), *notes]
    notes += _through_ratings(feeder)
    also = " (a line's is its normal rating)" if limits.rating_basis == "nameplate" else ""
    return [f"loadings are shares of {limits.rating_basis} ratings{also}", *notes]


def rating_notes(feeder: Feeder) -> list[str]:
    """What loadings are shares of, in words: OpenDSS's normal ratings, and how they stand to the nameplates."""
    of_share: dict[float, list[str]] = {}
    for branch in feeder.branches:
        if branch.rating_a > 0.0 and branch.rating_is_stated and round(branch.normal_over_nameplate, 4) != 1.0:
            of_share.setdefault(round(branch.normal_over_nameplate, 4), []).append(branch.name)
    notes = [
        f"loadings are shares of normal ratings, {100.0 * share:g} % of nameplate: {listed(names, _SHOWN)}; a loading "
        f"of {1.0 / share:.3f} is the nameplate's (--rating-basis nameplate)"
        for share, names in of_share.items()
    ]
    # Whoever states a normal rating alone would expect an emergency rating that follows it; OpenDSS's does not.
    loose = [b.name for b in feeder.branches if b.kind == "line" and b.rating_is_stated and not b.emergency_is_stated]
    if loose:
        notes.append(
            "lines without a stated emergency rating (OpenDSS's would be "
            f"{DEFAULT_EMERGENCY_A:g} A, whatever the normal one), so that no emergency limit judges them: "
            f"{listed(loose, _SHOWN)}"
        )
    return notes + _through_ratings(feeder)


def _through_ratings(feeder: Feeder) -> list[str]:
    """What an autotransformer would be rated if its kVA were what passes through it, in words."""
    return [
        f"autotransformer {b.name} is judged as OpenDSS rates it, by its kVA over the voltage of its series winding: "
        f"{b.rating_a:.4g} A; if its kVA is what passes through it, as its impedances take it, it is rated "
        f"{b.through_rating_a:.4g} A: state {b.through_rating_a / b.rating_a:.3g} times its normhkva and emerghkva then"
        for b in feeder.branches
        if b.kind == "autotrans" and b.rating_is_stated and 0.0 < b.through_rating_a < 0.99 * b.rating_a
    ]


def _regulator_in_words(regulator: Regulator) -> str:
    elsewhere = regulator.direction < 0
    held = f", for the voltage of winding {regulator.controlled_winding}" if elsewhere else ""
    words = (
        f"regulator {regulator.name}: {regulator.kind} {regulator.transformer}, changer on winding {regulator.winding}"
        f"{held}, {regulator.tap_min_pu:g} to {regulator.tap_max_pu:g} in steps of {regulator.tap_step_pu:g}"
    )
    return "; ".join([words, *regulator.settings])


def unassessed_notes(feeder: Feeder) -> list[str]:
    """What of a feeder's customers no voltage limit looks at (excluded buses, and what no source serves), what acts by
    a default, and in which state the feeder is studied, in words.
    """
    kw_of = feeder.unassessed_loads()
    all_kw = sum(load.kw for load in feeder.own_loads)
    notes = []
    for what, buses in (
        (
            "voltages at buses left out of the limits",
            [b for b in feeder.exclude_buses if feeder.bus(b).phases and b not in feeder.service_buses.values()],
        ),
        ("buses and phases that no source serves", [bus.name for bus in feeder.buses.values() if bus.unserved]),
        (
            "conductors numbered above 3 where there is no neutral (only 1 to 3 are judged there)",
            [bus.name for bus in feeder.buses.values() if bus.beyond],
        ),
    ):
        if not buses:
            continue
        shown = [_place(feeder.bus(bus)) + (f" ({kw_of[bus]:,.6g} kW)" if kw_of.get(bus) else "") for bus in buses]
        kw = sum(kw_of.get(bus, 0.0) for bus in buses)
        customers = f"{kw:,.6g} of {all_kw:,.6g} kW of customers" if kw else "no customers"
        notes.append(f"{what}, with {customers}: {listed(shown, _SHOWN)}")
    # What an answer stands on, so that it says so whether or not somebody has looked at the feeder before.
    by_default = [*feeder.regulator_notes, *feeder.source_notes, *feeder.unstated_notes]
    return [*notes, *_earthing_notes(feeder), *by_default, *feeder.state]


def _earthing_notes(feeder: Feeder) -> list[str]:
    """A sentence on buses of three phases whose neutral point is earthed through an impedance."""
    of_bus = {
        bus.name: bus.zero_over_positive
        for bus in feeder.buses.values()
        if bus.zero_over_positive and len(bus.phases) >= 3 and bus.name not in feeder.exclude_buses
    }
    if not of_bus:
        return []
    low, high = min(of_bus.values()), max(of_bus.values())
    times = f"{low:.2g}" if round(low) == round(high) else f"{low:.2g} to {high:.2g}"
    return [
        f"earthed through an impedance (zero-sequence {times} times the positive one, so that what a site draws "
        "unevenly on its phases moves voltages to ground that many times as much as what it draws evenly; one between "
        f"the phases, --connection delta, draws nothing to ground) at {listed(list(of_bus), _SHOWN)}"
    ]


def _place(bus: Bus) -> str:
    """A bus, with the phases that are not served where others are."""
    return bus.name + "".join(f".{phase_letter(phase)}" for phase in bus.unserved if bus.phases)
