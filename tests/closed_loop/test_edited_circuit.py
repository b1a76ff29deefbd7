"""The published 13-bus feeder, changed by the studies' edits, hosts what the bundled one hosts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from bus_capacity import find_bus_capacity

from g2g_opt.data_files import data_path
from g2g_opt.limits import Limits
from g2g_opt.scenario import Scenario
from studies.hosting_capacity.study import HostingCapacityStudy

PUBLISHED = Path(__file__).resolve().parent.parent / "circuits" / "ieee13_published.dss"
# The bundled feeder's studies have units of their own at 675 and 680, which no edit of an element brings.
SHORT = Scenario("short", 60, replica_share_start=1.0, replica_ramps=(), standing_power=False)
BUNDLED = HostingCapacityStudy(
    feeder="ieee13", buses=("671",), operations=("firm",), scenario=SHORT, taps="optimised", ladder=False
)
EDITED = replace(
    BUNDLED,
    feeder=str(PUBLISHED),
    edits=str(data_path("edits", "ieee13_from_published.dss")),
    exclude_buses=("650", "rg60"),
)


@pytest.mark.parametrize(
    ("limits", "deciding"),
    [
        (Limits(rapid_voltage_change_trip_max_pu=None), "transformer.sub.C"),
        (
            Limits(
                loading_max_pu=None,
                rapid_voltage_change_max_pu=None,
                rapid_voltage_change_trip_max_pu=None,
                unbalance_negative_sequence_max=None,
                unbalance_nema_max=None,
            ),
            "",
        ),
    ],
    ids=["ratings judged", "voltages alone"],
)
def test_the_edited_published_feeder_gives_the_bundled_answer(limits: Limits, deciding: str) -> None:
    ours = find_bus_capacity(replace(EDITED, limits=limits), "671")[0]
    bundled = find_bus_capacity(replace(BUNDLED, limits=limits), "671")[0]
    assert ours.largest is not None
    assert bundled.largest is not None
    assert ours.largest.n_servers == bundled.largest.n_servers
    assert ours.largest.summary.sites == bundled.largest.summary.sites
    assert ours.stopped_by.name == bundled.stopped_by.name
    assert ours.stopped_by.place().startswith(deciding)
    # As published it hosts a fraction: other loads, and the head of the feeder above the band.
    published = find_bus_capacity(replace(EDITED, limits=limits, edits=None, exclude_buses=()), "671")[0]
    assert published.largest is None or published.largest.n_servers < 0.8 * bundled.largest.n_servers
