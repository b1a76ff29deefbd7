#!/usr/bin/env bash
# ANDES 2.0.0, its converter to pandapower 3.5.6 (interop.pandapower.to_pandapower). A MATPOWER case whose transformer and line may carry
# 15 MVA each and bring 20 MW to a load. Both flows agree to the last digit, which the converter verifies and says. The line is loaded to
# 133 % in pandapower, the transformer in front of it to 0.02: it comes with sn_mva=99999, whatever RATE_A says, and its impedances are
# made to fit that. So the DC optimum, with a dearer generator beside the load, keeps the line at 100 % if the line has the 15 MVA, and
# where the transformer alone has it, it brings all 20 MW through at 200 $/h, where 15 and 5 MW for 250 are what is possible. A rating of
# 0 on a line becomes one of 2,000 MVA. Nothing is reported but that the conversion is successful. Exits 0 while this is so. (Two
# minutes.)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q andes==2.0.0 pandapower==3.5.6 numpy==2.4.6 pandas==2.3.3 scipy==1.17.1
cd "$folder"
cat > convert.py <<'PY'
import warnings

import andes
import pandapower as pp
from andes.interop.pandapower import to_pandapower

warnings.filterwarnings("ignore")
andes.config_logger(40)
CASE = """function mpc = feeder
mpc.version = '2';
mpc.baseMVA = 100;
mpc.bus = [
1 3 0 0 0 0 1 1.0 0 110 1 1.2 0.8;
2 1 0 0 0 0 1 1.0 0 20 1 1.2 0.8;
3 2 20 5 0 0 1 1.0 0 20 1 1.2 0.8;
];
mpc.gen = [
1 20 0 99 -99 1.0 100 1 99 0;
3 0 0 20 -20 1.0 100 1 10 0;
];
mpc.branch = [
1 2 0.01 0.4 0 TRANSFORMER 0 0 0.98 0 1 -360 360;
2 3 0.05 0.1 0 LINE 0 0 0 0 1 -360 360;
];
"""


def converted(transformer_mva, line_mva):
    """The case as pandapower has it, and whether ANDES and pandapower agree on its voltages."""
    with open("feeder.m", "w") as opened:
        opened.write(CASE.replace("TRANSFORMER", str(transformer_mva)).replace("LINE", str(line_mva)))
    system = andes.load("feeder.m", setup=True, no_output=True, default_config=True)
    system.PFlow.run()
    n = to_pandapower(system)
    pp.runpp(n, numba=False)
    return n, max(abs(system.Bus.v.v - n.res_bus.vm_pu.to_numpy())) < 1e-6


def optimum(n):
    """Cost in $/h, MW of the cheap unit and the line's loading in the DC optimum; the unit at the load costs twice as much."""
    for unit, bus in zip(n.gen.index, n.gen.bus, strict=True):
        pp.create_poly_cost(n, unit, "gen", cp1_eur_per_mw=10.0 if bus == 0 else 20.0)
    pp.rundcopp(n)
    cheap = n.gen.index[n.gen.bus == 0][0]
    return round(float(n.res_cost), 1), round(float(n.res_gen.p_mw[cheap]), 1), round(float(n.res_line.loading_percent[0]))


both, same = converted(15, 15)
loading = round(float(both.res_line.loading_percent[0])), round(float(both.res_trafo.loading_percent[0]), 2)
print("RESULT", same, loading, float(both.trafo.sn_mva[0]), optimum(both))
alone, same = converted(15, 0)
print("RESULT", same, round(float(alone.line.max_i_ka[0] * 20 * 3**0.5)), float(alone.trafo.sn_mva[0]), optimum(alone))
PY
"$folder/venv/bin/python" convert.py >log 2>errors || { cat errors; exit 1; }
grep ^RESULT log | tee result
diff result - <<'EXPECTED'
RESULT True (133, 0.02) 99999.0 (250.0, 15.0, 100)
RESULT True 2000 99999.0 (200.0, 20.0, 1)
EXPECTED
echo "as recorded"
