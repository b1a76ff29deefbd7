"""Power flows of many operating points of one feeder at once, and their slopes: what planning by the hour needs.

A point is a share of the feeder's own loads, a tap setting, and kW at some buses. Points are independent of each other
and of their order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from g2g_opt.batch.checked_network import load_jacobian
from g2g_opt.batch.loadings import Loadings
from g2g_opt.batch.moving_elements import Setting
from g2g_opt.batch.ports import Port
from g2g_opt.batch.power_flow import BatchPowerFlow
from g2g_opt.batch.unit_series import STATED_SUN, UnitPoints, shares_at, unit_commands
from g2g_opt.compiled.lanes import WIDTH
from g2g_opt.errors import InputError
from g2g_opt.feeder import Feeder
from g2g_opt.grid.attachments import CONSTANT_POWER_WINDOW_PU, connected_pairs, connection_at, tan_phi
from g2g_opt.grid.loading import rated_branches
from g2g_opt.grid.opendss import OpenDSSGrid
from g2g_opt.limits import RatingBasis
from g2g_opt.site import AskedConnection

Floats = NDArray[np.float64]

# Points solved together: enough to share what a flow costs once.
_AT_ONCE = 4096
# Columns of slopes that a flow has attached.
_COLUMNS_TOGETHER = 8


@dataclass(frozen=True)
class Unit:
    """Something balanced over the three phases of a bus, with kvar that follow its kW at a lagging power factor."""

    bus: str
    power_factor: float = 1.0
    connection: AskedConnection = "auto"


@dataclass(frozen=True, eq=False)
class PointSolution:
    """Monitored voltages (row, point) in pu, loadings (branch, point) of normal ratings, and which points converged.

    There are no branches unless loadings were asked for.
    """

    voltage_pu: Floats
    loading_pu: Floats
    solved: NDArray[np.bool_]


def ports_of(feeder: Feeder, index: Mapping[tuple[str, int], int], unit: Unit) -> list[Port]:
    """The three ports of a unit; `index` has the place of every node. `InputError` for a bus without three phases."""
    bus = feeder.bus(unit.bus)
    if bus.phases != (1, 2, 3):
        raise InputError(f"bus {bus.name} has phases {bus.phases}; all three are needed")
    connection = connection_at(bus, unit.connection, f"what is at bus {bus.name}")
    base_v = 1e3 * bus.kv_ln * (np.sqrt(3.0) if connection == "delta" else 1.0)
    return [
        Port(index[bus.name, first], index[bus.name, second] if second else -1, base_v, CONSTANT_POWER_WINDOW_PU)
        for first, second in connected_pairs(bus, connection)
    ]


class OperatingPoints:
    """A feeder at `load_share` of its own loads and `taps` (regulator, ratio in pu) at every point.

    `load_share` has the shape (point,), or is such an array for each load shape that loads follow ("": none). With
    `units` the circuit's own PV systems and generators follow shares of what they state, and its storage idles; without
    they do what they do as compiled.

    `nodes` are the monitored (bus, phase) pairs and `branches` the rated lines and transformers, the rows of every
    answer; branches only with `loadings`, with their normal over their emergency ratings (`emergency_share`). Raises
    `UnsupportedByBatch` for a circuit that the batch engine does not model.
    """

    def __init__(
        self,
        feeder: Feeder,
        load_share: Floats | Mapping[str, Floats],
        taps: Sequence[Mapping[str, float]],
        *,
        loadings: bool = False,
        rating_basis: RatingBasis = "normal",
        tolerance_pu: float = 1e-8,
        units: UnitPoints | None = None,
    ) -> None:
        self._units = units
        self._given, self.feeder, self.n_points = load_share, feeder, len(taps)
        self._loadings, self._rating_basis, self._tolerance_pu = loadings, rating_basis, tolerance_pu
        setup = OpenDSSGrid(
            feeder=feeder, rating_basis=rating_basis, own_sun_share=None if units is None else STATED_SUN
        ).setup
        self._ratings = setup.ratings()
        commands = unit_commands([setup])
        self._jacobian = load_jacobian(commands, tuple(feeder.buses.values()))
        network = self._jacobian.network
        by_shape = load_share if isinstance(load_share, Mapping) else dict.fromkeys(network.load_shapes, load_share)
        # (point, shape)
        of_loads = np.stack([by_shape[shape] for shape in network.load_shapes], axis=1).astype(np.float64)
        self._load_share = np.concatenate([of_loads, shares_at(commands, network, units, len(of_loads)).T], axis=1)
        if len(self._load_share) != self.n_points:
            raise InputError(f"every point needs its taps: {len(self._load_share)} shares and {len(taps)} settings")
        self._index = {node: i for i, node in enumerate(network.nodes)}
        self._rows = setup.monitored_nodes(network.nodes)
        self.nodes = tuple(network.nodes[i] for i in self._rows)
        start = {name: float(network.start_taps[name]) for name in feeder.regulators}
        self.taps = [start | dict(of_point) for of_point in taps]
        # Neighbours with the same taps share factors.
        keys = [tuple(sorted(of_point.items())) for of_point in self.taps]
        rank = {key: k for k, key in enumerate(sorted(set(keys)))}
        self._order = np.argsort([rank[key] for key in keys], kind="stable")
        self._settings = [Setting(keys[k]) for k in self._order]
        rated = rated_branches(network.branches, self._ratings) if loadings else []
        self.branches = tuple(rating.element for _, rating in rated)
        self.emergency_share = np.array([rating.emergency_share for _, rating in rated])

    @cached_property
    def _of_flows(self) -> Loadings:
        # Worked out for the first flow: many points are there for their rows alone.
        return Loadings(self._jacobian, self._ratings)

    def with_taps(self, taps: Sequence[Mapping[str, float]]) -> OperatingPoints:
        """The same points at other taps."""
        return OperatingPoints(
            self.feeder,
            self._given,
            taps,
            loadings=self._loadings,
            rating_basis=self._rating_basis,
            tolerance_pu=self._tolerance_pu,
            units=self._units,
        )

    def solve(self, units: Sequence[Unit], kw: Floats) -> PointSolution:
        """All points, with `kw` (unit, point) drawn by units (three phases; generation negative)."""
        return self.solve_each(units, [kw])[0]

    def solve_each(self, units: Sequence[Unit], cases: Sequence[Floats]) -> list[PointSolution]:
        """`solve` for several `kw`, which share what a flow costs before it is solved."""
        for kw in cases:
            if kw.shape != (len(units), self.n_points):
                raise InputError(f"kw needs the shape ({len(units)}, {self.n_points}), got {kw.shape}")
        ports = [port for unit in units for port in ports_of(self.feeder, self._index, unit)]
        per_kw = 1e3 * (1.0 + 1j * np.array([tan_phi(unit.power_factor) for unit in units])) / 3.0
        found = [
            PointSolution(
                np.empty((len(self.nodes), self.n_points)),
                np.empty((len(self.branches), self.n_points)),
                np.empty(self.n_points, dtype=np.bool_),
            )
            for _ in cases
        ]
        for first in range(0, self.n_points, _AT_ONCE):
            points = self._order[first : first + _AT_ONCE]
            flow = self._flow(ports, points, self._settings[first : first + _AT_ONCE])
            for kw, solution in zip(cases, found, strict=True):
                flow.solve(np.repeat(per_kw[:, None] * kw[:, points], 3, axis=0))
                solution.voltage_pu[:, points] = flow.voltage_pu[self._rows]
                if self._loadings:
                    solution.loading_pu[:, points] = flow.loading_pu
                solution.solved[points] = flow.solved
        return found

    def _flow(self, ports: list[Port], points: NDArray[np.int64], settings: Sequence[Setting]) -> BatchPowerFlow:
        """A flow of some points, ready to be solved."""
        flow = BatchPowerFlow(
            self._jacobian,
            [ports] * len(points),
            settings,
            tolerance_pu=self._tolerance_pu,
            loadings=self._of_flows if self._loadings else False,
        )
        share = self._load_share[points]
        share = np.append(share, np.repeat(share[-1:], flow.n_slots - len(points), axis=0), axis=0)
        flow.load_share[:] = share.reshape(flow.n_chunks, WIDTH, -1).transpose(0, 2, 1).reshape(flow.n_chunks, -1)
        return flow

    def slopes_per_kw(
        self, units: Sequence[Unit], kw: Floats, columns: Sequence[Unit], step_kw: float = 10.0
    ) -> tuple[Floats, Floats]:
        """Change of every voltage (row, column, point) and loading (branch, column, point) per kW more drawn there.

        By central differences around `kw`; NaN where a point did not converge.
        """
        voltage = np.empty((len(self.nodes), len(columns), self.n_points))
        loading = np.empty((len(self.branches), len(columns), self.n_points))
        # A flow with several columns takes little longer to solve than to be laid out for each.
        for first in range(0, len(columns), _COLUMNS_TOGETHER):
            together = columns[first : first + _COLUMNS_TOGETHER]
            moved = [np.append(kw, np.zeros((len(together), self.n_points)), axis=0) for _ in range(2 * len(together))]
            for k in range(len(together)):
                moved[2 * k][len(units) + k], moved[2 * k + 1][len(units) + k] = step_kw, -step_kw
            solved = self.solve_each([*units, *together], moved)
            for k, (up, down) in enumerate(zip(solved[::2], solved[1::2], strict=True), first):
                failed = ~(up.solved & down.solved)
                voltage[:, k] = (up.voltage_pu - down.voltage_pu) / (2.0 * step_kw)
                loading[:, k] = (up.loading_pu - down.loading_pu) / (2.0 * step_kw)
                voltage[:, k, failed] = loading[:, k, failed] = np.nan
        return voltage, loading

    def slopes_per_tap(self, units: Sequence[Unit], kw: Floats, regulators: Sequence[str]) -> tuple[Floats, Floats]:
        """Change of every voltage (row, regulator, point) and loading (branch, regulator, point) per tap step up."""
        voltage = np.empty((len(self.nodes), len(regulators), self.n_points))
        loading = np.empty((len(self.branches), len(regulators), self.n_points))
        for k, name in enumerate(regulators):
            regulator = self.feeder.regulator(name)
            step = regulator.tap_step_pu
            moved = [
                [
                    of_point
                    | {name: min(max(of_point[name] + sign * step, regulator.tap_min_pu), regulator.tap_max_pu)}
                    for of_point in self.taps
                ]
                for sign in (1.0, -1.0)
            ]
            up, down = (self.with_taps(taps).solve(units, kw) for taps in moved)
            width = np.array([(a[name] - b[name]) / step for a, b in zip(*moved, strict=True)])
            voltage[:, k] = (up.voltage_pu - down.voltage_pu) / width
            loading[:, k] = (up.loading_pu - down.loading_pu) / width
        return voltage, loading
