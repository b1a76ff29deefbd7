"""The state in which a user's circuit is studied: a snapshot at nominal load or an hour of its own shapes, its controls
settled once, then held.

Whatever mode, time and positions a master file happens to leave decide nothing. The circuit is solved once as a
snapshot with its own controls acting and no site attached; where they come to rest is written down as commands, so that
every engine begins at the same positions, and people can read what was moved.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from g2g_opt.circuit.allocated_loads import allocation_words
from g2g_opt.circuit.eased_generators import eased_generators
from g2g_opt.circuit.element_names import as_word
from g2g_opt.circuit.element_positions import CONTROLS, NOWHERE, OPEN, positions
from g2g_opt.circuit.element_properties import ElementProperties
from g2g_opt.circuit.elements import elements, raise_on_no_voltage, raise_on_same_names
from g2g_opt.circuit.frequencies import raise_on_silent_sources
from g2g_opt.circuit.inverters import is_without_mode, read_inverters
from g2g_opt.circuit.missed_targets import missed_targets
from g2g_opt.circuit.opendss_circuit import SETTLING_ROUNDS, Circuit
from g2g_opt.circuit.overrun_buffers import raise_on_overrun, raise_on_unread_phases
from g2g_opt.circuit.own_units import units_in_words
from g2g_opt.circuit.positive_sequence import counted_once
from g2g_opt.circuit.protection import Protection
from g2g_opt.circuit.restless import what_moves
from g2g_opt.circuit.sources import raise_on_singular_sources
from g2g_opt.circuit.studied_growth import grown_loads
from g2g_opt.circuit.studied_hour import StudiedHour, studied_hour
from g2g_opt.circuit.switches_as_left import switches_as_left
from g2g_opt.errors import G2GError, listed, number_of

# Naming LoadMult, even as it is, makes OpenDSS work out all loads anew: what a shape left of them is gone.
# Of a class of shapes that a file names, OpenDSS lets loads follow theirs as soon as time passes.
_SNAPSHOT = (
    "Set mode=snapshot hour={hour} sec={sec} number=1 loadmodel=powerflow loadshapeclass=none loadmult={loadmult}"
)
_MOVED_MIN = 1e-3  # kvar, or a ratio: less than any step
_POWER_FLOW, _CONTROLS_OFF = "powerflow", "off"


@dataclass(frozen=True)
class StudiedState:
    """`commands` that put a circuit into its studied state, and `words` on it for people, one line each.

    `restless` says why its controls did not come to rest, which then moved nothing; empty where they did.
    """

    commands: tuple[str, ...]
    words: tuple[str, ...]
    restless: str = ""


def studied_state(commands: Sequence[str], at: datetime | None = None) -> StudiedState:
    """The state of the circuit that `commands` build; see the module. At an hour, that of its own shapes.

    Raises `InputError` as `studied_hour`, `raise_on_overrun`, `raise_on_unread_phases`, `raise_on_same_names`,
    `raise_on_no_voltage`, `raise_on_silent_sources`, `raise_on_singular_sources` and `counted_once` do.
    """
    circuit = Circuit(commands)
    raise_on_overrun(circuit)
    raise_on_unread_phases(circuit)
    raise_on_silent_sources(circuit)
    raise_on_singular_sources(circuit)
    raise_on_same_names(circuit)
    raise_on_no_voltage(circuit)
    once, once_words = counted_once(circuit)
    switches, switch_words = switches_as_left(circuit, commands)
    if once or switches:
        commands = [*commands, *once, *switches]
        circuit = Circuit(commands)
    year = int(float(circuit.command("Get year")))
    grown, growth_words = grown_loads(commands, year) if year > 0 else ([], "")
    hour = StudiedHour() if at is None else studied_hour([*commands, *grown], at)
    eased, eased_words = eased_generators([*commands, *grown, *hour.commands])
    begin = [*grown, *hour.commands, *eased]
    if begin:
        circuit = Circuit([*commands, *begin])
    left_mode, left_model = circuit.command("Get mode"), circuit.command("Get loadmodel")
    left_class = circuit.command("Get loadshapeclass")
    loadmult = circuit.command("Get loadmult")
    # Loads follow no hour in a snapshot, but banks that are switched by the clock do.
    clock = (0, 0) if at is None else (at.hour, 60 * at.minute + at.second)
    multiplier, snapshot = float(loadmult), _SNAPSHOT.format(hour=clock[0], sec=clock[1], loadmult=loadmult)
    circuit.command(snapshot)
    circuit.solve_anew()
    controls, protection = _controls(circuit), Protection(circuit)
    before = positions(circuit)
    settled, moved = [*once, *switches, *begin, snapshot], []
    words = [*hour.words] or ["studied as a snapshot: the loads at their nominal power, no load shape"]
    if left_mode.lower() != "snap":
        words[0] += f" (the file leaves the mode {left_mode})"
    if multiplier != 1.0:
        words.append(f"LoadMult {multiplier:g} of the file is part of the load level")
    if left_model.lower() != _POWER_FLOW:
        words.append(f"the file leaves the load model {left_model}; loads and sites are studied as powers")
    if left_class.lower() != "none":
        words.append(f"the file leaves LoadShapeClass {left_class}; loads follow no shape as time passes in a run")
    if controls and circuit.left_control_mode == _CONTROLS_OFF:
        words.append("the file switches its controls off (ControlMode=Off), and they are settled all the same")
    words += [told for told in (once_words, growth_words, eased_words, switch_words) if told]
    if opened := protection.open_devices():
        words.append(f"open where the file ends, and left so: {listed(opened, 6)}")
    protection.hold()
    restless = ""
    if controls:
        circuit.command(f"Set controlmode=static maxcontroliter={SETTLING_ROUNDS}")
        try:
            circuit.ask("Solution_Solve")
            at_rest = bool(circuit.ask("Solution_Get_Converged"))
            reason = "the power flow did not converge"
        except G2GError as error:
            at_rest, reason = False, str(error)
            if circuit.ask("Solution_Get_ControlIterations") >= SETTLING_ROUNDS:
                moving = what_moves(circuit)
                reason = f"not within {SETTLING_ROUNDS} rounds of actions" + (f"; {moving}" if moving else "")
        if at_rest:
            # Vars that follow watts would follow them no more if they were set.
            inverters = read_inverters(circuit)
            following = {one.element for one in inverters if one.volt_watt is not None and one.volt_var is None}
            for element, after in positions(circuit).items():
                for name, value in after.items():
                    if value != before[element][name] and not (name == "kvar" and element in following):
                        was = before[element][name]
                        settled += _restore(element, name, was, value)
                        if not _is_rounding(was, value):
                            moved.append(f"{element} {name} {_short(was)} to {_short(value)}")
        else:
            restless = f"the circuit's own controls did not come to rest without a site ({reason})"
            words.append(f"{restless}: nothing was moved")
    if moved:
        words.append("its controls were settled once without a site and moved: " + "; ".join(moved))
    if not restless:
        words += missed_targets(circuit, controls.get("storagecontroller", []))
    words += [*allocation_words(circuit, commands), *_units_as_studied(circuit, commands, settled)]
    words += _inverter_words(circuit, controls)
    bank_type = {name: _bank_type(circuit, name) for name in controls.get("capcontrol", [])}
    by_clock, by_shape = ([name for name, own in bank_type.items() if own == one] for one in ("time", "follow"))
    if by_shape:
        words.append(
            f"banks that follow a shape (type=follow: {listed(by_shape, 6)}) stand where {clock[0]:02d}:"
            f"{clock[1] // 60:02d} puts them, and stay there: OpenDSS lets them follow in its modes by the hour alone, "
            "none of which studies use"
        )
    if by_clock:
        words.append(
            f"banks that follow the clock ({listed(by_clock, 6)}) stand where {clock[0]:02d}:{clock[1] // 60:02d} "
            f"puts them{'' if at else ', the hour of a snapshot (--at studies another)'}; runs begin there, in runs "
            "through the hours of a profile they follow its hours where controls act, and stay there where taps are "
            "fixed"
        )
    return StudiedState(tuple(settled), tuple(words), restless)


def _inverter_words(circuit: Circuit, controls: dict[str, list[str]]) -> list[str]:
    """`held_words`, and which inverter controls do nothing, and whose watts are not held."""
    idle = [name for name in controls.get("invcontrol", []) if is_without_mode(circuit, name)]
    acting = {kind: [name for name in names if name not in idle] for kind, names in controls.items()}
    words = held_words({kind: names for kind, names in acting.items() if names})
    if idle:
        words.append(f"OpenDSS lets InvControls without a mode do nothing: {listed(idle, 6)} (state mode or combimode)")
    curtailed = [own.element for own in read_inverters(circuit) if own.volt_watt is not None]
    if curtailed:
        words.append(
            f"where taps are fixed, {listed(curtailed, 6)} give{'s' if len(curtailed) == 1 else ''} all that the sun "
            "gives: what a volt-watt curve takes back is not held"
        )
    return words


def _units_as_studied(circuit: Circuit, commands: Sequence[str], settled: Sequence[str]) -> list[str]:
    """`units_in_words` as `settled` leaves the units, other than in `circuit` where a curve holds watts back."""
    if any(own.volt_watt is not None for own in read_inverters(circuit)):
        circuit = Circuit([*commands, *settled])
        circuit.solve_anew()
    return units_in_words(circuit)


def _bank_type(circuit: Circuit, control: str) -> str:
    """By what a CapControl switches its bank: "time", "follow", "kvar", ..."""
    return ElementProperties(circuit, f"CapControl.{control}").text("type").lower()


def held_words(controls: dict[str, list[str]]) -> list[str]:
    """One line a kind of control: which there are, and what they hold still while they do not act."""
    return [
        f"{CONTROLS[kind]} are held as settled where taps are fixed; under own control {number_of(len(names), kind)} "
        f"act{'s' if len(names) == 1 else ''} as well: {listed(names, 6)}"
        for kind, names in controls.items()
        if kind != "regcontrol"
    ]


def _is_rounding(before: str, after: str) -> bool:
    """Whether two arrays of figures are the same but for what a control's last rounds leave."""
    try:
        was, now = ([float(part) for part in value.strip("[]").replace(",", " ").split()] for value in (before, after))
    except ValueError:
        return False
    return len(was) == len(now) and all(abs(a - b) < _MOVED_MIN for a, b in zip(was, now, strict=True))


def _short(value: str) -> str:
    """A number or an array of them as people write it."""
    parts = value.strip("[]").replace(",", " ").split()
    try:
        return " ".join(f"{float(part):.6g}" for part in parts)
    except ValueError:
        return value


def _controls(circuit: Circuit) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for kind, name in elements(circuit):
        if kind in CONTROLS and circuit.ask("CktElement_Get_Enabled"):
            found.setdefault(kind, []).append(name)
    return found


def _restore(element: str, name: str, before: str, after: str) -> list[str]:
    """Commands that bring what stood at `before` to `after`."""
    if name != OPEN:
        return [f"Edit {as_word(element)} {name}={after}"]
    were_open = dict.fromkeys(place.partition(".")[0] for place in before.split() if before != NOWHERE)
    are_open = [place.replace(".", " ") for place in after.split() if after != NOWHERE]
    return [
        *(f"Close {as_word(element)} {terminal}" for terminal in were_open),
        *(f"Open {as_word(element)} {place}" for place in are_open),
    ]
