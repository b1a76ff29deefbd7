#!/usr/bin/env bash
# matpowercaseframes 2.1.1 (reads MATPOWER's .m cases into data frames). Two things that MATLAB and Octave do with such a file
# it does not, and neither is reported. A statement after the tables is not carried out: of a case whose last line divides
# loads by 1,000, as most published distribution cases do, which are written in kW and ohm, it returns the numbers before, so
# 0.9 MW read as 900. And rows between %{ and %} on lines of their own, a comment of several lines, are data to it: a bus that
# was commented out comes back, with its load.
# Exits 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q matpowercaseframes==2.1.1 numpy==2.4.6 pandas==3.0.5
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
from pathlib import Path

from matpowercaseframes import CaseFrames

TABLES = """function mpc = small
mpc.version = '2';
mpc.baseMVA = 10;
mpc.bus = [
{more} 1 3 0 0 0 0 1 1 0 10 1 1.05 0.95;
 2 1 900 300 0 0 1 1 0 10 1 1.05 0.95;
];
mpc.gen = [
 1 0 0 5 -5 1 10 1 10 0;
];
mpc.branch = [
 1 2 0.004 0.003 0 0 0 0 0 0 1 -360 360;
];
mpc.gencost = [
 2 0 0 2 40 0;
];
"""


def loads_mw(name, text):
    Path(name).write_text(text)
    bus = CaseFrames(name).bus
    return {int(number): float(load) for number, load in zip(bus["BUS_I"], bus["PD"], strict=True)}


converted = loads_mw("converted.m", TABLES.format(more="") + "mpc.bus(:, [3 4]) = mpc.bus(:, [3 4]) / 1e3;\n")
commented = loads_mw("commented.m", TABLES.format(more="%{\n 9 1 777 0 0 0 1 1 0 10 1 1.05 0.95;\n%}\n"))
print("divided by 1,000 in the file:", converted, "bus 9 commented out in the file:", commented)
assert converted == {1: 0.0, 2: 900.0}, converted
assert commented == {9: 777.0, 1: 0.0, 2: 900.0}, commented
PY
echo "as recorded"
