"""What sites do by themselves while no command reaches them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from g2g_opt.communication import FailSafe
from g2g_opt.compiled.kernel import kernel
from g2g_opt.controller.batch_sizes import FeasibleTable
from g2g_opt.controller.rule_based import RuleBasedConfig, moved_by, pressure_of
from g2g_opt.datacenter.config import InferenceModelSpec

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class FailSafes:
    """The fail-safes of sites that serve the same models by the same rule; arrays are [site, model], models in the
    order of `specs`.

    `band` (pu) is what local droop keeps a site's bus in; `start` are the batch sizes without control.
    """

    def __init__(
        self, rule: FailSafe, specs: Sequence[InferenceModelSpec], start: Ints, band: tuple[float, float]
    ) -> None:
        self._rule, self._start = rule, start
        self._droop = RuleBasedConfig(v_min=band[0], v_max=band[1])
        self._sizes = [np.array(sorted(spec.feasible_batch_sizes), dtype=np.int64) for spec in specs]
        table = FeasibleTable.of([spec.feasible_batch_sizes for spec in specs])
        low, high = (np.log2([size[k] for size in self._sizes]) for k in (0, -1))
        config = self._droop
        # What a step of local droop asks for besides its sites.
        self._models = table.sizes, table.midpoints, np.array([spec.itl_deadline_s for spec in specs]), low, high
        self._tuning = config.v_min, config.v_max, config.deadband, config.step_size, config.latency_guard
        # What local droop commanded last (-1: nothing yet), and its iterate then.
        self._held, self._x = np.full(start.shape, -1, dtype=np.int64), np.zeros(start.shape)

    def next_sizes(self, sites: Ints, batch: Ints, local_pu: Floats, itl_s: Floats) -> Ints:
        """Batch sizes of some `sites` after one action, from their present ones and latencies (s).

        `local_pu` are the voltages (pu) at their buses, shape (site, bus-phase).
        """
        match self._rule.rule:
            case "safe":
                return np.stack([self._towards_safe(batch[:, m], own) for m, own in enumerate(self._sizes)], axis=1)
            case "release":
                return self._start[sites]
            case "droop":
                sizes = np.empty_like(batch)
                at_sites = sites, batch, local_pu, itl_s, self._held, self._x
                _follow(*at_sites, *self._models, *self._tuning, sizes)
                return sizes
            case _:
                return batch.copy()

    def _towards_safe(self, batch: Ints, sizes: Ints) -> Ints:
        """The next feasible size on the way to the largest one up to the safe size (the smallest if there is none)."""
        safe = max(int(np.searchsorted(sizes, self._rule.safe_batch_size, side="right")) - 1, 0)
        place = np.searchsorted(sizes, batch, side="left")
        return np.asarray(sizes[np.clip(place + np.sign(safe - place), 0, len(sizes) - 1)])


@kernel
def _follow(
    sites: Ints,
    batch: Ints,
    local_pu: Floats,
    itl_s: Floats,
    held: Ints,
    iterate: Floats,
    feasible: Ints,
    midpoints: Floats,
    deadline_s: Floats,
    low: Floats,
    high: Floats,
    v_min: float,
    v_max: float,
    deadband: float,
    step_size: float,
    latency_guard: bool,
    sizes: Ints,
) -> None:
    """Droop; it goes on from its own iterates as long as nobody else has changed a site's batch sizes."""
    for k in range(len(sites)):
        site = sites[k]
        own = True
        for m in range(batch.shape[1]):
            own = own and held[site, m] == batch[k, m]
        pressure = pressure_of(local_pu[k], v_min, v_max, deadband)
        for m in range(batch.shape[1]):
            x = iterate[site, m] if own else np.log2(float(batch[k, m]))
            is_late = latency_guard and itl_s[k, m] > deadline_s[m]
            x = moved_by(x, pressure, is_late, low[m], high[m], step_size)
            sizes[k, m] = batch[k, m]
            if pressure != 0.0:
                place, wanted = 0, np.exp2(x)
                while place < midpoints.shape[1] and wanted > midpoints[m, place]:
                    place += 1
                sizes[k, m] = feasible[m, place]
            held[site, m], iterate[site, m] = sizes[k, m], x
