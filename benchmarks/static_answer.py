"""A static, single-snapshot answer, as integration-capacity tools give, beside the closed-loop one.

    python benchmarks/static_answer.py [--feeder ieee13] [--bus 671] [--bus 632] [--duration-s 3600]

Static: plain OpenDSS (OpenDSSDirect.py), one snapshot at the circuit's nominal load, its regulators' controls settled,
one constant load with the power factor of the site at the bus, raised until a voltage leaves the band, a stated rating
is passed, or a voltage changes by more than 3 % when the load is switched off with taps held. Closed loop: the study of
the same bus with its default scenario and the same limits, firm and flexible.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from typing import Any

import numpy as np

from g2g_opt.feeder import Feeder
from g2g_opt.limits import Limits
from g2g_opt.scenario import Scenario
from g2g_opt.site import POWER_FACTOR
from studies.hosting_capacity.study import HostingCapacityStudy
from studies.hosting_capacity.work import search_aims

STEP_MW = 0.01


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--feeder", default="ieee13")
    parser.add_argument("--bus", action="append")
    parser.add_argument("--duration-s", type=int, default=3600)
    options = parser.parse_args()
    feeder = Feeder.load(options.feeder)
    for bus in options.bus or ["671", "632"]:
        static = {what: static_mw(feeder, bus, what) for what in ("voltage", "loading", "change")}
        words = ", ".join(f"{what} {mw:.2f} MW" for what, mw in static.items())
        print(f"{options.feeder} {bus}: static {min(static.values()):.2f} MW ({words})")
        usual = HostingCapacityStudy()
        scenario = usual.scenario if options.duration_s == 3600 else Scenario(duration_s=options.duration_s)
        study = replace(usual, feeder=options.feeder, buses=(bus,), scenario=scenario, ladder=False)
        for found in search_aims(study, dict.fromkeys(study.aims((bus,)))):
            size, stopped = found.capacity.largest, found.capacity.stopped_by
            mw = size.summary.power_peak_mw if size is not None else 0.0
            print(f"  closed loop, {found.capacity.operation}: {mw:.2f} MW at its peak; {stopped}")
    return 0


def static_mw(feeder: Feeder, bus: str, what: str) -> float:
    """The largest load (MW) that keeps one kind of limit in a snapshot, to `STEP_MW`; 0 if none does."""
    low, high = 0, round(30.0 / STEP_MW)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if keeps(feeder, bus, middle * STEP_MW, what) else (low, middle)
    return low * STEP_MW


def keeps(feeder: Feeder, bus: str, mw: float, what: str) -> bool:
    """Does a load of `mw` keep voltages, loadings, or the change of voltages when it is switched off?"""
    limits, dss = Limits(), feeder.direct()
    kv = feeder.bus(bus).kv_ln * np.sqrt(3.0)
    figures = f"kV={kv:.6f} kW={1e3 * mw} pf={POWER_FACTOR} model=1 vminpu=0.8 vmaxpu=1.2"
    dss.Text.Command(f"New Load.static bus1={bus}.1.2.3 phases=3 {figures}")
    dss.Text.Command("Set ControlMode=Static MaxControlIter=100 MaxIterations=100")
    dss.Solution.Solve()
    if not dss.Solution.Converged():
        return False
    before = judged_pu(dss, feeder)
    if what == "voltage":
        return bool(before.min() >= limits.voltage_min_pu and before.max() <= limits.voltage_max_pu)
    if what == "loading":
        return loading_max_pu(dss, feeder) <= 1.0
    dss.Text.Command("Set ControlMode=Off")
    dss.Text.Command("Disable Load.static")
    dss.Solution.Solve()
    return bool(np.abs(judged_pu(dss, feeder) - before).max() <= 0.03)


def judged_pu(dss: Any, feeder: Feeder) -> Any:
    """Voltages (pu) of the buses that studies judge."""
    pairs = zip(dss.Circuit.AllNodeNames(), dss.Circuit.AllBusMagPu(), strict=True)
    return np.array([pu for name, pu in pairs if name.rpartition(".")[0].lower() not in feeder.exclude_buses])


def loading_max_pu(dss: Any, feeder: Feeder) -> float:
    """The largest share of a stated normal rating, by currents at every terminal's phases."""
    worst = 0.0
    for branch in feeder.branches:
        if branch.rating_is_stated and branch.closed:
            dss.Circuit.SetActiveElement(f"{branch.kind}.{branch.name}")
            n = dss.CktElement.NumConductors()
            amps = np.hypot(dss.CktElement.Currents()[0::2], dss.CktElement.Currents()[1::2]).reshape(-1, n)
            worst = max(worst, float(amps[0, : dss.CktElement.NumPhases()].max()) / branch.rating_a)
    return worst


if __name__ == "__main__":
    sys.exit(main())
