"""Sites of a batch that nobody reaches: their fail-safes, and what they look at."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from g2g_opt.batch.channel_kernel import Alone
from g2g_opt.batch.fleets import Fleets
from g2g_opt.batch.grids import Grids
from g2g_opt.channel.fail_safe import FailSafes
from g2g_opt.channel.links import Links, local_nodes
from g2g_opt.communication import FailSafe
from g2g_opt.controller.rule_based import RuleBasedConfig
from g2g_opt.datacenter.config import InferenceModelSpec

# Of sites that do nothing by themselves.
_HOLDS, _ANY_BAND = FailSafe(), RuleBasedConfig()


def sites_alone(links: Sequence[Links | None], fleets: Fleets, grids: Grids) -> Alone:
    """What every fleet does by itself; `links` are those of every slot, None without channels."""
    rules: list[FailSafe] = []
    models: list[Sequence[InferenceModelSpec]] = []
    starts: list[Sequence[int]] = []
    bands: list[tuple[float, float]] = []
    nodes: list[list[int]] = []
    at_bus: dict[str, list[int]] = {}
    for slot, own in enumerate(links):
        for place, fleet in enumerate(fleets.of_scenario[slot]):
            rules.append(own.channels.fail_safe if own is not None else _HOLDS)
            if own is None or rules[-1].rule == "hold":
                models.append(())
                starts.append(())
                bands.append((_ANY_BAND.v_min, _ANY_BAND.v_max))
                nodes.append([])
                continue
            models.append(own.models_of(place))
            starts.append(own.start_of(place))
            bands.append(own.band)
            bus = grids.setups[slot].attached.site(fleets.sites[fleet]).bus
            if bus not in at_bus:
                at_bus[bus] = local_nodes(grids.network.nodes, bus)
            nodes.append(at_bus[bus])
    return Alone(
        FailSafes(rules, models, starts, bands).table,
        np.cumsum([0, *map(len, nodes)], dtype=np.int64),
        np.array([node for own_nodes in nodes for node in own_nodes], dtype=np.int64),
        fleets.slot,
        grids.flow.solutions.voltage_pu,
        fleets.itl_s,
        np.zeros(max(map(len, nodes), default=0)),
    )
