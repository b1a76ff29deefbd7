#!/usr/bin/env bash
# OpenDER 2.2.0 (EPRI's model of inverters under IEEE 1547). A battery of 200 kWh, half full, that is asked for 100 kW all day gives 100 kWh
# in steps of a quarter of an hour, of one and of two. In steps of three or four hours, as years are often planned in, it gives 2,400,
# and is half full at the end: above 7,200 s a step counts as a snapshot, in which energy is not looked at. Asked to charge it takes
# 2,400 kWh likewise. The step is a property of the class, 100,000 s where nobody sets it, so a loop that forgets it has the same
# endless battery; and it is one for all of them, so a second unit of a study that is given steps of three hours undoes the
# first one's battery that ran in quarters of an hour. A warning tells where a battery is full or empty, and with no count it does not come;
# its documentation strings give the limit nowhere. Exits 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q opender==2.2.0 numpy==2.4.6 pandas==2.3.3
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import logging

from opender import DER, DER_BESS

warned = []
logging.getLogger().addHandler(type("Kept", (logging.Handler,), {"emit": lambda self, record: warned.append(record.getMessage())})())


def battery():
    """100 kW either way, 44 kvar, 200 kWh, half full."""
    power = dict(NP_VA_MAX=100e3, NP_P_MAX=100e3, NP_P_MAX_CHARGE=100e3, NP_APPARENT_POWER_CHARGE_MAX=100e3)
    return DER_BESS(**power, NP_Q_MAX_INJ=44e3, NP_Q_MAX_ABS=44e3, NP_BESS_CAPACITY=200e3, SOC_INIT=0.5)


def given(unit, asked, hours, seconds):
    """kWh given in so many hours at one step."""
    kwh = 0.0
    for _ in range(round(hours * 3600 / seconds)):
        unit.update_der_input(p_dem_pu=asked, v_pu=1.0, f=60)
        unit.run()
        kwh += unit.p_out_kw * seconds / 3600
    return kwh


def day(seconds, asked=1.0):
    """kWh given in a day, state of charge at its end, and warnings of an empty or full battery."""
    if seconds:
        DER.t_s = seconds
    unit = battery()
    warned.clear()
    kwh = given(unit, asked, 24, seconds or 3600)
    return round(float(kwh)), round(float(unit.bess_soc), 2), sum("SoC reached" in text for text in warned) > 0


found = {"step as it comes, a loop of hours": day(None)}
assert DER.t_s == 100_000, DER.t_s
found |= {f"{seconds} s": day(seconds) for seconds in (900, 3600, 7200, 10800, 14400)}
found |= {f"{seconds} s, charging": day(seconds, -1.0) for seconds in (7200, 10800)}
DER.t_s = 900
first = battery()
alone = given(first, 1.0, 0.5, 900)
DER.t_s = 10800
second = battery()
later = given(first, 1.0, 23.5, 900)
print("kWh of a day, state of charge at its end, warned")
for name, row in found.items():
    print(f"  {name:36s}", *row)
print("in quarters of an hour", alone, "kWh, after a second unit of three hours", later, "more at", float(first.bess_soc))
assert found["900 s"] == found["3600 s"] == found["7200 s"] == (100, 0.0, True), found
assert found["10800 s"] == found["14400 s"] == found["step as it comes, a loop of hours"] == (2400, 0.5, False), found
assert found["7200 s, charging"] == (-100, 1.0, True) and found["10800 s, charging"] == (-2400, 0.5, False), found
assert (alone, later) == (50.0, 2350.0), (alone, later)
PY
! grep -rniE "7200|two hours|2 hours" "$folder"/venv/lib/python3*/site-packages/opender --include=*.py | grep -v "t_s <= 7200 and"
echo "as recorded"
