#!/usr/bin/env bash
# GridLAB-D 6.0.0 (its Python package), ratings of a line by season, as its configurations state them. Of a line of 200 A in summer and 400 in
# winter the rating is 200 in July and 200 in January: it is the lower of the two in every month, so 390 A in January are overloaded, a
# warning of 195 % where 98 were meant. With 150 A in winter, where wires ice, 190 A in July are at 127 %. The rating of the other
# season reads back as it was stated and is used in no month. Where nothing is stated a line has 1,000 A and an emergency rating of
# 2,000, on which no word is said: 390 and 900 A pass. A rating given to the line itself (continuous_rating_A, in the list of its
# properties) is taken without an error and is 1,000 A by the end. overloaded_status goes by the same. Exits 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q gridlabd==6.0.0 numpy==2.4.6
cd "$folder"
cat > feeder.glm <<'GLM'
clock { timezone UTC0; starttime 'DAY 00:00:00'; stoptime 'DAY 02:00:00'; }
module powerflow { solver_method NR; };
module tape;
object meter { name source; phases ABCN; bustype SWING; nominal_voltage 7200; }
object line_configuration { name wires; z11 0.02+0.04j; z22 0.02+0.04j; z33 0.02+0.04j; RATINGS }
object overhead_line { name line; phases ABC; from source; to end; length 1 mile; configuration wires; OWN }
object meter { name end; phases ABCN; nominal_voltage 7200; }
object load {
  parent end; phases ABCN; nominal_voltage 7200;
  constant_power_A WATTS; constant_power_B WATTS; constant_power_C WATTS;
}
object recorder { parent end; property voltage_A; interval 3600; file volts.csv; }
GLM
"$folder/venv/bin/python" - >log 2>errors <<'PY' || { cat log errors; exit 1; }
import pathlib
import re

import gridlabd

TEXT = pathlib.Path("feeder.glm").read_text()
BOTH = "rating.summer.continuous 200; rating.summer.emergency 600; rating.winter.continuous {0}; rating.winter.emergency 700;"


def run(day, amps, ratings="", own=""):
    """A, rating and emergency rating of phase A, A of winter as read back, whether it is overloaded, and the % of its first warning."""
    text = TEXT.replace("DAY", day).replace("RATINGS", ratings).replace("OWN", own).replace("WATTS", str(7200 * amps))
    path = pathlib.Path("case.glm")
    path.write_text(text)
    grid = gridlabd.GridLabD()
    assert (grid.load(str(path.resolve())), grid.setup_after_load(), grid.run()) == (0, 0, 0)
    read = [grid.get_property("line", name, False)[1] for name in ("current_out_A", "continuous_rating_A", "emergency_rating_A", "overloaded_status")]
    winter = float(grid.get_property("wires", "rating.winter.continuous")[1])
    warned = [m["message"] for m in grid.get_messages() if m["type"] in ("WARNING", "ERROR") and "KLU" not in m["message"]]
    loading = [round(float(re.search(r"at ([\d.]+)%", text).group(1))) for text in warned if "continuous rating" in text]
    first, second = (float(part) for part in re.match(r"([+-][\d.]+)([+-][\d.]+)j", read[0]).groups())
    return round(abs(complex(first, second))), *(round(float(text.split()[0])) for text in read[1:3]), round(winter), read[3], (loading or [0])[0], len(warned)


own = "continuous_rating_A 200 A; continuous_rating_B 200 A; continuous_rating_C 200 A;"
cases = {
    "July, 390 A, 200 in summer, 400 in winter": run("2023-07-15", 390, BOTH.format(400)),
    "January, 390 A, 200 in summer, 400 in winter": run("2023-01-15", 390, BOTH.format(400)),
    "January, 190 A, 200 in summer, 150 in winter": run("2023-01-15", 190, BOTH.format(150)),
    "July, 190 A, 200 in summer, 150 in winter": run("2023-07-15", 190, BOTH.format(150)),
    "July, 390 A, none stated": run("2023-07-15", 390),
    "July, 900 A, none stated": run("2023-07-15", 900),
    "July, 390 A, 200 stated for the line": run("2023-07-15", 390, "", own),
}
print("RESULT A, rating, emergency rating, rating of winter read back, overloaded, % of the warning, warnings")
for name, row in cases.items():
    print("RESULT", f"{name:46s}", *row)
short = [row[:6] for row in cases.values()]
assert short[:2] == [(390, 200, 600, 400, "TRUE", 195)] * 2, short
assert short[2:4] == [(190, 150, 600, 150, "TRUE", 127)] * 2, short
assert [row[1:3] + row[4:] for row in list(cases.values())[4:]] == [(1000, 2000, "FALSE", 0, 0)] * 3, cases
PY
grep ^RESULT log
echo "as recorded"
