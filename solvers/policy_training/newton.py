"""Contextual training by its structure: records meet only in the policy, generators of a record only in their zone.

A Newton step of the program of `policy_training` falls apart. Generators and shed load have diagonal curvature, so that
a record is a system of its zones' net injections (11 for the New York zones); each record tells the policy one small
matrix K_i (datacenter, datacenter), and the policy's own system is sum_i K_i (x) x_i x_i'. A sparse factorisation does
not see the last point, and pays for every entry of the policy in every record. Systems of zones are dense where zones
are few, and sparse, by angles, where the blocks state the power flow so (`zone_systems`).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from solvers.dispatch.blocks import DatacenterNetwork, DispatchBlocks, DispatchSystem
from solvers.policy_training.policy_step import PolicyStep, PolicyTerms, each_times
from solvers.policy_training.zone_systems import AngleSystems, FactorSystems
from solvers.quadratic.interior_point import InteriorPoint, NewtonSolve, Watch, solve_interior_point
from solvers.quadratic.program import PointWithDuals

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# A column whose bounds leave no interior is held by so much curvature instead of them.
_FIXED, _HELD = 1e-9, 1e10
# How far from the optimum a training stops that others begin at.
_EARLY = 0.1
# How firmly steps of y and of the policy are pulled back: policies that cost the same leave theirs open.
_PULL, _PULL_POLICY = 1e-6, 1e-5


class TrainingNewton:
    """`NewtonProgram` of a training: y (record, generator and shed) above its lower bound, then the policy's two parts.

    `blocks` are of all records, with theta; `base` (datacenter,) are loads without coordination, in the blocks' unit.
    Here lines' flows are those of net injections by transfer factors, also where blocks have angles for columns: then
    angles follow from the optimum. The objective is counted as a sum over records, not as their mean:
    then prices are near one. `watch` hears of every step that it takes.
    """

    def __init__(
        self,
        blocks: DispatchBlocks,
        system: DispatchSystem,
        network: DatacenterNetwork,
        base: Floats,
        terms: PolicyTerms,
        watch: Watch | None = None,
    ) -> None:
        self._watch = watch
        own, n_y, lines = blocks.program, blocks.theta_at, system.lines
        self.dual_size = float(len(terms.x))
        self._blocks, self._lines = blocks, lines
        limited = blocks.limited_lines
        self._terms, self._n_y, self._n_lines = terms, n_y, len(limited)
        self._q, self._n_features = terms.x.shape
        self._n_centers = network.n
        self._factors = system.transfer_factors[limited]
        self._at_zone = np.vstack([system.at_zone, np.eye(system.n_zones)]).T
        self._drawn = network.at_zone(system.n_zones).T
        one_rows = own.rows[self._n_lines : blocks.n_rows, : n_y + network.n].toarray()
        self._row_y = np.vstack([self._factors @ self._at_zone, one_rows[:, :n_y]])
        self._row_theta = np.vstack([-self._factors @ self._drawn, one_rows[:, n_y:]])
        self._systems = (
            AngleSystems(lines, limited, self._q) if blocks.by_angles else FactorSystems(self._factors, self._q)
        )
        by_record = (self._q, -1)
        row_low, row_high = own.row_low.reshape(by_record), own.row_high.reshape(by_record)
        net_load = own.equal_to
        self._injected: Floats | None = None
        if blocks.by_angles:
            # What leaves zones beside what angles drive: phase shifters push it.
            load = own.equal_to.reshape(by_record)[:, : system.n_zones] - lines.incidence.T @ (
                lines.pushed_mw / blocks.power_mw
            )
            flow = blocks.flow_of(lines, -load)[:, limited] - lines.pushed_mw[limited] / blocks.power_mw
            besides = np.pad(flow, ((0, 0), (0, blocks.n_rows - self._n_lines)))
            row_low, row_high, net_load = row_low - besides, row_high - besides, load.sum(axis=1)
            self._injected = -load
        least = own.low.reshape(by_record)[:, :n_y]
        most = own.high.reshape(by_record)[:, :n_y] - least
        fixed = most <= _FIXED
        curved = own.quadratic.diagonal().reshape(by_record)[:, :n_y]
        self._least, self._fixed, self._base = least, fixed, base
        self.curvature = np.append(np.where(fixed, _HELD, curved), self._q * terms.squares)
        self.pull = np.append(np.full(least.size, _PULL), np.full(terms.n_entries, _PULL_POLICY))
        self.cost = np.append(own.cost.reshape(by_record)[:, :n_y] + curved * least, self._q * terms.linear)
        moved = least @ self._row_y.T + self._row_theta @ base
        nothing, endless = np.zeros(terms.n_entries), np.full(terms.n_entries, np.inf)
        theta_low = np.tile(-base, self._q)
        row_low, row_high = row_low - moved, row_high - moved
        self.low = np.concatenate(
            [np.where(fixed, -np.inf, 0.0).ravel(), row_low.ravel(), theta_low, nothing, [-np.inf]]
        )
        self.high = np.concatenate(
            [
                np.where(fixed, np.inf, most).ravel(),
                row_high.ravel(),
                np.full(len(theta_low), np.inf),
                endless,
                [terms.size_max],
            ]
        )
        self.equal_to = np.append(net_load - least.sum(axis=1) + base.sum(), np.zeros(self._n_features))

    @property
    def memory_bytes(self) -> float:
        """About what a Newton step takes: systems of all records, and those of the policy."""
        n = self._n_centers * self._n_features
        return float(self._systems.memory_bytes + 4 * 8 * n**2 + 3 * 8 * self._q * self._row_y.shape[0])

    def early(self) -> InteriorPoint:
        """A point so far from the optimum that trainings with other ties still pass it."""
        return solve_interior_point(self, _EARLY, watch=self._watch)

    def near(self, begin: InteriorPoint, gap: float) -> InteriorPoint:
        """A point nearer to the optimum than `gap`, relative to the objective."""
        return solve_interior_point(self, gap, begin, self._watch)

    def loads(self, point: InteriorPoint) -> Floats:
        """Loads (record, datacenter) of a point, in the blocks' unit."""
        _, parts = self.split(point.x)
        return np.asarray(self._base + self._terms.x @ (parts[0] - parts[1]).T)

    def begin_at(self, point: InteriorPoint, places: Ints) -> InteriorPoint:
        """A point of the same records with other rows: `places` (row,) say which row of its blocks is which of ours.

        -1 stands for a row that it does not have.
        """
        n_before = self._q * self._n_y
        n_after = len(point.row_dual) - n_before - self._q * self._n_centers - self._terms.n_entries - 1
        moved = []
        for values in (point.row_dual[None], point.below, point.above):
            of_rows = values[:, n_before : n_before + n_after].reshape(len(values), self._q, -1)
            missing = np.full((*of_rows.shape[:2], 1), np.nan)
            own = np.concatenate([of_rows, missing], axis=2)[:, :, places].reshape(len(values), -1)
            moved.append(np.hstack([values[:, :n_before], own, values[:, n_before + n_after :]]))
        return InteriorPoint(point.x, point.equal_dual, moved[0][0], point.iterations, moved[1], moved[2])

    def optimum(self, begin: InteriorPoint) -> PointWithDuals:
        """The optimum in the layout of the whole program: columns of records with theta, then the parts."""
        found = solve_interior_point(self, begin=begin, watch=self._watch)
        y, parts = self.split(found.x)
        of_y, of_rows, of_theta, of_parts, of_size = self.split_rows(found.row_dual)
        of_y = np.where(self._fixed, _HELD * y, of_y)
        balance, conserve = np.split(found.equal_dual, [self._q])
        follows = balance[:, None] - of_rows @ self._row_theta - of_theta
        theta = self._base + self._terms.x @ (parts[0] - parts[1]).T
        own, of_own = [self._least + np.where(self._fixed, 0.0, y), theta], [of_y, of_theta]
        if self._injected is not None:
            net = self._injected + own[0] @ self._at_zone.T - theta @ self._drawn.T
            own.append(self._blocks.angles_of(self._lines, net))
            of_own.append(np.zeros(own[-1].shape))
            balance = (balance[:, None] + of_rows[:, : self._n_lines] @ self._factors).ravel()
        x = np.append(np.hstack(own), parts)
        equal_dual = np.concatenate([balance, follows.ravel(), conserve])
        row_dual = np.append(of_rows, of_size)
        bound_dual = np.append(np.hstack(of_own), of_parts)
        return x, equal_dual / self._q, row_dual / self._q, bound_dual / self._q

    def start(self) -> Floats:
        """Nothing generated, a policy that moves nothing."""
        return np.zeros(len(self.curvature))

    def split(self, x: Floats) -> tuple[Floats, Floats]:
        """y above its lower bound (record, generator and shed), and parts (part, datacenter, 1 + feature)."""
        at = len(x) - self._terms.n_entries
        parts = x[at:].reshape(2, self._n_centers, self._n_features)
        return x[:at].reshape(self._q, self._n_y), parts

    def split_rows(self, z: Floats) -> tuple[Floats, Floats, Floats, Floats, float]:
        """Of a figure per row: y's, the blocks' rows', theta's (each by record), parts', and of the policy's size."""
        sizes = [self._q * self._n_y, self._q * len(self._row_y), self._q * self._n_centers, self._terms.n_entries]
        y, rows, theta, parts, size = np.split(z, np.cumsum(sizes))
        shape = (2, self._n_centers, self._n_features)
        by_record = (self._q, -1)
        return (
            y.reshape(by_record),
            rows.reshape(by_record),
            theta.reshape(by_record),
            parts.reshape(shape),
            float(size[0]),
        )

    def equal(self, x: Floats) -> Floats:
        """Balance of every record, then the sums of the policy's columns."""
        y, parts = self.split(x)
        matrix = parts[0] - parts[1]
        return np.append(y.sum(axis=1) - self._terms.x @ matrix.sum(axis=0), matrix.sum(axis=0))

    def equal_adjoint(self, y: Floats) -> Floats:
        """Transpose of `equal`."""
        balance, conserve = y[: self._q], y[self._q :]
        part = np.tile(conserve - balance @ self._terms.x, (self._n_centers, 1))
        return np.concatenate([np.repeat(balance, self._n_y), part.ravel(), -part.ravel()])

    def rows(self, x: Floats) -> Floats:
        """y, the blocks' rows, changes of theta, parts, the policy's size."""
        y, parts = self.split(x)
        theta = self._terms.x @ (parts[0] - parts[1]).T
        rows = y @ self._row_y.T + theta @ self._row_theta.T
        size = float((self._terms.size * parts).sum())
        return np.concatenate([y.ravel(), rows.ravel(), theta.ravel(), parts.ravel(), [size]])

    def rows_adjoint(self, z: Floats) -> Floats:
        """Transpose of `rows`."""
        of_y, of_rows, of_theta, of_parts, of_size = self.split_rows(z)
        matrix = (of_theta + of_rows @ self._row_theta).T @ self._terms.x
        parts = of_parts + of_size * self._terms.size + np.stack([matrix, -matrix])
        return np.append(of_y + of_rows @ self._row_y, parts)

    def newton(self, curvature: Floats, weight: Floats) -> NewtonSolve:
        """Solves a Newton step by zones, then the policy, then back."""
        of_y, of_rows, of_theta, of_parts, of_size = self.split_rows(weight)
        curved_y, curved_parts = self.split(curvature)
        n, lines, x = self._n_lines, of_rows[:, : self._n_lines], self._terms.x
        # Rows besides lines have at most one entry of y: they keep its curvature diagonal.
        rest, rest_y, rest_theta = of_rows[:, n:], self._row_y[n:], self._row_theta[n:]
        soft = 1.0 / (curved_y + of_y + rest @ rest_y**2)
        couple = _summed(rest, rest_y, rest_theta)
        stiff = 1.0 / (soft @ self._at_zone.T)
        zones = self._systems.solver(stiff, lines)
        moved = self._at_zone @ (soft[:, :, None] * couple) + self._drawn
        taken = zones(stiff[:, :, None] * moved, np.zeros((self._q, self._n_centers)))
        k = np.swapaxes(moved, 1, 2) @ taken.price
        k += _summed(rest, rest_theta, rest_theta)
        k -= np.swapaxes(couple, 1, 2) @ (soft[:, :, None] * couple)
        k[:, range(self._n_centers), range(self._n_centers)] += of_theta
        policy = PolicyStep(x, 0.5 * (k + np.swapaxes(k, 1, 2)), curved_parts + of_parts, self._terms.size, of_size)

        def solve(a: Floats, b: Floats) -> tuple[Floats, Floats]:
            a_y, a_parts = self.split(a)
            by_record, conserve = b[: self._q], b[self._q :]
            eased = soft * a_y
            zone = eased @ self._at_zone.T
            # `by_record` counts y less all of theta; the zones' injections are less theta already.
            found = zones((stiff * zone)[:, :, None], by_record[:, None])
            price = found.price[:, :, 0]
            told = each_times(np.swapaxes(couple, 1, 2), eased) - each_times(np.swapaxes(moved, 1, 2), price)
            parts, conserve_price = policy.solve(a_parts, told.T @ x, conserve)
            theta = x @ (parts[0] - parts[1]).T
            # What changes of theta do to zones is known already.
            injected = found.injected[:, :, 0] - each_times(taken.injected, theta)
            price = price - each_times(taken.price, theta)
            balance_price = found.balance_price[:, 0] - (taken.balance_price * theta).sum(axis=1)
            y = eased - soft * (price @ self._at_zone + each_times(couple, theta))
            # A generator within its bounds has hardly any curvature: prices leave its digits open, injections do not.
            open_digits = injected + theta @ self._drawn.T - y @ self._at_zone.T
            y += soft * ((stiff * open_digits) @ self._at_zone)
            return np.append(y, parts), np.append(balance_price, conserve_price)

        return solve


def _summed(weight: Floats, left: Floats, right: Floats) -> Floats:
    """left' diag(weight) right for every record's weight (record, row)."""
    outer = (left[:, :, None] * right[:, None, :]).reshape(len(left), -1)
    return (weight @ outer).reshape(len(weight), left.shape[1], right.shape[1])
