"""Fields that questions share, with their flags: what sites serve, where, and how they are connected."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from g2g_opt.feeder import Feeder
from g2g_opt.flag import Flag
from g2g_opt.plan import STORAGE_SYNTAX, StorageUnit
from g2g_opt.quantities import BatchSize, Count, KwPerGpu, PowerFactor, PowerMw, Seed
from g2g_opt.service_transformer import ServiceTransformer
from g2g_opt.site import AskedConnection
from studies.shared.question_model import NounFlags, ReadBy
from studies.shared.site_choices import SYNTAX, SiteChoice, parse_site


def read_sites(texts: Sequence[str], question: Any) -> tuple[SiteChoice, ...]:
    """Sites from a command line; a place may be a zone of the question's feeder."""
    zones = tuple(Feeder.find(question.feeder).zones)
    return tuple(parse_site(text, zones) for text in texts)


SITES = "sites"

FeederName = Annotated[str, Flag("--feeder", "bundled feeder, or path of a .dss master file")]
ExcludedBuses = Annotated[
    tuple[str, ...],
    Flag(
        "--exclude-bus",
        "leave the voltages of this bus out of the limits (said with its customers)",
        metavar="BUS",
        unset="none but those the feeder leaves out itself",
    ),
]
CircuitEdits = Annotated[
    str | None,
    Flag(
        "--edits",
        "changes of elements of your own circuit, a line each in OpenDSS's words: Load.a.kW=5, Disable Capacitor.c",
        metavar="FILE",
        unset="none",
    ),
]
StudiedAt = Annotated[
    str | None,
    Flag(
        "--at",
        "study your own circuit at an hour of its own load shapes, e.g. 2024-07-15T17:00",
        metavar="TIME",
        unset="nominal load",
    ),
]
Buses = Annotated[tuple[str, ...], Flag("--bus", "a bus", group=SITES, unset="all candidates of the feeder")]
PlacedSites = Annotated[
    tuple[SiteChoice, ...],
    Flag(
        "--site",
        f"a site to place, written {SYNTAX}; PLACE: any, a zone, or buses joined by +, e.g. dc=any:llama-3.1-70b:800",
        metavar="SITE",
        group=SITES,
        unset="the sites of the feeder's study.json",
    ),
    ReadBy(read_sites),
]
YearProfile = Annotated[
    str, Flag("--profile", "hourly year of the feeder's own load and sun: a bundled name or a CSV", metavar="NAME|FILE")
]
OwnShapes = Annotated[
    bool,
    Flag(
        "--own-shapes",
        "loads follow the load shapes of your own circuit through the year of the profile, not the profile's load",
    ),
]
TraceFolder = Annotated[str, Flag("--trace-dir", "folder of your own power traces, MODEL/trace.csv (docs/commands.md)")]
StudySeed = Annotated[Seed, Flag("--seed", "study seed, which keys all draws")]

ModelNames = Annotated[
    tuple[str, ...], Flag("--model", "a measured model; several share the servers evenly", group=SITES)
]
GpuName = Annotated[str, Flag("--gpu", "GPU the models run on", group=SITES)]
MeasuredTask = Annotated[
    str | None, Flag("--task", "only measurements of this task, e.g. lm-arena-chat", group=SITES, unset="any")
]
MeasuredPrecision = Annotated[
    str | None, Flag("--precision", "only this precision, e.g. bfloat16 or fp8", group=SITES, unset="any")
]
GpusPerReplica = Annotated[
    Count | None, Flag("--gpus-per-replica", "only replicas of so many GPUs", group=SITES, unset="any")
]
NominalBatchSize = Annotated[BatchSize, Flag("--batch-size", "batch size without control", group=SITES)]
BaseKwPerGpu = Annotated[
    KwPerGpu, Flag("--base-kw-per-gpu", "facility load that does not follow the GPUs", group=SITES)
]
SearchEndMw = Annotated[PowerMw, Flag("--power-max-mw", "rated power of a site at which searches end", group=SITES)]

SitePowerFactor = Annotated[PowerFactor, Flag("--power-factor", "of the sites, lagging", metavar="PF", group=SITES)]
SiteConnection = Annotated[
    AskedConnection,
    Flag(
        "--connection", "of the sites: three loads to neutral, or between phases; auto: as the bus permits", group=SITES
    ),
]
Service = Annotated[ServiceTransformer | None, NounFlags("a transformer between every bus and its site")]
StorageUnits = Annotated[
    tuple[StorageUnit, ...],
    Flag(
        "--storage",
        "storage at a bus, or without one at every site: power, energy, and droop of its reactive power (qv) or power",
        metavar=STORAGE_SYNTAX,
        unset="none",
        read=StorageUnit.parse,
    ),
]
