#!/usr/bin/env bash
# py-dss-interface 2.3.0 (EPRI's engine 10.1.0.1, as the package has it for Linux) beside OpenDSSDirect.py 0.9.4 (DSS C-API 0.14.5):
# Monte Carlo modes (M1, M2, M3), loads of 1,000 kW in all. Random=Gaussian, which stands where nobody states it, is 0 V at the customers
# in EPRI's engine and 103 MW from the source, V^2/Z of the line as in a short circuit; with Random=lognormal every voltage is NaN. Both
# "converged", after two iterations. DSS C-API gives some 500 kW (a load's %mean is 50 unless stated; with %mean=100 1,000), as it should,
# but of lognormal 1.65 times the mean that was stated (the root of e), whatever %stddev is. Of uniform both draw anything from 0 to
# 1 and look at no mean: 1,000 kW of %mean=100 are 500. Why EPRI's loads become a short circuit is not known here. Exits 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q opendssdirect.py==0.9.4 dss-python==0.15.7 dss-python-backend==0.14.5 numpy==2.4.6 py-dss-interface==2.3.0
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import math

import opendssdirect
import py_dss_interface

epri = py_dss_interface.DSS()
LOADS, DRAWS = 100, 20


def drawn(random, words="", mode="M1"):
    """Of each engine: kW and kvar of the source, V at the customers, in several draws; all of them reported as converged."""
    circuit = (
        "Clear",
        "New Circuit.c basekv=12.47 bus1=s mvasc3=100000 mvasc1=100000",
        "New Line.l bus1=s bus2=a length=1 units=km r1=0.3 x1=0.6 r0=0.6 x0=1.2 c1=0 c0=0",
        *(f"New Load.x{i} bus1=a kv=12.47 kw={1000 / LOADS} pf=1 {words}" for i in range(LOADS)),
        f"Set mode={mode} number=1",
        *([f"Set random={random}"] if random else []),
    )
    for line in circuit:
        epri.text(line)
        opendssdirect.Text.Command(line)
    theirs, mine = [], []
    for _ in range(DRAWS):
        epri.text("Solve")
        opendssdirect.Text.Command("Solve")
        assert epri.solution.converged and opendssdirect.Solution.Converged(), random
        theirs.append([-epri.circuit.total_power[0], -epri.circuit.total_power[1], epri.circuit.buses_vmag[-1]])
        mine.append([-x for x in opendssdirect.Circuit.TotalPower()] + [opendssdirect.Circuit.AllBusVMag()[-1]])
    return theirs, mine


def mean(draws):
    return round(sum(kw for kw, *_ in draws) / len(draws))


short = 12.47**2 * 1000 / complex(0.3, -0.6)
found = {}
print("\nkW of the source, mean of the draws: EPRI's engine, DSS C-API")
for random in ("", "gaussian", "lognormal", "uniform", "none"):
    for words in ("", "%mean=100 %stddev=5"):
        theirs, mine = drawn(random, words)
        found[random, words] = theirs, mean(mine)
        print(f"  {random or 'as it comes':12s} {words:20s}", *(f"{x:9.0f}" for x in (sum(k for k, *_ in theirs) / DRAWS, mean(mine))))
        # What DSS C-API serves, it serves at a voltage near 1 pu.
        assert min(volts for *_, volts in mine) > 7000.0, (random, words, mine)
for mode in ("M2", "M3"):
    found[mode, ""] = drawn("", mode=mode)[0], None
for (random, words), (theirs, _) in found.items():
    if random in ("", "gaussian", "M2", "M3"):
        assert all(volts < 1.0 and abs(complex(kw, kvar) - short) < 0.01 * abs(short) for kw, kvar, volts in theirs), theirs
    if random == "lognormal":
        assert all(math.isnan(kw) and math.isnan(volts) for kw, _, volts in theirs), (random, words, theirs)
    if random == "uniform":
        assert 400 < mean(theirs) < 600, (random, words, theirs)
    if random == "none":
        assert mean(theirs) == 1002, (random, words, theirs)
kw = {key: mine for key, (_, mine) in found.items()}
stated = "%mean=100 %stddev=5"
assert 480 < kw["", ""] < 520 and 480 < kw["gaussian", ""] < 520 and 980 < kw["gaussian", stated] < 1020, kw
assert 740 < kw["lognormal", ""] < 920 and 1450 < kw["lognormal", stated] < 1850, kw
assert 450 < kw["uniform", stated] < 550 and 450 < kw["uniform", ""] < 550 and kw["none", stated] == kw["none", ""] == 1002, kw
PY
echo "as recorded"
