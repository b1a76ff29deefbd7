"""What questions on a feeder share: fields with their flags, and what they resolve to. A study adds its own.

`FeederQuestion` is any question on a feeder, `SiteQuestion` one with sites on it, `HourQuestion` one whose sites are
run through an hour, `ServedQuestion` one whose sites serve given models, `SizeQuestion` one that looks for the largest
of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from g2g_opt.errors import InputError
from g2g_opt.feeder import Feeder
from g2g_opt.flag import Flag
from g2g_opt.limits import Limits
from g2g_opt.plan import Plan, Policy, StorageUnit, TapMode
from g2g_opt.scenario import Scenario
from g2g_opt.service_transformer import with_services
from g2g_opt.site import BASE_KW_PER_GPU, POWER_FACTOR, Site, sized_site, smallest_n_servers
from g2g_opt.studied_year import through_own_year
from studies.shared.input_files import feeder_files
from studies.shared.question_fields import (
    BaseKwPerGpu,
    Buses,
    CircuitEdits,
    ExcludedBuses,
    FeederName,
    GpuName,
    GpusPerReplica,
    MeasuredPrecision,
    MeasuredTask,
    ModelNames,
    NominalBatchSize,
    SearchEndMw,
    Service,
    SiteConnection,
    SitePowerFactor,
    StudiedAt,
    TraceFolder,
)
from studies.shared.question_model import NounFlags, question_model
from studies.shared.workload import Models, check_site_buses, measured_models


@question_model
class FeederQuestion:
    """A feeder with its edits and limits, and where traces lie."""

    feeder: FeederName = "ieee13"
    exclude_buses: ExcludedBuses = ()
    edits: CircuitEdits = None
    gpu: GpuName = "H100"
    power_factor: SitePowerFactor = POWER_FACTOR
    limits: Annotated[Limits, NounFlags("limits")] = field(default_factory=Limits)
    trace_dir: TraceFolder = "data/specs"

    if TYPE_CHECKING:  # a field of some questions, and worked out by others

        @property
        def scenario(self) -> Scenario:
            """What is run, or the first of it."""

    @property
    def hour(self) -> str | None:
        """The hour of its own shapes that the circuit is studied at; None: at nominal load."""
        return None

    def load_feeder(self) -> Feeder:
        """The feeder named by the question."""
        feeder = Feeder.find(self.feeder, self.edits, self.hour).excluding(self.exclude_buses)
        return through_own_year(feeder, self.scenario)

    def input_files(self) -> Mapping[str, Path]:
        """Circuit, bundled data, the user's traces and hourly profile."""
        return feeder_files(self.feeder, self.trace_dir, self.scenario.profile, self.scenario.training)


@question_model
class SiteQuestion(FeederQuestion):
    """Sites on a feeder, and how they are connected to it."""

    connection: SiteConnection = "auto"
    service: Service = None

    def resolve_buses(self, feeder: Feeder) -> Sequence[str]:
        """Every bus where a site may stand."""
        raise NotImplementedError

    def load_feeder(self, buses: Sequence[str] | None = None) -> Feeder:
        """The feeder named by the question, with the sites' own transformers at `buses` (None: wherever one may be)."""
        feeder = super().load_feeder()
        if self.service is None:
            return feeder
        return with_services(feeder, self.resolve_buses(feeder) if buses is None else buses, self.service)


@question_model
class HourQuestion(SiteQuestion):
    """Sites that are run through an hour in closed loop."""

    at: StudiedAt = None
    taps: Annotated[
        Literal["optimised", "study", "own control"],
        Flag(
            "--taps",
            "regulator taps: moved by the circuit's own controls in the loop, settled with the first draw before "
            "time is counted; fixed at the feeder's constants (study); or optimised with foresight: one setting per "
            "size or placement, chosen knowing the hour",
        ),
    ] = "own control"
    scenario: Annotated[Scenario, NounFlags("the run")] = field(default_factory=Scenario)

    @property
    def hour(self) -> str | None:
        """An hour of the circuit's own shapes, for a scenario without hours of its own; `InputError` with a profile."""
        if self.at is not None and self.scenario.profile is not None:
            raise InputError(
                f"at {self.at} the circuit's own shapes say what it draws, and so does the profile "
                f"{self.scenario.profile}; leave out one of them"
            )
        return self.at

    @property
    def tap_mode(self) -> TapMode:
        """Who moves the taps while a plan is run."""
        return "own control" if self.taps == "own control" else "fixed"

    @property
    def seed(self) -> int:
        """The study seed; every draw is keyed by it."""
        return self.scenario.seed


@question_model
class ServedQuestion(SiteQuestion):
    """Sites of measured models, which `task`, `precision` and `gpus_per_replica` choose where there are several."""

    models: ModelNames = ("llama-3.1-70b",)
    task: MeasuredTask = None
    precision: MeasuredPrecision = None
    gpus_per_replica: GpusPerReplica = None
    batch_size: NominalBatchSize = 128
    base_kw_per_gpu: BaseKwPerGpu = BASE_KW_PER_GPU

    def load_models(self, names: tuple[str, ...] = ()) -> Models:
        """Measured specs with their batch size, of the question's models or of others.

        Raises `InputError` if the batch size is not feasible for one of them.
        """
        asked = names or self.models
        return measured_models(asked, self.gpu, self.task, self.precision, self.gpus_per_replica, self.batch_size)

    def site(self, name: str, bus: str, models: Models, n_servers: int) -> Site:
        """So many servers at a bus, at their nominal batch sizes."""
        return sized_site(name, bus, models, n_servers, self.base_kw_per_gpu, self.power_factor, self.connection)

    def try_smallest_sites(self, policy: Policy, storage: tuple[StorageUnit, ...] = ()) -> None:
        """Start a run with a smallest site at every bus; raises what stands in the way before workers meet it."""
        # Takes a second to import, which flags need not wait for.
        from g2g_opt.assembly import assemble

        feeder, models = self.load_feeder(), self.load_models()
        n_servers, trace_dir = smallest_n_servers(models), Path(self.trace_dir)
        for bus in self.resolve_buses(feeder):
            plan = Plan((self.site("site", bus, models, n_servers),), policy=policy, storage=storage)
            assemble(plan, self.scenario, feeder, self.limits, trace_dir=trace_dir).grid.start()


@question_model
class SizeQuestion(ServedQuestion):
    """How large a site may be: at `buses`, searched up to `power_max_mw` at rated power."""

    buses: Buses = ()
    power_max_mw: SearchEndMw = 60.0

    def resolve_buses(self, feeder: Feeder) -> tuple[str, ...]:
        """The buses asked for, checked, or the feeder's candidates."""
        return check_site_buses(feeder, tuple(dict.fromkeys(self.buses)))
