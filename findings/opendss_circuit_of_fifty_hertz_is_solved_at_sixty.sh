#!/usr/bin/env bash
# OpenDSSDirect.py 0.9.4 (DSS C-API 0.14.5) and py-dss-interface 2.3.0 (EPRI's engine 10.1.0.1), alike. `New Circuit.c basefreq=50` is a
# circuit that is solved at 60 Hz: the word is the source's, lines and the solution have 60. A line of wires, whose reactance is worked
# out for the frequency, so has a fifth too much: 5 MW over five miles end at 0.863 pu on the first phase where 50 Hz have 0.880. `Set
# DefaultBaseFreq=50` before the circuit is what counts, and that stays when the circuit goes: after `Clear`, or ClearAll, the next
# circuit, whose file says nothing as files of 60 Hz feeders do, is at 50 Hz, and one that says basefreq=60 as well. So one of the two
# frequencies is wrong in a study of feeders of both, by the order in which they are read. Lines that state ohms show nothing of it.
# Nothing is reported. Exits 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q opendssdirect.py==0.9.4 dss-python==0.15.7 dss-python-backend==0.14.5 numpy==2.4.6 py-dss-interface==2.3.0
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import opendssdirect as dss
import py_dss_interface

epri = py_dss_interface.DSS()
WIRES = (
    "New WireData.w gmrac=0.0244 gmrunits=ft rac=0.306 runits=mi diam=0.721 radunits=in normamps=530",
    "New LineGeometry.g nconds=3 nphases=3 cond=1 wire=w x=-4 h=28 units=ft cond=2 wire=w x=-1.5 h=28 cond=3 wire=w x=3 h=28",
    "New Line.l bus1=s bus2=b geometry=g length=5 units=mi",
)
OHMS = ("New Line.l bus1=s bus2=b r1=0.306 x1=0.7 r0=0.5 x0=1.9 c1=0 c0=0 length=5",)


def solved(text, pu, line, words="", first=()):
    """The frequency that a circuit is solved at, in Hz, and the first phase's voltage at its end, in pu."""
    for command in (
        *first,
        f"New Circuit.c basekv=12.47 bus1=s {words} mvasc3=1e5 mvasc1=1e5",
        *line,
        "New Load.d bus1=b kv=12.47 kw=5000 pf=0.9 vminpu=0.7",
        "Set voltagebases=[12.47]",
        "CalcVoltageBases",
        "Solve",
    ):
        text(command)
    return float(ask(text, "Get frequency")), round(pu(), 3)


def ask(text, words):
    answer = text(words)
    return dss.Text.Result() if answer is None else answer


def of_capi():
    dss.Circuit.SetActiveBus("b")
    return dss.Bus.puVmagAngle()[0]


def of_epri():
    epri.circuit.set_active_bus("b")
    return epri.bus.vmag_angle_pu[0]


for engine, text, pu in (("DSS C-API", dss.Text.Command, of_capi), ("EPRI", epri.text, of_epri)):
    fifty = ("Clear", "Set DefaultBaseFreq=50")
    found = {
        "nothing said": solved(text, pu, WIRES, "", ("Clear",)),
        "basefreq=50": solved(text, pu, WIRES, "basefreq=50", ("Clear",)),
        "ohms, basefreq=50": solved(text, pu, OHMS, "basefreq=50", ("Clear",)),
        "default 50": solved(text, pu, WIRES, "", fifty),
        "the next one, nothing said": solved(text, pu, WIRES, "", ("ClearAll",)),
        "the next one, basefreq=60": solved(text, pu, WIRES, "basefreq=60", ("Clear",)),
        "ohms, default 50": solved(text, pu, OHMS, "", fifty),
    }
    print(engine, found)
    assert found["nothing said"] == found["basefreq=50"] == (60.0, 0.863), found
    assert found["default 50"] == found["the next one, nothing said"] == found["the next one, basefreq=60"] == (50.0, 0.88), found
    assert found["ohms, basefreq=50"][1] == found["ohms, default 50"][1], found
PY
echo "as recorded"
