"""What the sites of a study serve, and the range of sizes that a search for the largest one covers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from g2g_opt.datacenter.config import InferenceModelSpec
from g2g_opt.datacenter.workloads.measurements import measured_spec
from g2g_opt.errors import InputError
from g2g_opt.feeder import Feeder
from g2g_opt.site import GPUS_PER_SERVER, smallest_n_servers
from g2g_opt.unserved_buses import raise_on_unserved
from studies.shared.site_choices import check_phases

Models = tuple[tuple[InferenceModelSpec, int], ...]

# Where a search begins, and how many servers a MW is at the least: an H100 is rated 0.7 kW.
FIRST_SIZE_MW = 2.0
GPU_RATED_KW = 0.7


def measured_models(
    models: Sequence[str],
    gpu: str,
    task: str | None,
    precision: str | None,
    gpus_per_replica: int | None,
    batch_size: int,
) -> Models:
    """Measured specs with their batch size; `InputError` if the batch size is not feasible for one of them."""
    if not models:
        raise InputError("name at least one model (--model); `g2g models` lists what was measured")
    specs = [measured_spec(model, gpu, task, precision, gpus_per_replica) for model in models]
    for spec in specs:
        if batch_size not in spec.feasible_batch_sizes:
            raise InputError(
                f"batch size {batch_size} of {spec.model_label} is not feasible on {gpu}; "
                f"feasible: {list(spec.feasible_batch_sizes)} (--batch-size)"
            )
    return tuple((spec, batch_size) for spec in specs)


def check_site_buses(feeder: Feeder, names: Sequence[str]) -> tuple[str, ...]:
    """The buses named, or the feeder's three-phase candidates; `InputError` for one that is unknown or not served.

    A named bus may have one or two phases, or the two legs of a 120/240 V service.
    """
    buses = tuple(feeder.bus(bus).name for bus in names)
    for bus in buses:
        raise_on_unserved(feeder, bus)
    return buses or check_three_phase(feeder, ())


def check_three_phase(feeder: Feeder, names: Sequence[str]) -> tuple[str, ...]:
    """The buses named, or the feeder's candidates; `InputError` for one that is unknown or lacks a phase."""
    buses = tuple(feeder.bus(bus).name for bus in names) or feeder.candidate_buses
    check_phases(feeder, buses)
    if not buses:
        n = len(feeder.site_buses)
        more = f"; {n} of fewer phases can be named (--bus) in studies other than siting and location" if n else ""
        raise InputError(f"feeder {feeder.name} has no three-phase bus that a site can go to{more}; see `g2g feeder`")
    return buses


@dataclass(frozen=True)
class SizeRange:
    """Servers that a search may try: `smallest` to `largest`, beginning at `first`."""

    smallest: int
    first: int
    largest: int

    @staticmethod
    def of(models: Models, base_kw_per_gpu: float, power_max_mw: float) -> SizeRange:
        """Up to `power_max_mw` at rated power, with the base load that belongs to every GPU."""
        server_kw = GPUS_PER_SERVER * (GPU_RATED_KW + base_kw_per_gpu)
        smallest = smallest_n_servers(models)
        first = max(smallest, round(FIRST_SIZE_MW * 1e3 / server_kw))
        return SizeRange(smallest, first, max(smallest, math.ceil(power_max_mw * 1e3 / server_kw)))
