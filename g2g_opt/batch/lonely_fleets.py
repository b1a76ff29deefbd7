"""Fleets of a batch that nobody reaches: those with one fail-safe act together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g2g_opt.batch.fleets import Fleets
from g2g_opt.batch.grids import Grids
from g2g_opt.channel.fail_safe import FailSafes
from g2g_opt.channel.links import Links, local_nodes

Ints = NDArray[np.int64]


class LonelyFleets:
    """What every fleet does by itself; `links` are those of every slot, None without channels."""

    def __init__(self, links: Sequence[Links | None], fleets: Fleets, grids: Grids) -> None:
        self._fleets, self._grids = fleets, grids
        groups: dict[Any, list[int]] = {}
        starts: dict[int, list[int]] = {}
        for slot, own in enumerate(links):
            if own is None or own.channels.fail_safe.rule == "hold":
                continue
            for place, fleet in enumerate(fleets.of_scenario[slot]):
                bus = grids.setups[slot].attached.site(fleets.sites[fleet]).bus
                nodes = tuple(local_nodes(grids.network.nodes, bus))
                starts[fleet] = own.start_of(place)
                groups.setdefault((own.channels.fail_safe, own.models_of(place), own.band, nodes), []).append(fleet)
        self._group = np.full(len(fleets.sites), -1)
        self._place = np.zeros(len(fleets.sites), dtype=np.int64)
        self._rules: list[tuple[FailSafes, Ints, int]] = []
        for k, ((rule, models, band, nodes), members) in enumerate(groups.items()):
            self._group[members], self._place[members] = k, np.arange(len(members))
            start = np.array([starts[fleet] for fleet in members], dtype=np.int64)
            self._rules.append((FailSafes(rule, models, start, band), np.array(nodes, dtype=np.int64), len(models)))

    def act(self, lonely: Ints) -> None:
        """One action of each of these fleets."""
        fleets, grids = self._fleets, self._grids
        group = self._group[lonely]
        for k, (rule, nodes, n_models) in enumerate(self._rules):
            own = lonely[group == k]
            if len(own) == 0:
                continue
            rows = fleets.first_row[own][:, None] + np.arange(n_models)
            local_pu = grids.voltage_pu[nodes[None, :], fleets.slot[own][:, None]]
            sizes = rule.next_sizes(self._place[own], fleets.commanded[rows], local_pu, fleets.itl_s[rows])
            fleets.set_batch(rows.reshape(-1), sizes.reshape(-1))
