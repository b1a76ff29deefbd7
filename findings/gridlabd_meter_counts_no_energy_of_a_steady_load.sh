#!/usr/bin/env bash
# GridLAB-D 6.0.0 (its Python package). A meter at a steady load of 300 kW reads 300 kW and 0 kWh after an hour, a day and two months, and its
# bill, at 0.10 $/kWh and due on the first of each month, is 0 $. It counts when something happens, and nothing does: with a
# recorder that writes a voltage every hour it has 9,000 kWh after 30 hours, and July's bill is 22,320 $, as it should be, while a recorder
# of the energy itself at every change (interval -1) leaves it at 0. Where a second load elsewhere moves at noon and midnight it has what was
# drawn up to the last look at the circuit, 9,525 kWh after 34 1/2 hours for 10,350. The run ends at the time it was told, without an
# error, and no word of any of this is said; the peak demand of the same meter is right in all. A flat load, as a datacenter's is in
# many studies, is thus without energy and without costs. Exits 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q gridlabd==6.0.0 numpy==2.4.6
cd "$folder"
cat > feeder.glm <<'GLM'
clock { timezone UTC0; starttime '2023-06-01 00:00:00'; stoptime 'STOP'; }
module powerflow { solver_method NR; };
module tape;
object meter { name source; phases ABCN; bustype SWING; nominal_voltage 7200; }
object line_configuration {
  name wires; z11 0.3+0.6j; z12 0.1+0.2j; z13 0.1+0.2j; z21 0.1+0.2j; z22 0.3+0.6j; z23 0.1+0.2j; z31 0.1+0.2j; z32 0.1+0.2j; z33 0.3+0.6j;
}
object overhead_line { phases ABC; from source; to site; length 1 mile; configuration wires; }
object meter { name site; phases ABCN; nominal_voltage 7200; bill_mode UNIFORM; price 0.1; bill_day 1; }
object load { parent site; phases ABCN; nominal_voltage 7200; constant_power_A 1e5; constant_power_B 1e5; constant_power_C 1e5; }
GLM
"$folder/venv/bin/python" - >log 2>errors <<'PY' || { cat log errors; exit 1; }
import pathlib

import gridlabd

TEXT = pathlib.Path("feeder.glm").read_text()
OTHER = """
object overhead_line { phases ABC; from source; to far; length 1 mile; configuration wires; }
object meter { name far; phases ABCN; nominal_voltage 7200; }
object load { parent far; phases ABCN; nominal_voltage 7200; constant_power_A_real twice*1e5; }
"""
SCHEDULE = "schedule twice { * 0-11 * * * 1; * 12-23 * * * 2; }\nobject meter { name source;"


def run(stop, more=""):
    """kW and kWh of the meter, kW of its peak, $ of the last bill, and warnings."""
    path = pathlib.Path("case.glm")
    text = TEXT.replace("STOP", stop) + more
    path.write_text(text.replace("object meter { name source;", SCHEDULE) if more == OTHER else text)
    grid = gridlabd.GridLabD()
    assert (grid.load(str(path.resolve())), grid.setup_after_load(), grid.run()) == (0, 0, 0)
    items = "measured_real_power", "measured_real_energy", "measured_demand", "previous_monthly_bill"
    power, energy, peak, bill = (float(grid.get_property("site", item)[1]) for item in items)
    warned = [m["message"] for m in grid.get_messages() if m["type"] in ("WARNING", "ERROR") and "KLU" not in m["message"]]
    return round(power / 1e3), round(energy / 1e3), round(peak / 1e3), round(bill), warned


def recorder(item, seconds):
    return f"object recorder {{ parent site; property {item}; interval {seconds}; file written.csv; }}\n"


hour, day, thirty, months = "2023-06-01 01:00:00", "2023-06-02 00:00:00", "2023-06-02 06:00:00", "2023-08-01 12:00:00"
cases = {
    "an hour": run(hour),
    "a day": run(day),
    "30 hours": run(thirty),
    "two months": run(months),
    "30 hours, voltage recorded hourly": run(thirty, recorder("voltage_A", 3600)),
    "30 hours, energy recorded at changes": run(thirty, recorder("measured_real_energy", -1)),
    "two months, voltage recorded hourly": run(months, recorder("voltage_A", 3600)),
    "34 1/2 hours, another load moves": run("2023-06-02 10:30:00", OTHER),
}
print("RESULT kW, kWh, kW of the peak, $ of the last bill")
for name, row in cases.items():
    print("RESULT", f"{name:36s}", *row)
assert all(row[0] == 300 and row[2] == 300 for row in cases.values()) and not any(row[4] for row in cases.values()), cases
assert all(cases[name][1:4:2] == (0, 0) for name in ("an hour", "a day", "30 hours", "two months")), cases
assert cases["30 hours, voltage recorded hourly"][1] == 9000 and cases["30 hours, energy recorded at changes"][1] == 0, cases
assert cases["two months, voltage recorded hourly"][1::2] == (442800, 22320), cases
assert cases["34 1/2 hours, another load moves"][1] == 9525, cases
PY
grep ^RESULT log
echo "as recorded"
