"""What a site does by itself while no command reaches it."""

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


class SiteFailSafe:
    """The fail-safe of one site; arrays are by model, in the order of `specs`.

    `band` (pu) is what local droop keeps its bus in; `start` are the batch sizes without control.
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
        self._held: tuple[Ints, Floats] | None = None

    def next_sizes(self, batch: Ints, local_pu: Floats, itl_s: Floats) -> Ints:
        """Batch sizes after one action, from the present ones, the voltages at its bus (pu) and its latencies (s)."""
        match self._rule.rule:
            case "safe":
                return np.array([self._towards_safe(*pair) for pair in zip(batch, self._sizes, strict=True)])
            case "release":
                return self._start.copy()
            case "droop":
                return self._follow(batch, local_pu, itl_s)
            case _:
                return batch.copy()

    def _towards_safe(self, batch: int, sizes: Ints) -> int:
        """The next feasible size on the way to the largest one up to the safe size (the smallest if there is none)."""
        safe = max(int(np.searchsorted(sizes, self._rule.safe_batch_size, side="right")) - 1, 0)
        place = int(np.searchsorted(sizes, batch, side="left"))
        return int(sizes[min(max(place + int(np.sign(safe - place)), 0), len(sizes) - 1)])

    def _follow(self, batch: Ints, local_pu: Floats, itl_s: Floats) -> Ints:
        """Droop; it goes on from its own iterate as long as nobody else has changed the batch sizes."""
        known = self._held is not None and np.array_equal(self._held[0], batch)
        x = self._held[1] if known and self._held is not None else np.log2(batch.astype(float))
        pressure = droop_pressure(local_pu[None, :], self._droop)
        x = droop_update(x[None, :], pressure, itl_s[None, :], self._deadline_s, self._low, self._high, self._droop)[0]
        sizes = self._table.nearest(x[None, :])[0] if pressure[0] != 0.0 else batch.copy()
        self._held = sizes.copy(), x
        return sizes
