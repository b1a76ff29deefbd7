#!/usr/bin/env bash
# pandapower 3.5.6, its toolbox. merge_same_bus_generation_plants makes one plant of several at a bus and adds their p_mw, whether they
# are in service or not and whatever their scaling; state and scaling are those of the first. Of 2 MW that run and 3 MW that are out of
# service it makes 5 MW that run, and of the same two in the other order 5 MW that are out, 0 for 3: the feeder's feed-in is 4.9 MW for
# 2.0, or nothing for 3.0. Of 2 MW at a scaling of 0.5 beside 3 MW it makes 5 at 0.5, 2.5 MW for 4. replace_pq_elmtype, which turns loads
# into storage or static generators, keeps p_mw and gives them the scaling 1, as replace_gen_by_sgen does: a load of 4 MW at 0.5 takes
# 4.07 MW from the grid for 2.02. Neither's description says so, and nothing is reported. Merged or replaced before any outage and with
# all scalings at 1 they are what they were. Exits 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q pandapower==3.5.6 numpy==2.4.6 pandas==2.3.3 scipy==1.17.1
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'PY'
import pandapower as pp
from pandapower import toolbox


def feeder():
    n = pp.create_empty_network()
    for _ in range(2):
        pp.create_bus(n, 20.0)
    pp.create_ext_grid(n, 0)
    pp.create_line_from_parameters(n, 0, 1, 5.0, 0.3, 0.35, 10.0, 0.3)
    return n


def before_and_after(n, change):
    """MW from the grid before a change of the network and after it."""
    found = []
    for act in (lambda n: None, change):
        act(n)
        pp.runpp(n, numba=False)
        found.append(round(float(n.res_ext_grid.p_mw.iloc[0]), 2))
    return tuple(found)


def merged(*plants):
    n = feeder()
    for plant in plants:
        pp.create_sgen(n, 1, **plant)
    return before_and_after(n, toolbox.merge_same_bus_generation_plants)


def replaced(create, change):
    n = feeder()
    create(n)
    return before_and_after(n, change)


runs, out = {"p_mw": 2.0}, {"p_mw": 3.0, "in_service": False}
found = {
    "both run": merged(runs, {"p_mw": 3.0}),
    "second out": merged(runs, out),
    "first out": merged({"p_mw": 2.0, "in_service": False}, {"p_mw": 3.0}),
    "first scaled": merged({"p_mw": 2.0, "scaling": 0.5}, {"p_mw": 3.0}),
    "second scaled": merged(runs, {"p_mw": 3.0, "scaling": 0.2}),
    "load, storage": replaced(
        lambda n: pp.create_load(n, 1, 4.0, 1.0, scaling=0.5), lambda n: toolbox.replace_pq_elmtype(n, "load", "storage")
    ),
    "load, sgen": replaced(
        lambda n: pp.create_load(n, 1, 4.0, 1.0, scaling=0.5), lambda n: toolbox.replace_pq_elmtype(n, "load", "sgen")
    ),
    "gen, sgen": replaced(lambda n: pp.create_gen(n, 1, 4.0, vm_pu=1.0, scaling=0.5), toolbox.replace_gen_by_sgen),
}
print("MW from the grid before and after:", found)
assert found == {
    "both run": (-4.91, -4.91),
    "second out": (-1.99, -4.91),
    "first out": (-2.97, 0.0),
    "first scaled": (-3.94, -2.48),
    "second scaled": (-2.58, -4.91),
    "load, storage": (2.02, 4.07),
    "load, sgen": (2.02, 4.07),
    "gen, sgen": (-1.97, -3.93),
}, found
PY
echo "as recorded"
