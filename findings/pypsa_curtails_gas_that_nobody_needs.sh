#!/usr/bin/env bash
# PyPSA 1.4.0 (linopy 0.10.1, highspy 1.16.0), n.statistics.curtailment(). Its description has only what has a series of p_max_pu, the power
# that was available. Of four hours in which wind of 100 MW spills 50 MWh, it has 50 for wind, 752 for a gas unit of 200 MW that states
# no series, as what it did not give, and 88 for a battery: 890 MWh of curtailment in all, 18 times what was lost, and four
# times the load. Each MW of reserve adds to it, so with a gas unit of 400 MW there are 1,552 MWh of gas curtailed for the same dispatch;
# a share of curtailment that is taken of all carriers goes up with the backup. capacity_factor of the battery, 0.91, counts charging as
# well as discharging: it gives 32 of the 80 MWh that its size could. No warning is given. Exits 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q pypsa==1.4.0 linopy==0.10.1 highspy==1.16.0 numpy==2.4.6
cd "$folder"
cat > curtailed.py <<'E2'
import logging

import pypsa


class Kept(logging.Handler):
    texts = []

    def emit(self, record):
        if record.levelno >= logging.WARNING and record.name.startswith("pypsa"):
            self.texts.append(record.getMessage())


logging.getLogger().addHandler(Kept())


def solved(gas_mw):
    n = pypsa.Network()
    n.set_snapshots(range(4))
    for carrier in ("wind", "gas", "battery", "AC"):
        n.add("Carrier", carrier)
    n.add("Bus", "b", carrier="AC")
    n.add("Generator", "wind", bus="b", p_nom=100, carrier="wind", p_max_pu=[0.2, 0.9, 0.9, 0.4])
    n.add("Generator", "gas", bus="b", p_nom=gas_mw, carrier="gas", marginal_cost=50)
    n.add("Load", "d", bus="b", p_set=[60, 50, 40, 80], carrier="AC")
    n.add(
        "StorageUnit", "battery", bus="b", carrier="battery", p_nom=20, max_hours=2, efficiency_store=0.9, efficiency_dispatch=0.9,
        cyclic_state_of_charge=True,
    )  # fmt: skip
    n.optimize(solver_name="highs")
    return n


for gas_mw in (200, 400):
    n = solved(gas_mw)
    spilled = float((n.generators_t.p_max_pu["wind"] * 100 - n.generators_t.p["wind"]).sum())
    found = {carrier: round(float(value)) for (_, carrier), value in n.statistics.curtailment().items()}
    print("RESULT", gas_mw, "spilled", round(spilled), "load", round(float(n.loads_t.p.sum().sum())), *sorted(found.items()), "in all", sum(found.values()))
factor = n.statistics.capacity_factor()["StorageUnit", "battery"]
given = float(n.storage_units_t.p["battery"].clip(lower=0).sum())
print("RESULT capacity factor of the battery", round(float(factor), 2), "given", round(given), "of", 4 * 20)
text = " ".join(pypsa.Network().statistics.curtailment.__doc__.split())
print("RESULT its description", "only considers assets with a `p_max_pu` time series" in text, "warnings", len(Kept.texts))
E2
"$folder/venv/bin/python" -W ignore curtailed.py >log 2>errors || { cat errors; exit 1; }
grep ^RESULT log | tee result
diff result - <<'EXPECTED'
RESULT 200 spilled 50 load 230 ('battery', 88) ('gas', 752) ('wind', 50) in all 890
RESULT 400 spilled 50 load 230 ('battery', 88) ('gas', 1552) ('wind', 50) in all 1690
RESULT capacity factor of the battery 0.91 given 32 of 80
RESULT its description True warnings 0
EXPECTED
echo "as recorded"
