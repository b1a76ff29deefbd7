"""Normal and emergency ratings of each element, as its own data states them, on both engines."""

from __future__ import annotations

from pathlib import Path

import pytest

from g2g_opt.datacenter.workloads.measurements import measured_spec
from g2g_opt.feeder import Feeder
from g2g_opt.limits import Limits
from g2g_opt.plan import Plan
from g2g_opt.scenario import Scenario
from g2g_opt.simulation import simulate
from g2g_opt.site import sized_site

# The first line is closest to its normal rating, the second to its emergency rating; phase B carries most.
CIRCUIT = """
Clear
New Circuit.small basekv=12.47 pu=1.03 phases=3 bus1=source MVAsc3=400
New Linecode.plain nphases=3 r1=0.1 x1=0.2 r0=0.3 x0=0.6 units=km
New Line.first bus1=source bus2=middle linecode=plain length=2 units=km normamps=50 emergamps=400
New Line.second bus1=middle bus2=end linecode=plain length=1 units=km normamps=100 emergamps=110
New Load.b bus1=end.2 phases=1 kV=7.2 kW=120 kvar=20 model=1
Set voltagebases=[12.47]
Calcvoltagebases
"""


@pytest.mark.parametrize("engine", ["batch", "opendss"])
def test_the_branch_closest_to_its_emergency_rating_is_not_the_one_closest_to_its_normal_one(
    tmp_path: Path, engine: str
) -> None:
    master = tmp_path / "small.dss"
    master.write_text(CIRCUIT, encoding="utf-8")
    site = sized_site("site", "end", [(measured_spec("llama-3.1-70b", gpu="H100"), 128)], 200, 0.2)
    scenario = Scenario("brief", 30, replica_share_start=1.0, replica_ramps=())
    loose = Limits(loading_emergency_max_pu=1.0)
    ((run,),) = simulate([Plan((site,))], [scenario], Feeder.from_dss(master), loose, engine=engine)  # type: ignore[arg-type]
    normal, emergency = run.summary.worst_loading("line"), run.summary.worst_loading(emergency=True)
    assert normal is not None and emergency is not None  # noqa: PT018 - for the type checker
    assert (normal.branch, normal.phase) == ("line.first", "B")
    assert (emergency.branch, emergency.phase) == ("line.second", "B")
    # Hand: 1.25 MW and the load's 120 kW at 0.95 lagging, 7.2 kV: about 76 A on phase B.
    amperes = emergency.emergency_pu * 110
    assert amperes == pytest.approx(normal.loading_pu * 50, rel=2e-3)
    assert emergency.loading_pu == pytest.approx(amperes / 100)
    assert 60 < amperes < 95
    assert all(check.kept for check in run.checks if check.name == "emergency loading")
    tight = Limits(loading_emergency_max_pu=0.5)
    ((again,),) = simulate([Plan((site,))], [scenario], Feeder.from_dss(master), tight, engine=engine)  # type: ignore[arg-type]
    (broken,) = [check for check in again.checks if check.name == "emergency loading"]
    assert not broken.kept
    assert broken.place().startswith("line.second.B at t=")


@pytest.mark.parametrize("engine", ["batch", "opendss"])
def test_by_default_stated_ratings_are_judged_and_placeholders_are_not(tmp_path: Path, engine: str) -> None:
    """Hand: 4.0 MW or so at 12.47 kV and power factor 0.95 are 195 A: above 150 A where they were stated."""
    site = sized_site("site", "end", [(measured_spec("llama-3.1-70b", gpu="H100"), 128)], 660, 0.2)
    scenario = Scenario("brief", 30, replica_share_start=1.0, replica_ramps=())
    limits = Limits(voltage_min_pu=0.9, voltage_max_pu=1.1)
    assert limits.loading_max_pu == 1.0
    for stated, first, kept in (
        ("", None, True),
        ("normamps=150", "line.first", False),
        ("normamps=300", "line.first", True),
    ):
        master = tmp_path / f"rated{stated[-3:]}.dss"
        without = CIRCUIT.replace("normamps=50 emergamps=400", stated).replace("normamps=100 emergamps=110", "")
        master.write_text(without, encoding="utf-8")
        feeder = Feeder.from_dss(master)
        ((run,),) = simulate([Plan((site,))], [scenario], feeder, limits, engine=engine)  # type: ignore[arg-type]
        assert run.engine == engine
        worst = run.summary.worst_loading("line")
        assert (None if worst is None else worst.branch) == first
        assert run.kept == kept, run.reasons
        if worst is not None:
            assert worst.loading_pu * (150.0 if not kept else 300.0) == pytest.approx(200.0, rel=0.1)
