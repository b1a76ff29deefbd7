#!/usr/bin/env bash
# PyPSA 1.4.0 (linopy 0.10.1, highspy 1.16.0), an optimum over scenarios (set_scenarios). Two scenarios that are the same, of probability 0.75
# and 0.25: power that costs 20 $/MWh at the margin has a price of 15 in the one and 5 in the other, 80 is 60 and 20. What is
# divided by the weights of the snapshots is not divided by the probability. Its own statistics mix the two: the costs of each scenario
# are whole (opex, 10,000 $), its revenues are by these prices (16,500 and 5,500 for 22,000), so the units that earn 12,000 $ lose
# 4,500 in the unlikely scenario, and market values are 43.4 and 14.5 $/MWh for 57.9. The objective is the expected cost, as it should
# be. Over weather years of equal weight a price is so many times too low as there are years: 20 $/MWh is 1 with twenty. The guide's
# units of marginal_price are currency/MWh, and no warning is given. Exits 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q pypsa==1.4.0 linopy==0.10.1 highspy==1.16.0 numpy==2.4.6
cd "$folder"
cat > scenarios.py <<'E2'
import logging
import warnings

import pypsa

warnings.filterwarnings("ignore")


class Kept(logging.Handler):
    texts = []

    def emit(self, record):
        if record.levelno >= logging.WARNING and record.name.startswith("pypsa"):
            self.texts.append(record.getMessage())


logging.getLogger().addHandler(Kept())


def solved(scenarios=None):
    n = pypsa.Network()
    n.set_snapshots(range(4))
    n.add("Bus", "b")
    n.add("Generator", "cheap", bus="b", p_nom=100, marginal_cost=20)
    n.add("Generator", "dear", bus="b", p_nom=100, marginal_cost=80)
    n.add("Load", "d", bus="b", p_set=[50, 90, 110, 130])
    if scenarios:
        n.set_scenarios(scenarios)
    n.optimize(solver_name="highs")
    return n


def generators(series):
    """Of each scenario, or of the only one."""
    return [round(float(value), 1) for key, value in series.items() if key == ("Generator", "-") or key[0] == "Generator"]


for name, scenarios in (
    ("alone", None),
    ("0.75 and 0.25", {"a": 0.75, "z": 0.25}),
    ("twenty years", {f"y{year}": 0.05 for year in range(20)}),
):
    n = solved(scenarios)
    prices = n.buses_t.marginal_price
    columns = list(prices.columns)[:2]
    print("RESULT", name, "objective", round(n.objective), *(prices[column].round(2).tolist() for column in columns))
    if name != "twenty years":
        s = n.statistics
        print("RESULT  opex", *generators(s.opex()), "revenue", *generators(s.revenue()), "market value", *generators(s.market_value()))
print("RESULT warnings of it", sum("carriers which are not defined" not in text for text in Kept.texts))
E2
"$folder/venv/bin/python" scenarios.py >log 2>errors || { cat errors; exit 1; }
grep ^RESULT log | tee result
diff result - <<'EXPECTED'
RESULT alone objective 10000 [20.0, 20.0, 80.0, 80.0]
RESULT  opex 10000.0 revenue 22000.0 market value 57.9
RESULT 0.75 and 0.25 objective 10000 [15.0, 15.0, 60.0, 60.0] [5.0, 5.0, 20.0, 20.0]
RESULT  opex 10000.0 10000.0 revenue 16500.0 5500.0 market value 43.4 14.5
RESULT twenty years objective 10000 [1.0, 1.0, 4.0, 4.0] [1.0, 1.0, 4.0, 4.0]
RESULT warnings of it 0
EXPECTED
echo "as recorded"
