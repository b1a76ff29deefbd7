#!/usr/bin/env bash
# OpenDSSDirect.py 0.9.4 (DSS C-API 0.14.5): a line opened by `Open`, with a fuse, recloser, relay or SwtControl on it, and
# ControlMode=off, carries nothing, solve after solve. `Set mode=snapshot`, the mode that it is in already, closes it, and 500 kW
# are served: naming any mode puts lines where the devices on them stand, though no control may act. Named before the `Open`, the
# mode leaves it open. With controls allowed to act (static) it stays open, while a SwtControl on it says "closed". `Disable` of the
# fuse, by which it can do nothing more, closes its line, too. Without a device the mode changes nothing. Every solve converges and
# nothing is reported. Exits 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q opendssdirect.py==0.9.4 dss-python==0.15.7 dss-python-backend==0.14.5 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
from opendssdirect import dss

DEVICES = (
    "SwtControl.w SwitchedObj=Line.tie SwitchedTerm=1",
    "Fuse.w MonitoredObj=Line.tie RatedCurrent=1000",
    "Recloser.w MonitoredObj=Line.tie MonitoredTerm=1 PhaseTrip=1000 GroundTrip=1000",
    "Relay.w MonitoredObj=Line.tie MonitoredTerm=1 type=current PhaseTrip=1000 GroundTrip=1000",
)
OPEN, OFF, MODE, STATIC = "Open Line.tie 1", "Set controlmode=off", "Set mode=snapshot", "Set controlmode=static"


def served_kw(device, *steps):
    """kW of the load after each solve of the steps."""
    for line in (
        "Clear",
        "New Circuit.c basekv=4.16 bus1=s",
        "New Line.head bus1=s bus2=m length=0.1",
        "New Line.tie bus1=m bus2=e length=0.1",
        "New Load.site bus1=e kv=4.16 kw=500",
        *([f"New {device}"] if device else []),
        "Set voltagebases=[4.16]",
        "CalcVoltageBases",
    ):
        dss.Text.Command(line)
    found = []
    for step in steps:
        dss.Text.Command(step)
        if step == "Solve":
            assert dss.Solution.Converged()
            dss.Circuit.SetActiveElement("Load.site")
            found.append(round(sum(dss.CktElement.Powers()[0:6:2])))
    return found


for device in DEVICES:
    seen = {
        "opened, solved, the mode named, solved": served_kw(device, OPEN, OFF, "Solve", "Solve", MODE, "Solve"),
        "the mode named, opened, solved twice": served_kw(device, OFF, MODE, OPEN, "Solve", "Solve"),
        "controls may act": served_kw(device, OPEN, STATIC, "Solve", "Solve"),
    }
    for words, kw in seen.items():
        print(f"{device.partition('.')[0]}: {words}: {kw} kW")
    assert list(seen.values()) == [[0, 0, 500], [0, 0], [0, 0]]
    if device.startswith("SwtControl"):
        dss.Text.Command("? SwtControl.w.state")
        print(f"SwtControl: where controls may act it says {dss.Text.Result()}")
        assert dss.Text.Result() == "closed"
bare = served_kw("", OPEN, OFF, "Solve", MODE, "Solve")
print(f"without a device: {bare} kW")
assert bare == [0, 0]
disabled = served_kw(DEVICES[1], OPEN, OFF, "Solve", "Disable Fuse.w", "Solve")
print(f"its fuse disabled: {disabled} kW")
assert disabled == [0, 500]
PY
