"""Does a remedy of each kind cure what `g2g check` says it cures? Asked of OpenDSS alone, by opendssdirect.py.

    python benchmarks/remedies_plain.py --feeder ieee123

For some requests, until each kind has let one in: the request at rest with all replicas active and with none, at the
feeder's own load, without and with the remedy. OpenDSS gets the feeder's circuit as it is written out, the remedy's
commands, a load of the MW at the bus and, where the remedy is a unit that follows the voltage, the least output within
its rating (in tenths) at which the limits are kept. Printed are the limit that refused the request, and the heaviest
loading and the lowest and highest voltage of the whole circuit before and after.
"""

from __future__ import annotations

import argparse
import math
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import opendssdirect

from g2g_opt.limits import Limits
from g2g_opt.scenario import Scenario
from studies.connection_check.judging import RequestJudge, try_plan
from studies.connection_check.remedy import Remedy
from studies.connection_check.remedy_candidates import RemedyPlace, list_remedies
from studies.connection_check.remedy_costs import UnitCosts
from studies.connection_check.remedy_search import search_remedies
from studies.connection_check.study import ConnectionCheckStudy
from studies.shared.side_by_side import run_side_by_side

# Bus, MW, share of the feeder's own load, and its voltage band: what refuses them is of another kind each time.
_CASES = {
    "ieee123": [("60", 1.6, 1.0), ("60", 2.2, 0.5), ("83", 1.2, 1.0), ("67", 3.0, 0.5), ("47", 1.0, 1.0),
                ("108", 1.0, 1.0)],
    "ieee13": [("671", 3.0, 1.0), ("671", 3.6, 0.7), ("680", 2.5, 1.0), ("675", 2.5, 0.9)],
}  # fmt: skip
_TOLERANCE = 0.01
# What a single power flow shows: voltages and loadings.
_LIMITS = Limits(rapid_voltage_change_max_pu=None, rapid_voltage_change_trip_max_pu=None)


def plain(master: Path, share: float, remedy: Remedy | None, bus: str, mw: float, excluded: set[str]) -> dict[str, Any]:
    """Heaviest loading and extreme voltages of the circuit with a load, on OpenDSS alone with its controls at rest."""
    best: dict[str, Any] = {}
    outputs = [k / 10 for k in range(11)] if remedy is not None and remedy.storage else [0.0]
    for output in outputs:
        dss = opendssdirect.NewContext()
        dss.Text.Command("Clear")
        dss.Text.Command(f'Compile "{master}"')
        for edit in remedy.edits if remedy is not None else ():
            dss.Text.Command(edit)
        at = remedy.bus if remedy is not None and remedy.bus is not None else bus
        dss.Circuit.SetActiveBus(at)
        kv = dss.Bus.kVBase() * math.sqrt(3.0)
        tan = math.tan(math.acos(0.95))
        site = f"bus1={at}.1.2.3 phases=3 kv={kv:.9g} model=1 vminpu=0.6 vmaxpu=1.4 status=fixed"
        dss.Text.Command(f"New Load.site {site} kW={1e3 * mw} kvar={1e3 * mw * tan}")
        for k, unit in enumerate(remedy.storage if remedy is not None else ()):
            kw = -output * unit.power_kw if unit.droop == "pv" else 0.0
            kvar = 0.0 if unit.droop == "pv" else -output * (unit.apparent_power_kva or 0.0)
            dss.Text.Command(f"New Load.unit{k} {site} kW={kw} kvar={kvar}")
        dss.Text.Command(f"Set LoadMult={share} ControlMode=Static MaxControlIter=200 tolerance=1e-8 maxiterations=200")
        dss.Solution.Solve()
        assert dss.Solution.Converged()
        found = _figures(dss, excluded) | {"output": output}
        if not best or found["used"] < best["used"] - 1e-6:
            best = found
        if found["used"] <= 1.0:
            return found
    return best


def _figures(dss: Any, excluded: set[str]) -> dict[str, Any]:
    loadings = {}
    for name in dss.Circuit.AllElementNames():
        dss.Circuit.SetActiveElement(name)
        kind = name.lower().partition(".")[0]
        if kind not in ("line", "transformer") or dss.CktElement.NormalAmps() <= 0.0:
            continue
        terminals, phases = dss.CktElement.NumTerminals(), dss.CktElement.NumPhases()
        amps = np.array(dss.CktElement.CurrentsMagAng()[0::2]).reshape(terminals, -1)[:, :phases]
        loadings[name.lower()] = float(amps[0].max() / dss.CktElement.NormalAmps())
    volts = {}
    for bus in dss.Circuit.AllBusNames():
        dss.Circuit.SetActiveBus(bus)
        if bus.lower() not in excluded and dss.Bus.kVBase() > 0.0:
            pu = np.array(dss.Bus.puVmagAngle()[0::2])[: dss.Bus.NumNodes()]
            volts.update({f"{bus}.{node}": float(v) for node, v in zip(dss.Bus.Nodes(), pu, strict=True)})
    heaviest, lowest, highest = max(loadings, key=loadings.__getitem__), min(volts, key=volts.__getitem__), max(
        volts, key=volts.__getitem__
    )  # fmt: skip
    used = max(loadings[heaviest], 1.0 + (0.95 - volts[lowest]), 1.0 + (volts[highest] - 1.05))
    words = f"{heaviest} {loadings[heaviest]:.3f}, {lowest} {volts[lowest]:.4f} to {highest} {volts[highest]:.4f} pu"
    return {"used": used, "words": words, "loading": loadings[heaviest]}


def main() -> int:
    """Print a line for every kind; status 1 if a remedy does not do in plain OpenDSS what is said of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--feeder", choices=list(_CASES), default="ieee123")
    options = parser.parse_args()
    began_s, wrong = time.process_time(), 0
    base = ConnectionCheckStudy(feeder=options.feeder, year=None)
    left = list(base.remedies)
    with tempfile.TemporaryDirectory() as folder:
        for bus, mw, share in _CASES[options.feeder]:
            # At rest: what a single load shows. The site's draw is the MW, the feeder's PV and generators stand still.
            run = Scenario(duration_s=10, replica_share_start=1.0, replica_ramps=(), own_load_share=share,
                           standing_power=False, server_noise=0.0)  # fmt: skip
            study = replace(base, bus=bus, mw=mw, scenario=run, limits=_LIMITS)
            feeder, models = study.load_feeder(), study.load_models()
            master = feeder.write_dss(Path(folder) / f"{bus}_{mw}")
            plan = RequestJudge(study, bus, models).plan(study.servers_for(mw, models), "firm")
            rests = study.rests(run)[::4]
            (trial,) = run_side_by_side(study, feeder, [try_plan(plan, rests)])
            refused = trial.binding.verdict.binding
            excluded = set(feeder.exclude_buses)
            before = plain(master, share, None, bus, mw, excluded)
            print(
                f"{bus}, {mw} MW at {share} of own load: {'kept' if trial.kept else refused}; plain: {before['words']}"
            )
            if trial.kept or refused is None:
                continue
            over = (refused.where,) if refused.criterion.is_thermal else ()
            place, costs = RemedyPlace(feeder, feeder.bus(bus), study.nearby, over), UnitCosts.load(study.costs)
            for kind in list(left):
                priced = [
                    (one, costs.of(one.amounts, study.discount_rate)) for one in list_remedies(kind, place).remedies
                ]
                tried = search_remedies(study, feeder, [(plan, rests)], priced, lambda words: None)
                cure = next((one.remedy for one in tried if one.cures), None)
                if cure is None:
                    continue
                left.remove(kind)
                after = plain(master, share, cure, bus, mw, excluded)
                idle = plain(master, share, cure, bus, 0.0, excluded)
                fine = before["used"] > 1.0 and max(after["used"], idle["used"]) <= 1.0 + _TOLERANCE
                wrong += not fine
                said = "as said" if fine else "NOT AS SAID"
                at = f" at {after['output']:g} of its rating" if cure.storage else ""
                print(f"  {said}: {kind}: {cure.words}{at}; plain: {after['words']}; idle: {idle['words']}", flush=True)
    print(f"kinds that cured none of these: {', '.join(left) or 'none'}; {time.process_time() - began_s:.0f} CPU s")
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
