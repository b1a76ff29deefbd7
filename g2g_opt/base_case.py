"""The circuit as it stands, without a site: does it converge, where does it stand, and what is out of order already?"""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from g2g_opt.circuit.elements import elements, line_lengths_km, source_kw
from g2g_opt.circuit.opendss_circuit import SETTLED_DT_S, Circuit
from g2g_opt.circuit.protection import PickedUp, Protection, hold_other_controls
from g2g_opt.circuit.rated_otherwise import rated_otherwise
from g2g_opt.circuit.rounding import GroundRounding
from g2g_opt.circuit.second_solution import SecondSolution, second_solution
from g2g_opt.circuit.unsolved import told_why
from g2g_opt.errors import PowerFlowError, listed, number_of
from g2g_opt.failure import FailureKind
from g2g_opt.feeder import Feeder
from g2g_opt.grid.judged_voltages import JudgedVoltages
from g2g_opt.grid.loading import BranchLoading, judged_ratings
from g2g_opt.grid.regulators import RegulatorBank
from g2g_opt.grid.served import OwnLoadCheck
from g2g_opt.limits import Limits, RatingBasis
from g2g_opt.metrics.power_quality import three_phase_buses
from g2g_opt.metrics.unbalance import UNBALANCE_ADDED_MAX, negative_sequence_unbalance, nema_unbalance
from g2g_opt.unserved_buses import why_unserved

Complexes = NDArray[np.complex128]
Floats = NDArray[np.float64]

_TOLERANCE, _ITERATIONS = 1e-8, 300
# A converged voltage further than this from its base speaks of a wrong base, not of a weak feeder.
_PLAUSIBLE_PU = (0.7, 1.3)
_LOOKED_AT = 20  # customers without a source of which is asked why
WRONG = "voltage base (or an impedance or a load)"


class BaseCaseState(StrEnum):
    """AT_REST: solved, its own controls at rest. PROTECTION_ACTS: at rest, where protection opens something by itself.
    RESTLESS: its own controls do not come to rest. NO_SOLUTION: the power flow did not converge.
    """

    AT_REST = "at rest"
    PROTECTION_ACTS = "protection acts at rest"
    RESTLESS = "restless controls"
    NO_SOLUTION = "no solution"


@dataclass(frozen=True)
class NodeVoltage:
    """A bus-phase and its voltage (pu), line to line where the bus has no neutral; `judged`: limits look at it.

    `label` names the voltage as people do: "A", or from phase to phase "AB".
    """

    bus: str
    phase: int
    voltage_pu: float
    judged: bool
    label: str

    @property
    def name(self) -> str:
        """Bus and voltage as people write them."""
        return f"{self.bus}.{self.label}"

    def __str__(self) -> str:
        return f"{self.name} {self.voltage_pu:.4f} pu"


@dataclass(frozen=True)
class BusUnbalance:
    """A judged bus of three phases and its voltage unbalance: negative over positive sequence, and NEMA's (shares)."""

    bus: str
    negative_sequence: float
    nema: float


@dataclass(frozen=True)
class BaseCase:
    """One solution of a feeder without a site, at a load level; its controls `settled`, or the taps as studies begin.

    Powers in kW: from the sources, of the customers as solved, and lost. `voltages` are those of energised bus-phases;
    `loading` the (element, share of its rating on `rating_basis`) of the heaviest one, None where nobody stated any.
    `unserved` is the worst customer that is served something else than it asks for. `distance_km` is by bus, along
    lines from the nearest source; lines of which OpenDSS keeps no unit of length (`without_unit` of them) count as
    given. `failure` says why there is no solution; everything else is then empty. `restless` says why the circuit's own
    controls do not come to rest; the figures, if any, are those of the controls held as the file leaves them. `second`
    is another solution, if any, `picked_up` the protection that acts where the circuit stands, `rounding` what keeps
    OpenDSS from its tolerance, `rated_otherwise` by bus what is rated there for another voltage than its base.
    """

    failure: str = ""
    restless: str = ""
    source_kw: float = 0.0
    losses_kw: float = 0.0
    voltages: tuple[NodeVoltage, ...] = ()
    loading: tuple[str, float] | None = None
    unserved: str = ""
    distance_km: Mapping[str, float] | None = None
    without_unit: int = 0
    unbalance: tuple[BusUnbalance, ...] = ()
    rating_basis: RatingBasis = "normal"
    settled: bool = False
    second: SecondSolution | None = None
    rounding: GroundRounding | None = None
    picked_up: tuple[PickedUp, ...] = ()
    rated_otherwise: Mapping[str, str] = field(default_factory=dict)

    @property
    def state(self) -> BaseCaseState:
        """Whether figures of the circuit are those of one that stands still."""
        if self.restless:
            return BaseCaseState.RESTLESS
        if self.failure:
            return BaseCaseState.NO_SOLUTION
        return BaseCaseState.PROTECTION_ACTS if self.picked_up else BaseCaseState.AT_REST

    @property
    def headline(self) -> str:
        """What has to be said before any figure; empty where the circuit is solved and at rest."""
        if self.restless and not self.failure:
            return f"{self.restless}; figures of it are those of its controls held as the file leaves them"
        if self.picked_up and not self.failure:
            words = listed([str(one) for one in self.picked_up], 4)
            return f"{words}; figures of the base case are those of a circuit in which that is held closed"
        return self.failure

    @property
    def judged(self) -> tuple[NodeVoltage, ...]:
        """Voltages that limits look at."""
        return tuple(node for node in self.voltages if node.judged)

    @property
    def implausible(self) -> tuple[NodeVoltage, ...]:
        """Voltages so far from their base that the base must be wrong."""
        low, high = _PLAUSIBLE_PU
        return tuple(node for node in self.voltages if not low <= node.voltage_pu <= high)

    def outside(self, limits: Limits) -> tuple[NodeVoltage, ...]:
        """Judged voltages outside the band of `limits`."""
        low, high = limits.voltage_min_pu, limits.voltage_max_pu
        return tuple(node for node in self.judged if not low <= node.voltage_pu <= high)

    def unbalanced_words(self, limits: Limits) -> list[str]:
        """Where the circuit stands in voltage unbalance, and at how many buses it is above a limit without any site.

        No site is to blame for that: one is held to adding no more than `UNBALANCE_ADDED_MAX` there.
        """
        if not self.unbalance:
            return ["voltage unbalance: not defined, as no judged bus has three phases"]
        parts, above = [], []
        for name, what, limit in (
            ("negative_sequence", "negative over positive sequence", limits.unbalance_negative_sequence_max),
            ("nema", "line to line (NEMA)", limits.unbalance_nema_max),
        ):
            worst = max(self.unbalance, key=lambda one: float(getattr(one, name)))
            parts.append(f"{100 * getattr(worst, name):.2f} % {what} at {worst.bus}")
            n = sum(getattr(one, name) > limit for one in self.unbalance) if limit is not None else 0
            if n and limit is not None:
                buses = number_of(len(self.unbalance), "bus")
                above.append(f"{n} of {buses} {'is' if n == 1 else 'are'} above {100 * limit:g} % {what}")
        words = ["voltage unbalance: highest " + ", ".join(parts)]
        if above:
            words.append(
                f"without a site {' and '.join(above)}: a site is not held to the limit there, but to adding no more "
                f"than {100 * UNBALANCE_ADDED_MAX:g} percentage points"
            )
        return words

    def breaks(self, limits: Limits) -> str:
        """What limits the circuit breaks without any site, in words; empty if none."""
        if self.failure:
            return self.failure
        parts = []
        if self.implausible:
            first = self.implausible[0]
            parts.append(f"{first}, which no feeder stands at, so that a {WRONG} must be another")
        outside = self.outside(limits)
        if outside:
            worst = max(
                outside, key=lambda n: max(limits.voltage_min_pu - n.voltage_pu, n.voltage_pu - limits.voltage_max_pu)
            )
            parts.append(
                f"{len(outside)} of {number_of(len(self.judged), 'judged bus-phase')} "
                f"{'is' if len(outside) == 1 else 'are'} outside {limits.voltage_min_pu:g} to "
                f"{limits.voltage_max_pu:g} pu, worst {worst}"
            )
            parts += [words] if (words := self.of_another_base(limits)) else []
        if limits.loading_max_pu is not None and self.loading and self.loading[1] > limits.loading_max_pu:
            parts.append(f"{self.loading[0]} is loaded to {self.loading[1]:.3f} of its {self.rating_basis} rating")
        if self.unserved:
            parts.append(self.unserved)
        if self.picked_up:
            parts.append(listed([str(one) for one in self.picked_up], 4))
        return "; ".join(parts)

    def of_another_base(self, limits: Limits) -> str:
        """At which buses outside the band all is rated for another voltage than the base, in words; empty if none."""
        named = list(dict.fromkeys(node.bus for node in self.outside(limits) if node.bus in self.rated_otherwise))
        if not named:
            return ""
        words = f"{number_of(len(named), 'bus')} outside the band with a voltage base that nothing there is rated for: "
        return words + listed([f"{bus} ({self.rated_otherwise[bus]})" for bus in named], 4) + " (Set VoltageBases)"


def base_case_words(feeder: Feeder, base: BaseCase, limits: Limits) -> list[str]:
    """The base case in a planner's words, a line each; what keeps it from an answer is the first."""
    levels = sorted(
        {round(np.sqrt(3.0) * bus.kv_ln, 4) for bus in feeder.buses.values() if bus.kv_ln > 0}, reverse=True
    )
    words = [f"{base.state.value.upper()}: {base.headline}"] if base.headline else []
    words.append(f"voltage levels: {', '.join(f'{kv:g}' for kv in levels) or 'none stated'} kV (line to line)")
    if base.failure:
        return words
    words.append(
        f"base case, no site: {base.source_kw:z,.1f} kW from the sources, of which {base.losses_kw:z,.1f} kW are lost"
    )
    if base.judged:
        lowest = min(base.judged, key=lambda node: node.voltage_pu)
        highest = max(base.judged, key=lambda node: node.voltage_pu)
        words[-1] += f"; lowest {lowest}, highest {highest}"
    if base.loading is not None:
        words.append(f"heaviest loading: {base.loading[0]}, {base.loading[1]:.3f} of its {base.rating_basis} rating")
    unbalanced = base.unbalanced_words(limits)
    words += unbalanced
    if base.implausible:
        words.append(f"far from their voltage base: {listed([str(node) for node in base.implausible], 6)}")
    words += [str(told) for told in (base.second, base.rounding) if told is not None]
    broken = base.breaks(limits)
    if broken:
        words.append(f"without a site the circuit already breaks a limit: {broken}")
    elif base.judged:
        words.append(f"without a site all {'other ' if len(unbalanced) > 1 else ''}limits hold")
    else:
        words.append("no voltage is judged: no bus has both a voltage base and a source")
    return words


def solve_base_case(
    feeder: Feeder, load_level: float = 1.0, rating_basis: RatingBasis = "normal", *, settled: bool = False
) -> BaseCase:
    """Solve a feeder without a site, its own load at `load_level`, a share of what its data have.

    `settled` lets the circuit's own controls come to rest from the taps that studies begin with; else those are held.
    A power flow without a solution, or controls that come to no rest, are a `failure` in the result.
    """
    circuit = _circuit_of(feeder, settled=settled)
    protection = Protection(circuit)
    protection.hold()
    try:
        circuit.finish()
        circuit.set_load_share(load_level)
        circuit.solve()
    except PowerFlowError as error:
        failure = told_why(circuit, error.failure)
        if failure.kind is FailureKind.RESTLESS_CONTROLS:
            words = f"the circuit's own controls do not come to rest without a site {failure.detail}".rstrip()
            return BaseCase(failure=words, restless=words)
        return BaseCase(failure=f"the circuit itself has no solution: {failure}")
    phasors = circuit.node_voltages().copy()
    nodes = list(zip(circuit.node_bus, circuit.node_phase.tolist(), strict=True))
    judged = JudgedVoltages.of(feeder.buses, nodes, circuit.node_base_v)
    voltage_pu = judged.magnitudes_pu(phasors)
    voltages = tuple(
        NodeVoltage(
            bus,
            phase,
            float(voltage_pu[k]),
            bus not in feeder.exclude_buses,
            feeder.buses[bus].voltage_name(phase),
        )
        for k, (bus, phase) in enumerate(nodes)
        if judged.monitored[k] and np.isfinite(voltage_pu[k])
    )
    loading = BranchLoading.of(circuit, judged_ratings(feeder.branches, rating_basis))
    shares = loading.loading_pu(loading.conductor_loading_pu(phasors[None]))[0]

    def judged_pu(phasors: Complexes) -> Floats:
        return np.where(judged.monitored, judged.magnitudes_pu(phasors), np.nan)

    names = [f"{bus}.{feeder.buses[bus].voltage_name(phase)}" for bus, phase in nodes]
    own = OwnLoadCheck(circuit)
    own.check(np.zeros(1), phasors[None])
    distance_km, without_unit = _distances_km(circuit, feeder)
    return BaseCase(
        restless="" if settled else feeder.restless,
        source_kw=source_kw(circuit),
        losses_kw=circuit.losses_kw(),
        voltages=voltages,
        loading=(loading.names[int(shares.argmax())], float(shares.max())) if len(shares) else None,
        unserved=_unserved(feeder) or own.worst,
        distance_km=distance_km,
        without_unit=without_unit,
        unbalance=_unbalance(feeder, phasors, nodes),
        rating_basis=rating_basis,
        settled=settled,
        rounding=circuit.rounding,
        picked_up=(*protection.molten(), *_tripped(feeder, load_level, settled=settled)),
        rated_otherwise=rated_otherwise(circuit, {(node.bus, node.phase): node.voltage_pu for node in voltages}),
        # The last to be asked: it leaves the circuit elsewhere.
        second=second_solution(circuit, load_level, judged_pu, names),
    )


def _circuit_of(feeder: Feeder, *, settled: bool) -> Circuit:
    """The circuit at the taps that studies begin with; `settled`: its own controls act in a snapshot."""
    commands = list(feeder.commands)
    if feeder.source_pu is not None:
        commands.append(f"Edit Vsource.source pu={feeder.source_pu:.12g}")
    step_s = SETTLED_DT_S if settled else None
    circuit = Circuit(commands, tolerance=_TOLERANCE, max_iterations=_ITERATIONS, regulator_control_dt_s=step_s)
    if feeder.initial_taps is not None:
        RegulatorBank(feeder).apply(circuit, feeder.initial_taps)
    return circuit


def _tripped(feeder: Feeder, load_level: float, *, settled: bool) -> list[PickedUp]:
    """Reclosers and relays that act in the base case; found on a circuit of its own, as they open what they switch."""
    circuit = _circuit_of(feeder, settled=True)
    protection = Protection(circuit)
    if not protection.has_breakers:
        return []
    protection.hold()
    circuit.finish()
    circuit.set_load_share(load_level)
    if not settled:
        hold_other_controls(circuit)
    circuit.solve()
    return protection.tripped()


def restless_words(feeder: Feeder, load_level: float) -> list[str]:
    """What studies meet where the circuit's own controls act: that these do not come to rest at a level of own load."""
    failure = solve_base_case(feeder, load_level, settled=True).failure
    return [f"at {load_level:g} of the own load, {failure}"] if failure else []


def _unserved(feeder: Feeder) -> str:
    """Customers whose conductors no source reaches, in words; empty if there are none."""
    found = [load for load in feeder.own_loads if set(load.nodes) & set(feeder.buses[load.bus].unserved)]
    if not found:
        return ""
    kw = sum(load.kw for load in found)
    told = f"no source serves {kw:,.6g} kW of customers: load {listed([load.name for load in found], 6)}"
    why = (why_unserved(feeder, bus) for bus in dict.fromkeys(load.bus for load in found[:_LOOKED_AT]))
    return told + next(filter(None, why), "")


def _unbalance(feeder: Feeder, phasors: Complexes, nodes: list[tuple[str, int]]) -> tuple[BusUnbalance, ...]:
    """Of every judged bus with three phases."""
    names, places = three_phase_buses(feeder.buses, feeder.exclude_buses, nodes)
    voltage_v = phasors[places]
    figures = zip(negative_sequence_unbalance(voltage_v), nema_unbalance(voltage_v), strict=True)
    return tuple(BusUnbalance(bus, float(a), float(b)) for bus, (a, b) in zip(names, figures, strict=True))


def _distances_km(circuit: Circuit, feeder: Feeder) -> tuple[dict[str, float], int]:
    """Shortest way along closed branches from the nearest source by bus, and how many lines have no unit of length."""
    lengths = line_lengths_km(circuit)
    neighbours: dict[str, list[tuple[str, float]]] = {}
    for branch in feeder.branches:
        if branch.closed:
            length_km = lengths[branch.name][0] if branch.kind == "line" else 0.0
            for end in branch.buses[1:]:
                neighbours.setdefault(branch.buses[0], []).append((end, length_km))
                neighbours.setdefault(end, []).append((branch.buses[0], length_km))
    sources = [
        circuit.ask_array("CktElement_Get_BusNames", "char*")[0].lower().split(".")[0]
        for kind, _ in elements(circuit)
        if kind == "vsource"
    ]
    found: dict[str, float] = {}
    waiting = [(0.0, bus) for bus in sources]
    heapq.heapify(waiting)
    while waiting:
        at_km, bus = heapq.heappop(waiting)
        if bus in found:
            continue
        found[bus] = at_km
        for other, length_km in neighbours.get(bus, ()):
            if other not in found:
                heapq.heappush(waiting, (at_km + length_km, other))
    return found, sum(not known for _, known in lengths.values())
