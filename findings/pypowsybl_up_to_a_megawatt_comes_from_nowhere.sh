#!/usr/bin/env bash
# pypowsybl 1.16.1 (OpenLoadFlow), its parameters as they come: the slack is distributed, so generators take up what is missing. They do
# where more than 1 MW is missing, and do not otherwise. A feeder of 1.9 MW whose grid connection is scheduled for 1.0 MW keeps it at
# 1.0 MW, while its only line carries 1.914; with 2.01 MW the same connection gives 2.025, so that 0.11 MW more load are 1.03 MW
# more generation. With slackBusPMaxMismatch=0.001 both balance. Without a distributed slack nothing takes it up at all: a load of
# 5 MW behind a generator of 0 is fed by nobody, where every other power flow writes the slack into its generator. The status is
# converged each time, generation less load is not the losses but their opposite, and the rest stands in slack_bus_results alone.
# So balances and energies of what is below a megawatt, most distribution feeders, are of the schedule, not of the flow.
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


def flow(load_mw, schedule_mw, parameters=None):
    """MW that the grid connection gives, that enter the line, that the load takes, and that the slack reports."""
    n = pn.create_empty()
    n.create_substations(id=["S1", "S2"])
    n.create_voltage_levels(
        id=["V1", "V2"], substation_id=["S1", "S2"], nominal_v=[20.0, 20.0], topology_kind=["BUS_BREAKER"] * 2
    )
    n.create_buses(id=["HEAD", "END"], voltage_level_id=["V1", "V2"])
    n.create_generators(
        id="GRID", voltage_level_id="V1", bus_id="HEAD", energy_source="OTHER", voltage_regulator_on=True,
        min_p=-50.0, max_p=50.0, target_p=schedule_mw, target_v=20.0, target_q=0.0,
    )  # fmt: skip
    n.create_loads(id="SITE", voltage_level_id="V2", bus_id="END", p0=load_mw, q0=0.0)
    n.create_lines(
        id="LINE", voltage_level1_id="V1", bus1_id="HEAD", voltage_level2_id="V2", bus2_id="END",
        r=1.5, x=3.0, g1=0.0, g2=0.0, b1=0.0, b2=0.0,
    )  # fmt: skip
    result = (lf.run_ac(n, parameters) if parameters else lf.run_ac(n))[0]
    assert result.status.name == "CONVERGED", result
    given, carried, taken = -n.get_generators().p.iloc[0], n.get_lines().p1.iloc[0], n.get_loads().p.iloc[0]
    slack = result.slack_bus_results[0].active_power_mismatch
    return tuple(round(float(mw), 3) + 0.0 for mw in (given, carried, taken, slack))


tight = lf.Parameters(provider_parameters={"slackBusPMaxMismatch": "0.001"})
single = lf.Parameters(distributed_slack=False)
found = {
    "1.9 MW": flow(1.9, 1.0),
    "2.01 MW": flow(2.01, 1.0),
    "1.9 MW, 0.001 MW may be missing": flow(1.9, 1.0, tight),
    "0.9 MW, nothing scheduled": flow(0.9, 0.0),
    "5 MW, nothing scheduled, slack not distributed": flow(5.0, 0.0, single),
}
print("MW given, carried, taken, left at the slack:")
for name, mw in found.items():
    print(f"  {name:48s}", *mw)
assert found["1.9 MW"] == (1.0, 1.914, 1.9, 0.914), found
assert found["2.01 MW"] == (2.025, 2.025, 2.01, 0.0), found
assert found["1.9 MW, 0.001 MW may be missing"] == (1.914, 1.914, 1.9, 0.0), found
assert found["0.9 MW, nothing scheduled"] == (0.0, 0.899, 0.9, 0.899), found
assert found["5 MW, nothing scheduled, slack not distributed"] == (0.0, 5.097, 5.0, 5.097), found
PY
echo "as recorded"
