#!/usr/bin/env bash
# pandapower 3.5.6, run_contingency, whose tables hold the worst of all outages for each line and bus. An outage whose flow has no
# solution goes into none of them, and stands there as one that overloads nothing. A ring of three lines with 5 MW at each of two buses is
# loaded to 126 % by the worst outage, with 0.73 pu, and two outages are named as causing it; with 8 MW, where these two bring the
# voltage down, no outage causes anything, the worst is 92 % and 0.88 pu, and the first line's worst is 65 % beside 74 % with nothing
# out: the table's "max" is that of the outages alone. A search for the largest load so finds one beyond the limit that it looks for.
# The log has an error for each, the tables do not. Of an outage that leaves customers dark not even that: 3 MW behind a single line
# are lost, and it causes nothing, while their bus's lowest voltage is that of other outages. Exits 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q pandapower==3.5.6 numpy==2.4.6 pandas==2.3.3 scipy==1.17.1
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'PY'
import logging

import pandapower as pp
from pandapower.contingency import run_contingency

said = []


class Heard(logging.Handler):
    def emit(self, record):
        said.append(record.getMessage())


logging.getLogger().addHandler(Heard(logging.WARNING))
RING = ((0, 1), (0, 2), (1, 2))
TAIL = 3


def network(mw):
    """A ring from the grid over two buses of so many MW each, and 3 MW behind a single line."""
    n = pp.create_empty_network()
    for _ in range(4):
        pp.create_bus(n, 20.0)
    pp.create_ext_grid(n, 0, vm_pu=1.0)
    for start, end, km in (*((*ends, 10.0) for ends in RING), (2, 3, 2.0)):
        pp.create_line_from_parameters(n, start, end, km, 0.3, 0.35, 0.0, 0.4, max_loading_percent=100.0)
    for bus in (1, 2):
        pp.create_load(n, bus, mw, mw / 4)
    pp.create_load(n, 3, 3.0)
    return n


def analysed(mw):
    """Worst loading of each line by outages and with nothing out, lowest voltage of each bus, lines that overload others, what was said."""
    n = network(mw)
    said.clear()
    table = run_contingency(n, {"line": {"index": [*range(len(RING)), TAIL]}})
    lines, buses = table["line"], table["bus"]
    causing = [index for index, causes in enumerate(lines["causes_overloading"]) if causes]
    errors = sum("did not converge" in text for text in said)
    worst, plain = (lines[name].round(0).astype(int).tolist() for name in ("max_loading_percent", "loading_percent"))
    return {"worst": worst, "plain": plain, "pu": buses["min_vm_pu"].round(2).tolist(), "causing": causing, "said": errors}


def served_mw(mw, out):
    """MW that customers get with a line out, nothing where no flow is found."""
    n = network(mw)
    n.line.at[out, "in_service"] = False
    try:
        pp.runpp(n, max_iteration=100)
    except pp.LoadflowNotConverged:
        return None
    return round(float(n.res_load.p_mw.sum()), 3)


found = {mw: analysed(mw) for mw in (5.0, 8.0)}
for mw, figures in found.items():
    print(f"{mw} MW:", figures)
served = {(mw, out): served_mw(mw, out) for mw in found for out in (0, 1, 2, TAIL)}
print("MW served, by load and line out:", served)
assert found[5.0] == {
    "worst": [126, 117, 81, 30],
    "plain": [47, 55, 8, 23],
    "pu": [1.0, 0.78, 0.73, 0.72],
    "causing": [0, 1],
    "said": 0,
}, found
assert found[8.0] == {
    "worst": [65, 92, 0, 25],
    "plain": [74, 82, 8, 24],
    "pu": [1.0, 0.91, 0.88, 0.88],
    "causing": [],
    "said": 2,
}, found
assert [served[5.0, out] for out in (0, 1, 2, TAIL)] == [13.0, 13.0, 13.0, 10.0], served
assert [served[8.0, out] for out in (0, 1, 2, TAIL)] == [None, None, 19.0, 16.0], served
PY
echo "as recorded"
