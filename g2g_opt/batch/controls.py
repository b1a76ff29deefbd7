"""Turns the controllers of many runs into those of a batch, those with one rule together."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g2g_opt.batch.batch_size_control import BatchScheduleControl, DroopControl, OFOControl, VoltageDuals
from g2g_opt.batch.contextual_control import ContextualControl
from g2g_opt.batch.control import BatchControl, Parts, Sight
from g2g_opt.batch.other_control import AdaptiveTapControl, LoadShiftControl, StorageControl, TapScheduleControl
from g2g_opt.batch.ppo_control import PPOControl
from g2g_opt.batch.unsupported import UnsupportedByBatch
from g2g_opt.channel.views import physical
from g2g_opt.controller.adaptive_tap import AdaptiveTapController
from g2g_opt.controller.base import Controller
from g2g_opt.controller.batch_size_schedule import BatchSizeScheduleController
from g2g_opt.controller.contextual_batch_size import ContextualBatchSizeController
from g2g_opt.controller.load_shift import LoadShiftController
from g2g_opt.controller.noop import NoopController
from g2g_opt.controller.ofo import OFOBatchSizeController
from g2g_opt.controller.ppo import PPOBatchSizeController
from g2g_opt.controller.rule_based import RuleBasedBatchSizeController
from g2g_opt.controller.storage import LocalVoltageStorageDroopController
from g2g_opt.controller.tap_schedule import TapScheduleController
from g2g_opt.datacenter.base import DatacenterBackend
from g2g_opt.errors import unknown_name

Ints = NDArray[np.int64]
Placed = tuple[int, Controller[Any, Any]]  # scenario slot, controller

KNOWN = (
    NoopController,
    OFOBatchSizeController,
    RuleBasedBatchSizeController,
    BatchSizeScheduleController,
    ContextualBatchSizeController,
    PPOBatchSizeController,
    TapScheduleController,
    AdaptiveTapController,
    LoadShiftController,
    LocalVoltageStorageDroopController,
)


def check_known(controller: Controller[Any, Any]) -> None:
    """`UnsupportedByBatch` for a controller of one's own: only these very classes are known by their rules."""
    if type(controller) not in KNOWN:
        raise UnsupportedByBatch(f"controller {type(controller).__name__} is not known to the batch engine")


def build_controls(
    controllers: Sequence[Sequence[Controller[Any, Any]]], parts: Parts, sight: Sight | None = None
) -> list[BatchControl]:
    """Controllers of all scenarios (`controllers[slot]`, in their order of acting), grouped by place and rule.

    `sight` is what they see and command where channels stand between them and the batch.
    """
    grouped: dict[tuple[Any, ...], list[Placed]] = {}
    for slot, row in enumerate(controllers):
        place = 0
        for before, controller in zip([None, *row], row, strict=False):
            check_known(controller)
            # Neighbours of one kind act on different sites and do not see each other's commands.
            place += before is not None and type(before) is not type(controller)
            if not isinstance(controller, NoopController):
                grouped.setdefault(_rule(place, slot, controller, parts), []).append((slot, controller))
    builder = _Builder(parts, sight or Sight.of(parts.fleets, parts.grids))
    controls = [builder.build(place, members) for (place, *_), members in grouped.items()]
    # Within one scenario controllers act in the order of its list.
    return sorted(controls, key=lambda control: control.place)


def _rule(place: int, slot: int, controller: Controller[Any, Any], parts: Parts) -> tuple[Any, ...]:
    """Equal for controllers that one `BatchControl` can stand for."""
    key: tuple[Hashable, ...] = (place, type(controller), controller.dt_s)
    monitored = parts.grids.monitored[slot].tobytes()
    match controller:
        case OFOBatchSizeController():
            return (*key, controller.config, monitored)
        case RuleBasedBatchSizeController():
            return (
                *key,
                tuple(controller.labels),
                id_of_rule(controller),
                controller.config,
                _seen(slot, controller, parts).tobytes(),
            )
        case PPOBatchSizeController():
            return (*key, id(controller.policy), controller.band_pu, monitored)
        case AdaptiveTapController():
            columns = tuple(c.tobytes() for c in _served(slot, controller, parts))
            return (*key, controller.config, columns)
        case TapScheduleController():
            return key
        case _:
            return (*key, slot, id(controller))


def id_of_rule(controller: RuleBasedBatchSizeController) -> Hashable:
    """What droop knows of its models, as one value."""
    arrays = (controller.table.sizes, controller.log2_low, controller.log2_high, controller.deadline_s)
    return tuple((a.shape, a.tobytes()) for a in arrays)


def _nodes_where(slot: int, parts: Parts, wanted: Callable[[str, int], bool]) -> Ints:
    """Monitored nodes of a scenario that are wanted, in the order of its voltage vector."""
    nodes = parts.grids.network.nodes
    return np.array([i for i in parts.grids.monitored[slot] if wanted(*nodes[i])], dtype=np.int64)


def _seen(slot: int, controller: RuleBasedBatchSizeController, parts: Parts) -> Ints:
    return _nodes_where(slot, parts, lambda bus, _: controller.sees(bus))


def _served(slot: int, controller: AdaptiveTapController, parts: Parts) -> list[Ints]:
    def of(regulator: Any) -> Ints:
        return _nodes_where(slot, parts, lambda bus, phase: controller.serves(regulator, bus, phase))

    return [of(regulator) for regulator in controller.regulators]


class _Builder:
    """Makes batch controllers; OFO groups of the same band share their multipliers."""

    def __init__(self, parts: Parts, sight: Sight) -> None:
        self._parts, self._sight = parts, sight
        self._duals: dict[tuple[Hashable, ...], VoltageDuals] = {}

    def build(self, place: int, members: Sequence[Placed]) -> BatchControl:
        """One control for controllers with one rule."""
        parts = self._parts
        slots = [slot for slot, _ in members]
        slot, first = members[0]
        match first:
            case OFOBatchSizeController():
                same: list[OFOBatchSizeController] = [c for _, c in members if isinstance(c, OFOBatchSizeController)]
                fleet = self._fleets(members)
                return OFOControl(same, fleet, self._shared_duals(slots, first), parts, place, self._sight)
            case RuleBasedBatchSizeController():
                droops = [c for _, c in members if isinstance(c, RuleBasedBatchSizeController)]
                return DroopControl(droops, self._fleets(members), _seen(slot, first, parts), parts, place, self._sight)
            case AdaptiveTapController():
                taps = [c for _, c in members if isinstance(c, AdaptiveTapController)]
                return AdaptiveTapControl(taps, slots, _served(slot, first, parts), place)
            case TapScheduleController():
                schedules = [c for _, c in members if isinstance(c, TapScheduleController)]
                return TapScheduleControl(schedules, slots, place)
            case BatchSizeScheduleController():
                return BatchScheduleControl(first, self._fleet_of(slot, first.datacenter), place)
            case ContextualBatchSizeController():
                sites = [first.context.site(name).datacenter for name in first.context.site_names]
                by_name = {site.name: self._fleet_of(slot, site) for site in sites}
                return ContextualControl(first, by_name, parts, place)
            case PPOBatchSizeController():
                followers = [c for _, c in members if isinstance(c, PPOBatchSizeController)]
                rows = [[self._fleet_of(s, d) for d in c.sites] for s, c in zip(slots, followers, strict=True)]
                return PPOControl(followers, slots, np.array(rows, dtype=np.int64), parts, place)
            case LoadShiftController():
                fleets = [self._fleet_of(slot, site) for site in first.sites]
                buses = [parts.grids.setups[slot].attached.site(physical(site)).bus for site in first.sites]
                return LoadShiftControl(first, fleets, [self._at_bus(bus) for bus in buses], place)
            case LocalVoltageStorageDroopController():
                return StorageControl(first, slot, [self._at_bus(bus) for bus in first.buses], place)
            case _:
                raise UnsupportedByBatch(f"controller {type(first).__name__} is not known to the batch engine")

    def _fleet_of(self, slot: int, site: DatacenterBackend[Any]) -> int:
        fleets, site = self._parts.fleets, physical(site)
        for fleet in fleets.of_scenario[slot]:
            if fleets.sites[fleet] is site:
                return fleet
        raise unknown_name(
            "datacenter", site.name, [fleets.sites[f].name for f in fleets.of_scenario[slot]], "in this run"
        )

    def _fleets(self, members: Sequence[Placed]) -> Ints:
        return np.array([self._fleet_of(slot, c.datacenter) for slot, c in members], dtype=np.int64)  # type: ignore[attr-defined]

    def _at_bus(self, bus: str) -> Ints:
        nodes = self._parts.grids.network.nodes
        return np.array([i for i, (name, phase) in enumerate(nodes) if name == bus and 1 <= phase <= 3], dtype=np.int64)

    def _shared_duals(self, slots: Sequence[int], controller: OFOBatchSizeController) -> VoltageDuals:
        config, rows = controller.config, self._parts.grids.monitored[slots[0]]
        key = (controller.dt_s, config.voltage_dual_step_size, config.v_min, config.v_max, rows.tobytes())
        if key not in self._duals:
            self._duals[key] = VoltageDuals(controller, rows, self._sight.voltage_pu)
        return self._duals[key]
