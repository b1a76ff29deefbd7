"""The question of a load-profile study, complete enough to rerun, and what it resolves to."""

from __future__ import annotations

from dataclasses import field
from typing import Literal

from g2g_opt.errors import InputError
from g2g_opt.feeder import Feeder
from g2g_opt.hourly_profile import load_profile
from g2g_opt.limits import Limits
from g2g_opt.plan import Plan
from g2g_opt.quantities import BatchSize, Count, KwPerGpu, PowerFactor, PowerMw, Seed
from g2g_opt.scenario import Scenario
from g2g_opt.simulate import Engine
from g2g_opt.site import BASE_KW_PER_GPU, POWER_FACTOR, AskedConnection, sized_site
from studies.load_profile.cells import Cell, list_cells
from studies.shared.question_model import question_model
from studies.shared.workload import Models, check_site_buses, measured_models


@question_model
class LoadProfileQuestion:
    """The question, complete enough to rerun: MW allowed at `buses` by hour and month of `profile`.

    `profile` is a bundled year or a CSV with hour_beginning, load_share and generation_share. Every hour of the year
    has to keep the limits, so `limits` may leave no time outside them. A site serves `models` (names of measured
    models on `gpu`) with evenly shared servers at `batch_size`. `taps`: "own control" (the feeder's regulator controls
    settle in every hour, on OpenDSS), or "study" (fixed at the feeder's constants, on the batch engine). What is
    reported goes through the whole year on OpenDSS, hour after hour. The flexible fleet serves at least
    `limits.throughput_share_min` of its own tokens over the year, and more than the firm one. `power_max_mw` ends the
    search.
    """

    feeder: str = "ieee13"
    exclude_buses: tuple[str, ...] = ()
    buses: tuple[str, ...] = ()
    profile: str = "hudson_valley_2018"
    models: tuple[str, ...] = ("llama-3.1-70b",)
    gpu: str = "H100"
    task: str | None = None
    precision: str | None = None
    gpus_per_replica: Count | None = None
    batch_size: BatchSize = 128
    power_factor: PowerFactor = POWER_FACTOR
    connection: AskedConnection = "auto"
    taps: Literal["own control", "study"] = "own control"
    limits: Limits = field(default_factory=lambda: Limits(violation_time_share_max=0.0))
    base_kw_per_gpu: KwPerGpu = BASE_KW_PER_GPU
    power_max_mw: PowerMw = 60.0
    seed: Seed = 0
    trace_dir: str = "data/specs"

    # --- the question, resolved

    @property
    def engine(self) -> Engine:
        """Regulator controls are OpenDSS's own."""
        return "opendss" if self.taps == "own control" else "batch"

    @property
    def search_end(self) -> str:
        """Why the search of a cell goes no further than its largest size."""
        return f"{self.power_max_mw:g} MW at rated power (power_max_mw): more may fit"

    @property
    def scenario(self) -> Scenario:
        """The first cell's, for what only needs any."""
        return self.cells()[0].scenario(self.profile, self.seed)

    def load_feeder(self) -> Feeder:
        """The feeder named by the question."""
        return Feeder.find(self.feeder).excluding(self.exclude_buses)

    def load_models(self) -> Models:
        """Measured specs with their batch size."""
        return measured_models(self.models, self.gpu, self.task, self.precision, self.gpus_per_replica, self.batch_size)

    def resolve_buses(self, feeder: Feeder) -> tuple[str, ...]:
        """The buses asked for, checked, or the feeder's candidates."""
        return check_site_buses(feeder, tuple(dict.fromkeys(self.buses)))

    def cells(self) -> list[Cell]:
        """Every hour of a month that the profile has."""
        return list_cells(load_profile(self.profile))

    def plan(self, models: Models, bus: str, n_servers: int) -> Plan:
        """So many servers at a bus, at their nominal batch sizes."""
        site = sized_site("site", bus, models, n_servers, self.base_kw_per_gpu, self.power_factor, self.connection)
        return Plan((site,), tap_mode="own control" if self.taps == "own control" else "fixed")

    def check_fields(self) -> None:
        """Raise `InputError` for limits that a year hour by hour cannot have."""
        limits = self.limits
        if limits.violation_time_share_max > 0 or limits.overload_time_share_max > 0 or limits.overload_time_max_s:
            raise InputError("a load profile keeps its limits in every hour: no share or time outside them is allowed")
        if limits.violation_integral_max_pu_s is not None:
            raise InputError("a load profile keeps its limits in every hour: an integral violation has no meaning")
