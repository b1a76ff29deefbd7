#!/usr/bin/env bash
# GridLAB-D 6.0.0 (its Python package). A battery (internal model) of 400 kWh and 50 kW, full, behind an inverter of 100 kW that is asked
# for 100, with reserve_state_of_charge=0.2: the reserve is 0.2 after loading and after setting up, and 0 after the run, whatever was
# stated, also where it is set once more before the run. So 393 kWh leave it, all it has, with a reserve of 0.2 and of 0.5 as with
# none, and the warning at the end says that it is at or below the reserve, at a charge of 0. The description has a reserve of
# the battery, and the inverter's check of it is there. The 50 kW become 300, three times the inverter's rating, so it gives 100
# kW, and 250 where that is asked for; on a single phase 100 of the 250, its inverter's. Size and state of charge stay as they were stated.
# Exits 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q gridlabd==6.0.0 numpy==2.4.6
cd "$folder"
cat > battery.glm <<'GLM'
clock { timezone UTC0; starttime '2023-06-01 00:00:00'; stoptime '2023-06-01 06:00:00'; }
module powerflow { solver_method NR; };
module generators;
object meter { name source; phases ABCN; bustype SWING; nominal_voltage 7200; }
object meter {
  name site; parent source; phases PHASES; nominal_voltage 7200;
  object inverter {
    name inverter; phases PHASES; rated_power 100 kW; inverter_type FOUR_QUADRANT; generator_status ONLINE; inverter_efficiency 1;
    generator_mode CONSTANT_PF; four_quadrant_control_mode CONSTANT_PQ; P_Out ASKED; Q_Out 0;
    object battery {
      name battery; generator_status ONLINE; use_internal_battery_model TRUE; battery_type LI_ION; rated_power 50 kW;
      battery_capacity 400 kWh; round_trip_efficiency 0.9; nominal_voltage 480; state_of_charge 1; reserve_state_of_charge RESERVE;
    };
  };
}
GLM
"$folder/venv/bin/python" - >log 2>errors <<'PY' || { cat log errors; exit 1; }
import pathlib

import gridlabd

TEXT = pathlib.Path("battery.glm").read_text()


def run(reserve, asked_kw=100, phases="ABCN", again=False):
    """Reserve after loading, set-up and the run; kW of the battery after it; kW given at first; kWh given; charge at the end; warned."""
    grid = gridlabd.GridLabD()

    def number(name, item):
        return float(grid.get_property(name, item)[1])

    path = pathlib.Path("case.glm")
    path.write_text(TEXT.replace("RESERVE", str(reserve)).replace("ASKED", str(1000 * asked_kw)).replace("PHASES", phases))
    assert grid.load(str(path.resolve())) == 0
    seen = [number("battery", "reserve_state_of_charge")]
    assert (number("battery", "rated_power"), number("battery", "state_of_charge")) == (50e3, 1.0)
    assert grid.setup_after_load() == 0
    if again:
        grid.set_property("battery", "reserve_state_of_charge", str(reserve))
    seen.append(number("battery", "reserve_state_of_charge"))
    assert grid.run() == 0
    seen += [number("battery", "reserve_state_of_charge"), number("battery", "rated_power") / 1e3]
    texts = [message["message"] for message in grid.get_messages()]
    asked = next(text for text in texts if "exceeds maximum DC output" in text)
    warned = any("at or below the SOC reserve" in text for text in texts)
    kw = float(asked.partition("output (")[2].partition(")")[0]) / 1e3
    kwh = -number("site", "measured_real_energy") / 1e3
    assert number("battery", "battery_capacity") == 400e3
    return *seen, kw, round(kwh), round(number("battery", "state_of_charge"), 2), warned


cases = {
    "0": run(0),
    "0.2": run(0.2),
    "0.5": run(0.5),
    "0.2, set again": run(0.2, again=True),
    "0.2, 250 kW asked": run(0.2, 250),
    "0.2, 250 kW asked, one phase": run(0.2, 250, "AN"),
}
print("RESULT reserve stated: after loading, after set-up, after the run; kW of the battery; kW, kWh given; charge at the end; warned")
for name, row in cases.items():
    print("RESULT", f"{name:30s}", *row)
assert cases["0"] == (0.0, 0.0, 0.0, 300.0, 100.0, 393, 0.0, True), cases
assert cases["0.2"] == cases["0.2, set again"] == (0.2, 0.2, 0.0, 300.0, 100.0, 393, 0.0, True), cases
assert cases["0.5"] == (0.5, 0.5, 0.0, 300.0, 100.0, 393, 0.0, True), cases
assert cases["0.2, 250 kW asked"] == (0.2, 0.2, 0.0, 300.0, 250.0, 383, 0.0, True), cases
assert cases["0.2, 250 kW asked, one phase"][3:5] == (100.0, 100.0), cases
PY
grep ^RESULT log
echo "as recorded"
