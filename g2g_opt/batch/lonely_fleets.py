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
        # By group: its rule, and of its members in order the nodes, their slots, and the rows of their models.
        self._rules: list[tuple[FailSafes, Ints, Ints, Ints]] = []
        for k, ((rule, models, band, nodes), members) in enumerate(groups.items()):
            self._group[members], self._place[members] = k, np.arange(len(members))
            start = np.array([starts[fleet] for fleet in members], dtype=np.int64)
            rows = fleets.first_row[members][:, None] + np.arange(len(models))
            at = np.array(nodes, dtype=np.int64)[None, :], fleets.slot[members][:, None]
            self._rules.append((FailSafes(rule, models, start, band), *at, rows))

    def act(self, lonely: Ints) -> None:
        """One action of each of these fleets."""
        fleets, grids = self._fleets, self._grids
        if len(lonely) == 0:
            return
        for k, (rule, nodes, slots, all_rows) in enumerate(self._rules):
            own = lonely if len(self._rules) == 1 else lonely[self._group[lonely] == k]
            if len(own) == 0:
                continue
            places = self._place[own]
            rows = all_rows[places]
            local_pu = grids.voltage_pu[nodes, slots[places]]
            sizes = rule.next_sizes(places, fleets.commanded[rows], local_pu, fleets.itl_s[rows])
            fleets.set_batch(rows.reshape(-1), sizes.reshape(-1))
