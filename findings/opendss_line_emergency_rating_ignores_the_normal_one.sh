#!/usr/bin/env bash
# OpenDSSDirect.py 0.9.4 (engine: DSS C-API 0.14.5). A transformer's emergency rating follows its size (150 % of kVA, of the
# edited one, too), so one expects a line's to follow its normal rating. It does not: whatever normamps says, on the line or on
# its linecode, emergamps stays at 600 A unless it is stated. A 77 A line may so carry 7.8 times its normal rating before its
# own emergency rating is passed, and a 700 A line has an emergency rating below its normal one. CktElement.EmergAmps reports
# that 600 A without a sign that nobody stated it.
# Exits 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q opendssdirect.py==0.9.4 dss-python==0.15.7 dss-python-backend==0.14.5 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import opendssdirect as dss

for line in (
    "Clear",
    "New Circuit.c basekv=12.47 bus1=s pu=1",
    "New Linecode.code nphases=3 r1=0.1 x1=0.1 normamps=77",
    "New Line.small bus1=s bus2=a length=1 r1=0.1 x1=0.1 normamps=77",
    "New Line.coded bus1=s bus2=b length=1 linecode=code",
    "New Line.large bus1=s bus2=d length=1 r1=0.1 x1=0.1 normamps=700",
    "New Transformer.t phases=3 windings=2 buses=(s e) kvs=(12.47 0.48) kvas=(500 500)",
    "Solve",
):
    dss.Text.Command(line)


def ratings_a(element):
    dss.Circuit.SetActiveElement(element)
    return round(dss.CktElement.NormalAmps(), 2), round(dss.CktElement.EmergAmps(), 2)


found = {name: ratings_a(name) for name in ("Line.small", "Line.coded", "Line.large", "Transformer.t")}
dss.Text.Command("Edit Transformer.t kvas=(1000 1000)")
dss.Text.Command("? Transformer.t.emerghkva")
found["emerghkva of 1,000 kVA"] = float(dss.Text.Result())
print(found)
assert found["Line.small"] == (77.0, 600.0), found
assert found["Line.coded"] == (77.0, 600.0), found
assert found["Line.large"] == (700.0, 600.0), found
assert found["emerghkva of 1,000 kVA"] == 1500.0, found
normal, emergency = found["Transformer.t"]
assert abs(emergency / normal - 1.5 / 1.1) < 1e-3, found
PY
echo "as recorded"
