"""Case files that compute: what is read of them beside Octave, an evaluator of their own language, and PYPOWER's costs.

    apt-get install octave && python benchmarks/case_files_octave.py

Files are written here, of kinds that published ones have: units converted after the tables, logical and `end` indices,
transposed tables, names with signs of comments, tables given twice, DC lines, angles, parallel branches, a reference
without generator, statements that are refused. Octave evaluates each and saves its tables; they must be ours, and the
dispatch must cost what PYPOWER's DC optimal power flow of Octave's tables costs. DC lines are fixed injections in both.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from measuring import ROOT, machine
from scipy.io import loadmat

sys.path.insert(0, str(ROOT))
sys.path.insert(0, str(ROOT / "tests" / "cross_check"))

from network_cases import dispatched, reference_cost

from g2g_opt.errors import InputError
from g2g_opt.transmission.case_tables import read_tables
from g2g_opt.transmission.network_case import load_network_case

TABLES = ("bus", "gen", "branch", "gencost")
# The first ten names of MATPOWER's idx_bus, which a file may ask for.
IDX_BUS = """function [PQ, PV, REF, NONE, BUS_I, BUS_TYPE, PD, QD, GS, BS] = idx_bus
PQ = 1; PV = 2; REF = 3; NONE = 4; BUS_I = 1; BUS_TYPE = 2; PD = 3; QD = 4; GS = 5; BS = 6;
"""
HEAD = """function mpc = @NAME
mpc.version = '2';
mpc.baseMVA = 100;
"""
BUS = """mpc.bus = [
1 3 0 0 0 0 1 1 0 135 1 1.05 0.95;
2 2 50 10 0 0 1 1 0 135 1 1.05 0.95;
3 1 90 30 0 0 1 1 0 135 1 1.05 0.95;
4 1 60 20 0 0 1 1 0 135 1 1.05 0.95;
];
"""
GEN = """mpc.gen = [
1 0 0 100 -100 1 100 1 200 0 0 0 0 0 0 0 0 0 0 0 0;
2 0 0 100 -100 1 100 1 150 10 0 0 0 0 0 0 0 0 0 0 0;
];
"""
BRANCH = """mpc.branch = [
1 2 0.01 0.1 0.02 80 0 0 0 0 1 -360 360;
1 3 0.02 0.2 0.02 80 0 0 0 0 1 -360 360;
2 3 0.01 0.15 0.02 60 0 0 0 0 1 -360 360;
3 4 0.01 0.1 0.02 70 0 0 0 0 1 -360 360;
2 4 0.01 0.12 0.02 70 0 0 0 0 1 -360 360;
];
"""
COST = """mpc.gencost = [
2 100 0 3 0.02 20 5;
2 0 0 3 0.01 35 7;
];
"""


def stated(after: str = "", *, bus: str = BUS, gen: str = GEN, branch: str = BRANCH, cost: str = COST) -> str:
    """A case file of these tables, and what it says `after` them."""
    return HEAD + bus + gen + branch + cost + after


def with_rows(table: str, *rows: str) -> str:
    return table.replace("];", "".join(f"{row};\n" for row in rows) + "];")


CASES = {
    "end_logical": stated(
        """
[PQ, PV, REF, NONE, BUS_I, BUS_TYPE, PD, QD, GS, BS] = idx_bus;
mpc.bus(end, PD) = mpc.bus(end, PD) + 10;
heavy = mpc.bus(:, PD) > 80;
mpc.bus(heavy, [PD QD]) = mpc.bus(heavy, [PD QD]) * 0.9;
mpc.branch(mpc.branch(:,6) == 60, 6) = 65;
"""
    ),
    "transpose": stated(
        bus="""mpc.bus = [
1 2 3 4
3 2 1 1
0 50 90 60
0 10 30 20
0 0 0 0
0 0 0 0
1 1 1 1
1 1 1 1
0 0 0 0
135 135 135 135
1 1 1 1
1.05 1.05 1.05 1.05
.95 .95 .95 .95
]';
"""
    ),
    "units": stated(
        """
%% convert loads from kW to MW, ohms to pu
Vbase = mpc.bus(1, 10) * 1e3 ;
Sbase = mpc.baseMVA * 1e6;
mpc.bus(:, [3, 4]) = mpc.bus(:, [3, 4]) / 1e3;
k = [1 4];
mpc.branch(k, [3 4]) = mpc.branch(k, [3 4]) * 135^2 / 100 / (Vbase^2 / Sbase) / 12.25 * 10 .* 1;
""",
        bus=BUS.replace("50 10", "50e3 10e3").replace("90 30", "90e3 30e3").replace("60 20", "60e3 20e3"),
        branch=BRANCH.replace("0.01 0.1 ", "0.1225 1.225 "),
    ),
    "string_cells": stated(
        """
mpc.bus_name = {
	'North % not a comment';
	'South [x';
	'East; it''s';
	"West";
};
mpc.gentype = {'ST'; 'CT'};
%{
mpc.bus(:, 3) = 0;
%}
"""
    ),
    "twice_dcline": stated(
        """
mpc.dcline = [
	1	4	1	20	19	0	0	1	1	0	30	-10	10	-10	10	0.5	0.01;
	2	3	0	20	19	0	0	1	1	0	30	-10	10	-10	10	0.5	0.01;
];
""",
        bus=BUS + BUS.replace("2 2 50 10", "2 2 55 10"),
    ),
    "shift_angle_pwl": stated(
        branch=BRANCH.replace(
            "1 3 0.02 0.2 0.02 80 0 0 0 0 1 -360 360", "1 3 0.02 0.2 0.02 80 0 0 1 4 1 -360 360"
        ).replace("2 4 0.01 0.12 0.02 70 0 0 0 0 1 -360 360", "2 4 0.01 0.12 0.02 70 0 0 0 0 1 -3 3"),
        cost="""mpc.gencost = [
1 0 0 3 0 0 100 2000 200 5000;
2 0 0 2 35 7 0 0 0 0;
];
""",
    ),
    "parallel_zero": stated(
        """
mpc.branch(end-1, 4) = mpc.branch(end-1, 4) / 2; mpc.branch(end+1, :) = mpc.branch(3, :);
mpc.branch(end, 6) = 40;
""",
        branch=with_rows(BRANCH, "3 4 0.01 0.1 0.02 30 0 0 0 0 1 -360 360", "2 1 0.01 0.1 0.02 70 0 0 0 0 0 -360 360"),
    ),
    "isolated_negative": stated(
        bus=with_rows(BUS, "5 4 500 0 0 0 1 1 0 135 1 1.05 .95", "6 1 -25 -5 0 0 1 1 0 135 1 1.05 .95"),
        branch=with_rows(BRANCH, "6 3 0.01 0.1 0.02 70 0 0 0 0 1 -360 360"),
    ),
    "ref_without_gen": stated(bus=BUS.replace("1 3 0 0", "1 2 0 0").replace("3 1 90", "3 3 90")),
    "handles": stated(
        """
f = @(x) x * 2;
mpc.gencost(:, 6) = f(mpc.gencost(:, 6));
"""
    ),
    "ops": stated(
        """
nb = size(mpc.bus, 1);
scale = ones(nb, 1); scale(2:2:end) = 1.1;
mpc.bus(:, 3:4) = bsxfun(@times, mpc.bus(:, 3:4), scale);
mpc.bus(:, 3) = round(mpc.bus(:, 3) * 10) / 10;
total = sum(mpc.bus(:, 3));
if total > 100
  mpc.gen(1, 9) = 180;
end
"""
    ),
    "const_linear": stated(
        cost="""mpc.gencost = [
2 0 0 1 120 0 0 0;   % a constant
2 0 0 4 1e-5 0.01 25 3;
];
"""
    ),
    # What a DC line carries is stated at either end: a negative flow runs the other way, and is lost at its far end.
    "dcline_reversed": stated(
        """
mpc.dcline = [ 1 4 1 -20 -21.2 0 0 1 1 -30 0 -10 10 -10 10 1 0.01 ];
"""
    ),
    "taps_in_parallel": stated(
        """
% two transformers side by side, one of them with a tap and a shift; the third is out of service
mpc.branch(1, [9 10]) = [0.975, -2];
mpc.branch(end+1, :) = [1 2 0 0.08 0 50 0 0 1.02 0 1 -360 360];
mpc.branch = [mpc.branch; 1 2 0 0.05 0 50 0 0 1 0 0 -360 360];
"""
    ),
    "pwl_equal_breakpoints": stated(
        cost="""mpc.gencost = [
1 0 0 4 0 0 60 1200 60 1200 200 6000;
1 0 0 2 10 350 150 5250 0 0 0 0;
];
"""
    ),
    "constants_alone": stated(
        cost="""mpc.gencost = [
2 0 0 1 120 0 0;
2 0 0 1 80 0 0;
];
"""
    ),
    "gen_out_at_reference": stated(
        gen=GEN.replace("1 0 0 100 -100 1 100 1 200 0", "1 0 0 100 -100 1 100 0 200 0").replace("150 10 0", "250 10 0")
    ),
    "kw_ohm_named": stated(
        """
%% define_constants is a script; columns by name, units by statements
[PQ, PV, REF, NONE, BUS_I, BUS_TYPE, PD, QD, GS, BS] = idx_bus;
BR_R = 3; BR_X = BR_R + 1;
%{
  mpc.bus(:, PD) = 0;
  %{
  nested
  %}
%}
mpc.bus(:, [PD, QD]) = mpc.bus(:, ...   continued
    [PD, QD]) ./ 1000;
Zb = (mpc.bus(1, 10) ^ 2) / mpc.baseMVA;
mpc.branch(:, [BR_R BR_X]) = mpc.branch(:, [BR_R BR_X]) / Zb;  % ohms
""",
        bus=BUS.replace("50 10", "50e3 10e3").replace("90 30", "90e3 30e3").replace("60 20", "60e3 20e3"),
        branch="""mpc.branch = [
1 2 1.8225 18.225 0.02 80 0 0 0 0 1 -360 360; 1 3 3.645 36.45 0.02 80 0 0 0 0 1 -360 360
2, 3, 1.8225, 27.3375, 0.02, 60, 0, 0, 0, 0, 1, -360, 360
3 4 1.8225 18.225 0.02 70 0 0 0 0 1 -360 360
2 4 1.8225 21.87 0.02 70 0 0 0 0 1 -360 360];
""",
    ),
}


def by_octave(path: Path) -> Any:
    """What Octave makes of a file."""
    saved = path.with_suffix(".mat")
    text = f"m = {path.stem}; save('-6', '{saved}', 'm');"
    subprocess.run(["octave-cli", "-q", "--eval", text], cwd=path.parent, check=True, capture_output=True)
    return loadmat(saved, squeeze_me=False, struct_as_record=False)["m"][0, 0]


def pypower_case(stated: Any) -> dict[str, Any]:
    """Octave's tables for PYPOWER, DC lines in service as loads at their ends."""
    tables = {name: np.array(getattr(stated, name)) for name in TABLES}
    bus = tables["bus"]
    for line in getattr(stated, "dcline", np.zeros((0, 17))):
        if line[2] > 0.0:
            bus[bus[:, 0] == line[0], 2] += line[3]
            bus[bus[:, 0] == line[1], 2] -= line[3] - (line[15] + line[16] * line[3])
    return {"version": "2", "baseMVA": float(stated.baseMVA[0, 0]), **tables}


def judged(path: Path) -> str:
    """What became of a file, in words."""
    try:
        own = read_tables(path.read_text(encoding="utf-8"), str(path))
        _, found, _ = dispatched(load_network_case(str(path)))
    except InputError as error:
        return f"refused: {str(error).replace(str(path), path.name)}"
    stated = by_octave(path)
    same = all(np.array_equal(getattr(own, n)[:, : getattr(stated, n).shape[1]], getattr(stated, n)) for n in TABLES)
    words = f"tables {'equal' if same else 'DIFFER'}, {found.cost_usd[0]:,.4f} $"
    if found.shed_mw.sum() > 1e-3:
        words += f", {found.shed_mw.sum():.2f} MW shed"
    reference = reference_cost(pypower_case(stated))
    if np.isnan(reference):
        return f"{words}; PYPOWER has no solution"
    if reference == 0.0:
        return f"{words}, nothing by PYPOWER, which leaves out what is constant where a cost has no other term"
    return f"{words}, {abs(found.cost_usd[0] - reference) / reference:.0e} from PYPOWER"


def main() -> None:
    print(machine())
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        (folder / "idx_bus.m").write_text(IDX_BUS, encoding="utf-8")
        for name, text in CASES.items():
            path = folder / f"{name}.m"
            path.write_text(text.replace("@NAME", name), encoding="utf-8")
            print(f"{name:20} {judged(path)}", flush=True)


if __name__ == "__main__":
    main()
