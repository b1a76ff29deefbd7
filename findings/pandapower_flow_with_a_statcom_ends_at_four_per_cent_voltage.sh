#!/usr/bin/env bash
# pandapower 3.5.6, runpp as it comes. A feeder of 20 kV with 2 MW, and 400 kW behind a transformer of its library (0.63 MVA 20/0.4 kV,
# Dyn5), has 0.973 pu at 0.4 kV. With a STATCOM (ssc) or an SVC (svc) that holds the feeder's end at 1.0 pu the flow converges with 0.038
# pu there, the transformer at 1,653 %, and 4.75 MW and -3.8 Mvar from the grid. It should be 0.992 pu, 64 % and 2.48 MW, which a
# generator of 0 MW in its place gives. Once such a device is anywhere in service, init="auto" begins with all angles at 0 and no longer
# with those of the DC flow, and 150 degrees away lies another solution of the equations. Put init="dc" and the SVC's flow is right, that
# with the ssc does not converge; calculate_voltage_angles=False is right for both. `converged` is True, loads are said to have their 400
# kW, and nothing is reported, so compensation that is to help a feeder is found to bring its customers down. Exits 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q pandapower==3.5.6 numpy==2.4.6 pandas==2.3.3 scipy==1.17.1
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'PY'
import pandapower as pp

DEVICES = {
    "nothing": lambda n, bus: None,
    "generator": lambda n, bus: pp.create_gen(n, bus, 0.0, vm_pu=1.0),
    "svc": lambda n, bus: pp.create_svc(n, bus, x_l_ohm=1, x_cvar_ohm=-10, set_vm_pu=1.0, thyristor_firing_angle_degree=145),
    "ssc": lambda n, bus: pp.create_ssc(n, bus, r_ohm=0.0, x_ohm=5.0, set_vm_pu=1.0),
}


def flow(device, **options):
    """pu at the feeder's end and at 0.4 kV, the transformer's loading, MW from the grid, and kW said of the load at 0.4 kV; None if it ends."""
    n = pp.create_empty_network()
    for kv in (20.0, 20.0, 0.4):
        pp.create_bus(n, kv)
    pp.create_ext_grid(n, 0, vm_pu=1.0)
    pp.create_line_from_parameters(n, 0, 1, 10.0, 0.3, 0.35, 10.0, 0.3)
    pp.create_transformer(n, 1, 2, "0.63 MVA 20/0.4 kV")
    pp.create_load(n, 2, 0.4)
    pp.create_load(n, 1, 2.0)
    DEVICES[device](n, 1)
    try:
        pp.runpp(n, numba=False, **options)
    except pp.LoadflowNotConverged:
        return None
    assert n.converged
    volts = n.res_bus.vm_pu.round(3).tolist()[1:]
    return *volts, round(n.res_trafo.loading_percent[0]), round(float(n.res_ext_grid.p_mw[0]), 2), round(n.res_load.p_mw[0] * 1000)


found = {name: flow(name) for name in DEVICES}
by_dc = {name: flow(name, init="dc") for name in DEVICES}
without_angles = {name: flow(name, calculate_voltage_angles=False) for name in DEVICES}
print("as it comes:", found, "init=dc:", by_dc, "without angles:", without_angles)
assert found["nothing"] == (0.981, 0.973, 66, 2.45, 400), found
assert found["generator"] == (1.0, 0.992, 64, 2.48, 400), found
assert found["svc"] == found["ssc"] == (1.0, 0.038, 1653, 4.75, 400), found
assert by_dc["svc"] == without_angles["svc"] == without_angles["ssc"] == found["generator"], (by_dc, without_angles)
assert by_dc["ssc"] is None, by_dc
PY
echo "as recorded"
