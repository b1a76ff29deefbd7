"""Contextual policies of a batch, with the rule and the published context of `controller/`."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from g2g_opt.batch.control import BatchControl, Parts
from g2g_opt.controller.contextual_batch_size import ContextualBatchSizeController

Ints = NDArray[np.int64]


class ContextualControl(BatchControl):
    """A contextual policy at the sites of one scenario."""

    def __init__(
        self, controller: ContextualBatchSizeController, fleets: Mapping[str, int], parts: Parts, place: int
    ) -> None:
        """`fleets` are those of the sites, by name."""
        self.dt_s, self.place = controller.dt_s, place
        self._rule, self._fleets, self._context = controller, dict(fleets), controller.context.anew()
        outputs = controller.policy.outputs
        self._output_rows = np.array([parts.fleets.row_of(fleets[o.site], o.model) for o in outputs], dtype=np.int64)
        self._site_rows = {
            name: np.array(
                [parts.fleets.row_of(fleet, spec.model_label) for spec in self._context.site(name).specs],
                dtype=np.int64,
            )
            for name, fleet in fleets.items()
        }

    def step(self, step: int, parts: Parts) -> None:
        now_s = parts.grids.time_s(step)
        seen = self._context.seen(now_s)

        def figures_of(name: str) -> tuple[float, Ints]:
            power_w: list[float] = parts.fleets.power_w[self._fleets[name]].tolist()
            return sum(power_w), parts.fleets.replicas[self._site_rows[name]]

        self._context.publish(now_s, figures_of)
        if seen is not None:
            parts.fleets.set_batch(self._output_rows, self._rule.decide(seen[None, :])[0])
