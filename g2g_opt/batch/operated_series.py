"""A feeder under its own regulators and banks over many hours in a row: what planning over a year needs.

Controls settle within every step, as OpenDSS's do in a snapshot with `ControlMode=Static`, and begin each step where
the one before left them. The hours of a chain hang together only by where controls stand at midnight, and controls
forget within some days where they stood. So stretches of a chain are run side by side, each from a guess, and its first
days again from where the stretch before ends, until they meet what is known. The result is that of running the hours
one after the other.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g2g_opt.batch.chain_days import ChainDay, ChainDays
from g2g_opt.batch.chains import Chains, SetPoint, SetPoints
from g2g_opt.batch.checked_network import load_jacobian
from g2g_opt.batch.known_days import KnownDay, OperatedSeries, gather_days
from g2g_opt.batch.loadings import Loadings
from g2g_opt.batch.modelled_controls import load_controls
from g2g_opt.batch.network_losses import NetworkLosses
from g2g_opt.batch.operating_points import Unit, ports_of
from g2g_opt.batch.own_controls import OwnControls, Standing
from g2g_opt.batch.ports import PortKinds
from g2g_opt.batch.power_flow import BatchPowerFlow
from g2g_opt.batch.settled_steps import SettledSteps
from g2g_opt.batch.unit_series import STATED_SUN, shares_at, unit_commands
from g2g_opt.batch.unsupported import UnsupportedByBatch
from g2g_opt.circuit.clock_banks import RowClock, follows_the_clock
from g2g_opt.circuit.controls import RegControlSettings
from g2g_opt.circuit.opendss_circuit import SETTLED_DT_S
from g2g_opt.compiled.lanes import WIDTH
from g2g_opt.feeder import Feeder
from g2g_opt.grid.attachments import tan_phi
from g2g_opt.grid.opendss import STUDY_TOLERANCE, OpenDSSGrid
from g2g_opt.limits import RatingBasis
from g2g_opt.metrics.power_quality import three_phase_buses
from g2g_opt.metrics.unbalance import negative_sequence_unbalance

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Days run side by side at most, and how many kinds of lanes are kept.
_AT_ONCE, _KEPT_LANES = 256, 16
# Ports of all chains together up to which every lane has all of them.
_PORTS_OF_ALL = 36
# Threads among which days are shared: a third of the work is Python's, which is one thread's at a time.
_THREADS_MAX = 3


class FeederOperation:
    """A feeder whose own controls act, regulators by their own settings or by those that a run gives them.

    `nodes` are the monitored (bus, phase) pairs and `branches` the rated lines and transformers, as in
    `OperatingPoints`, `start` where controls stand as the circuit is compiled, before they settle. Storage of the
    circuit does what it does as compiled unless it `storage_idles`, as in hours one after the other it has to. Raises
    `UnsupportedByBatch` for a circuit or a control that the batch engine does not model.
    """

    def __init__(self, feeder: Feeder, *, rating_basis: RatingBasis = "normal", storage_idles: bool = False) -> None:
        self.feeder = feeder
        setup = OpenDSSGrid(
            feeder=feeder,
            rating_basis=rating_basis,
            dss_controls=True,
            own_sun_share=STATED_SUN if storage_idles else None,
        ).setup
        self.commands = commands = unit_commands([setup])
        self.ratings = setup.ratings()
        self.jacobian = load_jacobian(commands, tuple(feeder.buses.values()), few_moving=True)
        self.network = self.jacobian.network
        self.reading = load_controls(commands, SETTLED_DT_S)
        if self.reading.inverters:
            raise UnsupportedByBatch("inverter controls act, whose state is not carried from hour to hour")
        protection = [*(f"fuse.{one.name}" for one in self.reading.fuses), *(b.device for b in self.reading.breakers)]
        if protection:
            raise UnsupportedByBatch(f"{protection[0]} acts, whose state is not carried on")
        # Days begin at midnight.
        self.clock = RowClock(0) if follows_the_clock(feeder.commands) else None
        self.regulators = tuple(control.name for control in self.reading.regulators)
        self.step_pu = np.array([control.tap_step_pu for control in self.reading.regulators])
        self.place = setup.monitored_nodes(self.network.nodes)
        self.index = {node: i for i, node in enumerate(self.network.nodes)}
        self.nodes = tuple(self.network.nodes[i] for i in self.place)
        self.loadings = Loadings(self.jacobian, self.ratings)
        self.branches = self.loadings.names
        self.losses = NetworkLosses(self.network)
        _, self.three_phase = three_phase_buses(feeder.buses, feeder.exclude_buses, self.network.nodes)
        self.start_taps = dict(self.network.start_taps)
        self.start = OwnControls(self.reading, self.network, SETTLED_DT_S, [self.start_taps]).standings()[0]

    def set_points(self) -> SetPoints:
        """What every regulator holds by the circuit's own settings."""
        return {c.name: SetPoint(c.vreg, c.band, c.r, c.x) for c in self.reading.regulators}

    def unbalance(self, v: Floats) -> Floats:
        """The highest voltage unbalance (share) of any three-phase bus (..), at voltages of their nodes (node, 2, ..).

        0 without such a bus.
        """
        of_bus = np.moveaxis(v[:, 0] + 1j * v[:, 1], 0, -1)
        of_bus = negative_sequence_unbalance(of_bus.reshape(*of_bus.shape[:-1], -1, 3))
        return np.asarray(np.nan_to_num(of_bus).max(axis=-1, initial=0.0))

    def settings_of(self, set_points: SetPoints) -> tuple[RegControlSettings, ...]:
        """The regulators' settings with some of their set-points changed."""
        return tuple(
            replace(control, vreg=p.vreg_v, band=p.band_v, r=p.r_v, x=p.x_v)
            if (p := set_points.get(control.name)) is not None
            else control
            for control in self.reading.regulators
        )

    def run(self, chains: Chains, n_threads: int = 1) -> OperatedSeries:
        """Chains as they go. So many `n_threads` share the days, and change nothing."""
        return _Run(self, chains, n_threads).series()


class _Lanes(threading.local):
    """Lanes laid out by a thread, those of a kind."""

    def __init__(self) -> None:
        self.kept: dict[tuple[int, ...], tuple[BatchPowerFlow, OwnControls, SettledSteps]] = {}


@contextmanager
def _threads(n: int) -> Iterator[Callable[..., Iterable[Any]]]:
    """What applies a function to each of a list, in so many threads at a time; results in the order of the list."""
    if n == 1:
        yield map
        return
    with ThreadPoolExecutor(n) as pool:
        yield pool.map


class _Run:
    """Days of all chains by where they begin, until every chain is known from its beginning to its end."""

    def __init__(self, of: FeederOperation, chains: Chains, n_threads: int) -> None:
        self.n_threads = n_threads = min(n_threads, _THREADS_MAX)
        self.of, self.n_steps, self.reduce = of, chains.steps_a_day, chains.reduce
        self.tells_unbalance, self.runs_once = chains.tells_unbalance, chains.begins is not None
        self.n_chains, self.n_days = chains.n, chains.n_days
        shapes, load_share = of.network.load_shapes, chains.load_share
        by_shape = load_share if isinstance(load_share, Mapping) else dict.fromkeys(shapes, load_share)
        # (place, step): shapes of loads, and behind them units of the circuit.
        of_loads = np.stack([np.asarray(by_shape[shape], dtype=np.float64) for shape in shapes])
        of_units = shares_at(of.commands, of.network, chains.own_units, of_loads.shape[1])
        self.share = np.concatenate([of_loads, of_units])
        self._attach(chains.units, chains.kw)
        self.kinds = [of.settings_of(one) for one in chains.set_points]
        given = chains.begins, chains.guesses
        self.days = ChainDays(self.n_chains, self.n_days, of.start, *given, n_threads, self.alike)
        self.over_max = chains.over_max if self.days.are_in_order else None
        self.over = np.zeros(self.n_chains)
        self.blocks: list[OperatedSeries] = []
        self.rows: Floats | None = None
        self._lanes = _Lanes()

    def _attach(self, units: Sequence[Unit], kw: Floats) -> None:
        """What each chain has attached: the units of all where they are few, so that any lane may run any chain; else
        its own alone, as a flow's work grows with its ports.

        `ports` of each chain, those of the same units the same object; `kw` (place, chain, step) and `va_per_kw`
        (place, chain) of the units in their places.
        """
        of = self.of
        used = [tuple(np.flatnonzero(kw[:, chain].any(axis=1)).tolist()) for chain in range(kw.shape[1])]
        of_all = tuple(sorted({u for which in used for u in which}))
        if 3 * len(of_all) <= _PORTS_OF_ALL:
            used = [of_all] * len(used)
        of_unit = [ports_of(of.feeder, of.index, unit) for unit in units]
        va = 1e3 * (1.0 + 1j * np.array([tan_phi(unit.power_factor) for unit in units])) / 3.0
        by_units = {which: [port for u in which for port in of_unit[u]] for which in dict.fromkeys(used)}
        self.ports = [by_units[which] for which in used]
        self.alike = len(by_units) == 1
        self.port_kinds = PortKinds.of(self.ports, of.jacobian)
        self.kw = np.zeros((max(map(len, used), default=0), *kw.shape[1:]))
        self.va_per_kw = np.zeros(self.kw.shape[:2], dtype=np.complex128)
        for chain, which in enumerate(used):
            self.kw[: len(which), chain] = kw[list(which), chain]
            self.va_per_kw[: len(which), chain] = va[list(which)]

    def series(self) -> OperatedSeries:
        """All chains."""
        a_chunk_each = WIDTH * self.n_threads
        with _threads(self.n_threads) as each:
            while wanted := self.days.unknown():
                # As even a share for every thread as whole chunks of lanes allow.
                size = WIDTH * min(-(-len(wanted) // a_chunk_each), _AT_ONCE // a_chunk_each)
                parts = [wanted[k : k + size] for k in range(0, len(wanted), size)]
                for part, (days, ends) in zip(parts, each(self._run_days, parts), strict=True):
                    for lane, day in enumerate(part):
                        self.days.note(day, KnownDay(ends[lane], len(self.blocks), lane))
                    self.blocks.append(self._with_rows_in_place(part, days) if self.runs_once else days)
                    if self.over_max is not None:
                        self._give_up(part, days, self.over_max)
        begins, where = self.days.on_the_way()
        return gather_days(self.blocks, where, begins, self.rows)

    def _give_up(self, part: Sequence[ChainDay], days: OperatedSeries, over_max: float) -> None:
        """Give up the chains of days that were run whose first row has come to more than that."""
        over = np.where(days.solved & ~days.restless, days.rows[0], 1.0).sum(axis=1)
        for (chain, _, _), of_day in zip(part, over.tolist(), strict=False):
            self.over[chain] += of_day
            if self.over[chain] > over_max:
                self.days.give_up(chain)

    def _with_rows_in_place(self, part: Sequence[ChainDay], days: OperatedSeries) -> OperatedSeries:
        """Days whose rows are put where they will be told: each is run once, and of a year they are too many for two
        copies.
        """
        if self.rows is None:
            self.rows = np.empty((len(days.rows), self.n_chains * self.n_days, self.n_steps))
        self.rows[:, [chain * self.n_days + day for chain, day, _ in part]] = days.rows[:, : len(part)]
        return replace(days, rows=days.rows[:0].copy())

    def _lanes_of(self, wanted: Sequence[ChainDay]) -> tuple[BatchPowerFlow, OwnControls, SettledSteps]:
        """A lane for each day, sixteen by sixteen, those of a turn before where there are as many for the same.

        All begin at the circuit's own solution, so that a day is the same whatever else was run.
        """
        of, n = self.of, len(wanted)
        chains = np.array([chain for chain, _, _ in wanted], dtype=np.int64)
        kind = (n,) if self.alike else tuple(chains.tolist())
        kept = self._lanes.kept
        if kind not in kept:
            # Of all threads together.
            if len(kept) == _KEPT_LANES // self.n_threads:
                del kept[next(iter(kept))]
            controls = OwnControls(of.reading, of.network, SETTLED_DT_S, [of.start_taps] * n, self.kinds, chains)
            flow = BatchPowerFlow(
                of.jacobian,
                [self.ports[chain] for chain in chains],
                [controls.setting(0)] * n,
                tolerance_pu=STUDY_TOLERANCE,
                loadings=of.loadings,
                sensed=(*controls.sensed, *range(of.network.n_nodes)),
                port_kinds=self.port_kinds,
            )
            node_v = flow.sensed_v[len(controls.sensed) :][: of.network.n_nodes]
            unbalanced = of.three_phase.reshape(-1) if self.tells_unbalance else np.zeros(0, dtype=np.int64)
            steps = SettledSteps(flow, controls, of.losses, node_v, self.n_steps, of.place, unbalanced, of.clock)
            kept[kind] = flow, controls, steps
        flow, controls, steps = kept[kind]
        every = np.arange(n)
        controls.take_kinds(chains)
        controls.stand([begin for _, _, begin in wanted])
        controls.move(flow, every)
        flow.reset(every)
        return flow, controls, steps

    def _run_days(self, wanted: Sequence[ChainDay]) -> tuple[OperatedSeries, Sequence[Standing]]:
        """Days, a lane each, and where they end; in any thread."""
        # Lanes beyond the days repeat the last one.
        wanted = [*wanted, *[wanted[-1]] * (-len(wanted) % WIDTH)]
        of, n, n_steps = self.of, len(wanted), self.n_steps
        chain, day = (np.array([one[k] for one in wanted], dtype=np.int64) for k in range(2))
        flow, controls, steps = self._lanes_of(wanted)
        at = n_steps * day[:, None] + np.arange(n_steps)
        lanes = flow.n_chunks, WIDTH, n_steps
        share = self.share[:, at].reshape(-1, *lanes).transpose(3, 1, 0, 2)
        va = np.repeat(self.va_per_kw[:, chain, None] * self.kw[:, chain[:, None], at], 3, axis=0)[: flow.ports.n_ports]
        va = va.reshape(-1, *lanes).transpose(3, 1, 0, 2)
        told = steps.run(share, va)
        if self.reduce is None:
            rows = told.rows.copy()
        else:
            voltage, loading = (part.reshape(len(part), -1) for part in np.split(told.rows, [len(of.place)]))
            rows = self.reduce(voltage, loading).reshape(-1, n_steps, n)
        unbalance = of.unbalance(told.v) if self.tells_unbalance else np.zeros((n_steps, n))
        days = OperatedSeries(
            told.taps_pu.transpose(2, 0, 1).copy(),
            rows.transpose(0, 2, 1),
            told.losses_w.T / 1e3,
            told.solved.T.copy(),
            told.restless.T.copy(),
            unbalance.T,
            begins=[],
        )
        return days, controls.standings()
