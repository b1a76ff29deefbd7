#!/usr/bin/env bash
# PySAM 7.1.1.post1 (NREL's SAM), PVWatts v8. A leap year's weather, 8,784 hours of which every one names its month and day, is
# taken without a word, and 8,760 come back. What is missing is not 29 February, which most weather files leave out: that day
# is computed by its own sun and its energy is booked in March, the sun of 31 March in April, and 31 December falls out. So
# beside a series of load of the same year, or one that leaves 29 February out, generation is a day late from March on. Of a
# year of 365 days every day is where it should be.
# Exits 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q nrel-pysam==7.1.1.post1
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import datetime

import PySAM.Pvwattsv8 as pvwatts


def year(number, sunny):
    """Length of the hours in and out, monthly and yearly kWh of 100 kW whose only sun is on one day."""
    begin, end = datetime.datetime(number, 1, 1), datetime.datetime(number + 1, 1, 1)
    hours = [begin + datetime.timedelta(hours=i) for i in range(int((end - begin).total_seconds() // 3600))]
    sun = [600.0 if (h.month, h.day) == sunny and 8 <= h.hour <= 16 else 0.0 for h in hours]
    model = pvwatts.default("PVWattsNone")
    model.SolarResource.solar_resource_data = {
        "lat": 40.0, "lon": -75.0, "tz": -5.0, "elev": 0.0,
        "year": [h.year for h in hours], "month": [h.month for h in hours], "day": [h.day for h in hours],
        "hour": [h.hour for h in hours], "minute": [30] * len(hours),
        "dn": sun, "df": [s / 6 for s in sun], "tdry": [10.0] * len(hours), "wspd": [3.0] * len(hours),
    }  # fmt: skip
    model.SystemDesign.system_capacity = 100
    model.execute()
    monthly = [round(kwh) for kwh in model.Outputs.ac_monthly]
    return len(hours), len(model.Outputs.ac), {m + 1: kwh for m, kwh in enumerate(monthly) if kwh}, round(model.Outputs.ac_annual)


found = {(n, day): year(n, day) for n in (2019, 2020) for day in ((2, 28), (2, 29), (3, 1), (3, 31), (12, 30), (12, 31))}
print("year, sunny day: hours in, hours out, kWh by month, kWh of the year")
for (n, day), got in found.items():
    print(" ", n, "%02d-%02d" % day, *got)
assert all(got[1] == 8760 for got in found.values()), found
assert list(found[2019, (12, 31)][2]) == [12] and list(found[2019, (3, 1)][2]) == [3], found
assert list(found[2020, (2, 28)][2]) == [2] and list(found[2020, (12, 30)][2]) == [12], found
assert list(found[2019, (3, 31)][2]) == [3] and list(found[2020, (3, 31)][2]) == [4], found
assert list(found[2020, (2, 29)][2]) == [3] and found[2020, (2, 29)][3] > 390, found
assert found[2020, (12, 31)][3] == 0 and found[2019, (12, 31)][3] > 300, found
PY
echo "as recorded"
