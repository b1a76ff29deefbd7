"""`StudyCase`: a bundled feeder with sites, PV, loads and tuning that belong together, as published."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from g2g_opt.data_files import data_path
from g2g_opt.datacenter.workloads.measurements import measured_spec
from g2g_opt.errors import unknown_name
from g2g_opt.feeder import Feeder, StandingPower
from g2g_opt.plan import Plan
from g2g_opt.reading import read_json
from g2g_opt.scenario import ReplicaShares
from g2g_opt.site import Deployment, Site
from g2g_opt.tap_position import TapPosition


@dataclass(frozen=True)
class PublishedLibrary:
    """A published scenario library: how many scenarios, mean integral violations (pu s) without coordination and under
    OFO, the share recovered, and shares of scenarios with under-, over- and both violations.
    """

    n: int
    none_pu_s: float
    ofo_pu_s: float
    recovery: float
    under: float
    over: float
    both: float


@dataclass(frozen=True, eq=False)
class StudyCase:
    """A feeder at the taps of the case, with its standing units and OFO tuning, and a plan of its sites.

    `at_start` are shares of the sites' replicas that are active at first. `training_gpu_share` is the range of the
    share of a site's GPUs that train at the same time in its scenarios (empty: none train). `published` are libraries
    by "train" and "test", `published_controllers` (integral violation pu s, Mtokens/s, batch switches, latency misses
    in %) by controller.
    """

    name: str
    about: str
    feeder: Feeder
    plan: Plan
    at_start: tuple[ReplicaShares, ...]
    training_gpu_share: tuple[float, ...]
    published: Mapping[str, PublishedLibrary]
    published_controllers: Mapping[str, tuple[float, float, float, float]]

    @staticmethod
    def known() -> list[str]:
        """Names of the bundled cases."""
        return sorted(file.stem for file in data_path("study_cases").iterdir() if file.suffix == ".json")

    @staticmethod
    def load(name: str) -> StudyCase:
        """A bundled case by name, e.g. "ieee34"; `InputError` lists what is known."""
        if name.lower() not in StudyCase.known():
            raise unknown_name("study case", name, StudyCase.known())
        return _load_case(name.lower())


@lru_cache
def _load_case(name: str) -> StudyCase:
    found: dict[str, Any] = read_json(data_path("study_cases", f"{name}.json"), "study case")
    feeder = replace(
        Feeder.load(found["feeder"]).excluding(found["exclude_buses"]),
        initial_taps=TapPosition(regulators=found["taps"]),
        standing_generators=tuple(StandingPower(**row) for row in found["standing_generators"]),
        standing_loads=tuple(StandingPower(**row) for row in found["standing_loads"]),
        ofo=MappingProxyType(found["ofo"]),
    )
    published = found["published"]
    return StudyCase(
        name=name,
        about=found["about"],
        feeder=feeder,
        plan=Plan(tuple(_site(row) for row in found["sites"])),
        at_start=tuple(ReplicaShares(row["name"], row["share_at_start"]) for row in found["sites"]),
        training_gpu_share=tuple(found["training_gpu_share"]),
        published={split: PublishedLibrary(**published[split]) for split in ("train", "test")},
        published_controllers={kind: tuple(row) for kind, row in published["controllers"].items()},
    )


def _site(row: dict[str, Any]) -> Site:
    deployments = []
    for model in row["models"]:
        spec = measured_spec(
            model["model"],
            "H100",
            model["task"],
            model["precision"],
            model["gpus_per_replica"],
            itl_deadline_s=model["itl_deadline_s"],
        )
        deployments.append(Deployment(spec, model["n_gpus"] // spec.gpus_per_replica, model["batch_size"]))
    n_gpus = sum(d.n_replicas * d.spec.gpus_per_replica for d in deployments)
    return Site(row["name"], row["bus"], tuple(deployments), 3.0 * row["base_kw_per_phase"] / n_gpus)
