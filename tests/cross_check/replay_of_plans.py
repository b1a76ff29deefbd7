"""Runs the year of a handed-over siting plan on OpenDSS: nothing but opendssdirect and the plan's files.

`benchmarks/replay_plan.py` runs whole years with it. Every hour is a snapshot in which the circuit's own controls
settle (ControlMode=Static) from where the hour before left them. What is counted: hours with a judged voltage outside
the limits, and how far all of them are outside, tap steps of all regulators, losses, energy of PV and what storage
draws more than it gives, and the dollars of all that, less those of the feeder without the plan. `storage_by_rule`
follows the rule of storage by itself.
"""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path

import opendssdirect


@dataclass(frozen=True)
class Replay:
    """A year, or its first hours, as OpenDSS ran it; `usd` is what all energy, tap steps and losses come to, and how
    far all voltages are outside the limits (`over_pu_h`) where that has a price.

    `storage_kwh` is what storage drew more than it gave.
    """

    hours_outside: int
    lowest_pu: float
    highest_pu: float
    tap_steps: int
    losses_kwh: float
    pv_kwh: float
    storage_kwh: float
    over_pu_h: float
    usd: float


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def replay(folder: Path, utilisation: float, *, with_plan: bool = True, n_hours: int | None = None) -> Replay:
    """The plan's hours with its sites at a utilisation, or those of the feeder without it."""
    dss = opendssdirect.dss.NewContext()
    said = json.loads((folder / "plan.json").read_text(encoding="utf-8"))
    parts = ("circuit.dss", "feeder.dss", "plan.dss") if with_plan else ("circuit.dss", "feeder.dss")
    for part in parts:
        for line in (folder / part).read_text(encoding="utf-8").splitlines():
            dss.Text.Command(line)
    dss.Text.Command("Set mode=snapshot controlmode=static maxcontroliter=200 tolerance=1e-9 maxiterations=500")
    # The circuit's own PV systems and generators: shares of what is stated, by a column of the year.
    units = rows_of(folder / "units.csv")
    elements = [one for one in rows_of(folder / "elements.csv") if with_plan or one["part"] == "feeder"]
    changers = []
    for name in dss.RegControls.AllNames():
        dss.RegControls.Name(name)
        if dss.CktElement.Enabled() and name != "none":
            changers.append((dss.RegControls.Transformer(), dss.RegControls.TapWinding()))
    monitored = [(one["bus"], one["node"], one["other_node"]) for one in rows_of(folder / "monitored.csv")]
    place, base_v = {}, {}
    for k, name in enumerate(dss.Circuit.YNodeOrder()):
        place[name.lower()] = k
    for bus in {bus for bus, _, _ in monitored}:
        dss.Circuit.SetActiveBus(bus)
        base_v[bus] = 1e3 * dss.Bus.kVBase()
    low, high = said["limits_pu"]
    base_share = dss.Solution.LoadMult()
    before: list[float] | None = None
    outside = steps = 0
    lowest, highest, losses_kwh, pv_kwh, storage_kwh, usd = 9.0, 0.0, 0.0, 0.0, 0.0, 0.0
    over_pu_h, per_pu_h = 0.0, said["unit_costs"].get("violation_per_pu_h", 0.0)
    for hour in rows_of(folder / "year.csv")[:n_hours]:
        dss.Text.Command(f"Set LoadMult={base_share * float(hour['load_share']):.17g}")
        for one in units:
            stated = float(hour[one["follows"]]) * float(one["stated"])
            dss.Text.Command(f"Edit {one['element']} {one['property']}={stated:.12g}")
        of_pv = of_storage = 0.0
        for one in elements:
            share = utilisation if one["follows"] == "utilisation" else float(hour[one["follows"]])
            kw, kvar = share * float(one["kw"]), share * float(one["kvar"])
            dss.Text.Command(f"Load.{one['element']}.kW={kw:.12g}")
            dss.Text.Command(f"Load.{one['element']}.kvar={kvar:.12g}")
            of_pv -= kw if one["element"].startswith("pv_") else 0.0
            of_storage += kw if one["element"].startswith("storage_") else 0.0
        dss.Solution.Solve()
        if not dss.Solution.Converged():
            raise SystemExit(f"{hour['hour_beginning']}: not converged")
        array = dss.Circuit.YNodeVArray()
        voltages = []
        for bus, node, other in monitored:
            k = 2 * place[f"{bus}.{node}"]
            volts = complex(array[k], array[k + 1])
            base = base_v[bus]
            if other != "0" and f"{bus}.{other}" in place:
                k = 2 * place[f"{bus}.{other}"]
                volts -= complex(array[k], array[k + 1])
                base *= 3.0**0.5 if other in "123" else 1.0
            voltages.append(abs(volts) / base)
        lowest, highest = min(lowest, *voltages), max(highest, *voltages)
        outside += min(voltages) < low or max(voltages) > high
        over = sum(max(low - volts, volts - high, 0.0) for volts in voltages)
        over_pu_h, usd = over_pu_h + over, usd + per_pu_h * over
        taps, moved = [], 0
        for changer, winding in changers:
            dss.Transformers.Name(changer)
            dss.Transformers.Wdg(winding)
            taps.append(dss.Transformers.Tap())
            if before is not None:
                step = (dss.Transformers.MaxTap() - dss.Transformers.MinTap()) / dss.Transformers.NumTaps()
                moved += round(abs(taps[-1] - before[len(taps) - 1]) / step)
        before, steps = taps, steps + moved
        lost = dss.Circuit.Losses()[0] / 1e3
        price = float(hour["price_per_kwh"])
        losses_kwh, pv_kwh, storage_kwh = losses_kwh + lost, pv_kwh + of_pv, storage_kwh + of_storage
        usd += price * (lost - of_pv + of_storage) + moved * said["unit_costs"]["tap_step"]
    return Replay(outside, lowest, highest, steps, losses_kwh, pv_kwh, storage_kwh, over_pu_h, usd)


def cost_of_plan(folder: Path, plan: Replay, without: Replay) -> float:
    """$ a year: what is built, and what its year costs more than that of the feeder without it."""
    said = json.loads((folder / "plan.json").read_text(encoding="utf-8"))
    costs, built = said["unit_costs"], 0.0
    kwh = {} if said["storage"] is None else said["storage"]["kwh"]
    for one in rows_of(folder / "elements.csv"):
        kw, of_storage = abs(float(one["kw"])), one["follows"].startswith("storage_")
        if one["part"] == "plan" and of_storage:
            built += costs["storage_per_kw"] * kw + costs["storage_per_kwh"] * kwh[one["element"]]
        elif one["part"] == "plan":
            built += costs["pv_per_kw"] * kw if one["follows"] == "sun" else -costs["site_value_per_kw"] * kw
    return float(built + plan.usd - without.usd)


def storage_by_rule(folder: Path) -> list[float]:
    """The share of its kW that storage draws in every hour of the year, by the rule and the sun of the plan's files."""
    rule = json.loads((folder / "plan.json").read_text(encoding="utf-8"))["storage"]
    one_way, room = rule["efficiency_one_way"], rule["kwh_per_kw"]
    holds, giving, draws = rule["kwh_before_the_first_hour"], False, []
    for hour in rows_of(folder / "year.csv"):
        if int(hour["hour_beginning"][11:13]) == rule["discharge_from_h"]:
            giving = True
        if holds <= 1e-12:
            giving = False
        if giving:
            given = min(1.0, holds * one_way)
            holds -= given / one_way
            draws.append(-given)
        elif float(hour["sun"]) > rule["charge_above"]:
            taken = min(1.0, (room - holds) / one_way)
            holds += taken * one_way
            draws.append(taken)
        else:
            draws.append(0.0)
    return draws
