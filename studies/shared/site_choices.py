"""The sites of a location question: what each serves, how large it is, and where it may stand."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from pydantic import TypeAdapter

from g2g_opt.circuit.script_file.reading import is_own_circuit
from g2g_opt.data_files import data_path
from g2g_opt.datacenter.workloads.measurements import measured_spec
from g2g_opt.errors import InputError, unknown_name
from g2g_opt.feeder import Feeder
from g2g_opt.quantities import BatchSize, Count, GpuCount, PowerKw
from g2g_opt.site import BASE_KW_PER_GPU, POWER_FACTOR, AskedConnection, Deployment, Site
from g2g_opt.unserved_buses import raise_on_unserved
from studies.shared.question_model import question_model

SYNTAX = "NAME=PLACE:MODEL:GPUS[@BATCH][,MODEL:GPUS[@BATCH]...]"
_DEFAULT_BATCH = 128


@question_model
class ServedModel:
    """A measured model on `n_gpus` GPUs at full demand, at `batch_size` without control.

    `gpus_per_replica` chooses between measured configurations where there are several.
    """

    model: str
    n_gpus: GpuCount
    batch_size: BatchSize = _DEFAULT_BATCH
    gpus_per_replica: Count | None = None

    def deployment(self, gpu: str, where: str) -> Deployment:
        """The measured spec with its replicas; `InputError` if the GPUs are no whole number of them."""
        spec = measured_spec(self.model, gpu, gpus_per_replica=self.gpus_per_replica)
        n_replicas, rest = divmod(self.n_gpus, spec.gpus_per_replica)
        if n_replicas < 1 or rest:
            raise InputError(
                f"{where}: {self.n_gpus} GPUs are no whole number of replicas of {spec.model_label}, which takes "
                f"{spec.gpus_per_replica} GPUs each"
            )
        return Deployment(spec, n_replicas, self.batch_size)


@question_model
class SiteChoice:
    """A site that is to be placed: its models, and the buses it may stand at.

    `candidates` names the buses; without them they are the three-phase buses of `zone`; without both, the feeder's
    candidates. `base_kw_per_phase` is facility load that does not follow the GPUs (None: as in the OpenG2G paper, by
    the number of GPUs).
    """

    name: str
    models: tuple[ServedModel, ...]
    zone: str = ""
    candidates: tuple[str, ...] = ()
    base_kw_per_phase: PowerKw | None = None

    def check(self) -> None:
        """Raise `InputError` for what contradicts itself."""
        if not self.name or not self.models:
            raise InputError(f"a site needs a name and at least one model, got {self}")
        if self.zone and self.candidates:
            raise InputError(f"site {self.name!r}: give a zone or candidates, not both")

    @property
    def n_gpus(self) -> int:
        """GPUs of all models."""
        return sum(model.n_gpus for model in self.models)

    def site(
        self, bus: str, gpu: str, power_factor: float = POWER_FACTOR, connection: AskedConnection = "auto"
    ) -> Site:
        """The site at a bus."""
        deployments = tuple(model.deployment(gpu, f"site {self.name!r}") for model in self.models)
        base = BASE_KW_PER_GPU if self.base_kw_per_phase is None else 3.0 * self.base_kw_per_phase / self.n_gpus
        return Site(self.name, bus, deployments, base, power_factor, connection)

    def scaled(self, share: float, gpu: str) -> SiteChoice:
        """About `share` as many GPUs of every model, in whole replicas and at least one; base load in proportion."""
        models = []
        for model in self.models:
            of_replica = model.deployment(gpu, f"site {self.name!r}").spec.gpus_per_replica
            models.append(replace(model, n_gpus=max(1, round(share * model.n_gpus / of_replica)) * of_replica))
        base = None if self.base_kw_per_phase is None else share * self.base_kw_per_phase
        return replace(self, models=tuple(models), base_kw_per_phase=base)

    def candidate_buses(self, feeder: Feeder) -> tuple[str, ...]:
        """Where the site may stand, in the order given; `InputError` for an unknown zone or bus, or too few phases."""
        self.check()
        if self.candidates:
            buses = tuple(dict.fromkeys(feeder.bus(bus).name for bus in self.candidates))
            check_phases(feeder, buses, f"site {self.name!r}: ")
            return buses
        if not self.zone:
            return feeder.candidate_buses
        if self.zone not in feeder.zones:
            raise unknown_name("zone", self.zone, feeder.zones, f"in feeder {feeder.name}")
        buses = tuple(bus for bus in feeder.zones[self.zone] if bus in feeder.candidate_buses)
        if not buses:
            raise InputError(f"site {self.name!r}: zone {self.zone} has no bus that a site can go to")
        return buses


def check_phases(feeder: Feeder, buses: Sequence[str], whose: str = "") -> None:
    """Raise `InputError`, which says `whose` they are, for a bus that no source serves or that lacks a phase."""
    for bus in buses:
        raise_on_unserved(feeder, bus)
        if not feeder.bus(bus).three_phases:
            raise InputError(f"{whose}bus {bus} has phases {feeder.bus(bus).phases}; a site needs all three")


def study_sites(feeder: str) -> tuple[SiteChoice, ...]:
    """The sites that a bundled feeder's studies place by default (`sites` of its study.json); none if it has none."""
    if is_own_circuit(feeder) or feeder.lower() not in Feeder.known():
        return ()
    constants: dict[str, Any] = json.loads(
        data_path("feeders", feeder.lower(), "study.json").read_text(encoding="utf-8")
    )
    return TypeAdapter(tuple[SiteChoice, ...]).validate_python(constants.get("sites", ()))


def chosen_sites(feeder: str, sites: tuple[SiteChoice, ...]) -> tuple[SiteChoice, ...]:
    """The sites asked for, or those of the feeder's studies; `InputError` if there are none or names repeat."""
    found = sites or study_sites(feeder)
    if not found:
        raise InputError(f"feeder {feeder} has no sites of its own; name some (--site)")
    names = [site.name for site in found]
    if len(set(names)) != len(names):
        raise InputError(f"sites need different names, got {names}")
    return found


def parse_site(text: str, zones: Sequence[str]) -> SiteChoice:
    """A site from the command line, as in `SYNTAX`; `InputError` says what cannot be read.

    PLACE is one of `zones`, or buses joined by "+", or "any".
    """
    match = re.fullmatch(r"([^=:]+)=([^:]+):(.+)", text.strip())
    if match is None:
        raise InputError(f"site {text!r} cannot be read; write {SYNTAX}")
    name, place, served = match.groups()
    models = []
    for part in served.split(","):
        found = re.fullmatch(r"([^:@]+):([0-9]{1,12})(?:@([0-9]{1,12}))?", part.strip())
        if found is None:
            raise InputError(f"site {name!r}: {part!r} cannot be read; write MODEL:GPUS or MODEL:GPUS@BATCH")
        try:
            models.append(ServedModel(found[1], int(found[2]), int(found[3] or _DEFAULT_BATCH)))
        except InputError as error:
            raise InputError(f"site {name!r}: {str(error).removeprefix(f'{ServedModel.__name__}: ')}") from error
    where: dict[str, Any] = {"zone": place} if place in zones else {"candidates": tuple(place.split("+"))}
    return SiteChoice(name, tuple(models), **({} if place == "any" else where))
