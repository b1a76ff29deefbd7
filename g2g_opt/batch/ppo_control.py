"""PPO policies of a batch: one network for all scenarios that follow it, with the rule of `controller/`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from g2g_opt.batch.control import BatchControl, Parts
from g2g_opt.controller.ppo import PPOBatchSizeController, PPOModels, PPOState, columns_seen, observation

Ints = NDArray[np.int64]


class PPOFleets:
    """The models of scenarios as rows of the fleets, and what they show; `slots` are the scenarios."""

    def __init__(self, models: Sequence[PPOModels], slots: Sequence[int], fleet: Ints, parts: Parts) -> None:
        """`models` of each scenario differ in where they begin alone; `fleet` are its sites, (scenario, site)."""
        self.models, self.slots, self.fleet = models[0], np.array(slots, dtype=np.int64), fleet
        self.rows = np.array(
            [
                [
                    parts.fleets.row_of(int(sites[k]), output.model)
                    for k, output in zip(self.models.site, self.models.outputs, strict=True)
                ]
                for sites in fleet
            ],
            dtype=np.int64,
        )
        self.place = np.array([one.start for one in models], dtype=np.int64)
        self.change = np.zeros(self.place.shape)

    def state(self, parts: Parts) -> PPOState:
        """What the models do now."""
        fleets = parts.fleets
        site_power_w = fleets.power_w[self.fleet].sum(axis=2)
        return PPOState(self.place, self.change, fleets.itl_s[self.rows], fleets.replicas[self.rows], site_power_w)

    def act(self, action: Ints, parts: Parts) -> None:
        """Actions (scenario, model) from the next step on."""
        self.place, self.change = self.models.moved(self.place, action)
        parts.fleets.set_batch(self.rows.reshape(-1), self.models.batch(self.place).reshape(-1))


class PPOControl(BatchControl):
    """One PPO policy in the scenarios whose monitored nodes are the same."""

    def __init__(
        self, controllers: Sequence[PPOBatchSizeController], slots: Sequence[int], fleet: Ints, parts: Parts, place: int
    ) -> None:
        """`fleet` are the sites of the scenarios, (scenario, site)."""
        first = controllers[0]
        self.dt_s, self.place, self._rule = first.dt_s, place, first
        monitored = parts.grids.monitored[slots[0]]
        nodes = [parts.grids.network.nodes[k] for k in monitored]
        columns, self._zones = columns_seen(first.policy, nodes, first.grid.feeder.zones)
        self._nodes = monitored[columns]
        self._fleets = PPOFleets([c.models for c in controllers], slots, fleet, parts)

    def step(self, step: int, parts: Parts) -> None:
        rule, fleets = self._rule, self._fleets
        voltage_pu = parts.grids.voltage_pu[self._nodes][:, fleets.slots].T
        shown = observation(
            voltage_pu, fleets.state(parts), fleets.models, rule.policy.observation, self._zones, rule.band_pu
        )
        fleets.act(rule.network.actions(shown), parts)
