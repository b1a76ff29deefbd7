#!/usr/bin/env bash
# OpenG2G 0.2.0.post1 on OpenDSSDirect.py 0.9.4. What a Generator or an ExternalLoad returns is called its output or consumption in
# kW, and the grid gives it to each of three single-phase loads: a ConstantGenerator of 1,000 kW feeds in 3,000, a
# ConstantLoad of 1,000 kW draws 3,000. A storage of 1,000 kW beside them, which is one three-phase element, gives 1,000. So a PV
# plant, a load and a storage of one size, attached to one bus, are not of one size.
# Exits 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "openg2g[opendss]==0.2.0.post1" opendssdirect.py==0.9.4 dss-python==0.15.7 dss-python-backend==0.14.5
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
from fractions import Fraction
from pathlib import Path

import opendssdirect as dss
from openg2g.clock import SimulationClock
from openg2g.common import ThreePhase
from openg2g.datacenter.base import DatacenterBackend, DatacenterState
from openg2g.grid.command import SetStoragePower
from openg2g.grid.generator import ConstantGenerator
from openg2g.grid.load import ConstantLoad
from openg2g.grid.opendss import OpenDSSGrid
from openg2g.grid.storage import BatteryStorage


class Site(DatacenterBackend[DatacenterState]):
    """A datacenter without power: OpenG2G wants one."""

    dt_s = Fraction(1)

    def step(self, clock, events):
        return DatacenterState(time_s=clock.time_s, power_w=ThreePhase(0.0, 0.0, 0.0))

    def apply_control(self, command, events): ...

    def reset(self): ...


class Silent:
    def emit(self, topic, data=None): ...


Path("master.dss").write_text(
    "Clear\n"
    "New Circuit.c basekv=12.47 bus1=s pu=1 MVAsc3=50000 MVAsc1=50000\n"
    # A regulator at 1.0: without one OpenG2G's first step ends in an error.
    "New Transformer.r windings=2 buses=(s r) kvs=(12.47 12.47) kvas=(50000 50000) xhl=0.01 %loadloss=0.01\n"
    "New RegControl.r transformer=r winding=2 vreg=120 ptratio=60 band=2\n"
    "Set VoltageBases=[12.47]\nCalcVoltageBases\n"
)


def given_kw(attach, command=None):
    """kW that what is attached to the bus gives (negative: takes)."""
    grid, site = OpenDSSGrid(dss_case_dir=".", dss_master_file="master.dss"), Site(name="site")
    grid.attach_dc(site, bus="r")
    attach(grid)
    grid.start()
    if command is not None:
        grid.apply_control(command, Silent())
    grid.step(SimulationClock(tick_s=Fraction(1)), {site: [ThreePhase(0.0, 0.0, 0.0)]}, Silent())
    dss.Circuit.SetActiveElement("Transformer.r")
    return round(sum(dss.CktElement.Powers()[8:14:2]), -1)


battery = BatteryStorage(name="battery", rated_power_kw=1000.0, capacity_kwh=4000.0, initial_soc=0.9)
found = {
    "generator": given_kw(lambda grid: grid.attach_generator(ConstantGenerator(1000.0), bus="r")),
    "load": given_kw(lambda grid: grid.attach_load(ConstantLoad(1000.0), bus="r")),
    "storage": given_kw(
        lambda grid: grid.attach_storage(battery, bus="r"), SetStoragePower(battery, power_kw=1000.0)
    ),
}
print(found)
assert found == {"generator": 3000.0, "load": -3000.0, "storage": 1000.0}, found
PY
echo "as recorded"
