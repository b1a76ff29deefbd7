"""Are sites on public circuits as large as plain OpenDSS permits? Give the folder where the circuits lie.

    python benchmarks/public_circuits.py path/to/circuits

of which it takes 37Bus/ieee37.dss and LVTestCaseNorthAmerican/Master.dss (the IEEE test feeders as EPRI distributes
them; they are no part of this repository). For every bus the largest site is searched, then plain OpenDSS solves the
circuit with a constant load as large as its peak, one server larger, and 3 % larger, the regulators as they settled:
every energised conductor has to be inside the limits at the first, and not at the last. Prints a line each and ends
with status 1 if one does not.

At 0.95 pu the 37-bus feeder hosts nothing: 799, ahead of its regulators, stands at 0.923 pu without any site.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "closed_loop"))

from limits_left_out import NO_POWER_QUALITY
from plain_opendss import Pair, solve

from g2g_opt.feeder import Feeder
from g2g_opt.limits import Limits
from g2g_opt.scenario import Scenario
from studies.hosting_capacity.capacity import Aim
from studies.hosting_capacity.study import HostingCapacityStudy
from studies.hosting_capacity.work import search_aims

# Master file, bus, lowest voltage (pu), three wires or not.
CASES = (
    ("37Bus/ieee37.dss", "701", 0.88, True),
    ("37Bus/ieee37.dss", "741", 0.88, True),
    ("37Bus/ieee37.dss", "775", 0.88, True),
    ("LVTestCaseNorthAmerican/Master.dss", "s1", 0.95, False),
)
SHORT = Scenario("short", 240, replica_share_start=1.0, replica_ramps=((120.0, 180.0, 0.5),), server_noise=0.0)
# The site's own power lies on its phases a little unevenly.
UNEVEN_PU = 2e-4


def check(path: Path, bus: str, low_pu: float, three_wire: bool) -> bool:
    """One bus: search, solve, say."""
    began_s = time.process_time()
    feeder = Feeder.from_dss(path)
    limits = Limits(
        voltage_min_pu=low_pu,
        voltage_max_pu=1.1,
        violation_time_share_max=0.0,
        loading_max_pu=None,
        **NO_POWER_QUALITY,
    )
    study = HostingCapacityStudy(
        feeder=str(path), buses=(bus,), operations=("firm",), scenario=SHORT, limits=limits, taps="study", ladder=False
    )
    (found,) = search_aims(study, {Aim((bus,), "firm", limits.throughput_share_min): None})
    capacity = found.capacity
    if capacity.largest is None or capacity.n_rejected is None:
        print(f"{path.name} {bus}: no answer")
        return False
    kw = 1e3 * capacity.largest.summary.sites[0].power_peak_mw
    pairs: tuple[Pair, ...] = tuple(
        (name, phase, other)
        for name, of_bus in feeder.buses.items()
        if name not in feeder.exclude_buses
        for phase, other in of_bus.judged_pairs()
    )
    taps = {
        (regulator.transformer, regulator.winding): feeder.compiled_taps[n]
        for n, regulator in feeder.regulators.items()
    }

    def lowest_pu(size_kw: float) -> float:
        return solve(path, bus, (size_kw / 3.0,) * 3, "delta" if three_wire else "wye", taps).lowest_pu(pairs)

    one_more = capacity.n_rejected / capacity.n_servers
    at, server, above = lowest_pu(kw), lowest_pu(one_more * kw), lowest_pu(1.03 * kw)
    holds = feeder.bus(bus).three_wire == three_wire and at >= low_pu - UNEVEN_PU and above < low_pu
    print(
        f"{path.name} {bus}: {kw:,.1f} kW, by plain OpenDSS {at:.5f} pu of {low_pu:g}; {capacity.n_rejected} for "
        f"{capacity.n_servers} servers {server:.5f}; 3 % more {above:.5f}: {'holds' if holds else 'DOES NOT HOLD'} "
        f"({time.process_time() - began_s:.0f} CPU s)",
        flush=True,
    )
    return holds


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    results = [check(Path(sys.argv[1]) / master, *case) for master, *case in CASES]
    sys.exit(0 if all(results) else 1)
