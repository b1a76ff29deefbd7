#!/usr/bin/env bash
# OpenDSSDirect.py 0.9.4 (engine: DSS C-API 0.14.5). A transformer is exchanged for one twice its size by one edit, and whether its
# rating grows depends on which of two names of the size the edit uses. `Edit Transformer.t kvas=(2000 2000)` sets sizes and
# ratings; `kva=2000` sets the sizes of both windings, and normhkva and emerghkva stay at 1,100 and 1,500 kVA, so that the
# larger unit is overloaded at 1.37 times what it was for; with wdg=1 named before it the ratings grow as well, with wdg=2 not.
# A transformer that is made so is no better: of one with kvs=(12.47 0.48) kva=2000 the rating is that of 1,000 kVA, the default.
# Exits 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q opendssdirect.py==0.9.4 dss-python==0.15.7 dss-python-backend==0.14.5 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import opendssdirect as dss


def sizes_kva(edit, made="kvas=(1000 1000)"):
    """kVA of the windings, normal and emergency rating, loading by 1,500 kW in percent of the normal rating."""
    for command in (
        "Clear",
        "New Circuit.c basekv=12.47 bus1=s pu=1",
        f"New Transformer.t windings=2 buses=(s a) kvs=(12.47 0.48) xhl=6 {made}",
        *([f"Edit Transformer.t {edit}"] if edit else []),
        "New Load.d bus1=a kv=0.48 kw=1500 pf=1",
        "Solve",
    ):
        dss.Text.Command(command)
    found = []
    for name in ("kvas", "normhkva", "emerghkva"):
        dss.Text.Command(f"? Transformer.t.{name}")
        found.append([float(x) for x in dss.Text.Result().strip("[]").replace(",", " ").split()][-1])
    dss.Circuit.SetActiveElement("Transformer.t")
    percent = 100.0 * dss.CktElement.CurrentsMagAng()[0] / dss.CktElement.NormalAmps()
    return (*found, round(percent))


found = {edit: sizes_kva(edit) for edit in ("kvas=(2000 2000)", "kva=2000", "wdg=1 kva=2000", "wdg=2 kva=2000")}
found["made by kva"] = sizes_kva("", made="kva=2000")
print(found)
assert found["kvas=(2000 2000)"][:3] == found["wdg=1 kva=2000"][:3] == (2000.0, 2200.0, 3000.0), found
assert found["kva=2000"] == found["wdg=2 kva=2000"] == found["made by kva"] == (2000.0, 1100.0, 1500.0, 137), found
assert found["kvas=(2000 2000)"][3] == 68, found
PY
echo "as recorded"
