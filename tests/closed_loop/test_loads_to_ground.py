"""Loads to ground where nothing else leads there: plain OpenDSS has several solutions, and the answer says so."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import opendssdirect
import pytest

from g2g_opt.batch.checked_network import load_jacobian
from g2g_opt.batch.unsupported import UnsupportedByBatch
from g2g_opt.feeder import Feeder
from g2g_opt.feeder_description import unassessed_notes

# A feeder in delta with a customer in star, whose voltages to ground nothing else holds.
UNEARTHED = """Clear
New Circuit.c basekv=69 bus1=src pu=1.007 mvasc3=862 mvasc1=678
New Transformer.sub windings=2 buses=[src b0] conns=[delta {conn}] kvs=[69 4.8] kvas=[12000 12000] xhl=8 %r=0.5 {shunt}
New Line.l1 bus1=b0 bus2=b1 r1=0.19 x1=0.38 r0=0.45 x0=1.2 c1=0 c0=0 length=0.0925 units=km
New Load.star bus1=b1 kv=4.8 conn=wye kw=9.15 pf=.95 model={model}
New Load.delta bus1=b1 kv=4.8 conn=delta kw=200 pf=0.9
New Load.uneven bus1=b1.1.2 phases=1 kv=4.8 conn=delta kw=5 pf=0.95
Set VoltageBases=[69 4.8]
CalcVoltageBases
"""


def feeder(folder: Path, conn: str = "delta", model: int = 1, shunt: str = "ppm_antifloat=0.5") -> Feeder:
    path = folder / "own.dss"
    path.write_text(UNEARTHED.format(conn=conn, model=model, shunt=shunt))
    return Feeder.from_dss(path)


def to_ground_v(path: Path, tolerance: float) -> np.ndarray:
    dss = opendssdirect.NewContext()
    dss.Basic.AllowChangeDir(False)
    dss.Text.Command(f'Compile "{path}"')
    dss.Text.Command(f"Set mode=snapshot controlmode=off tolerance={tolerance:g} maxiterations=2000")
    dss.Solution.Solve()
    assert dss.Solution.Converged()
    dss.Circuit.SetActiveBus("b1")
    return np.array(dss.Bus.puVmagAngle()[0::2])


def test_such_loads_are_named_and_plain_opendss_ends_elsewhere_with_a_tighter_tolerance(tmp_path: Path) -> None:
    (note,) = [words for words in unassessed_notes(feeder(tmp_path)) if "nothing else leads there" in words]
    assert note.endswith(": load.star")
    loose, tight = (to_ground_v(tmp_path / "own.dss", tolerance) for tolerance in (1e-4, 1e-9))
    assert np.abs(tight - loose).max() > 0.02


@pytest.mark.parametrize(("conn", "model"), [("wye", 1), ("delta", 2)])
def test_what_has_one_solution_is_not_named(tmp_path: Path, conn: str, model: int) -> None:
    assert not [words for words in unassessed_notes(feeder(tmp_path, conn, model)) if "nothing else leads" in words]


HIGH_LEG = """Clear
New Circuit.c basekv=12.47 bus1=s mvasc3=500 mvasc1=400
New Transformer.lighting phases=1 windings=3 buses=[s.1.2 h.1.0 h.0.2] kvs=[12.47 .12 .12]
~ kvas=[50 50 50] xhl=2 xht=2 xlt=1.3
New Transformer.power phases=1 windings=2 buses=[s.2.3 h.2.3] kvs=[12.47 .24] kvas=[25 25] xhl=2 %loadloss=1
New Load.lamps phases=1 bus1=h.1 kv=.12 kw=5
New Load.motor bus1=h kv=.24 kw=9 conn=delta
Set VoltageBases=[12.47 .24]
CalcVoltageBases
"""
FAULT = """Clear
New Circuit.c basekv=12.47 bus1=s mvasc3=500 mvasc1=400
New Line.l bus1=s bus2=a r1=.2 x1=.4 r0=.5 x0=1.1 length=1
New Load.a bus1=a kv=12.47 kw=300
New Fault.f bus1=a.1 phases=1
Set VoltageBases=[12.47]
CalcVoltageBases
"""


@pytest.mark.parametrize("text", [HIGH_LEG, FAULT])
def test_loads_beside_an_earthed_winding_are_not_named_whatever_voltages_stand_there(tmp_path: Path, text: str) -> None:
    path = tmp_path / "own.dss"
    path.write_text(text)
    own = Feeder.from_dss(path)
    assert any(bus.three_wire for bus in own.buses.values())
    assert not [words for words in own.unstated_notes if "nothing else leads" in words]
    load_jacobian(own.commands, tuple(own.buses.values()))


def test_such_a_circuit_is_for_opendss_with_that_cause(tmp_path: Path) -> None:
    """The batch engine took another place of the neutral, and answers were up to 7e-4 pu from OpenDSS's."""
    own = feeder(tmp_path)
    with pytest.raises(UnsupportedByBatch, match=r"^load\.star lies to ground where nothing else leads there"):
        load_jacobian(own.commands, tuple(own.buses.values()))
    other = feeder(tmp_path, model=2)
    assert load_jacobian(other.commands, tuple(other.buses.values())).network.n_nodes == 9
