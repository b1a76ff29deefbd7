"""The grids of a batch: one network, and what every scenario attaches to it, solved together."""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Iterable, Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from g2g_opt.batch.checked_network import load_jacobian
from g2g_opt.batch.lanes import WIDTH
from g2g_opt.batch.modelled_controls import load_controls
from g2g_opt.batch.moving_elements import Setting
from g2g_opt.batch.network import Network
from g2g_opt.batch.own_controls import OwnControls, as_told
from g2g_opt.batch.ports import Port
from g2g_opt.batch.power_flow import BatchPowerFlow
from g2g_opt.batch.unit_series import UnitSeries, unit_commands
from g2g_opt.batch.unsupported import UnsupportedByBatch
from g2g_opt.failure import Failure, FailureKind
from g2g_opt.grid.attachments import Attachment
from g2g_opt.grid.profile import PowerProfile
from g2g_opt.grid.profile_series import series_is_trusted
from g2g_opt.grid.served import SERVED_TOLERANCE, not_served, served_share
from g2g_opt.grid.setup import GridSetup
from g2g_opt.grid.storage_bank import StorageBank
from g2g_opt.metrics.power_quality import three_phase_buses
from g2g_opt.tap_position import TapPosition

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_SERIES_STEPS = 512
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
        self.monitored = [s.monitored_nodes(self.network.nodes) for s in setups]
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
        self.has_failed = np.zeros(len(setups), dtype=np.bool_)
        self._attachments = attachments
        self._failed: list[int] = []
        sites = [(slot, k, a.tan_phi) for slot, s in enumerate(setups) for k, a in enumerate(s.attached.sites)]
        self.fleet_slot = np.array([slot for slot, _, _ in sites], dtype=np.int64)
        self.fleet_port = np.array([3 * k for _, k, _ in sites], dtype=np.int64)
        self._site_places = self._three_phases(self.fleet_port, self.fleet_slot)
        self._site_tan_phi = np.repeat([tan_phi for _, _, tan_phi in sites], 3)
        self._read_profiles()
        self._read_load_shares()
        storages = [
            (slot, 3 * (len(s.attached.sites) + len(s.attached.profiles) + k), a)
            for slot, s in enumerate(setups)
            for k, a in enumerate(s.attached.storages)
        ]
        self.storages = [a.storage for _, _, a in storages]
        self._storage_slot = np.array([slot for slot, _, _ in storages], dtype=np.int64)
        first_port = np.array([port for _, port, _ in storages], dtype=np.int64)
        self._storage_places = self._three_phases(first_port, self._storage_slot)
        if len({id(s) for s in self.storages}) < len(self.storages):
            raise UnsupportedByBatch("a storage object hangs on several grids")
        self.bank = StorageBank(self.storages, float(self.dt_s)) if storages else None
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

    def _three_phases(self, port: Ints, slot: Ints) -> tuple[Ints, Ints]:
        """Places of W and var of an attachment's three ports, phase after phase, from its first one on."""
        return self.flow.power_places((port[:, None] + np.arange(3)).reshape(-1), np.repeat(slot, 3))

    def _read_profiles(self) -> None:
        """Every different profile once, and which (port, slot) draw it with which sign."""
        kinds: dict[Hashable, int] = {}
        self._profiles: list[PowerProfile] = []
        places: list[tuple[int, int, int, float, float]] = []
        for slot, setup in enumerate(self.setups):
            for k, attachment in enumerate(setup.attached.profiles):
                profile = attachment.profile
                if not series_is_trusted(type(profile)):
                    raise UnsupportedByBatch(f"profile {type(profile).__name__} can only be asked step by step")
                key = _profile_key(profile)
                if key not in kinds:
                    kinds[key] = len(self._profiles)
                    self._profiles.append(profile)
                port = 3 * (len(setup.attached.sites) + k)
                places.append((port, slot, kinds[key], 1e3 * attachment.sign, attachment.tan_phi))
        ports, slots, kind = (np.array([row[k] for row in places], dtype=np.int64) for k in range(3))
        self._profile_places = self._three_phases(ports, slots)
        self._profile_kind = np.repeat(kind, 3)
        self._profile_sign, self._profile_tan_phi = (np.repeat([row[k] for row in places], 3) for k in (3, 4))
        self._series, self._series_first = np.empty((0, len(self._profiles))), 0

    def _read_load_shares(self) -> None:
        """Every different series of the circuit's own loads once, and which slots follow it."""
        series = [s.own_load_share for s in self.setups]
        kinds = {one: k for k, one in enumerate(dict.fromkeys(one for one in series if one is not None))}
        self._load_series = list(kinds)
        self._load_slots = np.array([slot for slot, one in enumerate(series) if one is not None], dtype=np.int64)
        self._load_kind = np.array([kinds[one] for one in series if one is not None], dtype=np.int64)
        self._load_shares = self.flow.load_share.reshape(self.flow.n_chunks, -1, WIDTH)
        steered = self.own.inverters.elements if self.own is not None else ()
        self._units = UnitSeries(self._commands, self.network, [s.own_sun_share for s in self.setups], steered)

    # --- stepping

    def time_s(self, step: int) -> float:
        """Time (s) of a step."""
        return step * self.dt_s.numerator / self.dt_s.denominator

    def solve(self, step: int, fleet_w: Floats) -> None:
        """Solve all scenarios, with `fleet_w` (fleet, 3) drawn by the sites, scenario by scenario."""
        self._step = step
        power = self.flow.power.reshape(-1)
        site_w = fleet_w.reshape(-1)
        power[self._site_places[0]] = site_w
        power[self._site_places[1]] = site_w * self._site_tan_phi
        if self._profiles:
            profile_w = self._profile_sign * self._profile_kw(step)[self._profile_kind]
            power[self._profile_places[0]] = profile_w
            power[self._profile_places[1]] = profile_w * self._profile_tan_phi
        if self._load_series:
            now = np.array([self.time_s(step)])
            shares = np.array([series.of(self.network.load_shapes, now)[0] for series in self._load_series])
            n_shapes = len(self.network.load_shapes)
            self._load_shares[self._load_slots // WIDTH, :n_shapes, self._load_slots % WIDTH] = shares[self._load_kind]
        self._units.write(self.time_s(step), self._load_shares)
        if self.own is not None and self.own.steers:
            self.own.inverters.begin(self._units.panel_kw(self.time_s(step)), self._load_shares)
        if self.bank is not None:
            kw, kvar = self.bank.dispatch(self.time_s(step))
            power[self._storage_places[0]] = np.repeat(-1e3 * kw / 3.0, 3)
            power[self._storage_places[1]] = np.repeat(-1e3 * kvar / 3.0, 3)
        if self._failed:
            self._switch_off()
        self.flow.solve()
        if self.own is not None:
            self._let_controls_act(step, self.own)
        if self._load_series:
            # Loads that ask for nothing are served all of it.
            of_loads = self._load_shares[:, : len(self.network.load_shapes)]
            silent = of_loads.max(axis=1).reshape(-1) <= 0.0
            self.flow.solutions.own_share[silent] = 1.0
        self._check(step)
        if self.bank is not None:
            self.bank.settle(self.time_s(step))

    def _let_controls_act(self, step: int, own: OwnControls) -> None:
        """The circuit's own controls move what they move, and come to rest before the first step."""
        live = np.array([slot for slot, reason in enumerate(self.failure) if reason is None], dtype=np.int64)
        restless = own.act(self.flow, live)
        moved = sorted(own.moved)
        own.moved.clear()
        for slot in moved:
            self.taps[slot] = own.taps(slot)
        self._note_settings({slot: self._setting(slot) for slot in moved}, step)
        for slot in restless:
            self.fail([slot], own.restless.failure(slot, self.time_s(step)))
        for slot, fuse in own.fuses.take_picked_up():
            self.fail([slot], Failure(FailureKind.PROTECTION_PICKS_UP, f"fuse.{fuse}", self.time_s(step)))

    def _switch_off(self) -> None:
        """Take the power of scenarios that have failed."""
        by_lane = self.flow.power.reshape(self.flow.n_chunks, -1, WIDTH)
        for slot in self._failed:
            by_lane[slot // WIDTH, :, slot % WIDTH] = 0.0

    def _profile_kw(self, step: int) -> Floats:
        place = step - self._series_first
        if not 0 <= place < len(self._series):
            steps = np.arange(step, step + _SERIES_STEPS)
            times = steps * self.dt_s.numerator / self.dt_s.denominator
            self._series = np.array([p.power_series_kw(times) for p in self._profiles]).T
            self._series_first, place = step, 0
        return np.asarray(self._series[place])

    @property
    def voltage_pu(self) -> Floats:
        """Magnitudes (pu), shape (node, slot)."""
        return self.flow.voltage_pu

    def storages_of(self, slot: int) -> Ints:
        """Places of a scenario's storages in the bank."""
        return np.flatnonzero(self._storage_slot == slot)

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
        kept_voltage_pu = self.flow.voltage_pu.copy()
        tight = self.flow.tolerance_pu * _SLOPE_TOLERANCE
        self.flow.solve(tolerance_pu=max(tight, 1e-12))
        base_state, v0 = self.flow.copy_state(), self.flow.voltage_pu.copy()
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
                power[imaginary] += step_w * self._site_tan_phi[3 * fleet[some]]
                self.flow.restore_state(base_state)
                self.flow.solve(tolerance_pu=max(tight, 1e-12))
                solved &= self.flow.solved
                slopes[:, phase, some] = (self.flow.voltage_pu[:, slot] - v0[:, slot]) / perturbation_kw[some]
        self.flow.power[:] = kept_power
        # Other scenarios of the batch, and controllers still to act, see nothing of this.
        self.flow.restore_state(kept_state)
        self.flow.voltage_pu[:] = kept_voltage_pu
        failed = [slot for slot in dict.fromkeys(fleet_slot.tolist()) if not solved[slot]]
        self.fail(failed, Failure(FailureKind.SLOPES_NOT_CONVERGED))
        return slopes


def _turns(slots: Ints) -> Ints:
    """For each entry, how many of the same slot came before it."""
    seen: dict[int, itertools.count[int]] = {}
    return np.array([next(seen.setdefault(int(slot), itertools.count())) for slot in slots], dtype=np.int64)


def _profile_key(profile: PowerProfile) -> Hashable:
    """Equal for profiles that are the same function of time; the object itself where that cannot be told."""
    figures = tuple(
        (name, value.tobytes() if isinstance(value, np.ndarray) else value)
        for name, value in sorted(vars(profile).items())
    )
    try:
        hash(figures)
    except TypeError:
        return id(profile)
    return (type(profile), figures)
