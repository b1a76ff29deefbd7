#!/usr/bin/env bash
# HELICS 3.6.1 (its Python package; co-simulation of transmission, distribution and controllers). A publication in MW that an input takes in
# kW is converted: 2 MW are read as 2,000. Read as text, as a vector or as a list of complex numbers first, it is 2, and from then until
# the next value arrives every reading is 2, as a number too: a line that logs the input before it is used divides it by 1,000. Read as
# a number first, the text is 2000.000000, and a later reading as a vector puts it back to 2. With a second publication on the same
# input, in kW, nothing of the first is converted at all, 2 MW are 2 beside 500 kW that are 500; with the inputs' sum as the stated
# method they are 2,500. What is published as a vector, as powers by phase are, is checked for its unit and never converted, which its
# documentation says. Nothing is reported, also where kVA meet kW: 1 to 1. Exits 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q helics==3.6.1
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import helics as h

broker = h.helicsCreateBroker("inproc", "", "-f 1 --name=broker")
info = h.helicsCreateFederateInfo()
h.helicsFederateInfoSetCoreTypeFromString(info, "inproc")
h.helicsFederateInfoSetCoreInitString(info, "--federates=1 --broker=broker")
h.helicsFederateInfoSetTimeProperty(info, h.HELICS_PROPERTY_TIME_DELTA, 1.0)
federate = h.helicsCreateValueFederate("site", info)
NUMBER, VECTOR = h.HELICS_DATA_TYPE_DOUBLE, h.HELICS_DATA_TYPE_VECTOR
READ = {
    "number": h.helicsInputGetDouble,
    "text": h.helicsInputGetString,
    "vector": h.helicsInputGetVector,
    "complex list": h.helicsInputGetComplexVector,
    "complex": h.helicsInputGetComplex,
    "whole": h.helicsInputGetInteger,
}


def takes_kw(name, *publications, kind=NUMBER, method=None):
    """An input in kW of these publications."""
    made = h.helicsFederateRegisterInput(federate, name, kind, "kW")
    for publication in publications:
        h.helicsInputAddTarget(made, publication)
    if method is not None:
        h.helicsInputSetOption(made, h.HELICS_HANDLE_OPTION_MULTI_INPUT_HANDLING_METHOD, method)
    return made


units = {"site_mw": (NUMBER, "MW"), "other_kw": (NUMBER, "kW"), "phases_mw": (VECTOR, "MW"), "apparent_kva": (NUMBER, "kVA")}
given = {name: h.helicsFederateRegisterGlobalPublication(federate, name, *what) for name, what in units.items()}
orders = [("number",), ("text", "number"), ("vector", "number"), ("complex list", "number"), ("complex", "number"), ("whole", "number")]
orders += [("number", "text", "number"), ("number", "vector", "text", "whole")]
inputs = {order: takes_kw("-".join(order), "site_mw") for order in orders}
both = takes_kw("both", "site_mw", "other_kw")
total = takes_kw("total", "site_mw", "other_kw", method=h.HELICS_MULTI_INPUT_SUM_OPERATION)
phases = takes_kw("phases", "phases_mw", kind=VECTOR)
apparent = takes_kw("apparent", "apparent_kva")
h.helicsFederateEnterExecutingMode(federate)
h.helicsPublicationPublishDouble(given["site_mw"], 2.0)
h.helicsPublicationPublishDouble(given["other_kw"], 500.0)
h.helicsPublicationPublishVector(given["phases_mw"], [0.7, 0.7, 0.6])
h.helicsPublicationPublishDouble(given["apparent_kva"], 1.0)
h.helicsFederateRequestTime(federate, 1.0)
found = {order: [READ[kind](inputs[order]) for kind in order] for order in orders}
later = h.helicsInputGetDouble(inputs["text", "number"])
two, summed, by_phase = h.helicsInputGetDouble(both), h.helicsInputGetDouble(total), h.helicsInputGetVector(phases)
va = h.helicsInputGetDouble(apparent)
h.helicsPublicationPublishDouble(given["site_mw"], 3.0)
h.helicsFederateRequestTime(federate, 2.0)
renewed = h.helicsInputGetDouble(inputs["text", "number"])
h.helicsFederateDisconnect(federate)
h.helicsCloseLibrary()
print("2 MW in an input of kW, by what is read after what")
for order, values in found.items():
    print(" ", *(f"{kind} {value}" for kind, value in zip(order, values)), sep="  ")
print("read once more", later, "with the next value, 3 MW", renewed)
print("2 MW and 500 kW on one input", two, "their sum", summed, "vector of MW", by_phase, "1 kVA", va)
right = [[2000.0], [2000 + 0j, 2000.0], [2000, 2000.0], [2000.0, "2000.000000", 2000.0]]
assert [found[o] for o in (orders[0], orders[4], orders[5], orders[6])] == right, found
wrong = [["2.000000", 2.0], [[2.0], 2.0], [[2 + 0j], 2.0], [2000.0, [2000.0], "2.000000", 2]]
assert [found[o] for o in (orders[1], orders[2], orders[3], orders[7])] == wrong, found
assert (later, renewed) == (2.0, 3000.0), (later, renewed)
assert (two, summed, by_phase, va) == (2.0, 2500.0, [0.7, 0.7, 0.6], 1.0), (two, summed, by_phase, va)
PY
echo "as recorded"
