"""`OwnControls`: the circuit's own regulators, banks and inverters over a batch, equal to OpenDSS in time.

Every solution goes through the rounds of OpenDSS's `Solve`: solve, let all controls look, do the actions that are due,
and solve again until none was done. Within time (`ControlMode=Time`) those up to the present moment are due; without
(`ControlMode=Static`) the nearest ones, and a tap goes most of its way at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from g2g_opt.batch import capacitor_kernel as cap
from g2g_opt.batch import regulator_kernel as reg
from g2g_opt.batch.control_figures import cap_figures, reg_figures
from g2g_opt.batch.control_queue import ControlClock
from g2g_opt.batch.fuses import Fuses
from g2g_opt.batch.inverters import Inverters
from g2g_opt.batch.moving_elements import Setting
from g2g_opt.batch.network import Network, TappedWinding
from g2g_opt.batch.own_storage import OwnStorage
from g2g_opt.batch.power_flow import BatchPowerFlow
from g2g_opt.batch.restless_lanes import RestlessLanes
from g2g_opt.batch.unsupported import UnsupportedByBatch
from g2g_opt.circuit.controls import ControlReading, RegControlSettings, winding_pairs
from g2g_opt.circuit.opendss_circuit import SETTLED_DT_S, SETTLING_ROUNDS
from g2g_opt.circuit.parts import LinearElement
from g2g_opt.compiled.lanes import WIDTH

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Complexes = NDArray[np.complex128]

# Actions that a control's queue holds before it is made longer.
_QUEUE_LENGTH = 4
# A ratio that comes back to where it was has the same factors; OpenDSS sums steps up, and so do we.
_RATIO_DECIMALS = 12
_CAP_KINDS = {
    "current": cap.CURRENT,
    "voltage": cap.VOLTAGE,
    "kvar": cap.KVAR,
    "time": cap.TIME,
    "pf": cap.POWER_FACTOR,
}


def as_told(ratio: float) -> float:
    """A ratio as OpenDSS is told it (see `Circuit.set_tap`)."""
    return float(f"{ratio:.9f}")


class _Places:
    """Nodes that controls look at, each once."""

    def __init__(self) -> None:
        self.nodes: list[int] = []
        self._place: dict[int, int] = {}

    def of(self, node: int) -> int:
        if node not in self._place:
            self._place[node] = len(self.nodes)
            self.nodes.append(node)
        return self._place[node]


@dataclass(frozen=True)
class Standing:
    """Taps (regulator, ratio in pu), directions and banks of one scenario's controls that have settled."""

    taps: tuple[float, ...]
    modes: tuple[float, ...]
    banks: tuple[float, ...]


class OwnControls:
    """Controls of `n_slots` scenarios that begin at `taps` (by regulator) and with the banks as the circuit has them.

    `sensed` are the nodes whose voltages `act` needs, `moved` the scenarios whose taps or banks it has moved since they
    were last taken out. Raises `UnsupportedByBatch` for a control whose measurements are
    not modelled.
    """

    def __init__(
        self,
        reading: ControlReading,
        network: Network,
        dt_s: float,
        taps: Sequence[Mapping[str, float]],
        settings: Sequence[Sequence[RegControlSettings]] = (),
        kind: Ints | None = None,
    ) -> None:
        """Regulators are set as `reading` has them, or as the `settings` of a scenario's `kind` (scenario,) say: other
        figures, but the same windings and measurements.
        """
        self._regs, self._caps, self._dt_s = reading.regulators, reading.capacitors, dt_s
        self._settles_each_step = self._is_settled = dt_s >= SETTLED_DT_S
        self._rounds = SETTLING_ROUNDS if self._settles_each_step else reading.rounds_max
        self._clock = ControlClock()
        self.moved: set[int] = set()
        self._network, self._n = network, len(taps)
        places = _Places()
        self._elements = {(e.kind, e.name): e for e in (*network.fixed, *network.capacitors)}
        self._tapped = {w.element: w for w in network.tapped if w.kind == "transformer"}
        self._row = {control.name: c for c, control in enumerate(self._regs)}
        self._build_regulators(places, settings or [reading.regulators])
        self._kind = np.zeros(self._n, dtype=np.int64) if kind is None else kind
        self._build_capacitors(places)
        self.inverters = Inverters(reading.inverters, network, self._n, places.of)
        self.fuses = Fuses(reading.fuses, self._elements, places.of)
        in_time = () if self._settles_each_step else reading.storages
        self._storage = OwnStorage(in_time, network, self._n, dt_s, places.of)
        movers = [(f"{one.kind}.{one.transformer}", f"RegControl {one.name}") for one in self._regs]
        movers += [(f"capacitor.{one.capacitor}", f"CapControl {one.name}") for one in self._caps]
        movers += 2 * [(one.element, f"InvControl {one.control}") for one in reading.inverters]
        self.restless = RestlessLanes(movers)
        self.sensed = tuple(places.nodes)
        state = np.zeros((len(self._regs), reg.QUEUE + _QUEUE_LENGTH, self._n))
        state[:, reg.QUEUE :] = state[:, reg.REVERSE_AT] = np.inf
        state[:, reg.HANDLE] = -1.0
        self._state = state
        for slot, of_slot in enumerate(taps):
            for control, row in self._row.items():
                state[row, reg.TAP, slot] = of_slot[control]
        banks = np.zeros((len(self._caps), cap.N_STATE, self._n))
        banks[:, cap.ACTION_AT] = np.inf
        for c, bank in enumerate(self._caps):
            banks[c, cap.CLOSED], banks[c, cap.IN_SERVICE] = bank.is_closed, bank.in_service
            banks[c, cap.LAST_OPEN] = -bank.dead_time_s
        self._banks = banks
        # Settings that were told, by taps and banks: scenarios come back to the same ones.
        self._told: dict[bytes, Setting] = {}

    # --- building

    def _build_regulators(self, places: _Places, kinds: Sequence[Sequence[RegControlSettings]]) -> None:
        figures = [[reg_figures(control) for control in kind] for kind in kinds]
        settings = np.array(figures).reshape(len(kinds), len(self._regs), reg.N_SETTINGS)
        layout = np.zeros((len(self._regs), reg.N_LAYOUT), dtype=np.int64)
        pairs: list[tuple[int, int]] = []
        columns: list[int] = []
        changers: list[int] = []
        y: list[Complexes] = []
        n_y = 0
        for c, control in enumerate(self._regs):
            winding = self._tapped.get(control.transformer)
            if winding is None:
                raise UnsupportedByBatch(f"RegControl {control.name} moves transformer {control.transformer}, not read")
            of_winding = winding_pairs(control, winding.nodes)
            own = layout[c]
            own[reg.PHASE] = control.pt_phase if control.pt_phase <= control.n_phases else 1
            own[reg.MAX_CHANGE], own[reg.INVERSE_TIME] = control.max_tap_change, control.inverse_time
            own[reg.IS_REMOTE], own[reg.COMPENSATES] = bool(control.bus), control.compensates_line_drop
            own[reg.REVERSIBLE], own[reg.COGENERATES] = control.reversible, control.cogeneration
            own[reg.TO_NEUTRAL] = control.reverse_neutral
            own[reg.OPPOSITE] = control.tap_winding != control.winding
            own[reg.LOCAL_PAIR] = len(pairs)
            pairs += [(places.of(a), places.of(b)) for a, b in of_winding]
            own[reg.PAIR], own[reg.N_PAIRS] = own[reg.LOCAL_PAIR], len(of_winding)
            if control.bus:
                own[reg.PAIR], own[reg.N_PAIRS] = len(pairs), 1
                a, b = self._remote_pair(control)
                pairs.append((places.of(a), places.of(b)))
            if control.compensates_line_drop or control.watches_power:
                n_conductors = control.n_phases + 1
                first = (control.winding - 1) * n_conductors
                own[reg.COLUMN], own[reg.N_COLUMNS] = len(columns), len(winding.nodes)
                own[reg.ROW_COLUMN], own[reg.N_ROWS] = first, n_conductors
                own[reg.ADMITTANCE] = n_y
                own[reg.CHANGER], own[reg.N_CHANGERS] = len(changers), len(winding.regulators)
                columns += [places.of(int(node)) for node in winding.nodes]
                changers += [self._row[name] for name in winding.regulators]
                y.append(winding.c[:, first : first + n_conductors].reshape(-1))
                n_y += len(y[-1])
        self._reg_tables = (
            settings,
            layout,
            np.array(pairs, dtype=np.int64).reshape(-1, 2),
            np.array(columns, dtype=np.int64),
            np.concatenate(y) if y else np.zeros(0, dtype=np.complex128),
            np.array(changers, dtype=np.int64),
        )

    def _remote_pair(self, control: RegControlSettings) -> tuple[int, int]:
        bus, *numbers = control.bus.split(".")
        node = {key: i for i, key in enumerate(self._network.nodes)}
        first = int(numbers[0]) if numbers else 1
        second = int(numbers[1]) if control.is_delta and len(numbers) > 1 else 0
        if control.is_delta and control.next_phase != 1:
            raise UnsupportedByBatch(f"RegControl {control.name} looks at a remote bus for a delta winding that lags")
        for number in (first, second):
            if number and (bus, number) not in node:
                raise UnsupportedByBatch(f"RegControl {control.name} looks at {bus}.{number}, which is no node")
        return node[bus, first], node[bus, second] if second else -1

    def _build_capacitors(self, places: _Places) -> None:
        settings = np.zeros((len(self._caps), cap.N_SETTINGS))
        layout = np.zeros((len(self._caps), cap.N_LAYOUT), dtype=np.int64)
        columns: list[int] = []
        y: list[Complexes] = []
        n_y = 0
        for c, control in enumerate(self._caps):
            kind, _, name = control.element.partition(".")
            element: LinearElement | TappedWinding | None = self._elements.get((kind, name))
            if element is None and kind == "transformer" and control.kind in ("voltage", "time"):
                element = self._tapped.get(name)
            looks_at_current = control.kind in ("current", "kvar", "pf")
            if element is None or (looks_at_current and kind == "capacitor"):
                raise UnsupportedByBatch(
                    f"CapControl {control.name} looks at {control.element}, whose measurements are not modelled"
                )
            n_conductors = len(element.nodes) // control.element_terminals
            if max(control.pt_phase, control.ct_phase) > min(n_conductors, control.element_phases):
                raise UnsupportedByBatch(f"CapControl {control.name} looks at a phase that its element has not")
            settings[c] = cap_figures(control)
            own = layout[c]
            own[cap.KIND], own[cap.OVERRIDES] = _CAP_KINDS[control.kind], control.overrides_by_voltage
            own[cap.IS_DELTA] = control.is_delta
            own[cap.PT_PHASE], own[cap.CT_PHASE] = control.pt_phase, control.ct_phase
            own[cap.BANK_PHASES], own[cap.SEEN_PHASES] = control.n_phases, control.element_phases
            own[cap.COLUMN], own[cap.N_COLUMNS] = len(columns), len(element.nodes)
            own[cap.OFFSET], own[cap.N_CONDUCTORS] = (control.terminal - 1) * n_conductors, n_conductors
            own[cap.ADMITTANCE] = n_y
            columns += [places.of(int(node)) for node in element.nodes]
            if isinstance(element, LinearElement):
                y.append(element.yprim.reshape(-1))
                n_y += len(y[-1])
        self._cap_tables = (
            settings,
            layout,
            np.array(columns, dtype=np.int64),
            np.concatenate(y) if y else np.zeros(0, dtype=np.complex128),
        )

    # --- where they stand

    def note_taps(self, slot: int, taps: Mapping[str, float]) -> None:
        """Somebody else has moved the taps of a scenario."""
        for name, ratio in taps.items():
            if name in self._row:
                self._state[self._row[name], reg.TAP, slot] = as_told(ratio)

    def taps(self, slot: int) -> dict[str, float]:
        """Ratios (pu) of a scenario's regulators."""
        return dict(zip(self._row, self._state[:, reg.TAP, slot].tolist(), strict=True))

    def all_taps(self) -> Floats:
        """Ratios (pu) of all regulators (regulator, scenario)."""
        return np.asarray(self._state[:, reg.TAP])

    def banks_on(self, slot: int) -> dict[str, bool]:
        """By capacitor under a control, whether it is switched on."""
        is_on = (self._banks[:, cap.CLOSED, slot] > 0.0) & (self._banks[:, cap.IN_SERVICE, slot] > 0.0)
        return {bank.capacitor: bool(on) for bank, on in zip(self._caps, is_on, strict=True)}

    def setting(self, slot: int) -> Setting:
        """Taps and banks of a scenario for the power flow."""
        return self._settings_of([slot])[slot]

    def _settings_of(self, slots: Sequence[int]) -> dict[int, Setting]:
        taps = np.ascontiguousarray(self._state[:, reg.TAP, slots].T)
        banks = self._banks[:, :, slots]
        is_on = np.ascontiguousarray(((banks[:, cap.CLOSED] > 0.0) & (banks[:, cap.IN_SERVICE] > 0.0)).T)
        found = {}
        for k, slot in enumerate(slots):
            key = taps[k].tobytes() + is_on[k].tobytes()
            told = self._told.get(key)
            if told is None:
                told = self._told[key] = self._setting(taps[k], is_on[k])
            found[slot] = told
        return found

    def _setting(self, taps: Floats, is_on: NDArray[np.bool_]) -> Setting:
        ratios = sorted(
            (name, round(ratio, _RATIO_DECIMALS)) for name, ratio in zip(self._row, taps.tolist(), strict=True)
        )
        by_bank = sorted((bank.capacitor, bool(on)) for bank, on in zip(self._caps, is_on, strict=True))
        compiled_off = self._network.banks_off
        switched_off = tuple(name for name, on in by_bank if not on and name not in compiled_off)
        switched_on = tuple(name for name, on in by_bank if on and name in compiled_off)
        return Setting(tuple(ratios), switched_off, switched_on)

    @property
    def steers(self) -> bool:
        """True if inverters are among the controls."""
        return len(self.inverters.pending) > 0

    def standing(self, slot: int) -> Standing:
        """Where a scenario's controls stand between two steps in which they settle."""
        taps = tuple(round(ratio, _RATIO_DECIMALS) for ratio in self._state[:, reg.TAP, slot].tolist())
        modes = self._state[:, [reg.IN_REVERSE, reg.IN_COGENERATION], slot].ravel().tolist()
        return Standing(taps, tuple(modes), tuple(self._banks[:, :, slot].ravel().tolist()))

    def stand(self, slot: int, at: Standing) -> None:
        """Let a scenario's controls stand where `standing` told that others stood."""
        self._state[:, reg.TAP, slot] = at.taps
        self._state[:, [reg.IN_REVERSE, reg.IN_COGENERATION], slot] = np.reshape(at.modes, (-1, 2))
        self._banks[:, :, slot] = np.reshape(at.banks, self._banks.shape[:2])

    # --- acting

    def act(self, flow: BatchPowerFlow, live: Ints) -> list[int]:
        """What the controls of the scenarios `live`, which are solved, do in a step; time passes then.

        Before the first step they come to rest without time passing. Returns the scenarios whose controls did not come
        to rest in as many rounds as OpenDSS allows.
        """
        restless: list[int] = []
        if not self._is_settled:
            restless = self._act(flow, live, SETTLING_ROUNDS, at_once=True)
            self._is_settled = True
            self._end_step(flow, live)
            if self.inverters.steer_watts:
                self.inverters.begin(None, _by_lane(flow))
                flow.solve_again(np.setdiff1d(live, restless))
        live = np.setdiff1d(live, restless)
        restless += self._act(flow, live, self._rounds, at_once=self._settles_each_step)
        if not self._settles_each_step:
            self._clock.advance(self._dt_s)
            self._end_step(flow, live)
        return restless

    def _end_step(self, flow: BatchPowerFlow, live: Ints) -> None:
        """What follows a solution in time; OpenDSS counts the one before time, in which controls settle, as well."""
        self.inverters.end()
        self._storage.end(flow.sensed_v, live, _by_lane(flow))

    def _act(self, flow: BatchPowerFlow, live: Ints, rounds: int, at_once: bool) -> list[int]:
        awake = np.zeros(self._n, dtype=np.bool_)
        awake[live] = True
        self.restless.begin()
        for number in range(rounds - 1):
            awake &= flow.solved
            self.fuses.look(flow.sensed_v, awake)
            self.restless.note(number, rounds, self._positions)
            if self.steers:
                self.inverters.sample(flow.sensed_v, awake, is_first=number == 0)
            acted, moved = self._round(flow.sensed_v, awake, at_once)
            steered = np.zeros(self._n, dtype=np.bool_)
            if self.steers:
                steered = self.inverters.act(awake, _by_lane(flow))
            awake = acted | steered
            if not awake.any():
                return []
            slots = np.flatnonzero(moved)
            if len(slots):
                self.moved |= set(slots.tolist())
                flow.set_settings(self._settings_of(slots.tolist()))
            slots = np.flatnonzero(moved | steered)
            if len(slots):
                flow.solve_again(slots)
        restless: list[int] = np.flatnonzero(awake & flow.solved).tolist()
        self.restless.end(restless, self._positions())
        return restless

    def _positions(self) -> Floats:
        """Where taps, banks, watts and vars of inverters stand (mover, scenario)."""
        return np.concatenate([self.all_taps(), self._banks[:, cap.CLOSED], self.inverters.kva()])

    def _round(self, v: Floats, awake: NDArray[np.bool_], at_once: bool) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """All controls look and do what is due: in which slots something was done, and where something moved."""
        hour, second = self._clock.hour, self._clock.second
        settings, *tables = self._reg_tables
        while not reg.sample_regulators(settings, self._kind, *tables, v, self._state, awake, hour, second):
            longer = np.full((len(self._regs), _QUEUE_LENGTH, self._n), np.inf)
            self._state = np.concatenate([self._state, longer], axis=1)
        cap.sample_capacitors(*self._cap_tables, v, self._banks, awake, hour, second)
        until = np.full(self._n, np.inf if at_once else self._clock.now_s)
        if at_once:
            reg.next_actions(self._state, reg.QUEUE, until)
            reg.next_actions(self._state[:, reg.REVERSE_AT : reg.REVERSE_AT + 1], 0, until)
            reg.next_actions(self._banks, cap.ACTION_AT, until)
            until[np.isinf(until)] = -np.inf
            # What inverters do is due at once, and so nearer than anything that waits.
            until[self.inverters.pending.any(axis=0)] = self._clock.now_s
        acted, moved = np.zeros(self._n, dtype=np.bool_), np.zeros(self._n, dtype=np.bool_)
        reg.move_regulators(
            settings, self._kind, tables[0], self._state, awake, until, at_once, hour, second, acted, moved
        )
        cap.switch_capacitors(self._banks, awake, until, hour, second, acted, moved)
        return acted, moved


def _by_lane(flow: BatchPowerFlow) -> Floats:
    """Shares of loads and units (chunk, place, lane)."""
    return flow.load_share.reshape(flow.n_chunks, -1, WIDTH)
