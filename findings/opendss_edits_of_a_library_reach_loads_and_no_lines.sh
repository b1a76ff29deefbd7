#!/usr/bin/env bash
# OpenDSSDirect.py 0.9.4 (DSS C-API 0.14.5) and py-dss-interface 2.3.0 (EPRI's engine 10.1.0.1), alike. `Edit LoadShape.p` changes the
# loads that name it. `Edit LineCode.k`, with ten times its impedance and a third of its rating, changes no line of that code, before or
# after the next solution, nor does any other edit of the line, but for naming the code again; `Edit XfmrCode.x` is the same to its
# transformers. `Edit WireData.w rdc=3`, ten times as much, changes nothing if the geometry is named again, either, and nothing for a new
# line of it: the geometry keeps the wire as it was. Touched itself, with the height that it has, and then named again on the line, it is
# 0.726 pu for 0.961. The wire's ampacity stays the old one even then. Nothing is reported, so a sweep over conductors by their codes or
# wires finds them all alike, and one over shapes does not. Exits 0 while this is so.
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
CIRCUIT = (
    "Clear",
    "New Circuit.c basekv=12.47 bus1=s mvasc3=1e6 mvasc1=1e6",
    "New LineCode.k nphases=3 r1=0.1 x1=0.2 c1=0 normamps=300 units=km",
    "New XfmrCode.x phases=3 windings=2 kvs=[12.47 0.48] kvas=[1000 1000] xhl=5 %rs=[0.5 0.5]",
    "New LoadShape.p npts=2 interval=1 mult=[1 1]",
    "New WireData.w gmrac=0.0244 gmrunits=ft rac=0.306 runits=mi diam=0.721 radunits=in normamps=530",
    "New LineGeometry.g nconds=3 nphases=3 cond=1 wire=w x=-4 h=28 units=ft cond=2 wire=w x=-1.5 h=28 cond=3 wire=w x=3 h=28",
    "New Line.a bus1=s bus2=a linecode=k length=5 units=km",
    "New Line.g bus1=s bus2=g geometry=g length=5 units=km",
    "New Transformer.t xfmrcode=x buses=[s t]",
    "New Load.a bus1=a kv=12.47 kw=3000 pf=0.95 daily=p vminpu=0.5",
    "New Load.g bus1=g kv=12.47 kw=3000 pf=0.95 vminpu=0.5",
    "New Load.t bus1=t kv=0.48 kw=500 pf=0.95 vminpu=0.5",
    "Set voltagebases=[12.47 0.48]",
    "CalcVoltageBases",
    "Set mode=daily number=1",
)
CODE = "Edit LineCode.k r1=1 x1=2 normamps=100"
XFMR = "Edit XfmrCode.x xhl=15 %rs=[2 2]"
WIRE = "Edit WireData.w rdc=3 normamps=100"
EDITS = {
    "none": (),
    "code": (CODE,),
    "code, line": (CODE, "Edit Line.a length=5"),
    "code, named": (CODE, "Edit Line.a linecode=k"),
    "xfmrcode": (XFMR,),
    "xfmrcode, named": (XFMR, "Edit Transformer.t xfmrcode=x"),
    "wire": (WIRE,),
    "wire, geometry named": (WIRE, "Edit Line.g geometry=g"),
    "wire, new line": (WIRE, "Edit Line.g enabled=no", "New Line.new bus1=s bus2=g geometry=g length=5 units=km"),
    "wire, geometry touched": (WIRE, "Edit LineGeometry.g cond=1 h=28"),
    "wire, touched, named": (WIRE, "Edit LineGeometry.g cond=1 h=28", "Edit Line.g geometry=g"),
    "shape": ("Edit LoadShape.p mult=[0.5 0.5]",),
}


def after(engine, edits):
    """Voltages in pu at the ends of the coded line, of the line of wires and of the transformer, and the two lines' ratings, in A."""
    for line in (*CIRCUIT, "Solve", *edits, "Solve"):
        engine.run(line)
    return (*(round(engine.pu(bus), 3) for bus in "agt"), *(round(float(engine.ask(f"? Line.{name}.normamps"))) for name in "ag"))


class Capi:
    def run(self, line):
        dss.Text.Command(line)

    def ask(self, words):
        dss.Text.Command(words)
        return dss.Text.Result()

    def pu(self, bus):
        dss.Circuit.SetActiveBus(bus)
        return dss.Bus.puVmagAngle()[0]


class Epri:
    def run(self, line):
        epri.text(line)

    def ask(self, words):
        return epri.text(words)

    def pu(self, bus):
        epri.circuit.set_active_bus(bus)
        return epri.bus.vmag_angle_pu[0]


for engine in (Capi(), Epri()):
    found = {name: after(engine, edits) for name, edits in EDITS.items()}
    print(type(engine).__name__, found)
    plain = found["none"]
    assert plain == (0.984, 0.961, 0.986, 300, 530), found
    for name in ("code", "code, line", "xfmrcode", "wire", "wire, geometry named", "wire, new line", "wire, geometry touched"):
        assert found[name] == plain, (name, found[name])
    assert found["code, named"][0] < 0.9 and found["code, named"][3] == 100, found
    assert found["xfmrcode, named"][2] == 0.95, found
    assert found["wire, touched, named"][1] == 0.726 and found["wire, touched, named"][4] == 530, found
    assert found["shape"][0] == 0.992, found
PY
echo "as recorded"
