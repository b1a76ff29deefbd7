#!/usr/bin/env bash
# ANDES 2.0.0, reading a transformer of a PSS/E file (revision 33). Its ratio is that of WINDV1 alone, where turns are in pu (CW=1):
# WINDV1=1.05 gives 0.9524 pu at the unloaded end, as it should, WINDV2=1.05 gives 1.0 and not 1.05, and both together, which is
# a ratio of 1, give 0.9524 again. Of the magnetizing branch the conductance is lost: 100 kW of no-load losses, stated in pu (CM=1) or in
# watts (CM=2), are 0 MW. And stated as an exciting current (CM=2, MAG2=0.01005, what test reports have) it gives the 1 Mvar that it
# should take; in pu (CM=1, MAG2=-0.01) it takes it. All of them converge and nothing is reported, so a case whose taps are on the
# second winding, as those of distribution substations often are, is solved some taps away from where it stands.
# Exits 0 while this is so. (Two minutes.)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q andes==2.0.0 numpy==2.4.6 scipy==1.17.1 pandas==3.1.1
cd "$folder"
export HOME="$folder"
"$folder/venv/bin/python" -W ignore - <<'PY'
import andes

SECTIONS = (
    "AREA TWO-TERMINAL-DC VSC-DC IMPEDANCE-CORRECTION MULTI-TERMINAL-DC MULTI-SECTION-LINE ZONE TRANSFER OWNER FACTS "
    "SWITCHED-SHUNT GNE INDUCTION-MACHINE"
).split()
RAW = """0, 100.0, 33, 0, 1, 50.0 / one transformer without a load
HEAD is held at 1 pu
END has nothing
1,'HEAD', 110.0, 3, 1, 1, 1, 1.0, 0.0
2,'END', 20.0, 1, 1, 1, 1, 1.0, 0.0
0 / LOAD
0 / FIXED SHUNT
0 / GENERATOR
1,'1', 0.0, 0.0, 50.0, -50.0, 1.0, 0, 100.0, 0.0, 1.0, 0.0, 0.0, 1.0, 1, 100.0, 100.0, 0.0, 1, 1.0
0 / BRANCH
0 / TRANSFORMER
1, 2, 0, '1', 1, 1, {cm}, {mag1}, {mag2}, 2, 'T', 1, 1, 1.0
0.01, 0.25, 100.0
{windv1}, 0.0, 0.0, 50.0, 50.0, 50.0, 0, 0, 1.1, 0.9, 1.1, 0.9, 33, 0, 0.0, 0.0, 0.0
{windv2}, 0.0
"""
PLAIN = {"cm": 1, "mag1": 0.0, "mag2": 0.0, "windv1": 1.0, "windv2": 1.0}


def solved(**record):
    """pu at END, MW and Mvar that HEAD gives."""
    with open("case.raw", "w") as file:
        file.write(RAW.format(**PLAIN | record) + "".join(f"0 / {name}\n" for name in SECTIONS) + "Q\n")
    case = andes.load("case.raw", no_output=True, default_config=True)
    case.PFlow.run()
    assert case.PFlow.converged
    mw, mvar = 100.0 * float(case.Slack.p.v[0]), 100.0 * float(case.Slack.q.v[0])
    return round(float(case.Bus.v.v[1]), 3), round(mw, 2) + 0.0, round(mvar, 2) + 0.0


found = {
    "plain": solved(),
    "WINDV1 1.05": solved(windv1=1.05),
    "WINDV2 1.05": solved(windv2=1.05),
    "both 1.05": solved(windv1=1.05, windv2=1.05),
    "losses, pu": solved(mag1=0.001, mag2=-0.01),
    "losses, tests": solved(cm=2, mag1=100000.0, mag2=0.01005),
}
print("pu at the end, MW and Mvar taken:")
for name, figures in found.items():
    print(f"  {name:14s}", *figures)
assert found["plain"] == (1.0, 0.0, 0.0), found
assert found["WINDV1 1.05"] == found["both 1.05"] == (0.952, 0.0, 0.0), found
assert found["WINDV2 1.05"] == (1.0, 0.0, 0.0), found
assert found["losses, pu"] == (0.999, 0.0, 1.0), found
assert found["losses, tests"] == (1.001, 0.0, -1.0), found
PY
echo "as recorded"
