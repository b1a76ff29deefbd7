"""The grids of a batch: one network, and what every scenario attaches to it, solved together."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Hashable, Iterable, Sequence
from fractions import Fraction
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from g2g_opt.batch.jacobian import Jacobian, Setting
from g2g_opt.batch.lanes import WIDTH
from g2g_opt.batch.network import Network, read_network
from g2g_opt.batch.ports import Port
from g2g_opt.batch.power_flow import BatchPowerFlow
from g2g_opt.batch.summary import Tally
from g2g_opt.batch.unsupported import UnsupportedByBatch
from g2g_opt.errors import PowerFlowError
from g2g_opt.grid.attachments import Attachment
from g2g_opt.grid.circuit import Circuit
from g2g_opt.grid.config import TapPosition
from g2g_opt.grid.profile import PowerProfile
from g2g_opt.grid.profile_series import series_is_trusted
from g2g_opt.grid.served import SERVED_TOLERANCE, describe_unserved, served_share
from g2g_opt.grid.setup import GridSetup
from g2g_opt.grid.storage_bank import StorageBank

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# How tightly OpenDSS solves the circuit once, for its slopes to be taken there and our answer to be held to its.
_READ_TOLERANCE, _READ_ITERATIONS = 1e-9, 500
_AGREE_PU = 1e-6
_SERIES_STEPS = 512
# Slopes are differences of nearly equal voltages, so they are solved for more tightly than flows are.
_SLOPE_TOLERANCE = 1e-4


@lru_cache(maxsize=16)
def load_jacobian(commands: tuple[str, ...]) -> Jacobian:
    """The network that these commands build, checked against OpenDSS's own solution of it.

    Raises `UnsupportedByBatch` if it holds what is not modelled, or if the two solutions differ.
    """
    circuit = Circuit(commands, tolerance=_READ_TOLERANCE, max_iterations=_READ_ITERATIONS)
    try:
        circuit.finish()
        network = read_network(circuit)
    except PowerFlowError as error:
        raise UnsupportedByBatch(f"OpenDSS does not solve the circuit tightly: {error}") from error
    jacobian = Jacobian(network)
    flow = BatchPowerFlow(jacobian, [[]], [Setting()], tolerance_pu=_READ_TOLERANCE)
    flow.solve()
    monitored = network.alive & np.isfinite(network.base_v)
    expected = np.abs(network.start_v) / network.base_v
    worst = np.abs(flow.voltage_pu[:, 0] - expected)[monitored].max(initial=0.0)
    if not flow.solved.all() or not worst < _AGREE_PU:
        raise UnsupportedByBatch(
            f"the batch engine's solution of the circuit differs from OpenDSS's by {worst:.1e} pu; an element of it "
            "must behave in a way that is not modelled"
        )
    return jacobian


class Grids:
    """Grids of all scenarios, which must share feeder, source voltage, tolerance and period (`network_key`).

    `solve(step)` takes the fleets' powers (W per phase) and those of profiles and storages; `voltage_pu` (node, slot)
    are its magnitudes. A scenario that does not converge, or is not served where that matters, gets its reason in
    `failure` and is left without power from then on.
    """

    def __init__(self, setups: Sequence[GridSetup]) -> None:
        self.setups = list(setups)
        first = setups[0]
        jacobian = load_jacobian(tuple(first.commands()))
        self.network: Network = jacobian.network
        self.node_index = {node: i for i, node in enumerate(self.network.nodes)}
        self.monitored = [s.monitored_nodes(self.network.buses, self.node_index) for s in setups]
        self.dt_s: Fraction = first.dt_s
        attachments = [s.attached.all() for s in setups]
        self.taps = [self._start_taps(s) for s in setups]
        self.flow = BatchPowerFlow(
            jacobian,
            [[port for a in s.attached.all() for port in self._ports(s, a)] for s in setups],
            [self._setting(slot) for slot in range(len(setups))],
            tolerance_pu=first.tolerance,
            max_iterations=first.max_iterations,
            loadings=any(s.record_loading for s in setups),
        )
        self.failure: list[str | None] = [None] * len(setups)
        self._attachments = attachments
        self._places = PowerPlaces(self.flow)
        self._tan_phi = self._table(attachments, lambda a: a.tan_phi)
        self._read_profiles()
        storages = [(slot, a) for slot, s in enumerate(setups) for a in s.attached.storages]
        self.storages = [a.storage for _, a in storages]
        self._storage_slot = np.array([slot for slot, _ in storages], dtype=np.int64)
        first_port = [3 * (len(s.attached.sites) + len(s.attached.profiles)) for s in setups]
        counted: dict[int, int] = {}
        ports = []
        for slot, _ in storages:
            ports.append(first_port[slot] + 3 * counted.get(slot, 0))
            counted[slot] = counted.get(slot, 0) + 1
        self._storage_port = np.array(ports, dtype=np.int64)
        if len({id(s) for s in self.storages}) < len(self.storages):
            raise UnsupportedByBatch("a storage object hangs on several grids")
        self.bank = StorageBank(self.storages, float(self.dt_s)) if storages else None
        self._settle_taps()

    # --- building

    def _start_taps(self, setup: GridSetup) -> dict[str, float]:
        taps = {name: float(self.network.start_taps[name]) for name in setup.feeder.regulators}
        if setup.taps is not None:
            taps |= setup.regulators.resolve(setup.taps)
        return taps

    def _setting(self, slot: int) -> Setting:
        return Setting(tuple(sorted(self.taps[slot].items())))

    def _ports(self, setup: GridSetup, attachment: Attachment) -> list[Port]:
        """Three ports, phase A (or A to B) first, as OpenDSS's injections."""
        ports = []
        for phase in (1, 2, 3):
            begin = self.node_index[attachment.bus, phase]
            delta = attachment.connection == "delta"
            end = self.node_index[attachment.bus, phase % 3 + 1] if delta else -1
            ports.append(Port(begin, end, 1e3 * setup.attached.base_kv(attachment), attachment.window_pu))
        return ports

    def _table(self, attachments: list[list[Attachment]], figure: Callable[[Attachment], float]) -> Floats:
        """(port, slot) of a figure per attachment."""
        table = np.zeros((self.flow.ports.n_ports, self.flow.n_slots))
        for slot, row in enumerate(attachments):
            for k, attachment in enumerate(row):
                table[3 * k : 3 * k + 3, slot] = figure(attachment)
        return table

    def _settle_taps(self) -> None:
        """Solve once without the attachments' power, as OpenDSS does when a circuit is finished."""
        self.flow.solve()

    def _read_profiles(self) -> None:
        """Every different profile once, and which (port, slot) draw it with which sign."""
        kinds: dict[Hashable, int] = {}
        self._profiles: list[PowerProfile] = []
        places = []
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
                places += [(port + phase, slot, kinds[key], attachment.sign) for phase in range(3)]
        self._profile_port = np.array([p for p, _, _, _ in places], dtype=np.int64)
        self._profile_slot = np.array([s for _, s, _, _ in places], dtype=np.int64)
        self._profile_kind = np.array([k for _, _, k, _ in places], dtype=np.int64)
        self._profile_sign = np.array([sign for _, _, _, sign in places])
        self._series, self._series_first = np.empty((0, len(self._profiles))), 0

    # --- stepping

    def time_s(self, step: int) -> float:
        """Time (s) of a step."""
        return step * self.dt_s.numerator / self.dt_s.denominator

    def solve(self, step: int, fleet_slot: Ints, fleet_port: Ints, fleet_w: Floats) -> None:
        """Solve all scenarios; `fleet_w` (fleet, 3) are drawn from port `fleet_port` on in scenario `fleet_slot`."""
        power_w = np.zeros((self.flow.ports.n_ports, self.flow.n_slots))
        for phase in range(3):
            power_w[fleet_port + phase, fleet_slot] = fleet_w[:, phase]
        if self._profiles:
            power_w[self._profile_port, self._profile_slot] = (
                1e3 * self._profile_sign * self._profile_kw(step)[self._profile_kind]
            )
        power_var = power_w * self._tan_phi
        if self.bank is not None:
            kw, kvar = self.bank.dispatch(self.time_s(step))
            for phase in range(3):
                power_w[self._storage_port + phase, self._storage_slot] = -1e3 * kw / 3.0
                power_var[self._storage_port + phase, self._storage_slot] = -1e3 * kvar / 3.0
        dead = [slot for slot, reason in enumerate(self.failure) if reason is not None]
        power_w[:, dead] = power_var[:, dead] = 0.0
        self._places.write(self.flow, power_w, power_var)
        self.asked_w = power_w
        self.flow.solve()
        self._check(step)
        if self.bank is not None:
            self.bank.settle(self.time_s(step))

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

    def tell_own_loads(self, step: int, tally: Tally) -> None:
        """Note in a tally where the circuit's own constant-power loads are outside their windows."""
        missing = np.abs(self.flow.own_share - 1.0)
        short = np.flatnonzero(missing > SERVED_TOLERANCE)
        if len(short) == 0:
            return
        for slot in short[tally.count_own_loads(short, missing[short])].tolist():
            load, voltage_pu = self.flow.own_load(slot)
            share = 100.0 * float(self.flow.own_share[slot])
            words = f"load {load} was served {share:.1f} % at t={self.time_s(step):g} s, {voltage_pu:.4f} pu"
            tally.note_own_loads(slot, words)

    def fail(self, slots: Iterable[int], reason: str) -> None:
        """End scenarios: they keep their first reason and draw nothing from now on."""
        slots = list(slots)
        for slot in slots:
            self.failure[slot] = self.failure[slot] or reason
        self.flow.reset(slots)

    def _check(self, step: int) -> None:
        """Did it converge, and was everything attached served what it asked for?"""
        solved = self.flow.solved
        if not solved.all():
            for slot in np.flatnonzero(~solved).tolist():
                self.fail(
                    [slot],
                    f"t={self.time_s(step):g} s: the power flow did not converge in {self.flow.max_iterations} "
                    "iterations; the load is beyond what the circuit can carry",
                )
        port_pu = self.flow.port_pu()
        table = self.flow.ports
        outside = (port_pu < table.low_pu) | (port_pu > table.high_pu)
        if not outside.any():
            return
        share = served_share(port_pu, np.where(table.low_pu > 0.5, table.low_pu, 1.0), table.high_pu)
        missing = np.where(outside & (self.asked_w != 0.0), np.abs(share - 1.0), 0.0)
        for slot in np.flatnonzero(missing.max(axis=0)[: self.flow.n] > SERVED_TOLERANCE).tolist():
            if self.setups[slot].unserved == "raise" and self.failure[slot] is None:
                port = int(missing[:, slot].argmax())
                asked_kw = float(self.asked_w[port, slot]) / 1e3
                window = (float(table.low_pu[port, slot]), float(table.high_pu[port, slot]))
                attachment = self._attachments[slot][port // 3]
                reason = describe_unserved(
                    self.time_s(step),
                    attachment,
                    port % 3,
                    asked_kw,
                    float(share[port, slot]),
                    float(port_pu[port, slot]),
                    window,
                )
                self.fail([slot], reason)

    # --- taps and slopes

    def move_taps(self, positions: dict[int, TapPosition]) -> None:
        """Move regulators of some scenarios, as `SetTaps` does on a grid."""
        for slot, position in positions.items():
            self.taps[slot] |= self.setups[slot].regulators.resolve(position)
        self.flow.set_settings({slot: self._setting(slot) for slot in positions})

    def slopes(self, fleet_slot: Ints, fleet_port: Ints, perturbation_kw: Floats) -> Floats:
        """dv/dp (pu/kW) of every node by each phase of some fleets, shape (node, 3, fleet), around the present powers.

        A fleet's kvar move along with its kW (5.4). Scenarios in which it does not converge fail.
        """
        slopes = np.zeros((self.network.n_nodes, 3, len(fleet_slot)))
        kept_power, kept_state = self.flow.power.copy(), self.flow.copy_state()
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
                port = fleet_port[some] + phase
                step_w = 1e3 * perturbation_kw[some]
                self._places.add(self.flow, port, slot, step_w, step_w * self._tan_phi[port, slot])
                self.flow.restore_state(base_state)
                self.flow.solve(tolerance_pu=max(tight, 1e-12))
                solved &= self.flow.solved
                slopes[:, phase, some] = (self.flow.voltage_pu[:, slot] - v0[:, slot]) / perturbation_kw[some]
        self.flow.power[:] = kept_power
        self.flow.restore_state(kept_state)
        self.flow.solve()
        failed = np.flatnonzero(~solved)
        self.fail(failed.tolist(), "the power flow did not converge when slopes were measured")
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


class PowerPlaces:
    """Where (port, slot) lies in the power flow's array of powers."""

    def __init__(self, flow: BatchPowerFlow) -> None:
        self._shape = (flow.n_chunks, flow.ports.n_ports, 2, WIDTH)

    def write(self, flow: BatchPowerFlow, power_w: Floats, power_var: Floats) -> None:
        """Set all powers from (port, slot) arrays."""
        chunks, ports, _, lanes = self._shape
        into = flow.power.reshape(self._shape)
        into[:, :, 0] = power_w.reshape(ports, chunks, lanes).swapaxes(0, 1)
        into[:, :, 1] = power_var.reshape(ports, chunks, lanes).swapaxes(0, 1)

    def add(self, flow: BatchPowerFlow, port: Ints, slot: Ints, power_w: Floats, power_var: Floats) -> None:
        """Add to the powers at some (port, slot) pairs."""
        into = flow.power.reshape(self._shape)
        into[slot // WIDTH, port, 0, slot % WIDTH] += power_w
        into[slot // WIDTH, port, 1, slot % WIDTH] += power_var
