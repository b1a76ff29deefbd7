"""`BatchPowerFlow`: power flows of many scenarios of one circuit at once (equations 5.1 to 5.3).

The network equations Y v = I_source - I_load(v) are solved by a fixed-point iteration on a constant matrix,

    (Y + A) v = I_source + r - i,     r = A v - I_load(v),                                                  (5.1, 5.3)

in which A holds the slopes of the circuit's own loads at rated voltage, as real blocks of two by two. What is left in r
is of second order, so it changes ten to twenty times less than the voltages do. The currents i of everything attached
(sites, generators, ...) are large and move at every step: they are first brought to agreement with their Thevenin
equivalent, which is exact but for r. A quiet step then takes one network solve, a noisy one two or three.

A flow is accepted when the change in r and i that its voltages imply could move no voltage by the tolerance or more:
the sum over all branches of |change| times the farthest reach of one ampere there bounds the next iteration's step
before it is made. It is taken for the nodes of each phase by itself, because an ampere moves its own phase most.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from g2g_opt.batch import kernel_tables as tables
from g2g_opt.batch.held_voltages import HeldVoltages
from g2g_opt.batch.jacobian import Jacobian
from g2g_opt.batch.kept_lanes_kernel import n_kept
from g2g_opt.batch.lane_settings import LaneSettings
from g2g_opt.batch.loadings import Loadings, no_ratings
from g2g_opt.batch.moving_elements import NO_ENTRIES, Setting
from g2g_opt.batch.moving_lanes_kernel import write_lanes
from g2g_opt.batch.network import Network
from g2g_opt.batch.ports import Port, PortKinds, PortTable
from g2g_opt.batch.power_flow_kernel import solve_chunks
from g2g_opt.batch.rare_kernels import RareKernels
from g2g_opt.batch.rescue import LaneTables, Rescue
from g2g_opt.compiled.lanes import WIDTH as W
from g2g_opt.compiled.lanes import aligned
from g2g_opt.compiled.program import IN_PYTHON, Part
from g2g_opt.compiled.records import NOTHING_PACKED, pack, pack_again
from g2g_opt.grid.loading import JudgedRating

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Network solves until a scenario is handed to Newton's method, and for how many flows it then goes there at once.
_PATIENCE = 20
_STUBBORN_FLOWS = 8


class BatchPowerFlow:
    """Solves scenarios of a network (or of a shared `Jacobian`) in lockstep; s draws at `ports[s]` under `settings[s]`.

    `solve(power_va)` takes complex powers (W + j var, consumption positive) of shape (port, scenario), with zeros for
    ports that a scenario does not have, and starts from the solution before. `tolerance_pu` bounds the step that
    would come next; `max_iterations` are network solves. After it, `voltage_pu` has shape (node, scenario),
    `solved` and `iterations` shape (scenario,), in the order of the scenarios, and `port_pu` the voltage across each
    port in pu of its base; `loadings` records those of elements with a rating (`ratings`, or what the circuit says
    itself); `load_share` (chunk, shape x lane) is the share of their power that the circuit's own loads draw, by the
    load shape that they follow, and behind them those of units (`Network.unit_shares`). `all_well` says that all were
    solved and no port was outside its window. `unbalanced` are the three nodes of every bus whose voltage unbalance is
    told, in `unbalance`.
    """

    def __init__(
        self,
        network: Network | Jacobian,
        ports: Sequence[Sequence[Port]],
        settings: Sequence[Setting],
        *,
        tolerance_pu: float = 1e-6,
        max_iterations: int = 100,
        phasors: bool = False,
        loadings: bool | Loadings = False,
        sensed: Sequence[int] = (),
        unbalanced: Sequence[Sequence[int]] = (),
        ratings: Sequence[JudgedRating] | None = None,
        port_kinds: PortKinds | None = None,
    ) -> None:
        """`sensed` are nodes (-1: ground) whose voltages go into `sensed_v` (sensed node, 2, slot), V.

        `loadings` and `port_kinds`, of these ports and of others, save time where a flow before has worked them out.
        """
        self.tolerance_pu, self.max_iterations = tolerance_pu, max_iterations
        self.n = len(ports)
        self.n_chunks = max(1, -(-self.n // W))
        self.n_slots = self.n_chunks * W
        self.jacobian = network if isinstance(network, Jacobian) else Jacobian(network)
        self.network = network = self.jacobian.network
        # Slots beyond the scenarios repeat the last one, without power.
        self._settings = LaneSettings(settings, self.n_slots)
        self._loads = self.jacobian.loads
        self.ports = PortTable.of(ports, self.n_chunks, self.jacobian, port_kinds)
        known = loadings if isinstance(loadings, Loadings) else None
        self._loadings = known or (Loadings(self.jacobian, ratings) if loadings else None)
        self.branch_names = self._loadings.names if self._loadings is not None else ()
        self.emergency_share = self._loadings.emergency_share if self._loadings is not None else np.zeros(0)
        self._bus_nodes = 2 * W * self.jacobian.places(np.array(unbalanced, dtype=np.int64).reshape(-1))
        n_loads, n_ports = len(self._loads.is_special), self.ports.n_ports
        self.power = aligned(self.n_chunks, n_ports * 2 * W)
        self.load_share = aligned(self.n_chunks, network.n_shares * W)
        self.load_share[:] = np.repeat(network.first_shares, W)
        port_v, port_a = (aligned(self.n_chunks, n_ports * 2 * W) for _ in range(2))
        of_loads = aligned(self.n_chunks, n_loads * 2 * W), aligned(*self.load_share.shape)
        self.state = tables.LaneState(*of_loads, port_v, port_a, aligned(self.n_chunks, W))
        self._ill_conditioned = np.zeros(self.n_slots, dtype=np.bool_)
        self._held = HeldVoltages(self.jacobian)
        self._rare, self._rescuer = RareKernels(self._held), Rescue(self.jacobian, self._held)
        kept = n_kept(network.n_nodes, n_loads, n_ports, len(self.branch_names), len(sensed), 2 * len(unbalanced))
        self._work = tables.workspace(network.n_nodes, n_loads, n_ports, self.n_chunks, kept)
        self._out = tables.Solutions(
            aligned(network.n_nodes, self.n_slots),
            np.zeros(self.n_slots, dtype=np.bool_),
            np.zeros(self.n_slots),
            np.zeros((network.n_nodes if phasors else 0, self.n_slots), dtype=np.complex128),
            aligned(len(self.branch_names), self.n_slots),
            aligned(len(self.branch_names), self.n_slots),
            np.zeros(self.n_slots, dtype=np.bool_),
            np.ones(self.n_slots),
            np.zeros(self.n_slots),
            np.zeros(self.n_slots),
            np.zeros(self.n_slots),
            2 * W * self.jacobian.places(np.array(sensed, dtype=np.int64)),
            aligned(len(sensed), 2, self.n_slots),
            aligned(2 * len(unbalanced), self.n_slots),
        )
        self.asked = np.ones(self.n_slots, dtype=np.bool_)
        # How the flows of a call are solved; where it has to be told that a port is outside its window.
        self._tolerance, self._rounds = np.zeros(1), np.zeros(1, np.int64)
        self.watched = np.ones(self.n_slots, np.bool_)
        self._packed = NOTHING_PACKED, NOTHING_PACKED
        self._renew_factors()
        self.reset(np.arange(self.n_slots))

    @property
    def settings(self) -> list[Setting]:
        """Taps and banks of every slot."""
        return self._settings.of_all()

    def set_settings(self, settings: Mapping[int, Setting]) -> None:
        """Move taps or switch capacitors of some scenarios."""
        slots = self._settings.put(settings)
        chunks = {slot // W for slot in slots}
        if any(self._settings.agree(c) for c in chunks) or not len(self._factors.mixed_diagonal):
            self._renew_factors()
            return
        self._write_lanes(sorted(slots | self._begin_to_differ(chunks)))

    def move(self, scenarios: Ints, monomials: Floats, setting_of: Callable[[int], Setting]) -> None:
        """Move taps or banks of `scenarios`, rising, to `monomials` (scenario, element, monomial); some node is sensed.

        `setting_of` is asked for their settings where these are needed, and has to know them until they move again.
        """
        if scenarios[-1] == self.n - 1 and self.n < self.n_slots:
            more = np.arange(self.n, self.n_slots)
            scenarios = np.concatenate([scenarios, more])
            monomials = np.concatenate([monomials, np.repeat(monomials[-1:], len(more), axis=0)])
        if agreed := self._begin_to_differ((scenarios // W).tolist()):
            self._write_lanes(sorted(agreed))
        self._settings.moved(scenarios, setting_of)
        write_lanes(self._lanes.address, scenarios, monomials)

    def _begin_to_differ(self, chunks: Iterable[int]) -> set[int]:
        """Let chunks have a setting for each lane; the slots of those whose lanes agreed."""
        agreed = [c for c in set(chunks) if self._of_chunk[c] >= 0]
        self._of_chunk[agreed] = [-c - 1 for c in agreed]
        return {slot for c in agreed for slot in range(c * W, (c + 1) * W)}

    def _write_lanes(self, slots: Sequence[int]) -> None:
        """Put what differs from lane to lane into the tables of their chunks."""
        of_slot, moving = self.settings, self.jacobian.moving
        monomials = {one: moving.monomials(one) for one in {of_slot[slot] for slot in slots}}
        write_lanes(self._lanes.address, np.array(slots), np.array([monomials[of_slot[slot]] for slot in slots]))

    def _renew_factors(self) -> None:
        """Factors of every chunk: one set where its sixteen scenarios agree, else its own for each lane."""
        place: dict[Setting, int] = {}
        self._of_chunk = np.empty(self.n_chunks, dtype=np.int64)
        for c in range(self.n_chunks):
            if self._settings.agree(c):
                self._of_chunk[c] = place.setdefault(self.settings[c * W], len(place))
            else:
                self._of_chunk[c] = -c - 1
        differ = np.flatnonzero(self._of_chunk < 0)
        # Chunks whose lanes differ take what all settings share from the first one.
        place = place or {self.settings[0]: 0}
        shared = [self.jacobian.factors(setting) for setting in place]
        parts = ("lower", "upper", "diagonal")
        n_mixed = self.n_chunks if len(differ) or len(self._out.sensed_place) else 0
        e = self.jacobian.elimination
        sizes = e.moving_start[-1], len(e.upper_column) - e.upper_start[e.first_moving], e.n - e.first_moving
        self._factors = tables.FactorTables(
            *[np.array([getattr(f, part).reshape(-1) for f in shared]) for part in parts],
            *[aligned(n_mixed, int(size) * 4 * W) for size in sizes],
        )
        self._ratings = no_ratings() if self._loadings is None else self._loadings.table(list(place), n_mixed)
        rated = NO_ENTRIES if self._loadings is None else self._loadings.moving_entries
        self.lanes = self.jacobian.moving_factors.lanes(self._factors, rated, self._ratings.mixed)
        self._lanes = pack(self.lanes)
        if len(differ):
            self._write_lanes((W * differ[:, None] + np.arange(W)).ravel().tolist())
        steady = self.jacobian.pattern, self._loads, self.ports.table, self._ratings, self._bus_nodes, self._held.table
        now = self._factors, self._of_chunk, self.power, self.load_share
        flow = tables.Flow(*steady, *now, self.asked, self.state, self._work, self._out)
        at_first = np.array([self.tolerance_pu]), np.array([min(_PATIENCE, self.max_iterations)])
        both = flow, self._rare.addresses, self.watched
        of_call = tables.FlowCall(*both, self._tolerance, self._rounds, 0)
        of_step = tables.FlowCall(*both, *at_first, 1)
        self._packed = pack_again(self._packed[0], of_call), pack_again(self._packed[1], of_step)

    # --- solving

    def power_places(self, port: Ints, scenario: Ints) -> tuple[Ints, Ints]:
        """Where the W and the var of (port, scenario) pairs lie in `power` seen as a flat array."""
        real = ((scenario // W * self.ports.n_ports + port) * 2) * W + scenario % W
        return real, real + W

    def reset(self, scenarios: Sequence[int] | Ints) -> None:
        """Take scenarios back to the circuit's own solution, without the power of the ports."""
        start = self.jacobian.start
        remainder = self.state.remainder.reshape(self.n_chunks, -1, 2, W)
        voltage = self.state.port_v.reshape(self.n_chunks, -1, 2, W)
        current = self.state.port_a.reshape(self.n_chunks, -1, 2, W)
        slots = np.array(scenarios, dtype=np.int64)
        self._rescuer.forget(slots.tolist())
        c, lane = np.divmod(slots, W)
        self.state.stubborn[c, lane] = 0.0
        remainder[c, :, :, lane] = self.jacobian.start_remainder
        self.state.share.reshape(self.n_chunks, -1, W)[c, :, lane] = np.nan
        table = self.ports.table
        across = start[table.begin[c, :, lane]] - start[table.end[c, :, lane]]
        voltage[c, :, 0, lane], voltage[c, :, 1, lane] = across.real, across.imag
        current[c, :, :, lane] = 0.0

    def solve(self, power_va: NDArray[np.complex128] | None = None, tolerance_pu: float | None = None) -> None:
        """Solve all scenarios for `power_va` (port, scenario), or for what is in `power` already."""
        if power_va is not None:
            power = self.power.reshape(self.n_chunks, -1, 2, W)
            padded = np.zeros((self.ports.n_ports, self.n_slots), dtype=np.complex128)
            padded[: len(power_va), : self.n] = power_va
            by_chunk = padded.reshape(self.ports.n_ports, self.n_chunks, W).transpose(1, 0, 2)
            power[:, :, 0], power[:, :, 1] = by_chunk.real, by_chunk.imag
        self._solve(np.arange(self.n_slots), self.tolerance_pu if tolerance_pu is None else tolerance_pu)

    def solve_again(self, scenarios: Ints) -> None:
        """Solve some scenarios anew, for other settings; the others keep what they have to the last bit."""
        self._solve(scenarios, self.tolerance_pu)

    def _solve(self, slots: Ints, tolerance_pu: float) -> None:
        """The fixed point, and Newton's method in scenarios in which it does not come to rest soon: each for itself."""
        self._ill_conditioned[slots] = False
        self._work.trusted[slots] = 0.0
        stubborn = self.state.stubborn.reshape(-1)
        at_once = slots[stubborn[slots] > 0.0]
        stubborn[at_once] -= 1.0
        self._rescue(at_once, tolerance_pu)
        self._fixed_point(slots, tolerance_pu, min(_PATIENCE, self.max_iterations))
        self._finish(slots, at_once, tolerance_pu)

    def addresses(self) -> tuple[int, int]:
        """Of what `solve_chunks` reads for a step, and for the lanes that are `asked` for."""
        self._rare.keep_lanes()
        self._tolerance[0], self._rounds[0] = self.tolerance_pu, min(_PATIENCE, self.max_iterations)
        return self._packed[1].address, self._packed[0].address

    def part(self, attend: Callable[[int, int], None]) -> Part:
        """`solve` as a part of a compiled step; `attend` has to call the method of that name."""
        return Part(attend, solve_chunks, self._packed[1])

    def attend(self, code: int) -> None:
        """What a compiled step has left of its solution."""
        if code == IN_PYTHON:
            return self.solve()
        self._ill_conditioned[:] = False
        self._finish(np.arange(self.n_slots), np.zeros(0, dtype=np.int64), self.tolerance_pu)

    def _finish(self, slots: Ints, at_once: Ints, tolerance_pu: float) -> None:
        """Newton's method in the scenarios that the fixed point has not solved, but for those tried `at_once`."""
        if not self._out.solved[slots].all():
            stubborn, patience = self.state.stubborn.reshape(-1), min(_PATIENCE, self.max_iterations)
            left = np.setdiff1d(slots[~self._out.solved[slots]], at_once)
            rescued = self._rescue(left, tolerance_pu)
            stubborn[rescued] = _STUBBORN_FLOWS
            if len(rescued):
                self._fixed_point(rescued, tolerance_pu, patience)
            left = slots[~self._out.solved[slots]]
            if len(left) and self.max_iterations > patience:
                self._work.trusted[left] = 0.0
                self._fixed_point(left, tolerance_pu, self.max_iterations)
        self._ill_conditioned[slots] &= ~self._out.solved[slots]

    def _rescue(self, slots: Ints, tolerance_pu: float) -> Ints:
        """Put scenarios to the solutions that Newton's method finds; returns those that have one."""
        if not len(slots):
            return slots
        lanes = LaneTables(self.ports.table, self.state, self.power, self.load_share, self.settings)
        self._work.trusted[found := self._rescuer.put(slots, lanes, tolerance_pu, self._ill_conditioned)] = 1.0
        return found

    def _fixed_point(self, scenarios: Ints, tolerance_pu: float, max_iterations: int) -> None:
        """The fixed point in some scenarios; the others keep what they have to the last bit."""
        self._tolerance[0], self._rounds[0] = tolerance_pu, max_iterations
        if len(scenarios) == self.n_slots:
            solve_chunks(self._packed[0].address, 0)
            return
        self._rare.keep_lanes()
        self.asked[:] = False
        self.asked[scenarios] = True
        solve_chunks(self._packed[0].address, 0)
        self.asked[:] = True

    @property
    def all_well(self) -> bool:
        """Were all solved, with every port inside its window?"""
        return bool(self._out.solved.all() and not self._out.outside.any())

    @property
    def solutions(self) -> tables.Solutions:
        """Everything that comes out, also of the slots that only fill lanes; the same arrays at every flow."""
        return self._out

    @property
    def sensed_v(self) -> Floats:
        """Voltages (V) of the sensed nodes, shape (sensed node, 2, slot): real and imaginary parts."""
        return self._out.sensed_v

    def port_pu(self) -> Floats:
        """Voltages across all ports in pu of their bases, shape (port, slot); 1 where a scenario has no such port."""
        v = self.state.port_v.reshape(self.n_chunks, -1, 2, W)
        magnitude = np.sqrt(v[:, :, 0] ** 2 + v[:, :, 1] ** 2).swapaxes(0, 1).reshape(self.ports.n_ports, self.n_slots)
        return np.asarray(magnitude / self.ports.base_v)

    def copy_state(self) -> tables.LaneState:
        """What the next flow would start from."""
        return tables.LaneState(*(array.copy() for array in self.state))

    def restore_state(self, state: tables.LaneState) -> None:
        """Start the next flow from a copied state."""
        for array, kept in zip(self.state, state, strict=True):
            array[:] = kept

    @property
    def voltage_pu(self) -> Floats:
        """Voltage magnitudes (pu; 0 at nodes without a base), shape (node, scenario)."""
        return self._out.voltage_pu[:, : self.n]

    @property
    def phasors(self) -> NDArray[np.complex128]:
        """Node voltages (V), shape (node, scenario); only with `phasors=True`."""
        return self._out.phasors[:, : self.n]

    @property
    def loading_pu(self) -> Floats:
        """Loading of every branch in `branch_names` (share of its normal rating), shape (branch, scenario)."""
        return self._out.loading_pu[:, : self.n]

    @property
    def loading_phase(self) -> Floats:
        """Phase (1 to 3) of every branch's heaviest conductor, shape (branch, scenario)."""
        return self._out.loading_phase[:, : self.n]

    @property
    def unbalance(self) -> Floats:
        """Voltage unbalance (share), negative over positive sequence and NEMA's, shape (2, bus, scenario)."""
        return self._out.unbalance.reshape(2, len(self._bus_nodes) // 3, self.n_slots)[:, :, : self.n]

    @property
    def outside(self) -> NDArray[np.bool_]:
        """Which scenarios have a port that draws power outside its window, shape (scenario,)."""
        return self._out.outside[: self.n]

    @property
    def own_share(self) -> Floats:
        """Served over asked power of the circuit's own constant-power load farthest from 1, shape (scenario,)."""
        return self._out.own_share[: self.n]

    @property
    def second_solution_pu(self) -> Floats:
        """How far (pu) another solution may lie, shape (scenario,), as loads jump at their windows' edges; 0: none."""
        return self._out.second_pu[: self.n]

    @property
    def load_names(self) -> tuple[str, ...]:
        """Names of the circuit's own loads by branch, as `solutions.own_load` counts them."""
        return tuple(self.network.load_names[place] for place in self.jacobian.load_places)

    @property
    def solved(self) -> NDArray[np.bool_]:
        """Which scenarios converged, shape (scenario,)."""
        return self._out.solved[: self.n]

    @property
    def ill_conditioned(self) -> NDArray[np.bool_]:
        """Which scenarios have a solution that rounding keeps from the tolerance, shape (scenario,)."""
        return self._ill_conditioned[: self.n]

    @property
    def iterations(self) -> Floats:
        """Network solves that the latest flow took, shape (scenario,)."""
        return self._out.iterations[: self.n]
