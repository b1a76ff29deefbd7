"""The batch power flow against OpenDSS: generators, PV systems and storage in every piece of their laws."""

from __future__ import annotations

import numpy as np
import pytest
from batch_rigs import Case, circuit_commands, solve_and_compare

pytestmark = pytest.mark.xdist_group("batch_power_flow")

UNITS = {
    "generator 1": "Generator.{name} kW=300 kvar=80 model=1",
    "generator 2": "Generator.{name} kW=300 kvar=80 model=2",
    "generator 4": "Generator.{name} kW=300 kvar=80 model=4",
    "generator 5": "Generator.{name} kW=300 kvar=80 model=5",
    "generator 7": "Generator.{name} kW=300 kvar=80 model=7",
    "generator 7 without vars": "Generator.{name} kW=300 kvar=0 model=7",
    "PV system": "PVSystem.{name} kVA=500 Pmpp=400 irradiance=0.8 pf=0.95",
    "PV system beyond its rating": "PVSystem.{name} kVA=300 Pmpp=400 irradiance=1 kvar=150",
    "PV system, an impedance": "PVSystem.{name} kVA=500 Pmpp=400 irradiance=0.8 model=2",
    "PV system, limited current": "PVSystem.{name} kVA=500 Pmpp=400 irradiance=0.8 pf=-0.95 limitcurrent=yes",
    "storage discharging": "Storage.{name} kWrated=300 kWhrated=900 %stored=80 state=discharging",
    "storage charging": "Storage.{name} kWrated=300 kWhrated=900 %stored=20 state=charging",
    "storage idle": "Storage.{name} kWrated=300 kWhrated=900 %idlingkw=20",
}
PLACES = (
    "{bus} phases=3 conn=wye kV=12.47",
    "{bus} phases=3 conn=delta kV=12.47",
    "{bus}.2 phases=1 conn=wye kV=7.2",
    "{bus}.3.1 phases=1 conn=delta kV=12.47",
)


@pytest.mark.parametrize("source_pu", [0.7, 1.0, 1.2])
@pytest.mark.parametrize("unit", UNITS)
def test_every_unit_in_every_piece_of_its_law(unit: str, source_pu: float) -> None:
    body = ["New Load.own bus1=end phases=3 kV=12.47 kW=200 kvar=50 vminpu=0.5 vmaxpu=1.4"]
    for k, place in enumerate(PLACES):
        body += [
            f"New Line.l{k} bus1=head bus2=b{k} linecode=lc length=0.5 units=km",
            f"New {UNITS[unit].format(name=f'u{k}')} bus1={place.format(bus=f'b{k}')} vminpu=0.9 vmaxpu=1.1",
        ]
    case = Case.of(circuit_commands(body, source_pu=source_pu))
    assert len(case.network.units) == 4
    rows = [[case.port(f"b{k}", (k % 3 + 1,), (0.2, 1.9)) for k in range(len(PLACES))]] * 2
    power = 1e3 * np.random.default_rng(1).uniform(-150, 150, (len(PLACES), 2)) * (1 + 0.3j) * min(source_pu, 1.0) ** 2
    flow = solve_and_compare(case, rows, power)
    assert np.abs(flow.phasors - case.network.start_v[:, None]).max() > 3.0  # V: the sites did move them


@pytest.mark.parametrize("model", [1, 2, 4, 5, 7])
def test_genmult_scales_of_a_generator_what_opendss_scales(model: int) -> None:
    """Vars of models 4 and 5 do not follow it."""
    unit = f"New Generator.u bus1=end kV=12.47 kW=300 kvar=80 model={model}"
    case = Case.of(circuit_commands([unit, "Set GenMult=0.5"]))
    solve_and_compare(case, [[case.port("end", (1,), (0.2, 1.9))]] * 2, np.full((1, 2), 1e5 + 3e4j))
