"""`OpenDSSGrid`: a distribution feeder solved by OpenDSS, with sites, generators, loads and storage attached."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g2g_opt.circuit.block_look import BlockLook, SolutionLook, look_at_none
from g2g_opt.circuit.clock_banks import RowClock
from g2g_opt.circuit.opendss_circuit import Circuit
from g2g_opt.circuit.own_units import OwnUnits
from g2g_opt.circuit.protection import ControlledCircuit
from g2g_opt.circuit.unsolved import told_why
from g2g_opt.clock import SimulationClock, as_period
from g2g_opt.datacenter.base import DatacenterBackend
from g2g_opt.errors import InputError, PowerFlowError, unknown_name
from g2g_opt.events import EventEmitter
from g2g_opt.feeder import Feeder, find_feeder
from g2g_opt.grid.attachments import CONSTANT_POWER_WINDOW_PU, LOAD_POWER_FACTOR, AttachmentBook, check_window
from g2g_opt.grid.base import GridBackend, GridState, PowerSamples
from g2g_opt.grid.command import GridCommand, SetStoragePower, SetTaps
from g2g_opt.grid.generator import Generator
from g2g_opt.grid.injections import InjectionPowers
from g2g_opt.grid.judged_voltages import JudgedVoltages
from g2g_opt.grid.load import ExternalLoad
from g2g_opt.grid.record import GridRecord, StepWatch
from g2g_opt.grid.regulators import RegulatorBank
from g2g_opt.grid.sensitivity import measure_slopes, measure_tap_slopes
from g2g_opt.grid.served import OwnLoadCheck, ServedCheck
from g2g_opt.grid.served_inspection import ServedInspection
from g2g_opt.grid.setup import GridSetup, Unserved
from g2g_opt.grid.storage import EnergyStorage
from g2g_opt.held_series import HeldSeries, LoadShares, UnitShares
from g2g_opt.limits import RatingBasis
from g2g_opt.tap_position import TapPosition

Floats = NDArray[np.float64]

STUDY_TOLERANCE = 1e-9  # at 1e-6 pu OpenDSS parts from itself in 6 of 20 hours under OFO, which adds up what it sees


class OpenDSSGrid(GridBackend[GridState]):
    """A feeder on its own OpenDSS context.

    Give either `feeder` (whose study constants are the defaults of `source_pu`, `initial_tap_position` and
    `exclude_buses`) or `dss_case_dir` and `dss_master_file`. `dss_controls` lets the circuit's own controls act, which
    come to rest with the sites' first power before time is counted, and see the hours of `own_clock`. `tolerance` is
    OpenDSS's; `constant_power_window_pu` the band in which everything attached draws constant power. `unserved`: when
    an attached load leaves it and is served something else than asked (equation 5.2), "raise" a `PowerFlowError`, or
    "record" it in `served`; the feeder's own loads are recorded, in `own_loads`. `record_loading` records loadings at
    every step, as shares of `rating_basis` ratings. `enforce_tap_range=False` lets taps leave their range.
    `own_load_share` is that of the feeder's own loads (fixed ones keep all), `own_sun_share` of its PV systems'
    irradiance, beside which its storage idles. `attach_*` come before `start`. Raises `InputError` for a bad input.
    """

    def __init__(
        self,
        *,
        dss_case_dir: str | Path | None = None,
        dss_master_file: str | None = None,
        feeder: Feeder | str | None = None,
        dt_s: Fraction = Fraction(1),
        source_pu: float | None = None,
        dss_controls: bool = False,
        initial_tap_position: TapPosition | None = None,
        exclude_buses: Sequence[str] | None = None,
        constant_power_window_pu: tuple[float, float] = CONSTANT_POWER_WINDOW_PU,
        tolerance: float = STUDY_TOLERANCE,
        max_iterations: int = 200,
        unserved: Unserved = "raise",
        record_loading: bool = False,
        enforce_tap_range: bool = True,
        own_load_share: HeldSeries | LoadShares | None = None,
        own_sun_share: HeldSeries | UnitShares | None = None,
        rating_basis: RatingBasis = "normal",
        own_clock: RowClock | None = None,
    ) -> None:
        super().__init__()
        documented_path = feeder is None
        found = find_feeder(dss_case_dir, dss_master_file, feeder)
        own_taps = None if documented_path else found.initial_taps
        exclude = exclude_buses if exclude_buses is not None else (() if documented_path else found.exclude_buses)
        self.feeder = found
        self.setup = GridSetup(
            feeder=found,
            dt_s=as_period(dt_s, "OpenDSSGrid"),
            source_pu=source_pu if documented_path or source_pu is not None else found.source_pu,
            taps=own_taps if initial_tap_position is None else initial_tap_position,
            exclude_buses=tuple(bus.lower() for bus in exclude),
            dss_controls=bool(dss_controls),
            tolerance=tolerance,
            max_iterations=max_iterations,
            unserved=unserved,
            record_loading=record_loading,
            regulators=RegulatorBank(found, enforce_tap_range),
            attached=AttachmentBook(found, check_window(constant_power_window_pu)),
            own_load_share=LoadShares.every(own_load_share),
            own_sun_share=UnitShares.every(own_sun_share),
            rating_basis=rating_basis,
            clock=own_clock,
        )
        self._attached, self._regulators = self.setup.attached, self.setup.regulators
        self._expected_steps, self._reads_directly = 0, type(self).step is OpenDSSGrid.step
        self.watch: StepWatch | None = None
        self._circuit: Circuit | None = None

    # --- attaching

    def attach_dc(
        self,
        dc: DatacenterBackend[Any],
        *,
        bus: str,
        connection_type: str = "auto",
        power_factor: float = 0.95,
        constant_power_window_pu: tuple[float, float] | None = None,
        fewer_phases: bool = False,
    ) -> None:
        """Attach a datacenter at a three-phase bus; its kvar follow from a lagging `power_factor`.
        "wye": between each phase and the bus's neutral (its own, or ground); "delta": A between phases 1 and 2, B 2 and
        3, C 3 and 1; "auto": delta where there is no neutral. `fewer_phases` permits buses of one phase (to neutral),
        two phases or two legs (between them).
        """
        self._check_not_started()
        self._attached.add_site(dc, bus, connection_type, power_factor, constant_power_window_pu, fewer_phases)

    def attach_generator(self, generator: Generator, *, bus: str, power_factor: float = 1.0) -> None:
        """Attach a generator at a three-phase bus; its `power_kw` is injected on each phase."""
        self._check_not_started()
        self._attached.add_profile("generator", generator, bus, power_factor, -1.0)

    def attach_load(
        self, load: ExternalLoad, *, bus: str, power_factor: float = LOAD_POWER_FACTOR, connection_type: str = "auto"
    ) -> None:
        """Attach an external load at a three-phase bus; its `power_kw` is drawn on each phase."""
        self._check_not_started()
        self._attached.add_profile("load", load, bus, power_factor, 1.0, connection_type)

    def attach_storage(self, storage: EnergyStorage, *, bus: str, connection_type: str = "auto") -> None:
        """Attach a storage at a three-phase bus; its power is balanced over the phases."""
        self._check_not_started()
        self._attached.add_storage(storage, bus, connection_type)

    def _check_not_started(self) -> None:
        if self._circuit is not None:
            raise InputError("nothing can be attached after start(); attach before the run, or call reset() first")

    def dc_bus(self, dc: DatacenterBackend[Any]) -> str:
        """Bus of an attached datacenter."""
        return self._attached.site(dc).bus

    @property
    def attached_datacenters(self) -> list[DatacenterBackend[Any]]:
        """The datacenters attached."""
        return [a.datacenter for a in self._attached.sites]

    # --- life cycle

    @property
    def dt_s(self) -> Fraction:
        return self.setup.dt_s

    @property
    def reads_datacenters(self) -> bool:
        return self._reads_directly

    def expect_steps(self, n_steps: int) -> None:
        """Reserve room for a run of this many steps."""
        self._expected_steps = n_steps

    def reset(self) -> None:
        self._circuit = None
        for attachment in self._attached.storages:
            attachment.storage.reset()

    def start(self) -> None:
        """Compile the circuit, attach, set source voltage and taps, and solve once without the attachments' power."""
        circuit = self._circuit = self.setup.compiled()
        self._controlled = ControlledCircuit(circuit, acts=self.setup.dss_controls)
        self.units = OwnUnits(circuit, self.setup.own_load_share, self.setup.own_sun_share, self.setup.clock_of_step())
        self._powers = InjectionPowers(self._attached, self.setup.dt_s)
        self.served = ServedCheck(circuit, self._attached.all())
        self.own_loads = OwnLoadCheck(circuit)
        inspection = ServedInspection(circuit, self.served, self.own_loads, self.setup, self._controlled.opened)
        nodes = list(zip(circuit.node_bus, circuit.node_phase.tolist(), strict=True))
        self._v_columns = self.setup.monitored_nodes(nodes)
        self._v_index = [nodes[i] for i in self._v_columns]
        self._judged = JudgedVoltages.of(self.feeder.buses, nodes, circuit.node_base_v)
        loading = self.setup.loading(circuit) if self.setup.record_loading else None
        kept = len(circuit.injection_kw), inspection.look, loading, self._expected_steps, self.watch
        self.solved_record = GridRecord(nodes, self._judged, *kept)
        self._vector: Floats | None = None
        self._last_power: dict[DatacenterBackend[Any], Sequence[float]] = {}
        self._taps: TapPosition | None = None
        self._note_taps(circuit)

    def _running(self) -> Circuit:
        if self._circuit is None:
            raise InputError("the grid has not been started; run it through a Coordinator or call start() first")
        return self._circuit

    @property
    def circuit(self) -> Circuit:
        """The circuit of a run; `InputError` before `start`."""
        return self._running()

    # --- stepping

    def advance(self, clock: SimulationClock, power_samples_w: PowerSamples, events: EventEmitter) -> None:
        if not self._reads_directly:
            super().advance(clock, power_samples_w, events)
            return
        self._solve_at(clock.time_s, [a.datacenter.latest_power_w for a in self._attached.sites])

    def step(self, clock: SimulationClock, power_samples_w: PowerSamples, events: EventEmitter) -> GridState:
        """Solve with each site's latest sample (W per phase); a site without a new one keeps its last."""
        for datacenter in self.attached_datacenters:
            samples = power_samples_w.get(datacenter, ())
            if samples:
                self._last_power[datacenter] = samples[-1]
            elif datacenter not in self._last_power:
                raise InputError(f"no power sample yet of datacenter {datacenter.name!r}")
        self._solve_at(clock.time_s, [self._last_power[dc] for dc in self.attached_datacenters])
        return self.record[-1]

    def _solve_at(self, time_s: float, site_power_w: Sequence[Sequence[float]]) -> None:
        """Solve with the sites' powers (W per phase), record the solution, and settle storages."""
        circuit = self._running()
        self.units.set_time(time_s)
        self._powers.write(time_s, site_power_w, circuit.injection_kw, circuit.injection_kvar)
        self._solve_written(circuit, time_s)
        self._powers.settle(time_s)

    def _solve_written(self, circuit: Circuit, time_s: float) -> None:
        """Solve with the powers that were written into the circuit's injections, and record the solution."""
        self._solved(circuit, time_s, self._controlled.solve)
        self._vector = None
        if circuit.controls_acted:
            circuit.controls_acted = False
            self._note_taps(circuit)
        self.solved_record.renew_loading(circuit, self._regulators.elements)
        self.solved_record.append(time_s, circuit.node_voltages(), circuit.injection_kw, circuit.injection_kvar)

    def _solved(self, circuit: Circuit, time_s: float, solve: Callable[[], None]) -> None:
        """Solve at a time (s), with what it comes from if there is no solution."""
        try:
            solve()
        except PowerFlowError as error:
            self.solved_record.flush()  # a load outside its window before that moment is the earlier reason
            raise PowerFlowError(told_why(circuit, error.failure, self._controlled.opened).at(time_s)) from error

    @property
    def advances_in_blocks(self) -> bool:
        # Storage has a state of its own that changes at every step.
        return self._reads_directly and self._powers.known_ahead

    def advance_block(
        self,
        time_s: Sequence[float],
        power_w: Mapping[DatacenterBackend[Any], Floats],
        look: SolutionLook = look_at_none,
    ) -> int:
        circuit, looking = self._running(), BlockLook(lambda place: self._let_look(look, place))
        if self.solved_record.loading_is_stale:
            time_s, power_w = time_s[:1], {dc: power[:1] for dc, power in power_w.items()}
        kw, kvar = self._powers.block(time_s, power_w)
        if self.setup.dss_controls:  # which act between any two steps
            for at, time in enumerate(time_s):
                circuit.injection_kw[:], circuit.injection_kvar[:] = kw[at], kvar[at]
                self.units.set_time(time)
                self._solve_written(circuit, time)
                if looking(at):
                    return at + 1
            return len(time_s)
        phasors = np.empty((len(time_s), len(circuit.node_bus)), dtype=np.complex128)
        n_solved = self.units.solve_block(np.asarray(time_s), kw, kvar, phasors, looking)
        self._vector = None
        if n_solved:
            self.solved_record.renew_loading(circuit, self._regulators.elements)
        self.solved_record.append_block(time_s[:n_solved], phasors, kw, kvar)
        if n_solved < len(time_s) and not looking.ended:
            self._solved(circuit, float(time_s[n_solved]), circuit.report_unsolved)
        return n_solved

    def _let_look(self, look: SolutionLook, place: int) -> bool:
        """SolutionLook at the latest solution."""
        self._vector = None
        return look(place)

    def _note_taps(self, circuit: Circuit) -> None:
        """Read the taps; if they moved, the steps from here on are recorded with the new ones."""
        taps = self._regulators.read(circuit)
        if taps is not None and taps != self._taps:
            self._taps = taps
            self.solved_record.note_taps(taps)

    # --- commands

    @functools.singledispatchmethod
    def apply_control(self, command: GridCommand, events: EventEmitter) -> None:
        """Take a command; raises `InputError` for a kind this grid does not know or a value it cannot follow."""
        raise InputError(f"OpenDSSGrid cannot follow {type(command).__name__}; it takes SetTaps and SetStoragePower")

    @apply_control.register
    def _apply_set_taps(self, command: SetTaps, events: EventEmitter) -> None:
        circuit = self._running()
        self._regulators.apply(circuit, command.tap_position)
        self._note_taps(circuit)
        events.emit("grid.taps.updated", {"tap_position": command.tap_position})

    @apply_control.register
    def _apply_set_storage_power(self, command: SetStoragePower, events: EventEmitter) -> None:
        storages = [a.storage for a in self._attached.storages]
        if not any(storage is command.storage for storage in storages):
            raise unknown_name("storage", command.storage.name, [s.name for s in storages], "on this grid")
        command.storage.set_power_kw(command.power_kw, command.reactive_power_kvar)
        told = {"power_kw": float(command.power_kw), "reactive_power_kvar": float(command.reactive_power_kvar)}
        events.emit("grid.storage_power.updated", {"storage_name": command.storage.name} | told)

    # --- what it shows

    @property
    def record(self) -> GridRecord:
        """The run so far as arrays."""
        self._running()
        self.solved_record.flush()
        if self.served.first is not None and self.setup.unserved == "raise":
            raise PowerFlowError(told_why(self._running(), self.served.first, self._controlled.opened))
        return self.solved_record

    @property
    def state(self) -> GridState | None:
        if not self._reads_directly:
            return super().state
        return self.record[-1] if self._circuit is not None and self.solved_record.n_steps else None

    def history(self, n: int | None = None) -> Sequence[GridState]:
        if not self._reads_directly:
            return super().history(n)
        first = 0 if n is None or self._circuit is None else max(0, self.solved_record.n_steps - n)
        return [] if self._circuit is None else self.record[first:]

    def recorded_states(self) -> Sequence[GridState]:
        return self.record if self._reads_directly else super().recorded_states()

    @property
    def v_index(self) -> Sequence[tuple[str, int]]:
        self._running()
        return list(self._v_index)

    def voltages_vector(self) -> Floats:
        circuit = self._running()
        if self._vector is None:
            self._vector = self._monitored_pu(circuit.node_voltages())
            self._vector.flags.writeable = False
        return self._vector

    @property
    def tap_position(self) -> TapPosition | None:
        """Present tap ratios of all regulators; None without regulators."""
        return self._taps

    def estimate_sensitivity(
        self, perturbation_kw: float = 100.0, dc: DatacenterBackend[Any] | None = None
    ) -> tuple[Floats, Floats]:
        sites = self._attached.sites
        if perturbation_kw <= 0:
            raise InputError(f"perturbation_kw must be positive, got {perturbation_kw}")
        if dc is None and len(sites) != 1:
            raise InputError(f"name a datacenter (dc=...); attached: {[a.datacenter.name for a in sites]}")
        attachment = sites[0] if dc is None else self._attached.site(dc)
        first = 3 * sites.index(attachment)
        # Whoever looks at the voltages afterwards shall see those of the latest step, even if taps have moved since.
        seen = self.voltages_vector()
        places, step = range(first, first + 3), (attachment.tan_phi, float(perturbation_kw))
        slopes = measure_slopes(self._running(), places, *step, self._monitored_pu)
        self._vector = seen
        return slopes

    def estimate_tap_sensitivity(self) -> Floats:
        """Voltage change (pu) per tap step, shape (len(v_index), regulator in the feeder's order) (equation 5.4)."""
        seen = self.voltages_vector()
        slopes = measure_tap_slopes(self._running(), self.feeder.regulators, self._monitored_pu)
        self._vector = seen
        return slopes

    def _monitored_pu(self, phasors: NDArray[np.complex128]) -> Floats:
        return self._judged.magnitudes_pu(phasors)[self._v_columns]

    @property
    def monitored_columns(self) -> NDArray[np.int64]:
        """Columns of the record that `v_index` lists, in its order."""
        self._running()
        return self._v_columns
