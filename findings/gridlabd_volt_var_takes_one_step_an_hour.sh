#!/usr/bin/env bash
# GridLAB-D 6.0.0 (its Python package), an inverter under volt-var control (FOUR_QUADRANT, VOLT_VAR) beyond 10 miles of line. It reads the
# voltage, gives what its curve has for it, and that answer stands until something else happens in the model; the voltage it makes is
# looked at then. In a steady state written down every hour it gives 583 kvar in the first hour, 242 in the second, 440, 325 and so on,
# and after ten hours it is at 368, where its curve meets the feeder; by the minute it is there in ten minutes, and without any recorder it
# stays at the first, 583, whatever the length of the run, at 0.969 pu, for which its curve has 242. Where load comes and goes by the
# hour it never gets further than that: 305 kvar in every hour with load, at 0.974 pu, for which its curve has 128, so an hourly year
# has more than twice the vars, at a voltage that the control would not have left so. Its lockout is 60 s here; the flow itself is solved
# to its end in every step, and nothing is reported. Exits 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q gridlabd==6.0.0 numpy==2.4.6
cd "$folder"
cat > feeder.glm <<'GLM'
clock { timezone UTC0; starttime '2023-06-01 00:00:00'; stoptime 'STOP'; }
module powerflow { solver_method NR; };
module generators;
module tape;
schedule hours { * 0,2,4,6,8,10 * * * 0; * 1,3,5,7,9,11 * * * 1; }
object meter {
  name source; phases ABCN; bustype SWING; nominal_voltage 7200;
  voltage_A VOLTS+0j; voltage_B -HALF-SIDEj; voltage_C -HALF+SIDEj;
}
object line_configuration {
  name wires; z11 0.3+0.6j; z12 0.1+0.2j; z13 0.1+0.2j; z21 0.1+0.2j; z22 0.3+0.6j; z23 0.1+0.2j; z31 0.1+0.2j; z32 0.1+0.2j; z33 0.3+0.6j;
}
object overhead_line { phases ABC; from source; to end; length 10 mile; configuration wires; }
object meter { name end; phases ABCN; nominal_voltage 7200; }
LOAD
object meter {
  name plant; parent end; phases ABCN; nominal_voltage 7200;
  object inverter {
    name inverter; phases ABCN; rated_power 1000 kW; inverter_type FOUR_QUADRANT; generator_status ONLINE; inverter_efficiency 1;
    generator_mode CONSTANT_PF; four_quadrant_control_mode VOLT_VAR; V_base 7200; volt_var_control_lockout 60;
    V1 0.92; Q1 0.44; V2 0.98; Q2 0; V3 1.02; Q3 0; V4 1.08; Q4 -0.44;
    object solar { rated_power 2000 kW; };
  };
}
GLM
"$folder/venv/bin/python" - >log 2>errors <<'PY' || { cat log errors; exit 1; }
import pathlib
import re

import gridlabd

TEXT = pathlib.Path("feeder.glm").read_text()
LOAD = "object load { parent end; phases ABCN; nominal_voltage 7200; " + " ".join(f"constant_power_{p}_real hours*4e5;" for p in "ABC") + " }"


def curve(pu):
    """kvar that an inverter of 3 x 1,000 kVA should give at this voltage below 1."""
    return 3000 * 0.44 * min(max((0.98 - pu) / 0.06, 0.0), 1.0)


def run(stop, volts, seconds=None, load=""):
    """(pu, kvar) of every time written, or of the end where nothing is."""
    recorders = "".join(
        f"object recorder {{ parent {parent}; property {item}; interval {seconds}; file {name}.csv; }}\n"
        for parent, item, name in (("end", "voltage_A", "volts"), ("inverter", "VA_Out", "power"))
    )
    text = TEXT.replace("STOP", stop).replace("LOAD", load)
    for word, value in (("VOLTS", volts), ("HALF", volts / 2), ("SIDE", volts * 3**0.5 / 2)):
        text = text.replace(word, f"{value:.6g}")
    if not load:
        text = re.sub("schedule.*\n", "", text)
    path = pathlib.Path("case.glm")
    path.write_text(text + (recorders if seconds else ""))
    grid = gridlabd.GridLabD()
    assert (grid.load(str(path.resolve())), grid.setup_after_load(), grid.run()) == (0, 0, 0)
    if seconds:
        grid.exit_gld()
        rows = [[line.split(",")[1] for line in open(f"{name}.csv") if line[0] != "#"] for name in ("volts", "power")]
    else:
        rows = [[grid.get_property(*item, False)[1]] for item in (("end", "voltage_A"), ("inverter", "VA_Out"))]
    kvar = [float(re.match(r"\+[\d.e+]+?([+-][\d.]+(?:e[+-]\d+)?)j", text).group(1)) / 1e3 for text in rows[1]]
    return [(round(float(re.match(r"\+[\d.]+", a).group()) / 7200, 4), round(b)) for a, b in zip(rows[0], kvar)]


hourly = run("2023-06-01 12:00:00", 6700, 3600)
minutes = run("2023-06-01 00:12:00", 6700, 60)
bare = run("2023-06-03 00:00:00", 6700)
moving = run("2023-06-01 12:00:00", 6900, 3600, LOAD)
print("RESULT steady, by the hour:", *hourly[:11])
print("RESULT steady, by the minute:", *minutes[:11])
print("RESULT steady, nothing written, after two days:", *bare, f"of {curve(bare[0][0]):.0f}")
print("RESULT load by the hour:", *((pu, kvar, f"of {curve(pu):.0f}") for pu, kvar in moving[4:10]))
assert [kvar for _, kvar in hourly[:4]] == [kvar for _, kvar in minutes[:4]] == [583, 242, 440, 325], (hourly, minutes)
assert abs(hourly[10][1] - curve(hourly[10][0])) < 5 and bare == hourly[:1] and round(curve(bare[0][0])) == 242, (hourly, bare)
assert moving[4:10] == [(0.9807, 0), (0.9742, 305)] * 3 and round(curve(0.9742)) == 128, moving
PY
grep ^RESULT log
echo "as recorded"
