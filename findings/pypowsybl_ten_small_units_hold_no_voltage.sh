#!/usr/bin/env bash
# pypowsybl 1.16.1 (OpenLoadFlow), its parameters as they come. A unit that is to hold 1.0 pu gives what its limits allow, if these
# lie 1 Mvar or more apart: with limits of 0.5 Mvar either way it gives 0.5, of 0.499 none at all. Its width counts, not what is asked
# for (-0.2 to 0.79 gives 0, -0.2 to 0.81 gives 0.81), and each unit counts alone: ten of 0.45 Mvar, 4.5 together, give 0 and their bus
# stands at 0.9925 pu, where two of 2.25 and of the same watts give 1 Mvar and hold 1.0. No reactiveRangeCheckMode changes that. A unit of
# 2 Mvar that idles at 0 MW below its minimum of 0.2 MW gives none either, one whose minimum is 0 gives 2. All of them still say that
# they regulate, the flow converges, and no result tells which of them were left out; so inverters of the size that feeders have
# are switched to fixed vars one by one, and a fleet of them can look as though voltage support had been of no use.
# Exits 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q pypowsybl==1.16.1 numpy==2.4.6 pandas==3.1.1
cd "$folder"
export HOME="$folder"
"$folder/venv/bin/python" - <<'PY'
import pypowsybl.loadflow as lf
import pypowsybl.network as pn


def held(*limits, mw=0.5, min_mw=0.0, check="MAX"):
    """pu at the units' bus and Mvar that they give, each between its own two limits."""
    n = pn.create_empty()
    n.create_substations(id=["S1", "S2"])
    n.create_voltage_levels(
        id=["V1", "V2"], substation_id=["S1", "S2"], nominal_v=[20.0, 20.0], topology_kind=["BUS_BREAKER"] * 2
    )
    n.create_buses(id=["HEAD", "END"], voltage_level_id=["V1", "V2"])
    n.create_generators(
        id="GRID", voltage_level_id="V1", bus_id="HEAD", energy_source="OTHER", voltage_regulator_on=True,
        min_p=-50.0, max_p=50.0, target_p=5.0, target_v=20.0, target_q=0.0,
    )  # fmt: skip
    for k, (low, high) in enumerate(limits):
        n.create_generators(
            id=f"UNIT{k}", voltage_level_id="V2", bus_id="END", energy_source="SOLAR", voltage_regulator_on=True,
            min_p=min_mw, max_p=1.0, target_p=mw, target_v=20.0, target_q=0.0,
        )  # fmt: skip
        n.create_minmax_reactive_limits(id=f"UNIT{k}", min_q=low, max_q=high)
    n.create_loads(id="SITE", voltage_level_id="V2", bus_id="END", p0=5.0, q0=1.0)
    n.create_lines(
        id="LINE", voltage_level1_id="V1", bus1_id="HEAD", voltage_level2_id="V2", bus2_id="END",
        r=1.5, x=3.0, g1=0.0, g2=0.0, b1=0.0, b2=0.0,
    )  # fmt: skip
    parameters = lf.Parameters(distributed_slack=False, provider_parameters={"reactiveRangeCheckMode": check})
    assert lf.run_ac(n, parameters)[0].status.name == "CONVERGED"
    units = n.get_generators()
    assert units.voltage_regulator_on.all()
    return round(float(n.get_buses().v_mag.iloc[1]) / 20.0, 4), round(float(-units.q.iloc[1:].sum()), 3) + 0.0


TEN = [(-0.45, 0.45)] * 10
found = {
    "0.5": held((-0.5, 0.5)),
    "0.499": held((-0.499, 0.499)),
    "-0.2 to 0.79": held((-0.2, 0.79)),
    "-0.2 to 0.81": held((-0.2, 0.81)),
    "ten of 0.45": held(*TEN),
    "ten, MIN_MAX": held(*TEN, check="MIN_MAX"),
    "ten, TARGET_P": held(*TEN, check="TARGET_P"),
    "two of 2.25, all their MW": held((-2.25, 2.25), (-2.25, 2.25), mw=2.5),
    "2, idle": held((-2.0, 2.0), mw=0.0),
    "2, idle below its minimum": held((-2.0, 2.0), mw=0.0, min_mw=0.2),
}
print("limits in Mvar: pu, Mvar given")
for name, figures in found.items():
    print(f"  {name:26s}", *figures)
assert found["0.5"] == (0.9784, 0.5) and found["0.499"] == (0.9745, 0.0), found
assert found["-0.2 to 0.79"] == (0.9745, 0.0) and found["-0.2 to 0.81"] == (0.9808, 0.81), found
assert found["ten of 0.45"] == found["ten, MIN_MAX"] == found["ten, TARGET_P"] == (0.9925, 0.0), found
assert found["two of 2.25, all their MW"] == (1.0, 1.0), found
assert found["2, idle"] == (0.9877, 2.0) and found["2, idle below its minimum"] == (0.9724, 0.0), found
PY
echo "as recorded"
