#!/usr/bin/env bash
# VeraGridEngine 6.5.36 (GridCal's successor), reading networks of pandapower 3.5.6 (Panda2VeraGrid), then an AC flow of either; a plain
# feeder is the same in both to all that is printed. A capacitor bank of 2 Mvar comes as a reactor of 2: 0.983 pu for 1.018, and is there,
# too, where it is out of service, as is a transformer that is out. A transformer's tap does nothing: at -2 its low side has 0.974 pu for
# 1.026. The number of lines in parallel is left out (0.981 for 0.991), as are the scaling of loads and static generators (4 MW for 2),
# constant impedance, and a line's losses to ground (0.2 MW). Loads and generators by phase, motors and wards are missing altogether: 0 MW
# for 2. Each converges, and the reader's log has the same three lines as that of the plain one. Exits 0 while this is so. (Five minutes.)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q VeraGridEngine==6.5.36 pandapower==3.5.6 numpy==2.4.6 pandas==2.3.3
cd "$folder"
cat > both.py <<'PY'
import warnings

import pandapower as pp
import VeraGridEngine.api as veragrid
from VeraGridEngine.IO.others.pandapower_parser import Panda2VeraGrid

warnings.filterwarnings("ignore")
TAP = {"tap_side": "hv", "tap_neutral": 0, "tap_min": -2, "tap_max": 2, "tap_step_percent": 2.5, "tap_pos": -2, "tap_changer_type": "Ratio"}


def edited(table, **words):
    """A change of the first row of a table, beside 2 MW at the line's end and 0.4 MW behind the transformer."""

    def change(n):
        pp.create_load(n, 1, 2.0)
        pp.create_load(n, 2, 0.4)
        for column, value in words.items():
            n[table][column] = value

    return change


def second_transformer(n):
    pp.create_load(n, 2, 0.4)
    pp.create_transformer_from_parameters(n, 1, 2, 0.63, 20.0, 0.4, 1.0, 6.0, 1.2, 0.2, in_service=False)


CASES = {
    "plain": lambda n: pp.create_load(n, 1, 2.0, 0.5),
    "capacitor": lambda n: pp.create_shunt(n, 1, q_mvar=-2.0, p_mw=0.0),
    "capacitor, out": lambda n: pp.create_shunt(n, 1, q_mvar=-2.0, p_mw=0.0, in_service=False),
    "tap": edited("trafo", **TAP),
    "transformer, out": second_transformer,
    "two lines": edited("line", parallel=2),
    "losses to ground": edited("line", g_us_per_km=50.0),
    "load, scaled": lambda n: pp.create_load(n, 1, 4.0, scaling=0.5),
    "generator, scaled": lambda n: pp.create_sgen(n, 1, 4.0, scaling=0.5),
    "impedance": lambda n: pp.create_load(n, 1, 2.0, 0.5, const_z_p_percent=100, const_z_q_percent=100),
    "by phase": lambda n: pp.create_asymmetric_load(n, 1, p_a_mw=0.7, p_b_mw=0.7, p_c_mw=0.6),
    "generator by phase": lambda n: pp.create_asymmetric_sgen(n, 1, p_a_mw=0.7, p_b_mw=0.7, p_c_mw=0.6),
    "motor": lambda n: pp.create_motor(n, 1, 2.0, 0.9, efficiency_percent=95, loading_percent=100),
    "ward": lambda n: pp.create_ward(n, 1, 1.0, 0.2, 1.0, 0.3),
}


def flows(add):
    """pu at the line's end and behind the transformer, and MW into the line: pandapower's and VeraGrid's; and lines of VeraGrid's log."""
    n = pp.create_empty_network()
    for kv in (20.0, 20.0, 0.4):
        pp.create_bus(n, kv)
    pp.create_ext_grid(n, 0, vm_pu=1.0)
    pp.create_line_from_parameters(n, 0, 1, 10.0, 0.3, 0.35, 10.0, 0.3)
    pp.create_transformer_from_parameters(n, 1, 2, 0.63, 20.0, 0.4, 1.0, 6.0, 1.2, 0.2)
    add(n)
    pp.runpp(n, numba=False)
    reader = Panda2VeraGrid(n)
    grid = reader.get_multicircuit()
    result = veragrid.power_flow(grid)
    assert result.converged
    at_head = [k for k, branch in enumerate(grid.get_branches()) if branch.bus_from is grid.buses[0]]
    own = *n.res_bus.vm_pu.round(3).tolist()[1:], round(float(n.res_line.p_from_mw.sum()), 2)
    read = *(round(float(abs(v)), 3) for v in result.voltage[1:3]), round(float(sum(result.Sf[k].real for k in at_head)), 2)
    return own, read, len(reader.logger)


for name, add in CASES.items():
    print("RESULT", name, *flows(add))
PY
"$folder/venv/bin/python" both.py >log 2>errors || { cat errors; exit 1; }
grep ^RESULT log | tee result
diff result - <<'EXPECTED'
RESULT plain (0.98, 0.98, 2.03) (0.98, 0.98, 2.03) 3
RESULT capacitor (1.018, 1.018, 0.03) (0.983, 0.983, 0.03) 3
RESULT capacitor, out (1.0, 1.0, 0.0) (0.983, 0.983, 0.03) 3
RESULT tap (0.981, 1.026, 2.45) (0.981, 0.974, 2.45) 3
RESULT transformer, out (0.997, 0.99, 0.41) (0.997, 0.994, 0.4) 3
RESULT two lines (0.991, 0.984, 2.43) (0.981, 0.974, 2.45) 3
RESULT losses to ground (0.981, 0.973, 2.65) (0.981, 0.974, 2.45) 3
RESULT load, scaled (0.985, 0.985, 2.03) (0.968, 0.968, 4.13) 3
RESULT generator, scaled (1.015, 1.015, -1.97) (1.029, 1.029, -3.89) 3
RESULT impedance (0.981, 0.981, 1.96) (0.98, 0.98, 2.03) 3
RESULT by phase (0.985, 0.985, 2.03) (1.0, 1.0, 0.0) 3
RESULT generator by phase (1.015, 1.015, -1.97) (1.0, 1.0, 0.0) 3
RESULT motor (0.975, 0.975, 2.15) (1.0, 1.0, 0.0) 3
RESULT ward (0.981, 0.981, 1.99) (1.0, 1.0, 0.0) 3
EXPECTED
echo "as recorded"
