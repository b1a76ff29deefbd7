#!/usr/bin/env bash
# OpenDSSDirect.py 0.9.4 (engine: DSS C-API 0.14.5). A line that is made of wires takes its rating from one of them: the first
# of its geometry, or of its own list. The others do not count, so of three phases of 400, 400 and 200 A the line is rated at
# 400 A, and one whose neutral of 150 A stands first at 150 A. A list without a geometry has another rating before it is
# solved: that of its last wire, which is the neutral as a rule, and a rating stated before the list is lost for both. With
# emergamps alone stated behind the list the last wire's rating stays for good.
# Exits 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q opendssdirect.py==0.9.4 dss-python==0.15.7 dss-python-backend==0.14.5 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import opendssdirect as dss

WIRE = "New Wiredata.{} rac=0.3 runits=mi gmrac=0.02 gmrunits=ft radius=0.3 radunits=in normamps={}"
SPACING = "New LineSpacing.s nconds=4 nphases=3 units=ft x=(0 2 4 3) h=(30 30 30 25)"


def ratings_a(wires, line="", by_geometry=False):
    """Normal rating before and after the circuit is solved."""
    commands = ["Clear", "New Circuit.c basekv=12.47 bus1=s pu=1", SPACING]
    commands += [WIRE.format(*wire) for wire in (("strong", 400), ("weak", 200), ("neutral", 150))]
    if by_geometry:
        commands += [f"New LineGeometry.g nconds=4 nphases=3 spacing=s wires=({wires})"]
        commands += [f"New Line.l bus1=s bus2=a geometry=g length=1 units=mi {line}"]
    else:
        commands += [f"New Line.l bus1=s bus2=a spacing=s wires=({wires}) length=1 units=mi {line}"]
    commands += ["New Load.d bus1=a kv=12.47 kw=100"]
    for command in commands:
        dss.Text.Command(command)
    found = []
    for _ in range(2):
        dss.Circuit.SetActiveElement("Line.l")
        found.append(dss.CktElement.NormalAmps())
        dss.Text.Command("Solve")
    return tuple(found)


found = {
    "list": ratings_a("strong strong strong neutral"),
    "list, a weak phase": ratings_a("strong strong weak neutral"),
    "list, neutral first": ratings_a("neutral strong strong strong"),
    "geometry, a weak phase": ratings_a("strong strong weak neutral", by_geometry=True),
    "geometry, neutral first": ratings_a("neutral strong strong strong", by_geometry=True),
    "list, emergamps behind it": ratings_a("strong strong strong neutral", line="emergamps=320"),
}
print(found)
assert found == {
    "list": (150.0, 400.0),
    "list, a weak phase": (150.0, 400.0),
    "list, neutral first": (400.0, 150.0),
    "geometry, a weak phase": (400.0, 400.0),
    "geometry, neutral first": (150.0, 150.0),
    "list, emergamps behind it": (150.0, 150.0),
}, found
PY
echo "as recorded"
