#!/usr/bin/env bash
# py-dss-interface 2.3.0 (EPRI's engine 10.1.0.1) beside OpenDSSDirect.py 0.9.4 (DSS C-API 0.14.5): one file, two
# states of its switches. A SwtControl of `state=open normal=closed`, a tie that is closed as a rule and open now, is open in
# EPRI's engine and closed in the other, where the last of the two words counts; the other way round both leave it open.
# `normal=open` alone opens it in DSS C-API at once, and in EPRI's not in a snapshot but in daily mode. A Recloser
# or a Fuse that states nothing but its line has no curve in EPRI's and lets 1,000 kW pass, and has 1 A and a curve in the other,
# which leaves the customer dark; with curves named both trip. Both engines converge and report nothing.
# Exits 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q opendssdirect.py==0.9.4 dss-python==0.15.7 dss-python-backend==0.14.5 numpy==2.4.6 py-dss-interface==2.3.0
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import opendssdirect
import py_dss_interface

epri = py_dss_interface.DSS()


def served_kw(*lines):
    circuit = (
        "Clear",
        "New Circuit.c basekv=12.47 bus1=s mvasc3=1000 mvasc1=1000",
        "New Line.head bus1=s bus2=b length=1 units=km r1=0.1 x1=0.1 r0=0.1 x0=0.1",
        "New Line.tie bus1=b bus2=e switch=yes",
        "New Load.site bus1=e kv=12.47 kw=1000 pf=1",
        *lines,
        "Solve",
    )
    for line in circuit:
        epri.text(line)
        opendssdirect.Text.Command(line)
    epri.circuit.set_active_element("Load.site")
    opendssdirect.Circuit.SetActiveElement("Load.site")
    powers = epri.cktelement.powers, opendssdirect.CktElement.Powers()
    return tuple(round(sum(p[0:6:2])) for p in powers)


SWITCH = "New SwtControl.s switchedobj=Line.tie switchedterm=1 "
cases = {
    "state=open": (SWITCH + "state=open",),
    "state=open normal=closed": (SWITCH + "state=open normal=closed",),
    "normal=closed state=open": (SWITCH + "normal=closed state=open",),
    "normal=open": (SWITCH + "normal=open",),
    "normal=open, daily mode": (SWITCH + "normal=open", "Set mode=daily number=1"),
    "recloser": ("New Recloser.r monitoredobj=Line.head",),
    "recloser, curves named": ("New Recloser.r monitoredobj=Line.head phasefast=a phasedelayed=d phasetrip=1",),
    "fuse": ("New Fuse.f monitoredobj=Line.head",),
    "fuse, curve named": ("New Fuse.f monitoredobj=Line.head fusecurve=tlink ratedcurrent=1",),
}
found = {name: served_kw(*lines) for name, lines in cases.items()}
epri_version = epri.dssinterface.version.split("license")[0].strip()
print("\nkW served by", epri_version, "and by DSS C-API", opendssdirect.Basic.Version().split("revision")[0][-8:])
for name, kw in found.items():
    print(f"  {name:26s}", *kw)
assert "10.1.0.1" in epri_version
agreed = ("state=open", "normal=closed state=open", "normal=open, daily mode", "recloser, curves named", "fuse, curve named")
assert all(found[name] == (0, 0) for name in agreed), found
assert found["state=open normal=closed"] == (0, 1000), found
assert found["normal=open"] == found["recloser"] == found["fuse"] == (1000, 0), found
PY
echo "as recorded"
