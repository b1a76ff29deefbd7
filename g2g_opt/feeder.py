"""`Feeder`: a distribution network with its study constants, bundled or a user's own OpenDSS circuit."""

from __future__ import annotations

import json
import logging
import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from g2g_opt.circuit.branches import read_branches
from g2g_opt.circuit.bus_names import bus_named
from g2g_opt.circuit.copies import copied_notes
from g2g_opt.circuit.direct import open_direct
from g2g_opt.circuit.elements import load_branches
from g2g_opt.circuit.faults import fault_notes
from g2g_opt.circuit.frequencies import frequency_notes
from g2g_opt.circuit.loads_to_ground import loads_to_ground, to_ground_notes
from g2g_opt.circuit.node_roles import classify_buses
from g2g_opt.circuit.opendss_circuit import Circuit
from g2g_opt.circuit.parts import Branch, Bus, LoadBranch, Regulator
from g2g_opt.circuit.regulators import read_regulators
from g2g_opt.circuit.rewritten import rewritten_notes
from g2g_opt.circuit.script_file.conductor_data import conductor_gaps, why_of_conductors
from g2g_opt.circuit.script_file.described_elements import stated_ratings
from g2g_opt.circuit.script_file.lost_ratings import lost_rating_notes
from g2g_opt.circuit.script_file.reading import is_own_circuit, read_circuit
from g2g_opt.circuit.sources import source_notes
from g2g_opt.circuit.stated_otherwise import otherwise_notes
from g2g_opt.circuit.studied_hour import read_hour
from g2g_opt.circuit.studied_state import studied_state
from g2g_opt.circuit.unstated import unstated_notes
from g2g_opt.data_files import data_path
from g2g_opt.errors import InputError, listed, number_of, unknown_name
from g2g_opt.feeder_tables import dss_commands
from g2g_opt.reading import user_path
from g2g_opt.tap_position import TapPosition

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class StandingPower:
    """A generator or load that a feeder's study scenario has anyway: its bus and peak per phase (kW)."""

    bus: str
    peak_kw_per_phase: float


@dataclass(frozen=True)
class OwnLoad:
    """One of the circuit's own loads in service: its bus, the node numbers of its conductors, and its power (kW).

    `rated_kv_ln` is its own base (kV, line to neutral); None of one that lies between two phases alone.
    """

    name: str
    bus: str
    nodes: tuple[int, ...]
    kw: float
    rated_kv_ln: float | None = None


@dataclass(frozen=True, eq=False)
class Feeder:
    """A network: how to build it (`commands`), what it holds, and the constants of studies on it.

    `buses` and `regulators` are by lower-case name; `compiled_taps` are the ratios (pu) at which the circuit itself
    leaves its regulators; `isolated_buses` no source serves on any phase; `exclude_buses` are left out of voltage
    metrics; `service_buses` are the sites' own buses behind a transformer of theirs, by bus; `own_loads` are the
    circuit's customers; `regulator_notes` name controls that move no changer of their own, `source_notes` sources of a
    negative impedance and what is of another frequency, `unstated_notes` elements that act by a default, faults, and
    copies that lack what they copy, what a command made of others; `candidate_buses` are the places a site may go;
    `zones` are named groups of buses; `ofo` holds the feeder's tuning of the OFO controller (equations, section 4);
    `state` says in which state a circuit is studied (`studied_state`; the constants of a bundled feeder), `restless`
    why its controls did not come to rest in it, `left_out` which lines of its files were passed over.
    """

    name: str
    commands: tuple[str, ...]
    buses: Mapping[str, Bus]
    regulators: Mapping[str, Regulator]
    compiled_taps: Mapping[str, float]
    branches: tuple[Branch, ...]
    isolated_buses: tuple[str, ...]
    own_loads: tuple[OwnLoad, ...] = ()
    regulator_notes: tuple[str, ...] = ()
    source_notes: tuple[str, ...] = ()
    unstated_notes: tuple[str, ...] = ()
    source_pu: float | None = None
    initial_taps: TapPosition | None = None
    exclude_buses: tuple[str, ...] = ()
    candidate_buses: tuple[str, ...] = ()
    zones: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    standing_generators: tuple[StandingPower, ...] = ()
    standing_loads: tuple[StandingPower, ...] = ()
    ofo: Mapping[str, float] = field(default_factory=dict)
    service_buses: Mapping[str, str] = field(default_factory=dict)
    state: tuple[str, ...] = ()
    restless: str = ""
    left_out: tuple[str, ...] = ()

    @staticmethod
    def known() -> list[str]:
        """Names of the bundled feeders."""
        return sorted(folder.name for folder in data_path("feeders").iterdir() if (folder / "study.json").exists())

    @staticmethod
    def load(name: str) -> Feeder:
        """A bundled feeder by name, e.g. "ieee13"; `InputError` lists what is known."""
        if name.lower().endswith(".dss"):
            raise InputError(f"{name!r} is a circuit file, no bundled feeder: Feeder.from_dss({name!r}) reads it")
        if name.lower() not in Feeder.known():
            raise _no_feeder(name)
        return _load_bundled(name.lower())

    @staticmethod
    def from_dss(
        master: Path | str, name: str | None = None, edits: Path | str | None = None, at: datetime | None = None
    ) -> Feeder:
        """A user's own OpenDSS circuit from its master file; see `lint_feeder` for what studies may miss in it.

        `edits` is a file of changes to elements of the circuit (see `read_edits`), which stand in `state`; `at` is the
        hour of the circuit's own shapes at which it is studied (see `studied_hour`), nominal load without one.

        The file is data: what describes and solves a network is read (see `read_script`), and compiled in a child
        process first; with the user's consent (`Consent.circuits`) OpenDSS runs whatever it says.
        Every three-phase bus that is served and has a voltage base, except the source's, is a candidate for a site.
        Out of voltage metrics are left what no source serves, what has no base, and the source's bus if nobody is
        supplied there; `excluding` leaves out more. OFO is tuned as on the 13-bus feeder.
        Raises `InputError` with the place of what is not allowed, and OpenDSS's own words if the file does not compile.
        """
        circuit = read_circuit(Path(master), None if edits is None else Path(edits))
        # Of a trusted circuit only OpenDSS knows the files, so that nothing says whether it is still the same.
        settle = _settled if circuit.files else _settled.__wrapped__
        try:
            commands, words, parts = settle(circuit.commands, circuit.digest, at)
        except InputError as error:
            why = why_of_conductors(circuit.commands, str(error))
            raise InputError(f"{master}: {error}{why}") from error
        # A compiled circuit lists its source bus first.
        source = next(iter(parts["buses"]))
        baseless = [bus.name for bus in parts["buses"].values() if bus.kv_ln <= 0.0]
        supplied = {load.bus for load in parts["own_loads"]}
        own = () if source in supplied else (source,)
        exclude = tuple(dict.fromkeys((*own, *parts["isolated_buses"], *baseless)))
        three_phase = [bus.name for bus in parts["buses"].values() if bus.three_phases and bus.name != source]
        return Feeder(
            name=re.sub(r"[^a-z0-9_-]+", "_", (name or Path(master).stem).lower()),
            commands=commands,
            exclude_buses=exclude,
            candidate_buses=tuple(bus for bus in three_phase if bus not in exclude),
            ofo=MappingProxyType(_study_constants("ieee13")["ofo"]),
            state=(*_edits_in_words(edits, circuit.edits), *words),
            left_out=circuit.left_out,
            **parts,
        )

    @staticmethod
    def find(name: str, edits: str | None = None, at: str | None = None) -> Feeder:
        """A bundled feeder by its name, or a user's own circuit by the path of its `.dss` master file.

        A circuit of one's own may be changed by `edits`, and studied `at` an hour of its own shapes
        (2024-07-15T17:00).
        """
        if is_own_circuit(name):
            return Feeder.from_dss(name, edits=edits, at=None if at is None else read_hour(at))
        if name.lower() not in Feeder.known():
            raise _no_feeder(name)
        if edits is not None:
            raise InputError(f"edits change a circuit of your own (a .dss file); feeder {name!r} is a bundled one")
        if at is not None:
            raise InputError(f"--at is an hour of a circuit of your own with load shapes; feeder {name!r} has none")
        return Feeder.load(name)

    def bus(self, name: str) -> Bus:
        """A bus by name (any case); `InputError` if there is none, or phases or others go with it."""
        return bus_named(name, self.buses, f"in feeder {self.name}")

    @property
    def site_buses(self) -> tuple[str, ...]:
        """Every bus at which a site may be named: energised on some phase, with a voltage base.

        `candidate_buses` are those of three phases among which studies choose where none is named.
        """
        return tuple(
            bus.name
            for bus in self.buses.values()
            if bus.phases and bus.kv_ln > 0.0 and bus.name not in self.isolated_buses
        )

    def regulator(self, name: str) -> Regulator:
        """A regulator by name (any case); `InputError` if there is none."""
        found = self.regulators.get(str(name).lower())
        if found is None:
            raise unknown_name("regulator", name, self.regulators, f"in feeder {self.name}")
        return found

    def excluding(self, names: Sequence[str]) -> Feeder:
        """This feeder with some more buses (any case) left out of voltage metrics; `InputError` if one is unknown."""
        if not names:
            return self
        named = [self.bus(name).name for name in names]
        return replace(self, exclude_buses=tuple(dict.fromkeys((*self.exclude_buses, *named))))

    def extended(self, commands: Sequence[str]) -> Feeder:
        """This feeder with more OpenDSS commands behind its own."""
        own = (*self.commands, *commands)
        return replace(self, commands=own, **_parts(own))

    def unassessed_loads(self) -> dict[str, float]:
        """kW by bus of customers whose voltages no limit looks at: excluded, not served, or numbered above 3."""
        found: dict[str, float] = {}
        for load in self.own_loads:
            bus = self.buses[load.bus]
            if load.bus in self.exclude_buses or {*bus.unserved, *bus.beyond} & set(load.nodes):
                found[load.bus] = found.get(load.bus, 0.0) + load.kw
        return found

    def write_dss(self, folder: Path | str) -> Path:
        """Write the circuit as one OpenDSS master file into `folder`; returns its path."""
        target = Path(folder) / f"{self.name}.dss"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text("\n".join(("Clear", *self.commands, "")), encoding="utf-8")
        return target

    def direct(self) -> Any:
        """The circuit in OpenDSSDirect.py, in a context of its own, solved in its studied state (see `open_direct`)."""
        return open_direct(self.commands)

    def __reduce__(self) -> tuple[Any, ...]:
        # Read-only mappings do not travel to other processes by themselves.
        figures = {f.name: getattr(self, f.name) for f in fields(self)}
        plain = {name: dict(value) if isinstance(value, MappingProxyType) else value for name, value in figures.items()}
        return _restore, (plain,)

    def __repr__(self) -> str:
        return f"Feeder({self.name!r}, {len(self.buses)} buses, {len(self.regulators)} regulators)"


def _restore(figures: dict[str, Any]) -> Feeder:
    read_only: dict[str, Any] = {k: MappingProxyType(v) if isinstance(v, dict) else v for k, v in figures.items()}
    return Feeder(**read_only)


def _no_feeder(name: str) -> InputError:
    """The error for a name that is no bundled feeder's, and no master file's either, though something may be there."""
    path = user_path(name, "feeder")
    if os.path.isdir(path):
        masters = sorted(path.glob("*.[dD][sS][sS]"), key=lambda p: (p.stem.lower() != "master", p.name))
        which = f"as in {masters[0]}" if masters else "which ends in .dss"
        return InputError(f"feeder {path} is a folder; give its OpenDSS master file, {which}")
    if os.path.isfile(path):
        return InputError(
            f"feeder {path} is a file whose name does not end in .dss; give an OpenDSS master file, which does"
        )
    return unknown_name("feeder", name, Feeder.known(), "(or give the path of an OpenDSS master file, .dss)")


def find_feeder(case_dir: Path | str | None, master_file: str | None, feeder: Feeder | str | None) -> Feeder:
    """The feeder meant by either a feeder (or its name), or a folder and an OpenDSS master file in it.

    Scripts written for a documented folder such as data/grid/ieee13 with its IEEE13Bus.dss run without it: where
    that file does not exist, the bundled feeder of that name is used, and the log says so.
    """
    if feeder is not None:
        if case_dir is not None or master_file is not None:
            raise InputError("give either feeder= or dss_case_dir= and dss_master_file=, not both")
        return Feeder.load(feeder) if isinstance(feeder, str) else feeder
    if case_dir is None or master_file is None:
        raise InputError("name the circuit: feeder='ieee13', or dss_case_dir= and dss_master_file=")
    path = Path(case_dir) / master_file
    if path.is_file():
        return Feeder.from_dss(path)
    name = Path(case_dir).name.lower()
    if name not in Feeder.known() or path.name.lower() != _study_constants(name)["master_file"].lower():
        raise InputError(f"OpenDSS master file {path} not found; bundled feeders: {Feeder.known()}")
    logger.info("%s does not exist; using the bundled feeder %s", path, name)
    return Feeder.load(name)


@lru_cache(maxsize=8)
def _settled(
    commands: tuple[str, ...], _digest: str, at: datetime | None
) -> tuple[tuple[str, ...], tuple[str, ...], dict[str, Any]]:
    """Commands that also put a circuit into its studied state, words on that state, and the parts of the circuit.

    Kept, since a study asks for its feeder again and again; `_digest` tells circuits apart that differ in data files.
    """
    state = studied_state(commands, at)
    settled = (*commands, *state.commands)
    return settled, state.words, {**_parts(settled), "restless": state.restless}


def _parts(commands: tuple[str, ...]) -> dict[str, Any]:
    circuit = Circuit(commands)
    circuit.finish()
    found = read_regulators(circuit)
    regulators = found.regulators
    loads = load_branches(circuit)
    buses = classify_buses(circuit, loads)
    branches = tuple(read_branches(circuit, ask_stated=True, ratings=stated_ratings(commands)))
    return {
        "buses": MappingProxyType(buses),
        "regulators": MappingProxyType(regulators),
        "compiled_taps": MappingProxyType({name: circuit.tap(regulator) for name, regulator in regulators.items()}),
        "branches": branches,
        "isolated_buses": tuple(sorted(bus.name for bus in buses.values() if not bus.phases and not bus.neutral)),
        "own_loads": _own_loads(circuit, loads),
        "regulator_notes": found.notes,
        "source_notes": (*source_notes(circuit), *frequency_notes(circuit, commands)),
        "unstated_notes": (
            *unstated_notes(circuit),
            *to_ground_notes(loads_to_ground(circuit, loads, buses)),
            *fault_notes(circuit),
            *filter(None, [conductor_gaps(commands)]),
            *lost_rating_notes(commands, branches),
            *copied_notes(commands),
            *otherwise_notes(commands),
            *rewritten_notes(commands),
        ),
    }


def _own_loads(circuit: Circuit, loads: Sequence[LoadBranch]) -> tuple[OwnLoad, ...]:
    found = []
    for load in loads:
        places = [int(place) for place in load.nodes if place >= 0]
        if places:
            numbers = tuple(dict.fromkeys(int(circuit.node_phase[place]) for place in places))
            rated_kv_ln = load.kv / math.sqrt(3.0) if load.n_phases == 3 else None
            if load.n_phases == 1 and len(places) == 1:
                rated_kv_ln = load.kv
            found.append(OwnLoad(load.name, circuit.node_bus[places[0]], numbers, load.kw, rated_kv_ln))
    return tuple(found)


def _edits_in_words(edits: Path | str | None, commands: Sequence[str]) -> tuple[str, ...]:
    if edits is None:
        return ()
    changed = f"changed by {number_of(len(commands), 'edit')} of {edits}: {listed(commands, 60)}"
    return (f"the circuit as its file has it is {changed}",)


def _study_constants(name: str) -> dict[str, Any]:
    constants: dict[str, Any] = json.loads(data_path("feeders", name, "study.json").read_text(encoding="utf-8"))
    return constants


def _study_words(constants: Mapping[str, Any]) -> tuple[str, ...]:
    """The constants that studies of a bundled feeder stand on, and where they come from, for people."""
    taps = ", ".join(f"{name} {ratio:g}" for name, ratio in constants["initial_taps"].items())
    held = f"studies hold the source at {constants['source_pu']:g} pu"
    words = [
        f"{held} and begin at the taps {taps}: the constants of the OpenG2G reference runs recorded for this feeder, "
        "as are the buses left out of the limits (data/README.md)"
        if taps
        else held
    ]
    words += [f"other than the published feeder: {change}" for change in constants["changes"]]
    units = [
        f"{kind} of {3.0 * unit['peak_kw_per_phase']:g} kW at {unit['bus']}"
        for kind in ("generator", "load")
        for unit in constants[f"standing_{kind}s"]
    ]
    if units:
        words.append(f"every study has at their peak, besides the feeder's customers: {', '.join(units)}")
    return tuple(words)


@lru_cache
def _load_bundled(name: str) -> Feeder:
    constants = _study_constants(name)
    commands = dss_commands(data_path("feeders", name), name)
    return Feeder(
        name=name,
        commands=commands,
        source_pu=constants["source_pu"],
        initial_taps=TapPosition(regulators=taps) if (taps := constants["initial_taps"]) else None,
        exclude_buses=tuple(constants["exclude_buses"]),
        candidate_buses=tuple(constants["candidate_buses"]),
        zones=MappingProxyType({zone: tuple(buses) for zone, buses in constants["zones"].items()}),
        standing_generators=tuple(StandingPower(**row) for row in constants["standing_generators"]),
        standing_loads=tuple(StandingPower(**row) for row in constants["standing_loads"]),
        ofo=MappingProxyType(constants["ofo"]),
        state=_study_words(constants),
        **_parts(commands),
    )
