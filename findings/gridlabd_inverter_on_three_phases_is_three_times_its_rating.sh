#!/usr/bin/env bash
# GridLAB-D 6.0.0 (its Python package). An inverter (FOUR_QUADRANT) of rated_power=30 kW on phases ABC gives 90: of 89.7 kW from its panels
# it passes all on, at a power factor of 0.9 it has 81.0 kW and 39.2 kvar, and 10 kW pass 30. On one phase 30 are 30. The property
# is described as the inverter's rated power, read back it is 30,000 VA, and the warning at the start goes by that, not by
# what is then done: panels are over-rated for their inverter, it says of 30 kW that limit nothing, and of 100 beside 100 nothing. A
# battery's inverter that is asked for 100 kvar and no power gives 90. So three-phase plants that were sized at the panels'
# peak are never clipped, at no ratio of panels to inverter below three. Without a climate the panels have this power at midnight as well,
# which a warning says ("static data"). Exits 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q gridlabd==6.0.0 numpy==2.4.6
cd "$folder"
cat > site.glm <<'GLM'
clock { timezone UTC0; starttime '2023-06-01 00:00:00'; stoptime '2023-06-01 01:00:00'; }
module powerflow { solver_method NR; };
module generators;
object meter { name source; phases ABCN; bustype SWING; nominal_voltage 7200; }
object meter {
  name site; parent source; phases PHASES; nominal_voltage 7200;
  object inverter {
    name inverter; phases PHASES; rated_power RATED kW; inverter_type FOUR_QUADRANT; generator_status ONLINE; inverter_efficiency 1;
    generator_mode CONSTANT_PF; MODE
    UNIT
  };
}
GLM
"$folder/venv/bin/python" - >log 2>errors <<'PY' || { cat log errors; exit 1; }
import pathlib
import re

import gridlabd

TEXT = pathlib.Path("site.glm").read_text()
PANELS = "object solar { name unit; rated_power 100 kW; };"
BATTERY = "object battery { name unit; use_internal_battery_model TRUE; battery_type LI_ION; rated_power 20 kW; battery_capacity 40 kWh; };"


def run(phases, rated_kw, factor=1.0, kvar=None):
    """kVA read back, kW of the panels, kW and kvar of the inverter, and whether panels were called over-rated."""
    mode = f"four_quadrant_control_mode CONSTANT_PF; power_factor {factor};"
    unit = PANELS
    if kvar is not None:
        mode, unit = f"four_quadrant_control_mode CONSTANT_PQ; P_Out 0; Q_Out {1000 * kvar};", BATTERY
    text = TEXT.replace("PHASES", phases).replace("RATED", str(rated_kw)).replace("MODE", mode).replace("UNIT", unit)
    path = pathlib.Path("case.glm")
    path.write_text(text)
    grid = gridlabd.GridLabD()
    assert (grid.load(str(path.resolve())), grid.setup_after_load(), grid.run()) == (0, 0, 0)
    rated = float(grid.get_property("inverter", "rated_power")[1]) / 1e3
    panels = float(grid.get_property("unit", "P_Out")[1]) / 1e3 if kvar is None else 0.0
    out = grid.get_property("inverter", "VA_Out", False)[1]
    real, imaginary = (float(part) / 1e3 for part in re.match(r"([+-][\d.e+]+?)([+-][\d.e]+(?:\+\d+)?)j", out).groups())
    over = any("over rated" in message["message"] for message in grid.get_messages())
    return rated, round(real, 1), round(imaginary, 1), over, round(panels, 1)


cases = {
    "ABC, 100 kW": run("ABCN", 100),
    "ABC, 30 kW": run("ABCN", 30),
    "ABC, 10 kW": run("ABCN", 10),
    "A, 30 kW": run("AN", 30),
    "ABC, 30 kW, power factor 0.9": run("ABCN", 30, 0.9),
    "ABC, 30 kW, 100 kvar of a battery": run("ABCN", 30, kvar=100),
}
print("RESULT inverter: kVA read back, kW, kvar, panels called over-rated, kW of the panels")
for name, row in cases.items():
    print("RESULT", f"{name:34s}", *row)
assert cases["ABC, 100 kW"][:4] == (100.0, 89.7, 0.0, False), cases
assert cases["ABC, 30 kW"][:4] == (30.0, 89.7, 0.0, True) and cases["ABC, 10 kW"][:4] == (10.0, 30.0, 0.0, True), cases
assert cases["A, 30 kW"][:4] == (30.0, 30.0, 0.0, True), cases
assert cases["ABC, 30 kW, power factor 0.9"][1:3] == (81.0, -39.2), cases
assert cases["ABC, 30 kW, 100 kvar of a battery"][:3] == (30.0, 0.0, 90.0), cases
PY
grep ^RESULT log
echo "as recorded"
