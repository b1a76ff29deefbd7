#!/usr/bin/env bash
# OpenDSSDirect.py 0.9.4 (engine: DSS C-API 0.14.5). Blanks and commas may divide the values of a line, also both together:
# `kW=5 , kvar=3` sets both. After a value in quotes or brackets they may not: of `kW=(5) , kvar=3` only the 5 is read, and all
# that follows on the line is dropped without a word, as behind any empty value (`kW=5,,kvar=3` keeps the 5 alone, too).
# `kW=(5), kvar=3` and `kW=(5) kvar=3` set both. A generated file that writes arrays and puts a blank before its commas so loses
# the rest of its lines: here a transformer its voltages, its sizes and its reactance.
# Exits 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q opendssdirect.py==0.9.4 dss-python==0.15.7 dss-python-backend==0.14.5 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import opendssdirect as dss


def ask(question):
    dss.Text.Command(f"? {question}")
    return dss.Text.Result()


def load(words):
    dss.Text.Command("Clear")
    dss.Text.Command("New Circuit.c basekv=12.47 bus1=s")
    dss.Text.Command(f"New Load.l bus1=s kv=12.47 {words} kvar=3")
    return float(ask("Load.l.kW")), float(ask("Load.l.kvar")) == 3.0


found = {words: load(words) for words in ("kW=5 ,", "kW=5,", "kW=(5),", "kW=(5)", "kW=(5) ,", "kW=5,,")}
dss.Text.Command("New Transformer.t phases=3 windings=2 buses=(s b) , kvs=(12.47 0.48) , kvas=(500 500) , xhl=2")
transformer = ask("Transformer.t.kvs"), ask("Transformer.t.xhl")
print(found, transformer)
assert [words for words, (kw, whole) in found.items() if kw == 5.0 and whole] == ["kW=5 ,", "kW=5,", "kW=(5),", "kW=(5)"]
assert found["kW=(5) ,"] == (5.0, False) and found["kW=5,,"] == (5.0, False), found
assert float(transformer[1]) == 7.0, transformer  # OpenDSS's default, not the 2 of the line
PY
echo "as recorded"
