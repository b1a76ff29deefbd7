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


def test_such_a_circuit_is_for_opendss_with_that_cause(tmp_path: Path) -> None:
    """The batch engine took another place of the neutral, and answers were up to 7e-4 pu from OpenDSS's."""
    own = feeder(tmp_path)
    with pytest.raises(UnsupportedByBatch, match=r"^load\.star lies to ground where nothing else leads there"):
        load_jacobian(own.commands, tuple(own.buses.values()))
    other = feeder(tmp_path, model=2)
    assert load_jacobian(other.commands, tuple(other.buses.values())).network.n_nodes == 9
