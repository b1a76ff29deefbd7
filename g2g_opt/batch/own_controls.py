"""`OwnControls`: the circuit's own regulators, banks and inverters over a batch, equal to OpenDSS in time.

Every solution goes through the rounds of OpenDSS's `Solve`: solve, let all controls look, do the actions that are due,
and solve again until none was done. Within time (`ControlMode=Time`) those up to the present moment are due; without
(`ControlMode=Static`) the nearest ones, and a tap goes most of its way at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from g2g_opt.batch import capacitor_kernel as cap
from g2g_opt.batch import regulator_kernel as reg
from g2g_opt.batch.control_queue import ControlClock
from g2g_opt.batch.inverters import Inverters
from g2g_opt.batch.moving_elements import Setting
from g2g_opt.batch.network import Network
from g2g_opt.batch.own_control_tables import SensedNodes, bank_tables, regulator_tables
from g2g_opt.batch.own_controls_kernel import (
    AT_ONCE,
    HAVE_LOOKED,
    IN_TIME,
    ONLY_TIME,
    SETTLING,
    Banks,
    Look,
    Regulators,
    Round,
    act_in_round,
    look_at_controls,
)
from g2g_opt.batch.own_storage import OwnStorage
from g2g_opt.batch.pickups import Pickups
from g2g_opt.batch.power_flow import BatchPowerFlow
from g2g_opt.batch.restless_lanes import RestlessLanes
from g2g_opt.circuit.controls import ControlReading, RegControlSettings
from g2g_opt.circuit.opendss_circuit import SETTLED_DT_S, SETTLING_ROUNDS
from g2g_opt.compiled.lanes import WIDTH
from g2g_opt.compiled.program import LEFT, Part
from g2g_opt.compiled.records import NOTHING_PACKED, Packed, pack_again

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

# Actions that a control's queue holds before it is made longer.
_QUEUE_LENGTH = 4
# A ratio that comes back to where it was has the same factors; OpenDSS sums steps up, and so do we.
_RATIO_DECIMALS = 12
_MODES = [reg.IN_REVERSE, reg.IN_COGENERATION]


def as_told(ratio: float) -> float:
    """A ratio as OpenDSS is told it (see `Circuit.set_tap`)."""
    return float(f"{ratio:.9f}")


@dataclass(frozen=True)
class Standing:
    """Taps (regulator, ratio in pu), directions and banks of one scenario's controls that have settled."""

    taps: tuple[float, ...]
    modes: tuple[float, ...]
    banks: tuple[float, ...]

    def __hash__(self) -> int:
        # Days are looked up by where they begin, again and again.
        known: int | None = self.__dict__.get("_hash")
        if known is None:
            known = self.__dict__["_hash"] = hash((self.taps, self.modes, self.banks))
        return known


class Settling(NamedTuple):
    """How kernels make rounds of controls: the address of what they look at, rounds at most, and what they read and
    write (slot,); where regulators and banks stand, and which they move.
    """

    look: int
    rounds: int
    awake: Bools
    acted: Bools
    moved: Bools
    regulators: Floats
    banks: Floats
    regulator_names: tuple[str, ...]
    bank_names: tuple[str, ...]


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
        self._clock = ControlClock(*reading.begin)
        self._rest, self._sampled = np.zeros(1, dtype=np.int64), np.full(1, -1)
        self._looks: tuple[BatchPowerFlow, Floats, Packed] | None = None
        self._awake, self._has_failed, *of_round = (np.zeros(len(taps), dtype=np.bool_) for _ in range(5))
        self._turn = Round(of_round[0], np.zeros(len(taps)), *of_round[1:])
        self._has_looked = False
        self.moved: set[int] = set()
        self._network, self._n = network, len(taps)
        places = SensedNodes()
        self._elements = {(e.kind, e.name): e for e in (*network.fixed, *network.capacitors)}
        self._row = {control.name: c for c, control in enumerate(self._regs)}
        self._names = tuple(sorted(self._row))
        self._by_name = np.array([self._row[name] for name in self._names], dtype=np.int64)
        self._reg_tables = regulator_tables(self._regs, settings or [reading.regulators], network, places)
        self._kind = np.zeros(self._n, dtype=np.int64) if kind is None else kind.copy()
        self._cap_tables = bank_tables(self._caps, self._elements, network, places)
        self.inverters = Inverters(reading.inverters, network, self._n, places.of)
        self.pickups = Pickups(reading.fuses, self._elements, places.of, reading.breakers)
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
        if self._settles_each_step and not self.steers:
            self._rest[0] = SETTLING

    # --- where they stand

    def take_kinds(self, kind: Ints) -> None:
        """Scenarios get the settings of other kinds (scenario,) from now on."""
        # In place: what is packed for kernels holds this very array.
        self._kind[:] = kind

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
        ratios = np.round(self._state[self._by_name, reg.TAP, slot], _RATIO_DECIMALS).tolist()
        told = tuple(zip(self._names, ratios, strict=True))
        if not self._caps:
            return Setting(told)
        by_bank, compiled_off = sorted(self.banks_on(slot).items()), self._network.banks_off
        switched_off = tuple(name for name, on in by_bank if not on and name not in compiled_off)
        switched_on = tuple(name for name, on in by_bank if on and name in compiled_off)
        return Setting(told, switched_off, switched_on)

    def move(self, flow: BatchPowerFlow, slots: Ints) -> None:
        """Tell a power flow where taps and banks of some scenarios stand."""
        moving = flow.jacobian.moving
        taps, on = (np.repeat(at[None], len(slots), axis=0) for at in moving.start)
        taps[:, moving.places(self._row)] = np.round(self._state[:, reg.TAP, slots].T, _RATIO_DECIMALS)
        banks = self._banks[:, :, slots]
        is_on = (banks[:, cap.CLOSED] > 0.0) & (banks[:, cap.IN_SERVICE] > 0.0)
        on[:, moving.bank_places(bank.capacitor for bank in self._caps)] = is_on.T
        flow.move(slots, moving.monomials_at(taps, on), self.setting)

    def set_clock(self, hour: int, second: float) -> None:
        """Let it be an hour of the year where controls settle in every step, whose time does not pass by itself."""
        self._clock.hours[0], self._clock.seconds[0] = hour, second

    @property
    def steers(self) -> bool:
        """True if inverters are among the controls."""
        return len(self.inverters.pending) > 0

    def standings(self) -> list[Standing]:
        """Where the controls of every scenario stand between two steps in which they settle."""
        taps = np.round(self.all_taps().T, _RATIO_DECIMALS).tolist()
        modes, banks = (of.reshape(-1, self._n).T.tolist() for of in (self._state[:, _MODES], self._banks))
        return [Standing(tuple(t), tuple(m), tuple(b)) for t, m, b in zip(taps, modes, banks, strict=True)]

    def stand(self, at: Sequence[Standing]) -> None:
        """Let the controls of every scenario stand where `standings` told that others stood."""
        self._state[:, reg.TAP] = np.array([one.taps for one in at]).T
        self._state[:, _MODES] = np.array([one.modes for one in at]).T.reshape(-1, 2, self._n)
        self._banks[:] = np.array([one.banks for one in at]).T.reshape(self._banks.shape)

    # --- acting

    def settling(self, flow: BatchPowerFlow) -> Settling:
        """For kernels, until the next step of `act`; there are no inverters, storages and fuses."""
        names = tuple(self._row), tuple(bank.capacitor for bank in self._caps)
        turn = self._turn
        turn.steering[:] = False
        address = self._look(flow).address
        return Settling(address, self._rounds, self._awake, turn.acted, turn.moved, self._state, self._banks, *names)

    def part(self, flow: BatchPowerFlow, has_failed: NDArray[np.bool_], attend: Callable[[int, int], None]) -> Part:
        """A step as a part of a compiled step: where a control acts, `attend` has to call `act`."""
        self._has_failed = has_failed
        return Part(attend, look_at_controls, self._look(flow))

    def _look(self, flow: BatchPowerFlow) -> Packed:
        """What kernels know of the controls that look at a flow, always at the same address."""
        if self._looks is None or self._looks[0] is not flow or self._looks[1] is not self._state:
            settings, layout, pairs, columns, y, changers = self._reg_tables
            packed = self._looks[2] if self._looks is not None else NOTHING_PACKED
            look = Look(
                Regulators(settings, self._kind, layout, pairs, columns, y, changers, self._state),
                Banks(*self._cap_tables, self._banks),
                self.pickups.watched,
                flow.sensed_v,
                flow.solutions.solved,
                flow.solutions.outside,
                self._has_failed,
                self._awake,
                self._rest,
                self._sampled,
                self._clock.hours,
                self._clock.seconds,
                self._dt_s,
                self._turn,
            )
            self._looks = flow, self._state, pack_again(packed, look)
        return self._looks[2]

    def act(self, flow: BatchPowerFlow, live: Ints, step: int | None = None) -> list[int]:
        """What the controls of the scenarios `live`, which are solved, do in a step; time passes then.

        Before the first step they come to rest without time passing. Returns the scenarios whose controls did not come
        to rest in as many rounds as OpenDSS allows.
        """
        self._has_looked = step is not None and step == self._sampled[0]
        restless: list[int] = []
        if not self._is_settled:
            restless = self._act(flow, live, SETTLING_ROUNDS, at_once=True)
            self._look_at_rest(flow, live, restless)
            self._is_settled = True
            self._rest[0] = 0 if self.steers or self._storage else IN_TIME
            changed = self._end_step(flow, live)
            if self.inverters.steer_watts:
                self.inverters.begin(None, _by_lane(flow))
                changed[:] = True
            again = np.setdiff1d(np.intersect1d(live, np.flatnonzero(changed)), restless)
            if len(again):
                flow.solve_again(again)
        live = np.setdiff1d(live, restless) if restless else live
        restless += self._act(flow, live, self._rounds, at_once=self._settles_each_step)
        if self._settles_each_step:
            self._look_at_rest(flow, live, restless)
        else:
            look_at_controls(self._look(flow).address, ONLY_TIME)
            self._end_step(flow, live)
        return restless

    def _end_step(self, flow: BatchPowerFlow, live: Ints) -> Bools:
        """What follows a solution in time; OpenDSS counts the one before time, in which controls settle, as well.

        Returns the scenarios (slot,) in which a storage idles from now on.
        """
        self.inverters.end()
        return self._storage.end(flow.sensed_v, live, _by_lane(flow))

    def _act(self, flow: BatchPowerFlow, live: Ints, rounds: int, at_once: bool) -> list[int]:
        awake = np.zeros(self._n, dtype=np.bool_)
        awake[live] = True
        self.restless.begin()
        for number in range(rounds - 1):
            awake &= flow.solved
            if not at_once:
                self.pickups.look(flow.sensed_v, awake, at_rest=False)
            self.restless.note(number, rounds, self._positions)
            if self.steers:
                self.inverters.sample(flow.sensed_v, awake, is_first=number == 0)
            acted, moved = self._round(flow, awake, at_once)
            steered = np.zeros(self._n, dtype=np.bool_)
            if self.steers:
                steered = self.inverters.act(awake, _by_lane(flow))
            awake = acted | steered
            if not awake.any():
                return []
            slots = np.flatnonzero(moved)
            if len(slots):
                self.moved |= set(slots.tolist())
                self.move(flow, slots)
            slots = np.flatnonzero(moved | steered)
            if len(slots):
                flow.solve_again(slots)
        restless: list[int] = np.flatnonzero(awake & flow.solved).tolist()
        self.restless.end(restless, self._positions())
        return restless

    def _look_at_rest(self, flow: BatchPowerFlow, live: Ints, restless: Sequence[int]) -> None:
        """Look at the fuses of the scenarios `live` whose controls have come to rest."""
        if not self.pickups:
            return
        at_rest = np.zeros(self._n, dtype=np.bool_)
        at_rest[np.setdiff1d(live, restless)] = True
        self.pickups.look(flow.sensed_v, at_rest & flow.solved, at_rest=True)

    def _positions(self) -> Floats:
        """Where taps, banks, watts and vars of inverters stand (mover, scenario)."""
        return np.concatenate([self.all_taps(), self._banks[:, cap.CLOSED], self.inverters.kva()])

    def _round(
        self, flow: BatchPowerFlow, awake: NDArray[np.bool_], at_once: bool
    ) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """All controls look and do what is due: in which slots something was done, and where something moved."""
        self._awake[:] = awake
        turn = self._turn
        turn.steering[:] = self.inverters.pending.any(axis=0)
        # In a round after the first everybody looks anew.
        how = AT_ONCE * at_once + HAVE_LOOKED * self._has_looked
        while act_in_round(self._look(flow).address, int(how)) == LEFT:
            longer = np.full((len(self._regs), _QUEUE_LENGTH, self._n), np.inf)
            self._state = np.concatenate([self._state, longer], axis=1)
        self._has_looked = False
        return turn.acted.copy(), turn.moved.copy()


def _by_lane(flow: BatchPowerFlow) -> Floats:
    """Shares of loads and units (chunk, place, lane)."""
    return flow.load_share.reshape(flow.n_chunks, -1, WIDTH)
