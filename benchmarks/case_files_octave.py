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
CASES: dict[str, str] = {}
CASES["end_logical"] = (
    HEAD
    + BUS
    + GEN
    + BRANCH
    + COST
    + """
[PQ, PV, REF, NONE, BUS_I, BUS_TYPE, PD, QD, GS, BS] = idx_bus;
mpc.bus(end, PD) = mpc.bus(end, PD) + 10;
heavy = mpc.bus(:, PD) > 80;
mpc.bus(heavy, [PD QD]) = mpc.bus(heavy, [PD QD]) * 0.9;
mpc.branch(mpc.branch(:,6) == 60, 6) = 65;
"""
)
CASES["transpose"] = (
    HEAD
    + """mpc.bus = [
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
    + GEN
    + BRANCH
    + COST
)
CASES["units"] = (
    HEAD
    + BUS.replace("50 10", "50e3 10e3").replace("90 30", "90e3 30e3").replace("60 20", "60e3 20e3")
    + GEN
    + BRANCH.replace("0.01 0.1 ", "0.1225 1.225 ")
    + COST
    + """
%% convert loads from kW to MW, ohms to pu
Vbase = mpc.bus(1, 10) * 1e3 ;
Sbase = mpc.baseMVA * 1e6;
mpc.bus(:, [3, 4]) = mpc.bus(:, [3, 4]) / 1e3;
k = [1 4];
mpc.branch(k, [3 4]) = mpc.branch(k, [3 4]) * 135^2 / 100 / (Vbase^2 / Sbase) / 12.25 * 10 .* 1;
"""
)
CASES["string_cells"] = (
    HEAD
    + BUS
    + GEN
    + BRANCH
    + COST
    + """
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
)
CASES["twice_dcline"] = (
    HEAD
    + BUS
    + BUS.replace("2 2 50 10", "2 2 55 10")
    + GEN
    + BRANCH
    + COST
    + """
mpc.dcline = [
	1	4	1	20	19	0	0	1	1	0	30	-10	10	-10	10	0.5	0.01;
	2	3	0	20	19	0	0	1	1	0	30	-10	10	-10	10	0.5	0.01;
];
"""
)
CASES["shift_angle_pwl"] = (
    HEAD
    + BUS
    + GEN
    + BRANCH.replace("1 3 0.02 0.2 0.02 80 0 0 0 0 1 -360 360", "1 3 0.02 0.2 0.02 80 0 0 1 4 1 -360 360").replace(
        "2 4 0.01 0.12 0.02 70 0 0 0 0 1 -360 360", "2 4 0.01 0.12 0.02 70 0 0 0 0 1 -3 3"
    )
    + """mpc.gencost = [
1 0 0 3 0 0 100 2000 200 5000;
2 0 0 2 35 7 0 0 0 0;
];
"""
)
CASES["parallel_zero"] = (
    HEAD
    + BUS
    + GEN
    + BRANCH.replace("];", "3 4 0.01 0.1 0.02 30 0 0 0 0 1 -360 360;\n2 1 0.01 0.1 0.02 70 0 0 0 0 0 -360 360;\n];")
    + COST
    + """
mpc.branch(end-1, 4) = mpc.branch(end-1, 4) / 2; mpc.branch(end+1, :) = mpc.branch(3, :);
mpc.branch(end, 6) = 40;
"""
)
CASES["isolated_negative"] = (
    HEAD
    + BUS.replace("];", "5 4 500 0 0 0 1 1 0 135 1 1.05 .95;\n6 1 -25 -5 0 0 1 1 0 135 1 1.05 .95;\n];")
    + GEN
    + BRANCH.replace("];", "6 3 0.01 0.1 0.02 70 0 0 0 0 1 -360 360;\n];")
    + COST
)
CASES["ref_without_gen"] = HEAD + BUS.replace("1 3 0 0", "1 2 0 0").replace("3 1 90", "3 3 90") + GEN + BRANCH + COST
CASES["handles"] = (
    HEAD
    + BUS
    + GEN
    + BRANCH
    + COST
    + """
f = @(x) x * 2;
mpc.gencost(:, 6) = f(mpc.gencost(:, 6));
"""
)
CASES["ops"] = (
    HEAD
    + BUS
    + GEN
    + BRANCH
    + COST
    + """
nb = size(mpc.bus, 1);
scale = ones(nb, 1); scale(2:2:end) = 1.1;
mpc.bus(:, 3:4) = bsxfun(@times, mpc.bus(:, 3:4), scale);
mpc.bus(:, 3) = round(mpc.bus(:, 3) * 10) / 10;
total = sum(mpc.bus(:, 3));
if total > 100
  mpc.gen(1, 9) = 180;
end
"""
)
CASES["const_linear"] = (
    HEAD
    + BUS
    + GEN
    + BRANCH
    + """mpc.gencost = [
2 0 0 1 120 0 0;   % a constant
2 0 0 4 1e-5 0.01 25 3;
];
""".replace("2 0 0 1 120 0 0;", "2 0 0 1 120 0 0 0;")
)


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
