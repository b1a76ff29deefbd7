"""`PowerQuality`: what a run keeps of unbalance, rapid voltage changes and trips; both engines leave the same.

Limits are held against it afterwards, without simulating again. See `unbalance` and `rapid_voltage_change` for the
standards.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from g2g_opt.circuit.parts import Bus, phase_letter
from g2g_opt.errors import InputError
from g2g_opt.grid.profile import HeldProfile
from g2g_opt.grid.setup import GridSetup
from g2g_opt.metrics.rapid_voltage_change import WINDOW_S, change_pu
from g2g_opt.metrics.unbalance import UNBALANCE_ADDED_MAX
from g2g_opt.reading import parse_json

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Counts = NDArray[np.int32]

Definition = Literal["negative sequence", "NEMA"]
DEFINITIONS: tuple[Definition, ...] = ("negative sequence", "NEMA")
UNBALANCE_EDGES = (0.005, 0.01, 0.015, 0.02, 0.025, 0.03, 0.04, 0.05)


@dataclass(frozen=True)
class DemandChange:
    """Something planned that moves a site's power between two times (s): "training starts", "a ramp of replicas"."""

    begin_s: float
    end_s: float
    words: str


@dataclass(frozen=True, eq=False)
class SiteTrip:
    """A site lost at the step of its largest draw, with taps, capacitors and everything else held.

    `before_pu`, `after_pu` by monitored node (pu): just before, and just after. NaN where there is no solution.
    """

    site: str
    step: int
    before_pu: Floats
    after_pu: Floats


@dataclass(frozen=True)
class WorstUnbalance:
    """The bus with the highest unbalance (share), when (s), and what it is there without any site, taps held."""

    definition: Definition
    bus: str
    time_s: float
    share: float
    without_site_share: float

    @property
    def place(self) -> str:
        """Bus, time and both figures in words."""
        return (
            f"{self.bus} at t={self.time_s:g} s, {100 * self.share:.2f} % "
            f"({100 * self.without_site_share:.2f} % without a site)"
        )


@dataclass(frozen=True)
class RapidVoltageChange:
    """The largest change from one steady level to another (pu of nominal), where, when (s), and why."""

    bus: str
    phase: int
    time_s: float
    change_pu: float
    cause: str

    @property
    def place(self) -> str:
        """Bus, phase, time and cause in words."""
        return f"{self.bus}.{phase_letter(self.phase)} at t={self.time_s:g} s, {self.cause}"


@dataclass(frozen=True)
class VoltageAfterTrip:
    """The highest voltage (pu) just after a site is lost at its largest draw, before any tap moves."""

    site: str
    bus: str
    phase: int
    time_s: float
    voltage_pu: float

    @property
    def place(self) -> str:
        """Bus, phase, time and site in words."""
        return f"{self.bus}.{phase_letter(self.phase)} just after a trip of {self.site} at t={self.time_s:g} s"


@dataclass(frozen=True, eq=False)
class PowerQuality:
    """Figures of one run of steps of `dt_s` (s). `nodes` are the monitored (bus, phase) pairs, `buses` those with three
    phases that limits look at: only these have an unbalance.

    `unbalance` [definition, bus] are the highest of the run (share), `unbalance_step` when they first occurred,
    `unbalance_steps_over` [definition, edge, bus] how many steps lie above each of the `edges`. `unbalance_without`
    [definition, bus] is what is left at the step of the run's highest one with every site taken out and taps held.
    `change_pu`, `change_step` (node,) are the largest changes within a window that no tap move lies in. Definitions
    are in the order of `DEFINITIONS`.
    """

    dt_s: float
    n_steps: int
    nodes: tuple[tuple[str, int], ...]
    buses: tuple[str, ...]
    edges: tuple[float, ...]
    unbalance: Floats
    unbalance_step: Counts
    unbalance_steps_over: Counts
    unbalance_without: Floats
    change_pu: Floats
    change_step: Counts
    demand_changes: tuple[DemandChange, ...]
    trips: tuple[SiteTrip, ...]

    def to_json(self) -> str:
        """All figures as JSON, exact to the last bit."""
        kept = {f.name: getattr(self, f.name) for f in fields(self)}
        kept["demand_changes"] = [(c.begin_s, c.end_s, c.words) for c in self.demand_changes]
        kept["trips"] = [[t.site, t.step, _packed(t.before_pu), _packed(t.after_pu)] for t in self.trips]
        return json.dumps({k: _packed(v) if isinstance(v, np.ndarray) else v for k, v in kept.items()})

    @staticmethod
    def from_json(text: str) -> PowerQuality:
        """What `to_json` wrote."""
        stored = parse_json(text, "stored power quality")
        kept: dict[str, Any] = {k: _unpacked(v) if isinstance(v, dict) else v for k, v in stored.items()}
        kept["nodes"] = tuple((bus, phase) for bus, phase in kept["nodes"])
        kept["buses"], kept["edges"] = tuple(kept["buses"]), tuple(kept["edges"])
        kept["demand_changes"] = tuple(DemandChange(*change) for change in kept["demand_changes"])
        kept["trips"] = tuple(SiteTrip(s, k, _unpacked(b), _unpacked(a)) for s, k, b, a in kept["trips"])
        return PowerQuality(**kept)

    def worst_unbalance(self, definition: Definition) -> WorstUnbalance | None:
        """The bus with the highest one; None where no bus has three phases."""
        if not self.buses:
            return None
        return self._unbalance_at(definition, int(np.argmax(self.unbalance[DEFINITIONS.index(definition)])))

    def _unbalance_at(self, definition: Definition, b: int) -> WorstUnbalance:
        kind = DEFINITIONS.index(definition)
        return WorstUnbalance(
            definition,
            self.buses[b],
            int(self.unbalance_step[kind, b]) * self.dt_s,
            float(self.unbalance[kind, b]),
            float(self.unbalance_without[kind, b]),
        )

    def blamed(self, definition: Definition, limit: float) -> NDArray[np.bool_]:
        """Buses at which the sites are to blame for an unbalance above a limit: it was kept there without them, or they
        add more than `UNBALANCE_ADDED_MAX` to it.
        """
        kind = DEFINITIONS.index(definition)
        # A bus without a figure had none without the sites: `fmax` passes over it.
        least = max(limit, UNBALANCE_ADDED_MAX)
        return np.asarray(self.unbalance[kind] > np.fmax(least, self.unbalance_without[kind] + UNBALANCE_ADDED_MAX))

    def worst_blamed(self, definition: Definition, limit: float, time_share_max: float) -> WorstUnbalance | None:
        """The bus with the highest unbalance that breaks a limit for more than a share of the run; None if none does.

        Raises `InputError` where that share is above 0 and no times were kept at the limit.
        """
        wrong = self.blamed(definition, limit)
        if wrong.any() and time_share_max > 0.0:
            wrong &= self.unbalance_time_s(definition, limit) > time_share_max * self.n_steps * self.dt_s
        if not wrong.any():
            return None
        kind = DEFINITIONS.index(definition)
        return self._unbalance_at(definition, int(np.where(wrong, self.unbalance[kind], -1.0).argmax()))

    def unbalance_time_s(self, definition: Definition, limit: float) -> Floats:
        """Time (s) that every bus spends above an edge; `InputError` where none was kept at `limit`."""
        for k, edge in enumerate(self.edges):
            if abs(edge - limit) < 1e-12:
                return np.asarray(self.unbalance_steps_over[DEFINITIONS.index(definition), k] * self.dt_s)
        raise InputError(
            f"no unbalance figures were kept at {limit:g}; kept: {list(self.edges)} (simulate with it as an edge)"
        )

    def worst_change(self) -> RapidVoltageChange | None:
        """The largest change of the run itself, trips apart; None without a monitored voltage."""
        if not self.nodes:
            return None
        i = int(self.change_pu.argmax())
        time_s = int(self.change_step[i]) * self.dt_s
        return RapidVoltageChange(*self.nodes[i], time_s, float(self.change_pu[i]), self.cause(time_s))

    def worst_trip_change(self) -> RapidVoltageChange | None:
        """The largest change at a trip of a site; None without a site or a monitored voltage.

        A trip without a solution counts as a change without bound.
        """
        worst: RapidVoltageChange | None = None
        for trip in self.trips if self.nodes else ():
            change = _without_bound(change_pu(trip.before_pu, trip.after_pu))
            i = int(change.argmax())
            if worst is None or change[i] > worst.change_pu:
                cause = f"a trip of {trip.site}"
                worst = RapidVoltageChange(*self.nodes[i], trip.step * self.dt_s, float(change[i]), cause)
        return worst

    def cause(self, time_s: float) -> str:
        """What was planned at a time (s), in words."""
        found = [c.words for c in self.demand_changes if c.begin_s <= time_s and c.end_s >= time_s - WINDOW_S]
        return ", ".join(dict.fromkeys(found)) or "as load, generation and batch sizes go"

    def highest_after_trip(self) -> VoltageAfterTrip | None:
        """The highest voltage that a trip leaves behind; None without a site."""
        worst: VoltageAfterTrip | None = None
        for trip in self.trips:
            after_pu = _without_bound(trip.after_pu)
            i = int(after_pu.argmax())
            if worst is None or after_pu[i] > worst.voltage_pu:
                worst = VoltageAfterTrip(trip.site, *self.nodes[i], trip.step * self.dt_s, float(after_pu[i]))
        return worst


def _without_bound(figures: Floats) -> Floats:
    """Figures, those of a state without a solution beyond any limit."""
    return np.where(np.isnan(figures), np.inf, figures)


def _packed(array: NDArray[Any]) -> dict[str, Any]:
    data = base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()
    return {"kind": array.dtype.str, "shape": array.shape, "data": data}


def _unpacked(packed: Mapping[str, Any]) -> NDArray[Any]:
    raw = np.frombuffer(base64.b64decode(packed["data"]), dtype=np.dtype(packed["kind"]))
    return raw.reshape(packed["shape"])


def three_phase_buses(
    buses: Mapping[str, Bus], exclude_buses: Sequence[str], nodes: Sequence[tuple[str, int]]
) -> tuple[tuple[str, ...], Ints]:
    """Buses with all three phases served that limits look at, and the places of these among `nodes`, (bus, 3)."""
    index = {node: place for place, node in enumerate(nodes)}
    names = [
        name
        for name, bus in buses.items()
        if name not in exclude_buses and bus.phases == (1, 2, 3) and all((name, p) in index for p in (1, 2, 3))
    ]
    places = [[index[name, phase] for phase in (1, 2, 3)] for name in names]
    return tuple(names), np.array(places, dtype=np.int64).reshape(-1, 3)


def held_breaks(setup: GridSetup, n_steps: int) -> Ints:
    """Steps at which figures that are held for an hour go on to the next: a jump of the data, not of the load."""
    own = None if setup.own_load_share is None else setup.own_load_share.of_all
    series = [own] + [a.profile.shares for a in setup.attached.profiles if isinstance(a.profile, HeldProfile)]
    steps = [
        np.ceil(np.arange(1, len(one.values)) * one.period_s / float(setup.dt_s) - 1e-9)
        for one in series
        if one is not None
    ]
    found = np.unique(np.concatenate([*steps, np.empty(0)]).astype(np.int64))
    return found[found < n_steps]


def demand_changes(sites: Sequence[Any]) -> tuple[DemandChange, ...]:
    """What is planned at sites that know their demand; those that do not have none."""
    found: dict[DemandChange, None] = {}
    for site in sites:
        demand = getattr(site, "demand", None)
        for begin_s, end_s, words in demand.changes if demand is not None else ():
            found[DemandChange(begin_s, end_s, words)] = None
    return tuple(sorted(found, key=lambda c: (c.begin_s, c.end_s, c.words)))
