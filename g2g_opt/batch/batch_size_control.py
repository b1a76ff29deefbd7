"""Batch-size controllers of a batch: OFO, droop and schedules, with the update rules of `controller/`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g2g_opt.batch.control import BatchControl, Parts
from g2g_opt.batch.unsupported import UnsupportedByBatch
from g2g_opt.compiled.records import pack
from g2g_opt.controller.batch_size_schedule import BatchSizeScheduleController
from g2g_opt.controller.ofo import OFOBatchSizeController, start_state
from g2g_opt.controller.ofo_update import OFORows, OFOStep, ofo_step, update_voltage_duals
from g2g_opt.controller.rule_based import RuleBasedBatchSizeController, droop_exhausted, droop_pressure, droop_update

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class VoltageDuals:
    """Multipliers of the voltage limits (equation 4.1), shared by all OFO controllers of a scenario that see the same
    band.

    They depend on nothing but the voltages, the band, the step size and the period, so each is worked out once.
    """

    def __init__(self, slots: Sequence[int], controller: OFOBatchSizeController, rows: Ints) -> None:
        self.column = {slot: c for c, slot in enumerate(slots)}
        self._slots = np.array(slots, dtype=np.int64)
        self._config, self.rows = controller.config, rows
        self.low, self.high = np.zeros((len(rows), len(slots))), np.zeros((len(rows), len(slots)))
        self.outside = np.zeros(len(slots), dtype=np.bool_)
        self._done = -1

    def update(self, step: int, voltage_pu: Floats) -> None:
        """The step of equation 4.1 for grid step `step`; a second call for the same step changes nothing."""
        if step == self._done:
            return
        self._done = step
        seen = np.ascontiguousarray(
            voltage_pu if len(self._slots) == voltage_pu.shape[1] else voltage_pu[:, self._slots]
        )
        config = self._config
        self.outside = update_voltage_duals(
            self.low, self.high, seen, self.rows, config.voltage_dual_step_size, config.v_min, config.v_max
        )


class OFOControl(BatchControl):
    """OFO at many sites with one tuning, whatever models they run."""

    def __init__(
        self, controllers: Sequence[OFOBatchSizeController], fleet: Ints, duals: VoltageDuals, parts: Parts, place: int
    ) -> None:
        self.dt_s, self.place = controllers[0].dt_s, place
        self._config, self._fleet, self._duals = controllers[0].config, fleet, duals
        fleets = parts.fleets
        rows = [fleets.row_of(int(f), label) for f, c in zip(fleet, controllers, strict=True) for label in c.labels]
        self._row = np.array(rows, dtype=np.int64)
        self._is_all = np.array_equal(self._row, np.arange(fleets.n_rows))
        self._slot = fleets.slot[fleet]
        column = np.array([duals.column[int(slot)] for slot in self._slot], dtype=np.int64)
        models, n = _join([c.rows for c in controllers]), len(rows)
        self._first = np.searchsorted(models.site, np.arange(len(fleet)))
        self._now = OFOStep(
            duals.low,
            duals.high,
            column,
            np.zeros((len(duals.rows), 3, len(fleet))),
            np.zeros((3, len(fleet))),
            start_state(np.concatenate([c.start_log2 for c in controllers])),
            models,
            self._config.tuning,
            *(np.zeros((n, 3)), np.zeros(n), np.zeros(n)),
            np.zeros(n, dtype=np.int64),
            np.zeros(n, dtype=np.bool_),
        )
        self._packed = pack(self._now)
        self._steps = 0

    def step(self, step: int, parts: Parts) -> None:
        fleets, grids, config, now = parts.fleets, parts.grids, self._config, self._now
        self._duals.update(step, grids.voltage_pu)
        interval = config.sensitivity_update_interval
        if self._steps == 0 or (interval > 0 and self._steps % interval == 0):
            perturbation_kw = np.full(len(self._fleet), config.sensitivity_perturbation_kw)
            now.slopes[:] = grids.slopes(self._fleet, perturbation_kw)[self._duals.rows]
        self._steps += 1
        row = slice(None) if self._is_all else self._row
        now.servers[:], now.replicas[:] = fleets.servers[row], fleets.replicas[row]
        now.itl_s[:] = fleets.itl_s[row]
        ofo_step(self._packed.words)
        fleets.set_batch(self._row, now.batch)
        if self._duals.outside.any():
            exhausted = self._duals.outside[now.column] & np.logical_and.reduceat(now.at_best, self._first)
            if exhausted.any():
                fleets.count_exhausted(self._fleet[exhausted & ~grids.has_failed[self._slot]])


def _join(parts: Sequence[OFORows]) -> OFORows:
    """The rows of many sites as one table, sites numbered in their order."""
    width = max(rows.sizes.shape[1] for rows in parts)

    def padded(table: NDArray[Any], to: int, mode: str) -> NDArray[Any]:
        missing = ((0, 0), (0, to - table.shape[1]))
        return np.pad(table, missing, mode="edge") if mode == "edge" else np.pad(table, missing, constant_values=np.inf)

    # One place more than intervals, also where no curve has any.
    n_places = max(2, *(rows.knots.shape[2] for rows in parts))

    def with_places(table: Floats, to: int) -> Floats:
        missing = [(0, 0), (0, 0), (0, max(0, to - table.shape[2])), *[(0, 0)] * (table.ndim - 3)]
        return np.pad(table, missing)

    return OFORows(
        site=np.repeat(np.arange(len(parts)), [len(rows.site) for rows in parts]),
        base=np.concatenate([rows.base for rows in parts], axis=1),
        amplitude=np.concatenate([rows.amplitude for rows in parts], axis=1),
        midpoint=np.concatenate([rows.midpoint for rows in parts], axis=1),
        steepness=np.concatenate([rows.steepness for rows in parts], axis=1),
        n_knots=np.concatenate([rows.n_knots for rows in parts], axis=1),
        knots=np.concatenate([with_places(rows.knots, n_places) for rows in parts], axis=1),
        coefficients=np.concatenate([with_places(rows.coefficients, n_places - 1) for rows in parts], axis=1),
        by_value=np.concatenate([rows.by_value for rows in parts]),
        throughput_max=np.concatenate([rows.throughput_max for rows in parts]),
        deadline_s=np.concatenate([rows.deadline_s for rows in parts]),
        log2_low=np.concatenate([rows.log2_low for rows in parts]),
        log2_high=np.concatenate([rows.log2_high for rows in parts]),
        sizes=np.concatenate([padded(rows.sizes, width, "edge") for rows in parts]),
        midpoints=np.concatenate([padded(rows.midpoints, width - 1, "inf") for rows in parts]),
    )


class DroopControl(BatchControl):
    """Droop at sites with the same models and tuning that look at the same bus-phases."""

    def __init__(
        self,
        controllers: Sequence[RuleBasedBatchSizeController],
        fleet: Ints,
        node_rows: Ints,
        parts: Parts,
        place: int,
    ) -> None:
        first = controllers[0]
        self.dt_s, self.place = first.dt_s, place
        self._rule, self._node_rows = first, node_rows
        fleets = parts.fleets
        self._rows = np.array([[fleets.row_of(int(f), label) for label in first.labels] for f in fleet], dtype=np.int64)
        self._fleet, self._slot = fleet, fleets.slot[fleet]
        self._x = np.concatenate([c.start_log2 for c in controllers])

    def step(self, step: int, parts: Parts) -> None:
        rule = self._rule
        pressure = droop_pressure(parts.grids.voltage_pu[self._node_rows][:, self._slot].T, rule.config)
        acting = np.flatnonzero(pressure)
        if len(acting) == 0:
            return
        rows = self._rows[acting]
        held = rule.table.nearest(self._x[acting]), pressure[acting], parts.fleets.itl_s[rows], rule.deadline_s
        exhausted = droop_exhausted(*held, rule.table.sizes, rule.config)
        parts.fleets.count_exhausted(self._fleet[acting[exhausted]])
        self._x[acting] = droop_update(
            self._x[acting],
            pressure[acting],
            parts.fleets.itl_s[rows],
            rule.deadline_s,
            rule.log2_low,
            rule.log2_high,
            rule.config,
        )
        parts.fleets.set_batch(rows.reshape(-1), rule.table.nearest(self._x[acting]).reshape(-1))


class BatchScheduleControl(BatchControl):
    """One site's batch sizes at given times."""

    def __init__(self, controller: BatchSizeScheduleController, fleet: int, place: int) -> None:
        self.dt_s, self.place = controller.dt_s, place
        self._fleet = fleet
        if any(change.ramp_up_rate > 0 for schedule in controller.schedules.values() for _, change in schedule):
            raise UnsupportedByBatch("a batch-size schedule has ramps, and replayed sites change batch sizes at once")
        changes = [
            (time_s, label, change.batch_size)
            for label, schedule in controller.schedules.items()
            for time_s, change in schedule
        ]
        # Of two changes of a model at one time, the later entry counts.
        self._waiting = sorted(changes, key=lambda change: change[0])

    def step(self, step: int, parts: Parts) -> None:
        now_s = parts.grids.time_s(step)
        while self._waiting and self._waiting[0][0] <= now_s:
            _, label, size = self._waiting.pop(0)
            parts.fleets.set_batch(np.array([parts.fleets.row_of(self._fleet, label)]), np.array([size]))
