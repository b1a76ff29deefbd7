#!/usr/bin/env bash
# pypowsybl 1.16.1, reading a PSS/E file (revision 33). The vars of a load's constant admittance (YQ) have the sign of an admittance
# there, unlike QL and IQ beside them: below zero for what is inductive, as with a shunt's BL. It is added to them with its sign, so an
# inductive load of 10 Mvar that is written as YQ=-10 comes back as a load of -10 Mvar: its bus stands at 1.028 pu instead of
# 0.947 (as QL) or 0.951 (as a fixed shunt of -10, which is read rightly). With the load model switched on (useLoadModel) it is -10.6.
# A switched shunt's BINIT is put to the nearest of its steps, also where it is controlled continuously (MODSW=2), as static var
# compensators are written: of one block of 20 Mvar 9 are 0 and 11 are 20. Nothing is reported, and the flow converges.
# Exits 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q pypowsybl==1.16.1 numpy==2.4.6 pandas==3.1.1
cd "$folder"
export HOME="$folder"
"$folder/venv/bin/python" - <<'PY'
import pypowsybl.loadflow as lf
import pypowsybl.network as pn

SECTIONS = "TWO-TERMINAL-DC VSC-DC IMPEDANCE-CORRECTION MULTI-TERMINAL-DC MULTI-SECTION-LINE ZONE TRANSFER OWNER FACTS".split()
RAW = """0, 100.0, 33, 0, 1, 50.0 / a head, a line, an end
10 MW at the end
and vars in one way or another
1,'HEAD', 20.0, 3, 1, 1, 1, 1.0, 0.0
2,'END', 20.0, 1, 1, 1, 1, 1.0, 0.0
0 / LOAD
2,'1', 1, 1, 1, 10.0, {ql}, 0.0, 0.0, 0.0, {yq}, 1, 1, 0
0 / FIXED SHUNT
{fixed}0 / GENERATOR
1,'1', 10.0, 0.0, 50.0, -50.0, 1.0, 0, 100.0, 0.0, 1.0, 0.0, 0.0, 1.0, 1, 100.0, 100.0, 0.0, 1, 1.0
0 / BRANCH
1, 2, '1', 0.1, 0.4, 0.0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1
0 / TRANSFORMER
0 / AREA
{sections}0 / SWITCHED SHUNT
{switched}0 / GNE
0 / INDUCTION MACHINE
Q
"""


def read(ql=0.0, yq=0.0, fixed="", binit=None, model="false"):
    """pu at the end, Mvar of the load as it was read and as it is solved, Mvar that a shunt takes at 1 pu."""
    switched = "" if binit is None else f"2, 2, 0, 1, 1.05, 0.95, 0, 100.0, ' ', {binit}, 1, 20.0\n"
    sections = "".join(f"0 / {name}\n" for name in SECTIONS)
    with open("case.raw", "w") as file:
        file.write(RAW.format(ql=ql, yq=yq, fixed=fixed, sections=sections, switched=switched))
    n = pn.load("case.raw")
    parameters = lf.Parameters(distributed_slack=False, provider_parameters={"useLoadModel": model})
    assert lf.run_ac(n, parameters)[0].status.name == "CONVERGED"
    end_pu, load, shunts = float(n.get_buses().v_mag.iloc[1]) / 20.0, n.get_loads().iloc[0], n.get_shunt_compensators()
    shunt_mvar = round(float(shunts.q.iloc[0]) / end_pu**2, 2) + 0.0 if len(shunts) else 0.0
    return round(end_pu, 3), round(float(load.q0), 2), round(float(load.q), 1), shunt_mvar


found = {
    "QL 10": read(ql=10.0),
    "YQ -10": read(yq=-10.0),
    "YQ -10, load model": read(yq=-10.0, model="true"),
    "fixed shunt, BL -10": read(fixed="2, '1', 1, 0.0, -10.0\n"),
    "BINIT 9 of 20": read(ql=5.0, binit=9.0),
    "BINIT 11 of 20": read(ql=5.0, binit=11.0),
}
print("pu, Mvar of the load as read and as solved, Mvar of the shunt:")
for name, figures in found.items():
    print(f"  {name:20s}", *figures)
assert found["QL 10"] == (0.947, 10.0, 10.0, 0.0), found
assert found["YQ -10"] == (1.028, -10.0, -10.0, 0.0), found
assert found["YQ -10, load model"] == (1.03, -10.0, -10.6, 0.0), found
assert found["fixed shunt, BL -10"] == (0.951, 0.0, 0.0, 10.0), found
assert found["BINIT 9 of 20"][3] == 0.0 and found["BINIT 11 of 20"][3] == -20.0, found
PY
echo "as recorded"
