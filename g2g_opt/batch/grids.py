"""The grids of a batch: one network, and what every scenario attaches to it, solved together."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from g2g_opt.batch.attached import Attached
from g2g_opt.batch.checked_network import load_jacobian
from g2g_opt.batch.modelled_controls import load_controls
from g2g_opt.batch.moving_elements import Setting
from g2g_opt.batch.network import Network
from g2g_opt.batch.own_controls import OwnControls, as_told
from g2g_opt.batch.ports import Port
from g2g_opt.batch.power_flow import BatchPowerFlow
from g2g_opt.batch.unit_series import unit_commands
from g2g_opt.compiled.lanes import WIDTH
from g2g_opt.compiled.program import Part
from g2g_opt.failure import Failure, FailureKind
from g2g_opt.grid.attachments import Attachment
from g2g_opt.grid.served import SERVED_TOLERANCE, not_served, served_share
from g2g_opt.grid.setup import GridSetup
from g2g_opt.metrics.power_quality import three_phase_buses
from g2g_opt.metrics.voltage import no_voltage
from g2g_opt.tap_position import TapPosition

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Slopes are differences of nearly equal voltages, so they are solved for more tightly than flows are.
_SLOPE_TOLERANCE = 1e-4


class Grids:
    """Grids of all scenarios, which must share feeder, source voltage, tolerance and period (see `batch_key`).

    `solve(step, fleet_w)` takes the fleets' powers (W per phase), and those of profiles and storages; `voltage_pu`
    (node, slot) are its magnitudes. A scenario that does not converge, or is not served where that matters, gets its
    reason in `failure` (and a mark in `has_failed`) and is left without power from then on.
    """

    def __init__(self, setups: Sequence[GridSetup]) -> None:
        self.setups = list(setups)
        first = setups[0]
        self._commands = unit_commands(setups)
        jacobian = load_jacobian(self._commands, tuple(first.feeder.buses.values()), few_moving=first.dss_controls)
        self.network: Network = jacobian.network
        self.node_index = {node: i for i, node in enumerate(self.network.nodes)}
        # Those of one feeder object are looked for once.
        alike = {(id(s.feeder), s.exclude_buses): s for s in setups}
        places = {key: s.monitored_nodes(self.network.nodes) for key, s in alike.items()}
        self.monitored = [places[id(s.feeder), s.exclude_buses] for s in setups]
        if not all(map(len, self.monitored)):
            raise no_voltage()
        self.dt_s: Fraction = first.dt_s
        attachments = [s.attached.all() for s in setups]
        self.taps = [self._start_taps(s) for s in setups]
        self.own = self._own_controls()
        self.three_phase_buses, unbalanced = three_phase_buses(
            first.feeder.buses, first.exclude_buses, self.network.nodes
        )
        self.flow = BatchPowerFlow(
            jacobian,
            [[port for a in s.attached.all() for port in self._ports(s, a)] for s in setups],
            [self._setting(slot) for slot in range(len(setups))],
            tolerance_pu=first.tolerance,
            max_iterations=first.max_iterations,
            loadings=any(s.record_loading for s in setups),
            sensed=self.own.sensed if self.own is not None else (),
            unbalanced=unbalanced.tolist(),
            ratings=first.ratings(),
        )
        # (first step, setting) of every move of taps, and the step from which the present ones hold.
        self.tap_history = [[(0, self._setting(slot))] for slot in range(len(setups))]
        self.taps_moved_at = np.zeros(self.flow.n_slots, dtype=np.int64)
        self._step = -1
        self.failure: list[Failure | None] = [None] * len(setups)
        self._judges_served = np.array([setup.unserved == "raise" for setup in setups], dtype=np.bool_)
        self.flow.watched[:] = False
        self.flow.watched[: len(setups)] = self._judges_served
        self.has_failed = np.zeros(len(setups), dtype=np.bool_)
        self._attachments = attachments
        self._failed: list[int] = []
        self._n_failed = np.zeros(1, dtype=np.int64)
        n_failed = self._n_failed
        self.attached = Attached(setups, self.flow, self.dt_s, self._commands, self.has_failed, n_failed, self.own)
        self.fleet_slot, self.fleet_port = self.attached.fleet_slot, self.attached.fleet_port
        # Once without the attachments' power, as OpenDSS when a circuit is finished.
        self.flow.solve()

    # --- building

    def _start_taps(self, setup: GridSetup) -> dict[str, float]:
        taps = {name: float(self.network.start_taps[name]) for name in setup.feeder.regulators}
        if setup.taps is not None:
            moved = setup.regulators.resolve(setup.taps)
            taps |= {name: as_told(ratio) for name, ratio in moved.items()} if setup.dss_controls else moved
        return taps

    def _own_controls(self) -> OwnControls | None:
        """The circuit's own controls, if they act."""
        first = self.setups[0]
        if not first.dss_controls:
            return None
        dt_s = float(self.dt_s)
        return OwnControls(load_controls(self._commands, dt_s), self.network, dt_s, self.taps)

    def _setting(self, slot: int) -> Setting:
        if self.own is not None:
            return self.own.setting(slot)
        return Setting(tuple(sorted(self.taps[slot].items())))

    def _ports(self, setup: GridSetup, attachment: Attachment) -> list[Port]:
        """Three ports, phase A (or A to B) first, as OpenDSS's injections."""
        base_v = 1e3 * attachment.base_kv
        return [
            Port(
                self.node_index[attachment.bus, first],
                self.node_index[attachment.bus, second] if second else -1,
                base_v,
                attachment.window_pu,
            )
            for first, second in attachment.pairs
        ]

    # --- stepping

    def time_s(self, step: int) -> float:
        """Time (s) of a step."""
        return step * self.dt_s.numerator / self.dt_s.denominator

    def solve(self, step: int, fleet_w: Floats) -> None:
        """Solve all scenarios, with `fleet_w` (fleet, 3) drawn by the sites, scenario by scenario."""
        self.attached.write(step, self.time_s(step), fleet_w)
        self.flow.solve()
        self._settle(step)

    def parts(self, fleet_w: Floats) -> list[Part]:
        """`solve` as parts of a compiled step, with the powers (W) that stand in the array `fleet_w` (fleet, 3)."""
        settles_always = self.own is not None or not self.attached.is_plain
        # A clock is put on by Python, step by step.
        is_compiled = self.attached.is_plain and self.setups[0].clock_of_step() is None

        def settle(step: int, code: int) -> None:
            self.flow.attend(code)
            if not settles_always:
                self._settle(step)

        parts = [self.attached.part(fleet_w, self.time_s), self.flow.part(settle)]
        if self.own is not None and is_compiled:
            return [*parts, self.own.part(self.flow, self.has_failed, lambda step, code: self._settle(step))]
        return [*parts, Part(lambda step, code: self._settle(step))] if settles_always else parts

    def _settle(self, step: int) -> None:
        """What follows a solution: the circuit's own controls act, and every scenario is looked at."""
        self.begin(step)
        if self.own is not None:
            self._let_controls_act(step, self.own)
        self.attached.serve_silent_loads()
        self._check(step)
        if self.attached.bank is not None:
            self.attached.bank.settle(self.time_s(step))

    def _let_controls_act(self, step: int, own: OwnControls) -> None:
        """The circuit's own controls move what they move, and come to rest before the first step."""
        live = np.array([slot for slot, reason in enumerate(self.failure) if reason is None], dtype=np.int64)
        if (clock := self.setups[0].clock_of_step()) is not None:
            own.set_clock(*clock.at(self.time_s(step)))
        restless = own.act(self.flow, live, step)
        moved = sorted(own.moved)
        own.moved.clear()
        for slot in moved:
            self.taps[slot] = own.taps(slot)
        self._note_settings({slot: self._setting(slot) for slot in moved}, step)
        for slot in restless:
            self.fail([slot], own.restless.failure(slot, self.time_s(step)))
        for slot, failure in own.pickups.take_picked_up():
            self.fail([slot], failure.at(self.time_s(step)))

    def begin(self, step: int) -> None:
        """This is the step in which somebody acts."""
        self._step = step

    @property
    def voltage_pu(self) -> Floats:
        """Magnitudes (pu), shape (node, slot)."""
        return self.flow.voltage_pu

    @property
    def branch_names(self) -> tuple[str, ...]:
        """Rated branches whose loading is recorded."""
        return self.flow.branch_names

    @property
    def loading_pu(self) -> Floats:
        """Loading (share of the normal rating) of every branch, shape (branch, slot)."""
        return self.flow.loading_pu

    @property
    def loading_phase(self) -> Floats:
        """Phase of every branch's heaviest conductor, shape (branch, slot)."""
        return self.flow.loading_phase

    @property
    def n_failed(self) -> int:
        """Scenarios that have a reason to be ended."""
        return len(self._failed)

    def fail(self, slots: Iterable[int], reason: Failure) -> None:
        """End scenarios: they keep their first reason, and draw nothing from now on."""
        for slot in list(slots):
            if self.failure[slot] is None:
                self.failure[slot] = reason
                self.has_failed[slot] = True
                self._failed.append(slot)
                self._n_failed[0] += 1
            self.flow.reset([slot])

    def _check(self, step: int) -> None:
        """Did it converge, and was everything attached served what it asked for?"""
        if self.flow.all_well:
            return
        unsolved = [] if self.flow.solved.all() else np.flatnonzero(~self.flow.solved).tolist()
        for slot in unsolved:
            kind, detail = FailureKind.NOT_CONVERGED, "the load is beyond what the circuit can carry"
            if self.flow.ill_conditioned[slot]:
                kind, detail = FailureKind.ILL_CONDITIONED, "the circuit has a solution there"
            self.fail([slot], Failure(kind, time_s=self.time_s(step), detail=detail))
        for slot in np.flatnonzero(self.flow.outside & self._judges_served).tolist():
            if self.failure[slot] is None:
                reason = self._unserved(step, slot)
                if reason is not None:
                    self.fail([slot], reason)

    def _unserved(self, step: int, slot: int) -> Failure | None:
        """What a scenario's attachments were not served; None if it is less than counts."""
        table = self.flow.ports
        low, high, voltage_pu = table.low_pu[:, slot], table.high_pu[:, slot], self.flow.port_pu()[:, slot]
        used = low > 0.0
        asked_w = self.flow.power.reshape(self.flow.n_chunks, -1, 2, WIDTH)[slot // WIDTH, :, 0, slot % WIDTH]
        share = served_share(voltage_pu, np.where(used, low, 1.0), np.where(used, high, 2.0))
        missing = np.where(used & (asked_w != 0.0), np.abs(share - 1.0), 0.0)
        port = int(missing.argmax())
        if missing[port] <= SERVED_TOLERANCE:
            return None
        return not_served(
            self.time_s(step),
            self._attachments[slot][port // 3],
            port % 3,
            float(asked_w[port]) / 1e3,
            float(share[port]),
            float(voltage_pu[port]),
            (float(low[port]), float(high[port])),
        )

    # --- taps and slopes

    def move_taps(self, positions: dict[int, TapPosition]) -> None:
        """Move regulators of some scenarios, as `SetTaps` does on a grid."""
        for slot, position in positions.items():
            moved = self.setups[slot].regulators.resolve(position)
            self.taps[slot] |= moved
            if self.own is not None:
                self.own.note_taps(slot, moved)
        settings = {slot: self._setting(slot) for slot in positions}
        self._note_settings(settings, self._step + 1)
        self.flow.set_settings(settings)

    def _note_settings(self, settings: dict[int, Setting], step: int) -> None:
        """Keep settings that hold from a step on, where they are others than before."""
        for slot, setting in settings.items():
            last = self.tap_history[slot][-1][1]
            if setting != last:
                self.tap_history[slot].append((step, setting))
            if setting.taps != last.taps:
                self.taps_moved_at[slot] = step

    def slopes(self, fleet: Ints, perturbation_kw: Floats) -> Floats:
        """dv/dp (pu/kW) of every node by each phase of some fleets, shape (node, 3, fleet), around the present powers.

        A fleet's kvar move along with its kW (equation 5.4). Scenarios in which it does not converge fail.
        """
        fleet_slot, fleet_port = self.fleet_slot[fleet], self.fleet_port[fleet]
        slopes = np.zeros((self.network.n_nodes, 3, len(fleet)))
        kept_power, kept_state = self.flow.power.copy(), self.flow.copy_state()
        kept_share = self.flow.load_share.copy()
        kept_voltage_pu = self.flow.voltage_pu.copy()
        tight = self.flow.tolerance_pu * _SLOPE_TOLERANCE
        self.flow.solve(tolerance_pu=max(tight, 1e-12))
        base_state, v0 = self.flow.copy_state(), self.flow.voltage_pu.copy()
        base_share = self.flow.load_share.copy()  # vars that hold a voltage move as well
        solved = self.flow.solved.copy()
        # Fleets of one scenario are perturbed one after the other, those of different scenarios together.
        turn = _turns(fleet_slot)
        for now in range(int(turn.max(initial=-1)) + 1):
            some = np.flatnonzero(turn == now)
            slot = fleet_slot[some]
            for phase in range(3):
                self.flow.power[:] = kept_power
                step_w = 1e3 * perturbation_kw[some]
                real, imaginary = self.flow.power_places(fleet_port[some] + phase, slot)
                power = self.flow.power.reshape(-1)
                power[real] += step_w
                power[imaginary] += step_w * self.attached.site_tan_phi[3 * fleet[some]]
                self.flow.restore_state(base_state)
                self.flow.load_share[:] = base_share
                self.flow.solve(tolerance_pu=max(tight, 1e-12))
                solved &= self.flow.solved
                slopes[:, phase, some] = (self.flow.voltage_pu[:, slot] - v0[:, slot]) / perturbation_kw[some]
        self.flow.power[:] = kept_power
        # Other scenarios of the batch, and controllers still to act, see nothing of this.
        self.flow.restore_state(kept_state)
        self.flow.load_share[:] = kept_share
        self.flow.voltage_pu[:] = kept_voltage_pu
        failed = [slot for slot in dict.fromkeys(fleet_slot.tolist()) if not solved[slot]]
        self.fail(failed, Failure(FailureKind.SLOPES_NOT_CONVERGED))
        return slopes


def _turns(slots: Ints) -> Ints:
    """For each entry, how many of the same slot came before it."""
    seen: dict[int, itertools.count[int]] = {}
    return np.array([next(seen.setdefault(int(slot), itertools.count())) for slot in slots], dtype=np.int64)
