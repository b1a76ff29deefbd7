"""Batch-size controllers of a batch: OFO, droop and schedules, with the update rules of `controller/`."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g2g_opt.batch.control import BatchControl, Parts, Sight
from g2g_opt.batch.droop_kernel import DroopAct, act_on_droop
from g2g_opt.batch.ofo_kernel import Calls, OFOAct, SeenRows, act
from g2g_opt.batch.unsupported import UnsupportedByBatch
from g2g_opt.compiled.lanes import aligned
from g2g_opt.compiled.program import DONE, IN_PYTHON, Part, entry_of
from g2g_opt.compiled.records import pack
from g2g_opt.controller.batch_size_schedule import BatchSizeScheduleController
from g2g_opt.controller.ofo import OFOBatchSizeController, start_state
from g2g_opt.controller.ofo_update import DualsStep, OFORows, OFOStep
from g2g_opt.controller.rule_based import RuleBasedBatchSizeController

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
    """OFO at many sites with one tuning, whatever models they run."""

    def __init__(
        self,
        controllers: Sequence[OFOBatchSizeController],
        fleet: Ints,
        duals: VoltageDuals,
        parts: Parts,
        place: int,
        sight: Sight,
    ) -> None:
        self.dt_s, self.place = controllers[0].dt_s, place
        self._config, self._fleet, self._duals = controllers[0].config, fleet, duals
        fleets, grids = parts.fleets, parts.grids
        rows = [fleets.row_of(int(f), label) for f, c in zip(fleet, controllers, strict=True) for label in c.labels]
        row = np.array(rows, dtype=np.int64)
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
        self._step = pack(self._now)
        command, self._packed_command, self._command = sight.command(row, self._now.batch, np.array([n]))
        self._slopes_at = np.full(1, -1)
        self._act = pack(
            OFOAct(
                period=int(Fraction(self.dt_s) / grids.dt_s),
                slopes_every=max(self._config.sensitivity_update_interval, 0),
                slopes_at=self._slopes_at,
                n_acts=np.zeros(1, dtype=np.int64),
                seen=SeenRows(row, sight.servers, *sight.server_strides, sight.replicas, sight.itl_s),
                first=np.searchsorted(models.site, np.arange(len(fleet) + 1)),
                fleet=fleet,
                slot=slot,
                has_failed=grids.has_failed,
                exhausted_steps=fleets.exhausted_steps,
                now=self._now,
                calls=Calls.of(duals.packed, self._step, command, self._packed_command),
            )
        )

    def part(self, parts: Parts, grid_dt_s: Fraction) -> Part:
        return Part(lambda step, code: self._attend(step, code, parts), act, self._act)

    def step(self, step: int, parts: Parts) -> None:
        self._attend(step, act(self._act.address, step), parts)

    def _attend(self, step: int, code: int, parts: Parts) -> None:
        if code == IN_PYTHON:
            perturbation_kw = np.full(len(self._fleet), self._config.sensitivity_perturbation_kw)
            self._now.slopes[:] = parts.grids.slopes(self._fleet, perturbation_kw)[self._duals.now.rows]
            self._slopes_at[0] = step
            code = act(self._act.address, step)
        if code != DONE and self._command is not None:
            raise parts.fleets.refusal(self._command)


def _join(parts: Sequence[OFORows]) -> OFORows:
    """The rows of many sites as one table, sites numbered in their order."""
    width = max(rows.sizes.shape[1] for rows in parts)

    def padded(table: NDArray[Any], to: int, mode: str) -> NDArray[Any]:
        if table.shape[1] == to:
            return table
        missing = ((0, 0), (0, to - table.shape[1]))
        return np.pad(table, missing, mode="edge") if mode == "edge" else np.pad(table, missing, constant_values=np.inf)

    # One place more than intervals, also where no curve has any.
    n_places = max(2, *(rows.knots.shape[2] for rows in parts))

    def with_places(table: Floats, to: int) -> Floats:
        if table.shape[2] >= to:
            return table
        missing = [(0, 0), (0, 0), (0, to - table.shape[2]), *[(0, 0)] * (table.ndim - 3)]
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
        sight: Sight,
    ) -> None:
        first = controllers[0]
        self.dt_s, self.place = first.dt_s, place
        fleets, config, table = parts.fleets, first.config, first.table
        rows = np.array([[fleets.row_of(int(f), label) for label in first.labels] for f in fleet], dtype=np.int64)
        changed, wanted, n = (np.zeros(size, dtype=np.int64) for size in (rows.size, rows.size, 1))
        command, self._packed_command, self._command = sight.command(changed, wanted, n)
        n_slots = sight.voltage_pu.shape[1]
        self._act = pack(
            DroopAct(
                period=int(Fraction(self.dt_s) / parts.grids.dt_s),
                voltage_pu=sight.voltage_pu,
                node=node_rows,
                v_min=config.v_min,
                v_max=config.v_max,
                deadband=config.deadband,
                step_size=config.step_size,
                guards=int(config.latency_guard),
                slot=fleets.slot[fleet],
                fleet=fleet,
                rows=rows,
                x=np.concatenate([c.start_log2 for c in controllers]),
                itl_s=sight.itl_s,
                deadline_s=first.deadline_s,
                low=first.log2_low,
                high=first.log2_high,
                sizes=table.sizes,
                midpoints=table.midpoints,
                exhausted_steps=fleets.exhausted_steps,
                under=aligned(n_slots),
                over=aligned(n_slots),
                n=n,
                changed=changed,
                wanted=wanted,
                command=entry_of(command),
                of_command=self._packed_command.address,
            )
        )

    def part(self, parts: Parts, grid_dt_s: Fraction) -> Part:
        return Part(lambda step, code: self._attend(code, parts), act_on_droop, self._act)

    def step(self, step: int, parts: Parts) -> None:
        self._attend(act_on_droop(self._act.address, step), parts)

    def _attend(self, code: int, parts: Parts) -> None:
        if code != DONE and self._command is not None:
            raise parts.fleets.refusal(self._command)


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
