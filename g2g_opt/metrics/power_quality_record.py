"""`PowerQualityRecord`: watches a run on OpenDSS for unbalance and heaviest states, and solves its trips at the end."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from g2g_opt.grid.judged_voltages import JudgedVoltages
from g2g_opt.grid.opendss import OpenDSSGrid
from g2g_opt.grid.record import GridRecord
from g2g_opt.metrics.power_quality import (
    DEFINITIONS,
    PowerQuality,
    SiteTrip,
    demand_changes,
    held_breaks,
    three_phase_buses,
)
from g2g_opt.metrics.rapid_voltage_change import largest_changes
from g2g_opt.metrics.unbalance import negative_sequence_unbalance, nema_unbalance

Floats = NDArray[np.float64]
Complexes = NDArray[np.complex128]

# A state is another one only if its figure is higher by more than rounding.
_HIGHER = 1.0 + 1e-9


@dataclass
class _Peak:
    """The state at which a figure was highest: its step, and what every injection drew there (kW, kvar)."""

    figure: float = -1.0
    step: int = 0
    kw: Floats = field(default_factory=lambda: np.zeros(0))
    kvar: Floats = field(default_factory=lambda: np.zeros(0))

    def look(self, first: int, figures: Floats, kw: Floats, kvar: Floats) -> None:
        """See figures of steps from `first` on."""
        for k in np.flatnonzero(figures > self.figure).tolist():
            if figures[k] > self.figure * _HIGHER:
                self.figure, self.step = float(figures[k]), first + k
                self.kw, self.kvar = kw[k].copy(), kvar[k].copy()


class PowerQualityRecord:
    """Watches a grid (`grid.watch = record.add`), to be made before the run; `quality()` after it."""

    def __init__(self, grid: OpenDSSGrid, edges: Sequence[float]) -> None:
        # The grid holds what watches it. Held in turn, its run would stay in memory until cycles are looked for.
        self._grid: OpenDSSGrid = weakref.proxy(grid)
        self._edges = tuple(edges)
        self._n_sites = len(grid.setup.attached.sites)
        self._buses: tuple[str, ...] | None = None
        grid.watch = self.add

    def _begin(self) -> None:
        setup, circuit = self._grid.setup, self._grid.circuit
        nodes = list(zip(circuit.node_bus, circuit.node_phase.tolist(), strict=True))
        self._buses, self._places = three_phase_buses(setup.feeder.buses, setup.exclude_buses, nodes)
        n_kinds, n_buses = len(DEFINITIONS), len(self._buses)
        self._unbalance = np.zeros((n_kinds, n_buses))
        self._step = np.zeros((n_kinds, n_buses), dtype=np.int32)
        self._over = np.zeros((n_kinds, len(self._edges), n_buses), dtype=np.int32)
        self._highest = [_Peak() for _ in DEFINITIONS]
        self._heaviest = [_Peak() for _ in range(self._n_sites)]

    def add(self, first: int, phasors: Complexes, kw: Floats, kvar: Floats) -> None:
        """Solutions of steps from `first` on: node voltages (V) and what every injection asked for, (step, ..)."""
        if self._buses is None:
            self._begin()
        for k, peak in enumerate(self._heaviest):
            peak.look(first, kw[:, 3 * k : 3 * k + 3].sum(axis=1), kw, kvar)
        if not self._buses:
            return
        voltage_v = phasors[:, self._places]
        for kind, unbalance in enumerate((negative_sequence_unbalance(voltage_v), nema_unbalance(voltage_v))):
            of_bus = np.nan_to_num(unbalance, nan=0.0)
            place = of_bus.argmax(axis=0)
            highest = of_bus[place, np.arange(len(place))]
            more = highest > self._unbalance[kind]
            self._unbalance[kind] = np.where(more, highest, self._unbalance[kind])
            self._step[kind] = np.where(more, first + place, self._step[kind])
            for k, edge in enumerate(self._edges):
                self._over[kind, k] += (of_bus > edge).sum(axis=0, dtype=np.int32)
            self._highest[kind].look(first, of_bus.max(axis=1), kw, kvar)

    def quality(self) -> PowerQuality:
        """Figures of the run that is over; its trips are solved here, with taps held as they were at their steps."""
        grid, record = self._grid, self._grid.record
        columns = grid.monitored_columns
        moves = [step for step, _ in record.tap_moves if step > 0]
        broken = np.concatenate([held_breaks(grid.setup, len(record)), np.array(moves, dtype=np.int64)])
        change_pu, change_step = largest_changes(record.voltage_pu[:, columns], grid.dt_s, broken)
        judged = JudgedVoltages.of(grid.feeder.buses, record.nodes, grid.circuit.node_base_v)
        trips = []
        for k, (peak, site) in enumerate(zip(self._heaviest, grid.setup.attached.sites, strict=True)):
            both_v = (self._solved(record, peak, gone) for gone in ([], [k]))
            both_pu = (judged.magnitudes_pu(voltage_v)[columns] for voltage_v in both_v)
            trips.append(SiteTrip(site.datacenter.name, peak.step, *both_pu))
        buses = self._buses or ()
        without = np.full(self._unbalance.shape, np.nan)
        if buses:
            everyone = list(range(self._n_sites))
            for kind, unbalance in enumerate((negative_sequence_unbalance, nema_unbalance)):
                without[kind] = unbalance(self._solved(record, self._highest[kind], everyone)[self._places])
        return PowerQuality(
            dt_s=float(grid.dt_s),
            n_steps=len(record),
            nodes=tuple(record.nodes[i] for i in columns),
            buses=buses,
            edges=self._edges,
            unbalance=self._unbalance,
            unbalance_step=self._step,
            unbalance_steps_over=self._over,
            unbalance_without=without,
            change_pu=change_pu,
            change_step=change_step.astype(np.int32),
            demand_changes=demand_changes(grid.attached_datacenters),
            trips=tuple(trips),
        )

    def _solved(self, record: GridRecord, peak: _Peak, gone: Sequence[int]) -> Complexes:
        """Node voltages (V) of a state without some sites, controls held; NaN where there is no solution."""
        circuit, setup = self._grid.circuit, self._grid.setup
        taps = record.taps_at(peak.step)
        if taps is not None:
            setup.regulators.apply(circuit, taps)
        self._grid.units.set_time(peak.step * float(self._grid.dt_s))
        circuit.injection_kw[:], circuit.injection_kvar[:] = peak.kw, peak.kvar
        for k in gone:
            circuit.injection_kw[3 * k : 3 * k + 3] = circuit.injection_kvar[3 * k : 3 * k + 3] = 0.0
        circuit.set_injections()
        circuit.ask("Solution_SolveNoControl")
        if not circuit.converged:
            return np.full(len(record.nodes), np.nan + 0j)
        return circuit.node_voltages().copy()
