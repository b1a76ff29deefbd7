"""Batch-size controllers of a batch: OFO, droop and schedules, with the update rules of `controller/`."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g2g_opt.batch.control import BatchControl, Parts
from g2g_opt.batch.ofo_kernel import Calls, OFOAct, SeenRows, act
from g2g_opt.batch.unsupported import UnsupportedByBatch
from g2g_opt.compiled.program import DONE, IN_PYTHON, Part
from g2g_opt.compiled.records import pack
from g2g_opt.controller.batch_size_schedule import BatchSizeScheduleController
from g2g_opt.controller.ofo import OFOBatchSizeController, start_state
from g2g_opt.controller.ofo_update import DualsStep, OFORows, OFOStep
from g2g_opt.controller.rule_based import RuleBasedBatchSizeController, droop_exhausted, droop_pressure, droop_update

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class VoltageDuals:
    """Multipliers of the voltage limits (equation 4.1), shared by all OFO controllers of a batch that see the same
    band; those of a scenario stand in the column of its slot.

    They depend on nothing but the voltages, the band, the step size and the period, so each is worked out once.
    """

    def __init__(self, controller: OFOBatchSizeController, rows: Ints, voltage_pu: Floats) -> None:
        """Of the voltages (pu) that stand in an array (node, slot) whenever they are worked out."""
        config = controller.config
        self.now = DualsStep.of(voltage_pu, rows, config.voltage_dual_step_size, config.v_min, config.v_max)
        self.packed = pack(self.now)


class OFOControl(BatchControl):
    """OFO at many sites with one tuning, whatever models they run.

    Where channels stand between (`is_linked`), what it sees is handed to every step; else it reads the batch itself.
    """

    def __init__(
        self,
        controllers: Sequence[OFOBatchSizeController],
        fleet: Ints,
        duals: VoltageDuals,
        parts: Parts,
        place: int,
        is_linked: bool,
    ) -> None:
        self.dt_s, self.place = controllers[0].dt_s, place
        self._config, self._fleet, self._duals, self._is_linked = controllers[0].config, fleet, duals, is_linked
        fleets, grids = parts.fleets, parts.grids
        rows = [fleets.row_of(int(f), label) for f, c in zip(fleet, controllers, strict=True) for label in c.labels]
        self._row = np.array(rows, dtype=np.int64)
        models, n, slot = _join([c.rows for c in controllers]), len(rows), fleets.slot[fleet]
        self._now = OFOStep(
            duals.now,
            slot,
            np.zeros((len(duals.now.rows), 3, len(fleet))),
            np.zeros((3, len(fleet))),
            start_state(np.concatenate([c.start_log2 for c in controllers])),
            models,
            self._config.tuning,
            *(np.zeros((n, 3)), np.zeros(n), np.zeros(n)),
            np.zeros(n, dtype=np.int64),
            np.zeros(n, dtype=np.bool_),
        )
        self._step, self._command = pack(self._now), fleets.command(self._row, self._now.batch)
        self._packed_command = None if is_linked else pack(self._command)
        figures = fleets.servers, fleets.replicas, fleets.itl_s
        self._seen = SeenRows(self._row, *(np.copy(f) for f in figures) if is_linked else figures)
        self._slopes_at = np.full(1, -1)
        self._act = pack(
            OFOAct(
                period=int(Fraction(self.dt_s) / grids.dt_s),
                slopes_every=max(self._config.sensitivity_update_interval, 0),
                slopes_at=self._slopes_at,
                n_acts=np.zeros(1, dtype=np.int64),
                seen=self._seen,
                first=np.searchsorted(models.site, np.arange(len(fleet) + 1)),
                fleet=fleet,
                slot=slot,
                has_failed=grids.has_failed,
                exhausted_steps=fleets.exhausted_steps,
                now=self._now,
                calls=Calls.of(duals.packed, self._step, self._packed_command),
            )
        )

    def part(self, parts: Parts, grid_dt_s: Fraction) -> Part:
        if self._is_linked:
            return super().part(parts, grid_dt_s)
        return Part(lambda step, code: self._attend(step, code, parts), act, self._act)

    def step(self, step: int, parts: Parts) -> None:
        if self._is_linked:
            fleets, voltage_pu = parts.fleets, parts.grids.voltage_pu
            self._duals.now.voltage_pu[:, : voltage_pu.shape[1]] = voltage_pu
            seen = self._seen
            seen.servers[:], seen.replicas[:], seen.itl_s[:] = fleets.servers, fleets.replicas, fleets.itl_s
        self._attend(step, act(self._act.address, step), parts)
        if self._is_linked:
            parts.fleets.set_batch(self._row, self._now.batch)

    def _attend(self, step: int, code: int, parts: Parts) -> None:
        if code == IN_PYTHON:
            perturbation_kw = np.full(len(self._fleet), self._config.sensitivity_perturbation_kw)
            self._now.slopes[:] = parts.grids.slopes(self._fleet, perturbation_kw)[self._duals.now.rows]
            self._slopes_at[0] = step
            code = act(self._act.address, step)
        if code != DONE:
            raise parts.fleets.refusal(self._command)


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
