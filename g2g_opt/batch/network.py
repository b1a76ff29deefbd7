"""`Network`: a compiled circuit as arrays: admittances, load branches, regulated windings, capacitors, ratings.

OpenDSS writes the admittances and this file only adds them up, so the physics is OpenDSS's own. What hangs on a tap is
fitted to three positions as c0 + c1 / t + c2 / t^2 and checked at a fourth; with several changers on one transformer
the products of their 1 / t come to it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from g2g_opt.batch.load_law import FIXED_VARS_MODELS, N_COLUMNS, fixed_vars_laws, load_law, unit_law
from g2g_opt.batch.unsupported import UnsupportedByBatch
from g2g_opt.circuit.branches import read_branches
from g2g_opt.circuit.element_names import as_word
from g2g_opt.circuit.elements import LINEAR_KINDS, elements, linear_elements, load_branches, source_currents_a
from g2g_opt.circuit.inverters import read_inverters
from g2g_opt.circuit.node_roles import reached_nodes
from g2g_opt.circuit.opendss_circuit import Circuit
from g2g_opt.circuit.parts import Branch, Bus, LinearElement
from g2g_opt.circuit.regulators import read_regulators
from g2g_opt.circuit.units import UNIT_KINDS, OwnUnit, UnitShare, own_units, parts_of_unit, rated_vars
from g2g_opt.errors import unknown_name
from g2g_opt.grid.judged_voltages import JudgedVoltages

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Complexes = NDArray[np.complex128]

# Ratios (pu) between which a winding's admittances are read, and one near which the fit is tried.
_TAPS_READ = (0.93, 1.0, 1.08)
_TAP_TRIED = 1.0437
_FIT_RTOL = 1e-9
# A bank that is switched off has no admittance but what OpenDSS leaves of an open conductor.
_OFF_S = 1e-9
_UNIT = 0  # stands for a load's model where a branch is none
# Elements that act only between solutions, which we do ourselves or leave alone as OpenDSS does with its controls off.
_WITHOUT_CURRENT = frozenset(
    {
        "load",
        "regcontrol",
        "capcontrol",
        "swtcontrol",
        "energymeter",
        "monitor",
        "sensor",
        "fuse",
        "relay",
        "recloser",
        "invcontrol",
        "expcontrol",
        "storagecontroller",
        "gendispatcher",
    }
)


@dataclass(frozen=True, eq=False)
class TappedWinding:
    """A transformer whose admittances follow its regulators' taps t: yprim = c[0] + c[1] / t + c[2] / t^2.

    With several changers `c` has a term for every product of up to two of their 1 / t, in the order of `_monomials`.
    """

    regulators: tuple[str, ...]
    kind: str
    element: str
    nodes: Ints
    c: Complexes

    def yprim(self, taps: Mapping[str, float]) -> Complexes:
        """Admittances (S) at tap ratios by regulator."""
        return _at_taps(self.c, [taps[name] for name in self.regulators])


@dataclass(frozen=True, eq=False)
class Network:
    """What the batch power flow needs of a circuit; `nodes` are (bus, phase) in OpenDSS's order, -1 is ground.

    `fixed` are the linear elements without regulated windings and capacitors, `source_a` the currents of the sources
    (A, node), `judged` between what voltages are told, `load_from`, `load_to` and `load_law` the branches of the
    circuit's own loads (see `load_law`), `load_shape` the place among `load_shapes` ("" first: none) of the shape that
    each follows over a year (of a unit's branch its place among `unit_shares`, behind them), `banks_off` the capacitors
    that the circuit is left without, as they would be in service, `start_v` a solution (V, node) at the taps the
    circuit was left at, `alive` the nodes with a path to a source, be it through a load (see `reached_nodes`). `units`
    are generators, PV systems and storage, which are among the branches.
    """

    nodes: tuple[tuple[str, int], ...]
    base_v: Floats
    judged: JudgedVoltages
    buses: Mapping[str, Bus]
    fixed: tuple[LinearElement, ...]
    tapped: tuple[TappedWinding, ...]
    capacitors: tuple[LinearElement, ...]
    banks_off: Mapping[str, LinearElement]
    branches: tuple[Branch, ...]
    source_a: Complexes
    load_names: tuple[str, ...]
    load_models: Ints
    load_varies: NDArray[np.bool_]
    load_shape: Ints
    load_shapes: tuple[str, ...]
    load_from: Ints
    load_to: Ints
    load_law: Floats
    load_base_v: Floats
    start_v: Complexes
    start_taps: Mapping[str, float]
    alive: NDArray[np.bool_]
    units: tuple[OwnUnit, ...] = ()
    unit_shares: tuple[UnitShare, ...] = ()
    share_starts: tuple[float, ...] = ()

    @property
    def n_shares(self) -> int:
        """Places of `load_share`: the load shapes, then the parts of units."""
        return len(self.load_shapes) + len(self.unit_shares)

    @property
    def first_shares(self) -> Floats:
        """The shares (place,) of the circuit as it is compiled."""
        return np.array([*np.ones(len(self.load_shapes)), *self.share_starts])

    @property
    def n_nodes(self) -> int:
        """Nodes, ground not counted."""
        return len(self.nodes)

    def admittances(
        self, taps: Mapping[str, float], open_capacitors: Sequence[str] = (), closed_capacitors: Sequence[str] = ()
    ) -> list[tuple[Ints, Complexes]]:
        """(nodes, yprim) of every linear element at taps (regulator, ratio in pu); those left out keep `start_taps`.

        `open_capacitors` are switched off, `closed_capacitors` (of `banks_off`) switched on.
        """
        for kind, named, known in (
            ("regulator", taps, self.start_taps),
            ("capacitor", open_capacitors, [c.name for c in self.capacitors]),
            ("capacitor that is off", closed_capacitors, self.banks_off),
        ):
            for name in named:
                if name not in known:
                    raise unknown_name(kind, name, known, "in this network")
        position = {**self.start_taps, **taps}
        parts = [(e.nodes, e.yprim) for e in self.fixed]
        parts += [(e.nodes, e.yprim) for e in self.capacitors if e.name not in open_capacitors]
        parts += [(self.banks_off[name].nodes, self.banks_off[name].yprim) for name in closed_capacitors]
        parts += [(w.nodes, w.yprim(position)) for w in self.tapped]
        return parts


def read_network(circuit: Circuit, buses: Mapping[str, Bus] | None = None, steered: bool = False) -> Network:
    """The network of a compiled circuit without injections; its taps are moved and put back.

    `buses` say between what voltages are told (see `node_roles`); without them every voltage is one to ground.
    `steered`: InvControls act, so that what they steer has its rating in vars, of which `share_starts` is given.

    Raises `UnsupportedByBatch` for an element or load that is not modelled here.
    """
    _check_elements(circuit)
    _check_loads_are_nominal(circuit)
    tapped_names = _regulated(circuit)
    linear = linear_elements(circuit)
    circuit.solve()
    start_v = circuit.node_voltages().copy()
    source_a = source_currents_a(circuit)
    names, models, varies, shapes, begins, ends, laws, bases = [], [], [], [], [], [], [], []
    for load in load_branches(circuit):
        if load.kw == 0.0 and load.kvar == 0.0:
            continue
        # A neutral's impedance is left out: OpenDSS compensates its current away.
        own_laws = fixed_vars_laws(load) if load.model in FIXED_VARS_MODELS else (load_law(load),)
        for first, second in load.branch_nodes():
            for law, follows in zip(own_laws, (load.varies, False), strict=False):
                names.append(load.name)
                models.append(load.model)
                varies.append(follows)
                shapes.append(load.shape)
                begins.append(first)
                ends.append(second)
                laws.append(law)
                bases.append(load.branch_base_v)
    load_shapes = tuple(sorted({"", *shapes}))
    share_of = [load_shapes.index(shape) for shape in shapes]
    units, unit_shares, share_starts = own_units(circuit), [], []
    kva_of = {own.element: own.kva for own in read_inverters(circuit)} if steered else {}
    for unit in units:
        if unit.held is not None:
            kva_of[f"{unit.kind}.{unit.name}"] = 1e-3 * unit.held.rating_var * len(unit.branch_nodes())
    for unit in units:
        if unit.follows_load:
            raise UnsupportedByBatch(f"{unit.kind} {unit.name} is switched by the load level")
        kva = kva_of.get(f"{unit.kind}.{unit.name}")
        for part, share in parts_of_unit(unit if kva is None else rated_vars(unit, kva)):
            if part.power_va == 0.0:
                continue
            law = unit_law(part)
            unit_shares.append(share)
            is_vars = kva is not None and share.part == "reactive"
            share_starts.append(unit.power_va.imag / part.power_va.imag if is_vars else 1.0)
            for first, second in unit.branch_nodes():
                names.append(share.element)
                models.append(_UNIT)
                varies.append(True)
                share_of.append(len(load_shapes) + len(unit_shares) - 1)
                begins.append(first)
                ends.append(second)
                laws.append(law)
                bases.append(unit.base_v)
    tapped = _tapped_windings(circuit, tapped_names)
    banks_off = _banks_off(circuit, linear)
    nodes = tuple(zip(circuit.node_bus, circuit.node_phase.tolist(), strict=True))
    regulators = read_regulators(circuit).regulators
    alive = reached_nodes(len(nodes), linear, source_a, list(zip(begins, ends, strict=True)))
    for name, first, second in zip(names, begins, ends, strict=True):
        if first >= 0 and second >= 0 and alive[first] != alive[second]:
            bus, phase = nodes[second if alive[first] else first]
            raise UnsupportedByBatch(f"load {name} alone connects {bus}.{phase} to the rest of the circuit")
    judged = (
        JudgedVoltages.to_ground(nodes, circuit.node_base_v)
        if buses is None
        else JudgedVoltages.of(buses, nodes, circuit.node_base_v)
    )
    return Network(
        nodes=nodes,
        base_v=circuit.node_base_v,
        judged=judged,
        buses=circuit.buses if buses is None else buses,
        fixed=tuple(e for e in linear if e.kind != "capacitor" and (e.kind, e.name) not in tapped_names),
        tapped=tapped,
        capacitors=tuple(e for e in linear if e.kind == "capacitor"),
        banks_off=banks_off,
        branches=tuple(read_branches(circuit)),
        source_a=source_a,
        load_names=tuple(names),
        load_models=np.array(models, dtype=np.int64),
        load_varies=np.array(varies, dtype=np.bool_),
        load_shape=np.array(share_of, dtype=np.int64),
        load_shapes=load_shapes,
        load_from=np.array(begins, dtype=np.int64),
        load_to=np.array(ends, dtype=np.int64),
        load_law=np.array(laws).reshape(len(laws), N_COLUMNS),
        load_base_v=np.array(bases),
        start_v=start_v,
        start_taps={name: circuit.tap(regulator) for name, regulator in regulators.items()},
        alive=alive,
        units=tuple(units),
        unit_shares=tuple(unit_shares),
        share_starts=tuple(share_starts),
    )


def _check_elements(circuit: Circuit) -> None:
    strangers = sorted(
        f"{kind}.{name}"
        for kind, name in elements(circuit)
        if kind not in LINEAR_KINDS | UNIT_KINDS | _WITHOUT_CURRENT and circuit.ask("CktElement_Get_Enabled")
    )
    if strangers:
        shown = ", ".join(strangers[:5]) + (f" and {len(strangers) - 5} more" if len(strangers) > 5 else "")
        raise UnsupportedByBatch(f"the circuit has elements that the batch engine does not model: {shown}")


def _check_loads_are_nominal(circuit: Circuit) -> None:
    """`UnsupportedByBatch` where OpenDSS makes something else of a load than its model at its own power."""
    for question, usual in (("Mode", 0), ("Year", 0), ("LoadModel", 1)):
        if circuit.ask(f"Solution_Get_{question}") != usual:
            words = f"a LoadModel, Year or Mode ({circuit.command('get mode')}) that changes its loads"
            raise UnsupportedByBatch(f"the circuit is solved with {words}")
    for kind, name in elements(circuit):
        if kind == "load" and circuit.ask("CktElement_Get_Enabled") and circuit.ask("CktElement_IsOpen", 1, 0):
            raise UnsupportedByBatch(f"load {name} has open conductors")


def _regulated(circuit: Circuit) -> dict[tuple[str, str], tuple[str, ...]]:
    """Regulators by (kind, name) of the transformer they move."""
    found: dict[tuple[str, str], tuple[str, ...]] = {}
    for name, regulator in read_regulators(circuit).regulators.items():
        key = (regulator.kind, regulator.transformer)
        found[key] = (*found.get(key, ()), name)
    return found


def _banks_off(circuit: Circuit, linear: Sequence[LinearElement]) -> dict[str, LinearElement]:
    """Banks of one step that are switched off, by name, with the admittances of their service; they are left off."""
    names = [e.name for e in linear if e.kind == "capacitor" and not np.abs(e.yprim).max(initial=0.0) > _OFF_S]
    names = [name for name in names if int(circuit.ask_property(f"Capacitor.{name}.numsteps")) == 1]
    if not names:
        return {}
    left = {}
    for name in names:
        circuit.activate(f"Capacitor.{name}")
        left[name] = (circuit.ask_property(f"Capacitor.{name}.states"), circuit.ask("CktElement_IsOpen", 1, 0))
        circuit.command(f"Close {as_word(f'Capacitor.{name}')} 1")
        circuit.command(f"Edit {as_word(f'Capacitor.{name}')} states=[1]")
    circuit.ask("Solution_BuildYMatrix", 1, 0)
    found = {e.name: e for e in linear_elements(circuit, [("capacitor", name) for name in left])}
    for name, (states, is_open) in left.items():
        circuit.command(f"Edit {as_word(f'Capacitor.{name}')} states={states}")
        if is_open:
            circuit.command(f"Open {as_word(f'Capacitor.{name}')} 1")
    circuit.ask("Solution_BuildYMatrix", 1, 0)
    return found


def _monomials(taps: Sequence[float]) -> Floats:
    """1, then 1 / t and products of two of them, for every changer's t."""
    inverse = [1.0 / t for t in taps]
    pairs = [inverse[i] * inverse[j] for i in range(len(taps)) for j in range(i, len(taps))]
    return np.array([1.0, *inverse, *pairs])


def _at_taps(c: Complexes, taps: Sequence[float]) -> Complexes:
    """Terms (monomial, ..) added up at tap ratios."""
    if len(taps) == 1:
        return np.asarray(c[0] + c[1] / taps[0] + c[2] / taps[0] ** 2)
    return np.asarray(np.tensordot(_monomials(taps), c, axes=1))


def _readings(n_changers: int) -> list[tuple[float, ...]]:
    """Taps at which a transformer is read: enough to tell its terms apart, and one more to try them."""
    low, middle, high = _TAPS_READ
    settings: list[tuple[float, ...]] = [(low,), (middle,), (high,)]
    if n_changers > 1:
        settings = [(middle,) * n_changers]
        for k in range(n_changers):
            settings += [tuple(tap if j == k else middle for j in range(n_changers)) for tap in (low, high)]
        for j in range(n_changers):
            for k in range(j + 1, n_changers):
                settings.append(tuple(high if m in (j, k) else middle for m in range(n_changers)))
    return [*settings, tuple(_TAP_TRIED - 0.01 * k for k in range(n_changers))]


def _tapped_windings(circuit: Circuit, tapped: Mapping[tuple[str, str], tuple[str, ...]]) -> tuple[TappedWinding, ...]:
    """Admittances of the regulated transformers as functions of their taps."""
    if not tapped:
        return ()
    regulators = read_regulators(circuit).regulators
    kept = {name: circuit.tap(regulator) for name, regulator in regulators.items()}
    settings = {key: _readings(len(names)) for key, names in tapped.items()}
    read: list[dict[tuple[str, str], LinearElement]] = []
    for turn in range(max(len(of_key) for of_key in settings.values())):
        for key, names in tapped.items():
            ratios = settings[key][min(turn, len(settings[key]) - 1)]
            for name, ratio in zip(names, ratios, strict=True):
                circuit.set_tap(regulators[name], ratio)
        circuit.ask("Solution_BuildYMatrix", 1, 0)
        read.append({(e.kind, e.name): e for e in linear_elements(circuit, tapped)})
    for name, regulator in regulators.items():
        circuit.set_tap(regulator, kept[name])
    circuit.solve()
    windings = []
    for key, names in tapped.items():
        if key not in read[0]:
            continue  # out of service
        *at, tried = settings[key]
        yprims = np.array([read[turn][key].yprim for turn in range(len(at))])
        terms = np.array([_monomials(ratios) for ratios in at])
        c = np.linalg.solve(terms, yprims.reshape(len(at), -1)).reshape(yprims.shape)
        expected = read[len(at)][key].yprim
        worst = np.abs(_at_taps(c, tried) - expected).max()
        if worst > _FIT_RTOL * np.abs(expected).max():
            raise UnsupportedByBatch(f"{key[0]} {key[1]} does not follow its taps as 1 / t and products of two of them")
        windings.append(TappedWinding(names, key[0], key[1], read[0][key].nodes, c))
    return tuple(windings)
