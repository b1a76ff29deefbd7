"""Plan + scenario -> a Coordinator with live components."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g2g_opt.channel.links import Links
from g2g_opt.circuit.clock_banks import RowClock, follows_the_clock
from g2g_opt.circuit.studied_hour import hour_of
from g2g_opt.clock import HOUR_S
from g2g_opt.controller.base import Controller
from g2g_opt.coordinator import Coordinator
from g2g_opt.data_files import TRACE_DIR, trace_folder
from g2g_opt.datacenter.config import (
    DatacenterConfig,
    InferenceModelSpec,
    PowerAugmentationConfig,
    ReplicaSchedule,
    TrainingRun,
    TrainingSchedule,
)
from g2g_opt.datacenter.offline import OfflineDatacenter, OfflineWorkload
from g2g_opt.datacenter.workloads.inference import InferenceData
from g2g_opt.datacenter.workloads.training import TrainingShape, TrainingTrace
from g2g_opt.errors import InputError, unknown_name
from g2g_opt.feeder import Feeder
from g2g_opt.grid.generator import Generator, HeldGenerator, ShapedGenerator, SyntheticPV
from g2g_opt.grid.load import ExternalLoad, HeldLoad, ShapedLoad, SyntheticLoad
from g2g_opt.grid.opendss import STUDY_TOLERANCE, OpenDSSGrid
from g2g_opt.held_series import HeldSeries, LoadShares, UnitShares
from g2g_opt.hourly_profile import load_profile
from g2g_opt.limits import Limits
from g2g_opt.plan import Plan
from g2g_opt.policy_assembly import assemble_controllers, assemble_storage, site_at_start
from g2g_opt.power_shape import PowerShape
from g2g_opt.scenario import Scenario
from g2g_opt.site import GPUS_PER_SERVER, Site
from g2g_opt.studied_year import own_year_of
from g2g_opt.tap_position import TapPosition

Floats = NDArray[np.float64]


# Makes what stands for a site in a scenario (with the folder of traces): it steps as an `OfflineDatacenter` does and
# keeps such a record; an `OnlineDatacenter` does so for policies of batch sizes and taps.
MakeDatacenter = Callable[[Site, Scenario, Path], Any]


@dataclass(frozen=True)
class Assembly:
    """A run ready to start: the coordinator, and the parts its results are read from."""

    coordinator: Coordinator[Any, Any]
    grid: OpenDSSGrid
    datacenters: dict[str, OfflineDatacenter]

    def controlled_by(self, controllers: Sequence[Controller[Any, Any]]) -> Assembly:
        """The same parts under these controllers in the place of the plan's, for `simulate_assembled`.

        Raises `InputError` for a run whose controllers see through channels: those are built on what arrives there.
        """
        now = self.coordinator
        if now.links is not None:
            raise InputError("a plan with channels builds its controllers on what arrives; give one without channels")
        coordinator: Coordinator[Any, Any] = Coordinator(
            datacenters=now.datacenters,
            grid=self.grid,
            controllers=controllers,
            total_duration_s=now.total_duration_s,
            live=now.clock.live,
            speed=now.clock.speed,
        )
        return replace(self, coordinator=coordinator)


def assemble(
    plan: Plan,
    scenario: Scenario,
    feeder: Feeder,
    limits: Limits,
    *,
    trace_dir: Path = TRACE_DIR,
    tolerance: float = STUDY_TOLERANCE,
    record_loading: bool = True,
    make_datacenter: MakeDatacenter | None = None,
    live_speed: float | None = None,
) -> Assembly:
    """Live components of one plan in one scenario; `InputError` if they do not fit together.

    `make_datacenter` makes what stands for a site; by default it replays measurements. With `live_speed` ticks are
    paced to wall time, so many seconds of the run in one of it.
    """
    check_named_sites(plan.sites, scenario)
    plan = replace(plan, sites=tuple(begun(site, scenario) for site in plan.sites))
    taps = dict(feeder.initial_taps.regulators) if feeder.initial_taps is not None else {}
    taps.update(plan.taps)
    load_share, units = profile_series(scenario, feeder)
    grid = OpenDSSGrid(
        feeder=feeder,
        dt_s=scenario.dt_s,
        dss_controls=plan.tap_mode == "own control",
        initial_tap_position=TapPosition(regulators=taps) if taps else None,
        tolerance=tolerance,
        record_loading=record_loading,
        own_load_share=load_share,
        own_sun_share=units,
        own_clock=row_clock(scenario, feeder),
        rating_basis=limits.rating_basis,
    )
    make = make_datacenter or assemble_datacenter
    datacenters = {site.name: make(site_at_start(site, plan.policy), scenario, trace_dir) for site in plan.sites}
    for site in plan.sites:
        grid.attach_dc(
            datacenters[site.name],
            bus=feeder.service_buses.get(site.bus.lower(), site.bus),
            connection_type=site.connection,
            power_factor=site.power_factor,
            fewer_phases=True,
        )
    for unit in plan.pv:
        if units is None:
            raise InputError(f"PV at bus {unit.bus} follows the sun of a profile; scenario {scenario.name!r} has none")
        most = 1.0 if unit.output_max_kw is None else unit.output_max_kw / unit.size_kw
        grid.attach_generator(HeldGenerator(unit.size_kw / 3.0, units.sun.capped(most)), bus=unit.bus)
        if unit.storage_kw:
            always = HeldSeries((1.0,), float(scenario.duration_s))
            grid.attach_generator(HeldGenerator(unit.storage_kw / 3.0, always), bus=unit.bus)
    generators, loads = standing_units(feeder, scenario, load_share, units)
    for bus, generator in generators:
        grid.attach_generator(generator, bus=bus)
    for bus, load in loads:
        grid.attach_load(load, bus=bus)
    storage = assemble_storage(plan, feeder)
    for placed in storage:
        grid.attach_storage(placed.battery, bus=placed.bus)
    links = _links(plan, scenario, limits, grid, datacenters)
    # Through channels, controllers are built on views that answer what they ask of a grid and of sites.
    shown: tuple[Any, Any] = (grid, datacenters) if links is None else (links.grid, links.sites)
    coordinator = Coordinator(
        datacenters=list(datacenters.values()),
        grid=grid,
        controllers=assemble_controllers(plan, scenario, feeder, limits, *shown, storage, trace_dir),
        total_duration_s=scenario.duration_s,
        live=live_speed is not None,
        speed=live_speed or 1.0,
        links=links,
    )
    return Assembly(coordinator, grid, datacenters)


def _links(
    plan: Plan, scenario: Scenario, limits: Limits, grid: OpenDSSGrid, datacenters: dict[str, OfflineDatacenter]
) -> Links | None:
    """The channels of a plan's policy, if it has any."""
    if plan.policy.channels is None:
        return None
    return Links(
        plan.policy.channels,
        grid,
        list(datacenters.values()),
        seed=scenario.seed,
        scenario=scenario.name,
        band=(limits.voltage_min_pu, limits.voltage_max_pu),
    )


def standing_units(
    feeder: Feeder, scenario: Scenario, load_share: LoadShares | None, units: UnitShares | None
) -> tuple[list[tuple[str, Generator]], list[tuple[str, ExternalLoad]]]:
    """The feeder's standing generators and loads in a scenario with its `profile_series`, each with its bus; none where
    they are switched off.
    """
    if not scenario.standing_power:
        return [], []
    suns = _shapes("generation_shapes", scenario.generation_shapes, len(feeder.standing_generators), scenario.name)
    courses = _shapes("load_shapes", scenario.load_shapes, len(feeder.standing_loads), scenario.name)
    generators = [
        (power.bus, _generator(power.peak_kw_per_phase, i, None if units is None else units.sun, suns[i]))
        for i, power in enumerate(feeder.standing_generators)
    ]
    loads = [
        (power.bus, _load(power.peak_kw_per_phase, i, scenario, load_share, courses[i]))
        for i, power in enumerate(feeder.standing_loads)
    ]
    return generators, loads


def _shapes(what: str, shapes: tuple[PowerShape, ...], n_units: int, scenario: str) -> Sequence[PowerShape | None]:
    """The shape of every standing unit, None where it goes through its demonstration hour."""
    if len(shapes) not in (0, 1, n_units):
        raise InputError(
            f"scenario {scenario!r} has {len(shapes)} {what}; the feeder has {n_units} units of that kind: give one "
            "for each, or one for all"
        )
    return shapes if len(shapes) == n_units else (shapes or (None,)) * n_units


def profile_series(scenario: Scenario, feeder: Feeder) -> tuple[LoadShares | None, UnitShares | None]:
    """Shares of the feeder's own loads, and of what it generates, over the run; None where nothing changes them."""
    own = scenario.own_load_share
    if scenario.profile is None:
        return (LoadShares(HeldSeries((own,), HOUR_S)) if own != 1.0 else None), None
    profile = load_profile(scenario.profile)
    first, count, step = scenario.profile_rows
    rows = range(first, first + count * step, step)
    if rows[-1] >= len(profile.hours):
        raise InputError(
            f"scenario {scenario.name!r} asks for row {rows[-1]} of profile {profile.name}, which has "
            f"{len(profile.hours)} (from 0)"
        )

    def held(shares: Sequence[float] | Floats, level: float = 1.0) -> HeldSeries:
        return HeldSeries(tuple(level * float(shares[k]) for k in rows), HOUR_S)

    sun = held(profile.generation_share)
    if not scenario.own_shapes:
        return LoadShares(held(profile.load_share, own)), UnitShares(sun)
    year = own_year_of(feeder, profile)
    loads = LoadShares(
        held(year.mean_share, own), tuple((shape, held(of_year, own)) for shape, of_year in year.load_share.items())
    )
    return loads, UnitShares(sun, tuple((element, held(of_year)) for element, of_year in year.unit_share.items()))


def row_clock(scenario: Scenario, feeder: Feeder) -> RowClock | None:
    """The hours of the year of the profile's rows; None without a profile, or where no bank follows the clock."""
    if scenario.profile is None or not follows_the_clock(feeder.commands):
        return None
    first, _, step = scenario.profile_rows
    return RowClock(int(hour_of(load_profile(scenario.profile).hours[first])), step)


def _generator(peak_kw: float, i: int, share: HeldSeries | None, shape: PowerShape | None) -> Generator:
    if shape is not None:
        return ShapedGenerator(peak_kw, shape)
    if share is not None:
        return HeldGenerator(peak_kw, share)
    return SyntheticPV(peak_kw, site_idx=i % SyntheticPV.N_SHAPES)


def _load(
    peak_kw: float, i: int, scenario: Scenario, share: LoadShares | None, shape: PowerShape | None
) -> ExternalLoad:
    if shape is not None:
        return ShapedLoad(scenario.own_load_share * peak_kw, shape)
    if scenario.profile is not None and share is not None:
        return HeldLoad(peak_kw, share.of_all)
    return SyntheticLoad(scenario.own_load_share * peak_kw, site_idx=i % SyntheticLoad.N_SHAPES)


def assemble_datacenter(site: Site, scenario: Scenario, trace_dir: Path = TRACE_DIR) -> OfflineDatacenter:
    """The live datacenter of a site under a scenario's demand."""
    specs = tuple(d.spec for d in site.deployments)
    spread = scenario.server_spread
    return OfflineDatacenter(
        DatacenterConfig(gpus_per_server=GPUS_PER_SERVER, base_kw_per_phase=site.base_kw_per_gpu * site.n_gpus / 3.0),
        OfflineWorkload(
            _inference_data(trace_dir, specs, scenario.dt_s),
            {d.spec.model_label: replica_schedule(d.n_replicas, scenario, site.name) for d in site.deployments},
            {d.spec.model_label: d.batch_size for d in site.deployments},
            training_schedule(site, scenario),
        ),
        name=site.name,
        dt_s=scenario.dt_s,
        total_gpu_capacity=GPUS_PER_SERVER * max(site.n_servers + site.spare_servers, 1),
        seed=scenario.seed,
        scenario=scenario.name,
        power_augmentation=PowerAugmentationConfig(
            amplitude_scale_range=(1.0 - spread, 1.0 + spread), noise_fraction=scenario.server_noise
        ),
    )


@lru_cache(maxsize=64)
def _inference_data(trace_dir: Path, specs: tuple[InferenceModelSpec, ...], dt_s: Fraction) -> InferenceData:
    return InferenceData.ensure(trace_folder(trace_dir), specs, dt_s=float(dt_s))


def replica_schedule(n_replicas: int, scenario: Scenario, site: str) -> ReplicaSchedule:
    """Active replicas of a model of so many at a site over a scenario's run: whole ones at every level."""
    shares = scenario.shares_of(site)
    ramps = tuple(
        (math.floor(share * n_replicas), t_start, t_end)
        for t_start, t_end, share in shares.ramps
        if t_start < scenario.duration_s
    )
    return ReplicaSchedule(math.floor(shares.start * n_replicas), ramps)


def begun(site: Site, scenario: Scenario) -> Site:
    """The site at the batch sizes at which its models begin in a scenario; `InputError` for a model it does not run."""
    labels = {d.spec.model_label for d in site.deployments}
    sizes = dict(scenario.shares_of(site.name).batch_sizes)
    for label in sizes:
        if label not in labels:
            raise unknown_name(
                "model", label, labels, f"at site {site.name!r}, which scenario {scenario.name!r} begins"
            )
    deployments = tuple(replace(d, batch_size=sizes.get(d.spec.model_label, d.batch_size)) for d in site.deployments)
    return replace(site, deployments=deployments)


def check_named_sites(sites: Sequence[Site], scenario: Scenario) -> None:
    """Raise `InputError` for a site that is not there, and for training on more GPUs at a time than a site has."""
    names = [site.name for site in sites]
    wanted = [(job.site, "trains at") for job in scenario.training if job.site]
    wanted += [(shares.site, "shapes the replicas of") for shares in scenario.site_shares]
    for name, what in wanted:
        # Without any site it is the feeder as it stands, in the same scenario.
        if names and name not in names:
            raise unknown_name("site", name, names, f"that scenario {scenario.name!r} {what}")
    for site in sites:
        jobs = [job for job in scenario.training if job.site in ("", site.name)]
        # The most run at once when one of them starts.
        for at_s in [job.start_s for job in jobs]:
            at_once = [job for job in jobs if job.start_s <= at_s <= job.end_s]
            n_gpus = sum(job.gpus_of(site.n_gpus) for job in at_once)
            if n_gpus <= site.n_gpus:
                continue
            shares = [job.gpu_share for job in at_once if job.gpu_share is not None]
            if len(shares) == len(at_once):
                raise InputError(
                    f"training on {100.0 * sum(shares):g} % of the GPUs of site {site.name!r} at t={at_s:g} s is more "
                    "than it has; train on less at a time"
                )
            raise InputError(
                f"training on {n_gpus} GPUs at t={at_s:g} s is more than the {site.n_gpus} GPUs of site "
                f"{site.name!r}; train on fewer, or give a share of the site's"
            )


def training_schedule(site: Site, scenario: Scenario) -> TrainingSchedule:
    """The training of a scenario at a site."""
    runs = []
    for job in scenario.training:
        n_gpus = job.gpus_of(site.n_gpus) if job.site in ("", site.name) else 0
        if n_gpus:
            trace = _training_trace(job.trace, job.shape, scenario.seed)
            run = TrainingRun(n_gpus=n_gpus, trace=trace, target_peak_W_per_gpu=job.peak_w_per_gpu)
            runs.append((run, job.start_s, job.end_s))
    return TrainingSchedule(tuple(runs))


@lru_cache(maxsize=64)
def _training_trace(path: str | None, shape: TrainingShape, seed: int) -> TrainingTrace:
    """One object for all sites and runs: they then share what is laid out of it."""
    return TrainingTrace.generate(seed=seed, shape=shape) if path is None else TrainingTrace.load(Path(path))
