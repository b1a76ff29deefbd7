"""The live controllers of a plan's policy and storage, in the order in which they act."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from fractions import Fraction
from pathlib import Path
from typing import Any

from g2g_opt.controller.adaptive_tap import AdaptiveTapConfig, AdaptiveTapController
from g2g_opt.controller.base import Controller
from g2g_opt.controller.batch_size_schedule import BatchSizeChange, BatchSizeSchedule, BatchSizeScheduleController
from g2g_opt.controller.contextual_batch_size import ContextualBatchSizeController, PolicySite
from g2g_opt.controller.load_shift import LoadShiftConfig, LoadShiftController
from g2g_opt.controller.ofo import LogisticModelStore, OFOBatchSizeController, OFOConfig
from g2g_opt.controller.ppo import PPOBatchSizeController, PPOSite
from g2g_opt.controller.rule_based import RuleBasedBatchSizeController, RuleBasedConfig
from g2g_opt.controller.storage import LocalVoltageStorageDroopController, StorageDroopConfig
from g2g_opt.controller.tap_schedule import TapScheduleController
from g2g_opt.datacenter.offline import OfflineDatacenter
from g2g_opt.errors import InputError, unknown_name
from g2g_opt.feeder import Feeder
from g2g_opt.feeder_policy import FeederPolicy
from g2g_opt.grid.opendss import OpenDSSGrid
from g2g_opt.grid.storage import BatteryStorage
from g2g_opt.hourly_profile import load_profile
from g2g_opt.limits import Limits
from g2g_opt.plan import AdaptiveTaps, Plan, Policy, StorageUnit
from g2g_opt.scenario import Scenario
from g2g_opt.site import Site
from g2g_opt.tap_position import TapPosition, TapSchedule

Controllers = list[Controller[Any, Any]]


@dataclass(frozen=True, eq=False)
class PlacedStorage:
    """A storage unit of a plan as a component at a bus."""

    unit: StorageUnit
    battery: BatteryStorage
    bus: str


def assemble_storage(plan: Plan, feeder: Feeder) -> list[PlacedStorage]:
    """The storage of a plan; a unit without a bus stands at every site, behind its transformer if it has one."""
    found: list[PlacedStorage] = []
    for unit in plan.storage:
        own = [feeder.service_buses.get(site.bus.lower(), site.bus) for site in plan.sites]
        for bus in [unit.bus] if unit.bus else own:
            each_way = math.sqrt(unit.round_trip_efficiency)
            battery = BatteryStorage(
                f"storage_{len(found) + 1}",
                unit.power_kw,
                unit.energy_kwh,
                unit.soc_start,
                charge_efficiency=each_way,
                discharge_efficiency=each_way,
                apparent_power_kva=unit.apparent_power_kva,
            )
            found.append(PlacedStorage(unit, battery, bus))
    return found


def assemble_controllers(
    plan: Plan,
    scenario: Scenario,
    feeder: Feeder,
    limits: Limits,
    grid: OpenDSSGrid,
    datacenters: dict[str, OfflineDatacenter],
    storage: list[PlacedStorage],
    trace_dir: Path,
) -> Controllers:
    """Controllers in the order in which they act: batch sizes, shifts of replicas, storage, taps.

    Raises `InputError` for settings, sites, models, regulators and buses that are not there.
    """
    policy = plan.policy
    band = {
        "v_min": limits.voltage_min_pu + policy.margin_pu,
        "v_max": limits.voltage_max_pu - policy.margin_pu,
    }
    found = _batch_size_controllers(plan, scenario, feeder, band, grid, datacenters, trace_dir)
    if policy.load_shift_gpus is not None:
        found.append(_load_shift(plan, policy.load_shift_gpus, scenario, band, grid, datacenters))
    found += _storage_controllers(storage, scenario, grid)
    if policy.tap_schedule:
        found.append(TapScheduleController(schedule=_tap_schedule(policy, feeder), dt_s=scenario.control_dt_s))
    if policy.adaptive_taps is not None:
        found.append(_adaptive_taps(policy.adaptive_taps, scenario, band, grid))
    return found


def site_at_start(site: Site, policy: Policy) -> Site:
    """The site at the batch sizes that a schedule gives it before the run."""
    before = [cap for t, cap in policy.batch_caps if t < 0]
    return site.capped(before[-1]) if before else site


def policy_sites(plan: Plan, datacenters: dict[str, OfflineDatacenter]) -> tuple[PolicySite, ...]:
    """The sites of a plan as a contextual policy acts on them."""
    return tuple(
        PolicySite(
            datacenters[site.name],
            tuple(d.spec for d in site.deployments),
            {d.spec.model_label: d.batch_size for d in site.deployments},
        )
        for site in plan.sites
    )


def ppo_sites(plan: Plan, datacenters: dict[str, OfflineDatacenter]) -> tuple[PPOSite, ...]:
    """The sites of a plan as a PPO policy acts on them."""
    return tuple(
        PPOSite(*of_policy, {d.spec.model_label: d.n_replicas for d in site.deployments})
        for of_policy, site in zip(policy_sites(plan, datacenters), plan.sites, strict=True)
    )


def day_start_s(scenario: Scenario) -> float:
    """Time of day (s) at which a scenario begins; `InputError` for one that has no profile to say so."""
    if scenario.profile is None:
        raise InputError(f"scenario {scenario.name!r} has no profile, so the time of day is not known; give it one")
    at = load_profile(scenario.profile).hours[scenario.profile_rows[0]]
    return at.hour * 3600.0 + at.minute * 60.0


# Kinds whose tuning the settings of a policy override.
_TUNED = ("droop", "ofo")


def _batch_size_controllers(
    plan: Plan,
    scenario: Scenario,
    feeder: Feeder,
    band: dict[str, float],
    grid: OpenDSSGrid,
    datacenters: dict[str, OfflineDatacenter],
    trace_dir: Path,
) -> Controllers:
    policy = plan.policy
    if policy.settings and policy.kind not in _TUNED:
        names = ", ".join(name for name, _ in policy.settings)
        raise InputError(f"policy {policy.kind!r} has no tuning, got {names}; only {' and '.join(_TUNED)} have some")
    controllers: Controllers = []
    if policy.contextual is not None:
        controllers.append(_contextual(policy.contextual, plan, scenario, grid, datacenters, trace_dir))
    if policy.ppo is not None:
        controllers.append(
            PPOBatchSizeController(
                policy.ppo,
                ppo_sites(plan, datacenters),
                grid,
                band_pu=(band["v_min"], band["v_max"]),
                dt_s=scenario.control_dt_s,
            )
        )
    for site in plan.sites:
        specs = tuple(d.spec for d in site.deployments)
        start = {d.spec.model_label: d.batch_size for d in site.deployments}
        datacenter = datacenters[site.name]
        if policy.kind == "ofo":
            tuning: dict[str, Any] = {**feeder.ofo, **band, **_settings(policy, OFOConfig)}
            tuning["sensitivity_update_interval"] = int(tuning.get("sensitivity_update_interval", 0))
            curves = LogisticModelStore.ensure(trace_dir, specs)
            controllers.append(
                OFOBatchSizeController(
                    specs, datacenter, grid, curves, OFOConfig(**tuning), scenario.control_dt_s, start
                )
            )
        elif policy.kind == "droop":
            settings: dict[str, Any] = {**band, **_settings(policy, RuleBasedConfig)}
            controllers.append(
                RuleBasedBatchSizeController(
                    specs,
                    datacenter=datacenter,
                    grid=grid,
                    config=RuleBasedConfig(**settings),
                    dt_s=scenario.control_dt_s,
                    initial_batch_sizes=start,
                )
            )
        elif policy.kind == "schedule":
            schedules = {
                d.spec.model_label: BatchSizeSchedule(
                    tuple((t, BatchSizeChange(d.capped(cap).batch_size)) for t, cap in policy.batch_caps if t >= 0)
                )
                for d in site.deployments
            }
            controllers.append(
                BatchSizeScheduleController(datacenter=datacenter, schedules=schedules, dt_s=scenario.control_dt_s)
            )
    return controllers


def _settings(policy: Policy, config: type[OFOConfig] | type[RuleBasedConfig]) -> dict[str, float]:
    """The policy's overrides, each a field of its controller's configuration."""
    known = [field.name for field in fields(config)]
    for name, _ in policy.settings:
        if name not in known:
            raise unknown_name("setting", name, known, f"of policy {policy.kind!r}")
    return dict(policy.settings)


def _contextual(
    policy: FeederPolicy,
    plan: Plan,
    scenario: Scenario,
    grid: OpenDSSGrid,
    datacenters: dict[str, OfflineDatacenter],
    trace_dir: Path,
) -> ContextualBatchSizeController:
    needs_hour = any(feature.name.startswith("time_of_day") for feature in policy.features)
    specs = {d.spec.model_label: d.spec for site in plan.sites for d in site.deployments}
    return ContextualBatchSizeController(
        policy,
        policy_sites(plan, datacenters),
        grid,
        LogisticModelStore.ensure(trace_dir, specs.values()),
        dt_s=scenario.control_dt_s,
        day_start_s=day_start_s(scenario) if needs_hour else 0.0,
    )


def _load_shift(
    plan: Plan,
    n_gpus: int,
    scenario: Scenario,
    band: dict[str, float],
    grid: OpenDSSGrid,
    datacenters: dict[str, OfflineDatacenter],
) -> LoadShiftController:
    specs: dict[str, Any] = {}
    for deployment in (d for site in plan.sites for d in site.deployments):
        spec = specs.setdefault(deployment.spec.model_label, deployment.spec)
        if spec != deployment.spec:
            raise InputError(
                f"model {spec.model_label!r} runs in different configurations at different sites, between which its "
                "replicas cannot be shifted"
            )
    return LoadShiftController(
        config=LoadShiftConfig(enabled=True, gpus_per_shift=n_gpus),
        dt_s=scenario.control_dt_s,
        datacenters=[datacenters[site.name] for site in plan.sites],
        grid=grid,
        models_by_dc={
            datacenters[site.name]: tuple(d.spec.model_label for d in site.deployments) for site in plan.sites
        },
        gpus_per_replica_by_model={label: spec.gpus_per_replica for label, spec in specs.items()},
        feasible_batch_sizes_by_model={label: spec.feasible_batch_sizes for label, spec in specs.items()},
        beside_schedule=True,
        **band,
    )


def _storage_controllers(storage: list[PlacedStorage], scenario: Scenario, grid: OpenDSSGrid) -> Controllers:
    """One controller for all units of one droop."""
    by_droop: dict[StorageDroopConfig, dict[Any, str]] = {}
    for placed in storage:
        unit = placed.unit
        config = StorageDroopConfig(
            mode=unit.droop,
            v_ref=unit.voltage_ref_pu,
            deadband_pu=unit.deadband_pu,
            full_output_voltage_error_pu=unit.full_output_error_pu,
        )
        by_droop.setdefault(config, {})[placed.battery] = placed.bus
    return [
        LocalVoltageStorageDroopController(grid=grid, storages=places, config=config, dt_s=scenario.control_dt_s)
        for config, places in by_droop.items()
    ]


def _tap_schedule(policy: Policy, feeder: Feeder) -> TapSchedule:
    """Entries of one time are one position."""
    positions: dict[float, dict[str, float]] = {}
    for time_s, name, ratio in policy.tap_schedule:
        regulator = feeder.regulator(name)
        if not regulator.tap_min_pu <= ratio <= regulator.tap_max_pu:
            raise InputError(
                f"regulator {regulator.name} cannot take {ratio:g} pu at {time_s:g} s; its taps lie between "
                f"{regulator.tap_min_pu:g} and {regulator.tap_max_pu:g}"
            )
        positions.setdefault(time_s, {})[regulator.name] = ratio
    return TapSchedule(tuple((t, TapPosition(regulators=ratios)) for t, ratios in positions.items()))


def _adaptive_taps(
    taps: AdaptiveTaps, scenario: Scenario, band: dict[str, float], grid: OpenDSSGrid
) -> AdaptiveTapController:
    # It acts at whole steps, as near to its own period as that allows.
    period_s = Fraction(scenario.dt_s) * -(-taps.period_s // scenario.dt_s)
    return AdaptiveTapController(
        grid=grid,
        config=AdaptiveTapConfig(cooldown_s=taps.cooldown_s, **band),
        served_buses=dict(taps.served_buses) or None,
        dt_s=period_s,
    )
