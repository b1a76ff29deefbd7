"""Controllers of a batch that move taps, replicas or storage, with the decision rules of `controller/`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from g2g_opt.batch.control import BatchControl, Parts
from g2g_opt.controller.adaptive_tap import AdaptiveTapController, room_to_move, tap_move
from g2g_opt.controller.load_shift import LoadShiftController, SiteView, decide_shifts
from g2g_opt.controller.storage import LocalVoltageStorageDroopController, reduce_voltage, storage_droop
from g2g_opt.controller.tap_schedule import TapScheduleController
from g2g_opt.tap_position import TapPosition

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class TapScheduleControl(BatchControl):
    """Tap positions of many scenarios at given times."""

    def __init__(self, controllers: Sequence[TapScheduleController], slots: Sequence[int], place: int) -> None:
        self.dt_s, self.place = controllers[0].dt_s, place
        self._waiting = [(slot, list(c.schedule)) for slot, c in zip(slots, controllers, strict=True)]

    def step(self, step: int, parts: Parts) -> None:
        now_s = parts.grids.time_s(step)
        for slot, entries in self._waiting:
            while entries and entries[0][0] <= now_s:
                parts.grids.move_taps({slot: entries.pop(0)[1]})


class AdaptiveTapControl(BatchControl):
    """Regulators of many scenarios that follow the voltages, one step of one of them at a time."""

    def __init__(
        self, controllers: Sequence[AdaptiveTapController], slots: Sequence[int], columns: Sequence[Ints], place: int
    ) -> None:
        """`columns[regulator]` are the nodes it looks after."""
        first = controllers[0]
        self.dt_s, self.place = first.dt_s, place
        self._rule, self._slots, self._columns = first, np.array(slots, dtype=np.int64), columns
        self._rested_at_s = np.full((len(slots), len(first.regulators)), -np.inf)

    def step(self, step: int, parts: Parts) -> None:
        regulators, config = self._rule.regulators, self._rule.config
        now_s, grids = parts.grids.time_s(step), parts.grids
        voltage_pu = grids.voltage_pu[:, self._slots]
        ratio = np.array([[grids.taps[slot][r.name] for r in regulators] for slot in self._slots])
        may_raise, may_lower = room_to_move(regulators, ratio, now_s >= self._rested_at_s)
        lowest, highest = np.ones(ratio.shape), np.ones(ratio.shape)
        for k, columns in enumerate(self._columns):
            if len(columns):
                lowest[:, k], highest[:, k] = voltage_pu[columns].min(axis=0), voltage_pu[columns].max(axis=0)
        move = tap_move(lowest, highest, may_raise, may_lower, config)
        positions = {}
        for row, k in zip(*np.nonzero(move), strict=True):
            self._rested_at_s[row, k] = now_s + config.cooldown_s
            regulator = regulators[k]
            new = regulator.clipped(float(ratio[row, k] + move[row, k] * regulator.direction * regulator.tap_step_pu))
            positions[int(self._slots[row])] = TapPosition(regulators={regulator.name: new})
        if positions:
            grids.move_taps(positions)


class LoadShiftControl(BatchControl):
    """Replicas move between the sites of one scenario."""

    def __init__(
        self, controller: LoadShiftController, fleets: Sequence[int], nodes: Sequence[Ints], place: int
    ) -> None:
        """`fleets` are the controller's sites in its order, `nodes` those of their buses."""
        self.dt_s, self.place = controller.dt_s, place
        self._rule, self._fleet, self._nodes = controller, list(fleets), list(nodes)

    def step(self, step: int, parts: Parts) -> None:
        rule, fleets = self._rule, parts.fleets
        if not rule.config.enabled:
            return
        slot = int(fleets.slot[self._fleet[0]])
        free_gpus = fleets.gpus_free_beside_schedule if rule.beside_schedule else fleets.free_gpus
        voltage_pu = [parts.grids.voltage_pu[nodes, slot] for nodes in self._nodes]
        if all(v.min() >= rule.v_min and v.max() <= rule.v_max for v in voltage_pu):
            return
        seen = []
        for fleet, site, v in zip(self._fleet, rule.sites, voltage_pu, strict=True):
            row = {label: fleets.row_of(fleet, label) for label in rule.models[site]}
            limits = rule.at_limit(site, {label: int(fleets.batch[r]) for label, r in row.items()})
            running = {label: int(fleets.replicas[r]) for label, r in row.items()}
            seen.append(SiteView(float(v.min()), float(v.max()), limits, free_gpus(fleet, step), running))
        for shift in decide_shifts(seen, rule.gpus_per_replica, rule.config, rule.v_min, rule.v_max):
            fleets.shift_replicas(self._fleet[shift.source], shift.model_label, -shift.count, step)
            fleets.shift_replicas(self._fleet[shift.target], shift.model_label, shift.count, step)


class StorageControl(BatchControl):
    """Storages of one scenario that follow the voltage at their own bus."""

    def __init__(
        self, controller: LocalVoltageStorageDroopController, slot: int, nodes: Sequence[Ints], place: int
    ) -> None:
        """`nodes` are those of each storage's bus."""
        self.dt_s, self.place = controller.dt_s, place
        self._rule, self._slot, self._nodes = controller, slot, list(nodes)
        self._seen: list[list[float]] = [[] for _ in nodes]

    def observe(self, step: int, parts: Parts) -> None:
        voltage_pu = parts.new_voltage_pu(self._slot)
        if voltage_pu is None:
            return
        for seen, nodes in zip(self._seen, self._nodes, strict=True):
            seen.append(float(voltage_pu[nodes].min()))

    def step(self, step: int, parts: Parts) -> None:
        rule = self._rule
        if not all(self._seen):
            return
        local = np.array([reduce_voltage(np.array(seen), rule.config) for seen in self._seen])
        self._seen = [[] for _ in self._nodes]
        output = storage_droop(local, rule.limit, rule.gain, rule.config)
        for storage, value in zip(rule.storages, output.tolist(), strict=True):
            kw, kvar = (0.0, value) if rule.config.mode == "qv" else (value, 0.0)
            parts.set_storage_power(self._slot, storage, kw, kvar)
