"""What sites do by themselves while no command reaches them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from g2g_opt.communication import FailSafe
from g2g_opt.controller.batch_sizes import FeasibleTable
from g2g_opt.controller.rule_based import RuleBasedConfig, droop_pressure, droop_update
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
        self._table = FeasibleTable.of([spec.feasible_batch_sizes for spec in specs])
        self._deadline_s = np.array([spec.itl_deadline_s for spec in specs])
        self._low = np.log2([size[0] for size in self._sizes])
        self._high = np.log2([size[-1] for size in self._sizes])
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
                return self._follow(sites, batch, local_pu, itl_s)
            case _:
                return batch.copy()

    def _towards_safe(self, batch: Ints, sizes: Ints) -> Ints:
        """The next feasible size on the way to the largest one up to the safe size (the smallest if there is none)."""
        safe = max(int(np.searchsorted(sizes, self._rule.safe_batch_size, side="right")) - 1, 0)
        place = np.searchsorted(sizes, batch, side="left")
        return np.asarray(sizes[np.clip(place + np.sign(safe - place), 0, len(sizes) - 1)])

    def _follow(self, sites: Ints, batch: Ints, local_pu: Floats, itl_s: Floats) -> Ints:
        """Droop; it goes on from its own iterates as long as nobody else has changed a site's batch sizes."""
        own = (self._held[sites] == batch).all(axis=1)
        x = np.where(own[:, None], self._x[sites], np.log2(batch))
        pressure = droop_pressure(local_pu, self._droop)
        x = droop_update(x, pressure, itl_s, self._deadline_s, self._low, self._high, self._droop)
        sizes = np.where(pressure[:, None] != 0.0, self._table.nearest(x), batch)
        self._held[sites], self._x[sites] = sizes, x
        return sizes
