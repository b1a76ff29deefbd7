"""PV systems, storage and generators on a part of a circuit without a source: they feed nothing, in both engines."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from g2g_opt.errors import InputError
from g2g_opt.feeder import Feeder
from g2g_opt.limits import Limits
from g2g_opt.plan import Plan
from g2g_opt.scenario import Scenario
from g2g_opt.simulation import Engine, simulate_runs

ENGINES: tuple[Engine, Engine] = ("batch", "opendss")
RUN = Plan((), tap_mode="own control"), Scenario("brief", 60)
CIRCUIT = """Clear
New Circuit.c basekv=12.47 bus1=s mvasc3=1000 mvasc1=1000
New Line.l bus1=s bus2=b length=1 units=km r1=0.1 x1=0.1 r0=0.1 x0=0.1 normamps=400
New Load.y bus1=b kv=12.47 kw=3000 pf=1
New Line.o bus1=b bus2=dead length=1 units=km r1=0.1 x1=0.1 normamps=400
New PVSystem.q bus1=dead kv=12.47 kva=500 pmpp=500 irradiance=0.8
New Storage.t bus1=dead kv=12.47 kwrated=100 kwhrated=400 state=discharging
New Generator.g bus1=dead kv=12.47 kw=200 kva=300
Set voltagebases=[12.47]
Calcvoltagebases
{end}
"""


def feeder(folder: Path, end: str) -> Feeder:
    path = folder / "Master.dss"
    path.write_text(CIRCUIT.format(end=end), encoding="utf-8")
    return Feeder.from_dss(path)


def test_units_behind_an_open_line_feed_nothing(tmp_path: Path) -> None:
    runs = {e: simulate_runs([RUN], feeder(tmp_path, "Open Line.o 1"), Limits(), engine=e)[0] for e in ENGINES}
    for engine, run in runs.items():
        assert run.engine == engine
        assert run.failure is None
    one, other = (runs[engine].summary for engine in ENGINES)
    np.testing.assert_allclose(one.lowest_pu, other.lowest_pu, rtol=0, atol=1e-8)
    served = simulate_runs([RUN], feeder(tmp_path, ""), Limits())[0]
    assert served.summary.lowest > one.lowest + 5e-4


@pytest.mark.parametrize("engine", ENGINES)
def test_a_circuit_of_which_nothing_is_served_is_refused_in_words(tmp_path: Path, engine: Engine) -> None:
    """Its elements are of 60 Hz, and OpenDSS's base frequency another: nothing of it has a voltage."""
    with pytest.raises(InputError, match=r"no source gives a voltage: vsource\.source is of 60 Hz"):
        simulate_runs([RUN], feeder(tmp_path, "Set basefrequency=50"), Limits(), engine=engine)
