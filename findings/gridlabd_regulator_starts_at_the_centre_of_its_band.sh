#!/usr/bin/env bash
# GridLAB-D 6.0.0 (its Python package), a regulator with a band of 7,050 to 7,350 V (band_center 7200, band_width 300) and a delay of 60 s
# behind a line. In the first second of a run it is moved at once, and to the centre: with 4.5 MW behind it, 6,918 V without it, it is
# at tap 7 with 7,235 V before any delay has passed, and stays there. After that second it is a regulator: where the run begins with
# a third of the load, the same 4.5 MW from the second hour on leave it where its band begins, at tap 3 with 7,050 V, for the rest of
# the day. So a snapshot of an hour, and a study that begins every hour anew, has 185 V (0.026 pu) more than the same hour in a day.
# A band of 100 V gives the same tap as one of 300; of 600, in which the voltage is, it does not move. Where taps are stated (tap_pos_A=1)
# they are kept for the delay and end at 3, 7,050 V, too. Nothing is reported. Exits 0 while this is so.
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
schedule morning { * 0 * * * FIRST; * 1-23 * * * 1; }
object meter { name source; phases ABCN; bustype SWING; nominal_voltage 7200; }
object line_configuration {
  name wires; z11 0.4+0.8j; z12 0.1+0.2j; z13 0.1+0.2j; z21 0.1+0.2j; z22 0.4+0.8j; z23 0.1+0.2j; z31 0.1+0.2j; z32 0.1+0.2j; z33 0.4+0.8j;
}
object overhead_line { phases ABC; from source; to before; length 3 mile; configuration wires; }
object meter { name before; phases ABCN; nominal_voltage 7200; }
object regulator_configuration {
  name settings; connect_type WYE_WYE; band_center 7200; band_width BAND; time_delay 60; dwell_time 5; raise_taps 16; lower_taps 16;
  regulation 0.1; Control OUTPUT_VOLTAGE; control_level INDIVIDUAL; TAPS
}
object regulator { name regulator; phases ABC; from before; to behind; configuration settings; }
object meter { name behind; phases ABCN; nominal_voltage 7200; }
object load {
  parent behind; phases ABCN; nominal_voltage 7200;
  constant_power_A_real morning*1.5e6; constant_power_B_real morning*1.5e6; constant_power_C_real morning*1.5e6;
  constant_power_A_reac morning*0.3e6; constant_power_B_reac morning*0.3e6; constant_power_C_reac morning*0.3e6;
}
object recorder { parent behind; property voltage_A; interval 600; file volts.csv; }
GLM
"$folder/venv/bin/python" - >log 2>errors <<'PY' || { cat log errors; exit 1; }
import pathlib
import re

import gridlabd

TEXT = pathlib.Path("feeder.glm").read_text()
STATED = "tap_pos_A 1; tap_pos_B 1; tap_pos_C 1;"


def run(stop, first, band, taps=""):
    """V before and behind the regulator and its tap, phase A, at the end."""
    path = pathlib.Path("case.glm")
    path.write_text(TEXT.replace("STOP", f"2023-06-01 {stop}").replace("FIRST", str(first)).replace("BAND", str(band)).replace("TAPS", taps))
    grid = gridlabd.GridLabD()
    assert (grid.load(str(path.resolve())), grid.setup_after_load(), grid.run()) == (0, 0, 0)
    volts = [float(re.match(r"\+[\d.]+", grid.get_property(name, "voltage_A", False)[1]).group()) for name in ("before", "behind")]
    warned = [m["message"] for m in grid.get_messages() if m["type"] == "WARNING" and "KLU" not in m["message"]]
    return *(round(v) for v in volts), int(float(grid.get_property("regulator", "tap_A")[1])), warned


cases = {f"begun with all load, band {band} V, after 1 s": run("00:00:01", 1, band) for band in (100, 300, 600)}
cases["begun with all load, band 300 V, at noon"] = run("12:00:00", 1, 300)
cases["begun with a third, band 300 V, after 1 s"] = run("00:00:01", 0.333333, 300)
cases["begun with a third, band 300 V, at noon"] = run("12:00:00", 0.333333, 300)
cases["begun with all load, band 300 V, tap 1 stated"] = run("00:00:01", 1, 300, STATED)
cases["the same at noon"] = run("12:00:00", 1, 300, STATED)
for name, row in cases.items():
    print("RESULT", f"{name:46s}", *row)
rows = [row[:3] for row in cases.values()]
assert rows[:4] == [(6918, 7235, 7), (6918, 7235, 7), (6918, 6918, 0), (6918, 7235, 7)], rows
assert rows[4:] == [(7110, 7110, 0), (6918, 7050, 3), (6918, 6962, 1), (6918, 7050, 3)], rows
assert not any(row[3] for row in cases.values()), cases
PY
grep ^RESULT log
echo "as recorded"
