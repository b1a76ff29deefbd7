"""Sites on public circuits of the distribution test cases, where a checkout has them beside it; none of them is ours.

Every answer is confirmed by plain OpenDSS: as large as the answer's peak, a constant site keeps the limit that binds;
3 % larger it does not.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from plain_opendss import LINE_TO_LINE, Pair, solve

from g2g_opt.feeder import Feeder
from g2g_opt.limits import Limits
from g2g_opt.scenario import Scenario
from studies.hosting_capacity.capacity import Aim
from studies.hosting_capacity.study import HostingCapacityStudy
from studies.hosting_capacity.work import search_aims

CIRCUITS = Path(__file__).resolve().parents[3] / "shared" / "circuits"
SHORT = Scenario("short", 240, replica_share_start=1.0, replica_ramps=((120.0, 180.0, 0.5),), server_noise=0.0)

pytestmark = pytest.mark.skipif(not CIRCUITS.is_dir(), reason="the public circuits do not lie beside this checkout")


@pytest.mark.parametrize(
    ("master", "bus", "low_pu", "three_wire"),
    [
        ("37Bus/ieee37.dss", "701", 0.88, True),
        ("37Bus/ieee37.dss", "741", 0.88, True),
        ("37Bus/ieee37.dss", "775", 0.88, True),
        ("LVTestCaseNorthAmerican/Master.dss", "s1", 0.95, False),
    ],
)
def test_a_site_on_a_public_circuit_is_as_large_as_plain_openDSS_permits(
    master: str, bus: str, low_pu: float, three_wire: bool
) -> None:
    """At 0.95 pu the 37-bus feeder hosts nothing: 799, ahead of its regulators, stands at 0.923 pu without any site."""
    path = CIRCUITS / master
    feeder = Feeder.from_dss(path)
    assert feeder.bus(bus).three_wire == three_wire
    limits = Limits(
        voltage_min_pu=low_pu,
        voltage_max_pu=1.1,
        violation_time_share_max=0.0,
        loading_max_pu=None,
        rapid_voltage_change_max_pu=None,
        rapid_voltage_change_trip_max_pu=None,
        unbalance_negative_sequence_max=None,
        unbalance_nema_max=None,
    )
    study = HostingCapacityStudy(
        feeder=str(path), buses=(bus,), operations=("firm",), scenario=SHORT, limits=limits, taps="study", ladder=False
    )
    (found,) = search_aims(study, {Aim((bus,), "firm", limits.throughput_share_min): None})
    capacity = found.capacity
    assert capacity.largest is not None
    kw = 1e3 * capacity.largest.summary.sites[0].power_peak_mw
    pairs: tuple[Pair, ...] = tuple(
        (name, phase, other)
        for name, of_bus in feeder.buses.items()
        if name not in feeder.exclude_buses
        for phase, other in of_bus.judged_pairs()
    )
    assert all((other in (1, 2, 3)) == feeder.bus(name).three_wire for name, _, other in pairs)
    taps = {
        (regulator.transformer, regulator.winding): feeder.compiled_taps[n]
        for n, regulator in feeder.regulators.items()
    }
    connection = "delta" if three_wire else "wye"

    def lowest_pu(size_kw: float) -> float:
        return solve(path, bus, (size_kw / 3.0,) * 3, connection, taps).lowest_pu(pairs)

    # The site's own power lies on its phases a little unevenly.
    assert lowest_pu(kw) >= low_pu - 2e-4
    assert lowest_pu(1.03 * kw) < low_pu
    # The place that binds, by its name: between phases where there is no neutral.
    place = re.match(r"\S+\.([ABC]+) at t=", capacity.stopped_by.place())
    assert place is not None
    assert len(place[1]) == (2 if three_wire else 1)
    assert set(LINE_TO_LINE) >= {(phase, other) for name, phase, other in pairs if feeder.bus(name).three_wire}
