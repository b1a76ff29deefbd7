"""Batch sizes of every step by somebody who knows the scenario: the yardstick of the policies.

At each step every combination of sizes is tried in the linear voltage model around a run that has been simulated, with
the power and the tokens that the fleet has in this very scenario; the least integral violation is taken, and of those
the most tokens. The run with these sizes is the point of the next round, and what it showed replaces what the model
said of them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise, product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from g2g_opt.assembly import assemble_datacenter
from g2g_opt.controller.batch_size_schedule import BatchSizeChange, BatchSizeSchedule
from g2g_opt.errors import InputError
from g2g_opt.plan import Plan
from g2g_opt.scenario import Scenario
from g2g_opt.site import Site
from studies.feeder_policy.records import OutputFigures, Records

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

COMBINATIONS_MAX = 512
# Violations (pu, summed over bus-phases) nearer than this are equal: below what power flows here resolve.
_EQUAL_PU = 2e-6
# It aims this far (pu) inside the band: otherwise it would trade violations that are equal so, but count as time.
AIM_PU = 1e-4
_BLOCK_STEPS = 64


@dataclass(frozen=True, eq=False)
class FleetBySize:
    """What an output does in a scenario at each of its sizes: `power_kw` (size, step, phase) up to a constant by step,
    and `tokens_per_s` (size, step).
    """

    power_kw: Floats
    tokens_per_s: Floats


def replay_sizes(plan: Plan, scenario: Scenario, figures: OutputFigures, trace_dir: Path) -> list[FleetBySize]:
    """By output. All draws are keyed by the step, so that the fleet left at a size shows what it draws in a run that
    comes to that size, and models add up.
    """
    n_steps = int(scenario.duration_s / scenario.dt_s)
    sites = {site.name: site for site in plan.sites}
    found = []
    for output in figures.outputs:
        power_kw, tokens = [], []
        for size in output.batch_sizes:
            datacenter = assemble_datacenter(_at(sites[output.site], output.model, size), scenario, trace_dir)
            datacenter.advance_block(0.0, n_steps)
            record = datacenter.record
            column = record.labels.index(output.model)
            itl_s = record.itl_s[:, column]
            power_kw.append(record.power_w / 1e3)
            tokens.append(np.where(itl_s > 0.0, record.replicas[:, column] * size / itl_s, 0.0))
        found.append(FleetBySize(np.array(power_kw), np.array(tokens)))
    return found


def _at(site: Site, model: str, size: int) -> Site:
    """The site with one model at another batch size."""
    deployments = tuple(replace(d, batch_size=size) if d.spec.model_label == model else d for d in site.deployments)
    return replace(site, deployments=deployments)


class Clairvoyant:
    """Chooses sizes and learns from their simulation. `InputError` for more than `COMBINATIONS_MAX` combinations."""

    def __init__(self, figures: OutputFigures, fleets: list[FleetBySize], band_pu: tuple[float, float]) -> None:
        counts = [len(output.batch_sizes) for output in figures.outputs]
        if int(np.prod(counts)) > COMBINATIONS_MAX:
            raise InputError(
                f"{int(np.prod(counts))} combinations of batch sizes; the clairvoyant tries at most {COMBINATIONS_MAX}"
            )
        self._fleets, self._band_pu = fleets, band_pu
        self._combos = np.array(list(product(*(range(n) for n in counts))), dtype=np.int64)
        # Place of a combination in the list.
        self._strides = np.array([int(np.prod(counts[k + 1 :])) for k in range(len(counts))])
        n_steps = fleets[0].tokens_per_s.shape[1]
        self._simulated_pu = np.full((n_steps, len(self._combos)), np.nan)
        by_output = [fleet.tokens_per_s[self._combos[:, k]].T for k, fleet in enumerate(fleets)]
        self._tokens: Floats = np.sum(by_output, axis=0)

    def best(self, voltage_pu: Floats, held: Ints, records: Records, time_s: Floats) -> Ints:
        """Place among its sizes of every output, shape (step, output).

        `voltage_pu` (step, bus-phase) was simulated with the sizes in the places `held` (step, output); slopes come
        from the newest of that run's records.
        """
        steps = np.arange(len(time_s))
        self._simulated_pu[steps, held @ self._strides] = self._violation_pu(voltage_pu)
        newest = np.clip(np.searchsorted(records.time_s, time_s + 1e-9) - 1, 0, None)
        best = np.empty(held.shape, dtype=np.int64)
        for first in range(0, len(time_s), _BLOCK_STEPS):
            block = slice(first, first + _BLOCK_STEPS)
            volts = np.repeat(voltage_pu[block][:, None, :], len(self._combos), axis=1)
            for k, fleet in enumerate(self._fleets):
                power_kw = fleet.power_kw[:, block].transpose(1, 0, 2)
                move_kw = power_kw - power_kw[np.arange(len(power_kw)), held[block, k]][:, None, :]
                moved_pu = np.einsum("tmp,tjp->tjm", records.slope_pu_per_kw[newest[block], :, k], move_kw)
                volts += moved_pu[:, self._combos[:, k]]
            known = self._simulated_pu[block]
            violation_pu = np.where(np.isnan(known), self._violation_pu(volts), known)
            fits = violation_pu <= violation_pu.min(axis=1, keepdims=True) + _EQUAL_PU
            best[block] = self._combos[np.where(fits, self._tokens[block], -1.0).argmax(axis=1)]
        return best

    def _violation_pu(self, voltage_pu: Floats) -> Floats:
        low, high = self._band_pu
        found: Floats = (np.maximum(low - voltage_pu, 0.0) + np.maximum(voltage_pu - high, 0.0)).sum(axis=-1)
        return found


def schedules_of(places: Ints, time_s: Floats, figures: OutputFigures) -> dict[str, dict[str, BatchSizeSchedule]]:
    """Schedules by site and model that put the sizes in `places` (step, output) in force at their steps.

    A command at one step is in force from the next; the first step cannot be reached.
    """
    found: dict[str, dict[str, BatchSizeSchedule]] = {}
    for k, output in enumerate(figures.outputs):
        changes = [(float(time_s[0]), output.batch_sizes[places[1, k]])] if len(places) > 1 else []
        for step, (before, now) in enumerate(pairwise(places[1:, k].tolist()), start=1):
            if before != now:
                changes.append((float(time_s[step]), output.batch_sizes[now]))
        entries = tuple((at_s, BatchSizeChange(size)) for at_s, size in changes)
        found.setdefault(output.site, {})[output.model] = BatchSizeSchedule(entries)
    return found
